"""``wardian run --isolate``: the same program, the same words, a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from wardian.isolation.policy import LAYERS

Wat = Callable[[str, str], Path]

ANY = ("--isolate", "--accept-missing", ",".join(LAYERS))

PROGRAM = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 3)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "spin") (loop $again (br $again)))
  (func (export "trap") unreachable))"""


def test_a_program_and_its_functions(cli: Cli, wat: Wat) -> None:
    path = wat("program.wasm", PROGRAM)
    done = cli("run", *ANY, path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "hello\n", "")
    done = cli("run", *ANY, "--invoke", "add", path, "2", "3")
    assert (done.returncode, done.stdout) == (0, "5\n")
    done = cli("run", *ANY, "--invoke", "trap", path)
    assert done.returncode == 134 and "trap: " in done.stderr and "unreachable" in done.stderr


@pytest.mark.slow
def test_what_stops_it(cli: Cli, wat: Wat) -> None:
    path = wat("program.wasm", PROGRAM)
    done = cli("run", *ANY, "-W", "timeout=200ms", "--invoke", "spin", path)
    assert done.returncode == 134 and "the 0.2 s it had are over" in done.stderr
    done = cli("run", *ANY, "-W", "cpu=200ms", "--invoke", "spin", path)
    assert done.returncode == 134 and "the 0.2 s of processor time it had are used up" in done.stderr


def test_what_is_wrong_is_said(cli: Cli, wat: Wat) -> None:
    path = wat("program.wasm", PROGRAM)
    for words, said in (
        (["--isolate", "--accept-missing", "secomp"], "no layer 'secomp'"),
        (["--accept-missing", "seccomp"], "needs --isolate"),
    ):
        done = cli("run", *words, path)
        assert done.returncode == 2 and said in done.stderr
    bad = wat("bad.wasm", "(module)")
    done = cli("run", *ANY, bad)
    assert done.returncode == 1 and "_start" in done.stderr


def test_the_doctor_lists_the_layers(cli: Cli) -> None:
    shown = cli("doctor").stdout
    assert all(f"\n{name} " in shown for name in LAYERS)
