"""Differential fuzzing: random modules, called with values that hurt, in every mode of this engine and in others.

    python -m tests.fuzz.differential --minutes 60 [--seed S] [--keep FOLDER]
    python -m tests.fuzz.differential --fuel --minutes 60       # this engine only, deterministic: every mode does the
                                                                # same to the bit, for the same fuel
    python -m tests.fuzz.differential --only INDEX --seed S     # one case again
    python -m tests.fuzz.differential --check FILE [--calls N]  # exit code 0 if the engines differ on a module
    wasm-tools shrink PREDICATE FILE                             # with a PREDICATE that runs the line above

Case ``i`` of seed ``S`` is always the same module and the same calls. Cases run in child processes, a few hundred in
each, so a crash is a finding like any other. What is found goes to ``tests/misc/`` as a ``.wast``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import generator, smith
from tests.fuzz.adapter import Case, Wrapper, assembled, case
from tests.fuzz.engines import COARSE, EITHER, FEATURES, Call, Engine, Run, Unsupported, Wardian, Wasmtime, node
from tests.fuzz.spelling import respelled
from tests.fuzz.values import SLOTS, Outcome, bits, same, slots
from tests.support import MODES, ROOT, Mode

BATCH: Final = 100
"""Cases in one child process."""
PATIENCE: Final = 10.0
"""Seconds after which a case gets no further rounds."""
HANG: Final = 300
"""Seconds after which a case has hung: the child ends, which is a finding."""
RESPELLED: Final = 0.3
"""Share of the modules whose numbers are written in other ways than assemblers write them."""
REPORT: Final = 20
"""Cases after which the child tells its counts, so that they outlive it."""
CALLS: Final = 4
"""Calls of each function."""


TIERS: Final = (Mode("auto", "guard"), Mode("auto", "explicit"))
"""Beside the modes: one tier after the other, with everything hot at once."""


class Made(NamedTuple):
    case: Case
    rounds: list[list[Call]]
    """Calls of one fresh instance each."""
    loose: bool
    origin: str


class Difference(NamedTuple):
    engine: str
    place: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.place}: {self.expected} expected, {self.engine} has {self.actual}"


def make(seed: int, index: int) -> Made | None:
    """Case ``index`` of ``seed``; ``None`` if it came to nothing."""
    rng = random.Random(f"{seed}/{index}")
    loose = False
    if index % 2:
        text, loose = generator.module(rng)
        binary: bytes | None = assembled(text)
    else:
        binary = smith.module(rng)
    if binary is None:
        return None
    if rng.random() < RESPELLED:
        binary = respelled(binary, FEATURES, rng)
    found = case(binary)
    return found and Made(found, rounds_of(found, rng), loose, "smith" if index % 2 == 0 else "generator")


def rounds_of(case: Case, rng: random.Random) -> list[list[Call]]:
    """All functions in turn, and each alone: what ran out of the fuel it was made with does nothing any more."""
    choices = [list(case.functions) * CALLS, *([function] * CALLS for function in case.functions)]
    return [[_call(w, rng) for w in chosen] + [(g.name, ()) for g in case.globals] for chosen in choices]


def _call(function: Wrapper, rng: random.Random) -> Call:
    args = (slots(t, bits(rng, t)) for t in function.params if t in SLOTS)
    return function.name, tuple(slot for arg in args for slot in arg)


class Judge:
    """Runs cases on all engines and compares."""

    def __init__(self, others: Sequence[Engine], *, fuel: bool = False) -> None:
        """``others``: beside Wasmtime and this engine's modes. ``fuel``: only these modes, which count it."""
        first = Wardian(MODES[0], fuel=fuel)
        self.reference: Engine = first if fuel else Wasmtime()
        self.modes: list[Engine] = [Wardian(mode, first, fuel=fuel) for mode in (*MODES[1:], *TIERS)]
        if not fuel:
            self.modes.insert(0, first)
        self.others = list(others)
        self.strict = fuel
        """Has a NaN no bits of its own choice?"""
        self.counts: Counter[str] = Counter()

    def judge(self, made: Made) -> list[Difference]:
        """The first difference of each engine."""
        made = made._replace(loose=made.loose and not self.strict)
        engines: list[Engine] = [self.reference, *self.modes, *self.others]
        found: dict[str, Difference] = {}
        until = time.monotonic() + PATIENCE
        for calls in made.rounds:
            able = self._round(made, calls, engines, found)
            for engine in engines:
                if engine not in able:
                    self.counts[f"not run by {engine.name}"] += 1
            engines = able
            if len(engines) < 2:
                return []
            if time.monotonic() > until:
                break
        for engine in engines:
            self.counts[f"run by {engine.name}"] += 1
        self.counts["modules"] += 1
        self.counts[f"modules of {made.origin}"] += 1
        self.counts["functions"] += len(made.case.functions)
        return list(found.values())

    def _round(
        self, made: Made, calls: list[Call], engines: Sequence[Engine], found: dict[str, Difference]
    ) -> list[Engine]:
        """One fresh instance on each engine: those that could. The first that can is the measure of the others."""
        able: list[Engine] = []
        expected: Run | None = None
        for engine in engines:
            try:
                actual = engine.run(made.case, calls)
                if expected is None and actual.outcomes[-1].kind == "gave up":
                    self.counts["gave up"] += 1
                    calls = calls[: max(len(actual.outcomes) - 2, 0)]
                    actual = engine.run(made.case, calls)
                elif actual.outcomes[-1].kind == "gave up":
                    # Where the measure had time enough, a busy machine is no finding; what fails twice is.
                    self.counts["tried again"] += 1
                    actual = engine.run(made.case, calls)
            except Unsupported:
                continue
            able.append(engine)
            if expected is None:
                expected = actual
                self.counts["calls"] += len(actual.outcomes) - 1
                self.counts["traps"] += sum(outcome.kind == "trap" for outcome in actual.outcomes)
                self.counts["exceptions"] += sum(outcome.kind == "exception" for outcome in actual.outcomes)
                continue
            difference = compare(made, calls, expected, actual, engine.name)
            if difference is not None:
                found.setdefault(engine.name, difference)
        return able


