"""What an embedder holds: instances and their exports.

Invariant: a handle keeps alive what it stands for; no use of one, however wrong, does more than raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

from wardian.api.engine import Engine, default_engine
from wardian.errors import Refused, StoreBusy, printable
from wardian.limits import PAGE
from wardian.runtime import references
from wardian.runtime.cells import GlobalInstance
from wardian.runtime.instance import Instance as InstanceData
from wardian.runtime.instantiate import start_over
from wardian.runtime.memory import MemoryInstance
from wardian.runtime.native import no_copy
from wardian.runtime.process import process
from wardian.runtime.snapshot import Snapshot
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.runtime.watchdog import watchdog
from wardian.syntax.module import Module as ModuleDecl
from wardian.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    TypeLimits,
    ValType,
)
from wardian.valid.types import TypeContext
from wardian.vm.traps import TrapCode

if TYPE_CHECKING:
    class Func:
        """A function of an instance, called like any Python function; see
        :class:`wardian.runtime.function.NativeTypes`."""

        name: str
        type: Any

        def __call__(self, *args: Any) -> Any: ...

else:

    def __getattr__(name: str) -> Any:
        if name == "Func":
            return default_engine().process.types.Func
        raise AttributeError(name)


_NAMED: Final[dict[str, ValType]] = {
    "i32": I32,
    "i64": I64,
    "f32": F32,
    "f64": F64,
    "v128": V128,
    "funcref": FUNCREF,
    "externref": EXTERNREF,
}


def _no_types() -> TypeContext:
    """The types of things made outside of any module: none."""
    return TypeContext(ModuleDecl(b""))


def _ref_type(name: str) -> RefType:
    found = _NAMED.get(name)
    if not isinstance(found, RefType):
        raise ValueError(f"element must be 'funcref' or 'externref', not {name!r}")
    return found


@final
class Memory:
    """A linear memory: bytes by slice, numbers by index, and a live ``memoryview``.

    ``memory[a:b]`` is a copy as ``bytes``; ``memory[a:b] = data`` writes exactly ``b - a`` bytes. Out of range raises
    ``IndexError`` (nothing is truncated silently).

    Another thread may change the bytes at any time if the memory is shared, or while its guest runs. Numbers and
    slices are copies and safe to work on; of a view, take a copy before parsing it, for what was checked may have
    changed since.
    """

    __slots__ = ("__weakref__", "_instance")
    __reduce_ex__ = no_copy
    _instance: MemoryInstance

    def __init__(
        self,
        min: int,
        max: int | None = None,
        *,
        shared: bool = False,
        page_size: int = PAGE,
        engine: Engine | None = None,
    ) -> None:
        """A memory of ``min`` to ``max`` pages, to be imported by modules. Raises :class:`LimitExceeded`.

        A ``shared`` one, which must have a ``max``, may be imported by instances that run on different threads at once.
        ``page_size`` is 65536 or (custom page sizes) 1. Raises :class:`FeatureDisabled` where ``engine`` forbids it.
        """
        if page_size not in (1, PAGE):
            raise ValueError(f"a page has 1 or {PAGE} bytes, not {page_size}")
        most = (1 << 32) // page_size
        if not 0 <= min <= most or (max is not None and not min <= max <= most):
            raise ValueError(f"a memory has 0 <= min <= max <= {most} pages of {page_size} bytes")
        if shared and max is None:
            raise ValueError("a shared memory must have a maximum")
        used = engine or default_engine()
        if shared:
            used.config.check_shared()
        declared = MemoryType(TypeLimits(min, max), bool(shared), page_size.bit_length() - 1)
        self._instance = MemoryInstance(used.process, declared, used.config.limits.memory)

    @property
    def type(self) -> MemoryType:
        return self._instance.type

    @property
    def size(self) -> int:
        """Bytes."""
        return self._instance.length

    def __len__(self) -> int:
        return self._instance.length

    @property
    def pages(self) -> int:
        return self._instance.length >> self._instance.declared.page_size_log2

    def grow(self, pages: int) -> int:
        """Grow by ``pages``; the old size in pages. Raises ``MemoryError`` if that is refused."""
        if pages < 0:
            raise ValueError("a memory cannot shrink")
        old = self._instance.grow(pages)
        if old < 0:
            raise MemoryError(f"the memory cannot grow by {pages} pages")
        return old

    def view(self) -> memoryview:
        """All bytes, writable, without a copy. Growing the memory leaves a view valid, at its old length.

        What a guest on another thread writes shows at once, in any order.
        """
        # A view of its own: the caller may release it, or use it in a ``with``.
        return self._instance.view()[:]

    def _range(self, key: slice) -> tuple[int, int]:
        size = self._instance.length
        start = 0 if key.start is None else key.start
        stop = size if key.stop is None else key.stop
        if key.step not in (None, 1):
            raise ValueError("memory slices have no step")
        if not 0 <= start <= stop <= size:
            raise IndexError(f"[{start}:{stop}] is out of the memory's {size} bytes")
        return start, stop

    def __getitem__(self, key: slice | int) -> Any:
        if isinstance(key, slice):
            start, stop = self._range(key)
            return bytes(self._instance.view()[start:stop])
        if not 0 <= key < self._instance.length:
            raise IndexError(f"{key} is out of the memory's {self._instance.length} bytes")
        return self._instance.view()[key]

    def __setitem__(self, key: slice | int, value: Any) -> None:
        if isinstance(key, slice):
            start, stop = self._range(key)
            data = memoryview(value).cast("B")
            if len(data) != stop - start:
                raise ValueError(f"{len(data)} bytes cannot be written to [{start}:{stop}]")
            self._instance.view()[start:stop] = data
            return
        if not 0 <= key < self._instance.length:
            raise IndexError(f"{key} is out of the memory's {self._instance.length} bytes")
        self._instance.view()[key] = value

    def read(self, at: int, size: int) -> bytes:
        """``size`` bytes from ``at``. Raises ``IndexError``."""
        return bytes(self[at : at + size])

    def write(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data`` at ``at``. Raises ``IndexError``, and then nothing is written."""
        self[at : at + len(data)] = data

    def __repr__(self) -> str:
        return f"<wardian.Memory: {self.pages} pages>"


