"""The contract of a directory as a capability: one suite over all kinds there are.

A test looks at what it did with ``see``, which asks the capability itself; on a host directory :mod:`test_host` also
looks from outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.capability.worlds import WORLDS, See, World
from wardian.capability.errno import CapabilityError, Errno, reason
from wardian.capability.filesystem.types import Advice, Directory, File, FileType, NewTimes, OpenMode
from wardian.capability.poll import Waiter

READ = OpenMode()
WRITE = OpenMode(read=False, write=True)
BOTH = OpenMode(write=True)
CREATE = OpenMode(write=True, create=True)
NO_TIMES = NewTimes(None, None)
WAITER = Waiter()

OUTSIDE = ["../new", "/new", "out_up/new", "out_dir/new", "dir/../../new", "out_absolute_root/new", "dir/up_dir/../new"]


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The same tree writable and read-only; nothing beside it may have changed afterwards, nor what is only beneath."""

    def snapshot() -> list[tuple[str, bytes]]:
        beside = [tmp_path / "secret", tmp_path / "outside" / "secret"]
        return [(str(p), p.read_bytes()) for p in beside if p.exists()] + [
            (name, b"") for folder in (tmp_path, tmp_path / "outside") for name in sorted(os.listdir(folder))
        ]

    descriptors = len(os.listdir("/proc/self/fd"))
    world = WORLDS[request.param](tmp_path)
    before = snapshot()
    yield world
    world.close()
    assert snapshot() == before
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.fixture
def directory(world: World) -> Directory:
    return world.directory


@pytest.fixture
def readonly(world: World) -> Directory:
    return world.readonly


@pytest.fixture
def see(world: World) -> See:
    return world.see


def failure(call: Callable[[], object]) -> Errno | None:
    """Why the call failed, or ``None``."""
    try:
        call()
    except (CapabilityError, OSError) as error:
        return reason(error)
    return None


def open_file(directory: Directory, path: bytes, mode: OpenMode) -> File:
    file = directory.open(path, mode).file
    assert file is not None
    return file


def touch(directory: Directory, path: bytes, mode: OpenMode) -> None:
    opened = directory.open(path, mode)
    node = opened.file or opened.directory
    assert node is not None
    node.close()


def test_read_and_write(directory: Directory, see: See) -> None:
    file = open_file(directory, b"new", CREATE)
    assert file.type is FileType.REGULAR
    assert file.write([memoryview(b"abc"), memoryview(b"def")], WAITER) == 6
    assert file.seek(1, os.SEEK_SET) == 1
    into = bytearray(3)
    assert file.read([memoryview(into)[:1], memoryview(into)[1:]], WAITER) == 3 and into == b"bcd"
    assert file.available() == 2
    assert file.write_at([memoryview(b"XY")], 8) == 2
    assert file.read_at([memoryview(into)], 7) == 3 and into == b"\0XY"
    assert file.seek(0, os.SEEK_CUR) == 4
    assert see.bytes("new") == b"abcdef\0\0XY"
    file.set_size(2)
    file.sync(True)
    file.sync(False)
    assert file.stat().size == 2 and file.available() == 0
    file.allocate(0, 100)
    assert file.stat().size == 100
    file.advise(0, 10, Advice.SEQUENTIAL)
    file.close()
    file.close()


def test_append_can_be_switched(directory: Directory, see: See) -> None:
    file = open_file(directory, b"file", OpenMode(write=True, append=True))
    file.write([memoryview(b"1")], WAITER)
    file.set_append(False)
    file.seek(0, os.SEEK_SET)
    file.write([memoryview(b"2")], WAITER)
    file.close()
    assert see.bytes("file") == b"2ile1"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("seek", (-1, os.SEEK_SET)),
        ("set_size", (1 << 63,)),
        ("set_size", ((1 << 64) - 1,)),
        ("read_at", ([memoryview(bytearray(1))], 1 << 63)),
        ("write_at", ([memoryview(b"x")], (1 << 64) - 1)),
        ("advise", ((1 << 64) - 1, (1 << 64) - 1, Advice.NORMAL)),
        ("allocate", (0, 0)),
    ],
)
def test_numbers_out_of_range_are_invalid(directory: Directory, method: str, arguments: tuple[object, ...]) -> None:
    file = open_file(directory, b"file", BOTH)
    assert failure(lambda: getattr(file, method)(*arguments)) is Errno.INVALID
    assert failure(lambda: file.allocate((1 << 64) - 1, 2)) is Errno.FILE_TOO_BIG
    file.close()


