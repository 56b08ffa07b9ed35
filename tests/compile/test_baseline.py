"""The baseline tier covers the language: no function of these is left to LLVM, and results are those of O2."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

import wardian
from tests.support import EVERYTHING, NO_DATA, data_root
from wardian.api.code import ModuleCode
from wardian.cli.scripts import Script, Spectest
from wardian.compile.baseline import steps
from wardian.syntax.instructions import ROWS

SEVERAL = """(module
  (type $two (func (param i32 f64) (result i64 f32)))
  (type $many (func (param i32 i64 i64 i64 i64 i64 i64 f32 v128) (result i32 f64 v128 i64 f32 v128 i32)))
  (table $t 5 funcref)
  (elem (i32.const 1) func $words $floats $mixed $many)
  (tag $e (param v128 funcref (ref $two) i32))
  (global $v (mut v128) (v128.const i32x4 1 2 3 4))
  (func $words (export "words") (param i32 i64) (result i64 i32) (i64.add (local.get 1) (i64.const 7)) (local.get 0))
  (func $floats (export "floats") (param f32 f64) (result f64 f32) (f64.neg (local.get 1)) (f32.neg (local.get 0)))
  (func $mixed (type $two) (i64.extend_i32_s (local.get 0)) (f32.demote_f64 (local.get 1)))
  (func $vectors (export "vectors") (param v128 i32) (result v128 v128)
    (i32x4.add (local.get 0) (i32x4.splat (local.get 1))) (v128.not (local.get 0)))
  (func $vector_word (export "vector_word") (param v128 i32) (result v128 i32) (local.get 0) (local.get 1))
  (func $word_vector (export "word_vector") (param v128 i32) (result i32 v128) (local.get 1) (local.get 0))
  ;; Eight integers and the results' address: two are on the stack; loops go over into optimised code.
  (func $many (export "many") (type $many)
    (local $i i32)
    (local.set $i (i32.const 5))
    (loop $l
      (local.set 0 (i32.add (local.get 0) (local.get $i)))
      (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    (local.get 0)
    (f64.const 2.5)
    (local.get 8)
    (i64.add (local.get 5) (local.get 6))
    (local.get 7)
    (v128.not (local.get 8))
    (if (result i32) (local.get 0) (then (i32.const 11)) (else
      (return (i32.const 1) (f64.const 2) (local.get 8) (i64.const 3) (f32.const 4) (local.get 8) (i32.const 5)))))
  (func (export "call_many") (param i32) (result i64)
    (local $a i32) (local $b f64) (local $c v128) (local $d i64) (local $e f32) (local $f v128) (local $g i32)
    (i64.const 1000)
    (call $many (local.get 0) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
      (f32.const 8) (i32x4.splat (i32.const 9)))
    (local.set $g) (local.set $f) (local.set $e) (local.set $d) (local.set $c) (local.set $b) (local.set $a)
    (i64.add (i64.extend_i32_u (local.get $a)))
    (i64.add (i64.trunc_f64_s (local.get $b)))
    (i64.add (i64x2.extract_lane 1 (local.get $c)))
    (i64.add (local.get $d))
    (i64.add (i64.trunc_f32_s (local.get $e)))
    (i64.add (i64x2.extract_lane 0 (local.get $f)))
    (i64.add (i64.extend_i32_u (local.get $g))))
  (func (export "pair_loop") (param i32) (result i64 f32)
    (local i64)
    (loop $l
      (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (call_indirect (type $two) (i32.wrap_i64 (local.get 1)) (f64.const 0.5) (i32.const 3)))
  (func (export "wrong") (result i64 f32) (call_indirect (type $two) (i32.const 1) (f64.const 1) (i32.const 2)))
  (func (export "throw") (param i32) (result i32)
    (local $i i32) (local $f funcref) (local $r (ref null $two))
    (block $h (result v128 funcref (ref $two) i32)
      (try_table (catch $e $h)
        (throw $e (global.get $v) (ref.func $floats) (ref.func $mixed) (local.get 0)))
      (unreachable))
    (local.set $i) (local.set $r) (local.set $f) (global.set $v)
    (call_ref $two (local.get $i) (f64.const 0.5) (local.get $r))
    (drop)
    (i32.wrap_i64)
    (i32.add (i32x4.extract_lane 2 (global.get $v)))
    (i32.sub (ref.is_null (local.get $f))))
  (func (export "v") (result i32) (i32x4.extract_lane 3 (global.get $v))))
"""
REFERENCES = """(module
  (type $f (func (param i32) (result i32)))
  (type $open (sub (func (param i32) (result i32))))
  (type $below (sub $open (func (param i32) (result i32))))
  (table $functions 3 10 funcref)
  (table $things 2 8 externref)
  (table $wide i64 3 (ref null $open))
  (table $more 3 funcref)
  (global $thing (mut externref) (ref.null extern))
  (global $function (mut funcref) (ref.null func))
  (elem $e funcref (ref.func $inc) (ref.null func) (ref.func $dec))
  (elem (table $wide) (i64.const 0) (ref null $open) (ref.func $up) (ref.func $down))
  (func $inc (type $f) (i32.add (local.get 0) (i32.const 1)))
  (func $dec (type $f) (i32.sub (local.get 0) (i32.const 1)))
  (func $up (type $below) (i32.add (local.get 0) (i32.const 2)))
  (func $down (type $open) (i32.sub (local.get 0) (i32.const 2)))
  (func (export "init") (table.init $functions $e (i32.const 0) (i32.const 0) (i32.const 3)) (elem.drop $e)
    (table.copy $more $functions (i32.const 0) (i32.const 1) (i32.const 2)))
  (func (export "indirect") (param i32 i32) (result i32)
    (call_indirect $functions (type $f) (local.get 0) (local.get 1)))
  (func (export "indirect64") (param i32 i64) (result i32)
    (call_indirect $wide (type $open) (local.get 0) (local.get 1)))
  (func (export "below") (param i32 i64) (result i32)
    (call_indirect $wide (type $below) (local.get 0) (local.get 1)))
  (func (export "ref") (param i32 i32) (result i32)
    (call_ref $f (local.get 0) (block $null (result (ref null $f))
      (br_on_non_null $null (select (result (ref null $f)) (ref.func $inc) (ref.null $f) (local.get 1)))
      (ref.null $f))))
  (func (export "get") (param i32) (result externref) (table.get $things (local.get 0)))
  (func (export "set") (param i32 externref) (table.set $things (local.get 0) (local.get 1)))
  (func (export "grow") (param externref i32) (result i32)
    (i32.add (i32.const 100) (table.grow $things (local.get 0) (local.get 1))))
  (func (export "grow_functions") (param i32) (result i32) (table.grow $functions (ref.func $inc) (local.get 0)))
  (func (export "fill") (param i32 externref i32) (table.fill $things (local.get 0) (local.get 1) (local.get 2)))
  (func (export "sizes") (result i32 i64) (table.size $functions) (table.size $wide))
  (func (export "keep") (param externref) (result externref)
    (global.get $thing) (global.set $thing (local.get 0)))
  (func (export "function") (param funcref) (result i32)
    (global.set $function (local.get 0))
    (i32.add (ref.is_null (global.get $function)) (i32.const 10)))
  (func (export "null") (param externref) (result i32)
    (block $null (result i32)
      (i32.const 4) (i32.const 5) (i32.const 6)
      (drop (br_on_null $null (local.get 0)))
      (drop)
      (i32.add)))
  (func (export "non_null") (param externref) (result externref) (ref.as_non_null (local.get 0)))
  (func (export "pass") (param i32 externref externref) (result externref externref i32)
    (local $i i32)
    (loop $l
      (local.get 1) (local.set 1 (local.get 2)) (local.set 2)
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
    (local.get 1) (local.get 2) (local.get $i)))
"""
_FAR = 0xFFFF0000
MEMORIES = f"""(module
  (memory $a 1 3) (memory $b i64 1 4) (memory $c 1 2 shared)
  (data $d "abcdefgh")
  (func (export "fill") (param i32)
    (memory.init $a $d (i32.const 3) (i32.const 1) (i32.const 5))
    (memory.init $b $d (i64.const 3) (i32.const 2) (i32.const 5))
    (memory.init $c $d (local.get 0) (i32.const 3) (i32.const 5))
    (memory.fill $b (i64.const 100) (i32.const 7) (i64.const 9))
    (memory.copy $a $b (i32.const 40) (i64.const 98) (i32.const 12))
    (memory.copy $c $a (i32.const 60) (i32.const 0) (i32.const 64))
    (memory.copy $b $b (i64.const 101) (i64.const 99) (i64.const 20))
    (memory.copy $b $c (i64.const 300) (i32.const 0) (i32.const 128)))
  (func (export "drop") (data.drop $d))
  (func (export "sizes") (result i32 i64 i32) (memory.size $a) (memory.size $b) (memory.size $c))
  (func (export "grow") (result i32 i64 i32)
    (memory.grow $a (i32.const 1)) (memory.grow $b (i64.const 9)) (memory.grow $c (i32.const 1)))
  (func (export "loads") (param i32) (param $w i64) (result i64)
    (local $f f64)
    (local.set $f (f64.const 3))
    (i64.load32_u $b (local.get $w))
    (i64.add (i64.load16_s $c offset=3 (local.get 0)))
    (i64.add (i64.extend_i32_u (i32.load8_u $a (local.get 0))))
    (i64.add (i64x2.extract_lane 0 (v128.load8_lane $b offset=5 7 (local.get $w) (v128.const i64x2 7 8))))
    (i64.add (i64x2.extract_lane 1 (v128.load8x8_u $b (local.get $w))))
    (i64.add (i64.atomic.rmw.add $c offset=8 (i32.and (local.get 0) (i32.const -8)) (i64.const 5)))
    (i64.add (i64.atomic.rmw.cmpxchg $c (i32.const 16) (i64.const 0) (i64.const 5)))
    (i64.add (i64.extend_i32_u (memory.atomic.notify $c (i32.const 16) (i32.const 5))))
    (i64.add (i64.trunc_f64_s (f64.add (local.get $f) (local.get $f)))))
  (func (export "stores") (param i32) (param $w i64)
    (f32.store $b (local.get $w) (f32.const 1.5))
    (v128.store $c (local.get 0) (v128.const i32x4 1 2 3 4))
    (i64.store8 $b offset=70000 (local.get $w) (i64.const -3)))
  (func (export "far") (param i32) (result i32) (i32.load $a offset={_FAR} (local.get 0)))
  (func (export "far_store") (param i64) (i64.store $b offset=0xffffffffffffffff (local.get 0) (i64.const 1)))
  (func (export "far_atomic") (param i32) (result i32) (i32.atomic.load $c offset={_FAR} (local.get 0)))
  (func (export "sum") (param i64) (result i64)
    (local $s i64) (local $i i32) (local $j i64)
    (loop $l
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 31)) (i64.load8_u $a (local.get $i))))
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 31)) (i64.load8_u $b (local.get $j))))
      (local.set $j (i64.add (local.get $j) (i64.const 1)))
      (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 31)) (i64.load8_u $c (local.get $i))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
    (local.get $s)))
