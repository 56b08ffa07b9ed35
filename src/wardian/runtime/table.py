"""Spec "Table Instances": references as raw words where machine code indexes them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import final

from wardian.errors import LimitExceeded
from wardian.runtime.native import Block
from wardian.syntax.types import TableType, TypeLimits
from wardian.valid.types import TypeContext
from wardian.vm.layout import TABLE


@final
class TableInstance:
    """One table. Words are what machine code sees: FUNCREF addresses or handles, 0 for null.

    ``keep`` holds the stores (or whatever else) its references live in, for a table made outside of any instance.
    """

    __slots__ = ("__weakref__", "_storage", "block", "declared", "keep", "limit", "types")

    def __init__(self, declared: TableType, types: TypeContext, limit: int, init: int = 0) -> None:
        """Raises :class:`LimitExceeded` if its least size is above ``limit`` elements."""
        self.declared = declared
        self.types = types
        most = declared.limits.max
        self.limit = limit if most is None else min(limit, most)
        self.block = Block(TABLE.size)
        self.keep: list[object] = []
        size = declared.limits.min
        if size > limit:
            raise LimitExceeded("table_elements", f"a table of {size} elements is more than the limit of {limit}")
        self._storage = Block(0)
        self._allocate(size)
        if init:
            self.write(0, [init] * size)

    def _allocate(self, size: int) -> None:
        storage = Block(8 * max(size, 1))
        old = len(self)
        storage.words[:old] = self._storage.words[:old]
        self._storage = storage
        self.block[TABLE.at["base"]] = storage.address
        self.block[TABLE.at["length"]] = size

    def __len__(self) -> int:
        return self.block[TABLE.at["length"]]

    @property
    def type(self) -> TableType:
        """The type with the present size as its least."""
        limits = self.declared.limits
        return TableType(self.declared.element, TypeLimits(len(self), limits.max, limits.is64))

    def word(self, index: int) -> int:
        return self._storage.words[index]

    def write(self, at: int, words: Sequence[int]) -> None:
        """Store raw words; the caller has checked the range."""
        self._storage.words[at : at + len(words)] = memoryview(array("Q", words))

    def grow(self, delta: int, word: int) -> int:
        """Grow by ``delta`` elements of ``word``; the old size, or -1 (spec: ``table.grow``)."""
        old = len(self)
        if old + delta > self.limit:
            return -1
        try:
            if old + delta > len(self._storage.words):
                # Room for as many again, so that growing one by one is linear.
                wanted = min(self.limit, max(old + delta, 2 * old))
                self._allocate_room(wanted)
        except MemoryError:
            return -1
        self.block[TABLE.at["length"]] = old + delta
        if delta:
            self._storage.words[old : old + delta] = memoryview(array("Q", [word]) * delta)
        return old

    def _allocate_room(self, room: int) -> None:
        old = len(self)
        self._allocate(room)
        self.block[TABLE.at["length"]] = old
