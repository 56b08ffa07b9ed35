"""The hostile-path matrix in a small form; the large one is run by hand (:mod:`tests.escape.path_race`)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import pytest

from tests.capability.test_path import kernel
from tests.escape.path_race import race
from wardian.capability.filesystem.path import Parent, WalkResolver


@pytest.mark.parametrize("resolver", ["kernel", "walk"])
@pytest.mark.parametrize("attempts", [10_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_nothing_escapes(resolver: str, attempts: int) -> None:
    found = race(kernel() if resolver == "kernel" else WalkResolver(), attempts, seed=attempts)
    assert found.escapes == []
    assert found.attempts == attempts and found.successes > attempts // 50 and found.swaps > 1000, found


@final
class CheckedFirst:
    """What must not be done: the path is judged as a text first, and opened afterwards."""

    def _real(self, root: int, path: bytes) -> str:
        if b"\0" in path:
            raise OSError(errno.EINVAL, "no path")
        top = os.readlink(f"/proc/self/fd/{root}")
        real = os.path.realpath(os.path.join(top, os.fsdecode(path)))
        if b"\0" in path or not path or (real != top and not real.startswith(top + "/")):
            raise OSError(errno.EPERM, "outside")
        return os.path.join(top, os.fsdecode(path))

    def open(self, root: int, path: bytes, flags: int, mode: int = 0) -> int:
        return os.open(self._real(root, path), flags, mode)

    @contextmanager
    def parent(self, root: int, path: bytes) -> Iterator[Parent]:
        if b"\0" in path:
            raise OSError(errno.EINVAL, "no path")
        folder, _, name = path.rstrip(b"/").rpartition(b"/")
        fd = self.open(root, folder or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield Parent(fd, name or b".", path.endswith(b"/"))
        finally:
            os.close(fd)


def test_the_race_finds_what_it_is_for() -> None:
    assert race(CheckedFirst(), 20_000, seed=1).escapes
