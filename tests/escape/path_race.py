"""The hostile-path matrix: every path function, in every spelling, on a directory that another process swaps for links.

By hand: ``python -m tests.escape.path_race [attempts] [seed]``; a small form runs with the tests. What counts as an
escape: a descriptor, status or link text of something outside the granted directory, or any change out there.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wardian.capability.filesystem.host import HostDirectory
from wardian.capability.filesystem.path import KernelResolver, Resolver, WalkResolver
from wardian.wasi.p1.bind import host_imports
from wardian.wasi.p1.context import WasiContext

PLACE = "s"
"""The name at which there is now a directory, now a link."""

SPELLINGS = (
    "s", "s/", "s//", "s/.", "s/..", "./s/", "./s", "s/./", "s/../s", "s/../s/",
    "s/secret", "s//secret", "s/./secret", "s/secret/", "s/../secret", "s/sub", "s/sub/", "s/sub/secret",
    "s/sub/../secret", "s/sub/..", "s/sub/../..", "s/sub/../../s/secret", "s/sub/../../secret", "s/../outside/secret",
    "s/link", "s/link/", "s/link/secret", "s/link/..", "s/new", "s/new/", "s/sub/new", "s/../new",
    "deep/s/secret", "deep/s", "deep/s/", "deep/s/..", "deep/s/../..", "deep/../s/secret", "via", "via/", "via/secret",
    "via/../secret", "../outside/secret", "../secret", "..", "/", "//", "/etc/passwd", "s/../../outside/secret", ".",
    "s/\0", "",
)  # fmt: skip
FRESH = ("new", "s/new2", "s/sub/new2", "via/new", "new/", "s/../new3", "../new", "deep/s/new")

_PATH, _OTHER, _RESULT, _BUFFER, _SIZE = 1024, 8192, 64, 16384, 65536
_ALL = -1


class Outcome(NamedTuple):
    attempts: int
    successes: int
    swaps: int
    seconds: float
    escapes: list[str]


class _Memory:
    def __init__(self) -> None:
        self.data = bytearray(_SIZE)

    def view(self) -> memoryview:
        return memoryview(self.data)


class Arena:
    """``base/root`` is granted, ``base/outside`` and ``base`` itself are not."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        outside = base / "outside"
        for folder in (self.root / PLACE, outside):
            (folder / "sub").mkdir(parents=True)
            (folder / "secret").write_text("inside" if folder.parent == self.root else "outside")
            (folder / "sub" / "secret").write_text("deep")
        (outside / "link").symlink_to("LEAK")
        (self.root / PLACE / "link").symlink_to("sub")
        (base / "secret").write_text("outside")
        (self.root / "deep").mkdir()
        (self.root / "deep" / PLACE).symlink_to(f"../{PLACE}")
        (self.root / "via").symlink_to(f"{PLACE}/sub")
        (self.root / "other").mkdir()
        self.targets = {
            "l_out": "../outside", "l_slash": "../outside/", "l_absolute": str(outside), "l_up": "..",
            "l_dangling": "../nowhere", "l_inside": "other", "l_root": "/", "l_deep": "../outside/sub",
        }  # fmt: skip
        for name, target in self.targets.items():
            (self.root / name).symlink_to(target)
        self.root_fd = os.open(self.root, os.O_RDONLY)
        self.inside_fd = os.open(self.root / PLACE, os.O_RDONLY)
        self.beside = {os.stat(path, follow_symlinks=False).st_ino for path in (base, base / "secret")}
        self.beside |= {p.lstat().st_ino for p in (outside, *outside.rglob("*"))} | {os.stat("/").st_ino}
        self.before = self.outside()

    def outside(self) -> list[object]:
        """Everything that must not change."""
        found: list[object] = [sorted(os.listdir(self.base))]
        for path in (self.base / "secret", self.base / "outside", *sorted((self.base / "outside").rglob("*"))):
            try:
                stat = path.lstat()
                content = path.read_bytes() if path.is_file() else None
            except OSError as error:
                found.append((str(path), error.errno))
                continue
            found.append((str(path), stat.st_ino, stat.st_mtime_ns, stat.st_nlink, stat.st_size, content))
        return found

    def tend(self) -> None:
        """Put back what the guest removed: by descriptors, since names are not to be trusted here either."""
        expected = {PLACE, *self.targets}
        self._bring_back(expected)
        names = set(os.listdir(self.root_fd))
        for name in names - expected - {"deep", "via", "other"}:
            self._try(lambda name=name: self._dispose(name))
        for name in expected - set(os.listdir(self.root_fd)):
            self._try(lambda name=name: os.symlink("../outside", name, dir_fd=self.root_fd))
        self._try(lambda: os.mkdir("deep", dir_fd=self.root_fd))
        self._try(lambda: os.symlink(f"../{PLACE}", f"deep/{PLACE}", dir_fd=self.root_fd))
        self._try(lambda: os.symlink(f"{PLACE}/sub", "via", dir_fd=self.root_fd))
        self._try(lambda: os.mkdir("sub", dir_fd=self.inside_fd))
        self._try(lambda: os.symlink("sub", "link", dir_fd=self.inside_fd))
        for name in ("secret", "sub/secret"):
            self._try(lambda name=name: os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=self.inside_fd)))
        for name in ("new", "new2", "sub/new", "sub/new2"):
            self._try(lambda name=name: os.unlink(name, dir_fd=self.inside_fd))
            self._try(lambda name=name: os.rmdir(name, dir_fd=self.inside_fd))

    def _bring_back(self, expected: set[str]) -> None:
        """The directory to where it is swapped, should the guest have moved it."""
        where = Path(os.readlink(f"/proc/self/fd/{self.inside_fd}"))
        if where.parent == self.root and where.name in expected:
            return
        if os.path.islink(self.root / PLACE):
            self._try(lambda: os.unlink(PLACE, dir_fd=self.root_fd))
        self._try(lambda: os.rename(where, PLACE, dst_dir_fd=self.root_fd))

    def _dispose(self, name: str) -> None:
        self._try(lambda: os.unlink(name, dir_fd=self.root_fd))
        self._try(lambda: os.rmdir(name, dir_fd=self.root_fd))

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:
            pass

    def close(self) -> None:
        os.close(self.root_fd)
        os.close(self.inside_fd)


