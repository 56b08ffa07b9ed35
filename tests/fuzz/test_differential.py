"""A fixed seed of the differential fuzzer, and that it would notice."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence

import pytest

pytest.importorskip("wasmtime")

from tests.fuzz import generator
from tests.fuzz.adapter import Case, assembled, case
from tests.fuzz.differential import Judge, Made, compare, make, rounds_of
from tests.fuzz.engines import Call, Run, Wardian
from tests.fuzz.values import EDGES, NUMBERS, Outcome, bits, same
from tests.support import QUICK_MODE, ROOT

CASES = 3
"""So many take some ten seconds."""
MANY = 30


@pytest.mark.thorough
@pytest.mark.parametrize("cases", [CASES, pytest.param(MANY, marks=pytest.mark.slow)])
def test_engines_agree_on_a_fixed_seed(cases: int) -> None:
    command = [sys.executable, "-m", "tests.fuzz.differential", "--seed", "20260101", "--cases", str(cases)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "modules of smith" in done.stdout
    assert "modules of generator" in done.stdout


def test_a_case_is_reproducible() -> None:
    assert make(7, 3) == make(7, 3)
    assert make(7, 3) != make(7, 5)


@pytest.mark.parametrize("type_", NUMBERS)
def test_constants_keep_their_bits(type_: str) -> None:
    values = EDGES.get(type_) or tuple(bits(random.Random(i), "v128") for i in range(50))
    text = "".join(
        f'(func (export "{i}") (result {type_}) {generator.constant(type_, v)})' for i, v in enumerate(values)
    )
    found = case(assembled(f"(module {text})"))
    assert found is not None
    run = Wardian(QUICK_MODE).run(found, [(w.name, ()) for w in found.functions])
    for value, outcome in zip(values, run.outcomes[1:], strict=True):
        assert sum(slot << 64 * i for i, slot in enumerate(outcome.values)) == value


class Wrong:
    """An engine that is wrong about what ``alter`` changes."""

    name = "wrong"

    def __init__(self, alter: str) -> None:
        self.right = Wardian(QUICK_MODE)
        self.alter = alter

    def run(self, case: Case, calls: Sequence[Call]) -> Run:
        outcomes, memories, _ = self.right.run(case, calls)
        if self.alter == "value":
            outcomes = [o._replace(values=tuple(v ^ 1 for v in o.values)) for o in outcomes]
        elif self.alter == "trap":
            outcomes = [Outcome("trap", "unreachable") if o.kind == "trap" else o for o in outcomes]
        else:
            memories = [m[:-1] + bytes([m[-1] ^ 1]) for m in memories]
        return Run(outcomes, memories)


@pytest.mark.parametrize("alter", ["value", "trap", "memory"])
def test_a_wrong_engine_is_noticed(alter: str) -> None:
    text = """(module (memory (export "m") 1) (func (export "f") (param i32 i32) (result i32)
      (i32.div_u (local.get 0) (i32.and (local.get 1) (i32.const 1)))))"""
    found = case(assembled(text))
    assert found is not None
    made = Made(found, rounds_of(found, random.Random(1)), False, "test")
    assert [d.engine for d in Judge([Wrong(alter)]).judge(made)] == ["wrong"]


def test_loose_comparison_forgives_nans_only() -> None:
    one, two = Outcome("returned", values=(0x7FC00000, 5)), Outcome("returned", values=(0xFFA00001, 5))
    assert same(one, two, ("f32", "i32"), True)
    assert not same(one, two, ("f32", "i32"), False)
    assert not same(one, two, ("i32", "i32"), True)
    assert not same(one, one._replace(values=(0x7FC00000, 6)), ("f32", "i32"), True)


def test_what_gave_up_is_a_difference_but_with_v8() -> None:
    found = case(assembled('(module (func (export "f")))'))
    assert found is not None
    made = Made(found, [[("f0", ())]], False, "test")
    one = Run([Outcome("returned"), Outcome("returned")], [])
    two = Run([Outcome("returned"), Outcome("gave up", "timeout")], [])
    assert compare(made, made.rounds[0], one, two, "wardian") is not None
    assert compare(made, made.rounds[0], one, two, "node") is None


def test_other_fuel_is_a_difference() -> None:
    found = case(assembled('(module (func (export "f")))'))
    assert found is not None
    made = Made(found, [[("f0", ())]], False, "test")
    run = Run([Outcome("returned"), Outcome("returned")], [], (5,))
    assert compare(made, made.rounds[0], run, run, "wardian") is None
    assert compare(made, made.rounds[0], run, run._replace(fuel=(6,)), "wardian") is not None
