"""Branch hints become weights of the branches they name, and change no result."""

from __future__ import annotations

import re

import wardian
from tests.support import assemble
from wardian.binary.custom import branch_hints
from wardian.binary.decode import decode
from wardian.compile.function import ModuleFacts
from wardian.compile.lowering import function_text
from wardian.compile.options import CodeOptions
from wardian.limits import Features, Limits
from wardian.valid.module import validate_module

TEXT = r"""
(module
  (func (export "f") (param i32 i32) (result i32)
    (block $a
      (@metadata.code.branch_hint "\00") (br_if $a (local.get 0))
      (block $b
        (@metadata.code.branch_hint "\01") (br_if $b (local.get 1))
        (return (i32.const 1)))
      (br_if $a (i32.eq (local.get 1) (i32.const 2)))
      (@metadata.code.branch_hint "\01")
      (if (i32.eqz (local.get 0)) (then (return (i32.const 2)))))
    (i32.const 3))
  (func (export "g") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.const 4)) (else (i32.const 5)))))
"""


def weights(index: int) -> list[str]:
    """The weights of conditional branches, traps' aside, in the order of the text."""
    module = decode(assemble(TEXT), Features(), Limits())
    ctx = validate_module(module, Features(), Limits())
    text = function_text(ModuleFacts(module, CodeOptions(), branch_hints(module)), ctx, index, "")
    meaning = dict(re.findall(r'^(!\d+) = !{!"branch_weights", (.*)}$', text, re.M))
    found = re.findall(r"br i1 \S+, label \S+, label %(?!sc\.)\w+(?:, !prof (!\d+))?$", text, re.M)
    return [meaning[name] if name else "" for name in found]


def test_hints_become_weights() -> None:
    rarely, usually = "i32 1, i32 2000", "i32 2000, i32 1"
    assert weights(0) == [rarely, usually, "", usually]
    assert weights(1) == [""]


def test_hints_change_no_result() -> None:
    exports = wardian.Module(assemble(TEXT)).instantiate().exports
    assert [exports.f(x, y) for x, y in ((1, 0), (0, 0), (0, 1), (0, 2), (1, 1))] == [3, 1, 2, 3, 3]
    assert [exports.g(1), exports.g(0)] == [4, 5]
