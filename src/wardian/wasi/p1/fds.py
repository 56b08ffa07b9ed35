"""The guest's descriptors: small numbers standing for streams, files and directories, each with its rights.

Rights only ever shrink. A new descriptor has what its kind and the way it was opened allow, within what the directory
it was opened through lets it inherit; ``fd_fdstat_set_rights`` takes away, never gives.

Invariant: every capability object held here is closed exactly once, by closing or replacing its number or by
:meth:`Fds.close`; the host's own descriptors behind the standard streams are never closed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.types import Directory, Entry, File, FileType
from wardian.capability.poll import Waiter
from wardian.capability.stream import InputStream, OutputStream
from wardian.wasi.p1.types import DIRECTORY_RIGHTS, INHERITING_RIGHTS, SOCKET_RIGHTS, Fdflags, Filetype, Rights

if TYPE_CHECKING:
    from wardian.capability.socket import HostSocket  # Loaded when a socket is granted: few guests have one.

Transfer: TypeAlias = Callable[[Sequence[memoryview], Waiter], int]

FILETYPES: Final = (
    Filetype.UNKNOWN,
    Filetype.BLOCK_DEVICE,
    Filetype.CHARACTER_DEVICE,
    Filetype.DIRECTORY,
    Filetype.REGULAR_FILE,
    Filetype.SOCKET_STREAM,
    Filetype.UNKNOWN,  # Preview 1 has no number for a FIFO.
    Filetype.SYMBOLIC_LINK,
)
"""Preview 1's type of a file, indexed by :class:`FileType`."""

_READ: Final = int(Rights.FD_READ)
_WRITE: Final = int(Rights.FD_WRITE)


@final
class Listing:
    """Reads a directory in pieces. A *cookie* counts entries; ``.`` and ``..`` come first.

    Going on from where the last piece began is cheap; going back further lists anew. Entries are kept for one piece.
    """

    __slots__ = ("_directory", "_entries", "_first", "_recent")

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._recent: list[Entry] = []
        self._first = 0
        self._entries = self._all()

    def close(self) -> None:
        """Let go of the host's directory, which a listing that was not read to its end holds."""
        self._entries.close()

    def _all(self) -> Generator[Entry, None, None]:
        inode = self._directory.stat().inode
        yield Entry(b".", inode, FileType.DIRECTORY)
        yield Entry(b"..", inode, FileType.DIRECTORY)
        yield from self._directory.entries()

    def seek(self, cookie: int) -> Iterator[tuple[int, Entry]]:
        """The entries from ``cookie`` on, each with the cookie of the next one."""
        if cookie < self._first or cookie == 0:
            self._recent.clear()
            self._first = 0
            self._entries.close()
            self._entries = self._all()
        known = min(cookie - self._first, len(self._recent))
        del self._recent[:known]
        self._first += known
        while self._first < cookie and next(self._entries, None) is not None:
            self._first += 1
        return self._from_here(cookie)

    def _from_here(self, cookie: int) -> Iterator[tuple[int, Entry]]:
        while True:
            index = cookie - self._first
            if index == len(self._recent):
                entry = next(self._entries, None)
                if entry is None:
                    return
                self._recent.append(entry)
            elif index > len(self._recent):
                return
            cookie += 1
            yield cookie, self._recent[index]


@final
class Descriptor:
    """One open descriptor: exactly one of ``input``, ``output``, ``file``, ``directory`` is set; of a socket, ``file``.

    ``read`` and ``write`` are what the rights leave of the transfers; ``preopen`` is the name of a preopened directory.
    """

    __slots__ = (
        "base", "directory", "file", "flags", "inheriting", "input", "listing", "output", "preopen", "read", "socket",
        "type", "write",
    )

    def __init__(self, type_: int, base: int, inheriting: int, flags: int = 0) -> None:
        self.type = type_
        self.base = base
        self.inheriting = inheriting
        self.flags = flags
        self.input: InputStream | None = None
        self.output: OutputStream | None = None
        self.file: File | None = None
        self.directory: Directory | None = None
        self.socket: HostSocket | None = None
        self.listing: Listing | None = None
        self.preopen: bytes | None = None
        self.read: Transfer | None = None
        self.write: Transfer | None = None

    def limit(self, base: int, inheriting: int) -> None:
        """Set the rights, and with them what :attr:`read` and :attr:`write` are."""
        self.base = base
        self.inheriting = inheriting
        source = self.input or self.file
        sink = self.output or self.file
        self.read = source.read if source is not None and base & _READ else None
        self.write = sink.write if sink is not None and base & _WRITE else None

    def need(self, rights: int) -> None:
        """Raise :class:`CapabilityError` (not capable) unless all ``rights`` are held."""
        if self.base & rights != rights:
            raise CapabilityError(Errno.NOT_CAPABLE)

    def close(self) -> None:
        """Close what the descriptor owns: files and directories, not the standard streams."""
        if self.listing is not None:
            self.listing.close()
        owned = self.socket or self.file or self.directory
        if owned is not None:
            owned.close()


