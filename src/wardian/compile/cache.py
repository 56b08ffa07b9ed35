"""The persistent code cache: a private directory of authenticated entries.

Invariant: :meth:`Cache.load` returns exactly bytes that :meth:`Cache.store` of the same user wrote under the same key,
or ``None``. A damaged, foreign, truncated or unreadable entry is a miss; no failure of the cache is ever an error.

Entries are authenticated with a key that lives beside them (mode 0600, in a directory of mode 0700), which tells damage
and strangers apart from our own entries; against the user's own account there is nothing to defend here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, final

from wardian.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = b"WARDIAN\x01"
_MAC: Final = 32


@final
class Cache:
    """Entries named by hex keys under ``path``. Safe with many processes at once: entries are replaced atomically."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._secret: bytes | None = None

    def load(self, key: str) -> bytes | None:
        """The payload stored under ``key``, or ``None``."""
        secret = self._key()
        if secret is None:
            return None
        try:
            with open(os.path.join(self.path, key), "rb") as file:
                data = file.read()
        except OSError:
            return None
        payload = memoryview(data)[len(_MAGIC) + _MAC :]
        if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + _MAC:
            return None
        if self._mac(secret, key, payload) != data[len(_MAGIC) : len(_MAGIC) + _MAC]:
            return None
        return bytes(payload)

    def store(self, key: str, payload: bytes) -> None:
        """Keep ``payload`` under ``key``; quietly does nothing where the directory cannot be written."""
        secret = self._key()
        if secret is None:
            return
        try:
            temporary = self._write_new(_MAGIC + self._mac(secret, key, payload) + payload)
            os.replace(temporary, os.path.join(self.path, key))
        except OSError:
            return

    def _write_new(self, data: bytes) -> str:
        """A new private file in the directory with this content; its path."""
        temporary = os.path.join(self.path, f".new-{os.urandom(8).hex()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
        except OSError:
            os.unlink(temporary)
            raise
        return temporary

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.stat().st_size for entry in self._entries())

    def clear(self) -> int:
        """Delete all entries; how many there were."""
        entries = list(self._entries())
        for entry in entries:
            os.unlink(entry.path)
        return len(entries)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as found:
                yield from [e for e in found if e.is_file(follow_symlinks=False) and e.name != "key"]
        except OSError:
            return

    @staticmethod
    def _mac(secret: bytes, key: str, payload: bytes | memoryview) -> bytes:
        mac = blake2b(key.encode(), key=secret, digest_size=_MAC)
        mac.update(payload)
        return mac.digest()

    def _key(self) -> bytes | None:
        """The secret of this directory, made on first use; ``None`` if the directory is not ours alone."""
        if self._secret is None:
            try:
                os.makedirs(self.path, mode=0o700, exist_ok=True)
                status = os.stat(self.path)
                if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                    return None
                self._secret = self._read_key() or self._make_key()
            except OSError:
                return None
        return self._secret

    def _read_key(self) -> bytes | None:
        try:
            with open(os.path.join(self.path, "key"), "rb") as file:
                secret = file.read()
        except FileNotFoundError:
            return None
        return secret if len(secret) == 32 else None

    def _make_key(self) -> bytes | None:
        temporary = self._write_new(os.urandom(32))
        try:
            # Whoever comes first decides; a damaged key is replaced.
            if self._read_key() is None:
                os.replace(temporary, os.path.join(self.path, "key"))
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
        return self._read_key()
