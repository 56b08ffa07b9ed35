"""The manifest of real programs as data, and one entry run through ``wardian.run`` (the data folder's README)."""

from __future__ import annotations

import hashlib
import json
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import wardian
from tests.support import data_root

Entry = dict[str, Any]

HOSTS = {
    # what an entry's "host" asks for, as imports
    "clock_ms": {"env": {"clock_ms": lambda: int(time.monotonic() * 1000) & 0x7FFF_FFFF}},
}

SIGHTGLASS = {"bench": {"start": lambda: None, "end": lambda: None}}
"""The marks around the part of a benchmark that is timed; nothing is timed here."""


@cache
def entries(stage: str) -> tuple[Entry, ...]:
    root = data_root()
    if root is None:
        return ()
    return tuple(entry for entry in json.loads((root / "manifest.json").read_text()) if entry["stage"] == stage)


def run(entry: Entry, data: Path, scratch: Path, engine: wardian.Engine) -> wardian.RunResult:
    """Run ``entry``; ``scratch`` is a fresh empty folder, which stands for ``$TMP``."""
    stdin = (data / entry["stdin"]).read_bytes() if "stdin" in entry else b""
    dirs = [(str(scratch if host == "$TMP" else data / host), guest) for host, guest in entry.get("dirs", ())]
    return wardian.run(
        data / entry["path"],
        entry["invoke_args"] if "invoke" in entry else entry.get("args", []),
        argv0=entry.get("argv0"),
        env=entry.get("env"),
        dirs=dirs,
        input=stdin,
        invoke=entry.get("invoke"),
        imports={**SIGHTGLASS, **HOSTS.get(entry.get("host", ""), {})},
        engine=engine,
    )


def check(entry: Entry, result: wardian.RunResult) -> None:
    """Compare with what the manifest promises."""
    assert (result.status, result.returncode) == ("exited", entry.get("exit_code", 0)), (
        result.status,
        result.returncode,
        str(result.trap),
        result.stderr[-2000:],
    )
    for stream in ("stdout", "stderr"):
        wanted = entry.get(f"{stream}_sha256")
        if wanted is not None:
            printed: bytes = getattr(result, stream)
            assert hashlib.sha256(printed).hexdigest() == wanted, printed[:2000]
    if "regex" in entry:
        assert re.search(entry["regex"].encode(), result.stdout), result.stdout[:2000]
    if "invoke" in entry:
        assert result.values, "the function returned nothing"
