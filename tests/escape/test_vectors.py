"""Border of constants, for vectors: an instruction whose operand is a constant does what it does with a variable one.

wasmtime.md 2.4 A 9 to 11. Every count of a shift (those beyond the lane's width too), constant indices of
a ``swizzle``, selections of equal operands, and what is always nothing, against a model in Python's integers.
:mod:`tests.compile.test_simd_differential` compares all other vector instructions with another engine.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.escape.guest import make
from tests.support import MODES, Mode

MODE_PARAMS = [pytest.param(m, id=str(m), marks=() if m == Mode("O2", "guard") else pytest.mark.slow) for m in MODES]
WIDTHS = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64}
COUNTS = (*range(66), 95, 96, 127, 128, 129, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
ALL = (1 << 128) - 1
_CHANCE = random.Random(5)
VECTORS = (0, ALL, int("80" * 16, 16), int("7f" * 16, 16), int("8000000000000001" * 2, 16),
           int("0123456789abcdef" * 2, 16), *(_CHANCE.getrandbits(128) for _ in range(3)))  # fmt: skip


def lanes(vector: int, bits: int) -> list[int]:
    return [vector >> at & (1 << bits) - 1 for at in range(0, 128, bits)]


def joined(values: list[int], bits: int) -> int:
    return sum((value & (1 << bits) - 1) << at * bits for at, value in enumerate(values))


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def given(vector: int) -> bytes:
    """As guests return it."""
    return vector.to_bytes(16, "little")


def const(vector: int) -> str:
    return "(v128.const i64x2 " + " ".join(str(part) for part in lanes(vector, 64)) + ")"


SHIFTS: dict[str, Callable[[int, int, int], int]] = {
    "shl": lambda value, count, bits: value << count,
    "shr_u": lambda value, count, bits: value >> count,
    "shr_s": lambda value, count, bits: signed(value, bits) >> count,
}


@functools.cache
def shifting(shape: str, op: str) -> str:
    function = '(func (export "{}") (param v128 i32) (result v128) ({}.{} (local.get 0) {}))'
    made = [function.format(i, shape, op, f"(i32.const {count})") for i, count in enumerate(COUNTS)]
    masked = f"(i32.and (local.get 1) (i32.const {WIDTHS[shape] - 1}))"
    made += [function.format("any", shape, op, "(local.get 1)"), function.format("masked", shape, op, masked)]
    made += [
        f'(func (export "vector{i}") (param v128 i32) (result v128) ({shape}.{op} {const(vector)} (local.get 1)))'
        for i, vector in enumerate(VECTORS)
    ]
    return f"(module {' '.join(made)})"


@pytest.mark.parametrize("mode", MODE_PARAMS)
@pytest.mark.parametrize(
    ("shape", "op"),
    [
        pytest.param(shape, op, marks=() if (shape, op) == ("i64x2", "shr_s") else pytest.mark.slow)
        for shape in WIDTHS
        for op in SHIFTS
    ],
)
def test_shifts(mode: Mode, shape: str, op: str) -> None:
    exports, bits = make(shifting(shape, op), mode), WIDTHS[shape]
    for i, count in enumerate(COUNTS):
        for k, vector in enumerate(VECTORS):
            wanted = given(joined([SHIFTS[op](value, count % bits, bits) for value in lanes(vector, bits)], bits))
            got = exports[str(i)](vector, 0), exports.any(vector, count), exports[f"vector{k}"](0, count)
            assert got == (wanted,) * 3, (count, hex(vector))
            assert exports.masked(vector, count) == wanted


def swizzled(vector: int, indices: int) -> int:
    values = lanes(vector, 8)
    return joined([values[i] if i < 16 else 0 for i in lanes(indices, 8)], 8)


EQUAL = {
    "select": "(select (local.get 0) (local.get 0) (local.get 1))",
    "bitselect": "(v128.bitselect (local.get 0) (local.get 0) (i64x2.splat (i64.extend_i32_s (local.get 1))))",
    "or": "(v128.or (local.get 0) (local.get 0))",
    "and": "(v128.and (local.get 0) (local.get 0))",
    "shuffle": f"(i8x16.shuffle {' '.join(map(str, range(16, 32)))} (local.get 0) (local.get 0))",
    "twice": "(v128.not (v128.not (local.get 0)))",
}
NOTHING = {
    "xor": "(v128.xor (local.get 0) (local.get 0))",
    "andnot": "(v128.andnot (local.get 0) (local.get 0))",
    **{f"{shape}.sub": f"({shape}.sub (local.get 0) (local.get 0))" for shape in WIDTHS},
    **{f"{shape}.ne": f"({shape}.ne (local.get 0) (local.get 0))" for shape in WIDTHS},
    **{f"{shape}.gt_s": f"({shape}.gt_s (local.get 0) (local.get 0))" for shape in WIDTHS},
}


@functools.cache
def others() -> str:
    def function(name: str, body: str) -> str:
        return f'(func (export "{name}") (param v128 i32) (result v128) {body})'

    made = [function(name, body) for name, body in (EQUAL | NOTHING).items()]
    for i, vector in enumerate(VECTORS):
        made.append(function(f"indices{i}", f"(i8x16.swizzle (local.get 0) {const(vector & INDICES)})"))
        made.append(function(f"wild{i}", f"(i8x16.swizzle (local.get 0) {const(vector)})"))
        made.append(function(f"values{i}", f"(i8x16.swizzle {const(vector)} (local.get 0))"))
        for mask, constant in enumerate(VECTORS):
            select = f"(v128.bitselect (local.get 0) {const(vector)} {const(constant)})"
            made.append(function(f"mix{i},{mask}", select))
    for shape, bits in WIDTHS.items():
        kind = "i64" if bits == 64 else "i32"
        for lane in (0, 128 // bits - 1):
            replaced = f"({shape}.replace_lane {lane} (local.get 0) ({kind}.const -2))"
            made.append(function(f"{shape}{lane}", replaced))
    return f"(module {' '.join(made)})"


INDICES = int("0f" * 16, 16)


@pytest.mark.parametrize("mode", MODE_PARAMS)
def test_selections(mode: Mode) -> None:
    exports: Any = make(others(), mode)
    for vector in VECTORS:
        for flag in (0, 1, -1):
            assert all(exports[name](vector, flag) == given(vector) for name in EQUAL)
            assert all(exports[name](vector, flag) == bytes(16) for name in NOTHING)
        for i, other in enumerate(VECTORS):
            assert exports[f"indices{i}"](vector, 0) == given(swizzled(vector, other & INDICES))
            assert exports[f"wild{i}"](vector, 0) == given(swizzled(vector, other))
            assert exports[f"values{i}"](vector, 0) == given(swizzled(other, vector))
            for mask, constant in enumerate(VECTORS):
                wanted = vector & constant | other & ~constant & ALL
                assert exports[f"mix{i},{mask}"](vector, 0) == given(wanted)
        for shape, bits in WIDTHS.items():
            for lane in (0, 128 // bits - 1):
                values = lanes(vector, bits)
                values[lane] = -2
                assert exports[f"{shape}{lane}"](vector, 0) == given(joined(values, bits))
