"""What is said of a text that is no module: the suite's words first, then what was expected, and where."""

from __future__ import annotations

import pytest

from wardian.errors import InvalidError, LimitExceeded, MalformedError
from wardian.limits import Limits
from wardian.text.parse import assemble

CASES = [
    # text, with ^ before the place; the words
    ("(module (func) (^foo))", "unknown operator foo, expected a field of a module"),
    ("(func (^i32.const0))", "unknown operator i32.const0"),
    ("(func i32.const ^0x)", "unknown operator 0x, expected an i32 constant"),
    ("(func i32.const ^nop)", "unexpected token nop, expected an i32 constant"),
    ("(func i32.const ^4294967296)", "constant out of range"),
    ("(func f32.const ^1e39)", "constant out of range"),
    ("(func (local.get ^$x))", "unknown local $x"),
    ("(func (call ^$f))", "unknown function $f"),
    ("(func (br ^$l))", "unknown label $l"),
    ("(func (block $l) (br ^$l))", "unknown label $l"),
    ("(func (call ^4294967296))", "i32 constant out of range"),
    ("(func $f) (func ^$f)", "duplicate function $f"),
    ('(func $f) (func ^$"f")', "duplicate function $f"),
    ("(func (param $x i32) (local ^$x i32))", "duplicate local $x"),
    ("(type (struct (field $x i32) (field ^$x i32)))", "duplicate field $x"),
    ("(rec (type $t (func)) (type ^$t (func)))", "duplicate type $t"),
    ('(import "" "" (memory $m 1)) (memory ^$m 1)', "duplicate memory $m"),
    ('(func) (import ^"" "" (func))', "import after function"),
    ('(global i32 (i32.const 0)) (func ^(import "" ""))', "import after global"),
    ("(func) (start 0) (start ^0)", "multiple start sections"),
    ("(func block $a end ^$b)", "mismatching label $b"),
    ("(func i32.const 0 if else ^$b end)", "mismatching label $b"),
    ("(type $t (func)) (func ^(type $t) (param i32))", "inline function type"),
    ("(func ^(type 3) (param i32))", "unknown type 3"),
    ("(func (result i32) (^param i32))", "unexpected token param"),
    ("(memory 1) (func (drop (i32.load ^align=3 (i32.const 0))))", "alignment must be a power of two"),
    ("(memory 1) (func (drop (i32.load ^offset=0x1_0000_0000_0000_0000 (i32.const 0))))", "offset out of range"),
    ("(memory 1) (func (drop (i32.load ^align= (i32.const 0))))", "unknown operator align="),
    ("(memory 1 (pagesize ^3))", "invalid custom page size"),
    ("(memory i64 ^0x1_0000_0000_0000_0000)", "i64 constant out of range"),
    ("(func (drop (v128.const i32x4 1 2 3^)))", "wrong number of lane literals"),
    ("(func (drop (i8x16.extract_lane_s ^256 (local.get 0))))", "i8 constant out of range"),
    ("(func (drop (i8x16.shuffle 1^)))", "invalid lane length"),
    ("(func ^$)", "empty identifier"),
    ('(func (export ^"\\ff"))', "malformed UTF-8 encoding"),
    ('(data ^"\\x")', "illegal escape"),
    ("(func ^\x01)", "illegal character"),
    ("(func (block nop)^)x", None),
    ("(func (if (then nop^", "unexpected token: the text ends"),
    ("(func (i32.const 1) (if^))", "unexpected token ), expected `(then`"),
    ("(func block^)", "unexpected token ), expected `end`"),
    ("(func (i32.eqz ^nop))", "unexpected token nop, expected a folded instruction"),
    ("(func ^end)", "unexpected token end, expected an instruction"),
    ("(func (^end))", "unexpected token end"),
    ("(func (^else))", "unexpected token else"),
    ("(func (^then))", "unexpected token then"),
    ("(module) ^(module)", "unexpected token"),
    ("(func) ^nop", "unexpected token nop"),
    ('(func ^(@custom "x"))', "misplaced @custom annotation"),
    ('(module (func) ^(@name "x"))', "misplaced @name annotation"),
    ("(func ^(@wardian.leb x) nop)", "@wardian.leb annotation: malformed"),
    ("(func ^(@wardian.leb 5) nop)", "@wardian.leb annotation: malformed"),
    ("^(@custom)", "@custom annotation: missing section name"),
]


@pytest.mark.parametrize(("marked", "words"), [case for case in CASES if case[1] is not None])
def test_words_and_place(marked: str, words: str) -> None:
    at = marked.index("^")
    text = marked.replace("^", "", 1)
    with pytest.raises(MalformedError) as caught:
        assemble("\n\n" + text)
    error = caught.value
    assert error.message.startswith(words)
    assert error.line == 3
    # An unclosed group is reported where it begins, since where it should end nobody knows.
    if "text ends" not in words:
        assert error.column == at + 1
        line, caret = error.excerpt.split("\n")
        assert caret.index("^") == len(line[:at].replace("\\x01", "?")) or "\\x01" in line


def test_a_message() -> None:
    with pytest.raises(MalformedError) as caught:
        assemble("(module\n  (func (result i32)\n    i32.const 99999999999))")
    assert str(caught.value) == (
        "constant out of range: 99999999999 does not fit i32 at line 3, column 15\n"
        "      i32.const 99999999999))\n"
        "                ^"
    )


def test_nesting_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="nesting"):
        assemble(f"(func {'(block ' * 11}{')' * 11})", limits=Limits(nesting=10))
    assemble(f"(func {'(block ' * 10}{')' * 10})", limits=Limits(nesting=10))


def test_a_branch_hint_needs_a_branch() -> None:
    with pytest.raises(InvalidError, match="invalid target"):
        assemble('(func (@metadata.code.branch_hint "\\01") nop)')
