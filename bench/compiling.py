"""What compiling costs: per WebAssembly instruction in each tier, the size of code, and how it grows with a function.

Times are CPU seconds of a process that compiles everything in the module, all threads together, and of LLVM's helper.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Final

from bench.contest import ROOT, available, geometric, tiers
from bench.program import Program, manifest, own
from bench.report import Section, Table

MODULES: Final = ("sorting", "sg/bz2", "sg/rust-json", "sg/gcc-loops", "app/lua54")
SIZES: Final = (10, 100, 1_000, 10_000, 100_000)
SLOW: Final = 30_000
"""Instructions in one function beyond which the optimising tier is not measured."""


def count(path: str) -> int:
    """Instructions in all bodies of a module."""
    from wardian.binary.body import instructions, locals_of
    from wardian.binary.decode import decode
    from wardian.limits import Features, Limits

    with open(path, "rb") as file:
        module = decode(file.read(), Features(), Limits())
    # A body begins with its locals, which count as nothing.
    starts = [(locals_of(module.source, start, end)[1], end) for start, end in module.bodies]
    return sum(1 for start, end in starts for _ in instructions(module.source, start, end, Features()))


def measure(engine: str, path: str) -> tuple[float, float]:
    """CPU seconds and bytes of code; run in a process of its own."""
    name, _, level = engine.partition(" ")
    with open(path, "rb") as file:
        source = file.read()
    if name == "wasmtime":
        import wasmtime as w

        config = w.Config()
        config.wasm_exceptions = True
        peer = w.Engine(config)
        w.Module(peer, b"\0asm\1\0\0\0")
        begin = time.process_time()
        module = w.Module(peer, source)
        seconds = time.process_time() - begin
        return seconds, len(module.serialize())
    import wardian

    with tempfile.TemporaryDirectory() as folder:
        ours = wardian.Engine(wardian.Config(opt=level, cache=folder, lazy=True))  # type: ignore[arg-type]
        small = wardian.Module('(module (func (export "f")))', ours)
        small.compile()
        small.instantiate()
        ours.flush()
        before = ours.cache.size()
        begin = _spent()
        wardian.Module(source, ours).compile()
        return _spent() - begin, ours.cache.size() - before


def _spent() -> float:
    """CPU seconds of this process, and of the one that LLVM works in for it."""
    from wardian.compile.outside import outside

    helper = outside()._helper
    # What clock_getcpuclockid(3) gives for a process.
    return time.process_time() + (0.0 if helper is None else time.clock_gettime(~helper.pid << 3 | 2))


def _run(engine: str, path: str, rounds: int) -> tuple[float, float] | None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "bench.compiling", engine, path]
        done = subprocess.run(command, capture_output=True, env=env, check=False)
        if done.returncode:
            return None
        found.append(json.loads(done.stdout))
    return statistics.median(f[0] for f in found), found[0][1]


def _engines() -> list[str]:
    levels = [*(t for t in tiers() if t != "auto"), *(["O0"] if "baseline" not in tiers() else [])]
    return [*(f"wardian {level}" for level in levels), *(["wasmtime"] if available("wasmtime") else [])]


def _build() -> str:
    """Which build of this engine is measured."""
    from wardian.binary import body

    pure = str(body.__file__).endswith(".py")
    return "pure Python" if pure else "the build with native modules (`WARDIAN_COMPILE=1`)"


def throughput(rounds: int, only: list[str]) -> Section:
    """Microseconds and bytes per instruction, whole modules."""
    engines = _engines()
    with tempfile.TemporaryDirectory() as scratch:
        programs = [p for p in own() + manifest(scratch) if p.name in MODULES and "simd" not in p.group]
    rows, spent = [], {engine: list[float]() for engine in engines}
    for program in _picked(programs, only):
        instructions = count(program.path)
        cells = []
        for engine in engines:
            found = _run(engine, program.path, min(rounds, 3))
            if found is None:
                cells.append("-")
                continue
            spent[engine].append(found[0] / instructions * 1e6)
            cells.append(f"{found[0] / instructions * 1e6:.2f} us, {found[1] / instructions:.1f} B")
        rows.append([program.name, str(instructions), *cells])
        print(f"  {rows[-1]}", flush=True)
    rows.append(["geometric mean", "", *(f"{geometric(spent[e]):.2f} us" for e in engines)])
    return Section(
        "compile", "Compiling",
        "CPU time and bytes of code (with all tables, as the cache keeps it) per WebAssembly instruction; every "
        f"function of the module is compiled. Validation is part of it. Wardian is {_build()}.",
        [("", Table(["module", "instructions", *engines], rows))],
    )  # fmt: skip


def _picked(programs: list[Program], only: list[str]) -> list[Program]:
    return [p for p in programs if not only or any(text in p.name for text in only)]


def body(instructions: int) -> str:
    """A module with one function of about as many instructions: arithmetic, memory, a branch now and then."""
    block = """(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.load offset=4 (local.get 1))))
      (i32.store offset=8 (local.get 1) (local.get 0))
      (block (br_if 0 (i32.lt_u (local.get 0) (local.get 1))) (local.set 1 (i32.and (local.get 0) (i32.const 1023))))"""
    return (
        '(module (memory 1) (func (export "f") (param i32 i32) (result i32)'
        + block * max(1, instructions // 20)
        + "(local.get 0)))"
    )


def growth(rounds: int, only: list[str]) -> Section:
    """Compile time of one function of ten to a hundred thousand instructions."""
    from wardian.limits import Features, Limits
    from wardian.text.parse import assemble

    engines = _engines()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = os.path.join(folder, f"{size}.wasm")
            with open(path, "wb") as file:
                file.write(assemble(body(size), Features(), Limits()))
            instructions = count(path)
            cells = []
            for engine in engines:
                slow = engine.endswith("O2") and instructions > SLOW
                found = None if slow else _run(engine, path, min(rounds, 3))
                cells.append(f"{found[0] / instructions * 1e6:.2f}" if found else "-")
            rows.append([str(instructions), *cells])
            print(f"  {rows[-1]}", flush=True)
    return Section(
        "growth", "Compile time and the size of a function",
        "Microseconds of CPU per instruction for a module with one function; what stays level grows in proportion. "
        "(The optimising tier is not measured on the largest.)",
        [("", Table(["instructions", *engines], rows))],
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