class Attacker:
    """Calls the functions of preview 1 as a guest would, and looks at what it gets."""

    def __init__(self, arena: Arena, resolver: Resolver, seed: int) -> None:
        self.arena = arena
        self.random = random.Random(seed)
        directory = HostDirectory(os.open(arena.root, os.O_RDONLY | os.O_DIRECTORY), resolver, False)
        self.context = WasiContext(preopens=[("/", directory)])
        self.memory = _Memory()
        self.context.memory = self.memory
        self.call = host_imports(self.context)["wasi_snapshot_preview1"]
        self.escapes: list[str] = []
        self.actions = (
            *(lambda flags=flags, rights=rights: self.open(flags, rights) for flags in (0, 1, 2, 5, 8, 9)
              for rights in (2, 66)),
            self.stat, self.set_times, self.mkdir, self.rmdir, self.unlink, self.read_link, self.symlink, self.link,
            self.rename, self.rename_away,
        )  # fmt: skip

    def attempt(self) -> bool:
        """One call; whether it succeeded."""
        return self.random.choice(self.actions)() == 0

    def _place(self, at: int, path: str) -> tuple[int, int]:
        content = path.encode()
        self.memory.data[at : at + len(content)] = content
        return at, len(content)

    def _path(self) -> tuple[int, int]:
        self.last = self.random.choice(SPELLINGS)
        return self._place(_PATH, self.last)

    def _new(self) -> tuple[int, int]:
        return self._place(_OTHER, self.random.choice(FRESH))

    def _u32(self, at: int) -> int:
        return int(struct.unpack_from("<I", self.memory.data, at)[0])

    def _seen(self, at: int, what: str) -> None:
        """A ``filestat`` at ``at``: is it of something outside?"""
        inode = struct.unpack_from("<Q", self.memory.data, at + 8)[0]
        if inode in self.arena.beside:
            self.escapes.append(f"{what} {self.last!r} saw inode {inode}")

    def open(self, flags: int, rights: int) -> int | None:
        lookup = self.random.getrandbits(1)
        error = self.call["path_open"](3, lookup, *self._path(), flags, rights, _ALL, 0, _RESULT)
        if not error:
            fd = self._u32(_RESULT)
            self.call["fd_filestat_get"](fd, _BUFFER)
            self._seen(_BUFFER, f"path_open({flags})")
            # From a directory that was opened, on: what is inside it is inside.
            if not self.call["path_filestat_get"](fd, 1, *self._place(_OTHER, "secret"), _BUFFER):
                self._seen(_BUFFER, "path_open, then secret of")
            self.call["fd_close"](fd)
        return error

    def stat(self) -> int | None:
        error = self.call["path_filestat_get"](3, self.random.getrandbits(1), *self._path(), _BUFFER)
        if not error:
            self._seen(_BUFFER, "path_filestat_get")
        return error

    def set_times(self) -> int | None:
        return self.call["path_filestat_set_times"](3, self.random.getrandbits(1), *self._path(), 1, 1, 5)

    def mkdir(self) -> int | None:
        return self.call["path_create_directory"](3, *self._path())

    def rmdir(self) -> int | None:
        return self.call["path_remove_directory"](3, *self._path())

    def unlink(self) -> int | None:
        return self.call["path_unlink_file"](3, *self._path())

    def read_link(self) -> int | None:
        error = self.call["path_readlink"](3, *self._path(), _BUFFER, 64, _RESULT)
        if not error and bytes(self.memory.data[_BUFFER : _BUFFER + self._u32(_RESULT)]) == b"LEAK":
            self.escapes.append(f"path_readlink {self.last!r} read a link outside")
        return error

    def symlink(self) -> int | None:
        return self.call["path_symlink"](*self._place(_OTHER, "../secret"), 3, *self._path())

    def link(self) -> int | None:
        return self.call["path_link"](3, 0, *self._path(), 3, *self._new())

    def rename(self) -> int | None:
        return self.call["path_rename"](3, *self._path(), 3, *self._new())

    def rename_away(self) -> int | None:
        new = self._new()
        return self.call["path_rename"](3, *new, 3, *self._path())


