"""Paths in a tree: the same answers as :mod:`wardian.capability.filesystem.path` gives on a host.

Invariant: ``..`` goes back on the way a path has come, never above the directory it began in, and links are followed
by hand, so no path leaves that directory.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.path import MAX_LINKS, check, split
from wardian.capability.filesystem.tree.volume import AnyNode, DirNode, LinkNode, Volume

_LONGEST_NAME: Final = 255


class Place(NamedTuple):
    """Where a path leads: ``name`` in ``directory``, which is ``node`` or free (``None``), and if a slash followed.

    ``name`` is ``b"."`` for ``directory`` itself.
    """

    directory: DirNode
    name: bytes
    node: AnyNode | None
    slash: bool

    def existing(self) -> AnyNode:
        """What is there. Raises ``CapabilityError`` if nothing is, or if it should be a directory and is none."""
        if self.node is None:
            self.check_name()
            raise CapabilityError(Errno.NO_ENTRY)
        if self.slash and not isinstance(self.node, DirNode):
            raise CapabilityError(Errno.NOT_DIRECTORY)
        return self.node

    def check_name(self) -> None:
        """Raise ``CapabilityError`` if the name is longer than any can be."""
        if len(self.name) > _LONGEST_NAME:
            raise CapabilityError(Errno.NAME_TOO_LONG)


def resolve(volume: Volume, root: DirNode, path: bytes, *, follow: bool) -> Place:
    """Where ``path`` leads from ``root``. A link at its end is followed if ``follow``, or if a slash comes after it.

    Raises ``CapabilityError`` or ``OSError``: ``EPERM`` if the path leads out.
    """
    check(path)
    trail = [root]
    todo = _components(path)
    slash = path.endswith(b"/")
    links = 0
    while True:
        name = todo.pop()
        last = not todo
        if name == b"..":
            if len(trail) == 1:
                raise CapabilityError(Errno.PERMISSION)
            trail.pop()
        elif name != b".":
            node = _find(volume, trail[-1], name)
            if isinstance(node, LinkNode) and not (last and not (follow or slash)):
                links += 1
                target = _target(volume, node, links)
                slash = slash or (last and target.endswith(b"/"))
                todo += _components(target)
                continue
            if last:
                return Place(trail[-1], name, node, slash)
            if not isinstance(node, DirNode):
                Place(trail[-1], name, node, False).existing()
                raise CapabilityError(Errno.NOT_DIRECTORY)
            trail.append(node)
        if last:
            return Place(trail[-1], b".", trail[-1], slash)


def parent(volume: Volume, root: DirNode, path: bytes) -> Place:
    """As :func:`resolve`, for a name that is to be made, removed or renamed: a link there is itself, slash or not."""
    prefix, name, slash = split(path)
    directory: AnyNode | None = root
    if prefix:
        directory = resolve(volume, root, prefix, follow=True).existing()
    if not isinstance(directory, DirNode):
        raise CapabilityError(Errno.NOT_DIRECTORY)
    node = directory if name == b"." else _find(volume, directory, name)
    return Place(directory, name, node, slash)


def _find(volume: Volume, directory: DirNode, name: bytes) -> AnyNode | None:
    return volume.find(directory, name) if len(name) <= _LONGEST_NAME else None


def _components(path: bytes) -> list[bytes]:
    return [part for part in path.split(b"/") if part][::-1]


def _target(volume: Volume, link: LinkNode, links: int) -> bytes:
    if links > MAX_LINKS:
        raise CapabilityError(Errno.LOOP)
    target = volume.target(link)
    if not target:
        raise CapabilityError(Errno.NO_ENTRY)
    if target.startswith(b"/"):
        raise CapabilityError(Errno.PERMISSION)
    return target
