"""A guest without an engine: a small memory full of question marks, and the callables a real one would import.

Every call says which bytes it may write; all others must still be question marks (or whatever the test put there).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from wardian.grants import Capture, DirGrant, Grants, InputGrant, Null
from wardian.wasi.p1.bind import host_imports
from wardian.wasi.p1.context import WasiContext

P1 = "wasi_snapshot_preview1"
P0 = "wasi_unstable"
SIZE = 1 << 16
MASK = b"?"
ALL = -1
"""All rights, as the signed integer an engine passes."""


def signed(value: int, bits: int = 32) -> int:
    """``value`` as the engine passes it."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


class Memory:
    def __init__(self, size: int) -> None:
        self.data = bytearray(MASK * size)

    def view(self) -> memoryview:
        return memoryview(self.data)


class Guest:
    """``guest.fd_write(1, ...)`` calls the import of that name; see :meth:`call` for ``writes``."""

    def __init__(self, context: WasiContext, module: str = P1, size: int = SIZE) -> None:
        self.context = context
        self.memory = Memory(size)
        context.memory = self.memory
        self.imports = host_imports(context)[module]
        self._next = 64

    def alloc(self, size: int) -> int:
        """The offset of ``size`` bytes, with question marks around them."""
        at = self._next
        self._next += size + 16 & ~7
        return at

    def put(self, content: bytes) -> int:
        """The offset of a copy of ``content``."""
        at = self.alloc(len(content))
        self.memory.data[at : at + len(content)] = content
        return at

    def path(self, path: str | bytes) -> tuple[int, int]:
        """Pointer and length of a path."""
        content = path.encode() if isinstance(path, str) else path
        return self.put(content), len(content)

    def iovs(self, *parts: tuple[int, int]) -> tuple[int, int]:
        """Pointer and count of an array of buffers."""
        return self.put(b"".join(struct.pack("<II", *part) for part in parts)), len(parts)

    def get(self, at: int, size: int) -> bytes:
        return bytes(self.memory.data[at : at + size])

    def u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.memory.data, at)[0])

    def u64(self, at: int) -> int:
        return int(struct.unpack_from("<Q", self.memory.data, at)[0])

    def call(self, name: str, *arguments: int, writes: Sequence[tuple[int, int]] = ()) -> int | None:
        """The errno; asserts that nothing but ``writes`` (pairs of offset and size) has changed."""
        before = bytearray(self.memory.data)
        result = self.imports[name](*arguments)
        after = bytearray(self.memory.data)
        for at, size in writes:
            before[at : at + size] = after[at : at + size] = b"\0" * size
        assert before == after, f"{name} wrote outside of {writes}"
        return result

    def open(
        self, path: str, *, oflags: int = 0, rights: int = ALL, fdflags: int = 0, lookup: int = 1, fd: int = 3
    ) -> int:
        """``path_open``; the new descriptor, or the negative errno. Directories are opened for reading only."""
        if oflags & 2 and rights == ALL:
            rights = 1 << 1
        at = self.alloc(4)
        error = self.call("path_open", fd, lookup, *self.path(path), oflags, rights, ALL, fdflags, at, writes=[(at, 4)])
        return -error if error else self.u32(at)

    def write(self, fd: int, *contents: bytes) -> tuple[int | None, int]:
        """``fd_write``; errno and count."""
        at = self.alloc(4)
        iovs = self.iovs(*((self.put(content), len(content)) for content in contents))
        return self.call("fd_write", fd, *iovs, at, writes=[(at, 4)]), self.u32(at)

    def read(self, fd: int, *sizes: int) -> tuple[int | None, bytes]:
        """``fd_read``; errno and what was read."""
        at = self.alloc(4)
        places = [(self.alloc(size), size) for size in sizes]
        error = self.call("fd_read", fd, *self.iovs(*places), at, writes=[(at, 4), *places])
        if error:
            return error, b""
        content = b"".join(self.get(*place) for place in places)
        count = self.u32(at)
        assert content[count:] == MASK * (len(content) - count)
        return error, content[:count]


def guest(
    root: Path | None = None,
    *,
    readonly: bool = False,
    stdin: InputGrant = Null(),  # noqa: B008 - a frozen value
    wake_fd: int | None = None,
    module: str = P1,
    size: int = SIZE,
    **grants: object,
) -> Guest:
    """A guest with captured output and, if given, ``root`` as descriptor 3, named ``/``."""
    dirs = () if root is None else (DirGrant(str(root), "/", readonly),)
    given = Grants(dirs=dirs, stdin=stdin, stdout=Capture(), stderr=Capture(), **grants)  # type: ignore[arg-type]
    return Guest(WasiContext.from_grants(given, wake_fd), module, size)