def race(resolver: Resolver, attempts: int, seed: int) -> Outcome:
    """Make so many attempts while another process swaps; the outcome must list no escape."""
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder).resolve())
        attacker = Attacker(arena, resolver, seed)
        command = [sys.executable, str(Path(__file__).with_name("racer.py")), str(arena.root), PLACE, *arena.targets]
        successes = 0
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as racer:
            assert racer.stdout is not None and racer.stdin is not None
            racer.stdout.readline()
            began = time.monotonic()
            try:
                for number in range(attempts):
                    if number % 32 == 0:
                        arena.tend()
                    if number % 512 == 0 and arena.outside() != arena.before:
                        break
                    successes += attacker.attempt()
            finally:
                racer.stdin.close()
                swaps = int(racer.stdout.readline())
        seconds = time.monotonic() - began
        after = arena.outside()
        if after != arena.before:
            attacker.escapes.append(f"something outside changed: {[x for x in after if x not in arena.before]}")
        attacker.context.close()
        arena.close()
        return Outcome(attempts, successes, swaps, seconds, attacker.escapes)


RESOLVERS: dict[str, Callable[[], Resolver]] = {"kernel": KernelResolver, "walk": WalkResolver}


def main(arguments: list[str]) -> int:
    attempts = int(arguments[0]) if arguments else 1_000_000
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    failed = False
    for name, make in RESOLVERS.items():
        found = race(make(), attempts, seed)
        print(
            f"{name}: {found.attempts} attempts, {found.successes} succeeded, {found.swaps} swaps, "
            f"{found.seconds:.0f} s, {len(found.escapes)} escapes",
            flush=True,
        )
        print(*found.escapes[:20], sep="\n", end="\n" if found.escapes else "")
        failed = failed or bool(found.escapes)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
