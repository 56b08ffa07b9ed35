"""Builds ``collector.wasm`` from ``collector.c``: ``python -m tests.runtime.build_collector`` (needs ziglang)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from wardian.vm import heap

FOLDER = Path(heap.__file__).parent
SOURCE, BINARY = FOLDER / "collector.c", FOLDER / "collector.wasm"

FLAGS = (
    "--target=wasm32-freestanding -O2 -nostdlib -mbulk-memory -fno-sanitize=all -Wall -Werror "
    "-Wl,--no-entry -Wl,--import-memory -Wl,--strip-all -Wl,-z,stack-size=1024"
).split()


def build(target: Path) -> None:
    """Compile the collector to ``target``. Raises ``subprocess.CalledProcessError``."""
    macros = [f"-D{name}={value}u" for name, value in sorted(vars(heap).items()) if isinstance(value, int)]
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *macros, SOURCE.name, "-o", str(target)]
        subprocess.run(command, cwd=FOLDER, env=env, check=True)


if __name__ == "__main__":
    build(BINARY)
