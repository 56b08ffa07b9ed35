"""The commands but ``run``, as a user sees them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import wardian
from tests.cli.conftest import Cli
from wardian.cli.main import COMMANDS, main

GOOD = """
(module
  (import "env" "log" (func $log (param i32)))
  (memory (export "memory") 1 16)
  (table 2 10 funcref)
  (global (export "answer") (mut i32) (i32.const 42))
  (func $work (export "run") (param i32 i64) (result f64) (f64.const 1)))
"""
HOSTILE = '(module (func (export "\\1b[31mred\\07")))'
INVALID = "(module (func (result i32) (i64.const 1)))"

Wat = Callable[[str, str], Path]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: wardian {command}" in printed


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


def test_no_command_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: wardian" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wardian {wardian.__version__}\n"


@pytest.mark.parametrize(("word", "hint"), [("rnu", "wardian run"), ("x.wasm", "wardian run x.wasm"), ("zz", "--help")])
def test_unknown_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    printed = capsys.readouterr().err
    assert f"unknown command {word!r}" in printed and hint in printed


def test_validate(cli: Cli, wat: Wat) -> None:
    wat("good.wasm", GOOD)
    wat("bad.wasm", INVALID)
    done = cli("validate", "good.wasm", "bad.wasm", "none.wasm")
    assert done.returncode == 1
    assert done.stdout.startswith("good.wasm: valid (1 function, ")
    assert "bad.wasm: type mismatch" in done.stderr and "in function 0" in done.stderr
    assert "none.wasm: there is no such file" in done.stderr
    assert cli("validate", "good.wasm").returncode == 0


def test_inspect(cli: Cli, wat: Wat) -> None:
    wat("good.wasm", GOOD)
    done = cli("inspect", "--functions", "good.wasm")
    assert done.returncode == 0, done.stderr
    for line in (
        "func   env.log: (i32) -> ()",
        "memory memory: 1 page (64.0 KiB) to 16 pages (1.0 MiB)",
        "global answer: mutable i32",
        "table  funcref, 2 elements to 10 elements",
        "work: (i32, i64) -> (f64)",
        "custom name",
    ):
        assert line in done.stdout, done.stdout


def test_inspect_escapes_what_a_terminal_would_obey(cli: Cli, wat: Wat) -> None:
    wat("hostile.wasm", HOSTILE)
    done = cli("inspect", "hostile.wasm")
    assert "\\x1b[31mred\\x07" in done.stdout and "\x1b" not in done.stdout


def test_inspect_shows_an_invalid_module(cli: Cli, wat: Wat) -> None:
    wat("bad.wasm", INVALID)
    assert cli("inspect", "--functions", "bad.wasm").returncode == 0


def test_inspect_refuses_a_malformed_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.wasm").write_bytes(b"\0asm\1\0\0\0\1\x50")
    done = cli("inspect", "cut.wasm")
    assert done.returncode == 1
    assert "offset 0x9" in done.stderr and "Traceback" not in done.stderr


def test_compile_into_a_file(cli: Cli, wat: Wat, tmp_path: Path) -> None:
    wat("good.wasm", GOOD)
    done = cli("compile", "-O0", "good.wasm", "-o", "good.cwasm", "-j", "2")
    assert done.returncode == 0, done.stderr
    assert "good.cwasm" in done.stdout
    shutil.rmtree(tmp_path / "cache")
    done = cli("run", "-W", "unknown-imports-trap", "--invoke", "run", "good.cwasm", "1", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert not (tmp_path / "cache").exists()
    data = (tmp_path / "good.cwasm").read_bytes()
    (tmp_path / "bad.cwasm").write_bytes(data[:-1])
    done = cli("run", "--invoke", "run", "bad.cwasm")
    assert done.returncode == 1
    assert "damaged" in done.stderr
    done = cli("validate", "good.cwasm")
    assert "wardian has compiled" in done.stderr
    done = cli("compile", "-j", "0", "good.wasm")
    assert done.returncode == 2
    done = cli("compile", "good.wasm", "-o", "nowhere/x.cwasm")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_compile_fills_the_cache_and_cache_clears_it(cli: Cli, wat: Wat, tmp_path: Path) -> None:
    wat("good.wasm", GOOD)
    done = cli("compile", "-O0", "good.wasm")
    assert done.returncode == 0, done.stderr
    assert "compiled 1 function" in done.stdout
    assert cli("cache", "path").stdout.strip() == str(tmp_path / "cache")
    assert cli("cache", "size").stdout.strip() != "0 B"
    assert cli("cache", "clear").returncode == 0
    assert cli("cache", "size").stdout.strip() == "0 B"
    assert str(tmp_path / "cache") in cli("cache").stdout


def test_doctor_says_what_there_is(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor")
    assert done.returncode in (0, 1), done.stderr
    for word in ("python", "llvmlite", "cpu", "memory checks", "openat2", str(tmp_path / "cache"), "vm.max_map_count"):
        assert word in done.stdout


def test_a_reader_that_goes_away_is_no_crash(cli: Cli, wat: Wat) -> None:
    import subprocess
    import sys

    from tests.support import ROOT

    functions = "".join(f'(func (export "f{n}"))' for n in range(5000))
    path = wat("many.wasm", f"(module {functions})")
    script = f"{sys.executable} -m wardian inspect --functions {path} | head -n 1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")})
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_text_is_taken_wherever_a_binary_is(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.wat").write_text(GOOD)
    (tmp_path / "bad.wat").write_text("(module\n  (func (i32.con 1)))")
    assert "good.wat: valid" in cli("validate", "good.wat").stdout
    assert "func   env.log: (i32) -> ()" in cli("inspect", "good.wat").stdout
    for command in ("validate", "inspect", "run"):
        done = cli(command, "bad.wat")
        assert done.returncode == 1 and "unknown operator" in done.stderr and "Traceback" not in done.stderr
