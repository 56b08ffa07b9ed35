"""Running the command line as a user does: a process of its own, with a cache of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, assemble

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with glue and stencils, and no guest's code: making it takes longer than most tests."""
    folder = tmp_path_factory.mktemp("glue")
    program = folder / "program.wat"
    program.write_text("""(module
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory (export "memory") 1)
      (func (export "_start")) (func (param i32 i32) (result i32) unreachable))""")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "WARDIAN_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, "-m", "wardian", "run", str(program)], env=environment, check=True)
    for entry in (folder / "cache").iterdir():
        if len(entry.name) == 40:
            entry.unlink()
    return folder / "cache"


@pytest.fixture
def cli(tmp_path: Path, glue: Path) -> Cli:
    """``cli("run", "x.wasm", ..., env={...}, input=...)`` in ``tmp_path``."""
    shutil.copytree(glue, tmp_path / "cache")

    def run(*words: str | Path, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "WARDIAN_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "wardian", *map(str, words)]
        options = {"cwd": tmp_path, "timeout": 120, "text": True, **options}
        return subprocess.run(command, env=environment | (env or {}), capture_output=True, **options)

    return run


@pytest.fixture
def wat(tmp_path: Path) -> Callable[[str, str], Path]:
    """``wat("x.wasm", text)`` writes the module into ``tmp_path``."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(assemble(text))
        return path

    return write
