"""The result of vector arithmetic never holds a signalling NaN, by whatever way a neutral operand gets there."""

from __future__ import annotations

from typing import Final

import pytest

import wardian
from tests.support import MODES, Mode, assemble, level_params

SIGNALLING: Final = {"f32x4": 0x7FA00001_FF800001_7F800001_FFA00000, "f64x2": 0x7FF4000000000001_FFF0000000000001}
QUIET: Final = {"f32x4": 0x00400000_00400000_00400000_00400000, "f64x2": 0x0008000000000000_0008000000000000}
LANE: Final = {"f32x4": ("i32", 4, "f32"), "f64x2": ("i64", 2, "f64")}

NEUTRAL: Final = {
    "f32x4": (0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000),
    "f64x2": (0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48, 0x7FF0 << 48, 0xFFF0 << 48),
}
BINARY: Final = ("add", "sub", "mul", "div", "min", "max", "relaxed_min", "relaxed_max")
UNARY: Final = ("sqrt", "ceil", "floor", "trunc", "nearest")


def _routes(shape: str, bits: int) -> list[str]:
    """Ways to a vector of one constant, each leaving it on the stack. Local 1 is a v128, local 2 is 0 at run time."""
    lane, lanes, scalar = LANE[shape]
    constant = f"v128.const {lane}x{lanes} {' '.join([str(bits)] * lanes)}"
    mixed = f"v128.const {lane}x{lanes} {' '.join([str(bits)] + [str(bits ^ 5)] * (lanes - 1))}"
    return [
        constant,
        f"{constant} local.set 1 local.get 1",
        f"{lane}.const {bits} {lane}x{lanes}.splat",
        f"{lane}.const {bits} {scalar}.reinterpret_{lane} {shape}.splat",
        f"i32.const 64 {constant} v128.store i32.const 64 v128.load",
        f"{constant} v128.not v128.not",
        f"{mixed} {lane}.const {bits} {lane}x{lanes}.splat {lane}.const 0 {lane}x{lanes}.splat v128.bitselect",
    ]


def _bodies(shape: str) -> list[str]:
    made = [f"local.get 0 {shape}.{op}" for op in UNARY]
    made += [f"local.get 0 local.get 0 {shape}.{op}" for op in BINARY]
    for bits in NEUTRAL[shape]:
        for route in _routes(shape, bits):
            for op in BINARY:
                made += [f"local.get 0 {route} {shape}.{op}", f"{route} local.get 0 {shape}.{op}"]
            made.append(f"local.get 0 {route} {route} {shape}.relaxed_madd")
            made.append(f"{route} {route} local.get 0 {shape}.relaxed_nmadd")
    return made


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mode", [pytest.param(m, id=str(m), marks=() if m == Mode("O2", "explicit") else pytest.mark.slow) for m in MODES]
)
@pytest.mark.parametrize("shape", ["f32x4", "f64x2"])
def test_arithmetic_is_quiet(shape: str, mode: Mode) -> None:
    bodies = _bodies(shape)
    functions = "".join(
        f'(func (export "{i}") (param v128) (result v128) (local v128 i32) {body})' for i, body in enumerate(bodies)
    )
    engine = wardian.Engine(mode.config(cache=False))
    module = wardian.Module(assemble(f"(module (memory 1) {functions})"), engine)
    exports = module.instantiate().exports
    wanted = QUIET[shape]
    for i, body in enumerate(bodies):
        result = int.from_bytes(exports[str(i)](SIGNALLING[shape]), "little")
        assert result & wanted == wanted, f"{body}: {result:032x}"


@pytest.mark.parametrize("mode", level_params())
def test_conversions_between_floats_are_quiet(mode: Mode) -> None:
    text = """(module
      (func (export "round") (param v128) (result v128) local.get 0 f64x2.promote_low_f32x4 f32x4.demote_f64x2_zero)
      (func (export "back") (param v128) (result v128) local.get 0 f32x4.demote_f64x2_zero f64x2.promote_low_f32x4))"""
    engine = wardian.Engine(mode.config(cache=False))
    exports = wardian.Module(assemble(text), engine).instantiate().exports
    low = QUIET["f32x4"] & ((1 << 64) - 1)
    assert int.from_bytes(exports["round"](SIGNALLING["f32x4"]), "little") & low == low
    assert int.from_bytes(exports["back"](SIGNALLING["f64x2"]), "little") & QUIET["f64x2"] == QUIET["f64x2"]


@pytest.mark.parametrize("mode", level_params())
def test_moves_keep_every_bit(mode: Mode) -> None:
    """What is no arithmetic leaves a signalling NaN as it is, but for the sign that neg and abs are about."""
    functions = {
        "neg": "local.get 0 f32x4.neg f32x4.neg",
        "pmin": "local.get 0 local.get 0 f32x4.pmin",
        "pmax": "local.get 0 local.get 0 f64x2.pmax",
        "lane": "local.get 0 local.get 0 f32x4.extract_lane 2 f32x4.replace_lane 2",
        "wide": "local.get 0 local.get 0 f64x2.extract_lane 1 f64x2.replace_lane 1",
        "select": "local.get 0 local.get 0 i32.const 1 select",
    }
    text = "".join(f'(func (export "{n}") (param v128) (result v128) {body})' for n, body in functions.items())
    engine = wardian.Engine(mode.config(cache=False))
    exports = wardian.Module(assemble(f"(module {text})"), engine).instantiate().exports
    for name in functions:
        for bits in SIGNALLING.values():
            assert int.from_bytes(exports[name](bits), "little") == bits, name
