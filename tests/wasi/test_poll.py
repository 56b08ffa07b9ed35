"""``poll_oneoff`` in both previews."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.wasi.guest import P0, P1, SIZE, Guest, guest
from wardian.grants import Data, FrozenClock, Inherit, Null

CLOCK, READ, WRITE = 0, 1, 2
REALTIME, MONOTONIC = 0, 1
ABSOLUTE = 1
MILLISECOND = 1_000_000


class Event(NamedTuple):
    userdata: int
    error: int
    type: int
    count: int
    flags: int


def clock(userdata: int, id_: int, timeout: int, flags: int = 0, *, module: str = P1) -> bytes:
    timeout &= (1 << 64) - 1
    if module == P0:
        return struct.pack("<QB7xQI4xQQH6x", userdata, CLOCK, 99, id_, timeout, 0, flags)
    return struct.pack("<QB7xI4xQQH6x", userdata, CLOCK, id_, timeout, 0, flags)


def descriptor(userdata: int, kind: int, fd: int, *, module: str = P1) -> bytes:
    return struct.pack("<QB7xI", userdata, kind, fd).ljust(56 if module == P0 else 48, b"\xee")


def poll(g: Guest, *subscriptions: bytes) -> tuple[int | None, list[Event]]:
    source = g.put(b"".join(subscriptions))
    target, result = g.alloc(32 * len(subscriptions)), g.alloc(4)
    writes = [(target, 32 * len(subscriptions)), (result, 4)]
    error = g.call("poll_oneoff", source, target, len(subscriptions), result, writes=writes)
    if error:
        return error, []
    count = g.u32(result)
    rest = 32 * (len(subscriptions) - count)
    assert g.get(target + 32 * count, rest) == b"?" * rest
    found = []
    for i in range(count):
        content = g.get(target + 32 * i, 32)
        assert content[11:16] == b"\0" * 5 and content[26:] == b"\0" * 6
        found.append(Event(*struct.unpack_from("<QHB5xQH", content)))
    return error, found


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


@pytest.mark.parametrize("module", [P1, P0])
def test_sleeping(module: str) -> None:
    g = guest(module=module)
    started = time.monotonic_ns()
    assert poll(g, clock(7, MONOTONIC, 5 * MILLISECOND, module=module)) == (0, [Event(7, 0, CLOCK, 0, 0)])
    assert 5 * MILLISECOND <= time.monotonic_ns() - started < 500 * MILLISECOND
    events = poll(g, clock(1, MONOTONIC, 10**15, module=module), clock(2, REALTIME, MILLISECOND, module=module))[1]
    assert [event.userdata for event in events] == [2]
    events = poll(g, clock(1, MONOTONIC, 0, module=module), clock(2, REALTIME, 0, module=module))[1]
    assert [event.userdata for event in events] == [1, 2]


def test_absolute_times() -> None:
    g = guest()
    at = g.alloc(8)
    g.call("clock_time_get", MONOTONIC, 0, at, writes=[(at, 8)])
    started = time.monotonic_ns()
    assert poll(g, clock(1, MONOTONIC, g.u64(at) + 5 * MILLISECOND, ABSOLUTE))[0] == 0
    assert time.monotonic_ns() - started >= 4 * MILLISECOND
    assert poll(g, clock(1, REALTIME, time.time_ns() + 5 * MILLISECOND, ABSOLUTE))[0] == 0
    for past in (0, 1, time.time_ns() - 10**9):
        assert poll(g, clock(1, REALTIME, past, ABSOLUTE)) == (0, [Event(1, 0, CLOCK, 0, 0)])


def test_made_up_time_passes_at_once(pipe: tuple[int, int]) -> None:
    g = guest(clock=FrozenClock(start=10**18), stdin=Inherit(pipe[0]))
    hour = 3600 * 10**9
    started = time.monotonic()
    assert poll(g, clock(1, MONOTONIC, hour), descriptor(2, READ, 0))[1] == [Event(1, 0, CLOCK, 0, 0)]
    assert poll(g, clock(1, REALTIME, 10**18 + 3 * hour, ABSOLUTE), clock(2, MONOTONIC, 10 * hour))[1][0].userdata == 1
    at = g.alloc(8)
    g.call("clock_time_get", REALTIME, 0, at, writes=[(at, 8)])
    assert 3 * hour <= g.u64(at) - 10**18 < 3 * hour + 10**9 and time.monotonic() - started < 1
    os.write(pipe[1], b"x")
    assert poll(g, clock(1, MONOTONIC, hour), descriptor(2, READ, 0))[1] == [Event(2, 0, READ, 1, 0)]


@pytest.mark.parametrize("module", [P1, P0])
def test_streams_in_memory_are_ready(module: str) -> None:
    g = guest(stdin=Data(b"abc"), module=module)
    late = clock(9, MONOTONIC, 10**12, module=module)
    subscriptions = [descriptor(5, READ, 0, module=module), descriptor(6, WRITE, 1, module=module)]
    assert poll(g, late, *subscriptions) == (0, [Event(5, 0, READ, 3, 0), Event(6, 0, WRITE, 1, 0)])
    assert poll(guest(stdin=Null()), descriptor(5, READ, 0)) == (0, [Event(5, 0, READ, 0, 1)])


def test_files_are_ready(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    g = guest(tmp_path)
    fd = g.open("file")
    g.read(fd, 3)
    both = descriptor(1, READ, fd), descriptor(2, WRITE, fd)
    assert poll(g, *both) == (0, [Event(1, 0, READ, 4, 0), Event(2, 0, WRITE, 1, 0)])
    g.read(fd, 100)
    assert poll(g, both[0]) == (0, [Event(1, 0, READ, 0, 1)])
    g.context.close()


def test_host_streams(pipe: tuple[int, int]) -> None:
    g = guest(stdin=Inherit(pipe[0]))
    assert [event.type for event in poll(g, descriptor(1, READ, 0), clock(2, MONOTONIC, MILLISECOND))[1]] == [CLOCK]
    threading.Timer(0.05, lambda: os.write(pipe[1], b"hello")).start()
    assert poll(g, descriptor(1, READ, 0), clock(2, MONOTONIC, 10**10)) == (0, [Event(1, 0, READ, 5, 0)])
    g.read(0, 100)
    os.close(pipe[1])
    assert poll(g, descriptor(1, READ, 0))[1] == [Event(1, 0, READ, 0, 1)]


def test_waiting_is_stopped(pipe: tuple[int, int]) -> None:
    wake_read, wake_write = os.pipe()
    g = guest(stdin=Inherit(pipe[0]), wake_fd=wake_read)
    threading.Timer(0.05, lambda: os.write(wake_write, b"x")).start()
    started = time.monotonic()
    assert poll(g, descriptor(1, READ, 0), clock(2, MONOTONIC, -1))[0] == 27
    assert poll(g, descriptor(1, READ, 0))[0] == poll(g, clock(2, MONOTONIC, -1))[0] == 27
    assert poll(g, descriptor(1, WRITE, 1))[0] == 27  # Even if something is ready: the guest is to end.
    assert time.monotonic() - started < 5
    os.close(wake_read)
    os.close(wake_write)


def test_what_is_refused(tmp_path: Path) -> None:
    g = guest(tmp_path)
    for bad in (descriptor(1, READ, 9), descriptor(1, READ, 1), descriptor(1, WRITE, 0), descriptor(1, READ, 3),
                descriptor(1, WRITE, 0xFFFFFFFF)):  # fmt: skip
        assert poll(g, clock(1, MONOTONIC, 0), bad)[0] == 8
    for bad in (clock(1, 2, 0), clock(1, 3, 0), clock(1, 4, 0), clock(1, 0xFFFFFFFF, 0), clock(1, 1, 0, 2),
                descriptor(1, 3, 0), descriptor(1, 255, 0)):  # fmt: skip
        assert poll(g, bad)[0] == 28
    at = g.alloc(200)
    assert g.call("poll_oneoff", at, at, 0, at) == 28
    for arguments in ((SIZE - 47, at, 1, at), (at, SIZE - 31, 1, at), (at, at, 1, SIZE - 3), (-1, at, 1, at),
                      (at, at, -1, at), (0, 0, 0x08000000, at), (0, 0, SIZE // 48 + 1, at)):  # fmt: skip
        assert g.call("poll_oneoff", *arguments) == 21, arguments
    g.context.close()


def test_a_million_subscriptions() -> None:
    count = 1_000_000
    g = guest(size=count * 80 + 4096)
    one = clock(1, MONOTONIC, 0)
    g.memory.data[4096 : 4096 + 48 * count] = one * count
    assert g.imports["poll_oneoff"](4096, 4096 + 48 * count, count, 0) == 0 and g.u32(0) == count
    read, write = os.pipe()
    stopped = guest(size=1 << 20, wake_fd=read)
    os.write(write, b"x")
    stopped.memory.data[: 48 * 5000] = one * 5000
    assert stopped.imports["poll_oneoff"](0, 1 << 19, 5000, (1 << 20) - 4) == 27
    os.close(read)
    os.close(write)
