"""The command on a terminal: whatever a module's names are, whatever a guest prints, the terminal is told text only."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.conftest import Cli
from tests.support import ROOT
from tests.terminal.corpus import EVERYTHING, acts
from wardian.terminal.wide import hidden
from wardian.text.parse import assemble

EVIL = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202e\r\b" + "\u0301" * 30
P1 = "wasi_snapshot_preview1"


def quoted(data: bytes) -> str:
    return '"' + "".join(f"\\{value:02x}" for value in data) + '"'


NAME = quoted(EVIL.encode())


class Shown(NamedTuple):
    code: int
    output: bytes

    @property
    def text(self) -> str:
        return self.output.decode()


Terminal = Callable[..., Shown]


@pytest.fixture
def terminal(tmp_path: Path, cli: Cli) -> Terminal:
    """``terminal("run", ...)``: the command with both output streams on one terminal; what that was told."""

    def run(*words: str | Path, **more: str) -> Shown:
        master, slave = pty.openpty()
        tty.setraw(slave)  # what was written, without the line discipline's own carriage returns
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "WARDIAN_CACHE": str(tmp_path / "cache")} | more
        with subprocess.Popen(
            [sys.executable, "-m", "wardian", *map(str, words)],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
        ) as process:  # fmt: skip
            os.close(slave)
            output = bytearray()
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                if not select.select([master], [], [], 1)[0]:
                    continue
                try:
                    output += os.read(master, 1 << 16)
                except OSError:  # EIO: nobody has the other end any more
                    break
            else:
                process.kill()
        os.close(master)
        return Shown(process.returncode, bytes(output))

    return run


PROGRESS = {"carriage_return", "erase_in_line"}
"""What a line of progress does, of commands that show one when they take long."""


def harmless(shown: Shown, *, progress: bool = False) -> None:
    assert acts(shown.output) <= (PROGRESS if progress else set()), shown.output
    assert not hidden.search(shown.text)
    assert "Traceback" not in shown.text


HOSTILE = f"""
(module ${NAME} (@custom {NAME} "x")
  (import {NAME} {NAME} (func (param i32)))
  (memory (export "memory") 1)
  (func ${NAME} (export {NAME}) (param i32) (result i32) unreachable)
  (global (export {quoted(EVIL.encode() + b"g")}) i32 (i32.const 0)))
"""
SPEAKS = """
(module (import "%s" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "%s" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $print (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $size))
    (if (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 3))))
    (if (i32.ne (i32.load (i32.const 8)) (local.get $size)) (then (call $exit (i32.const 4)))))
  (data (i32.const 16) %s)
  (func (export "_start") %s))
