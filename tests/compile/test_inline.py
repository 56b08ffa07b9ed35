"""Small functions take the place of their calls at O2; only a trap's backtrace, and the time it takes, can tell."""

from __future__ import annotations

from typing import Any

import pytest

import wardian
from tests.support import Mode, assemble, level_params


def _exports(source: str | bytes, mode: Mode, *, lazy: bool = False) -> Any:
    config = mode.config(cache=False, lazy=lazy)
    return wardian.Module(source, wardian.Engine(config)).instantiate().exports


TEXT = """(module (memory (export "memory") 1) (global $g (export "g") (mut i32) (i32.const 5))
  (func $get (param i32) (result i32) (i32.load (local.get 0)))
  (func $put (param i32 i32) (i32.store (local.get 0) (local.get 1)) (global.set $g (local.get 1)))
  (func $three (param i32 f64) (result i32 f64 i64)
    (if (local.get 0) (then (return (i32.const 1) (local.get 1) (i64.const 2))))
    (call $get (i32.const 16)) (f64.const 0.5) (i64.const 3))
  (func $pair (param i32) (result i32 i32) (call $get (local.get 0)) (call $get (i32.add (local.get 0) (i32.const 4))))
  (func (export "copy") (param i32 i32) (call $put (local.get 1) (call $get (local.get 0))))
  (func (export "mixed") (param i32 f64) (result i32 f64 i64) (call $three (local.get 0) (local.get 1)))
  (func (export "sum") (param i32) (result i32) (i32.add (call $pair (local.get 0))))
  (func (export "twice") (param $at i32) (param $n i32) (result i32) (local $s i32) (loop $l
    (local.set $s (i32.add (local.get $s) (call $get (local.get $at))))
    (call $put (local.get $at) (local.get $s))
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $s))
  (func $fails (param i32) (if (local.get 0) (then unreachable)))
  (func (export "outer") (param i32) (call $fails (local.get 0)))
  (func $ping (param i32) (result i32) (i32.add (call $pong (local.get 0)) (i32.const 1)))
  (func $pong (param i32) (result i32) (i32.add (call $ping (local.get 0)) (i32.const 1)))
  (func (export "endless") (result i32) (call $ping (i32.const 1))))"""


@pytest.mark.parametrize("mode", level_params())
def test_results(mode: Mode) -> None:
    exports = _exports(TEXT, mode)
    memory = exports.memory
    memory[0:24] = b"".join(i.to_bytes(4, "little") for i in (7, 8, 9, 10, 11, 12))
    assert exports.sum(0) == 15
    assert exports.mixed(1, 1.5) == (1, 1.5, 2)
    assert exports.mixed(0, 1.5) == (11, 0.5, 3)
    exports.copy(0, 100)
    assert (memory[100], exports.g.value) == (7, 7)
    assert exports.twice(0, 3) == 7 + 8 + 9
    assert [memory[i] for i in (0, 4, 8)] == [7, 15, 24]


@pytest.mark.parametrize("mode", level_params())
def test_traps_are_where_they_were(mode: Mode) -> None:
    exports = _exports(TEXT, mode)
    memory = exports.memory
    memory[65528:65536] = (1).to_bytes(4, "little") * 2
    with pytest.raises(wardian.Trap) as trapped:
        exports.twice(65528, 5)
    assert trapped.value.code == "memory_out_of_bounds"
    assert trapped.value.frames[-1].name == "twice"
    assert (memory[65528], memory[65532], exports.g.value) == (1, 2, 2)


@pytest.mark.parametrize("mode", level_params())
def test_a_function_with_a_trap_of_its_own_is_named(mode: Mode) -> None:
    with pytest.raises(wardian.Trap) as trapped:
        _exports(TEXT, mode).outer(1)
    assert [frame.name for frame in trapped.value.frames] == ["fails", "outer"]


@pytest.mark.parametrize("mode", level_params())
def test_endless_recursion_ends(mode: Mode) -> None:
    with pytest.raises(wardian.Trap) as trapped:
        _exports(TEXT, mode).endless()
    assert trapped.value.code == "stack_exhausted"


@pytest.mark.parametrize("mode", level_params())
def test_an_invalid_callee_is_reported_when_it_is_called(mode: Mode) -> None:
    text = """(module (func $bad (result i32) (i32.const 1))
      (func (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (call $bad)) (else (i32.const 7)))))"""
    source = assemble(text)
    # The constant of $bad becomes a 64-bit one, which is not what it says it returns.
    broken = source.replace(b"\x41\x01\x0b", b"\x42\x01\x0b", 1)
    assert broken != source
    exports = _exports(broken, mode, lazy=True)
    assert exports.f(0) == 7
    with pytest.raises(wardian.InvalidError):
        exports.f(1)
