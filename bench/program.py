"""What is run: kernels of our own and entries of the test data's manifest, in one form that travels as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.build import build, kernels

UNFIT: Final = frozenset({"coremark/wasi", "sg/noop"})
"""One never ends under Wasmtime, whose WASI has no CPU-time clocks; the other does nothing."""
LONG: Final = 4.0
"""Seconds from which a program is left out unless it is asked for by name."""
HUGE: Final = 1_000_000
"""Instructions from which it is; how such a program starts says more."""


class Program(NamedTuple):
    """One program with what it needs. ``dirs`` are ``(host, guest)``; ``native`` is the same built for this machine."""

    name: str
    group: str
    path: str
    args: tuple[Any, ...] = ()
    argv0: str = "program"
    dirs: tuple[tuple[str, str], ...] = ()
    stdin: str = ""
    env: tuple[tuple[str, str], ...] = ()
    invoke: str = ""
    needs: tuple[str, ...] = ()
    native: str = ""
    seconds: float = 0.0
    instructions: int = 0

    def encode(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def decode(cls, text: str) -> Program:
        """Inverse of :meth:`encode`."""
        return cls(**{k: _tuple(v) for k, v in json.loads(text).items()})


def _tuple(value: Any) -> Any:
    return tuple(_tuple(v) for v in value) if isinstance(value, list) else value


def own() -> list[Program]:
    """The kernels, scalar and with SIMD; none without a compiler."""
    found = []
    for group in ("scalar", "simd"):
        for name in kernels():
            wasm, native = build(name, group), build(name, "native")
            if wasm and native:
                found.append(Program(name, f"kernels, {group}", str(wasm), argv0=name, native=str(native)))
    return found


def _data() -> Path | None:
    data = Path(os.environ.get("WARDIAN_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    return data if (data / "manifest.json").is_file() else None


def manifest(scratch: str = "") -> list[Program]:
    """The manifest's programs that run everywhere; ``scratch`` is a folder for those that want an empty one."""
    data = _data()
    if data is None:
        return []
    found = []
    for entry in json.loads((data / "manifest.json").read_text()):
        needs = tuple(entry.get("needs", ()))
        if entry["id"] in UNFIT or entry.get("exit_code", 0) or "wasi_unstable" in needs:
            continue
        reference = (entry.get("reference_seconds") or {}).get("wasmtime-py 47", {})
        dirs = tuple((scratch if h == "$TMP" else str(data / h), g) for h, g in entry.get("dirs", ()))
        found.append(
            Program(
                entry["id"], {"sg": "Sightglass", "app": "applications"}.get(entry["id"].split("/")[0], "others"),
                str(data / entry["path"]), tuple(entry["invoke_args"] if "invoke" in entry else entry.get("args", ())),
                entry.get("argv0", "program"), dirs, str(data / entry["stdin"]) if "stdin" in entry else "",
                tuple((entry.get("env") or {}).items()), entry.get("invoke", ""), needs, "",
                reference.get("run_s", 0.0), entry.get("instructions", 0),
            )
        )  # fmt: skip
    return found


def chosen(programs: list[Program], only: list[str]) -> list[Program]:
    """Those whose name contains one of ``only``; without any, all that are neither long nor huge."""
    if only:
        return [p for p in programs if any(text in p.name for text in only)]
    return [p for p in programs if (p.seconds < LONG or p.name == "sg/gcc-loops") and p.instructions < HUGE]
