"""Instances of engines that compile differently, linked: what one's code takes for granted, the other's keeps.

wasmtime.md 2.4 C 27 to 29, and a class of our own: what crosses from code of one kind to code of another (parameters on
the stack, bounds that only one of them compares, types, exceptions that only one of them looks for).
"""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import pytest

import wardian
from tests.escape.guest import PAGE, make, traps
from tests.support import MODES, Mode

_QUICK = (("baseline-explicit", "O2-guard"),)
PAIRS = [
    pytest.param(one, two, id=f"{one}+{two}", marks=() if (str(one), str(two)) in _QUICK else pytest.mark.slow)
    for one, two in itertools.permutations(MODES, 2)
]
KINDS = "i32 i64 f32 f64 externref"
MANY = " ".join([KINDS] * 5)

OWNER = f"""(module (memory (export "memory") 1 3) (memory (export "wide") i64 1 3)
  (table (export "table") 4 9 funcref) (table (export "long") i64 3 5 funcref)
  (global (export "count") (mut i32) (i32.const 5)) (tag $e (export "tag") (param i32 externref))
  (type $s (struct (field (mut i32)) (field (mut (ref null any))))) (type $a (array (mut i16)))
  (func $grow (export "grow") (result i32) (memory.grow (i32.const 1)))
  (func $many (export "many") (param {MANY}) (result {KINDS})
    (local.get 20) (local.get 21) (local.get 22) (local.get 23) (local.get 24))
  (func $throws (export "throws") (param i32 externref) (throw $e (local.get 0) (local.get 1)))
  (func (export "struct") (param i32) (result (ref $s)) (struct.new $s (local.get 0) (ref.null any)))
  (func (export "array") (param i32) (result (ref $a)) (array.new $a (i32.const 7) (local.get 0)))
  (func $id (export "id") (param i32) (result i32) (local.get 0))
  (elem (table 0) (i32.const 0) func $id $grow))"""

USER = f"""(module (type $s (struct (field (mut i32)) (field (mut (ref null any))))) (type $a (array (mut i16)))
  (import "o" "memory" (memory 1)) (import "o" "wide" (memory $wide i64 1)) (import "o" "table" (table $t 4 funcref))
  (import "o" "long" (table $long i64 3 funcref)) (import "o" "count" (global $count (mut i32)))
  (import "o" "tag" (tag $e (param i32 externref)))
  (import "o" "many" (func $many (param {MANY}) (result {KINDS})))
  (import "o" "throws" (func $throws (param i32 externref))) (import "o" "grow" (func $grow (result i32)))
  (import "o" "struct" (func $struct (param i32) (result (ref $s))))
  (import "o" "array" (func $array (param i32) (result (ref $a))))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "far") (param i32) (result i32) (i32.load8_u offset=0x7fffffff (local.get 0)))
  (func (export "load64") (param i64) (result i32) (i32.load8_u $wide (local.get 0)))
  (func (export "many") (param {MANY}) (result {KINDS})
    {" ".join(f"(local.get {i})" for i in range(25))} (call $many))
  (func (export "tail") (param {MANY}) (result {KINDS})
    {" ".join(f"(local.get {i})" for i in range(25))} (return_call $many))
  (func (export "caught") (param i32 externref) (result i32 externref)
    (block $h (result i32 externref)
      (try_table (catch $e $h) (call $throws (local.get 0) (local.get 1))) unreachable))
  (func (export "uncaught") (param i32 externref) (call $throws (local.get 0) (local.get 1)))
  (func (export "call") (param i32 i32) (result i32)
    (call_indirect $t (param i32) (result i32) (local.get 1) (local.get 0)))
  (func (export "call64") (param i64) (call_indirect $long (local.get 0)))
  (func (export "objects") (param i32) (result i32) (local $s (ref null $s)) (local $a (ref null $a))
    (local.set $s (call $struct (local.get 0))) (local.set $a (call $array (i32.const 9)))
    (struct.set $s 1 (local.get $s) (local.get $a)) (array.set $a (local.get $a) (i32.const 8) (local.get 0))
    (i32.add (struct.get $s 0 (local.get $s))
      (array.get_u $a (ref.cast (ref $a) (struct.get $s 1 (local.get $s))) (i32.const 8))))
  (func (export "beyond") (result i32) (array.get_u $a (call $array (i32.const 4)) (i32.const 4)))
  (func $mine (export "mine") (param i32) (result i32) (i32.add (local.get 0) (i32.const 100)))
  (func (export "put") (table.set $t (i32.const 3) (ref.func $mine)))
  (func (export "more") (result i32) (drop (table.grow $t (ref.func $mine) (i32.const 2))) (call $grow)))"""


