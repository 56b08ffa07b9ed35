"""What compiling one module may still cost: processor time, and bytes of machine code.

Invariant: nothing is compiled or mapped any more once a bound is reached; a single function may go beyond it, by as
much as :mod:`wardian.compile.effort` lets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

from wardian.limits import Limits, exceeded


@final
class Compiling:
    """See :meth:`Budget.compiling`."""

    # FAST: a generator takes three times as long, for each function that is compiled.
    __slots__ = ("_began", "_better", "_budget")

    def __init__(self, budget: Budget, better: bool) -> None:
        self._budget = budget
        self._better = better
        self._began = 0.0

    def __enter__(self) -> Callable[[float], None]:
        self._budget.check(better=self._better)
        self._began = time.thread_time()
        return self._spend

    def __exit__(self, *error: object) -> None:
        self._spend(time.thread_time() - self._began)

    def _spend(self, seconds: float) -> None:
        self._budget.spend(seconds, better=self._better)


@final
class Budget:
    """Of one module's code. Threads may lose a count to each other, never the bound."""

    __slots__ = ("_limits", "_seconds", "_size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seconds = {False: 0.0, True: 0.0}
        self._size = 0

    def compiling(self, *, better: bool = False) -> Compiling:
        """For the time of compiling something, on the thread that does it; ``better``: it has code already, and gets
        some that is faster. Gives what is to be told the seconds that other processes take. Raises
        :class:`LimitExceeded`."""
        return Compiling(self, better)

    def check(self, *, better: bool = False) -> None:
        """May anything more be compiled? Raises :class:`LimitExceeded`."""
        limit = self._limits.compile_time
        if self._seconds[better] >= limit:
            raise exceeded("compile_time", f"compiling the module has taken {self._seconds[better]:.2g} s of {limit:g}")

    def spend(self, seconds: float, *, better: bool = False) -> None:
        """Compiling, here or in another process, has taken so much processor time."""
        self._seconds[better] += seconds

    def add(self, size: int) -> None:
        """So many bytes of machine code are to be mapped. Raises :class:`LimitExceeded`."""
        limit = self._limits.code_size
        if self._size + size > limit:
            raise exceeded("code_size", f"{self._size + size} bytes of machine code are more than the limit of {limit}")
        self._size += size
