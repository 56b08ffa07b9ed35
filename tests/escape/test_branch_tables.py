"""Large branch tables: every index leads to its own arm, and every index beyond to the default.

wasmtime.md 2.4 A 12 and 13. The guest goes through all indices itself and counts those that went astray.
"""

from __future__ import annotations

import pytest

import wardian
from tests.binary.build import HEADER, leb, section, sized
from tests.support import MODES, Mode

ARMS = 211
"""Different arms, a prime: no power of two of entries has all of them in the same places."""
STEP = 7919


def arm(index: int) -> int:
    return index * STEP % ARMS


def table_of(entries: int) -> bytes:
    """``pick(index)`` gives the arm's number, or -1; ``astray(from, to)`` the indices that gave another."""
    targets = b"".join(leb(arm(index)) for index in range(entries)) + leb(ARMS)
    arms = b"".join(b"\x0b\x41" + _sleb(number) + b"\x0f" for number in range(ARMS))
    pick = b"\0" + b"\x02\x40" * (ARMS + 1) + b"\x20\0\x0e" + leb(entries) + targets + arms + b"\x0b\x41\x7f\x0b"
    # for (; from != to; from++) wrong += pick(from) != from * STEP % ARMS (in 64 bits, for the product may not wrap)
    expected = b"\x20\0\xad\x42" + _sleb(STEP) + b"\x7e\x42" + _sleb(ARMS) + b"\x82\xa7"
    loop = (
        b"\1\1\x7f\x02\x40\x03\x40\x20\0\x20\1\x46\x0d\1"
        + b"\x20\0\x10\0" + expected + b"\x47\x20\2\x6a\x21\2"
        + b"\x20\0\x41\1\x6a\x21\0\x0c\0\x0b\x0b\x20\2\x0b"
    )  # fmt: skip
    types = section(1, b"\2\x60\1\x7f\1\x7f\x60\2\x7f\x7f\1\x7f")
    exports = section(7, b"\2" + sized(b"pick") + b"\0\0" + sized(b"astray") + b"\0\1")
    return HEADER + types + section(3, b"\2\0\1") + exports + section(10, b"\2" + sized(pick) + sized(loop))


def _sleb(value: int) -> bytes:
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            return bytes(out) + bytes((byte,))
        out.append(byte | 0x80)


CASES = [
    pytest.param(mode, entries, id=f"{mode}-{entries}", marks=() if quick else pytest.mark.slow)
    for mode in (*MODES, *(Mode(opt, "guard", "full") for opt in ("O0", "O2", "baseline")))
    for entries in (10_000, 65_537, 1_000_000)
    for quick in [entries == 10_000 and mode.checks == "guard" and mode.spectre == "basic"]
]


@pytest.mark.parametrize(("mode", "entries"), CASES)
def test_every_index_finds_its_arm(mode: Mode, entries: int) -> None:
    config = wardian.Config(**mode._asdict(), cache=False)
    exports = wardian.Module(table_of(entries), wardian.Engine(config)).instantiate().exports
    assert [exports.pick(index) for index in (0, 1, ARMS, entries - 1)] == [0, arm(1), 0, arm(entries - 1)]
    assert exports.astray(0, entries) == 0
    for index in (entries, entries + 1, 2 * entries, 1 << 20, 1 << 24, 0x7FFFFFFF, -0x80000000, -entries, -2, -1):
        assert exports.pick(index) == -1
