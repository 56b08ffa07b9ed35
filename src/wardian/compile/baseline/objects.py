"""What the baseline compiler does with structures, arrays, i31 and casts: operands in slots, and the result.

Invariant: nothing is known here of an object but where its fields are. A new structure, or array of a fixed length, is
made all zero and then given its values one by one; in between nothing else runs, and its reference is in a slot, where
the collector finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wardian.compile.baseline.facts import ANY, BaselineFacts, classes_of, local_class
from wardian.compile.baseline.function import Baseline, Step
from wardian.compile.baseline.library import Group
from wardian.compile.baseline.references import branch_on
from wardian.compile.baseline.shapes import WORD
from wardian.compile.baseline.slots import give
from wardian.syntax import families as f
from wardian.syntax.instructions import Row
from wardian.syntax.types import (
    EXTERNREF,
    I32,
    V128,
    ArrayType,
    HeapType,
    NumType,
    PackedType,
    RefType,
    StructType,
    ValType,
    ref,
)
from wardian.vm import heap
from wardian.vm.layout import SEGMENT
from wardian.vm.objects import storage_size, struct_layout

SMALL: Final = "small"
LARGE: Final = "large"
SIZES: Final = (SMALL, LARGE)
"""Of new objects: does generated code take them from runs of free cells?"""
NULLABLE: Final = "null"
NO_STORAGE: Final = "-"
"""In the names of groups: there are no fields or elements."""

Storage: TypeAlias = "NumType | RefType | PackedType"
Signature: TypeAlias = "tuple[tuple[ValType, ...], ValType | None]"
_REF: Final = EXTERNREF
_SIGNATURES: Final[Mapping[type[f.Family], Callable[[Any, ValType], Signature]]] = MappingProxyType(
    {
        f.StructGet: lambda family, of: ((_REF,), of),
        f.StructSet: lambda family, of: ((_REF, of), None),
        f.ArrayNew: lambda family, of: ((I32,) if family.default else (of, I32), _REF),
        f.ArrayNewData: lambda family, of: ((I32, I32), _REF),
        f.ArrayNewElem: lambda family, of: ((I32, I32), _REF),
        f.ArrayGet: lambda family, of: ((_REF, I32), of),
        f.ArraySet: lambda family, of: ((_REF, I32, of), None),
        f.ArrayLen: lambda family, of: ((_REF,), I32),
        f.ArrayFill: lambda family, of: ((_REF, I32, of, I32), None),
        f.ArrayCopy: lambda family, of: ((_REF, I32, _REF, I32, I32), None),
        f.ArrayInitData: lambda family, of: ((_REF, I32, I32, I32), None),
        f.ArrayInitElem: lambda family, of: ((_REF, I32, I32, I32), None),
        f.RefEq: lambda family, of: ((_REF, _REF), I32),
        f.RefI31: lambda family, of: ((I32,), _REF),
        f.I31Get: lambda family, of: ((_REF,), I32),
    }
)


def object_signature(family: f.Family, of: Storage) -> Signature:
    """Types of the operands and of the result, any reference to an object being an ``externref``; ``of`` is what fields
    or elements are."""
    return _SIGNATURES[type(family)](family, I32 if isinstance(of, PackedType) else of)


def _fields(facts: BaselineFacts, type_index: int) -> tuple[list[Storage], tuple[int, ...], int]:
    """``(what fields are, where they are, bytes in all)`` of a structure."""
    comp = facts.module.types[type_index].comp
    assert isinstance(comp, StructType)
    layout = struct_layout(comp, facts.module.types)
    return [field.storage for field in comp.fields], layout.offsets, layout.size


def _element(facts: BaselineFacts, type_index: int) -> Storage:
    comp = facts.module.types[type_index].comp
    assert isinstance(comp, ArrayType)
    return comp.field.storage


def _kind(facts: BaselineFacts, storage: Storage, *, read: bool) -> tuple[str, int, int]:
    """A storage's name in those of groups; of a function that is read, also its type word and where that is among the
    ancestors of a subtype."""
    if not isinstance(storage, RefType):
        return storage.name, 0, 0
    if not facts.is_function(storage):
        return "ref", 0, 0
    if not read or not isinstance(storage.heap, int):
        return ANY, 0, 0
    return facts.compared(storage.heap), 8 * storage.heap, facts.above(storage.heap)


def _on_objects(
    c: Baseline, row: Row, of: Storage, storage: str = NO_STORAGE, i: int = 0, j: int = 0, above: int = 0
) -> None:
    params, result = object_signature(row.family, of)
    group = c.facts.more_group(f"object {row.name} {storage}")
    a = c.arguments(len(classes_of(params)))
    c.emit(group.get(0), a=a, c=above, d=_push(c, result), i=i, j=j)


def _push(c: Baseline, type: ValType | None) -> int:
    """Push a result that is about to be made: displacement of its slot or slots."""
    if type is None:
        return 0
    if type is V128:
        return give(c)
    place = c.slot(len(c.ops), local_class(type))
    c.ops.append(place)
    return place[1]


def _plain(c: Baseline, offset: int, row: Row, imm: None) -> None:
    _on_objects(c, row, I32)


def _struct_get(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    fields, offsets, _ = _fields(c.facts, imm[0])
    storage, j, above = _kind(c.facts, fields[imm[1]], read=True)
    _on_objects(c, row, fields[imm[1]], storage, offsets[imm[1]], j, above)


def _struct_set(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    fields, offsets, _ = _fields(c.facts, imm[0])
    field = fields[imm[1]]
    a = c.arguments(3 if field is V128 else 2)
    _set_field(c, field, a, a - (16 if field is V128 else 8), offsets[imm[1]])


def _set_field(c: Baseline, field: Storage, reference: int, value: int, at: int) -> None:
    """Store what is in a slot at a place in the object whose reference is in another."""
    group = c.facts.more_group(f"object struct.set {_kind(c.facts, field, read=False)[0]}")
    c.emit(group.get(0), a=reference, b=value, i=at)


def _struct_new(c: Baseline, offset: int, row: Row, imm: int) -> None:
    fields, offsets, size = _fields(c.facts, imm)
    assert isinstance(row.family, f.StructNew)
    values = [] if row.family.default else fields
    _make(c, _sized(c, "structure", size), values, offsets, i=size, j=8 * imm)


def _array_new_fixed(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    type_index, count = imm
    of = _element(c.facts, type_index)
    element = storage_size(of)
    size = (heap.ELEMENTS + element * count + heap.ALIGN - 1) & -heap.ALIGN
    offsets = tuple([heap.ELEMENTS + element * n for n in range(count)])
    _make(c, _sized(c, "fixed", size), [of] * count, offsets, i=size, j=8 * type_index, length=count)


def _sized(c: Baseline, group: str, size: int) -> Group:
    return c.facts.more_group(f"{group} {SMALL if size <= heap.MAX_RUN else LARGE}")


def _make(
    c: Baseline, group: Group, values: list[Storage], offsets: tuple[int, ...], i: int, j: int, length: int = 0
) -> None:
    """Make an object and give it the topmost operands."""
    types: list[ValType] = [I32 if isinstance(of, PackedType) else of for of in values]
    count = len(classes_of(types))
    at = c.arguments(count) + 8
    # Where no operand is, until all values have been read.
    made = c.slot(len(c.ops) + count, WORD)
    c.emit(group.get(0), c=length, d=made[1], i=i, j=j)
    for of, where in zip(values, offsets, strict=False):
        at -= 16 if of is V128 else 8
        _set_field(c, of, made[1], at, where)
    place = c.slot(len(c.ops), WORD)
    if place != made:
        c.move(made, place)
    c.ops.append(place)


def _array_new(c: Baseline, offset: int, row: Row, imm: int) -> None:
    of = _element(c.facts, imm)
    _on_objects(c, row, of, _kind(c.facts, of, read=False)[0], j=8 * imm)


def _array_new_from(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    """``array.new_data``, ``array.new_elem``."""
    of = _element(c.facts, imm[0])
    _on_objects(c, row, of, _kind(c.facts, of, read=False)[0], _segment(c, row, imm[1]), 8 * imm[0])


def _array_init(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    of = _element(c.facts, imm[0])
    _on_objects(c, row, of, _kind(c.facts, of, read=False)[0], _segment(c, row, imm[1]))


def _segment(c: Baseline, row: Row, number: int) -> int:
    layout = c.facts.layout
    data = isinstance(row.family, f.ArrayNewData | f.ArrayInitData)
    return (layout.datas if data else layout.elems) + SEGMENT.size * number


def _array_get(c: Baseline, offset: int, row: Row, imm: int) -> None:
    of = _element(c.facts, imm)
    storage, j, above = _kind(c.facts, of, read=True)
    _on_objects(c, row, of, storage, 0, j, above)


def _array_set(c: Baseline, offset: int, row: Row, imm: int) -> None:
    """``array.set``, ``array.fill``."""
    of = _element(c.facts, imm)
    _on_objects(c, row, of, _kind(c.facts, of, read=False)[0])


def _array_copy(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    _array_set(c, offset, row, imm[0])


# -- casts -------------------------------------------------------------------------------------------------------------


def _cast_group(c: Baseline, what: str, heap_type: HeapType, *, nullable: bool) -> tuple[Group, int, int]:
    """``(stencils, type word, where it is among the ancestors of a subtype)``."""
    facts = c.facts
    plain = facts.plain(ref(True, heap_type))
    name, j, above = "", 0, 0
    if isinstance(heap_type, int):
        name, j, above = facts.compared(heap_type), 8 * heap_type, facts.above(heap_type)
    else:
        name = heap_type.name
    group = facts.more_group(f"cast {what} {plain} {name} {NULLABLE if nullable else 'some'}")
    return group, j, above


def _cast(c: Baseline, offset: int, row: Row, imm: HeapType) -> None:
    """``ref.test``, ``ref.cast``."""
    assert isinstance(row.family, f.RefTest | f.RefCast)
    group, j, above = _cast_group(c, row.name, imm, nullable=row.family.nullable)
    a = c.arguments(1)
    c.emit(group.get(0), a=a, c=above, d=_push(c, I32), j=j)


def _br_on_cast(c: Baseline, offset: int, row: Row, imm: tuple[int, RefType, RefType]) -> None:
    label, _, wanted = imm
    assert isinstance(row.family, f.BrOnCast)
    depth = len(c.ops) - 1
    c.ops[depth] = c.settled(c.ops[depth], depth)
    # A copy for the test, which stays where it is while operands are brought into their places.
    copy = c.slot(depth + 1, WORD)
    c.move(c.ops[depth], copy)

    def test(when: bool) -> list[tuple[int, int]]:
        what = "if" if when else "unless"
        group, j, above = _cast_group(c, what, wanted.heap, nullable=wanted.nullable)
        return c.emit(group.get(0), a=copy[1], c=above, j=j)

    branch_on(c, c.frames[-1 - label], test, when=not row.family.fail)


def _nothing(c: Baseline, offset: int, row: Row, imm: None) -> None:
    """References to the same object from outside and from inside have the same bits."""


OBJECT_STEPS: Final[Mapping[type[f.Family], Step]] = MappingProxyType(
    {
        f.StructNew: _struct_new,
        f.StructGet: _struct_get,
        f.StructSet: _struct_set,
        f.ArrayNew: _array_new,
        f.ArrayNewFixed: _array_new_fixed,
        f.ArrayNewData: _array_new_from,
        f.ArrayNewElem: _array_new_from,
        f.ArrayGet: _array_get,
        f.ArraySet: _array_set,
        f.ArrayLen: _plain,
        f.ArrayFill: _array_set,
        f.ArrayCopy: _array_copy,
        f.ArrayInitData: _array_init,
        f.ArrayInitElem: _array_init,
        f.RefTest: _cast,
        f.RefCast: _cast,
        f.BrOnCast: _br_on_cast,
        f.RefEq: _plain,
        f.RefI31: _plain,
        f.I31Get: _plain,
        f.AnyConvertExtern: _nothing,
        f.ExternConvertAny: _nothing,
    }
)
