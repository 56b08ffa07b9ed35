"""Spec "Store": the owner of everything a group of linked instances can reach.

Invariant: a context (an instance's or a host function's native block) belongs to one store and lives exactly as long
as it; two stores become one when a module links them, so a reference never points into another store.
"""

from __future__ import annotations

import contextlib
import os
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, final

from wardian.errors import LinkError
from wardian.limits import UNLIMITED_FUEL, Limits
from wardian.runtime.native import Block, OwnedFd
from wardian.runtime.process import Process
from wardian.vm.layout import ACTIVATION, FUNCREF, HEADER, STORE, THREAD
from wardian.vm.traps import TrapCode

_TABLE: Final = 128
"""Bytes the tables of functions and of roots have at first."""

_HEAP_WORDS: Final = ("heap", "heap_memory", "alloc", "alloc_context", "functions", "functions_count")
"""What of a STORE belongs to its heap."""


class Shell(Protocol):
    """See :class:`wardian.runtime.mould.Shell`."""

    spoiled: bool

    @property
    def store(self) -> Store:
        """The store whose memory it is."""

    def contexts(self, store: Store) -> dict[int, Any]:
        """What :attr:`Store.contexts` is for a store in this shell."""


class Parked(Protocol):
    """A guest that waits; see :mod:`wardian.runtime.parking`."""

    def wake(self) -> None:
        """Let it look whether it is to stop."""


