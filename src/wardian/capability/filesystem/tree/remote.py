"""Any fsspec file system as what lies beneath a tree; nothing of that package is imported here.

What is used of it: ``info(path)``, ``ls(path, detail=True)`` and ``cat_file(path)``, with sizes in bytes. A file is
fetched whole when it is opened. What the file system raises is the embedder's to see, but for ``OSError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Protocol, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.tree.lower import ROOT, Blob, BytesBlob
from wardian.capability.filesystem.types import Entry, FileStat, FileType

_TYPES: Final = {"file": FileType.REGULAR, "directory": FileType.DIRECTORY}
_TIMES: Final = ("mtime", "created", "last_modified", "LastModified", "updated")


class FileSystem(Protocol):
    """The part of ``fsspec.AbstractFileSystem`` that is used."""

    def info(self, path: str, /) -> dict[str, Any]: ...
    def ls(self, path: str, /, detail: bool = True) -> list[dict[str, Any]]: ...
    def cat_file(self, path: str, /) -> bytes: ...


@final
class RemoteLower:
    """``system`` from its path ``root`` on."""

    __slots__ = ("_root", "_system")
    loads = True

    def __init__(self, system: FileSystem, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def _path(self, path: bytes) -> str:
        if path == ROOT:
            return self._root
        try:
            return f"{self._root}/{path.decode()}" if self._root else path.decode()
        except UnicodeDecodeError:
            raise CapabilityError(Errno.ILLEGAL_SEQUENCE) from None

    def stat(self, path: bytes) -> FileStat | None:
        if path == ROOT:
            return FileStat(0, _inode(path), FileType.DIRECTORY, 1, 0, 0, 0, 0)
        try:
            found = self._system.info(self._path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        type_ = _TYPES.get(found.get("type", ""), FileType.UNKNOWN)
        size = found.get("size") or 0
        return FileStat(0, _inode(path), type_, 1, int(size), *(_modified(found),) * 3)

    def entries(self, path: bytes) -> Iterator[Entry]:
        own = self._path(path).strip("/")
        for found in self._system.ls(self._path(path), detail=True):
            full = str(found["name"]).rstrip("/")
            name = full.rpartition("/")[2].encode("utf-8", "surrogateescape")
            if full.strip("/") == own or name in (b"", b".", b"..") or b"\0" in name or len(name) > 255:
                continue
            whole = name if path == ROOT else path + b"/" + name
            yield Entry(name, _inode(whole), _TYPES.get(found.get("type", ""), FileType.UNKNOWN))

    def open(self, path: bytes) -> Blob:
        found = self.stat(path)
        content = self._system.cat_file(self._path(path))
        if found is None or len(content) != found.size:
            raise CapabilityError(Errno.STALE)  # What was promised is what has been counted.
        return BytesBlob(content)

    def read_link(self, path: bytes) -> bytes:
        raise CapabilityError(Errno.INVALID)

    def close(self) -> None:
        """The file system stays the embedder's."""


def _inode(path: bytes) -> int:
    return int.from_bytes(blake2b(path, digest_size=5).digest(), "big")


def _modified(found: dict[str, Any]) -> int:
    for key in _TIMES:
        value = found.get(key)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1e9)
        if isinstance(value, int | float):
            return int(value * 1e9)
    return 0
