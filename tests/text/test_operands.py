"""Every row of the instruction table can be printed, and read back to the same bytes."""

from __future__ import annotations

import pytest

from tests.binary.build import with_body
from tests.syntax.samples import SAMPLES, body
from wardian.binary.decode import decode
from wardian.syntax.families import Load, SimdLoadLane
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import BY_NAME, ROWS, Row
from wardian.text.operands import PLAIN, READ, WITH_OPERANDS, access_size, natural_alignment
from wardian.text.parse import assemble
from wardian.text.print_code import PRINT
from wardian.text.printer import to_text

STRUCTURE = {"block", "loop", "if", "else", "end", "try_table"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.opcode:x}")
def test_round_trip(row: Row) -> None:
    for imm in SAMPLES[row.imm]:
        source = with_body(body(row, imm))
        text = to_text(decode(source))
        assert row.name in text or row.name == "end"  # the last one is the field's parenthesis
        assert assemble(text) == _with_data_count(source, row), text


def _with_data_count(source: bytes, row: Row) -> bytes:
    """What names a data segment needs a data count section, which the text implies."""
    if row.imm not in (Imm.DATA, Imm.MEMORY_INIT, Imm.TYPE_DATA):
        return source
    code = source.rindex(b"\x0a", 0, 20)
    return source[:code] + b"\x0c\1\0" + source[code:]


def test_every_kind_of_immediate_is_read_and_printed() -> None:
    assert set(READ) == set(Imm)
    assert set(PRINT) | {Imm.MEMARG, Imm.MEMARG_LANE} == set(Imm)


def test_every_mnemonic_is_known() -> None:
    assert set(PLAIN) | set(WITH_OPERANDS) | STRUCTURE == set(BY_NAME)
    assert not set(PLAIN) & set(WITH_OPERANDS)


def test_every_access_has_a_natural_alignment() -> None:
    rows = [row for row in ROWS if row.imm in (Imm.MEMARG, Imm.MEMARG_LANE)]
    assert {natural_alignment(row) for row in rows} == {0, 1, 2, 3, 4}
    for row in rows:
        if isinstance(row.family, Load):
            assert access_size(row.family) == row.family.size
        if isinstance(row.family, SimdLoadLane):
            assert access_size(row.family) * 8 == row.family.shape.bits
