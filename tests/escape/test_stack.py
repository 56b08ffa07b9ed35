"""The native stack: recursion of every kind ends in a trap, whatever the thread's stack and the size of the frames."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

import wardian
from tests.escape.guest import child, make, traps
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

RECURSION = """
(module
  (import "m" "host" (func $host (param i32) (result i32)))
  (type $t (func (param i32) (result i32)))
  (table 2 funcref) (elem (i32.const 0) $indirect $tail_even)
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
  (func $even (export "mutual") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $odd (i32.sub (local.get 0) (i32.const 1)))))))
  (func $odd (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $even (i32.sub (local.get 0) (i32.const 1)))))))
  (func $indirect (export "indirect") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1)
        (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))))
  (func (export "through") (param i32) (result i32)
    (i32.add (i32.const 1) (call $host (i32.sub (local.get 0) (i32.const 1)))))
  (func $tail (export "tail") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 5))
      (else (return_call $tail (i32.sub (local.get 0) (i32.const 1))))))
  (func $tail_even (export "tail_mutual") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 6))
      (else (return_call $tail_odd (i64.extend_i32_u (local.get 0)) (f64.const 1) (i32.const 2)))))
  (func $tail_odd (param i64 f64 i32) (result i32)
    (return_call_indirect (type $t) (i32.sub (i32.wrap_i64 (local.get 0)) (i32.const 1)) (i32.const 1)))
  (func (export "leaf") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))
"""
RECURSIVE = ("deep", "mutual", "indirect")


def recursion(mode: Mode) -> None:
    exports = make(RECURSION, mode, {"m": {"host": lambda n: n}})
    for name in RECURSIVE:
        assert exports[name](100) == 100
        for _ in range(3):
            with traps("stack_exhausted"):
                exports[name](1 << 30)
    assert exports.tail(3_000_000) == 5
    assert exports.tail_mutual(1_000_000) == 6
    assert exports.leaf(5) == 15


def through_host_functions(mode: Mode) -> None:
    """Guest, host function, guest and so on: the Python error or the trap arrives, and all works afterwards."""
    for limit in (200, 1_000_000):
        sys.setrecursionlimit(limit)
        exports = make(RECURSION, mode, {"m": {"host": lambda n: exports.through(n) if n else 0}})  # noqa: B023
        assert exports.through(20) == 20
        for _ in range(2):
            with pytest.raises((RecursionError, wardian.Trap)):
                exports.through(1 << 30)
        assert exports.through(20) == 20


def frames(mode: Mode) -> None:
    """Frames of thousands of locals, of values that a single instruction makes, and of calls with many arguments."""
    locals_ = 20_000
    sum_ = "".join(f"(local.set {i} (i64.add (local.get {i}) (call $get)))" for i in range(1, locals_, 1000))
    many = f"""(module (global $g (mut i64) (i64.const 1))
      (func $get (result i64) (global.get $g))
      (func $f (export "f") (param i64) (result i64) (local {"i64 " * (locals_ - 1)})
        {sum_}
        (if (i64.eqz (local.get 0)) (then (return (i64.const 0))))
        (i64.add (local.get 1) (call $f (i64.sub (local.get 0) (i64.const 1))))))"""
    n, times = 300, 50
    values = f"""(module (type $r (func (result {"i64 " * n}))) (type $p (func (param {"i64 " * n})))
      (func $r (type $r) {"i64.const 7 " * n}) (func $p (type $p))
      (func $f (export "f") (param i64)
        (if (i64.eqz (local.get 0)) (then (return)))
        {"call $r " * times} (call $f (i64.sub (local.get 0) (i64.const 1))) {"call $p " * times}))"""
    blocks = f"""(module (type $b (func (param {"f64 " * n}) (result {"f64 " * n})))
      (func $f (export "f") (param i64) (result f64)
        {"f64.const 1 " * n}
        {"(loop (type $b) " * 5} {"nop )" * 5}
        (if (i64.eqz (local.get 0)) (then (return (f64.const 0))))
        (call $f (i64.sub (local.get 0) (i64.const 1)))
        {"f64.add " * n}))"""
    for text in (many, values, blocks):
        exports = make(text, mode)
        for count in (0, 1 << 40):
            try:
                exports.f(count)
            except wardian.Trap as trap:
                assert trap.code == "stack_exhausted"
            else:
                assert count == 0


def scenario(names: list[str], mode: Mode, kib: int) -> None:
    """Scenarios on a thread with a stack of ``kib``."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for name in names:
                SCENARIOS[name](mode)
        except BaseException as error:
            failed.append(error)
            raise

    threading.stack_size(kib << 10)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


SCENARIOS: dict[str, Callable[[Mode], None]] = {
    "recursion": recursion,
    "through": through_host_functions,
    "frames": frames,
}


@every_mode
@pytest.mark.parametrize("kib", [256, 1024, 8192])
def test_on_a_thread(mode: Mode, kib: int) -> None:
    names = ["recursion", "frames"] + ["through"] * (kib >= 1024)
    child(scenario, names, mode, kib, timeout=300)


@every_mode
def test_on_the_main_thread(mode: Mode) -> None:
    child(recursion, mode)
    child(through_host_functions, mode)


@pytest.mark.parametrize("kib", [64, 128])
def test_on_a_tiny_thread(kib: int) -> None:
    """Hardly enough for Python itself: plain calls work, recursion still traps."""
    child(scenario, ["recursion"], MODES[0], kib)


@every_mode
def test_the_limit_is_the_stores(mode: Mode) -> None:
    """A smaller ``Limits.stack`` holds, and nested entries do not get a new one."""
    nothing = {"m": {"host": lambda n: n}}

    def depth(stack: int) -> int:
        exports = make(RECURSION, mode, nothing, limits=wardian.Limits(stack=stack))
        low, high = 0, 1 << 22
        while high - low > 64:
            middle = (low + high) // 2
            try:
                exports.deep(middle)
                low = middle
            except wardian.Trap:
                high = middle
        return low

    small, large = depth(64 << 10), depth(1 << 20)
    assert 64 < small < large
    assert 8 < large / small < 32

    def again(n: int) -> int:
        try:
            return int(exports.deep(large // 2))
        except wardian.Trap:
            return -1

    exports = make(RECURSION, mode, {"m": {"host": again}}, limits=wardian.Limits(stack=1 << 20))
    assert exports.through(1) == large // 2 + 1


def test_a_compile_deep_down() -> None:
    """The first call of a function happens with little stack left: it is compiled elsewhere."""
    child(compile_deep_down)


def compile_deep_down() -> None:
    text = """(module (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (call $late (i32.const 1)))
          (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
      (func $late (param i32) (result i32) {body}))"""
    for mode, size in ((Mode("O0", "guard"), 3000), (Mode("O2", "explicit"), 1000)):
        body = "(local.get 0)" + "(i32.const 3) (i32.add) (local.get 0) (i32.mul)" * size
        for count in (10, 1000, 10_000, 20_000):
            exports = make(text.format(body=f"(; {count} ;) {body}"), mode)
            try:
                exports.deep(count)
            except wardian.Trap as trap:
                assert trap.code == "stack_exhausted"
