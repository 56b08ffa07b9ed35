"""From a validated module to the baseline code of its functions.

Invariant: a function either becomes a flat image whose entry is its first byte, or raises
:class:`~wardian.compile.baseline.facts.Unsupported` before anything of it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from wardian.compile.baseline.facts import BaselineFacts
from wardian.compile.baseline.fuel import BaselineTill
from wardian.compile.baseline.function import Baseline, FrameMap
from wardian.compile.baseline.heat import Heat
from wardian.compile.baseline.library import Group, Library
from wardian.compile.baseline.pieces import NotUsual, Pieces
from wardian.compile.baseline.quick import AHEAD, Pass
from wardian.compile.baseline.steps import dead, live
from wardian.compile.fuel import Meter
from wardian.errors import MalformedError
from wardian.valid.code import Validator
from wardian.valid.context import ModuleContext
from wardian.valid.driver import begin_body, check_locals, in_function, validate_body


@final
class BaselineCompiler:
    """One per module. Not thread-safe."""

    def __init__(self, ctx: ModuleContext, library: Library, more: Callable[[str], Group]) -> None:
        """``more``: see :class:`BaselineFacts`."""
        self._ctx = ctx
        self._facts = BaselineFacts(ctx.module, library, more)
        self._validator = Validator(ctx)
        self._pieces = Pieces(ctx, self._facts)
        self.calls: list[int] = []
        """The defined functions that the last one compiled calls by name: not always all."""

    def function(self, index: int, heat: Heat | None = None) -> bytes:
        """Validate and compile the defined function ``index``; ``heat``: count how often it runs.

        Raises as :func:`wardian.valid.driver.validate_body` does, and :class:`Unsupported`.
        """
        self.calls = []
        if not self._facts.fuel:
            try:
                return self._quickly(index, heat)
            except NotUsual:
                pass
        return self.by_steps(index, heat)

    def by_steps(self, index: int, heat: Heat | None = None) -> bytes:
        """As :meth:`function`, with validator and lowering one after the other at each instruction."""
        if self._ctx.module.bodies[index][1] + AHEAD > len(self._ctx.module.source):
            # What is looked at behind an instruction may not be there, unless the body has an end.
            validate_body(self._ctx, index, None, self._validator)
        lowering = self._lowering(index, heat)
        target = Meter(lowering.step, BaselineTill(lowering)) if self._facts.fuel else lowering
        validate_body(self._ctx, index, target, self._validator)
        return lowering.finish()

    def _lowering(self, index: int, heat: Heat | None) -> Baseline:
        runs = check_locals(self._ctx, index)
        return Baseline(self._facts, index, runs, live(), dead(), heat, self._validator)

    def _quickly(self, index: int, heat: Heat | None) -> bytes:
        """Raises also :class:`NotUsual`."""
        module, checker = self._ctx.module, self._validator
        runs, pos = begin_body(self._ctx, index, checker)
        lowering = Baseline(self._facts, index, runs, live(), dead(), heat, checker)
        try:
            Pass(self._pieces, module.source, module.bodies[index][1], checker, lowering).run(pos)
        except MalformedError as error:
            raise in_function(error, len(module.imported_funcs) + index) from None
        if lowering.calls:
            imported = len(module.imported_funcs)
            self.calls = [callee - imported for callee in dict.fromkeys(lowering.calls) if callee >= imported]
        return lowering.finish()

    def frame_map(self, index: int) -> FrameMap:
        """Of a function that has been compiled, and counts."""
        return Baseline(self._facts, index, check_locals(self._ctx, index), live(), dead()).frame_map()
