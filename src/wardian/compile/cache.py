"""The persistent code cache: a private directory of authenticated entries.

Invariant: :meth:`Cache.load` returns exactly bytes that :meth:`Cache.store` of the same user wrote under the same key,
or ``None``. A damaged, foreign, truncated or unreadable entry is a miss; no failure of the cache is ever an error.

Entries are authenticated with a key that lives beside them (mode 0600, in a directory of mode 0700), which tells damage
and strangers apart from our own entries; against the user's own account there is nothing to defend here. The directory
is opened before it is looked at, and everything in it is opened below that descriptor: whoever owns a folder further up
cannot put another one in its place in between.

All entries together stay below a limit: whoever stores one removes those that were used longest ago. An entry's time is
that of its last use, to the hour. What one process adds to an entry while another does, both add: they take turns, by a
lock on the directory that nobody waits for for long.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from stat import S_ISREG
from typing import TYPE_CHECKING, Final, final

from wardian.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAGIC: Final = b"WARDIAN\x01"
_MAC: Final = 32
_KEY: Final = 32
_SECRET: Final = "key"
_NEW: Final = ".new-"
VALID: Final = "valid-"
"""What the name of a mark that a module was validated begins with."""
PLACED: Final = "placed-"
"""What the name of an entry begins with that says where a module's data segments go."""
TARGET: Final = "target-"
"""What the name of an entry begins with that says how LLVM is told of this machine."""
_NAME: Final = re.compile(rf"(glue-|stencils-|{VALID}|{PLACED}|{TARGET})?[0-9a-f]{{40}}(-more)?")

LIMIT: Final = 2 << 30
"""Bytes all entries may take together, unless told otherwise."""
_TRIMMED: Final = 0.9
"""To which part of the limit entries are removed when they are beyond it."""
_HOUR: Final = 3600
_PATIENCE: Final = 2.0
"""Seconds to wait for another process that adds to the cache. It may have been stopped half way."""

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE: Final = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL


@final
class Cache:
    """Entries named by hex keys under ``path``. Safe with many processes at once: entries are replaced atomically."""

    def __init__(self, path: str, limit: int = LIMIT) -> None:
        self.path = path
        self.limit = limit

    def load(self, key: str) -> bytes | None:
        """The payload stored under ``key``, or ``None``."""
        try:
            with self._folder() as folder:
                return self._load(folder, key)
        except OSError:
            return None

    def _load(self, folder: int, key: str) -> bytes | None:
        """Raises ``OSError``."""
        secret, (head, payload, used) = _read_secret(folder), _read(folder, key, len(_MAGIC) + _MAC)
        if secret is None or head[: len(_MAGIC)] != _MAGIC or len(head) < len(_MAGIC) + _MAC:
            return None
        if _mac(secret, key, payload) != head[len(_MAGIC) :]:
            return None
        if abs(time.time() - used) > _HOUR:
            with suppress(OSError):
                os.utime(key, dir_fd=folder, follow_symlinks=False)
        return payload

    def store(self, key: str, payload: bytes) -> None:
        """Keep ``payload`` under ``key``; quietly does nothing where the directory cannot be written."""
        self.update(key, lambda old: payload, look=False)

    def update(self, key: str, change: Callable[[bytes | None], bytes], *, look: bool = True) -> None:
        """Keep under ``key`` what ``change`` makes of what is there (``None``: nothing, or not to ``look``).

        Of several processes that do so at the same time, none undoes what another did. Quietly does nothing where the
        directory cannot be written, or if the result is larger than the cache may be.
        """
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            with self._folder() as folder:
                if look:
                    _take_turns(folder)
                secret = _read_secret(folder) or _make_secret(folder)
                old = None
                if look:
                    with suppress(OSError):
                        old = self._load(folder, key)
                payload = change(old)
                if secret is not None and len(payload) <= self.limit:
                    _replace(folder, key, _MAGIC + _mac(secret, key, payload) + payload)
                    self._trim(folder, key)
        except OSError:
            return

    def _trim(self, folder: int, kept: str) -> None:
        """Remove what was used longest ago, but not ``kept``, if there is too much; and what was left half written."""
        found: list[tuple[float, int, str]] = []
        now = time.time()
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_ours(entry.name):
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not S_ISREG(status.st_mode):
                        continue
                    if not entry.name.startswith(_NEW):
                        found.append((status.st_mtime, status.st_size, entry.name))
                    elif abs(now - status.st_mtime) > _HOUR:
                        os.unlink(entry.name, dir_fd=folder)
        total = sum(size for _, size, _ in found)
        if total <= self.limit:
            return
        for _, size, name in sorted(found):
            if name != kept:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)
                total -= size
            if total <= self.limit * _TRIMMED:
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
    return name.startswith(_NEW) or _NAME.fullmatch(name) is not None


def _take_turns(folder: int) -> None:
    """Wait until no other process is adding to the cache; goes on without after a while. Until ``folder`` is closed."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                return
            time.sleep(0.005)
        except OSError:
            return  # a file system without locks


def _read(folder: int, name: str, head: int) -> tuple[bytes, bytes, float]:
    """A file's first bytes, the rest, and when it was used. Raises ``OSError`` if it is not a plain file of ours alone
    to write."""
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{name} is not private")
        return file.read(head), file.read(), status.st_mtime


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
        secret, more, _ = _read(folder, _SECRET, _KEY)
    except OSError:
        return None
    return secret if len(secret) == _KEY and not more else None


def _make_secret(folder: int) -> bytes | None:
    """A key for a directory without one. Of several processes that make one, the last decides for all."""
    _replace(folder, _SECRET, os.urandom(_KEY))
    return _read_secret(folder)
