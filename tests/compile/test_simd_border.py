"""A v128 between Python and guests, and through control flow, calls and globals: 16 bytes wherever it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.support import Mode, assemble, mode_params

TEXT = """(module
  (type $many (func (param v128 v128 v128 v128 v128 v128 v128 v128 v128 i32) (result v128)))
  (import "host" "one" (func $one (param v128 i32) (result v128)))
  (import "host" "three" (func $three (param v128) (result v128 v128 i32)))
  (import "host" "constant" (global $imported v128))
  (import "host" "variable" (global $variable (mut v128)))
  (global $g (export "g") (mut v128) (v128.const i64x2 1 2))
  (global $copy (export "copy") v128 (global.get $imported))
  (table funcref (elem $shuffle))
  (memory 1)
  (func (export "id") (param v128) (result v128) local.get 0)
  (func (export "default") (result v128) (local v128) local.get 0)
  (func (export "two") (param v128 v128) (result v128 v128) local.get 1 local.get 0)
  (func (export "mixed") (param v128 i32 f64 v128) (result v128 i32 f64 v128)
    local.get 3 local.get 1 local.get 2 local.get 0)
  (func (export "one") (param v128 i32) (result v128) local.get 0 local.get 1 call $one)
  (func (export "three") (param v128) (result v128 v128 i32) local.get 0 call $three)
  (func (export "exchange") (param v128) (result v128) global.get $g local.get 0 global.set $g)
  (func (export "variable") (param v128) (result v128) global.get $variable local.get 0 global.set $variable)
  (func $shuffle (export "many") (type $many)
    local.get 9 i32.eqz if (result v128) local.get 0 local.get 8 i8x16.sub
    else local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7 local.get 8 local.get 0
      local.get 9 i32.const 1 i32.sub return_call $shuffle end)
  (func (export "indirect") (type $many)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7 local.get 8
    local.get 9 i32.const 0 call_indirect (type $many))
  (func (export "choose") (param v128 v128 i32) (result v128) local.get 0 local.get 1 local.get 2 select)
  (func (export "loop") (param v128 i32) (result v128)
    local.get 0
    loop $again (param v128) (result v128)
      local.get 0 i32x4.add
      local.get 1 i32.const 1 i32.sub local.tee 1 br_if $again
    end)
  (func (export "table") (param v128 v128 i32) (result v128)
    block $b (result v128) block $a (result v128)
      local.get 0 local.get 2 br_table $a $b $a end
    local.get 1 i32x4.add end)
  (func (export "trap") (param v128) (result v128) local.get 0 i32.const 65530 v128.load drop))"""


def word(value: int) -> bytes:
    return value.to_bytes(16, "little")


def _host() -> tuple[dict[str, dict[str, object]], list[tuple[object, ...]]]:
    seen: list[tuple[object, ...]] = []

    def one(vector: bytes, number: int) -> object:
        seen.append((vector, number))
        return int.from_bytes(vector, "little") + number

    def three(vector: bytes) -> object:
        return bytearray(vector), 5, 6

    constant = wardian.Global("v128", 7 << 90)
    variable = wardian.Global("v128", b"\xff" * 16, mutable=True)
    return {"host": {"one": one, "three": three, "constant": constant, "variable": variable}}, seen


@pytest.fixture(params=mode_params(), scope="module")
def module(request: pytest.FixtureRequest) -> wardian.Module:
    mode: Mode = request.param
    engine = wardian.Engine(mode.config(cache=False))
    return wardian.Module(assemble(TEXT), engine)


@pytest.fixture
def guest(module: wardian.Module) -> Any:
    return module.instantiate(_host()[0]).exports


@pytest.mark.parametrize("value", [0, 1, 1 << 127, (1 << 128) - 1, 0x0F0E0D0C0B0A09080706050403020100])
def test_integers_and_bytes_are_the_same_vector(guest: Any, value: int) -> None:
    for given in (value, word(value), bytearray(word(value)), memoryview(word(value))):
        assert guest.id(given) == word(value)
        assert type(guest.id(given)) is bytes


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (-1, OverflowError),
        (1 << 128, OverflowError),
        pytest.param(1 << 20000, OverflowError, id="huge"),
        (b"", ValueError),
        (b"x" * 15, ValueError),
        (bytearray(17), ValueError),
        ("x" * 16, TypeError),
        (None, TypeError),
        (1.0, TypeError),
        ([0] * 16, TypeError),
    ],
)
def test_what_is_no_vector(guest: Any, bad: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"id\(\) argument 1"):
        guest.id(bad)
    with pytest.raises(error):
        guest.g.value = bad
    with pytest.raises(error):
        wardian.Global("v128", bad)
    assert guest.g.value == word(1 | 2 << 64)


def test_several_results(guest: Any) -> None:
    assert guest.default() == bytes(16)
    assert guest.two(1, 2) == (word(2), word(1))
    assert guest.mixed(1, -2, 2.5, 1 << 100) == (word(1 << 100), -2, 2.5, word(1))


def test_host_functions(module: wardian.Module) -> None:
    imports, seen = _host()
    guest = module.instantiate(imports).exports
    assert guest.one(1 << 100, 7) == word((1 << 100) + 7)
    assert seen == [(word(1 << 100), 7)]
    assert guest.three(9) == (word(9), word(5), 6)


@pytest.mark.parametrize("answer", [-1, "no", None, b"short", 1 << 128])
def test_a_host_function_that_returns_no_vector(module: wardian.Module, answer: object) -> None:
    imports, _ = _host()
    imports["host"]["one"] = lambda vector, number: answer
    guest = module.instantiate(imports).exports
    with pytest.raises((TypeError, ValueError, OverflowError), match="result 1"):
        guest.one(0, 0)


def test_globals(module: wardian.Module) -> None:
    imports, _ = _host()
    guest = module.instantiate(imports).exports
    variable = imports["host"]["variable"]
    assert isinstance(variable, wardian.Global)
    assert guest.g.value == word(1 | 2 << 64)
    assert guest.copy.value == word(7 << 90)
    assert guest.exchange(3 << 100) == word(1 | 2 << 64)
    assert guest.g.value == word(3 << 100)
    guest.g.value = b"0123456789abcdef"
    assert guest.exchange(0) == b"0123456789abcdef"
    assert guest.variable(5) == b"\xff" * 16
    assert variable.value == word(5)


def test_more_vectors_than_registers(guest: Any) -> None:
    vectors = [word(i + 1) for i in range(9)]
    for count in (0, 1, 5, 9, 1000):
        turned = vectors[count % 9 :] + vectors[: count % 9]
        expected = bytes((a - b) % 256 for a, b in zip(turned[0], turned[8], strict=True))
        assert guest.many(*vectors, count) == expected
        assert guest.indirect(*vectors, count) == expected


def test_control_flow(guest: Any) -> None:
    assert (guest.choose(1, 2, 1), guest.choose(1, 2, 0)) == (word(1), word(2))
    assert guest.loop(3, 10) == word(33)
    assert [guest.table(1, 2, i) for i in (0, 1, 2, 3)] == [word(3), word(1), word(3), word(3)]


def test_a_trap_leaves_nothing_behind(guest: Any) -> None:
    for _ in range(3):
        with pytest.raises(wardian.Trap, match="out of bounds"):
            guest.trap(1)
        assert guest.id(1) == word(1)


def test_references_are_counted(module: wardian.Module) -> None:
    kept = b"sixteen bytes..."
    held: list[bytes] = []

    def one(vector: bytes, number: int) -> bytes:
        held.append(vector)
        return kept

    imports, _ = _host()
    imports["host"]["one"] = one
    guest = module.instantiate(imports).exports
    before = sys.getrefcount(kept)
    for _ in range(100):
        result = guest.one(kept, 1)
        assert guest.id(kept) == kept == result
    assert sys.getrefcount(kept) == before
    references = sys.getrefcount(held[0])
    assert references == 2
    failing: list[Callable[[], object]] = [
        lambda: guest.id(kept, 1),
        lambda: guest.id("x"),
        lambda: guest.one(kept, "x"),
    ]
    for call in failing:
        with pytest.raises(TypeError):
            call()
    assert sys.getrefcount(kept) == before
