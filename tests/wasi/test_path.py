"""The functions that take paths. What a path may reach is tested with the capability; here it is the ABI's side."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capability.test_path import build
from tests.wasi.guest import P0, P1, SIZE, Guest, guest, signed
from wardian.wasi.p1.types import FILESTAT, FILESTAT_0

FOLLOW = 1
ATIM, ATIM_NOW, MTIM, MTIM_NOW = 1, 2, 4, 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return build(tmp_path)


@pytest.fixture
def g(root: Path) -> Iterator[Guest]:
    made = guest(root)
    yield made
    made.context.close()


@pytest.mark.parametrize(("module", "layout"), [(P1, FILESTAT), (P0, FILESTAT_0)])
def test_stat(root: Path, module: str, layout: type[FILESTAT]) -> None:  # type: ignore[valid-type]
    g = guest(root, module=module)
    os.link(root / "file", root / "second")
    os.utime(root / "file", ns=(1, 1_700_000_000_123_456_789))
    at = g.alloc(layout.size)
    fields = []
    for path, flags in (("to_file", FOLLOW), ("to_file", 0), ("dir", 0)):
        assert g.call("path_filestat_get", 3, flags, *g.path(path), at, writes=[(at, layout.size)]) == 0
        fields.append(layout.named(layout.unpack_from(g.memory.data, at)))
    real = os.stat(root / "file")
    assert fields[0] == {
        "dev": real.st_dev, "ino": real.st_ino, "filetype": 4, "nlink": 2, "size": 4, "atim": 1,
        "mtim": 1_700_000_000_123_456_789, "ctim": real.st_ctime_ns,
    }  # fmt: skip
    assert (fields[1]["filetype"], fields[2]["filetype"]) == (7, 3)
    fd = g.open("file")
    assert g.call("fd_filestat_get", fd, at, writes=[(at, layout.size)]) == 0
    assert layout.named(layout.unpack_from(g.memory.data, at)) == fields[0]
    assert g.call("fd_filestat_get", fd, SIZE - layout.size + 1) == 21
    assert g.call("path_filestat_get", 3, 0, *g.path("file"), SIZE - layout.size + 1) == 21
    g.context.close()


def test_times_outside_the_range(root: Path, g: Guest) -> None:
    os.utime(root / "file", ns=(-1, -(10**18)))
    at = g.alloc(64)
    assert g.call("path_filestat_get", 3, 0, *g.path("file"), at, writes=[(at, 64)]) == 0
    assert struct.unpack_from("<QQ", g.memory.data, at + 40) == (0, 0)
    fd = g.open("file")
    assert g.call("fd_filestat_get", fd, at, writes=[(at, 64)]) == 0
    assert g.call("fd_filestat_set_times", fd, -1, -1, ATIM | MTIM) == 0


def test_setting_times(root: Path, g: Guest) -> None:
    def times() -> tuple[int, int]:
        found = os.stat(root / "file")
        return found.st_atime_ns, found.st_mtime_ns

    fd = g.open("file")
    assert g.call("fd_filestat_set_times", fd, 100, 200, ATIM | MTIM) == 0 and times() == (100, 200)
    assert g.call("path_filestat_set_times", 3, 0, *g.path("file"), 300, 400, MTIM) == 0 and times() == (100, 400)
    assert g.call("path_filestat_set_times", 3, FOLLOW, *g.path("to_file"), 300, 0, ATIM) == 0
    assert times() == (300, 400)
    assert g.call("fd_filestat_set_times", fd, 0, 0, 0) == 0 and times() == (300, 400)
    assert g.call("fd_filestat_set_times", fd, 0, 0, MTIM_NOW) == 0 and times()[1] > 10**18
    assert g.call("fd_filestat_set_times", 3, 5, 6, ATIM | MTIM) == 0 and os.stat(root).st_mtime_ns == 6
    before = times()
    for flags in (ATIM | ATIM_NOW, MTIM | MTIM_NOW, 15, 16, -1):
        assert g.call("fd_filestat_set_times", fd, 1, 1, flags) == 28
        assert g.call("path_filestat_set_times", 3, 0, *g.path("file"), 1, 1, flags) == 28
    assert g.call("path_filestat_set_times", 3, 0, *g.path("out_dir/secret"), 1, 1, MTIM) == 63
    assert times() == before


def test_making_and_removing(root: Path, g: Guest) -> None:
    assert g.call("path_create_directory", 3, *g.path("new")) == 0 and (root / "new").is_dir()
    assert g.call("path_create_directory", 3, *g.path("new/")) == 20
    assert g.call("path_rename", 3, *g.path("file"), 3, *g.path("new/file")) == 0
    assert g.call("path_remove_directory", 3, *g.path("new")) == 55
    assert g.call("path_link", 3, 0, *g.path("new/file"), 3, *g.path("file")) == 0
    assert g.call("path_link", 3, FOLLOW, *g.path("new/file"), 3, *g.path("other")) == 28
    assert g.call("path_unlink_file", 3, *g.path("new/file")) == 0 and (root / "file").read_text() == "file"
    assert g.call("path_unlink_file", 3, *g.path("new")) == 31
    assert g.call("path_remove_directory", 3, *g.path("new/")) == 0
    assert g.call("path_symlink", *g.path("file"), 3, *g.path("made")) == 0 and os.readlink(root / "made") == "file"
    assert g.call("path_symlink", *g.path("/etc/passwd"), 3, *g.path("bad")) == 63


def test_reading_a_link(root: Path, g: Guest) -> None:
    buffer, used = g.alloc(20), g.alloc(4)
    for size, text in ((20, b"dir/inner"), (9, b"dir/inner"), (4, b"dir/"), (0, b"")):
        writes = [(buffer, len(text)), (used, 4)]
        assert g.call("path_readlink", 3, *g.path("to_inner"), buffer, size, used, writes=writes) == 0
        assert g.get(buffer, g.u32(used)) == text
    assert g.call("path_readlink", 3, *g.path("out_absolute"), buffer, 20, used) == 63
    assert g.call("path_readlink", 3, *g.path("file"), buffer, 20, used) == 28
    assert g.call("path_readlink", 3, *g.path("to_inner"), -1, 20, used) == 21
    assert g.call("path_readlink", 3, *g.path("to_inner"), buffer, -1, used) == 21
    assert g.call("path_readlink", 3, *g.path("to_inner"), buffer, 20, -1) == 21


CALLS = {
    "path_create_directory": ("fd", "path"),
    "path_filestat_get": ("fd", "lookup", "path", "result"),
    "path_filestat_set_times": ("fd", "lookup", "path", "zero", "zero", "zero"),
    "path_link": ("fd", "lookup", "path", "fd", "new"),
    "path_open": ("fd", "lookup", "path", "zero", "zero", "zero", "zero", "result"),
    "path_readlink": ("fd", "path", "result", "eight", "result"),
    "path_remove_directory": ("fd", "path"),
    "path_rename": ("fd", "path", "fd", "new"),
    "path_symlink": ("new", "fd", "path"),
    "path_unlink_file": ("fd", "path"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_path_is_checked(root: Path, g: Guest, name: str) -> None:
    result = g.alloc(64)

    def call(path: tuple[int, int], fd: int = 3, lookup: int = 0) -> int | None:
        words = {"fd": (fd,), "lookup": (lookup,), "path": path, "result": (result,), "zero": (0,), "eight": (8,),
                 "new": g.path("brand_new")}  # fmt: skip
        return g.call(name, *(number for word in CALLS[name] for number in words[word]))

    assert call(g.path("file\0")) == 28
    assert call(g.path(b"\xc3\x28")) == 25
    assert call(g.path("x" * 4096)) == 37 and call((0, SIZE)) in (37, 25)
    assert call(g.path("../secret")) == call(g.path("/etc/passwd")) == call(g.path("out_dir/x")) == 63
    assert call(g.path("")) == 44
    for bad in ((SIZE - 1, 2), (-1, 1), (0, -1), (signed(0x80000000), 1), (SIZE + 1, 0)):
        assert call(bad) == 21, bad
    for fd in (0, 1, 99, -1, signed(0xFFFFFFFD)):
        assert call(g.path("file"), fd) == 8
    file = g.open("file")
    assert call(g.path("x"), file) == (54 if name == "path_open" else 8)
    if "lookup" in CALLS[name]:
        assert call(g.path("file"), lookup=2) == call(g.path("file"), lookup=-1) == 28
    assert not (root / "brand_new").exists()


def test_a_long_string_is_not_copied(root: Path) -> None:
    g = guest(root, size=1 << 20)
    assert g.call("path_unlink_file", 3, 0, 1 << 20) == 37
    g.context.close()
