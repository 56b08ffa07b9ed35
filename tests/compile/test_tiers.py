"""Tier-up: what goes over to better code in the middle means the same as what never does."""

from __future__ import annotations

import os
import threading

import pytest

import wardian
from wardian.api.code import ModuleCode

LOOPS = """
(module
  (memory (export "memory") 1)
  (tag $e (param i64))
  (global $g (mut i64) (i64.const 3))
  (func $mix (param i32 i64) (result i64)
    (i64.xor (i64.mul (local.get 1) (i64.const 6364136223846793005)) (i64.extend_i32_u (local.get 0))))
  ;; Two loops in each other, locals of all types, operands that wait below both loops.
  (func (export "nested") (param i32 f64) (result f64) (local $i i32) (local $j i32) (local $s i64) (local $f f32)
    (local $a f64) (local $b f64)
    (local.set $f (f32.const 1.5))
    (f64.const 1000)
    (f64.convert_i32_s (local.get 0))
    (local.set $i (local.get 0))
    (loop $outer
      (i64.const 7)
      (local.set $j (i32.const 50))
      (loop $inner
        (local.set $s (call $mix (local.get $j) (local.get $s)))
        (local.set $f (f32.add (local.get $f) (f32.const 0.25)))
        (local.set $a (f64.add (local.get $a) (f64.mul (local.get 1) (local.get $b))))
        (local.set $b (f64.add (local.get $b) (f64.const 0.125)))
        (i64.store (i32.and (local.get $j) (i32.const 0xff8)) (local.get $s))
        (br_if $inner (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
      (local.set $s (i64.add (local.get $s)))
      (br_if $outer (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    (f64.add)
    (f64.add (f64.convert_i64_s (i64.shr_s (local.get $s) (i64.const 40))))
    (f64.add (f64.promote_f32 (local.get $f)))
    (f64.add (local.get $a)))
  ;; A loop in one arm of an if, with more parameters than registers.
  (func (export "arm") (param i32 i64 i64 i64 i64 i64 i64 i64) (result i64) (local i32)
    (i64.add
      (if (result i64) (i32.gt_u (local.get 0) (i32.const 5))
        (then
          (loop $l
            (local.set 1 (i64.add (i64.rotl (local.get 1) (i64.const 3)) (i64.xor (local.get 7) (local.get 6))))
            (local.set 7 (i64.add (local.get 7) (local.get 5)))
            (br_if $l (i32.lt_u (local.tee 8 (i32.add (local.get 8) (i32.const 1))) (local.get 0))))
          (local.get 1))
        (else (i64.const 11)))
      (local.get 7)))
  ;; Inner loops that blocks, ifs and handlers of the outer one go around, with operands waiting below all of them.
  (func (export "around") (param i32) (result i64) (local $i i32) (local $j i32) (local $s i64)
    (i64.const 100)
    (local.set $i (local.get 0))
    (loop $outer (result i64)
      (i64.extend_i32_u (local.get $i))
      (i32.and (local.get $i) (i32.const 3))
      (block $skip
        (br_if $skip (i32.eq (i32.const 1) (i32.and (local.get $i) (i32.const 7))))
        (i64.const 5)
        (if (param i64) (result i64) (i32.and (local.get $i) (i32.const 1))
          (then
            (local.set $j (i32.const 9))
            (loop $inner (param i64) (result i64)
              (i64.add (local.tee $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $j)))))
              (br_if $inner (local.tee $j (i32.sub (local.get $j) (i32.const 1))))))
          (else (i64.mul (local.get $s))))
        (local.set $s)
        (i64.const 17)
        (block $caught (result i64)
          (try_table (catch $e $caught)
            (i64.const 3)
            (local.set $j (i32.const 6))
            (loop $throwing
              (if (i32.eq (local.get $j) (i32.and (local.get $i) (i32.const 15)))
                (then (throw $e (i64.extend_i32_u (local.get $j)))))
              (br_if $throwing (local.tee $j (i32.sub (local.get $j) (i32.const 1)))))
            (drop))
          (i64.const 23))
        (local.set $s (i64.add (i64.add (local.get $s)))))
      i64.extend_i32_u
      (local.set $s (i64.xor (local.get $s)))
      (local.set $s (i64.add (local.get $s)))
      (br_if $outer (local.tee $i (i32.sub (local.get $i) (i32.const 1))))
      (local.get $s))
    (i64.add))
  ;; Vectors in locals and below both loops, between operands of other kinds, and in a parameter of the inner loop.
  (func (export "vectors") (param $i i32) (result i64) (local $j i32) (local $v v128) (local $w v128) (local $k i64)
    (i64.const 11)
    (i32x4.splat (local.get $i))
    (f64.const 2.5)
    (loop $outer
      (i64x2.splat (i64.extend_i32_u (local.get $i)))
      (i32.const 3)
      (local.set $j (i32.const 20))
      (v128.const i32x4 1 2 3 4)
      (loop $inner (param v128) (result v128)
        (local.set $v (i32x4.add (local.get $v) (i32x4.splat (local.get $j))))
        (i32x4.mul (local.get $v))
        (i8x16.shuffle 4 5 6 7 0 1 2 3 16 17 18 19 12 13 14 15 (local.get $w))
        (local.set $j (i32.sub (local.get $j) (i32.const 1)))
        (br_if $inner (local.get $j)))
      (local.set $w (i32x4.add (local.get $w)))
      i64.extend_i32_u
      (local.set $k (i64.add (local.get $k)))
      (local.set $w (v128.xor (local.get $w)))
      (br_if $outer (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    i64.trunc_f64_s
    (local.set $k (i64.add (local.get $k)))
    (local.set $v (i32x4.add (local.get $v)))
    (i64.add (local.get $k))
    (i64.add (i64x2.extract_lane 0 (local.get $v)))
    (i64.xor (i64x2.extract_lane 1 (v128.xor (local.get $v) (local.get $w))))
    (i64.add (i64x2.extract_lane 0 (local.get $w))))
  (func (export "nothing") (param i32)
    (loop $l
      (global.set $g (i64.add (global.get $g) (i64.extend_i32_u (local.get 0))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "g") (result i64) (global.get $g))
  ;; Stops in the middle of the loop: what was stored before is there.
  (func (export "trap") (param i32)
    (loop $l
      (i32.store (local.get 0) (local.get 0))
      (local.set 0 (i32.add (local.get 0) (i32.const 4)))
      (br $l))))
"""
CALLS: list[tuple[str, tuple[float, ...]]] = [
    ("nested", (40, 0.5)),
    ("arm", (3000, 1, 2, 3, 4, 5, 6, 7)),
    ("arm", (5, 1, 2, 3, 4, 5, 6, 7)),
    ("around", (300,)),
    ("vectors", (300,)),
    ("nothing", (3000,)),
    ("g", ()),
]


