"""Layouts of every structure that machine code and the host both touch: one row per field.

Invariant: an offset is written nowhere else; generated code and :mod:`wardian.runtime` both ask here. All words are
8 bytes unless the row says otherwise, little-endian, naturally aligned.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, final

from wardian.record import Record
from wardian.syntax.module import Module


@final
class Struct:
    """A structure: ``rows`` are ``(field, size in bytes, alignment)``; :attr:`at` maps a field to its offset."""

    __slots__ = ("at", "size")

    def __init__(self, *rows: tuple[str, int]) -> None:
        at: dict[str, int] = {}
        offset = 0
        for name, size in rows:
            align = min(size, 16) & -min(size, 16)
            offset = (offset + align - 1) & -align
            at[name] = offset
            offset += size
        self.at = MappingProxyType(at)
        self.size = (offset + 15) & -16


MAX_FRAMES: Final = 128
"""How many program counters of a backtrace are kept, innermost first."""

JMP_BUF: Final = 512
"""Room for a ``jmp_buf`` (glibc: 200 bytes on x86-64, 312 on aarch64)."""

THREAD: Final = Struct(
    ("activation", 8),  # innermost Activation of this thread
    ("tstate", 8),  # PyThreadState saved while guest code runs
    ("stack_low", 8),  # no guest frame below this address
    ("stack_size", 8),
    ("pthread", 8),
    ("trap_code", 8),
    ("signalled", 8),  # a signal Python handles came while a helper of a guest was running
    ("frame_count", 8),
    ("frames", 8 * MAX_FRAMES),
    ("host_fp", 8),  # frame address of the host function that was called last, above which the guest's frames are
)
"""One per operating-system thread that ever entered a guest; found with ``pthread_getspecific``."""

STORE: Final = Struct(
    ("stack_limit", 8),  # compared with the stack pointer in prologues
    ("thread", 8),  # Thread inside this store now, or 0
    ("interrupt", 8),  # TrapCode that ends the run, or 0
    ("max_stack", 8),
    ("fuel", 8),  # what is left of it, signed: below 0 the guest has tried to use more
    ("pending", 8),  # reference to the exception that is being thrown, or 0
    ("heap", 8),  # base address of the heap of structures, arrays, boxes and exceptions, or 0
    ("heap_memory", 8),  # its MEMORY
    ("alloc", 8),  # the collector's function that allocates: code and context
    ("alloc_context", 8),
    ("roots", 8),  # addresses of {base, length} of 8-byte words (TABLE, SEGMENT, ROOT) that may hold references
    ("roots_count", 8),
    ("functions", 8),  # FUNCREF addresses by the number a function has in the heap; number 0 is null
    ("functions_count", 8),
    ("scan_at", 8),  # where the search for roots stands: between these addresses, of the root before scan_next
    ("scan_end", 8),
    ("scan_next", 8),
)

ACTIVATION: Final = Struct(
    ("prev", 8),
    ("store", 8),
    ("fp", 8),  # frame address of the entry: where a backtrace ends
    ("prev_thread", 8),
    ("prev_limit", 8),
    ("prev_pending", 8),
    ("jmp_buf", JMP_BUF),
)
"""One per entry from Python into a guest, on the native stack. The ``prev_*`` are words of the store, put back on
leaving: a Python finaliser may enter while an exception is pending, and a guest may be stopped with one."""

MEMORY: Final = Struct(("base", 8), ("length", 8), ("mask", 8))
"""``length`` in bytes. ``base`` never changes while the memory lives, nor does ``mask``: a power of two less 1, and at
least as far as that beyond ``base`` (and :data:`wardian.vm.memory.GUARD` more) there is nothing but this memory."""

TABLE: Final = Struct(("base", 8), ("length", 8))
"""``length`` in elements of 8 bytes; ``base`` changes when the table grows."""

SEGMENT: Final = Struct(("base", 8), ("length", 8))
"""A data segment (bytes) or an element segment (8-byte references); dropped: length 0."""

ROOT: Final = Struct(("base", 8), ("length", 8))
"""``length`` words of 8 bytes that may hold references into the heap."""

FUNCREF: Final = Struct(("code", 8), ("context", 8), ("type_id", 4), ("number", 4), ("index", 4), ("heat", 4))
"""What a non-null function reference points to. ``type_id`` is the canonical type, process-wide; ``number`` stands for
the function inside its store's heap, 0 until it has been stored there; ``heat`` grows with every call and loop turn in
the baseline tier, and each time it wraps the function is hot."""

HEADER: Final = Struct(("store", 8), ("builtins", 8), ("owner", 8), ("type_ids", 8))
"""The beginning of every callee context: an instance's and a host function's. ``owner`` is a borrowed ``PyObject *``
(the ``InstanceCode`` or ``HostFunc``), ``type_ids`` points to the instance's canonical type ids (8 bytes each)."""

