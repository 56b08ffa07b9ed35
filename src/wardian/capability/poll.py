"""Waiting that can be stopped: for time to pass, for descriptors to become ready.

Invariant: no wait outlives the moment when the *wake* descriptor becomes readable; it then fails with
:attr:`Errno.INTERRUPTED`. Everything in this tower that may block waits here first.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterable
from typing import Final, final

from wardian.capability.errno import CapabilityError, Errno

READABLE: Final = select.POLLIN
WRITABLE: Final = select.POLLOUT
HANGUP: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL

_MILLISECOND: Final = 1_000_000
_LONGEST: Final = 1 << 30  # Milliseconds in one call: the system call takes a C int.


@final
class Waiter:
    """Waits on behalf of one guest; ``wake_fd`` becomes readable when the guest is to be stopped."""

    __slots__ = ("_wake", "wake_fd")

    def __init__(self, wake_fd: int | None = None) -> None:
        self.wake_fd = wake_fd
        self._wake: select.poll | None = None
        if wake_fd is not None:
            self._wake = select.poll()
            self._wake.register(wake_fd, READABLE)

    def check(self) -> None:
        """Raise :class:`CapabilityError` (interrupted) if the guest is to be stopped."""
        if self._wake is not None and self._wake.poll(0):
            raise CapabilityError(Errno.INTERRUPTED)

    def wait(self, interests: Iterable[tuple[int, int]], timeout: int | None) -> dict[int, int]:
        """Wait until a descriptor is ready or ``timeout`` nanoseconds are over (``None``: for ever).

        ``interests`` are pairs of a descriptor and the events wanted of it, the result maps the ready ones to
        their events. Raises :class:`CapabilityError` (interrupted) when woken.
        """
        poll = select.poll()
        for fd, events in interests:
            poll.register(fd, events)
        if self.wake_fd is not None:
            poll.register(self.wake_fd, READABLE)
        deadline = None if timeout is None else time.monotonic_ns() + timeout
        while True:
            milliseconds: int | None = None
            if deadline is not None:
                left = deadline - time.monotonic_ns()
                # The system call counts in milliseconds: sleep the last, broken one exactly.
                if 0 < left < _MILLISECOND:
                    time.sleep(left / 1e9)
                    left = 0
                milliseconds = min(max(left, 0) // _MILLISECOND, _LONGEST)
            ready = dict(poll.poll(milliseconds))
            if self.wake_fd is not None and ready.pop(self.wake_fd, 0):
                raise CapabilityError(Errno.INTERRUPTED)
            if ready or (deadline is not None and milliseconds == 0 and time.monotonic_ns() >= deadline):
                return ready

    def readable(self, fd: int) -> None:
        """Wait until a read of ``fd`` would not block."""
        self.wait(((fd, READABLE),), None)

    def writable(self, fd: int) -> None:
        """Wait until a small write (``PIPE_BUF`` bytes) to ``fd`` would not block."""
        self.wait(((fd, WRITABLE),), None)
