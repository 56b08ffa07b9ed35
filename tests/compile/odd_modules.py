"""Modules of all kinds, for comparing two ways to compile: real programs, random ones, broken ones."""

from __future__ import annotations

import random

from tests.binary.build import HEADER, section, sized
from tests.fuzz import smith
from tests.support import data_root
from tests.syntax.samples import SAMPLES, body
from wardian.syntax.instructions import ROWS, Row


def broken(source: bytes, rng: random.Random, first: int = 8) -> bytes:
    """``source`` with a few bytes changed, from ``first`` on."""
    raw = bytearray(source)
    for _ in range(rng.choice((1, 1, 2, 5))):
        raw[rng.randrange(first, len(raw))] = rng.choice((rng.randrange(256), 0xFF, 0x80, 0x0B, 0x00))
    return bytes(raw)


def _alone(row: Row, imm: object) -> bytes:
    """A module with one function that is one instruction, which is rarely valid."""
    code = b"\0" + body(row, imm)
    return HEADER + section(1, "01 60 00 00") + section(3, "01 00") + section(10, b"\1" + sized(code))


def modules(count: int) -> list[bytes]:
    """Real programs, random modules, every instruction alone, and broken copies of them all."""
    rng = random.Random(4)
    sources = [source for _ in range(count) if (source := smith.module(rng))]
    root = data_root()
    real = sorted(p for p in root.glob("**/*.wasm") if p.stat().st_size < 400_000) if root else []
    sources += [path.read_bytes() for path in real[:: max(1, len(real) // count)]]
    sources += [_alone(row, imm) for row in ROWS for imm in SAMPLES[row.imm]]
    sources += [broken(rng.choice(sources), rng) for _ in range(5 * count)]
    return sources