"""


def speaker(data: bytes, *calls: tuple[int, int, int], then: str = "") -> str:
    """A guest that prints parts of ``data``, ``(fd, begin, end)`` each, and checks what it is told about that."""
    prints = " ".join(
        f"(call $print (i32.const {fd}) (i32.const {16 + begin}) (i32.const {end - begin}))" for fd, begin, end in calls
    )
    return SPEAKS % (P1, P1, quoted(data), f"{prints} {then}")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    path = tmp_path / "hostile.wasm"
    path.write_bytes(assemble(HOSTILE))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["inspect"],
        ["inspect", "--functions"],
        ["validate"],
        ["wat"],
        ["run"],
        ["run", "--invoke", EVIL],
        ["run", "-W", "unknown-imports-trap=y", "--invoke", EVIL],
        ["compile", "--checks", "explicit"],
    ],
    ids=" ".join,
)
def test_names_of_a_module(terminal: Terminal, hostile: Path, words: list[str]) -> None:
    shown = terminal(*words, hostile, *(["1"] if EVIL in words else []))
    harmless(shown, progress=words[0] == "compile")
    assert shown.output


@pytest.mark.parametrize("command", ["run", "validate", "inspect", "wat", "wast", "compile", EVIL])
def test_files_that_are_none(terminal: Terminal, tmp_path: Path, command: str) -> None:
    path = tmp_path / "\x1b[2J\x9b.wasm"
    text = f'(module (func (export "{EVIL}") {EVIL}'
    for content in (b"\0asm\1\0\0\0" + EVIL.encode(), text.encode(), EVIL.encode()):
        path.write_bytes(content)
        harmless(terminal(command, path))
    harmless(terminal(command, f"nowhere{EVIL}"))


def test_scripts(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "x.wast"
    path.write_text(
        f'(module (func (export {NAME}) unreachable))\n(assert_trap (invoke {NAME}) "{EVIL[-3:]}")\n(invoke {NAME})\n'
        f'(assert_return (invoke {NAME}) (i32.const 1))\n(assert_malformed (module quote "(") {NAME})\n'
    )
    harmless(terminal("wast", "-O", "baseline", path))


def test_what_a_guest_prints(terminal: Terminal, wat: Callable[[str, str], Path]) -> None:
    data = b"".join(EVERYTHING)
    half = len(data) // 2
    cuts = [(1 + at % 2, at, min(at + 997, half)) for at in range(0, half, 997)]
    shown = terminal("run", wat("x.wasm", speaker(data, *cuts, (2, half, len(data)))))
    harmless(shown)
    assert shown.code == 0 and b"owned" in shown.output


def test_colours_end_with_the_guest(terminal: Terminal, wat: Callable[[str, str], Path]) -> None:
    shown = terminal("run", wat("x.wasm", speaker(b"\x1b[31mred\x1b[", (1, 0, 10), then="unreachable")))
    assert shown.code == 134
    assert shown.text.startswith("\x1b[0;31mred␛[\x1b[0m") and "trap: unreachable" in shown.text


def test_modes_on_a_terminal(terminal: Terminal, wat: Callable[[str, str], Path]) -> None:
    path = wat("x.wasm", speaker(b"\x1b[31mred\x1b[2J\n", (1, 0, 13)))
    assert terminal("run", "--terminal", "strict", path).text == "␛[31mred␛[2J\n"
    assert terminal("run", "--terminal=color", path).text == "\x1b[0;31mred␛[2J\x1b[0m\n"
    assert terminal("run", "--terminal", "raw", path).output == b"\x1b[31mred\x1b[2J\n"


def test_a_terminal_of_another_locale_gets_ascii(terminal: Terminal, wat: Callable[[str, str], Path]) -> None:
    path = wat("x.wasm", speaker("\x1b[31mrot é\x9b".encode(), (1, 0, 13)))
    assert terminal("run", path, LC_ALL="C").output == b"\x1b[0;31mrot \\xe9<U+009B>\x1b[0m"
    assert terminal("inspect", "\u9b1a.wasm", LC_ALL="C").output.isascii()


def test_files_and_pipes_are_exact(cli: Cli, wat: Callable[[str, str], Path], tmp_path: Path) -> None:
    data = b"\x1b[31mred\x1b[2J\xff\r\n"
    path = wat("x.wasm", speaker(data, (1, 0, len(data)), (2, 0, len(data))))
    done = cli("run", path, text=False)
    assert (done.stdout, done.stderr) == (data, data)
    assert cli("run", "--terminal", "strict", path).stdout == "␛[31mred␛[2J\ufffd\n"
    wrong = cli("run", "--terminal", "colour", path)
    assert wrong.returncode == 2 and "strict" in wrong.stderr


def test_progress_is_one_line_of_our_own(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "p.py"
    script.write_text(
        "from wardian.cli.console import guard\nfrom wardian.cli.report import Progress\nguard()\n"
        "p = Progress('compiling \\x1b]0;x\\x07', -1)\np(1, 2)\np.close()\nprint('done\\x1b[2J')\n"
    )
    master, slave = pty.openpty()
    tty.setraw(slave)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, script], env=environment, stdout=slave, stderr=slave, check=True, timeout=60)
    shown = os.read(master, 4096).decode()
    os.close(master)
    os.close(slave)
    assert shown == "\rcompiling ␛]0;x␇: 1 of 2 (50 %)\x1b[K\r\x1b[Kdone␛[2J\n"


# --- wardian filter ---


def start(*words: str, **more: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    # A shell's background job, which a test run may be, ignores SIGINT and so do its children: begin as a user does.
    begin = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from wardian.cli.main import script; script()"
    )
    command = [sys.executable, "-c", begin, "filter", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)


def test_filter_passes_on_what_is_harmless(cli: Cli) -> None:
    done = cli("filter", input="\x1b[31mred\nx\x1b[2J\x1b]52;c;eA==\x07\n")
    assert done.stdout == "\x1b[0;31mred\x1b[0m\n\x1b[0;31mx␛[2J␛]52;c;eA==␇\x1b[0m\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert cli("filter", "--terminal", "strict", input="\x1b[31m").stdout == "␛[31m"
    assert cli("filter", "--terminal", "raw", input="\x1b[31m").stdout == "\x1b[31m"
    assert cli("filter", "--terminal", "x").returncode == 2


def test_filter_reports(cli: Cli) -> None:
    done = cli("filter", "--report", input="\x1b]52;c;eA==\x07\x1b[2J\x1b[2J")
    assert done.stderr.splitlines() == [
        "wardian: 2 times: erases or moves text", "wardian: 1 time: reads or writes the clipboard"
    ]  # fmt: skip


def test_filter_shows_at_once_and_ends_with_its_input() -> None:
    with start() as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"prompt> \x1b[")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 100) == b"prompt> "
        process.stdin.write(b"31mx")
        process.stdin.close()
        assert process.stdout.read() == b"\x1b[0;31mx\x1b[0m"
    assert process.returncode == 0


def test_filter_lets_the_command_finish_after_ctrl_c() -> None:
    with start() as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"\x1b[31mworking")
        process.stdin.flush()
        os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.stdin.write(b" interrupted")
        process.stdin.close()
        assert process.stdout.read() == b" interrupted\x1b[0m"
        assert process.stderr.read() == b""
    assert process.returncode == 130


@pytest.mark.parametrize(("signals", "code"), [((signal.SIGINT, signal.SIGINT), 130), ((signal.SIGTERM,), 143)])
def test_filter_can_be_ended(signals: tuple[int, ...], code: int) -> None:
    with start() as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"\x1b[31mred\x1b")
        process.stdin.flush()
        os.read(process.stdout.fileno(), 100)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.3)
        assert process.stdout.read() == "␛\x1b[0m".encode()
        assert process.stderr.read() == b""
    assert process.returncode == code


def test_filter_ends_with_its_reader() -> None:
    with start() as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"x" * 10)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.slow
def test_a_worker_has_no_terminal_to_write_to(terminal: Terminal, wat: Callable[[str, str], Path]) -> None:
    data = b"\x1b[31mred\x1b[2J\n"
    path = wat("x.wasm", speaker(data, (1, 0, len(data)), (2, 0, len(data))))
    shown = terminal("run", "--isolate", path)
    if b"layers" in shown.output or shown.code == 1:
        pytest.skip("this machine lacks layers of isolation")
    harmless(shown)
    assert shown.text.count("\x1b[0;31mred␛[2J\x1b[0m\n") == 2
    assert terminal("run", "--isolate", "--terminal", "raw", path).output == data * 2
