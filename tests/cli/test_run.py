"""``wardian run`` as a user sees it: output, exit codes, grants, limits, and what it says when something is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support import ROOT

WORDS = ROOT / "examples" / "words.wasm"
P1 = "wasi_snapshot_preview1"

EXIT = f"""
(module (import "{P1}" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 7))))
"""
TRAP = """
(module (memory (export "memory") 1)
  (func $deep unreachable)
  (func $start (export "_start") (call $deep)))
"""
LOOP = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
MATH = """
(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (param f32) (result f32 i64) (local.get 0) (i64.const -5))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "nothing")))
"""
LACKS = """
(module (import "env" "alpha" (func $a (param i32) (result i64)))
  (import "env" "beta" (memory 1)) (import "other" "gamma" (func))
  (func (export "_start") (drop (call $a (i32.const 1)))))
"""
UNKNOWN = """
(module (import "env" "alpha" (func $a (param i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $a (i32.const 1)))))
"""

Wat = Callable[[str, str], Path]


def test_standard_streams_and_arguments(cli: Cli) -> None:
    done = cli("run", WORDS, "-n", "2", input="to be or not to be: to")
    assert (done.returncode, done.stdout, done.stderr) == (0, "      3 to\n      2 be\n", "")


def test_nothing_is_granted_by_default(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("word")
    done = cli("run", WORDS, "text")
    assert done.returncode == 1 and "words: text:" in done.stderr


@pytest.mark.parametrize(
    ("grant", "name"), [("sub", "sub/text"), ("sub::/in", "/in/text"), ("sub:ro", "sub/text"), ("sub::x:ro", "x/text")]
)
def test_directories(cli: Cli, tmp_path: Path, grant: str, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text").write_text("word word")
    done = cli("run", "--dir", grant, WORDS, name)
    assert (done.returncode, done.stdout) == (0, "      2 word\n"), done.stderr


def test_missing_directory(cli: Cli) -> None:
    done = cli("run", "--dir", "nowhere", WORDS)
    assert done.returncode == 1 and "nowhere does not exist" in done.stderr


def test_exit_code(cli: Cli, wat: Wat) -> None:
    assert cli("run", wat("exit.wasm", EXIT)).returncode == 7


@pytest.mark.parametrize("mode", [["-O0"], ["-O2"], ["--checks", "explicit"], ["--no-cache"]])
def test_trap(cli: Cli, wat: Wat, mode: list[str]) -> None:
    done = cli("run", *mode, wat("trap.wasm", TRAP))
    assert done.returncode == 134
    assert "trap: unreachable" in done.stderr
    backtrace = done.stderr.partition("backtrace:")[2]
    assert backtrace.index("deep") < backtrace.index("start")


def test_timeout(cli: Cli, wat: Wat) -> None:
    began = time.monotonic()
    done = cli("run", "-W", "timeout=500ms", wat("loop.wasm", LOOP))
    assert done.returncode == 134 and "timeout" in done.stderr
    assert time.monotonic() - began < 20


def test_ctrl_c(wat: Wat, tmp_path: Path) -> None:
    path = wat("loop.wasm", LOOP)
    # A shell's background job, which a test run may be, ignores SIGINT and so do its children: begin as a user does.
    begin = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from wardian.cli.main import script; sys.argv[0] = 'wardian'; script()"
    )
    command = [sys.executable, "-c", begin, "run", str(path)]
    environment = {"PYTHONPATH": str(ROOT / "src"), "WARDIAN_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        try:
            _, printed = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in printed


def test_invoke(cli: Cli, wat: Wat) -> None:
    path = wat("math.wasm", MATH)
    assert cli("run", "--invoke", "add", path, "1", "-3").stdout == "-2\n"
    assert cli("run", "--invoke", "pair", path, "0.1").stdout == "0.1\n-5\n"
    nothing = cli("run", "--invoke", "nothing", path)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    trapped = cli("run", "--invoke", "div", path, "1", "0")
    assert trapped.returncode == 134 and "integer divide by zero" in trapped.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["add", "1"], 2, "takes 2 arguments, 1 given"),
        (["add", "1", "x"], 2, "'x' is not of type i32"),
        (["ad", "1", "2"], 1, "exports no function 'ad'"),
    ],
)
def test_invoke_misused(cli: Cli, wat: Wat, words: list[str], code: int, message: str) -> None:
    done = cli("run", "--invoke", words[0], wat("math.wasm", MATH), *words[1:])
    assert done.returncode == code and message in done.stderr


def test_a_library_is_explained(cli: Cli, wat: Wat) -> None:
    done = cli("run", wat("math.wasm", MATH))
    assert done.returncode == 1
    assert "no _start" in done.stderr and "add, pair, div, nothing" in done.stderr and "--invoke add" in done.stderr


def test_missing_imports_are_listed_all_at_once(cli: Cli, wat: Wat) -> None:
    done = cli("run", wat("lacks.wasm", LACKS))
    assert done.returncode == 1
    for name in ("alpha", "beta", "gamma"):
        assert name in done.stderr
    assert "(func (param i32) (result i64))" in done.stderr


def test_unknown_imports(cli: Cli, wat: Wat) -> None:
    path = wat("unknown.wasm", UNKNOWN)
    assert cli("run", "-W", "unknown-imports-default=y", path).returncode == 0
    trapped = cli("run", "-W", "unknown-imports-trap=y", path)
    assert trapped.returncode == 134 and "alpha" in trapped.stderr
    assert cli("run", "-W", "unknown-imports-trap,unknown-imports-default", path).returncode == 2


def test_memory_limit(cli: Cli, wat: Wat) -> None:
    grow = '(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 100))))'
    path = wat("grow.wasm", grow)
    assert cli("run", "--invoke", "grow", path).stdout == "1\n"
    assert cli("run", "-W", "max-memory-size=1M", "--invoke", "grow", path).stdout == "-1\n"


def test_a_feature_switched_off(cli: Cli, wat: Wat) -> None:
    path = wat("sign.wasm", '(module (func (export "f") (result i32) (i32.extend8_s (i32.const 255))))')
    assert cli("run", "--invoke", "f", path).stdout == "-1\n"
    done = cli("run", "-W", "sign-extension=n", "--invoke", "f", path)
    assert done.returncode == 1 and "sign-extension" in done.stderr


@pytest.mark.parametrize(
    "words", [["-O9"], ["-W", "nonsense"], ["--checks", "none"], ["--env", "=x"], ["--nonsense"], []]
)
def test_bad_usage(cli: Cli, words: list[str]) -> None:
    done = cli("run", *words, *([WORDS] if words else []))
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_environment(cli: Cli, wat: Wat) -> None:
    sizes = f"""
    (module (import "{P1}" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "{P1}" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (call $exit (i32.add (i32.load (i32.const 0)) (i32.mul (i32.const 10) (i32.load (i32.const 4)))))))
    """
    path = wat("sizes.wasm", sizes)
    assert cli("run", path, env={"SECRET": "x"}).returncode == 0
    assert cli("run", "--env", "A=b", path).returncode == 1 + 10 * len("A=b\0")
    assert cli("run", "--env", "SEEN", "--env", "UNSET_VARIABLE", path, env={"SEEN": "y"}).returncode == 1 + 70


def test_argv0(cli: Cli, wat: Wat) -> None:
    lengths = f"""
    (module (import "{P1}" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
      (import "{P1}" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (call $exit (i32.load (i32.const 4)))))
    """
    wat("l.wasm", lengths)
    assert cli("run", "l.wasm").returncode == len("l.wasm\0")
    assert cli("run", "--argv0", "x", "l.wasm", "ab").returncode == len("x\0ab\0")


def test_warm_run_does_without_llvmlite(cli: Cli) -> None:
    first = cli("run", WORDS, input="a b a")
    assert first.returncode == 0, first.stderr
    warm = cli("run", WORDS, input="a b a", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert warm.stdout == first.stdout
    assert "llvmlite" not in warm.stderr


GROW = f"""
(module (import "{P1}" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (call $exit (i32.const 3))))))
"""
SPEAK = f"""
(module (import "{P1}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""
DEEP = '(module (func $f (export "_start") (call $f) (call $f)))'


@pytest.mark.parametrize(
    ("text", "setting", "code", "says"),
    [
        (GROW, "max-memory-size=64K", 3, "run into a limit: bytes of a linear memory; raise it with memory=, or {}"),
        (GROW, "max-memory-size=1K", 1, "more than the limit of 1024; raise it with memory=, or {}"),
        (GROW, "max-functions=0", 1, "1 is more than the limit of 0; raise it with Limits(functions=...), or {}"),
        (SPEAK, "max-output=4", 0, "a limit: bytes of each output stream; raise it with output_limit=, or {}"),
        (DEEP, "max-wasm-stack=64K", 134, "call stack exhausted; raise it with stack=, or {}"),
        (LOOP, "timeout=100ms", 134, "stopped: timeout: the 0.1 s it had are over; raise it with timeout=, or {}"),
        (LOOP, "cpu=50ms", 134, "the 0.05 s of processor time it had are used up; raise it with cpu=, or {}"),
    ],
)  # fmt: skip
def test_a_limit_is_named_with_its_option(wat: Wat, cli: Cli, text: str, setting: str, code: int, says: str) -> None:
    path = wat("guest.wat", text)
    done = cli("run", "-W", setting, path)
    said = says.format(f"-W {setting.partition('=')[0]}=... on the command line")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert done.stdout == ("hell" if text == SPEAK else "")
    if code in (0, 3):
        plenty = {"max-memory-size=64K": "max-memory-size=10M", "max-output=4": "max-output=6"}[setting]
        done = cli("run", "-W", plenty, path)
        assert (done.returncode, done.stderr) == (0, "")
