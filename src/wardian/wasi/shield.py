"""Output streams of a guest behind :class:`wardian.terminal.Filter`.

Invariant: what a guest is told was written are bytes of its own, however many were written for them; what could not be
written yet goes first, before more is taken, so no more than one piece is ever kept.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from wardian.capability.errno import CapabilityError
from wardian.capability.poll import Waiter
from wardian.capability.stream import OutputStream
from wardian.grants import TerminalGrant

if TYPE_CHECKING:
    from wardian.terminal import Filter, Screen

_PIECE: Final = 1 << 16


@final
class ShieldedOutput:
    """``inner``, with everything that is written to it made harmless first."""

    __slots__ = ("_filter", "_inner", "_left", "poll_fd", "terminal")

    def __init__(self, inner: OutputStream, filter: Filter) -> None:
        self._inner = inner
        self._filter = filter
        self._left = memoryview(b"")
        self.terminal: bool = inner.terminal
        self.poll_fd: int | None = inner.poll_fd

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        total = 0
        for buffer in buffers:
            for at in range(0, len(buffer), _PIECE):
                piece = buffer[at : at + _PIECE]
                try:
                    self._drain(waiter)
                    self._left = memoryview(self._filter.feed(piece))
                    total += len(piece)
                    self._drain(waiter)
                except (CapabilityError, OSError):
                    # What was taken is taken: the error comes with the next call.
                    if total:
                        return total
                    raise
        return total

    def _drain(self, waiter: Waiter) -> None:
        while self._left:
            self._left = self._left[self._inner.write([self._left], waiter) :]

    def finish(self) -> None:
        """Write the rest, as far as it can be written. Nothing stops that: it is short."""
        left, self._left = memoryview(bytes(self._left) + self._filter.finish()), memoryview(b"")
        try:
            while left:
                left = left[self._inner.write([left], Waiter()) :]
        except (CapabilityError, OSError):
            return  # nobody is there to see it


def shielded(streams: Sequence[OutputStream], mode: TerminalGrant) -> list[OutputStream]:
    """``streams``, those that need it behind a filter; those on the same terminal know of each other.

    Raises ``ValueError`` for a mode that does not exist.
    """
    if mode == "elsewhere":
        return list(streams)
    if mode not in (None, "strict", "color", "raw"):
        raise ValueError(f"the terminal mode must be strict, color or raw, not {mode!r}")
    found: list[OutputStream] = []
    screens: dict[int, Screen] = {}
    for stream in streams:
        chosen = mode or ("color" if stream.terminal else "raw")
        if chosen == "raw":
            found.append(stream)
            continue
        from wardian.terminal import Filter, Screen, only_ascii

        screen = screens.setdefault(_device(stream), Screen())
        narrow = stream.terminal and only_ascii()
        found.append(ShieldedOutput(stream, Filter(chosen, screen=screen, ascii=narrow)))
    return found


def _device(stream: OutputStream) -> int:
    """A number that two streams share if they end on the same terminal."""
    if stream.terminal and stream.poll_fd is not None:
        return os.fstat(stream.poll_fd).st_rdev
    return -id(stream)
