"""Any bytes in place of something compiled give a value that encodes as it was, ``None``, or an :class:`ArtifactError`,
whether their digest is right or not; the cache gives back nothing but what was stored; and none of it is executed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.module import Module
from wardian.compile import bundle
from wardian.compile.artifact import Functions, decode_images, encode_images
from wardian.compile.baseline.library import Library
from wardian.compile.bundle import Bundle
from wardian.compile.cache import Cache
from wardian.compile.link import Image
from wardian.compile.options import CodeOptions
from wardian.errors import ArtifactError, BadInput, Refused

KEY = "0" * 40
EMPTY = b"\0asm\1\0\0\0"


def _functions(data: bytes) -> None:
    found = Functions.decode(data)
    if found is not None:
        again = Functions.decode(found.encode())
        assert again is not None and (again.blob, again.rows) == (found.blob, found.rows)


def _images(data: bytes) -> None:
    found = decode_images(data)
    assert decode_images(encode_images(found)) == found


def _library(data: bytes) -> None:
    found = Library.decode(data)
    assert found is None or len(found.constants) * 4 <= len(data)


def _raw_bundle(data: bytes) -> None:
    for key in (None, b"key"):
        try:
            assert Bundle.decode(data, key).encode(key)
        except ArtifactError:
            pass


def _signed_bundle(data: bytes) -> None:
    """With the digest that belongs to them: whoever made them had no key to guess, or has it."""
    for key in (None, b"key"):
        flag = int(key is not None)
        signed = bundle._HEAD.pack(bundle.MAGIC, bundle._VERSION, flag, bundle._digest(flag, data, key)) + data
        try:
            found = Bundle.decode(signed, key)
        except ArtifactError:
            continue
        assert Bundle.decode(found.encode(key), key).source == found.source


def _parts(data: bytes) -> None:
    """The parts of a bundle that say what it holds, the others being right."""
    size = len(data) // 3
    made = Bundle(EMPTY + data[:size], CodeOptions(), data[size : 2 * size], data[2 * size :]).encode()
    try:
        module = Module.deserialize(made, _engine("modules"))
    except (BadInput, Refused):
        return
    assert module.decl.source == EMPTY + data[:size]


def _options(data: bytes) -> None:
    """How it was compiled, in words that an engine has to make sense of."""
    right, wrong = CodeOptions().encode().encode(), data[: len(CodeOptions().encode())]
    parts = Bundle(EMPTY, CodeOptions(), Functions.join(None, []).encode(), b"").encode()[bundle._HEAD.size :]
    signed = parts.replace(right, wrong.ljust(len(right)))
    made = bundle._HEAD.pack(bundle.MAGIC, bundle._VERSION, 0, bundle._digest(0, signed, None)) + signed
    try:
        Module.deserialize(made, _engine("instances")).instantiate()
    except (BadInput, Refused):
        pass


@cache
def _engine(purpose: str) -> Engine:
    """One that is given glue out of the input makes no instances: that would run it."""
    return Engine(Config(cache=False))


@cache
def _folder() -> tuple[Cache, Path, tempfile.TemporaryDirectory[str]]:
    keeper = tempfile.TemporaryDirectory(prefix="wardian-fuzz-")
    os.chmod(keeper.name, 0o700)
    cache = Cache(keeper.name)
    cache.store(KEY, b"stored")
    return cache, Path(keeper.name), keeper


def _entry(data: bytes) -> None:
    """A file of the cache with other contents, or the contents of another."""
    cache, folder, _ = _folder()
    right = (folder / KEY).read_bytes()
    other = folder / ("1" * 40)
    other.write_bytes(data)
    other.chmod(0o600)
    assert cache.load(other.name) is None
    other.write_bytes(right)
    assert cache.load(other.name) is None
    (folder / KEY).write_bytes(data)
    try:
        assert cache.load(KEY) == (b"stored" if data == right else None)
    finally:
        (folder / KEY).write_bytes(right)
    assert cache.load(KEY) == b"stored"


KINDS: tuple[Callable[[bytes], None], ...] = (
    _functions, _images, _library, _raw_bundle, _signed_bundle, _parts, _entry, _options,
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """The first byte says what the others stand for."""
    functions = Functions.join(None, [(0, b"\xc3" * 5, 0), (3, b"\x90\xc3", 1)]).encode()
    image = Image(b"\xc3" * 20, (("a", 0, 5), ("b", 8, 1)), b"data", 4096)
    images = encode_images({"core": image, "signature i": image})
    yield b"\0" + functions
    yield b"\1" + images
    yield b"\2WST1" + b"\1\0\0\0\1\0\0\0\2\0\0\0ab\1\0\1\0\0\0g" + b"\5\0\0\0\x20\0\0\0" + b"\3\0\1\0\1abc" + bytes(16)
    whole = Bundle(EMPTY, CodeOptions(), functions, images).encode()
    yield b"\3" + whole
    yield b"\4" + whole[bundle._HEAD.size :]
    size = len(images)
    yield b"\5" + b"\0\2\1a".ljust(size, b"\0") + functions.ljust(size, b"\0") + images
    yield b"\6WARDIAN\1" + bytes(40)
    for options in (CodeOptions(), CodeOptions("baseline", "guard", True)):
        yield b"\7" + options.encode().encode()


def run(data: bytes) -> None:
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])
