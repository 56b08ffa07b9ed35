"""What a process of its own costs a run: milliseconds beyond the run in this process, and runs a second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from bench.report import Section, Table

SMALL: Final = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
_CALLS: Final = 2000
_CALLER: Final = """(module (import "host" "f" (func $f (param i32) (result i32)))
  (func (export "go") (param i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (call $f (local.get $x)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $x)))"""


def _times(act: Callable[[], Any], rounds: int) -> list[float]:
    act()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return taken


def _runs(rounds: int) -> Table:
    """A small guest, its code in the cache."""
    import wardian
    from wardian.isolation.policy import LAYERS
    from wardian.sandbox.isolated import filler
    from wardian.text.parse import assemble

    module = assemble(SMALL, wardian.Features(), wardian.Limits())
    engine = wardian.Engine(wardian.Config(lazy=True))
    any_ = wardian.Isolation(accept=tuple(LAYERS))
    began = time.perf_counter()
    wardian.run(module, engine=engine, isolation=any_)
    first = time.perf_counter() - began
    filler().wait()
    here = _times(lambda: wardian.run(module, engine=engine), 20 * rounds)
    there = _times(lambda: wardian.run(module, engine=engine, isolation=any_), 20 * rounds)
    rows = [
        ["in this process", f"{min(here) * 1e3:.2f}", f"{median(here) * 1e3:.2f}"],
        ["in a process of its own", f"{min(there) * 1e3:.2f}", f"{median(there) * 1e3:.2f}"],
        ["the same, the process' first", f"{first * 1e3:.0f}", ""],
    ]
    return Table(["a run of a small guest", "least, ms", "median, ms"], rows)


def _pools(rounds: int) -> Table:
    import wardian
    from wardian.isolation.policy import LAYERS
    from wardian.text.parse import assemble

    module = assemble(SMALL, wardian.Features(), wardian.Limits())
    job = wardian.Job(module, isolation=wardian.Isolation(accept=tuple(LAYERS)))
    count = 100 * rounds
    rows = []
    for workers in (1, len(os.sched_getaffinity(0)), 2 * len(os.sched_getaffinity(0))):
        with wardian.Pool(workers) as pool:
            list(pool.map(wardian.execute, [job] * 10))
            began = time.perf_counter()
            results = list(pool.map(wardian.execute, [job] * count))
            taken = time.perf_counter() - began
        assert all(result.stdout == b"hello\n" for result in results)
        rows.append([str(workers), f"{count / taken:,.0f}"])
    return Table(["workers at a time", "runs a second"], rows)


def _calls(rounds: int) -> Table:
    import wardian
    from wardian.isolation.policy import LAYERS
    from wardian.text.parse import assemble

    module = assemble(_CALLER, wardian.Features(), wardian.Limits())
    engine = wardian.Engine(wardian.Config(lazy=True))
    imports = {"host": {"f": lambda x: x + 1}}
    rows = []
    for name, isolation in (("in this process", None), ("across", wardian.Isolation(accept=tuple(LAYERS)))):

        def act(count: int, isolation: Any = isolation) -> None:
            result = wardian.run(
                module, [count], invoke="go", imports=imports, engine=engine, isolation=isolation
            )
            assert result.values == (count,)

        one, many = (min(_times(lambda count=count: act(count), rounds)) for count in (1, _CALLS))  # type: ignore[misc]
        rows.append([name, f"{(many - one) / (_CALLS - 1) * 1e6:.2f}"])
    return Table(["a call of a function of the host", "microseconds"], rows)


def isolation(rounds: int, only: list[str]) -> Section:
    """Runs of a small guest, and calls of the host, here and in a process of its own."""
    parts = [("", part(rounds)) for part in (_runs, _pools, _calls)]
    for _, table in parts:
        print(table.markdown(), flush=True)
    return Section(
        "isolation", "Process isolation",
        "A small program that writes a line, its code in the cache, with every layer this machine gives.",
        parts,
    )  # fmt: skip
