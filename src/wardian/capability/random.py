"""Random bytes: the host's entropy, or a stream that is a function of a seed.

Invariant: :class:`SeededRandom` gives the same bytes whatever the sizes they are asked for in.
"""

from __future__ import annotations

import os
from typing import Final, Protocol, final

_urandom: Final = os.urandom


class Random(Protocol):
    def fill(self, buffer: memoryview) -> None:
        """Fill ``buffer`` (one-dimensional bytes, of moderate size: the caller splits large ones)."""


@final
class HostRandom:
    """The operating system's generator."""

    __slots__ = ()

    def fill(self, buffer: memoryview) -> None:
        buffer[:] = _urandom(buffer.nbytes)


@final
class SeededRandom:
    """SHAKE-128 over the seed and a block number: reproducible, not secret."""

    __slots__ = ("_block", "_count", "_hash", "_seed", "_used")

    SIZE = 4096

    def __init__(self, seed: int) -> None:
        from hashlib import shake_128  # Here, since it takes 2 ms to import and most guests use the host's entropy.

        self._hash = shake_128
        self._seed = str(seed).encode()
        self._count = 0
        self._block = b""
        self._used = 0

    def fill(self, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            if self._used == len(self._block):
                self._block = self._hash(b"%d:%s" % (self._count, self._seed)).digest(self.SIZE)
                self._count += 1
                self._used = 0
            piece = self._block[self._used : self._used + len(buffer) - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            self._used += len(piece)
