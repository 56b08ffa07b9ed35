"""One row per limit: a guest that runs into it, in this process and in one of its own.

It ends the same way in both, and what is said names the limit and how to raise it."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

import wardian
from tests.isolation.guests import ANY, SPIN, layers
from tests.support import GLUE, ROOT
from wardian.cli.options import LIMIT_KEYS, parse_wasm_options
from wardian.limits import BOUNDS, Limits
from wardian.pages import renewed
from wardian.runtime.watchdog import watchdog
from wardian.sandbox.document import tables

P1 = "wasi_snapshot_preview1"
GROW = '(module (memory 1) (func (export "f") (result i32) (memory.grow (i32.const 1))))'
TABLE = '(module (table 1 funcref) (func (export "f") (result i32) (table.grow (ref.null func) (i32.const 10))))'
BOXES = """(module (type $box (struct (field (ref null $box)) (field i64)))
  (func (export "f") (local $last (ref null $box))
    (loop $again (local.set $last (struct.new $box (local.get $last) (i64.const 1))) (br $again))))"""
DEEP = '(module (func $f (export "f") (result i32) (i32.add (i32.const 1) (call $f))))'
SPEAK = f"""(module (import "{P1}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\0b\\00\\00\\00") (data (i32.const 16) "hello there")
  (func (export "f") (result i32) (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"""
FILES = f"""(module (import "{P1}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{P1}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\0b\\00\\00\\00") (data (i32.const 16) "hello there")
  (func (export "f") (result i32) (local $errno i32)
    (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 1) (i64.const 64)
      (i64.const 0) (i32.const 0) (i32.const 64)))
    (if (local.get $errno) (then (return (local.get $errno))))
    (drop (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 8))))"""
"""Makes a file and writes eleven bytes to it, twice; gives the last error's number."""


class Row(NamedTuple):
    """``ends``: a status, the values of ``f``, or ``None`` for a module that is refused."""

    limit: str
    text: str
    ends: str | int | None
    options: dict[str, Any] = {}  # noqa: RUF012
    limits: dict[str, Any] = {}  # noqa: RUF012


def many(template: str, count: int = 3) -> str:
    return "".join(template.format(n) for n in range(count))


def module(text: str) -> str:
    return f'(module {text} (func (export "f")))'


RUNNING = (
    Row("timeout", SPIN, "timeout", {"timeout": 0.1, "invoke": None}),
    Row("cpu", SPIN, "timeout", {"cpu": 0.05, "timeout": 60, "invoke": None}),
    Row("fuel", SPIN, "out_of_fuel", {"fuel": 10_000, "invoke": None}),
    Row("memory", GROW, -1, {"memory": 65536}),
    Row("memory", GROW, None, {"memory": "10K"}),
    Row("table_elements", TABLE, -1, limits={"table_elements": 10}),
    Row("table_elements", TABLE, None, limits={"table_elements": 0}),
    Row("gc_heap", BOXES, "trapped", limits={"gc_heap": 1 << 20}),
    Row("instances", GROW, None, limits={"instances": 0}),
    Row("stack", DEEP, "trapped", {"stack": "128K"}),
    Row("output", SPEAK, 0, {"output_limit": 5}),
    Row("open_files", FILES, 33, {"open_files": 3, "dirs": "here"}),
    Row("written", FILES, 51, {"quota": wardian.FileQuota(bytes=11), "dirs": "here"}),
    Row("file_size", FILES, 22, {"quota": wardian.FileQuota(file_size=11), "dirs": "here"}),
    Row("new_files", FILES, 51, {"quota": wardian.FileQuota(files=0), "dirs": "here"}),
    Row("compile_time", GROW.replace("memory 1", "memory 2"), None, limits={"compile_time": 0}),
    Row(
        "signatures",
        '(module (import "h" "f" (func)) (import "h" "f" (func (param i32))) (func (export "f") (param f32 f32 f32)))',
        None,
        {"imports": {"h": {"f": print}}},
        {"signatures": 2},
    ),
    Row("code_size", GROW.replace("memory 1", "memory 3"), None, limits={"code_size": 16}),
)
TEXTS = MappingProxyType(
    {
        "module_size": module(many('(data "{0}")')),
        "types": module(many("(type (func (param i32)))")),
        "functions": module(many("(func)")),
        "imports": module(many('(import "a" "{0}" (func))')),
        "exports": module(many('(export "{0}" (func 0))')),
        "globals": module(many("(global i32 (i32.const {0}))")),
        "tags": module(many("(tag)")),
        "data_segments": module(many('(data "{0}")')),
        "element_segments": module(many("(elem func 0)")),
        "tables": module(many("(table 1 funcref)")),
        "memories": module(many("(memory 1)")),
        "parameters": module("(func (param i32 i32 i32))"),
        "results": module("(func (result i32 i32 i32) unreachable)"),
        "locals": module("(func (param i32) (local i32 i32))"),
        "fields": module("(type (struct (field i32 i32 i32)))"),
        "function_size": module("(func nop nop nop)"),
        "br_table": module("(func (br_table 0 0 0 0 (i32.const 0)))"),
        "nesting": module("(func block block block end end end)"),
        "operands": module("(func call 1 drop drop drop) (func (result i32 i32 i32) unreachable)"),
        "rec_group": module("(rec (type (struct)) (type (struct)) (type (struct)))"),
        "subtype_depth": module(
            "(type $a (sub (struct))) (type $b (sub $a (struct))) (type $c (sub $b (struct))) (type (sub $c (struct)))"
        ),
    }
)
"""Of each limit on what a module may declare, one with three."""
DECLARED = tuple(Row(name, text, None, limits={name: 2}) for name, text in TEXTS.items())


def end(row: Row, here: Path, isolation: Any) -> Any:
    config = wardian.Config(
        cache=os.environ[GLUE], lazy=False, limits=Limits(**row.limits), fuel="fuel" in row.options
    )
    options = {"invoke": "f", "engine": wardian.Engine(config), "isolation": isolation, **row.options}
    if options.get("dirs"):
        options["dirs"] = {"/": str(here)}
    try:
        return wardian.run(row.text.encode(), **options)
    except wardian.LimitExceeded as error:
        return error


@pytest.mark.parametrize("isolation", [None, ANY], ids=["here", "isolated"])
@pytest.mark.parametrize("row", [*RUNNING, *DECLARED], ids=lambda row: f"{row.limit}-{row.ends}")
def test_a_limit(row: Row, isolation: Any, tmp_path: Path) -> None:
    if isolation is not None:
        layers()
    found = end(row, tmp_path, isolation)
    bound = BOUNDS[row.limit]
    if row.ends is None:
        assert isinstance(found, wardian.LimitExceeded) and found.limit == row.limit
        said = str(found)
    else:
        assert found.reached == (row.limit,)
        if isinstance(row.ends, int):
            assert (found.status, found.values) == ("exited", (row.ends,))
            assert found.truncated == (row.limit == "output") and found.stdout in (b"", b"hello")
            return
        assert found.status == row.ends
        said = found.trap.message
    assert bound.set_in_python(row.limit) in said and f"-W {bound.key(row.limit)}=" in said


def test_every_limit_has_a_row() -> None:
    assert {row.limit for row in (*RUNNING, *DECLARED)} == BOUNDS.keys()
    assert set(Limits.__match_args__) <= BOUNDS.keys()


def test_what_is_below_a_limit_is_not_told_of() -> None:
    for row in (Row("memory", GROW, 1), Row("table_elements", TABLE, 1), Row("output", SPEAK, 0, {"output_limit": 11})):
        assert end(row, Path("/"), None).reached == ()
    least = '(module (memory 1 1) (func (export "f") (result i32) (memory.grow (i32.const 1))))'
    assert end(Row("memory", least, -1, {"memory": 65536}), Path("/"), None).reached == ()  # Its own maximum.


@pytest.mark.parametrize("isolation", [None, ANY], ids=["here", "isolated"])
def test_output_that_goes_elsewhere_is_bounded_too(isolation: Any, tmp_path: Path) -> None:
    config = wardian.Config(cache=os.environ[GLUE], lazy=True)
    pieces: list[bytes] = []
    with open(tmp_path / "out", "wb") as file:
        for target in (pieces.append, file):
            result = wardian.run(
                SPEAK.encode(), invoke="f", stdout=target, output_limit="5", isolation=isolation,
                engine=wardian.Engine(config),
            )  # fmt: skip
            assert result.values == (0,) and result.truncated and result.reached == ("output",)
    assert b"".join(pieces) == (tmp_path / "out").read_bytes() == b"hello"


def test_linked_instances_are_counted_together() -> None:
    module = wardian.Module('(module (func (export "f")))', wardian.Engine(wardian.Config("O0", cache=False)))
    first = module.instantiate(limits=Limits(instances=2))
    module.instantiate(beside=first)
    with pytest.raises(wardian.LimitExceeded) as caught:
        module.instantiate(beside=first)
    assert caught.value.limit == "instances" and "-W max-instances=" in str(caught.value)


def test_a_wrong_limit_leaves_no_deadline_behind() -> None:
    """What is armed before the mistake is found is taken back."""
    module = wardian.Module(GROW, wardian.Engine(wardian.Config("O0", cache=False)))
    before = watchdog()._armed
    for wrong in ({"cpu": -1}, {"cpu": float("nan")}, {"timeout": -1}, {"output_limit": "much"}, {"output_limit": -1}):
        with pytest.raises(ValueError, match=r"number|size"):
            wardian.run(module, invoke="f", **{"timeout": 600.0, **wrong})  # type: ignore[arg-type]
    assert watchdog()._armed == before


@pytest.mark.parametrize("isolation", [None, ANY], ids=["here", "isolated"])
def test_a_limit_may_be_no_limit(isolation: Any) -> None:
    row = Row("timeout", GROW, 1, {"timeout": float("inf"), "cpu": float("inf"), "output_limit": 1 << 60})
    assert end(row, Path("/"), isolation).values == (1,)


def test_every_limit_is_an_option() -> None:
    words = {"bytes": ("5K", 5120), "seconds": ("250ms", 0.25), "count": ("7", 7)}
    for key, name in LIMIT_KEYS.items():
        text, value = words[BOUNDS[name].unit]
        assert parse_wasm_options([f"{key}={text}"]) == ({key: value}, {})


def test_the_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "limits.md"
    text = page.read_text("utf-8")
    assert renewed(text, tables()) == text, "run: python -m wardian.sandbox.document docs/limits.md"