def _coarse(outcome: Outcome) -> Outcome:
    return outcome._replace(word=COARSE.get(outcome.word, outcome.word))


def compare(made: Made, calls: Sequence[Call], expected: Run, actual: Run, name: str) -> Difference | None:
    """The first difference between two runs."""
    types = {w.name: w.result_slots for w in (*made.case.functions, *made.case.globals)}
    whats = [("instantiation", ()), *((f"{name}{args}", types[name]) for name, args in calls)]
    for (what, result_types), one, two in zip(whats, expected.outcomes, actual.outcomes, strict=False):
        if one.kind == "gave up":
            return None
        if two.kind == "gave up":
            return None if name == "node" else Difference(name, what, str(one), str(two))
        if name == "node":
            one, two = _coarse(one), _coarse(two)
            if {one.word, two.word} in EITHER:
                continue
        if not same(one, two, result_types, made.loose):
            return Difference(name, what, str(one), str(two))
    if len(expected.outcomes) != len(actual.outcomes):
        return Difference(name, "the end", f"{len(expected.outcomes)} calls", f"{len(actual.outcomes)}")
    for (what, _), one_left, two_left in zip(whats[1:], expected.fuel, actual.fuel, strict=False):
        if one_left != two_left:
            return Difference(name, f"fuel after {what}", str(one_left), str(two_left))
    for memory, mine, its in zip(made.case.memories, expected.memories, actual.memories, strict=False):
        if mine != its:
            at = next((i for i, (a, b) in enumerate(zip(mine, its, strict=False)) if a != b), min(len(mine), len(its)))
            here, there = (f"{len(m)} bytes, {m[at : at + 16].hex()} at {at:#x}" for m in (mine, its))
            return Difference(name, f"memory {memory!r} at the end", here, there)
    return None


# -- running many ------------------------------------------------------------------------------------------------------


