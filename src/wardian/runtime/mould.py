"""Instances that are made in the memory of others that nobody uses any more: many, cheaply, one after the other.

A *shell* is what is left of an ordinary instance: its native memory, in the state right after instantiation. It is
lent to one store and one instance at a time, which are Python objects made anew for each.

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

KEPT: Final = 16
"""How many shells that nobody uses a mould keeps, unless told otherwise."""


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
        "instance",
        "number",
        "spoiled",
        "store",
    )

    def __init__(self, mould: Mould, store: Store, instance: Instance, hosts: Sequence[HostFunc]) -> None:
        self._mould = weakref.ref(mould)
        self.instance = instance
        self.store = store
        self.number: int = store.process.new_handle()
        self.spoiled = False
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

    def end(self) -> None:
        """Called by :class:`Lease` when nothing of the last user is left."""
        mould = self._mould()
        if mould is None or self.spoiled or len(mould.free) >= mould.kept:
            return
        if self.instance.snapshot.restore(self.instance):
            self._words[:] = self._saved
            mould.free.append(self)


def _nobody() -> None:
    return None


def _present(shell: Shell | None) -> Store | None:
    return None if shell is None else shell.current()


@final
class Mould:
    """Makes instances of one module with the same imports. May be used by several threads."""

    __slots__ = ("__weakref__", "_make", "contents", "free", "kept")

    def __init__(self, make: Callable[[], tuple[Store, Instance, Sequence[HostFunc]]], kept: int = KEPT) -> None:
        """``make()`` gives a store, an ordinary instance in it whose start function has not run, and the host functions
        made for it. It holds no objects, and is linked to no other."""
        self._make = make
        self.kept = kept
        self.free: list[Shell] = []
        self.contents: list[Contents] | None = None

    def take(self) -> tuple[Store, Instance]:
        """A new instance, which lives as long as its store. Raises what making an instance raises."""
        try:
            shell = self.free.pop()
        except IndexError:
            shell = Shell(self, *self._make())
        number = shell.number
        lease = Lease(number)
        shell.store.process.shells[number] = shell
        lent = Store.lent(shell, lease)
        current = weakref.ref(lent)
        shell.current = current
        lent.first = instance = Instance.lent(shell.instance, current, lease)
        return lent, instance

    def warm(self, count: int) -> None:
        """Have ``count`` shells ready. Raises what making an instance raises."""
        while len(self.free) < min(count, self.kept):
            self.free.append(Shell(self, *self._make()))
