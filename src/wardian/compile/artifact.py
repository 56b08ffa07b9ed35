"""Compiled things as inert bytes, in formats of our own: never pickle, nothing executable until mapped by the runtime.

Invariant: decoding any bytes gives a value or ``None``, quickly. Authenticity is :mod:`wardian.compile.cache`'s
business; these codecs only guard against a format that changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final, final

from wardian.compile.link import Image
from wardian.record import Record

_ROW: Final = struct.Struct("<IIII")
_HEAD: Final = struct.Struct("<4sI")
_ALIGN: Final = 64
"""Constants lie behind the code that reads them, and LLVM aligns those of the widest vectors to their size."""


@final
class Functions(Record):
    """Code of some of a module's defined functions in one position-independent ``blob``.

    ``rows`` maps a function to ``(offset of its code, size, offset of its entry point)``, all in the blob.
    """

    blob: bytes | memoryview
    rows: Mapping[int, tuple[int, int, int]]

    @classmethod
    def join(cls, old: Functions | None, new: Iterable[tuple[int, bytes, int]]) -> Functions:
        """``old`` and ``new`` functions ``(index, code, entry offset in the code)`` together."""
        blob = bytearray(old.blob if old else b"")
        rows = dict(old.rows) if old else {}
        for index, code, entry in new:
            if index not in rows:
                blob.extend(b"\xcc" * (-len(blob) % _ALIGN))
                rows[index] = (len(blob), len(code), len(blob) + entry)
                blob += code
        return cls(bytes(blob), rows)

    def encode(self) -> bytes:
        table = b"".join(_ROW.pack(index, *row) for index, row in self.rows.items())
        return b"".join((_HEAD.pack(b"WFN1", len(self.rows)), table, self.blob))

    @classmethod
    def decode(cls, data: bytes) -> Functions | None:
        if len(data) < _HEAD.size:
            return None
        magic, count = _HEAD.unpack_from(data)
        start = _HEAD.size + count * _ROW.size
        if magic != b"WFN1" or start > len(data):
            return None
        table = _ROW.iter_unpack(memoryview(data)[_HEAD.size : start])
        return cls(memoryview(data)[start:], {index: (at, size, entry) for index, at, size, entry in table})


_IMAGE: Final = struct.Struct("<HIIIH")
_SYMBOL: Final = struct.Struct("<HI")


def encode_images(images: Mapping[str, Image]) -> bytes:
    """Named glue images."""
    out = bytearray(_HEAD.pack(b"WGL1", len(images)))
    for name, image in images.items():
        key = name.encode()
        out += _IMAGE.pack(len(key), len(image.code), image.data_at, len(image.data), len(image.symbols)) + key
        for symbol, at, _ in image.symbols:
            raw = symbol.encode()
            out += _SYMBOL.pack(len(raw), at) + raw
        out += image.code + image.data
    return bytes(out)


def decode_images(data: bytes) -> dict[str, Image]:
    """Inverse of :func:`encode_images`; nothing for bytes of another format."""
    images: dict[str, Image] = {}
    try:
        magic, count = _HEAD.unpack_from(data)
        if magic != b"WGL1":
            return {}
        at = _HEAD.size
        for _ in range(count):
            key_size, code_size, data_at, data_size, symbol_count = _IMAGE.unpack_from(data, at)
            at += _IMAGE.size
            key = data[at : at + key_size].decode()
            at += key_size
            symbols = []
            for _ in range(symbol_count):
                size, offset = _SYMBOL.unpack_from(data, at)
                at += _SYMBOL.size
                symbols.append((data[at : at + size].decode(), offset, 0))
                at += size
            end = at + code_size + data_size
            if end > len(data):
                return {}
            images[key] = Image(data[at : at + code_size], tuple(symbols), data[at + code_size : end], data_at)
            at = end
    except (struct.error, UnicodeDecodeError):
        return {}
    return images
