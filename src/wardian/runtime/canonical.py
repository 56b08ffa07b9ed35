"""Spec "Matching" between modules, at run time: canonical types as numbers that machine code compares.

A *type id* is a number, and below it the kind (:mod:`wardian.vm.heap`). Copies of it are in functions (FUNCREF), in the
headers of heap objects, in the table that a module's machine code reads its own types from, and in the rows of subtypes
in the table of ancestors. Whatever has a copy holds the *lease* of some module that has the type:

* a module's table of ids (:meth:`Canonical.lease`) has it, and so has the module's code and, through that, its
  instances;
* a FUNCREF is part of an instance or of a host function, which has it; a store holds all of its own, and whoever can
  reach a function (an export, a table or global made outside, a handle) holds the store; so does a thread that runs a
  guest, by the ``Func`` it called;
* an object's header is in the heap of a store, which has taken the leases of all modules that could make it;
* a module that has a subtype has its supertypes, so its lease is theirs.

Invariant: an id is given up only when no lease has its type, so nothing is left that it could be compared with. And
its number goes to another type only after all others of the window have had their turn (:data:`WINDOW`, of which at
least half are free); until then its row is zero, so what should not exist any more is not cast to anything.

A lease ends in a finaliser: on any thread, at any allocation, in the middle of what is done here. So ends are only
noted there, and taken account of when there are many and nobody, further out on the same stack either, is at work. All
that can be cut short (by a signal, an exception, ``fork``) is cut short on the safe side: a type that nobody uses may
stay for ever, but none goes that somebody uses.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, final

from wardian.errors import LimitExceeded
from wardian.runtime.native import PAGE, Block, Native
from wardian.syntax.types import SubType
from wardian.valid.types import TypeContext
from wardian.vm import heap
from wardian.vm.objects import kind

NUMBERS: Final = 1 << (32 - heap.TYPE_SHIFT)
"""How many numbers a header has room for."""

WINDOW: Final = 1 << 24
"""How many numbers are in use, as long as fewer than half of them are alive: the more, the later is one used again, and
the more memory does the kernel need to keep track of rows."""

KEPT: Final = 32
KEPT_TYPES: Final = 2048
"""How many leases that have ended, and about how many types of theirs, are left alone: who loads the same modules over
and over finds their types."""

ANCESTORS: Final = NUMBERS << heap.ROW_SHIFT
"""Address space for a row for every number."""

_STEP: Final = 1 << 18
_CELLS: Final = 1 << heap.ROW_SHIFT - 2
"""Words of 4 bytes in a row."""
_ROWS: Final = PAGE >> heap.ROW_SHIFT
"""Rows in a page."""


@final
class Type:
    """A canonical type that some lease has, or may be about to have. ``users`` counts them, a lease as often as its
    module has the type."""

    __slots__ = ("depth", "id", "key", "parent", "users")

    def __init__(self, key: bytes, parent: Type | None) -> None:
        self.id = 0
        self.key = key
        self.parent = parent
        self.users = 0
        self.depth: int = 0 if parent is None else parent.depth + 1

    def ancestry(self) -> Iterator[int]:
        """The ids of the type and of its supertypes, the type's own first."""
        at: Type | None = self
        while at is not None:
            yield at.id
            at = at.parent


