"""Guest address -> host address.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. Every byte a guest can reach is decided here. A mistake in this file is a sandbox escape. Read twice before  |
| changing a line; tests/escape/test_memory.py tries every width at size -1, 0 and +1 in every mode.                   |
+----------------------------------------------------------------------------------------------------------------------+

Three ways (the user's choice, ``checks=``):

* ``explicit``: compare with the memory's length, branch to the trap, then access. Exact by construction.
* ``guard``: a 32-bit index is a zero-extended 64-bit displacement, so base + index + offset + size stays inside the
  memory's reservation of 4 GiB + :data:`GUARD` as long as offset + size <= GUARD; whatever is not committed faults and
  the handler makes it a trap. Larger offsets, and 64-bit memories, use the explicit comparison. Accesses are
  ``volatile``, for otherwise LLVM may drop or move one, and with it the trap; but for those in loops of which
  :mod:`wardian.compile.versions` has found out that none of them traps.

* ``masked``: ``explicit``, and what is added to the base is masked to the memory's reservation whatever came out of
  the comparison: a comparison that LLVM got wrong, or the processor guessed wrongly, leads nowhere else.

A shared memory may change, and grow, at any moment. It never shrinks and never moves, so a length read earlier is
safe; the read itself is atomic. Plain accesses to it are ``volatile`` too: LLVM calls the result of an ordinary load
that races undefined and may then give each use of it, such as a check and an address, another value; a volatile load
is read once.

A branch is only a guess to the processor, so what a comparison bounds is masked as well, as far as the user wants it
(:mod:`wardian.compile.speculation`). An index that guard pages bound needs none: no branch decides where it leads.

All arithmetic on addresses is in 64 bits, on a zero-extended index, with ``getelementptr i8`` (no ``inbounds``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardian.compile import speculation
from wardian.compile.emit import CONSTANT, HOSTDATA, Value, const
from wardian.compile.function import CTX, Lowering
from wardian.vm.layout import MEMORY, SEGMENT, TABLE
from wardian.vm.memory import GUARD, INDEX_SPACE
from wardian.vm.traps import TrapCode

_NO_LENGTH: Final = 1 << 62
"""More than any memory has bytes."""
ZERO: Final = const(0, "i64")


def length(lo: Lowering, memory: int, order: str = "unordered", *, masked: bool = False) -> Value:
    """The memory's current length in bytes, ``i64``; ``order`` is how it is read if the memory is shared.

    ``masked``: LLVM is not to know that it is what somebody else compares with (:mod:`wardian.compile.speculation`).
    """
    definition = lo.pointer_at(lo.facts.layout.memories + 8 * memory)
    at = lo.b.offset(speculation.copy(lo, definition) if masked else definition, MEMORY.at["length"])
    if lo.facts.memories[memory].shared:
        # SAFETY: another thread may be growing the memory; unordered is enough, for any length it ever had is safe.
        return lo.b.atomic_load(at, "i64", HOSTDATA, order)
    return lo.b.load(at, "i64", HOSTDATA)


def address(lo: Lowering, memory: int, index: Value, offset: int, size: int) -> tuple[Value, bool]:
    """Host pointer for an access of ``size`` bytes at ``index + offset``, and whether the access must be volatile.

    ``index`` is the guest's operand, zero-extended to ``i64`` by :meth:`Lowering.pop_address`. Emits the check; on the
    path that goes on, the access is inside the memory (explicit) or inside its reservation (guard).
    """
    type_ = lo.facts.memories[memory]
    by_pages = guarded(lo, memory) and offset + size <= GUARD
    b = lo.b
    if by_pages:
        # SAFETY: index < 2^32 and offset + size <= GUARD, so the sum stays in the reservation of 4 GiB + GUARD.
        displacement = b.binary("add", index, const(offset, "i64")) if offset else index
    else:
        # SAFETY: inside the memory.
        displacement = checked(lo, memory, index, offset, size)
    # SAFETY: what compile/versions.py proved only decides whether LLVM may move the access, never where it goes.
    may_trap = by_pages and lo.proven is None
    lo.faults += may_trap
    return b.index(lo.memory_base(memory), displacement), may_trap or type_.shared


def guarded(lo: Lowering, memory: int) -> bool:
    """Do pages bound accesses of a memory, as far as their offset is not beyond the guard?"""
    type_ = lo.facts.memories[memory]
    # SAFETY: a memory whose length is no multiple of the system's page is accessible beyond its end.
    return lo.facts.options.checks == "guard" and type_.page_size_log2 == 16 and not type_.limits.is64


def checked(lo: Lowering, memory: int, index: Value, offset: int, size: int) -> Value:
    """``index + offset`` (``i64``) after an explicit check that an access of ``size`` bytes there is in bounds.

    With masks, 0 where that is only a wrong guess.
    """
    b = lo.b
    is64 = lo.facts.memories[memory].limits.is64
    end = offset + size
    if end >= _NO_LENGTH:
        # SAFETY: offset + size alone is past any length a memory can have.
        lo.trap_if(("true", "i1"), TrapCode.MEMORY_OUT_OF_BOUNDS)
        return ZERO
    if not speculation.masks(lo) or lo.facts.options.checks == "masked":
        lo.trap_if(_beyond(lo, index, end, length(lo, memory), is64), TrapCode.MEMORY_OUT_OF_BOUNDS)
        # SAFETY: index + offset + size <= length, so the addition does not wrap.
        return _confined(lo, memory, b.binary("add", index, const(offset, "i64")) if offset else index)
    index = speculation.copy(lo, index)
    last = b.binary("add", index, const(end - 1, "i64"))
    # SAFETY: an index from 2^63 on does not fit, and below that the sum does not wrap, for end is at most 2^62.
    mask = speculation.below(lo, last, length(lo, memory, masked=True), index, any=is64)
    displacement = b.binary("add", index, const(offset, "i64")) if offset else index
    return speculation.check(lo, mask, TrapCode.MEMORY_OUT_OF_BOUNDS, displacement)[0]


def _beyond(lo: Lowering, index: Value, end: int, limit: Value, is64: bool) -> Value:
    """Is ``index + end > limit``, without wrapping? ``end`` is offset + size, at least 1."""
    b = lo.b
    if is64:
        # SAFETY: limit -sat (end - 1) is the first index that does not fit, and 0 if none does, so nothing wraps.
        first_bad = b.intrinsic("usub.sat.i64", "i64", limit, const(end - 1, "i64"))
        return b.icmp("uge", index, first_bad)
    # SAFETY: index < 2^32 and end < 2^33, so the sum does not wrap in 64 bits.
    return b.icmp("ugt", b.binary("add", index, const(end, "i64")), limit)


def _confined(lo: Lowering, memory: int, displacement: Value) -> Value:
    """With ``masked`` checks, ``displacement`` as far as it stays in the memory's reservation."""
    if lo.facts.options.checks != "masked":
        return displacement
    b = lo.b
    # SAFETY: the mask is opaque, so LLVM does not leave it out for being without effect, which it is if all is well;
    # 4 GiB are reserved for every memory, GUARD follows, and a larger memory has a mask of its own.
    mask = const(INDEX_SPACE - 1, "i64")
    if lo.facts.memories[memory].limits.is64:
        definition = lo.pointer_at(lo.facts.layout.memories + 8 * memory)
        mask = b.load(b.offset(definition, MEMORY.at["mask"]), "i64", CONSTANT)
    return b.binary("and", b.opaque(displacement), mask)


