"""Spec chapter "Binary Format / Modules": one function per section, each filling its part of a module.

Invariant: nothing is allocated that the bytes left could not fill. A reader is bounded by the file; that it ends where
its section ends is for :mod:`wardian.binary.decode` to see. Function bodies are only measured; of constant expressions
only the end is found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from wardian.binary.reader import END, Reader, unsigned
from wardian.binary.types import (
    REC,
    read_global_type,
    read_memory_type,
    read_rec_group,
    read_ref_type,
    read_table_type,
    read_tag_type,
)
from wardian.errors import MalformedError
from wardian.syntax.module import (
    KINDS,
    DataSegment,
    DataSegments,
    ElemSegment,
    Export,
    ExternType,
    GlobalDecl,
    Import,
    Module,
    Placed,
    Slice,
    TableDecl,
)
from wardian.syntax.types import FUNC, FUNCREF, ref

TABLE_WITH_INIT: Final = 0x40
FUNC_NON_NULL: Final = ref(False, FUNC)

_I32_CONST: Final = 0x41
_I64_CONST: Final = 0x42
_F32_CONST: Final = 0x43
_F64_CONST: Final = 0x44
_END_OPCODE: Final = 0x0B

# Bits of the flags of an element segment.
ELEM_NOT_ACTIVE: Final = 1
ELEM_EXPLICIT: Final = 2
"""A table index if active; declarative if not."""
ELEM_EXPRESSIONS: Final = 4


def _expression(r: Reader) -> Slice:
    start = r.pos
    after = _const_end(r.source, start, r.end)
    if after:
        r.pos = after
        return start, after
    # FAST: hardly a module needs what that needs, the table of instructions, only to start.
    from wardian.binary.body import expression_end

    r.pos = expression_end(r.source, start, r.end, r.features)
    return start, r.pos


def _const_end(source: bytes, pos: int, end: int) -> int:
    """Where the expression at ``pos`` ends if it is an ``i32.const`` or ``i64.const`` of up to four bytes, which any
    bits may fill, or that of a float. 0: it is something else, or nearly at ``end``.

    FAST: 64,000 data segments of one real module begin with such an expression.
    """
    if pos + 10 > end:
        return 0
    opcode = source[pos]
    if opcode in (_F32_CONST, _F64_CONST):
        last = pos + (5 if opcode == _F32_CONST else 9)
        return last + 1 if source[last] == _END_OPCODE else 0
    if opcode not in (_I32_CONST, _I64_CONST):
        return 0
    pos += 1
    for last in range(pos, pos + 4):
        if source[last] < 0x80:
            return last + 2 if source[last + 1] == _END_OPCODE else 0
    return 0


def _indices(r: Reader, n: int) -> list[int]:
    source, pos, end = r.source, r.pos, r.end
    found: list[int] = []
    for _ in range(n):
        # FAST: ten thousands of these stand in a large module, nearly all of one or two bytes.
        if pos + 1 < end and source[pos + 1] < 0x80:
            value = source[pos]
            pos += 1
            if value >= 0x80:
                value += (source[pos] << 7) - 0x80
                pos += 1
        elif pos < end and source[pos] < 0x80:
            value = source[pos]
            pos += 1
        else:
            value, pos = unsigned(source, pos, end, 32)
        found.append(value)
    r.pos = pos
    return found


def _types(r: Reader, module: Module) -> None:
    for _ in range(r.count("types")):
        first = len(module.types)
        r.limits.check("types", first + 1)
        grouped = r.pos < r.end and r.source[r.pos] == REC
        module.rec_groups.append((first, read_rec_group(r, module.types)))
        if grouped and module.rec_groups[-1][1] == 1:
            module.lone_groups.append(first)


# -- imports -----------------------------------------------------------------------------------------------------------


def _import_func(r: Reader, module: Module) -> ExternType:
    type = r.u32()
    module.imported_funcs.append(type)
    return type


def _import_table(r: Reader, module: Module) -> ExternType:
    type = read_table_type(r)
    module.imported_tables.append(type)
    return type


def _import_memory(r: Reader, module: Module) -> ExternType:
    type = read_memory_type(r)
    module.imported_memories.append(type)
    return type


def _import_global(r: Reader, module: Module) -> ExternType:
    type = read_global_type(r)
    if type.mutable:
        r.features.require("mutable_global", "an imported mutable global")
    module.imported_globals.append(type)
    return type


def _import_tag(r: Reader, module: Module) -> ExternType:
    type = read_tag_type(r)
    module.imported_tags.append(type)
    return type


_IMPORT: Final = (_import_func, _import_table, _import_memory, _import_global, _import_tag)


def _imports(r: Reader, module: Module) -> None:
    for _ in range(r.count("imports")):
        source, name = r.name(), r.name()
        at = r.pos
        kind = r.byte()
        if kind >= len(_IMPORT):
            r.fail("malformed import kind", at)
        module.imports.append(Import(source, name, KINDS[kind], _IMPORT[kind](r, module)))
    check_spaces(r, module)


def check_spaces(r: Reader, module: Module) -> None:
    """Raise :class:`LimitExceeded` if an index space has grown beyond its bound, :class:`FeatureDisabled` if it has
    more tables or memories than may be."""
    check = r.limits.check
    check("functions", len(module.imported_funcs) + len(module.funcs))
    check("tables", len(module.imported_tables) + len(module.tables))
    check("memories", len(module.imported_memories) + len(module.memories))
    check("globals", len(module.imported_globals) + len(module.globals))
    check("tags", len(module.imported_tags) + len(module.tags))
    if len(module.imported_tables) + len(module.tables) > 1:
        r.features.require("reference_types", "a second table")
    if len(module.imported_memories) + len(module.memories) > 1:
        r.features.require("multi_memory", "a second memory")


# -- definitions -------------------------------------------------------------------------------------------------------


def _funcs(r: Reader, module: Module) -> None:
    module.funcs = _indices(r, r.count("functions", len(module.imported_funcs)))


def _table(r: Reader) -> TableDecl:
    if r.pos >= r.end or r.source[r.pos] != TABLE_WITH_INIT:
        return TableDecl(read_table_type(r))
    r.features.require("function_references", "a table with an initialiser")
    r.pos += 1
    at = r.pos
    if r.byte() != 0:
        r.fail("zero byte expected", at)
    type = read_table_type(r)
    return TableDecl(type, _expression(r))


def _tables(r: Reader, module: Module) -> None:
    n = r.count("tables", len(module.imported_tables))
    module.tables = [_table(r) for _ in range(n)]
    check_spaces(r, module)


def _memories(r: Reader, module: Module) -> None:
    n = r.count("memories", len(module.imported_memories))
    module.memories = [read_memory_type(r) for _ in range(n)]
    check_spaces(r, module)


def _tags(r: Reader, module: Module) -> None:
    module.tags = [read_tag_type(r) for _ in range(r.count("tags", len(module.imported_tags)))]


def _globals(r: Reader, module: Module) -> None:
    for _ in range(r.count("globals", len(module.imported_globals))):
        type = read_global_type(r)
        module.globals.append(GlobalDecl(type, _expression(r)))


def _exports(r: Reader, module: Module) -> None:
    for _ in range(r.count("exports")):
        name = r.name()
        at = r.pos
        kind = r.byte()
        if kind >= len(KINDS):
            r.fail("malformed export kind", at)
        export = Export(name, KINDS[kind], r.u32())
        module.exports.append(export)
        if "mutable_global" in r.off and export.kind == "global":
            _refuse_mutable(r, module, export.index)


def _refuse_mutable(r: Reader, module: Module, index: int) -> None:
    types = module.global_types()
    if index < len(types) and types[index].mutable:
        r.features.require("mutable_global", "an exported mutable global")


def _start(r: Reader, module: Module) -> None:
    module.start = r.u32()


# -- segments ----------------------------------------------------------------------------------------------------------


def _elem(r: Reader) -> ElemSegment:
    start = r.pos
    flags = r.u32()
    if flags > 7:
        r.fail("malformed elements segment kind", start)
    active = not flags & ELEM_NOT_ACTIVE
    if flags:
        r.features.require("bulk_memory", "this kind of element segment")
    mode: Literal["active", "passive", "declarative"] = "active"
    table = 0
    offset: Slice | None = None
    if active:
        if flags & ELEM_EXPLICIT:
            table = r.u32()
        offset = _expression(r)
    else:
        mode = "declarative" if flags & ELEM_EXPLICIT else "passive"
    # Without flags 0 and 4's shorthands, the kind or the type stands here.
    typed = bool(flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT))
    if flags & ELEM_EXPRESSIONS:
        type = read_ref_type(r) if typed else FUNCREF
        exprs = tuple([_expression(r) for _ in range(r.count())])
        return ElemSegment(type, mode, (), exprs, table, offset, start)
    at = r.pos
    if typed and r.byte() != 0:
        r.fail("malformed element kind", at)
    funcs = tuple(_indices(r, r.count()))
    return ElemSegment(FUNC_NON_NULL, mode, funcs, (), table, offset, start)


def _elems(r: Reader, module: Module) -> None:
    module.elems = [_elem(r) for _ in range(r.count("element_segments"))]


def _data_count(r: Reader, module: Module) -> None:
    r.features.require("bulk_memory", "a data count section")
    module.data_count = r.u32()


def _data(r: Reader) -> DataSegment:
    start = r.pos
    flags = r.u32()
    if flags > 2:
        r.fail("malformed data segment kind", start)
    if flags:
        r.features.require("bulk_memory", "this kind of data segment")
    memory = r.u32() if flags == 2 else 0
    offset = None if flags == 1 else _expression(r)
    size = r.u32()
    first = r.skip(size)
    return DataSegment("passive" if flags == 1 else "active", (first, first + size), memory, offset, start)


LATER_FROM: Final = 1000
"""Data segments that may be left for later; to read fewer takes no time."""


def later_datas(r: Reader, module: Module, end: int) -> None:
    """The data section, up to ``end``: its segments are read when they are asked for, if they are many.

    They then raise what they would have raised now.
    """
    count = r.count("data_segments")
    source, pos, total, features, limits = r.source, r.pos, r.end, r.features, r.limits

    def read() -> list[DataSegment | Placed]:
        own = Reader(source, pos, total, features, limits)
        found = _read_datas(own, count)
        if own.pos != end:
            own.fail("section size mismatch", end)
        return found

    if count < LATER_FROM:
        module.datas = DataSegments(_read_datas(r, count))
    else:
        module.datas = DataSegments.later(count, read)
        r.pos = end


def _datas(r: Reader, module: Module) -> None:
    module.datas = DataSegments(_read_datas(r, r.count("data_segments")))


def _read_datas(r: Reader, count: int) -> list[DataSegment | Placed]:
    source, pos, end = r.source, r.pos, r.end
    found: list[DataSegment | Placed] = []
    add = found.append
    (is_3, three), (is_2, two), (is_4, four), (is_1, one) = (_number(size) for size in (3, 2, 4, 1))
    for _ in range(count):
        # FAST: 64,000 segments of one real module are Placed. ``word`` is flags, opcode, number and ``end`` at once.
        word = int.from_bytes(source[pos : pos + 7], "little")
        if word & is_3 == three:
            number = word >> 16 & 0x7F | word >> 17 & 0x3F80 | word >> 18 & 0x1FC000
            after = pos + 6
        elif word & is_2 == two:
            number = word >> 16 & 0x7F | word >> 17 & 0x3F80
            after = pos + 5
        elif word & is_4 == four:
            number = word >> 16 & 0x7F | word >> 17 & 0x3F80 | word >> 18 & 0x1FC000 | word >> 19 & 0xFE00000
            after = pos + 7
        elif word & is_1 == one:
            number = word >> 16 & 0x7F
            after = pos + 4
        else:
            after = end
        if after + 2 <= end:
            first = after + 1
            length = source[after]
            if length >= 0x80:
                length += (source[first] << 7) - 0x80
                first += 1
            stop = first + length
            if length < 1 << 14 and stop <= end:
                add((number, first, stop, pos, after))
                pos = stop
                continue
        r.pos = pos
        add(_data(r))
        pos = r.pos
    r.pos = pos
    return found


def _number(size: int) -> tuple[int, int]:
    """Of an active segment in memory 0, at an ``i32.const`` that is not negative and takes ``size`` bytes: which bits
    of the little-endian number its first bytes make say so, and what they are."""
    mask = 0xFFFF | 0xFF << 8 * size + 16 | 0x40 << 8 * size + 8
    value = _I32_CONST << 8 | _END_OPCODE << 8 * size + 16
    for i in range(size):
        mask |= 0x80 << 8 * i + 16
        value |= (0x80 << 8 * i + 16) * (i < size - 1)
    return mask, value


def _code(r: Reader, module: Module) -> None:
    n = r.count("functions", len(module.imported_funcs))
    source, pos, end = r.source, r.pos, r.end
    most = r.limits.function_size
    bodies = module.bodies
    for _ in range(n):
        at = pos
        # FAST: ten thousands of these stand in a large module, nearly all of one or two bytes.
        if pos + 1 < end and source[pos + 1] < 0x80:
            size = source[pos]
            pos += 1
            if size >= 0x80:
                size += (source[pos] << 7) - 0x80
                pos += 1
        elif pos < end and source[pos] < 0x80:
            size = source[pos]
            pos += 1
        else:
            size, pos = unsigned(source, pos, end, 32)
        after = pos + size
        if after > end:
            raise MalformedError(END, offset=at)
        if size > most:
            r.limits.check("function_size", size)
        bodies.append((pos, after))
        pos = after
    r.pos = pos


SectionReader: TypeAlias = Callable[[Reader, Module], None]

SECTIONS: Final[Mapping[int, SectionReader]] = MappingProxyType(
    {
        1: _types,
        2: _imports,
        3: _funcs,
        4: _tables,
        5: _memories,
        13: _tags,
        6: _globals,
        7: _exports,
        8: _start,
        9: _elems,
        12: _data_count,
        10: _code,
        11: _datas,
    }
)
"""Section ids and their readers, in the order in which sections must stand."""
