"""Decode after encode is the identity, and encode after decode where the input was as short as can be."""

from __future__ import annotations

import pytest

from tests.binary.build import HEADER, module, section
from tests.support import EVERYTHING
from wardian.binary.decode import decode
from wardian.binary.encode import encode
from wardian.syntax.module import DataSegments, Module

TYPES = section(1, "04 60 02 7f 7b 01 7c  4e 02 50 00 5f 02 77 01 64 6e 00 4f 01 01 5f 00  5e 7e 01  60 00 00")
FUNCS = section(3, "02 04 04")
CODE = section(10, "02 02 00 0b 04 01 01 7f 0b")

SHORTEST = {
    "empty": HEADER,
    "empty sections": module(*(section(i, "00") for i in (1, 2, 3, 4, 5, 13, 6, 7, 9, 12, 10, 11))),
    "types": module(TYPES),
    "imports": module(
        section(2, "05 01 6d 01 66 00 00 00 00 01 70 00 01 00 00 02 07 02 03 00 00 03 7f 01 00 00 04 00 00")
    ),
    "definitions": module(
        TYPES,
        FUNCS,
        section(4, "02 6f 05 01 02  40 00 64 70 00 03 d2 00 0b"),
        section(5, "02 00 01  08 05 00"),
        section(13, "01 00 04"),
        section(6, "01 7e 00 42 05 0b"),
        section(7, "01 01 61 02 01"),
        section(8, "00"),
        CODE,
    ),
    "elements": module(
        section(
            9,
            "08 00 41 00 0b 01 05  01 00 01 05  02 03 41 00 0b 00 00  03 00 00  04 41 00 0b 01 d2 00 0b"
            "05 6f 01 d0 6f 0b  06 01 41 00 0b 70 00  07 70 01 d0 70 0b",
        )
    ),
    "data": module(section(12, "03"), section(11, "03 00 41 00 0b 02 61 62 01 01 63 02 05 42 00 0b 00")),
    "customs": module(
        section(0, b"\1aX"), TYPES, section(0, b"\1bY"), section(0, b"\0"), section(5, "00"), section(0, b"\1c")
    ),
}


@pytest.mark.parametrize("source", SHORTEST.values(), ids=SHORTEST)
def test_shortest_encodings_come_back_as_they_were(source: bytes) -> None:
    assert encode(decode(source, EVERYTHING)) == source


def declarations(module: Module) -> dict[str, object]:
    """What a module declares, with slices replaced by what they hold."""
    bare = module.__replace__(sections=[])
    found = {n: _resolved(module.source, getattr(bare, n)) for n in bare.__match_args__ if n != "source"}
    return found


def _resolved(source: bytes, value: object) -> object:
    if isinstance(value, list | DataSegments):
        return [_resolved(source, item) for item in value]
    parts = {name: getattr(value, name) for name in ("init", "offset", "content") if hasattr(value, name)}
    if not parts and not hasattr(value, "exprs"):
        return value
    shown = {name: source[slice(*part)] if part else part for name, part in parts.items()}
    exprs = [source[slice(*part)] for part in getattr(value, "exprs", ())]
    rest = {
        name: getattr(value, name)
        for name in ("type", "mode", "funcs", "table", "memory", "name", "after")
        if hasattr(value, name)
    }
    return (type(value).__name__, shown, exprs, rest)


LONGER = {
    "padded section size": HEADER + bytes.fromhex("05 8480808000 01 00 8100"),
    "padded bounds": module(section(5, "01 01 8100 828000")),
    "final subtype without supertype": module(section(1, "01 4f 00 60 00 00")),
    "negative one-byte type, long form": module(section(1, "01 60 01 63 70 00")),
    "explicit table 0": module(section(9, "01 02 00 41 00 0b 00 01 05")),
    "explicit memory 0": module(section(11, "01 02 00 41 00 0b 01 61")),
    "explicit funcref": module(section(9, "01 06 00 41 00 0b 70 00")),
    "padded name": module(section(2, "01 8100 61 00 00 00")),
}


@pytest.mark.parametrize("source", LONGER.values(), ids=LONGER)
def test_longer_encodings_are_shortened_and_mean_the_same(source: bytes) -> None:
    first = decode(source, EVERYTHING)
    short = encode(first)
    second = decode(short, EVERYTHING)
    assert len(short) < len(source)
    assert declarations(first) == declarations(second)
    assert encode(second) == short
