"""The trade-offs: what each choice costs at the peak, at the start and in memory, and what it stops."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.contest import ROOT, Time, compare, geometric, speed
from bench.isolation import SMALL
from bench.program import chosen, manifest, own
from bench.report import Section, Table


class Choice(NamedTuple):
    """``peak``: how :mod:`bench.worker` is told, ``""`` if it changes nothing there; ``options`` of the command."""

    name: str
    peak: str
    options: tuple[str, ...]
    stops: str


FAST: Final = "wardian O2 spectre=off"
_EXPLICIT: Final = ("--checks", "explicit")
_MUCH: Final = "fuel=1000000000000000"
CHOICES: Final = (
    Choice("profile `fast`", "spectre=off", ("--profile", "fast"), "what leaves the guest's memory, types or imports"),
    Choice("profile `balanced` (default)", "spectre=basic", (), "and wrong guesses about what a comparison bounds"),
    Choice("`spectre=full`", "spectre=full", ("--spectre", "full"), "and what was loaded on any wrong guess"),
    Choice(
        "`checks=explicit`, no masks", "checks=explicit spectre=off", (*_EXPLICIT, "--spectre", "off"),
        "the same as guard pages, without signals and address space",
    ),
    Choice("`checks=explicit`", "checks=explicit", _EXPLICIT, "and a comparison that was guessed wrongly"),
    Choice("`checks=masked`", "checks=masked", ("--checks", "masked"), "and one that was compiled wrongly"),
    Choice("`timeout`", "spectre=basic armed", ("-W", "timeout=60s"), "guests that run for too long"),
    Choice("`fuel`", "spectre=basic fuel", ("-W", _MUCH), "the same, at the same instruction every time"),
    Choice("`deterministic`", "spectre=basic deterministic", ("--deterministic",), "results that are another each day"),
    Choice("`isolation=process`", "", ("--isolate",), "whoever broke all of the above: the kernel does"),
    Choice("profile `paranoid`", "checks=masked spectre=full", ("--profile", "paranoid"), "all of it but deadlines"),
)  # fmt: skip


class Start(NamedTuple):
    """Of a warm run of the command: median seconds, and the most memory in KiB."""

    seconds: float
    memory: int


def _starts(rounds: int) -> dict[str, Start]:
    found: dict[str, list[Start]] = {choice.name: [] for choice in CHOICES}
    with tempfile.TemporaryDirectory() as scratch:
        guest = Path(scratch) / "hello.wat"
        guest.write_text(SMALL)
        env = {**os.environ, "WARDIAN_CACHE": scratch, "PYTHONPATH": str(ROOT / "src")}
        for turn in range(4 * rounds + 2):
            for choice in CHOICES:
                command = [sys.executable, "-m", "wardian", "run", *choice.options, str(guest)]
                start = _run(command, env)
                if turn > 1:  # the first fills the cache, and isolated runs have it filled for the next
                    found[choice.name].append(start)
    return {
        name: Start(statistics.median(s.seconds for s in taken), max(s.memory for s in taken))
        for name, taken in found.items()
    }


def _run(command: Sequence[str], env: dict[str, str]) -> Start:
    """A process from beginning to end. Its memory is what the kernel says of it and its children."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Start(seconds, usage.ru_maxrss)


def choices(rounds: int, only: list[str]) -> Section:
    """The table of docs/security.md."""
    modes = list(dict.fromkeys(f"wardian O2 {choice.peak}" for choice in CHOICES if choice.peak))
    with tempfile.TemporaryDirectory() as scratch:
        programs = [p for p in chosen(own() + manifest(scratch), only) if "simd" not in p.group]
        times: list[dict[str, Time]] = []
        for program in programs:
            times.append(compare(program, modes, rounds))
            print(f"  {program.name}", flush=True)
    starts = _starts(rounds)
    plain = starts[CHOICES[0].name]
    rows = []
    for choice in CHOICES:
        mode = f"wardian O2 {choice.peak}"
        costs = [1 / s for each in times if (s := speed(each, mode, FAST)) is not None]
        peak = f"{geometric(costs):.2f} ({max(costs):.2f})" if choice.peak and costs else "none"
        start = starts[choice.name]
        rows.append([
            choice.name, peak, f"{(start.seconds - plain.seconds) * 1e3:+.0f} ms",
            f"{(start.memory - plain.memory) / 1024:+.0f} MiB", choice.stops,
        ])  # fmt: skip
    which = f" ({', '.join(p.name for p in programs)})" if len(programs) <= 12 else ""
    usual = f"{plain.seconds * 1e3:.0f} ms and {plain.memory / 1024:.0f} MiB"
    text = (
        f"Peak: times as slow as the profile `fast`, geometric mean over {len(programs)} programs{which} (and the "
        "worst), "
        "compiled at O2 and warm. Start and memory: `wardian run` of a guest that prints a line, its code in the cache,"
        f" beside the {usual} of `fast`. `python -m bench choices --write` makes this table."
    )
    table = Table(["choice", "peak", "start", "memory", "what it stops"], rows)
    return Section("choices", "What each choice costs", text, [("", table)])