@final
class Store:
    """Implicit: instances open or join one; embedders meet it as ``instance.store`` at most."""

    __slots__ = (
        "__weakref__",
        "_functions",
        "_functions_block",
        "_heap",
        "_making",
        "_merged",
        "_root_set",
        "_roots",
        "_roots_block",
        "_wakes",
        "block",
        "contexts",
        "exceptions",
        "expired",
        "first",
        "instances",
        "keep",
        "lease",
        "limits",
        "parked",
        "process",
        "shell",
        "tags",
    )

    shell: Shell | None
    """Whose memory this store lives in, if it is one of :mod:`wardian.runtime.mould`."""
    first: Any
    """The instance that a store in a shell is made for."""
    lease: object

    def __init__(self, process: Process, limits: Limits) -> None:
        self.process = process
        self.limits = limits
        whole = Block(STORE.size + 2 * _TABLE)
        self.block = whole.part(0, STORE.size)
        self.block[STORE.at["max_stack"]] = limits.stack
        self.block[STORE.at["fuel"]] = limits.fuel
        self.shell = None
        self.contexts: dict[int, Any] = {}
        """Context address -> its owner: an Instance or a HostFunc."""
        self.keep: list[object] = []
        self.instances = 0
        self._heap: Any = None
        self._making = threading.RLock()
        self._functions = [0]
        self._functions_block = whole.part(STORE.size, _TABLE)
        self.block[STORE.at["functions"]] = self._functions_block.address
        self.block[STORE.at["functions_count"]] = 1
        self._roots: list[int] = []
        self._root_set: set[int] = set()
        self._roots_block = whole.part(STORE.size + _TABLE, _TABLE)
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

    @classmethod
    def lent(cls, shell: Shell, lease: object) -> Store:
        """A store in the memory of ``shell``, as new. Attributes not set here are made on first use."""
        store = cls.__new__(cls)
        store.process = shell.store.process
        store.shell = shell
        store.lease = lease
        store._merged = None
        return store

    def __getattr__(self, name: str) -> Any:
        make = _ON_FIRST_USE.get(name)
        if make is None:
            raise AttributeError(name)
        with self.process.lock:
            try:
                return object.__getattribute__(self, name)  # another thread was quicker
            except AttributeError:
                value = make(self, self.shell)
                setattr(self, name, value)
                return value

    def _spoil(self) -> None:
        """What is in this store's memory is about to become more than its shell can undo."""
        if self.shell is not None:
            self.shell.spoiled = True

    def root(self) -> Store:
        """The store this one has become part of, or itself."""
        store = self
        while store._merged is not None:
            store = store._merged
        return store

    def adopt(self, block: Block, owner: object) -> None:
        """Make ``block`` (which begins with a HEADER) a context of this store."""
        self._spoil()
        block[HEADER.at["store"]] = self.block.address
        self.contexts[block.address] = owner
        self.keep.append(block)

    def count_instance(self) -> None:
        """There is one more. Raises :class:`LimitExceeded`."""
        self.limits.check("instances", self.instances + 1)
        self.instances += 1

    def join(self, other: Store) -> Store:
        """Make this and ``other`` one store; neither may be running. Returns the store that remains."""
        one, two = self.root(), other.root()
        if one is two:
            return one
        if two.running():
            one, two = two, one
        if two.running():
            raise LinkError("cannot link instances of two stores while both are running")
        one._spoil()
        two._spoil()
        one._join_heaps(two)
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
        one.instances += two.instances
        one.block[STORE.at["interrupt"]] = one.block[STORE.at["interrupt"]] or two.block[STORE.at["interrupt"]]
        one.fuel = min(one.fuel, two.fuel)
        one.add_roots(two._roots)
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
        self._spoil()
        self.exceptions = True
        for owner in self.contexts.values():
            owner.use_exceptions()

    @property
    def fuel(self) -> int:
        """What is left for guests of this store to spend, if their code counts it. While code runs, up to date
        wherever that calls out."""
        left = self.root().block[STORE.at["fuel"]]
        return left if left <= UNLIMITED_FUEL else 0

    @fuel.setter
    def fuel(self, units: int) -> None:
        if not 0 <= units <= UNLIMITED_FUEL:
            raise ValueError(f"fuel must be at least 0 and below 2**63, not {units}")
        self.root().block[STORE.at["fuel"]] = units

    def forgive(self) -> None:
        """What a guest could not pay is no debt: whoever gives fuel next gives all of it."""
        if not self.fuel:
            self.fuel = 0

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

    def heap(self) -> Any:
        """The :class:`wardian.runtime.heap.Heap` of this store, made now if there is none. Raises
        :class:`LimitExceeded`."""
        root = self.root()
        if root._heap is None:
            with root._making:
                if root._heap is None:
                    root._spoil()
                    root._heap = root.process.make_heap(root)
        return root._heap

    def has_heap(self) -> bool:
        return self.root()._heap is not None

    def add_roots(self, addresses: Iterable[int]) -> None:
        """Have the collector look at these {base, length} of words; they live as long as the store.

        A guest may be collecting on another thread: the new list begins as the old one, and the count is raised last.
        """
        root = self.root()
        new = [a for a in addresses if a not in root._root_set]
        if not new:
            return
        root._root_set.update(new)
        root._roots += new
        if 8 * len(root._roots) > root._roots_block.size:
            block = Block(16 * len(root._roots))
            root.keep.append(block)
            block.words[: len(root._roots)] = memoryview(array("Q", root._roots))
            root._roots_block = block
        else:
            start = len(root._roots) - len(new)
            root._roots_block.words[start : len(root._roots)] = memoryview(array("Q", new))
        root.block[STORE.at["roots"]] = root._roots_block.address
        root.block[STORE.at["roots_count"]] = len(root._roots)

    def function_number(self, ref: int) -> int:
        """What stands for a FUNCREF of this store inside its heap."""
        root = self.root()
        at = ref + FUNCREF.at["type_id"]
        word = root.process.native.peek(at)
        if not word >> 32:
            number = len(root._functions)
            root._functions.append(ref)
            block = root._functions_block
            if 8 * len(root._functions) > block.size:
                block = root._functions_block = Block(16 * len(root._functions))
                root.keep.append(block)
                block.words[: len(root._functions)] = memoryview(array("Q", root._functions))
            block[8 * number] = ref
            root.block[STORE.at["functions"]] = block.address
            root.block[STORE.at["functions_count"]] = len(root._functions)
            root.process.native.poke(at, word | number << 32)
            return number
        return word >> 32

    def function(self, number: int) -> int:
        """Inverse of :meth:`function_number`."""
        return self.root()._functions[number]

    def _join_heaps(self, two: Store) -> None:
        """Leave one heap, this store's. If both have one, one of the two must hold nothing. Raises
        :class:`LinkError`."""
        if two._heap is None:
            return
        if self._heap is not None:
            if two.is_heap_empty():
                self._heap.register_all_of(two._heap)
                two._forget_functions()
                return
            if self.running() or not self.is_heap_empty():
                raise LinkError(
                    "cannot link instances of two stores that both have objects in their heaps; "
                    "make the second instance in the store of the first: instantiate(imports, beside=first)"
                )
            two._heap.register_all_of(self._heap)
            self._forget_functions()
        for name in _HEAP_WORDS:
            self.block[STORE.at[name]] = two.block[STORE.at[name]]
        self._heap, self._functions, self._functions_block = two._heap, two._functions, two._functions_block
        self._heap.store = self

    def _forget_functions(self) -> None:
        """The heap that knew this store's functions by number is no more."""
        native, at = self.process.native, FUNCREF.at["type_id"]
        for ref in self._functions[1:]:
            native.poke(ref + at, native.peek(ref + at) & 0xFFFFFFFF)
        self._functions = [0]
        self.block[STORE.at["functions_count"]] = 1

    def is_heap_empty(self) -> bool:
        """Whether nothing in the heap can be reached."""
        if self._heap is None:
            return True
        self._heap.collect()
        return int(self._heap.live()) == 0

    def func_at(self, ref: int) -> Any:
        """The Python ``Func`` of a non-null FUNCREF address that a guest of this store holds."""
        peek = self.process.native.peek
        owner = self.contexts[peek(ref + FUNCREF.at["context"])]
        return owner.func_at(peek(ref + FUNCREF.at["index"]) & 0xFFFF_FFFF)


_ON_FIRST_USE: Final[Mapping[str, Callable[[Store, Any], Any]]] = MappingProxyType(
    {
        "limits": lambda store, shell: shell.store.limits,
        "block": lambda store, shell: shell.store.block.lent(store.lease),
        "contexts": lambda store, shell: shell.contexts(store),
        "instances": lambda store, shell: 1,
    "keep": lambda store, shell: [store.lease],
        "exceptions": lambda store, shell: False,
        "tags": lambda store, shell: {},
        "expired": lambda store, shell: set(),
        "parked": lambda store, shell: None,
        "_heap": lambda store, shell: None,
        "_making": lambda store, shell: threading.RLock(),
        "_functions": lambda store, shell: [0],
        "_functions_block": lambda store, shell: shell.store._functions_block.lent(store.lease),
        "_roots": lambda store, shell: list(shell.store._roots),
        "_root_set": lambda store, shell: set(shell.store._roots),
        "_roots_block": lambda store, shell: shell.store._roots_block.lent(store.lease),
        "_wakes": lambda store, shell: [],
    }
)
"""Attribute of a store in a shell -> what it is at first, from the store and its shell."""
