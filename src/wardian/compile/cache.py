"""The persistent code cache: a private directory of authenticated entries.

Invariant: :meth:`Cache.load` returns exactly bytes that :meth:`Cache.store` of the same user wrote under the same key,
or ``None``. A damaged, foreign, truncated or unreadable entry is a miss; no failure of the cache is ever an error.

Entries are authenticated with a key that lives beside them (mode 0600, in a directory of mode 0700), which tells damage
and strangers apart from our own entries; against the user's own account there is nothing to defend here. The directory
is opened before it is looked at, and everything in it is opened below that descriptor: whoever owns a folder further up
cannot put another one in its place in between.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from stat import S_ISREG
from typing import TYPE_CHECKING, Final, final

from wardian.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = b"WARDIAN\x01"
_MAC: Final = 32
_SECRET: Final = "key"
_NEW: Final = ".new-"
_PREFIX: Final = "glue-"
_HEX: Final = frozenset("0123456789abcdef")

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE: Final = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL


@final
class Cache:
    """Entries named by hex keys under ``path``. Safe with many processes at once: entries are replaced atomically."""

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, key: str) -> bytes | None:
        """The payload stored under ``key``, or ``None``."""
        try:
            with self._folder() as folder:
                secret, data = _read_secret(folder), _read(folder, key)
        except OSError:
            return None
        payload = memoryview(data)[len(_MAGIC) + _MAC :]
        if secret is None or data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + _MAC:
            return None
        if _mac(secret, key, payload) != data[len(_MAGIC) : len(_MAGIC) + _MAC]:
            return None
        return bytes(payload)

    def store(self, key: str, payload: bytes) -> None:
        """Keep ``payload`` under ``key``; quietly does nothing where the directory cannot be written."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            with self._folder() as folder:
                secret = _read_secret(folder) or _make_secret(folder)
                if secret is not None:
                    _replace(folder, key, _MAGIC + _mac(secret, key, payload) + payload)
        except OSError:
            return

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """A descriptor of the directory. Raises ``OSError`` if it is not there, or not ours alone."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(folder)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PermissionError(f"{self.path} is not private")
            yield folder
        finally:
            os.close(folder)

    def size(self) -> int:
        """Bytes of all entries."""
        total = 0
        for entry in self._entries():
            with suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
        return total

    def clear(self) -> int:
        """Delete all entries; how many there were. What the cache did not put there stays."""
        count = 0
        for entry in self._entries():
            with suppress(OSError):
                os.unlink(entry.path)
                count += 1
        return count

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as found:
                return [e for e in found if _is_ours(e.name) and e.is_file(follow_symlinks=False)]
        except OSError:
            return []


def _is_ours(name: str) -> bool:
    """May the cache have made a file of this name, which is not its key?"""
    if name.startswith(_NEW):
        return True
    digits = name.removeprefix(_PREFIX)
    return len(digits) == 40 and _HEX.issuperset(digits)


def _read(folder: int, name: str) -> bytes:
    """A file's content. Raises ``OSError`` if it is not a plain file of ours that nobody else may write."""
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{name} is not private")
        return file.read()


def _replace(folder: int, name: str, data: bytes) -> None:
    """Make ``data`` the content of ``name``, all at once."""
    temporary = f"{_NEW}{os.urandom(8).hex()}"
    try:
        with os.fdopen(os.open(temporary, _WRITE, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _mac(secret: bytes, key: str, payload: bytes | memoryview) -> bytes:
    mac = blake2b(key.encode(), key=secret, digest_size=_MAC)
    mac.update(payload)
    return mac.digest()


def _read_secret(folder: int) -> bytes | None:
    """The directory's key; ``None`` if there is none, or no usable one."""
    try:
        secret = _read(folder, _SECRET)
    except OSError:
        return None
    return secret if len(secret) == 32 else None


def _make_secret(folder: int) -> bytes | None:
    """A key for a directory without one. Of several processes that make one, the last decides for all."""
    _replace(folder, _SECRET, os.urandom(32))
    return _read_secret(folder)
