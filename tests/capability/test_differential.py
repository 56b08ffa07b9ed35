"""Random operations give the same answers, and leave the same files, on the host and on all other kinds of trees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.capability.worlds import WORLDS, World, host_world
from wardian.capability.errno import CapabilityError, Errno, reason
from wardian.capability.filesystem.tree.tree import Tree
from wardian.capability.filesystem.tree.volume import DirNode, FileNode, LinkNode
from wardian.capability.filesystem.types import Directory, File, FileType, NewTimes, OpenMode
from wardian.capability.poll import Waiter

NAMES = ["a", "b", "dir", "dir/x", "dir/nested", "dir/nested/y", "file", "to_file", "to_dir", "to_dir/x", "dangling",
         "self", "out_up", "out_dir/z", "dir/", "file/", "to_dir/", "a/", "dir/..", ".", "..", "dir/./nested/../inner",
         "a/b", "to_dot/file", "x" * 256]  # fmt: skip
PATHS = st.sampled_from([name.encode() for name in NAMES])
MODES = st.builds(
    OpenMode,
    read=st.booleans(),
    write=st.booleans(),
    create=st.booleans(),
    exclusive=st.booleans(),
    truncate=st.booleans(),
    directory=st.just(False),
    follow=st.booleans(),
    append=st.booleans(),
).map(lambda mode: mode._replace(read=mode.read or not mode.write))
FDS = st.integers(0, 3)
OFFSETS = st.sampled_from([0, 1, 3, 10, 5000])
CONTENTS = st.sampled_from([b"", b"x", b"hello", b"long" * 2000])
OPERATIONS = st.one_of(
    st.tuples(st.just("open"), PATHS, MODES),
    st.tuples(st.just("write"), FDS, CONTENTS),
    st.tuples(st.just("write_at"), FDS, CONTENTS, OFFSETS),
    st.tuples(st.just("read"), FDS, OFFSETS),
    st.tuples(st.just("read_at"), FDS, OFFSETS, OFFSETS),
    st.tuples(st.just("seek"), FDS, st.sampled_from([-3, 0, 2, 7000]), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("set_size"), FDS, OFFSETS),
    st.tuples(st.just("allocate"), FDS, OFFSETS, OFFSETS),
    st.tuples(st.just("close"), FDS),
    st.tuples(st.just("set_times"), PATHS, st.booleans()),
    st.tuples(st.just("stat"), PATHS, st.booleans()),
    st.tuples(st.just("mkdir"), PATHS),
    st.tuples(st.just("rmdir"), PATHS),
    st.tuples(st.just("unlink"), PATHS),
    st.tuples(st.just("read_link"), PATHS),
    st.tuples(st.just("symlink"), PATHS, PATHS),
    st.tuples(st.just("link"), PATHS, PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.just("list"), PATHS),
)


class Player:
    """Does operations on one directory; each gives something to compare."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.files: list[File] = []
        self.waiter = Waiter()

    def play(self, operation: tuple[Any, ...]) -> object:
        name, *arguments = operation
        act: Callable[..., object] = getattr(self, name)
        try:
            return act(*arguments)
        except (CapabilityError, OSError) as error:
            return reason(error)

    def _file(self, index: int) -> File:
        if not self.files:
            raise CapabilityError(Errno.BAD_FD)
        return self.files[index % len(self.files)]

    def open(self, path: bytes, mode: OpenMode) -> object:
        opened = self.directory.open(path, mode)
        if opened.directory is not None:
            opened.directory.close()
            return "directory"
        assert opened.file is not None
        self.files.append(opened.file)
        return self._known(opened.file.stat())

    def _known(self, stat: Any) -> object:
        directory = stat.type is FileType.DIRECTORY
        return stat.type, None if directory else (stat.size, stat.links)

    def write(self, fd: int, content: bytes) -> object:
        return self._file(fd).write([memoryview(content)], self.waiter) if content else 0

    def write_at(self, fd: int, content: bytes, offset: int) -> object:
        return self._file(fd).write_at([memoryview(content)], offset) if content else 0

    def read(self, fd: int, size: int) -> object:
        into = bytearray(size)
        return self._file(fd).read([memoryview(into)], self.waiter) if size else 0, bytes(into)

    def read_at(self, fd: int, size: int, offset: int) -> object:
        into = bytearray(size)
        return self._file(fd).read_at([memoryview(into)], offset) if size else 0, bytes(into)

    def seek(self, fd: int, offset: int, whence: int) -> object:
        return self._file(fd).seek(offset, whence)

    def set_size(self, fd: int, size: int) -> object:
        self._file(fd).set_size(size)
        return self._known(self._file(fd).stat())

    def allocate(self, fd: int, offset: int, length: int) -> object:
        self._file(fd).allocate(offset, length)
        return self._known(self._file(fd).stat())

    def close(self, fd: int) -> object:
        file = self._file(fd)
        self.files.remove(file)
        file.close()
        return None

    def set_times(self, path: bytes, follow: bool) -> object:
        self.directory.set_times_path(path, NewTimes(10**18, 2 * 10**18), follow)
        return self.directory.stat_path(path, follow).modified

    def stat(self, path: bytes, follow: bool) -> object:
        return self._known(self.directory.stat_path(path, follow))

    def mkdir(self, path: bytes) -> object:
        return self.directory.create_directory(path)

    def rmdir(self, path: bytes) -> object:
        return self.directory.remove_directory(path)

    def unlink(self, path: bytes) -> object:
        return self.directory.unlink(path)

    def read_link(self, path: bytes) -> object:
        return self.directory.read_link(path)

    def symlink(self, target: bytes, path: bytes) -> object:
        return self.directory.symlink(target, path)

    def link(self, path: bytes, new: bytes) -> object:
        return self.directory.link(path, self.directory, new)

    def rename(self, path: bytes, new: bytes) -> object:
        return self.directory.rename(path, self.directory, new)

    def list(self, path: bytes) -> object:
        opened = self.directory.open(path, OpenMode(directory=True)).directory
        assert opened is not None
        try:
            return sorted((entry.name, entry.type) for entry in opened.entries())
        finally:
            opened.close()


