"""Files: what reading, writing, seeking, opening and listing cost a guest; wasmtime-py stands beside."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.contest import available
from bench.report import Section, Table, ratio
from bench.wasi import THEIRS, measure

_IMPORTS: Final = "\n".join(
    f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) (result i32)))'
    for name, params in {
        "fd_read": "i32 i32 i32 i32",
        "fd_write": "i32 i32 i32 i32",
        "fd_pread": "i32 i32 i32 i64 i32",
        "fd_pwrite": "i32 i32 i32 i64 i32",
        "fd_seek": "i32 i64 i32 i32",
        "fd_close": "i32",
        "fd_readdir": "i32 i32 i32 i64 i32",
        "fd_filestat_get": "i32 i32",
        "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
        "path_filestat_get": "i32 i32 i32 i32 i32",
        "path_create_directory": "i32 i32 i32",
        "path_remove_directory": "i32 i32 i32",
        "path_rename": "i32 i32 i32 i32 i32 i32",
        "path_unlink_file": "i32 i32 i32",
    }.items()
)
_READ: Final = "(call $fd_read (local.get $fd) (i32.const {at}) (i32.const 1) (i32.const 8))"
_WRITE: Final = "(call $fd_write (local.get $fd) (i32.const {at}) (i32.const 1) (i32.const 8))"
_REWIND: Final = "(call $fd_seek (local.get $fd) (i64.const 0) (i32.const 0) (i32.const 8))"


class Work(NamedTuple):
    """``body`` gives an error number and is done ``calls`` times; ``bytes`` pass each time."""

    calls: int
    body: str
    bytes: int = 0


def _both(first: str, second: str) -> str:
    return f"(i32.or {first} {second})"


_OPEN: Final = (
    "(call $path_open (i32.const 3) (i32.const 1) (i32.const {at}) (i32.const {length}) (i32.const {oflags})"
    " (i64.const {rights}) (i64.const 0x1fffffff) (i32.const 0) (i32.const 24))"
)
_CLOSE: Final = "(call $fd_close (i32.load (i32.const 24)))"

WORK: Final = {
    "nothing": Work(20_000, "(i32.const 0)"),
    "fd_read, 4 KiB": Work(10_000, _READ.format(at=64), 4096),
    "fd_write, 4 KiB": Work(10_000, _WRITE.format(at=64), 4096),
    "fd_read, 1 MiB": Work(400, _READ.format(at=72), 1 << 20),
    "fd_write, 1 MiB": Work(400, _WRITE.format(at=72), 1 << 20),
    "fd_pread, 4 KiB": Work(
        10_000, "(call $fd_pread (local.get $fd) (i32.const 64) (i32.const 1) (i64.const 8192) (i32.const 8))", 4096
    ),
    "fd_pwrite, 4 KiB": Work(
        10_000, "(call $fd_pwrite (local.get $fd) (i32.const 64) (i32.const 1) (i64.const 8192) (i32.const 8))", 4096
    ),
    "fd_seek": Work(20_000, _REWIND),
    "fd_filestat_get": Work(10_000, "(call $fd_filestat_get (local.get $fd) (i32.const 256))"),
    "path_filestat_get": Work(
        5_000, "(call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 32) (i32.const 8) (i32.const 256))"
    ),
    "path_filestat_get, 4 folders down": Work(
        5_000, "(call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 96) (i32.const 12) (i32.const 256))"
    ),
    "path_open, fd_close": Work(
        5_000, _both(_OPEN.format(at=32, length=8, oflags=0, rights=2), _CLOSE)
    ),
    "create, fd_close, path_unlink_file": Work(
        2_000,
        _both(
            _both(_OPEN.format(at=112, length=3, oflags=5, rights=66), _CLOSE),
            "(call $path_unlink_file (i32.const 3) (i32.const 112) (i32.const 3))",
        ),
    ),
    "path_create_directory, path_remove_directory": Work(
        2_000,
        _both(
            "(call $path_create_directory (i32.const 3) (i32.const 112) (i32.const 3))",
            "(call $path_remove_directory (i32.const 3) (i32.const 112) (i32.const 3))",
        ),
    ),
    "fd_readdir, 1000 entries": Work(
        50, "(call $fd_readdir (local.get $dir) (i32.const 4096) (i32.const 1000000) (i64.const 0) (i32.const 8))"
    ),
}


def _text(work: Work) -> str:
    """Of every 16 turns the first goes back to the beginning of the file, so it stays small."""
    setup = "".join(
        f"(if {_OPEN.format(at=at, length=length, oflags=oflags, rights=rights)} (then (unreachable)))"
        f"(local.set ${name} (i32.load (i32.const 24)))"
        for name, at, length, oflags, rights in (("fd", 32, 8, 0, 0x1FFFFFFF), ("dir", 48, 4, 2, 0x4002))
    )
    return f"""(module {_IMPORTS} (memory (export "memory") 40)
  (data (i32.const 32) "file.bin") (data (i32.const 48) "many")
  (data (i32.const 64) "\\00\\10\\00\\00\\00\\10\\00\\00\\00\\00\\10\\00\\00\\00\\10\\00")
  (data (i32.const 96) "a/b/c/d/deep") (data (i32.const 112) "new")
  (func (export "_start") (local $fd i32) (local $dir i32) (local $n i32)
    {setup}
    (loop $l
      (if (i32.eqz (i32.and (local.get $n) (i32.const 15))) (then (drop {_REWIND})))
      (if {work.body} (then (unreachable)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {work.calls}))))))"""


_OURS: Final = """
import sys, time, wardian
module = wardian.Module.from_file(sys.argv[1], wardian.Engine(wardian.Config(opt="O2")))
module.compile()
for _ in range(int(sys.argv[3])):
    {make}
    began = time.perf_counter_ns()
    wardian.run(module, dirs={{".": folder}}, check=True)
    print(time.perf_counter_ns() - began)