def input_descriptor(stream: InputStream) -> Descriptor:
    new = Descriptor(Filetype.CHARACTER_DEVICE if stream.terminal else Filetype.UNKNOWN, 0, 0)
    new.input = stream
    new.limit(_READ, _READ)
    return new


def output_descriptor(stream: OutputStream) -> Descriptor:
    new = Descriptor(Filetype.CHARACTER_DEVICE if stream.terminal else Filetype.UNKNOWN, 0, 0)
    new.output = stream
    new.limit(_WRITE, _WRITE)
    return new


def directory_descriptor(directory: Directory, inheriting: int, preopen: bytes | None = None) -> Descriptor:
    new = Descriptor(Filetype.DIRECTORY, 0, 0)
    new.directory = directory
    new.preopen = preopen
    new.limit(int(DIRECTORY_RIGHTS) & inheriting, inheriting)
    return new


def file_descriptor(file: File, inheriting: int, flags: int, read: bool, write: bool) -> Descriptor:
    new = Descriptor(FILETYPES[file.type], 0, 0, flags)
    new.file = file
    rights = inheriting & ~((0 if read else _READ) | (0 if write else _WRITE))
    new.limit(rights, rights)
    if flags & Fdflags.NONBLOCK:
        file.set_blocking(False)
    return new


def socket_descriptor(socket: HostSocket, inheriting: int, flags: int = 0) -> Descriptor:
    new = Descriptor(Filetype.SOCKET_DGRAM if socket.datagram else Filetype.SOCKET_STREAM, 0, 0, flags)
    new.socket = socket
    new.file = socket.file
    new.limit(int(SOCKET_RIGHTS) & inheriting, inheriting)
    socket.file.set_blocking(not flags & Fdflags.NONBLOCK)
    return new


def preopen_descriptor(directory: Directory, name: bytes) -> Descriptor:
    return directory_descriptor(directory, int(INHERITING_RIGHTS), name)


@final
class Fds:
    """The table. ``entries`` is the same dictionary for the whole life of the table."""

    __slots__ = ("_free", "_limit", "_next", "entries", "refused")

    def __init__(self, limit: int) -> None:
        self.entries: dict[int, Descriptor] = {}
        self._free: list[int] = []
        self._next = 0
        self._limit = limit
        self.refused = False
        """Was there one too many?"""

    def insert(self, descriptor: Descriptor) -> int:
        """Give ``descriptor`` the lowest free number. Raises :class:`CapabilityError` (too many open files)."""
        if len(self.entries) >= self._limit:
            self.refused = True
            raise CapabilityError(Errno.TOO_MANY_OPEN)
        return self.grant(descriptor)

    def grant(self, descriptor: Descriptor) -> int:
        """Like :meth:`insert`, for what the embedder gives: the limit is on what the guest opens itself."""
        if self._free:
            fd = heapq.heappop(self._free)
        else:
            fd = self._next
            self._next += 1
        self.entries[fd] = descriptor
        return fd

    def get(self, fd: int) -> Descriptor:
        """Raises :class:`CapabilityError` (bad file descriptor)."""
        found = self.entries.get(fd)
        if found is None:
            raise CapabilityError(Errno.BAD_FD)
        return found

    def file(self, fd: int, rights: int) -> File:
        """The file ``fd``, if it has ``rights``; a stream or a directory is a bad descriptor here."""
        found = self.get(fd)
        if found.file is None:
            raise CapabilityError(Errno.BAD_FD)
        found.need(rights)
        return found.file

    def directory(self, fd: int, rights: int) -> Directory:
        """The directory ``fd``, if it has ``rights``; anything else is a bad descriptor here."""
        found = self.get(fd)
        if found.directory is None:
            raise CapabilityError(Errno.BAD_FD)
        found.need(rights)
        return found.directory

    def remove(self, fd: int) -> None:
        """Close ``fd`` and free its number."""
        found = self.get(fd)
        del self.entries[fd]
        heapq.heappush(self._free, fd)
        found.close()

    def renumber(self, source: int, target: int) -> None:
        """Let ``target``, which must be open and is closed, stand for what ``source`` stood for."""
        moved = self.get(source)
        replaced = self.get(target)
        if source == target:
            return
        del self.entries[source]
        heapq.heappush(self._free, source)
        self.entries[target] = moved
        replaced.close()

    def close(self) -> None:
        """Close everything."""
        while self.entries:
            self.entries.popitem()[1].close()
