"""Contestants side by side: a process for each, a turn for each in every round, medians."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.program import Program

ROOT: Final = Path(__file__).resolve().parents[1]
TURN: Final = 0.15
"""Seconds a turn lasts at least, if need be by running the program several times."""
PATIENCE: Final = 180.0
ATTEMPTS: Final = 3


class Time(NamedTuple):
    """Seconds, medians over the rounds."""

    wall: float
    cpu: float


TIERS: Final = ("O2", "baseline", "auto")


def tiers() -> list[str]:
    """The levels of optimisation to compare: WARDIAN_BENCH_TIERS, or all that this version has."""
    from wardian import Config

    found = []
    for level in os.environ.get("WARDIAN_BENCH_TIERS", ",".join(TIERS)).split(","):
        try:
            Config(opt=level)  # type: ignore[arg-type]
        except ValueError:
            continue
        found.append(level)
    return found


def node() -> str | None:
    return os.environ.get("NODE") or shutil.which("node")


def available(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


class _Worker:
    """A contestant that answers a line with a line."""

    def __init__(self, command: list[str]) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, bufsize=0
        )

    def answer(self) -> dict[str, Any] | None:
        """The next answer, or ``None`` if there will be none."""
        out = self._process.stdout
        assert out is not None
        line = b""
        end = time.monotonic() + PATIENCE
        while not line.endswith(b"\n"):
            if not select.select([out], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            more = os.read(out.fileno(), 65536)
            if not more:
                return None
            line += more
        found: dict[str, Any] = json.loads(line)
        return found

    def turn(self, repeat: int) -> dict[str, Any] | None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{repeat}\n".encode())
        return self.answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Native:
    """A program of this machine, a process each turn."""

    def __init__(self, path: str) -> None:
        self._path = path

    def answer(self) -> dict[str, Any] | None:
        return self.turn(1)

    def turn(self, repeat: int) -> dict[str, Any] | None:
        begin, before = time.perf_counter(), os.times()
        for _ in range(repeat):
            subprocess.run([self._path], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return {"wall": (time.perf_counter() - begin) / repeat, "cpu": cpu / repeat, "out": ""}

    def close(self) -> None:
        pass


def _start(name: str, program: Program) -> _Worker | _Native | None:
    if name == "native":
        return _Native(program.native) if program.native else None
    if name == "node":
        found = node()
        command = [found, "--no-warnings", str(Path(__file__).with_name("worker.mjs"))] if found else []
    else:
        command = [sys.executable, "-m", "bench.worker", name]
    return _Worker([*command, program.encode()]) if command else None


def _begin(name: str, program: Program) -> tuple[_Worker | _Native | None, dict[str, Any] | None]:
    """A contestant and its first answer. Node's WASI crashes now and then, so everyone may try more than once."""
    worker, first = _start(name, program), None
    for _ in range(ATTEMPTS):
        first = worker.answer() if worker else None
        if first is not None or worker is None:
            break
        worker.close()
        worker = _start(name, program)
    return worker, first


def compare(program: Program, names: Iterable[str], rounds: int) -> dict[str, Time]:
    """What each contestant needs for ``program``; who cannot run it, or prints something else, is left out."""
    running: dict[str, _Worker | _Native] = {}
    times: dict[str, list[dict[str, Any]]] = {}
    repeats: dict[str, int] = {}
    printed = ""
    try:
        for name in names:
            worker, first = _begin(name, program)
            if worker is None:
                continue
            running[name] = worker
            if first is None or (printed and first["out"] and first["out"] != printed):
                running.pop(name).close()
                continue
            printed = printed or first["out"]
            repeats[name] = max(1, math.ceil(TURN / max(first["wall"], 1e-4)))
            times[name] = []
        for _ in range(rounds):
            for name in list(running):
                answer = running[name].turn(repeats[name])
                if answer is None:
                    running.pop(name).close()
                    del times[name]
                    continue
                times[name].append(answer)
    finally:
        for worker in running.values():
            worker.close()
    return {
        name: Time(*(statistics.median(a[kind] for a in answers) for kind in ("wall", "cpu")))
        for name, answers in times.items()
        if answers
    }


def geometric(values: Iterable[float]) -> float:
    """The geometric mean; NaN of nothing."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def speed(times: Mapping[str, Time], name: str, base: str) -> float | None:
    """How many times as fast as ``base`` by CPU time, which a busy machine disturbs least."""
    if name not in times or base not in times or not times[name].cpu:
        return None
    return times[base].cpu / times[name].cpu
