"""Errors, clocks, randomness, the environment: the capabilities that are no files."""

from __future__ import annotations

import errno
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.capability.clock import ClockKind, FrozenClocks, HostClocks
from wardian.capability.environment import Strings, arguments, variables
from wardian.capability.errno import FROM_HOST, CapabilityError, Errno, reason
from wardian.capability.random import HostRandom, Random, SeededRandom


def test_every_host_error_has_a_reason() -> None:
    assert reason(OSError(errno.ENOENT, "")) is Errno.NO_ENTRY
    assert reason(OSError(99999, "")) is Errno.IO
    assert reason(OSError()) is Errno.IO
    assert reason(CapabilityError(Errno.NOT_CAPABLE)) is Errno.NOT_CAPABLE
    assert len(set(FROM_HOST.values())) == len(FROM_HOST)


def test_host_clocks() -> None:
    clocks = HostClocks()
    assert len(clocks.now) == len(clocks.resolution) == len(ClockKind) == 4
    assert abs(clocks.now[ClockKind.REALTIME]() - time.time_ns()) < 10**9
    first = clocks.now[ClockKind.MONOTONIC]()
    assert 0 <= first < 10**9  # Starts with the guest: it does not tell how long the host has been up.
    assert clocks.now[ClockKind.MONOTONIC]() >= first
    for kind in (ClockKind.PROCESS_CPU, ClockKind.THREAD_CPU):
        before = clocks.now[kind]()
        while clocks.now[kind]() == before:
            pass
    assert all(step >= 1 for step in clocks.resolution)
    assert not clocks.skip(1)


def test_frozen_clocks() -> None:
    clocks = FrozenClocks(1000, 0)
    assert [now() for now in clocks.now] == [1000, 0, 0, 0]
    assert clocks.skip(50)
    assert [now() for now in clocks.now] == [1050, 50, 50, 50]
    ticking = FrozenClocks(0, 7)
    assert [ticking.now[1]() for _ in range(3)] == [7, 14, 21]
    assert ticking.now[0]() == 28


@pytest.mark.parametrize("random", [HostRandom(), SeededRandom(0)])
def test_random_fills_everything(random: Random) -> None:
    buffer = bytearray(9000)
    random.fill(memoryview(buffer))
    assert max(buffer.count(value) for value in range(256)) < 200
    random.fill(memoryview(b"").__class__(bytearray()))


@given(st.integers(), st.lists(st.integers(0, 5000), max_size=8))
def test_a_seed_gives_the_same_bytes_whatever_the_pieces(seed: int, sizes: list[int]) -> None:
    whole, pieces = bytearray(sum(sizes)), bytearray(sum(sizes))
    SeededRandom(seed).fill(memoryview(whole))
    random, position = SeededRandom(seed), 0
    for size in sizes:
        random.fill(memoryview(pieces)[position : position + size])
        position += size
    assert whole == pieces


def test_seeds_differ() -> None:
    found = set()
    for seed in (0, 1, -1, 10, 2**70):
        buffer = bytearray(16)
        SeededRandom(seed).fill(memoryview(buffer))
        found.add(bytes(buffer))
    assert len(found) == 5


def test_strings() -> None:
    found = Strings([b"a", b"", b"bcd"])
    assert (found.data, found.offsets) == (b"a\0\0bcd\0", (0, 2, 3))
    assert Strings([]).data == b""
    assert arguments(["é", "\udcff"]).data == b"\xc3\xa9\0\xff\0"
    assert variables([("A", "1"), ("B", "=x")]).data == b"A=1\0B==x\0"


@pytest.mark.parametrize("bad", [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")])
def test_what_is_no_variable(bad: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        variables([bad])
    with pytest.raises(ValueError):
        arguments(["a\0b"])


def test_coarse_clocks() -> None:
    clocks = HostClocks(step=1_000_000)
    assert all(now() % 1_000_000 == 0 for now in clocks.now) and min(clocks.resolution) == 1_000_000
    started = time.monotonic()
    while clocks.now[ClockKind.MONOTONIC]() < 3_000_000:
        assert time.monotonic() - started < 5


def test_blurred_clocks() -> None:
    """They never go back, and take their steps at moments of their own: not where the host's clock is at a step."""
    clocks = HostClocks(step=1_000_000, jitter=True)
    now = clocks.now[ClockKind.MONOTONIC]
    seen = [now()]
    started = time.monotonic()
    while seen[-1] < 20_000_000:
        assert time.monotonic() - started < 5
        if (found := now()) != seen[-1]:
            seen.append(found)
    assert seen == sorted(seen) and all(each % 1_000_000 == 0 for each in seen)
