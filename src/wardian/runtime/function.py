"""Spec "Function Instances" as seen from Python, and the hand-made Python types of exports and memory windows.

Invariant: a ``Func`` owns its :class:`FuncInstance`, which owns its store; the FUNCREF a ``Func`` points to is part of
a context of that store. So nothing a ``Func`` touches can be gone while the ``Func`` exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from wardian.errors import printable
from wardian.runtime.native import Block, address_of, make_type, object_maker
from wardian.runtime.store import Store
from wardian.syntax.types import FuncType
from wardian.valid.types import TypeContext
from wardian.vm.layout import FUNC_OBJECT, FUNCREF, HEADER, HOST, WINDOW_OBJECT


@final
class FuncInstance:
    """Everything Python knows of a function: what a ``Func`` object stands for."""

    __slots__ = ("entry", "name", "owner", "ref", "store", "type", "type_index", "types")

    def __init__(
        self, store: Store, owner: object, ref: int, type_index: int, types: TypeContext, name: str, entry: int
    ) -> None:
        """``ref`` is the FUNCREF's address; the type is ``type_index`` of ``types``; ``entry`` is glue for it."""
        comp = types.expand(type_index)
        assert isinstance(comp, FuncType)
        self.store = store
        self.owner = owner
        self.ref = ref
        self.type = comp
        self.type_index = type_index
        self.types = types
        self.name = name
        self.entry = entry


@final
class HostFunc:
    """A Python callable in a store, with the type the importing module gave it."""

    __slots__ = ("_func", "block", "callable", "instance")

    def __init__(
        self,
        store: Store,
        callable_: Callable[..., object],
        type_index: int,
        types: TypeContext,
        type_id: int,
        name: str,
        glue: tuple[int, int],
    ) -> None:
        """The type is ``type_index`` of ``types``, canonically ``type_id``; ``glue`` are its entry and host stub."""
        self.callable = callable_
        self.block = block = Block(HOST.size)
        ref = HOST.at["funcref"]
        block[HEADER.at["builtins"]] = store.process.builtins.address
        block[HEADER.at["owner"]] = address_of(self)
        block[HOST.at["callable"]] = address_of(callable_)
        block[ref + FUNCREF.at["code"]] = glue[1]
        block[ref + FUNCREF.at["context"]] = block.address
        block[ref + FUNCREF.at["type_id"]] = type_id
        self.instance = FuncInstance(store, self, block.address + ref, type_index, types, name, glue[0])
        self._func: Any = None
        store.adopt(block, self)

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

    def __init__(self, builtins: int, getbuffer: int) -> None:
        """``builtins`` is the builtins table, ``getbuffer`` the core glue function of that name."""
        at = FUNC_OBJECT.at
        self._builtins = builtins
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
        at = FUNC_OBJECT.at
        words = {at["funcref"]: instance.ref, at["builtins"]: self._builtins, at["vectorcall"]: instance.entry}
        return self._new(self.Func, words, self._func_owner, instance)

    def window(self, words: dict[int, int], owner: object) -> Any:
        """A new buffer exporter over native memory that ``owner`` keeps alive."""
        return self._new(self._window, words, self._window_owner, owner)
