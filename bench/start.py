"""How long it takes from a command to the first output and to the end: cold (nothing compiled before) and warm."""

from __future__ import annotations

import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.build import cache
from bench.contest import ROOT, available, geometric, node
from bench.program import Program, manifest, own
from bench.report import Section, Table, ratio

GUESTS: Final = (
    "sg/shootout-shootout-base64", "sg/quicksort", "sg/rust-json", "sg/regex", "app/lua54", "app/python312-startup",
    "app/python312", "app/php82",
)  # fmt: skip
WORDS: Final = Program("words", "", str(ROOT / "examples" / "words.wasm"), argv0="words")


class Seconds(NamedTuple):
    """Until the first byte on standard output, to the exit, and CPU time in all threads and processes."""

    first: float
    exit: float
    cpu: float


def _wardian(program: Program) -> list[str]:
    command = [sys.executable, "-m", "wardian", "run", "-W", "unknown-imports-default"]
    for host, guest in program.dirs:
        command += ["--dir", f"{host}::{guest}"]
    for key, value in program.env:
        command += ["--env", f"{key}={value}"]
    return [*command, "--argv0", program.argv0, program.path, *map(str, program.args)]


def _once(command: list[str], program: Program, env: dict[str, str]) -> Seconds:
    """Run a command; raises ``CalledProcessError`` if it fails."""
    with open(program.stdin or os.devnull, "rb") as stdin:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    assert process.stdout is not None
    first = 0.0
    with process.stdout as out:
        while select.select([out], [], []) and os.read(out.fileno(), 65536):
            first = first or time.perf_counter() - begin
    _, status, usage = os.wait4(process.pid, 0)
    end = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Seconds(first or end, end, usage.ru_utime + usage.ru_stime)


def _environment() -> dict[str, str]:
    base = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    # An installed package has its bytecode.
    base.pop("PYTHONDONTWRITEBYTECODE", None)
    base["PYTHONPYCACHEPREFIX"] = str(cache() / "bytecode")
    return base


def _seasoned(folder: Path) -> float:
    """Make ``folder`` a cache of an engine that has run some other program; how long its first run ever took."""
    kernels = [p for p in own() if p.name == "compress"]
    program = kernels[0] if kernels else WORDS
    return _once(_wardian(program), program, {**_environment(), "WARDIAN_CACHE": str(folder)}).exit


def _turns(program: Program, rounds: int, folder: Path, seasoned: Path) -> dict[str, Seconds]:
    """Medians by contestant, ``"wardian cold"`` and so on."""
    times: dict[str, list[Seconds]] = {}
    base = _environment()
    image, config = folder / "image.cwasm", folder / "cache.toml"
    config.write_text(f'[cache]\ndirectory = "{folder / "wasmtime"}"\n')
    peer = [sys.executable, str(Path(__file__).with_name("start_wasmtime.py")), program.encode()]
    commands: list[tuple[str, list[str], bool]] = [("wardian", _wardian(program), True)]
    if available("wasmtime"):
        commands.append(("wasmtime-py", [*peer, "cold", str(image)], False))
    if found := node():
        script = str(Path(__file__).with_name("start.mjs"))
        commands.append(("node", [found, "--no-warnings", script, program.encode()], False))

    def turn(name: str, command: list[str], keep: bool = True, code: Path | None = None) -> None:
        env = {**base, "WARDIAN_CACHE": str(code)} if code else base
        try:
            seconds = _once(command, program, env)
        except subprocess.CalledProcessError:
            return
        if keep:
            times.setdefault(name, []).append(seconds)

    warm = folder / "warm"
    for _ in range(2):
        turn("", commands[0][1], False, warm)
    for _ in range(rounds):
        for name, command, ours in commands:
            cold = Path(shutil.copytree(seasoned, folder / "cold")) if ours else None
            turn(f"{name} cold", command, True, cold)
            shutil.rmtree(folder / "cold", ignore_errors=True)
        turn("wardian warm", commands[0][1], True, warm)
        if available("wasmtime"):
            if not image.exists():
                turn("", [*peer, "save", str(image)], False)
                turn("", [*peer, "cached", str(config)], False)
            turn("wasmtime-py cached", [*peer, "cached", str(config)])
            turn("wasmtime-py deserialised", [*peer, "warm", str(image)])
    medians = {}
    for name, all_seconds in times.items():
        medians[name] = Seconds(*(statistics.median(values) for values in zip(*all_seconds, strict=True)))
    return medians


def start(rounds: int, only: list[str]) -> Section:
    """Cold and warm starts of small and large guests, each run in processes of its own."""
    tables: list[tuple[str, Table]] = []
    found: list[tuple[Program, dict[str, Seconds]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        programs = [WORDS, *(p for p in manifest(scratch) if p.name in GUESTS)]
        seasoned = Path(scratch) / "seasoned"
        first = _seasoned(seasoned)
        for program in programs:
            if only and not any(text in program.name for text in only):
                continue
            with tempfile.TemporaryDirectory() as folder:
                turns = min(rounds, 3) if program.instructions > 1_000_000 else rounds
                seconds = _turns(program, turns, Path(folder), seasoned)
            found.append((program, seconds))
            print(f"  {program.name:<30}" + "  ".join(f"{n} {s.exit:.3f}" for n, s in seconds.items()), flush=True)
    caption = "first output / exit (CPU), in milliseconds, and Wasmtime's time to exit over ours:"
    cold, warm = ["wasmtime-py cold", "node cold"], ["wasmtime-py cached", "wasmtime-py deserialised"]
    tables.append((f"Cold: {caption}", _table(["wardian cold", *cold], found, cold[:1])))
    tables.append((f"Warm: {caption}", _table(["wardian warm", *warm], found, warm)))
    return Section(
        "start", "Start",
        "From the command to the first output and to the end. Cold: nobody has seen the guest before (`wardian run`; "
        "Wasmtime compiles in `wasmtime-py`, V8 lazily). Warm: what was compiled before is found. `wardian run` is "
        "given the `.wasm`: it reads it, and looks its code up by what is in it. *Cached* is `wasmtime-py` doing the "
        "same with Wasmtime's own cache (`Config.cache`). *Deserialised* is less work: the compiled module is mapped "
        "from a file that the user keeps and trusts (`Module.deserialize_file`), and the `.wasm` is not looked at, "
        "whether or not it has changed. "
        f"An engine's first run ever also makes what every guest needs, in {first:.1f} s.", tables,
    )  # fmt: skip


def _cell(seconds: Seconds | None) -> str:
    return "-" if seconds is None else "{:.0f} / {:.0f} ({:.0f})".format(*(value * 1e3 for value in seconds))


def _table(
    names: Sequence[str], found: Sequence[tuple[Program, dict[str, Seconds]]], peers: Sequence[str]
) -> Table:
    """With the ratio to each of ``peers`` in columns of their own."""
    rows: list[list[str]] = []
    ratios: dict[str, list[float]] = {peer: [] for peer in peers}
    for program, seconds in found:
        row = [program.name, *(_cell(seconds.get(name)) for name in names)]
        ours = seconds.get(names[0])
        for peer in peers:
            theirs = seconds.get(peer)
            times = theirs.exit / ours.exit if ours and theirs else None
            ratios[peer] += [times] if times else []
            row.append(ratio(times))
        rows.append(row)
    rows.append(["geometric mean", *("" for _ in names), *(ratio(geometric(ratios[peer])) for peer in peers)])
    heads = ["ratio"] if len(peers) == 1 else [f"ratio to {peer.split()[-1]}" for peer in peers]
    return Table(["guest", *names, *heads], rows)
