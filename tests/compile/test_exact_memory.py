"""Memory after a trap is what it was at the access that trapped: every store before it is there, none after it.

Loops are where this is hard, for the optimising tier runs copies of them that were shown not to trap (see
:mod:`wardian.compile.versions`): so loops of many shapes, with bounds that lie inside and outside the memory, count up
and down, wrap, skip and never end, run in every mode and must leave the same bytes.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

import wardian
from tests.support import MODES, Mode, level_params
from wardian.binary.decode import decode
from wardian.compile.loops import Step, plans
from wardian.limits import Features, Limits
from wardian.text.parse import assemble
from wardian.valid.driver import validate_body
from wardian.valid.module import validate_module

PAGE = 65536
OUT = "memory_out_of_bounds"


def _engine(mode: Mode) -> wardian.Engine:
    return wardian.Engine(mode.config(cache=False))


def _outcome(function: Any, *args: int) -> object:
    try:
        return function(*args)
    except wardian.Trap as trap:
        return trap.code


def _reset(instance: wardian.Instance) -> Any:
    memory: Any = instance.exports.memory
    memory[0:PAGE] = bytes(i * 7 & 0xFF for i in range(256)) * (PAGE // 256)
    return memory


def _first_difference(x: bytes, y: bytes | bytearray) -> int | None:
    return None if x == y else next(i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b)


WRITTEN_OUT = """(module (memory (export "memory") 1) (global $g (export "g") (mut i32) (i32.const 0))
  (func (export "fill") (param $p i32) (param $n i32) (loop $l
    (i32.store (local.get $p) (i32.const -1))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "pair") (param $p i32) (param $q i32) (param $end i32) (loop $l
    (i32.store8 (local.get $p) (i32.const 1))
    (i32.store8 (local.get $q) (i32.const 2))
    (i32.store8 offset=1 (local.get $p) (i32.const 3))
    (local.set $q (i32.add (local.get $q) (i32.const 1)))
    (br_if $l (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 2))) (local.get $end)))))
  (func (export "around") (param $p i32) (param $n i32) (param $after i32) (local $i i32)
    (i32.store8 (i32.const 5) (i32.const 50))
    (block $out (loop $l
      (br_if $out (i32.ge_s (local.get $i) (local.get $n)))
      (i32.store8 (i32.add (local.get $p) (local.get $i)) (i32.const 9))
      (i32.store8 (i32.const 7) (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $l)))
    (global.set $g (i32.load8_u (local.get $after)))
    (i32.store8 (i32.const 6) (i32.const 60)))
  (func (export "unused") (param $p i32) (param $n i32) (loop $l
    (drop (i32.load (local.get $p)))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


@pytest.mark.parametrize("mode", level_params())
def test_written_out(mode: Mode) -> None:
    instance = wardian.Module(WRITTEN_OUT, _engine(mode)).instantiate()
    exports: Any = instance.exports

    memory = _reset(instance)
    before = bytes(memory[0:PAGE])
    assert _outcome(exports.fill, PAGE - 42, 100) == OUT
    assert bytes(memory[0:PAGE]) == before[: PAGE - 42] + b"\xff" * 40 + before[-2:]
    assert _outcome(exports.fill, 8, 25) is None
    assert bytes(memory[0:112]) == before[:8] + b"\xff" * 100 + before[108:112]

    memory = _reset(instance)
    assert _outcome(exports.pair, 0, PAGE - 3, 1000) == OUT
    assert bytes(memory[0:9]) == b"\1\3\1\3\1\3\1" + before[7:9]
    assert bytes(memory[PAGE - 3 : PAGE]) == b"\2\2\2"

    memory = _reset(instance)
    assert _outcome(exports.around, 100, 50, PAGE) == OUT
    assert bytes(memory[0:8]) == before[:5] + b"\x32" + before[6:7] + b"\x31"
    assert bytes(memory[99:151]) == before[99:100] + b"\x09" * 50 + before[150:151]
    assert exports.g.value == 0
    assert _outcome(exports.around, PAGE - 10, 50, 5) == OUT
    assert bytes(memory[0:8]) == before[:5] + b"\x32" + before[6:7] + b"\x09"
    assert bytes(memory[PAGE - 11 : PAGE]) == before[PAGE - 11 : PAGE - 10] + b"\x09" * 10

    assert _outcome(exports.unused, PAGE - 400, 100) is None
    assert _outcome(exports.unused, PAGE - 400, 101) == OUT


SHAPES = [
    # step, comparison, bytes stored, offset
    (4, "ne", 4, 0), (4, "lt_u", 4, 0), (4, "lt_s", 4, 8), (1, "ne", 1, 0), (1, "le_u", 1, 3), (8, "ne", 4, 4),
    (12, "le_s", 4, 0), (12, "ne", 8, 4), (-4, "ne", 4, 0), (-4, "gt_u", 4, 0), (-1, "ge_s", 1, 0), (-8, "gt_s", 8, 0),
    (-1, "ge_u", 1, 0),
]  # fmt: skip
HOLDS = {
    "ne": lambda x, y: x != y, "lt_u": lambda x, y: x < y, "le_u": lambda x, y: x <= y, "gt_u": lambda x, y: x > y,
    "ge_u": lambda x, y: x >= y,
    "lt_s": lambda x, y: _signed(x) < _signed(y), "le_s": lambda x, y: _signed(x) <= _signed(y),
    "gt_s": lambda x, y: _signed(x) > _signed(y), "ge_s": lambda x, y: _signed(x) >= _signed(y),
}  # fmt: skip


def _signed(x: int) -> int:
    return ((x + (1 << 31)) % (1 << 32)) - (1 << 31)


def _shape(step: int, compare: str, size: int, offset: int) -> str:
    """A loop LLVM vectorises if it may: a counter, and what is stored depends on nothing."""
    store = f"i64.store{'' if size == 8 else size * 8}"
    return f"""(func (export "f") (param $i i32) (param $end i32) (param $p i32) (loop $l
      ({store} offset={offset} (i32.add (local.get $i) (local.get $p)) (i64.const 0x1122334455667788))
      (br_if $l (i32.{compare} (local.tee $i (i32.add (local.get $i) (i32.const {step}))) (local.get $end)))))"""


def _expected(shape: tuple[int, str, int, int], memory: bytearray, i: int, end: int, p: int) -> str | None:
    """Do what the loop does, one store at a time."""
    step, compare, size, offset = shape
    data = (0x1122334455667788).to_bytes(8, "little")[:size]
    while True:
        at = (i + p) % (1 << 32) + offset
        if at + size > PAGE:
            return OUT
        memory[at : at + size] = data
        i = (i + step) % (1 << 32)
        if not HOLDS[compare](i, end):
            return None


def _edges(shape: tuple[int, str, int, int]) -> list[tuple[int, int, int]]:
    """Bounds with which the last store lies around the edge it moves to, or the loop never meets its end."""
    step, _, size, offset = shape
    found = []
    for turns in (1, 37, 64):
        for beyond in range(-size - 4, size + 5):
            edge = PAGE - size - offset if step > 0 else 0
            last = edge + beyond
            start = last - step * (turns - 1)
            for off in (0, 1):
                found.append((start, start + step * turns + off, 0))
            found.append((start + 5, start + step * turns + 5, -5))
    for close in range(0, 20, 3):
        # Near the counters' own edges: what is compared wraps, the address does not.
        for top in (1 << 32, 1 << 31):
            start, end = (top - 40, top - close) if step > 0 else (top % (1 << 32) + 40, top % (1 << 32) + close)
            found.append((start, end, 2048 - start))
    return [(i % (1 << 32), end % (1 << 32), p % (1 << 32)) for i, end, p in found]


@pytest.mark.parametrize("mode", level_params())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_at_the_edges(shape: tuple[int, str, int, int], mode: Mode) -> None:
    text = f'(module (memory (export "memory") 1) {_shape(*shape)})'
    instance = wardian.Module(text, _engine(mode)).instantiate()
    exports: Any = instance.exports
    for arguments in _edges(shape):
        memory = _reset(instance)
        model = bytearray(memory[0:PAGE])
        outcome = _expected(shape, model, *arguments)
        assert _outcome(exports.f, *map(_signed, arguments)) == outcome, arguments
        assert _first_difference(memory[0:PAGE], model) is None, arguments


STEPS = (1, 1, 1, 4, 4, 8, 2, 12, 3, -1, -1, -4, -8, -3)
COMPARES = ("ne", "lt_u", "lt_s", "le_u", "le_s", "gt_u", "gt_s", "ge_u", "ge_s")
SIZES = ((1, "store8", "load8_u"), (2, "store16", "load16_s"), (4, "store", "load"))


def _address(rng: random.Random, moving: bool) -> str:
    """An index made of the counter ``$i`` and the parameters."""
    base = rng.choice(["(local.get $i)", f"(i32.mul (local.get $i) (i32.const {rng.choice((1, 2, -1, 4))}))"])
    if not moving and rng.random() < 0.4:
        base = rng.choice(["(local.get $q)", "(i32.and (local.get $x) (i32.const 255))"])
    if rng.random() < 0.6:
        base = f"(i32.add {base} (local.get {rng.choice(('$p', '$q'))}))"
    if rng.random() < 0.3:
        base = f"(i32.{rng.choice(('add', 'sub'))} {base} (i32.const {rng.choice((1, 4, 16, 300))}))"
    return base


def _access(rng: random.Random, moving: bool, at: int) -> str:
    _, store, load = rng.choice(SIZES)
    offset = rng.choice((0, 0, 0, 1, 8, 40))
    address = _address(rng, moving)
    if moving or rng.random() < 0.6:
        value = rng.choice(["(local.get $x)", f"(i32.const {at + 17})", "(local.get $i)"])
        return f"(i32.{store} offset={offset} {address} {value})"
    value = f"(i32.{load} offset={offset} {address})"
    return rng.choice([f"(local.set $x (i32.add (local.get $x) {value}))", f"(drop {value})"])


def _function(rng: random.Random, name: str) -> str:
    """A loop that leaves the memory some time, whatever its parameters, because something that is stored to moves."""
    step, compare = rng.choice(STEPS), rng.choice(COMPARES)
    accesses = [_access(rng, at == 0, at) for at in range(rng.randint(1, 4))]
    rng.shuffle(accesses)
    if rng.random() < 0.25:
        sometimes = f"(if (i32.and (local.get $i) (i32.const 4)) (then {accesses[0]}))"
        accesses[0] = sometimes + accesses[0].replace("$x", "$p")
    update = f"(local.set $i (i32.add (local.get $i) (i32.const {step})))"
    again = f"(i32.{compare} (local.get $i) (local.get $end))"
    shape = rng.randrange(3)
    if shape == 0:
        body = f"(loop $l {' '.join(accesses)} {update} (br_if $l {again}))"
    elif shape == 1:
        body = f"(block $out (loop $l (br_if $out (i32.eqz {again})) {' '.join(accesses)} {update} (br $l)))"
    else:
        early = "(br_if $out (i32.eq (local.get $x) (i32.const 123)))"
        body = f"(block $out (loop $l {update} {' '.join(accesses)} {early} (br_if $l {again})))"
    return (
        f'(func (export "{name}") (param $i i32) (param $end i32) (param $p i32) (param $q i32) (result i32)'
        f" (local $x i32) {body} (i32.store8 (i32.const 3) (i32.const 33)) (local.get $x))"
    )


def _module(seed: int, count: int) -> str:
    rng = random.Random(seed)
    functions = "".join(_function(rng, f"f{i}") for i in range(count))
    return f'(module (memory (export "memory") 1) {functions})'


NEAR = (0, 1, 4, 8, 100, 160, PAGE // 4, PAGE - 200, PAGE - 8, PAGE - 1, PAGE, -1, -8, -400, 1 << 31, (1 << 31) - 8)


def _arguments(rng: random.Random) -> tuple[int, ...]:
    start = rng.choice(NEAR)
    end = rng.choice((*NEAR, start + 12, start + 24, start - 24, start + 240, start - 240, start + 2400))
    p, q = (rng.choice((0, 0, 0, *NEAR)) for _ in range(2))
    return tuple(map(_signed, (start, end, p, q)))


FUNCTIONS, CALLS = 12, 16


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < 4 else pytest.mark.slow) for s in range(60)])
def test_at_random(seed: int) -> None:
    text = _module(seed, FUNCTIONS)
    instances = {mode: wardian.Module(text, _engine(mode)).instantiate() for mode in MODES}
    rng = random.Random(~seed)
    for index in range(FUNCTIONS):
        for _ in range(CALLS):
            arguments = _arguments(rng)
            found = {}
            for mode, instance in instances.items():
                memory = _reset(instance)
                outcome = _outcome(getattr(instance.exports, f"f{index}"), *arguments)
                found[mode] = outcome, bytes(memory[0:PAGE])
            first = found[MODES[0]]
            for mode, got in found.items():
                assert got[0] == first[0], (mode, index, arguments)
                assert _first_difference(got[1], first[1]) is None, (mode, index, arguments)


class _Record:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(self, *step: Any) -> None:
        self.steps.append(step)


def _planned(text: str) -> int:
    """Loops in all functions for which there is a plan."""
    module = decode(assemble(text, Features(), Limits()), Features(), Limits())
    ctx = validate_module(module, Features(), Limits())
    total = 0
    for index in range(len(module.bodies)):
        record = _Record()
        validate_body(ctx, index, record)
        total += len(plans(record.steps))
    return total


def test_loops_that_count_are_recognised() -> None:
    assert _planned(WRITTEN_OUT) == 4
    assert _planned(_module(1, 40)) > 10


@pytest.mark.parametrize(
    "body",
    [
        "(loop $l (i32.store (i32.load (local.get 0)) (i32.const 1)) (br_if $l (i32.const 1)))",
        "(loop $l (local.set 0 (i32.load (local.get 0))) (br_if $l (local.get 0)))",
        "(loop $l (i32.store (local.get 0) (i32.const 1)) (local.set 0 (i32.mul (local.get 0) (i32.const 3)))"
        " (br_if $l (i32.lt_u (local.get 0) (local.get 1))))",
        "(loop $l (i32.store (local.get 0) (i32.const 1)) (call 0 (local.get 0) (local.get 1))"
        " (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 4))) (local.get 1))))",
        "(loop $l (i32.store (local.get 0) (i32.const 1)) (if (local.get 1) (then (local.set 0 (i32.const 4))))"
        " (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 4))) (local.get 1))))",
        "(loop $l (i32.store (local.get 0) (i32.const 1)) (drop (memory.grow (i32.const 1)))"
        " (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 4))) (local.get 1))))",
    ],
    ids=["addresses from memory", "a list", "multiplied", "a call", "set in between", "grows"],
)
def test_others_are_left_alone(body: str) -> None:
    assert _planned(f"(module (memory 1) (func (param i32 i32) {body}))") == 0
