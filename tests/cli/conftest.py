"""Running the command line as a user does: a process of its own, with a cache of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, assemble

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """``cli("run", "x.wasm", ..., env={...}, input=...)`` in ``tmp_path``."""

    def run(*words: str | Path, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "WARDIAN_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "wardian", *map(str, words)]
        options = {"cwd": tmp_path, "timeout": 120, **options}
        return subprocess.run(command, env=environment | (env or {}), capture_output=True, text=True, **options)

    return run


@pytest.fixture
def wat(tmp_path: Path) -> Callable[[str, str], Path]:
    """``wat("x.wasm", text)`` writes the module into ``tmp_path``."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(assemble(text))
        return path

    return write