"""
_MUTABLE = (
    "(field (mut i8)) (field (mut i16)) (field (mut i32)) (field (mut i64)) (field (mut f32)) (field (mut f64))"
    " (field (mut v128)) (field (mut externref)) (field (mut funcref)) (field (mut (ref null $f)))"
    " (field (mut (ref null $open))) (field (mut anyref))"
)
OBJECTS = f"""(module
  (type $f (func (param i32) (result i32)))
  (type $open (sub (func (param i32) (result i32))))
  (type $below (sub $open (func (param i32) (result i32))))
  (type $s (sub (struct {_MUTABLE})))
  (type $t (sub $s (struct {_MUTABLE} (field i32))))
  (type $big (struct {" ".join(["(field v128)"] * 40)} (field (mut i32))))
  (type $bytes (array (mut i8)))
  (type $vectors (array (mut v128)))
  (type $functions (array (mut (ref null $open))))
  (type $things (array (mut anyref)))
  (data $d "abcdefghijklmnop")
  (elem $e (ref null $open) (ref.func $up) (ref.func $twice))
  (elem declare func $inc)
  (func $inc (type $f) (i32.add (local.get 0) (i32.const 1)))
  (func $up (type $below) (i32.add (local.get 0) (i32.const 2)))
  (func $twice (type $open) (i32.mul (local.get 0) (i32.const 2)))
  (func $make (param $x externref) (param $i i32) (result (ref $s))
    (struct.new $s (i32.const -3) (i32.const -300) (local.get $i) (i64.const 1) (f32.const 2) (f64.const 3)
      (v128.const i32x4 4 5 6 7) (local.get $x) (ref.func $inc) (ref.func $inc) (ref.func $up)
      (ref.i31 (i32.const -9))))
  (func (export "fields") (param $x externref) (param $i i32)
    (result i32 i32 i32 i64 f32 f64 v128 externref i32 i32 i32 i32)
    (local $s (ref null $s))
    (local.set $s (call $make (local.get $x) (local.get $i)))
    (struct.set $s 0 (local.get $s) (i32.add (struct.get_s $s 0 (local.get $s)) (i32.const 1)))
    (struct.set $s 6 (local.get $s) (v128.not (struct.get $s 6 (local.get $s))))
    (struct.set $s 10 (local.get $s) (ref.func $twice))
    (struct.get_s $s 0 (local.get $s)) (struct.get_u $s 1 (local.get $s)) (struct.get $s 2 (local.get $s))
    (struct.get $s 3 (local.get $s)) (struct.get $s 4 (local.get $s)) (struct.get $s 5 (local.get $s))
    (struct.get $s 6 (local.get $s)) (struct.get $s 7 (local.get $s)) (ref.is_null (struct.get $s 8 (local.get $s)))
    (call_ref $f (i32.const 20) (struct.get $s 9 (local.get $s)))
    (call_ref $open (i32.const 20) (struct.get $s 10 (local.get $s)))
    (i31.get_s (ref.cast (ref i31) (struct.get $s 11 (local.get $s)))))
  (func (export "null") (result i32) (struct.get $s 2 (ref.null $s)))
  (func (export "big") (param $n i32) (result i32)
    (local $i i32) (local $last (ref null $big)) (local $s i32)
    (loop $l
      (local.set $last (struct.new_default $big))
      (struct.set $big 40 (local.get $last) (local.get $i))
      (local.set $s (i32.add (local.get $s) (struct.get $big 40 (local.get $last))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $s))
  (func (export "arrays") (param $x externref) (param $n i32) (result i32 v128 i32 externref i32)
    (local $b (ref null $bytes)) (local $v (ref null $vectors)) (local $f (ref null $functions))
    (local $t (ref null $things))
    (local.set $b (array.new_data $bytes $d (i32.const 2) (i32.const 10)))
    (array.copy $bytes $bytes (local.get $b) (i32.const 3) (local.get $b) (i32.const 0) (i32.const 5))
    (array.fill $bytes (local.get $b) (i32.const 8) (i32.const -1) (i32.const 2))
    (array.init_data $bytes $d (local.get $b) (i32.const 0) (i32.const 0) (i32.const 2))
    (local.set $v (array.new_fixed $vectors 3 (v128.const i32x4 1 1 1 1) (i32x4.splat (local.get $n))
      (v128.const i32x4 3 3 3 3)))
    (array.set $vectors (local.get $v) (i32.const 0) (array.get $vectors (local.get $v) (i32.const 1)))
    (local.set $f (array.new_elem $functions $e (i32.const 0) (i32.const 2)))
    (array.init_elem $functions $e (local.get $f) (i32.const 1) (i32.const 0) (i32.const 1))
    (local.set $t (array.new $things (any.convert_extern (local.get $x)) (local.get $n)))
    (array.set $things (local.get $t) (i32.const 1) (array.new_default $bytes (i32.const 700)))
    (i32.add
      (i32.mul (array.get_s $bytes (local.get $b) (i32.const 9)) (i32.const 1000))
      (i32.add (array.get_u $bytes (local.get $b) (i32.const 1)) (array.get_u $bytes (local.get $b) (i32.const 5))))
    (array.get $vectors (local.get $v) (i32.const 0))
    (call_ref $open (i32.const 30) (array.get $functions (local.get $f) (i32.const 1)))
    (extern.convert_any (array.get $things (local.get $t) (i32.const 2)))
    (array.len (ref.cast (ref array) (array.get $things (local.get $t) (i32.const 1)))))
  (func (export "kind") (param $i i32) (param $x externref) (result i32)
    (local $a anyref)
    (block $made
      (block $3 (block $2 (block $1 (block $0 (br_table $0 $1 $2 $3 (local.get $i)))
        (local.set $a (call $make (local.get $x) (i32.const 1))) (br $made))
        (local.set $a (ref.i31 (i32.const 5))) (br $made))
        (local.set $a (array.new_fixed $things 1 (ref.null any))) (br $made))
      (local.set $a (any.convert_extern (local.get $x))))
    (i32.const 100)
    (block $else (result anyref)
      (block $struct (result i32 (ref $s))
        (i32.const 7)
        (block $i31 (result (ref i31))
          (i32.const 11)
          (br_on_cast $struct anyref (ref $s) (local.get $a))
          (br_on_cast $i31 anyref (ref i31))
          (br_on_cast_fail $else anyref (ref array))
          (return (array.len)))
        (return (i31.get_u)))
      (drop)
      (return (i32.add (i32.const 100))))
    (i32.add (ref.is_null))
    (i32.add (ref.test (ref $t) (local.get $a))))
  (func (export "equal") (result i32)
    (local $s (ref null $s))
    (local.set $s (call $make (ref.null extern) (i32.const 1)))
    (i32.add
      (i32.mul (i32.const 10) (ref.eq (local.get $s) (local.get $s)))
      (ref.eq (local.get $s) (call $make (ref.null extern) (i32.const 1)))))
  (func (export "cast") (result i32)
    (struct.get $t 12 (ref.cast (ref $t) (call $make (ref.null extern) (i32.const 1))))))
"""
Call = tuple[str, tuple[object, ...]]
_THING, _OTHER = "a thing", ["another"]
_V = 0x0000000A00000009_0000000800000007
CALLS: dict[str, list[Call]] = {
    SEVERAL: [
        ("words", (5, 6)),
        ("floats", (1.5, 2.5)),
        ("vectors", (_V, 3)),
        ("vector_word", (_V, 3)),
        ("word_vector", (_V, 3)),
        ("many", (1, 2, 3, 4, 5, 6, 7, 8.0, _V)),
        ("many", (-15, 2, 3, 4, 5, 6, 7, 8.0, _V)),
        ("call_many", (50,)),
        ("pair_loop", (300,)),
        ("wrong", ()),
        ("throw", (77,)),
        ("v", ()),
    ],
    REFERENCES: [
        ("indirect", (5, 0)),
        ("init", ()),
        ("indirect", (5, 0)),
        ("indirect", (5, 1)),
        ("indirect", (5, 2)),
        ("indirect", (5, 3)),
        ("init", ()),
        *[(name, (5, i)) for name in ("indirect64", "below") for i in (0, 1, 2, 3, 1 << 32)],
        ("ref", (5, 0)),
        ("ref", (5, 1)),
        ("set", (1, _THING)),
        ("set", (2, _THING)),
        ("get", (1,)),
        ("grow", (_OTHER, 3)),
        ("grow", (_OTHER, 30)),
        ("get", (4,)),
        ("fill", (1, _OTHER, 2)),
        ("fill", (4, _OTHER, 2)),
        ("get", (2,)),
        ("grow_functions", (2,)),
        ("indirect", (5, 4)),
        ("sizes", ()),
        ("keep", (_THING,)),
        ("keep", (None,)),
        ("keep", (None,)),
        ("function", (None,)),
        *[(name, (it,)) for name in ("null", "non_null") for it in (None, _THING)],
        ("pass", (501, _THING, _OTHER)),
    ],
    OBJECTS: [
        ("fields", (_THING, 77)),
        ("null", ()),
        ("big", (3000,)),
        ("arrays", (_OTHER, 5)),
        ("arrays", (_OTHER, 1)),
        *[("kind", (i, _THING)) for i in range(4)],
        ("equal", ()),
        ("cast", ()),
    ],
    MEMORIES: [
        ("fill", (7,)),
        ("sum", (0,)),
        ("fill", (65535,)),
        ("sum", (0,)),
        *[("loads", (i, i)) for i in (0, 3, 40, 101, 65528, 65536)],
        *[("stores", (i, i)) for i in (40, 65520, 65535)],
        ("loads", (40, 40)),
        ("sizes", ()),
        ("grow", ()),
        ("grow", ()),
        ("sizes", ()),
        *[("stores", (i, i)) for i in (40, 65520, 65535)],
        ("loads", (65535, 65535)),
        *[(name, (i,)) for name in ("far", "far_store", "far_atomic") for i in (0, 1, (1 << 16) - 1)],
        ("drop", ()),
        ("fill", (7,)),
        ("sum", (0,)),
    ],
}


def _outcomes(it: wardian.Instance, calls: list[Call]) -> list[object]:
    found: list[object] = []
    for name, args in calls:
        try:
            found.append(getattr(it.exports, name)(*args))
        except wardian.Trap as trap:
            found.append(trap.code)
    return found


def _run(text: str, **config: object) -> tuple[list[object], Counter[str]]:
    engine = wardian.Engine(wardian.Config(cache=False, **config))  # type: ignore[arg-type]
    module = wardian.Module(text, engine)
    calls = CALLS[text]
    found = _outcomes(module.instantiate(), calls)
    if config["opt"] == "auto":
        again = module.instantiate()
        engine.worker.wait()
        assert engine.worker.failure is None
        assert _outcomes(again, calls) == found
    code = module.code()
    return found, code.with_exceptions().refused + code.refused


@pytest.mark.parametrize("checks", ["guard", pytest.param("explicit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("text", CALLS, ids=["several", "references", "objects", "memories"])
def test_results_are_those_of_the_other_tier(text: str, checks: str) -> None:
    expected, _ = _run(text, opt="O2", checks=checks)
    for config in ({"opt": "baseline"}, {"opt": "auto", "tier_up": 1}):
        found, refused = _run(text, checks=checks, **config)
        assert found == expected
        assert not refused


@pytest.mark.parametrize("opt", ["baseline", "O0"])
def test_the_collector_finds_references_in_frames(opt: str) -> None:
    """In registers of locals, in slots, and among operands below a call. What it missed would be something new."""
    text = """(module
      (import "" "collect" (func $collect (result externref)))
      (table 1 externref)
      (func (export "hold") (param externref externref externref externref externref)
        (result externref externref externref externref externref)
        (local $i i32)
        (local.get 4)
        (loop $l
          (drop (call $collect))
          (drop (ref.is_null (local.get 0))) (drop (ref.is_null (local.get 0))) (drop (ref.is_null (local.get 1)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
        (local.set 4 (ref.null extern))
        (drop (table.grow (call $collect) (i32.const 1)))
        (local.get 3) (local.get 0) (local.get 2) (local.get 1)))"""
    module = wardian.Module(text, wardian.Engine(wardian.Config(opt=opt, cache=False)))  # type: ignore[arg-type]
    made: list[object] = []

    def collect() -> object:
        it.collect()
        made.append([])
        return made[-1]

    it = module.instantiate({"": {"collect": collect}})
    things: list[object] = [[i] for i in range(5)]
    found = it.exports.hold(*things)
    assert [id(thing) for thing in found] == [id(things[i]) for i in (4, 3, 0, 2, 1)]
    assert len(made) == 4
    assert not module.code().refused


LEFT_TO_LLVM = frozenset({"many locals", "many operands"})
"""Why functions of the suite are."""


@pytest.mark.slow
@pytest.mark.parametrize("checks", ["guard", "explicit"])
def test_what_the_suite_leaves_to_llvm(checks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the specification's suite; whether it passes is asked by tests/spec."""
    root = data_root()
    if root is None:
        pytest.skip(NO_DATA)
    made: list[ModuleCode] = []
    begin = ModuleCode.__init__

    def watched(self: ModuleCode, *args: object, **kwargs: object) -> None:
        begin(self, *args, **kwargs)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(ModuleCode, "__init__", watched)
    engine = wardian.Engine(
        wardian.Config(opt="baseline", checks=checks, cache=False, features=EVERYTHING)  # type: ignore[arg-type]
    )
    spectest = Spectest(engine)
    refused: dict[str, str] = {}
    for path in sorted(Path(root, "testsuite").glob("*.wast")):
        made.clear()
        Script(engine, spectest).run(path.read_bytes())
        refused |= {reason: path.name for code in made for reason in code.refused if reason not in LEFT_TO_LLVM}
    assert not refused


def test_every_instruction_has_a_step() -> None:
    assert not [row.name for row in ROWS if steps._step_of(row) is steps._refuse]


WIDE = """(module
  (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "sub") (param i64 i64 i64 i64) (result i64 i64) (i64.const 77)
    (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))
    (local.set 0) (local.set 1) (drop) (local.get 1) (local.get 0))
  (func (export "signed") (param i64 i64) (result i64 i64) (f64.const 1.5) (i64.const 2) (i64.const 3) (i64.const 4)
    (i64.mul_wide_s (local.get 0) (local.get 1)) (local.set 0) (local.set 1)
    i64.add i64.add i64.const 9 i64.ne (if (then (unreachable)))
    f64.const 1.5 f64.ne (if (then (unreachable))) (local.get 1) (local.get 0))
  (func (export "unsigned") (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1))))"""


def test_wide_arithmetic() -> None:
    """Above operands in registers, of both kinds, and into locals."""
    module = wardian.Module(WIDE, wardian.Engine(wardian.Config(cache=False, opt="baseline", features=EVERYTHING)))
    exports = module.instantiate().exports
    chance = random.Random(1)
    mask, edges = (1 << 64) - 1, (0, 1, (1 << 64) - 1, 1 << 63, (1 << 63) - 1)

    def halves(value: int) -> tuple[int, int]:
        low, high = value & mask, value >> 64 & mask
        return low - (low >> 63 << 64), high - (high >> 63 << 64)

    for _ in range(200):
        words = [chance.choice((*edges, chance.getrandbits(64))) for _ in range(4)]
        one, two = words[0] | words[1] << 64, words[2] | words[3] << 64
        assert exports.add(*words) == halves(one + two)
        assert exports.sub(*words) == halves(one - two)
        assert exports.unsigned(*words[:2]) == halves(words[0] * words[1])
        assert exports.signed(*words[:2]) == halves(halves(words[0])[0] * halves(words[1])[0])
    assert not module.code().refused
