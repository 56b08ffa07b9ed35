"""Byte streams: nothing, bytes in memory, a bounded capture, a descriptor of the host.

Invariant: a stream never blocks but in its :class:`~wardian.capability.poll.Waiter`, and never keeps a buffer it was
given after the call. A stream that changes what passes (a filter, a quota) is a wrapper with the same two methods.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from wardian.capability.errno import CapabilityError
from wardian.capability.poll import Waiter

_CALL: Final = 1 << 20  # Bytes given to a function at a time, or asked of it.
_CHUNK: Final = 4096  # A pipe that is ready for writing takes this much (PIPE_BUF) without blocking.


class InputStream(Protocol):
    @property
    def terminal(self) -> bool:
        """Whether a human may sit at the other end."""

    @property
    def poll_fd(self) -> int | None:
        """The descriptor to wait for before a read; ``None`` if a read never blocks."""

    def available(self) -> int:
        """How many bytes can be read now, as far as known."""

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        """Fill the non-empty ``buffers`` in order, return the number of bytes; 0 means the end."""


class OutputStream(Protocol):
    @property
    def terminal(self) -> bool:
        """Whether a human may sit at the other end."""

    @property
    def poll_fd(self) -> int | None:
        """The descriptor to wait for before a write; ``None`` if a write never blocks."""

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        """Write from the non-empty ``buffers`` in order, return the number of bytes taken: at least one."""


@final
class NullInput:
    """At its end at once."""

    __slots__ = ()
    terminal = False
    poll_fd = None

    def available(self) -> int:
        return 0

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        return 0


@final
class BytesInput:
    """Reads from ``content``."""

    __slots__ = ("_content", "_position")
    terminal = False
    poll_fd = None

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._position = 0

    def available(self) -> int:
        return len(self._content) - self._position

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        start = self._position
        for buffer in buffers:
            piece = self._content[self._position : self._position + len(buffer)]
            buffer[: len(piece)] = piece
            self._position += len(piece)
        return self._position - start


@final
class CallInput:
    """Reads what ``function`` returns, which is called with the number of bytes wanted; none at all is the end."""

    __slots__ = ("_function", "_rest")
    terminal = False
    poll_fd = None

    def __init__(self, function: Callable[[int], bytes]) -> None:
        self._function = function
        self._rest = memoryview(b"")

    def available(self) -> int:
        return len(self._rest) or 1

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        if not self._rest:
            # Copied: nobody else can change it then.
            self._rest = memoryview(bytes(self._function(min(sum(map(len, buffers)), _CALL))))
        done = 0
        for buffer in buffers:
            piece = self._rest[: len(buffer)]
            buffer[: len(piece)] = piece
            self._rest = self._rest[len(piece) :]
            done += len(piece)
        return done


@final
class HostInput:
    """Reads the host's descriptor ``fd``, which stays the caller's to close."""

    __slots__ = ("_fd", "poll_fd", "terminal")

    def __init__(self, fd: int) -> None:
        """Raises ``OSError`` if ``fd`` is not open."""
        self._fd = fd
        self.poll_fd: int | None = None if stat.S_ISREG(os.fstat(fd).st_mode) else fd
        self.terminal = os.isatty(fd)

    def available(self) -> int:
        try:
            import termios  # Here, as hardly a guest asks.

            (count,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0" * 4))
        except OSError:
            return 1
        return int(count)

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        while True:
            if self.poll_fd is not None:
                waiter.readable(self.poll_fd)
            try:
                return os.readv(self._fd, buffers)
            except BlockingIOError:
                # Another reader of a non-blocking descriptor was quicker: wait again.
                waiter.check()


@final
class NullOutput:
    """Takes everything, keeps nothing."""

    __slots__ = ()
    terminal = False
    poll_fd = None

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        return sum(map(len, buffers))


@final
class CaptureOutput:
    """Keeps the first ``limit`` bytes; ``truncated`` tells that there were more. The writer never notices."""

    __slots__ = ("_content", "_limit", "truncated")
    terminal = False
    poll_fd = None

    def __init__(self, limit: int) -> None:
        self._content = bytearray()
        self._limit = limit
        self.truncated = False

    @property
    def value(self) -> bytes:
        """What was written so far, up to the limit."""
        return bytes(self._content)

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        total = 0
        content = self._content
        for buffer in buffers:
            size = len(buffer)
            room = self._limit - len(content)
            if size > room:
                self.truncated = True
                buffer = buffer[:room]
            content += buffer
            total += size
        return total


@final
class LimitedOutput:
    """Lets the first ``limit`` bytes through to ``stream``; ``truncated`` tells that there were more. The writer never
    notices."""

    __slots__ = ("_room", "_stream", "poll_fd", "terminal", "truncated")

    def __init__(self, stream: OutputStream, limit: int) -> None:
        self._stream = stream
        self._room = limit
        self.truncated = False
        self.terminal = stream.terminal
        self.poll_fd = stream.poll_fd

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        total = sum(map(len, buffers))
        passing: Sequence[memoryview] = buffers
        if total > self._room:
            room, passing = self._room, []
            for buffer in buffers:
                passing.append(buffer[:room])
                room -= len(passing[-1])
        written = self._stream.write(passing, waiter) if self._room else 0
        self._room -= written
        if self._room or total == written:
            return written
        self.truncated = True
        return total


@final
class CallOutput:
    """Gives what is written to ``function``; what that returns does not matter."""

    __slots__ = ("_function",)
    terminal = False
    poll_fd = None

    def __init__(self, function: Callable[[bytes], object]) -> None:
        self._function = function

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        piece = bytes(buffers[0][:_CALL])
        for buffer in buffers[1:]:
            if len(piece) >= _CALL:
                break
            piece += buffer[: _CALL - len(piece)]
        self._function(piece)
        return len(piece)


@final
class HostOutput:
    """Writes to the host's descriptor ``fd``, which stays the caller's to close."""

    __slots__ = ("_fd", "poll_fd", "terminal")

    def __init__(self, fd: int, terminal: bool | None = None) -> None:
        """``terminal`` says whether a human sits at the other end. Raises ``OSError`` if ``fd`` is not open."""
        self._fd = fd
        self.poll_fd: int | None = None if stat.S_ISREG(os.fstat(fd).st_mode) else fd
        self.terminal = os.isatty(fd) if terminal is None else terminal

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        if self.poll_fd is None:
            return os.writev(self._fd, buffers)
        total = 0
        for buffer in buffers:
            done = 0
            while done < len(buffer):
                try:
                    waiter.writable(self.poll_fd)
                    done += os.write(self._fd, buffer[done : done + _CHUNK])
                except BlockingIOError:
                    waiter.check()
                except (CapabilityError, OSError):
                    # What already left cannot be taken back: report it, the error comes with the next call.
                    if total + done:
                        return total + done
                    raise
            total += done
        return total
