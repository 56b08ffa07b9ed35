"""Class "host-resource exhaustion" of what went wrong elsewhere: calls of the system with sizes that nobody means.

wasmtime.md 2.4 E 43 to 49. Each runs in a process of its own that tells how much more memory it took at its peak: it
may not be more than a little, whatever number the guest says. What the guest's own memory takes is not counted.
"""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import wardian
from tests.escape.guest import child
from tests.wasi.guest import Guest, guest
from wardian.grants import Data, FrozenClock

MOST = 24 << 20
"""Bytes that a call may take, at its peak, beyond what there was."""
MILLION = 1_000_000
HUGE = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x20000000, 0x1FFFFFFF)
SUCCESS, FAULT, INVAL, MFILE, LONG, NFILE = 0, 21, 28, 33, 37, 41


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def measured(folder: str, *names: str) -> None:
    for name in names:
        SCENARIOS[name](folder)


def small(root: str, **more: object) -> Guest:
    made = guest(Path(root), **more)  # type: ignore[arg-type]
    assert made.open("warm", oflags=1) == 4 and made.write(4, b"x") == (0, 1)  # what is imported late is there
    return made


def counts_beyond_the_memory(root: str) -> None:
    """An array that does not fit is a fault before anything is taken for it."""
    g = small(root)
    at, out = g.put(struct.pack("<II", 64, 4)), g.alloc(4)
    before = peak()
    for count in HUGE:
        assert g.imports["fd_write"](1, at, count, out) in (FAULT, INVAL)
        assert g.imports["fd_pwrite"](4, at, count, 0, out) in (FAULT, INVAL)
        assert g.imports["fd_read"](0, at, count, out) in (FAULT, INVAL)
        assert g.imports["fd_pread"](4, at, count, 0, out) in (FAULT, INVAL)
        assert g.imports["poll_oneoff"](at, 64, count, out) in (FAULT, INVAL)
        assert g.imports["random_get"](at, count) == FAULT
        assert g.imports["fd_readdir"](3, at, count, 0, out) == FAULT
        assert g.imports["path_readlink"](3, at, 1, at, count, out) == FAULT
        for name in ("path_create_directory", "path_unlink_file", "path_remove_directory"):
            assert g.imports[name](3, at, count) in (FAULT, LONG)
        assert g.imports["path_open"](3, 0, at, count, 0, -1, -1, 0, out) in (FAULT, LONG)
        assert g.imports["fd_prestat_dir_name"](3, at, count) == SUCCESS  # its name is one byte
    assert peak() - before < MOST


def sizes_inside_the_buffers(root: str) -> None:
    """The array is there, what it tells of is not."""
    g = small(root, stdin=Data(b"input"))
    out = g.alloc(4)
    before = peak()
    for size in HUGE:
        at = g.put(struct.pack("<IIII", 64, 4, 64, size))
        for name, fd in (("fd_write", 1), ("fd_read", 0), ("fd_write", 4), ("fd_read", 4)):
            assert g.imports[name](fd, at, 2, out) == FAULT
        g._next = 64 + 64
    assert peak() - before < MOST


def one_buffer_a_million_times(root: str) -> None:
    """49: a transfer may be short; it is not gathered in the host's memory."""
    g = Guest(guest(Path(root), stdin=Data(b"i" * (2 << 20))).context, size=16 << 20)
    fd = g.open("f", oflags=1)
    array = struct.pack("<II", 128, 60_000) * MILLION
    at = 4 << 20
    g.memory.data[at : at + len(array)] = array
    out = 64
    g.write(1, b"x")
    before = peak()
    for name, where in (("fd_write", 1), ("fd_write", fd), ("fd_read", 0), ("fd_read", fd)):
        assert g.imports[name](where, at, MILLION, out) == SUCCESS
        assert 0 <= g.u32(out) <= 0x7FFFFFFF
    assert peak() - before < MOST + (64 << 20)  # what was captured of the output, up to its limit, is the host's


