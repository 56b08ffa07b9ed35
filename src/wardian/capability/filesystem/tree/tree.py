"""Trees of files for guests: from a dictionary, an archive, any fsspec file system, or over a directory of the host.

Invariant: whatever guests do to a tree stays in memory, within its bounds; what it was made from is only read.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, TypeAlias, final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.host import open_directory
from wardian.capability.filesystem.quota import Quota
from wardian.capability.filesystem.tree import changes
from wardian.capability.filesystem.tree.changes import Change
from wardian.capability.filesystem.tree.directory import Mount, TreeDirectory
from wardian.capability.filesystem.tree.lookup import resolve
from wardian.capability.filesystem.tree.lower import HostLower, Index, Item, Lower, components
from wardian.capability.filesystem.tree.volume import FileNode, Volume
from wardian.capability.filesystem.types import FileType
from wardian.limits import parse_size
from wardian.record import Record

MAX_BYTES: Final = 256 << 20
MAX_FILES: Final = 100_000


@final
class Symlink(Record):
    """A symbolic link in the contents of a :class:`Tree`; ``target`` is relative to where the link is."""

    target: str


Contents: TypeAlias = "Mapping[str, bytes | str | Symlink | Mapping[str, Any]]"


@final
class Tree:
    """A tree of files that guests may read and change, in memory: give it to ``dirs=`` in place of a host directory.

    ``contents`` maps paths to ``bytes``, ``str`` (UTF-8), :class:`Symlink`, or further mappings, which are directories.
    ``max_bytes``, ``max_files`` and ``max_file_size`` bound what guests may add: bytes of contents, number of names
    that were added, changed or removed, bytes of one file (``None``: no bound of its own). What does not fit is refused
    with ``ENOSPC`` or ``EFBIG``. One tree may be given to several guests, one after the other or at a time, and as
    several directories. What they changed stays: :meth:`read`, :meth:`changes`, :meth:`export`, :meth:`apply`.

    Raises ``ValueError`` for a path that no tree can have, ``TypeError`` for contents of another type.
    """

    def __init__(
        self,
        contents: Contents | None = None,
        *,
        max_bytes: int | str | None = MAX_BYTES,
        max_files: int | None = MAX_FILES,
        max_file_size: int | str | None = None,
    ) -> None:
        self._begin(_index(contents or {}), max_bytes, max_files, max_file_size)

    @classmethod
    def over(cls, directory: str | os.PathLike[str], **bounds: Any) -> Tree:
        """The files of a host directory, which stays as it is: what guests change is kept in memory.

        Raises ``OSError``. The directory is open until :meth:`close`, or until the tree is gone.
        """
        return cls._of(HostLower(open_directory(os.fspath(directory), readonly=True)), bounds)

    @classmethod
    def from_archive(cls, archive: str | os.PathLike[str] | IO[bytes], **bounds: Any) -> Tree:
        """The files of a zip or tar archive, read when they are opened; while a file is open, it counts as added.

        Raises ``OSError``, and ``ValueError`` for what is no such archive, or has a member that leads out of it.
        """
        from wardian.capability.filesystem.tree.archive import index  # Here, as few need it and it imports much.

        return cls._of(index(archive), bounds)

    @classmethod
    def from_fsspec(cls, system: Any, root: str = "", **bounds: Any) -> Tree:
        """The files of an fsspec file system below ``root``; a file is fetched when it is opened.

        Calls to ``system`` are made on the guest's behalf and are not interrupted by deadlines.
        """
        from wardian.capability.filesystem.tree.remote import RemoteLower

        return cls._of(RemoteLower(system, root), bounds)

    @classmethod
    def _of(cls, lower: Lower, bounds: Mapping[str, Any]) -> Tree:
        made = cls.__new__(cls)
        known = {"max_bytes": MAX_BYTES, "max_files": MAX_FILES, "max_file_size": None}
        if unknown := bounds.keys() - known.keys():
            lower.close()
            raise TypeError(f"a tree has the bounds {', '.join(known)}, not {', '.join(sorted(unknown))}")
        try:
            made._begin(lower, **{**known, **bounds})
        except BaseException:
            lower.close()
            raise
        return made

    def _begin(
        self, lower: Lower, max_bytes: int | str | None, max_files: int | None, max_file_size: int | str | None
    ) -> None:
        sizes = (None if size is None else parse_size(size) for size in (max_bytes, max_file_size))
        total, single = sizes
        self._volume = Volume(lower, Quota(total, max_files, single))
        self._finalizer = weakref.finalize(self._volume, lower.close)  # A mount may outlive the tree.

    def mount(
        self, readonly: bool = False, now: Callable[[], int] = time.time_ns, device: int = 1
    ) -> TreeDirectory:
        """The tree as a capability. ``now`` stamps what changes, ``device`` is the device number of what is new."""
        return TreeDirectory(Mount(self._volume, now, device), self._volume.root, readonly)

    @property
    def used(self) -> tuple[int, int]:
        """Of ``max_bytes`` and ``max_files``, how much is in use."""
        return self._volume.quota.used_bytes, self._volume.quota.used_files

    def read(self, path: str) -> bytes:
        """The contents of the file ``path``, as guests see it. Raises ``OSError``."""
        with self._volume.lock:
            try:
                node = resolve(self._volume, self._volume.root, _host(path), follow=True).existing()
                if not isinstance(node, FileNode):
                    raise CapabilityError(Errno.IS_DIRECTORY)
                return b"".join(bytes(piece) for piece in changes.contents(self._volume, node))
            except CapabilityError as error:
                raise OSError(f"{path}: {error}") from None

    def paths(self) -> list[str]:
        """All paths there are; those of directories end in a slash."""
        with self._volume.lock:
            return sorted(
                os.fsdecode(path) + ("/" if node.type is FileType.DIRECTORY else "")
                for path, node in changes.walk(self._volume, self._volume.root, b"")
            )

    def changes(self) -> list[Change]:
        """What differs from what the tree was made from, in the order of paths; times alone are no difference.

        Of a directory that was removed only its own path is listed, of one that was added everything in it.
        """
        with self._volume.lock:
            found = [
                Change(one.kind, os.fsdecode(one.path), _type(one))
                for one in changes.differences(self._volume)
            ]
        return sorted(found, key=lambda change: (change.path, change.kind != "removed"))

    def export(self, directory: str | os.PathLike[str]) -> None:
        """Write all files into an existing host directory in which none of them is there yet. Raises ``OSError``.

        Links are written as links: relative, but they may lead out of the directory for whoever follows them.
        """
        self._write(changes.export, directory)

    def apply(self, directory: str | os.PathLike[str]) -> None:
        """Make the same :meth:`changes` to a host directory, usually the one the tree is over. Raises ``OSError``.

        A tree over this very directory has served its purpose then: go on with a new one.
        """
        self._write(changes.apply, directory)

    def _write(self, how: Callable[[Volume, Any], None], directory: str | os.PathLike[str]) -> None:
        to = open_directory(os.fspath(directory))
        try:
            with self._volume.lock:
                how(self._volume, to)
        except CapabilityError as error:
            raise OSError(f"{os.fspath(directory)}: {error}") from None
        finally:
            to.close()

    def close(self) -> None:
        """Close what the tree was made from; what was not read until then cannot be read any more."""
        self._finalizer()


_TYPE_NAMES: Final = {FileType.REGULAR: "file", FileType.DIRECTORY: "directory", FileType.SYMLINK: "link"}


def _type(found: changes.Found) -> Any:
    type_ = found.node.type if found.node is not None else found.was
    return _TYPE_NAMES.get(type_ or FileType.UNKNOWN, "other")


def _host(path: str) -> bytes:
    return b"/".join(components(path)) or b"."


def _index(contents: Contents) -> Index:
    found = Index()
    now = time.time_ns()
    waiting: list[tuple[str, Any]] = [("", contents)]
    while waiting:
        path, content = waiting.pop()
        if isinstance(content, Mapping):
            found.add(path, Item(FileType.DIRECTORY, modified=now))
            waiting += [(f"{path}/{name}", inner) for name, inner in content.items()]
        elif isinstance(content, Symlink):
            target = content.target.encode("utf-8", "surrogateescape")
            if not target or target.startswith(b"/") or b"\0" in target:
                raise ValueError(f"{path!r}: a link needs a relative target, not {content.target!r}")
            found.add(path, Item(FileType.SYMLINK, modified=now, target=target))
        elif isinstance(content, str | bytes | bytearray | memoryview):
            found.add(path, _file(content.encode() if isinstance(content, str) else bytes(content), now))
        else:
            raise TypeError(f"{path!r}: contents are bytes, str, Symlink or a mapping, not {type(content).__name__}")
    return found


def _file(content: bytes, now: int) -> Item:
    return Item(FileType.REGULAR, size=len(content), modified=now, load=lambda: content)
