"""Every vector and wide-arithmetic instruction against Wasmtime, bit by bit, on operands that hurt.

Relaxed instructions are compared with the core instructions that the spec's deterministic profile makes of them.
"""

from __future__ import annotations

import platform
import random
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import pytest

import wardian
from tests.compile.simd_cases import (
    DATA,
    DATA_SIZE,
    RESULTS,
    Case,
    acceptable,
    cases,
    chain,
    module_text,
    operands,
    with_constants,
)
from tests.support import MODES, Mode, assemble
from wardian.syntax.types import F64, I64, V128, ValType

wasmtime = pytest.importorskip("wasmtime", reason="the engine to compare with")

ROUNDS: Final = 24
"""Operand tuples per case."""

MACHINES: Final = {"host": None, "old": ("x86-64", "+sse4.1"), "avx2": ("haswell", "")}
"""Code for this CPU, for the least one supported, and for the middle: (LLVM's name, features)."""

QUICK: Final = (
    (Mode("O0", "guard"), "host"),
    (Mode("O2", "explicit"), "host"),
)


def _modes() -> list[object]:
    chosen = [(mode, "host") for mode in MODES]
    if platform.machine() == "x86_64":
        chosen += [(Mode(opt, "explicit"), name) for name in ("old", "avx2") for opt in ("O0", "O2")]
    return [
        pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=() if case in QUICK else pytest.mark.slow)
        for case in chosen
    ]


def _size(type: ValType) -> int:
    return 16 if type is V128 else 8 if type in (I64, F64) else 4


class Theirs:
    """The module in Wasmtime; operands and results go through memory."""

    def __init__(self, selected: Sequence[Case]) -> None:
        config = wasmtime.Config()
        config.wasm_wide_arithmetic = True
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, assemble(module_text(selected, oracle=True)))
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.memory = self.exports["memory"]

    def call(self, n: int, case: Case, args: Sequence[int], data: bytes) -> tuple[list[int], bytes]:
        store, memory = self.store, self.memory
        for i, arg in enumerate(args):
            memory.write(store, arg.to_bytes(16, "little"), 16 * i)
        memory.write(store, data, DATA)
        self.exports[f"m{n}"](store)
        places = [(RESULTS + 16 * i, RESULTS + 16 * i + _size(t)) for i, t in enumerate(case.results)]
        results = [int.from_bytes(memory.read(store, *place), "little") for place in places]
        return results, bytes(memory.read(store, DATA, DATA + DATA_SIZE))


class Ours:
    """The module here; operands and results are arguments and results."""

    def __init__(self, selected: Sequence[Case], mode: Mode, machine: str) -> None:
        config = mode.config(cache=False)
        engine = wardian.Engine(config)
        chosen = MACHINES[machine]
        if chosen is not None:
            backend = engine.compiler.backend()
            backend.cpu, backend.features = chosen
        module = wardian.Module(assemble(module_text(selected, oracle=False)), engine)
        self.exports = module.instantiate().exports

    def call(self, n: int, case: Case, args: Sequence[int], data: bytes) -> tuple[list[int], bytes]:
        memory = self.exports["memory"]
        memory.write(DATA, data)
        got: Any = self.exports[f"f{n}"](*args)
        values = got if len(case.results) > 1 else [got] if case.results else []
        return [self._bits(v, t) for v, t in zip(values, case.results, strict=True)], memory.read(DATA, DATA_SIZE)

    @staticmethod
    def _bits(value: Any, type: ValType) -> int:
        return int.from_bytes(value, "little") if type is V128 else value & ((1 << 8 * _size(type)) - 1)


def compare(selected: tuple[Case, ...], mode: Mode, machine: str, rounds: int, seed: int) -> list[str]:
    """Run every case on the same operands in both engines; what differs."""
    rng = random.Random(seed)
    theirs, ours = Theirs(selected), Ours(selected, mode, machine)
    found = []
    for n, case in enumerate(selected):
        for _ in range(rounds):
            args, data = operands(rng, case), rng.randbytes(DATA_SIZE)
            expected, left = theirs.call(n, case, args, data)
            actual, kept = ours.call(n, case, args, data)
            pairs = zip(expected, actual, case.results, strict=True)
            if left != kept or not all(acceptable(case, args, *pair) for pair in pairs):
                shown = [[f"{v:032x}" for v in values] for values in (args, expected, actual)]
                found.append(f"{case}: {shown[0]} gives {shown[2]}, not {shown[1]}; memory equal: {left == kept}")
                break
    return found


@pytest.mark.thorough
@pytest.mark.parametrize(("mode", "machine"), _modes())
def test_every_instruction(mode: Mode, machine: str) -> None:
    found = compare(cases(), mode, machine, ROUNDS, 1)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:20])


@cache
def _constant_cases(floats: bool) -> tuple[Case, ...]:
    rng = random.Random(5)
    chosen = (case for case in cases() if bool(case.nan) == floats and not case.memory)
    return tuple(made for case in chosen for made in with_constants(case, rng))


@pytest.mark.thorough
@pytest.mark.parametrize(("mode", "machine"), _modes())
def test_float_arithmetic_with_constants(mode: Mode, machine: str) -> None:
    """LLVM folds arithmetic with neutral constants, and of an operand with itself."""
    found = compare(_constant_cases(True), mode, machine, ROUNDS, 2)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:20])


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "machine"), _modes())
def test_everything_else_with_constants(mode: Mode, machine: str) -> None:
    found = compare(_constant_cases(False), mode, machine, 8, 3)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:20])


@pytest.mark.parametrize(("mode", "machine"), _modes())
def test_chains(mode: Mode, machine: str) -> None:
    """LLVM combines what follows on each other."""
    rng = random.Random(7)
    found = compare(tuple(chain(rng, 14) for _ in range(60)), mode, machine, 8, 4)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:20])
