"""Spec chapter "Binary Format": a module, or an instruction, to bytes.

Invariant: decoding what is written here gives an equal module. Bodies, constant expressions, data and custom sections
are copied from the module's source, so what was read from shortest encodings is written as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wardian.binary import writer
from wardian.binary.decode import CUSTOM, MAGIC, VERSION
from wardian.binary.sections import (
    ELEM_EXPLICIT,
    ELEM_EXPRESSIONS,
    ELEM_NOT_ACTIVE,
    FUNC_NON_NULL,
    SECTIONS,
    TABLE_WITH_INIT,
)
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import Row
from wardian.syntax.module import KINDS, DataSegment, ElemSegment, Import, Module, Slice
from wardian.syntax.types import FUNCREF, ValType

# -- instructions ------------------------------------------------------------------------------------------------------

ImmWriter: TypeAlias = Callable[[bytearray, Any], None]
"""``Any``: each kind of immediate has a Python form of its own, documented in :mod:`wardian.syntax.immediates`."""


def _nothing(out: bytearray, imm: object) -> None:
    pass


def _byte(out: bytearray, imm: int) -> None:
    out.append(imm)


def _pair(out: bytearray, imm: tuple[int, int]) -> None:
    writer.unsigned(out, imm[0])
    writer.unsigned(out, imm[1])


def _f32(out: bytearray, imm: int) -> None:
    out += imm.to_bytes(4, "little")


def _f64(out: bytearray, imm: int) -> None:
    out += imm.to_bytes(8, "little")


def _raw(out: bytearray, imm: bytes) -> None:
    out += imm


def _block(out: bytearray, imm: ValType | int | None) -> None:
    if imm is None:
        out.append(0x40)
    elif isinstance(imm, int):
        writer.signed(out, imm)
    else:
        writer.val_type(out, imm)


def _mem_arg(out: bytearray, imm: tuple[int, ...]) -> None:
    align, offset, memory = imm[:3]
    if memory:
        writer.unsigned(out, align | 0x40)
        writer.unsigned(out, memory)
    else:
        writer.unsigned(out, align)
    writer.unsigned(out, offset)


def _mem_arg_lane(out: bytearray, imm: tuple[int, int, int, int]) -> None:
    _mem_arg(out, imm)
    out.append(imm[3])


def _br_table(out: bytearray, imm: tuple[tuple[int, ...], int]) -> None:
    writer.indices(out, imm[0])
    writer.unsigned(out, imm[1])


def _br_cast(out: bytearray, imm: tuple[int, Any, Any]) -> None:
    label, source, destination = imm
    out.append(source.nullable | destination.nullable << 1)
    writer.unsigned(out, label)
    writer.heap_type(out, source.heap)
    writer.heap_type(out, destination.heap)


def _try_table(out: bytearray, imm: tuple[ValType | int | None, tuple[tuple[int, int | None, int], ...]]) -> None:
    block, catches = imm
    _block(out, block)
    writer.unsigned(out, len(catches))
    for kind, tag, label in catches:
        out.append(kind)
        if tag is not None:
            writer.unsigned(out, tag)
        writer.unsigned(out, label)


def _fence(out: bytearray, imm: None) -> None:
    out.append(0)


WRITE: Final[Mapping[Imm, ImmWriter]] = MappingProxyType(
    {
        Imm.NONE: _nothing,
        Imm.LABEL: writer.unsigned,
        Imm.FUNC: writer.unsigned,
        Imm.TYPE: writer.unsigned,
        Imm.LOCAL: writer.unsigned,
        Imm.GLOBAL: writer.unsigned,
        Imm.TABLE: writer.unsigned,
        Imm.MEMORY: writer.unsigned,
        Imm.DATA: writer.unsigned,
        Imm.ELEM: writer.unsigned,
        Imm.TAG: writer.unsigned,
        Imm.LANE: _byte,
        Imm.I32: writer.signed,
        Imm.I64: writer.signed,
        Imm.F32: _f32,
        Imm.F64: _f64,
        Imm.V128: _raw,
        Imm.SHUFFLE: _raw,
        Imm.BLOCK: _block,
        Imm.MEMARG: _mem_arg,
        Imm.MEMARG_LANE: _mem_arg_lane,
        Imm.SELECT_T: writer.val_types,
        Imm.HEAP: writer.heap_type,
        Imm.BR_TABLE: _br_table,
        Imm.CALL_INDIRECT: _pair,
        Imm.MEMORY_COPY: _pair,
        Imm.MEMORY_INIT: _pair,
        Imm.TABLE_COPY: _pair,
        Imm.TABLE_INIT: _pair,
        Imm.TYPE_FIELD: _pair,
        Imm.TYPE_COUNT: _pair,
        Imm.TYPE_DATA: _pair,
        Imm.TYPE_ELEM: _pair,
        Imm.TYPE_TYPE: _pair,
        Imm.BR_CAST: _br_cast,
        Imm.TRY_TABLE: _try_table,
        Imm.FENCE: _fence,
    }
)
"""How each kind of immediate is written."""


def write_instruction(out: bytearray, row: Row, imm: object) -> None:
    """Append the instruction ``row`` with the immediate ``imm``, of the form that its kind prescribes."""
    opcode = row.opcode
    if opcode < 0x100:
        out.append(opcode)
    else:
        out.append(opcode >> 16)
        writer.unsigned(out, opcode & 0xFFFF)
    WRITE[row.imm](out, imm)


def write_locals(out: bytearray, runs: list[tuple[int, ValType]]) -> None:
    """Append the declarations of a body's locals, as :func:`wardian.binary.body.locals_of` gives them."""
    writer.unsigned(out, len(runs))
    for count, type in runs:
        writer.unsigned(out, count)
        writer.val_type(out, type)


