"""Instances that are made in the memory of others that nobody uses any more: many, cheaply, one after the other.

A *shell* is what is left of an ordinary instance: its native memory, in the state right after instantiation. It is
lent to one store and one instance at a time, which are Python objects made anew for each, when they are first used.

Invariant: whatever points into a shell's memory holds its *lease*; so a shell is lent again only when nothing of its
last user is left that could see or change it, whatever that user kept, and only after it has been restored. A store
that has become more than a snapshot can undo (a heap, links to other stores, exceptions) spoils its shell, which then
is not lent again.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from wardian.runtime.function import HostFunc
from wardian.runtime.instance import Instance
from wardian.runtime.native import uncollected
from wardian.runtime.process import Process, process
from wardian.runtime.snapshot import Contents, Snapshot
from wardian.runtime.store import Store

KEPT: Final = 256
"""How many shells that nobody uses a mould keeps at most, unless told otherwise."""

CERTAIN: Final = 16
"""How many of them it keeps in any case."""

SPARE: Final = 1024
"""How many shells beyond these all moulds of a process keep: each has some kilobytes, and a few mappings."""


PAGES: Final = 4096
"""How many pages of memory, filled anew, all shells of a process keep: 16 MiB."""


@uncollected
class Lease(int):
    """A shell's number, for as long as it is lent. Uncollected, so that it ends after every finaliser of a cycle."""

    # The default is there even when the interpreter has begun to take modules apart.
    def __del__(self, process: Callable[[], Process] = process) -> None:
        shell = process().shells.pop(int(self), None)
        if shell is not None:
            shell.end()


@final
class Shell:
    """Implements :class:`wardian.runtime.store.Shell`."""

    __slots__ = (
        "__weakref__",
        "_hosts",
        "_mould",
        "_saved",
        "_words",
        "current",
        "inhabited",
        "instance",
        "number",
        "pages",
        "spoiled",
        "store",
    )

    def __init__(self, mould: Mould, store: Store, instance: Instance, hosts: Sequence[HostFunc]) -> None:
        self._mould = weakref.ref(mould)
        self.instance = instance
        self.store = store
        self.number: int = store.process.new_handle()
        self.spoiled = False
        self.inhabited = False
        """Has anything been made in it since it was last restored?"""
        self.pages = 0
        """How many pages of it are in memory."""
        self.current: Callable[[], Store | None] = _nobody
        self._hosts = hosts
        instance.snapshot = Snapshot(instance, mould.contents)
        mould.contents = instance.snapshot.contents
        self._words = self.store.block.words
        self._saved = memoryview(array("Q", self._words))
        itself = weakref.ref(self)
        for host in hosts:
            host.lend(lambda: _present(itself()))

    def contexts(self, store: Store) -> dict[int, Any]:
        contexts: dict[int, Any] = {host.block.address: host.lent(store, store.lease) for host in self._hosts}
        contexts[self.instance.block.address] = store.first
        return contexts

    def lend(self, lease: object) -> tuple[Store, Instance]:
        """The store and the instance of whoever has the ``lease``, who asks once."""
        self.inhabited = True
        store = Store.lent(self, lease)
        self.current = current = weakref.ref(store)
        store.first = instance = Instance.lent(self.instance, current, lease)
        return store, instance

    def end(self) -> None:
        """Called by :class:`Lease` when nothing of the last user is left."""
        mould = self._mould()
        if mould is None or self.spoiled or not mould.has_room():
            return
        if self.inhabited:
            pages = self.instance.snapshot.restore(self.instance, mould.pages_left())
            if pages < 0:
                return
            self._words[:] = self._saved
            self.inhabited = False
            self.pages = pages
        mould.put(self)


def _nobody() -> None:
    return None


def _present(shell: Shell | None) -> Store | None:
    return None if shell is None else shell.current()


@final
class Mould:
    """Makes instances of one module with the same imports. May be used by several threads."""

    __slots__ = ("__weakref__", "_make", "_process", "contents", "free", "kept")

    def __init__(self, make: Callable[[], tuple[Store, Instance, Sequence[HostFunc]]], kept: int = KEPT) -> None:
        """``make()`` gives a store, an ordinary instance in it whose start function has not run, and the host functions
        made for it. It holds no objects, and is linked to no other."""
        self._make = make
        self._process = process()
        self.kept = kept
        self.free: list[Shell] = []
        self.contents: list[Contents] | None = None
        weakref.finalize(self, _forget, self._process, self.free).atexit = False

    def take(self) -> Lease:
        """A new instance: who has the lease is given it by its shell (:attr:`Process.shells`, :meth:`Shell.lend`).

        Raises what making an instance raises.
        """
        try:
            shell = self.free.pop()
        except IndexError:
            shell = Shell(self, *self._make())
        else:
            self._process.resident_pages -= shell.pages
            if len(self.free) >= CERTAIN:
                self._process.spare_shells -= 1
        lease = Lease(shell.number)
        self._process.shells[shell.number] = shell
        return lease

    def has_room(self) -> bool:
        """Is one more shell to be kept?"""
        count = len(self.free)
        return count < self.kept and (count < CERTAIN or self._process.spare_shells < SPARE)

    def pages_left(self) -> int:
        """How many pages of one more shell may stay in memory."""
        return max(PAGES - self._process.resident_pages, 0)

    def put(self, shell: Shell) -> None:
        """Keep a shell that has been restored."""
        self._process.resident_pages += shell.pages
        if len(self.free) >= CERTAIN:
            self._process.spare_shells += 1
        self.free.append(shell)

    def keep(self, count: int) -> None:
        """Keep at most ``count`` shells from now on."""
        self.kept = count
        while len(self.free) > count:
            self.take()

    def warm(self, count: int) -> None:
        """Have ``count`` shells ready. Raises what making an instance raises."""
        while len(self.free) < min(count, self.kept):
            self.put(Shell(self, *self._make()))


def _forget(process: Process, free: list[Shell]) -> None:
    """A mould is gone with these shells."""
    process.spare_shells -= max(len(free) - CERTAIN, 0)
    process.resident_pages -= sum(shell.pages for shell in free)
