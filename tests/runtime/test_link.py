"""What linking says when imports are missing or do not fit: types as the text format has them."""

from __future__ import annotations

import pytest

import wardian

GIVEN = """(module (type $s (struct)) (memory (export "m") 1 2) (memory (export "m64") i64 1)
  (memory (export "shared") 1 2 shared) (table (export "t") 1 funcref) (table (export "t64") i64 1 3 externref)
  (global (export "g") (mut i64) (i64.const 0)) (tag (export "e") (param i32))
  (func (export "f") (param i32 f64) (result v128) (v128.const i64x2 0 0)) (func (export "none")))"""


@pytest.fixture(scope="module")
def given() -> wardian.Instance:
    return wardian.Module(GIVEN, wardian.Engine(wardian.Config(cache=False))).instantiate()


def link(given: wardian.Instance, wanted: str, name: str | None) -> str:
    """What the :class:`LinkError` says."""
    text = f'(module (type $s (struct)) (import "env" "it" {wanted}))'
    env = {"it": given.exports[name]} if name else {}
    with pytest.raises(wardian.LinkError) as caught:
        wardian.Module(text, given.module.engine).instantiate({"env": env})  # type: ignore[attr-defined]
    return str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "name", "found"),
    [
        ("(memory 3)", "m", "(memory 1 2)"),
        ("(memory i64 1)", "m", "(memory 1 2)"),
        ("(memory 1 2 shared)", "m64", "(memory i64 1)"),
        ("(memory 1)", "shared", "(memory 1 2 shared)"),
        ("(memory 1)", "t", "Table"),
        ("(table 2 externref)", "t", "(table 1 funcref)"),
        ("(table i64 1 funcref)", "t64", "(table i64 1 3 externref)"),
        ("(global i32)", "g", "(global (mut i64))"),
        ("(global (mut f32))", "g", "(global (mut i64))"),
        ("(tag (param i64))", "e", "(tag (param i32))"),
        ("(tag)", "e", "(tag (param i32))"),
        ("(func)", "f", "(func (param i32 f64) (result v128))"),
        ("(func (param i64) (result i32 i32))", "none", "(func)"),
        ("(global (ref null 0))", "m", "Memory"),
    ],
)
def test_types_that_do_not_fit(given: wardian.Instance, wanted: str, name: str, found: str) -> None:
    assert link(given, wanted, name) == f"incompatible import type: env.it must be {wanted}, not {found}"


@pytest.mark.parametrize(
    "wanted", ["(memory 1 2 shared)", "(table 1 externref)", "(global (mut v128))", "(func)", "(tag)"]
)
def test_what_is_missing(given: wardian.Instance, wanted: str) -> None:
    assert link(given, wanted, None) == f"unknown import: 1 import missing:\n  env.it: {wanted}"
