"""The same module in other bytes: numbers written longer than need be, accesses that name the memory they are to.

What looks ahead in a body, as the baseline tier does, must not be deceived by either.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from wardian.binary.body import instructions, locals_of
from wardian.binary.decode import decode
from wardian.limits import Features, Limits
from wardian.syntax import families as f
from wardian.syntax.instructions import Row

_CODE = 10
_PREFIXED = frozenset({0xFC, 0xFD, 0xFE})
_LONGEST = 5
"""Bytes of a 32-bit number."""
_NAMES_MEMORY = 0x40
_NUMBERED = f.LocalGet | f.LocalSet | f.LocalTee | f.GlobalGet | f.GlobalSet | f.Br | f.BrIf | f.Call
"""Families of instructions that are an opcode and a number."""


def number(value: int) -> bytes:
    """LEB128 as short as can be."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def respelled(source: bytes, features: Features, rng: random.Random) -> bytes:
    """A module that means the same; ``source`` is valid."""
    module = decode(source, features)
    out = bytearray(source[:8])
    for section, start, end in module.sections:
        content = source[start:end]
        if section == _CODE:
            bodies = [b"".join(_body(source, body, features, rng)) for body in module.bodies]
            content = number(len(bodies)) + b"".join(_longer(number(len(b)), rng) + b for b in bodies)
        out += bytes([section]) + _longer(number(len(content)), rng) + content
    return bytes(out)


def _body(source: bytes, body: tuple[int, int], features: Features, rng: random.Random) -> Iterator[bytes]:
    start, end = body
    at = locals_of(source, start, end, Limits(), features)[1]
    yield source[start:at]
    places = [(offset, row, imm) for offset, row, imm in instructions(source, at, end, features)]
    for (offset, row, imm), stop in zip(places, [*(place[0] for place in places[1:]), end], strict=True):
        raw = source[offset:stop]
        yield _instruction(raw, row, imm, rng) if rng.random() < 0.2 else raw


def _instruction(raw: bytes, row: Row, imm: object, rng: random.Random) -> bytes:
    accesses = isinstance(row.family, f.Load | f.Store) and isinstance(imm, tuple) and imm[2] == 0
    if accesses and not raw[1] & _NAMES_MEMORY:
        return bytes([raw[0], raw[1] | _NAMES_MEMORY]) + _longer(b"\0", rng) + raw[2:]
    if raw[0] in _PREFIXED:
        size = next(i for i in range(1, len(raw)) if raw[i] < 0x80)
        return raw[:1] + _longer(raw[1 : size + 1], rng) + raw[size + 1 :]
    if isinstance(row.family, _NUMBERED):
        return raw[:1] + _longer(raw[1:], rng)
    return raw


def _longer(leb: bytes, rng: random.Random) -> bytes:
    """An unsigned number in up to five bytes."""
    more = rng.randint(0, _LONGEST - len(leb))
    return leb if not more else leb[:-1] + bytes([leb[-1] | 0x80]) + b"\x80" * (more - 1) + b"\0"