"""
_HOST: Final = _OURS.format(make="folder = sys.argv[2]")
_OVERLAY: Final = _OURS.format(make="folder = wardian.Tree.over(sys.argv[2])")


def _build(folder: Path) -> None:
    (folder / "file.bin").write_bytes(os.urandom(16 << 20))
    (folder / "a/b/c/d").mkdir(parents=True)
    (folder / "a/b/c/d/deep").write_text("x")
    (folder / "many").mkdir()
    for number in range(1000):
        (folder / "many" / f"entry-{number}").write_text("")


def files(rounds: int, only: list[str]) -> Section:
    """Microseconds a turn, above those of a loop that calls nothing."""
    contestants = {"wardian": _HOST, "wardian, overlay": _OVERLAY}
    if available("wasmtime"):
        contestants["wasmtime-py"] = THEIRS
    rows = []
    floor = dict.fromkeys(contestants, 0.0)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        path, data = Path(scratch) / "loop.wat", Path(scratch) / "data"
        data.mkdir()
        _build(data)
        for what, work in WORK.items():
            if only and what != "nothing" and not any(word in what for word in only):
                continue
            path.write_text(_text(work))
            times: dict[str, list[int]] = {name: [] for name in contestants}
            for _ in range(2):
                for name, script in contestants.items():
                    times[name] += measure(script, path, str(data), max(rounds, 3))[1:]
            found = {name: median(values) for name, values in times.items()}
            if what == "nothing":
                floor = found
                continue
            each = {name: (value - floor[name]) / work.calls for name, value in found.items()}
            peer = each.get("wasmtime-py")
            rows.append([what, *(_cell(value, work) for value in each.values())])
            rows[-1].append(ratio(peer / each["wardian"] if peer else None))
            print(f"  {rows[-1]}", flush=True)
    return Section(
        "files", "Files",
        "A guest does one thing in a loop; the time of a loop that does nothing, and of the start, is taken off. The "
        "file is one of 16 MB in a folder that the host has in memory, so no disk is measured. \"Overlay\" is the same "
        "folder as a `Tree.over`: the first write copies the file into memory, which is counted.",
        [("", Table(["", *contestants, "ratio"], rows))],
    )  # fmt: skip


def _cell(nanoseconds: float, work: Work) -> str:
    speed = f", {work.bytes / nanoseconds:.1f} GB/s" if work.bytes >= 1 << 20 else ""
    return f"{nanoseconds / 1000:.1f} us{speed}"