def a_million_subscriptions(root: str) -> None:
    """49: of clocks, of one descriptor, of descriptors that are not there; a deadline holds meanwhile."""
    g = Guest(guest(Path(root), clock=FrozenClock()).context, size=100 << 20)
    clock = struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", 1, 0, 1, 1 << 50, 0, 0)
    ready = struct.pack("<QBxxxxxxxI28x", 2, 2, 1)
    absent = struct.pack("<QBxxxxxxxI28x", 3, 1, 99)
    at, events, out = 64, 52 << 20, 16
    for last, expected in ((ready, 1), (absent, None), (clock, MILLION)):
        g.memory.data[at : at + 48 * MILLION] = clock * (MILLION - 1) + last
        before = peak()
        result = g.imports["poll_oneoff"](at, events, MILLION, out)
        assert peak() - before < MOST
        if expected is not None:
            assert result == SUCCESS and g.u32(out) == expected


def random_of_a_whole_memory(root: str) -> None:
    """43: filled piece by piece."""
    g = Guest(guest(Path(root)).context, size=64 << 20)
    g.imports["random_get"](0, 1 << 20)
    before = peak()
    assert g.imports["random_get"](0, 64 << 20) == SUCCESS
    assert peak() - before < MOST
    assert any(g.memory.data[-4096:])


def random_of_4_gib(root: str) -> None:
    """43: in a real guest, whose own memory is the only one that grows; a deadline ends it."""
    text = """(module (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
      (memory (export "memory") 65536)
      (func (export "f") (param i32) (result i32) (call $r (i32.const 0) (local.get 0))))"""
    result = wardian.run(wardian.Module(text), invoke="f", args=(-1,), timeout=0.5)
    assert result.status == "timeout", result


def descriptors_without_end(root: str) -> None:
    """46: opened, and never closed: a bound of the guest's own, and all are given back."""
    g = small(root, open_files=100)
    before = peak()
    numbers = [g.open("warm") for _ in range(2000)]
    assert sum(number >= 0 for number in numbers) < 100
    assert {number for number in numbers if number < 0} <= {-NFILE, -MFILE}
    assert peak() - before < MOST


def sizes_of_files(root: str) -> None:
    """A file of exabytes is refused or sparse, never made in memory."""
    g = small(root)
    before = peak()
    for size in (1 << 62, (1 << 63) - 1, -1, 1 << 40):
        g.imports["fd_filestat_set_size"](4, size)
        assert size == 1 << 40 or g.imports["fd_allocate"](4, 0, size) != SUCCESS
        g.imports["fd_seek"](4, size, 0, 64)
        g.write(4, b"x")
        g._next = 64
    g.imports["fd_filestat_set_size"](4, 0)
    assert peak() - before < MOST


def trees_are_as_strict(root: str) -> None:
    """The same on files in memory, where every byte is the host's."""
    from wardian.grants import Grants, TreeGrant
    from wardian.wasi.p1.context import WasiContext

    tree = wardian.Tree({"warm": b"x"}, max_bytes="1M", max_files=50)
    g = Guest(WasiContext.from_grants(Grants(dirs=(TreeGrant(tree, "/"),))))
    fd = g.open("warm")
    before = peak()
    for size in (1 << 62, (1 << 63) - 1, -1, 1 << 40, 1 << 30):
        assert g.imports["fd_filestat_set_size"](fd, size) != SUCCESS
        assert g.imports["fd_allocate"](fd, 0, size) != SUCCESS
    for number in range(1000):
        g.imports["path_create_directory"](3, *g.path(f"d{number}"))
        g._next = 64
    assert peak() - before < MOST


SCENARIOS: dict[str, Callable[[str], None]] = {
    scenario.__name__: scenario
    for scenario in (
        counts_beyond_the_memory, sizes_inside_the_buffers, one_buffer_a_million_times, a_million_subscriptions,
        random_of_a_whole_memory, random_of_4_gib, descriptors_without_end, sizes_of_files, trees_are_as_strict,
    )
}  # fmt: skip
_SLOW = ("a_million_subscriptions", "random_of_4_gib", "random_of_a_whole_memory", "one_buffer_a_million_times")
_QUICK = tuple(name for name in SCENARIOS if name not in _SLOW)


@pytest.mark.parametrize("names", [_QUICK, *(pytest.param((n,), marks=pytest.mark.slow) for n in _SLOW)], ids=" ".join)
def test_no_call_takes_more_than_it_needs(names: tuple[str, ...], tmp_path: Path) -> None:
    child(measured, str(tmp_path), *names, timeout=300)
