"""Spec "Module Instances": one native context, and the Python objects behind its index spaces.

Invariant: the context's layout is :class:`wardian.vm.layout.InstanceLayout` of its module; every pointer in it leads to
something this instance, or its store, keeps alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, final

from wardian.runtime.cells import GlobalInstance, Tag
from wardian.runtime.function import FuncInstance
from wardian.runtime.glue import Glue
from wardian.runtime.memory import Initial, MemoryInstance
from wardian.runtime.native import Block, address_of
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.syntax.module import Export, Module
from wardian.valid.context import ModuleContext
from wardian.vm.layout import FUNCREF, HEADER, InstanceLayout


class Code(Protocol):
    """A module's code, as the runtime sees it; :mod:`wardian.api.code` makes it."""

    ctx: ModuleContext
    layout: InstanceLayout
    name: str | None
    codes: Block
    """Address of each defined function's code, or of its lazy stub."""
    type_words: Block
    """Type index of each defined function, 4 bytes each."""
    type_ids: Block
    """Canonical id of each type of the module, 8 bytes each."""

    @property
    def exports(self) -> Mapping[str, Export]:
        """The module's exports by name."""

    @property
    def has_objects(self) -> bool:
        """Does it make or open structures, arrays or exceptions, so that its instances need a heap?"""

    @property
    def counts_fuel(self) -> bool:
        """Do its functions pay for what they do?"""

    def load(self) -> None:
        """Have in :attr:`codes` all that was compiled before."""

    def resolve(self, index: int) -> int:
        """Address of the machine code of defined function ``index``, compiled now if need be."""

    def hot(self, index: int, site: int) -> tuple[int, int]:
        """Addresses of better code for defined function ``index``, and for going on at the loop ``site`` of it; 0 where
        there is none (yet)."""

    def glue(self, type_index: int) -> Glue:
        """The glue through which Python calls functions of this type, and guests call Python ones."""

    def func_facts(self, index: int) -> tuple[int, str, Glue]:
        """Type index, name and glue of *defined* function ``index`` of the whole index space."""

    def function_name(self, index: int) -> str | None:
        """What the name section, or an export, calls function ``index`` of the whole index space."""

    def with_exceptions(self) -> Code:
        """The same module's code that looks for pending exceptions after calls."""

    def initial(self) -> Initial | None:
        """Initial contents of memory 0, if the module alone says what all of them are."""


