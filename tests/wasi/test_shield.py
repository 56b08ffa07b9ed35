"""Output behind the terminal's filter: what a guest is told, short and failing writes, and the choice of the mode."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Sequence

import pytest

import wardian
from tests.wasi.guest import Guest
from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.poll import Waiter
from wardian.grants import Capture, DirGrant, Grants, Inherit
from wardian.isolation.policy import LAYERS, Isolation
from wardian.terminal import Filter, Screen
from wardian.wasi.errno import NUMBERS
from wardian.wasi.p1.context import WasiContext
from wardian.wasi.p1.types import Rights
from wardian.wasi.shield import ShieldedOutput, shielded

P1 = "wasi_snapshot_preview1"
SPEAKS = f"""
(module (import "{P1}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\0d\\00\\00\\00")
  (data (i32.const 16) "\\1b[31mred\\1b[2J\\ff")
  (func (export "_start")
    (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
    (if (i32.ne (i32.load (i32.const 8)) (i32.const 13)) (then (unreachable)))))
"""


class Slow:
    """Takes three bytes at a time, and fails when told to."""

    terminal = False
    poll_fd = None

    def __init__(self) -> None:
        self.taken = b""
        self.fails = 0

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        if self.fails:
            self.fails -= 1
            raise CapabilityError(Errno.INTERRUPTED)
        self.taken += bytes(buffers[0][:3])
        return min(3, len(buffers[0]))


def test_the_guest_is_told_its_own_bytes() -> None:
    inner = Slow()
    stream = ShieldedOutput(inner, Filter())
    assert stream.write([memoryview(b"\x1b\x1b"), memoryview(b"ab\r")], Waiter()) == 5
    stream.finish()
    assert inner.taken.decode() == "␛␛ab␍"


def test_what_could_not_be_written_comes_first() -> None:
    inner = Slow()
    stream = ShieldedOutput(inner, Filter())
    inner.fails = 1
    assert stream.write([memoryview(b"abcdef")], Waiter()) == 6
    inner.fails = 1
    with pytest.raises(CapabilityError):
        stream.write([memoryview(b"gh")], Waiter())
    assert stream.write([memoryview(b"gh")], Waiter()) == 2
    assert inner.taken == b"abcdefgh"
    inner.fails = 1
    stream.finish()


def test_large_writes_go_through_in_pieces() -> None:
    context = WasiContext.from_grants(Grants(stdout=Capture(1 << 24), terminal="strict"))
    stream = context.fds.get(1).output
    assert stream is not None
    assert stream.write([memoryview(b"\0" * 300_000)], Waiter()) == 300_000
    context.close()
    assert context.stdout.value == "␀".encode() * 300_000  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (None, b"\x1b[31mred\x1b[2J\xff"),
        ("raw", b"\x1b[31mred\x1b[2J\xff"),
        ("strict", "␛[31mred␛[2J\ufffd".encode()),
        ("color", "\x1b[0;31mred␛[2J\ufffd\x1b[0m".encode()),
    ],
)
def test_the_mode_may_be_forced_anywhere(mode: str | None, shown: bytes) -> None:
    result = wardian.run(SPEAKS.encode(), terminal=mode, check=True)  # type: ignore[arg-type]
    assert result.stdout == shown


@pytest.mark.parametrize("limit", [1000, 9])
def test_output_of_a_worker_is_filtered_on_this_side(limit: int) -> None:
    here = wardian.run(SPEAKS.encode(), terminal="color", output_limit=limit)
    lax = Isolation(accept=tuple(LAYERS))
    there = wardian.run(SPEAKS.encode(), terminal="color", output_limit=limit, isolation=lax)
    assert (there.stdout, there.truncated) == (here.stdout, here.truncated)
    assert here.truncated == (limit == 9)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="strict, color or raw"):
        wardian.run(SPEAKS.encode(), terminal="colour")  # type: ignore[arg-type]


def test_a_terminal_is_found() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    context = WasiContext.from_grants(Grants(stdout=Inherit(slave), stderr=Inherit(slave)))
    first, second = (context.fds.get(fd).output for fd in (1, 2))
    assert isinstance(first, ShieldedOutput) and isinstance(second, ShieldedOutput)
    assert first.terminal and first.poll_fd == slave
    first.write([memoryview(b"\x1b[31mred")], Waiter())
    second.write([memoryview(b"not")], Waiter())
    context.close()
    context.close()
    expected, found = b"\x1b[0;31mred\x1b[0mnot", b""
    while len(found) < len(expected):  # what was written twice may arrive in two pieces
        found += os.read(master, 100)
    assert found == expected
    os.close(master)
    os.close(slave)


def test_streams_elsewhere_are_left_alone_and_on_their_own() -> None:
    plain = [Slow(), Slow()]
    assert shielded(plain, None) == plain
    forced = shielded(plain, "color")
    screens: set[Screen] = {stream._filter.screen for stream in forced if isinstance(stream, ShieldedOutput)}
    assert len(screens) == 2


@pytest.mark.parametrize("mode", [None, "strict", "elsewhere", "raw"])
def test_terminals_in_granted_directories(mode: str | None) -> None:
    master, slave = pty.openpty()
    folder, _, name = os.ttyname(slave).rpartition("/")
    grants = Grants(dirs=(DirGrant(folder, "d"),), terminal=mode)  # type: ignore[arg-type]
    context = WasiContext.from_grants(grants)
    guest = Guest(context)
    at = guest.alloc(4)
    errno = guest.imports["path_open"](3, 0, *guest.path(name), 0, int(Rights.FD_WRITE), 0, 0, at)
    assert errno == (0 if mode == "raw" else NUMBERS[Errno.ACCESS])
    assert (4 in context.fds.entries) == (mode == "raw")
    context.close()
    os.close(master)
    os.close(slave)