# -- sections ----------------------------------------------------------------------------------------------------------


def _types(out: bytearray, module: Module) -> int:
    lone = frozenset(module.lone_groups)
    for first, count in module.rec_groups:
        writer.rec_group(out, module.types[first : first + count], grouped=first in lone)
    return len(module.rec_groups)


IMPORT_TYPE: Final[Mapping[str, Callable[[bytearray, Any], None]]] = MappingProxyType(
    {
        "func": writer.unsigned,
        "table": writer.table_type,
        "memory": writer.memory_type,
        "global": writer.global_type,
        "tag": writer.tag_type,
    }
)


def _import(out: bytearray, item: Import) -> None:
    writer.name(out, item.module)
    writer.name(out, item.name)
    out.append(KINDS.index(item.kind))
    IMPORT_TYPE[item.kind](out, item.type)


def _imports(out: bytearray, module: Module) -> int:
    for item in module.imports:
        _import(out, item)
    return len(module.imports)


def _funcs(out: bytearray, module: Module) -> int:
    for type in module.funcs:
        writer.unsigned(out, type)
    return len(module.funcs)


def _copy(out: bytearray, module: Module, part: Slice) -> None:
    out += module.source[part[0] : part[1]]


def _tables(out: bytearray, module: Module) -> int:
    for table in module.tables:
        if table.init is None:
            writer.table_type(out, table.type)
        else:
            out += bytes((TABLE_WITH_INIT, 0))
            writer.table_type(out, table.type)
            _copy(out, module, table.init)
    return len(module.tables)


def _memories(out: bytearray, module: Module) -> int:
    for type in module.memories:
        writer.memory_type(out, type)
    return len(module.memories)


def _tags(out: bytearray, module: Module) -> int:
    for type in module.tags:
        writer.tag_type(out, type)
    return len(module.tags)


def _globals(out: bytearray, module: Module) -> int:
    for item in module.globals:
        writer.global_type(out, item.type)
        _copy(out, module, item.init)
    return len(module.globals)


