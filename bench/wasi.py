"""What a WASI call costs: a guest calls one function in a loop, with files of the host; wasmtime-py stands beside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from bench.contest import available
from bench.report import Section, Table, ratio

_IMPORTS: Final = """
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"""

WORK: Final = {
    "nothing": "(i32.const 0)",
    "clock_time_get": "(call $clock (i32.const 1) (i64.const 1) (i32.const 8))",
    "random_get, 16 bytes": "(call $random (i32.const 256) (i32.const 16))",
    "fd_seek": "(call $seek (local.get $fd) (i64.const 0) (i32.const 0) (i32.const 8))",
    "fd_write, 64 bytes": "(call $write (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 8))",
    "fd_write, 4 x 16 bytes": "(call $write (local.get $fd) (i32.const 80) (i32.const 4) (i32.const 8))",
    "fd_write, 64 KiB": "(call $write (local.get $fd) (i32.const 72) (i32.const 1) (i32.const 8))",
    "fd_read, 64 bytes": "(call $read (local.get $fd) (i32.const 64) (i32.const 1) (i32.const 8))",
    "fd_read, 64 KiB": "(call $read (local.get $fd) (i32.const 72) (i32.const 1) (i32.const 8))",
}
_SIXTEEN: Final = "\\00\\04\\00\\00\\10\\00\\00\\00"
"""A buffer: 16 bytes at 1024."""
CALLS: Final = 20_000
_FEW: Final = 2_000


def _text(work: str, calls: int) -> str:
    """Of every 256 calls the first goes back to the beginning of the file, so it stays small."""
    return f"""(module {_IMPORTS} (memory (export "memory") 4)
  (data (i32.const 32) "file.bin")
  (data (i32.const 64) "\\00\\04\\00\\00\\40\\00\\00\\00\\00\\04\\00\\00\\00\\00\\01\\00")
  (data (i32.const 80) "{4 * _SIXTEEN}")
  (func (export "_start") (local $fd i32) (local $n i32)
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 8) (i32.const 1) (i64.const 0x1fffffff)
      (i64.const 0) (i32.const 0) (i32.const 16)) (then (unreachable)))
    (local.set $fd (i32.load (i32.const 16)))
    (loop $l
      (if (i32.eqz (i32.and (local.get $n) (i32.const 255)))
        (then (drop (call $seek (local.get $fd) (i64.const 0) (i32.const 0) (i32.const 8)))))
      (if {work} (then (unreachable)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {calls}))))))"""


_OURS: Final = """
import sys, time, wardian
module = wardian.Module.from_file(sys.argv[1], wardian.Engine(wardian.Config(opt="O2")))
module.compile()
for _ in range(int(sys.argv[3])):
    began = time.perf_counter_ns()
    wardian.run(module, dirs={".": sys.argv[2]}, check=True)
    print(time.perf_counter_ns() - began)
"""

THEIRS: Final = """
import sys, time, wasmtime
engine = wasmtime.Engine()
module = wasmtime.Module.from_file(engine, sys.argv[1])
linker = wasmtime.Linker(engine); linker.define_wasi()
for _ in range(int(sys.argv[3])):
    began = time.perf_counter_ns()
    store = wasmtime.Store(engine); config = wasmtime.WasiConfig()
    config.preopen_dir(sys.argv[2], "."); store.set_wasi(config)
    linker.instantiate(store, module).exports(store)["_start"](store)
    print(time.perf_counter_ns() - began)
"""


def measure(script: str, path: Path, folder: str, rounds: int) -> list[int]:
    """Nanoseconds of each round that ``script`` prints."""
    command = [sys.executable, "-c", script, str(path), folder, str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def wasi(rounds: int, only: list[str]) -> Section:
    """Nanoseconds a call, above those of a loop that calls nothing."""
    contestants = {"wardian": _OURS, **({"wasmtime-py": THEIRS} if available("wasmtime") else {})}
    rows = []
    floor = dict.fromkeys(contestants, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.wat"
        data = Path(folder) / "data"
        data.mkdir()
        (data / "file.bin").write_bytes(os.urandom(256 << 16))
        for what, work in WORK.items():
            if only and what != "nothing" and not any(word in what for word in only):
                continue
            calls = _FEW if "KiB" in what else CALLS
            path.write_text(_text(work, calls))
            times: dict[str, list[int]] = {name: [] for name in contestants}
            for _ in range(2):
                for name, script in contestants.items():
                    times[name] += measure(script, path, str(data), max(rounds, 3))[1:]
                    time.sleep(0.01)
            found = {name: median(values) for name, values in times.items()}
            if what == "nothing":
                floor = {name: value / CALLS for name, value in found.items()}
                continue
            each = {name: value / calls - floor[name] for name, value in found.items()}
            peer = each.get("wasmtime-py")
            cells = [f"{value:.0f} ns" for value in each.values()]
            rows.append([what, *cells, ratio(peer / each["wardian"] if peer else None)])
            print(f"  {rows[-1]}", flush=True)
    return Section(
        "wasi", "WASI calls",
        "A guest calls one function in a loop; the time of a loop that calls nothing, and of the start, is taken off. "
        "The file is one of 16 MB in a temporary folder.",
        [("", Table(["", *contestants, "ratio"], rows))],
    )  # fmt: skip
