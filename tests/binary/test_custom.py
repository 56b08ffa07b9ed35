"""Names and branch hints: read when they are good, nothing at all when they are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.binary.build import module, section, sized, with_body
from tests.support import assemble
from wardian.binary.custom import INDIRECT, Names, Subsection, branch_hints, names
from wardian.binary.decode import decode

EMPTY_SECTIONS = section(1, "00")


def named(*parts: bytes) -> Names:
    return names(decode(module(section(0, sized(b"name") + b"".join(parts)))))


def part(part_id: int, content: bytes) -> bytes:
    return bytes((part_id,)) + sized(content)


def test_wasm_tools_names() -> None:
    found = names(
        decode(
            assemble(
                """(module $m
                  (import "e" "i" (func $imported))
                  (type $t (func)) (memory $mem 1) (table $tab 1 funcref) (global $g i32 (i32.const 0)) (tag $tag)
                  (type $s (struct (field $x i32) (field $y i32)))
                  (func $f (param $a i32) (local $b i64) (block $l))
                  (func (local $c i32))
                  (data $d "x") (elem $e func))"""
            )
        )
    )
    assert found.module() == "m"
    assert found.of(Subsection.FUNC) == {0: "imported", 1: "f"}
    assert (found.function(1), found.function(2)) == ("f", None)
    assert found.local(1, 0) == "a" and found.local(1, 1) == "b" and found.local(2, 0) == "c"
    assert found.local(2, 9) is None and found.local(9, 0) is None
    assert found.within(Subsection.LABEL) == {1: {0: "l"}}
    assert found.of(Subsection.TYPE)[0] == "t"
    assert found.of(Subsection.MEMORY) == {0: "mem"}
    assert found.of(Subsection.TABLE) == {0: "tab"}
    assert found.of(Subsection.GLOBAL) == {0: "g"}
    assert found.of(Subsection.TAG) == {0: "tag"}
    assert found.of(Subsection.DATA) == {0: "d"}
    assert found.of(Subsection.ELEM) == {0: "e"}
    assert {0: "x", 1: "y"} in found.within(Subsection.FIELD).values()


def test_no_name_section() -> None:
    found = names(decode(module()))
    assert found.module() is None
    assert found.function(0) is None
    assert found.within(Subsection.LOCAL) == {}


FUNCTIONS = bytes.fromhex("01 00 01 66")


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x05\x00\x01f",  # more names than bytes
        b"\x01\x00\x01\xff",  # not UTF-8
        b"\x01\x00\x01f!",  # something left over
        b"\x01\x80",  # an index cut short
        b"\xff\xff\xff\xff\xff\x00",
    ],
)
def test_a_bad_part_is_ignored_and_the_others_are_not(bad: bytes) -> None:
    found = named(part(Subsection.FUNC, bad), part(Subsection.MEMORY, FUNCTIONS))
    assert found.of(Subsection.FUNC) == {}
    assert found.of(Subsection.MEMORY) == {0: "f"}


def test_a_part_cut_short_ends_the_section() -> None:
    found = named(part(Subsection.FUNC, FUNCTIONS), b"\x06\x7f\x00")
    assert found.of(Subsection.FUNC) == {0: "f"}
    assert found.of(Subsection.MEMORY) == {}


def test_of_several_parts_or_sections_the_first_counts() -> None:
    found = named(part(Subsection.FUNC, FUNCTIONS), part(Subsection.FUNC, bytes.fromhex("01 00 01 67")))
    assert found.function(0) == "f"
    one = section(0, sized(b"name") + part(Subsection.MODULE, b"\1a"))
    two = section(0, sized(b"name") + part(Subsection.MODULE, b"\1b"))
    assert names(decode(module(one, two))).module() == "a"


def test_maps_are_made_once() -> None:
    found = named(part(Subsection.FUNC, FUNCTIONS), part(Subsection.LOCAL, b"\0"))
    assert found.of(Subsection.FUNC) is found.of(Subsection.FUNC)
    assert found.within(Subsection.LOCAL) is found.within(Subsection.LOCAL)


@given(st.binary(max_size=200))
def test_any_name_section_is_harmless(raw: bytes) -> None:
    found = named(raw)
    found.module()
    for space in Subsection:
        if space in INDIRECT:
            found.within(space)
        elif space is not Subsection.MODULE:
            found.of(space)


def hinted(raw: bytes) -> bytes:
    return with_body("41 00 04 40 0b 0b", section(0, sized(b"metadata.code.branch_hint") + raw))


def test_branch_hints_are_by_absolute_offset() -> None:
    source = hinted(bytes.fromhex("01 00 01 03 01 01"))
    ((start, _),) = decode(source).bodies
    assert branch_hints(decode(source)) == {start + 3: True}
    assert source[start + 3] == 0x04


@pytest.mark.parametrize(
    "raw", ["", "01", "01 00 01 03 02 01 01", "01 00 01 03 01", "02 00 01 03 01 01", "01 00 00 00"]
)
def test_bad_branch_hints_are_ignored(raw: str) -> None:
    assert branch_hints(decode(hinted(bytes.fromhex(raw)))) == {}


def test_branch_hints_of_unknown_functions_are_ignored() -> None:
    assert branch_hints(decode(hinted(bytes.fromhex("01 05 01 03 01 01")))) == {}
    assert branch_hints(decode(module(EMPTY_SECTIONS))) == {}


@given(st.binary(max_size=60))
def test_any_branch_hint_section_is_harmless(raw: bytes) -> None:
    branch_hints(decode(hinted(raw)))