def test_opening(directory: Directory) -> None:
    opened = directory.open(b"dir", READ)
    assert opened.file is None and opened.directory is not None
    assert failure(lambda: touch(opened.directory, b"..", READ)) is Errno.PERMISSION  # type: ignore[arg-type]
    assert failure(lambda: touch(opened.directory, b"../file", READ)) is Errno.PERMISSION  # type: ignore[arg-type]
    opened.directory.close()
    cases: list[tuple[bytes, OpenMode, Errno | None]] = [
        (b"to_file", READ, Errno.LOOP),
        (b"to_file", OpenMode(follow=True), None),
        (b"dir", BOTH, Errno.IS_DIRECTORY),
        (b"dir", OpenMode(directory=True), None),
        (b"file", OpenMode(directory=True), Errno.NOT_DIRECTORY),
        (b"to_dir", OpenMode(directory=True), Errno.LOOP),
        (b"to_dir", OpenMode(directory=True, follow=True), None),
        (b"file", OpenMode(create=True, exclusive=True), Errno.EXISTS),
        (b"nowhere", READ, Errno.NO_ENTRY),
        (b"file/", READ, Errno.NOT_DIRECTORY),
        (b"dir/", READ, None),
    ]
    for path, mode, expected in cases:
        assert failure(lambda path=path, mode=mode: touch(directory, path, mode)) is expected, (path, mode)


def test_truncating(directory: Directory, see: See) -> None:
    touch(directory, b"file", OpenMode(truncate=True))
    assert see.bytes("file") == b""


def test_entries(directory: Directory, world: World) -> None:
    found = {entry.name: entry for entry in directory.entries()}
    assert sorted(map(os.fsdecode, found)) == sorted(os.listdir(world.root))
    assert all(entry.inode == directory.stat_path(name, False).inode for name, entry in found.items())
    kinds = {b"file": FileType.REGULAR, b"dir": FileType.DIRECTORY, b"out_dir": FileType.SYMLINK}
    assert {name: found[name].type for name in kinds} == kinds
    # Two readers at a time do not disturb each other.
    pairs = list(zip(directory.entries(), directory.entries(), strict=True))
    assert all(one == two for one, two in pairs) and len(pairs) == len(found)
    partial = directory.entries()
    next(partial)
    del partial  # The fixture checks that nothing stays open.


def test_stat(directory: Directory, see: See) -> None:
    directory.set_times_path(b"file", NewTimes(-5, -1_000_000_001), False)
    found = directory.stat_path(b"to_file", True)
    assert (found.device, found.inode) == directory.stat_path(b"file", False)[:2]
    assert (found.size, found.links) == (4, 1)
    assert (found.type, found.accessed, found.modified) == (FileType.REGULAR, -5, -1_000_000_001)
    assert directory.stat_path(b"to_file", False).type is FileType.SYMLINK
    assert directory.stat_path(b"out_file", False).type is FileType.SYMLINK
    assert directory.stat_path(b"to_dir/", False).type is FileType.DIRECTORY
    assert directory.stat().inode == directory.stat_path(b".", False).inode
    for path in (b"out_file", b"..", b"/", b"out_dir/", b"out_dir/.", b"dir/../.."):
        assert failure(lambda path=path: directory.stat_path(path, True)) is Errno.PERMISSION
    for path in (b"out_dir/", b"out_dir/."):
        assert failure(lambda path=path: directory.stat_path(path, False)) is Errno.PERMISSION