HOST: Final = Struct(("header", 32), ("callable", 8), ("pad", 8), ("funcref", 32))
"""The context of one host function in one store. ``callable`` is a borrowed ``PyObject *``."""

FUNC_OBJECT: Final = Struct(
    ("ob_base", 16),
    ("vectorcall", 8),
    ("funcref", 8),
    ("builtins", 8),
    ("instance", 8),  # PyObject *, owned: the FuncInstance, which keeps the store alive
    ("weaklist", 8),
)
"""The Python object that is an export: an ordinary heap type's instance with native fields."""

PLACED: Final = MappingProxyType({"to": 0, "start": 4, "stop": 8})
PLACED_SIZE: Final = 12
"""A data segment's row in :class:`wardian.runtime.memory.Initial`, three numbers of 4 bytes: its place in the memory,
and where its contents begin and end in the module's bytes."""

WINDOW_OBJECT: Final = Struct(("ob_base", 16), ("memory", 8), ("owner", 8))
"""The Python object that exports a memory's bytes through the buffer protocol."""


@final
class InstanceLayout(Record):
    """Offsets in the context of an instance of one module.

    Imported functions, and every memory, table and imported global, are reached through a pointer; defined globals
    are cells of 16 bytes in place; tags are their process-wide numbers; defined functions
    are FUNCREF structures in place.
    """

    counts: tuple[int, int]
    """Imported functions and imported globals: where the index spaces change over."""
    imported_funcs: int
    memory_bases: int
    memories: int
    tables: int
    imported_globals: int
    globals: int
    datas: int
    elems: int
    tags: int
    funcs: int
    size: int

    @classmethod
    def of(cls, module: Module) -> InstanceLayout:
        """The layout for ``module``: a pure function of its index spaces."""
        nfi, ngi = len(module.imported_funcs), len(module.imported_globals)
        nm = len(module.imported_memories) + len(module.memories)
        nt = len(module.imported_tables) + len(module.tables)
        offsets = [HEADER.size]
        for size in (
            8 * nfi,
            8 * nm,
            8 * nm,
            8 * nt,
            8 * ngi,
            16 * len(module.globals),
            SEGMENT.size * len(module.datas),
            SEGMENT.size * len(module.elems),
            8 * (len(module.imported_tags) + len(module.tags)),
            FUNCREF.size * len(module.funcs),
        ):
            offsets.append((offsets[-1] + size + 15) & -16)
        return cls((nfi, ngi), *offsets)

    def global_cell(self, index: int) -> tuple[bool, int]:
        """``(is a pointer to the cell, offset)`` of global ``index``."""
        imported = self.counts[1]
        if index < imported:
            return True, self.imported_globals + 8 * index
        return False, self.globals + 16 * (index - imported)

    def func_ref(self, index: int) -> tuple[bool, int]:
        """``(is a pointer to the FUNCREF, offset)`` of function ``index``."""
        imported = self.counts[0]
        if index < imported:
            return True, self.imported_funcs + 8 * index
        return False, self.funcs + FUNCREF.size * (index - imported)
