"""What only a directory of the host has: devices, permissions, names in any encoding, other processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capability.test_directory import READ, WAITER, WRITE, failure, open_file, touch
from tests.capability.worlds import WORLDS
from wardian.capability.errno import Errno
from wardian.capability.filesystem.host import open_directory
from wardian.capability.filesystem.types import Directory, FileType, NewTimes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture(params=["kernel", "walk", "metered"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    world = WORLDS[request.param](tmp_path)
    yield world.directory
    world.close()


def test_a_fifo_does_not_block(directory: Directory, root: Path) -> None:
    os.mkfifo(root / "fifo")
    fifo = open_file(directory, b"fifo", READ)
    assert fifo.type is FileType.FIFO and fifo.poll_fd is not None
    fifo.set_blocking(False)
    assert fifo.read([memoryview(bytearray(1))], WAITER) == 0  # No writer: at its end.
    writer = os.open(root / "fifo", os.O_WRONLY)
    assert failure(lambda: fifo.read([memoryview(bytearray(1))], WAITER)) is Errno.AGAIN
    os.write(writer, b"x")
    assert fifo.available() == 1
    fifo.set_blocking(True)
    assert fifo.read([memoryview(bytearray(1))], WAITER) == 1
    os.close(writer)
    fifo.close()
    assert failure(lambda: touch(directory, b"fifo", WRITE)) is Errno.NO_SUCH_DEVICE


def test_a_write_only_file_has_times(directory: Directory, root: Path) -> None:
    os.chmod(root / "file", 0o200)
    directory.set_times_path(b"file", NewTimes(1, 2), True)
    assert os.stat(root / "file").st_mtime_ns == 2


def test_opening_from_the_host(tmp_path: Path) -> None:
    directory = open_directory(str(tmp_path), readonly=True)
    assert directory.readonly and list(directory.entries()) == []
    directory.close()
    with pytest.raises(OSError) as caught:
        open_directory(str(tmp_path / "nowhere"))
    assert caught.value.errno == errno.ENOENT


def test_entries_are_the_hosts(directory: Directory, root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / os.fsdecode(b"\xff\xfe")).write_text("")
    found = {entry.name: entry for entry in directory.entries()}
    assert set(found) == {os.fsencode(name) for name in os.listdir(root)}
    assert found[b"file"].inode == os.stat(root / "file").st_ino
    assert found[b"fifo"].type is FileType.FIFO


def test_stat_is_the_hosts(directory: Directory, root: Path) -> None:
    found, real = directory.stat_path(b"to_file", True), os.stat(root / "file")
    assert (found.device, found.inode, found.size, found.links) == (real.st_dev, real.st_ino, 4, 1)
    assert (found.accessed, found.modified, found.changed) == (real.st_atime_ns, real.st_mtime_ns, real.st_ctime_ns)
    assert directory.stat().inode == os.stat(root).st_ino
