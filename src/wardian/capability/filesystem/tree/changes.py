"""What guests made of a tree: the differences from what lies beneath, and how to have them on the host.

Invariant: the host is written through a directory capability, so nothing a guest made (a link, a strange name) leads
out of the directory that is written to.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.tree.lower import join
from wardian.capability.filesystem.tree.volume import AnyNode, DirNode, FileNode, LinkNode, Volume
from wardian.capability.filesystem.types import Directory, FileType, NewTimes, OpenMode
from wardian.capability.poll import Waiter

Kind: TypeAlias = Literal["added", "changed", "removed"]
NodeType: TypeAlias = Literal["file", "directory", "link", "other"]

_CHUNK: Final = 1 << 20
_NEW: Final = OpenMode(read=False, write=True, create=True, exclusive=True)


class Change(NamedTuple):
    """``path`` was added, changed or removed; ``type`` is what it is now, or was."""

    kind: Kind
    path: str
    type: NodeType


class Found(NamedTuple):
    kind: Kind
    path: bytes
    node: AnyNode | None
    was: FileType | None = None


def type_of(node: AnyNode) -> NodeType:
    if isinstance(node, FileNode):
        return "file"
    return "directory" if isinstance(node, DirNode) else "link" if isinstance(node, LinkNode) else "other"


def walk(volume: Volume, directory: DirNode, path: bytes) -> Iterator[tuple[bytes, AnyNode]]:
    """Everything below ``directory``, which is at ``path``: a directory comes before what is in it."""
    waiting = [(path, directory)]
    while waiting:
        path, directory = waiting.pop()
        for name in sorted(entry.name for entry in volume.entries(directory)):
            node = volume.find(directory, name)
            if node is None:
                continue  # Another process was quicker.
            whole = path + b"/" + name if path else name
            yield whole, node
            if isinstance(node, DirNode):
                waiting.append((whole, node))


def differences(volume: Volume) -> Iterator[Found]:
    """What differs from what lies beneath. Times alone are no difference."""
    waiting: list[tuple[bytes, DirNode]] = [(b"", volume.root)]
    while waiting:
        path, directory = waiting.pop()
        for name in sorted({*directory.names, *directory.hidden}):
            whole = path + b"/" + name if path else name
            below = join(directory.lower, name) if directory.lower is not None else None
            node = directory.names.get(name)
            if node is not None and node.lower == below and below is not None:
                if isinstance(node, DirNode):
                    waiting.append((whole, node))
                elif isinstance(node, FileNode) and node.data is not None:
                    yield Found("changed", whole, node)
                continue
            yield from _replaced(volume, whole, below, node)


def _replaced(volume: Volume, path: bytes, below: bytes | None, node: AnyNode | None) -> Iterator[Found]:
    """``path`` is ``node`` now (``None``: nothing), and was what is at ``below``, if anything is."""
    found = volume.lower.stat(below) if below is not None else None
    if found is not None and (node is None or node.type != found.type or isinstance(node, DirNode)):
        yield Found("removed", path, None, found.type)
        found = None
    if node is not None:
        yield Found("added" if found is None else "changed", path, node)
        if isinstance(node, DirNode):
            for inner, child in walk(volume, node, path):
                yield Found("added", inner, child)


def export(volume: Volume, to: Directory) -> None:
    """Write the whole tree into ``to``. Raises ``CapabilityError`` or ``OSError``, also for a name that is there."""
    for path, node in walk(volume, volume.root, b""):
        _write(volume, node, to, path)


def apply(volume: Volume, to: Directory) -> None:
    """Make the same changes to ``to``: new contents are written beside first, then everything gets its place."""
    staging = b".wardian-" + secrets.token_hex(8).encode()
    found = list(differences(volume))
    to.create_directory(staging)
    try:
        for number, change in enumerate(found):
            if isinstance(change.node, FileNode | LinkNode):
                _write(volume, change.node, to, b"%s/%d" % (staging, number))
        for change in reversed(found):
            if change.kind == "removed":
                _remove(to, change.path)
        for number, change in enumerate(found):
            if isinstance(change.node, DirNode):
                to.create_directory(change.path)
            elif isinstance(change.node, FileNode | LinkNode):
                to.rename(b"%s/%d" % (staging, number), to, change.path)
    finally:
        _remove(to, staging)


def _write(volume: Volume, node: AnyNode, to: Directory, path: bytes) -> None:
    if isinstance(node, DirNode):
        to.create_directory(path)
    elif isinstance(node, LinkNode):
        to.symlink(volume.target(node), path)
    elif isinstance(node, FileNode):
        file = to.open(path, _NEW).file
        if file is None:
            raise CapabilityError(Errno.IS_DIRECTORY)
        waiter = Waiter()
        try:
            for piece in contents(volume, node):
                done = 0
                while done < len(piece):
                    done += file.write([piece[done:]], waiter)
            file.set_times(NewTimes(None, volume.stat(node).modified))
        finally:
            file.close()


def contents(volume: Volume, file: FileNode) -> Iterator[memoryview]:
    """The contents of ``file``, in pieces."""
    volume.open(file)
    try:
        if file.data is not None:
            copy = bytes(file.data)
            yield memoryview(copy)
        elif file.blob is not None:
            offset = 0
            buffer = memoryview(bytearray(_CHUNK))
            while count := file.blob.read_at([buffer], offset):
                yield buffer[:count]
                offset += count
    finally:
        volume.close(file)


def _remove(to: Directory, path: bytes) -> None:
    """Remove ``path`` and, if it is a directory, what is in it."""
    order: list[bytes] = [path]
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if to.stat_path(here, False).type is not FileType.DIRECTORY:
            continue
        opened = to.open(here, OpenMode(directory=True)).directory
        if opened is None:
            continue
        try:
            inner = [here + b"/" + entry.name for entry in opened.entries()]
        finally:
            opened.close()
        order += inner
        waiting += inner
    for here in reversed(order):
        if to.stat_path(here, False).type is FileType.DIRECTORY:
            to.remove_directory(here)
        else:
            to.unlink(here)
