"""Class "WASI filesystem" of what went wrong elsewhere: paths, rights of a grant, renumbering, directory entries.

Numbers in the tests are those of the list of advisories they were made from.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capability.test_path import choosing
from tests.wasi.guest import ALL, Guest
from wardian.capability.filesystem import host
from wardian.capability.filesystem.tree.tree import Tree
from wardian.grants import Capture, DirGrant, Grants, TreeGrant
from wardian.wasi.p1.context import WasiContext

BADF, EXIST, INVAL, NOENT, NOTDIR, PERM = 8, 20, 28, 44, 54, 63
CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
READ, WRITE = 2, 64

KINDS = ("kernel", "walk", "overlay")


def granted(root: Path, kind: str, readonly: bool = False) -> DirGrant | TreeGrant:
    guest_name = "/ro" if readonly else "/rw"
    if kind == "overlay":
        return TreeGrant(Tree.over(root), guest_name, readonly)
    return DirGrant(str(root), guest_name, readonly)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "overlay":
        monkeypatch.setattr(host, "resolver", choosing(request.param))
    return str(request.param)


def outside(base: Path) -> list[object]:
    return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_nlink, p.is_file() and p.read_bytes())
            for p in (base, *sorted((base / "out").rglob("*")))]  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / "secret").write_text("secret")
    (tmp_path / "root" / "d" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "file").write_text("file")
    (tmp_path / "root" / "d" / "secret").write_text("inside")
    return tmp_path


@pytest.fixture
def guest(base: Path, kind: str) -> Iterator[Guest]:
    """Descriptor 3 is writable, 4 is the same for reading only."""
    dirs = (granted(base / "root", kind), granted(base / "root", kind, True))
    context = WasiContext.from_grants(Grants(dirs=dirs, stdout=Capture(), stderr=Capture()))
    before = outside(base)
    yield Guest(context)
    context.close()
    assert outside(base) == before


TARGETS = ("../out", "../out/", "..", "../", ".", "../out/secret", "../out/new", "nowhere", "d", "d/", "d/../..")
SPELLINGS = ("l", "l/", "l//", "l/.", "l/..", "./l/", "l/./", "l/secret", "l/secret/", "l/../out/secret", "l/new",
             "l/sub/..", "l/sub/../../out/secret", "d/../l/secret", ".//l//secret")  # fmt: skip


@pytest.mark.parametrize("by_guest", [True, False], ids=["by the guest", "by the host"])
@pytest.mark.parametrize("target", [*TARGETS, "ABSOLUTE", "/"])
def test_slashes_after_links(guest: Guest, base: Path, kind: str, target: str, by_guest: bool) -> None:
    """34, 35: every function, every spelling; the fixture sees that nothing outside has changed."""
    target = str(base / "out") if target == "ABSOLUTE" else target
    beside = {p.lstat().st_ino for p in (base, base / "out", *(base / "out").rglob("*"), Path("/"))}
    if by_guest:
        error = guest.call("path_symlink", *guest.path(target), 3, *guest.path("l"))
        if target.startswith("/"):
            assert error == PERM
            return
        assert error == 0
    else:
        (base / "root" / "l").symlink_to(target)
    for path in SPELLINGS:
        for lookup in (0, 1):
            stat = guest.alloc(64)
            if guest.call("path_filestat_get", 3, lookup, *guest.path(path), stat, writes=[(stat, 64)]) == 0:
                assert guest.u64(stat + 8) not in beside, path
            guest._next = 64
            for oflags in (0, CREAT, TRUNC, DIRECTORY, CREAT | EXCL):
                fd = guest.open(path, oflags=oflags, lookup=lookup)
                if fd >= 0:
                    assert guest.call("fd_close", fd) == 0
            guest.call("path_filestat_set_times", 3, lookup, *guest.path(path), 1, 1, 5)
        text = guest.alloc(64)
        count = guest.alloc(4)
        guest.call("path_readlink", 3, *guest.path(path), text, 64, count, writes=[(text, 64), (count, 4)])
        guest._next = 64
        for new in ("m", "m/", f"{path}/m", "l"):
            guest.call("path_rename", 3, *guest.path(path), 3, *guest.path(new))
            guest.call("path_rename", 3, *guest.path(new), 3, *guest.path(path))
            guest.call("path_link", 3, 0, *guest.path(path), 3, *guest.path(new))
            guest.call("path_symlink", *guest.path("../out/secret"), 3, *guest.path(new))
        guest._next = 64
        for function in ("path_create_directory", "path_remove_directory", "path_unlink_file"):
            guest.call(function, 3, *guest.path(path))
        if not by_guest:
            (base / "root" / "l").unlink(missing_ok=True)
            (base / "root" / "l").symlink_to(target)


DEVICES = ("CON", "NUL.txt", "COM¹", "LPT³", "CONIN$", "a.", "a ", "\\\\?\\C:\\x", "a:b", "aux.c", "..\\out\\secret")


@pytest.mark.parametrize("name", DEVICES)
def test_names_that_mean_something_elsewhere(guest: Guest, name: str) -> None:
    """36: here they are names like any other: a file of that name, in that directory."""
    fd = guest.open(name, oflags=CREAT | EXCL)
    assert fd >= 0 and guest.write(fd, b"x") == (0, 1) and guest.call("fd_close", fd) == 0
    assert guest.open(name, oflags=CREAT | EXCL) == -EXIST
    buffer, used = guest.alloc(4096), guest.alloc(4)
    assert guest.call("fd_readdir", 3, buffer, 4096, 0, used, writes=[(buffer, 4096), (used, 4)]) == 0
    assert name.encode() in guest.get(buffer, guest.u32(used))
    assert guest.call("path_unlink_file", 3, *guest.path(name)) == 0


@pytest.mark.parametrize("rights", [READ, WRITE, READ | WRITE, ALL, 0])
@pytest.mark.parametrize("oflags", [TRUNC, CREAT, CREAT | EXCL, CREAT | TRUNC])
def test_nothing_opens_a_read_only_file_for_change(guest: Guest, base: Path, oflags: int, rights: int) -> None:
    """37: each flag alone, whatever rights are asked for."""
    for path in ("file", "new", "d/secret"):
        for fdflags in (0, 1):
            assert guest.open(path, oflags=oflags, rights=rights, fdflags=fdflags, fd=4) == -PERM
    assert (base / "root" / "file").read_text() == "file" and not (base / "root" / "new").exists()


def test_a_read_only_file_stays_as_it_is(guest: Guest, base: Path) -> None:
    """37: through a descriptor that was opened for reading, with every right asked for."""
    assert guest.open("file", rights=WRITE, fd=4) == -PERM
    fd = guest.open("file", rights=READ, fdflags=1, fd=4)
    results = [
        guest.write(fd, b"x")[0],
        guest.call("fd_filestat_set_size", fd, 0),
        guest.call("fd_allocate", fd, 0, 100),
        guest.call("fd_filestat_set_times", fd, 1, 1, 5),
        guest.call("path_filestat_set_times", 4, 1, *guest.path("file"), 1, 1, 5),
        guest.call("path_unlink_file", 4, *guest.path("file")),
        guest.call("path_create_directory", 4, *guest.path("new")),
        guest.call("path_symlink", *guest.path("file"), 4, *guest.path("new")),
    ]
    assert all(results) and (base / "root" / "file").read_text() == "file"
    assert sorted(os.listdir(base / "root")) == ["d", "file"]


def test_links_and_renames_between_grants(guest: Guest, base: Path) -> None:
    """38: neither into a read-only grant nor out of one."""
    for one, other in ((3, 4), (4, 3), (4, 4)):
        assert guest.call("path_link", one, 0, *guest.path("file"), other, *guest.path("new")) == PERM
        assert guest.call("path_rename", one, *guest.path("file"), other, *guest.path("new")) == PERM
    assert (base / "root" / "file").stat().st_nlink == 1


def test_renumbering(guest: Guest) -> None:
    """39, 40: every pair of descriptors, open, closed, preopened and itself; nothing is lost, nothing stays open."""
    fd = guest.open("file")
    numbers = (0, 1, 2, 3, 4, fd, 99, -1, 0x7FFFFFFF)
    for source in numbers:
        for target in numbers:
            known = {0, 1, 2, 3, 4, fd}
            expected = 0 if {source, target} <= known else BADF
            if source != target and expected == 0:
                continue
            assert guest.call("fd_renumber", source, target) == expected
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2000):
        one, other = guest.open("file"), guest.open("d", oflags=DIRECTORY)
        assert guest.call("fd_renumber", one, other) == 0
        assert guest.call("fd_close", one) == BADF and guest.call("fd_close", other) == 0
        guest._next = 64
    assert len(os.listdir("/proc/self/fd")) == before
    assert guest.call("fd_renumber", fd, 3) == 0  # A preopened directory may be replaced; it is one no more.
    at = guest.alloc(8)
    assert guest.call("fd_prestat_get", 3, at) == BADF
    assert guest.call("fd_renumber", 1, 2) == 0 and guest.write(2, b"x") == (0, 1)


def test_padding_of_entries(guest: Guest) -> None:
    """41: all bytes of the heads are written, those between the fields as zeros."""
    buffer, used = guest.alloc(4096), guest.alloc(4)
    assert guest.call("fd_readdir", 3, buffer, 4096, 0, used, writes=[(buffer, 4096), (used, 4)]) == 0
    content = guest.get(buffer, guest.u32(used))
    at = 0
    names = []
    while at < len(content):
        length = struct.unpack_from("<I", content, at + 16)[0]
        assert content[at + 21 : at + 24] == b"\0\0\0"
        names.append(content[at + 24 : at + 24 + length])
        at += 24 + length
    assert at == len(content) and sorted(names) == [b".", b"..", b"d", b"file"]


@pytest.mark.parametrize("time", [-1, -(10**9) - 1, -(1 << 62), 1 << 62])
def test_strange_times(guest: Guest, base: Path, kind: str, time: int) -> None:
    """42: before 1970, and far in the future."""
    try:
        os.utime(base / "root" / "file", ns=(time, time))
    except OverflowError:
        pytest.skip("this host's files have no such time")
    at = guest.alloc(64)
    assert guest.call("path_filestat_get", 3, 0, *guest.path("file"), at, writes=[(at, 64)]) == 0
    kept = (base / "root" / "file").stat().st_mtime_ns
    assert guest.u64(at + 48) == max(0, kept)
    for value in (0, 1, ALL, 1 << 62):
        assert guest.call("path_filestat_set_times", 3, 0, *guest.path("file"), value, value, 5) in (0, INVAL, 61)
        assert guest.call("path_filestat_get", 3, 0, *guest.path("file"), at, writes=[(at, 64)]) == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("..", PERM), ("/", PERM), ("/a.txt", PERM), ("l", PERM), ("l/", PERM), ("file/", NOTDIR), ("nowhere", NOENT),
        ("file/../file", NOTDIR), ("fi\0le", INVAL), ("d/../../root/file", PERM), ("absolute", PERM),
    ],
)  # fmt: skip
def test_the_errors_that_wasmtime_gives(guest: Guest, base: Path, path: str, expected: int) -> None:
    (base / "root" / "l").symlink_to("../out")
    (base / "root" / "absolute").symlink_to(base / "root" / "file")
    assert guest.open(path) == -expected
