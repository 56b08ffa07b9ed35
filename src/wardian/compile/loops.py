"""Which loops have bounds that can be known before they begin: a symbolic walk over one turn of an innermost loop.

For a loop that only counts, every address it uses is ``start + turn * step (+ something small)``, and its exit
condition bounds the number of turns. :mod:`wardian.compile.versions` asks whether all of that is inside the memory,
once, and if so runs a copy of the loop whose accesses cannot trap: LLVM may drop, merge, move and vectorise them.

Invariant: a :class:`Plan` over-approximates: every address the loop uses in turn ``k <= turns`` is described by one of
its ranges, and if the plan's conditions hold no more turns are begun. Values are WebAssembly's 32-bit integers, modulo
2**32; nothing here assumes that they do not wrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, final

from wardian.syntax import families as f
from wardian.syntax.families import Family, Op
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32

Step: TypeAlias = "tuple[int, Row, Any, bool]"
"""What a lowering is given: offset, row, immediates, was the instruction reachable?"""

LONGEST: Final = 400
"""Instructions in a loop that is worth two copies."""
MOST_RANGES: Final = 8
MOST_STEP: Final = 1 << 20
MOST_SLACK: Final = 1 << 20
_MASK: Final = (1 << 32) - 1


class Expr(NamedTuple):
    """``base`` + each local's value at the beginning of the turn times its factor + something in ``0..slack``."""

    base: int
    terms: tuple[tuple[int, int], ...] = ()
    slack: int = 0


ANY: Final = Expr(0, (), _MASK)


class Test(NamedTuple):
    """A comparison of two numbers; ``op`` is one of :class:`Op`'s for 32-bit integers."""

    op: Op
    left: Expr
    right: Expr


class Access(NamedTuple):
    """Of ``size`` bytes at ``at + offset`` of a memory."""

    memory: int
    at: Expr
    offset: int
    size: int


class Range(NamedTuple):
    """Addresses from ``start`` to ``start + extent``, moved by ``step`` every turn."""

    memory: int
    start: Expr
    extent: int
    step: int


class Plan(NamedTuple):
    """How to know a loop's bounds: ``left op right`` holds as long as it goes on; ``left`` moves by ``step``, ``right``
    stays. ``end`` is the index of the loop's last instruction."""

    end: int
    op: Op
    left: Expr
    right: Expr
    step: int
    ranges: tuple[Range, ...]


Word: TypeAlias = "Expr | Test | None"
"""``None``: anything."""


@final
class State:
    """Locals that were set, by what they hold, and comparisons known to be true, since the turn began."""

    __slots__ = ("facts", "locals")

    def __init__(self, locals: dict[int, Word], facts: frozenset[Test]) -> None:
        self.locals = locals
        self.facts = facts

    def knowing(self, fact: Test | None) -> State:
        return State(dict(self.locals), self.facts | {fact} if fact else self.facts)

    def get(self, local: int) -> Word:
        return self.locals[local] if local in self.locals else Expr(0, ((local, 1),))


def _join(states: Sequence[State]) -> State:
    """What holds in all of ``states``; nobody gets to where there are none."""
    if not states:
        return State({}, frozenset())
    names = {name for state in states for name in state.locals}
    merged: dict[int, Word] = {}
    for name in names:
        first = states[0].get(name)
        merged[name] = first if all(state.get(name) == first for state in states) else None
    return State(merged, frozenset.intersection(*(state.facts for state in states)))


NEGATION: Final = MappingProxyType(
    {
        Op.EQ: Op.NE, Op.NE: Op.EQ, Op.LT_S: Op.GE_S, Op.GE_S: Op.LT_S, Op.LT_U: Op.GE_U, Op.GE_U: Op.LT_U,
        Op.GT_S: Op.LE_S, Op.LE_S: Op.GT_S, Op.GT_U: Op.LE_U, Op.LE_U: Op.GT_U,
    }
)  # fmt: skip

MIRROR: Final = MappingProxyType(
    {
        Op.EQ: Op.EQ, Op.NE: Op.NE, Op.LT_S: Op.GT_S, Op.GT_S: Op.LT_S, Op.LT_U: Op.GT_U, Op.GT_U: Op.LT_U,
        Op.LE_S: Op.GE_S, Op.GE_S: Op.LE_S, Op.LE_U: Op.GE_U, Op.GE_U: Op.LE_U,
    }
)  # fmt: skip


