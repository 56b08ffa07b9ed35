"""The types of ``wasi_snapshot_preview1.witx`` (and where preview 0 differs): structs as rows, flags, enumerations.

Invariant: a :class:`Struct` is laid out exactly as its row says; padding is written as zeros, never as what lay there.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, final

from wardian.record import NamedTuple

_CODES: Final = {"u8": ("B", 1), "u16": ("H", 2), "u32": ("I", 4), "u64": ("Q", 8), "s64": ("q", 8)}


@final
class Struct:
    """A struct of the ABI: ``fields`` are rows of name, offset and type; ``pack_into``/``unpack_from`` take and give
    the values in the order of the rows. They check nothing: the caller checks the range first.
    """

    __slots__ = ("align", "fields", "name", "pack", "pack_into", "size", "unpack_from")

    def __init__(self, name: str, size: int, align: int, fields: tuple[tuple[str, int, str], ...]) -> None:
        self.name = name
        self.size = size
        self.align = align
        self.fields = fields
        codes = "<"
        position = 0
        for _, offset, kind in fields:
            code, width = _CODES[kind]
            codes += f"{offset - position}x{code}"
            position = offset + width
        layout = struct.Struct(f"{codes}{size - position}x")
        self.pack = layout.pack
        self.pack_into = layout.pack_into
        self.unpack_from = layout.unpack_from

    def named(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The values with their names."""
        return {name: value for (name, _, _), value in zip(self.fields, values, strict=True)}


IOVEC: Final = Struct("iovec", 8, 4, (("buf", 0, "u32"), ("buf_len", 4, "u32")))
FDSTAT: Final = Struct("fdstat", 24, 8, (
    ("fs_filetype", 0, "u8"), ("fs_flags", 2, "u16"), ("fs_rights_base", 8, "u64"), ("fs_rights_inheriting", 16, "u64"),
))
FILESTAT: Final = Struct("filestat", 64, 8, (
    ("dev", 0, "u64"), ("ino", 8, "u64"), ("filetype", 16, "u8"), ("nlink", 24, "u64"), ("size", 32, "u64"),
    ("atim", 40, "u64"), ("mtim", 48, "u64"), ("ctim", 56, "u64"),
))
FILESTAT_0: Final = Struct("filestat", 56, 8, (
    ("dev", 0, "u64"), ("ino", 8, "u64"), ("filetype", 16, "u8"), ("nlink", 20, "u32"), ("size", 24, "u64"),
    ("atim", 32, "u64"), ("mtim", 40, "u64"), ("ctim", 48, "u64"),
))
DIRENT: Final = Struct("dirent", 24, 8, (
    ("d_next", 0, "u64"), ("d_ino", 8, "u64"), ("d_namlen", 16, "u32"), ("d_type", 20, "u8"),
))
PRESTAT: Final = Struct("prestat", 8, 4, (("tag", 0, "u8"), ("pr_name_len", 4, "u32")))
SUBSCRIPTION: Final = Struct("subscription", 48, 8, (
    ("userdata", 0, "u64"), ("tag", 8, "u8"), ("id", 16, "u32"), ("timeout", 24, "u64"), ("precision", 32, "u64"),
    ("flags", 40, "u16"),
))
"""A subscription read as one of a clock; ``id`` is the descriptor where the tag tells of one."""
SUBSCRIPTION_0: Final = Struct("subscription", 56, 8, (
    ("userdata", 0, "u64"), ("tag", 8, "u8"), ("id", 24, "u32"), ("timeout", 32, "u64"), ("precision", 40, "u64"),
    ("flags", 48, "u16"),
))
"""Preview 0 has one more ``userdata`` in front of a clock's ``id``."""
SUBSCRIPTION_FD: Final = 16
"""Where the descriptor stands in a subscription of one, in either preview."""
EVENT: Final = Struct("event", 32, 8, (
    ("userdata", 0, "u64"), ("error", 8, "u16"), ("type", 10, "u8"), ("nbytes", 16, "u64"), ("flags", 24, "u16"),
))
U16: Final = Struct("u16", 2, 2, (("value", 0, "u16"),))
U32: Final = Struct("u32", 4, 4, (("value", 0, "u32"),))
U64: Final = Struct("u64", 8, 8, (("value", 0, "u64"),))

STRUCTS: Final = (IOVEC, FDSTAT, FILESTAT, DIRENT, PRESTAT, SUBSCRIPTION, EVENT)
STRUCTS_0: Final = (FILESTAT_0, SUBSCRIPTION_0)


class Filetype(IntEnum):
    UNKNOWN = 0
    BLOCK_DEVICE = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4
    SOCKET_DGRAM = 5
    SOCKET_STREAM = 6
    SYMBOLIC_LINK = 7


class EventType(IntEnum):
    CLOCK = 0
    FD_READ = 1
    FD_WRITE = 2