def _exports(out: bytearray, module: Module) -> int:
    for export in module.exports:
        writer.name(out, export.name)
        out.append(KINDS.index(export.kind))
        writer.unsigned(out, export.index)
    return len(module.exports)


def _elem(out: bytearray, module: Module, segment: ElemSegment) -> None:
    by_funcs = not segment.exprs and segment.type is FUNC_NON_NULL
    flags = 0 if by_funcs else ELEM_EXPRESSIONS
    if segment.offset is None:
        flags |= ELEM_NOT_ACTIVE | (ELEM_EXPLICIT if segment.mode == "declarative" else 0)
    elif segment.table or not (by_funcs or segment.type is FUNCREF):
        flags |= ELEM_EXPLICIT
    writer.unsigned(out, flags)
    if segment.offset is not None:
        if flags & ELEM_EXPLICIT:
            writer.unsigned(out, segment.table)
        _copy(out, module, segment.offset)
    typed = bool(flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT))
    if by_funcs:
        if typed:
            out.append(0)
        writer.indices(out, segment.funcs)
        return
    if typed:
        writer.val_type(out, segment.type)
    writer.unsigned(out, len(segment.exprs))
    for part in segment.exprs:
        _copy(out, module, part)


def _elems(out: bytearray, module: Module) -> int:
    for segment in module.elems:
        _elem(out, module, segment)
    return len(module.elems)


def _code(out: bytearray, module: Module) -> int:
    source = module.source
    for start, end in module.bodies:
        writer.unsigned(out, end - start)
        out += source[start:end]
    return len(module.bodies)


def _data(out: bytearray, module: Module, segment: DataSegment) -> None:
    if segment.offset is None:
        out.append(1)
    elif segment.memory:
        out.append(2)
        writer.unsigned(out, segment.memory)
    else:
        out.append(0)
    if segment.offset is not None:
        _copy(out, module, segment.offset)
    start, end = segment.init
    writer.unsigned(out, end - start)
    _copy(out, module, segment.init)


def _datas(out: bytearray, module: Module) -> int:
    for segment in module.datas:
        _data(out, module, segment)
    return len(module.datas)


_VECTORS: Final[Mapping[int, Callable[[bytearray, Module], int]]] = MappingProxyType(
    {
        1: _types,
        2: _imports,
        3: _funcs,
        4: _tables,
        5: _memories,
        13: _tags,
        6: _globals,
        7: _exports,
        9: _elems,
        10: _code,
        11: _datas,
    }
)
"""The sections that are one vector: each appends its elements and returns how many there are."""

_START: Final = 8
_DATA_COUNT: Final = 12


def _section(out: bytearray, section: int, content: bytes | bytearray) -> None:
    out.append(section)
    writer.unsigned(out, len(content))
    out += content


def _single(out: bytearray, section: int, value: int | None) -> None:
    if value is not None:
        content = bytearray()
        writer.unsigned(content, value)
        _section(out, section, content)


def _customs(out: bytearray, module: Module, after: int) -> None:
    for custom in module.customs:
        if custom.after == after:
            content = bytearray()
            writer.name(content, custom.name)
            _copy(content, module, custom.content)
            _section(out, CUSTOM, content)


def encode(module: Module) -> bytes:
    """The bytes of ``module``, which need not be valid.

    A section is left out if it would be empty, unless the module's source had it.
    """
    out = bytearray(MAGIC + VERSION)
    had = {section for section, _, _ in module.sections}
    _customs(out, module, CUSTOM)
    for section in SECTIONS:
        if section == _START:
            _single(out, section, module.start)
        elif section == _DATA_COUNT:
            _single(out, section, module.data_count)
        else:
            content = bytearray()
            count = _VECTORS[section](content, module)
            if count or section in had:
                prefix = bytearray()
                writer.unsigned(prefix, count)
                _section(out, section, prefix + content)
        _customs(out, module, section)
    return bytes(out)
