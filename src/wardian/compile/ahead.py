"""A fork of this process that compiles functions before they are called, on another processor, while the guest runs.

Who is called by what has been called is likely to be called next: most functions that CPython's start takes are found
so. The two share memory: a list of what has been called, which this process adds to, and the code, which the fork does.
Invariant: what arrives is what this process would have made itself, and nothing depends on its arriving: whoever wants
a function that is not there compiles it. The fork runs nothing of the guest, has no files, and ends with this process
or before. Either side writes a number after what it stands for, which on x86-64 the other sees in that order.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import time
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Never, TypeAlias, final

from wardian.compile.baseline.unsupported import Unsupported
from wardian.errors import WardianError

Make: TypeAlias = "Callable[[int], tuple[bytes, list[int]]]"
"""A defined function's code, and the defined functions that it calls by name."""

_SURPLUS: Final = 256
"""Functions that are made at most beyond those that were asked for."""
_LIST: Final = 1 << 20
"""Entries of the list of what has been called; more is not told."""
_CODE: Final = 64 << 20
"""Bytes of code; more is not made."""

_HEAD: Final = 1
"""Words at the beginning: entries of the list so far."""
_BEGUN: Final = 1
_FAILED: Final = 2
"""Instead of where a function's code is, ``position << 32 | size``: it comes next; it does not come."""

_CALLED: Final = 1 << 31
"""Added to a function in the list that has been called; the others are called by it."""
_PATIENCE: Final = 0.05
"""Seconds to wait for a function that is being made; if that is not enough, one does not wait any more."""
_MOMENT: Final = 0.0001
_LONGEST: Final = 0.05
"""Seconds between two looks of the fork at what has been called."""
_LONG: Final = 1 << 30
"""Seconds of processor time that are as good as no limit."""
_IDLE: Final = 10.0
"""Seconds without work after which the fork ends."""

_TASKS: Final = "/proc/self/task"
_QUOTA: Final = "/sys/fs/cgroup/cpu.max"


@final
class Shared:
    """The memory both see."""

    def __init__(self, functions: int) -> None:
        """Raises ``OSError``."""
        head, listed = 8 * (_HEAD + functions), 4 * _LIST
        whole = memoryview(mmap.mmap(-1, head + listed + _CODE))
        self.count = whole[: 8 * _HEAD].cast("Q")
        self.where = whole[8 * _HEAD : head].cast("Q")
        """Of each function its code."""
        self.list = whole[head : head + listed].cast("I")
        self.code = whole[head + listed :]


@final
class Ahead:
    """This process's end. Not thread-safe."""

    def __init__(self, pid: int, shared: Shared) -> None:
        self._pid = pid
        self._shared = shared
        self._count = 0
        self._waits = True

    def take(self, index: int) -> bytes | None:
        """The code of a defined function that is called, if it has been made."""
        where = self._shared.where
        if where[index] == _BEGUN and self._waits:
            until = time.monotonic() + _PATIENCE
            while where[index] == _BEGUN and self._waits:
                # Sleeping would take longer than most of what is waited for.
                os.sched_yield()
                self._waits = time.monotonic() < until
        self._tell(index | _CALLED)
        at, size = divmod(where[index], 1 << 32)
        return bytes(self._shared.code[at : at + size]) if size > _FAILED else None

    def calls(self, indices: list[int]) -> None:
        """These are called by the function that was last asked for."""
        for index in indices:
            self._tell(index)

    def _tell(self, entry: int) -> None:
        count = self._count
        if count < _LIST:
            self._shared.list[count] = entry
            self._count = self._shared.count[0] = count + 1

    def close(self) -> None:
        """End the fork; what has been made is there."""
        pid, self._pid = self._pid, 0
        if pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def may_fork() -> bool:
    """Has this process but one thread, and more than one processor?"""
    try:
        if len(os.sched_getaffinity(0)) < 2 or len(os.listdir(_TASKS)) > 1:
            return False
        with open(_QUOTA) as file:
            quota, period = file.read().split()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return quota == "max" or int(quota) > int(period)


def start(functions: int, begin: Callable[[], Make], seconds: float) -> Ahead | None:
    """Fork, for a process that :func:`may_fork`: ``begin`` is called in the fork, which has so much processor time.
    ``None`` if there can be none."""
    parent = os.getpid()
    try:
        shared = Shared(functions)
        pid = os.fork()
    except OSError:
        return None
    if pid == 0:
        _live(begin, seconds, shared, parent)
    return Ahead(pid, shared)


def _live(begin: Callable[[], Make], seconds: float, shared: Shared, parent: int) -> Never:
    """What the fork does, and nothing else of what its parent would have done."""
    try:
        import math
        import resource

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Others may wait for the other ends of what this process has inherited.
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))
        # The parent's objects stay shared if nobody looks through them.
        gc.disable()
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(min(seconds, _LONG)), resource.RLIM_INFINITY))
        fork = Fork(begin(), shared)
        worked = time.monotonic()
        while os.getppid() == parent and not fork.is_full and (idle := time.monotonic() - worked) < _IDLE:
            if fork.step():
                worked = time.monotonic()
            else:
                # The longer nothing was wanted, the less it matters when the next is.
                time.sleep(min(max(_MOMENT, idle / 20), _LONGEST))
    finally:
        os._exit(0)


@final
class Fork:
    """The other end."""

    def __init__(self, make: Make, shared: Shared) -> None:
        self.is_full = False
        self._make = make
        self._shared = shared
        self._count = 0
        self._at = 0
        self._calls: dict[int, list[int]] = {}
        """Of functions made here, whom they call."""
        self._done: set[int] = set()
        self._surplus = 0
        self._wanted: deque[int] = deque()
        """Called by what has been called; ``_further``: by what may be called."""
        self._further: deque[int] = deque()

    def step(self) -> bool:
        """Make a function; ``False``: there is none to be made."""
        self._listen()
        index = self._next()
        if index is not None:
            self._do(index)
        return index is not None

    def _listen(self) -> None:
        """Take in what the parent has said."""
        count = self._shared.count[0]
        if count == self._count:
            return
        for entry in array("I", self._shared.list[self._count : count].tobytes()):
            index = entry & ~_CALLED
            if index == entry:
                self._wanted.append(index)
                continue
            self._done.add(index)
            made = self._calls.pop(index, None)
            if made is not None:
                self._surplus -= 1
                self._wanted += made
        self._count = count

    def _next(self) -> int | None:
        """The function to be made next."""
        for some in (self._wanted, self._further):
            while some and (some is self._wanted or self._surplus < _SURPLUS):
                index = some.popleft()
                if index not in self._done:
                    return index
        return None

    def _do(self, index: int) -> None:
        shared, at = self._shared, self._at
        self._done.add(index)
        shared.where[index] = _BEGUN
        try:
            code, calls = self._make(index)
        except (WardianError, Unsupported):
            # The parent will see for itself, if it ever is called.
            shared.where[index] = _FAILED
            return
        after = self._at = at + len(code)
        self.is_full = after > _CODE
        if self.is_full:
            shared.where[index] = _FAILED
        else:
            shared.code[at:after] = code
            shared.where[index] = at << 32 | len(code)
        self._calls[index] = calls
        self._further += calls
        self._surplus += 1
