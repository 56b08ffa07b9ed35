"""What bytes are known by: BLAKE2b without OpenSSL (``hashlib`` loads a library of megabytes to offer a hash that
CPython has built in), and a module's digest, worked out on a thread of its own while others go on.

Imports nothing of the package.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, Any, Final, final

try:
    from _blake2 import blake2b
except ImportError:  # a Python built without it; hashlib then brings another implementation
    from hashlib import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Hashed", "blake2b", "module_digest")

_LARGE: Final = 256 << 10
"""Bytes that are worth a thread."""
_MOST: Final = 1000
"""Sections that are looked at."""
_CUSTOM: Final = 0
_UNREAD: Final = b".debug_"
"""What the names of custom sections begin with that nothing in the package ever looks into."""


def module_digest(source: bytes) -> bytes:
    """Of a binary module: what it is known by wherever something about it is kept.

    The contents of sections with debugging information, often half of a module, do not count; where they stand, what
    they are called and how long they are does, so everything else is at the same place in modules of one digest.
    """
    h, view = blake2b(), memoryview(source)
    kept, at, total = 0, 8, len(source)
    # What has more sections than any real module, or is none, counts as it is.
    for _ in range(_MOST):
        size, start = _number(source, at + 1)
        end = start + size
        if start == 0 or end > total:
            break
        kind = source[at]
        if kind == _CUSTOM:
            length, name = _number(source, start)
            if name and length >= len(_UNREAD) and name + length <= end and source.startswith(_UNREAD, name):
                h.update(view[kept : name + length])
                kept = end
        at = end
    h.update(view[kept:])
    return h.digest()


def _number(source: bytes, at: int) -> tuple[int, int]:
    """The unsigned number of at most five bytes at ``at``, and what is behind it; 0 if there is none."""
    value = 0
    for i, byte in enumerate(source[at : at + 5]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    return 0, 0


@final
class Hashed:
    """A module's bytes and digest, which a thread works out, having read the bytes if need be, while others go on.

    FAST: neither reading nor hashing holds the interpreter's lock.
    """

    __slots__ = ("_data", "_digest", "_failure", "_has_data", "_has_digest", "_process", "_read")

    def __init__(self, data: bytes | None, read: Callable[[], bytes] | None = None, size: int = 0) -> None:
        """Of ``data``, or of what ``read`` gives, which will be about ``size`` bytes."""
        self._data = data
        self._read = read
        self._digest: bytes | None = None
        self._failure: BaseException | None = None
        self._process = os.getpid()
        self._has_data, self._has_digest = allocate_lock(), allocate_lock()
        if (size if data is None else len(data)) < _LARGE:
            return
        self._has_data.acquire()
        self._has_digest.acquire()
        try:
            start_new_thread(self._work, ())
        except RuntimeError:  # no more threads
            self._has_data.release()
            self._has_digest.release()

    def _work(self) -> None:
        try:
            try:
                if self._data is None and self._read is not None:
                    self._data = self._read()
            except BaseException as failure:  # noqa: BLE001 - for whoever wants the data
                self._failure = failure
            finally:
                self._has_data.release()
            if self._data is not None:
                self._digest = module_digest(self._data)
        except MemoryError:
            pass  # whoever wants the digest makes it
        finally:
            self._has_digest.release()

    def data(self) -> bytes:
        """The bytes, once they are there. Raises what reading them raised."""
        self._wait(self._has_data)
        if self._failure is not None:
            raise self._failure
        if self._data is None:
            assert self._read is not None
            self._data = self._read()
        return self._data

    def digest(self) -> bytes:
        """:func:`module_digest`, once it is there. Raises what reading raised."""
        self._wait(self._has_digest)
        if self._digest is None:
            self._digest = module_digest(self.data())
        return self._digest

    def _wait(self, lock: Any) -> None:
        # In a forked child there is no thread, and its locks are as they were.
        if os.getpid() == self._process:
            with lock:
                pass
