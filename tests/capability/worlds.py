"""All kinds of directories, with the same hostile tree in each."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import final

from tests.capability.test_path import RESOLVERS, build
from wardian.capability.filesystem.host import HostDirectory
from wardian.capability.filesystem.metered import Meter, MeteredDirectory
from wardian.capability.filesystem.path import resolver
from wardian.capability.filesystem.quota import Quota
from wardian.capability.filesystem.tree.lookup import parent
from wardian.capability.filesystem.tree.tree import Tree
from wardian.capability.filesystem.types import Directory, FileStat, OpenMode
from wardian.capability.poll import Waiter


@final
class See:
    """What a directory shows to whoever may only look."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def bytes(self, path: str) -> bytes:
        file = self._directory.open(path.encode(), OpenMode()).file
        assert file is not None
        into = memoryview(bytearray(file.stat().size + 1))
        count = file.read([into], Waiter())
        file.close()
        return bytes(into[:count])

    def names(self, path: str) -> list[str]:
        found = self._directory.open(path.encode(), OpenMode(directory=True)).directory
        assert found is not None
        names = sorted(os.fsdecode(entry.name) for entry in found.entries())
        found.close()
        return names

    def stat(self, path: str) -> FileStat:
        return self._directory.stat_path(path.encode(), False)

    def target(self, path: str) -> str:
        return os.fsdecode(self._directory.read_link(path.encode()))

    def all(self, path: str = ".") -> dict[str, object]:
        """Everything: types, contents or sizes, times of files, numbers of links."""
        found: dict[str, object] = {}
        for name in self.names(path):
            whole = name if path == "." else f"{path}/{name}"
            stat = self.stat(whole)
            found[whole] = (stat.type, stat.modified, stat.links)
            if stat.type.name == "DIRECTORY":
                found.update(self.all(whole))
            elif stat.type.name == "REGULAR":
                found[whole] = (stat.type, stat.modified, stat.links, self.bytes(whole))
        return found


@final
class World:
    """``readonly`` is the same directory as ``directory``, granted for reading only."""

    def __init__(self, directory: Directory, readonly: Directory, root: Path, tree: Tree | None = None) -> None:
        self.directory = directory
        self.readonly = readonly
        self.see = See(readonly)
        self.root = root
        self.tree = tree

    def close(self) -> None:
        self.directory.close()
        self.readonly.close()
        if self.tree is not None:
            self.tree.close()


def _host(root: Path, name: str, readonly: bool) -> HostDirectory:
    return HostDirectory(os.open(root, os.O_RDONLY | os.O_DIRECTORY), RESOLVERS[name](), readonly)


def host_world(root: Path) -> World:
    return World(_host(root, "kernel", False), _host(root, "kernel", True), root)


def kernel(base: Path) -> World:
    return host_world(build(base))


def walk(base: Path) -> World:
    root = build(base)
    return World(_host(root, "walk", False), _host(root, "walk", True), root)


def metered(base: Path) -> World:
    root = build(base)
    meter = Meter(Quota(1 << 30, 1 << 20, 1 << 62))

    def opened(readonly: bool) -> Directory:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        return MeteredDirectory(HostDirectory(fd, resolver(), readonly), meter)

    return World(opened(False), opened(True), root)


def _of(tree: Tree, root: Path) -> World:
    return World(tree.mount(), tree.mount(readonly=True), root, tree)


def overlay(base: Path) -> World:
    root = build(base)
    return _of(Tree.over(root), root)


def archive(base: Path) -> World:
    root = build(base)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.add(root, ".")
    return _of(Tree.from_archive(file), root)


def memory(base: Path) -> World:
    """Everything made through the capability itself, but for links that are absolute: a guest cannot make those."""
    root = build(base)
    tree = Tree()
    directory = tree.mount()
    for path in sorted(root.rglob("*")):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            volume = tree._volume
            place = parent(volume, volume.root, name)
            node = volume.new_link(os.fsencode(os.readlink(path)), time.time_ns())
            volume.attach(place.directory, place.name, node, time.time_ns())
        elif path.is_dir():
            directory.create_directory(name)
        else:
            file = directory.open(name, OpenMode(write=True, create=True)).file
            assert file is not None
            file.write([memoryview(path.read_bytes())], Waiter())
            file.close()
    return _of(tree, root)


WORLDS: dict[str, Callable[[Path], World]] = {
    "kernel": kernel,
    "walk": walk,
    "metered": metered,
    "overlay": overlay,
    "archive": archive,
    "memory": memory,
}
