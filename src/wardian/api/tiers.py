"""Tier-up: a thread that compiles well, in the background, what the baseline tier finds to be hot.

Invariant: the guest never waits for it, and what it runs means the same before and after; only when code is exchanged
depends on time.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, final

from wardian.compile.stack import COMPILER_STACK, thread_with_stack

QUEUE: Final = 64
"""Requests that wait at most; what does not fit will ask again, for it stays hot."""

_IDLE: Final = 10.0
"""Seconds without work after which the thread ends."""

_QUIET: Final = 0.05
_PATIENCE: Final = 1.0
"""Seconds for which nothing is compiled elsewhere before a job begins, and seconds a job waits for that at most."""

AT_ONCE: Final = 0.005
SOON: Final = 0.03
LATER: Final = 0.15
"""Seconds after which it is worth beginning: many a short program ends before, having got hot for the first time. What
an earlier run had compiled has probably ended before it was worth it then, and will again; but a small program has
little else to do, and if it is late each time, it never gets what it could have kept."""

_MOMENT: Final = 0.01
"""Seconds after which one who waits for room in the queue looks again."""


@final
class Worker:
    """Runs jobs one after the other on a thread of its own, which comes and goes. Thread-safe."""

    def __init__(self, begin: Callable[[], None]) -> None:
        """``begin`` is called on the thread some time before its first job, and should not take long."""
        self._begin = begin
        self._start_over()
        # LLVM must not be at work while the process takes its libraries apart.
        atexit.register(close_worker, weakref.ref(self))

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy = time.monotonic()
        self._hurry = threading.Event()
        self._first_wait = SOON
        self.failure: Exception | None = None
        """What the last job that failed raised: a bug of ours, though the guest goes on with the code it has."""

    def busy(self) -> None:
        """A thread of Python's is compiling, which a guest waits for: what is done in the background, half of it under
        the interpreter's lock, would take its time."""
        self._busy = time.monotonic()

    def submit(self, job: Callable[[], None], after: float = SOON) -> bool:
        """Run ``job`` some time; ``False``: there is too much to do, or no thread to be had.

        ``after``: seconds that the first one waits at least.
        """
        if os.getpid() != self._process:
            # A forked child has neither the thread nor, perhaps, a lock that somebody would ever release.
            self._start_over()
        with self._lock:
            if self._closed:
                return False
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                return False
            if self._thread is None:
                self._first_wait = after
                try:
                    self._thread = thread_with_stack(self._run, COMPILER_STACK)
                except RuntimeError:
                    # No more threads, or the interpreter is ending: no reason for the guest to.
                    return False
        return True

    def _run(self) -> None:
        # While much is compiled, a program begins that may well end soon; and another processor has that to do, too.
        self.busy()
        if self._let_pass(self._first_wait):
            self._do(self._begin)
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._jobs.empty():
                        continue
                    self._thread = None
                    return
            if job is not None:
                self._let_pass(_QUIET)
            if job is None or self._closed:
                return
            self._do(job)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the code that runs is right as it is
            self.failure = failure

    def _let_pass(self, quiet: float) -> bool:
        """Until nobody has been busy for so many seconds, but not for long; ``False``: somebody waits for us."""
        until = time.monotonic() + _PATIENCE
        while (now := time.monotonic()) < until and now - self._busy < quiet:
            if self._hurry.wait(self._busy + quiet - now):
                return False
        return True

    def close(self) -> None:
        """Wait for the job at hand and take no more."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._closed = True
            thread = self._thread
        self._hurry.set()
        if thread is not None:
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                pass
            thread.join()

    def wait(self) -> None:
        """Until everything that was submitted so far is done."""
        self._hurry.set()
        try:
            self._wait()
        finally:
            self._hurry.clear()

    def _wait(self) -> None:
        done = threading.Event()
        while not self.submit(done.set):
            thread = self._thread
            if self._closed or thread is None:
                return
            thread.join(_MOMENT)
        done.wait()


def close_worker(reference: weakref.ref[Worker]) -> None:
    """What is done with a worker when the process ends."""
    worker = reference()
    if worker is not None:
        # The job at hand is not waited for: nobody is left who would run its code.
        from wardian.compile.outside import outside

        outside().close()
        worker.close()
