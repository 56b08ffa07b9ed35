"""Binary to text to binary gives the same bytes, names and odd encodings included."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.binary.build import module, section, sized, with_body
from tests.support import NO_DATA, data_root, wasm_tools
from wardian.binary.custom import Subsection, names
from wardian.binary.decode import decode
from wardian.text.identifiers import unique
from wardian.text.names import name_section
from wardian.text.parse import assemble
from wardian.text.printer import ModulePrinter, to_text

LARGEST = 2 << 20
ROOT = data_root()
GUESTS = sorted(path for path in ROOT.rglob("*.wasm") if path.stat().st_size <= LARGEST) if ROOT else []
QUICK = 200 << 10
"""Bytes of guests that are large enough to be slow."""
GUEST_PARAMS = [
    pytest.param(
        path, id=f"{path.parent.name}/{path.name}", marks=pytest.mark.slow if path.stat().st_size > QUICK else ()
    )
    for path in GUESTS
] or [pytest.param(None, marks=pytest.mark.skip(NO_DATA))]


@pytest.mark.thorough
@pytest.mark.parametrize("path", GUEST_PARAMS)
def test_guests(path: Path) -> None:
    source = path.read_bytes()
    assert assemble(to_text(decode(source))) == source


@pytest.mark.parametrize("path", GUEST_PARAMS[::9])
def test_another_assembler_reads_it(path: Path) -> None:
    """It passes over our annotations, so the modules are compared as that program prints them."""
    text = to_text(decode(path.read_bytes()))
    built = subprocess.run([*wasm_tools(), "parse", "-"], input=text.encode(), check=True, capture_output=True).stdout
    printed = [
        subprocess.run([*wasm_tools(), "print", "-"], input=one, check=True, capture_output=True)
        for one in (built, path.read_bytes())
    ]
    assert printed[0].stdout == printed[1].stdout


@pytest.mark.slow
def test_speed(data: Path) -> None:
    """At least half a megabyte of text a second; usually it is several."""
    text = to_text(decode((data / "guests" / "lua.wasm").read_bytes()))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assemble(text)
        seconds.append(time.perf_counter() - start)
    assert len(text) / min(seconds) > 500_000


def test_a_module_in_full() -> None:
    text = """\
(module $m
  (type $point (;0;) (struct (field $x (mut i32)) (field (ref null $point))))
  (type (;1;) (func (param i32 i64) (result f32)))
  (type (;2;) (func))
  (import "env" "log" (func $log (;0;) (type 2)))
  (table (;0;) 1 10 funcref)
  (memory (;0;) i64 1 2)
  (tag (;0;) (type 2))
  (global $g (;0;) (mut f64) (f64.const 0.1))
  (export "f" (func $f))
  (start $log)
  (elem (;0;) (i32.const 0) func $log $f)
  (func $f (;1;) (type 1) (param $a i32) (param i64) (result f32)
    (local $b i32) (local f32)
    block $out
      local.get $a
      br_if $out
      loop (result f32)
        f32.const -1.5
      end
      drop
    end
    local.get 3
  )
  (data (;0;) (memory 0) (i64.const 8) "a\\00\\22\\5c")
  (@custom "more" (after last) "x")
)
"""
    assert to_text(decode(assemble(text))) == text.replace(" (memory 0)", "")


@pytest.mark.parametrize(
    "code",
    [
        "00 41 80 80 80 80 00 1a 0b",  # i32.const 0 in five bytes
        "00 41 ff ff 7f 1a 0b",
        "00 42 80 80 80 80 80 80 80 80 80 00 1a 0b",
        "00 10 80 80 00 0b",  # call 0
        "00 41 00 28 82 00 80 01 1a 0b",  # i32.load: alignment in two bytes
        "00 41 00 11 80 00 80 80 00 0b",  # call_indirect, both
        "00 41 00 0e 81 00 80 00 80 00 0b",  # br_table
        "00 fc 8a 00 00 00 0b",  # the second part of an opcode
        "00 02 80 00 0b 0b",  # a block's type index
        "02 01 7f 01 7f 0b",  # two runs of one type
        "00 02 40 03 7f 41 00 0b 1a 0b 0b",
    ],
)
def test_odd_encodings(code: str) -> None:
    source = module(section(1, "01 60 00 00"), section(3, "01 00"), section(10, b"\1" + sized(bytes.fromhex(code))))
    text = to_text(decode(source))
    assert assemble(text) == source
    assert ("@wardian" in text) == (not code.endswith("0b 1a 0b 0b"))


def test_without_annotations() -> None:
    source = with_body("41 80 80 80 80 00 1a 0b")
    text = "\n".join(ModulePrinter(decode(source), exact=False).lines())
    assert "@" not in text
    assert assemble(text) == with_body("41 00 1a 0b")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13])
def test_empty_sections(number: int) -> None:
    source = module(section(number, b"\0"))
    assert assemble(to_text(decode(source))) == source


NAMES = st.dictionaries(
    st.integers(0, 5), st.text(max_size=4) | st.sampled_from(["a", "a.1", "b c", "0", ""]), max_size=6
)


@given(module_name=st.none() | st.text(max_size=3), funcs=NAMES, locals=NAMES, labels=NAMES, types=NAMES)
def test_any_names(
    module_name: str | None,
    funcs: dict[int, str],
    locals: dict[int, str],
    labels: dict[int, str],
    types: dict[int, str],
) -> None:
    body = bytes.fromhex("01 02 7f 02 40 03 40 0c 01 0c 00 0b 0b 20 00 1a 0b")
    content = name_section(
        module_name,
        {Subsection.FUNC: funcs, Subsection.TYPE: types},
        {Subsection.LOCAL: {1: locals}, Subsection.LABEL: {1: labels}},
    )
    sections = [
        section(1, "02 60 00 00 60 01 7f 00"),
        section(3, "02 00 01"),
        section(10, b"\2" + sized(b"\0\x0b") + sized(body)),
        section(0, b"\4name" + content),
        section(0, b"\5after"),
    ]
    source = module(*sections)
    assert assemble(to_text(decode(source))) == source


@given(st.binary(max_size=40))
def test_any_name_section(content: bytes) -> None:
    source = module(section(1, "01 60 00 00"), section(0, b"\4name" + content))
    assert assemble(to_text(decode(source))) == source


@given(st.dictionaries(st.integers(0, 50), st.sampled_from(["a", "a.1", "a.2", "a.1.1", ""])))
def test_identifiers_are_unique(found: dict[int, str]) -> None:
    made = unique(found, 40)
    assert set(made) == {index for index in found if index < 40}
    assert len(set(made.values())) == len(made)


def test_shadowed_labels_are_numbers() -> None:
    text = to_text(decode(assemble("(func (block $l (block $l (br $l) (br 1) (br 2))))")))
    assert [line.strip() for line in text.splitlines() if "br" in line] == ["br $l", "br 1", "br 2"]


def test_names_beyond_the_module() -> None:
    source = module(
        section(1, "01 60 00 00"), section(0, b"\4name" + name_section(None, {Subsection.TYPE: {7: "x"}}, {}))
    )
    assert assemble(to_text(decode(source))) == source
    assert names(decode(source)).of(Subsection.TYPE) == {7: "x"}


def test_deep_nesting_is_not_indented_for_ever() -> None:
    source = with_body("02 40 " * 5000 + "0b " * 5001)
    text = to_text(decode(source))
    assert len(text) < 200 * 10_000
    assert assemble(text) == source