def check_range(
    lo: Lowering, start: Value, count: Value, limit: Callable[[bool], Value], code: TrapCode
) -> tuple[Value, Value]:
    """Trap unless ``start + count <= limit`` (all ``i64``) without wrapping; for bulk operations.

    ``limit`` reads the bound, ``masked`` or not (see :func:`length`). Returns start and count
    to go on with: with masks, 0 and 0 where the range is only guessed to fit.
    """
    if not speculation.masks(lo):
        lo.trap_if(_no_room(lo, start, count, limit(False)), code)
        return start, count
    start, count = speculation.copy(lo, start), speculation.copy(lo, count)
    mask = speculation.mask(lo, _no_room(lo, start, count, limit(True)))
    start, count = speculation.check(lo, mask, code, start, count)
    return start, count


def _no_room(lo: Lowering, start: Value, count: Value, limit: Value) -> Value:
    b = lo.b
    # SAFETY: the first comparison makes limit - count exact; the second then compares without any addition.
    too_long = b.icmp("ugt", count, limit)
    room = b.binary("sub", limit, count)
    too_far = b.icmp("ugt", start, room)
    return b.binary("or", too_long, too_far)


def check_memory(lo: Lowering, memory: int, start: Value, count: Value) -> tuple[Value, Value]:
    """:func:`check_range` for a range of a memory."""
    code = TrapCode.MEMORY_OUT_OF_BOUNDS
    start, count = check_range(lo, start, count, lambda masked: length(lo, memory, masked=masked), code)
    # SAFETY: a range that begins in the reservation and leaves it meets the guard, which comes first.
    return _confined(lo, memory, start), count


