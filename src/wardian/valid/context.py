"""Spec chapter "Validation / Conventions": the context, a module's declarations as flat index spaces.

Invariant: everything a body's validation looks up stands in a list indexed by the spec's index, imports first; the
context of a validated module never changes.
"""

from __future__ import annotations

import functools
from typing import final

from wardian.digest import Hashed, module_digest
from wardian.errors import InvalidError
from wardian.limits import Features, Limits
from wardian.record import Entity
from wardian.syntax.module import Module
from wardian.syntax.types import FuncType, GlobalType, MemoryType, NumType, RefType, TableType, ValType
from wardian.valid.types import TypeContext


@final
class ModuleContext(Entity):
    """What :func:`wardian.valid.module.validate_module` found out; one value serves all bodies, on any thread."""

    module: Module
    features: Features
    limits: Limits
    types: TypeContext
    func_types: list[int]
    """Type index of each function."""
    signatures: list[FuncType]
    """Function type of each function."""
    tables: list[TableType]
    memories: list[MemoryType]
    globals: list[GlobalType]
    tags: list[FuncType]
    elem_types: list[RefType]
    table_addresses: list[NumType]
    """Address type of each table, ``I32`` or ``I64``."""
    memory_addresses: list[NumType]
    """Address type of each memory."""
    refs: set[int]
    """Functions that occur outside of bodies, so that ``ref.func`` may name them (spec: ``C.refs``)."""
    hashed: Hashed | None = None
    """The module's bytes, if somebody has begun to work out their digest."""

    @functools.cached_property
    def digest(self) -> bytes:
        """What the module is known by wherever something about it is kept."""
        return module_digest(self.module.source) if self.hashed is None else self.hashed.digest()

    @property
    def imported_funcs(self) -> int:
        return len(self.module.imported_funcs)

    @property
    def imported_globals(self) -> int:
        return len(self.module.imported_globals)


def check_val(t: ValType, type_count: int, offset: int | None = None) -> None:
    """Spec "Value Types": raise :class:`InvalidError` (``unknown type``) if ``t`` names no type of the module."""
    if isinstance(t, RefType) and isinstance(t.heap, int) and t.heap >= type_count:
        raise InvalidError(f"unknown type {t.heap}", offset=offset)
