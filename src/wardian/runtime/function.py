"""Spec "Function Instances" as seen from Python, and the hand-made Python types of exports and memory windows.

Invariant: a ``Func`` owns its :class:`FuncInstance`, which owns its store; the FUNCREF a ``Func`` points to is part of
a context of that store. So nothing a ``Func`` touches can be gone while the ``Func`` exists.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from struct import Struct as Packer
from typing import Any, Final, final

from wardian.errors import printable
from wardian.record import NamedTuple
from wardian.runtime.glue import Glue
from wardian.runtime.native import Block, address_of, make_type, object_maker
from wardian.runtime.store import Store
from wardian.syntax.types import FuncType
from wardian.valid.types import TypeContext
from wardian.vm.layout import FUNC_OBJECT, FUNCREF, HEADER, HOST, WINDOW_OBJECT


@final
class FuncInstance:
    """Everything Python knows of a function: what a ``Func`` object stands for."""

    __slots__ = ("glue", "name", "owner", "ref", "store", "type_index", "types")

    def __init__(
        self, store: Store, owner: object, ref: int, type_index: int, types: TypeContext, name: str, glue: Glue
    ) -> None:
        """``ref`` is the FUNCREF's address; the type is ``type_index`` of ``types``; ``glue`` is for it."""
        self.store = store
        self.owner = owner
        self.ref = ref
        self.type_index = type_index
        self.types = types
        self.name = name
        self.glue = glue

    @property
    def type(self) -> FuncType:
        comp = self.types.expand(self.type_index)
        assert isinstance(comp, FuncType)
        return comp


@final
class HostFacts(NamedTuple):
    """What the host functions for one import have in common: the type is ``type_index`` of ``types``, whose canonical
    ids are ``type_ids``, and ``glue`` is for it; both are held by whoever holds this."""

    type_index: int
    types: TypeContext
    type_ids: Block
    name: str
    glue: Glue


_HOST_REF: Final = HOST.at["funcref"]


@final
class HostFunc:
    """A Python callable in a store, with the type the importing module gave it."""

    __slots__ = ("_func", "_home", "_instance", "block", "callable", "facts")

    def __init__(self, store: Store, callable_: Callable[..., object], facts: HostFacts) -> None:
        self.callable = callable_
        self.facts = facts
        self._home: Callable[[], Store | None] = weakref.ref(store)
        self._instance: FuncInstance | None = None
        self._func: Any = None
        self.block = block = Block(HOST.size)
        block[HEADER.at["builtins"]] = store.process.builtins.address
        block[HEADER.at["owner"]] = address_of(self)
        block[HOST.at["callable"]] = address_of(callable_)
        block[_HOST_REF + FUNCREF.at["code"]] = facts.glue.stub
        block[_HOST_REF + FUNCREF.at["context"]] = block.address
        block[_HOST_REF + FUNCREF.at["type_id"]] = facts.type_ids[8 * facts.type_index]
        store.adopt(block, self)

    @property
    def ref(self) -> int:
        """Address of its FUNCREF."""
        return self.block.address + _HOST_REF

    def lend(self, current: Callable[[], Store | None]) -> None:
        """From now on this stands in the memory of a shell, whose present store ``current()`` is."""
        self._home = current

    def lent(self, store: Store, lease: object) -> HostFunc:
        """The same function in ``store``, which lives in this one's memory."""
        func = HostFunc.__new__(HostFunc)
        func.callable = self.callable
        func.facts = self.facts
        func._home = weakref.ref(store)
        func._instance = None
        func._func = None
        func.block = self.block.lent(lease)
        return func

    @property
    def instance(self) -> FuncInstance:
        """Everything about it. Called while a guest of its store is running, or from the store itself."""
        if self._instance is not None:
            return self._instance
        store = self._home()
        assert store is not None
        owner = store.root().contexts[self.block.address]
        if owner is not self:
            found: FuncInstance = owner.instance
            return found
        facts = self.facts
        made = FuncInstance(store, self, self.ref, facts.type_index, facts.types, facts.name, facts.glue)
        self._instance = made
        return made

    def func_at(self, index: int) -> Any:
        """The ``Func`` for this host function, for a guest that hands its reference back to Python."""
        if self._func is None:
            self._func = self.instance.store.process.types.func(self.instance)
        return self._func

    def use_exceptions(self) -> None:
        """Host glue needs no other code for exceptions."""


@final
class NativeTypes:
    """The types made by hand. One per process; made when the core glue is mapped."""

    def __init__(self, make_func: Callable[[type, int, int, FuncInstance], Any], getbuffer: int) -> None:
        """``make_func`` and ``getbuffer`` are the core glue functions of these names."""
        at = FUNC_OBJECT.at
        self._make_func = make_func
        self._new = object_maker()
        self.Func, self._func_owner = make_type(
            "wardian.Func",
            FUNC_OBJECT.size,
            at["instance"],
            vectorcall=at["vectorcall"],
            weaklist=at["weaklist"],
        )
        self._window, self._window_owner = make_type(
            "wardian.Window", WINDOW_OBJECT.size, WINDOW_OBJECT.at["owner"], getbuffer=getbuffer
        )
        self._describe()

    def _describe(self) -> None:
        """Give ``Func`` what makes it pleasant to look at."""
        instance_of = self.instance_of

        def show(func: object) -> str:
            f = instance_of(func)
            return f"<wardian.Func {printable(f.name)}: {f.type}>"

        kind: Any = self.Func
        kind.__doc__ = "A function of a WebAssembly instance; call it with the parameters of its type."
        kind.__module__ = "wardian"
        kind.name = property(lambda func: instance_of(func).name, doc="Its export's or import's name, or its number.")
        kind.type = property(lambda func: instance_of(func).type, doc="Its FuncType: ``.params`` and ``.results``.")
        kind.__name__ = "Func"
        kind.__qualname__ = "Func"
        kind.__repr__ = show

    def instance_of(self, func: object) -> FuncInstance:
        """The instance behind a ``Func``."""
        found = self._func_owner.__get__(func)
        assert isinstance(found, FuncInstance)
        return found

    def func(self, instance: FuncInstance) -> Any:
        """A new ``Func``."""
        return self._make_func(self.Func, instance.glue.entry, instance.ref, instance)

    def window(self, memory: int, owner: object) -> Any:
        """A new buffer exporter over the memory whose MEMORY is at this address, and which ``owner`` keeps alive."""
        return self._new(self._window, WINDOW_OBJECT.at["memory"], _WORD.pack(memory), self._window_owner, owner)


_WORD: Final = Packer("<Q")
