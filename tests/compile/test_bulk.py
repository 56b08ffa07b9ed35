"""Copies and fills of a constant number of bytes, which the optimising tier does in place."""

from __future__ import annotations

import random

import pytest

from tests.escape.guest import make, traps
from tests.support import Mode, level_params

SIZES = (0, 1, 3, 8, 13, 16, 31, 76, 128, 129)
PAGE = 1 << 16


def _text(size: int) -> str:
    return f"""
  (func (export "copy{size}") (param i32 i32) (memory.copy (local.get 0) (local.get 1) (i32.const {size})))
  (func (export "fill{size}") (param i32 i32) (memory.fill (local.get 0) (local.get 1) (i32.const {size})))"""


TEXT = f'(module (memory (export "m") 1 2){"".join(map(_text, SIZES))})'


@pytest.mark.parametrize("mode", level_params())
def test_every_byte_and_no_other(mode: Mode) -> None:
    exports = make(TEXT, mode)
    chance = random.Random(4)
    memory = exports.m
    expected = bytearray(chance.randbytes(PAGE))
    memory[:] = bytes(expected)
    for size in SIZES:
        copy, fill = exports[f"copy{size}"], exports[f"fill{size}"]
        # Apart, the same, and overlapping by all but one byte and by half, both ways; up to the very end.
        for distance in (1000, 0, 1, -1, size // 2, -(size // 2)):
            source = 3000 + chance.randrange(64)
            copy(source + distance, source)
            expected[source + distance : source + distance + size] = expected[source : source + size]
        copy(PAGE - size, 5)
        expected[PAGE - size :] = expected[5 : 5 + size]
        copy(5000, PAGE - size)
        expected[5000 : 5000 + size] = expected[PAGE - size :]
        for start, value in ((7000, 0x1A7), (PAGE - size, -3)):
            fill(start, value)
            expected[start : start + size] = bytes([value & 255]) * size
        assert bytes(memory) == bytes(expected), size


@pytest.mark.parametrize("mode", level_params())
def test_what_does_not_fit_changes_nothing(mode: Mode) -> None:
    exports = make(TEXT, mode)
    memory = exports.m
    before = random.Random(5).randbytes(PAGE)
    memory[:] = before
    for size in SIZES:
        copy, fill = exports[f"copy{size}"], exports[f"fill{size}"]
        for beyond in {PAGE - size + 1, PAGE - 1 if size > 1 else PAGE + 1, PAGE + 1, (1 << 32) - 1, 1 << 31}:
            for call, arguments in ((copy, (beyond, 0)), (copy, (0, beyond)), (fill, (beyond, 1))):
                with traps("memory_out_of_bounds"):
                    call(*arguments)
        assert bytes(memory) == before, size
