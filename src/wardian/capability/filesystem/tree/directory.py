"""Directories and files of a tree as capabilities: the same contract as those of the host.

Invariants: what a path reaches is decided by :mod:`~wardian.capability.filesystem.tree.lookup`; a read-only directory
refuses every change, in itself and in whatever is opened through it. Each call holds the tree's lock, so several guests
may use one tree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.path import PATH_MAX
from wardian.capability.filesystem.tree.lookup import Place, parent, resolve
from wardian.capability.filesystem.tree.volume import AnyNode, DirNode, FileNode, LinkNode, Volume
from wardian.capability.filesystem.types import (
    Advice,
    Directory,
    Entry,
    FileStat,
    FileType,
    NewTimes,
    Opened,
    OpenMode,
)
from wardian.capability.poll import Waiter

_INT64_MAX: Final = (1 << 63) - 1


def _refuse(readonly: bool) -> None:
    if readonly:
        raise CapabilityError(Errno.PERMISSION)


def _offset(value: int) -> int:
    if not 0 <= value <= _INT64_MAX:
        raise CapabilityError(Errno.INVALID)
    return value


@final
class Mount:
    """A tree as one guest sees it: ``now`` stamps what it changes, ``device`` is the number of new files' device."""

    __slots__ = ("device", "now", "volume")

    def __init__(self, volume: Volume, now: Callable[[], int], device: int) -> None:
        self.volume = volume
        self.now = now
        self.device = device

    def stat(self, node: AnyNode) -> FileStat:
        found = self.volume.stat(node)
        return found if found.device else found._replace(device=self.device)


