"""Waiting on addresses of a shared memory (threads proposal, "wait and notify").

Invariant: a wait compares and joins the queue under the lock that a notification takes, so none is lost between the
two; whoever is stopped, times out or raises leaves the queue before anything else happens. A waiting guest is in a
host call: the GIL is free, and :meth:`wardian.runtime.store.Store.stop` wakes it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from enum import IntEnum, unique
from typing import Final, final

from wardian.errors import Interrupted
from wardian.runtime.store import Store
from wardian.vm.traps import TRAPS

_LOOK_AGAIN: Final = 0.02
"""Seconds between two looks at the stores of outer activations, which do not know whom they would have to wake."""


@unique
class Outcome(IntEnum):
    """What ``memory.atomic.wait`` gives."""

    OK = 0
    NOT_EQUAL = 1
    TIMED_OUT = 2


@final
class Place:
    """One waiting guest."""

    __slots__ = ("_gate", "notified")

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.notified = False

    def wake(self) -> None:
        """Let the waiter look around; harmless at any time."""
        with contextlib.suppress(RuntimeError):  # the gate is open already
            self._gate.release()

    def sleep(self, seconds: float) -> None:
        """Until woken, or for ``seconds``; negative: no limit."""
        self._gate.acquire(timeout=seconds)


@final
class Parking:
    """The queues of one shared memory."""

    __slots__ = ("_lock", "_queues")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, list[Place]] = {}

    def wait(self, store: Store, at: int, expected: Callable[[], bool], seconds: float) -> Outcome:
        """Wait at address ``at`` if ``expected()``; for ever if ``seconds`` is negative.

        Returns at once when ``store`` is to stop, which the caller must look at. Raises :class:`Interrupted` when
        another store, further out on this thread, is.
        """
        place = Place()
        until = None if seconds < 0 else time.monotonic() + seconds
        try:
            with self._lock:
                if not expected():
                    return Outcome.NOT_EQUAL
                self._queues.setdefault(at, []).append(place)
            store.parked = place
            return self._sleep(store, place, until)
        finally:
            store.parked = None
            self._leave(at, place)

    def _sleep(self, store: Store, place: Place, until: float | None) -> Outcome:
        nested = store.nested()
        while not place.notified and not store.stopping():
            outer = store.stopping_further_out() if nested else None
            if outer is not None:
                raise Interrupted(*TRAPS[outer])
            left = -1.0
            if until is not None:
                left = min(until - time.monotonic(), threading.TIMEOUT_MAX)
                if left <= 0:
                    break
            if nested:
                left = _LOOK_AGAIN if left < 0 else min(left, _LOOK_AGAIN)
            place.sleep(left)
        with self._lock:
            return Outcome.OK if place.notified else Outcome.TIMED_OUT

    def _leave(self, at: int, place: Place) -> None:
        with self._lock:
            queue = self._queues.get(at)
            if queue is not None and place in queue:
                queue.remove(place)
                if not queue:
                    del self._queues[at]

    def notify(self, at: int, count: int) -> int:
        """Wake the first ``count`` that wait at ``at``; how many there were."""
        with self._lock:
            queue = self._queues.get(at, [])
            woken = queue[:count]
            del queue[:count]
            if woken and not queue:
                del self._queues[at]
            for place in woken:
                place.notified = True
        for place in woken:
            place.wake()
        return len(woken)
