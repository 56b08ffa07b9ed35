"""Guarded places: pages for tables and element segments, with inaccessible address space before and behind.

Invariant: between a place and whatever else the process has mapped there are :data:`GUARD` inaccessible bytes, on
both sides; whoever is given a place finds zeros in all of it.

FAST: a small place that was given back is filled with zeros and stays as it is, up to :data:`WARM` bytes of them in
all, so an instance in the place of another takes no system call.
"""

from __future__ import annotations

from typing import Final, final

from wardian.errors import LimitExceeded
from wardian.runtime.native import PAGE, Native, page_up

GUARD: Final = 1 << 20
"""Inaccessible bytes before and behind each place; neighbours share them."""

SMALL: Final = 64 << 10
"""Bytes up to which a place is accessible as a whole from the beginning, and is used again."""

WARM: Final = 1 << 20
"""Bytes of places nobody has that are kept accessible."""

_STRIDE: Final = SMALL + GUARD
_CHUNK: Final = 128
"""Small places that are reserved at a time."""


@final
class Places:
    """Those of one process, whose lock is held by whoever takes or releases one.

    Calls may nest: a collection that begins inside of one may release, and take, others.
    """

    def __init__(self, native: Native) -> None:
        self._native = native
        self.reserved = 0
        """Bytes of address space that small places have been given so far."""
        self._next = 0
        self._end = 0
        self._cold: list[int] = []
        """Small places that are inaccessible."""
        self._warm: dict[int, list[int]] = {}
        """By their accessible bytes, small places that are accessible, and zero."""
        self._warm_bytes = 0
        self._small: dict[int, int] = {}
        """Of each small place that somebody has: how much of it is accessible."""
        self._large: dict[int, int] = {}
        """Of each larger one: how much is reserved between its guards."""
        self._words: dict[int, memoryview] = {}
        """Of each small place that is accessible, its words."""
        self._zeros = memoryview(bytes(SMALL)).cast("Q")

    def take(self, size: int) -> int:
        """Where there are ``size`` bytes, all zero; of more than :data:`SMALL` none is accessible yet.

        Raises :class:`LimitExceeded`.
        """
        size = max(page_up(size), PAGE)
        return self._take_small(size) if size <= SMALL else self._take_large(size)

    def words(self, at: int, count: int) -> memoryview:
        """At least the first ``count`` words of a place, for as long as it is the caller's."""
        return self._words.get(at) or self._native.words(at, count)

    def accessible(self, at: int) -> int:
        """How many bytes of a place that was just taken can be used as they are."""
        return self._small.get(at, 0)

    def release(self, at: int) -> None:
        """Nobody can reach the place any more."""
        large = self._large.pop(at, 0)
        if large:
            self._native.release(at - GUARD, large + 2 * GUARD)
            return
        size = self._small.pop(at)
        if self._warm_bytes >= WARM and self._native.decommit(at, size):
            del self._words[at]
            self._cold.append(at)
            return
        # What the system does not take back is as good as what is kept on purpose.
        self._words[at][:] = self._zeros[: size >> 3]
        self._warm_bytes += size
        self._warm.setdefault(size, []).append(at)

    def _take_small(self, size: int) -> int:
        warm = self._warm.get(size)
        if warm:
            at = warm.pop()
            self._warm_bytes -= size
        else:
            at = self._cold.pop() if self._cold else self._fresh()
            if not self._native.commit(at, size):
                self._cold.append(at)
                raise _no_room(size)
            self._words[at] = self._native.words(at, size >> 3)
        self._small[at] = size
        return at

    def _fresh(self) -> int:
        """A small place that nobody has had before."""
        if self._next == self._end:
            count = _CHUNK
            while (start := self._native.reserve(count * _STRIDE + GUARD)) is None:
                count >>= 1
                if not count:
                    raise _no_room(SMALL)
            self.reserved += count * _STRIDE + GUARD
            self._next, self._end = start + GUARD, start + GUARD + count * _STRIDE
        # Numbers only: nothing here can begin a collection, in which somebody else would be given the same place.
        at = self._next
        self._next = at + _STRIDE
        return at

    def _take_large(self, size: int) -> int:
        start = self._native.reserve(size + 2 * GUARD)
        if start is None:
            raise _no_room(size)
        at = start + GUARD
        self._large[at] = size
        return at


def _no_room(size: int) -> LimitExceeded:
    return LimitExceeded("address_space", f"no address space is left for {size} bytes")