@final
class TreeFile:
    """An open file of a tree."""

    __slots__ = ("_append", "_lock", "_mount", "_node", "_open", "_position", "_readable", "_readonly", "_writable")
    type = FileType.REGULAR
    poll_fd = None

    def __init__(self, mount: Mount, node: FileNode, mode: OpenMode, readonly: bool) -> None:
        """``node`` has been opened, and is closed with this."""
        self._mount = mount
        self._lock = mount.volume.lock
        self._node = node
        self._readable = mode.read
        self._writable = mode.write or mode.truncate
        self._readonly = readonly
        self._append = mode.append
        self._position = 0
        self._open = True

    def read(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        with self._lock:
            count = self._read(buffers, self._position)
            self._position += count
        return count

    def read_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        with self._lock:
            return self._read(buffers, _offset(offset))

    def _read(self, buffers: Sequence[memoryview], offset: int) -> int:
        if not self._readable:
            raise CapabilityError(Errno.BAD_FD)
        data = self._node.data
        if data is None:
            return self._node.blob.read_at(buffers, offset) if self._node.blob is not None else 0
        start = offset
        view = memoryview(data)
        for buffer in buffers:
            piece = view[offset : offset + len(buffer)]
            buffer[: len(piece)] = piece
            offset += len(piece)
        return offset - start

    def write(self, buffers: Sequence[memoryview], waiter: Waiter) -> int:
        with self._lock:
            offset = self._mount.volume.size(self._node) if self._append else self._position
            count = self._write(buffers, offset)
            self._position = offset + count
        return count

    def write_at(self, buffers: Sequence[memoryview], offset: int) -> int:
        with self._lock:
            # As on Linux: what is open for appending appends here, too.
            return self._write(buffers, self._mount.volume.size(self._node) if self._append else _offset(offset))

    def _write(self, buffers: Sequence[memoryview], offset: int) -> int:
        if not self._writable:
            raise CapabilityError(Errno.BAD_FD)
        volume, node = self._mount.volume, self._node
        data = volume.own(node)
        size = len(data)
        end = offset + sum(map(len, buffers))
        if end > size:
            wanted, end = end, volume.quota.most(size, end)
            if end <= offset:
                full = volume.quota.file_size <= offset
                raise CapabilityError(Errno.FILE_TOO_BIG if full else Errno.NO_SPACE)
            if wanted == end and offset == size:
                volume.append(data, buffers, end - size)
                volume.touch(node, self._mount.now())
                return end - offset
            volume.extend(data, end)
        at = offset
        with memoryview(data) as view:
            for buffer in buffers:
                piece = buffer[: end - at]
                view[at : at + len(piece)] = piece
                at += len(piece)
        volume.touch(node, self._mount.now())
        return at - offset

    def seek(self, offset: int, whence: int) -> int:
        with self._lock:
            base = 0
            if whence == os.SEEK_CUR:
                base = self._position
            elif whence == os.SEEK_END:
                base = self._mount.volume.size(self._node)
            self._position = _offset(base + offset)
        return self._position

    def available(self) -> int:
        with self._lock:
            return max(0, self._mount.volume.size(self._node) - self._position)

    def stat(self) -> FileStat:
        with self._lock:
            return self._mount.stat(self._node)

    def set_size(self, size: int) -> None:
        _refuse(self._readonly)
        if not self._writable:
            raise CapabilityError(Errno.INVALID)
        with self._lock:
            self._mount.volume.resize(self._node, _offset(size), self._mount.now())

    def set_times(self, times: NewTimes) -> None:
        _refuse(self._readonly)
        with self._lock:
            self._mount.volume.set_times(self._node, times, self._mount.now())

    def set_append(self, append: bool) -> None:
        self._append = append

    def set_blocking(self, blocking: bool) -> None:
        """Nothing here blocks."""

    def allocate(self, offset: int, length: int) -> None:
        _refuse(self._readonly)
        if offset + length > _INT64_MAX:
            raise CapabilityError(Errno.FILE_TOO_BIG)
        if not length:
            raise CapabilityError(Errno.INVALID)
        if not self._writable:
            raise CapabilityError(Errno.BAD_FD)
        with self._lock:
            if offset + length > self._mount.volume.size(self._node):
                self._mount.volume.resize(self._node, offset + length, self._mount.now())

    def advise(self, offset: int, length: int, advice: Advice) -> None:
        """Advice changes nothing here."""
        _offset(offset + length)

    def sync(self, data_only: bool) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """A second call does nothing."""
        with self._lock:
            if self._open:
                self._open = False
                self._mount.volume.close(self._node)


@final
class TreeDirectory:
    """An open directory of a tree."""

    __slots__ = ("_lock", "_mount", "_node", "readonly")

    def __init__(self, mount: Mount, node: DirNode, readonly: bool) -> None:
        self._mount = mount
        self._lock = mount.volume.lock
        self._node = node
        self.readonly = readonly

    def open(self, path: bytes, mode: OpenMode) -> Opened:
        """Open ``path``. Raises ``CapabilityError`` (permission) if this directory is read-only and ``mode`` is not."""
        _refuse(self.readonly and (mode.write or mode.create or mode.truncate))
        with self._lock:
            node = self._to_open(path, mode)
            if isinstance(node, DirNode):
                return Opened(None, TreeDirectory(self._mount, node, self.readonly))
            volume = self._mount.volume
            volume.open(node)
            try:
                if mode.truncate:
                    volume.resize(node, 0, self._mount.now())
            except BaseException:
                volume.close(node)
                raise
            return Opened(TreeFile(self._mount, node, mode, self.readonly), None)

    def _to_open(self, path: bytes, mode: OpenMode) -> FileNode | DirNode:
        exclusive = mode.create and mode.exclusive
        if mode.create and path.endswith(b"/"):
            self._parent(path)
            raise CapabilityError(Errno.IS_DIRECTORY)
        place = self._resolve(path, mode.follow and not exclusive)
        node = place.node
        if node is None and mode.create:
            if place.slash:
                raise CapabilityError(Errno.IS_DIRECTORY)
            node = self._mount.volume.new_file(self._mount.now())
            self._attach(place, node)
            return node
        if node is not None and exclusive:
            raise CapabilityError(Errno.EXISTS)
        node = place.existing()
        if isinstance(node, LinkNode):
            raise CapabilityError(Errno.LOOP)
        if isinstance(node, DirNode):
            if mode.write or mode.create or mode.truncate:
                raise CapabilityError(Errno.IS_DIRECTORY)
            return node
        if mode.directory:
            raise CapabilityError(Errno.NOT_DIRECTORY)
        if not isinstance(node, FileNode):
            raise CapabilityError(Errno.NO_SUCH_DEVICE)
        return node

    def entries(self) -> Iterator[Entry]:
        """Each entry. What is created or removed meanwhile may or may not show."""
        return self._mount.volume.entries(self._node)

    def stat(self) -> FileStat:
        with self._lock:
            return self._mount.stat(self._node)

    def stat_path(self, path: bytes, follow: bool) -> FileStat:
        with self._lock:
            return self._mount.stat(self._resolve(path, follow).existing())

    def set_times(self, times: NewTimes) -> None:
        _refuse(self.readonly)
        with self._lock:
            self._mount.volume.set_times(self._node, times, self._mount.now())

    def set_times_path(self, path: bytes, times: NewTimes, follow: bool) -> None:
        _refuse(self.readonly)
        with self._lock:
            node = self._resolve(path, follow).existing()
            self._mount.volume.set_times(node, times, self._mount.now())

    def create_directory(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._lock:
            place = self._parent(path)
            if place.node is not None:
                raise CapabilityError(Errno.EXISTS)
            self._attach(place, self._mount.volume.new_directory(self._mount.now()))

    def remove_directory(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._lock:
            place = self._parent(path)
            if place.name == b".":
                raise CapabilityError(Errno.INVALID)
            node = place.existing()
            if not isinstance(node, DirNode):
                raise CapabilityError(Errno.NOT_DIRECTORY)
            if not self._mount.volume.is_empty(node):
                raise CapabilityError(Errno.NOT_EMPTY)
            self._mount.volume.detach(place.directory, place.name, node, self._mount.now())

    def unlink(self, path: bytes) -> None:
        _refuse(self.readonly)
        with self._lock:
            place = self._parent(path)
            node = place.existing()
            if isinstance(node, DirNode):
                raise CapabilityError(Errno.IS_DIRECTORY)
            self._mount.volume.detach(place.directory, place.name, node, self._mount.now())

    def read_link(self, path: bytes) -> bytes:
        """The text of a link; one that is absolute is refused, as on the host."""
        with self._lock:
            place = self._resolve(path, False)
            node = place.existing()
            if not isinstance(node, LinkNode):
                raise CapabilityError(Errno.INVALID)
            target = self._mount.volume.target(node)
        if target.startswith(b"/"):
            raise CapabilityError(Errno.PERMISSION)
        return target

    def symlink(self, target: bytes, path: bytes) -> None:
        """Make ``path`` a link to ``target``, which must be relative; where it leads is decided when it is followed."""
        _refuse(self.readonly)
        if b"\0" in target:
            raise CapabilityError(Errno.INVALID)
        if target.startswith(b"/"):
            raise CapabilityError(Errno.PERMISSION)
        with self._lock:
            place = self._parent(path)
            if not target:
                raise CapabilityError(Errno.NO_ENTRY)
            if len(target) >= PATH_MAX:
                raise CapabilityError(Errno.NAME_TOO_LONG)
            _free(place)
            self._attach(place, self._mount.volume.new_link(target, self._mount.now()))

    def link(self, path: bytes, to: Directory, new_path: bytes) -> None:
        """Make ``new_path`` in ``to`` another name of the file ``path``; a link is not followed."""
        to = self._peer(to)
        with self._lock:
            old, new = self._parent(path), to._parent(new_path)
            if old.slash:
                old.existing()
            if new.slash:
                _free(new)  # Of several errors, the one that a host reports.
            node = old.existing()
            _free(new)
            if isinstance(node, DirNode):
                raise CapabilityError(Errno.PERMISSION)
            self._attach(new, node)

    def rename(self, path: bytes, to: Directory, new_path: bytes) -> None:
        """Give ``path`` the name ``new_path`` in ``to``, replacing what is there as ``rename(2)`` does."""
        to = self._peer(to)
        with self._lock:
            old, new = self._parent(path), to._parent(new_path)
            if (old.slash or new.slash) and not isinstance(old.existing(), DirNode):
                raise CapabilityError(Errno.NOT_DIRECTORY)
            if b"." in (old.name, new.name):
                raise CapabilityError(Errno.BUSY)
            node = old.existing()
            new.check_name()
            if isinstance(node, DirNode) and _is_within(new.directory, node):
                raise CapabilityError(Errno.INVALID)
            if isinstance(new.node, DirNode) and _is_within(old.directory, new.node):
                raise CapabilityError(Errno.NOT_EMPTY)
            if node is new.node:
                return
            self._check_replaced(node, new.node)
            self._mount.volume.move(old.directory, old.name, node, new.directory, new.name, self._mount.now())

    def _check_replaced(self, node: AnyNode, replaced: AnyNode | None) -> None:
        if replaced is None:
            return
        if isinstance(replaced, DirNode):
            if not isinstance(node, DirNode):
                raise CapabilityError(Errno.IS_DIRECTORY)
            if not self._mount.volume.is_empty(replaced):
                raise CapabilityError(Errno.NOT_EMPTY)
        elif isinstance(node, DirNode):
            raise CapabilityError(Errno.NOT_DIRECTORY)

    def sync(self, data_only: bool) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _attach(self, place: Place, node: AnyNode) -> None:
        place.check_name()
        self._mount.volume.attach(place.directory, place.name, node, self._mount.now())

    def _resolve(self, path: bytes, follow: bool) -> Place:
        return resolve(self._mount.volume, self._node, path, follow=follow)

    def _parent(self, path: bytes) -> Place:
        return parent(self._mount.volume, self._node, path)

    def _peer(self, other: Directory) -> TreeDirectory:
        """The other side of a link or rename: of the same tree, both changeable."""
        _refuse(self.readonly or other.readonly)
        if not isinstance(other, TreeDirectory) or other._mount.volume is not self._mount.volume:
            raise CapabilityError(Errno.CROSS_DEVICE)
        return other


def _free(place: Place) -> None:
    """A new name that is no directory: it is not there yet, and has no slash behind it."""
    if place.node is not None:
        raise CapabilityError(Errno.EXISTS)
    place.check_name()
    if place.slash:
        raise CapabilityError(Errno.NO_ENTRY)


def _is_within(directory: DirNode, above: DirNode) -> bool:
    here: DirNode | None = directory
    while here is not None:
        if here is above:
            return True
        here = here.parent
    return False
