"""The specification's ``.wast`` scripts as data, by ``wasm-tools json-from-wast``."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import wasm_tools

Command = dict[str, Any]


class Script(NamedTuple):
    """One converted file: its commands, in order, and the folder of the modules they name."""

    folder: Path
    commands: list[Command]

    def module(self, command: Command) -> bytes:
        """The module of ``command``: binary where there is one, else the text the script quotes."""
        name: str = command.get("binary_filename") or command["filename"]
        return (self.folder / name).read_bytes()


@cache
def _workshop() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="wardian-spec-")


@lru_cache(maxsize=4)
def convert(wast: Path) -> Script:
    """Convert one file. Raises ``subprocess.CalledProcessError`` with wasm-tools' words."""
    folder = Path(tempfile.mkdtemp(dir=_workshop().name, prefix=wast.stem + "-"))
    output = folder / "script.json"
    command = [*wasm_tools(), "json-from-wast", str(wast), "-o", str(output), "--wasm-dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return Script(folder, json.loads(output.read_text())["commands"])
