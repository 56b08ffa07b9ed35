"""The persistent code cache: a private directory of authenticated entries.

Invariant: :meth:`Cache.load` returns exactly bytes that :meth:`Cache.store` of the same user wrote under the same key,
or ``None``. A damaged, foreign, truncated or unreadable entry is a miss; no failure of the cache is ever an error.

Entries are authenticated with a key that lives beside them (mode 0600, in a directory of mode 0700), which tells damage
and strangers apart from our own entries; against the user's own account there is nothing to defend here.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final, final

_MAGIC: Final = b"WARDIAN\x01"
_MAC: Final = 32


@final
class Cache:
    """Entries named by hex keys under ``path``. Safe with many processes at once: entries are replaced atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._secret: bytes | None = None

    def load(self, key: str) -> bytes | None:
        """The payload stored under ``key``, or ``None``."""
        secret = self._key()
        if secret is None:
            return None
        try:
            with open(self.path / key, "rb") as file:
                data = file.read()
        except OSError:
            return None
        payload = memoryview(data)[len(_MAGIC) + _MAC :]
        if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + _MAC:
            return None
        if not secrets.compare_digest(self._mac(secret, key, payload), data[len(_MAGIC) : len(_MAGIC) + _MAC]):
            return None
        return bytes(payload)

    def store(self, key: str, payload: bytes) -> None:
        """Keep ``payload`` under ``key``; quietly does nothing where the directory cannot be written."""
        secret = self._key()
        if secret is None:
            return
        try:
            fd, temporary = tempfile.mkstemp(dir=self.path, prefix=".new-")
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(_MAGIC + self._mac(secret, key, payload))
                    file.write(payload)
                os.replace(temporary, self.path / key)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError:
            return

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.stat().st_size for entry in self._entries())

    def clear(self) -> int:
        """Delete all entries; how many there were."""
        entries = self._entries()
        for entry in entries:
            entry.unlink(missing_ok=True)
        return len(entries)

    def _entries(self) -> list[Path]:
        try:
            return [p for p in self.path.iterdir() if p.is_file() and p.name != "key"]
        except OSError:
            return []

    @staticmethod
    def _mac(secret: bytes, key: str, payload: bytes | memoryview) -> bytes:
        mac = hashlib.blake2b(key.encode(), key=secret, digest_size=_MAC)
        mac.update(payload)
        return mac.digest()

    def _key(self) -> bytes | None:
        """The secret of this directory, made on first use; ``None`` if the directory is not ours alone."""
        if self._secret is None:
            try:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = self.path.stat()
                if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                    return None
                self._secret = self._read_key() or self._make_key()
            except OSError:
                return None
        return self._secret

    def _read_key(self) -> bytes | None:
        try:
            secret = (self.path / "key").read_bytes()
        except FileNotFoundError:
            return None
        return secret if len(secret) == 32 else None

    def _make_key(self) -> bytes | None:
        fd, temporary = tempfile.mkstemp(dir=self.path, prefix=".key-")
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(32))
        if self._read_key() is None:
            os.replace(temporary, self.path / "key")
        else:
            os.unlink(temporary)
        return self._read_key()
