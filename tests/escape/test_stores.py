"""Borders between stores, and between threads: nothing of one is taken for something of the other."""

from __future__ import annotations

import threading
import time

import pytest

import wardian
from tests.escape.guest import child, make, module, traps
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

TAKER = """(module (table (export "t") 2 funcref) (global (export "g") (mut funcref) (ref.null func))
  (global (export "x") (mut externref) (ref.null extern))
  (func (export "take") (param funcref) (result funcref) (local.get 0))
  (func (export "own")))"""


@every_mode
def test_functions_of_another_store(mode: Mode) -> None:
    """wasmtime.md 2.4 C 27 to 29: everything that could carry a reference across refuses a foreign one."""
    foreign = make(TAKER, mode).own
    exports = make(TAKER, mode)
    with pytest.raises(ValueError, match="another store"):
        exports.take(foreign)
    with pytest.raises(ValueError, match="another store"):
        exports.t[0] = foreign
    with pytest.raises(ValueError, match="another store"):
        exports.t.grow(0, foreign)
    with pytest.raises(ValueError, match="another store"):
        exports.g.value = foreign
    assert exports.take(exports.own) is exports.own
    returning = make(
        '(module (import "m" "f" (func $f (result funcref))) (func (export "go") (result funcref) (call $f)))',
        mode,
        {"m": {"f": lambda: foreign}},
    )
    with pytest.raises(ValueError, match="another store"):
        returning.go()


@every_mode
def test_imports_of_the_wrong_kind_or_type(mode: Mode) -> None:
    given = make(
        """(module (memory (export "memory") 1 2)
        (table (export "table") 1 2 funcref) (table (export "refs") 1 externref)
        (global (export "const") i32 (i32.const 1)) (global (export "var") (mut i32) (i32.const 1))
        (func (export "f") (param i32)) (memory $m64 (export "memory64") i64 1 2))""",
        mode,
    )
    wanted = {
        '(func)': ["f", "memory", "table", "const"],
        '(func (param i32) (result i32))': ["f"],
        '(func (param i64))': ["f"],
        '(memory 2)': ["memory", "f", "memory64"],
        '(memory 1 1)': ["memory"],
        '(memory i64 1 2)': ["memory"],
        '(memory 1 2 shared)': ["memory"],
        '(table 2 funcref)': ["table", "memory"],
        '(table 1 1 funcref)': ["table"],
        '(table 1 funcref)': ["refs"],
        '(table 1 externref)': ["table"],
        '(table i64 1 2 funcref)': ["table"],
        '(global (mut i32))': ["const", "f"],
        '(global i32)': ["var", "memory"],
        '(global i64)': ["const"],
        '(global (mut i64))': ["var"],
    }
    for wanting, names in wanted.items():
        for name in names:
            with pytest.raises(wardian.LinkError):
                make(f'(module (import "m" "x" {wanting}))', mode, {"m": {"x": given[name]}})
    for value in (None, 5, "f", object(), [], 1.5, True):
        for wanting in ("(func)", "(memory 1)", "(table 1 funcref)", "(global (mut i32))"):
            with pytest.raises(wardian.LinkError):
                make(f'(module (import "m" "x" {wanting}))', mode, {"m": {"x": value}})
    for value in (1 << 40, 1.5, "1", None):
        with pytest.raises(wardian.LinkError):
            make('(module (import "m" "x" (global i32)))', mode, {"m": {"x": value}})
    for bad in ({"m": 5}, {"m": None}, {"m": []}):
        with pytest.raises((TypeError, wardian.LinkError)):
            make('(module (import "m" "x" (func)))', mode, bad)  # type: ignore[arg-type]


LOOP = """(module (import "m" "ready" (func $ready))
  (memory (export "memory") 1)
  (func (export "loop") (call $ready) (loop $again (br $again)))
  (func (export "other") (result i32) (i32.const 3)))"""


@every_mode
def test_a_busy_store(mode: Mode) -> None:
    """A second thread gets StoreBusy, from every function of the store, and the running one is not disturbed."""
    ready = threading.Event()
    instance = module(LOOP, mode).instantiate({"m": {"ready": ready.set}})
    exports = instance.exports
    linked = make('(module (import "m" "f" (func $f (result i32))) (func (export "go") (result i32) (call $f)))', mode,
                  {"m": {"f": exports.other}})  # fmt: skip
    ended: list[BaseException] = []

    def loop() -> None:
        try:
            exports.loop()
        except wardian.Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        time.sleep(0.01)
        for call in (exports.other, exports.loop, linked.go):
            with pytest.raises(wardian.StoreBusy):
                call()
        with pytest.raises(wardian.StoreBusy):
            make(
                '(module (import "m" "f" (func $f (result i32))) (func $s (drop (call $f))) (start $s))',
                mode,
                {"m": {"f": exports.other}},
            )
    finally:
        assert instance.interrupt()
        thread.join(30)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert exports.other() == linked.go() == 3


