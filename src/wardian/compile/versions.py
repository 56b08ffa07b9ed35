"""Two copies of a loop whose bounds can be known: one whose accesses cannot trap, and the loop as it stands.

Under guard pages an access is ``volatile``, for LLVM must not drop it or move it across another: it may trap, and
memory has to be then what it was at that instruction. Where a comparison before the loop
(:mod:`wardian.compile.loops` says which) shows that no turn leaves the memory, nothing can trap, and accesses are
plain: LLVM may vectorise. Else the loop runs as it is written, up to the very access that traps.

Invariant: inside the first copy no guarded access traps, and nothing that touches memory is moved into or out of it
(a barrier stands at its beginning and on every way out), so accesses around it stay exact. Whatever is computed here,
addresses are those of :mod:`wardian.compile.bounds`: a mistake could make a trap inexact, never an access unsafe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wardian.compile import bounds
from wardian.compile.emit import Emitter, Value, const
from wardian.compile.fuel import total
from wardian.compile.function import Exits, Lowering
from wardian.compile.loops import Expr, Plan, Step, plans
from wardian.syntax.families import Op
from wardian.vm.memory import GUARD

_STRICT: Final = frozenset({Op.LT_S, Op.LT_U, Op.GT_S, Op.GT_U})
_SIGNED: Final = frozenset({Op.LT_S, Op.LE_S, Op.GT_S, Op.GE_S})


def replay(
    lo: Lowering,
    step: Callable[..., None],
    steps: Sequence[Step],
    before: Callable[[Step], None] | None = None,
) -> None:
    """Lower the instructions of a whole body, recorded after they were validated.

    ``step`` is ``lo``'s own, or one around it; ``before`` sees every loop once, before anything is done for it.
    """
    guarded = lo.facts.options.checks == "guard" and lo.facts.options.opt != "O0"
    found = plans(steps) if guarded else {}
    at = 0
    while at < len(steps):
        if before is not None:
            before(steps[at])
        plan = found.get(at)
        if plan is None or not _suits(lo, plan):
            step(*steps[at])
            at += 1
        else:
            _twice(lo, step, steps[at : plan.end + 1], plan)
            at = plan.end + 1


def _suits(lo: Lowering, plan: Plan) -> bool:
    """Are all memories of the kind that guard pages are for, and of one thread only?"""
    memories = (lo.facts.memories[r.memory] for r in plan.ranges)
    return all(m.page_size_log2 == 16 and not m.limits.is64 and not m.shared for m in memories)


def _twice(lo: Lowering, step: Callable[..., None], steps: Sequence[Step], plan: Plan) -> None:
    b = lo.b
    proven, as_written, after = b.label(), b.label(), b.label()
    b.cond_br(_stays_inside(lo, plan, steps), proven, as_written)
    stack = list(lo.stack)
    b.start(proven)
    b.barrier()
    lo.proven = Exits(len(lo.frames), b.label, b.finite_loop())
    for each in steps:
        step(*each)
    exits, lo.proven = lo.proven, None
    b.barrier()
    b.br(after)
    for frame, stand_in in exits.found.values():
        b.start(stand_in.label)
        types = frame.params if frame.kind == "loop" else frame.results
        lo.stack = [*stack, *(b.phi(t, edges) for t, edges in zip(types, stand_in.incoming, strict=True))]
        b.barrier()
        lo.jump(frame)
    lo.stack = list(stack)
    b.start(as_written)
    for each in steps:
        step(*each)
    b.br(after)
    lo.stack = stack
    b.start(after)


def _stays_inside(lo: Lowering, plan: Plan, steps: Sequence[Step]) -> Value:
    """An ``i1``: the loop ends, and until then stays inside its memories, and what it costs can be paid."""
    b = lo.b
    turns, known = _turns(lo, plan)
    if lo.tank is not None:
        # In one turn nothing is done twice: no loop is inside.
        known.append(lo.tank.suffices(turns, total(row for _, row, _, _ in steps)))
    for part in plan.ranges:
        assert part.extent > 0, "an access has at least a byte"
        if part.extent > GUARD:
            return "false", "i1"
        # 2^20 at most times 2^32 at most, and less than 2^33 added to it: no sum below wraps in 64 bits.
        start = b.cast("zext", _value(lo, part.start), "i64")
        way = b.binary("mul", turns, const(abs(part.step), "i64")) if part.step else const(0, "i64")
        last = b.binary("add", start, way) if part.step > 0 else start
        end = b.binary("add", last, const(part.extent, "i64"))
        known.append(b.icmp("ule", end, bounds.length(lo, part.memory)))
        if part.step < 0:
            known.append(b.icmp("uge", start, way))
    result = known[0]
    for more in known[1:]:
        result = b.binary("and", result, more)
    return result


def _turns(lo: Lowering, plan: Plan) -> tuple[Value, list[Value]]:
    """The greatest number a turn can have, counted from 0 (``i64``, at most 2**32), if the conditions (``i1``) hold."""
    b = lo.b
    left, right, by = _value(lo, plan.left), _value(lo, plan.right), abs(plan.step)
    if plan.op is Op.NE:
        # It ends when they are equal, so only if it meets: by a distance that is a multiple of its step.
        way = b.binary("sub", *((right, left) if plan.step > 0 else (left, right)))
        even = b.icmp("eq", b.binary("urem", way, const(by, "i32")), const(0, "i32"))
        return b.cast("zext", b.binary("udiv", way, const(by, "i32")), "i64"), [even]
    signed = plan.op in _SIGNED
    near, far = (b.cast("sext" if signed else "zext", x, "i64") for x in (left, right))
    up = plan.step > 0
    if plan.op not in _STRICT:
        far = b.binary("add", far, const(1 if up else -1, "i64"))
    # The last number it can reach must be one of 32 bits, else it wraps and goes on.
    top = ((1 << 31) if signed else (1 << 32)) - by
    bottom = (-(1 << 31) if signed else 0) + by - 1
    fits = b.icmp("sle", far, const(top, "i64")) if up else b.icmp("sge", far, const(bottom, "i64"))
    way = b.binary("sub", *((far, near) if up else (near, far)))
    way = b.select(b.icmp("sgt", way, const(0, "i64")), way, const(0, "i64"))
    return b.binary("udiv", b.binary("add", way, const(by - 1, "i64")), const(by, "i64")), [fits]


def _value(lo: Lowering, x: Expr) -> Value:
    """``x`` as it is now, before the first turn (``i32``)."""
    b: Emitter = lo.b
    total: Value | None = None
    for local, factor in x.terms:
        value = b.load(lo.locals[local], "i32", "")
        if factor != 1:
            value = b.binary("mul", value, const(factor, "i32"))
        total = value if total is None else b.binary("add", total, value)
    if total is None:
        return const(x.base, "i32")
    return b.binary("add", total, const(x.base, "i32")) if x.base else total
