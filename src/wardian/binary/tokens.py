"""Spec chapter "Binary Format / Instructions": a body cut into instructions by one regular expression.

Invariant: a piece is the bytes of one instruction, opcode and immediates, and these alone decide what it means. What
the expression does not know, or cannot see the end of, ends the row of pieces; nothing is passed over. Whether an
integer is one, and whether blocks nest, is left to :mod:`wardian.binary.body` and to whoever uses the pieces.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import Final

from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import PLAIN

_CHUNK: Final = 4096
"""Bytes that are cut at a time: so many pieces are in memory at most."""

_INTEGER: Final = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,9}[\x00-\x7f])"

_TAILS: Final = MappingProxyType(
    {
        Imm.LOCAL: _INTEGER,
        Imm.I32: _INTEGER,
        Imm.I64: _INTEGER,
        Imm.GLOBAL: _INTEGER,
        Imm.FUNC: _INTEGER,
        Imm.LABEL: _INTEGER,
        Imm.NONE: b"",
        # Without the number of a memory.
        Imm.MEMARG: rb"[\x00-\x3f]" + _INTEGER,
        # None, or a number or a vector; the index of a type as long as it is small.
        Imm.BLOCK: rb"[\x00-\x40\x7b-\x7f]",
        Imm.CALL_INDIRECT: _INTEGER + _INTEGER,
        Imm.F32: rb".{4}",
        Imm.F64: rb".{8}",
    }
)
"""What follows an opcode of one byte, by kind of immediates; the most common ones first."""


_SETS: Final = (b"\x21", b"\x22")
_END: Final = b"\x0b"


def _known() -> bytes:
    """An expression for one instruction."""
    opcodes: dict[bytes, list[int]] = {}
    for tail in _TAILS.values():
        opcodes[tail] = []
    for byte, row in enumerate(PLAIN):
        if row is not None and row.imm in _TAILS:
            opcodes[_TAILS[row.imm]].append(byte)
    ways = [b"[%s]%s" % (b"".join([b"\\x%02x" % byte for byte in some]), tail) for tail, some in opcodes.items()]
    # Saturating conversions.
    return b"|".join([*ways, rb"\xfc[\x00-\x07]"])


@cache
def _patterns() -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """``(pieces and, last, what is none; a piece)``."""
    known = _known()
    return re.compile(known + b"|.+", re.DOTALL), re.compile(known, re.DOTALL)


def pieces(source: bytes, pos: int, end: int) -> list[bytes]:
    """The next instructions from ``pos`` on, before ``end``: maybe not all of them, and none if the next is not known.

    What comes behind the last one, unless that is an ``end``, does not look like ``local.set`` or ``local.tee``: so
    whoever looks one piece ahead may do so.
    """
    both, one = _patterns()
    stop = min(end, pos + _CHUNK)
    found: list[bytes] = both.findall(source, pos, stop)
    if not found:
        return found
    if one.fullmatch(found[-1]) is None:
        stop -= len(found.pop())
    while found and source[stop : stop + 1] in _SETS and found[-1] != _END:
        stop -= len(found.pop())
    return found
