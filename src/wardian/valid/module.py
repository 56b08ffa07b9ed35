"""Spec chapter "Validation / Modules": everything of a module but its function bodies.

Invariant: the :class:`ModuleContext` exists only if all that bodies may refer to is valid. Work is done on whole index
spaces at once, since big modules have many small things.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wardian.errors import InvalidError
from wardian.limits import Features, Limits
from wardian.syntax.module import DataSegment, ElemSegment, Kind, Module
from wardian.syntax.types import (
    FUNC,
    I32,
    FuncType,
    MemoryType,
    RefType,
    SubType,
    TableType,
    TagType,
    ref,
)
from wardian.valid.constant import check
from wardian.valid.context import ModuleContext, check_val
from wardian.valid.types import TypeContext, check_limits, is_defaultable

if TYPE_CHECKING:
    from wardian.valid.code import Validator

_SECTION: Final = {"type": 1, "import": 2, "func": 3, "table": 4, "memory": 5, "global": 6, "export": 7, "start": 8}
_TAG_SECTION: Final = 13

_KIND_WORDS: Final[dict[Kind, str]] = {
    "func": "function",
    "table": "table",
    "memory": "memory",
    "global": "global",
    "tag": "tag",
}

_MAX_TABLE: Final = {False: (1 << 32) - 1, True: (1 << 64) - 1}
_MAX_MEMORY_LOG2: Final = {False: 32, True: 64}


def validate_module(module: Module, features: Features | None = None, limits: Limits | None = None) -> ModuleContext:
    """Check a decoded module outside of its function bodies.

    Raises :class:`InvalidError`, with the offset of the expression, segment or section at fault;
    :class:`FeatureDisabled`; :class:`LimitExceeded`; and :class:`MalformedError` from constant expressions. Data
    segments that have not been read are left to :func:`validate_datas`, or to whoever knows that they are valid.
    """
    features = features or Features()
    limits = limits or Limits()
    types = TypeContext(module, limits, _place(module, _SECTION["type"]))
    func_types = module.imported_funcs + module.funcs
    tables = module.table_types()
    memories = module.memory_types()
    ctx = ModuleContext(
        module=module,
        features=features,
        limits=limits,
        types=types,
        func_types=func_types,
        signatures=_signatures(module, func_types),
        tables=tables,
        memories=memories,
        globals=module.global_types(),
        tags=_tags(module, types, module.tag_types()),
        elem_types=[segment.type for segment in module.elems],
        table_addresses=[t.limits.address for t in tables],
        memory_addresses=[m.limits.address for m in memories],
        refs=set(),
    )
    _check_tables(ctx)
    _check_memories(ctx)
    _check_globals(ctx)
    made: list[Validator] = []

    def validator() -> Validator:
        # FAST: most modules have none but lone constants, and starting one of those needs no validator.
        if not made:
            from wardian.valid.code import Validator

            made.append(Validator(ctx))
        return made[0]

    _check_initialisers(ctx, validator)
    _check_exports(ctx)
    _check_start(ctx)
    for segment in module.elems:
        _check_elem(ctx, validator, segment)
    if module.datas.is_read:
        _check_datas(ctx, validator)
    return ctx


def validate_datas(ctx: ModuleContext) -> None:
    """Check data segments that had not been read when :func:`validate_module` checked the rest. Raises as it does."""

    def validator() -> Validator:
        from wardian.valid.code import Validator

        return Validator(ctx)

    _check_datas(ctx, validator)


def _place(module: Module, section: int) -> int | None:
    """Where the section begins; things that keep no offset of their own are reported there."""
    for number, start, _ in module.sections:
        if number == section:
            return start
    return None


def _declared(module: Module, kind: Kind, index: int, imported: int) -> int | None:
    if index < imported:
        return _place(module, _SECTION["import"])
    return _place(module, _TAG_SECTION if kind == "tag" else _SECTION[kind])


# -- functions, tags ---------------------------------------------------------------------------------------------------


def _function_type(types: list[SubType], index: int, offset: int | None) -> FuncType:
    if index >= len(types):
        raise InvalidError(f"unknown type {index}", offset=offset)
    comp = types[index].comp
    if not isinstance(comp, FuncType):
        raise InvalidError(f"type mismatch: non-function type {index}", offset=offset)
    return comp


def _signatures(module: Module, func_types: list[int]) -> list[FuncType]:
    # FAST: each type is looked at once, not once per function.
    imported = len(module.imported_funcs)
    known: dict[int, FuncType] = {}
    for index in set(func_types):
        if index < len(module.types):
            comp = module.types[index].comp
            if isinstance(comp, FuncType):
                known[index] = comp
    try:
        return [known[index] for index in func_types]
    except KeyError:
        at = next(i for i, index in enumerate(func_types) if index not in known)
        place = _declared(module, "func", at, imported)
        return [_function_type(module.types, func_types[at], place)]


def _tags(module: Module, types: TypeContext, tags: list[TagType]) -> list[FuncType]:
    found = []
    for i, tag in enumerate(tags):
        place = _declared(module, "tag", i, len(module.imported_tags))
        signature = _function_type(module.types, tag.type, place)
        if signature.results:
            raise InvalidError(f"non-empty tag result type: tag {i} has type {signature}", offset=place)
        found.append(signature)
    return found


# -- tables, memories, globals -----------------------------------------------------------------------------------------


def _check_tables(ctx: ModuleContext) -> None:
    module = ctx.module
    imported = len(module.imported_tables)
    for i, t in enumerate(ctx.tables):
        problem = _table_problem(t)
        if problem is not None:
            raise InvalidError(problem, offset=_declared(module, "table", i, imported))
        check_val(t.element, len(ctx.types), _declared(module, "table", i, imported))
    for i, decl in enumerate(module.tables):
        if decl.init is None and not is_defaultable(decl.type.element):
            message = f"type mismatch: table {imported + i} of {decl.type.element} needs an initialiser"
            raise InvalidError(message, offset=_declared(module, "table", imported + i, imported))


def _table_problem(t: TableType) -> str | None:
    bound = _MAX_TABLE[t.limits.is64]
    if max(t.limits.min, t.limits.max or 0) > bound:
        return f"table size must be at most {bound:#x} elements"
    return check_limits(t.limits)


def _check_memories(ctx: ModuleContext) -> None:
    module = ctx.module
    imported = len(module.imported_memories)
    for i, m in enumerate(ctx.memories):
        problem = _memory_problem(m)
        if problem is not None:
            raise InvalidError(problem, offset=_declared(module, "memory", i, imported))


def _memory_problem(m: MemoryType) -> str | None:
    limits = m.limits
    if m.page_size_log2 not in (0, 16):
        return f"invalid custom page size: 2**{m.page_size_log2}"
    pages = 1 << (_MAX_MEMORY_LOG2[limits.is64] - m.page_size_log2)
    # A memory of 2**32 or 2**64 pages of one byte would need one more bit in its own size.
    bound = pages - 1 if m.page_size_log2 == 0 else pages
    if max(limits.min, limits.max or 0) > bound:
        size = " (4GiB)" if bound == 1 << 16 else ""
        return f"memory size must be at most {bound} pages{size}, not {max(limits.min, limits.max or 0)}"
    if m.shared and limits.max is None:
        return "shared memory must have maximum"
    return check_limits(limits)


def _check_globals(ctx: ModuleContext) -> None:
    for i, g in enumerate(ctx.globals):
        value = g.value
        if isinstance(value, RefType):
            check_val(value, len(ctx.types), _declared(ctx.module, "global", i, ctx.imported_globals))


def _check_initialisers(ctx: ModuleContext, validator: Callable[[], Validator]) -> None:
    """Tables see the imported globals; each global the ones before it."""
    imported = ctx.imported_globals
    for table in ctx.module.tables:
        if table.init is not None:
            check(ctx, validator, table.init, table.type.element, imported)
    for i, decl in enumerate(ctx.module.globals):
        check(ctx, validator, decl.init, decl.type.value, imported + i)


# -- exports, start ----------------------------------------------------------------------------------------------------


def _check_exports(ctx: ModuleContext) -> None:
    exports = ctx.module.exports
    sizes = {
        "func": len(ctx.func_types),
        "table": len(ctx.tables),
        "memory": len(ctx.memories),
        "global": len(ctx.globals),
        "tag": len(ctx.tags),
    }
    names = set()
    for export in exports:
        index = export.index
        if index >= sizes[export.kind]:
            raise _bad_export(ctx, f"unknown {_KIND_WORDS[export.kind]} {index}")
        if export.name in names:
            raise _bad_export(ctx, f"duplicate export name {export.name!r}")
        names.add(export.name)
        if export.kind == "func":
            ctx.refs.add(index)
        elif export.kind == "global" and ctx.globals[index].mutable and not ctx.features.mutable_global:
            ctx.features.require("mutable_global", "exporting a mutable global")


def _bad_export(ctx: ModuleContext, message: str) -> InvalidError:
    return InvalidError(message, offset=_place(ctx.module, _SECTION["export"]))


def _check_start(ctx: ModuleContext) -> None:
    start = ctx.module.start
    if start is None:
        return
    place = _place(ctx.module, _SECTION["start"])
    if start >= len(ctx.signatures):
        raise InvalidError(f"unknown function {start}", offset=place)
    signature = ctx.signatures[start]
    if signature.params or signature.results:
        raise InvalidError(f"start function must take and return nothing, not {signature}", offset=place)


# -- segments ----------------------------------------------------------------------------------------------------------


def _check_elem(ctx: ModuleContext, validator: Callable[[], Validator], segment: ElemSegment) -> None:
    check_val(segment.type, len(ctx.types), segment.start)
    if segment.funcs:
        _check_elem_funcs(ctx, segment)
    visible = len(ctx.globals)
    for expr in segment.exprs:
        check(ctx, validator, expr, segment.type, visible)
    if segment.mode != "active":
        return
    if segment.table >= len(ctx.tables):
        raise InvalidError(f"unknown table {segment.table}", offset=segment.start)
    table = ctx.tables[segment.table]
    if not ctx.types.matches_val(segment.type, table.element):
        message = f"type mismatch: elements of type {segment.type} in a table of {table.element}"
        raise InvalidError(message, offset=segment.start)
    if segment.offset is not None:
        check(ctx, validator, segment.offset, table.limits.address, visible)


def _check_elem_funcs(ctx: ModuleContext, segment: ElemSegment) -> None:
    if max(segment.funcs) >= len(ctx.func_types):
        bad = next(index for index in segment.funcs if index >= len(ctx.func_types))
        raise InvalidError(f"unknown function {bad}", offset=segment.start)
    ctx.refs.update(segment.funcs)
    if segment.type.heap is FUNC:
        return
    for index in set(segment.funcs):
        t = ref(False, ctx.func_types[index])
        if not ctx.types.matches_val(t, segment.type):
            raise InvalidError(f"type mismatch: function {index} is no {segment.type}", offset=segment.start)


def _check_datas(ctx: ModuleContext, validator: Callable[[], Validator]) -> None:
    # FAST: what lies at an i32 in memory 0 is valid if that is where one can lie.
    fits = ctx.memory_addresses[:1] == [I32]
    for _, segment in ctx.module.datas.others() if fits else enumerate(ctx.module.datas):
        _check_data(ctx, validator, segment)


def _check_data(ctx: ModuleContext, validator: Callable[[], Validator], segment: DataSegment) -> None:
    if segment.mode != "active":
        return
    if segment.memory >= len(ctx.memory_addresses):
        raise InvalidError(f"unknown memory {segment.memory}", offset=segment.start)
    if segment.offset is not None:
        check(ctx, validator, segment.offset, ctx.memory_addresses[segment.memory], len(ctx.globals))
