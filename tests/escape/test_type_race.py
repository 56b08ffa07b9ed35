"""The process's registry of types, while threads make, link and drop modules that share some of them.

wasmtime.md 2.4 C 30, and a class of our own (the row of a type that was only reserved): in whatever order types are
seen for the first time, a call through a table reaches a function of that type or traps; casts are as strict.
"""

from __future__ import annotations

import gc
import random
import threading

import pytest

import wardian
from tests.escape.guest import child
from tests.support import MODES, Mode

THREADS = 4
KINDS = ("i32", "i64", "f32", "f64", "v128", "funcref")


def text(kinds: tuple[str, ...], base: int) -> str:
    """Functions with these parameters; calls with the right type, with one more parameter, and casts."""
    params = " ".join(kinds)
    values = " ".join("(ref.null func)" if kind == "funcref" else _zero(kind) for kind in kinds)
    return f"""(module (rec (type $right (sub (func (param {params}) (result i32)))))
      (rec (type $below (sub $right (func (param {params}) (result i32)))))
      (type $wrong (func (param {params} i32) (result i32))) (type $other (func (param {params}) (result i64)))
      (rec (type $s (sub (struct (field {("i64", "i32")[base % 2]})))) (type $d (sub $s (struct
        (field {("i64", "i32")[base % 2]}) (field (ref null $d))))))
      (table (export "t") 3 funcref) (elem (i32.const 0) func $f $g)
      (func $f (type $right) (i32.const {base})) (func $g (type $below) (i32.const {base + 1}))
      (func (export "right") (param i32) (result i32) {values} (call_indirect (type $right) (local.get 0)))
      (func (export "below") (param i32) (result i32) {values} (call_indirect (type $below) (local.get 0)))
      (func (export "wrong") (param i32) (result i32) {values} (i32.const 0)
        (call_indirect (type $wrong) (local.get 0)))
      (func (export "other") (param i32) (result i64) {values} (call_indirect (type $other) (local.get 0)))
      (func (export "up") (result i32) (ref.test (ref $s) (struct.new_default $d)))
      (func (export "down") (result i32) (ref.test (ref $d) (struct.new_default $s)))
      (func (export "across") (result i32) (ref.test (ref $below) (table.get (i32.const 0)))))"""


def _zero(kind: str) -> str:
    return "(v128.const i64x2 0 0)" if kind == "v128" else f"({kind}.const 0)"


def mismatch(call: object, index: int) -> None:
    assert callable(call)
    with pytest.raises(wardian.Trap) as caught:
        call(index)
    assert caught.value.code == "bad_signature", caught.value


def check(kinds: tuple[str, ...], base: int, engine: wardian.Engine) -> None:
    exports = wardian.Module(text(kinds, base), engine).instantiate().exports
    assert [exports.right(0), exports.right(1), exports.below(1)] == [base, base + 1, base + 1]
    mismatch(exports.below, 0)
    for index in (0, 1):
        mismatch(exports.wrong, index)
        mismatch(exports.other, index)
    assert (exports.up(), exports.down(), exports.across()) == (1, 0, 0)


def race(mode: Mode, rounds: int) -> None:
    config = wardian.Config(**mode._asdict(), cache=False)
    engine = wardian.Engine(config)
    check((), 0, engine)
    failures: list[BaseException] = []
    gate = threading.Barrier(THREADS)

    def work(number: int) -> None:
        chance = random.Random(77)  # the same types in the same order, so that all meet the same new one
        try:
            for turn in range(rounds):
                kinds = tuple(chance.choice(KINDS) for _ in range(chance.randrange(4)))
                gate.wait(60)
                check(kinds, 10 * turn + number, engine)
                if number == turn % THREADS:
                    gc.collect()
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)
            gate.abort()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [error for error in failures if not isinstance(error, threading.BrokenBarrierError)], failures


@pytest.mark.parametrize(
    ("mode", "rounds"),
    [pytest.param(MODES[0], 1, id="few"), *(pytest.param(m, 60, id=str(m), marks=pytest.mark.slow) for m in MODES)],
)
def test_types_that_several_threads_see_first(mode: Mode, rounds: int) -> None:
    child(race, mode, rounds, timeout=300)
