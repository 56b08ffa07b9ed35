"""Deadlines: one thread per process that stops guests whose time is up, at no cost to those running.

Invariant: whoever arms a deadline disarms it before it leaves, and after :meth:`Watchdog.disarm` returns the guest is
never stopped for it. Between the two, from the deadline on, no guest code of the store runs on: one that is running is
told again and again until it has stopped (it may be in a helper, or in a host call), a later call does not even start.
A deadline of processor time is one of wall time that is looked at again when it comes: a thread cannot use more.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
import threading
import time
from typing import Final, final

from wardian.runtime.store import Store
from wardian.vm.traps import TrapCode

_AGAIN: Final = 0.001
_SLOWEST: Final = 0.02
_IDLE: Final = 0.25
"""Seconds between two looks at a store whose time is over and whose guest is not running: it cannot start anyway."""
_LONGEST: Final = 1e8
"""Three years, and less than what a lock can wait."""


@final
class Deadline:
    """One armed deadline; disarmed, it stands for no store."""

    __slots__ = ("clock", "end", "fired", "pause", "store")

    def __init__(self, store: Store, clock: int | None = None, end: float = 0.0) -> None:
        """``clock``: a thread's clock of processor time, which has to show ``end`` as well."""
        self.store: Store | None = store
        self.pause = _AGAIN
        self.clock = clock
        self.end = end
        self.fired = False
        """Has it passed?"""

    def left(self) -> float:
        """Seconds that the clock has still to go."""
        if self.clock is None or self.fired:
            return 0.0
        try:
            return self.end - time.clock_gettime(self.clock)
        except OSError:
            return 0.0  # The thread is gone.


@final
class Watchdog:
    """See :func:`watchdog`; its daemon thread starts with the first deadline."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Deadline]] = []
        self._order = itertools.count()
        self._armed = 0
        self._start_over()
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        """A forked child has neither the thread nor a usable lock; the deadlines hold there too."""
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        if self._queue:
            self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name="wardian-watchdog", daemon=True)
        self._thread.start()

    def arm(self, store: Store, seconds: float) -> Deadline:
        """Stop ``store``'s guest ``seconds`` from now, unless disarmed. ValueError for less than 0, or NaN."""
        seconds = 0.0 + seconds
        if not seconds >= 0:
            raise ValueError(f"a deadline is a number of seconds, at least 0, not {seconds!r}")
        return self._arm(Deadline(store.root()), seconds)

    def arm_cpu(self, store: Store, seconds: float) -> Deadline:
        """Stop ``store``'s guest when the calling thread has used ``seconds`` more of a processor's time, unless
        disarmed. ValueError for less than 0, or NaN."""
        seconds = 0.0 + seconds
        if not seconds >= 0:
            raise ValueError(f"processor time is a number of seconds, at least 0, not {seconds!r}")
        clock = time.pthread_getcpuclockid(threading.get_ident())
        return self._arm(Deadline(store.root(), clock, time.clock_gettime(clock) + seconds), seconds)

    def _arm(self, deadline: Deadline, seconds: float) -> Deadline:
        when = time.monotonic() + min(seconds, _LONGEST)
        with self._wake:
            if len(self._queue) > 2 * self._armed + 64:
                self._queue = [row for row in self._queue if row[2].store is not None]
                heapq.heapify(self._queue)
            heapq.heappush(self._queue, (when, next(self._order), deadline))
            self._armed += 1
            if self._thread is None:
                self._start()
            elif self._queue[0][2] is deadline:
                self._wake.notify()
        return deadline

    def disarm(self, deadline: Deadline) -> None:
        """Take the deadline back; a stop it has asked for, and that came too late, is forgotten."""
        # Before the lock, where a Ctrl-C can end this function: the deadline must not outlive its block.
        store, deadline.store = deadline.store, None
        if store is None:
            return
        with self._wake:
            self._armed -= 1
            root = store.root()
            if deadline in root.expired:
                root.expired.discard(deadline)
                root.settle()

    def _watch(self) -> None:
        while True:
            with self._wake:
                while self._queue and self._queue[0][2].store is None:
                    heapq.heappop(self._queue)
                if not self._queue:
                    self._wake.wait()
                    continue
                left = self._queue[0][0] - time.monotonic()
                if left > 0:
                    self._wake.wait(left)
                    continue
                self._fire(heapq.heappop(self._queue)[2])

    def _fire(self, deadline: Deadline) -> None:
        """Stop the guest, and look again soon."""
        if deadline.store is None:
            return
        left = deadline.left()
        if left > 0:
            # A guest that sleeps need not be looked at all the time, however little it has left.
            heapq.heappush(self._queue, (time.monotonic() + max(left, deadline.pause), next(self._order), deadline))
            deadline.pause = min(2 * deadline.pause, _SLOWEST)
            return
        if not deadline.fired:
            deadline.fired, deadline.pause = True, _AGAIN
        root = deadline.store.root()
        root.expired.add(deadline)
        running = root.stop(TrapCode.TIMEOUT)
        heapq.heappush(self._queue, (time.monotonic() + deadline.pause, next(self._order), deadline))
        deadline.pause = min(2 * deadline.pause, _SLOWEST if running else _IDLE)


@functools.cache
def watchdog() -> Watchdog:
    """The process's one watchdog."""
    return Watchdog()
