"""Arguments, environment, clocks, randomness, processes, sockets."""

from __future__ import annotations

import os
import struct
import time

import pytest

from tests.wasi.guest import P1, SIZE, Guest, guest, signed
from wardian.errors import Exit
from wardian.grants import FrozenClock, Grants
from wardian.wasi.p1.bind import host_imports
from wardian.wasi.p1.context import WasiContext


@pytest.mark.parametrize("what", ["args", "environ"])
def test_strings(what: str) -> None:
    g = guest(args=("prog", "", "ö"), env=(("A", "1"), ("LONG", "x" * 50), ("E", "")))
    expected = [b"prog", b"", "ö".encode()] if what == "args" else [b"A=1", b"LONG=" + b"x" * 50, b"E="]
    count, size = g.alloc(4), g.alloc(4)
    assert g.call(f"{what}_sizes_get", count, size, writes=[(count, 4), (size, 4)]) == 0
    assert g.u32(count) == 3 and g.u32(size) == sum(map(len, expected)) + 3
    table, block = g.alloc(12), g.alloc(g.u32(size))
    assert g.call(f"{what}_get", table, block, writes=[(table, 12), (block, g.u32(size))]) == 0
    starts = struct.unpack("<3I", g.get(table, 12))
    for start, string in zip(starts, expected, strict=True):
        assert g.get(start, len(string) + 1) == string + b"\0"
    for bad in ((signed(SIZE - 8), block), (table, signed(SIZE - 3)), (-1, block), (table, -1)):
        assert g.call(f"{what}_get", *bad) == 21
    for bad in ((SIZE - 3, size), (count, -1), (-4, -4)):
        assert g.call(f"{what}_sizes_get", *bad) == 21


def test_nothing_by_default() -> None:
    g = Guest(WasiContext.from_grants(Grants()))
    for what in ("args", "environ"):
        at = g.alloc(8)
        assert g.call(f"{what}_sizes_get", at, at + 4, writes=[(at, 8)]) == 0 and g.get(at, 8) == b"\0" * 8
        assert g.call(f"{what}_get", 0, SIZE) == 0
    assert g.call("fd_prestat_get", 3, g.alloc(8)) == 8
    assert g.read(0, 10) == (0, b"")
    assert g.write(1, b"x") == (0, 1)


def test_without_a_memory_every_pointer_is_bad() -> None:
    imports = host_imports(WasiContext())[P1]
    calls = {"clock_time_get": (0, 0, 0), "fd_write": (1, 0, 0, 0), "random_get": (0, 1), "poll_oneoff": (0, 0, 1, 0)}
    assert [imports[name](*arguments) for name, arguments in calls.items()] == [21] * 4
    assert imports["random_get"](0, 0) == 0


def test_clocks() -> None:
    g = guest()
    at = g.alloc(8)
    for clock in range(4):
        assert g.call("clock_res_get", clock, at, writes=[(at, 8)]) == 0 and g.u64(at) >= 1
        assert g.call("clock_time_get", clock, 0, at, writes=[(at, 8)]) == 0
    assert g.call("clock_time_get", 0, 0, at, writes=[(at, 8)]) == 0
    assert abs(g.u64(at) - time.time_ns()) < 10**9
    for clock in (4, -1, signed(0x80000000), 2**31 - 1):
        assert g.call("clock_res_get", clock, at) == 28
        assert g.call("clock_time_get", clock, -1, at) == 28
    for bad in (SIZE - 7, -1, -8):
        assert g.call("clock_time_get", 1, 0, bad) == 21
        assert g.call("clock_res_get", 1, bad) == 21
    assert g.call("clock_time_get", 1, 0, SIZE - 8, writes=[(SIZE - 8, 8)]) == 0


def test_frozen_time() -> None:
    g = guest(clock=FrozenClock(start=10**18, tick=5))
    at = g.alloc(8)
    times = []
    for clock in (0, 1, 2, 3):
        g.call("clock_time_get", clock, 0, at, writes=[(at, 8)])
        times.append(g.u64(at))
    assert times == [10**18 + 5, 10, 15, 20]


def test_random() -> None:
    one, two, other = guest(seed=1), guest(seed=1), guest()
    found = []
    for g in (one, two, other):
        at = g.alloc(64)
        assert g.call("random_get", at, 64, writes=[(at, 64)]) == 0
        found.append(g.get(at, 64))
    assert found[0] == found[1] != found[2]
    assert other.call("random_get", 0, SIZE, writes=[(0, SIZE)]) == 0
    for bad in ((SIZE - 1, 2), (-1, 1), (0, -1), (1, SIZE), (SIZE + 1, 0)):
        assert other.call("random_get", *bad) == 21
    assert other.call("random_get", SIZE, 0) == 0


def test_a_lot_of_randomness_can_be_stopped() -> None:
    read, write = os.pipe()
    g = guest(size=1 << 20, wake_fd=read)
    os.write(write, b"x")
    assert g.call("random_get", 0, 1 << 20) == 27
    os.close(read)
    os.close(write)


def test_leaving() -> None:
    g = guest()
    for given, expected in ((0, 0), (33, 33), (-1, 0xFFFFFFFF)):
        with pytest.raises(Exit) as caught:
            g.call("proc_exit", given)
        assert caught.value.code == expected
    assert [g.call("proc_raise", n) for n in (0, 6, 30)] == [58] * 3
    assert [g.call("proc_raise", n) for n in (31, -1)] == [28] * 2
    assert g.call("sched_yield") == 0


def test_sockets() -> None:
    g = guest()
    calls = {"sock_accept": 2, "sock_recv": 5, "sock_send": 4, "sock_shutdown": 1}
    for name, rest in calls.items():
        assert g.call(name, 1, *[0] * rest) == 57
        assert g.call(name, 9, *[0] * rest) == 8
        assert g.call(name, -1, *[-1] * rest) == 8
