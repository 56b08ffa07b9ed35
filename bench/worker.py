"""One engine and one program in a process of its own, run as often as a line arrives on standard input.

``python -m bench.worker ENGINE PROGRAM`` with a program in JSON. Answers are JSON: first that of a warming run, then
one a line; ``cpu`` is the calling thread's time. A program that marks a part of itself (Sightglass) is timed there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.program import Program

Runner = Callable[[], bytes]
WARM: Final = {"auto": 4}


class Clock:
    """Wall and CPU time between :meth:`start` and :meth:`end`; guests call these through ``bench``."""

    def __init__(self) -> None:
        self.begin = (0, 0)
        self.total = [0, 0]
        self.marked = False

    def start(self) -> None:
        self.marked = True
        self.begin = time.perf_counter_ns(), time.thread_time_ns()

    def end(self) -> None:
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        self.total[0] += wall - self.begin[0]
        self.total[1] += cpu - self.begin[1]


def _milliseconds() -> int:
    return int(time.monotonic() * 1000) & 0x7FFF_FFFF


def wardian(program: Program, clock: Clock, mode: str) -> Runner:
    """``mode`` is a level, and perhaps ``armed`` and choices such as ``checks=explicit`` or ``fuel``."""
    import wardian

    level, *words = mode.split(" ")
    armed = "armed" in words
    choices = (word.partition("=") for word in words if word != "armed")
    chosen: dict[str, Any] = {name: value or True for name, _, value in choices}
    engine = wardian.Engine(wardian.Config(opt=level, cache=False, **chosen))  # type: ignore[arg-type]
    module = wardian.Module.from_file(program.path, engine)
    imports: dict[str, dict[str, Callable[[], object]]] = {
        "bench": {"start": clock.start, "end": clock.end},
        "env": {"clock_ms": _milliseconds},
    }
    data = Path(program.stdin).read_bytes() if program.stdin else b""

    def run() -> bytes:
        result = wardian.run(
            module, program.args, argv0=program.argv0, env=dict(program.env), dirs=program.dirs, input=data,
            imports=imports, timeout=600 if armed else None, invoke=program.invoke or None,
        )  # fmt: skip
        if result.trap is not None:
            raise result.trap
        return bytes(result.stdout)

    return run


def wasmtime(program: Program, clock: Clock, mode: str) -> Runner:
    import wasmtime as w

    config = w.Config()
    if "exceptions" in program.needs:
        config.wasm_exceptions = True
    if "gc" in program.needs:
        config.wasm_function_references = config.wasm_gc = True
    fuel, epochs = "fuel" in mode, "epochs" in mode
    config.consume_fuel = fuel
    config.epoch_interruption = epochs
    engine = w.Engine(config)
    module = w.Module.from_file(engine, program.path)
    out = tempfile.mkstemp()[1]
    if epochs:

        def tick() -> None:
            while True:
                time.sleep(0.01)
                engine.increment_epoch()

        threading.Thread(target=tick, daemon=True).start()

    def run() -> bytes:
        store = w.Store(engine)
        wasi = w.WasiConfig()
        wasi.argv = [program.argv0, *map(str, program.args)]
        wasi.env = list(program.env)
        for host, guest in program.dirs:
            wasi.preopen_dir(host, guest)
        if program.stdin:
            wasi.stdin_file = program.stdin
        wasi.stdout_file = out
        store.set_wasi(wasi)
        if epochs:
            store.set_epoch_deadline(60_000)
        if fuel:
            store.set_fuel(1 << 62)
        linker = w.Linker(engine)
        linker.define_wasi()
        for name, function in (("start", clock.start), ("end", clock.end)):
            linker.define_func("bench", name, w.FuncType([], []), function)
        linker.define_func("env", "clock_ms", w.FuncType([], [w.ValType.i32()]), _milliseconds)
        exports = linker.instantiate(store, module).exports(store)
        try:
            result = exports[program.invoke or "_start"](store, *(program.args if program.invoke else ()))
        except w.ExitTrap as exit:
            if exit.code:
                raise
            result = None
        del result
        with open(out, "rb") as file:
            return file.read()

    return run


ENGINES: Final = {"wardian": wardian, "wasmtime": wasmtime}


def timed(run: Runner, clock: Clock, repeat: int) -> dict[str, Any]:
    """Time per run of ``repeat`` runs."""
    clock.total, clock.marked = [0, 0], False
    begin = time.perf_counter_ns(), time.thread_time_ns()
    out = b""
    for _ in range(repeat):
        out = run()
    whole = time.perf_counter_ns() - begin[0], time.thread_time_ns() - begin[1]
    wall, cpu = clock.total if clock.marked else whole
    return {"wall": wall / repeat / 1e9, "cpu": cpu / repeat / 1e9, "out": hashlib.sha256(out).hexdigest()[:16]}


def main(engine: str, text: str) -> None:
    """See the module."""
    name, _, mode = engine.partition(" ")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    clock = Clock()
    run = ENGINES[name](Program.decode(text), clock, mode)
    for _ in range(WARM.get(mode.split(" ")[0], 1)):
        first = timed(run, clock, 1)
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(run, clock, int(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
