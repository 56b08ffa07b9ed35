"""Tail calls between functions of every arity: parameters arrive, whether in registers or on the stack, and the stack
does not grow."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

import wardian
from tests.support import Mode, assemble, mode_params

COUNT: Final = 12
"""Functions of a ring; the k-th calls the next one."""
TYPES: Final = ("i32", "i64", "f32", "f64", "v128")
DEEP: Final = 400_000
"""Calls that no stack of the usual size holds, were they not tail calls."""


def _convert(source: str, target: str) -> str:
    """From one type to another, by way of i32; every value here is a small integer."""
    to_i32 = {
        "i32": "",
        "i64": "i32.wrap_i64",
        "f32": "i32.trunc_f32_s",
        "f64": "i32.trunc_f64_s",
        "v128": "i32x4.extract_lane 3",
    }
    from_i32 = {
        "i32": "",
        "i64": "i64.extend_i32_s",
        "f32": "f32.convert_i32_s",
        "f64": "f64.convert_i32_s",
        "v128": "i32x4.splat",
    }
    return f"{to_i32[source]} {from_i32[target]}"


def _ring(rng: random.Random, results: int, how: str) -> tuple[str, list[list[str]], list[list[int]]]:
    """Module text, the functions' parameter types (but for the counter), and where each call's arguments come from."""
    signatures = [[rng.choice(TYPES) for _ in range(rng.choice((0, 1, 5, 6, 7, 9, 12, 17, 30)))] for _ in range(COUNT)]
    signatures[0] = ["i64"] * 3 + ["v128"] * 10 + ["f64"]
    sources = []
    parts = [f"(table {COUNT} funcref) (elem (i32.const 0) func {' '.join(f'$f{k}' for k in range(COUNT))})"]
    outcome = " ".join(["i64"] * results)
    for k, params in enumerate(signatures):
        following = signatures[(k + 1) % COUNT]
        taken = [rng.randrange(len(params)) if params else -1 for _ in following]
        sources.append(taken)
        args = " ".join(
            f"local.get {s + 1} {_convert(params[s], t)}" if s >= 0 else f"i32.const {i + 1} {_convert('i32', t)}"
            for i, (s, t) in enumerate(zip(taken, following, strict=True))
        )
        first = f"local.get {len(params)} {_convert(params[-1], 'i64')}" if params else "i64.const -7"
        done = " ".join([first] + [f"i64.const {i}" for i in range(1, results)])
        target = {
            "direct": f"return_call $f{(k + 1) % COUNT}",
            "indirect": f"i32.const {(k + 1) % COUNT} return_call_indirect (type $t{(k + 1) % COUNT})",
        }[how]
        parts.append(f"(type $t{k} (func (param i32 {' '.join(params)}) (result {outcome})))")
        parts.append(
            f'(func $f{k} (export "f{k}") (type $t{k}) local.get 0 i32.eqz if (result {outcome}) {done} '
            f"else local.get 0 i32.const 1 i32.sub {args} {target} end)"
        )
    return f"(module {' '.join(parts)})", signatures, sources


def _follow(signatures: list[list[str]], sources: list[list[int]], start: int, values: list[int], calls: int) -> int:
    """What the ring's first result must be."""
    k = start
    for _ in range(calls):
        values = [values[s] if s >= 0 else i + 1 for i, s in enumerate(sources[k])]
        k = (k + 1) % COUNT
    return values[-1] if signatures[k] else -7


def _given(value: int, type: str) -> Any:
    return (
        value * 0x00000001_00000001_00000001_00000001 if type == "v128" else float(value) if type[0] == "f" else value
    )


@pytest.mark.thorough
@pytest.mark.parametrize("mode", mode_params())
@pytest.mark.parametrize("how", ["direct", "indirect"])
@pytest.mark.parametrize(
    "results", [pytest.param(n, marks=() if n in (1, 5) else pytest.mark.slow) for n in (0, 1, 2, 5)]
)
def test_rings(results: int, how: str, mode: Mode) -> None:
    rng = random.Random(results)
    engine = wardian.Engine(mode.config(cache=False))
    text, signatures, sources = _ring(rng, max(results, 1), how)
    if not results:
        text = (
            text.replace(" (result i64))", ")")
            .replace("if (result i64)", "if")
            .replace(" else local.get 0", " drop else local.get 0")
        )
    module = wardian.Module(assemble(text), engine)
    exports = module.instantiate().exports
    for start in range(COUNT):
        for calls in (0, 1, 2, COUNT, COUNT + 3, DEEP if start == 0 else 50):
            values = [rng.randrange(1, 1000) for _ in signatures[start]]
            got = exports[f"f{start}"](calls, *map(_given, values, signatures[start]))
            if not results:
                assert got is None
                continue
            wanted = _follow(signatures, sources, start, values, calls)
            assert got == (wanted if results == 1 else (wanted, *range(1, results)))
    assert not module.code().refused


@pytest.mark.parametrize("mode", mode_params())
def test_ordinary_calls_beside_tail_calls_stay(mode: Mode) -> None:
    """Endless recursion in tail position, but not by a tail call, exhausts the stack."""
    many = " ".join(["i64"] * 9)
    gets = " ".join(f"local.get {i}" for i in range(9))
    text = f"""(module
      (func $f (export "f") (param {many}) (result i64)
        local.get 0 i64.eqz if (result i64) {gets} return_call $g else {gets} call $f end)
      (func $g (param {many}) (result i64) local.get 8))"""
    engine = wardian.Engine(mode.config(cache=False))
    f = wardian.Module(assemble(text), engine).instantiate().exports["f"]
    assert f(0, 1, 2, 3, 4, 5, 6, 7, 8) == 8
    with pytest.raises(wardian.Trap, match="call stack exhausted"):
        f(1, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_loop_that_gets_hot_leaves_no_frame_behind() -> None:
    """Each call runs a loop to its end before it calls on; optimised code is entered between calls, not in the loop."""
    text = f"""(module
      (func $f (export "f") (param $n i32) (param $s i64) (result i64 i64) (local $i i32)
        (local.set $i (i32.const 4))
        (loop $l
          (local.set $s (i64.add (local.get $s) (i64.extend_i32_u (local.get $i))))
          (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (if (i32.eqz (local.get $n)) (then (return (local.get $s) (i64.const 7))))
        (return_call $g {" ".join(["(i64.const 1)"] * 9)} (i32.sub (local.get $n) (i32.const 1)) (local.get $s)))
      (func $g (param {"i64 " * 9}) (param $n i32) (param $s i64) (result i64 i64)
        (return_call $f (local.get $n) (local.get $s))))"""
    engine = wardian.Engine(wardian.Config(opt="auto", tier_up=1, cache=False))
    module = wardian.Module(assemble(text), engine)
    it = module.instantiate()
    for _ in range(3):
        assert it.exports.f(DEEP, 0) == (10 * (DEEP + 1), 7)
        engine.worker.wait()
        assert engine.worker.failure is None
    assert not module.code().refused
