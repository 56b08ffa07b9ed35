"""Every abbreviation of the text format stands for what the specification says it does."""

from __future__ import annotations

import pytest

from tests.support import assemble as reference
from wardian.binary.custom import Subsection, branch_hints, names
from wardian.binary.decode import decode
from wardian.binary.encode import encode
from wardian.limits import Features
from wardian.syntax.module import Module
from wardian.syntax.types import FuncType
from wardian.text.parse import assemble, is_text

EVERYTHING = Features(**dict.fromkeys(Features.names(), True))

PAIRS = [
    # folded, flat
    ("(func (drop (i32.add (i32.const 1) (i32.const 2))))", "(func i32.const 1 i32.const 2 i32.add drop)"),
    ("(func (if (i32.const 1) (then nop)))", "(func i32.const 1 if nop end)"),
    (
        "(func (if (result i32) (i32.const 1) (then (i32.const 2)) (else (i32.const 3))) drop)",
        "(func i32.const 1 if (result i32) i32.const 2 else i32.const 3 end drop)",
    ),
    ("(func (if (i32.const 0) (i32.const 1) (then) (else)) drop)", "(func i32.const 0 i32.const 1 if else end drop)"),
    ("(func (loop $l (br $l)))", "(func loop $l br $l end $l)"),
    (
        "(tag $e) (func (block $b (try_table (catch $e $b) (catch_all $b) nop)))",
        "(tag $e) (func block $b try_table (catch $e $b) (catch_all $b) nop end end)",
    ),
    (
        "(func (i32.const 1) (block (drop (nop) (i32.const 2))) drop)",
        "(func i32.const 1 block nop i32.const 2 drop end drop)",
    ),
    # type uses
    ("(func (param i32) (param) (param i64 f32) (result) (result i32))", "(func (param i32 i64 f32) (result i32))"),
    ("(func $f (param i32))", "(type (func (param i32))) (func $f (type 0))"),
    (
        "(func (block (param i32) (result i32)))",
        "(func (block (type 1))) (type (func)) (type (func (param i32) (result i32)))",
    ),
    # inline exports and imports
    ('(func (export "a") (export "b"))', '(func) (export "a" (func 0)) (export "b" (func 0))'),
    ('(func $f (import "m" "n") (param i32))', '(import "m" "n" (func $f (param i32)))'),
    (
        '(memory (export "a") (import "m" "n") i64 1 2)',
        '(import "m" "n" (memory i64 1 2)) (export "a" (memory 0))',
    ),
    ('(table (import "m" "n") 1 funcref)', '(import "m" "n" (table 1 funcref))'),
    ('(global (import "m" "n") (mut i32))', '(import "m" "n" (global (mut i32)))'),
    ('(tag (import "m" "n") (param i32))', '(import "m" "n" (tag (param i32)))'),
    # inline segments
    ('(memory (data "ab" "c"))', '(memory 1 1) (data (i32.const 0) "abc")'),
    ('(memory i64 (data "abc"))', '(memory i64 1 1) (data (i64.const 0) "abc")'),
    ('(memory (pagesize 1) (data "abc"))', '(memory 3 3 (pagesize 1)) (data (i32.const 0) "abc")'),
    ('(memory 1) (data (offset i32.const 1) "x")', '(memory 1) (data (memory 0) (i32.const 1) "x")'),
    ("(func $f) (table funcref (elem $f $f))", "(func $f) (table 2 2 funcref) (elem (i32.const 0) func $f $f)"),
    (
        "(func $f) (table i64 funcref (elem (ref.func $f) (item ref.null func)))",
        "(func $f) (table i64 2 2 funcref) (elem (i64.const 0) funcref (item ref.func $f) (ref.null func))",
    ),
    (
        "(func $f) (table 1 funcref) (elem (i32.const 0) $f)",
        "(func $f) (table 1 funcref) (elem (offset i32.const 0) func 0)",
    ),
    (
        "(func) (table 1 funcref) (elem 0 (i32.const 0) 0)",
        "(func) (table 1 funcref) (elem (table 0) (i32.const 0) func 0)",
    ),
    # types
    (
        "(type (func)) (func (param funcref externref))",
        "(type (func)) (func (param (ref null func) (ref null extern)))",
    ),
    ("(type $a (array (mut i8)))", "(type $a (sub final (array (mut i8))))"),
    ("(type (struct (field i8 i16) (field $x (mut i32))))", "(type (struct (field i8) (field i16) (field (mut i32))))"),
    # optional indices
    (
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
        "(memory $m 1) (func i32.const 0 i32.const 0 i32.const 0 memory.fill $m)",
    ),
    ("(memory 1) (func memory.size drop)", "(memory $m 1) (func memory.size $m drop)"),
    ("(memory 1) (func unreachable memory.copy)", "(memory 1) (func unreachable memory.copy 0 0)"),
    (
        '(memory 1) (data $d "") (func unreachable memory.init $d)',
        '(memory 1) (data "") (func unreachable memory.init 0 0)',
    ),
    (
        "(table $t 1 funcref) (elem $e funcref) (func unreachable table.init $e)",
        "(table 1 funcref) (elem funcref) (func unreachable table.init 0 0)",
    ),
    (
        "(table 1 funcref) (func (call_indirect (i32.const 0)))",
        "(table $t 1 funcref) (func i32.const 0 call_indirect $t)",
    ),
    ("(memory 1) (func unreachable i32.load drop)", "(memory 1) (func unreachable i32.load 0 offset=0 align=4 drop)"),
    (
        "(memory 1) (func unreachable v128.load8_lane 3 drop)",
        "(memory 1) (func unreachable v128.load8_lane 0 align=1 3 drop)",
    ),
    # identifiers
    ('(func $"a b") (func (call $"a b"))', "(func) (func (call 0))"),
    (r'(func $AB) (func (call $"\41\u{42}"))', "(func) (func (call 0))"),
    ("(func (call $later)) (func $later)", "(func (call 1)) (func)"),
    ("(func (block $l (block $l (br $l))))", "(func (block (block (br 0))))"),
    (
        '(func $f) (global funcref (ref.func $f)) (export "" (func $f))',
        '(func) (global funcref (ref.func 0)) (export "" (func 0))',
    ),
    # numbers
    ("(func (drop (i32.const 0xffff_ffff)))", "(func (drop (i32.const -1)))"),
    (
        "(func (drop (v128.const i8x16 255 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 0)))",
        "(func (drop (v128.const i16x8 -1 0 0 0 0 0 0 0)))",
    ),
    ("(func (drop (v128.const f32x4 1 0 0 0)))", "(func (drop (v128.const i32x4 0x3f800000 0 0 0)))"),
    # the module itself
    ("(module $m (func))", "(func)"),
    ('(module binary "\\00asm" "\\01\\00\\00\\00")', ""),
    ('(module quote "(func)" "(memory 1)")', "(func) (memory 1)"),
    ('(module quote "(module quote \\"(func)\\")")', "(func)"),
]  # fmt: skip


