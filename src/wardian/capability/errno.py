"""The errors a capability answers with: POSIX's names, our own numbers, and the one table from the host's ``errno``.

Invariant: a capability fails with :class:`CapabilityError` or with the ``OSError`` of a system call, nothing else;
:func:`reason` turns either into a member of :class:`Errno`.
"""

from __future__ import annotations

import errno as host
from enum import Enum, unique
from types import MappingProxyType
from typing import Final, final


@final
@unique
class Errno(Enum):
    """Why an operation did not happen; the value is what to tell a human."""

    TOO_BIG = "argument list too long"
    ACCESS = "permission denied"
    AGAIN = "resource unavailable, try again"
    ALREADY = "already in progress"
    BAD_FD = "bad file descriptor"
    BUSY = "device or resource busy"
    DEADLOCK = "resource deadlock would occur"
    DOMAIN = "argument out of domain"
    QUOTA = "disk quota exceeded"
    EXISTS = "file exists"
    FAULT = "bad address"
    FILE_TOO_BIG = "file too large"
    ILLEGAL_SEQUENCE = "illegal byte sequence"
    IN_PROGRESS = "operation in progress"
    INTERRUPTED = "interrupted"
    INVALID = "invalid argument"
    IO = "input/output error"
    IS_DIRECTORY = "is a directory"
    LOOP = "too many levels of symbolic links"
    TOO_MANY_OPEN = "too many open files"
    TOO_MANY_LINKS = "too many links"
    MESSAGE_SIZE = "message too long"
    NAME_TOO_LONG = "file name too long"
    TOO_MANY_OPEN_SYSTEM = "too many open files in system"
    NO_DEVICE = "no such device"
    NO_ENTRY = "no such file or directory"
    NO_LOCKS = "no locks available"
    NO_MEMORY = "not enough space"
    NO_SPACE = "no space left on device"
    NOT_IMPLEMENTED = "function not supported"
    NOT_DIRECTORY = "not a directory"
    NOT_EMPTY = "directory not empty"
    NOT_RECOVERABLE = "state not recoverable"
    NOT_SOCKET = "not a socket"
    NOT_SUPPORTED = "not supported"
    NOT_TTY = "inappropriate control operation"
    NO_SUCH_DEVICE = "no such device or address"
    OVERFLOW = "value too large"
    OWNER_DEAD = "previous owner died"
    PERMISSION = "operation not permitted"
    PIPE = "broken pipe"
    RANGE = "result too large"
    READ_ONLY = "read-only file system"
    ILLEGAL_SEEK = "illegal seek"
    STALE = "stale file handle"
    TIMED_OUT = "connection timed out"
    TEXT_BUSY = "text file busy"
    CROSS_DEVICE = "cross-device link"
    NOT_CAPABLE = "capabilities insufficient"


@final
class CapabilityError(Exception):
    """An operation refused or failed; ``reason`` says why."""

    def __init__(self, reason: Errno) -> None:
        self.reason = reason
        super().__init__(reason.value)


FROM_HOST: Final = MappingProxyType(
    {
        host.E2BIG: Errno.TOO_BIG,
        host.EACCES: Errno.ACCESS,
        host.EAGAIN: Errno.AGAIN,
        host.EALREADY: Errno.ALREADY,
        host.EBADF: Errno.BAD_FD,
        host.EBUSY: Errno.BUSY,
        host.EDEADLK: Errno.DEADLOCK,
        host.EDOM: Errno.DOMAIN,
        host.EDQUOT: Errno.QUOTA,
        host.EEXIST: Errno.EXISTS,
        host.EFAULT: Errno.FAULT,
        host.EFBIG: Errno.FILE_TOO_BIG,
        host.EILSEQ: Errno.ILLEGAL_SEQUENCE,
        host.EINPROGRESS: Errno.IN_PROGRESS,
        host.EINTR: Errno.INTERRUPTED,
        host.EINVAL: Errno.INVALID,
        host.EIO: Errno.IO,
        host.EISDIR: Errno.IS_DIRECTORY,
        host.ELOOP: Errno.LOOP,
        host.EMFILE: Errno.TOO_MANY_OPEN,
        host.EMLINK: Errno.TOO_MANY_LINKS,
        host.EMSGSIZE: Errno.MESSAGE_SIZE,
        host.ENAMETOOLONG: Errno.NAME_TOO_LONG,
        host.ENFILE: Errno.TOO_MANY_OPEN_SYSTEM,
        host.ENODEV: Errno.NO_DEVICE,
        host.ENOENT: Errno.NO_ENTRY,
        host.ENOLCK: Errno.NO_LOCKS,
        host.ENOMEM: Errno.NO_MEMORY,
        host.ENOSPC: Errno.NO_SPACE,
        host.ENOSYS: Errno.NOT_IMPLEMENTED,
        host.ENOTDIR: Errno.NOT_DIRECTORY,
        host.ENOTEMPTY: Errno.NOT_EMPTY,
        host.ENOTSOCK: Errno.NOT_SOCKET,
        host.EOPNOTSUPP: Errno.NOT_SUPPORTED,
        host.ENOTTY: Errno.NOT_TTY,
        host.ENXIO: Errno.NO_SUCH_DEVICE,
        host.EOVERFLOW: Errno.OVERFLOW,
        host.EPERM: Errno.PERMISSION,
        host.EPIPE: Errno.PIPE,
        host.ERANGE: Errno.RANGE,
        host.EROFS: Errno.READ_ONLY,
        host.ESPIPE: Errno.ILLEGAL_SEEK,
        host.ESTALE: Errno.STALE,
        host.ETIMEDOUT: Errno.TIMED_OUT,
        host.ETXTBSY: Errno.TEXT_BUSY,
        host.EXDEV: Errno.CROSS_DEVICE,
    }
)
"""The host's error numbers; one that is not listed is :attr:`Errno.IO`."""


def reason(error: CapabilityError | OSError) -> Errno:
    """Why the operation failed."""
    if isinstance(error, CapabilityError):
        return error.reason
    return FROM_HOST.get(error.errno or 0, Errno.IO)
