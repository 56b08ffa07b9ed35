"""The nodes of a tree and every change to them. What is not changed stays where it is, in the :class:`Lower`.

A node for something beneath is made when it is looked up, and forgotten when nobody holds it. What a guest changes is
*pinned*: held by the directory it is in, which is pinned in its turn. A name that was removed, but is there beneath, is
*hidden*. So the memory in use follows from what was changed and what is open, never from what lies beneath.

Invariants: contents in memory are counted in ``quota.bytes``, pinned and hidden names in ``quota.files``; whatever
may be refused is refused before anything has changed. Callers hold ``lock``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from threading import RLock
from typing import Final, TypeAlias, TypeVar, final
from weakref import WeakValueDictionary

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.quota import Quota
from wardian.capability.filesystem.tree.lower import ROOT, Blob, Lower, join
from wardian.capability.filesystem.types import Entry, FileStat, FileType, NewTimes

_KEPT: Final = 1024
"""Nodes looked up last that are remembered, so that a path need not be looked up again for each file in a folder."""
_FIRST_INODE: Final = 1 << 48
"""New nodes are numbered from here, beyond whatever a directory beneath is likely to have."""


class Node:
    """What all nodes have. ``lower`` is the path beneath, if any; ``times`` are accessed, modified, changed if set.

    ``parent`` and ``name`` are where it was found, or put last; above a pinned node all are pinned.
    """

    __slots__ = ("__weakref__", "device", "inode", "links", "lower", "name", "parent", "pinned", "times", "type")

    def __init__(self, type_: FileType, device: int, inode: int, lower: bytes | None) -> None:
        self.type = type_
        self.device = device
        self.inode = inode
        self.lower = lower
        self.links = 1
        self.times: tuple[int, int, int] | None = None
        self.parent: DirNode | None = None
        self.name = b""
        self.pinned = False


@final
class FileNode(Node):
    """A file: ``data`` once it has been changed, until then ``blob`` while it is open."""

    __slots__ = ("blob", "data", "loaded", "opens")

    def __init__(self, device: int, inode: int, lower: bytes | None) -> None:
        super().__init__(FileType.REGULAR, device, inode, lower)
        self.data: bytearray | None = bytearray() if lower is None else None
        self.blob: Blob | None = None
        self.loaded = 0
        self.opens = 0


@final
class LinkNode(Node):
    __slots__ = ("target",)

    def __init__(self, device: int, inode: int, lower: bytes | None, target: bytes | None) -> None:
        super().__init__(FileType.SYMLINK, device, inode, lower)
        self.target = target


@final
class OtherNode(Node):
    """A device, socket or FIFO beneath: it can be seen and removed, not opened."""

    __slots__ = ()


@final
class DirNode(Node):
    """A directory: ``names`` are pinned, ``hidden`` are gone though there beneath, ``seen`` have been looked up."""

    __slots__ = ("hidden", "names", "seen")

    def __init__(self, device: int, inode: int, lower: bytes | None) -> None:
        super().__init__(FileType.DIRECTORY, device, inode, lower)
        self.names: dict[bytes, AnyNode] = {}
        self.hidden: set[bytes] = set()
        self.seen: WeakValueDictionary[bytes, AnyNode] | None = None if lower is None else WeakValueDictionary()


AnyNode: TypeAlias = "FileNode | LinkNode | OtherNode | DirNode"
NodeType = TypeVar("NodeType", FileNode, LinkNode, DirNode)


@final
class Volume:
    """A whole tree. ``root`` is its top."""

    __slots__ = ("__weakref__", "_inodes", "_recent", "lock", "lower", "quota", "root")

    def __init__(self, lower: Lower, quota: Quota) -> None:
        self.lower = lower
        self.quota = quota
        self.lock = RLock()
        self._inodes = _FIRST_INODE
        self._recent: deque[AnyNode] = deque(maxlen=_KEPT)
        found = lower.stat(ROOT)
        device, inode = (0, 1) if found is None else (found.device, found.inode)
        self.root = DirNode(device, inode, ROOT)
        self.root.pinned = True

    # Looking.

    def find(self, directory: DirNode, name: bytes) -> AnyNode | None:
        """What ``name`` is in ``directory``; ``None`` if there is nothing."""
        node = directory.names.get(name)
        if node is not None or directory.seen is None or directory.lower is None or name in directory.hidden:
            return node
        node = directory.seen.get(name)
        if node is None:
            path = join(directory.lower, name)
            found = self.lower.stat(path)
            if found is None:
                return None
            node = _lower_node(found, path)
            node.parent, node.name = directory, name
            directory.seen[name] = node
            self._recent.append(node)
        return node

    def entries(self, directory: DirNode) -> Generator[Entry, None, None]:
        """The entries as they are now, and those beneath as they come."""
        with self.lock:
            pinned = [Entry(name, node.inode, node.type) for name, node in directory.names.items()]
            lower, hidden = directory.lower, {*directory.hidden, *directory.names}
        yield from pinned
        if lower is not None:
            for entry in self.lower.entries(lower):
                if entry.name not in hidden:
                    yield entry

    def is_empty(self, directory: DirNode) -> bool:
        entries = self.entries(directory)
        try:
            return next(entries, None) is None
        finally:
            entries.close()

    def stat(self, node: AnyNode) -> FileStat:
        found = None if node.lower is None or _is_new(node) else self.lower.stat(node.lower)
        size = _own_size(node)
        if size is None:
            if found is None:
                raise CapabilityError(Errno.NO_ENTRY)  # Another process removed it.
            size = found.size
        times = node.times or (found[-3:] if found is not None else (0, 0, 0))
        return FileStat(node.device, node.inode, node.type, node.links, size, *times)

    def size(self, file: FileNode) -> int:
        return len(file.data) if file.data is not None else self.stat(file).size

    def target(self, link: LinkNode) -> bytes:
        if link.target is None and link.lower is not None:
            return self.lower.read_link(link.lower)
        return link.target or b""

    # Opening and closing: what lies beneath is open while somebody has it open.

    def open(self, file: FileNode) -> None:
        if file.data is None and file.blob is None and file.lower is not None:
            size = self.stat(file).size if self.lower.loads else 0
            self.quota.grow(size)
            try:
                file.blob = self.lower.open(file.lower)
            except BaseException:
                self.quota.shrink(size)
                raise
            file.loaded = size
        file.opens += 1

    def close(self, file: FileNode) -> None:
        file.opens -= 1
        if not file.opens:
            self._drop_blob(file)
            self._free(file)

    def _drop_blob(self, file: FileNode) -> None:
        if file.blob is not None:
            file.blob.close()
            file.blob = None
            self.quota.shrink(file.loaded)
            file.loaded = 0

    def _free(self, file: FileNode) -> None:
        if not file.links and not file.opens and file.data is not None:
            self.quota.shrink(len(file.data))
            file.data = bytearray()

    # Changing contents and times.

    def own(self, file: FileNode, keep: bool = True) -> bytearray:
        """The contents of ``file``, which is open, as bytes that may be changed; copied, if ``keep``, from beneath."""
        if file.data is not None:
            return file.data
        stat = self.stat(file)
        size = stat.size if keep else 0
        self.quota.grow(size)
        try:
            self.pin(file)
            data = _zeros(size)
            done = 0
            while keep and file.blob is not None and done < size:
                count = file.blob.read_at([memoryview(data)[done:]], done)
                if not count:
                    break  # It became shorter meanwhile: zeros, as for one who had it mapped.
                done += count
        except BaseException:
            self.quota.shrink(size)
            raise
        file.data = data
        file.times = stat[-3:]
        self._drop_blob(file)
        return data

    def resize(self, file: FileNode, size: int, now: int) -> None:
        """Make ``file``, which is open, ``size`` bytes long; new ones are zeros."""
        if size > self.quota.file_size and size > self.size(file):
            raise CapabilityError(Errno.FILE_TOO_BIG)
        data = self.own(file, keep=size > 0)
        if size > len(data):
            self.extend(data, size)
        else:
            self.quota.shrink(len(data) - size)
            del data[size:]
        self.touch(file, now)

    def extend(self, data: bytearray, size: int) -> None:
        """Zeros at the end of ``data``, up to ``size``."""
        more = size - len(data)
        self.quota.grow(more)
        try:
            data += _zeros(more)
        except BaseException:
            self.quota.shrink(more)
            raise

    def append(self, data: bytearray, buffers: Sequence[memoryview], more: int) -> None:
        """Put ``buffers``, ``more`` bytes in all, at the end of ``data``."""
        self.quota.grow(more)
        size = len(data)
        try:
            for buffer in buffers:
                data += buffer
        except MemoryError:
            del data[size:]
            self.quota.shrink(more)
            raise CapabilityError(Errno.NO_MEMORY) from None

    def touch(self, node: AnyNode, now: int) -> None:
        """``node``, which is pinned, was changed ``now``."""
        accessed = node.times[0] if node.times is not None else now
        node.times = (accessed, now, now)

    def set_times(self, node: AnyNode, times: NewTimes, now: int) -> None:
        found = self.stat(node)
        accessed = found.accessed if times.accessed is None else times.accessed
        modified = found.modified if times.modified is None else times.modified
        self.pin(node)
        node.times = (accessed, modified, now)

    # Changing names.

    def pin(self, node: AnyNode) -> None:
        """Keep ``node`` and the directories above it. Raises ``CapabilityError`` (no space)."""
        self.quota.add(_unpinned(node))
        while _can_be_pinned(node) and node.parent is not None:
            node.parent.names[node.name] = node
            node.pinned = True
            node = node.parent

    def _stamp(self, directory: DirNode, now: int) -> None:
        accessed = directory.times[0] if directory.times is not None else self.stat(directory).accessed
        directory.times = (accessed, now, now)

    def new_directory(self, now: int) -> DirNode:
        return self._new(DirNode(0, self._inode(), None), now)

    def new_file(self, now: int) -> FileNode:
        return self._new(FileNode(0, self._inode(), None), now)

    def new_link(self, target: bytes, now: int) -> LinkNode:
        return self._new(LinkNode(0, self._inode(), None, target), now)

    def _new(self, node: NodeType, now: int) -> NodeType:
        node.times = (now, now, now)
        node.links = 0
        return node

    def _inode(self) -> int:
        self._inodes += 1
        return self._inodes

    def attach(self, directory: DirNode, name: bytes, node: AnyNode, now: int) -> None:
        """Let ``name``, which is free, be ``node``, which is new or has another name already."""
        if not directory.links:
            raise CapabilityError(Errno.NO_ENTRY)  # A directory that was removed while open.
        self.quota.need(_unpinned(directory) + _unpinned(node) + 1)
        size = len(node.target or b"") if isinstance(node, LinkNode) and not node.links else 0
        self.quota.grow(size)
        self.pin(directory)
        if node.links:
            self.pin(node)
        self._enter(directory, name, node)
        node.links += 1
        self._stamp(directory, now)
        self._changed(node, now)

    def _enter(self, directory: DirNode, name: bytes, node: AnyNode) -> None:
        if name in directory.hidden:
            directory.hidden.discard(name)
            self.quota.remove()
        self.quota.add()
        directory.names[name] = node
        node.parent, node.name, node.pinned = directory, name, True

    def _leave(self, directory: DirNode, name: bytes, node: AnyNode) -> None:
        """Take the name away; the caller has made sure of room for hiding it."""
        if directory.names.pop(name, None) is not None:
            self.quota.remove()
        if directory.seen is not None:
            directory.seen.pop(name, None)
        if directory.lower is not None and self.lower.stat(join(directory.lower, name)) is not None:
            directory.hidden.add(name)
            self.quota.add()

    def _changed(self, node: AnyNode, now: int) -> None:
        if node.times is not None:
            node.times = (*node.times[:2], now)

    def detach(self, directory: DirNode, name: bytes, node: AnyNode, now: int) -> None:
        """Remove ``name``, which is ``node``: a directory is empty."""
        self.quota.need(_unpinned(directory) + 1)
        self.pin(directory)
        self._leave(directory, name, node)
        node.links -= 1
        self._stamp(directory, now)
        self._changed(node, now)
        if isinstance(node, FileNode):
            self._free(node)
        elif isinstance(node, DirNode):
            self.quota.remove(len(node.hidden))
            node.hidden.clear()
            node.seen = node.lower = None
            node.times = node.times or (now, now, now)
        elif isinstance(node, LinkNode) and not node.links and node.lower is None:
            self.quota.shrink(len(node.target or b""))

    def move(
        self, old: DirNode, old_name: bytes, node: AnyNode, new: DirNode, new_name: bytes, now: int
    ) -> None:
        """Give ``node`` another name, which is free or is what may be replaced."""
        if not new.links:
            raise CapabilityError(Errno.NO_ENTRY)
        # Each of the two directories, the node itself, a name hidden on either side, and a new one.
        self.quota.need(_unpinned(old) + _unpinned(new) + _unpinned(node) + 3)
        replaced = self.find(new, new_name)
        if replaced is not None:
            self.detach(new, new_name, replaced, now)
        self.pin(old)
        self.pin(new)
        self.pin(node)
        self._leave(old, old_name, node)
        self._enter(new, new_name, node)
        self._stamp(old, now)
        self._stamp(new, now)
        self._changed(node, now)


def _lower_node(found: FileStat, path: bytes) -> AnyNode:
    if found.type is FileType.REGULAR:
        return FileNode(found.device, found.inode, path)
    if found.type is FileType.DIRECTORY:
        return DirNode(found.device, found.inode, path)
    if found.type is FileType.SYMLINK:
        return LinkNode(found.device, found.inode, path, None)
    return OtherNode(found.type, found.device, found.inode, path)


def _is_new(node: AnyNode) -> bool:
    """Whether nothing of ``node`` is beneath any more."""
    return node.times is not None and _own_size(node) is not None


def _own_size(node: AnyNode) -> int | None:
    if isinstance(node, FileNode):
        return None if node.data is None else len(node.data)
    if isinstance(node, LinkNode) and node.target is not None:
        return len(node.target)
    return 0 if isinstance(node, DirNode) and node.lower is None else None


def _zeros(size: int) -> bytearray:
    try:
        return bytearray(size)
    except (MemoryError, OverflowError):
        raise CapabilityError(Errno.NO_MEMORY) from None


def _can_be_pinned(node: Node) -> bool:
    """Neither pinned already, nor new, nor removed while open."""
    return not node.pinned and node.links > 0


def _unpinned(node: Node) -> int:
    """How many names pinning ``node`` would take."""
    count = 0
    while _can_be_pinned(node) and node.parent is not None:
        count += 1
        node = node.parent
    return count
