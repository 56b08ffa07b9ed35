"""The vocabulary of files: what kind there is, what is known of one, how to open one."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Final, Protocol, final

from wardian.capability.poll import Waiter
from wardian.record import NamedTuple


@final
class FileType(IntEnum):
    UNKNOWN = 0
    BLOCK_DEVICE = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR = 4
    SOCKET = 5
    FIFO = 6
    SYMLINK = 7


FROM_MODE: Final = MappingProxyType(
    {
        stat.S_IFBLK: FileType.BLOCK_DEVICE,
        stat.S_IFCHR: FileType.CHARACTER_DEVICE,
        stat.S_IFDIR: FileType.DIRECTORY,
        stat.S_IFREG: FileType.REGULAR,
        stat.S_IFSOCK: FileType.SOCKET,
        stat.S_IFIFO: FileType.FIFO,
        stat.S_IFLNK: FileType.SYMLINK,
    }
)


class FileStat(NamedTuple):
    """What is known of a file. Times are nanoseconds since 1970, and negative before it."""

    device: int
    inode: int
    type: FileType
    links: int
    size: int
    accessed: int
    modified: int
    changed: int


class Entry(NamedTuple):
    """One name in a directory; ``.`` and ``..`` are not among them."""

    name: bytes
    inode: int
    type: FileType


class Advice(IntEnum):
    NORMAL = 0
    SEQUENTIAL = 1
    RANDOM = 2
    WILL_NEED = 3
    DONT_NEED = 4
    NO_REUSE = 5


class OpenMode(NamedTuple):
    """How to open a path. ``follow`` concerns the last component only; those before it are always followed."""

    read: bool = True
    write: bool = False
    create: bool = False
    exclusive: bool = False
    truncate: bool = False
    directory: bool = False
    follow: bool = False
    append: bool = False
    sync: bool = False
    data_sync: bool = False
    read_sync: bool = False


class NewTimes(NamedTuple):
    """Times to set: nanoseconds since 1970, or ``None`` to leave one as it is."""

    accessed: int | None
    modified: int | None


class File(Protocol):
    """An open file that is no directory. Every method raises ``CapabilityError`` or ``OSError``."""

    @property
    def type(self) -> FileType: ...

    @property
    def poll_fd(self) -> int | None:
        """The descriptor to wait for where a read or write may block; ``None`` where it never does."""

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int: ...
    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int: ...
    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int: ...
    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int: ...
    def seek(self, offset: int, whence: int) -> int: ...
    def available(self) -> int: ...
    def stat(self) -> FileStat: ...
    def set_size(self, size: int) -> None: ...
    def set_times(self, times: NewTimes) -> None: ...
    def set_append(self, append: bool) -> None: ...
    def set_blocking(self, blocking: bool) -> None: ...
    def allocate(self, offset: int, length: int) -> None: ...
    def advise(self, offset: int, length: int, advice: Advice) -> None: ...
    def sync(self, data_only: bool) -> None: ...
    def close(self) -> None: ...


class Opened(NamedTuple):
    """What a path turned out to be: exactly one of the two is set."""

    file: File | None
    directory: Directory | None


class Directory(Protocol):
    """An open directory: paths are relative to it and cannot leave it. Methods raise as those of :class:`File`."""

    @property
    def readonly(self) -> bool: ...

    def open(self, path: bytes, mode: OpenMode) -> Opened: ...
    def entries(self) -> Iterator[Entry]: ...
    def stat(self) -> FileStat: ...
    def stat_path(self, path: bytes, follow: bool) -> FileStat: ...
    def set_times(self, times: NewTimes) -> None: ...
    def set_times_path(self, path: bytes, times: NewTimes, follow: bool) -> None: ...
    def create_directory(self, path: bytes) -> None: ...
    def remove_directory(self, path: bytes) -> None: ...
    def unlink(self, path: bytes) -> None: ...
    def read_link(self, path: bytes) -> bytes: ...
    def symlink(self, target: bytes, path: bytes) -> None: ...
    def link(self, path: bytes, to: Directory, new_path: bytes) -> None: ...
    def rename(self, path: bytes, to: Directory, new_path: bytes) -> None: ...
    def sync(self, data_only: bool) -> None: ...
    def close(self) -> None: ...
