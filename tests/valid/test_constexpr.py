"""Constant expressions: which instructions are constant, and their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.valid.build import F32, F64, FUNCREF, I32, I64, V128, func_type, module, section, vec
from wardian.binary.decode import decode
from wardian.errors import FeatureDisabled, InvalidError
from wardian.limits import Features
from wardian.syntax import types
from wardian.syntax.instructions import BY_NAME, ROWS
from wardian.syntax.types import HeapType
from wardian.valid import constant, constexpr
from wardian.valid.code import Validator
from wardian.valid.constexpr import _EVALUATORS, CONSTANT, evaluate, is_constant
from wardian.valid.context import ModuleContext
from wardian.valid.module import validate_module

TYPES = section(1, vec(func_type(), b"\x5f\2\x7f\0\x78\1", b"\x5e\x7f\1"))


class Record:
    """An environment that tells what was asked of it."""

    def global_value(self, index: int) -> object:
        return 7 + index

    def func_ref(self, index: int) -> object:
        return ("func", index)

    def null(self, heap: HeapType) -> object:
        return ("null", heap)

    def i31(self, value: int) -> object:
        return ("i31", value)

    def struct_new(self, type_index: int, fields: Sequence[object]) -> object:
        return ("struct", type_index, *fields)

    def struct_new_default(self, type_index: int) -> object:
        return ("struct", type_index)

    def array_new(self, type_index: int, init: object, count: int) -> object:
        return ("array", type_index, init, count)

    def array_new_default(self, type_index: int, count: int) -> object:
        return ("array", type_index, count)

    def array_new_fixed(self, type_index: int, elements: Sequence[object]) -> object:
        return ("fixed", type_index, *elements)

    def any_convert_extern(self, reference: object) -> object:
        return ("any", reference)

    def extern_convert_any(self, reference: object) -> object:
        return ("extern", reference)


ANYREF, EXTERNREF = 0x6E, 0x6F

VALUES: list[tuple[str, int, bytes, object]] = [
    ("i32", I32, b"\x41\x7f", 0xFFFF_FFFF),
    ("i64", I64, b"\x42\x7f", 0xFFFF_FFFF_FFFF_FFFF),
    ("long i32", I32, b"\x41\x80\x80\x80\x80\x78", 0x8000_0000),
    ("f32", F32, b"\x43\1\0\xa0\x7f", 0x7FA0_0001),
    ("f64", F64, b"\x44" + bytes(7) + b"\x80", 1 << 63),
    ("v128", V128, b"\xfd\x0c" + bytes(range(16)), bytes(range(16))),
    ("add wraps", I32, b"\x41\x7f\x41\2\x6a", 1),
    ("sub wraps", I32, b"\x41\0\x41\2\x6b", 0xFFFF_FFFE),
    ("mul wraps", I64, b"\x42\x7f\x42\x7f\x7e", 1),
    ("nested", I32, b"\x41\2\x41\3\x41\4\x6c\x6a", 14),
    ("global", I32, b"\x23\0\x41\1\x6a", 8),
    ("function", FUNCREF, b"\xd2\0", ("func", 0)),
    ("i31", ANYREF, b"\x41\x7f\xfb\x1c", ("i31", 0xFFFF_FFFF)),
    ("struct", ANYREF, b"\x41\1\x41\2\xfb\0\1", ("struct", 1, 1, 2)),
    ("struct default", ANYREF, b"\xfb\1\1", ("struct", 1)),
    ("array", ANYREF, b"\x41\1\x41\2\xfb\6\2", ("array", 2, 1, 2)),
    ("array default", ANYREF, b"\x41\2\xfb\7\2", ("array", 2, 2)),
    ("array fixed", ANYREF, b"\x41\5\x41\6\xfb\x08\2\2", ("fixed", 2, 5, 6)),
    ("no elements", ANYREF, b"\xfb\x08\2\0", ("fixed", 2)),
    ("conversions", EXTERNREF, b"\x41\1\xfb\x1c\xfb\x1b\xfb\x1a\xfb\x1b", ("extern", ("any", ("extern", ("i31", 1))))),
]  # fmt: skip


@pytest.mark.parametrize(("code", "body", "value"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_value(code: int, body: bytes, value: object) -> None:
    source = module(
        TYPES,
        section(2, vec(b"\1m\1f\0\0", b"\1m\1g\3\x7f\0")),
        section(6, vec(bytes([code, 0]) + body + b"\x0b")),
    )
    ctx = validate_module(decode(source))
    assert evaluate(ctx, ctx.module.globals[0].init, Record()) == value
    assert constant.evaluate(ctx, ctx.module.globals[0].init, Record()) == value
    # Whatever type is wanted, the quick way and the other agree on whether it is that.
    for wanted in (types.I32, types.I64, types.F32, types.F64, types.V128):
        says = [_verdict(module.check, ctx, wanted) for module in (constant, constexpr)]
        assert says[0] == says[1]


def _verdict(check: Callable[..., None], ctx: ModuleContext, wanted: types.ValType) -> str:
    try:
        check(ctx, lambda: Validator(ctx), ctx.module.globals[0].init, wanted, 1)
    except InvalidError as error:
        return str(error)
    return "valid"


def test_null_has_its_heap_type() -> None:
    ctx = validate_module(decode(module(TYPES, section(6, vec(b"\x6e\0\xd0\1\x0b")))))
    assert evaluate(ctx, ctx.module.globals[0].init, Record()) == ("null", 1)


def test_every_constant_family_has_an_evaluator() -> None:
    assert set(_EVALUATORS) == set(CONSTANT)


def test_the_constant_instructions_are_those_of_the_specification() -> None:
    names = {row.name for row in ROWS if is_constant(row)}
    assert names == {
        *(f"{t}.const" for t in ("i32", "i64", "f32", "f64", "v128")),
        *(f"{t}.{op}" for t in ("i32", "i64") for op in ("add", "sub", "mul")),
        *("end", "global.get", "ref.null", "ref.func", "ref.i31", "struct.new", "struct.new_default"),
        *("array.new", "array.new_default", "array.new_fixed", "any.convert_extern", "extern.convert_any"),
    }
    assert not is_constant(BY_NAME["i32.div_s"])


@pytest.mark.parametrize(
    ("feature", "body"),
    [("extended_const", b"\x41\1\x41\2\x6a"), ("gc", b"\x23\1")],
)
def test_features(feature: str, body: bytes) -> None:
    source = module(
        section(2, vec(b"\1m\1g\3\x7f\0")),
        section(6, vec(b"\x7f\0\x41\0\x0b", b"\x7f\0" + body + b"\x0b")),
    )
    validate_module(decode(source))
    with pytest.raises(FeatureDisabled, match=feature.replace("_", "-")):
        validate_module(decode(source), Features(**{feature: False}))
