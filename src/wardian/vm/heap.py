"""The heap of structures, arrays, boxes and exceptions: numbers that generated code, the collector and Python share.

A heap is a linear memory of its own. Its first :data:`SEGMENT` is the collector's book-keeping at the fixed places
below, the others hold objects. A reference is an object's offset; null is 0; an ``i31`` is ``value << 1 | 1``, and
objects are aligned to :data:`ALIGN`, so the two never meet.

An object begins with its *header*, a 32-bit word: ``number of its canonical type << 4 | kind``. An array's length
(32 bits) follows at :data:`LENGTH`. A function reference inside the heap is an index into its store's list of
functions, never an address.

``collector.c`` gets these numbers as macros of the same names; ``collector.wasm`` is built from it
(``python -m tests.runtime.build_collector``).
"""

from __future__ import annotations

from typing import Final

# -- kinds: the low four bits of a header ------------------------------------------------------------------------------

KIND_MASK: Final = 15
STRUCT: Final = 0
STRUCT_REFS: Final = 1
ARRAY: Final = 2
ARRAY_REFS: Final = 3
EQ_KINDS: Final = 4
"""Kinds below this are what ``eq`` holds besides ``i31``."""
EXTERN: Final = 4
"""A box around a Python object; after the header comes its handle."""
EXCEPTION: Final = 5
"""A tag's number after 8 bytes, then (:data:`EXCEPTION_SIZE`) 16 bytes for each value."""
FUNC: Final = 8
"""Not an object's kind, but a function type's in :meth:`wardian.runtime.process.Process.type_id`."""

TYPE_SHIFT: Final = 4
ROW_SHIFT: Final = 8
"""log2 of a row of the process's table of ancestors: 64 canonical types of 4 bytes, by depth."""

# -- objects -----------------------------------------------------------------------------------------------------------

ALIGN: Final = 8
FIELDS: Final = 4
"""Offset of a structure's first field, if its alignment allows."""
LENGTH: Final = 4
ELEMENTS: Final = 8
"""Offset of an array's elements; 16-byte elements need no more, vectors are read unaligned."""
ARRAY_BYTES: Final = 1 << 31
"""An array's elements take less than this, so any of them lies inside the heap's reservation or its guard."""
BOX_HANDLE: Final = 4
BOX_SIZE: Final = 8
EXCEPTION_TAG: Final = 8
EXCEPTION_SIZE: Final = 16

# -- the heap's places -------------------------------------------------------------------------------------------------

SEGMENT: Final = 1 << 20

STATE: Final = 0x1000
"""Words of 4 bytes, named by the ``STATE_*`` constants."""
RUNS: Final = 0x2000
"""``RUNS + size``: for each size in steps of :data:`ALIGN` the run of free cells, as its begin and end (4 bytes
each)."""
MAX_RUN: Final = 512
"""The largest object that is taken from a run by generated code."""
SEGMENT_KINDS: Final = 0x4000
ROOTS: Final = 0x10000
ROOTS_COUNT: Final = 0x4000
"""Room for candidates the host found on stacks and in tables, 4 bytes each."""
TYPES: Final = 0x20000
"""Directory of pages of 4096 type descriptions, 16 bytes each."""
TYPES_COUNT: Final = 0x10000

STATE_PINS: Final = STATE
"""Offset of the references Python holds, 4 bytes each."""
STATE_PINS_ROOM: Final = STATE + 4
STATE_BOXES: Final = STATE + 8
"""Offset of the boxes by handle, 4 bytes each; 0 for a free handle."""
STATE_BOXES_ROOM: Final = STATE + 12
STATE_DEAD: Final = STATE + 16
"""Offset of the handles whose boxes have been collected, until the host has taken note."""
STATE_DEAD_ROOM: Final = STATE + 20
STATE_DEAD_COUNT: Final = STATE + 24
STATE_ZEAL: Final = STATE + 28
"""Not 0: collect at every allocation (for tests)."""
STATE_LIMIT: Final = STATE + 32
"""How many segments the heap may have."""
STATE_COLLECTIONS: Final = STATE + 36
STATE_LIVE: Final = STATE + 40
"""Objects the last collection found alive, and their bytes."""
STATE_LIVE_BYTES: Final = STATE + 44
STATE_BOXES_NEW: Final = STATE + 48
"""Boxes made since the last collection."""
SCAN_ON: Final = 0
SCAN_BEGIN: Final = 1
SCAN_EXACT: Final = 2
"""What the collector asks ``roots`` for: the next candidates; the first; the first, leaving the stack out if no guest's
frame is on it."""
STATE_PRIVATE: Final = STATE + 64
"""Where the collector's own words begin."""
