"""Guest address -> host address.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. Every byte a guest can reach is decided here. A mistake in this file is a sandbox escape. Read twice before  |
| changing a line; tests/escape/test_memory.py tries every width at size -1, 0 and +1 in every mode.                   |
+----------------------------------------------------------------------------------------------------------------------+

Two ways (the user's choice, ``checks=``):

* ``explicit``: compare with the memory's length, branch to the trap, then access. Exact by construction.
* ``guard``: a 32-bit index is a zero-extended 64-bit displacement, so base + index + offset + size stays inside the
  memory's reservation of 4 GiB + :data:`GUARD` as long as offset + size <= GUARD; whatever is not committed faults and
  the handler makes it a trap. Larger offsets, and 64-bit memories, use the explicit comparison. Accesses are
  ``volatile``, for otherwise LLVM may drop or move one, and with it the trap; but for those in loops of which
  :mod:`wardian.compile.versions` has found out that none of them traps.

A shared memory may change, and grow, at any moment. It never shrinks and never moves, so a length read earlier is
safe; the read itself is atomic. Plain accesses to it are ``volatile`` too: LLVM calls the result of an ordinary load
that races undefined and may then give each use of it, such as a check and an address, another value; a volatile load
is read once.

All arithmetic on addresses is in 64 bits, on a zero-extended index, with ``getelementptr i8`` (no ``inbounds``).
"""

from __future__ import annotations

from typing import Final

from wardian.compile.emit import HOSTDATA, Value, const
from wardian.compile.function import Lowering
from wardian.vm.layout import MEMORY
from wardian.vm.memory import GUARD
from wardian.vm.traps import TrapCode

_U64: Final = 1 << 64


def length(lo: Lowering, memory: int, order: str = "unordered") -> Value:
    """The memory's current length in bytes, ``i64``; ``order`` is how it is read if the memory is shared."""
    definition = lo.pointer_at(lo.facts.layout.memories + 8 * memory)
    at = lo.b.offset(definition, MEMORY.at["length"])
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
    is64 = type_.limits.is64
    # SAFETY: a memory whose length is no multiple of the system's page is accessible beyond its end.
    whole_pages = type_.page_size_log2 == 16
    guarded = lo.facts.options.checks == "guard" and whole_pages and not is64 and offset + size <= GUARD
    if not guarded:
        _check(lo, memory, index, offset + size, is64)
    b = lo.b
    # SAFETY: guarded: index < 2^32 and offset + size <= GUARD, so the sum stays in the reservation of 4 GiB + GUARD.
    # Otherwise _check proved index + offset + size <= length, so neither addition wraps and the access is inside.
    displacement = b.binary("add", index, const(offset, "i64")) if offset else index
    # SAFETY: what compile/versions.py proved only decides whether LLVM may move the access, never where it goes.
    may_trap = guarded and lo.proven is None
    lo.faults += may_trap
    return b.index(lo.memory_base(memory), displacement), may_trap or type_.shared


def checked(lo: Lowering, memory: int, index: Value, offset: int, size: int) -> Value:
    """``index + offset`` (``i64``) after an explicit check that an access of ``size`` bytes there is in bounds."""
    _check(lo, memory, index, offset + size, lo.facts.memories[memory].limits.is64)
    # SAFETY: _check proved index + offset + size <= length, so the addition does not wrap.
    return lo.b.binary("add", index, const(offset, "i64")) if offset else index


def _check(lo: Lowering, memory: int, index: Value, end: int, is64: bool) -> None:
    """Trap unless ``index + end <= length`` without wrapping; ``end`` is offset + size, at least 1."""
    b = lo.b
    if end >= _U64:
        # SAFETY: offset + size alone is past any 64-bit length.
        lo.trap_if(("true", "i1"), TrapCode.MEMORY_OUT_OF_BOUNDS)
        return
    limit = length(lo, memory)
    if is64:
        # SAFETY: length -sat (end - 1) is the first index that does not fit, and 0 if none does, so nothing wraps.
        first_bad = b.intrinsic("usub.sat.i64", "i64", limit, const(end - 1, "i64"))
        lo.trap_if(b.icmp("uge", index, first_bad), TrapCode.MEMORY_OUT_OF_BOUNDS)
    else:
        # SAFETY: index < 2^32 and end < 2^33, so the sum does not wrap in 64 bits.
        last = b.binary("add", index, const(end, "i64"))
        lo.trap_if(b.icmp("ugt", last, limit), TrapCode.MEMORY_OUT_OF_BOUNDS)


def check_range(lo: Lowering, start: Value, count: Value, limit: Value, code: TrapCode) -> None:
    """Trap unless ``start + count <= limit`` (all ``i64``) without wrapping; for bulk operations."""
    b = lo.b
    # SAFETY: the first comparison makes limit - count exact; the second then compares without any addition.
    too_long = b.icmp("ugt", count, limit)
    room = b.binary("sub", limit, count)
    too_far = b.icmp("ugt", start, room)
    lo.trap_if(b.binary("or", too_long, too_far), code)


def pointer(lo: Lowering, memory: int, index: Value) -> Value:
    """Host pointer to ``index`` of a range that :func:`check_range` accepted."""
    # SAFETY: index <= length, checked by the caller through check_range.
    return lo.b.index(lo.memory_base(memory), index)


def table_slot(lo: Lowering, table: int, index: Value, code: TrapCode) -> Value:
    """Host pointer to the 8-byte element ``index`` (``i64``, zero-extended) of a table; traps with ``code`` outside
    it."""
    definition, size = table_length(lo, table)
    lo.trap_if(lo.b.icmp("uge", index, size), code)
    base = lo.b.load(definition, "ptr", HOSTDATA)
    # SAFETY: index < length was just checked, and length elements of 8 bytes are allocated at base.
    return lo.b.index(base, index, "i64")


def table_length(lo: Lowering, table: int) -> tuple[Value, Value]:
    """``(pointer to the TABLE, its current length as i64)``."""
    definition = lo.pointer_at(lo.facts.layout.tables + 8 * table)
    return definition, lo.b.load(lo.b.offset(definition, 8), "i64", HOSTDATA)
