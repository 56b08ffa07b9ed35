"""Which direct calls the optimising tier replaces by the callee's own code.

Some compilers leave calls of three-line functions in inner loops; a call costs more than what they do. A callee is fit
if it is small, has no loop, and calls nothing but functions that are fit; what it does besides is compute and access
memory, tables excluded. So a stack check, a collection or an exception cannot be due in it, and the only trap it can
raise is that of an access: a backtrace then begins in the caller.

Invariant: only what was validated is offered. A callee that is not valid is not fit, and reported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from wardian.compile import loops
from wardian.compile.function import ModuleFacts
from wardian.compile.loops import Step
from wardian.errors import WardianError
from wardian.syntax import families as f

SMALL: Final = 90
"""Instructions of a callee without its own callees."""
CLUSTER: Final = 300
"""Instructions of a callee with all of its own."""
SMALL_BODY: Final = 400
"""Bytes of a body that is looked at."""
DEPTH: Final = 5
ROOM: Final = 600
"""Instructions any function may grow by; a longer one by twice its length."""

_FIT: Final = (loops.COMPUTES | loops.UNDERSTOOD | {f.GlobalSet}) - {f.Unreachable}
_HARMLESS: Final = frozenset({"memory_out_of_bounds"})


class _Callee(NamedTuple):
    steps: list[Step]
    cost: int


@final
class Inliner:
    """One per function that is compiled. ``record`` validates a defined function and gives its instructions."""

    def __init__(self, facts: ModuleFacts, record: Callable[[int], list[Step]]) -> None:
        self._facts = facts
        self._record = record
        self._imported = facts.layout.counts[0]
        self._known: dict[int, _Callee | None] = {}
        self._room = ROOM
        self.used: dict[int, list[Step]] = {}
        """Defined function -> its instructions, for those :meth:`takes` said yes to and what they call."""

    def begin(self, index: int, length: int) -> None:
        """The function itself: it is never a callee, and may grow in proportion."""
        self._known[index] = None
        self._room = max(ROOM, 2 * length)

    def takes(self, function: int) -> bool:
        """Shall a call of ``function`` (of the whole index space) be replaced?"""
        callee = self._callee(function - self._imported, ())
        if callee is None or callee.cost > self._room:
            return False
        self._room -= callee.cost
        self._use(function - self._imported)
        return True

    def _use(self, index: int) -> None:
        callee = self._known[index]
        if callee is not None and index not in self.used:
            self.used[index] = callee.steps
            for _, row, imm, reachable in callee.steps:
                if reachable and type(row.family) is f.Call:
                    self._use(imm - self._imported)

    def _callee(self, index: int, chain: tuple[int, ...]) -> _Callee | None:
        if index < 0 or index in chain or len(chain) > DEPTH:
            return None
        if index not in self._known:
            self._known[index] = self._look(index, chain)
        return self._known[index]

    def _look(self, index: int, chain: tuple[int, ...]) -> _Callee | None:
        start, end = self._facts.module.bodies[index]
        if end - start > SMALL_BODY:
            return None
        try:
            steps = self._record(index)
        except WardianError:
            return None
        cost = len(steps)
        if cost > SMALL:
            return None
        for _, row, imm, reachable in steps:
            if not reachable:
                continue
            if type(row.family) is f.Call and not row.family.tail:
                inner = self._callee(imm - self._imported, (*chain, index))
                if inner is None:
                    return None
                cost += inner.cost
            elif type(row.family) not in _FIT or not _HARMLESS.issuperset(row.traps):
                return None
        return _Callee(steps, cost) if cost <= CLUSTER else None
