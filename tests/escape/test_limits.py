"""Border of size: modules at, and one beyond, what an implementation must bear: the right result, or a refusal by name.

Nothing here is timed, but each runs in a process of its own that must come to an end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import child, traps
from tests.support import MODES, Mode


def exports(text: str, mode: Mode) -> Any:
    config = mode.config(cache=False)
    return wardian.Module(text, wardian.Engine(config)).instantiate().exports


def refused(text: str, mode: Mode, limit: str) -> None:
    with pytest.raises(wardian.LimitExceeded) as caught:
        exports(text, mode)
    assert caught.value.limit == limit


def many(template: str, count: int, start: int = 0) -> str:
    return " ".join(template.format(n, n + 1) for n in range(start, start + count))


def local_variables(mode: Mode) -> None:
    """wasmtime.md 2.4 A 12, as are the next ones."""

    def text(count: int) -> str:
        sets = many("(local.set {1} (i32.add (local.get {0}) (i32.const 1)))", count)
        kinds = " ".join(("i32",) * count)
        return f'(module (func (export "f") (param i32) (result i32) (local {kinds}) {sets} (local.get {count})))'

    if mode.spectre == "full":
        # Hardening of loads takes LLVM too long, and so many are not for the baseline tier.
        with pytest.raises(wardian.LimitExceeded, match="too much for LLVM"):
            exports(text(49_999), mode).f(5)
    else:
        assert exports(text(49_999), mode).f(5) == 50_004
    assert exports(text(1_000), mode).f(-1) == 999
    refused(text(50_001), mode, "locals")


def nesting(mode: Mode) -> None:
    def text(op: str, count: int, end: str = "end ") -> str:
        body = f"{op} (result i32) " * count + "i32.const 5 " + end * count
        return f'(module (func (export "f") (param i32) (result i32) {body}))'

    for op in ("block", "loop", "try_table"):
        assert exports(text(op, 49_999), mode).f(0) == 5
    refused(text("block", 50_001), mode, "nesting")
    # One branch inside the other is hard work for LLVM's passes.
    depth = 10_000 if mode.opt == "O0" else 1_000
    assert exports(text("local.get 0 if", depth, "else i32.const 6 end "), mode).f(1) == 5
    calls = "(call $h " * 4_000 + "(local.get 0)" + ")" * 4_000
    called = "(func $h (param i32) (result i32) (i32.add (local.get 0) (i32.const 2)))"
    text_of_calls = f'(module (func (export "f") (param i32) (result i32) {calls}) {called})'
    assert exports(text_of_calls, mode).f(3) == 8_003


def parameters_and_results(mode: Mode) -> None:
    def text(params: int, results: int) -> str:
        takes, gives = " ".join(("i64",) * params), " ".join(("i64",) * results)
        values = many("(local.get {0})", results)
        call = f"(call $f {many('(local.get {0})', params)})"
        head = f"(param {takes}) (result {gives})"
        return f'(module (func $f (export "f") {head} {values}) (func (export "g") {head} {call}))'

    for params, results in ((1000, 1000), (1000, 1), (17, 16), (1, 1)):
        made = exports(text(params, results), mode)
        args = tuple(range(-5, params - 5))
        wanted = args[:results] if results > 1 else args[0]
        assert made.f(*args) == made.g(*args) == wanted
    refused(text(1001, 1), mode, "parameters")
    refused(text(1001, 1001), mode, "parameters")
    refused(f"(module (type (func (result {' '.join(('i32',) * 1001)}))))", mode, "results")


def branch_tables(mode: Mode) -> None:
    """wasmtime.md 2.4 A 13: each arm of a large table leads where it should, and no index anywhere else."""
    arms = 20_000 if mode.opt == "O0" else 1_500
    body = "block " * (arms + 1) + f"(br_table {many('{0}', arms + 1)} (local.get 0)) "
    body += many("end (return (i32.mul (local.get 1) (i32.const {0})))", arms) + " end (i32.const -1)"
    f = exports(f'(module (func (export "f") (param i32 i32) (result i32) {body}))', mode).f
    for index in {*range(0, arms, 97), arms - 1}:
        assert f(index, 3) == 3 * index
    for index in (arms, arms + 1, 2 * arms, 1 << 31, (1 << 32) - 1):
        assert f(index, 3) == -1
    few = many("1 0 2", 300_000)
    text = f"""(module (func (export "f") (param i32) (result i32)
      (block (block (block (br_table {few} (local.get 0)))
        (return (i32.const 10))) (return (i32.const 20))) (i32.const 30)))"""
    f = exports(text, mode).f
    assert [f(index) for index in (0, 1, 2, 3, 899_998, 899_999, 900_000, -1)] == [20, 10, 30, 20, 10, 30, 30, 30]


def giant_functions(mode: Mode) -> None:
    """Far beyond what LLVM's optimiser could do in an hour; and one of the most bytes there may be."""
    step = "(i32.xor (i32.add (local.get 0) (i32.const {0})) (i32.const {1}))"
    text = many(f"(local.set 0 {step})", 40_000)
    value = 1
    for n in range(40_000):
        value = (value + n ^ n + 1) & 0xFFFFFFFF
    f = exports(f'(module (func (export "f") (param i32) (result i32) {text} (local.get 0)))', mode).f
    assert f(1) & 0xFFFFFFFF == value
    stores = many("(i32.store (i32.and (local.get 0) (i32.const {0})) (i32.const {0}))", 30_000)
    module = (
        f'(module (memory (export "m") 1) (func (export "f") (param i32) {stores} (drop (i32.load (local.get 0)))))'
    )
    made = exports(module, mode)
    with traps("memory_out_of_bounds"):
        made.f(-1)
    assert made.m[29_999:30_003] == (29_999).to_bytes(4, "little")
    refused(f"(module (func {'nop ' * 7_700_000}))", mode, "function_size")