def shown(world: World, path: str = ".") -> dict[str, object]:
    found: dict[str, object] = {}
    for name in world.see.names(path):
        whole = name if path == "." else f"{path}/{name}"
        stat = world.see.stat(whole)
        found[whole] = stat.type
        if stat.type is FileType.DIRECTORY:
            found.update(shown(world, whole))
        elif stat.type is FileType.REGULAR:
            found[whole] = world.see.bytes(whole), stat.links
    return found


def without_links(found: dict[str, object]) -> dict[str, object]:
    """Without the number of names a file has: applying changes makes each a file of its own."""
    return {path: what[0] if isinstance(what, tuple) else what for path, what in found.items()}


@pytest.mark.parametrize("kind", sorted(WORLDS.keys() - {"kernel"}))
@pytest.mark.parametrize("examples", [20, pytest.param(1500, marks=pytest.mark.slow)])
def test_the_same_answers(kind: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(OPERATIONS, min_size=1, max_size=25))
    def compare(operations: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            host, world = WORLDS["kernel"](Path(one)), WORLDS[kind](Path(other))
            players = Player(host.directory), Player(world.directory)
            for operation in operations:
                expected, got = (player.play(operation) for player in players)
                assert got == expected, operation
            assert shown(world) == shown(host)
            for player in players:
                for file in player.files:
                    file.close()
            if world.tree is not None:
                assert world.tree.used == counted(world.tree)
                if kind == "overlay":
                    expected = shown(host)
                    world.tree.apply(world.root)
                    applied = host_world(world.root)
                    assert without_links(shown(applied)) == without_links(expected)
                    applied.close()
            host.close()
            world.close()

    compare()


def counted(tree: Tree) -> tuple[int, int]:
    """What a tree of which nothing is open has in memory: bytes of contents and link texts; names, pinned or hidden."""
    size = names = 0
    seen: set[int] = set()
    waiting = [tree._volume.root]
    while waiting:
        directory = waiting.pop()
        names += len(directory.names) + len(directory.hidden)
        for node in directory.names.values():
            if isinstance(node, DirNode):
                waiting.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                own = node.data if isinstance(node, FileNode) else node.target if isinstance(node, LinkNode) else None
                size += len(own or b"")
    return size, names
