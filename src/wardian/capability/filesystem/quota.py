"""How much a guest may add to a directory: bytes, names, the size of one file.

Invariant: ``bytes`` and ``names`` in use never exceed their bounds; what does not fit is refused before anything has
changed. Whoever adds says so here first, whoever takes away says so afterwards.
"""

from __future__ import annotations

from typing import Final, NoReturn, final

from wardian.capability.errno import CapabilityError, Errno

UNBOUNDED: Final = (1 << 63) - 1


@final
class Quota:
    """``bytes`` of contents, ``files`` (names of files, directories and links), ``file_size`` of each file.

    ``None`` is no bound. Refusals are ``NO_SPACE`` and, for a single file, ``FILE_TOO_BIG``; ``reached`` has the names
    of the bounds that were the reason for one.
    """

    __slots__ = ("bytes", "file_size", "files", "reached", "used_bytes", "used_files")

    def __init__(self, bytes: int | None = None, files: int | None = None, file_size: int | None = None) -> None:
        """Raises ``ValueError`` for a negative bound."""
        if any(bound is not None and bound < 0 for bound in (bytes, files, file_size)):
            raise ValueError("a quota is at least 0")
        self.bytes = UNBOUNDED if bytes is None else bytes
        self.files = UNBOUNDED if files is None else files
        self.file_size = UNBOUNDED if file_size is None else file_size
        self.used_bytes = 0
        self.used_files = 0
        self.reached: set[str] = set()

    def _refuse(self, bound: str, errno: Errno = Errno.NO_SPACE) -> NoReturn:
        self.reached.add(bound)
        raise CapabilityError(errno)

    def grow(self, amount: int) -> None:
        """Take ``amount`` bytes. Raises ``CapabilityError`` (no space)."""
        if self.used_bytes + amount > self.bytes:
            self._refuse("bytes")
        self.used_bytes += amount

    def shrink(self, amount: int) -> None:
        """Give ``amount`` bytes back; what was there before the guest came gives it no room."""
        self.used_bytes = max(0, self.used_bytes - amount)

    def need(self, count: int) -> None:
        """Raise ``CapabilityError`` (no space) unless ``count`` more names fit."""
        if self.used_files + count > self.files:
            self._refuse("files")

    def add(self, count: int = 1) -> None:
        """Take ``count`` names. Raises ``CapabilityError`` (no space)."""
        self.need(count)
        self.used_files += count

    def remove(self, count: int = 1) -> None:
        """Give ``count`` names back."""
        self.used_files = max(0, self.used_files - count)

    def most(self, size: int, end: int) -> int:
        """How far a write that would end at ``end`` may go in a file of ``size`` bytes.

        At least ``size``; less than ``end`` where the file or all of them would get too large. Raises
        ``CapabilityError`` if it cannot grow at all though it would have to.
        """
        if end <= size:
            return end
        if self.file_size <= size:
            self._refuse("file_size", Errno.FILE_TOO_BIG)
        room = self.bytes - self.used_bytes
        if room <= 0:
            self._refuse("bytes")
        return min(end, self.file_size, size + room)