def instance(**config: object) -> tuple[wardian.Instance, wardian.Engine]:
    engine = wardian.Engine(wardian.Config(cache=False, **config))  # type: ignore[arg-type]
    return wardian.Module(LOOPS, engine).instantiate(), engine


def settle(engine: wardian.Engine) -> None:
    """Until all that is hot is compiled, and nothing has gone wrong with it."""
    engine.worker.wait()
    assert engine.worker.failure is None


def results(it: wardian.Instance) -> list[object]:
    return [getattr(it.exports, name)(*args) for name, args in CALLS]


@pytest.mark.thorough
@pytest.mark.parametrize("checks", ["guard", "explicit"])
@pytest.mark.parametrize("tier_up", [1, 2, 7, 100])
def test_results_are_those_of_one_tier(tier_up: int, checks: str) -> None:
    expected, _ = instance(opt="O2", checks=checks)
    tiered, engine = instance(opt="auto", checks=checks, tier_up=tier_up)
    for _ in range(3):
        assert results(tiered) == results(expected)
        settle(engine)
        assert bytes(tiered.exports.memory.view()) == bytes(expected.exports.memory.view())


@pytest.mark.parametrize("checks", ["guard", "explicit"])
def test_a_run_goes_over_in_the_middle_of_a_loop(checks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only continuations are made, so the function itself stays in the baseline tier and enters them."""
    ask = ModuleCode._ask
    monkeypatch.setattr(ModuleCode, "_ask", lambda self, what: what[0] == "loop" and ask(self, what))
    expected, _ = instance(opt="O2", checks=checks)
    tiered, engine = instance(opt="auto", checks=checks, tier_up=1)
    asked: list[int] = []
    hot = ModuleCode.hot

    def watched(self: ModuleCode, index: int, site: int) -> tuple[int, int]:
        better, entry = hot(self, index, site)
        asked.append(entry)
        return better, entry

    monkeypatch.setattr(ModuleCode, "hot", watched)
    for turn in range(3):
        asked.clear()
        assert results(tiered) == results(expected)
        settle(engine)
        assert not turn or any(asked), "no continuation was entered"
    for it in (tiered, expected):
        with pytest.raises(wardian.Trap) as caught:
            it.exports.trap(60000)
        assert caught.value.code == "memory_out_of_bounds"
    assert bytes(tiered.exports.memory.view()) == bytes(expected.exports.memory.view())


def test_what_is_hot_is_remembered(tmp_path: object) -> None:
    config = wardian.Config(opt="auto", tier_up=1, cache=str(tmp_path))
    engine = wardian.Engine(config)
    module = wardian.Module(LOOPS, engine)
    first = results(module.instantiate())
    settle(engine)
    engine.flush()
    again = wardian.Module(LOOPS, wardian.Engine(config))
    code = again.code().with_exceptions()
    assert results(again.instantiate()) == first
    assert code._better, "the second run begins with what the first one optimised"


def test_a_deadline_ends_it_in_every_tier() -> None:
    endless = '(module (func (export "f") (local i32) (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) br 0)))'
    engine = wardian.Engine(wardian.Config(opt="auto", tier_up=1, cache=False))
    it = wardian.Module(endless, engine).instantiate()
    for _ in range(3):
        with pytest.raises(wardian.Interrupted), it.deadline(0.2):
            it.exports.f()
        settle(engine)


def test_threads_while_code_is_exchanged() -> None:
    expected, _ = instance(opt="O2")
    right = expected.exports.arm(3000, 1, 2, 3, 4, 5, 6, 7)
    tiered, engine = instance(opt="auto", tier_up=1)
    module = wardian.Module(LOOPS, engine)
    wrong: list[object] = []

    def work() -> None:
        mine = module.instantiate()
        for _ in range(20):
            got = mine.exports.arm(3000, 1, 2, 3, 4, 5, 6, 7)
            if got != right:
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and tiered.exports.arm(3000, 1, 2, 3, 4, 5, 6, 7) == right


def test_a_forked_child_tiers_up_by_itself() -> None:
    tiered, engine = instance(opt="auto", tier_up=1)
    expected = results(tiered)
    child = os.fork()
    if not child:
        fine = False
        try:
            it = wardian.Module(LOOPS, engine).instantiate()
            fine = results(it) == expected
            settle(engine)
        finally:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_the_baseline_tier_refuses_is_left_to_llvm() -> None:
    engine = wardian.Engine(wardian.Config(opt="baseline", cache=False))
    module = wardian.Module(
        f'(module (func (export "v") (param i32) (result i32) (local {"i32 " * 600}) (local.set 600 (local.get 0))'
        ' (i32.mul (local.get 600) (i32.const 3)))'
        ' (func (export "w") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))',
        engine,
    )
    it = module.instantiate()
    assert (it.exports.v(5), it.exports.w(5)) == (15, 6)
    assert module.code().refused == {"many locals": 1}
