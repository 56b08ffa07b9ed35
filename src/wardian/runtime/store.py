"""Spec "Store": the owner of everything a group of linked instances can reach.

Invariant: a context (an instance's or a host function's native block) belongs to one store and lives exactly as long
as it; two stores become one when a module links them, so a reference never points into another store.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Protocol, final

from wardian.errors import LinkError
from wardian.limits import Limits
from wardian.runtime.native import Block, OwnedFd
from wardian.runtime.process import Process
from wardian.vm.layout import ACTIVATION, FUNCREF, HEADER, STORE, THREAD
from wardian.vm.traps import TrapCode


class Parked(Protocol):
    """A guest that waits; see :mod:`wardian.runtime.parking`."""

    def wake(self) -> None:
        """Let it look whether it is to stop."""


@final
class Store:
    """Implicit: instances open or join one; embedders meet it as ``instance.store`` at most."""

    __slots__ = (
        "_merged",
        "_ref_ids",
        "_refs",
        "_wakes",
        "block",
        "contexts",
        "exceptions",
        "expired",
        "keep",
        "limits",
        "parked",
        "process",
        "tags",
    )

    def __init__(self, process: Process, limits: Limits) -> None:
        self.process = process
        self.limits = limits
        self.block = Block(STORE.size)
        self.block[STORE.at["max_stack"]] = limits.stack
        self.contexts: dict[int, Any] = {}
        """Context address -> its owner: an Instance or a HostFunc."""
        self.keep: list[object] = []
        self._refs: dict[int, object] = {}
        self._ref_ids: dict[int, int] = {}
        self._merged: Store | None = None
        self.exceptions = False
        """Is all code of this store compiled to look for pending exceptions?"""
        self.tags: dict[int, Any] = {}
        """Tag number -> TagInstance, of every tag an instance of this store has."""
        self._wakes: list[tuple[OwnedFd, OwnedFd]] = []
        self.expired: set[object] = set()
        """Deadlines that have passed and still hold."""
        self.parked: Parked | None = None
        """Where this store's guest waits for another thread, if it does."""

    def root(self) -> Store:
        """The store this one has become part of, or itself."""
        store = self
        while store._merged is not None:
            store = store._merged
        return store

    def adopt(self, block: Block, owner: object) -> None:
        """Make ``block`` (which begins with a HEADER) a context of this store."""
        block[HEADER.at["store"]] = self.block.address
        self.contexts[block.address] = owner
        self.keep.append(block)

    def join(self, other: Store) -> Store:
        """Make this and ``other`` one store; neither may be running. Returns the store that remains."""
        one, two = self.root(), other.root()
        if one is two:
            return one
        if two.running():
            one, two = two, one
        if two.running():
            raise LinkError("cannot link instances of two stores while both are running")
        if one.exceptions != two.exceptions:
            one.use_exceptions()
            two.use_exceptions()
        one.tags.update(two.tags)
        for context in two.contexts:
            self.process.native.poke(context + HEADER.at["store"], one.block.address)
        one.contexts.update(two.contexts)
        one.keep.extend(two.keep)
        one.keep.append(two)
        one._wakes += two._wakes
        one.expired |= two.expired
        one.block[STORE.at["interrupt"]] = one.block[STORE.at["interrupt"]] or two.block[STORE.at["interrupt"]]
        one._refs.update(two._refs)
        one._ref_ids.update(two._ref_ids)
        two._merged = one
        return one

    def use_exceptions(self) -> None:
        """From now on tags exist in this store: have all its code look for pending exceptions after calls.

        Raises :class:`LinkError` while a guest is running whose frames do not.
        """
        if self.exceptions:
            return
        if self.running():
            raise LinkError("cannot link a module with exception tags to instances that are running")
        self.exceptions = True
        for owner in self.contexts.values():
            owner.use_exceptions()

    # -- running -------------------------------------------------------------------------------------------------------

    def running(self) -> bool:
        """Is a guest of this store on some thread's stack now?"""
        return self.block[STORE.at["thread"]] != 0

    def inside(self) -> bool:
        """Is it the calling thread that is inside this store?"""
        return self.block[STORE.at["thread"]] == self.process.thread()

    def stop(self, code: TrapCode) -> bool:
        """Have guest code of this store trap with ``code``, running or called later; is one running? Call again if so.

        The GIL is held throughout, so the thread seen inside the store cannot leave it, let alone end, meanwhile.
        """
        if not self.block[STORE.at["interrupt"]]:
            self.block[STORE.at["interrupt"]] = int(code)
        thread = self.block[STORE.at["thread"]]
        if not thread:
            return False
        native = self.process.native
        native.signal_thread(native.peek(thread + THREAD.at["pthread"]), self.process.stop_signal)
        for _, end in self._wakes:
            with contextlib.suppress(OSError):
                os.write(end, b"!")
        if self.parked is not None:
            self.parked.wake()
        return True

    def _activations(self) -> Iterator[int]:
        """Addresses of the STOREs on the stack of the thread inside this store, innermost first."""
        peek = self.process.native.peek
        thread = self.block[STORE.at["thread"]]
        activation = peek(thread + THREAD.at["activation"]) if thread else 0
        while activation:
            yield peek(activation + ACTIVATION.at["store"])
            activation = peek(activation + ACTIVATION.at["prev"])

    def nested(self) -> bool:
        """Is there another store further out on the stack of this store's thread?"""
        return any(store != self.block.address for store in self._activations())

    def stopping_further_out(self) -> TrapCode | None:
        """What another store on the same stack has been told to stop with."""
        peek = self.process.native.peek
        words = (peek(s + STORE.at["interrupt"]) for s in self._activations() if s != self.block.address)
        return next((TrapCode(word) for word in words if word), None)

    def interrupt(self) -> bool:
        """Have a running guest trap; ``False`` if none runs. The trap itself takes the request back."""
        if not self.running():
            return False
        self.block[STORE.at["interrupt"]] = int(TrapCode.INTERRUPT)
        return self.stop(TrapCode.INTERRUPT)

    def stopping(self) -> TrapCode | None:
        """What guest code of this store has to trap with, if it has to."""
        word = self.block[STORE.at["interrupt"]]
        if word == TrapCode.TIMEOUT and not self.expired:
            self.settle()
            return None
        return TrapCode(word) if word else None

    def settle(self) -> None:
        """Forget stops that have been delivered or came too late; deadlines that have passed stay."""
        self.block[STORE.at["interrupt"]] = int(TrapCode.TIMEOUT) if self.expired else 0
        for end, _ in self._wakes:
            with contextlib.suppress(OSError):
                while os.read(end, 4096):
                    pass

    def wake_fd(self) -> int:
        """A file descriptor that becomes readable when a guest blocked in a host call must stop."""
        root = self.root()
        if not root._wakes:
            read, write = os.pipe()
            root._wakes.append((OwnedFd(read), OwnedFd(write)))
            for end in root._wakes[0]:
                os.set_blocking(end, False)
        return root._wakes[0][0]

    # -- references ----------------------------------------------------------------------------------------------------

    def extern_handle(self, value: object) -> int:
        """The number a Python object travels under as an ``externref``; the object lives as long as the store."""
        key = id(value)
        handle = self._ref_ids.get(key)
        if handle is None:
            handle = self.process.new_handle()
            self._refs[handle] = value
            self._ref_ids[key] = handle
        return handle

    def extern_value(self, handle: int) -> object:
        return self._refs[handle]

    def func_at(self, ref: int) -> Any:
        """The Python ``Func`` of a non-null FUNCREF address that a guest of this store holds."""
        peek = self.process.native.peek
        owner = self.contexts[peek(ref + FUNCREF.at["context"])]
        return owner.func_at(peek(ref + FUNCREF.at["index"]))