def outside(call: Any, *args: int, code: str = "memory_out_of_bounds") -> None:
    with traps(code):
        call(*args)


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_engines_share_what_is_exported(one: Mode, two: Mode) -> None:
    owner = make(OWNER, one)
    user = make(USER, two, {"o": dict(owner)})
    for length in (PAGE, 2 * PAGE):
        assert user.load(length - 1) == 0 and user.load64(PAGE - 1) == 0
        for index in (length, length + 1, 0x7FFFFFFF, -0x80000000, -1):
            outside(user.load, index)
            outside(user.far, index)
        for wide in (PAGE, 1 << 32, 1 << 47, -PAGE, -1):
            outside(user.load64, wide)
        if length == PAGE:
            assert user.more() == 1
    thing = object()
    args = [(i - 12, -i, i + 0.5, -i / 4, f"{i}") for i in range(5)]
    flat = [value for row in args for value in row]
    assert user.many(*flat) == user.tail(*flat) == owner.many(*flat) == args[-1]
    assert user.caught(7, thing) == (7, thing)
    with pytest.raises(wardian.WasmException) as caught:
        user.uncaught(8, thing)
    assert caught.value.payload == (8, thing)
    assert user.objects(300) == 600
    outside(user.beyond, code="array_out_of_bounds")
    tables(owner, user)


def tables(owner: Any, user: Any) -> None:
    assert user.call(0, 41) == 41
    outside(user.call, 1, 0, code="bad_signature")
    outside(user.call, 2, 0, code="indirect_call_to_null")
    for index in (6, -1, 1 << 30):
        outside(user.call, index, 0, code="table_out_of_bounds")
    for index in (3, 1 << 32, 1 << 61, -1):
        outside(user.call64, index, code="table_out_of_bounds")
    user.put()
    assert owner.table[3](1) == user.call(3, 1) == owner.table[5](1) == 101


@pytest.mark.slow
@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_the_owner_goes_first(one: Mode, two: Mode) -> None:
    """What is linked keeps what it is linked to, in whatever order they are dropped."""
    owner = make(OWNER, one)
    user = make(USER, two, {"o": dict(owner)})
    user.put()
    many, table = user.many, owner.table
    gone = weakref.ref(owner)
    del owner, user
    gc.collect()
    assert gone() is None
    flat = [value for i in range(5) for value in (i, i, 0.0, 0.5, None)]
    assert many(*flat) == (4, 4, 0.0, 0.5, None)
    assert table[3](1) == 101 and table[0](6) == 6
    del many, table
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_objects_of_strangers_are_refused(one: Mode, two: Mode) -> None:
    """Two engines whose instances are not linked: every way in for an object of the other's is shut."""
    theirs = make(OWNER, one)
    text = """(module (type $s (struct (field (mut i32)) (field (mut (ref null any)))))
      (global (export "any") (mut anyref) (ref.null any)) (table (export "anys") 1 anyref)
      (table (export "funcs") 1 funcref) (global (export "func") (mut funcref) (ref.null func))
      (func (export "id") (param anyref) (result anyref) (local.get 0))
      (func (export "f") (param funcref) (result funcref) (local.get 0))
      (func (export "own") (result (ref $s)) (struct.new $s (i32.const 1) (ref.null any))))"""
    ours = make(text, two)
    own = ours.own()
    for value in (theirs.struct(1), theirs.array(3)):
        ways: list[Any] = [
            lambda value=value: ours.id(value),
            lambda value=value: setattr(ours.any, "value", value),
            lambda value=value: ours.anys.__setitem__(0, value),
            lambda value=value: ours.anys.grow(1, value),
            lambda value=value: own.__setitem__(1, value),
        ]
        for way in ways:
            with pytest.raises(ValueError, match="another store"):
                way()
    for way in (
        lambda: ours.f(theirs.id),
        lambda: setattr(ours.func, "value", theirs.id),
        lambda: ours.funcs.__setitem__(0, theirs.id),
        lambda: ours.funcs.grow(1, theirs.id),
    ):
        with pytest.raises(ValueError, match="another store"):
            way()
    assert ours.id(own) == own and len(ours.anys) == 1 and ours.any.value is None and own[1] is None
