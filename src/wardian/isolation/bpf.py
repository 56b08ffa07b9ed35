"""An assembler for the kernel's classic packet filters, as seccomp runs them: labels in, eight-byte instructions out.

Invariant: a program that :func:`assemble` returns ends every path with a verdict and jumps forward only, so it ends.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_FARTHEST: Final = 255
_LONGEST: Final = 4096

_INSTRUCTION: Final = struct.Struct("<HBBI")


class Load(NamedTuple):
    """Take the 32-bit word at ``offset`` of what is looked at."""

    offset: int


class And(NamedTuple):
    mask: int


class Unless(NamedTuple):
    """Go to ``label`` unless the word taken equals ``value``."""

    value: int
    label: str


class When(NamedTuple):
    """Go to ``label`` if the word taken equals ``value``."""

    value: int
    label: str


class Return(NamedTuple):
    """The verdict."""

    verdict: int


class Label(NamedTuple):
    name: str


Step: TypeAlias = "Load | And | Unless | When | Return | Label"


def assemble(steps: Sequence[Step]) -> bytes:
    """The program. Raises ``ValueError`` for a jump backwards, to nowhere or too far, and for a path without an end."""
    places: dict[str, int] = {}
    count = 0
    for step in steps:
        if isinstance(step, Label):
            places[step.name] = count
        else:
            count += 1
    if count == 0 or count > _LONGEST or not isinstance(steps[-1], Return):
        raise ValueError("a filter has 1 to 4096 instructions and ends with a verdict")
    out = bytearray()
    at = 0
    for step in steps:
        if not isinstance(step, Label):
            at += 1
            out += _encode(step, places, at)
    return bytes(out)


def _encode(step: Load | And | Unless | When | Return, places: dict[str, int], after: int) -> bytes:
    match step:
        case Load(offset):
            return _INSTRUCTION.pack(_LOAD, 0, 0, offset)
        case And(mask):
            return _INSTRUCTION.pack(_AND, 0, 0, mask)
        case Return(verdict):
            return _INSTRUCTION.pack(_RETURN, 0, 0, verdict)
        case Unless(value, label):
            return _INSTRUCTION.pack(_EQUAL, 0, _distance(label, places, after), value)
        case When(value, label):
            return _INSTRUCTION.pack(_EQUAL, _distance(label, places, after), 0, value)


def _distance(label: str, places: dict[str, int], after: int) -> int:
    distance = places.get(label, -1) - after
    if not 0 <= distance <= _FARTHEST:
        raise ValueError(f"a jump to {label!r} goes backwards, nowhere, or too far")
    return distance


def run(program: bytes, words: bytes) -> int:
    """What the kernel would say: the verdict of ``program`` on the bytes ``words``, for tests and for the curious."""
    instructions = list(_INSTRUCTION.iter_unpack(program))
    at = taken = 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == _LOAD:
            (taken,) = struct.unpack_from("<I", words, value)
        elif code == _AND:
            taken &= value
        elif code == _EQUAL:
            at += yes if taken == value else no
        else:
            return int(value)
