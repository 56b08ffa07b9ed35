"""A deadline inside an operation on many elements: whatever has been done of it, what is left is whole.

wasmtime.md 2.4 C 31: growing, copying, filling and initialising tables, memories and arrays. Sizes, elements and the
heap are looked at after each stop, and then everything must work as before. What bytes a stopped ``memory.fill`` and
``memory.copy`` leave is a matter of :mod:`tests.escape.test_after_a_trap`.
"""

from __future__ import annotations

import random

import pytest

import wardian
from tests.escape.guest import engine, make, module
from tests.support import Mode, mode_params

MANY = 300_000
STOPS = 6

TEXT = f"""(module (type $bytes (array (mut i8))) (type $refs (array (mut anyref))) (type $s (struct (field (mut i32))))
  (memory (export "memory") 17 33) (data $d "{"0123456789abcdef" * 64}")
  (table $t (export "t") {MANY} {4 * MANY} funcref) (table $x (export "x") {MANY} {4 * MANY} anyref)
  (elem $e func $f $g $f $g) (elem (table $t) (i32.const 0) func $f)
  (func $f (export "f") (result i32) (i32.const 1)) (func $g (result i32) (i32.const 2))
  (global $a (export "bytes") (mut (ref null $bytes)) (ref.null $bytes))
  (global $r (export "refs") (mut (ref null $refs)) (ref.null $refs))
  (func (export "prepare") (global.set $a (array.new_default $bytes (i32.const {MANY})))
    (global.set $r (array.new_default $refs (i32.const {MANY}))))
  (func (export "table_fill") (loop $l (table.fill $t (i32.const 0) (ref.func $f) (i32.const {MANY}))
    (table.fill $t (i32.const 0) (ref.func $g) (i32.const {MANY})) (br $l)))
  (func (export "table_copy") (loop $l (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const {MANY - 1}))
    (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const {MANY - 1})) (br $l)))
  (func (export "table_refs") (loop $l
    (table.fill $x (i32.const 0) (struct.new $s (i32.const 5)) (i32.const {MANY}))
    (table.copy $x $x (i32.const 0) (i32.const 9) (i32.const {MANY - 9})) (br $l)))
  (func (export "table_init") (loop $l (table.init $t $e (i32.const 5) (i32.const 0) (i32.const 4)) (br $l)))
  (func (export "table_grow") (loop $l (drop (table.grow $t (ref.func $g) (i32.const 7)))
    (drop (table.grow $x (struct.new $s (i32.const 6)) (i32.const 7))) (br $l)))
  (func (export "memory_grow") (loop $l (drop (memory.grow (i32.const 1))) (memory.fill (i32.const 0) (i32.const 7)
    (i32.const 0x100000)) (br $l)))
  (func (export "memory_init") (loop $l (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1024)) (br $l)))
  (func (export "array_fill") (loop $l
    (array.fill $bytes (global.get $a) (i32.const 0) (i32.const 1) (i32.const {MANY}))
    (array.fill $refs (global.get $r) (i32.const 0) (struct.new $s (i32.const 7)) (i32.const {MANY})) (br $l)))
  (func (export "array_copy") (loop $l
    (array.copy $refs $refs (global.get $r) (i32.const 1) (global.get $r) (i32.const 0) (i32.const {MANY - 1}))
    (array.copy $bytes $bytes (global.get $a) (i32.const 0) (global.get $a) (i32.const 3) (i32.const {MANY - 3}))
    (br $l)))
  (func (export "array_init") (loop $l
    (array.init_data $bytes $d (global.get $a) (i32.const 8) (i32.const 0) (i32.const 1024)) (br $l)))
  (func (export "array_new") (loop $l
    (global.set $r (array.new $refs (struct.new $s (i32.const 8)) (i32.const {MANY})))
    (global.set $a (array.new_data $bytes $d (i32.const 0) (i32.const 1000)))
    (global.set $a (array.new $bytes (i32.const 4) (i32.const {MANY}))) (br $l)))
  (func (export "total") (result i32) (local $i i32) (local $n i32)
    (loop $l (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then
        (local.set $n (i32.add (local.get $n) (call_indirect $t (result i32) (local.get $i))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (table.size $t))))
    (local.get $n))
  (func (export "whole") (result i32) (local $i i32) (local $bad i32)
    (loop $l (if (ref.is_null (array.get $refs (global.get $r) (local.get $i))) (then) (else
      (local.set $bad (i32.add (local.get $bad)
        (i32.eqz (ref.test (ref $s) (array.get $refs (global.get $r) (local.get $i))))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (array.len (global.get $r)))))
    (local.get $bad)))"""

NAMES = ("table_fill", "table_copy", "table_refs", "table_init", "table_grow", "memory_grow", "memory_init",
         "array_fill", "array_copy", "array_init", "array_new")  # fmt: skip


@pytest.mark.parametrize("mode", mode_params())
def test_what_is_left_is_whole(mode: Mode) -> None:
    chance = random.Random(3)
    guest = module(TEXT, mode).instantiate()
    exports = guest.exports
    exports.prepare()
    for name in NAMES:
        for _ in range(STOPS):
            with pytest.raises(wardian.Interrupted), guest.deadline(0.001 + 0.006 * chance.random()):
                exports[name]()
        look(guest)
    assert make('(module (func (export "f") (result i32) (i32.const 3)))', mode).f() == 3


def look(guest: wardian.Instance) -> None:
    """Everything in tables, arrays and memory is something a guest may have."""
    exports = guest.exports
    table, things, pages = exports.t, exports.x, len(exports.memory) >> 16
    assert MANY <= len(table) <= 4 * MANY and MANY <= len(things) <= 4 * MANY and 17 <= pages <= 33
    assert len(exports.memory.view()) == len(exports.memory)
    assert 0 <= exports.total() <= 2 * len(table)
    for index in (0, 1, MANY // 2, MANY - 1, len(table) - 1):
        assert table[index] is None or table[index]() in (1, 2)
    for index in (0, MANY - 1, len(things) - 1):
        assert things[index] is None or things[index][0] in (5, 6)
    with pytest.raises(IndexError):
        table[len(table)]
    assert exports.whole() == 0 and len(exports.refs.value) == MANY and len(exports.bytes.value) in (MANY, 1000)
    if len(exports.bytes.value) != MANY:
        exports.prepare()


@pytest.mark.parametrize("mode", mode_params())
def test_growing_is_all_or_nothing(mode: Mode) -> None:
    """A limit in the middle: refused as a whole, nothing of it is there."""
    limits = wardian.Limits(memory=3 << 16, table_elements=100)
    text = """(module (memory (export "m") 1 9) (table (export "t") 10 1000 externref)
      (func (export "grow_m") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "grow_t") (param externref i32) (result i32) (table.grow 0 (local.get 0) (local.get 1))))"""
    exports = make(text, mode, limits=limits)
    assert engine(mode).config.checks == mode.checks
    for count in (3, 8, 9, 65536, -1):
        assert exports.grow_m(count) == -1 and len(exports.m) == 1 << 16
    for count in (91, 991, 1 << 30, -1):
        assert exports.grow_t("x", count) == -1 and len(exports.t) == 10
        with pytest.raises(IndexError):
            exports.t[10]
    assert exports.grow_m(2) == 1 and exports.grow_t("x", 90) == 10
    assert exports.t[99] == "x" and exports.m[(3 << 16) - 1] == 0
