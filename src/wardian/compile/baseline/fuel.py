"""Paying for what runs in baseline code (:mod:`wardian.compile.fuel`): the count is always in the store."""

from __future__ import annotations

from typing import final

from wardian.compile.baseline.function import Baseline


@final
class BaselineTill:
    """Implements :class:`wardian.compile.fuel.Till`: the amount is a field that is filled in later."""

    __slots__ = ("_code", "_fields", "_stencil")

    def __init__(self, code: Baseline) -> None:
        self._code = code
        self._stencil = code.group("fuel").get(0)

    def open(self) -> int:
        at = len(self._code.out)
        self._code.emit(self._stencil, i=0)
        return at

    def close(self, payment: int, amount: int) -> None:
        self._code.fill(self._stencil, payment, i=amount)
