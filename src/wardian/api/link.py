"""Spec "Imports": from Python's dict of dicts to the external values a module asks for, checked by type.

Invariant: either every import is matched, or one :class:`LinkError` tells of all that are missing and of the first that
does not fit; nothing has been changed then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, final

from wardian.api.code import ModuleCode
from wardian.api.handles import Global, Instance, Memory, Table
from wardian.errors import LinkError, printable
from wardian.limits import Limits
from wardian.runtime import references, values
from wardian.runtime.cells import GlobalInstance, Tag
from wardian.runtime.function import FuncInstance, HostFunc
from wardian.runtime.instantiate import Extern
from wardian.runtime.instantiate import instantiate as make_instance
from wardian.runtime.memory import MemoryInstance
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.syntax.module import Import, Kind
from wardian.syntax.types import FuncType, GlobalType, MemoryType, NumType, TableType, TagType
from wardian.valid.types import link_matches_global, link_matches_heap, link_matches_table, matches_memory

_MISSING: Final = object()


@final
class Linker:
    """Resolves the imports of one instantiation. Host functions are made last, in the store that results."""

    def __init__(self, code: ModuleCode, imports: Mapping[str, Mapping[str, object]]) -> None:
        self.code = code
        self.module = code.ctx.module
        self.types = code.ctx.types
        self.values = [(i, _find(imports, i)) for i in self.module.imports]
        missing = [i for i, value in self.values if value is _MISSING]
        if missing:
            raise LinkError(self._missing(missing))
        self.stores: list[Store] = []
        self.externs: list[Extern | Callable[..., object]] = []
        for i, value in self.values:
            self.externs.append(_MATCH[i.kind](self, i, value))

    def _missing(self, missing: list[Import]) -> str:
        lines = [f"  {_label(i)}: {self._wanted(i)}" for i in missing[:50]]
        more = [f"  ... {len(missing) - 50} more"] if len(missing) > 50 else []
        plural = "s" * (len(missing) != 1)
        return "\n".join([f"unknown import: {len(missing)} import{plural} missing:", *lines, *more])

    def _wanted(self, i: Import) -> str:
        if not isinstance(i.type, int | TagType):
            return _spelled(i.kind, i.type)
        comp = self.types.expand(i.type if isinstance(i.type, int) else i.type.type)
        assert isinstance(comp, FuncType)
        return _spelled(i.kind, comp)

    def wrong(self, i: Import, found: str) -> LinkError:
        return LinkError(f"incompatible import type: {_label(i)} must be {self._wanted(i)}, not {found}")

    def finish(self, store: Store) -> list[Extern]:
        """The external values, with a host function in ``store`` for every callable."""
        out: list[Extern] = []
        for position, extern in enumerate(self.externs):
            if callable(extern):
                out.append(HostFunc(store, extern, self.code.host_facts(position)))
            else:
                if isinstance(extern, TableInstance | GlobalInstance):
                    references.settle(extern, store)
                out.append(extern)
        return out

    # -- one kind each -------------------------------------------------------------------------------------------------

    def func(self, i: Import, value: Any) -> Extern | Callable[..., object]:
        native = self.code.engine.process.types
        if not isinstance(value, native.Func):
            if not callable(value):
                raise self.wrong(i, values.kind_of(value))
            return value  # type: ignore[no-any-return]
        func: FuncInstance = native.instance_of(value)
        assert isinstance(i.type, int)
        if not link_matches_heap(func.type_index, func.types, i.type, self.types):
            raise self.wrong(i, _spelled("func", func.type))
        self.stores.append(func.store)
        return func

    def table(self, i: Import, value: Any) -> Extern:
        if not isinstance(value, Table):
            raise self.wrong(i, values.kind_of(value))
        table: TableInstance = value._instance
        assert isinstance(i.type, TableType)
        if not link_matches_table(table.type, table.types, i.type, self.types):
            raise self.wrong(i, _spelled("table", table.type))
        self.stores += [k for k in table.keep if isinstance(k, Store)]
        return table

    def memory(self, i: Import, value: Any) -> Extern:
        if not isinstance(value, Memory):
            raise self.wrong(i, values.kind_of(value))
        memory: MemoryInstance = value._instance
        assert isinstance(i.type, MemoryType)
        if not matches_memory(memory.type, i.type):
            raise self.wrong(i, _spelled("memory", memory.type))
        return memory

    def global_(self, i: Import, value: Any) -> Extern:
        wanted = i.type
        assert isinstance(wanted, GlobalType)
        if not isinstance(value, Global):
            if wanted.mutable or not isinstance(wanted.value, NumType) or not isinstance(value, int | float):
                raise self.wrong(i, values.kind_of(value))
            made = GlobalInstance(wanted, self.types)
            try:
                made.word = references.to_word(value, wanted.value, self.types, None, _label(i))
            except (TypeError, OverflowError) as error:
                raise self.wrong(i, repr(value)) from error
            return made
        cell: GlobalInstance = value._instance
        if not link_matches_global(cell.type, cell.types, wanted, self.types):
            raise self.wrong(i, _spelled("global", cell.type))
        self.stores += [k for k in cell.keep if isinstance(k, Store)]
        return cell

    def tag(self, i: Import, value: Any) -> Extern:
        if not isinstance(value, Tag):
            raise self.wrong(i, values.kind_of(value))
        tag = value
        assert isinstance(i.type, TagType)
        if tag.types.key(tag.type_index) != self.types.key(i.type.type):
            raise self.wrong(i, _spelled("tag", tag.type))
        return tag


_MATCH: Final[Mapping[Kind, Callable[[Linker, Import, Any], Any]]] = MappingProxyType(
    {
        "func": Linker.func,
        "table": Linker.table,
        "memory": Linker.memory,
        "global": Linker.global_,
        "tag": Linker.tag,
    }
)


def _find(imports: Mapping[str, Mapping[str, object]], i: Import) -> object:
    space = imports.get(i.module, _MISSING)
    if space is _MISSING:
        return _MISSING
    if not isinstance(space, Mapping):
        raise TypeError(f"imports[{i.module!r}] must be a mapping of names to values, not {values.kind_of(space)}")
    return space.get(i.name, _MISSING)


def _spelled(kind: Kind, type: FuncType | TableType | MemoryType | GlobalType) -> str:
    """A type as the text format has it: ``(memory 1 2)``, ``(func (param i32))``."""
    text = type.text()
    return f"({kind} {text})" if text else f"({kind})"


def _label(i: Import) -> str:
    return f"{printable(i.module)}.{printable(i.name)}"


def store_of(beside: Instance | None) -> Store | None:
    """The store of an instance. Raises ``TypeError`` for anything else."""
    if beside is None:
        return None
    if not isinstance(beside, Instance):
        raise TypeError(f"beside must be a wardian.Instance, not {values.kind_of(beside)}")
    return beside._data.store.root()


def instantiate(
    module: object,
    code: ModuleCode,
    imports: Mapping[str, Mapping[str, object]],
    limits: Limits,
    store: Store | None = None,
) -> Instance:
    """Behind :meth:`wardian.Module.instantiate` of ``module``, whose code this is; in ``store`` if one is given."""
    process = code.engine.process
    process.watch_signals()
    linker = Linker(code, imports)
    for joined in linker.stores:
        store = joined.root() if store is None else store.join(joined)
    if store is None:
        store = Store(process, limits)
    store.root().count_instance()
    if code.has_tags or store.root().exceptions:
        store.root().use_exceptions()
        code = code.with_exceptions()
    data = make_instance(code, store, linker.finish(store), limits)
    instance = Instance(module, data, data.store)
    start = data.module.start
    if start is not None:
        data.func_at(start)()
    return instance
