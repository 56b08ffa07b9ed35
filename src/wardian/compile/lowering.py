"""From defined functions to LLVM text: joins the family tables and drives validation and lowering together.

Invariant: only what :func:`wardian.valid.driver.validate_body` handed on, instruction by instruction behind the
validator, is lowered: at once, or recorded first (:mod:`wardian.compile.versions`). Every family of the instruction
table has one lowering, or its rows are refused by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, final

from wardian.compile import (
    atomic,
    control,
    exceptions,
    gc,
    memory,
    numeric,
    simd_float,
    simd_integer,
    simd_lanes,
    simd_memory,
)
from wardian.compile.emit import HINT, METADATA
from wardian.compile.fuel import FunctionTill, Meter
from wardian.compile.function import SMALL_FRAME, STACK_DECLARATIONS, Handler, Handlers, Lowering, ModuleFacts, Resume
from wardian.compile.inline import Inliner
from wardian.compile.loops import Step
from wardian.compile.resume import Resumption
from wardian.compile.versions import replay
from wardian.errors import FeatureDisabled
from wardian.syntax.instructions import ROWS, Row
from wardian.valid.context import ModuleContext
from wardian.valid.driver import check_locals, validate_body

_TABLES: Final = (
    control.LIVE,
    numeric.LIVE,
    memory.LIVE,
    atomic.LIVE,
    exceptions.LIVE,
    gc.LIVE,
    simd_memory.LIVE,
    simd_lanes.LIVE,
    simd_integer.LIVE,
    simd_float.LIVE,
)


@functools.cache
def handlers() -> Handlers:
    """The family tables flattened to row indices."""
    table = {family: handler for part in _TABLES for family, handler in part.items()}
    live = tuple(table[type(row.family)] if lowered(row) else _refuse(row) for row in ROWS)
    dead = {row.index: control.DEAD[type(row.family)] for row in ROWS if type(row.family) in control.DEAD}
    return Handlers(live, dead, exceptions.check_call)


def lowered(row: Row) -> bool:
    """Can this engine compile ``row``?"""
    return any(type(row.family) in part for part in _TABLES)


def _refuse(row: Row) -> Handler:
    def refuse(lo: Lowering, family: Any, imm: Any) -> NoReturn:
        name = row.feature.replace("_", "-")
        raise FeatureDisabled(row.feature, f"{row.name}: this version validates but does not compile {name} code")

    return refuse


@final
class Hinted:
    """What :func:`validate_body` drives in place of a :class:`Lowering` when the module has branch hints."""

    __slots__ = ("_hints", "_lowering", "_step")

    def __init__(self, lowering: Lowering, hints: Mapping[int, bool]) -> None:
        """``hints``: see :func:`wardian.binary.custom.branch_hints`."""
        self._lowering = lowering
        self._step = lowering.step
        self._hints = hints

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        likely = self._hints.get(offset)
        self._lowering.hint = "" if likely is None else HINT[likely]
        self._step(offset, row, imm, reachable)


@final
class Recorder:
    """Keeps what it is given for :func:`replay`, which has to look ahead."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        self.steps.append((offset, row, imm, reachable))


def function_text(facts: ModuleFacts, ctx: ModuleContext, index: int, preamble: str, split: bool = False) -> str:
    """An LLVM module with defined function ``index``; validates it on the way.

    ``preamble`` holds target lines and attribute group #0. ``split``: see :meth:`Lowering.text`, which is done in any
    case for a function whose frame may be large.
    """
    lo, target = _lowering(facts, ctx, index)
    if facts.options.opt == "O0":
        validate_body(ctx, index, target)
        inlined = _Inlined([], set())
    else:
        inlined = _optimised(facts, ctx, lo, target.step, None)
    return _module(lo, inlined, preamble, facts.options.stack_checks and (split or lo.frame_estimate() > SMALL_FRAME))


def continuation_text(
    facts: ModuleFacts, ctx: ModuleContext, index: int, preamble: str, resume: Resume, split: bool
) -> str:
    """An LLVM module with the rest of a function: what it does from a loop on, in a frame the baseline tier has made.

    ``split``: see :func:`function_text`.
    """
    lo, target = _lowering(facts, ctx, index, resume)
    way = Resumption(lo, resume, target.step)
    inlined = _optimised(facts, ctx, lo, way.step, way.before)
    return _module(lo, inlined, preamble, split or lo.frame_estimate() > SMALL_FRAME)


class _Inlined(NamedTuple):
    """Functions put in place of their calls, and what they declare."""

    texts: list[str]
    declared: set[str]


def _optimised(
    facts: ModuleFacts,
    ctx: ModuleContext,
    lo: Lowering,
    step: Callable[..., None],
    before: Callable[[Step], None] | None,
) -> _Inlined:
    """Lower a function with all that takes looking ahead. ``before``: see :func:`replay`."""
    steps = _recorded(ctx, lo.index)
    inliner = lo.inliner = Inliner(facts, lambda callee: _recorded(ctx, callee))
    inliner.begin(lo.index, len(steps))
    replay(lo, step, steps, before)
    found = _Inlined([], set())
    for callee, instructions in inliner.used.items():
        inner, target = _lowering(facts, ctx, callee)
        inner.inliner = _EVERY
        replay(inner, target.step, instructions)
        found.texts.append(inner.inline_text())
        found.declared.update(inner.b.declared)
    return found


def _module(lo: Lowering, inlined: _Inlined, preamble: str, split: bool) -> str:
    text = lo.text(split)
    declared = sorted({*STACK_DECLARATIONS, *lo.b.declared, *inlined.declared})
    return "\n".join([preamble, *declared, *inlined.texts, text, METADATA, lo.b.loop_metadata()])


class _Every:
    """In a callee that is put in place of its call, so are its own."""

    def takes(self, function: int) -> bool:
        return True


_EVERY: Final = _Every()


def _lowering(
    facts: ModuleFacts, ctx: ModuleContext, index: int, resume: Resume | None = None
) -> tuple[Lowering, Lowering | Hinted | Meter]:
    """A fresh lowering and what to give its instructions to."""
    lo = Lowering(facts, index, check_locals(ctx, index), handlers(), resume)
    target = Hinted(lo, facts.hints) if facts.hints else lo
    return lo, target if lo.tank is None else Meter(target.step, FunctionTill(lo, lo.tank))


def _recorded(ctx: ModuleContext, index: int) -> list[Step]:
    """The validated instructions of a defined function."""
    record = Recorder()
    validate_body(ctx, index, record)
    return record.steps
