"""What a cache key is made of: everything, besides the module and its options, that decides which bytes come out.

Invariant: nothing here imports llvmlite; a warm run must not pay for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Final

from wardian.digest import blake2b

SOURCES: Final = ("syntax", "binary", "valid", "vm", "compile", "compile/glue", "compile/baseline")
"""Folders of the package whose files decide which machine code is made, and what it means."""


def build_id() -> bytes:
    """A digest of this engine's sources (by name, size and time), LLVM's wrapper, Python and the CPU."""
    h = blake2b(digest_size=16)
    package = os.path.dirname(os.path.dirname(__file__))
    for part in SOURCES:
        with os.scandir(os.path.join(package, part)) as files:
            for file in sorted((f for f in files if f.name.endswith((".py", ".so", ".wasm"))), key=lambda f: f.name):
                status = file.stat()
                h.update(f"{part}/{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    h.update(_llvmlite().encode())
    h.update(f"{sys.implementation.cache_tag} {os.uname().machine}\n".encode())
    h.update(_cpu())
    return h.digest()


def _llvmlite() -> str:
    """Where llvmlite is and its version file's contents, without importing it."""
    for folder in sys.path:
        try:
            with open(os.path.join(folder, "llvmlite", "_version.py")) as file:
                return folder + file.read()
        except OSError:
            continue
    return "no llvmlite"


def _cpu() -> bytes:
    """Model and feature flags of the first processor."""
    try:
        with open("/proc/cpuinfo", "rb") as file:
            lines = file.read(8192).split(b"\n\n")[0].splitlines()
    except OSError:
        return b"unknown"
    return b"\n".join(line for line in lines if line.startswith((b"flags", b"model name", b"Features")))


def cpu_flags() -> set[bytes]:
    """Feature flags of the first processor."""
    lines = _cpu().split(b"\n")
    return {flag for line in lines if line.startswith((b"flags", b"Features")) for flag in line.split()[2:]}


def key(*parts: bytes | str | Iterable[str]) -> str:
    """A cache key: hex of the digest of all parts, unambiguously joined."""
    h = blake2b(digest_size=20)
    for part in parts:
        raw = part if isinstance(part, bytes) else (part if isinstance(part, str) else ",".join(part)).encode()
        h.update(len(raw).to_bytes(8, "little"))
        h.update(raw)
    return h.hexdigest()