def batch(seed: int, first: int, count: int, keep: Path, *, fuel: bool = False) -> int:
    """In the child: cases ``first`` and following. A JSON line for each finding, and now and then one with counts."""
    found = 0
    with nullcontext([]) if fuel else node() as others:
        judge = Judge(others, fuel=fuel)
        for index in range(first, first + count):
            (keep / "current").write_text(str(index))
            faulthandler.dump_traceback_later(HANG, exit=True)
            if index % REPORT == 0:
                _say(counts=judge.counts)
                judge.counts.clear()
            made = make(seed, index)
            if made is None:
                judge.counts["came to nothing"] += 1
                continue
            try:
                differences = list(map(str, judge.judge(made)))
            except Exception as error:  # noqa: BLE001 - whatever comes is the finding
                where = traceback.extract_tb(error.__traceback__)[-1]
                differences = [f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:500]]
            if differences:
                found += 1
                (keep / f"{seed}-{index}.wasm").write_bytes(made.case.module)
                _say(index=index, found=differences)
        faulthandler.cancel_dump_traceback_later()
        _say(counts=judge.counts)
    return found


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def campaign(
    seed: int, cases: int | None, until: float | None, keep: Path, *, fuel: bool = False
) -> tuple[Counter[str], list[str]]:
    """Batches in child processes until the time is up or the cases are done: ``(counts, findings)``."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    first = killed = 0
    while (cases is None or first < cases) and (until is None or time.monotonic() < until):
        count = min(BATCH, cases - first) if cases is not None else BATCH
        command = [sys.executable, "-m", "tests.fuzz.differential", "--seed", str(seed), "--keep", str(keep)]
        command += ["--fuel"] * fuel
        child = subprocess.run(
            [*command, "--first", str(first), "--count", str(count)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        for line in child.stdout.splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # the child was killed while it wrote
            said = json.loads(line)
            counts.update(said.get("counts", {}))
            if "found" in said:
                findings.append(f"case {said['index']}: " + "; ".join(said["found"]))
                print(findings[-1], flush=True)
        first += count
        if child.returncode in (-signal.SIGKILL, -signal.SIGTERM):
            # Somebody else ended it, or the system was out of memory: no finding, unless it happens again and again.
            first = int((keep / "current").read_text())
            killed += 1
            if killed > 5:
                raise RuntimeError(f"the child process was killed {killed} times, last in case {first}")
        elif child.returncode:
            crashed = int((keep / "current").read_text())
            findings.append(f"case {crashed}: the process ended with {child.returncode}")
            print(findings[-1], flush=True)
            first = crashed + 1
        print(f"to case {first}: {report(counts)}", file=sys.stderr, flush=True)
    return counts, findings


def report(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))


def check(binary: bytes, seed: int) -> list[Difference]:
    """How the engines differ on one module, called as ``seed`` says."""
    found = case(binary)
    if found is None:
        return []
    with node() as others:
        return Judge(others).judge(Made(found, rounds_of(found, random.Random(seed)), False, "file"))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.differential", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where modules go that engines differ on")
    parser.add_argument("--only", type=int)
    parser.add_argument("--fuel", action="store_true", help="this engine's modes only, counting fuel")
    parser.add_argument("--check", type=Path)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.check is not None:
        found = check(args.check.read_bytes(), args.seed)
        print("\n".join(map(str, found)))
        return 0 if found else 1
    keep = args.keep or Path(tempfile.mkdtemp(prefix="wardian-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    if args.only is not None:
        return int(batch(args.seed, args.only, 1, keep, fuel=args.fuel) > 0)
    if args.first is not None:
        batch(args.seed, args.first, args.count, keep, fuel=args.fuel)
        return 0
    until = time.monotonic() + 60 * args.minutes if args.minutes else None
    counts, findings = campaign(args.seed, args.cases if until or args.cases else 100, until, keep, fuel=args.fuel)
    print(report(counts))
    print(f"{len(findings)} findings" + (f", modules in {keep}" if findings else ""))
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
