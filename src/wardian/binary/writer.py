"""Spec chapter "Binary Format / Values, Types": the shortest encodings of integers, names and types.

Invariant: the exact inverse of :mod:`wardian.binary.reader` and :mod:`wardian.binary.types`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from wardian.binary.types import (
    ARRAY_CODE,
    FUNC_CODE,
    HAS_MAX,
    IS_64,
    PAGE_SIZE,
    REC,
    REF,
    REF_NULL,
    SHARED,
    STRUCT_CODE,
    SUB,
    SUB_FINAL,
)
from wardian.syntax.types import (
    AbsHeapType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    MemoryType,
    NumType,
    PackedType,
    StructType,
    SubType,
    TableType,
    TagType,
    TypeLimits,
    ValType,
)

_DEFAULT_PAGE_LOG2: Final = 16


def unsigned(out: bytearray, value: int) -> None:
    """Append ``value`` as unsigned LEB128."""
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def signed(out: bytearray, value: int) -> None:
    """Append ``value`` as signed LEB128."""
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)


def name(out: bytearray, text: str) -> None:
    raw = text.encode("utf-8")
    unsigned(out, len(raw))
    out += raw


def indices(out: bytearray, values: Iterable[int]) -> None:
    """Append a vector of indices."""
    listed = list(values)
    unsigned(out, len(listed))
    for value in listed:
        unsigned(out, value)


def heap_type(out: bytearray, heap: HeapType) -> None:
    if isinstance(heap, AbsHeapType):
        out.append(heap.code)
    else:
        signed(out, heap)


def val_type(out: bytearray, type: ValType) -> None:
    if isinstance(type, NumType):
        out.append(type.code)
    elif type.nullable and isinstance(type.heap, AbsHeapType):
        out.append(type.heap.code)
    else:
        out.append(REF_NULL if type.nullable else REF)
        heap_type(out, type.heap)


def val_types(out: bytearray, types: tuple[ValType, ...]) -> None:
    unsigned(out, len(types))
    for type in types:
        val_type(out, type)


def _field(out: bytearray, field: FieldType) -> None:
    storage = field.storage
    if isinstance(storage, PackedType):
        out.append(storage.code)
    else:
        val_type(out, storage)
    out.append(field.mutable)


def _comp_type(out: bytearray, comp: CompType) -> None:
    if isinstance(comp, FuncType):
        out.append(FUNC_CODE)
        val_types(out, comp.params)
        val_types(out, comp.results)
    elif isinstance(comp, StructType):
        out.append(STRUCT_CODE)
        unsigned(out, len(comp.fields))
        for field in comp.fields:
            _field(out, field)
    else:
        out.append(ARRAY_CODE)
        _field(out, comp.field)


def _sub_type(out: bytearray, type: SubType) -> None:
    if not type.final or type.supers:
        out.append(SUB_FINAL if type.final else SUB)
        indices(out, type.supers)
    _comp_type(out, type.comp)


def rec_group(out: bytearray, types: list[SubType], *, grouped: bool = False) -> None:
    """Append a recursion group; a single type is only written as one if ``grouped``."""
    if grouped or len(types) != 1:
        out.append(REC)
        unsigned(out, len(types))
    for type in types:
        _sub_type(out, type)


def _limits(out: bytearray, limits: TypeLimits, flags: int = 0) -> None:
    flags |= (HAS_MAX if limits.max is not None else 0) | (IS_64 if limits.is64 else 0)
    out.append(flags)
    unsigned(out, limits.min)
    if limits.max is not None:
        unsigned(out, limits.max)


def table_type(out: bytearray, type: TableType) -> None:
    val_type(out, type.element)
    _limits(out, type.limits)


def memory_type(out: bytearray, type: MemoryType) -> None:
    own_pages = type.page_size_log2 != _DEFAULT_PAGE_LOG2
    _limits(out, type.limits, (SHARED if type.shared else 0) | (PAGE_SIZE if own_pages else 0))
    if own_pages:
        unsigned(out, type.page_size_log2)


def global_type(out: bytearray, type: GlobalType) -> None:
    val_type(out, type.value)
    out.append(type.mutable)


def tag_type(out: bytearray, type: TagType) -> None:
    out.append(0)
    unsigned(out, type.type)