def plain(text: str) -> bytes:
    """The module of ``text`` without its names."""
    module = decode(assemble(text), EVERYTHING)
    module.customs = []
    return encode(module)


@pytest.mark.parametrize(("short", "long"), PAIRS)
def test_abbreviations(short: str, long: str) -> None:
    assert plain(short) == plain(long)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text", [text for pair in PAIRS for text in pair if "elem 0 (" not in text and "quote" not in text]
)
def test_as_another_assembler_has_it(text: str) -> None:
    other = decode(reference(text if text.startswith("(module") else f"(module {text})"), EVERYTHING)
    other.customs = []
    assert plain(text) == encode(other)


def module_of(text: str) -> Module:
    return decode(assemble(text))


def test_implicit_types_follow_the_text() -> None:
    module = module_of(
        """
        (func (block (param i64)) (drop (block (result i32 i32))))
        (func (param f32) (call_indirect (param f64) (i32.const 0)))
        (type (func (param v128)))
        (tag (param i64))
        """
    )
    params = [type.comp.params for type in module.types if isinstance(type.comp, FuncType)]
    assert [[repr(one) for one in types] for types in params] == [["v128"], [], ["i64"], [], ["f32"], ["f64"]]


def test_only_plain_function_types_are_reused() -> None:
    module = module_of(
        """(type (sub (func))) (rec (type (func)) (type (struct))) (rec (type (func (param i32))))
        (func) (func (param i32))"""
    )
    assert module.funcs == [4, 3]
    assert module.lone_groups == [3]


