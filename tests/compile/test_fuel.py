"""Fuel: what is paid follows from the module and what it computes alone; in every mode alike, and to the unit."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import wardian
from tests.support import MODES, ROOT, Mode, share_glue
from wardian import Config, Engine, Limits
from wardian.compile import fuel
from wardian.compile.tank import WORK_SHIFT
from wardian.pages import renewed
from wardian.syntax.instructions import BY_NAME

QUICK = tuple(Mode(opt, checks) for opt, checks in (("baseline", "guard"), ("O2", "guard"), ("O2", "explicit")))
ALL = (*QUICK, Mode("auto", "guard"), Mode("auto", "explicit"), *(mode for mode in MODES if mode not in QUICK))
EACH = [pytest.param(m, id=str(m), marks=() if m in ALL[: len(QUICK) + 1] else pytest.mark.slow) for m in ALL]
TEXT = """(module
  (import "host" "look" (func $look (param i32)))
  (memory (export "memory") 1)
  (table $t 10 funcref)
  (data $d "0123456789")
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                     (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func (export "count") (param $at i32) (param $end i32) (loop $l
    (i32.store (local.get $at) (local.get $at))
    (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end)))))
  (func (export "zigzag") (param $at i32) (param $by i32) (loop $l
    (i32.store (local.get $at) (local.get $by))
    (if (i32.and (local.get $by) (i32.const 1))
      (then (local.set $by (i32.add (i32.mul (local.get $by) (i32.const 3)) (i32.const 1))))
      (else (local.set $by (i32.shr_u (local.get $by) (i32.const 1)))))
    (local.set $at (i32.add (local.get $at) (local.get $by)))
    (br_if $l (i32.ne (local.get $by) (i32.const 1)))))
  (func (export "divide") (param $n i32) (result i32) (local $sum i32) (loop $l
    (local.set $sum (i32.add (local.get $sum) (i32.div_u (i32.const 1000) (local.get $n))))
    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
    (br $l)) (local.get $sum))
  (func (export "fill") (param $size i32) (memory.fill (i32.const 0) (i32.const 7) (local.get $size)))
  (func (export "copy") (param $size i32) (memory.copy (i32.const 0) (i32.const 100) (local.get $size)))
  (func (export "init") (param $size i32) (memory.init $d (i32.const 0) (i32.const 0) (local.get $size)))
  (func (export "rows") (param $count i32) (table.fill $t (i32.const 0) (ref.null func) (local.get $count)))
  (func (export "host") (call $look (i32.const 1)) (nop) (call $look (i32.const 2)))
  (func $even (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (export "odd") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call $even (i32.sub (local.get 0) (i32.const 1))))
  (func (export "switch") (param i32) (result i32)
    (block $c (block $b (block $a (br_table $a $b $c (local.get 0))) (return (i32.const 10))) (nop))
    (i32.const 20))
  (func $step (param i32) (result i32) (i32.store (i32.const 8) (local.get 0))
    (if (i32.and (local.get 0) (i32.const 1)) (then (return (i32.add (local.get 0) (i32.const 3)))))
    (i32.shl (local.get 0) (i32.const 2)))
  (func (export "inlined") (param i32) (result i32)
    (i32.store (call $step (call $step (call $step (local.get 0)))) (i32.const 1))
    (i32.load offset=65530 (call $step (local.get 0))))
  (func (export "nothing"))
  (func (export "spin") (loop $l (br $l))))"""
PLENTY = 1 << 40


@cache
def engine(mode: Mode) -> Engine:
    config = mode.config(cache=False, tier_up=1, fuel=True)
    return share_glue(Engine(config))


class Guest:
    """An instance of :data:`TEXT`, and what its host function found."""

    def __init__(self, mode: Mode, look: Callable[[Guest, int], None] | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.engine = engine(mode)
        look = look or (lambda guest, number: guest.seen.append((number, guest.instance.fuel)))
        self.instance = wardian.Module(TEXT, self.engine).instantiate({"host": {"look": lambda n: look(self, n)}})

    def run(self, name: str, *args: int, given: int = PLENTY) -> tuple[object, int]:
        """How a call ended, and what it spent."""
        self.instance.fuel = given
        try:
            end: object = self.instance.exports[name](*args)
        except wardian.Trap as trap:
            assert isinstance(trap, wardian.Interrupted) == (trap.code == "out_of_fuel")
            end = trap.code
        return end, given - self.instance.fuel

    def memory(self) -> bytes:
        return bytes(self.instance.exports["memory"].view())


def _of(*names: str) -> int:
    return sum(fuel.cost(BY_NAME[name]) for name in names)


def _fib(n: int) -> int:
    spent = _of("local.get", "i32.const", "i32.lt_s", "if")
    if n < 2:
        return spent + _of("local.get")
    call = _of("local.get", "i32.const", "i32.sub", "call")
    return spent + 2 * call + _of("i32.add") + _fib(n - 1) + _fib(n - 2)


CALLS: list[tuple[str, tuple[int, ...]]] = [
    ("fib", (12,)), ("count", (0, 4000)), ("count", (65000, 70000)), ("count", (65532, 65533)), ("zigzag", (0, 27)),
    ("zigzag", (60000, 97)), ("divide", (20,)), ("fill", (65536,)), ("fill", (65537,)), ("fill", (63,)),
    ("copy", (1000,)), ("init", (10,)), ("init", (11,)), ("rows", (10,)), ("rows", (11,)), ("host", ()), ("odd", (7,)),
    ("inlined", (1,)), ("inlined", (2,)), ("inlined", (4000,)), ("inlined", (40000,)),
    ("switch", (0,)), ("switch", (1,)), ("switch", (9,)), ("nothing", ()),
]  # fmt: skip


def _exact() -> dict[str, int]:
    """What some calls cost, from the rows."""
    turn = _of("local.get", "local.get", "i32.store", "local.get", "i32.const", "i32.add", "local.tee", "local.get")
    turn += _of("i32.lt_u", "br_if")
    bulk = _of("i32.const", "i32.const", "local.get", "memory.fill")
    return {
        "fib(12,)": _fib(12),
        "count(0, 4000)": 1000 * turn,
        "count(65000, 70000)": 135 * turn,
        "fill(65536,)": bulk + (65536 >> WORK_SHIFT),
        "fill(65537,)": bulk,
        "fill(63,)": bulk,
        "host()": 2 * _of("i32.const", "call"),
        "rows(10,)": _of("i32.const", "ref.null", "local.get", "table.fill") + (80 >> WORK_SHIFT),
        "switch(0,)": _of("local.get", "br_table", "i32.const", "return"),
        "switch(9,)": _of("local.get", "br_table", "i32.const"),
        "nothing()": 0,
    }


@pytest.mark.thorough
@pytest.mark.parametrize("mode", EACH)
def test_what_is_paid(mode: Mode) -> None:
    guest = Guest(mode)
    for _ in range(3 if mode.opt == "auto" else 1):
        spent = {f"{name}{args}": guest.run(name, *args)[1] for name, args in CALLS}
        assert {name: spent[name] for name in _exact()} == _exact()
        guest.engine.worker.wait()


@cache
def _everything(mode: Mode) -> list[object]:
    """Every call with every shortage up to what it needs, as far as that is not too many; and the memory after it."""
    guest = Guest(mode)
    rng = random.Random(1)
    found: list[object] = []
    for name, args in CALLS:
        need = guest.run(name, *args)[1]
        tries = range(need + 1) if need < 60 else sorted(rng.sample(range(need), 25))
        for given in tries:
            found.append((name, args, given, guest.run(name, *args, given=given), hash(guest.memory())))
        found.append(tuple(guest.seen))
        guest.seen.clear()
    return found


@pytest.mark.parametrize("mode", EACH[1:])
def test_who_runs_short_stops_at_the_same_place(mode: Mode) -> None:
    for mine, measure in zip(_everything(mode), _everything(ALL[0]), strict=True):
        assert mine == measure


@pytest.mark.parametrize("mode", EACH)
def test_a_loop_ends(mode: Mode) -> None:
    guest = Guest(mode)
    assert guest.run("spin", given=1_000_000) == ("out_of_fuel", 1_000_000)
    assert guest.instance.fuel == 0
    assert guest.run("nothing", given=0) == (None, 0)


@pytest.mark.parametrize("mode", EACH)
def test_a_host_function_may_take_and_give(mode: Mode) -> None:
    def look(guest: Guest, number: int) -> None:
        guest.instance.fuel = guest.instance.fuel + 1000 if number == 1 else 3

    guest = Guest(mode, look)
    for _ in range(2):
        guest.instance.fuel = 12
        guest.instance.exports["host"]()
        assert guest.instance.fuel == 3
        guest.engine.worker.wait()


def test_objects_are_paid_for() -> None:
    text = """(module (type $a (array (mut i64)))
      (func (export "new") (param i32) (drop (array.new $a (i64.const 1) (local.get 0))))
      (func (export "plain") (param i32) (drop (array.new_default $a (local.get 0)))))"""
    spent = []
    for mode in QUICK:
        instance = wardian.Module(text, engine(mode)).instantiate(limits=Limits(fuel=PLENTY))
        for name, size in (("new", 0), ("new", 8000), ("plain", 8000)):
            before = instance.fuel
            instance.exports[name](size)
            spent.append(before - instance.fuel)
        with pytest.raises(wardian.Interrupted, match="out of fuel"):
            instance.fuel = 1000
            instance.exports["plain"](1 << 27)
    assert len(set(spent[0::3])) == len(set(spent[1::3])) == len(set(spent[2::3])) == 1
    assert spent[1] - spent[0] == 2 * (64000 >> WORK_SHIFT)


def test_every_row_costs_something_or_is_structure() -> None:
    names = {name for name, row in BY_NAME.items() if fuel.cost(row) == 0}
    assert names == {"nop", "block", "loop", "try_table", "else", "end", "drop"}
    # Whoever goes round or deeper pays, so nobody runs for ever.
    for name in ("br", "br_if", "br_table", "call", "call_indirect", "call_ref", "return_call", "br_on_null"):
        assert fuel.cost(BY_NAME[name]) > 0


def test_limits_and_instances() -> None:
    made = wardian.Module(TEXT, engine(ALL[0]))
    imports: dict[str, dict[str, Any]] = {"host": {"look": lambda n: None}}
    first = made.instantiate(imports, limits=Limits(fuel=500))
    assert first.fuel == 500
    with pytest.raises(ValueError, match="at least 0"):
        first.fuel = -1
    with pytest.raises(ValueError, match="at least 0"):
        first.fuel = 1 << 63
    second = made.instantiate(imports, limits=Limits(fuel=900), beside=first)
    second.fuel = 70
    assert first.fuel == 70
    third = wardian.Module('(module (import "m" "odd" (func (param i32) (result i32))))', engine(ALL[0]))
    assert third.instantiate({"m": {"odd": first.exports["odd"]}}, limits=Limits(fuel=3)).fuel == 70
    with made.prepare(imports, limits=Limits(fuel=600)).pool(1) as pool:
        for _ in range(3):
            with pool.instance() as lent:
                assert lent.fuel == 600
                lent.exports["fib"](3)
                assert lent.fuel == 600 - _fib(3)


def test_whoever_does_not_count_says_so() -> None:
    module = wardian.Module("(module)", Engine(Config(cache=False)))
    with pytest.raises(wardian.Refused, match=r"Config\(fuel=True\)"):
        module.instantiate().fuel
    with pytest.raises(ValueError, match="bounds nothing"):
        module.instantiate(limits=Limits(fuel=5))
    with pytest.raises(ValueError, match="bounds nothing"):
        module.prepare(limits=Limits(fuel=5))
    with pytest.raises(ValueError, match="bounds nothing"):
        Config(limits=Limits(fuel=5))
    with pytest.raises(ValueError, match="needs an engine"):
        wardian.run(module, fuel=5)
    with pytest.raises(ValueError, match="fuel must be"):
        wardian.run(b"\0asm\1\0\0\0", fuel=-5, engine=engine(ALL[0]))


@pytest.mark.parametrize("isolation", [None, "process"])
def test_run(isolation: Any) -> None:
    text = '(module (func (export "_start") (loop $l (br $l))))'
    done = wardian.run(text.encode(), fuel=1000, isolation=isolation, engine=engine(ALL[0]))
    assert done.status == "out_of_fuel"
    assert done.returncode == 134
    assert done.usage.fuel == 1000
    assert isinstance(done.trap, wardian.Interrupted)
    text = '(module (func (export "_start") (drop (i32.const 1))))'
    done = wardian.run(text.encode(), isolation=isolation, engine=engine(ALL[0]))
    assert done.status == "exited"
    assert done.usage.fuel == 1


@pytest.mark.slow
def test_modes_agree_on_a_fixed_seed() -> None:
    pytest.importorskip("wasmtime")
    command = [sys.executable, "-m", "tests.fuzz.differential", "--fuel", "--seed", "20260102", "--cases", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_is_up_to_date() -> None:
    text = (ROOT / "docs" / "fuel.md").read_text("utf-8")
    assert renewed(text, fuel.tables()) == text, "run: python -m wardian.compile.fuel docs/fuel.md"
