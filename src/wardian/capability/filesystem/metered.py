"""A directory of the host with a :class:`~wardian.capability.filesystem.quota.Quota` on what is added to it.

Counted is growth: of files beyond the size they had, and names beyond those there were. What is removed gives room
again, the contents of a file when its last name is gone and nobody has it open; never more room than was taken. So
the directory never holds more than it held in the beginning and the quota allows, as far as this guest's doing goes.

Invariant: every change goes through a method of this file that asks the quota first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.quota import Quota
from wardian.capability.filesystem.types import (
    Advice,
    Directory,
    Entry,
    File,
    FileStat,
    FileType,
    NewTimes,
    Opened,
    OpenMode,
)
from wardian.capability.poll import Waiter

_INT64_MAX: Final = (1 << 63) - 1


@final
class Meter:
    """One quota and the files of one guest that are open, by device and inode, for all directories that share it."""

    __slots__ = ("_gone", "_open", "quota")

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._open: dict[tuple[int, int], int] = {}
        self._gone: set[tuple[int, int]] = set()

    def opened(self, file: tuple[int, int]) -> None:
        self._open[file] = self._open.get(file, 0) + 1

    def closing(self, file: tuple[int, int], size: int) -> None:
        """``file``, of ``size`` bytes, is about to be closed."""
        left = self._open.get(file, 1) - 1
        if left:
            self._open[file] = left
            return
        self._open.pop(file, None)
        if file in self._gone:
            self._gone.discard(file)
            self.quota.shrink(size)

    def removed(self, found: FileStat) -> None:
        """A name of ``found``, as it was before, is gone."""
        self.quota.remove()
        if found.type is FileType.REGULAR and found.links <= 1:
            file = (found.device, found.inode)
            if file in self._open:
                self._gone.add(file)
            else:
                self.quota.shrink(found.size)


@final
class MeteredFile:
    """An open file whose growth is counted."""

    __slots__ = ("_append", "_file", "_key", "_meter", "poll_fd", "read", "read_at", "seek", "type")

    def __init__(self, file: File, meter: Meter, append: bool) -> None:
        """Takes over ``file``, a regular one."""
        found = file.stat()
        self._file: File | None = file
        self._meter = meter
        self._key = (found.device, found.inode)
        self._append = append
        self.type = file.type
        self.poll_fd = file.poll_fd
        # Reading and seeking need no counting.
        self.read = file.read
        self.read_at = file.read_at
        self.seek = file.seek
        meter.opened(self._key)

    @property
    def _open(self) -> File:
        if self._file is None:
            raise CapabilityError(Errno.BAD_FD)
        return self._file

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        file = self._open
        size = file.stat().size
        offset = size if self._append else file.seek(0, os.SEEK_CUR)
        fitting, growth = self._fitting(buffers, offset, size)
        done = 0
        try:
            done = file.write(fitting, waiter)
            return done
        finally:
            self._settle(growth, size, offset + done)

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        file = self._open
        size = file.stat().size
        # As on Linux: what is open for appending appends here, too.
        at = size if self._append else offset
        fitting, growth = self._fitting(buffers, at, size)
        done = 0
        try:
            done = file.write_at(fitting, offset)
            return done
        finally:
            self._settle(growth, size, at + done)

    def _fitting(self, buffers: Sequence[memoryview], offset: int, size: int) -> tuple[Sequence[memoryview], int]:
        """As much of ``buffers`` as may be written at ``offset``, and by how much the file grows, which is taken."""
        quota = self._meter.quota
        total = sum(map(len, buffers))
        end = offset + total
        if end <= size or offset > _INT64_MAX:
            return buffers, 0
        most = quota.most(size, end)
        if most <= offset:
            raise CapabilityError(Errno.FILE_TOO_BIG if quota.file_size <= offset else Errno.NO_SPACE)
        quota.grow(most - size)
        if most == end:
            return buffers, most - size
        fitting: list[memoryview] = []
        room = most - offset
        for buffer in buffers:
            fitting.append(buffer[:room])
            room -= len(fitting[-1])
            if not room:
                break
        return fitting, most - size

    def _settle(self, taken: int, size: int, end: int) -> None:
        """Give back what was taken for growth that did not happen."""
        if taken:
            self._meter.quota.shrink(taken - max(0, end - size))

    def available(self) -> int:
        return self._open.available()

    def stat(self) -> FileStat:
        return self._open.stat()

    def set_size(self, size: int) -> None:
        self._resize(size, lambda file: file.set_size(size))

    def allocate(self, offset: int, length: int) -> None:
        self._resize(max(offset + length, self._open.stat().size), lambda file: file.allocate(offset, length))

    def _resize(self, size: int, change: Callable[[File], None]) -> None:
        file = self._open
        quota = self._meter.quota
        before = file.stat().size
        growth = size - before
        if growth > 0 and size <= _INT64_MAX:
            if size > quota.file_size:
                raise CapabilityError(Errno.FILE_TOO_BIG)
            quota.grow(growth)
        try:
            change(file)
        except BaseException:
            quota.shrink(max(0, growth) if size <= _INT64_MAX else 0)
            raise
        if growth < 0:
            quota.shrink(-growth)

    def set_times(self, times: NewTimes) -> None:
        self._open.set_times(times)

    def set_append(self, append: bool) -> None:
        self._open.set_append(append)
        self._append = append

    def set_blocking(self, blocking: bool) -> None:
        self._open.set_blocking(blocking)

    def advise(self, offset: int, length: int, advice: Advice) -> None:
        self._open.advise(offset, length, advice)

    def sync(self, data_only: bool) -> None:
        self._open.sync(data_only)

    def close(self) -> None:
        """A second call does nothing."""
        file, self._file = self._file, None
        if file is not None:
            self._meter.closing(self._key, file.stat().size)
            file.close()


@final
class MeteredDirectory:
    """An open directory in which what is added is counted."""

    __slots__ = ("_directory", "_meter")

    def __init__(self, directory: Directory, meter: Meter) -> None:
        """Takes over ``directory``."""
        self._directory = directory
        self._meter = meter

    @property
    def readonly(self) -> bool:
        return self._directory.readonly

    def open(self, path: bytes, mode: OpenMode) -> Opened:
        created = mode.create and not self.readonly and not self._exists(path, mode)
        if created:
            self._meter.quota.add()
        # Truncating is done by hand, since it gives room.
        plain = mode._replace(truncate=False, write=mode.write or mode.truncate)
        try:
            opened = self._directory.open(path, plain)
        except BaseException:
            if created:
                self._meter.quota.remove()
            raise
        if opened.directory is not None:
            return Opened(None, MeteredDirectory(opened.directory, self._meter))
        if opened.file is None or opened.file.type is not FileType.REGULAR:
            return opened
        file = MeteredFile(opened.file, self._meter, mode.append)
        if mode.truncate:
            try:
                file.set_size(0)
            except BaseException:
                file.close()
                raise
        return Opened(file, None)

    def _exists(self, path: bytes, mode: OpenMode) -> bool:
        try:
            self._directory.stat_path(path, mode.follow and not mode.exclusive)
        except FileNotFoundError:
            return False
        except (CapabilityError, OSError):
            return True  # Opening will fail in the same way; if it does not, one name too few was counted.
        return True

    def entries(self) -> Iterator[Entry]:
        return self._directory.entries()

    def stat(self) -> FileStat:
        return self._directory.stat()

    def stat_path(self, path: bytes, follow: bool) -> FileStat:
        return self._directory.stat_path(path, follow)

    def set_times(self, times: NewTimes) -> None:
        self._directory.set_times(times)

    def set_times_path(self, path: bytes, times: NewTimes, follow: bool) -> None:
        self._directory.set_times_path(path, times, follow)

    def create_directory(self, path: bytes) -> None:
        self._adding(lambda: self._directory.create_directory(path))

    def symlink(self, target: bytes, path: bytes) -> None:
        self._adding(lambda: self._directory.symlink(target, path))

    def link(self, path: bytes, to: Directory, new_path: bytes) -> None:
        inner = _inner(to)
        self._adding(lambda: self._directory.link(path, inner, new_path))

    def _adding(self, add: Callable[[], None]) -> None:
        """Add a name."""
        self._meter.quota.add()
        try:
            add()
        except BaseException:
            self._meter.quota.remove()
            raise

    def remove_directory(self, path: bytes) -> None:
        self._directory.remove_directory(path)
        self._meter.quota.remove()

    def unlink(self, path: bytes) -> None:
        found = self._found(path)
        self._directory.unlink(path)
        if found is not None:
            self._meter.removed(found)

    def rename(self, path: bytes, to: Directory, new_path: bytes) -> None:
        inner = _inner(to)
        old, replaced = self._found(path), to._found(new_path) if isinstance(to, MeteredDirectory) else None
        self._directory.rename(path, inner, new_path)
        same = old is not None and replaced is not None and old[:2] == replaced[:2]
        if replaced is not None and not same:
            self._meter.removed(replaced)

    def _found(self, path: bytes) -> FileStat | None:
        try:
            return self._directory.stat_path(path.rstrip(b"/") or path, False)
        except (CapabilityError, OSError):
            return None

    def read_link(self, path: bytes) -> bytes:
        return self._directory.read_link(path)

    def sync(self, data_only: bool) -> None:
        self._directory.sync(data_only)

    def close(self) -> None:
        self._directory.close()


def _inner(directory: Directory) -> Directory:
    return directory._directory if isinstance(directory, MeteredDirectory) else directory