class Rights:
    """Plain integers, as descriptors keep their rights in one."""

    NONE: Final = 0
    FD_DATASYNC: Final = 1 << 0
    FD_READ: Final = 1 << 1
    FD_SEEK: Final = 1 << 2
    FD_FDSTAT_SET_FLAGS: Final = 1 << 3
    FD_SYNC: Final = 1 << 4
    FD_TELL: Final = 1 << 5
    FD_WRITE: Final = 1 << 6
    FD_ADVISE: Final = 1 << 7
    FD_ALLOCATE: Final = 1 << 8
    PATH_CREATE_DIRECTORY: Final = 1 << 9
    PATH_CREATE_FILE: Final = 1 << 10
    PATH_LINK_SOURCE: Final = 1 << 11
    PATH_LINK_TARGET: Final = 1 << 12
    PATH_OPEN: Final = 1 << 13
    FD_READDIR: Final = 1 << 14
    PATH_READLINK: Final = 1 << 15
    PATH_RENAME_SOURCE: Final = 1 << 16
    PATH_RENAME_TARGET: Final = 1 << 17
    PATH_FILESTAT_GET: Final = 1 << 18
    PATH_FILESTAT_SET_SIZE: Final = 1 << 19
    PATH_FILESTAT_SET_TIMES: Final = 1 << 20
    FD_FILESTAT_GET: Final = 1 << 21
    FD_FILESTAT_SET_SIZE: Final = 1 << 22
    FD_FILESTAT_SET_TIMES: Final = 1 << 23
    PATH_SYMLINK: Final = 1 << 24
    PATH_REMOVE_DIRECTORY: Final = 1 << 25
    PATH_UNLINK_FILE: Final = 1 << 26
    POLL_FD_READWRITE: Final = 1 << 27
    SOCK_SHUTDOWN: Final = 1 << 28
    SOCK_ACCEPT: Final = 1 << 29


DIRECTORY_RIGHTS: Final = (
    Rights.PATH_CREATE_DIRECTORY | Rights.PATH_CREATE_FILE | Rights.PATH_LINK_SOURCE | Rights.PATH_LINK_TARGET
    | Rights.PATH_OPEN | Rights.FD_READDIR | Rights.PATH_READLINK | Rights.PATH_RENAME_SOURCE
    | Rights.PATH_RENAME_TARGET | Rights.PATH_SYMLINK | Rights.PATH_REMOVE_DIRECTORY | Rights.PATH_UNLINK_FILE
    | Rights.PATH_FILESTAT_GET | Rights.PATH_FILESTAT_SET_TIMES | Rights.FD_FILESTAT_GET
    | Rights.FD_FILESTAT_SET_TIMES
)
"""What can be done with a directory; programs (wasi-libc) expect a preopened one to have exactly these."""

INHERITING_RIGHTS: Final = (
    DIRECTORY_RIGHTS | Rights.FD_DATASYNC | Rights.FD_READ | Rights.FD_SEEK | Rights.FD_FDSTAT_SET_FLAGS
    | Rights.FD_SYNC | Rights.FD_TELL | Rights.FD_WRITE | Rights.FD_ADVISE | Rights.FD_ALLOCATE
    | Rights.FD_FILESTAT_SET_SIZE | Rights.POLL_FD_READWRITE
)
"""What can be done with whatever is opened beneath a preopened directory."""


SOCKET_RIGHTS: Final = (
    Rights.FD_READ | Rights.FD_WRITE | Rights.FD_FDSTAT_SET_FLAGS | Rights.FD_FILESTAT_GET | Rights.POLL_FD_READWRITE
    | Rights.SOCK_SHUTDOWN | Rights.SOCK_ACCEPT
)
"""What can be done with a socket."""


class Oflags:
    """Plain integers, as the other flags below: combining members of an enumeration costs a microsecond each."""

    CREAT: Final = 1
    DIRECTORY: Final = 2
    EXCL: Final = 4
    TRUNC: Final = 8
    ALL: Final = 15


class Fdflags:
    APPEND: Final = 1
    DSYNC: Final = 2
    NONBLOCK: Final = 4
    RSYNC: Final = 8
    SYNC: Final = 16
    ALL: Final = 31


class Fstflags:
    ATIM: Final = 1
    ATIM_NOW: Final = 2
    MTIM: Final = 4
    MTIM_NOW: Final = 8
    ALL: Final = 15


LOOKUP_SYMLINK_FOLLOW: Final = 1
SUBCLOCK_ABSTIME: Final = 1
EVENT_HANGUP: Final = 1


class Preview(NamedTuple):
    """Where the two ABIs that share the table differ.

    ``whence`` maps the guest's number to the host's ``SEEK_SET``, ``SEEK_CUR``, ``SEEK_END``; ``lacks`` names the
    functions that the ABI does not have.
    """

    module: str
    filestat: Struct
    subscription: Struct
    whence: tuple[int, int, int]
    lacks: frozenset[str]


PREVIEW_1: Final = Preview("wasi_snapshot_preview1", FILESTAT, SUBSCRIPTION, (0, 1, 2), frozenset())
PREVIEW_0: Final = Preview("wasi_unstable", FILESTAT_0, SUBSCRIPTION_0, (1, 2, 0), frozenset({"sock_accept"}))
PREVIEWS: Final = (PREVIEW_1, PREVIEW_0)