@every_mode
def test_two_running_stores_cannot_be_linked(mode: Mode) -> None:
    provider = '(module (import "m" "h" (func $h)) (func (export "f")) (func (export "go") (call $h)))'
    caught: list[BaseException] = []

    def link() -> None:
        try:
            make(
                '(module (import "m" "a" (func)) (import "m" "b" (func)))', mode, {"m": {"a": one.f, "b": two.f}}
            )
        except wardian.LinkError as error:
            caught.append(error)

    one = make(provider, mode, {"m": {"h": lambda: two.go()}})
    two = make(provider, mode, {"m": {"h": link}})
    one.go()
    assert len(caught) == 1
    two.f()
    one.f()


@every_mode
def test_linking_while_one_runs(mode: Mode) -> None:
    """The store that runs takes in the idle one, and goes on."""
    got: list[object] = []

    def link() -> None:
        joined = make(
            """(module (import "m" "a" (func $a (result i32))) (import "m" "b" (func $b (result i32)))
            (func (export "sum") (result i32) (i32.add (call $a) (call $b))))""",
            mode,
            {"m": {"a": running.f, "b": idle.f}},
        )
        got.append(joined.sum())
        with traps("unreachable"):
            idle.trap()

    text = """(module (import "m" "h" (func $h)) (memory 1)
      (func (export "f") (result i32) (i32.const 4)) (func (export "trap") unreachable)
      (func (export "go") (result i32) (call $h) (i32.load (i32.const 0))))"""
    running = make(text, mode, {"m": {"h": link}})
    idle = make(text, mode, {"m": {"h": link}})
    assert running.go() == 0
    assert got == [8]
    with traps("unreachable"):
        running.trap()
    assert idle.f() == 4


def host_exceptions(mode: Mode, count: int) -> None:
    """Threads with stores of their own, each raising host exceptions: each one's own arrive, and no other."""
    text = """(module (import "m" "h" (func $h (param i32) (result i32))) (memory (export "memory") 1)
      (func (export "go") (param i32) (result i32) (call $h (local.get 0)))
      (func (export "oob") (param i32) (result i32) (i32.load (local.get 0))))"""
    wrong: list[object] = []

    class Own(Exception):
        pass

    def work(me: int) -> None:
        def host(n: int) -> int:
            if n % 3:
                return n
            raise errors[n % len(errors)]

        errors = [Own(me, i) for i in range(7)]
        exports = make(text, mode, {"m": {"h": host}})
        for n in range(count):
            try:
                result = exports.go(n)
                if result != n or n % 3 == 0:
                    wrong.append((me, n, result))
            except Own as error:
                if error is not errors[n % len(errors)]:
                    wrong.append((me, n, error))
            if n % 50 == 0:
                try:
                    exports.oob(-1)
                    wrong.append((me, n))
                except wardian.Trap as trap:
                    if trap.code != "memory_out_of_bounds":
                        wrong.append((me, n, trap))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]


@every_mode
def test_exceptions_on_several_threads(mode: Mode) -> None:
    child(host_exceptions, mode, 5000, timeout=300)


def compile_together(mode: Mode) -> None:
    """wasmtime.md 2.4 C 30: threads that compile, instantiate and drop the same types at the same time."""
    shape = """(module (type $a (func (param i32) (result i32))) (type $b (func (param i64) (result i64)))
      (table 2 funcref) (elem (i32.const 0) $fa $fb)
      (func $fa (type $a) (local.get 0)) (func $fb (type $b) (local.get 0))
      (func (export "good") (param i32) (result i32) (call_indirect (type $a) (local.get 0) (i32.const 0)))
      (func (export "bad") (param i32) (result i32) (call_indirect (type $a) (local.get 0) (i32.const 1))))"""
    wrong: list[object] = []
    one = module(shape, mode)

    def work(me: int) -> None:
        for n in range(60):
            exports = (one if n % 2 else wardian.Module(one.decl.source, one.engine)).instantiate().exports
            if exports.good(n) != n:
                wrong.append((me, n))
            try:
                exports.bad(n)
                wrong.append((me, n))
            except wardian.Trap as trap:
                if trap.code != "bad_signature":
                    wrong.append((me, n, trap))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:5]


def test_compile_together() -> None:
    child(compile_together, MODES[0], timeout=300)
