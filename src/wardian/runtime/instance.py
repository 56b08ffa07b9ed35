"""Spec "Module Instances": one native context, and the Python objects behind its index spaces.

Invariant: the context's layout is :class:`wardian.vm.layout.InstanceLayout` of its module; every pointer in it leads to
something this instance, or its store, keeps alive.
"""

from __future__ import annotations

from typing import Any, Protocol, final

from wardian.runtime.cells import GlobalInstance, Tag
from wardian.runtime.function import FuncInstance
from wardian.runtime.memory import Image, MemoryInstance
from wardian.runtime.native import Block, address_of
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.syntax.module import Module
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
    def has_objects(self) -> bool:
        """Does it make or open structures, arrays or exceptions, so that its instances need a heap?"""

    def resolve(self, index: int) -> int:
        """Address of the machine code of defined function ``index``, compiled now if need be."""

    def glue(self, type_index: int) -> tuple[int, int]:
        """Addresses of the glue through which Python calls functions of this type, and guests call Python ones."""

    def function_name(self, index: int) -> str | None:
        """What the name section, or an export, calls function ``index`` of the whole index space."""

    def with_exceptions(self) -> Code:
        """The same module's code that looks for pending exceptions after calls."""

    def image(self) -> Image | None:
        """Initial contents of memory 0, if the module is such that they can be mapped."""


@final
class Instance:
    """An instance; made by :func:`wardian.runtime.instantiate.instantiate` only."""

    __slots__ = ("_funcs", "block", "code", "globals", "keep", "memories", "module", "store", "tables", "tags")

    def __init__(self, code: Code, store: Store) -> None:
        self.code = code
        self.module: Module = code.ctx.module
        self.store = store
        self.block = Block(code.layout.size)
        self.memories: list[MemoryInstance] = []
        self.tables: list[TableInstance] = []
        self.globals: list[GlobalInstance] = []
        self.tags: list[Tag] = []
        self.keep: list[object] = []
        self._funcs: dict[int, Any] = {}
        block = self.block
        block[HEADER.at["builtins"]] = store.process.builtins.address
        block[HEADER.at["owner"]] = address_of(self)
        block[HEADER.at["type_ids"]] = code.type_ids.address
        store.adopt(block, self)

    def resolve(self, index: int) -> int:
        """Called by a lazy stub: compile defined function ``index`` and point its FUNCREF at the code."""
        address = self.code.resolve(index)
        self.block[self.code.layout.funcs + FUNCREF.size * index + FUNCREF.at["code"]] = address
        return address

    def point_functions(self) -> None:
        """Fill in the FUNCREFs of all defined functions from the code's present addresses."""
        code = self.code
        count = len(self.module.funcs)
        if count:
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
        return self.block[at] if indirect else self.block.address + at

    def func_at(self, index: int) -> Any:
        """The ``Func`` of function ``index`` of the whole index space; always the same object."""
        func = self._funcs.get(index)
        if func is None:
            if index < self.code.layout.counts[0]:
                func = self.store.root().func_at(self.func_ref(index))
            else:
                func = self.store.process.types.func(self.func_instance(index))
            func = self._funcs.setdefault(index, func)
        return func

    def func_instance(self, index: int) -> FuncInstance:
        """A description of the *defined* function ``index`` of the whole index space."""
        code = self.code
        name = code.function_name(index) or f"function {index}"
        type_index = code.ctx.func_types[index]
        entry, _ = code.glue(type_index)
        return FuncInstance(self.store, self, self.func_ref(index), type_index, code.ctx.types, name, entry)
