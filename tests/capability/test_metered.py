"""Quotas on directories of the host: what is counted, what is refused, what gives room again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.capability.test_directory import BOTH, CREATE, WAITER, failure, open_file, touch
from wardian.capability.errno import Errno
from wardian.capability.filesystem.host import open_directory
from wardian.capability.filesystem.metered import Meter, MeteredDirectory
from wardian.capability.filesystem.quota import Quota
from wardian.capability.filesystem.types import Directory, OpenMode

Make = Callable[..., tuple[MeteredDirectory, Quota]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(*bounds: int | None) -> tuple[MeteredDirectory, Quota]:
        quota = Quota(*bounds)
        return MeteredDirectory(open_directory(str(tmp_path)), Meter(quota)), quota

    return made


def write(directory: Directory, path: bytes, content: bytes, mode: OpenMode = CREATE) -> int:
    file = open_file(directory, path, mode)
    try:
        return file.write([memoryview(content)[:3], memoryview(content)[3:]], WAITER)
    finally:
        file.close()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_growth_is_counted(make: Make, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(bytes(50))
    directory, quota = make(100)
    assert write(directory, b"old", bytes(50)) == 50 and quota.used_bytes == 0  # Nothing grew.
    assert write(directory, b"old", bytes(70)) == 70 and quota.used_bytes == 20
    assert write(directory, b"new", bytes(200)) == 80 and quota.used_bytes == 100
    assert failure(lambda: write(directory, b"new2", b"1234")) is Errno.NO_SPACE
    assert failure(lambda: write(directory, b"new", b"1234", OpenMode(write=True, append=True))) is Errno.NO_SPACE
    touch(directory, b"new", OpenMode(truncate=True))
    assert quota.used_bytes == 20
    directory.unlink(b"old")
    assert quota.used_bytes == 0  # Not below: what was there before gives no room.
    assert write(directory, b"x", bytes(200)) == 100 and size(tmp_path) == 100
    directory.close()


@pytest.mark.parametrize("way", ["set_size", "allocate", "write_at"])
def test_every_way_to_grow(make: Make, way: str) -> None:
    directory, quota = make(100, None, 80)
    file = open_file(directory, b"f", CREATE)
    acts: dict[str, Callable[[int], object]] = {
        "set_size": file.set_size,
        "allocate": lambda size: file.allocate(size - 1, 1),
        "write_at": lambda size: file.write_at([memoryview(b"x")], size - 1),
    }
    act = acts[way]
    act(80)
    assert quota.used_bytes == 80 == file.stat().size
    assert failure(lambda: act(81)) is Errno.FILE_TOO_BIG
    other = open_file(directory, b"g", CREATE)
    assert failure(lambda: other.set_size(21)) is Errno.NO_SPACE
    other.set_size(20)
    file.set_size(0)
    assert quota.used_bytes == 20 and failure(lambda: file.set_size(1 << 63)) is Errno.INVALID
    assert quota.used_bytes == 20
    file.close()
    other.close()


def test_what_is_removed_while_open_is_still_there(make: Make) -> None:
    directory, quota = make(100)
    file = open_file(directory, b"f", CREATE)
    file.write([memoryview(bytes(60))], WAITER)
    directory.unlink(b"f")
    assert quota.used_bytes == 60
    assert write(directory, b"g", bytes(100)) == 40
    file.close()
    assert quota.used_bytes == 40
    directory.link(b"g", directory, b"h")
    directory.unlink(b"g")
    assert quota.used_bytes == 40
    write(directory, b"i", bytes(10))
    directory.rename(b"i", directory, b"h")  # Replaces the last name of what was g.
    assert quota.used_bytes == 10


def test_names_are_counted(make: Make, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    directory, quota = make(None, 4)
    directory.create_directory(b"d")
    directory.symlink(b"x", b"l")
    directory.link(b"old", directory, b"h")
    touch(directory, b"f", CREATE)
    assert quota.used_files == 4
    acts: list[Callable[[], object]] = [
        lambda: directory.create_directory(b"n"),
        lambda: directory.symlink(b"x", b"n"),
        lambda: directory.link(b"old", directory, b"n"),
        lambda: touch(directory, b"n", CREATE),
    ]
    assert [failure(act) for act in acts] == [Errno.NO_SPACE] * 4
    touch(directory, b"f", CREATE)  # It is there.
    touch(directory, b"old", BOTH)
    directory.rename(b"f", directory, b"h")
    directory.remove_directory(b"d")
    directory.unlink(b"l")
    assert quota.used_files == 1
    assert failure(lambda: directory.create_directory(b"h")) is Errno.EXISTS and quota.used_files == 1
    assert failure(lambda: touch(directory, b"nowhere/x", CREATE)) is Errno.NO_ENTRY and quota.used_files == 1
    directory.close()