@final
class Table:
    """A table of references: ``table[i]`` is ``None``, a :class:`Func`, or (externref) any object."""

    __slots__ = ("__weakref__", "_instance")
    __reduce_ex__ = no_copy
    _instance: TableInstance

    def __init__(self, element: str, min: int, max: int | None = None, *, engine: Engine | None = None) -> None:
        """A table of ``"funcref"`` or ``"externref"`` elements, all null, to be imported by modules."""
        if min < 0 or (max is not None and max < min) or (max is not None and max >= 1 << 32):
            raise ValueError("a table has 0 <= min <= max < 2**32 elements")
        used = engine or default_engine()
        declared = TableType(_ref_type(element), TypeLimits(min, max))
        self._instance = TableInstance(used.process, declared, _no_types(), used.config.limits.table_elements)

    @property
    def type(self) -> TableType:
        return self._instance.type

    def __len__(self) -> int:
        return len(self._instance)

    def _index(self, index: int) -> int:
        if not 0 <= index < len(self._instance):
            raise IndexError(f"{index} is out of the table's {len(self._instance)} elements")
        return index

    def _word(self, value: Any) -> int:
        """The word for ``value``; -1 if it has to wait for the table to be linked."""
        table = self._instance
        store = _owner(table, value)
        if store is None and table.is_heap_ref and value is not None:
            return -1
        return references.to_word(value, table.declared.element, table.types, store, "the element")

    def __getitem__(self, index: int) -> Any:
        table = self._instance
        index = self._index(index)
        if index in table.waiting:
            return table.waiting[index]
        store = references.owner(table)
        return references.load(lambda: table.word(index), table.declared.element, table.types, store)

    def __setitem__(self, index: int, value: Any) -> None:
        table = self._instance
        index = self._index(index)
        word = self._word(value)
        table.waiting.pop(index, None)
        if word < 0:
            table.waiting[index] = value
        else:
            table.write(index, [word])

    def grow(self, count: int, value: Any = None) -> int:
        """Add ``count`` elements of ``value``; the old size. Raises ``MemoryError`` if that is refused."""
        if count < 0:
            raise ValueError("a table cannot shrink")
        word = self._word(value)
        old = self._instance.grow(count, max(word, 0))
        if old < 0:
            raise MemoryError(f"the table cannot grow by {count} elements")
        if word < 0:
            self._instance.waiting.update(dict.fromkeys(range(old, old + count), value))
        return old

    def __repr__(self) -> str:
        return f"<wardian.Table: {len(self)} x {self._instance.declared.element}>"


def _owner(cell: TableInstance | GlobalInstance, value: Any) -> Store | None:
    """The store of a table or a global; one that has none joins that of the ``value`` it is to hold."""
    found = references.owner(cell)
    if found is None and value is not None:
        found = references.store_of(value, default_engine().process)
        if found is not None:
            references.settle(cell, found)
    return found