def _not(test: Test | None) -> Test | None:
    return Test(NEGATION[test.op], test.left, test.right) if test else None


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _scaled(x: Expr, by: int) -> Expr | None:
    by &= _MASK
    if x.slack * by > _MASK:
        return None
    terms = ((name, factor * by & _MASK) for name, factor in x.terms)
    return Expr(x.base * by & _MASK, tuple(t for t in terms if t[1]), x.slack * by)


def _sum(x: Expr, y: Expr) -> Expr | None:
    factors = dict(x.terms)
    for name, factor in y.terms:
        factors[name] = factors.get(name, 0) + factor & _MASK
    terms = tuple(sorted((name, factor) for name, factor in factors.items() if factor))
    slack = x.slack + y.slack
    return Expr(x.base + y.base & _MASK, terms, slack) if slack <= _MASK else None


def _difference(x: Expr, y: Expr) -> Expr | None:
    if y.slack:
        return None
    minus = _scaled(y, _MASK)
    return _sum(x, minus) if minus else None


def _product(x: Expr, y: Expr) -> Expr | None:
    if x.terms or x.slack:
        x, y = y, x
    return None if x.terms or x.slack else _scaled(y, x.base)


def _shifted(x: Expr, by: Expr) -> Expr | None:
    return None if by.terms or by.slack else _scaled(x, 1 << (by.base & 31))


def _masked(x: Expr, y: Expr) -> Expr | None:
    """Something that is at most the smaller of two constants, or the one there is."""
    bounds = [e.base for e in (x, y) if not e.terms and not e.slack]
    return _at_most(min(bounds)) if bounds else None


def _right(by: Expr) -> Expr | None:
    """Anything, shifted right."""
    return _at_most(_MASK >> (by.base & 31)) if not by.terms and not by.slack else None


def _at_most(bound: int) -> Expr | None:
    """Anything from 0 to ``bound``, if that says enough to be of use."""
    return Expr(0, (), bound) if bound <= MOST_SLACK else None


_ARITHMETIC: Final[MappingProxyType[Op, Callable[[Expr, Expr], Expr | None]]] = MappingProxyType(
    {Op.ADD: _sum, Op.SUB: _difference, Op.MUL: _product, Op.SHL: _shifted}
)

# -- the walk ----------------------------------------------------------------------------------------------------------


@final
class _Block:
    """A block inside the loop, or (the first) the loop itself."""

    __slots__ = ("arity", "height", "otherwise", "pending")

    def __init__(self, arity: int, height: int, otherwise: State | None = None) -> None:
        self.arity = arity
        self.height = height
        self.pending: list[State] = []
        self.otherwise = otherwise


class _Unfit(Exception):
    """The loop is not one of those that can be bounded."""


@final
class Walk:
    """One turn of a loop."""

    def __init__(self) -> None:
        self.stack: list[Word] = []
        self.blocks = [_Block(0, 0)]
        self.state: State | None = State({}, frozenset())
        self.back: list[State] = []
        self.accesses: list[Access] = []

    def pop(self) -> Word:
        return self.stack.pop()

    def expr(self) -> Expr | None:
        top = self.stack.pop()
        return top if isinstance(top, Expr) else None

    def condition(self) -> Test | None:
        top = self.stack.pop()
        if isinstance(top, Expr):
            return Test(Op.NE, top, Expr(0))
        return top

    def now(self) -> State:
        if self.state is None:
            # The validator calls the end of every block reachable; nobody gets here.
            self.state = State({}, frozenset())
        return self.state

    def branch(self, label: int, state: State) -> None:
        if label == len(self.blocks) - 1:
            self.back.append(state)
        elif label < len(self.blocks) - 1:
            self.blocks[-1 - label].pending.append(state)

    def leave(self) -> None:
        """The rest of the block is dead."""
        self.state = None
        del self.stack[self.blocks[-1].height :]


def _block(walk: Walk, fam: f.Block, imm: object) -> None:
    if isinstance(imm, int):
        raise _Unfit
    walk.blocks.append(_Block(imm is not None, len(walk.stack)))


def _if(walk: Walk, fam: f.If, imm: object) -> None:
    if isinstance(imm, int):
        raise _Unfit
    condition, state = walk.condition(), walk.now()
    walk.blocks.append(_Block(imm is not None, len(walk.stack), state.knowing(_not(condition))))
    walk.state = state.knowing(condition)