def test_names() -> None:
    module = module_of(
        """(module $m
          (type $t (struct (field $x i32) (field i64) (field $y i32)))
          (import "" "" (func $imported (param $ignored i32)))
          (table $tab 1 funcref) (memory $mem 1) (global $g i32 (i32.const 0)) (tag $tag)
          (elem $e func) (data $d "")
          (func $f (@name "λ f") (param $p i32) (param i32) (local $l (@name "long") i64)
            block $outer block (loop $"in ner") end end))"""
    )
    known = names(module)
    assert known.module() == "m"
    assert known.of(Subsection.FUNC) == {0: "imported", 1: "λ f"}
    assert known.within(Subsection.LOCAL) == {1: {0: "p", 2: "long"}}
    assert known.within(Subsection.LABEL) == {1: {0: "outer", 2: "in ner"}}
    assert known.within(Subsection.FIELD) == {0: {0: "x", 2: "y"}}
    spaces = (Subsection.TYPE, Subsection.TABLE, Subsection.MEMORY, Subsection.GLOBAL, Subsection.TAG)
    assert [known.of(space) for space in spaces] == [{0: "t"}, {0: "tab"}, {0: "mem"}, {0: "g"}, {0: "tag"}]
    assert [known.of(space) for space in (Subsection.ELEM, Subsection.DATA)] == [{0: "e"}, {0: "d"}]


def test_a_name_section_of_ones_own() -> None:
    module = module_of('(func $f) (@custom "name" "\\00\\02\\01x")')
    assert [custom.name for custom in module.customs] == ["name"]
    assert names(module).module() == "x"


def test_custom_sections_stand_where_they_are_put() -> None:
    module = module_of(
        """(@custom "1" (before first) "a" "b") (@custom "2" (after func)) (@custom "3" (before code)) (func $f)
        (@custom "5" (after last)) (@custom "4" (after code))"""
    )
    assert [(custom.name, custom.after) for custom in module.customs] == [
        ("1", 0),
        ("2", 3),
        ("3", 3),
        ("4", 10),
        ("name", 10),
        ("5", 10),
    ]
    start, end = module.customs[0].content
    assert module.source[start:end] == b"ab"


def test_branch_hints() -> None:
    text = """(func (local i32)
      (@metadata.code.branch_hint "\\01") (if (i32.const 300) (then (nop)))
      block local.get 0 (@metadata.code.branch_hint "\\00") br_if 0 end)"""
    module = module_of(text)
    found = branch_hints(module)
    assert [module.source[at] for at in found] == [0x04, 0x0D]
    assert list(found.values()) == [True, False]
    assert module.customs[0].after == 3


def test_locals_are_run_length_encoded() -> None:
    module = module_of("(func (local i32 i32) (local i32) (local i64) (@wardian.run) (local i64 i64))")
    start, _ = module.bodies[0]
    assert module.source[start : start + 7] == bytes((3, 3, 0x7F, 1, 0x7E, 2, 0x7E))


def test_wide_integers() -> None:
    module = module_of("(func (drop ((@wardian.leb 3) i32.const -2)) (@wardian.leb 2) (br 0))")
    start, end = module.bodies[0]
    assert module.source[start:end].hex(" ") == "00 41 fe ff 7f 1a 0c 80 00 0b"


@pytest.mark.parametrize(
    ("source", "text"),
    [(b"\0asm", False), (b"", False), (b"(module)", True), (b" \n\t;; x\n()", True), (b"PK", False), (b"x", False)],
)
def test_what_looks_like_text(source: bytes, text: bool) -> None:
    assert is_text(source) is text


@pytest.mark.parametrize(
    "text", ["", "  ", ";; nothing", "(;;)", "(@note)", "(module)", "((;;)module)", "(@a) (module) (@a)"]
)
def test_empty_modules(text: str) -> None:
    assert assemble(text) == assemble(text.encode()) == b"\0asm\1\0\0\0"