@final
class Global:
    """A global variable: read and write ``value`` (writing an immutable one raises ``AttributeError``)."""

    __slots__ = ("__weakref__", "_instance")
    __reduce_ex__ = no_copy
    _instance: GlobalInstance

    def __init__(self, type: str, value: Any, *, mutable: bool = False) -> None:
        """A global of type ``"i32"``, ``"i64"``, ``"f32"``, ``"f64"``, ``"v128"``, ``"funcref"`` or ``"externref"``, to
        be
        imported."""
        if type not in _NAMED:
            raise ValueError(f"type must be one of {', '.join(_NAMED)}, not {type!r}")
        self._instance = GlobalInstance(GlobalType(_NAMED[type], mutable), _no_types())
        self._set(value)

    @property
    def type(self) -> GlobalType:
        return self._instance.type

    @property
    def value(self) -> Any:
        cell = self._instance
        if cell.waiting is not None:
            return cell.waiting
        return references.load(lambda: cell.word, cell.type.value, cell.types, references.owner(cell))

    @value.setter
    def value(self, value: Any) -> None:
        if not self._instance.type.mutable:
            raise AttributeError("the global is immutable")
        self._set(value)

    def _set(self, value: Any) -> None:
        cell = self._instance
        store = _owner(cell, value) if isinstance(cell.type.value, RefType) else None
        cell.waiting = None
        if store is None and cell.types.is_heap_ref(cell.type.value):
            cell.waiting = value
            return
        cell.set(references.to_word(value, cell.type.value, cell.types, store, "the value"))

    def __repr__(self) -> str:
        return f"<wardian.Global: {'mut ' * self.type.mutable}{self.type.value} = {self.value!r}>"


@final
class Exports(Mapping[str, Any]):
    """An instance's exports: ``exports.name`` or ``exports["name"]``; a mapping in the module's order."""

    __reduce_ex__ = no_copy

    def __init__(self, instance: InstanceData) -> None:
        self.__entries = instance.code.exports
        self.__made: dict[str, Any] = {}
        self.__instance = instance
        self.__store = instance.store

    def __getitem__(self, name: str) -> Any:
        made = self.__made.get(name)
        if made is None:
            entry = self.__entries[name]
            made = self.__made[name] = _HANDLES[entry.kind](self.__instance, entry.index)
        return made

    def __getattr__(self, name: str) -> Any:
        try:
            found = self[name]
        except KeyError:
            known = ", ".join(printable(n) for n in list(self.__entries)[:20])
            raise AttributeError(f"no export {printable(name)!r}; there are: {known}") from None
        if name[:1] != "_":
            # FAST: an ordinary attribute from now on. Attributes of our own begin otherwise.
            self.__dict__[name] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.__entries)

    def __len__(self) -> int:
        return len(self.__entries)

    def __dir__(self) -> list[str]:
        return [*dict.fromkeys([*self.__entries, *super().__dir__()])]

    def __repr__(self) -> str:
        return f"<wardian exports: {', '.join(printable(n) for n in self.__entries)}>"


def _not_its_own(data: InstanceData) -> str | None:
    """What keeps an instance from being reset, in words."""
    for i in data.module.imports:
        mutable = i.type.mutable if isinstance(i.type, GlobalType) else i.kind in ("memory", "table")
        if mutable:
            return f"it imports the {i.kind} {printable(i.module)}.{printable(i.name)}, which is not its own"
    if any(memory.is_shared_out for memory in data.memories):
        return "others may be using its memory"
    return None


def _wrap(kind: type[Any], data: Any) -> Any:
    handle: Any = object.__new__(kind)
    handle._instance = data
    return handle


_HANDLES: Final[dict[str, Callable[[InstanceData, int], Any]]] = {
    "func": lambda instance, index: instance.func_at(index),
    "memory": lambda instance, index: _wrap(Memory, instance.memories[index]),
    "table": lambda instance, index: _wrap(Table, instance.table_at(index)),
    "global": lambda instance, index: _wrap(Global, instance.global_at(index)),
    "tag": lambda instance, index: instance.tags[index],
}