def _else(walk: Walk, fam: f.Else, imm: None) -> None:
    block = walk.blocks[-1]
    if walk.state is not None:
        block.pending.append(walk.state)
    del walk.stack[block.height :]
    walk.state, block.otherwise = block.otherwise, None


def _end(walk: Walk, fam: f.End, imm: None) -> None:
    block = walk.blocks.pop()
    if not walk.blocks:
        return
    states = [*block.pending, *(s for s in (walk.state, block.otherwise) if s is not None)]
    walk.state = _join(states)
    del walk.stack[block.height :]
    walk.stack += [None] * block.arity


def _br(walk: Walk, fam: f.Br, imm: int) -> None:
    walk.branch(imm, walk.now())
    walk.leave()


def _br_if(walk: Walk, fam: f.BrIf, imm: int) -> None:
    condition, state = walk.condition(), walk.now()
    walk.branch(imm, state.knowing(condition))
    walk.state = state.knowing(_not(condition))


def _br_table(walk: Walk, fam: f.BrTable, imm: tuple[tuple[int, ...], int]) -> None:
    for label in {*imm[0], imm[1]}:
        walk.branch(label, walk.now())
    walk.leave()


def _leave(walk: Walk, fam: Family, imm: object) -> None:
    walk.leave()


def _nop(walk: Walk, fam: f.Nop, imm: None) -> None:
    pass


def _drop(walk: Walk, fam: f.Drop, imm: None) -> None:
    walk.pop()


def _select(walk: Walk, fam: f.Select, imm: object) -> None:
    del walk.stack[-3:]
    walk.stack.append(None)


def _local_get(walk: Walk, fam: f.LocalGet, imm: int) -> None:
    walk.stack.append(walk.now().get(imm))


def _local_set(walk: Walk, fam: f.LocalSet, imm: int) -> None:
    walk.now().locals[imm] = walk.pop()


def _local_tee(walk: Walk, fam: f.LocalTee, imm: int) -> None:
    walk.now().locals[imm] = walk.stack[-1]


def _global_get(walk: Walk, fam: f.GlobalGet, imm: int) -> None:
    walk.stack.append(None)


def _const(walk: Walk, fam: f.Const, imm: Any) -> None:
    walk.stack.append(Expr(imm & _MASK) if fam.type is I32 else None)


def _binary(walk: Walk, fam: f.IntBin, imm: None) -> None:
    y, x = walk.expr(), walk.expr()
    value: Expr | None = None
    if fam.type is I32:
        if fam.op is Op.AND:
            value = _masked(x or ANY, y or ANY)
        elif fam.op is Op.SHR_U and y is not None:
            value = _right(y)
        elif x is not None and y is not None and fam.op in _ARITHMETIC:
            value = _ARITHMETIC[fam.op](x, y)
    walk.stack.append(value)


def _compare(walk: Walk, fam: f.IntCmp, imm: None) -> None:
    y, x = walk.expr(), walk.expr()
    walk.stack.append(Test(fam.op, x, y) if fam.type is I32 and x is not None and y is not None else None)


def _is_zero(walk: Walk, fam: f.IntTest, imm: None) -> None:
    top = walk.pop()
    if fam.type is not I32 or top is None:
        walk.stack.append(None)
    else:
        walk.stack.append(_not(top) if isinstance(top, Test) else Test(Op.EQ, top, Expr(0)))


def _access(walk: Walk, imm: tuple[int, ...], size: int) -> None:
    index = walk.expr()
    if index is None:
        raise _Unfit
    walk.accesses.append(Access(imm[2], index, imm[1], size))


def _load(walk: Walk, fam: f.Load, imm: tuple[int, int, int]) -> None:
    _access(walk, imm, fam.size)
    small = fam.type is I32 and fam.size < 4 and not fam.signed
    walk.stack.append(Expr(0, (), (1 << 8 * fam.size) - 1) if small else None)


def _loads(size: Callable[[Any], int]) -> _Handler:
    def handler(walk: Walk, fam: Any, imm: Any) -> None:
        _access(walk, imm, size(fam))
        walk.stack.append(None)

    return handler


