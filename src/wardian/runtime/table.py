"""Spec "Table Instances": references as raw words where machine code indexes them.

Invariant: the elements lie in a guarded place (:mod:`wardian.runtime.places`) and never move, so machine code that has
loaded the base, or is interrupted in the middle of an access, never looks at freed memory, whatever another thread or a
signal handler does to the table meanwhile.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, final

from wardian.errors import LimitExceeded
from wardian.limits import exceeded
from wardian.runtime.heap import plain_word
from wardian.runtime.native import Block, page_up
from wardian.runtime.process import Process
from wardian.syntax.types import TableType, TypeLimits
from wardian.valid.types import TypeContext
from wardian.vm.layout import TABLE

_WORD: Final = 8
_LARGEST: Final = (1 << 32) - 1
"""Elements of a table."""


@final
class TableInstance:
    """One table. Words are what machine code sees: FUNCREF addresses or handles, 0 for null.

    ``keep`` holds the stores (or whatever else) its references live in, for a table made outside of any instance.
    """

    __slots__ = (
        "__weakref__",
        "_committed",
        "_process",
        "_storage",
        "_words",
        "block",
        "declared",
        "is_heap_ref",
        "keep",
        "limit",
        "refused",
        "types",
        "waiting",
    )

    def __init__(self, process: Process, declared: TableType, types: TypeContext, limit: int, init: int = 0) -> None:
        """Raises :class:`LimitExceeded` if its least size is above ``limit`` elements, or there is no room."""
        self.declared = declared
        self.types = types
        self.is_heap_ref = types.is_heap_ref(declared.element)
        self.waiting: dict[int, object] = {}
        """Of a table for heap references that no store has yet: its elements in Python."""
        most = declared.limits.max
        self.limit = limit if most is None else min(limit, most)
        self.refused = False
        """Was it not allowed to grow though its type says it may?"""
        self.block = Block(TABLE.size)
        self.keep: list[object] = []
        size = declared.limits.min
        if size > limit:
            raise exceeded("table_elements", f"a table of {size} elements is more than the limit of {limit}")
        self._process = process
        self._reserve()
        if self.grow(size, init) < 0:
            raise LimitExceeded("table_elements", f"the system has no room for a table of {size} elements")

    def _reserve(self) -> None:
        process, room = self._process, _WORD * self.limit
        self._storage: object = (place := process.new_place(room))
        self._words = process.places.words(place, self.limit)
        self._committed = process.places.accessible(place)
        self.block[TABLE.at["base"]] = place

    def lent(self, store: object | None, keeper: object) -> TableInstance:
        """The same table as an object of its own that keeps ``keeper`` and its ``store``."""
        made = TableInstance.__new__(TableInstance)
        made.declared = self.declared
        made.types = self.types
        made.is_heap_ref = self.is_heap_ref
        made.waiting = {}
        made.limit = self.limit
        made.refused = False
        made.block = self.block.lent(keeper)
        made.keep = [] if store is None else [store]
        made._process = self._process
        made._storage = self._storage, keeper
        made._words = self._words
        made._committed = self._committed
        return made

    def words(self) -> array[int]:
        """A copy of the present elements."""
        return array("Q", self._words[: len(self)])

    def restore(self, words: array[int]) -> None:
        """Make these the elements again, as many as there were at first; no other element keeps a reference."""
        old, new = len(self), len(words)
        self.block[TABLE.at["length"]] = min(old, new)
        if old > new:
            self._words[new:old] = memoryview(array("Q", bytes(_WORD * (old - new))))
        self._words[:new] = memoryview(words)
        self.block[TABLE.at["length"]] = new

    def __len__(self) -> int:
        return self.block[TABLE.at["length"]]

    @property
    def type(self) -> TableType:
        """The type with the present size as its least."""
        limits = self.declared.limits
        return TableType(self.declared.element, TypeLimits(len(self), limits.max, limits.is64))

    def word(self, index: int) -> int:
        return self._words[index]

    def write(self, at: int, words: Sequence[int]) -> None:
        """Store words; the caller has checked the range, and holds what they refer to."""
        raw = array("Q", map(plain_word, words) if self.is_heap_ref else words)
        self._words[at : at + len(words)] = memoryview(raw)

    def roots(self) -> list[int]:
        """What the collector must look at: addresses as in STORE.roots."""
        return [self.block.address] if self.is_heap_ref else []

    def grow(self, delta: int, word: int) -> int:
        """Grow by ``delta`` elements of ``word``; the old size, or -1 (spec: ``table.grow``)."""
        old = len(self)
        new = old + delta
        if new > self.limit or not self._commit(_WORD * new):
            most = self.declared.limits.max
            self.refused = self.refused or new <= (_LARGEST if most is None else most)
            return -1
        if delta and word:
            self._words[old:new] = memoryview(array("Q", [plain_word(word)]) * delta)
        self.block[TABLE.at["length"]] = new
        return old

    def _commit(self, size: int) -> bool:
        """Make the first ``size`` bytes accessible."""
        if size <= self._committed:
            return True
        # Room for as much again, so that growing one by one is linear.
        wanted = page_up(min(_WORD * self.limit, max(size, 2 * self._committed)))
        base = self.block[TABLE.at["base"]]
        if not self._process.native.commit(base + self._committed, wanted - self._committed):
            return False
        self._committed = wanted
        return True