def check_table(lo: Lowering, table: int, start: Value, count: Value) -> tuple[Value, Value]:
    """:func:`check_range` for a range of a table's elements."""
    code = TrapCode.TABLE_OUT_OF_BOUNDS
    return check_range(lo, start, count, lambda masked: table_length(lo, table, masked=masked)[1], code)


def check_segment(lo: Lowering, at: int, start: Value, count: Value, code: TrapCode) -> tuple[Value, Value, Value]:
    """:func:`check_range` for the segment whose SEGMENT is at ``at`` of the context, and the segment's base."""
    b = lo.b

    def size(masked: bool) -> Value:
        context = speculation.copy(lo, CTX) if masked else CTX
        return b.load(b.offset(context, at + SEGMENT.at["length"]), "i64", HOSTDATA)

    base = b.load(b.offset(CTX, at), "ptr", HOSTDATA)
    return *check_range(lo, start, count, size, code), base


def pointer(lo: Lowering, memory: int, index: Value) -> Value:
    """Host pointer to ``index`` of a range that :func:`check_range` accepted."""
    # SAFETY: index <= length, checked by the caller through check_range.
    return lo.b.index(lo.memory_base(memory), index)


def table_slot(lo: Lowering, table: int, index: Value, code: TrapCode) -> Value:
    """Host pointer to the 8-byte element ``index`` (``i64``, zero-extended) of a table; traps with ``code`` outside
    it."""
    b = lo.b
    masked = speculation.masks(lo)
    index = speculation.copy(lo, index) if masked else index
    definition, size = table_length(lo, table, masked=masked)
    if masked:
        mask = speculation.below(lo, index, size, any=lo.facts.tables[table].limits.is64)
        (index,) = speculation.check(lo, mask, code, index)
    else:
        lo.trap_if(b.icmp("uge", index, size), code)
    # SAFETY: index < length was just checked, and length elements of 8 bytes are allocated at base.
    return b.index(b.load(definition, "ptr", HOSTDATA), index, "i64")


def table_range(lo: Lowering, table: int, start: Value) -> Value:
    """Host pointer to the element ``start`` of a range that :func:`check_table` accepted."""
    base = lo.b.load(lo.pointer_at(lo.facts.layout.tables + 8 * table), "ptr", HOSTDATA)
    # SAFETY: start <= length, checked by the caller through check_table.
    return lo.b.index(base, start, "i64")


def table_length(lo: Lowering, table: int, *, masked: bool = False) -> tuple[Value, Value]:
    """``(pointer to the TABLE, its current length as i64)``; ``masked`` as in :func:`length`."""
    definition = lo.pointer_at(lo.facts.layout.tables + 8 * table)
    if masked:
        definition = speculation.copy(lo, definition)
    return definition, lo.b.load(lo.b.offset(definition, TABLE.at["length"]), "i64", HOSTDATA)
