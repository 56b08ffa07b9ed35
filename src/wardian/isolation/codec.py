"""Plain values as bytes, for the border between processes of which one may be hostile. Never pickle.

Invariant: :func:`decode` of any bytes gives a value or raises :class:`CodecError`, in time and memory linear in their
number; what :func:`encode` takes, ``decode`` gives back (sequences as tuples), and nothing else has an encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from wardian.errors import WardianError

DEPTH: Final = 16
"""Nesting of sequences and maps."""
INTEGER: Final = 64
"""Bytes of the largest integer."""

_SIZE: Final = struct.Struct("<I")
_INT: Final = struct.Struct("<q")
_FLOAT: Final = struct.Struct("<d")
_HANDLE: Final = struct.Struct("<Q")


class CodecError(WardianError):
    """Bytes that are no value, or a value that has no bytes."""


class Handle(NamedTuple):
    """In place of an object that stays on the side which has it."""

    number: int


def encode(value: object) -> bytes:
    """The bytes of ``None``, a bool, number, bytes, text, :class:`Handle`, or a sequence or map of such.

    Raises :class:`CodecError` for anything else, and for what is nested too deeply.
    """
    out = bytearray()
    _put(value, out, DEPTH)
    return bytes(out)


def _put(value: object, out: bytearray, depth: int) -> None:
    if depth < 0:
        raise CodecError("the value is nested too deeply")
    write = _WRITERS.get(type(value))
    if write is None:
        raise CodecError(f"a {type(value).__name__} cannot cross between processes")
    write(value, out, depth)


def _put_int(value: int, out: bytearray, depth: int) -> None:
    if -(1 << 63) <= value < 1 << 63:
        out += b"i" + _INT.pack(value)
        return
    size = value.bit_length() // 8 + 1
    if size > INTEGER:
        raise CodecError("the integer is too large")
    out += b"I" + bytes((size,)) + value.to_bytes(size, "little", signed=True)


def _put_bytes(value: bytes, out: bytearray, depth: int) -> None:
    out += b"b" + _SIZE.pack(len(value))
    out += value


def _put_text(value: str, out: bytearray, depth: int) -> None:
    out += b"s"
    _put_raw(value, out)


def _put_raw(value: str, out: bytearray) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    out += _SIZE.pack(len(raw)) + raw


def _put_sequence(value: tuple[object, ...], out: bytearray, depth: int) -> None:
    out += b"t" + _SIZE.pack(len(value))
    for item in value:
        _put(item, out, depth - 1)


def _put_map(value: dict[object, object], out: bytearray, depth: int) -> None:
    out += b"m" + _SIZE.pack(len(value))
    for key, item in value.items():
        if type(key) is not str:
            raise CodecError("the keys of a map are texts")
        _put_raw(key, out)
        _put(item, out, depth - 1)


_WRITERS: Final[MappingProxyType[type, Callable[[Any, bytearray, int], None]]] = MappingProxyType(
    {
        type(None): lambda value, out, depth: out.extend(b"n"),
        bool: lambda value, out, depth: out.extend(b"T" if value else b"F"),
        int: _put_int,
        float: lambda value, out, depth: out.extend(b"d" + _FLOAT.pack(value)),
        bytes: _put_bytes,
        str: _put_text,
        tuple: _put_sequence,
        list: _put_sequence,
        dict: _put_map,
        Handle: lambda value, out, depth: out.extend(b"h" + _HANDLE.pack(value.number)),
    }
)


def decode(data: bytes | memoryview) -> Any:
    """The value of ``data``, all of it. Raises :class:`CodecError`."""
    source = _Source(memoryview(data))
    try:
        value = source.value(DEPTH)
    except (struct.error, UnicodeDecodeError) as error:
        raise CodecError(f"damaged value: {error}") from None
    if source.at != len(data):
        raise CodecError("bytes after the value")
    return value


class _Source:
    """Reads values one after the other."""

    __slots__ = ("at", "data")

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> memoryview:
        piece = self.data[self.at : self.at + size]
        if len(piece) != size:
            raise CodecError("the value ends too early")
        self.at += size
        return piece

    def count(self, smallest: int) -> int:
        """A number of items of at least ``smallest`` bytes each: no more than there is room for."""
        count: int = _SIZE.unpack(self.take(4))[0]
        if count * smallest > len(self.data) - self.at:
            raise CodecError("the value ends too early")
        return count

    def value(self, depth: int) -> Any:
        if depth < 0:
            raise CodecError("the value is nested too deeply")
        read = _READERS.get(self.take(1)[0])
        if read is None:
            raise CodecError("unknown kind of value")
        return read(self, depth)

    def text(self) -> str:
        return bytes(self.take(self.count(1))).decode("utf-8", "surrogatepass")

    def integer(self) -> int:
        size = self.take(1)[0]
        if not 9 <= size <= INTEGER:
            raise CodecError("an integer of a size it cannot have")
        value = int.from_bytes(self.take(size), "little", signed=True)
        if value.bit_length() // 8 + 1 != size:
            raise CodecError("an integer that is longer than it must be")
        return value

    def map(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self.count(5)):
            key = self.text()
            if key in found:
                raise CodecError("a key that is there twice")
            found[key] = self.value(depth - 1)
        return found


_READERS: Final[MappingProxyType[int, Callable[[_Source, int], Any]]] = MappingProxyType(
    {
        ord("n"): lambda source, depth: None,
        ord("T"): lambda source, depth: True,
        ord("F"): lambda source, depth: False,
        ord("i"): lambda source, depth: _INT.unpack(source.take(8))[0],
        ord("I"): lambda source, depth: source.integer(),
        ord("d"): lambda source, depth: _FLOAT.unpack(source.take(8))[0],
        ord("b"): lambda source, depth: bytes(source.take(source.count(1))),
        ord("s"): lambda source, depth: source.text(),
        ord("t"): lambda source, depth: tuple([source.value(depth - 1) for _ in range(source.count(1))]),
        ord("m"): lambda source, depth: source.map(depth),
        ord("h"): lambda source, depth: Handle(_HANDLE.unpack(source.take(8))[0]),
    }
)
