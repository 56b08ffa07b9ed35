"""Modules and texts to begin with: small ones of our own for every feature, and those of the specification's suite."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from functools import cache

from tests.binary.build import HEADER, section, sized
from tests.support import data_root
from tests.syntax.samples import SAMPLES, body
from wardian.errors import BadInput, Refused
from wardian.syntax.instructions import ROWS
from wardian.text.parse import assemble

SMALL = 1500
"""Bytes of a seed: libFuzzer works best on short ones."""
SOME = 120

TEXTS = (
    "(module)",
    '(module $m (func $f (export "a") (param $x i32) (result i32) (i32.add (local.get $x) (i32.const 1))))',
    '(module (memory (export "m") 1 2) (data (i32.const 0) "abc") (func (drop (i32.load offset=4 (i32.const 0)))))',
    "(module (table $t 2 4 funcref) (elem (i32.const 0) $f) (type $s (func)) (func $f (call_indirect (type $s) "
    "(i32.const 0))))",
    "(module (rec (type $p (sub (struct (field $a (mut i32)) (field (ref null $q))))) (type $q (sub $p (struct (field "
    "(mut i32)) (field (ref null $q)) (field i8))))) (func (param (ref $p)) (result i32) "
    "(struct.get $p $a (ref.cast (ref $q) (local.get 0)))))",
    "(module (type $a (array (mut i16))) (func (result i32) (array.len (array.new $a (i32.const 1) (i32.const 5)))))",
    "(module (tag $e (param i64)) (func (result i64) (block $h (result i64) (try_table (result i64) (catch $e $h) "
    "(throw $e (i64.const 7))))))",
    "(module (func (param v128) (result v128) (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 (local.get 0) "
    "(local.get 0))))",
    "(module (memory i64 1) (table i64 3 funcref) (func (i64.store offset=8 (i64.const 1) (i64.const 2)) "
    "(drop (table.grow 0 (ref.null func) (i64.const 1)))))",
    "(module (func $f (param i32) (result i32) (if (result i32) (local.get 0) (then (return_call $f (i32.const 0))) "
    "(else (block $b (block $c (br_table $b $c (local.get 0))) (unreachable)) (i32.const 2)))))",
    '(module (import "a" "b" (func)) (import "a" "g" (global i32)) (global (mut i32) (global.get 0)) (start 0) '
    '(memory 1 1 shared) (func (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))) (data $d "x") (func '
    "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)) (data.drop $d)))",
    '(module (@custom "name" (before func) "x") (@name "odd name") (func (@name "f g") (local $l f64) (@metadata.code.'
    'branch_hint "\\01") (if (i32.const 0) (then))))',
)


@cache
def texts() -> tuple[str, ...]:
    """Texts of modules: ours, and short ones out of the suite."""
    found = list(TEXTS)
    root = data_root()
    for path in sorted((root / "testsuite").glob("**/*.wast")) if root else ():
        for piece in re.split(r"\n(?=\()", path.read_text(errors="replace")):
            if piece.startswith("(module") and len(piece) < SMALL:
                found.append(piece)
    if len(found) > SOME:
        found[len(TEXTS) :] = random.Random(6).sample(found[len(TEXTS) :], SOME - len(TEXTS))
    return tuple(found)


@cache
def modules() -> tuple[bytes, ...]:
    """The same as binaries, and one instruction of each kind in a body of its own."""
    return (*_assembled(), *_instructions())


def _assembled() -> Iterator[bytes]:
    for text in texts():
        try:
            yield assemble(text)
        except (BadInput, Refused):
            continue


def _instructions() -> Iterator[bytes]:
    head = section(1, "01 60 00 00") + section(3, "01 00")
    for start in range(0, len(ROWS), 40):
        bodies = [body(row, imm)[:-1] for row in ROWS[start : start + 40] for imm in SAMPLES[row.imm][-1:]]
        yield HEADER + head + section(10, b"\1" + sized(b"\0" + b"".join(bodies) + b"\x0b"))
