"""Fuel: what each instruction costs, and where code pays for it.

A *stretch* is a run of instructions that are executed one after the other: it begins at a label, or behind something
that may have branched, and ends likewise. Its whole cost is paid before its first instruction with a cost; if there is
not enough, the guest traps there. What depends on an operand (bytes moved, elements made) is paid just before it is
done.

Invariant: what is paid, and before which effect, depends on the module and on what it computes only, never on the tier,
on how memory is checked, or on time. So the count in the store is the same in every tier wherever a guest can be seen:
in host functions, after a return, after a trap. (Code that is stopped from outside, by a deadline, stops anywhere;
optimised code may then not yet have written down what it paid since the last call.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, final

from wardian.compile.emit import HOSTDATA, const
from wardian.compile.function import Lowering
from wardian.compile.tank import Tank
from wardian.pages import renew, table
from wardian.syntax import families as f
from wardian.syntax.families import Op
from wardian.syntax.instructions import ROWS, Row
from wardian.vm.traps import TrapCode

FREE: Final[frozenset[type[f.Family]]] = frozenset({f.Nop, f.Block, f.Loop, f.TryTable, f.Else, f.End, f.Drop})

COSTS: Final[Mapping[type[f.Family], int]] = MappingProxyType(
    {
        **dict.fromkeys(FREE, 0),
        **dict.fromkeys((f.Load, f.Store, f.SimdLoad, f.SimdStore, f.SimdLoadExtend, f.SimdLoadSplat), 2),
        **dict.fromkeys((f.SimdLoadZero, f.SimdLoadLane, f.SimdStoreLane), 2),
        **dict.fromkeys((f.TableGet, f.TableSet, f.StructGet, f.StructSet, f.ArrayGet, f.ArraySet, f.ArrayLen), 2),
        **dict.fromkeys((f.BrTable, f.BrOnCast, f.RefTest, f.RefCast, f.SimdExtMul, f.SimdDot, f.WideMul), 3),
        **dict.fromkeys((f.AtomicLoad, f.AtomicStore, f.AtomicFence), 4),
        **dict.fromkeys((f.Call, f.CallRef), 5),
        **dict.fromkeys((f.IntDiv, f.CallIndirect), 8),
        **dict.fromkeys((f.AtomicRmw, f.AtomicCmpxchg, f.AtomicNotify, f.AtomicWait), 16),
        **dict.fromkeys((f.StructNew, f.ArrayNew, f.ArrayNewFixed, f.ArrayNewData, f.ArrayNewElem), 16),
        **dict.fromkeys((f.MemoryFill, f.MemoryCopy, f.MemoryInit, f.TableFill, f.TableCopy, f.TableInit), 16),
        **dict.fromkeys((f.ArrayFill, f.ArrayCopy, f.ArrayInitData, f.ArrayInitElem), 16),
        **dict.fromkeys((f.Throw, f.ThrowRef), 32),
        **dict.fromkeys((f.MemoryGrow, f.TableGrow), 256),
    }
)
"""Units an instruction of a family costs, if not 1. Part of what guests' owners build on: do not change lightly."""

SLOW: Final = MappingProxyType({Op.DIV: 4, Op.SQRT: 6})
"""Units of floating-point operations that are no quick ones."""

_ENDS: Final = (f.Loop, f.If, f.Else, f.End, f.Br, f.BrIf, f.BrTable, f.BrOnNull, f.BrOnCast, f.Return, f.Unreachable)
_LEAVES: Final = (f.Throw, f.ThrowRef)


def cost(row: Row) -> int:
    """Units one instruction costs, beside what depends on its operands."""
    family = row.family
    if isinstance(family, f.FloatBin | f.FloatUn | f.SimdFloatBin | f.SimdFloatUn):
        return SLOW.get(family.op, 1)
    return COSTS.get(type(family), 1)


@cache
def costs() -> tuple[int, ...]:
    """:func:`cost` by row index."""
    return tuple([cost(row) for row in ROWS])


@cache
def _ends() -> tuple[bool, ...]:
    """By row index: is what follows another stretch?"""

    def ends(row: Row) -> bool:
        is_tail_call = isinstance(row.family, f.Call | f.CallIndirect | f.CallRef) and row.family.tail
        return is_tail_call or isinstance(row.family, _ENDS + _LEAVES)

    return tuple([ends(row) for row in ROWS])


def total(rows: Iterable[Row]) -> int:
    """What instructions cost together."""
    return sum([costs()[row.index] for row in rows])


def tables() -> str:
    """What instructions cost, for ``docs/fuel.md``."""
    by_cost: dict[int, list[str]] = {}
    for row in ROWS:
        by_cost.setdefault(cost(row), []).append(row.name)
    rows = [
        (str(units), "all others" if units == 1 else " ".join(f"`{name}`" for name in dict.fromkeys(names)))
        for units, names in sorted(by_cost.items())
    ]
    return table(("units", "instructions"), rows)


class Till(Protocol):
    """Where a tier's code pays."""

    def open(self) -> Any:
        """Emit a payment whose amount is not yet known."""

    def close(self, payment: Any, amount: int) -> None:
        """Say what was to be paid there."""


@final
class Meter:
    """Stands before a lowering's step, of either tier, and has every stretch paid for."""

    __slots__ = ("_amount", "_costs", "_ends", "_payment", "_step", "_till")

    def __init__(self, step: Callable[[int, Row, Any, bool], None], till: Till) -> None:
        self._step = step
        self._till = till
        self._costs = costs()
        self._ends = _ends()
        self._payment: Any = None
        self._amount = 0

    def step(self, offset: int, row: Row, imm: Any, reachable: bool) -> None:
        """See :meth:`Lowering.step`."""
        index = row.index
        if reachable and (units := self._costs[index]):
            if self._payment is None:
                self._payment = self._till.open()
            self._amount += units
        self._step(offset, row, imm, reachable)
        if self._ends[index] and self._payment is not None:
            self._till.close(self._payment, self._amount)
            self._payment, self._amount = None, 0


class _Payment(NamedTuple):
    """Lines to be filled in: the subtraction, and the store before an access that may fault."""

    at: int
    left: str
    before: str
    exact: int
    faults: int


@final
class FunctionTill:
    """Pays in a function LLVM compiles. Inside a loop that was found to have enough (:mod:`wardian.compile.versions`)
    nothing is compared."""

    __slots__ = ("_lo", "_slot", "_word")

    def __init__(self, lo: Lowering, tank: Tank) -> None:
        self._lo = lo
        self._slot, self._word = tank.keep()

    def open(self) -> _Payment:
        lo, b = self._lo, self._lo.b
        before = b.load(self._slot, "i64", "")
        left, at = b.name(), len(b.lines)
        b.lines.append("")
        b.store((left, "i64"), self._slot, "")
        if lo.proven is None:
            lo.trap_if(b.icmp("slt", (left, "i64"), const(0, "i64")), TrapCode.OUT_OF_FUEL)
        payment = _Payment(at, left, before[0], len(b.lines), lo.faults)
        b.lines.append("")
        return payment

    def close(self, payment: _Payment, amount: int) -> None:
        lines = self._lo.b.lines
        lines[payment.at] = f" {payment.left} = sub i64 {payment.before}, {amount}"
        if self._lo.faults > payment.faults:
            word = self._word[0]
            lines[payment.exact] = f" store volatile i64 {payment.left}, ptr {word}, align 8{HOSTDATA}"


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:], tables))
