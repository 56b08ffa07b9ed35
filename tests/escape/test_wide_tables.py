"""Tables with 64-bit indices: all bits of an index count, in every instruction.

wasmtime.md 2.4 A 4 to 6, B 19.
"""

from __future__ import annotations

import pytest

import wardian
from tests.escape.guest import make, traps
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

TEXT = """(module (type $v (func (result i32)))
  (table $t (export "t") i64 4 1000 funcref) (table $x (export "x") i64 4 1000 externref) (table $s 4 funcref)
  (elem (table $t) (i64.const 0) func $one $two $one $two) (elem $e func $two $two $two)
  (func $one (export "one") (result i32) (i32.const 1)) (func $two (export "two") (result i32) (i32.const 2))
  (func (export "size") (result i64) (table.size $t))
  (func (export "grow") (param i64) (result i64) (table.grow $t (ref.func $two) (local.get 0)))
  (func (export "fetch") (param i64) (result funcref) (table.get $t (local.get 0)))
  (func (export "set") (param i64) (table.set $t (local.get 0) (ref.func $one)))
  (func (export "get_extern") (param i64) (result externref) (table.get $x (local.get 0)))
  (func (export "set_extern") (param i64 externref) (table.set $x (local.get 0) (local.get 1)))
  (func (export "call") (param i64) (result i32) (call_indirect $t (type $v) (local.get 0)))
  (func (export "tail") (param i64) (result i32) (return_call_indirect $t (type $v) (local.get 0)))
  (func (export "fill") (param i64 i64) (table.fill $t (local.get 0) (ref.func $one) (local.get 1)))
  (func (export "copy") (param i64 i64 i64) (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "narrow") (param i64 i32 i32) (table.copy $t $s (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i64 i32 i32) (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
  (func (export "sum") (param i64 i64) (result i32) (call_indirect $t (type $v)
    (i64.add (i64.shl (local.get 0) (i64.const 3)) (local.get 1)))))"""

WIDE = (4, 5, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 33, 1 << 60, 1 << 61, 1 << 62, -(1 << 63), -(1 << 32), -4, -1)
OUT = "table_out_of_bounds"


@every_mode
def test_all_bits_of_an_index_count(mode: Mode) -> None:
    exports = make(TEXT, mode)
    for index in range(4):
        assert exports.call(index) == exports.tail(index) == exports.fetch(index)() == 1 + index % 2
    for index in WIDE:
        for name in ("fetch", "set", "get_extern", "call", "tail"):
            with traps(OUT):
                exports[name](index)
        with traps(OUT):
            exports.set_extern(index, "x")
        if ((index << 3) + 1) % (1 << 64) >= 4:  # else it wraps, as it should, in 64 bits
            with traps(OUT):
                exports.sum(index, 1)
        for start, count in ((index, 1), (0, index if index != 4 else 5), (1, index), (index, index), (index, -index)):
            with traps(OUT):
                exports.fill(start, count)
            with traps(OUT):
                exports.copy(start, 0, count)
            with traps(OUT):
                exports.copy(0, start, count)
        with traps(OUT):
            exports.init(index, 0, 1)
        with traps(OUT):
            exports.narrow(index, 0, 1)
    assert [exports.fetch(index)() for index in range(4)] == [1, 2, 1, 2]
    exports.fill(4, 0)
    exports.copy(4, 4, 0)


@every_mode
def test_growth_counts_in_64_bits(mode: Mode) -> None:
    exports = make(TEXT, mode)
    for delta in (997, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 61, (1 << 63) - 1, -(1 << 63), -1, -4):
        assert exports.grow(delta) == -1 and exports.size() == 4
    assert exports.grow(0) == 4 and exports.grow(3) == 4 and exports.size() == 7
    assert exports.call(6) == 2
    with traps(OUT):
        exports.call(7)
    assert exports.grow(993) == 7 and exports.size() == 1000 and exports.grow(1) == -1
    assert len(exports.t) == 1000 and exports.t[999]() == 2


@pytest.mark.parametrize("size", ["0xffff_ffff_ffff", "0xffff_ffff_ffff_ffff", "0x2000_0000_0000_0000", "0x8000_0001"])
def test_absurd_sizes_are_refused(size: str) -> None:
    with pytest.raises(wardian.LimitExceeded):
        make(f"(module (table i64 {size} funcref))", MODES[0])
    exports = make(f'(module (table (export "t") i64 1 {size} funcref))', MODES[0])
    assert exports.t.grow(1) == 1
    for count in (int(size.replace("_", ""), 16), 1 << 61, 1 << 64):
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            exports.t.grow(count)
    assert len(exports.t) == 2
