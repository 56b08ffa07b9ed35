"""Deadlines: one thread per process that stops guests whose time is up, at no cost to those running.

Invariant: whoever arms a deadline disarms it before it leaves, and after :meth:`Watchdog.disarm` returns the guest is
never stopped for it. A guest that is in a host call, or not running at that moment, is told again until it is stopped.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from typing import final

from wardian.runtime.store import Store
from wardian.vm.traps import TrapCode

_AGAIN = 0.001
_SLOWEST = 0.02


@final
class Deadline:
    """One armed deadline. ``fired`` tells whether it came to stopping."""

    __slots__ = ("armed", "fired", "pause", "store", "when")

    def __init__(self, store: Store, when: float) -> None:
        self.store = store
        self.when = when
        self.armed = True
        self.fired = False
        self.pause = _AGAIN


@final
class Watchdog:
    """Owned by the engine side of a process; its daemon thread starts with the first deadline."""

    def __init__(self) -> None:
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._wake = threading.Condition()
        self._queue: list[tuple[float, int, Deadline]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def arm(self, store: Store, seconds: float) -> Deadline:
        """Stop ``store``'s guest ``seconds`` from now, unless disarmed."""
        deadline = Deadline(store.root(), time.monotonic() + seconds)
        with self._wake:
            heapq.heappush(self._queue, (deadline.when, next(self._order), deadline))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="wardian-watchdog", daemon=True)
                self._thread.start()
            self._wake.notify()
        return deadline

    def disarm(self, deadline: Deadline) -> None:
        with self._wake:
            deadline.armed = False
            if deadline.fired:
                deadline.store.root().clear_stop()

    def _watch(self) -> None:
        while True:
            with self._wake:
                while self._queue and not self._queue[0][2].armed:
                    heapq.heappop(self._queue)
                if not self._queue:
                    self._wake.wait()
                    continue
                when, _, deadline = self._queue[0]
                left = when - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
                heapq.heappop(self._queue)
                self._fire(deadline)

    def _fire(self, deadline: Deadline) -> None:
        """Stop the guest, and look again soon: it may have been in a helper, in a host call, or between two calls."""
        deadline.fired = True
        deadline.store.root().stop(TrapCode.TIMEOUT)
        heapq.heappush(self._queue, (time.monotonic() + deadline.pause, next(self._order), deadline))
        deadline.pause = min(2 * deadline.pause, _SLOWEST)
