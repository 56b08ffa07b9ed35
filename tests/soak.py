"""Very many guests that behave in every way there is, in one process or over a pool of isolated workers.

``python -m tests.soak --runs 1000000 [--pool N | --threads N] [--minutes M]``. Two things are watched: each run ends
exactly as its behaviour must, with the values, bytes and errors of its own number and nobody else's; and the process
does not grow, neither in memory nor in descriptors, mappings, threads or children.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import math
import os
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, final

import wardian

WARM: Final = 0.25
"""The part of the runs after which nothing may grow any more."""
BYTES_A_RUN: Final = 8.0
"""How much the process may grow with each run: less than the smallest object there is."""
NOISE: Final = 6 << 20
"""Bytes that come and go."""
SLACK: Final = MappingProxyType({"descriptors": 2, "mappings": 24, "threads": 1, "children": 1})
"""By how much the later half may be above the earlier one, of what is counted."""
SAMPLES: Final = 200
_LEAST: Final = 25
"""Runs between two looks."""
_ENOUGH: Final = 4
"""Looks in each half from which growth is told from warming up."""
DEADLINE: Final = 0.008


class Failure(Exception):
    """A run did not end as it must, or the process grows."""


@final
class HostError(Exception):
    """What the host's function raises; its argument is the run's number."""


class Ended(NamedTuple):
    """All of a result that is the same each time; ``trap`` is a code, or how the message begins."""

    status: str = "exited"
    returncode: int = 0
    stdout: bytes = b""
    values: tuple[Any, ...] = ()
    trap: str | None = None
    truncated: bool = False
    memory: int | None = None


class Raised(NamedTuple):
    """An exception instead of a result: its class and what it has to have."""

    kind: type[BaseException]
    has: Mapping[str, object] = MappingProxyType({})


class Behaviour(NamedTuple):
    """A guest, what it is given as its ``n``-th run, and how that ends. ``weight``: how often it is taken."""

    weight: int
    text: str
    want: Callable[[int], Ended | Raised]
    args: Callable[[int], tuple[Any, ...]] = lambda n: ()
    options: Callable[[int], dict[str, Any]] = lambda n: {}
    fresh: bool = False
    """A module of its own for each run, compiled for it: ``text`` has a place for the number."""


_WASI: Final = """
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"""

_CLEAN: Final = """(func $clean (param $at i32) (param $end i32)
    (if (i32.ne (global.get $fresh) (i32.const 7)) (then unreachable))
    (global.set $fresh (i32.const 8))
    (loop $again
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (i64.store (local.get $at) (i64.const -1))
      (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end)))))
  (global $fresh (mut i32) (i32.const 7))"""
"""Traps if somebody was here before: in the memory, which it soils, or in a global."""

_ECHO: Final = f"""(module {_WASI} (memory (export "memory") 2) {_CLEAN}
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\01\\00\\00")
  (func (export "_start")
    (call $clean (i32.const 512) (i32.const 131072))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.load8_u (i32.const 16)))))"""
_SUM: Final = """(module (table 4 funcref) (elem (i32.const 1) $a $b) (type $f (func (param i64 f64) (result i64 f64)))
  (func $a (type $f) (i64.add (local.get 0) (i64.const 1)) (f64.neg (local.get 1)))
  (func $b (type $f) (i64.mul (local.get 0) (i64.const 3)) (f64.sqrt (local.get 1)))
  (func (export "f") (param i32 i64 f64) (result i64 f64)
    (call_indirect (type $f) (local.get 1) (local.get 2) (local.get 0))))"""
_TRAPS: Final = f"""(module (memory (export "memory") 1) {_CLEAN} (table 2 funcref)
  (func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (local.get 0))))
  (func (export "f") (param i32) (result i32)
    (call $clean (i32.const 0) (i32.const 65536))
    (block $four (block $three (block $two (block $one (block $none
      (br_table $none $one $two $three $four (local.get 0)))
      unreachable) (return (i32.load offset=4000000000 (i32.const -8))))
      (return (i32.div_s (i32.const 1) (i32.sub (local.get 0) (i32.const 2)))))
      (call_indirect (i32.const 1)) (return (i32.const 0)))
    (i32.wrap_i64 (call $deep (i64.const 0)))))"""
_TRAPPED: Final = (
    "unreachable", "memory_out_of_bounds", "integer_divide_by_zero", "indirect_call_to_null", "stack_exhausted",
)  # fmt: skip
_SPIN: Final = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
_SLEEP: Final = f"""(module {_WASI} (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 60000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""
_GROW: Final = """(module (memory (export "memory") 1)
  (func (export "f") (result i32) (local $at i32)
    (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (loop $touch
      (if (i32.load (local.get $at)) (then unreachable))
      (i32.store (local.get $at) (i32.const -1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if $touch (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
    (memory.size)))"""
_LARGE: Final = '(module (memory (export "memory") 64) (func (export "_start")))'
_BOXES: Final = """(module (type $box (struct (field (mut (ref null $box))) (field i64)))
  (func (export "f") (local $last (ref null $box))
    (loop $again (local.set $last (struct.new $box (local.get $last) (i64.const 1))) (br $again))))"""
_GARBAGE: Final = """(module (type $box (struct (field i32)))
  (func (export "f") (param i32) (result i32) (local $i i32) (local $last (ref null $box))
    (loop $again
      (local.set $last (struct.new $box (i32.add (local.get 0) (local.get $i))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500))))
    (struct.get $box 0 (local.get $last))))"""
_FLOOD: Final = f"""(module {_WASI} (memory (export "memory") 1) (data (i32.const 16) "flood")
  (func (export "_start") (local $left i32) (local.set $left (i32.const 64))
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 16384))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $exit (i32.const 5))))"""
_HOST: Final = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0)))))"""
_THROW: Final = """(module (tag $e (param i32))
  (func (export "f") (param i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $e $caught) (throw $e (i32.mul (local.get 0) (i32.const 2)))) (unreachable))))"""
_FILE: Final = f"""(module {_WASI} (memory (export "memory") 1) (data (i32.const 1024) "file")
  (data (i32.const 0) "\\00\\08\\00\\00\\00\\01\\00\\00")
  (func (export "_start")
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 2)
      (i64.const 0) (i32.const 0) (i32.const 16)))
  ) (func (export "f") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 2)
      (i64.const 0) (i32.const 0) (i32.const 16)))
    (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 20)))
    (i32.store (i32.const 4) (i32.load (i32.const 20)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
    (i32.load (i32.const 16))))"""
_FRESH: Final = '(module (func (export "f") (param i32) (result i32) (i32.xor (local.get 0) (i32.const {}))))'
_BAD: Final = '(module (func (export "_start") (unknown)))'
"""Broken text: what is raised holds on to nothing."""
_OUTPUT: Final = 10_000
_HEAP: Final = 1 << 20


def _raise(n: int) -> int:
    raise HostError(n)


def _leave(n: int) -> int:
    raise wardian.Exit(n % 100)


def _answer(n: int) -> int:
    return n + 1


def _text(n: int) -> bytes:
    return bytes([n % 120 + 1]) + b"input of run %d" % n


def behaviours(folder: Path) -> dict[str, Behaviour]:
    """Every way to behave, by name; ``folder`` has a file for guests to read."""
    content = b"what the file holds"
    (folder / "file").write_bytes(content)

    def called(function: Callable[[int], int]) -> Callable[[int], dict[str, Any]]:
        return lambda n: {"invoke": "f", "imports": {"host": {"f": function}}}

    def number(n: int) -> tuple[int]:
        return (n,)

    invoked: Callable[[int], dict[str, Any]] = lambda n: {"invoke": "f"}  # noqa: E731
    return {
        "exit": Behaviour(
            30, _ECHO, lambda n: Ended(returncode=n % 120 + 1, stdout=_text(n), memory=131072),
            options=lambda n: {"input": _text(n)},
        ),
        "values": Behaviour(
            20, _SUM,
            lambda n: Ended(values=(n + 1, -float(n)) if n % 2 else (3 * n, math.sqrt(n))),
            lambda n: (1 if n % 2 else 2, n, float(n)), invoked,
        ),
        "trap": Behaviour(
            20, _TRAPS, lambda n: Ended("trapped", 134, trap=_TRAPPED[n % 5], memory=65536), lambda n: (n % 5,),
            lambda n: {"invoke": "f", "stack": "256K"},
        ),
        "timeout": Behaviour(
            3, _SPIN, lambda n: Ended("timeout", 134, trap="timeout"),
            options=lambda n: {"timeout": DEADLINE},
        ),
        "timeout asleep": Behaviour(
            1, _SLEEP, lambda n: Ended("timeout", 134, trap="timeout"),
            options=lambda n: {"timeout": DEADLINE},
        ),
        "processor time": Behaviour(
            1, _SPIN, lambda n: Ended("timeout", 134, trap="cpu"), options=lambda n: {"cpu": DEADLINE, "timeout": 600}
        ),
        "deadline not reached": Behaviour(
            8, _ECHO, lambda n: Ended(returncode=n % 120 + 1, stdout=_text(n), memory=131072),
            options=lambda n: {"input": _text(n), "timeout": 600},
        ),
        "memory": Behaviour(
            8, _GROW, lambda n: Ended(values=(n % 8 + 1,), memory=(n % 8 + 1) << 16),
            options=lambda n: {"invoke": "f", "memory": (n % 8 + 1) << 16},
        ),
        "memory refused": Behaviour(
            3, _LARGE, lambda n: Raised(wardian.LimitExceeded, {"limit": "memory"}), options=lambda n: {"memory": "1M"}
        ),
        "heap": Behaviour(1, _BOXES, lambda n: Ended("trapped", 134, trap="heap_exhausted"), options=invoked),
        "garbage": Behaviour(2, _GARBAGE, lambda n: Ended(values=(n + 499,)), number, invoked),
        "flood": Behaviour(
            4, _FLOOD, lambda n: Ended(returncode=5, stdout=b"flood" + bytes(_OUTPUT - 5), truncated=True),
            options=lambda n: {"output_limit": _OUTPUT},
        ),
        "host function": Behaviour(10, _HOST, lambda n: Ended(values=(n + 2,)), number, called(_answer)),
        "host raises": Behaviour(6, _HOST, lambda n: Raised(HostError, {"args": (n,)}), number, called(_raise)),
        "host exits": Behaviour(2, _HOST, lambda n: Ended(returncode=n % 100), number, called(_leave)),
        "exception": Behaviour(4, _THROW, lambda n: Ended(values=(2 * n,)), number, invoked),
        "file": Behaviour(
            4, _FILE, lambda n: Ended(stdout=content, values=(4,)),
            options=lambda n: {"invoke": "f", "dirs": {"/": str(folder)}},
        ),
        "no file": Behaviour(2, _FILE, lambda n: Ended(returncode=8)),
        "fresh": Behaviour(
            1, _FRESH, lambda n: Ended(values=(1234 ^ n,)), lambda n: (1234,), invoked, fresh=True
        ),
        "malformed": Behaviour(1, _BAD, lambda n: Raised(wardian.MalformedError)),
        "missing import": Behaviour(1, _HOST, lambda n: Raised(wardian.LinkError), number, invoked),
    }  # fmt: skip


# -- carrying out ------------------------------------------------------------------------------------------------------


def _compiled(text: str, engine: wardian.Engine) -> bytes:
    from wardian.text.parse import assemble

    return assemble(text, engine.config.features, engine.config.limits)


@final
class Here:
    """Runs in this process: of a module that is there, or now and then of its bytes, as users do; on this thread, or on
    several at a time."""

    def __init__(self, known: Mapping[str, Behaviour], cache: str, opt: Literal["auto", "O0"], threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads) if threads else None
        config = wardian.Config(opt, cache=cache, limits=wardian.Limits(gc_heap=_HEAP))
        self._engine = wardian.Engine(config)
        self._alone = wardian.Engine(config.__replace__(cache=False))
        self._sources = {
            name: text.encode() if (text := row.text) is _BAD else _compiled(text, self._engine)
            for name, row in known.items()
            if not row.fresh
        }
        self._modules = {
            name: wardian.Module(source, self._engine)
            for name, source in self._sources.items()
            if known[name].text is not _BAD
        }

    def start(self, name: str, row: Behaviour, n: int) -> Callable[[], wardian.RunResult]:
        module: Any = row.text.format(n).encode() if row.fresh else self._modules.get(name)
        engine = self._alone if row.fresh else self._engine
        if module is None or (n % 64 == 0 and not row.fresh):
            module = self._sources[name]
        run = partial(wardian.run, module, row.args(n), engine=engine, **row.options(n))
        return run if self._threads is None else self._threads.submit(run).result

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()


@final
class Pooled:
    """Runs each in a process of its own, ``workers`` at a time."""

    def __init__(self, known: Mapping[str, Behaviour], cache: str, workers: int) -> None:
        from wardian.isolation.policy import LAYERS

        self._config = wardian.Config(cache=cache, limits=wardian.Limits(gc_heap=_HEAP), lazy=True)
        engine = wardian.Engine(self._config)
        self._isolation = wardian.Isolation(accept=tuple(LAYERS))
        self._sources = {
            name: row.text.encode() if row.text is _BAD or row.fresh else _compiled(row.text, engine)
            for name, row in known.items()
        }
        self._pool = wardian.Pool(workers, isolation=self._isolation)

    def start(self, name: str, row: Behaviour, n: int) -> Callable[[], wardian.RunResult]:
        source = self._sources[name] if not row.fresh else row.text.format(n).encode()
        job = wardian.Job(source, row.args(n), config=self._config, isolation=self._isolation, **row.options(n))
        return self._pool.submit(wardian.execute, job).result

    def close(self) -> None:
        self._pool.shutdown()


def check(name: str, n: int, want: Ended | Raised, end: Callable[[], wardian.RunResult]) -> None:
    """Have a run end, and compare. Raises :class:`Failure`."""
    try:
        result = end()
    except Exception as error:
        has = want.has.items() if isinstance(want, Raised) and type(error) is want.kind else [("", 0)]
        if all(getattr(error, key, None) == value for key, value in has):
            return
        raise Failure(f"run {n}, {name}: {error!r} instead of {want}") from error
    if isinstance(want, Raised):
        raise Failure(f"run {n}, {name}: {_short(result)} instead of {want}")
    memory = result.usage.memory if want.memory is not None else None
    code = None if result.trap is None else result.trap.code
    found = Ended(
        result.status, result.returncode, result.stdout, result.values, code, result.truncated, memory
    )
    if found != want or result.stderr or result.usage.seconds < 0:
        raise Failure(f"run {n}, {name}: {_short(result)} instead of {_short(want)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 1000 else f"{text[:600]} ... {text[-300:]}"


# -- what is used ------------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """What the process and its children use, ``runs`` runs after the start."""

    runs: int
    resident: int
    descriptors: int
    mappings: int
    threads: int
    children: int


def _children() -> list[int]:
    """All processes that descend from this one."""
    parents: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found = [os.getpid()]
    for pid in found:
        found += parents.get(pid, [])
    return found[1:]


def _resident(pid: int) -> int:
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def sample(runs: int) -> Sample:
    gc.collect()
    maps = Path("/proc/self/maps").read_bytes().count(b"\n")
    children = _children()
    resident = _resident(os.getpid()) + sum(map(_resident, children))
    return Sample(runs, resident, len(os.listdir("/proc/self/fd")), maps, threading.active_count(), len(children))


def growth(samples: list[Sample]) -> float:
    """Bytes a run by which the resident memory grew, the first of the runs apart: between two medians."""
    runs = samples[-1].runs
    later = [s for s in samples if s.runs >= WARM * runs]
    half = len(later) // 2
    if half == 0:
        return 0.0
    before, after = later[:half], later[-half:]
    apart = median(s.runs for s in after) - median(s.runs for s in before)
    return float((median(s.resident for s in after) - median(s.resident for s in before)) / apart)


def judge(samples: list[Sample]) -> None:
    """Raises :class:`Failure` if something has grown. Of a few runs that is not told, since all they do is warm up."""
    runs = samples[-1].runs
    later = [s for s in samples if s.runs >= WARM * runs]
    half = len(later) // 2
    if half < _ENOUGH:
        return
    slope = growth(samples)
    if slope * runs > NOISE + BYTES_A_RUN * runs:
        raise Failure(f"memory grows by {slope:.1f} bytes with each run")
    for name, slack in SLACK.items():
        before, after = (max(getattr(s, name) for s in part) for part in (later[:half], later[half:]))
        if after > before + slack:
            raise Failure(f"there are more {name}: {before} at most in the first part, then {after}")


# -- the soak ----------------------------------------------------------------------------------------------------------


def _order(known: Mapping[str, Behaviour], seed: int) -> Iterator[str]:
    """Names of behaviours for ever: each of them soon, and then by weight."""
    yield from known
    dice = random.Random(seed)
    names, weights = list(known), [row.weight for row in known.values()]
    while True:
        yield from dice.choices(names, weights, k=1000)


def soak(
    runs: int,
    pool: int = 0,
    threads: int = 0,
    seed: int = 1,
    report: Callable[[str], None] = lambda line: None,
    cache: str | None = None,
    minutes: float = math.inf,
    opt: Literal["auto", "O0"] = "auto",
) -> tuple[Counter[str], list[Sample]]:
    """Carry out so many runs: how often each behaviour was taken, and what was used. Raises :class:`Failure`.

    Compiled code is kept in ``cache``, else in a folder that goes with the runs. After ``minutes`` it is enough.
    """
    with tempfile.TemporaryDirectory(prefix="wardian-soak-") as folder:
        (Path(folder) / "granted").mkdir()
        known = behaviours(Path(folder) / "granted")
        cache = cache or os.path.join(folder, "cache")
        place = Pooled(known, cache, pool) if pool else Here(known, cache, opt, threads)
        try:
            return _soak(known, place, runs, max(1, 4 * (pool or threads)), seed, report, 60 * minutes)
        finally:
            place.close()


def _soak(
    known: Mapping[str, Behaviour],
    place: Here | Pooled,
    runs: int,
    at_once: int,
    seed: int,
    report: Callable[[str], None],
    seconds: float,
) -> tuple[Counter[str], list[Sample]]:
    counts: Counter[str] = Counter()
    samples: list[Sample] = []
    began = said = time.monotonic()
    batch = max(at_once, _LEAST, runs // SAMPLES)
    order = enumerate(itertools.islice(_order(known, seed), runs))
    while time.monotonic() - began < seconds and (chosen := list(itertools.islice(order, batch))):
        for _ in _ended(known, place, chosen, at_once):
            now = time.monotonic()
            if now - said >= 10:
                said = now
                report(_line(now - began, chosen[0][0], samples))
        counts.update(name for _, name in chosen)
        samples.append(sample(chosen[-1][0] + 1))
    taken = time.monotonic() - began
    report(_line(taken, samples[-1].runs, samples))
    judge(samples)
    return counts, samples


def _ended(
    known: Mapping[str, Behaviour], place: Here | Pooled, chosen: Iterable[tuple[int, str]], at_once: int
) -> Iterator[None]:
    """Have these runs end, ``at_once`` of them on their way at a time."""
    waiting: list[tuple[str, int, Ended | Raised, Callable[[], wardian.RunResult]]] = []
    for n, name in chosen:
        row = known[name]
        waiting.append((name, n, row.want(n), place.start(name, row, n)))
        if len(waiting) >= at_once:
            check(*waiting.pop(0))
            yield
    for each in waiting:
        check(*each)
        yield


def _line(seconds: float, runs: int, samples: list[Sample]) -> str:
    said = f"{seconds:7.0f} s  {runs:>9,} runs  {runs / seconds:7.0f} a second"
    if not samples:
        return said
    last = samples[-1]
    return (
        f"{said}  {last.resident / 2**20:7.1f} MiB  {last.descriptors} descriptors  {last.mappings} mappings  "
        f"{last.threads} threads  {last.children} children"
    )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--pool", type=int, default=0, metavar="N", help="over a wardian.Pool of N workers")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="in this process, on N threads at a time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end after so long, if the runs are not over")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", metavar="DIR", help="where compiled code is kept")
    given = parser.parse_args(words)
    try:
        counts, samples = soak(
            given.runs, given.pool, given.threads, given.seed, lambda line: print(line, flush=True), given.cache,
            given.minutes,
        )  # fmt: skip
    except Failure as failure:
        print(f"FAILED: {failure}", flush=True)
        return 1
    for name, count in sorted(counts.items()):
        print(f"  {name:<22}{count:>10,}")
    print(f"every result right; growth {growth(samples):.2f} bytes a run; nothing else grows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
