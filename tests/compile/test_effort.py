"""What would take LLVM's optimiser minutes is told beforehand, and compiled without it; what programs have is not."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

import wardian
from tests.escape.guest import child
from wardian.compile.effort import BOUNDS, too_much
from wardian.compile.function import ModuleFacts
from wardian.compile.lowering import function_text
from wardian.compile.options import CodeOptions


def many(template: str, count: int) -> str:
    return " ".join(template.format(n, n + 1) for n in range(count))


def function(body: str, variables: int = 1) -> str:
    kinds = "i32 " * variables
    return f"""(module (memory 1) (tag $t (param i32)) (func $g (param i32) (result i32) (local.get 0))
      (func (export "f") (param i32) (result i32) (local {kinds}) {body} (local.get 0)))"""


def switch(arms: int, arm: str, end: str = "") -> str:
    return "block " * (arms + 1) + f"(br_table {many('{0}', arms + 1)} (local.get 0)) " + many(f"end {arm}", arms) + end


def crossing(arms: int) -> str:
    """A loop around a switch whose arms exchange many variables, all of them alive from turn to turn."""
    body = "".join(
        f"end (local.set {n % 500 + 1} (i32.add (local.get {n * 7 % 500 + 1}) (local.get {n * 13 % 500 + 1})))"
        f" (local.set 0 (local.get {n % 400 + 3})) (br $l) "
        for n in range(arms)
    )
    table = f"(br_table {many('{0}', arms + 1)} (local.get 0)) "
    return function("loop $l " + "block " * (arms + 1) + table + body + "end end", 505)


BOMBS: Final = MappingProxyType(
    {
        "blocks": lambda: function(
            "local.get 0 if (result i32) " * 15_000 + "i32.const 1 " + "else i32.const 6 end " * 15_000 + "local.set 0"
        ),
        "ways into one block": lambda: function(
            switch(15_000, "(return (i32.mul (local.get 0) (i32.const {0})))", "end (local.set 0 (i32.const -1))")
        ),
        "blocks by variables": lambda: function(
            "loop "
            + many("(if (local.get {0}) (then (local.set {1} (i32.add (local.get 0) (local.get {1})))))", 6000)
            + " (br_if 0 (local.get 0)) end",
            6001,
        ),
        "ways into one block by variables": lambda: crossing(2000),
        "accesses to memory in one block": lambda: function(
            many("(local.set 0 (i32.add (local.get 0) (i32.load (i32.add (local.get 0) (i32.const {0})))))", 17_000)
        ),
    }
)
"""Functions with too much of one thing each, though their bodies are not too large to be looked at."""


def text_of(source: str | bytes, index: int = -1) -> str:
    module = wardian.Module(source, wardian.Engine(wardian.Config(opt="O2", cache=False, lazy=True)))
    ctx = module._ctx
    facts = ModuleFacts(ctx.module, CodeOptions("O2", "guard"), {})
    return function_text(facts, ctx, index % len(ctx.module.bodies), "")


@pytest.mark.thorough
@pytest.mark.parametrize("name", BOUNDS)
def test_a_bomb_is_told(name: str) -> None:
    found = too_much(text_of(BOMBS[name]()))
    assert found is not None and found.startswith(f"{name}: ")


def test_an_ordinary_large_function_is_optimised() -> None:
    plain = function(many("(local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const {0})) (i32.const {1})))", 15_000))
    assert too_much(text_of(plain)) is None
    assert too_much(text_of(function(switch(250, "(local.set 0 (i32.load (local.get 0)))", "end"), 30))) is None


@pytest.mark.slow
def test_no_function_of_a_program_is_too_much(data: Path) -> None:
    for name in ("python-3.12.0", "php-cgi-8.2.0", "sqlite"):
        source = (data / "guests" / f"{name}.wasm").read_bytes()
        module = wardian.Module(source, wardian.Engine(wardian.Config(opt="O2", cache=False, lazy=True)))
        ctx = module._ctx
        facts = ModuleFacts(ctx.module, CodeOptions("O2", "guard"), {})
        sizes = {index: end - start for index, (start, end) in enumerate(ctx.module.bodies)}
        large = [index for index, size in sizes.items() if 16 << 10 <= size < 256 << 10]
        assert [index for index in large if too_much(function_text(facts, ctx, index, ""))] == []


def compile_all(name: str, opt: str) -> None:
    """In a process of its own, whose memory and processor time are bounded well below what it took before."""
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    module = wardian.Module(BOMBS[name](), wardian.Engine(wardian.Config(opt=opt, cache=False)))  # type: ignore[arg-type]
    module.compile()
    way_out = -1 if name == "ways into one block by variables" else 0
    assert isinstance(module.instantiate().exports.f(way_out), int)
    # Not getrusage's, which begins with what the process had that started this one.
    most = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    assert int(most.split()[1]) < 400 << 10, most


@pytest.mark.slow
@pytest.mark.parametrize("opt", ["O2", "baseline", "auto"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_compiled_in_bounded_time_and_memory(name: str, opt: str) -> None:
    act: Callable[[str, str], None] = compile_all
    child(act, name, opt, timeout=600)
