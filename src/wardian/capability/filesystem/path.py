"""DANGER: this file opens host paths on behalf of guests. Read it twice, change it seldom.

A path given by a guest is resolved *beneath* a directory descriptor. Two resolvers give the same answers:

* :class:`KernelResolver`: one ``openat2`` system call with ``RESOLVE_BENEATH`` (Linux 5.6 and later);
* :class:`WalkResolver`: component by component with ``O_NOFOLLOW``, following symbolic links by hand.

Invariants:

* no path is judged by its text: what decides is what each component *is* at the moment it is opened, so renaming
  directories or swapping links while a path is resolved cannot lead out;
* a path that would leave its root (``..`` above it, an absolute path or link) fails with ``EPERM``;
* every system call that creates, removes, renames or reads a link gets a descriptor of an already opened parent and
  a *single* component which it does not follow (:meth:`Resolver.parent`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, final

from wardian.record import NamedTuple

PATH_MAX: Final = 4096
"""A path this long (with its terminator) is too long, on Linux and so here."""

MAX_LINKS: Final = 40
"""Symbolic links followed for one path, as on Linux."""

_SYS_OPENAT2: Final = 437  # The same on every architecture that Python runs on but alpha.
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_BENEATH: Final = 0x08
_RACES: Final = 64

O_PATH: Final = getattr(os, "O_PATH", os.O_RDONLY)
_STEP: Final = O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN: Final = 32


class Parent(NamedTuple):
    """Where a name stands: ``fd`` of the directory, the single component ``name``, and whether a slash followed it.

    ``name`` is ``b"."`` when the path ended in ``.`` or ``..``: ``fd`` is then the directory the whole path names.
    """

    fd: int
    name: bytes
    slash: bool


def _fail(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def check(path: bytes) -> None:
    """Raise ``OSError`` for what no file system call may get: an empty, too long, absolute or zero-carrying path."""
    if not path:
        raise _fail(errno.ENOENT)
    if b"\0" in path:
        raise _fail(errno.EINVAL)
    if len(path) >= PATH_MAX:
        raise _fail(errno.ENAMETOOLONG)
    if path[0] == 0x2F:
        raise _fail(errno.EPERM)


class Resolver(Protocol):
    """Resolves paths beneath a directory descriptor ``root``."""

    def open(self, root: int, path: bytes, flags: int, mode: int = 0) -> int:
        """Open ``path`` as ``open(2)`` would, and return a new descriptor (close-on-exec).

        ``O_NOFOLLOW`` in ``flags`` concerns the last component. Raises ``OSError``: ``EPERM`` if the path leads out.
        """

    def parent(self, root: int, path: bytes) -> AbstractContextManager[Parent]:
        """A context manager over the :class:`Parent` of ``path``; its descriptor is closed on leaving."""


def split(path: bytes) -> tuple[bytes, bytes, bool]:
    """The directory a path's last name is in (empty: the one it begins in), that name, and whether a slash follows it.

    The name holds no slash and is not ``..``; it is ``.`` for a path that names a directory by a dot. Raises as
    :func:`check` does.
    """
    check(path)
    trimmed = path.rstrip(b"/")
    prefix, _, name = trimmed.rpartition(b"/")
    if name in (b".", b".."):
        prefix, name = trimmed, b"."
    return prefix, name, len(trimmed) < len(path)


@contextmanager
def _parent(resolver: Resolver, root: int, path: bytes) -> Iterator[Parent]:
    prefix, name, slash = split(path)
    if not prefix:
        # SAFETY: `name` holds no slash and is neither ".." nor, without a prefix, ".": it cannot leave `root`.
        yield Parent(root, name, slash)
        return
    # SAFETY: `prefix` is opened beneath `root` by the resolver, never by its text.
    fd = resolver.open(root, prefix, O_PATH | os.O_DIRECTORY)
    try:
        yield Parent(fd, name, slash)
    finally:
        os.close(fd)


@final
class KernelResolver:
    """``openat2(RESOLVE_BENEATH)``: the kernel resolves, in one step, under its own locks."""

    __slots__ = ("_syscall",)

    def __init__(self, probe: int | None = None) -> None:
        """Raises ``OSError`` if the host has no ``openat2``, or forbids it; ``probe`` is a directory to try it on."""
        # SAFETY: the C library is already loaded (None), `syscall` is variadic and gets exactly the types below.
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if probe is None else probe
        try:
            os.close(self.open(root, b".", O_PATH | os.O_DIRECTORY))
        finally:
            if probe is None:
                os.close(root)

    def open(self, root: int, path: bytes, flags: int, mode: int = 0) -> int:
        check(path)
        mode = mode if flags & os.O_CREAT else 0  # openat2 refuses a mode it does not need.
        how = struct.pack("<QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
        for _ in range(_RACES):
            # SAFETY: `path` has no zero byte (check) and ctypes terminates it; `how` is a `struct open_how` (three
            # u64) whose size is passed; both live until the call returns, and the kernel writes to neither.
            fd = self._syscall(
                ctypes.c_long(_SYS_OPENAT2),
                ctypes.c_long(root),
                ctypes.c_char_p(path),
                ctypes.c_char_p(how),
                ctypes.c_size_t(len(how)),
            )
            if fd >= 0:
                return int(fd)
            number = ctypes.get_errno()
            # EAGAIN: a rename elsewhere made the kernel unsure whether ".." stayed beneath; it asks us to try again.
            if number not in (errno.EAGAIN, errno.EINTR):
                raise _fail(errno.EPERM if number == errno.EXDEV else number)
        raise _fail(errno.EAGAIN)

    def parent(self, root: int, path: bytes) -> AbstractContextManager[Parent]:
        return _parent(self, root, path)


@final
class WalkResolver:
    """The portable resolver: opens one component after the other and never lets the kernel follow a link or ``..``."""

    __slots__ = ()

    def open(self, root: int, path: bytes, flags: int, mode: int = 0) -> int:
        check(path)
        trail = _Trail(root)
        try:
            return _walk(trail, path, flags | os.O_CLOEXEC, mode)
        finally:
            trail.close()

    def parent(self, root: int, path: bytes) -> AbstractContextManager[Parent]:
        return _parent(self, root, path)


@final
class _Trail:
    """The directories entered on the way from ``root``: ``..`` goes back on it instead of asking the kernel.

    At most ``_KEPT_OPEN`` of them are open at a time; one further back is entered anew from the root.
    """

    __slots__ = ("_fds", "_names", "_root")

    def __init__(self, root: int) -> None:
        self._root = root
        self._names: list[bytes] = []
        self._fds: list[int] = []  # Of the last len(_fds) names.

    @property
    def fd(self) -> int:
        return self._fds[-1] if self._fds else self._root

    def enter(self, name: bytes) -> None:
        """Go into the directory ``name``. Raises ``OSError`` (``ENOTDIR`` for a link, too)."""
        # SAFETY: `name` is a single component, no ".." (callers), and O_NOFOLLOW: the new directory lies in `fd`.
        self._fds.append(os.open(name, _STEP, dir_fd=self.fd))
        self._names.append(name)
        if len(self._fds) > _KEPT_OPEN:
            os.close(self._fds.pop(0))

    def leave(self) -> None:
        """Go back to where the last directory was entered from. Raises ``EPERM`` at the root."""
        if not self._names:
            raise _fail(errno.EPERM)
        self._names.pop()
        os.close(self._fds.pop())
        if self._names and not self._fds:
            names, self._names = self._names, []
            for name in names:
                self.enter(name)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def _components(path: bytes) -> list[bytes]:
    """The components of ``path`` in reverse, a trailing slash being one more ``.`` (it asks for a directory)."""
    parts = [part for part in path.split(b"/") if part]
    if path.endswith(b"/"):
        parts.append(b".")
    return parts[::-1]


def _walk(trail: _Trail, path: bytes, flags: int, mode: int) -> int:
    todo = _components(path)
    slash = path.endswith(b"/")
    links = races = 0
    while True:
        name = todo.pop()
        if name == b"..":
            trail.leave()
        elif name != b".":
            if slash and len(todo) == 1 and flags & os.O_CREAT:
                raise _fail(errno.EISDIR)  # A file cannot be created with a trailing slash.
            if todo:
                if _entered(trail, name):
                    continue
            else:
                fd = _last(trail.fd, name, flags, mode)
                if fd is not None:
                    return fd
            target = _target(trail.fd, name, bool(todo) or bool(flags & os.O_DIRECTORY))
            if target is None:
                races += 1
                if races > _RACES:
                    raise _fail(errno.EAGAIN)
                todo.append(name)
                continue
            links += 1
            if links > MAX_LINKS:
                raise _fail(errno.ELOOP)
            if target[0] == 0x2F:
                raise _fail(errno.EPERM)
            slash = target.endswith(b"/") if not todo else slash
            todo += _components(target)
            continue
        if not todo:
            # SAFETY: "." of a directory that was entered beneath the root is that directory itself.
            return os.open(b".", flags, mode, dir_fd=trail.fd)


def _entered(trail: _Trail, name: bytes) -> bool:
    """Go into ``name``; false if it is no directory, but perhaps a link to one."""
    try:
        trail.enter(name)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    return True


def _last(fd: int, name: bytes, flags: int, mode: int) -> int | None:
    """Open the last component ``name`` of directory ``fd``; ``None`` if it is a link that is to be followed."""
    try:
        # SAFETY: a single component, no "..", and O_NOFOLLOW: what is opened lies in `fd` or is refused.
        opened = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=fd)
    except OSError as error:
        if flags & os.O_NOFOLLOW or error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise
        return None
    # O_PATH with O_NOFOLLOW opens a link itself.
    if flags & O_PATH and not flags & os.O_NOFOLLOW and stat.S_ISLNK(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    return opened


def _target(fd: int, name: bytes, directory: bool) -> bytes | None:
    """The text of the link ``name``, which could not be opened; ``None`` if it has changed since and should be again.

    Raises ``ENOTDIR`` if a ``directory`` was wanted and it is none, nor a link.
    """
    try:
        target = os.readlink(name, dir_fd=fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        kind = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if directory and not stat.S_ISDIR(kind) and not stat.S_ISLNK(kind):
            raise _fail(errno.ENOTDIR) from None
        return None
    if not target:
        raise _fail(errno.ENOENT)
    return target


def resolver(probe: int | None = None) -> Resolver:
    """The kernel's resolver where there is one, the portable walk elsewhere; ``probe`` is a directory to try it on."""
    try:
        return KernelResolver(probe)
    except (OSError, AttributeError):
        return WalkResolver()
