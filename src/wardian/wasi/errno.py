"""A capability's errors as the numbers of WASI preview 1 (``errno`` in ``wasi_snapshot_preview1.witx``): one table."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.capability.errno import CapabilityError, Errno, reason

NUMBERS: Final = MappingProxyType({
    Errno.TOO_BIG: 1,
    Errno.ACCESS: 2,
    Errno.AGAIN: 6,
    Errno.ALREADY: 7,
    Errno.BAD_FD: 8,
    Errno.BUSY: 10,
    Errno.DEADLOCK: 16,
    Errno.DOMAIN: 18,
    Errno.QUOTA: 19,
    Errno.EXISTS: 20,
    Errno.FAULT: 21,
    Errno.FILE_TOO_BIG: 22,
    Errno.ILLEGAL_SEQUENCE: 25,
    Errno.IN_PROGRESS: 26,
    Errno.INTERRUPTED: 27,
    Errno.INVALID: 28,
    Errno.IO: 29,
    Errno.IS_DIRECTORY: 31,
    Errno.LOOP: 32,
    Errno.TOO_MANY_OPEN: 33,
    Errno.TOO_MANY_LINKS: 34,
    Errno.MESSAGE_SIZE: 35,
    Errno.NAME_TOO_LONG: 37,
    Errno.TOO_MANY_OPEN_SYSTEM: 41,
    Errno.NO_DEVICE: 43,
    Errno.NO_ENTRY: 44,
    Errno.NO_LOCKS: 46,
    Errno.NO_MEMORY: 48,
    Errno.NO_SPACE: 51,
    Errno.NOT_IMPLEMENTED: 52,
    Errno.NOT_DIRECTORY: 54,
    Errno.NOT_EMPTY: 55,
    Errno.NOT_RECOVERABLE: 56,
    Errno.NOT_SOCKET: 57,
    Errno.NOT_SUPPORTED: 58,
    Errno.NOT_TTY: 59,
    Errno.NO_SUCH_DEVICE: 60,
    Errno.OVERFLOW: 61,
    Errno.OWNER_DEAD: 62,
    Errno.PERMISSION: 63,
    Errno.PIPE: 64,
    Errno.RANGE: 68,
    Errno.READ_ONLY: 69,
    Errno.ILLEGAL_SEEK: 70,
    Errno.STALE: 72,
    Errno.TIMED_OUT: 73,
    Errno.TEXT_BUSY: 74,
    Errno.CROSS_DEVICE: 75,
    Errno.NOT_CAPABLE: 76,
})

SUCCESS: Final = 0
BADF: Final = NUMBERS[Errno.BAD_FD]
FAULT: Final = NUMBERS[Errno.FAULT]
INVAL: Final = NUMBERS[Errno.INVALID]
SPIPE: Final = NUMBERS[Errno.ILLEGAL_SEEK]
NOTCAPABLE: Final = NUMBERS[Errno.NOT_CAPABLE]


def number(error: CapabilityError | OSError) -> int:
    """The errno a guest gets for ``error``."""
    return NUMBERS[reason(error)]
