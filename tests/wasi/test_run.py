"""Files, streams and clocks of ``wardian.run``: everything a caller can hand over, with real programs."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.support import ROOT
from wardian.grants import DirGrant, FileQuota, FrozenClock, TreeGrant
from wardian.isolation.policy import LAYERS

WORDS = ROOT / "examples" / "words.wasm"

WRITER = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "new") (data (i32.const 64) "\\00\\01\\00\\00\\e8\\03\\00\\00")
  (func (export "_start") (local $error i32)
    (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 3) (i32.const 1)
      (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 16)))
    (if (i32.eqz (local.get $error)) (then
      (local.set $error (call $write (i32.load (i32.const 16)) (i32.const 64) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (local.get $error)) (then (local.set $error (i32.sub (i32.const 1000) (i32.load (i32.const 8))))))))
    (call $exit (local.get $error))))"""
"""Writes 1000 bytes to the new file ``new``; the exit code is the errno, or how many bytes were too many."""

TEXT = b"to be or not to be"
COUNTED = b"      2 be\n      2 to\n"


@pytest.fixture(scope="module")
def words() -> wardian.Module:
    return wardian.Module.from_file(WORDS)


@pytest.fixture(scope="module")
def writer() -> wardian.Module:
    return wardian.Module(WRITER)


@pytest.mark.parametrize("isolation", [None, "process"])
def test_validates_what_is_called(isolation: Any) -> None:
    """However large a program is, a run costs what is called; an engine of the caller's checks all of it first."""
    isolation = isolation and wardian.Isolation(accept=tuple(LAYERS))
    text = """(module (func $bad (result i32)) (func (export "_start"))
      (func (export "call") (drop (call $bad))))"""
    assert wardian.run(text.encode(), isolation=isolation).returncode == 0
    with pytest.raises(wardian.InvalidError, match="function 0"):
        wardian.run(text.encode(), invoke="call", isolation=isolation)
    with pytest.raises(wardian.InvalidError, match="function 0"):
        wardian.run(text.encode(), engine=wardian.Engine(), isolation=isolation)


def test_trees_as_directories(words: wardian.Module, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    tree, over = wardian.Tree({"text": TEXT}), wardian.Tree.over(tmp_path)
    forms: list[Any] = [
        {"/in": tree}, {"/in": over}, [(tree, "/in")], [(tree, "/in", True)], [TreeGrant(tree, "/in")],
        {"/in": tmp_path}, [DirGrant(str(tmp_path), "/in", True)],
    ]  # fmt: skip
    for dirs in forms:
        assert wardian.run(words, ["-n", 2, "/in/text"], dirs=dirs, check=True).stdout == COUNTED
    with pytest.raises(TypeError, match="a path or a Tree"):
        wardian.run(words, dirs=[(5.0, "/in")])


def test_what_a_guest_wrote(writer: wardian.Module, tmp_path: Path) -> None:
    tree = wardian.Tree()
    assert wardian.run(writer, dirs={"/": tree}).returncode == 0
    assert len(tree.read("new")) == 1000 and [change.kind for change in tree.changes()] == ["added"]
    assert wardian.run(writer, dirs={"/": wardian.Tree(max_bytes=400)}).returncode == 600
    assert wardian.run(writer, dirs={"/": wardian.Tree(max_files=0)}).returncode == 51
    assert wardian.run(writer, dirs=[(wardian.Tree(), "/", True)]).returncode == 63
    over = wardian.Tree.over(tmp_path)
    assert wardian.run(writer, dirs={"/": over}).returncode == 0
    assert os.listdir(tmp_path) == []
    over.apply(tmp_path)
    assert (tmp_path / "new").stat().st_size == 1000


@pytest.mark.parametrize(
    ("quota", "code", "size"),
    [
        (FileQuota(), 0, 1000),
        (FileQuota(bytes=1000, files=1, file_size=1000), 0, 1000),
        (FileQuota(bytes=10), 990, 10),
        (FileQuota(file_size=10), 990, 10),
        (FileQuota(bytes=0), 51, 0),
        (FileQuota(file_size=0), 22, 0),
        (FileQuota(files=0), 51, None),
    ],
)
def test_quotas(writer: wardian.Module, tmp_path: Path, quota: FileQuota, code: int, size: int | None) -> None:
    assert wardian.run(writer, dirs={"/": tmp_path}, quota=quota).returncode == code
    assert [path.stat().st_size for path in tmp_path.iterdir()] == ([] if size is None else [size])


def test_open_files_are_bounded(writer: wardian.Module, tmp_path: Path) -> None:
    assert wardian.run(writer, dirs={"/": tmp_path}, open_files=4).returncode == 33


def test_streams(words: wardian.Module, tmp_path: Path) -> None:
    pieces = [TEXT[:5], TEXT[5:]]
    read_end, write_end = os.pipe()
    feeder = threading.Thread(target=lambda: (os.write(write_end, TEXT), os.close(write_end)))
    feeder.start()
    (tmp_path / "in").write_bytes(TEXT)
    with open(tmp_path / "in", "rb") as file, open(read_end, "rb") as pipe:
        sources: list[Any] = [io.BytesIO(TEXT), file, pipe, lambda size: pieces.pop(0) if pieces else b""]
        for source in sources:
            assert wardian.run(words, ["-n", 2], stdin=source, check=True).stdout == COUNTED
    feeder.join()
    taken: list[bytes] = []
    memory = io.BytesIO()
    with tempfile.TemporaryFile() as out:
        sinks: list[Any] = [out, out.fileno(), taken.append, memory]
        for sink in sinks:
            assert wardian.run(words, ["-n", 2], input=TEXT, stdout=sink, check=True).stdout == b""
        out.seek(0)
        assert out.read() == COUNTED * 2
    assert b"".join(taken) == memory.getvalue() == COUNTED


def test_a_function_in_place_of_a_stream_may_raise(words: wardian.Module) -> None:
    def fail(content: bytes) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        wardian.run(words, input=TEXT, stdout=fail)


@pytest.mark.parametrize("stream", ["nothing", 1.5, object()])
def test_what_is_no_stream(words: wardian.Module, stream: Any) -> None:
    with pytest.raises(ValueError, match="a stream is"):
        wardian.run(words, stdout=stream)
    with pytest.raises(ValueError, match="a stream is"):
        wardian.run(words, stdin=stream)


CLOCK = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "time") (result i64)
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8))) (i64.load (i32.const 8)))
  (func (export "random") (result i64)
    (drop (call $random (i32.const 8) (i32.const 8))) (i64.load (i32.const 8))))"""


def test_clock_and_randomness() -> None:
    module = wardian.Module(CLOCK)
    assert wardian.run(module, invoke="time", clock=FrozenClock(start=5, tick=0)).values == (5,)
    seeded = [wardian.run(module, invoke="random", seed=7).values for _ in range(2)]
    assert seeded[0] == seeded[1] != wardian.run(module, invoke="random", seed=8).values


REACTOR = """(module (memory (export "memory") 1) (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.add (global.get $ready) (i32.const 1))))
  (func (export "ready") (result i32) (global.get $ready)))"""


def test_reactors() -> None:
    module = wardian.Module(REACTOR)
    assert wardian.run(module, invoke="ready").values == (1,)
    assert wardian.run(module, invoke="_initialize").values == ()


@pytest.mark.parametrize("grant", [{"dirs": {"/": wardian.Tree()}}, {"sockets": (0,)}])
def test_what_cannot_cross_to_another_process(words: wardian.Module, grant: Any) -> None:
    with pytest.raises(TypeError, match="process of its own"):
        wardian.run(words, isolation="process", **grant)
