"""Binary trees and Sightglass' splay beside wasmtime-py: time and peak memory, each in a process of its own.

``python bench/heap.py [DEPTH]``; splay needs WARDIAN_TEST_DATA. Prints seconds of the best of three runs, the megabytes
the run added to its process's peak, and wasmtime's over ours.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TREES = ROOT / "tests" / "compile" / "binary_trees.wat"
ROUNDS = 3


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure(call: Any) -> None:
    """Run ``call`` and print its result, time and what it added to the peak."""
    before, start = _peak(), time.perf_counter()
    result = call()
    print(json.dumps([str(result), time.perf_counter() - start, _peak() - before]))


def _trees_wardian(depth: int) -> None:
    import wardian

    module = wardian.Module.from_file(TREES)
    module.compile()
    run = module.instantiate().exports.run
    run(4)
    _measure(lambda: run(depth))


def _trees_wasmtime(depth: int) -> None:
    import wasmtime

    config = wasmtime.Config()
    config.wasm_gc = True
    config.wasm_function_references = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    run = wasmtime.Instance(store, wasmtime.Module(engine, TREES.read_text()), []).exports(store)["run"]
    run(store, 4)
    _measure(lambda: run(store, depth))


def _splay_wardian(folder: str) -> None:
    import wardian

    module = wardian.Module.from_file(Path(folder) / "splay.wasm")
    module.compile()
    bench = {"start": lambda: None, "end": lambda: None}
    _measure(lambda: wardian.run(module, dirs=[(folder, ".")], imports={"bench": bench}).stdout.decode())


def _splay_wasmtime(folder: str) -> None:
    import wasmtime

    config = wasmtime.Config()
    config.wasm_gc = True
    config.wasm_function_references = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module.from_file(engine, str(Path(folder) / "splay.wasm"))
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.preopen_dir(folder, ".")
    out = Path(tempfile.mkdtemp()) / "stdout"
    wasi.stdout_file = str(out)
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    for name in ("start", "end"):
        linker.define_func("bench", name, wasmtime.FuncType([], []), lambda: None)
    start = linker.instantiate(store, module).exports(store)["_start"]

    def call() -> str:
        start(store)
        return out.read_text()

    _measure(call)


PARTS = {f.__name__[1:]: f for f in (_trees_wardian, _trees_wasmtime, _splay_wardian, _splay_wasmtime)}


def _best(part: str, argument: str) -> tuple[str, float, float]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, __file__, part, argument], capture_output=True, check=True, env=env)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    result, seconds, _ = min(rounds, key=lambda r: float(r[1]))
    return result, seconds, min(float(r[2]) for r in rounds)


def _compare(what: str, argument: str) -> None:
    ours, theirs = _best(f"{what}_wardian", argument), _best(f"{what}_wasmtime", argument)
    assert ours[0] == theirs[0], (ours[0], theirs[0])
    print(f"{what}: {ours[1]:.3f} s, {ours[2]:.0f} MB; wasmtime {theirs[1]:.3f} s, {theirs[2]:.0f} MB; "
          f"{theirs[1] / ours[1]:.1f} times faster, {theirs[2] / max(ours[2], 1):.1f} times less memory")  # fmt: skip


def main() -> None:
    depth = sys.argv[1] if len(sys.argv) > 1 else "16"
    _compare("trees", depth)
    data = os.environ.get("WARDIAN_TEST_DATA")
    if data:
        _compare("splay", str(Path(data) / "bench" / "sightglass" / "splay"))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        argument: Any = sys.argv[2]
        PARTS[sys.argv[1]](int(argument) if argument.isdigit() else argument)
    else:
        main()
