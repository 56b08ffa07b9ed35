"""Builds the kernels for WebAssembly, with and without SIMD, and natively, with ziglang; results stay in a cache.

A kernel is one C file that prints a checksum. What is built is kept under a name made of everything that decides it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

KERNELS: Final = Path(__file__).parent / "kernels"

FLAGS: Final = {
    "scalar": ["-target", "wasm32-wasi", "-O2", "-s"],
    "simd": ["-target", "wasm32-wasi", "-O2", "-msimd128", "-s"],
    # WebAssembly rounds every product: with fused multiply-add the native program would compute something else.
    "native": ["-O2", "-march=native", "-ffp-contract=off", "-s", "-lm"],
}


def cache() -> Path:
    """Where built kernels, caches of engines and raw results lie."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "wardian-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kernels() -> list[str]:
    return sorted(path.stem for path in KERNELS.glob("*.c"))


def build(kernel: str, kind: str) -> Path | None:
    """The kernel built one way, or ``None`` without a compiler."""
    try:
        compiler = version("ziglang")
    except PackageNotFoundError:
        return None
    source = KERNELS / f"{kernel}.c"
    digest = hashlib.sha256(source.read_bytes() + repr((FLAGS[kind], compiler)).encode()).hexdigest()[:12]
    out = cache() / f"{kernel}-{kind}-{digest}"
    if not out.exists():
        made = out.with_name(f"{out.name}.{os.getpid()}")
        subprocess.run([sys.executable, "-m", "ziglang", "cc", str(source), "-o", str(made), *FLAGS[kind]], check=True)
        made.rename(out)
    return out
