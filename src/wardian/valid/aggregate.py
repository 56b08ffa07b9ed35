"""Spec chapter "Validation / Instructions": structures, arrays, casts and conversions of references.

Invariant: as in :mod:`wardian.valid.control`.
"""

from __future__ import annotations

from wardian.syntax.families import ArrayGet, ArrayNew, RefCast, RefTest, StructGet, StructNew
from wardian.syntax.instructions import Row
from wardian.syntax.types import (
    ANY,
    EXTERN,
    I32,
    ArrayType,
    FieldType,
    HeapType,
    PackedType,
    RefType,
    StructType,
    ValType,
    ref,
)
from wardian.valid.access import check_data, elem_type
from wardian.valid.stacks import FLOOR, Stacks
from wardian.valid.types import is_defaultable, unpacked

_ANYREF = ref(True, ANY)
_EXTERNREF = ref(True, EXTERN)


def _struct(v: Stacks, index: int) -> StructType:
    comp = v.types.expand(v.known_type(index))
    if not isinstance(comp, StructType):
        raise v.invalid(f"type mismatch: non-structure type {index}")
    return comp


def _field(v: Stacks, imm: tuple[int, int]) -> FieldType:
    fields = _struct(v, imm[0]).fields
    if imm[1] >= len(fields):
        raise v.invalid(f"unknown field {imm[1]} of type {imm[0]}")
    return fields[imm[1]]


def _array(v: Stacks, index: int) -> FieldType:
    comp = v.types.expand(v.known_type(index))
    if not isinstance(comp, ArrayType):
        raise v.invalid(f"type mismatch: non-array type {index}")
    return comp.field


def _mutable_array(v: Stacks, index: int) -> FieldType:
    field = _array(v, index)
    if not field.mutable:
        raise v.invalid(f"immutable array: type {index}")
    return field


def _check_packing(v: Stacks, field: FieldType, signed: bool | None) -> None:
    if isinstance(field.storage, PackedType) == (signed is None):
        words = "packed" if signed is None else "not packed"
        raise v.invalid(f"type mismatch: the field is {words}")


# -- structures --------------------------------------------------------------------------------------------------------


def struct_new(v: Stacks, row: Row, index: int) -> None:
    fields = _struct(v, index).fields
    family = row.family
    assert isinstance(family, StructNew)
    if family.default:
        bad = v.types.undefaultable_field(index)
        if bad is not None:
            raise v.invalid(f"type mismatch: field {bad} of type {index} is not defaultable")
    else:
        for field in reversed(fields):
            if _pop_element(v, unpacked(field.storage)):
                break
    v.push(ref(False, index))


def _pop_element(v: Stacks, element: ValType) -> bool:
    """Take an operand that must match ``element``; whether it, and all below it, have whatever type is asked for."""
    bottomless = v.stack[-1] is FLOOR
    v.pop(element)
    return bottomless


def struct_get(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    field = _field(v, imm)
    family = row.family
    assert isinstance(family, StructGet)
    _check_packing(v, field, family.signed)
    v.pop(ref(True, imm[0]))
    v.push(unpacked(field.storage))


def struct_set(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    field = _field(v, imm)
    if not field.mutable:
        raise v.invalid(f"immutable field {imm[1]} of type {imm[0]}")
    v.pop_all((ref(True, imm[0]), unpacked(field.storage)))


# -- arrays ------------------------------------------------------------------------------------------------------------


def array_new(v: Stacks, row: Row, index: int) -> None:
    element = unpacked(_array(v, index).storage)
    family = row.family
    assert isinstance(family, ArrayNew)
    v.pop(I32)
    if not family.default:
        v.pop(element)
    elif not is_defaultable(element):
        raise v.invalid(f"type mismatch: elements of array type {index} are not defaultable")
    v.push(ref(False, index))


def array_new_fixed(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    index, count = imm
    element = unpacked(_array(v, index).storage)
    for _ in range(count):
        if _pop_element(v, element):
            break
    v.push(ref(False, index))


def array_new_data(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    _check_numeric(v, imm[0], _array(v, imm[0]))
    check_data(v, imm[1])
    v.pop_all((I32, I32))
    v.push(ref(False, imm[0]))


def array_new_elem(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    _check_segment(v, imm, _array(v, imm[0]))
    v.pop_all((I32, I32))
    v.push(ref(False, imm[0]))


def array_get(v: Stacks, row: Row, index: int) -> None:
    field = _array(v, index)
    family = row.family
    assert isinstance(family, ArrayGet)
    _check_packing(v, field, family.signed)
    v.pop_all((ref(True, index), I32))
    v.push(unpacked(field.storage))


def array_set(v: Stacks, row: Row, index: int) -> None:
    field = _mutable_array(v, index)
    v.pop_all((ref(True, index), I32, unpacked(field.storage)))


def array_fill(v: Stacks, row: Row, index: int) -> None:
    field = _mutable_array(v, index)
    v.pop_all((ref(True, index), I32, unpacked(field.storage), I32))


def array_copy(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    target = _mutable_array(v, imm[0])
    source = _array(v, imm[1])
    if not v.types.matches_storage(source.storage, target.storage):
        raise v.invalid(f"array types do not match: {source.storage} into {target.storage}")
    v.pop_all((ref(True, imm[0]), I32, ref(True, imm[1]), I32, I32))


def array_init_data(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    _check_numeric(v, imm[0], _mutable_array(v, imm[0]))
    check_data(v, imm[1])
    v.pop_all((ref(True, imm[0]), I32, I32, I32))


def array_init_elem(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    _check_segment(v, imm, _mutable_array(v, imm[0]))
    v.pop_all((ref(True, imm[0]), I32, I32, I32))


def _check_numeric(v: Stacks, index: int, field: FieldType) -> None:
    if isinstance(field.storage, RefType):
        raise v.invalid(f"array type is not numeric or vector: type {index}")


def _check_segment(v: Stacks, imm: tuple[int, int], field: FieldType) -> None:
    t = elem_type(v, imm[1])
    if not v.types.matches_storage(t, field.storage):
        raise v.invalid(f"type mismatch: elements of type {t} in an array of {field.storage}")


# -- casts -------------------------------------------------------------------------------------------------------------


def _pop_castable(v: Stacks, heap: HeapType) -> None:
    """Take a reference of the hierarchy ``heap`` is in."""
    v.check_ref(ref(True, heap))
    v.pop(ref(True, v.types.top(heap)))


def ref_test(v: Stacks, row: Row, heap: HeapType) -> None:
    assert isinstance(row.family, RefTest)
    _pop_castable(v, heap)
    v.push(I32)


def ref_cast(v: Stacks, row: Row, heap: HeapType) -> None:
    family = row.family
    assert isinstance(family, RefCast)
    _pop_castable(v, heap)
    v.push(ref(family.nullable, heap))


def any_convert_extern(v: Stacks, row: Row, imm: None) -> None:
    v.push(ref(_pop_nullability(v, _EXTERNREF), ANY))


def extern_convert_any(v: Stacks, row: Row, imm: None) -> None:
    v.push(ref(_pop_nullability(v, _ANYREF), EXTERN))


def _pop_nullability(v: Stacks, want: RefType) -> bool:
    """Take an operand that must match ``want``; whether it may be null."""
    got = v.operand()
    v.pop(want)
    return isinstance(got, RefType) and got.nullable
