"""The audit stream: what is told of which call, how often, and that watching changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.support import Mode, level_params
from wardian.runtime.calls import callers
from wardian.terminal.text import CONTROLS
from wardian.wasi.p1 import audit
from wardian.wasi.p1.audit import _PATHS, Audit, line_writer
from wardian.wasi.p1.groups import GROUP_OF, GROUPS
from wardian.wasi.p1.table import FUNCTIONS

P1 = "wasi_snapshot_preview1"


def guest(body: str, text: bytes = b"") -> bytes:
    """A program; ``text`` lies at 1024, the descriptor it opened last at 8."""
    quoted = "".join(f"\\{value:02x}" for value in text)
    return f"""
    (module
      (import "{P1}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "{P1}" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
      (import "{P1}" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
      (import "{P1}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "{P1}" "fd_close" (func $close (param i32) (result i32)))
      (import "{P1}" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
      (import "{P1}" "random_get" (func $random (param i32 i32) (result i32)))
      (import "{P1}" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
      (import "{P1}" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "\\00\\08\\00\\00\\04\\00\\00\\00")
      (data (i32.const 1024) "{quoted}")
      (func $create (param $at i32) (param $size i32) (result i32)
        (call $open (i32.const 3) (i32.const 0) (local.get $at) (local.get $size) (i32.const 1)
          (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 8)))
      (func $say (param $fd i32) (result i32)
        (call $write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 12)))
      (func (export "_start") {body}))
    """.encode()


def told(body: str, text: bytes = b"", **more: Any) -> tuple[list[dict[str, Any]], wardian.RunResult]:
    events: list[dict[str, Any]] = []
    result = wardian.run(guest(body, text), audit=events.append, **more)
    return events, result


def calls(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in event.items() if k not in ("time", "event")} for event in events if event["event"] == "call"
    ]


def test_every_function_is_in_one_group() -> None:
    assert set(GROUP_OF) == {row.name for row in FUNCTIONS}
    assert sum(len(names.split()) for names, _ in GROUPS.values()) == len(FUNCTIONS)
    assert set(_PATHS) == {row.name for row in FUNCTIONS if row.name.startswith("path_")}


def test_paths_with_who_asked(tmp_path: Path) -> None:
    body = """(drop (call $create (i32.const 1024) (i32.const 3)))
      (drop (call $unlink (i32.const 3) (i32.const 1027) (i32.const 2)))"""
    events, _ = told(body, b"newno", dirs={"/work": str(tmp_path)})
    assert calls(events) == [
        {
            "function": "path_open", "capability": "files", "outcome": "used", "asked_by": ["create", "_start"],
            "fd": 3, "directory": "/work", "path": "new",
        },
        {
            "function": "path_unlink_file", "capability": "files", "outcome": "failed", "asked_by": ["_start"],
            "error": "no such file or directory", "fd": 3, "directory": "/work", "path": "no",
        },
    ]  # fmt: skip


def test_denied(tmp_path: Path) -> None:
    body = """(drop (call $create (i32.const 1024) (i32.const 4))) (drop (call $create (i32.const 1028) (i32.const 1)))
      (drop (call $accept (i32.const 1) (i32.const 0) (i32.const 8)))"""
    events, _ = told(body, b"../xy", dirs=[(str(tmp_path), "/in", True)])
    found = [(each["function"], each["capability"], each["outcome"]) for each in calls(events)]
    assert found == [
        ("path_open", "files", "denied"), ("path_open", "files", "denied"), ("sock_accept", "network", "denied")
    ]  # fmt: skip
    assert events[0]["directories"] == [{"guest": "/in", "readonly": True}]


def test_uses_of_a_descriptor_are_told_once_until_it_is_another(tmp_path: Path) -> None:
    body = """
      (loop $l (drop (call $say (i32.const 1))) (drop (call $random (i32.const 2048) (i32.const 8)))
        (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
        (br_if $l (i32.lt_u (i32.load (i32.const 4)) (i32.const 100))))
      (drop (call $create (i32.const 1024) (i32.const 1)))
      (drop (call $say (i32.const 4))) (drop (call $say (i32.const 4))) (drop (call $close (i32.const 4)))
      (drop (call $create (i32.const 1025) (i32.const 1))) (drop (call $say (i32.const 4)))
      (drop (call $renumber (i32.const 4) (i32.const 2))) (drop (call $say (i32.const 2)))"""
    events, _ = told(body, b"ab", dirs={"d": str(tmp_path)})
    found = [(each["function"], each.get("fd"), each.get("name")) for each in calls(events)]
    assert found == [
        ("fd_write", 1, "stdout"), ("random_get", None, None), ("path_open", 3, None), ("fd_write", 4, "d/a"),
        ("fd_close", 4, "d/a"), ("path_open", 3, None),
        ("fd_write", 4, "d/b"), ("fd_renumber", 4, "d/b"), ("fd_write", 2, "d/b"),
    ]  # fmt: skip
    assert events[-1]["calls"]["fd_write"] == 104 and events[-1]["calls"]["random_get"] == 100


def test_limits(tmp_path: Path) -> None:
    events, result = told(
        "(drop (call $create (i32.const 1024) (i32.const 1))) (drop (call $say (i32.const 1))) (loop $l (br $l))",
        b"a", dirs={"d": str(tmp_path)}, open_files=4, output_limit=2, timeout=0.5,
    )  # fmt: skip
    assert result.status == "timeout" and result.truncated
    assert [(each["capability"], each["outcome"]) for each in events if "outcome" in each] == [
        ("files", "limited"), ("streams and open files", "used"), ("time", "limited"), ("output", "limited")
    ]  # fmt: skip
    assert (events[-1]["event"], events[-1]["status"], events[-1]["trap"]) == ("end", "timeout", "timeout")
    assert [each["reached"] for each in events if "reached" in each] == [
        ["open_files"], ["timeout"], ["output"], list(result.reached)
    ]  # fmt: skip
    assert {*result.reached} == {"timeout", "output", "open_files"}


def test_the_limit_behind_an_error_is_told(tmp_path: Path) -> None:
    """And in the end also those that no call has run into. What the guest was not granted is no limit."""
    events, result = told(
        "(drop (call $create (i32.const 1024) (i32.const 1))) (drop (call $create (i32.const 1025) (i32.const 1)))"
        "(drop (call $unlink (i32.const 0) (i32.const 0) (i32.const 1))) (drop (memory.grow (i32.const 100)))",
        b"ab", dirs={"d": str(tmp_path)}, quota=wardian.FileQuota(files=1), memory="128K",
    )  # fmt: skip
    assert [each.get("reached") for each in calls(events)] == [None, ["new_files"], None]
    assert events[-1]["reached"] == list(result.reached)
    assert {*result.reached} == {"new_files", "memory"}


def test_exit() -> None:
    events, result = told("(call $exit (i32.const 5))")
    assert [event["event"] for event in events] == ["start", "call", "end"]
    assert calls(events) == [{"function": "proc_exit", "capability": "exit", "outcome": "used", "asked_by": ["_start"]}]
    assert result.returncode == events[-1]["returncode"] == 5


def test_bad_pointers_are_no_trouble(tmp_path: Path) -> None:
    body = """(drop (call $create (i32.const -8) (i32.const -1))) (drop (call $rename (i32.const 77) (i32.const 65530)
      (i32.const 100) (i32.const -1) (i32.const 0) (i32.const 5000)))"""
    events, result = told(body, dirs={"d": str(tmp_path)})
    assert result.returncode == 0
    assert [(each["function"], each["outcome"], len(each["path"])) for each in calls(events)] == [
        ("path_open", "failed", 0), ("path_rename", "failed", 6)
    ]  # fmt: skip


def test_hostile_paths_are_inert_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    log = tmp_path / "audit.jsonl"
    attack = b"\x1b]0;x\x07\n\xc2\x9b\xff"
    wardian.run(guest(f"(drop (call $create (i32.const 1024) (i32.const {len(attack)})))", attack),
                dirs={"d": str(tmp_path / "d")}, audit=log)  # fmt: skip
    content = log.read_bytes()
    assert content.isascii() and not {*content} - {10} & {*CONTROLS}
    assert [json.loads(line)["event"] for line in content.splitlines()] == ["start", "call", "end"]
    assert os.stat(log).st_mode & 0o777 == 0o600


def test_a_guest_cannot_fill_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST", 10)
    body = """(loop $l (drop (call $unlink (i32.const 3) (i32.const 0) (i32.const 1)))
      (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (i32.const 1)))
      (br_if $l (i32.lt_u (i32.load (i32.const 4)) (i32.const 1000))))"""
    events, _ = told(body)
    assert [event["event"] for event in events] == ["start"] + ["call"] * 9 + ["cut", "end"]
    assert events[-1]["calls"] == {"path_unlink_file": 1000}


def test_what_the_sink_raises_ends_the_guest() -> None:
    def sink(event: dict[str, Any]) -> None:
        if event["event"] == "call":
            raise PermissionError(event["function"])

    with pytest.raises(PermissionError, match="random_get"):
        wardian.run(guest("(drop (call $random (i32.const 2048) (i32.const 8)))"), audit=sink)


def test_lines_are_written_whole() -> None:
    ours, theirs = os.pipe()
    Audit(line_writer(theirs)).tell("x", a=1, b=None)
    assert {key: value for key, value in json.loads(os.read(ours, 1000)).items() if key != "time"} == {
        "event": "x",
        "a": 1,
    }
    os.close(ours)
    os.close(theirs)


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    program = guest("(drop (call $say (i32.const 1)))")
    events: list[dict[str, Any]] = []
    try:
        wardian.run(program, audit=events.append, isolation="process")
        wardian.run(program, audit=log, isolation="process")
    except wardian.Refused as refused:
        pytest.skip(f"no isolation here: {refused}")
    assert [event["event"] for event in events] == ["start", "call", "end"]
    assert len(log.read_text().splitlines()) == 3


@pytest.mark.parametrize("mode", level_params())
def test_who_asked_in_every_tier(mode: Mode) -> None:
    """Also from within a host function that was called by a guest that a host function called."""
    text = """
      (module (import "e" "f" (func $f (param i32))) (import "e" "g" (func $g))
        (func $inner (param i32) (call $f (local.get 0)))
        (func $outer (export "go") (param i32) (call $inner (local.get 0)) (call $g))
        (func $deep (export "deep") (param i32) (if (local.get 0)
          (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $g)))))"""
    engine = wardian.Engine(mode.config(cache=False))
    seen: list[list[str]] = []

    def f(n: int) -> None:
        seen.append(callers(engine.process, 8))
        if n:
            instance.exports.go(n - 1)

    instance = wardian.Module(text.encode(), engine).instantiate(
        {"e": {"f": f, "g": lambda: seen.append(callers(engine.process, 3))}}
    )
    instance.exports.go(1)
    instance.exports.deep(100)
    known = {"inner", "outer", "deep"}
    assert all(names and set(names) <= known for names in seen)
    if mode.opt != "O2":  # which takes small functions into their callers
        assert seen == [["inner", "outer"], ["inner", "outer"], ["outer"], ["outer"], ["deep"] * 3]
