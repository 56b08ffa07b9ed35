"""Directories of the host as capabilities: what a guest may do beneath a directory descriptor.

Invariants: every path goes through the :class:`~wardian.capability.filesystem.path.Resolver`; a read-only directory
refuses every change, in itself and in whatever is opened through it; each object owns one descriptor and closes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Final, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.path import O_PATH, Parent, Resolver, resolver
from wardian.capability.filesystem.types import (
    FROM_MODE,
    Advice,
    Directory,
    Entry,
    FileStat,
    FileType,
    NewTimes,
    Opened,
    OpenMode,
)
from wardian.capability.poll import Waiter

_INT64_MAX: Final = (1 << 63) - 1
_ALWAYS: Final = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
# O_NONBLOCK: opening a FIFO must not wait for its other end. Regular files ignore it; others wait in the Waiter.

_ADVICE: Final = MappingProxyType(
    {
        Advice.NORMAL: getattr(os, "POSIX_FADV_NORMAL", None),
        Advice.SEQUENTIAL: getattr(os, "POSIX_FADV_SEQUENTIAL", None),
        Advice.RANDOM: getattr(os, "POSIX_FADV_RANDOM", None),
        Advice.WILL_NEED: getattr(os, "POSIX_FADV_WILLNEED", None),
        Advice.DONT_NEED: getattr(os, "POSIX_FADV_DONTNEED", None),
        Advice.NO_REUSE: getattr(os, "POSIX_FADV_NOREUSE", None),
    }
)


def open_directory(path: str | int, *, readonly: bool = False) -> HostDirectory:
    """The host directory ``path``, named by the embedder and thus trusted. Raises ``OSError``.

    A number is the descriptor of one, which is taken over; nothing but what lies beneath it need be reachable then.
    """
    fd = path if isinstance(path, int) else os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return HostDirectory(fd, resolver(fd), readonly)


def _file_stat(found: os.stat_result) -> FileStat:
    return FileStat(
        found.st_dev,
        found.st_ino,
        FROM_MODE.get(stat.S_IFMT(found.st_mode), FileType.UNKNOWN),
        found.st_nlink,
        found.st_size,
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _merged(times: NewTimes, found: os.stat_result) -> tuple[int, int]:
    """Both times, in the order of ``os.utime``."""
    return (
        found.st_atime_ns if times.accessed is None else times.accessed,
        found.st_mtime_ns if times.modified is None else times.modified,
    )


def _refuse(readonly: bool) -> None:
    if readonly:
        raise CapabilityError(Errno.PERMISSION)


def _offset(value: int) -> int:
    if value > _INT64_MAX:
        raise CapabilityError(Errno.INVALID)
    return value


def _open_flags(mode: OpenMode) -> int:
    flags = _ALWAYS
    if mode.write:
        flags |= os.O_RDWR if mode.read else os.O_WRONLY
    wanted = (
        (mode.create, os.O_CREAT),
        (mode.exclusive, os.O_EXCL),
        (not mode.follow, os.O_NOFOLLOW),
        (mode.append, os.O_APPEND),
        (mode.sync, os.O_SYNC),
        (mode.data_sync, os.O_DSYNC),
        (mode.read_sync, getattr(os, "O_RSYNC", os.O_SYNC)),
    )
    for on, flag in wanted:
        if on:
            flags |= flag
    if mode.truncate:
        # Truncating needs the right to write; what the guest may do with the descriptor is decided above this layer.
        flags = (flags & ~(os.O_WRONLY | os.O_RDWR)) | os.O_TRUNC | (os.O_RDWR if mode.read else os.O_WRONLY)
    return flags


@final
class HostFile:
    """An open file of the host."""

    __slots__ = ("_blocking", "_fd", "_readonly", "poll_fd", "type")

    def __init__(self, fd: int, type_: FileType, readonly: bool) -> None:
        """Takes over ``fd``, which is in non-blocking mode."""
        self._fd = fd
        self._readonly = readonly
        self._blocking = True
        self.type = type_
        self.poll_fd: int | None = None if type_ is FileType.REGULAR else fd

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        while True:
            try:
                return os.readv(self._fd, buffers)
            except BlockingIOError:
                if not self._blocking:
                    raise
                waiter.readable(self._fd)

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        while True:
            try:
                return os.writev(self._fd, buffers)
            except BlockingIOError:
                if not self._blocking:
                    raise
                waiter.writable(self._fd)

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.preadv(self._fd, buffers, _offset(offset))

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwritev(self._fd, buffers, _offset(offset))

    def seek(self, offset: int, whence: int) -> int:
        return os.lseek(self._fd, offset, whence)

    def available(self) -> int:
        if self.type is FileType.REGULAR:
            return max(0, os.fstat(self._fd).st_size - os.lseek(self._fd, 0, os.SEEK_CUR))
        try:
            (count,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0" * 4))
        except OSError:
            return 1
        return int(count)

    def fileno(self) -> int:
        """The host's descriptor, which stays this object's to close."""
        return self._fd

    @property
    def blocking(self) -> bool:
        """Whether a read or write that cannot be done at once waits."""
        return self._blocking

    def wait_readable(self, waiter: Waiter) -> None:
        """Wait until a read would not block. Raises ``CapabilityError`` (again) if this does not wait."""
        if not self._blocking:
            raise CapabilityError(Errno.AGAIN)
        waiter.readable(self._fd)

    def wait_writable(self, waiter: Waiter) -> None:
        """Wait until a write would not block. Raises as :meth:`wait_readable`."""
        if not self._blocking:
            raise CapabilityError(Errno.AGAIN)
        waiter.writable(self._fd)

    def stat(self) -> FileStat:
        return _file_stat(os.fstat(self._fd))

    def set_size(self, size: int) -> None:
        _refuse(self._readonly)
        os.ftruncate(self._fd, _offset(size))

    def set_times(self, times: NewTimes) -> None:
        _refuse(self._readonly)
        os.utime(self._fd, ns=_merged(times, os.fstat(self._fd)))

    def set_append(self, append: bool) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_APPEND if append else flags & ~os.O_APPEND)

    def set_blocking(self, blocking: bool) -> None:
        self._blocking = blocking

    def allocate(self, offset: int, length: int) -> None:
        _refuse(self._readonly)
        if offset + length > _INT64_MAX:
            raise CapabilityError(Errno.FILE_TOO_BIG)
        os.posix_fallocate(self._fd, offset, length)

    def advise(self, offset: int, length: int, advice: Advice) -> None:
        _offset(offset + length)
        number = _ADVICE[advice]
        if number is not None:
            os.posix_fadvise(self._fd, offset, length, number)

    def sync(self, data_only: bool) -> None:
        (os.fdatasync if data_only else os.fsync)(self._fd)

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@final
class HostDirectory:
    """An open directory of the host."""

    __slots__ = ("_fd", "_resolver", "readonly")

    def __init__(self, fd: int, resolver: Resolver, readonly: bool) -> None:
        """Takes over ``fd``, which is open for reading."""
        self._fd = fd
        self._resolver = resolver
        self.readonly = readonly

    def open(self, path: bytes, mode: OpenMode) -> Opened:
        """Open ``path``. Raises ``CapabilityError`` (permission) if this directory is read-only and ``mode`` is not."""
        _refuse(self.readonly and (mode.write or mode.create or mode.truncate))
        fd = self._resolver.open(self._fd, path, _open_flags(mode), 0o666)
        try:
            type_ = FROM_MODE.get(stat.S_IFMT(os.fstat(fd).st_mode), FileType.UNKNOWN)
        except OSError:
            os.close(fd)
            raise
        if mode.directory and type_ is not FileType.DIRECTORY:
            # Not left to O_DIRECTORY, which calls a link that is not to be followed no directory, rather than a loop.
            os.close(fd)
            raise CapabilityError(Errno.NOT_DIRECTORY)
        if type_ is FileType.DIRECTORY:
            return Opened(None, HostDirectory(fd, self._resolver, self.readonly))
        return Opened(HostFile(fd, type_, self.readonly), None)

    def entries(self) -> Iterator[Entry]:
        """Each entry, in the order of the host. What is created or removed meanwhile may or may not show."""
        # A descriptor of its own, since the position of a directory belongs to the open file description.
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._fd)
        try:
            with os.scandir(fd) as found:
                for entry in found:
                    # An entry that has to be looked at is looked up in `fd`, which is why that stays open.
                    yield Entry(os.fsencode(entry.name), entry.inode(), _entry_type(entry))
        finally:
            os.close(fd)

    def stat(self) -> FileStat:
        return _file_stat(os.fstat(self._fd))

    def stat_path(self, path: bytes, follow: bool) -> FileStat:
        fd = self._resolver.open(self._fd, path, O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            return _file_stat(os.fstat(fd))
        finally:
            os.close(fd)

    def set_times(self, times: NewTimes) -> None:
        _refuse(self.readonly)
        os.utime(self._fd, ns=_merged(times, os.fstat(self._fd)))

    def set_times_path(self, path: bytes, times: NewTimes, follow: bool) -> None:
        _refuse(self.readonly)
        if follow or path.endswith(b"/") or not self._is_link(path):
            fd = self._open_any(path)
            try:
                os.utime(fd, ns=_merged(times, os.fstat(fd)))
            finally:
                os.close(fd)
            return
        with self._parent(path) as at:
            found = os.stat(at.name, dir_fd=at.fd, follow_symlinks=False)
            os.utime(at.name, ns=_merged(times, found), dir_fd=at.fd, follow_symlinks=False)

    def create_directory(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._parent(path) as at:
            os.mkdir(at.name, 0o777, dir_fd=at.fd)

    def remove_directory(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._parent(path) as at:
            os.rmdir(at.name, dir_fd=at.fd)

    def unlink(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._parent(path) as at:
            if at.slash or at.name == b".":
                raise CapabilityError(Errno.IS_DIRECTORY if _is_directory(at) else Errno.NOT_DIRECTORY)
            os.unlink(at.name, dir_fd=at.fd)

    def read_link(self, path: bytes) -> bytes:
        """The text of a link; one that is absolute is refused, since it tells about the host."""
        if path.endswith(b"/"):
            os.close(self._resolver.open(self._fd, path, O_PATH | os.O_DIRECTORY))
            raise CapabilityError(Errno.INVALID)
        with self._parent(path) as at:
            target = os.readlink(at.name, dir_fd=at.fd)
        if target.startswith(b"/"):
            raise CapabilityError(Errno.PERMISSION)
        return target

    def symlink(self, target: bytes, path: bytes) -> None:
        """Make ``path`` a link to ``target``, which must be relative; where it leads is decided when it is followed."""
        _refuse(self.readonly)
        if b"\0" in target:
            raise CapabilityError(Errno.INVALID)
        if target.startswith(b"/"):
            raise CapabilityError(Errno.PERMISSION)
        with self._parent(path) as at:
            _no_slash(at)
            os.symlink(target, at.name, dir_fd=at.fd)

    def link(self, path: bytes, to: Directory, new_path: bytes) -> None:
        """Make ``new_path`` in ``to`` another name of the file ``path``; a link is not followed."""
        to = self._peer(to)
        with self._parent(path) as old, to._parent(new_path) as new:
            if old.slash and not _is_directory(old):
                raise CapabilityError(Errno.NOT_DIRECTORY)
            _no_slash(new)
            os.link(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd, follow_symlinks=False)

    def rename(self, path: bytes, to: Directory, new_path: bytes) -> None:
        """Give ``path`` the name ``new_path`` in ``to``, replacing what is there as ``rename(2)`` does."""
        to = self._peer(to)
        with self._parent(path) as old, to._parent(new_path) as new:
            if (old.slash or new.slash) and not _is_directory(old):
                raise CapabilityError(Errno.NOT_DIRECTORY)
            os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)

    def sync(self, data_only: bool) -> None:
        (os.fdatasync if data_only else os.fsync)(self._fd)

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _parent(self, path: bytes) -> AbstractContextManager[Parent]:
        return self._resolver.parent(self._fd, path)

    def _peer(self, other: Directory) -> HostDirectory:
        """The other side of a link or rename: of the same kind, both changeable."""
        if not isinstance(other, HostDirectory):
            raise CapabilityError(Errno.CROSS_DEVICE)
        _refuse(self.readonly or other.readonly)
        return other

    def _is_link(self, path: bytes) -> bool:
        """Is it a symbolic link? Only those have their times set by name, which isolated workers may not do."""
        with self._parent(path) as at:
            return stat.S_ISLNK(os.stat(at.name, dir_fd=at.fd, follow_symlinks=False).st_mode)

    def _open_any(self, path: bytes) -> int:
        """A descriptor good for setting times, whether the file can be read or only be written."""
        try:
            return self._resolver.open(self._fd, path, _ALWAYS | os.O_RDONLY)
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
        return self._resolver.open(self._fd, path, _ALWAYS | os.O_WRONLY)


def _entry_type(entry: os.DirEntry[str]) -> FileType:
    if entry.is_symlink():
        return FileType.SYMLINK
    if entry.is_dir(follow_symlinks=False):
        return FileType.DIRECTORY
    if entry.is_file(follow_symlinks=False):
        return FileType.REGULAR
    try:
        return FROM_MODE.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), FileType.UNKNOWN)
    except OSError:
        return FileType.UNKNOWN  # Removed meanwhile.


def _is_directory(at: Parent) -> bool:
    return stat.S_ISDIR(os.stat(at.name, dir_fd=at.fd, follow_symlinks=False).st_mode)


def _no_slash(at: Parent) -> None:
    """A new name that is no directory cannot end in a slash: it exists (``EEXIST``) or can never (``ENOENT``)."""
    if at.slash:
        os.stat(at.name, dir_fd=at.fd, follow_symlinks=False)
        raise CapabilityError(Errno.EXISTS)
