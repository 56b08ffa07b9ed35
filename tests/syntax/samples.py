"""A few values of every kind of immediate, and modules that hold one instruction each."""

from __future__ import annotations

from wardian.binary.encode import write_instruction
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import BY_NAME, Row
from wardian.syntax.types import ANY, EQ, EXTERNREF, F64, FUNC, I31, I32, I64, NOFUNC, V128, ref

INDICES: tuple[object, ...] = (0, 1, 0x7F, 0x80, 0xFFFF_FFFF)
PAIRS: tuple[object, ...] = ((0, 0), (1, 2), (0x80, 0x7F), (0xFFFF_FFFF, 5))
BLOCKS = (None, I32, V128, EXTERNREF, ref(False, ANY), ref(True, 3), 0, 0x3F, 0x40, 0x7F, 0x80, 0xFFFF_FFFF)

SAMPLES: dict[Imm, tuple[object, ...]] = {
    Imm.NONE: (None,),
    Imm.LABEL: INDICES,
    Imm.FUNC: INDICES,
    Imm.TYPE: INDICES,
    Imm.LOCAL: INDICES,
    Imm.GLOBAL: INDICES,
    Imm.TABLE: INDICES,
    Imm.MEMORY: INDICES,
    Imm.DATA: INDICES,
    Imm.ELEM: INDICES,
    Imm.TAG: INDICES,
    Imm.LANE: (0, 15, 0x80, 0xFF),
    Imm.I32: (0, 1, -1, 0x3F, 0x40, -0x40, -0x41, 0x7FFF_FFFF, -0x8000_0000),
    Imm.I64: (0, -1, 0x40, 1 << 40, 0x7FFF_FFFF_FFFF_FFFF, -0x8000_0000_0000_0000),
    Imm.F32: (0, 0x7FC0_0001, 0xFFFF_FFFF),
    Imm.F64: (0, 0x7FF8_0000_0000_0001, 0xFFFF_FFFF_FFFF_FFFF),
    Imm.V128: (bytes(16), bytes(range(16))),
    Imm.SHUFFLE: (bytes(range(16, 32)),),
    Imm.BLOCK: BLOCKS,
    Imm.MEMARG: ((0, 0, 0), (3, 0x7F, 0), (2, 0x80, 1), (0x3F, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF)),
    Imm.MEMARG_LANE: ((0, 0, 0, 0), (3, 0x80, 2, 15)),
    Imm.SELECT_T: ((I32,), (), (I64, ref(False, NOFUNC))),
    Imm.HEAP: (FUNC, I31, 0, 0x40, 0xFFFF_FFFF),
    Imm.BR_TABLE: (((), 0), ((1, 2, 0x80), 3)),
    Imm.CALL_INDIRECT: PAIRS,
    Imm.MEMORY_COPY: PAIRS,
    Imm.MEMORY_INIT: PAIRS,
    Imm.TABLE_COPY: PAIRS,
    Imm.TABLE_INIT: PAIRS,
    Imm.TYPE_FIELD: PAIRS,
    Imm.TYPE_COUNT: PAIRS,
    Imm.TYPE_DATA: PAIRS,
    Imm.TYPE_ELEM: PAIRS,
    Imm.TYPE_TYPE: PAIRS,
    Imm.BR_CAST: ((0, ref(True, ANY), ref(False, EQ)), (0x80, ref(False, 7), ref(True, I31))),
    Imm.TRY_TABLE: (
        (None, ()),
        (F64, ((2, None, 0),)),
        (5, ((0, 1, 2), (1, 0x80, 0), (2, None, 3), (3, None, 0))),
    ),
    Imm.FENCE: (None,),
}
"""The first of each is one that a disassembler can resolve in an otherwise empty module."""

OPENERS = frozenset({"block", "loop", "if", "try_table"})


def body(row: Row, imm: object) -> bytes:
    """An expression with one ``row`` in it, its opcode at offset 0, or at 2 for ``else``."""
    out = bytearray()
    if row.name == "else":
        write_instruction(out, BY_NAME["if"], None)
    write_instruction(out, row, imm)
    if row.name in OPENERS or row.name == "else":
        write_instruction(out, BY_NAME["end"], None)
    if row.name != "end":
        write_instruction(out, BY_NAME["end"], None)
    return bytes(out)
