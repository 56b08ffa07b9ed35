"""Initial contents of memories: what a first instance has copied, what later ones map, and what a reset restores."""

from __future__ import annotations

import os
import random

import pytest

from tests.support import Mode, mode_params, share_glue
from wardian import Engine, Module
from wardian.runtime.memory import Initial

PAGES = 4


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed(value: int) -> bytes:
    """An ``i32.const``'s number, not always in as few bytes as would do."""
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21 & 0x7F])


def module(segments: list[tuple[int, bytes]]) -> bytes:
    """A module that exports a memory with these active segments."""
    data = b"".join(b"\0\x41" + _signed(at) + b"\x0b" + _leb(len(text)) + text for at, text in segments)
    sections = {
        5: b"\1\0" + bytes([PAGES]),
        7: b"\1\3mem\2\0",
        11: _leb(len(segments)) + data,
    }
    return b"\0asm\1\0\0\0" + b"".join(bytes([n]) + _leb(len(s)) + s for n, s in sections.items())


def expected(segments: list[tuple[int, bytes]]) -> bytes:
    memory = bytearray(PAGES << 16)
    for at, text in segments:
        memory[at : at + len(text)] = text
    return bytes(memory)


def _segments(count: int, seed: int) -> list[tuple[int, bytes]]:
    """Many that overlap, of all sizes, with empty ones and one that ends where the memory does."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        text = rng.randbytes(rng.choice((0, 1, 3, 200, 20_000)))
        found.append((rng.randrange((PAGES << 16) - len(text) + 1), text))
    return [*found, ((PAGES << 16) - 5, b"right")]


@pytest.mark.parametrize("mode", mode_params())
def test_each_instance_begins_with_the_segments_contents(mode: Mode) -> None:
    segments = _segments(60, 7)
    made = Module(module(segments), share_glue(Engine(mode.config())))
    assert isinstance(made.code().initial(), Initial)
    first, second, third = (made.instantiate() for _ in range(3))
    want = expected(segments)
    for instance in (first, second, third):
        assert bytes(instance.exports["mem"].read(0, PAGES << 16)) == want
    # What one writes, no other sees, and a reset undoes, whichever way its contents had come.
    for instance in (first, second):
        instance.exports["mem"].write(10, b"written")
    assert bytes(third.exports["mem"].read(0, PAGES << 16)) == want
    for instance in (first, second):
        instance.reset()
        assert bytes(instance.exports["mem"].read(0, PAGES << 16)) == want


def test_without_a_file_for_the_image_contents_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    segments = _segments(40, 8)
    made = Module(module(segments), share_glue(Engine()))
    made.instantiate()

    def refuse(*args: object) -> int:
        raise OSError(24, "no more files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    second = made.instantiate()
    assert bytes(second.exports["mem"].read(0, PAGES << 16)) == expected(segments)
