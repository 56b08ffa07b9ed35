"""Guest memory as a system call sees it: the only way from a guest's pointer to bytes.

Invariant: no access goes outside the memory, and none is cut short silently; a range that does not lie wholly inside
fails with :attr:`Errno.FAULT` before anything is read or written. Pointers and lengths arrive as signed 32-bit
integers; every function here takes them so.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Final, Protocol, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.poll import Waiter
from wardian.wasi.p1.types import Struct

MASK: Final = 0xFFFF_FFFF
MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF

_MOST_BUFFERS: Final = 1024
MOST_BYTES: Final = 0x7FFF_F000  # As Linux: the count of one transfer fits a signed 32-bit integer.
_LONGEST_STRING: Final = 1 << 16

_PAIR: Final = Layout("<II")
unpack_pair: Final = _PAIR.unpack_from


class GuestMemory(Protocol):
    def view(self) -> memoryview:
        """All of the memory as it is now: writable, format ``B``. Taken afresh in every call, since it may grow."""


@final
class NoMemory:
    """What a context has before its guest has a memory: every pointer is bad."""

    __slots__ = ()

    def view(self) -> memoryview:
        return memoryview(bytearray())


def span(view: memoryview, pointer: int, length: int) -> memoryview:
    """The bytes ``[pointer, pointer + length)``. Raises :class:`CapabilityError` (fault) if not all are inside."""
    pointer &= MASK
    end = pointer + (length & MASK)
    if end > len(view):
        raise CapabilityError(Errno.FAULT)
    return view[pointer:end]


def place(view: memoryview, pointer: int, struct: Struct) -> int:
    """The offset at which ``struct`` can be read or written. Raises as :func:`span`."""
    pointer &= MASK
    if pointer + struct.size > len(view):
        raise CapabilityError(Errno.FAULT)
    return pointer


def string(view: memoryview, pointer: int, length: int) -> bytes:
    """A path: valid UTF-8, as WASI has it. Raises fault, illegal sequence or, far beyond any limit, name too long."""
    length &= MASK
    found = span(view, pointer, length)
    if length > _LONGEST_STRING:
        raise CapabilityError(Errno.NAME_TOO_LONG)
    path = bytes(found)
    try:
        path.decode()
    except UnicodeDecodeError:
        raise CapabilityError(Errno.ILLEGAL_SEQUENCE) from None
    return path


def buffers(view: memoryview, pointer: int, count: int, waiter: Waiter) -> list[memoryview]:
    """The first non-empty buffers of an array of ``count`` iovecs: at most 1024 of them, and less than 2 GiB.

    The rest of a longer array is for the guest's next call: a transfer may always be short.
    """
    size = len(view)
    pointer &= MASK
    end = pointer + 8 * (count & MASK)
    if end > size:
        raise CapabilityError(Errno.FAULT)
    found: list[memoryview] = []
    room = MOST_BYTES
    for index, (start, length) in enumerate(_PAIR.iter_unpack(view[pointer:end])):
        if not length:
            if index & 0xFFFF == 0xFFFF:
                waiter.check()
            continue
        if start + length > size:
            raise CapabilityError(Errno.FAULT)
        found.append(view[start : start + min(length, room)])
        room -= length
        if room <= 0 or len(found) == _MOST_BUFFERS:
            break
    return found
