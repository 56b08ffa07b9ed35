"""Border of constants: an operation whose operand is a constant does what it does with the same value in a variable.

wasmtime.md 2.4 A 9 to 11: strength reduction, folding and instruction selection are where constants go wrong.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.escape.guest import make
from tests.support import MODES, Mode
from wardian.errors import Trap

I32 = (0, 1, 2, 3, 7, 10, 16, 31, 32, 33, 255, 641, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 1,
       (1 << 32) - 2, (1 << 32) - 3, (1 << 32) - 10, 0x55555555, 0xAAAAAAAB, 0xCCCCCCCD)  # fmt: skip
I64 = (0, 1, 2, 3, 7, 10, 31, 32, 33, 63, 64, 65, 255, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1,
       (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, (1 << 64) - 2, (1 << 64) - 10,
       0x5555555555555555, 0xAAAAAAAAAAAAAAAB, 0xCCCCCCCCCCCCCCCD)  # fmt: skip

ARITHMETIC = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
COMPARISONS = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
MODE_PARAMS = [pytest.param(m, id=str(m), marks=() if m == Mode("O2", "guard") else pytest.mark.slow) for m in MODES]
CASES = [(kind, op) for kind in ("i32", "i64") for op in (ARITHMETIC + " " + COMPARISONS).split()]


@functools.cache
def text(kind: str, op: str) -> str:
    """Functions ``right{i}`` and ``left{i}`` with constant ``i`` on that side, and ``both`` with none."""
    result = "i32" if op in COMPARISONS.split() else kind
    functions = [
        f'(func (export "both") (param {kind} {kind}) (result {result}) ({kind}.{op} (local.get 0) (local.get 1)))'
    ]
    for i, value in enumerate(I32 if kind == "i32" else I64):
        constant = f"({kind}.const {value})"
        for name, operands in (("right", f"(local.get 0) {constant}"), ("left", f"{constant} (local.get 0)")):
            functions.append(f'(func (export "{name}{i}") (param {kind}) (result {result}) ({kind}.{op} {operands}))')
    return f"(module {' '.join(functions)})"


def outcome(call: Any, *args: int) -> object:
    try:
        return call(*args)
    except Trap as trap:
        return trap.code


def model(kind: str, op: str, a: int, b: int) -> object:
    """What the specification says, in Python's integers."""
    bits = 32 if kind == "i32" else 64
    mask = (1 << bits) - 1

    def signed(n: int) -> int:
        return n - (1 << bits) if n >> (bits - 1) else n

    sa, sb, k = signed(a), signed(b), b % bits
    if op in ("div_s", "div_u", "rem_s", "rem_u") and not b:
        return "integer_divide_by_zero"
    if op == "div_s" and sa == -(1 << (bits - 1)) and sb == -1:
        return "integer_overflow"
    quotient = abs(sa) // abs(sb) * (1 if (sa < 0) == (sb < 0) else -1) if sb else 0
    table: dict[str, Any] = {
        "add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "and": lambda: a & b, "or": lambda: a | b,
        "xor": lambda: a ^ b, "shl": lambda: a << k, "shr_u": lambda: a >> k, "shr_s": lambda: sa >> k,
        "rotl": lambda: a << k | a >> (bits - k), "rotr": lambda: a >> k | a << (bits - k),
        "div_u": lambda: a // b, "rem_u": lambda: a % b, "div_s": lambda: quotient, "rem_s": lambda: sa - quotient * sb,
    }  # fmt: skip
    if op in table:
        return signed(table[op]() & mask)
    x, y = (sa, sb) if op.endswith("_s") else (a, b)
    return int({"eq": x == y, "ne": x != y, "lt": x < y, "gt": x > y, "le": x <= y, "ge": x >= y}[op[:2]])


@pytest.mark.thorough
@pytest.mark.parametrize("mode", MODE_PARAMS)
@pytest.mark.parametrize(("kind", "op"), CASES, ids=lambda part: part)
def test_integers(mode: Mode, kind: str, op: str) -> None:
    exports = make(text(kind, op), mode)
    values = I32 if kind == "i32" else I64
    for i, constant in enumerate(values):
        right, left = exports[f"right{i}"], exports[f"left{i}"]
        for value in values:
            wanted = model(kind, op, value, constant)
            assert outcome(right, value) == wanted == outcome(exports.both, value, constant), (value, constant)
            assert outcome(left, value) == model(kind, op, constant, value), (constant, value)