@final
class Canonical:
    """The canonical types of a process. Usable from several threads; :meth:`start` comes first."""

    def __init__(self, native: Native, lease: Callable[[int], object]) -> None:
        """``lease(number)`` is an object that calls :meth:`end` with the number when the last reference to it goes."""
        self._native = native
        self._lease = lease
        self._rows = 0
        self._cells = memoryview(b"")
        """The rows' words of 4 bytes."""
        self._ready = 0
        """Rows of numbers below are accessible."""
        self._types: dict[bytes, Type] = {}
        self._alive: dict[int, Type] = {}
        """The numbers that are taken."""
        self._next = 1
        self._window = WINDOW
        self._leases: dict[int, list[Type]] = {}
        self._numbers = itertools.count(1)
        self._ended: deque[int] = deque()
        self._ended_types = 0
        """How many types these have, about."""
        self._lock = threading.RLock()
        self._busy = 0
        """How many are at work on these tables: one within the other, all on the thread that has the lock."""
        self._worker = 0

    def __len__(self) -> int:
        """How many types are known."""
        return len(self._alive)

    def start(self, rows: int) -> None:
        """``rows`` is where the table of ancestors is to be: :data:`ANCESTORS` reserved bytes."""
        self._rows = rows
        self._cells = self._native.words(rows, ANCESTORS >> 3).cast("B").cast("I")

    def after_fork(self) -> None:
        """In the child: other threads, one of which may have been at work, are no more."""
        self._lock = threading.RLock()
        if self._worker != threading.get_ident():
            self._busy = 0

    # -- leases --------------------------------------------------------------------------------------------------------

    def lease(self, types: TypeContext) -> Block:
        """The ids of a module's types, 8 bytes each, which mean them for as long as the block lives.

        Raises :class:`LimitExceeded`, ``MemoryError``.
        """
        keys = types.keys()
        ids = Block(8 * len(keys))
        number = next(self._numbers)
        held: list[Type] = []
        self._leases[number] = held
        ids.keep(self._lease(number))
        with self._lock:
            self._worker = threading.get_ident()
            self._busy += 1
            try:
                self._fill(ids, keys, types.module.types, held)
            finally:
                self._busy -= 1
        return ids

    def _fill(self, ids: Block, keys: list[bytes], subs: list[SubType], held: list[Type]) -> None:
        """Count one more user of each type of a module, note in ``held`` that they are, and write down their ids."""
        known, words = self._types, ids.words
        for i, key in enumerate(keys):
            while True:
                found = known.get(key)
                if found is None:
                    sub = subs[i]
                    parent = held[sub.supers[0]] if sub.supers else None
                    found = self._add(key, parent, kind(sub.comp, subs))
                # In this order: what is cut short between the two is counted too often, never too rarely.
                found.users += 1
                # Who sweeps first makes a type unfindable and then looks for users; here it is the other way round. So
                # it is not lost, whatever comes between.
                if known.get(key) is found:
                    break
                found.users -= 1
            held.append(found)
            words[i] = found.id

    def _add(self, key: bytes, parent: Type | None, kind: int) -> Type:
        made = Type(key, parent)
        if made.depth >= _CELLS:
            # Whatever the embedder's limit is: the rest of the row would be another type's.
            raise LimitExceeded("subtype_depth", f"a type with more than {_CELLS - 1} supertypes cannot be told apart")
        number = self._take(made)
        made.id = number << heap.TYPE_SHIFT | kind
        self._write_row(number, made)
        # A finaliser, or a signal's handler, may have come here with the same type meanwhile.
        found = self._types.setdefault(key, made)
        if found is not made:
            self._give_up(number)
        return found

    def _take(self, type_: Type) -> int:
        """The next number that nobody has, for ``type_``."""
        alive = self._alive
        if 2 * len(alive) >= self._window:
            if self._window == NUMBERS:
                raise LimitExceeded("types", f"{len(alive):,} different types are in use in this process")
            self._window *= 2
        number = self._next
        while number >= self._window or alive.setdefault(number, type_) is not type_:
            number = number + 1 if number < self._window else 1
        self._next = number + 1
        return number

    def _write_row(self, number: int, type_: Type) -> None:
        """Fill the row that makes casts constant in time: the type's supertypes and itself, by depth; it was zero.

        Also that of a type without supertypes is read, by those that look for one there.
        """
        if number >= self._ready and not self._commit(number):
            del self._alive[number]
            raise MemoryError("no memory for types")
        at = number * _CELLS
        for id in [*type_.ancestry()][::-1]:
            self._cells[at] = id
            at += 1

    def _commit(self, number: int) -> bool:
        """Make rows accessible up to that of ``number``."""
        start, end = self._ready << heap.ROW_SHIFT, ((number + 1) << heap.ROW_SHIFT) + _STEP - 1 & -_STEP
        if not self._native.commit(self._rows + start, end - start):
            return False
        self._ready = end >> heap.ROW_SHIFT
        return True

    def _give_up(self, number: int) -> None:
        """Let a number go whose type nobody can find, and zero its row."""
        cells, at = self._cells, number * _CELLS
        end = at + _CELLS
        while at < end and cells[at]:
            cells[at] = 0
            at += 1
        del self._alive[number]

    # -- ends ----------------------------------------------------------------------------------------------------------

    def end(self, number: int) -> None:
        """Called by a lease when nothing refers to it any more."""
        self._ended_types += len(self._leases[number])
        self._ended.append(number)
        if len(self._ended) > KEPT or self._ended_types > KEPT_TYPES:
            self.sweep()

    def sweep(self) -> None:
        """Forget what only leases that have ended had; not now if somebody is at work, for whoever has the lock may be
        waiting for this thread."""
        if self._lock.acquire(blocking=False):
            try:
                self._worker = threading.get_ident()
                self._sweep()
            finally:
                self._lock.release()

    def _sweep(self) -> None:
        """Forget what only leases that have ended had, unless somebody further out on this stack is at work."""
        if self._busy or not self._ended:
            return
        self._busy += 1
        self._ended_types = 0
        freed: list[int] = []
        try:
            while self._ended:
                held = self._leases.pop(self._ended.popleft())
                # Subtypes come after their supertypes, and go before them. Off the list first: what is cut short
                # between the two is never counted down.
                while held:
                    type_ = held.pop()
                    type_.users -= 1
                    if not type_.users and self._hide(type_):
                        freed.append(type_.id >> heap.TYPE_SHIFT)
            self._free(freed)
        finally:
            self._busy -= 1

    def _hide(self, type_: Type) -> bool:
        """Have nobody find a type any more, unless somebody has found it meanwhile (see :meth:`_fill`)."""
        there = self._types.pop(type_.key, None)
        if there is not None and (there is not type_ or type_.users):
            self._types.setdefault(type_.key, there)
        return not type_.users

    def _free(self, numbers: list[int]) -> None:
        """Give up numbers of types that nobody can find any more, and the pages that only their rows were in."""
        alive = self._alive
        for number in numbers:
            self._give_up(number)
        for page in {number // _ROWS for number in numbers} - {self._next // _ROWS}:
            rows = range(page * _ROWS, (page + 1) * _ROWS)
            if not any(map(alive.__contains__, rows)):
                self._native.discard(self._rows + page * PAGE, PAGE)
                # If somebody has come between: once more.
                for number in filter(alive.__contains__, rows):
                    self._write_row(number, alive[number])
