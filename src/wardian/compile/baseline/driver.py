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
from wardian.compile.baseline.steps import dead, live
from wardian.compile.fuel import Meter
from wardian.valid.code import Validator
from wardian.valid.context import ModuleContext
from wardian.valid.driver import check_locals, validate_body


@final
class BaselineCompiler:
    """One per module. Not thread-safe."""

    def __init__(self, ctx: ModuleContext, library: Library, more: Callable[[str], Group]) -> None:
        """``more``: see :class:`BaselineFacts`."""
        self._ctx = ctx
        self._facts = BaselineFacts(ctx.module, library, more)
        self._validator = Validator(ctx)

    def function(self, index: int, heat: Heat | None = None) -> bytes:
        """Validate and compile the defined function ``index``; ``heat``: count how often it runs.

        Raises as :func:`wardian.valid.driver.validate_body` does, and :class:`Unsupported`.
        """
        lowering = Baseline(self._facts, index, check_locals(self._ctx, index), live(), dead(), heat, self._validator)
        target = Meter(lowering.step, BaselineTill(lowering)) if self._facts.fuel else lowering
        validate_body(self._ctx, index, target, self._validator)
        return lowering.finish()

    def frame_map(self, index: int) -> FrameMap:
        """Of a function that has been compiled, and counts."""
        return Baseline(self._facts, index, check_locals(self._ctx, index), live(), dead()).frame_map()
