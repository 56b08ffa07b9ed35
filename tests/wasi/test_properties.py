"""Whatever a guest passes: a number comes back, or it leaves; nothing else is raised and no descriptor is lost."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wasi.guest import P0, P1, Guest, guest, signed
from wardian.errors import Exit
from wardian.grants import Data, FrozenClock
from wardian.syntax.types import I64
from wardian.wasi.errno import NUMBERS
from wardian.wasi.p1.bind import host_types
from wardian.wasi.p1.fds import Listing
from wardian.wasi.p1.table import FUNCTIONS

SIZE = 512
KNOWN = {0, *NUMBERS.values()}

NEAR = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 16, 64, 100, SIZE - 64, SIZE - 8, SIZE - 4, SIZE - 1, SIZE, SIZE + 1])
I32S = st.one_of(
    NEAR,
    st.integers(0, 40),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.sampled_from([-1, -8, 1 << 30, signed(0x80000000)]),
)
I64S = st.one_of(NEAR, st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([-1, -(1 << 63), (1 << 63) - 1]))

PATHS = [b"file", b"dir/inner", b"..", b"/etc/passwd", b"out_file", b"to_dir/", b"new", b"a\0b", b"\xff", b""]


def build(base: Path) -> Path:
    """A small tree with a way out; returns its root."""
    root = base / "root"
    (root / "dir").mkdir(parents=True)
    (root / "file").write_text("file")
    (root / "dir" / "inner").write_text("inner")
    (root / "to_dir").symlink_to("dir")
    (root / "out_file").symlink_to("../secret")
    (base / "secret").write_text("secret")
    return root


def memory() -> bytes:
    """Paths and buffers at low addresses, so that small numbers mean something."""
    content = bytearray(SIZE)
    for index, path in enumerate(PATHS):
        content[index * 16 : index * 16 + len(path)] = path
    struct.pack_into("<IIIIII", content, 256, 400, 16, 300, 4, 0, 0xFFFFFFFF)
    struct.pack_into("<QB7xI4xQQH", content, 320, 1, 0, 1, 1000, 0, 0)
    return bytes(content)


def play(calls: list[tuple[str, tuple[int, ...]]], module: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = build(Path(folder))
        secret = (root.parent / "secret").read_bytes()
        before = len(os.listdir("/proc/self/fd"))
        g = guest(root, stdin=Data(b"input"), module=module, size=SIZE, clock=FrozenClock(), open_files=12)
        g.memory.data[:] = memory()
        for name, arguments in calls:
            try:
                result = g.imports[name](*arguments)
            except Exit as left:
                assert name == "proc_exit" and 0 <= left.code < 1 << 32
            else:
                assert result in KNOWN, (name, arguments, result)
            assert len(g.memory.data) == SIZE
        held = sum(
            (entry.file is not None or entry.directory is not None) + 2 * (isinstance(entry.listing, Listing))
            for entry in g.context.fds.entries.values()
        )
        assert len(os.listdir("/proc/self/fd")) <= before + held
        g.context.close()
        del g
        assert len(os.listdir("/proc/self/fd")) == before
        assert (root.parent / "secret").read_bytes() == secret
        assert sorted(os.listdir(root.parent)) == ["root", "secret"]


@st.composite
def one_call(draw: st.DrawFn, name: str, module: str) -> tuple[str, tuple[int, ...]]:
    params = host_types()[module][name].params
    return name, tuple(draw(I64S if param is I64 else I32S) for param in params)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [row.name for row in FUNCTIONS])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_arguments(name: str, data: st.DataObject) -> None:
    module = P1 if name == "sock_accept" else data.draw(st.sampled_from([P1, P0]))
    play(data.draw(st.lists(one_call(name, module), min_size=1, max_size=5)), module)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_sequence(data: st.DataObject) -> None:
    names = st.sampled_from([row.name for row in FUNCTIONS if row.name != "sock_accept"])
    opening = [("path_open", (3, 1, 0, 4, 1, -1, -1, 0, 500)), ("path_open", (3, 1, 16, 3, 0, 2, -1, 0, 504))]
    calls = data.draw(st.lists(names.flatmap(lambda name: one_call(name, P1)), max_size=15))
    play([*opening, *calls], P1)


def test_every_function_is_called_well_at_least_once() -> None:
    """The properties say little if every call fails at its first argument."""
    with tempfile.TemporaryDirectory() as folder:
        g: Guest = guest(build(Path(folder)), size=SIZE)
        g.memory.data[:] = memory()
        assert g.imports["path_open"](3, 1, 0, 4, 0, -1, -1, 0, 500) == 0
        assert g.imports["fd_read"](4, 256, 2, 500) == 0 and g.u32(500) == 4
        assert g.imports["poll_oneoff"](320, 400, 1, 500) == 0
        g.context.close()


def test_a_listing_not_read_to_its_end_is_closed() -> None:
    play([("fd_readdir", (3, 0, 0, 2, 0))], "wasi_snapshot_preview1")