def test_times(directory: Directory, see: See) -> None:
    directory.set_times_path(b"file", NewTimes(1, 2), False)
    directory.set_times_path(b"file", NewTimes(None, 3), False)
    assert (see.stat("file").accessed, see.stat("file").modified) == (1, 3)
    directory.set_times_path(b"to_file", NewTimes(10, 11), False)
    assert see.stat("to_file").modified == 11 and see.stat("file").modified == 3
    directory.set_times_path(b"to_file", NewTimes(12, 13), True)
    assert see.stat("file").modified == 13
    directory.set_times_path(b"to_dir/", NewTimes(14, 15), False)
    assert see.stat("dir").modified == 15
    directory.set_times(NewTimes(16, 17))
    assert see.stat(".").modified == 17
    file = open_file(directory, b"file", READ)
    file.set_times(NewTimes((1 << 64) - 1, 0))
    file.close()
    assert see.stat("file").modified == 0
    for path, follow in ((b"out_file", True), (b"out_dir/", False), (b"../secret", False), (b"/etc/passwd", False)):
        found = failure(lambda path=path, follow=follow: directory.set_times_path(path, NewTimes(1, 1), follow))
        assert found is Errno.PERMISSION


def test_directories(directory: Directory, see: See) -> None:
    directory.create_directory(b"dir/made")
    directory.create_directory(b"dir/made2/")
    assert see.names("dir/made2") == []
    cases: list[tuple[bytes, Errno | None, Errno | None]] = [
        (b"dir", Errno.EXISTS, Errno.NOT_EMPTY),
        (b"file", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b"file/", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b"to_dir", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b"to_dir/", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b"out_dir/", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b"dangling", Errno.EXISTS, Errno.NOT_DIRECTORY),
        (b".", Errno.EXISTS, Errno.INVALID),
        (b"dir/.", Errno.EXISTS, Errno.INVALID),
        (b"dir/..", Errno.EXISTS, Errno.INVALID),
        (b"nowhere/x", Errno.NO_ENTRY, Errno.NO_ENTRY),
        (b"file/x", Errno.NOT_DIRECTORY, Errno.NOT_DIRECTORY),
        (b"..", Errno.PERMISSION, Errno.PERMISSION),
        (b"out_up/outside", Errno.PERMISSION, Errno.PERMISSION),
        *((path.encode(), Errno.PERMISSION, Errno.PERMISSION) for path in OUTSIDE),
    ]
    for path, made, removed in cases:
        assert failure(lambda path=path: directory.create_directory(path)) is made, path
        assert failure(lambda path=path: directory.remove_directory(path)) is removed, path
    directory.remove_directory(b"to_dir/made")
    directory.remove_directory(b"dir/made2//")
    assert see.names("dir") == ["inner", "nested", "up", "up_dir", "up_out"]


def test_unlink(directory: Directory, see: See) -> None:
    cases: list[tuple[bytes, Errno | None]] = [
        (b"dir", Errno.IS_DIRECTORY),
        (b"dir/", Errno.IS_DIRECTORY),
        (b"dir/.", Errno.IS_DIRECTORY),
        (b"dir/..", Errno.IS_DIRECTORY),
        (b"file/", Errno.NOT_DIRECTORY),
        (b"to_file/", Errno.NOT_DIRECTORY),
        (b"to_dir/", Errno.NOT_DIRECTORY),
        (b"out_dir/", Errno.NOT_DIRECTORY),
        (b"file/.", Errno.NOT_DIRECTORY),
        (b"nowhere", Errno.NO_ENTRY),
        (b"nowhere/", Errno.NO_ENTRY),
        (b"../secret", Errno.PERMISSION),
        (b"out_up/secret", Errno.PERMISSION),
        (b"out_dir/secret", Errno.PERMISSION),
        (b"/etc/passwd", Errno.PERMISSION),
        (b"out_file", None),
        (b"out_dir", None),
        (b"to_dir", None),
        (b"file", None),
    ]
    for path, expected in cases:
        assert failure(lambda path=path: directory.unlink(path)) is expected, path
    assert see.names("dir") and "file" not in see.names(".")


