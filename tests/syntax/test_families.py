"""Families behave as frozen dataclasses do."""

from __future__ import annotations

import pickle

import pytest

from wardian.syntax.families import Drop, IntBin, Load, Nop, Op, SimdExtend, Store
from wardian.syntax.instructions import BY_NAME, ROWS
from wardian.syntax.types import I32, I64


def test_fields_by_position_by_name_and_by_default() -> None:
    assert Load(I32, 1) == Load(type=I32, size=1, signed=False)
    assert Load(I32, 1, signed=True).signed is True
    assert BY_NAME["i32.load8_u"].family == Load(I32, 1)


def test_equality_is_by_class_and_fields() -> None:
    assert Load(I32, 4) != Store(I32, 4)
    assert Nop() == Nop()
    assert Nop() != Drop()
    assert IntBin(Op.ADD, I32) != IntBin(Op.ADD, I64)
    assert len({IntBin(Op.ADD, I32), IntBin(Op.ADD, I32), IntBin(Op.SUB, I32)}) == 2


def test_families_are_immutable() -> None:
    family = IntBin(Op.ADD, I32)
    with pytest.raises(AttributeError):
        family.op = Op.SUB  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del family.op


@pytest.mark.parametrize("args", [(I32,), (I32, 4, False, 1)])
def test_wrong_number_of_fields(args: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        Load(*args)  # type: ignore[arg-type]


def test_unknown_field() -> None:
    with pytest.raises(TypeError):
        Load(I32, 4, width=3)  # type: ignore[call-arg]


def test_matching_by_position() -> None:
    match BY_NAME["i16x8.extend_high_i8x16_u"].family:
        case SimdExtend(shape, signed, high):
            assert (shape.name, signed, high) == ("i16x8", False, True)
        case other:
            pytest.fail(repr(other))


def test_repr_names_the_fields() -> None:
    assert repr(Load(I32, 2, signed=True)) == "Load(type=i32, size=2, signed=True)"


def test_every_family_survives_pickling() -> None:
    for row in ROWS:
        assert pickle.loads(pickle.dumps(row.family)) == row.family
