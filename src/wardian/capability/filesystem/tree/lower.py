"""What lies beneath a tree and is only read: nothing, files in memory, an archive, a directory of the host.

A path here is relative, in bytes, made of the names the tree above has looked up itself, ``b"."`` being the root.

Invariant: nothing here is ever changed through a tree, and no link is followed: resolving paths is the tree's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.types import Directory, Entry, File, FileStat, FileType, OpenMode

ROOT: Final = b"."


def join(directory: bytes, name: bytes) -> bytes:
    return name if directory == ROOT else directory + b"/" + name


class Blob(Protocol):
    """The contents of an open file beneath."""

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int: ...
    def close(self) -> None: ...


class Lower(Protocol):
    """Every method raises ``CapabilityError`` or ``OSError``."""

    @property
    def loads(self) -> bool:
        """Whether an open file is held in memory (which then counts as the tree's)."""

    def stat(self, path: bytes) -> FileStat | None:
        """What ``path`` is, itself; ``None`` if there is nothing."""

    def entries(self, path: bytes) -> Iterator[Entry]: ...
    def open(self, path: bytes) -> Blob: ...
    def read_link(self, path: bytes) -> bytes: ...
    def close(self) -> None: ...


@final
class HostLower:
    """A directory of the host, granted for reading only."""

    __slots__ = ("_directory",)
    loads = False

    def __init__(self, directory: Directory) -> None:
        """Takes over ``directory``."""
        self._directory = directory

    def stat(self, path: bytes) -> FileStat | None:
        try:
            return self._directory.stat_path(path, False)
        except FileNotFoundError:
            return None

    def entries(self, path: bytes) -> Iterator[Entry]:
        opened = self._directory.open(path, OpenMode(directory=True)).directory
        if opened is None:
            raise CapabilityError(Errno.NOT_DIRECTORY)
        try:
            yield from opened.entries()
        finally:
            opened.close()

    def open(self, path: bytes) -> File:
        opened = self._directory.open(path, OpenMode())
        if opened.file is not None:
            if opened.file.type is FileType.REGULAR:
                return opened.file
            opened.file.close()
        if opened.directory is not None:
            opened.directory.close()
        raise CapabilityError(Errno.STALE)  # Another process put something else into its place.

    def read_link(self, path: bytes) -> bytes:
        return self._directory.read_link(path)

    def close(self) -> None:
        self._directory.close()


@final
class BytesBlob:
    """Contents that are in memory."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        start = offset
        for buffer in buffers:
            piece = self._content[offset : offset + len(buffer)]
            buffer[: len(piece)] = piece
            offset += len(piece)
        return offset - start

    def close(self) -> None:
        self._content = memoryview(b"")


@final
class Item:
    """One file, directory or link of an :class:`Index`. ``load`` gives a file's contents, ``size`` bytes of them."""

    __slots__ = ("children", "inode", "load", "modified", "size", "target", "type")

    def __init__(
        self,
        type_: FileType,
        *,
        size: int = 0,
        modified: int = 0,
        target: bytes = b"",
        load: Callable[[], bytes] | None = None,
    ) -> None:
        self.type = type_
        self.size = size
        self.modified = modified
        self.target = target
        self.load = load
        self.inode = 0
        self.children: dict[bytes, Item] = {}

    def stat(self) -> FileStat:
        times = (self.modified,) * 3
        return FileStat(1, self.inode, self.type, 1, self.size or len(self.target), *times)


@final
class Index:
    """A tree known in advance, by name; contents are had when a file is opened."""

    __slots__ = ("_close", "_count", "_root", "loads")

    def __init__(self, *, loads: bool = False, close: Callable[[], None] | None = None) -> None:
        self.loads = loads
        self._close = close
        self._count = 1
        self._root = Item(FileType.DIRECTORY)
        self._root.inode = 1

    def add(self, path: str, item: Item) -> None:
        """Put ``item`` at ``path``, with directories above it as needed; a later one takes an earlier one's place.

        Raises ``ValueError`` for a path that no tree can have.
        """
        parts = components(path)
        if not parts:
            if item.type is not FileType.DIRECTORY:
                raise ValueError(f"a tree cannot have anything but a directory at {path!r}")
            self._root.modified = item.modified
            return
        here = self._root
        for name in parts[:-1]:
            here = self._child(here, name, Item(FileType.DIRECTORY, modified=item.modified), path)
        known = here.children.get(parts[-1])
        if known is not None and known.type is FileType.DIRECTORY and item.type is FileType.DIRECTORY:
            known.modified = item.modified
            return
        if known is not None and known.children:
            raise ValueError(f"{path!r} is both a directory and something else")
        self._number(item)
        here.children[parts[-1]] = item

    def _child(self, directory: Item, name: bytes, new: Item, path: str) -> Item:
        found = directory.children.get(name)
        if found is None:
            self._number(new)
            directory.children[name] = found = new
        if found.type is not FileType.DIRECTORY:
            raise ValueError(f"{path!r}: {name.decode('utf-8', 'replace')!r} is not a directory")
        return found

    def _number(self, item: Item) -> None:
        self._count += 1
        item.inode = self._count

    def find(self, path: bytes) -> Item | None:
        here: Item | None = self._root
        for name in () if path == ROOT else path.split(b"/"):
            here = here.children.get(name) if here is not None else None
        return here

    def _existing(self, path: bytes) -> Item:
        found = self.find(path)
        if found is None:
            raise CapabilityError(Errno.NO_ENTRY)
        return found

    def stat(self, path: bytes) -> FileStat | None:
        found = self.find(path)
        return None if found is None else found.stat()

    def entries(self, path: bytes) -> Iterator[Entry]:
        for name, item in self._existing(path).children.items():
            yield Entry(name, item.inode, item.type)

    def open(self, path: bytes) -> Blob:
        found = self._existing(path)
        if found.load is None:
            raise CapabilityError(Errno.NO_SUCH_DEVICE)
        content = found.load()
        if len(content) != found.size:
            raise CapabilityError(Errno.IO)  # What was promised is what has been counted.
        return BytesBlob(content)

    def read_link(self, path: bytes) -> bytes:
        target = self._existing(path).target
        if target.startswith(b"/"):
            raise CapabilityError(Errno.PERMISSION)
        return target

    def close(self) -> None:
        if self._close is not None:
            self._close()


def components(path: str) -> list[bytes]:
    """The names of a path that an embedder or an archive gives. Raises ``ValueError`` if no tree can have them."""
    parts = [part for part in path.encode("utf-8", "surrogateescape").split(b"/") if part not in (b"", b".")]
    for part in parts:
        if part == b".." or b"\0" in part:
            raise ValueError(f"{path!r} leads out of the tree, or is no path")
        if len(part) > 255:
            raise ValueError(f"{path!r} has a name of more than 255 bytes")
    return parts
