"""Sockets that the embedder opened: listeners and connections. Nothing here opens one of its own accord.

Invariant: a guest gets a socket by being granted one, or by accepting on one; each object owns one descriptor and
closes it, and waits only in its :class:`~wardian.capability.poll.Waiter`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.host import HostFile
from wardian.capability.filesystem.types import FileType
from wardian.capability.poll import Waiter

_SHUT: Final = (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)


@final
class HostSocket:
    """A socket of the host. ``file`` is the same as something to read from and write to."""

    __slots__ = ("_socket", "datagram", "file")

    def __init__(self, found: socket.socket) -> None:
        """Takes over ``found``."""
        found.setblocking(False)
        self._socket = found
        self.datagram = found.type == socket.SOCK_DGRAM
        # The descriptor has two users here and one owner: the file, which closes it.
        self.file = HostFile(found.detach(), FileType.SOCKET, False)
        self._socket = socket.socket(found.family, found.type, found.proto, fileno=self.file.fileno())

    def accept(self, waiter: Waiter) -> HostSocket:
        """The next connection. Raises ``CapabilityError`` or ``OSError``: ``EINVAL`` if this is no listener."""
        while True:
            try:
                return HostSocket(self._socket.accept()[0])
            except BlockingIOError:
                self.file.wait_readable(waiter)

    def receive(
        self, buffers: Sequence[memoryview], waiter: Waiter, *, peek: bool, wait_all: bool
    ) -> tuple[int, bool]:
        """Fill ``buffers``: with what is there, or ``wait_all``; how much, and whether a datagram was cut short."""
        total = 0
        flags = socket.MSG_PEEK if peek else 0
        left = list(buffers)
        while True:
            try:
                # No room for ancillary data: descriptors that somebody passes along are closed by the kernel.
                count, _, found, _ = self._socket.recvmsg_into(left, 0, flags)
            except BlockingIOError:
                if total and not self.file.blocking:
                    return total, False
                self.file.wait_readable(waiter)
                continue
            total += count
            left = _after(left, count)
            if not left or not count or not wait_all or peek or self.datagram:
                return total, bool(found & socket.MSG_TRUNC)

    def send(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        while True:
            try:
                return self._socket.sendmsg(buffers, (), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self.file.wait_writable(waiter)

    def shutdown(self, read: bool, write: bool) -> None:
        if not (read or write):
            raise CapabilityError(Errno.INVALID)
        self._socket.shutdown(_SHUT[2 if read and write else 1 if write else 0])

    def close(self) -> None:
        """A second call does nothing."""
        self._socket.detach()
        self.file.close()


def _after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of ``buffers`` when the first ``count`` bytes are filled."""
    for index, buffer in enumerate(buffers):
        if count < len(buffer):
            return [buffer[count:], *buffers[index + 1 :]]
        count -= len(buffer)
    return []


def from_descriptor(fd: int) -> HostSocket:
    """A copy of the host's descriptor ``fd``, which stays the caller's to close. Raises ``OSError`` if it is none."""
    copy = os.dup(fd)
    try:
        found = socket.socket(fileno=copy)
    except BaseException:
        os.close(copy)
        raise
    return HostSocket(found)
