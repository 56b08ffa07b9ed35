"""The instruction table against itself and against wasm-tools, which shares nothing with it."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import pytest

from tests.support import wasm_tools
from tests.syntax.samples import OPENERS, SAMPLES, body
from wardian.binary import writer
from wardian.limits import Features
from wardian.syntax.families import Family
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import BY_NAME, PLAIN, PREFIXED, ROWS, TWIN, Row

SPEC_COUNTS = {
    # Spec appendix "Index of Instructions": the first version's 172, then each proposal's.
    "mvp": 172,
    "sign_extension": 5,
    "saturating_float_to_int": 8,
    "bulk_memory": 7,
    "reference_types": 9,
    "simd": 236,
    "tail_call": 2,
    "function_references": 5,
    "exceptions": 3,
    "gc": 32,
    "relaxed_simd": 20,
    "threads": 67,
    "wide_arithmetic": 4,
}

TRAPS = frozenset(
    "unreachable memory_out_of_bounds table_out_of_bounds indirect_call_to_null bad_signature integer_overflow "
    "integer_divide_by_zero bad_conversion_to_integer null_reference array_out_of_bounds cast_failure "
    "unaligned_atomic uncaught_exception stack_exhausted heap_exhausted wait_on_unshared_memory".split()
)


def test_index_is_the_position() -> None:
    assert [row.index for row in ROWS] == list(range(len(ROWS)))


def test_opcodes_are_unique() -> None:
    assert [code for code, n in Counter(row.opcode for row in ROWS).items() if n > 1] == []


def test_names_are_unique_but_for_the_twins() -> None:
    assert {name for name, n in Counter(row.name for row in ROWS).items() if n > 1} == set(TWIN)
    assert set(TWIN) == {"select", "ref.test", "ref.cast"}
    for name, twin in TWIN.items():
        assert twin.opcode == BY_NAME[name].opcode + 1


def test_counts_per_feature() -> None:
    assert dict(Counter(row.feature for row in ROWS)) == SPEC_COUNTS


def test_features_exist() -> None:
    assert {row.feature for row in ROWS} <= set(Features.names()) | {"mvp"}


def test_traps_are_known() -> None:
    assert {trap for row in ROWS for trap in row.traps} == TRAPS


def test_lookups_agree_with_the_rows() -> None:
    assert len(PLAIN) == 256
    found = [row for row in PLAIN if row] + [row for rows in PREFIXED.values() for row in rows if row]
    assert sorted(row.index for row in found) == list(range(len(ROWS)))
    for prefix, rows in PREFIXED.items():
        assert PLAIN[prefix] is None
        for sub, row in enumerate(rows):
            assert row is None or row.opcode == prefix << 16 | sub
    assert all(row.opcode == byte for byte, row in enumerate(PLAIN) if row)


def test_no_two_rows_mean_the_same() -> None:
    assert [f for f, n in Counter(row.family for row in ROWS).items() if n > 1] == []


def test_every_family_is_used() -> None:
    assert {type(row.family) for row in ROWS} == set(Family.__subclasses__())


def test_signatures_are_whole() -> None:
    for row in ROWS:
        assert (row.params is None) == (row.results is None)
        if row.imm in (Imm.MEMARG, Imm.MEMARG_LANE, Imm.TABLE, Imm.MEMORY, Imm.LOCAL, Imm.GLOBAL, Imm.LABEL):
            assert row.params is None, row


def test_memory_rows_say_so() -> None:
    for row in ROWS:
        if row.imm in (Imm.MEMARG, Imm.MEMARG_LANE):
            assert "memory_out_of_bounds" in row.traps
            assert ("unaligned_atomic" in row.traps) == (row.feature == "threads")


# -- against wasm-tools ------------------------------------------------------------------------------------------------


def section(section_id: int, count: int, content: bytes) -> bytes:
    inner = bytearray()
    writer.unsigned(inner, count)
    out = bytearray((section_id,))
    writer.unsigned(out, len(inner) + len(content))
    return bytes(out + inner) + content


def one_function_per_row() -> bytes:
    """A module whose function ``i`` holds row ``i``; it is not valid."""
    out = bytearray(b"\0asm\1\0\0\0")
    # Type 0: a function; 1: a structure of one mutable i32; 2: an array of that.
    out += section(1, 3, bytes.fromhex("600000 5f017f01 5e7f01".replace(" ", "")))
    out += section(3, len(ROWS), bytes(len(ROWS)))
    out += bytes((12, 1, 0))
    code = bytearray()
    for row in ROWS:
        inner = b"\0" + body(row, resolvable(row))
        writer.unsigned(code, len(inner))
        code += inner
    out += section(10, len(ROWS), bytes(code))
    return bytes(out)


def resolvable(row: Row) -> object:
    if row.imm is Imm.TYPE:
        return 1 if row.name.startswith("struct") else 2 if row.name.startswith("array") else 0
    if row.imm is Imm.TYPE_FIELD:
        return (1, 0)
    if row.imm in (Imm.TYPE_COUNT, Imm.TYPE_DATA, Imm.TYPE_ELEM):
        return (2, 0)
    if row.imm is Imm.TYPE_TYPE:
        return (2, 2)
    return SAMPLES[row.imm][0]


@pytest.fixture(scope="module")
def printed() -> str:
    done = subprocess.run([*wasm_tools(), "print", "-"], input=one_function_per_row(), capture_output=True, check=True)
    return done.stdout.decode()


def test_wasm_tools_prints_the_same_mnemonics(printed: str) -> None:
    functions = re.split(r"^  \(func ", printed, flags=re.MULTILINE)[1:]
    assert len(functions) == len(ROWS)
    for row, text in zip(ROWS, functions, strict=True):
        words = [line.split()[0].strip("()") for line in text.splitlines()[1:]]
        if row.name == "end":
            assert words == [], text
        elif row.name in OPENERS:
            assert words[:2] == [row.name, "end"], text
        elif row.name == "else":
            assert words[:3] == ["if", "else", "end"], text
        else:
            assert words[0] == row.name, text


def test_wasm_tools_parses_them_to_the_same_bytes(printed: str) -> None:
    done = subprocess.run([*wasm_tools(), "parse", "-"], input=printed.encode(), capture_output=True, check=True)
    assert done.stdout == one_function_per_row()