def test_links(directory: Directory, see: See) -> None:
    cases: list[tuple[bytes, bytes | Errno]] = [
        (b"to_file", b"file"),
        (b"out_file", b"../secret"),
        (b"dangling", b"nowhere"),
        (b"to_dir/up", b"../file"),
        (b"out_absolute", Errno.PERMISSION),
        (b"file", Errno.INVALID),
        (b"dir", Errno.INVALID),
        (b".", Errno.INVALID),
        (b"to_dir/", Errno.INVALID),
        (b"to_file/", Errno.NOT_DIRECTORY),
        (b"out_dir/", Errno.PERMISSION),
        (b"out_dir/secret", Errno.PERMISSION),
        (b"nowhere", Errno.NO_ENTRY),
    ]
    for path, expected in cases:
        if isinstance(expected, bytes):
            assert directory.read_link(path) == expected
        else:
            assert failure(lambda path=path: directory.read_link(path)) is expected, path
    makes: list[tuple[bytes, bytes, Errno | None]] = [
        (b"file", b"made", None),
        (b"../secret", b"made_out", None),
        (b"file", b"to_dir/made", None),
        (b"/etc/passwd", b"x", Errno.PERMISSION),
        (b"", b"x", Errno.NO_ENTRY),
        (b"a\0b", b"x", Errno.INVALID),
        (b"file", b"x/", Errno.NO_ENTRY),
        (b"file", b"dir/", Errno.EXISTS),
        (b"file", b"to_dir", Errno.EXISTS),
        (b"file", b".", Errno.EXISTS),
        *((b"file", path.encode(), Errno.PERMISSION) for path in OUTSIDE),
    ]
    for target, path, expected_error in makes:
        found = failure(lambda target=target, path=path: directory.symlink(target, path))
        assert found is expected_error, (target, path)
    assert see.target("dir/made") == "file"
    assert failure(lambda: touch(directory, b"made_out", OpenMode(follow=True))) is Errno.PERMISSION


def test_hard_links(directory: Directory, readonly: Directory, see: See) -> None:
    cases: list[tuple[bytes, bytes, Errno | None]] = [
        (b"file", b"made", None),
        (b"out_file", b"made_link", None),
        (b"self", b"made_self", None),
        (b"file", b"file", Errno.EXISTS),
        (b"file", b"dangling", Errno.EXISTS),
        (b"file", b"x/", Errno.NO_ENTRY),
        (b"file", b"dir/", Errno.EXISTS),
        (b"file", b".", Errno.EXISTS),
        (b"file/", b"x", Errno.NOT_DIRECTORY),
        (b"out_file/", b"x", Errno.NOT_DIRECTORY),
        (b"out_dir/", b"x", Errno.NOT_DIRECTORY),
        (b"dir", b"x", Errno.PERMISSION),
        (b"dir/", b"x", Errno.PERMISSION),
        (b"nowhere", b"x", Errno.NO_ENTRY),
        (b"../secret", b"x", Errno.PERMISSION),
        (b"out_dir/secret", b"x", Errno.PERMISSION),
        *((b"file", path.encode(), Errno.PERMISSION) for path in OUTSIDE),
    ]
    for path, new, expected in cases:
        assert failure(lambda path=path, new=new: directory.link(path, directory, new)) is expected, (path, new)
    assert see.stat("file").links == 2
    assert see.stat("made_link").type is FileType.SYMLINK
    for one, other in ((directory, readonly), (readonly, directory), (readonly, readonly)):
        assert failure(lambda one=one, other=other: one.link(b"file", other, b"x")) is Errno.PERMISSION
        assert failure(lambda one=one, other=other: one.rename(b"file", other, b"x")) is Errno.PERMISSION


