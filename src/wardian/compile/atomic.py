"""Lowering of the threads proposal: atomic accesses, fence, wait and notify ("Threads / Instructions").

Invariant: every atomic access is sequentially consistent, traps if its address is no multiple of its width, and comes
from :mod:`wardian.compile.bounds`. Alignment is looked at before bounds, in every mode. Accesses are volatile: LLVM may
weaken or remove an atomic whose result it can foresee, and with it a trap.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import bounds
from wardian.compile.emit import GUEST, Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.compile.numeric import LLVM
from wardian.syntax import families as f
from wardian.syntax.families import Op
from wardian.vm.traps import TrapCode

_RMW: Final = MappingProxyType(
    {Op.ADD: "add", Op.SUB: "sub", Op.AND: "and", Op.OR: "or", Op.XOR: "xor", Op.XCHG: "xchg"}
)


def _index(lo: Lowering, imm: tuple[int, int, int], size: int) -> Value:
    """The index operand, after the check that the access is aligned."""
    _, offset, memory = imm
    index = lo.pop_address(lo.facts.memories[memory].limits.is64)
    if size > 1:
        b = lo.b
        # The low bits of a sum are right even where it wraps.
        low = b.binary("add", index, const(offset, "i64")) if offset else index
        odd = b.icmp("ne", b.binary("and", low, const(size - 1, "i64")), const(0, "i64"))
        lo.trap_if(odd, TrapCode.UNALIGNED_ATOMIC)
    return index


def _pointer(lo: Lowering, imm: tuple[int, int, int], size: int) -> Value:
    index = _index(lo, imm, size)
    return bounds.address(lo, imm[2], index, imm[1], size)[0]


def _pop_narrow(lo: Lowering, size: int) -> Value:
    """An operand cut to ``size`` bytes."""
    value = lo.pop()
    narrow = f"i{size * 8}"
    return value if value[1] == narrow else lo.b.cast("trunc", value, narrow)


def _push_wide(lo: Lowering, value: Value, full: str) -> None:
    lo.push(value if value[1] == full else lo.b.cast("zext", value, full))


def load(lo: Lowering, fam: f.AtomicLoad, imm: tuple[int, int, int]) -> None:
    pointer = _pointer(lo, imm, fam.size)
    value = lo.b.atomic_load(pointer, f"i{fam.size * 8}", GUEST, volatile=True, align=fam.size)
    _push_wide(lo, value, LLVM[fam.type])


def store(lo: Lowering, fam: f.AtomicStore, imm: tuple[int, int, int]) -> None:
    value = _pop_narrow(lo, fam.size)
    lo.b.atomic_store(value, _pointer(lo, imm, fam.size), GUEST, align=fam.size)


def rmw(lo: Lowering, fam: f.AtomicRmw, imm: tuple[int, int, int]) -> None:
    value = _pop_narrow(lo, fam.size)
    old = lo.b.atomic_rmw(_RMW[fam.op], _pointer(lo, imm, fam.size), value, GUEST, align=fam.size)
    _push_wide(lo, old, LLVM[fam.type])


def cmpxchg(lo: Lowering, fam: f.AtomicCmpxchg, imm: tuple[int, int, int]) -> None:
    # The proposal compares the expected value after wrapping it to the access's width.
    value = _pop_narrow(lo, fam.size)
    expected = _pop_narrow(lo, fam.size)
    old = lo.b.atomic_cmpxchg(_pointer(lo, imm, fam.size), expected, value, GUEST, align=fam.size)
    _push_wide(lo, old, LLVM[fam.type])


def fence(lo: Lowering, fam: f.AtomicFence, imm: None) -> None:
    lo.b.fence()


def wait(lo: Lowering, fam: f.AtomicWait, imm: tuple[int, int, int]) -> None:
    size, memory = fam.type.size, imm[2]
    timeout, expected = lo.pop(), lo.pop()
    at = bounds.checked(lo, memory, _index(lo, imm, size), imm[1], size)
    if not lo.facts.memories[memory].shared:
        lo.trap_if(("true", "i1"), TrapCode.WAIT_ON_UNSHARED_MEMORY)
    wide = expected if expected[1] == "i64" else lo.b.cast("zext", expected, "i64")
    numbers = [const(memory, "i64"), at, const(size, "i64"), wide, timeout]
    lo.push(lo.b.cast("trunc", lo.builtin("memory_wait", "i64", *numbers), "i32"))


def notify(lo: Lowering, fam: f.AtomicNotify, imm: tuple[int, int, int]) -> None:
    memory = imm[2]
    count = lo.pop()
    at = bounds.checked(lo, memory, _index(lo, imm, 4), imm[1], 4)
    if not lo.facts.memories[memory].shared:
        # Nobody can wait there.
        lo.push(const(0, "i32"))
        return
    woken = lo.builtin("memory_notify", "i64", const(memory, "i64"), at, lo.b.cast("zext", count, "i64"))
    lo.push(lo.b.cast("trunc", woken, "i32"))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.AtomicLoad: load,
        f.AtomicStore: store,
        f.AtomicRmw: rmw,
        f.AtomicCmpxchg: cmpxchg,
        f.AtomicFence: fence,
        f.AtomicWait: wait,
        f.AtomicNotify: notify,
    }
)