@final
class Instance:
    """A running copy of a module. Use :meth:`Module.instantiate <wardian.Module.instantiate>` to get one."""

    __slots__ = ("__dict__", "__weakref__", "_exports", "_held", "_lease", "_store", "module")
    __reduce_ex__ = no_copy

    def __init__(self, module: object, data: InstanceData | None, store: Store | None, lease: int = 0) -> None:
        """Of these data and their store; or, without, of what is made in the shell of this ``lease`` on first use."""
        self.module = module
        self._held = data
        self._store = store
        self._lease = lease
        self._exports: Exports | None = None

    @property
    def _data(self) -> InstanceData:
        held = self._held
        return self._move_in() if held is None else held

    def _move_in(self) -> InstanceData:
        """The first use of an instance that has had nothing but a lease so far."""
        used = process()
        used.watch()
        with used.lock:
            lease = self._lease
            if not lease:
                raise ValueError("the instance has been given back to its pool")
            if self._held is None:
                self._store, self._held = used.shells[lease].lend(lease)
            return self._held

    def _let_go(self) -> None:
        """Stand for nothing any more; what was taken from the exports stays what it is."""
        self._lease = 0
        self._held = self._store = self._exports = None

    @property
    def exports(self) -> Exports:
        found = self._exports
        if found is None:
            found = self._exports = Exports(self._data)
        return found

    def reset(self) -> None:
        """Start anew: memory, globals, tables and segments are what they were, and the start function runs again.

        Functions, memories and other handles taken from this instance stay valid, and show the new state; a memory that
        had grown is small again. What host functions keep, what they were linked to, and open files of a WASI context
        are not part of an instance, hence not reset. Pages of memory that were not written to cost nothing.

        Raises :class:`Refused` if the instance imports a memory, a table or a mutable global, or if its own memory is
        shared or has been imported by others, whom this would pull it from under; :class:`StoreBusy` while it runs;
        ``BufferError`` while a view of a memory that has grown exists; and what the start function raises.
        """
        data, store = self._data, self._data.store.root()
        if store.running():
            raise StoreBusy("an instance cannot be reset while it is running")
        reason = _not_its_own(data)
        if reason is not None:
            raise Refused(f"the instance cannot be reset: {reason}")
        if any(m.length > m.first_length and m.is_viewed() for m in data.memories):
            raise BufferError("the instance's memory has grown, and cannot shrink while there are views of it")
        plain = not store.has_heap()
        known = plain and data.snapshot is not None
        restored = data.snapshot.restore(data) >= 0 if known else start_over(data)
        if not restored:
            raise BufferError("the instance's memory could not be reset")
        if plain and data.snapshot is None:
            data.snapshot = Snapshot(data)
        start = data.module.start
        if start is not None:
            data.func_at(start)()

    def collect(self) -> None:
        """Collect the garbage of this instance's store now: structures, arrays, and Python objects guests let go of.

        With no guest running, what nobody can reach goes without exception. Raises :class:`StoreBusy` if one is running
        on another thread.
        """
        store = self._data.store
        if store.has_heap():
            store.heap().collect()

    @property
    def fuel(self) -> int:
        """Units of fuel that guests of this instance's store may still spend (docs/fuel.md); can be set.

        A host function finds here what is left at the time, and may take from it or add to it. Raises
        :class:`Refused` if the engine does not count fuel, ``ValueError`` when set to a number below 0 or above
        2**63 - 1.
        """
        self._check_counts()
        return self._data.store.fuel

    @fuel.setter
    def fuel(self, units: int) -> None:
        self._check_counts()
        self._data.store.fuel = units

    def _check_counts(self) -> None:
        if not self._data.code.counts_fuel:
            raise Refused("this instance's engine does not count fuel: make it with Config(fuel=True)")

    @property
    def running(self) -> bool:
        """Is some thread inside this instance's store now?"""
        return self._data.store.root().running()

    def interrupt(self) -> bool:
        """Stop what runs in this instance's store, from any other thread: the caller there gets :class:`Interrupted`.

        ``False`` if nothing was running. Returns once the guest is stopping; a host function that never returns cannot
        be stopped.
        """
        store = self._data.store.root()
        if not store.interrupt():
            return False
        if store.inside():
            return True  # called by a host function: the guest ends when that returns
        pause = threading.Event()
        while store.stopping() is TrapCode.INTERRUPT and store.stop(TrapCode.INTERRUPT):
            pause.wait(0.001)
        if not store.running():
            store.settle()
        return True

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """Within this block, guest code of this store may run for ``seconds`` of wall time, then it traps.

        The trap is :class:`Interrupted` with code ``"timeout"``, which later calls in the block raise at once. Costs
        the guest nothing while it runs. Raises ``ValueError`` for a negative number.
        """
        dog = watchdog()
        armed = dog.arm(self._data.store, seconds)
        try:
            yield
        finally:
            dog.disarm(armed)

    def __repr__(self) -> str:
        return f"<wardian.Instance of {self.module!r}>"