def _stores(size: Callable[[Any], int], results: int = 0) -> _Handler:
    def handler(walk: Walk, fam: Any, imm: Any) -> None:
        walk.pop()
        _access(walk, imm, size(fam))
        walk.stack += [None] * results

    return handler


_Handler: TypeAlias = "Callable[[Walk, Any, Any], None]"

_HANDLERS: Final[MappingProxyType[type[Family], _Handler]] = MappingProxyType(
    {
        f.Block: _block,
        f.If: _if,
        f.Else: _else,
        f.End: _end,
        f.Br: _br,
        f.BrIf: _br_if,
        f.BrTable: _br_table,
        f.Return: _leave,
        f.Unreachable: _leave,
        f.Nop: _nop,
        f.Drop: _drop,
        f.Select: _select,
        f.LocalGet: _local_get,
        f.LocalSet: _local_set,
        f.LocalTee: _local_tee,
        f.GlobalGet: _global_get,
        f.Const: _const,
        f.IntBin: _binary,
        f.IntCmp: _compare,
        f.IntTest: _is_zero,
        f.Load: _load,
        f.Store: _stores(lambda fam: int(fam.size)),
        f.SimdLoad: _loads(lambda fam: 16),
        f.SimdStore: _stores(lambda fam: 16),
        f.SimdLoadExtend: _loads(lambda fam: 8),
        f.SimdLoadSplat: _loads(lambda fam: int(fam.bits) // 8),
        f.SimdLoadZero: _loads(lambda fam: int(fam.bits) // 8),
        f.SimdLoadLane: _stores(lambda fam: int(fam.shape.bits) // 8, 1),
        f.SimdStoreLane: _stores(lambda fam: int(fam.shape.bits) // 8),
    }
)

UNDERSTOOD: Final = frozenset(_HANDLERS)
"""Families the walk follows: control, locals, integers, accesses of memory."""

COMPUTES: Final[frozenset[type[Family]]] = frozenset(
    {
        f.IntUn, f.IntExtend, f.IntDiv, f.FloatUn, f.FloatBin, f.FloatCmp, f.Wrap, f.ExtendI32, f.TruncFloat,
        f.ConvertInt, f.Demote, f.Promote, f.Reinterpret, f.SimdShuffle, f.SimdSwizzle, f.SimdSplat, f.SimdExtractLane,
        f.SimdReplaceLane, f.SimdNot, f.SimdBits, f.SimdBitselect, f.SimdAnyTrue, f.SimdAllTrue, f.SimdBitmask,
        f.SimdIntCmp, f.SimdFloatCmp, f.SimdIntUn, f.SimdIntBin, f.SimdSatBin, f.SimdAvgr, f.SimdShift, f.SimdQ15Mulr,
        f.SimdExtMul, f.SimdExtAddPairwise, f.SimdDot, f.SimdRelaxedDot, f.SimdNarrow, f.SimdExtend, f.SimdLaneselect,
        f.SimdFloatUn, f.SimdFloatBin, f.SimdRelaxedMinMax, f.SimdMadd, f.SimdTruncSat, f.SimdConvertInt,
        f.SimdDemote, f.SimdPromote, f.WideBin, f.WideMul,
    }
)  # fmt: skip
"""Families that take and give numbers and touch nothing else. (Division and truncation trap with a branch that LLVM
sees, so those are exact wherever they stand.)"""


def _walk(steps: Iterable[Step]) -> Walk:
    """One turn. Raises :class:`_Unfit`."""
    walk = Walk()
    for _, row, imm, reachable in steps:
        family = type(row.family)
        if not reachable:
            if family in (f.Block, f.If, f.Loop):
                raise _Unfit
            if family not in (f.Else, f.End):
                continue
        handler = _HANDLERS.get(family)
        if handler is not None:
            handler(walk, row.family, imm)
        elif family in COMPUTES and row.params is not None and row.results is not None:
            del walk.stack[len(walk.stack) - len(row.params) :]
            walk.stack += [None] * len(row.results)
        else:
            raise _Unfit
    return walk


# -- what follows from it ----------------------------------------------------------------------------------------------


def _signed(x: int) -> int:
    return x - (1 << 32) if x >> 31 else x


def _steps(walk: Walk, used: Iterable[int]) -> dict[int, int | None]:
    """By how much each local moves in a turn; ``None``: one cannot say."""
    after = _join(walk.back)
    moves: dict[int, int | None] = {}
    for name in used:
        value = after.get(name)
        fits = isinstance(value, Expr) and value.terms == ((name, 1),) and not value.slack
        moves[name] = _signed(value.base) if fits and isinstance(value, Expr) else None
    return moves


def _move(x: Expr, moves: dict[int, int | None]) -> int | None:
    """By how much ``x`` moves in a turn."""
    total = 0
    for name, factor in x.terms:
        move = moves[name]
        if move is None:
            return None
        total += factor * move
    return _signed(total & _MASK)


_UP: Final = frozenset({Op.LT_S, Op.LT_U, Op.LE_S, Op.LE_U})
_DOWN: Final = frozenset({Op.GT_S, Op.GT_U, Op.GE_S, Op.GE_U})


def _bound(facts: Iterable[Test], moves: dict[int, int | None]) -> tuple[Op, Expr, Expr, int] | None:
    """``(op, what moves, what stays, step)`` of a comparison that holds at the end of every turn but the last."""
    for fact in sorted(facts, key=lambda t: (t.op is Op.NE, t.op.value, t.left, t.right)):
        op, left, right = fact
        if left.slack or right.slack:
            continue
        by, other = _move(left, moves), _move(right, moves)
        if by is None or other is None:
            continue
        if not by:
            op, left, right, by, other = MIRROR[op], right, left, other, by
        if other and op is Op.NE:
            apart = _difference(left, right)
            assert apart is not None, "without slack there is a difference"
            left, right, by, other = apart, Expr(0), _signed(by - other & _MASK), 0
        if other or not by or abs(by) > MOST_STEP:
            continue
        if op is Op.NE or (op in _UP and by > 0) or (op in _DOWN and by < 0):
            return op, left, right, by
    return None


def _ranges(accesses: Iterable[Access], moves: dict[int, int | None]) -> tuple[Range, ...] | None:
    """Accesses that move together, together."""
    groups: dict[tuple[int, tuple[tuple[int, int], ...]], list[Access]] = {}
    for access in accesses:
        groups.setdefault((access.memory, access.at.terms), []).append(access)
    found = []
    for (memory, terms), group in groups.items():
        step = _move(Expr(0, terms), moves)
        if step is None or abs(step) > MOST_STEP:
            return None
        first = min(_signed(access.at.base) for access in group)
        extent = max(
            _signed(a.at.base) - first + a.at.slack + a.offset + a.size for a in group
        )
        found.append(Range(memory, Expr(first & _MASK, terms), extent, step))
    return tuple(found) if len(found) <= MOST_RANGES else None


def _plan(steps: Sequence[Step], start: int, end: int) -> Plan | None:
    """For the loop whose body is ``steps[start : end + 1]``, its ``end`` included."""
    try:
        walk = _walk(steps[start : end + 1])
    except _Unfit:
        return None
    if not walk.back or not walk.accesses:
        return None
    facts = frozenset.intersection(*(state.facts for state in walk.back))
    used = {name for a in walk.accesses for name, _ in a.at.terms}
    used |= {name for fact in facts for side in (fact.left, fact.right) for name, _ in side.terms}
    moves = _steps(walk, used)
    bound = _bound(facts, moves)
    ranges = _ranges(walk.accesses, moves)
    if bound is None or ranges is None or all(r.step == 0 for r in ranges):
        return None
    op, left, right, by = bound
    return Plan(end, op, left, right, by, ranges)


def plans(steps: Sequence[Step]) -> dict[int, Plan]:
    """Plans by the index of their ``loop``, for innermost loops that can be bounded."""
    return {at: plan for at, end in _innermost(steps) if (plan := _plan(steps, at + 1, end)) is not None}


def _innermost(steps: Sequence[Step]) -> Iterator[tuple[int, int]]:
    """``(index of a loop, index of its end)`` for live loops that contain no other and take and leave nothing."""
    opened: list[int] = []
    inner = -1
    for at, (_, row, imm, reachable) in enumerate(steps):
        family = type(row.family)
        if family is f.Loop:
            inner = at
        if family in (f.Block, f.Loop, f.If, f.TryTable):
            opened.append(at)
        elif family is f.End and opened:
            start = opened.pop()
            _, begun, imm, reachable = steps[start]
            plain = reachable and imm is None
            if type(begun.family) is f.Loop and start == inner and plain and at - start <= LONGEST:
                yield start, at
