"""Frames on a byte stream between two processes: a length, a kind, a value.

Invariant: a reader never keeps more than the bound it was made with, whatever the other side writes; a frame beyond it,
of an unknown kind, or whose bytes are no value raises :class:`~wardian.isolation.codec.CodecError`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple, final

from wardian.isolation.codec import CodecError, decode, encode

_HEAD: Final = struct.Struct("<QB")
TRUSTED: Final = 4 << 30
"""Bytes of the largest frame that a worker takes: a module, and the input of a guest, have to fit."""
UNTRUSTED: Final = 4 << 20
"""Bytes of the largest frame that is taken *from* a worker, unless it is told to hand over code.

What is decoded takes some ten times that at worst."""


class Kind(IntEnum):
    """What a frame is about, and who sends it."""

    JOB = 1  # to the worker: everything about one run
    READY = 2  # from the worker: it is locked in; the layers
    REFUSED = 3  # from the worker: it is not locked in as it must be; the layers
    LOAD = 4  # from the worker: the code cache's entry of this name?
    LOADED = 5  # to the worker: the entry, or nothing
    STORE = 6  # from a worker that compiles and never runs a guest: an entry
    CALL = 7  # from the worker: a function of the host
    RETURN = 8  # to the worker: what it gave
    RESULT = 9  # from the worker: how the guest ended
    ERROR = 10  # from the worker: what was wrong with the module, or with the call


class Frame(NamedTuple):
    kind: Kind
    value: Any


def pack(kind: Kind, value: object) -> bytes:
    """The bytes of a frame. Raises :class:`CodecError` for what has no encoding."""
    body = encode(value)
    return _HEAD.pack(len(body), kind) + body


def write(fd: int, kind: Kind, value: object) -> None:
    """Write a frame to a descriptor that blocks. Raises ``OSError``."""
    left = memoryview(pack(kind, value))
    while left:
        left = left[os.write(fd, left) :]


def read(fd: int, bound: int = TRUSTED) -> Frame:
    """The next frame from a descriptor that blocks. Raises ``EOFError``, ``OSError`` and :class:`CodecError`."""
    size, kind = _HEAD.unpack(_exactly(fd, _HEAD.size))
    _check(size, kind, bound)
    return Frame(Kind(kind), decode(_exactly(fd, size)))


def _exactly(fd: int, size: int) -> bytes:
    out = bytearray()
    while len(out) < size:
        piece = os.read(fd, min(size - len(out), 1 << 20))
        if not piece:
            raise EOFError
        out += piece
    return bytes(out)


def _check(size: int, kind: int, bound: int) -> None:
    if size > bound:
        raise CodecError(f"a frame of {size} bytes, where {bound} are the most")
    if kind not in Kind.__members__.values():
        raise CodecError(f"a frame of the unknown kind {kind}")


@final
class Reader:
    """Frames out of bytes as they arrive."""

    def __init__(self, bound: int = UNTRUSTED) -> None:
        self._bound = bound
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with ``data``. Raises :class:`CodecError`."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._bytes)
            _check(size, kind, self._bound)
            end = _HEAD.size + size
            if len(self._bytes) < end:
                return
            body = bytes(memoryview(self._bytes)[_HEAD.size : end])
            del self._bytes[:end]
            yield Frame(Kind(kind), decode(body))