def test_rename(directory: Directory, see: See) -> None:
    refused: list[tuple[bytes, bytes, Errno]] = [
        (b"nowhere", b"x", Errno.NO_ENTRY),
        (b"file/", b"x", Errno.NOT_DIRECTORY),
        (b"file", b"x/", Errno.NOT_DIRECTORY),
        (b"file", b"dir/", Errno.NOT_DIRECTORY),
        (b"file", b"dir", Errno.IS_DIRECTORY),
        (b"dir", b"file", Errno.NOT_DIRECTORY),
        (b"dir", b"to_dir/", Errno.NOT_DIRECTORY),
        (b"to_dir/", b"x", Errno.NOT_DIRECTORY),
        (b"out_dir/", b"x", Errno.NOT_DIRECTORY),
        (b"out_file/", b"x", Errno.NOT_DIRECTORY),
        (b"dir", b"dir/nested/x", Errno.INVALID),
        (b".", b"x", Errno.BUSY),
        (b"dir/..", b"x", Errno.BUSY),
        (b"../secret", b"x", Errno.PERMISSION),
        (b"out_dir/secret", b"x", Errno.PERMISSION),
        *((b"file", path.encode(), Errno.PERMISSION) for path in OUTSIDE),
    ]
    for path, new, expected in refused:
        assert failure(lambda path=path, new=new: directory.rename(path, directory, new)) is expected, (path, new)
    directory.rename(b"file", directory, b"to_dir/moved")
    directory.rename(b"dir/", directory, b"dir2/")
    directory.rename(b"out_dir", directory, b"to_file")
    assert see.bytes("dir2/moved") == b"file"
    assert see.target("to_file") == "../outside"


MUTATIONS: dict[str, Callable[[Directory], object]] = {
    "write": lambda d: touch(d, b"file", BOTH),
    "write only": lambda d: touch(d, b"file", WRITE),
    "create": lambda d: touch(d, b"new", OpenMode(create=True)),
    "create existing": lambda d: touch(d, b"file", OpenMode(create=True)),
    "truncate": lambda d: touch(d, b"file", OpenMode(truncate=True)),
    "truncate through a link": lambda d: touch(d, b"to_file", OpenMode(truncate=True, follow=True)),
    "mkdir": lambda d: d.create_directory(b"new"),
    "rmdir": lambda d: d.remove_directory(b"dir/nested"),
    "unlink": lambda d: d.unlink(b"file"),
    "symlink": lambda d: d.symlink(b"file", b"new"),
    "link": lambda d: d.link(b"file", d, b"new"),
    "rename": lambda d: d.rename(b"file", d, b"new"),
    "times": lambda d: d.set_times(NewTimes(1, 1)),
    "times of a path": lambda d: d.set_times_path(b"file", NewTimes(1, 1), False),
    "no times of a path": lambda d: d.set_times_path(b"file", NO_TIMES, False),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_read_only_means_it(readonly: Directory, see: See, what: str) -> None:
    before = see.all()
    assert failure(lambda: MUTATIONS[what](readonly)) is Errno.PERMISSION
    nested = readonly.open(b".", OpenMode(directory=True)).directory
    assert nested is not None and nested.readonly
    assert failure(lambda: MUTATIONS[what](nested)) is Errno.PERMISSION
    nested.close()
    assert see.all() == before


@pytest.mark.parametrize("mode", [READ, OpenMode(append=True), OpenMode(sync=True)], ids=["read", "append", "sync"])
def test_a_file_of_a_read_only_directory_stays_as_it_is(readonly: Directory, see: See, mode: OpenMode) -> None:
    file = open_file(readonly, b"file", mode)
    attempts: list[Callable[[], object]] = [
        lambda: file.write([memoryview(b"x")], WAITER),
        lambda: file.write_at([memoryview(b"x")], 0),
        lambda: file.set_size(0),
        lambda: file.allocate(0, 100),
        lambda: file.set_times(NewTimes(1, 1)),
    ]
    assert [failure(attempt) for attempt in attempts] == [Errno.BAD_FD] * 2 + [Errno.PERMISSION] * 3
    file.set_append(True)
    assert failure(attempts[0]) is Errno.BAD_FD
    file.close()
    assert see.bytes("file") == b"file"
