"""A program out of bytes: what a fuzzer's bytes mean where they are a sequence of choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

T = TypeVar("T")


@final
class Taking:
    """Values off the front of bytes; zeros when there are no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def bytes(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        return found.ljust(size, b"\0")

    def signed(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little", signed=True)

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]
