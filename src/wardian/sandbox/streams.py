"""What a guest in a worker writes, on its way to where it belongs: through a pipe, and through this process.

Invariant: a worker never holds a descriptor of a terminal that it could write to. What is filtered, cut or handed to a
function is so on this side, where nothing that happened to the worker matters.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Final, final

from wardian.capability.errno import CapabilityError
from wardian.capability.poll import Waiter
from wardian.capability.stream import CaptureOutput, OutputStream
from wardian.grants import Grants, Inherit, InputGrant
from wardian.wasi.p1.context import bounded, output_stream, was_cut
from wardian.wasi.shield import ShieldedOutput, shielded

_PIPE: Final = 1 << 16
_ROLES: Final = (("stdout", 1), ("stderr", 2))


@final
class Outputs:
    """The output streams of one run. Raises ``OSError`` for a descriptor that is not open."""

    def __init__(self, grants: Grants, stack: ExitStack) -> None:
        """``stack`` closes the pipes."""
        self._ends = {name: output_stream(getattr(grants, name), role) for name, role in _ROLES}
        shown = dict(zip(self._ends, shielded(list(self._ends.values()), grants.terminal), strict=True))
        self._shown = list(shown.values())
        self._bounded = dict(zip(shown, bounded(self._shown, grants.output_limit), strict=True))
        self._pipes: dict[int, OutputStream] = {}
        self._waiter = Waiter()
        self._gone: set[OutputStream] = set()
        self.granted: dict[str, Inherit] = {}
        """What the worker has in place of each stream that comes through here."""
        for name, _ in _ROLES:
            end = self._ends[name]
            if isinstance(getattr(grants, name), Inherit) and shown[name] is end and not end.terminal:
                continue  # Nothing is to be done with what goes there, and it is nobody's screen.
            ours, theirs = os.pipe()
            stack.callback(os.close, ours)
            stack.callback(os.close, theirs)
            os.set_blocking(ours, False)
            self._pipes[ours] = self._bounded[name]
            self.granted[name] = Inherit(theirs, end.terminal)

    @property
    def pipes(self) -> list[int]:
        """The descriptors to read from."""
        return list(self._pipes)

    def collect(self, fd: int) -> bool:
        """Take what the guest has written; ``False`` when there is no more. Raises what a function as stream raises."""
        try:
            piece = os.read(fd, _PIPE)
        except BlockingIOError:
            return False
        stream = self._pipes[fd]
        left = memoryview(piece)
        while left and stream not in self._gone:
            try:
                left = left[stream.write([left], self._waiter) :]
            except (OSError, CapabilityError):
                self._gone.add(stream)  # Whoever was to read it has left; the guest need not know.
        return bool(piece)

    def finish(self) -> None:
        """What a filter still holds goes out now."""
        for stream in self._shown:
            if isinstance(stream, ShieldedOutput):
                stream.finish()

    def captured(self, name: str) -> bytes:
        """What was kept of a stream."""
        end = self._ends[name]
        return end.value if isinstance(end, CaptureOutput) else b""

    @property
    def truncated(self) -> bool:
        """Was output dropped here, because there was too much of it?"""
        return any(map(was_cut, (*self._ends.values(), *self._bounded.values())))


def readable_only(grant: InputGrant, stack: ExitStack) -> InputGrant:
    """A terminal as input, opened for reading alone: the descriptor one has can usually write as well."""
    if not isinstance(grant, Inherit):
        return grant
    fd = 0 if grant.fd is None else grant.fd
    if not os.isatty(fd):
        return Inherit(fd)
    fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return Inherit(fd)
