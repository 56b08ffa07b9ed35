"""``wardian wat`` and ``wardian wast``, and texts where modules are expected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wardian
from tests.cli.conftest import Cli
from tests.support import ROOT, assemble

TEXT = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'


def test_both_ways(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_text(TEXT)
    assert cli("wat", "a.wat", "-o", "a.wasm").returncode == 0
    assert (tmp_path / "a.wasm").read_bytes() == assemble(TEXT)
    done = cli("wat", "a.wasm")
    assert done.returncode == 0 and "i32.add" in done.stdout
    (tmp_path / "b.wat").write_text(done.stdout)
    assert cli("wat", "b.wat", "-o", "b.wasm").returncode == 0
    assert (tmp_path / "b.wasm").read_bytes() == (tmp_path / "a.wasm").read_bytes()
    assert cli("wat", "a.wasm", "--output", "c.wat").stdout == ""
    assert (tmp_path / "c.wat").read_text() == done.stdout


def test_pipes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wardian", "wat", "-"]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    binary = subprocess.run(command, input=TEXT.encode(), env=environment, check=True, capture_output=True).stdout
    assert binary == assemble(TEXT)
    text = subprocess.run(command, input=binary, env=environment, check=True, capture_output=True).stdout
    assert b"i32.add" in text


def test_plain(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_text("(func (@wardian.leb 5) call 0)")
    cli("wat", "a.wat", "-o", "a.wasm")
    assert "(@wardian.leb 5) call 0" in cli("wat", "a.wasm").stdout
    assert "@" not in cli("wat", "--plain", "a.wasm").stdout


def test_an_error_has_a_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_text("(module\n  (func foo))")
    done = cli("wat", "a.wat", "-o", "a.wasm")
    assert done.returncode == 1
    assert "unknown operator foo, expected an instruction at line 2, column 9\n" in done.stderr
    assert done.stderr.endswith("    (func foo))\n          ^\n")
    assert not (tmp_path / "a.wasm").exists()


def test_it_does_not_write_over_what_it_reads(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_text(TEXT)
    assert cli("wat", "a.wat", "-o", "a.wat").returncode == 2
    assert (tmp_path / "a.wat").read_text() == TEXT


def test_text_runs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_text(TEXT)
    assert cli("run", "--invoke", "add", "a.wat", "2", "3").stdout == "5\n"
    assert "valid" in cli("validate", "a.wat").stdout
    assert "add" in cli("inspect", "a.wat").stdout


def test_text_is_a_module(tmp_path: Path) -> None:
    path = tmp_path / "a.wat"
    path.write_text(TEXT)
    for module in (wardian.Module(TEXT), wardian.Module(TEXT.encode()), wardian.Module.from_file(path)):
        assert module.instantiate().exports.add(2, 3) == 5


def test_text_that_is_none() -> None:
    with pytest.raises(wardian.MalformedError, match="expected an instruction at line 1, column 7"):
        wardian.Module("(func foo)")
    with pytest.raises(TypeError, match="from_file"):
        wardian.Module("hello.wat")
    with pytest.raises(wardian.MalformedError):
        wardian.Module(b"hello")


SCRIPT = """
(module (func (export "f") (param i32) (result i32) (i32.div_u (i32.const 6) (local.get 0))))
(assert_return (invoke "f" (i32.const 3)) (i32.const 2))
(assert_trap (invoke "f" (i32.const 0)) "integer divide by zero")
(assert_malformed (module quote "(func $f) (func $f)") "duplicate func")
(assert_invalid (module (func (result i32))) "type mismatch")
"""
WRONG = '(assert_return (invoke "f" (i32.const 3)) (i32.const 3))'


def test_scripts(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.wast").write_text(SCRIPT)
    done = cli("wast", "-O0", "good.wast")
    assert done.returncode == 0
    assert "good.wast: 5 of 5 hold" in done.stdout
    assert "1 file, 5 of 5 commands hold" in done.stdout
    assert "  assert_trap                  1\n" in done.stdout


def test_failures_have_a_place(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "suite" / "inner"
    folder.mkdir(parents=True)
    (folder / "good.wast").write_text(SCRIPT)
    (folder / "bad.wast").write_text(f"{SCRIPT}{WRONG}\n(assert_return (invoke 3))")
    done = cli("wast", "-O0", "--quiet", "suite")
    assert done.returncode == 1
    assert "good.wast" not in done.stdout
    assert "bad.wast:7: assert_return: expected (i32 0x00000003), got 2" in done.stdout
    assert "bad.wast:8: unreadable" in done.stdout
    assert "2 files, 10 of 12 commands hold" in done.stdout


def test_no_script(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.wast").write_text('(invoke "f')
    assert cli("wast", "a.wast").returncode == 1
    assert cli("wast", "missing.wast").returncode == 1
    assert cli("wast", ".", "-W", "timeout=3s").returncode == 2
