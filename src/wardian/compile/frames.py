"""How much stack a compiled function takes, read off its machine code: so that no frame outgrows what was looked for.

Invariant: a function whose frame is larger than :data:`SMALL_FRAME` has an entrance that compares the stack limit with
its true size before the frame exists (:meth:`wardian.compile.function.Lowering.text`). Frames are never touched in
steps, so one that is larger than the room below the limit could reach past the stack's guard page.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from wardian.compile.function import SMALL_FRAME
from wardian.compile.link import Image

_PROLOGUE: Final = 96
"""Bytes of code in which a prologue makes the frame."""

_SUB_RSP: Final = re.compile(rb"\x48\x81\xec(....)", re.DOTALL)
_SLACK: Final = SMALL_FRAME
"""What a frame has besides: saved registers, alignment, arguments of calls, a small callee."""


def _x86_64(code: bytes) -> int:
    """``sub rsp, imm32``, wherever it is done in the prologue; frames below 128 bytes do not matter."""
    return sum(int.from_bytes(found[1], "little") for found in _SUB_RSP.finditer(code[:_PROLOGUE]))


_FRAME: Final[MappingProxyType[str, Callable[[bytes], int]]] = MappingProxyType({"x86_64": _x86_64})


def frame_size(code: bytes) -> int | None:
    """Bytes the function that begins with ``code`` takes off the stack pointer; ``None``: unknown machine."""
    read = _FRAME.get(platform.machine())
    return read(code) if read else None


def fits(image: Image, symbol: str) -> bool:
    """Is the function split, or its frame small enough not to be?"""
    if any(name == f"{symbol}.frame" for name, _, _ in image.symbols):
        return True
    size = frame_size(image.code[image.offset(symbol) :])
    return size is None or size <= SMALL_FRAME


def with_frame(image: Image, symbol: str) -> bytes:
    """The image's code, with the true size of a split function's frame in place of the estimate."""
    at = next((at for name, at, _ in image.symbols if name == f"{symbol}.frame"), None)
    body = next((at for name, at, _ in image.symbols if name == f"{symbol}.body"), None)
    size = None if body is None else frame_size(image.code[body:])
    if at is None or size is None:
        return image.code
    return image.code[:at] + (size + _SLACK).to_bytes(8, "little") + image.code[at + 8 :]
