"""Scaling over threads: as many instances as threads compute at the same time."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from bench.contest import available
from bench.report import Section, Table, ratio

TEXT: Final = """(module (func $fib (export "fib") (param i32) (result i32)
  (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
    (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                   (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"""
N: Final = 37


def _wardian() -> Callable[[], Any]:
    import wardian

    module = wardian.Module(TEXT, wardian.Engine(wardian.Config(opt="O2", cache=False)))

    def make() -> Callable[[], object]:
        fib = module.instantiate().exports.fib
        return lambda: fib(N)

    return make


def _wasmtime() -> Callable[[], Any]:
    import wasmtime as w

    engine = w.Engine()
    module = w.Module(engine, TEXT)

    def make() -> Callable[[], object]:
        store = w.Store(engine)
        fib: Any = w.Instance(store, module, []).exports(store)["fib"]
        return lambda: fib(store, N)

    return make


def _seconds(make: Callable[[], Callable[[], object]], count: int) -> float:
    """Wall time until ``count`` threads have each called once."""
    work = [make() for _ in range(count)]
    for call in work:
        call()
    threads = [threading.Thread(target=call) for call in work]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin


def threads(rounds: int, only: list[str]) -> Section:
    """Throughput of 1, 2 and 4 threads."""
    makers = {"wardian": _wardian(), **({"wasmtime-py": _wasmtime()} if available("wasmtime") else {})}
    counts = (1, 2, 4)
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for count in counts:
            for name, make in makers.items():
                times.setdefault((name, count), []).append(_seconds(make, count))
    median = {key: statistics.median(values) for key, values in times.items()}
    rows = []
    for count in counts:
        cells = []
        for name in makers:
            seconds = median[name, count]
            cells.append(f"{seconds * 1e3:.0f} ms ({ratio(count * median[name, 1] / seconds)}x)")
        rows.append([str(count), *cells])
        print(f"  {rows[-1]}", flush=True)
    return Section(
        "threads", "Threads",
        f"Wall time until that many threads, an instance each, have computed fib({N}); in brackets the work per "
        f"second relative to one thread. The machine has {os.cpu_count()} processors.",
        [("", Table(["threads", *makers], rows))],
    )  # fmt: skip
