"""Clocks: wall time, monotonic time, CPU time; the host's or made up. All values are whole nanoseconds.

Invariant: monotonic time never goes back, and starts near zero for each guest, so it says nothing about the host.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol, final

from wardian.digest import blake2b


class ClockKind(IntEnum):
    REALTIME = 0
    MONOTONIC = 1
    PROCESS_CPU = 2
    THREAD_CPU = 3


class Clocks(Protocol):
    """``now[kind]()`` reads a clock, ``resolution[kind]`` is its step.

    ``skip`` is for made-up time: it lets ``duration`` pass at once and returns true; real time has to be waited for.
    """

    @property
    def now(self) -> tuple[Callable[[], int], ...]: ...

    @property
    def resolution(self) -> tuple[int, ...]: ...

    def skip(self, duration: int) -> bool: ...


_HOST_NAMES: Final = ("time", "monotonic", "process_time", "thread_time")


@final
class HostClocks:
    """The host's clocks, in steps of ``step`` nanoseconds, with ``jitter`` each at a moment nobody foresees."""

    __slots__ = ("now", "resolution")

    def __init__(self, step: int = 1, jitter: bool = False) -> None:
        start = time.monotonic_ns()
        monotonic = time.monotonic_ns
        self.now: tuple[Callable[[], int], ...] = (
            time.time_ns,
            lambda: monotonic() - start,
            time.process_time_ns,
            time.thread_time_ns,
        )
        if step > 1:
            blur = _blurred if jitter else _coarse
            self.now = tuple(blur(now, step) for now in self.now)
        self.resolution = _resolution(step)

    def skip(self, duration: int) -> bool:
        return False


@functools.lru_cache(maxsize=8)
def _resolution(step: int) -> tuple[int, ...]:
    """Of each of the host's clocks, if it is looked at in steps."""
    return tuple(max(1, step, round(time.get_clock_info(name).resolution * 1e9)) for name in _HOST_NAMES)


def _coarse(now: Callable[[], int], step: int) -> Callable[[], int]:
    def rounded() -> int:
        found = now()
        return found - found % step

    return rounded


def _blurred(now: Callable[[], int], step: int) -> Callable[[], int]:
    """In steps, each taken at a moment within it that depends on a secret: who waits for one learns nothing of how
    far it was. It never goes back, for the moment of a step is always the same."""
    secret = os.urandom(16)

    def rounded() -> int:
        found = now()
        begun = found - found % step
        digest = blake2b(begun.to_bytes(16, "little"), digest_size=8, key=secret).digest()
        return begun + step if found - begun >= int.from_bytes(digest, "little") % step else begun

    return rounded


@final
class FrozenClocks:
    """Made-up time: it stands still but for ``tick`` at each look and for what is slept."""

    __slots__ = ("_elapsed", "_tick", "now", "resolution")

    def __init__(self, start: int, tick: int) -> None:
        self._elapsed = 0
        self._tick = tick
        self.now: tuple[Callable[[], int], ...] = (lambda: start + self._look(), self._look, self._look, self._look)
        self.resolution: tuple[int, ...] = (max(1, tick),) * 4

    def _look(self) -> int:
        self._elapsed += self._tick
        return self._elapsed

    def skip(self, duration: int) -> bool:
        self._elapsed += duration
        return True
