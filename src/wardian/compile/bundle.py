"""A compiled module as one file that needs no compiler to run: source, machine code, glue.

Invariant: :meth:`Bundle.decode` gives what :meth:`Bundle.encode` was given, of an engine and for a CPU that can run it,
or raises :class:`ArtifactError`; whatever the bytes, nothing is executed here.

A bundle holds native code. Its digest tells damage; made with a key, it also tells who made it. Without a key, whoever
loads a bundle vouches for it: a forged one is anything its maker likes, with the rights of this process.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Final, final

from wardian.compile.fingerprint import SOURCES, cpu_flags
from wardian.compile.options import CodeOptions
from wardian.digest import blake2b
from wardian.errors import ArtifactError
from wardian.record import Record

MAGIC: Final = b"\0wardian"
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<8sII32s")
_LENGTH: Final = struct.Struct("<Q")
_PARTS: Final = 8


@final
class Bundle(Record):
    """``functions`` and ``glue`` are as :mod:`wardian.compile.artifact` encodes them."""

    source: bytes
    options: CodeOptions
    functions: bytes
    glue: bytes

    def encode(self, key: bytes | None = None) -> bytes:
        """As bytes, authenticated with ``key`` (1 to 64 bytes) if there is one."""
        parts = (
            engine_digest(),
            os.uname().machine.encode(),
            str(sys.implementation.cache_tag).encode(),
            b" ".join(sorted(cpu_flags())),
            self.options.encode().encode(),
            self.source,
            self.functions,
            self.glue,
        )
        body = b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
        has_key = int(key is not None)
        return _HEAD.pack(MAGIC, _VERSION, has_key, _digest(has_key, body, key)) + body

    @classmethod
    def decode(cls, data: bytes, key: bytes | None = None) -> Bundle:
        """Inverse of :meth:`encode`. Glue of another Python version is left out. Raises :class:`ArtifactError`."""
        if data[: len(MAGIC)] != MAGIC or len(data) < _HEAD.size:
            raise ArtifactError("this is no compiled module")
        _, version, has_key, digest = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise ArtifactError("the compiled module was made by another version of wardian: compile it again")
        if key is None and has_key == 1:
            raise ArtifactError("the compiled module was made with a key, without which it is not loaded")
        body = memoryview(data)[_HEAD.size :]
        if _digest(has_key, body, key) != digest:
            wrong = "it is damaged" if key is None else "it is damaged, or was not made with this key"
            raise ArtifactError(f"the compiled module's digest is wrong: {wrong}")
        engine, machine, tag, flags, options, source, functions, glue = _split(body)
        if engine != engine_digest():
            raise ArtifactError("the compiled module was made by another version of wardian: compile it again")
        missing = set(flags.split()) - cpu_flags()
        if machine != os.uname().machine.encode() or missing:
            what = b" ".join(sorted(missing)[:8]).decode("ascii", "replace") or machine.decode("ascii", "replace")
            raise ArtifactError(f"the compiled module was made for another CPU ({what}): compile it again")
        if tag != str(sys.implementation.cache_tag).encode():
            glue = b""
        return cls(source, _options(options), functions, glue)


def _options(data: bytes) -> CodeOptions:
    try:
        return CodeOptions.decode(data.decode())
    except ValueError:
        raise ArtifactError("the compiled module is not laid out as it should be") from None


def _digest(has_key: int, body: bytes | memoryview, key: bytes | None) -> bytes:
    h = blake2b(b"%d" % has_key, key=key or b"", digest_size=32, person=b"wardian bundle")
    h.update(body)
    return h.digest()


def _split(body: memoryview) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at + _LENGTH.size <= len(body):
        (size,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if size > len(body) - at:
            break
        parts.append(bytes(body[at : at + size]))
        at += size
    if len(parts) != _PARTS or at != len(body):
        raise ArtifactError("the compiled module is not laid out as it should be")
    return parts


def is_bundle(data: bytes) -> bool:
    """Does this begin as a bundle does?"""
    return data[: len(MAGIC)] == MAGIC


def engine_digest() -> bytes:
    """A digest of the sources that decide what machine code means, wherever they are installed."""
    h = blake2b(digest_size=16)
    package = os.path.dirname(os.path.dirname(__file__))
    for part in SOURCES:
        for name in sorted(n for n in os.listdir(os.path.join(package, part)) if n.endswith((".py", ".wasm"))):
            with open(os.path.join(package, part, name), "rb") as file:
                h.update(f"{part}/{name}\0".encode() + blake2b(file.read(), digest_size=16).digest())
    return h.digest()
