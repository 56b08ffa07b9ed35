"""Zip and tar archives as what lies beneath a tree: names at once, contents when a file is opened.

Invariants: a member whose name leads out of the tree is an error, never written anywhere; a member is read only if it
is as large as it says, and no further.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from calendar import timegm
from collections.abc import Callable
from threading import Lock
from typing import IO, Final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.tree.lower import Index, Item
from wardian.capability.filesystem.types import FileType

_DAMAGE: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""How the readers say that a member is damaged, encrypted or of a kind they do not know."""


def index(archive: str | os.PathLike[str] | IO[bytes]) -> Index:
    """The archive: a zip, or a tar, compressed or not. Raises ``OSError``, and ``ValueError`` if it is neither.

    A file object stays the caller's to close.
    """
    if zipfile.is_zipfile(archive):
        return _zip(zipfile.ZipFile(archive))
    if not isinstance(archive, str | os.PathLike):
        archive.seek(0)
    try:
        if isinstance(archive, str | os.PathLike):
            return _tar(tarfile.open(archive))
        return _tar(tarfile.open(fileobj=archive))
    except tarfile.ReadError:
        raise ValueError(f"neither a zip nor a tar archive: {archive}") from None


def _limited(lock: Lock, size: int, opened: Callable[[], IO[bytes] | None]) -> Callable[[], bytes]:
    def load() -> bytes:
        try:
            with lock:
                file = opened()
                if file is None:
                    raise CapabilityError(Errno.IO)
                with file:
                    return file.read(size + 1)
        except _DAMAGE:
            raise CapabilityError(Errno.IO) from None

    return load


def _zip(archive: zipfile.ZipFile) -> Index:
    found = Index(loads=True, close=archive.close)
    lock = Lock()
    try:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            modified = timegm((*member.date_time, 0, 0, 0)) * 1_000_000_000
            size = member.file_size
            load = _limited(lock, size, lambda member=member: archive.open(member))  # type: ignore[misc]
            if member.is_dir():
                item = Item(FileType.DIRECTORY, modified=modified)
            elif stat.S_ISLNK(mode):
                if size >= 4096:
                    raise ValueError(f"{member.filename!r}: the text of the link is too long")
                item = Item(FileType.SYMLINK, modified=modified, target=_target(load, member.filename))
            else:
                item = Item(FileType.REGULAR, size=size, modified=modified, load=load)
            found.add(member.filename, item)
    except BaseException:
        archive.close()
        raise
    return found


def _target(load: Callable[[], bytes], name: str) -> bytes:
    try:
        return load()
    except CapabilityError:
        raise ValueError(f"{name!r}: the archive is damaged") from None


def _tar(archive: tarfile.TarFile) -> Index:
    found = Index(loads=True, close=archive.close)
    lock = Lock()
    try:
        for member in archive:
            modified = int(member.mtime * 1_000_000_000)
            if member.isdir():
                found.add(member.name, Item(FileType.DIRECTORY, modified=modified))
            elif member.issym():
                target = os.fsencode(member.linkname)
                found.add(member.name, Item(FileType.SYMLINK, modified=modified, target=target))
            elif member.isreg() or member.islnk():
                source = archive.getmember(member.linkname) if member.islnk() else member
                load = _limited(lock, source.size, lambda source=source: archive.extractfile(source))  # type: ignore[misc]
                found.add(member.name, Item(FileType.REGULAR, size=source.size, modified=modified, load=load))
    except (*_DAMAGE, KeyError) as error:
        archive.close()
        raise ValueError(f"the archive is damaged: {error}") from None
    except BaseException:
        archive.close()
        raise
    return found
