"""Whatever arguments and memory a guest passes, in whatever order: each call gives a known errno or leaves, nothing
outside the granted directory is seen or changed, and no descriptor is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.fuzz.taking import Taking
from tests.wasi.guest import P0, P1, Guest
from tests.wasi.test_properties import KNOWN, SIZE, build, memory
from wardian import Symlink, Tree
from wardian.errors import Exit
from wardian.grants import Data, DirGrant, FileQuota, FrozenClock, Grants, TreeGrant
from wardian.syntax.types import I64
from wardian.wasi.p1.bind import host_types
from wardian.wasi.p1.context import WasiContext
from wardian.wasi.p1.fds import Listing
from wardian.wasi.p1.table import FUNCTIONS

NAMES = tuple(sorted(row.name for row in FUNCTIONS))
MOST_CALLS = 40
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 8, 16, 64, 100, SIZE - 64, SIZE - 8, SIZE - 4, SIZE - 1, SIZE, SIZE + 1, -1, -8,
           1 << 30, -(1 << 31), 0x7FFFFFFF)  # fmt: skip
_CONTENTS = {"file": b"file", "dir/inner": b"inner", "to_dir": Symlink("dir"), "out_file": Symlink("../secret")}


def seeds() -> Iterator[bytes]:
    def call(name: str, *arguments: int) -> bytes:
        kinds = host_types()[P1][name].params
        sizes = (8 if kind is I64 else 4 for kind in kinds)
        packed = (b"\xfe" + (a & (1 << 8 * n) - 1).to_bytes(n, "little") for a, n in zip(arguments, sizes, strict=True))
        return bytes((NAMES.index(name),)) + b"".join(packed)

    opened = call("path_open", 3, 1, 0, 4, 1, -1, -1, 0, 500)
    for kind in (0, 1, 2):
        for name in NAMES:
            yield bytes((kind,)) + opened + bytes((NAMES.index(name),)) + bytes(range(3, 24))
        yield (
            bytes((kind,)) + opened + call("fd_read", 4, 256, 2, 500) + call("fd_renumber", 4, 3) + call("fd_close", 3)
        )
        yield bytes((kind,)) + call("poll_oneoff", 320, 400, 1, 500) + call("fd_readdir", 3, 0, 200, 0, 500)
        yield bytes((kind,)) + call("path_rename", 3, 0, 4, 3, 96, 3) + call("path_symlink", 32, 2, 3, 96, 3)
        yield bytes((kind,)) + b"\xff" + b"\0\1a/b/../c/" + call("path_open", 3, 1, 256, 9, 1, -1, -1, 0, 500)


@cache
def _ground() -> Path:
    """A folder with a granted one in it; kept for the process, and looked after by each run."""
    folder = tempfile.TemporaryDirectory(prefix="wardian-fuzz-")
    _KEPT.append(folder)
    build(Path(folder.name))
    return Path(folder.name)


_KEPT: list[object] = []


def _grants(kind: int) -> Grants:
    """Files in memory, over a host directory, or that directory itself."""
    given: dict[str, object] = {"stdin": Data(b"input"), "clock": FrozenClock(), "open_files": 12, "seed": 1}
    root = str(_ground() / "root")
    if kind == 0:
        dirs: tuple[object, ...] = (TreeGrant(Tree(_CONTENTS, max_bytes=1 << 16, max_files=30), "/"),)
    elif kind == 1:
        dirs = (TreeGrant(Tree.over(root, max_bytes=1 << 16, max_files=30), "/"),)
    else:
        dirs = (DirGrant(root, "/", readonly=True),)
        given["quota"] = FileQuota(bytes=1 << 16)
    return Grants(dirs=dirs, **given)  # type: ignore[arg-type]


def run(data: bytes) -> None:
    if not data:
        return
    source = Taking(data)
    kind = source.byte()
    before = len(os.listdir("/proc/self/fd"))
    guest = Guest(WasiContext.from_grants(_grants(kind % 3)), P0 if kind & 128 else P1, SIZE)
    guest.memory.data[:] = memory()
    try:
        for _ in range(MOST_CALLS):
            if not source.left:
                break
            _step(guest, source, P0 if kind & 128 else P1)
        held = sum(
            (entry.file is not None or entry.directory is not None) + 2 * (isinstance(entry.listing, Listing))
            for entry in guest.context.fds.entries.values()
        )
        assert len(os.listdir("/proc/self/fd")) <= before + held + 2
    finally:
        guest.context.close()
    del guest
    assert len(os.listdir("/proc/self/fd")) == before
    _untouched()


def _untouched() -> None:
    base = _ground()
    assert sorted(os.listdir(base)) == ["root", "secret"] and (base / "secret").read_bytes() == b"secret"
    assert sorted(os.listdir(base / "root")) == ["dir", "file", "out_file", "to_dir"]
    assert (base / "root" / "file").read_bytes() == b"file"


def _step(guest: Guest, source: Taking, module: str) -> None:
    choice = source.byte()
    if choice == 0xFF:
        at, content = source.byte() * 2, source.bytes(source.byte() % 32)
        guest.memory.data[at : at + len(content)] = content[: SIZE - at]
        return
    types = host_types()[module]
    name = NAMES[choice % len(NAMES)]
    if name not in types:
        return
    arguments = [_argument(source, 8 if kind is I64 else 4) for kind in types[name].params]
    try:
        result = guest.imports[name](*arguments)
    except Exit as left:
        assert name == "proc_exit" and 0 <= left.code < 1 << 32
    else:
        assert result in KNOWN, (name, arguments, result)
    assert len(guest.memory.data) == SIZE
    assert b"secret" not in guest.memory.data


def _argument(source: Taking, size: int) -> int:
    """Mostly a number that means something, else all of its bytes."""
    first = source.byte()
    if first == 0xFE:
        return source.signed(size)
    return NUMBERS[first - 128] if 128 <= first < 128 + len(NUMBERS) else first & 0x7F
