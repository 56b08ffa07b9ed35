"""Stencils and glue made when the package is built, so that nobody's first run waits for LLVM to make them.

Invariant: the file is used only if it was made from the very sources that are installed, for this Python and this
machine's architecture. Code in it needs no more than the architecture's common features, so it fits every processor.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from wardian.compile.artifact import decode_images, encode_images
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.fingerprint import SOURCES
from wardian.compile.options import CodeOptions
from wardian.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wardian.compile.baseline.library import Library
    from wardian.compile.link import Image

FILE: Final = "stencils.bin"
_MAGIC: Final = b"WARDIAN STENCILS"
_DIGEST: Final = 32
_SIZE: Final = 8


def common() -> tuple[Flavour, ...]:
    """What most modules take: a memory with 32-bit addresses and guard pages, without exceptions and with."""
    options = (CodeOptions(checks="guard", spectre="basic", exceptions=exceptions) for exceptions in (False, True))
    return tuple([Flavour(each, is64=False, shared=False) for each in options])


def _sources() -> bytes:
    """A digest of all that the file is made from but LLVM, and of what glue is made for: Python, the architecture."""
    h = blake2b(digest_size=_DIGEST)
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    for part in SOURCES:
        folder = os.path.join(package, part)
        for name in sorted(os.listdir(folder)):
            if name.endswith((".py", ".wasm")):
                with open(os.path.join(folder, name), "rb") as file:
                    content = file.read()
                h.update(f"{part}/{name} {len(content)}\n".encode())
                h.update(content)
    h.update(f"{sys.implementation.cache_tag} {os.uname().machine}\n".encode())
    return h.digest()


def write(path: Path, glue: Mapping[str, Image]) -> None:
    """Make the file, with these images of glue. Raises ``ImportError`` without llvmlite."""
    from wardian.compile.baseline.stencils import library
    from wardian.compile.llvm import Backend

    backend = Backend()
    parts = [*(library(each, backend, shipped=True) for each in common()), encode_images(glue)]
    sizes = b"".join([len(each).to_bytes(_SIZE, "little") for each in parts])
    path.write_bytes(b"".join([_MAGIC, _sources(), sizes, *parts]))


def _part(number: int) -> bytes | None:
    """One part of the file, if it is there and fits; the glue comes after the flavours."""
    try:
        with open(os.path.join(os.path.dirname(__file__), FILE), "rb") as file:
            head = file.read(len(_MAGIC) + _DIGEST)
            if head != _MAGIC + _sources():
                return None
            raw = file.read(_SIZE * (len(common()) + 1))
            sizes = [int.from_bytes(raw[at : at + _SIZE], "little") for at in range(0, len(raw), _SIZE)]
            file.seek(sum(sizes[:number]), os.SEEK_CUR)
            return file.read(sizes[number])
    except OSError:
        return None


def shipped(wanted: Flavour) -> Library | None:
    """The stencils that came with the package, if they are of this flavour and fit."""
    from wardian.compile.baseline.library import Library

    flavours = common()
    part = _part(flavours.index(wanted)) if wanted in flavours else None
    return None if part is None else Library.decode(part)


def shipped_glue() -> dict[str, Image]:
    """The images of glue that came with the package."""
    part = _part(len(common()))
    return {} if part is None else decode_images(part)
