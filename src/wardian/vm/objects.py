"""Where a structure's fields and an array's elements lie inside a heap object, and what its header says.

Invariant: a subtype's object begins as its supertype's does, because fields are placed in order, each by its own size.
"""

from __future__ import annotations

from typing import Final, final

from wardian.record import Record
from wardian.syntax.module import Module
from wardian.syntax.types import ArrayType, CompType, FuncType, NumType, PackedType, RefType, StructType, SubType
from wardian.vm import heap
from wardian.vm.abi import is_func_ref

_REFERENCE: Final = 4


def storage_size(storage: NumType | RefType | PackedType) -> int:
    """Bytes of a field or an element: a power of two."""
    return _REFERENCE if isinstance(storage, RefType) else storage.size


def is_heap_ref(storage: NumType | RefType | PackedType, types: list[SubType]) -> bool:
    """Does the field hold a reference the collector follows?"""
    return isinstance(storage, RefType) and not is_func_ref(storage, types)


@final
class StructLayout(Record):
    """``size`` of the whole object, ``offsets`` of its fields, and of those that hold references (``refs``)."""

    size: int
    offsets: tuple[int, ...]
    refs: tuple[int, ...]


def struct_layout(comp: StructType, types: list[SubType]) -> StructLayout:
    at = heap.FIELDS
    offsets, refs = [], []
    for field in comp.fields:
        size = storage_size(field.storage)
        align = min(size, heap.ALIGN)
        at = (at + align - 1) & -align
        offsets.append(at)
        if is_heap_ref(field.storage, types):
            refs.append(at)
        at += size
    return StructLayout((at + heap.ALIGN - 1) & -heap.ALIGN, tuple(offsets), tuple(refs))


def kind(comp: CompType, types: list[SubType]) -> int:
    """The low bits of the canonical id of a type, and so of the header of its objects."""
    if isinstance(comp, FuncType):
        return heap.FUNC
    if isinstance(comp, ArrayType):
        return heap.ARRAY_REFS if is_heap_ref(comp.field.storage, types) else heap.ARRAY
    has_refs = any(is_heap_ref(field.storage, types) for field in comp.fields)
    return heap.STRUCT_REFS if has_refs else heap.STRUCT


def has_objects(module: Module) -> bool:
    """Can the module make structures, arrays or exceptions, or look into them?"""
    tags = module.imported_tags or module.tags
    return bool(tags) or any(not isinstance(sub.comp, FuncType) for sub in module.types)