def operands(mode: Mode) -> None:
    count = 100_000
    text = f'(module (func (export "f") (param i32) (result i32) {"local.get 0 " * count} {"i32.add " * (count - 1)}))'
    assert exports(text, mode).f(3) == 3 * count


def index_spaces(mode: Mode) -> None:
    """Many of everything in one module, the last of each used."""
    signature = "(func (param i32) (result i32))"
    types = f"(type (sub {signature})) " * 5 + many(f"(type $t{{0}} (sub 0 {signature}))", 20_000)
    text = f"""(module {types} {many("(global $g{0} (mut i32) (i32.const {0}))", 50_000)}
      (table $t 30000 funcref) {many("(memory $m{0} 1 2)", 100)}
      {many("(func $f{0} (type $t{0}) (i32.add (local.get 0) (i32.const {0})))", 20_000)}
      {many('(data $d{0} "{0}")', 20_000)} {many("(elem $e{0} func $f{0})", 10_000)}
      {many('(export "x{0}" (func $f{0}))', 20_000)}
      (func (export "f") (param i32) (result i32)
        (table.init $t $e9999 (i32.const 29999) (i32.const 0) (i32.const 1))
        (memory.init $m99 $d19999 (i32.const 65531) (i32.const 0) (i32.const 5))
        (global.set $g49999 (i32.add (global.get $g49999) (local.get 0)))
        (call_indirect $t (type $t9999) (global.get $g49999) (i32.const 29999))))"""
    made = exports(text, mode)
    assert made.f(1) == 50_000 + 9_999
    assert made.x19999(1) == 20_000
    assert len(made) == 20_001
    refused(f"(module {many('(memory 1)', 101)})", mode, "memories")


def types_and_objects(mode: Mode) -> None:
    fields = "(field (mut i32)) " * 10_000
    values = many("(i32.const {0})", 10_000)
    text = f"""(module (type $s (struct {fields})) (type $a (array (mut i32)))
      (func (export "struct") (result i32) (struct.get $s 9999 (struct.new $s {values})))
      (func (export "array") (result i32) (array.get $a (array.new_fixed $a 10000 {values}) (i32.const 9999))))"""
    made = exports(text, mode)
    assert made.struct() == 9_999 and made.array() == 9_999
    refused(f"(module (type (struct {fields} (field i32))))", mode, "fields")
    chain = "(type $t0 (sub (struct)))" + many("(type $t{1} (sub $t{0} (struct)))", 63)
    cast = '(func (export "f") (result i32) (ref.test (ref $t63) (struct.new $t{})))'
    assert exports(f"(module {chain} {cast.format(63)})", mode).f() == 1
    assert exports(f"(module {chain} {cast.format(62)})", mode).f() == 0
    refused(f"(module {chain} (type (sub $t63 (struct))))", mode, "subtype_depth")


def handlers(mode: Mode) -> None:
    count = 2_000
    clauses = many("(catch $e{0} {0})", count)
    text = f"""(module {many("(tag $e{0})", count)} (func (export "f") (param i32) (result i32)
      {"block " * count} (try_table {clauses} (throw $e1999)) (return (i32.const -1))
      {many("end (return (i32.const {0}))", count)}))"""
    assert exports(text, mode).f(0) == 1_999


SCENARIOS: tuple[Callable[[Mode], None], ...] = (
    local_variables, nesting, parameters_and_results, branch_tables, giant_functions, operands, index_spaces,
    types_and_objects, handlers,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_limit(mode: Mode, scenario: Callable[[Mode], None]) -> None:
    child(scenario, mode, timeout=300)


def test_a_hostile_function_is_not_optimised_unless_asked_for() -> None:
    """What ``opt="auto"`` leaves to O0: large bodies, in small modules too."""
    child(automatic, timeout=300)


def automatic() -> None:
    body = many("(local.set 0 (i32.xor (i32.add (local.get 0) (i32.const {0})) (i32.const {1})))", 20_000)
    text = f'(module (func (export "f") (param i32) (result i32) {body} (local.get 0)))'
    made = wardian.Module(text, wardian.Engine(wardian.Config(cache=False)))
    assert isinstance(made.instantiate().exports.f(1), int)