@final
class Instance:
    """An instance; made by :func:`wardian.runtime.instantiate.instantiate` only.

    Its store keeps it alive, and it does not keep the store alive: whoever holds it holds that, too. Nor do its tables
    and globals, except those that it imports; what is given to Python does (:meth:`table_at`). So an instance goes with
    the last handle, without waiting for Python's collector.
    """

    __slots__ = (
        "_funcs",
        "_home",
        "address",
        "block",
        "code",
        "globals",
        "has_image",
        "keep",
        "lease",
        "memories",
        "mould",
        "passive",
        "snapshot",
        "tables",
        "tags",
    )

    mould: Instance
    """The instance in whose memory this one lives, of one in a shell."""

    def __init__(self, code: Code, store: Store) -> None:
        self.code = code
        self._home = weakref.ref(store)
        self.lease: object = None
        self.block = Block(code.layout.size)
        self.address = self.block.address
        """Of the context."""
        self.memories: list[MemoryInstance] = []
        self.tables: list[TableInstance] = []
        self.globals: list[GlobalInstance] = []
        self.tags: list[Tag] = []
        self.keep: list[object] = []
        self.passive = 0
        """The place of the words of passive element segments, if there are any."""
        self.snapshot: Any = None
        """What :meth:`wardian.Instance.reset` goes back to, once it is known."""
        self.has_image = False
        """Was an image mapped over memory 0?"""
        self._funcs: dict[int, weakref.ref[Any]] = {}
        block = self.block
        block[HEADER.at["builtins"]] = store.process.builtins.address
        block[HEADER.at["owner"]] = address_of(self)
        block[HEADER.at["type_ids"]] = code.type_ids.address
        store.adopt(block, self)

    @classmethod
    def lent(cls, mould: Instance, store: weakref.ref[Store], lease: object) -> Instance:
        """An instance in the memory of ``mould``, as new. Attributes not set here are made on first use."""
        instance = cls.__new__(cls)
        instance.code = mould.code
        instance.mould = mould
        instance._home = store
        instance.lease = lease
        instance._funcs = {}
        instance.address = mould.address
        mould.block[_OWNER] = address_of(instance)
        return instance

    def __getattr__(self, name: str) -> Any:
        make = _ON_FIRST_USE.get(name)
        if make is None:
            raise AttributeError(name)
        with self.store.process.lock:
            try:
                return object.__getattribute__(self, name)  # another thread was quicker
            except AttributeError:
                value = make(self, self.mould)
                setattr(self, name, value)
                return value

    @property
    def store(self) -> Store:
        store = self._home()
        assert store is not None, "an instance was held without its store"
        return store

    @property
    def module(self) -> Module:
        return self.code.ctx.module

    def resolve(self, index: int) -> int:
        """Called by a lazy stub: compile defined function ``index`` and point its FUNCREF at the code."""
        address = self.code.resolve(index)
        self.block[self.code.layout.funcs + FUNCREF.size * index + FUNCREF.at["code"]] = address
        return address

    def hot(self, index: int, site: int) -> int:
        """Called by baseline code: defined function ``index`` is worth optimising.

        Where the run of it that asks goes on in better code, if it can: ``site`` is the number of the loop it is about
        to enter, 0 at its beginning; 0: nowhere.
        """
        better, entry = self.code.hot(index, site)
        if better:
            self.block[self.code.layout.funcs + FUNCREF.size * index + FUNCREF.at["code"]] = better
        return entry

    def point_functions(self) -> None:
        """Fill in the FUNCREFs of all defined functions from the code's present addresses."""
        code = self.code
        count = len(self.module.funcs)
        if count:
            code.load()
            process = self.store.process
            process.native.call(
                process.core["instance_init"],
                self.block.address,
                self.block.address + code.layout.funcs,
                count,
                code.codes.address,
                code.type_words.address,
                code.layout.counts[0],
            )

    def use_exceptions(self) -> None:
        """Go over to code that looks for pending exceptions; no frame of this instance may be active."""
        self.code = self.code.with_exceptions()
        self.point_functions()

    def func_ref(self, index: int) -> int:
        """Address of the FUNCREF of function ``index`` of the whole index space."""
        indirect, at = self.code.layout.func_ref(index)
        return self.block[at] if indirect else self.address + at

    def func_at(self, index: int) -> Any:
        """The ``Func`` of function ``index`` of the whole index space; the same object as long as that exists."""
        ref = self._funcs.get(index)
        func = None if ref is None else ref()
        if func is None:
            if index < self.code.layout.counts[0]:
                return self.store.root().func_at(self.func_ref(index))
            func = self.store.process.types.func(self.func_instance(index))
            made = weakref.ref(func)
            there = self._funcs.setdefault(index, made)
            if there is not made:
                other = there()
                if other is not None:
                    return other  # another thread was quicker
                self._funcs[index] = made
        return func

    def table_at(self, index: int) -> TableInstance:
        """Table ``index`` as an object that keeps the store alive."""
        table = self.tables[index]
        imported = index < len(self.module.imported_tables)
        return table if table.keep or imported else table.lent(self.store, self.lease)

    def global_at(self, index: int) -> GlobalInstance:
        """Global ``index`` as an object that keeps the store alive."""
        cell = self.globals[index]
        imported = index < self.code.layout.counts[1]
        return cell if cell.keep or imported else cell.lent(self.store, self.lease)

    def func_instance(self, index: int) -> FuncInstance:
        """A description of the *defined* function ``index`` of the whole index space."""
        code = self.code
        type_index, name, glue = code.func_facts(index)
        return FuncInstance(self.store, self, self.func_ref(index), type_index, code.ctx.types, name, glue)


_OWNER: Final = HEADER.at["owner"]


_ON_FIRST_USE: Final[Mapping[str, Callable[[Instance, Instance], Any]]] = MappingProxyType(
    {
        "block": lambda instance, mould: mould.block.lent(instance.lease),
        "memories": lambda instance, mould: [
            m if m in mould.keep else m.lent(instance.lease) for m in mould.memories
        ],
        "tables": lambda instance, mould: [t.lent(None, instance.lease) for t in mould.tables],
        "globals": lambda instance, mould: [
            g if g in mould.keep else g.lent(None, instance.lease) for g in mould.globals
        ],
        "has_image": lambda instance, mould: mould.has_image,
        "tags": lambda instance, mould: [],
        "keep": lambda instance, mould: [],
        "passive": lambda instance, mould: mould.passive,
        "snapshot": lambda instance, mould: mould.snapshot,
    }
)
"""Attribute of an instance in a shell -> what it is at first, from the instance and the one whose memory it is.

What the module imports (:attr:`Instance.keep`) is the same for all.
"""
