"""Trees: what they are made from, their bounds, what changed, and how several guests share one."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.capability.test_directory import BOTH, CREATE, READ, WAITER, failure, open_file, touch
from tests.capability.worlds import See
from wardian.capability.errno import Errno
from wardian.capability.filesystem.tree.changes import Change
from wardian.capability.filesystem.tree.tree import Symlink, Tree
from wardian.capability.filesystem.types import Directory, NewTimes, OpenMode

APPEND = OpenMode(read=False, write=True, create=True, append=True)


def write(directory: Directory, path: str, content: bytes, mode: OpenMode = CREATE) -> int:
    file = open_file(directory, path.encode(), mode)
    try:
        return file.write([memoryview(content)], WAITER)
    finally:
        file.close()


def test_contents() -> None:
    tree = Tree({"a": b"1", "d/e": "é", "d": {"f": bytearray(b"2"), "g": {}}, "/x//./y": b"", "l": Symlink("d/e")})
    assert tree.paths() == ["a", "d/", "d/e", "d/f", "d/g/", "l", "x/", "x/y"]
    assert tree.read("l") == "é".encode() == tree.read("/d/e") and tree.read("d/f") == b"2"
    assert tree.changes() == [] and tree.used == (0, 0)


@pytest.mark.parametrize(
    ("contents", "error"),
    [
        ({"../a": b""}, ValueError),
        ({"a/../b": b""}, ValueError),
        ({"a\0": b""}, ValueError),
        ({"x" * 256: b""}, ValueError),
        ({"": b""}, ValueError),
        ({"a": b"", "a/b": b""}, ValueError),
        ({"l": Symlink("/etc")}, ValueError),
        ({"l": Symlink("")}, ValueError),
        ({"a": 5}, TypeError),
        ({"a": None}, TypeError),
    ],
)
def test_contents_that_no_tree_can_have(contents: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Tree(contents)


def test_reading_what_is_not_there() -> None:
    tree = Tree({"d": {}})
    for path in ("nowhere", "d", "d/x"):
        with pytest.raises(OSError, match=path):
            tree.read(path)


def test_changes() -> None:
    files = {"same": b"1", "times": b"1", "changed": b"1", "gone": b"", "moved": b"m"}
    tree = Tree({**files, "dir": {"in": b""}, "old": {}})
    root = tree.mount()
    write(root, "changed", b"22", BOTH)
    root.unlink(b"gone")
    root.rename(b"moved", root, b"there")
    root.rename(b"dir", root, b"dir2")
    root.remove_directory(b"old")
    root.create_directory(b"old")
    root.symlink(b"same", b"link")
    write(root, "new", b"n")
    write(root, "short", b"s")
    root.unlink(b"short")
    root.set_times_path(b"times", NewTimes(1, 1), False)
    assert tree.changes() == [
        Change("changed", "changed", "file"), Change("removed", "dir", "directory"),
        Change("added", "dir2", "directory"), Change("added", "dir2/in", "file"), Change("removed", "gone", "file"),
        Change("added", "link", "link"), Change("removed", "moved", "file"), Change("added", "new", "file"),
        Change("removed", "old", "directory"), Change("added", "old", "directory"), Change("added", "there", "file"),
    ]  # fmt: skip


def test_over_a_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("lower")
    (tmp_path / "script").write_text("x")
    tree = Tree.over(tmp_path)
    root = tree.mount()
    write(root, "sub/file", b"UP", BOTH)
    root.rename(b"script", root, b"sub/script")
    assert tree.read("sub/file") == b"UPwer" and tree.read("sub/script") == b"x"
    assert (tmp_path / "sub" / "file").read_text() == "lower" and (tmp_path / "script").exists()
    tree.apply(tmp_path)
    assert (tmp_path / "sub" / "file").read_text() == "UPwer" and (tmp_path / "sub" / "script").read_text() == "x"
    assert sorted(os.listdir(tmp_path)) == ["sub"]
    tree.close()


def test_export(tmp_path: Path) -> None:
    tree = Tree({"d": {"f": b"1"}, "l": Symlink("d/f")})
    write(tree.mount(), "d/big", bytes(3 << 20))
    tree.export(tmp_path)
    assert (tmp_path / "d" / "f").read_bytes() == b"1" and os.readlink(tmp_path / "l") == "d/f"
    assert (tmp_path / "d" / "big").stat().st_size == 3 << 20
    with pytest.raises(OSError):
        tree.export(tmp_path)


def test_a_link_of_the_guest_leads_the_export_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "d").symlink_to("../outside")
    tree = Tree({"d": {"f": b"1"}})
    write(tree.mount(), "d/f", b"2", BOTH)
    for act in (tree.export, tree.apply):
        with pytest.raises(OSError):
            act(tmp_path / "into")
    assert os.listdir(tmp_path / "outside") == [] and os.listdir(tmp_path / "into") == ["d"]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        tree = Tree.over(tmp_path)
        root = tree.mount()
        touch(root, b"file", READ)
        write(root, "file", b"1", BOTH)
        list(root.entries())
        del tree, root
    assert len(os.listdir("/proc/self/fd")) == before


# Archives.


def zipped(**members: bytes) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return file


def test_zip(tmp_path: Path) -> None:
    file = zipped(a=b"1", d__e=b"2" * 100_000)
    with zipfile.ZipFile(file, "a") as archive:
        archive.mkdir("empty")
        link = zipfile.ZipInfo("l")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "d/e")
    (tmp_path / "t.zip").write_bytes(file.getvalue())
    for source in (file, tmp_path / "t.zip", str(tmp_path / "t.zip")):
        tree = Tree.from_archive(source)
        assert tree.paths() == ["a", "d/", "d/e", "empty/", "l"]
        assert tree.read("l") == b"2" * 100_000 and tree.used == (0, 0)
        root = tree.mount()
        write(root, "d/e", b"3", OpenMode(write=True, append=True))
        assert tree.read("d/e") == b"2" * 100_000 + b"3" and tree.used == (100_001, 2)
        tree.close()


def test_an_open_member_counts_while_it_is_open() -> None:
    tree = Tree.from_archive(zipped(a=b"x" * 1000, b=b"y" * 1000), max_bytes=1500)
    root = tree.mount()
    one, again = open_file(root, b"a", READ), open_file(root, b"a", READ)
    assert tree.used[0] == 1000
    assert failure(lambda: touch(root, b"b", READ)) is Errno.NO_SPACE
    one.close()
    again.close()
    touch(root, b"b", READ)
    assert tree.used == (0, 0)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar(mode: Any) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, kind, text in (("./d/f", tarfile.REGTYPE, "hi"), ("hard", tarfile.LNKTYPE, "./d/f"),
                                 ("soft", tarfile.SYMTYPE, "d/f"), ("fifo", tarfile.FIFOTYPE, "")):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, text
            member.mtime = 1_000_000_000
            member.size = 2 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"hi") if member.size else None)
    tree = Tree.from_archive(file)
    assert tree.paths() == ["d/", "d/f", "hard", "soft"]
    assert tree.read("hard") == tree.read("soft") == b"hi"
    assert tree.mount().stat_path(b"d/f", False).modified == 10**18


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "d/.."])
def test_members_that_lead_out(name: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        Tree.from_archive(zipped(**{name.replace("/", "__"): b""}))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match="leads out"):
        Tree.from_archive(file)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"hello", b"\x1f\x8b\x08" + bytes(20), b"x" * 1024])
def test_no_archive(content: bytes) -> None:
    with pytest.raises(ValueError):
        Tree.from_archive(io.BytesIO(content))


def test_damaged_members_are_input_errors() -> None:
    content = bytearray(zipped(a=bytes(range(256)) * 40).getvalue())
    content[60:80] = bytes(20)
    root = Tree.from_archive(io.BytesIO(content)).mount()
    assert failure(lambda: touch(root, b"a", READ)) is Errno.IO


def test_a_member_larger_than_it_says_is_an_input_error() -> None:
    file = zipped(a=b"x" * 1000)
    content = file.getvalue().replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    tree = Tree.from_archive(io.BytesIO(content))
    assert failure(lambda: touch(tree.mount(), b"a", READ)) is Errno.IO and tree.used == (0, 0)


# fsspec.


class Remote:
    """What is used of an fsspec file system, over a dictionary."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.fetched: list[str] = []

    def info(self, path: str) -> dict[str, Any]:
        if path in self.files:
            return {"name": path, "type": "file", "size": len(self.files[path]), "mtime": 5.0}
        if any(name.startswith(path + "/") for name in self.files):
            return {"name": path, "type": "directory", "size": None}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True) -> list[dict[str, Any]]:
        prefix = path + "/" if path else ""
        names = {name[len(prefix) :].partition("/")[0] for name in self.files if name.startswith(prefix)}
        return [self.info(prefix + name) for name in sorted(names)]

    def cat_file(self, path: str) -> bytes:
        self.fetched.append(path)
        return self.files[path]


def test_fsspec() -> None:
    remote = Remote({"bucket/a": b"1", "bucket/d/e": b"22", "other": b""})
    tree = Tree.from_fsspec(remote, "bucket")
    assert tree.paths() == ["a", "d/", "d/e"] and remote.fetched == []
    assert tree.read("d/e") == b"22" and remote.fetched == ["bucket/d/e"]
    root = tree.mount()
    write(root, "d/e", b"3", BOTH)
    write(root, "n", b"4")
    assert tree.changes() == [Change("changed", "d/e", "file"), Change("added", "n", "file")]
    assert root.stat_path(b"a", False).modified == 5 * 10**9 and remote.files["bucket/d/e"] == b"22"
    assert Tree.from_fsspec(remote).paths() == ["bucket/", "bucket/a", "bucket/d/", "bucket/d/e", "other"]


def test_the_real_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"local")
    assert Tree.from_fsspec(fsspec.filesystem("file"), str(tmp_path)).read("d/f") == b"local"
    memory = fsspec.filesystem("memory")
    memory.pipe({"/top/x/y": b"1", "/top/z": b"2"})
    tree = Tree.from_fsspec(memory, "/top")
    assert tree.paths() == ["x/", "x/y", "z"] and tree.read("x/y") == b"1"


# Bounds.


def test_bytes_are_bounded() -> None:
    tree = Tree(max_bytes="100")
    root = tree.mount()
    assert write(root, "a", b"x" * 150) == 100  # As much as fits, as on a full disk.
    assert failure(lambda: write(root, "b", b"x")) is Errno.NO_SPACE
    root.unlink(b"a")
    assert write(root, "b", b"x" * 60) == 60
    file = open_file(root, b"b", BOTH)
    assert failure(lambda: file.set_size(1 << 60)) is Errno.NO_SPACE
    assert failure(lambda: file.allocate(0, 101)) is Errno.NO_SPACE
    assert failure(lambda: file.write_at([memoryview(b"x")], 1 << 40)) is Errno.NO_SPACE
    assert failure(lambda: file.write_at([memoryview(b"x")], (1 << 63) - 1)) is Errno.FILE_TOO_BIG
    root.unlink(b"b")
    assert tree.used == (60, 0)  # It is still open.
    file.close()
    assert tree.used == (0, 0)


def test_copying_from_beneath_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(1000))
    tree = Tree.over(tmp_path, max_bytes=999, max_files=2)
    root = tree.mount()
    assert failure(lambda: write(root, "big", b"x", BOTH)) is Errno.NO_SPACE
    assert tree.used == (0, 0)
    touch(root, b"big", OpenMode(truncate=True))  # Which copies nothing.
    assert tree.used == (0, 1) and tree.read("big") == b""


def test_names_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in "abc":
        (tmp_path / "d" / name).write_text(name)
    tree = Tree.over(tmp_path, max_files=3)
    root = tree.mount()
    acts: list[Callable[[], object]] = [
        lambda: write(root, "d/new", b""),
        lambda: root.create_directory(b"e"),
        lambda: root.symlink(b"x", b"l"),
        lambda: root.link(b"d/a", root, b"f"),
        lambda: root.rename(b"d/a", root, b"d/z"),
        lambda: root.unlink(b"d/b"),
        lambda: root.set_times_path(b"d/c", NewTimes(1, 1), False),
    ]
    results = [failure(act) for act in acts]
    assert Errno.NO_SPACE in results and set(results) == {None, Errno.NO_SPACE}
    assert tree.used[1] <= 3


def test_one_file_is_bounded() -> None:
    root = Tree(max_file_size=10).mount()
    assert write(root, "a", b"x" * 20) == 10
    file = open_file(root, b"a", BOTH)
    assert failure(lambda: file.set_size(11)) is Errno.FILE_TOO_BIG
    assert failure(lambda: file.allocate(5, 6)) is Errno.FILE_TOO_BIG
    assert failure(lambda: file.write_at([memoryview(b"x")], 10)) is Errno.FILE_TOO_BIG
    file.close()
    assert failure(lambda: write(root, "a", b"x", APPEND)) is Errno.FILE_TOO_BIG


def test_bounds_that_are_none() -> None:
    with pytest.raises(ValueError):
        Tree(max_bytes=-1)
    with pytest.raises(TypeError, match="bounds"):
        Tree.over(".", max_memory=1)
    assert write(Tree(max_bytes=None, max_files=None).mount(), "a", b"x") == 1


# Sharing.


def test_two_views_of_one_tree() -> None:
    tree = Tree({"a": b"1"})
    one, other, readonly = tree.mount(), tree.mount(), tree.mount(readonly=True)
    write(one, "b", b"2")
    assert See(readonly).bytes("b") == b"2"
    one.rename(b"a", other, b"c")
    assert failure(lambda: readonly.rename(b"c", one, b"d")) is Errno.PERMISSION
    assert failure(lambda: one.rename(b"c", Tree().mount(), b"d")) is Errno.CROSS_DEVICE


def test_a_removed_directory_takes_nothing_in() -> None:
    root = Tree().mount()
    root.create_directory(b"d")
    inner = root.open(b"d", OpenMode(directory=True)).directory
    assert inner is not None
    root.remove_directory(b"d")
    assert failure(lambda: inner.create_directory(b"x")) is Errno.NO_ENTRY
    assert failure(lambda: write(inner, "x", b"")) is Errno.NO_ENTRY
    assert failure(lambda: root.rename(b"nowhere", inner, b"y")) is Errno.NO_ENTRY
    assert list(inner.entries()) == []


def test_threads_share_a_tree() -> None:
    tree = Tree({"log": b""})
    failures: list[BaseException] = []

    def work(number: int) -> None:
        root = tree.mount()
        try:
            for turn in range(100):
                write(root, f"{number}-{turn}", bytes(turn))
                write(root, "log", b"x", APPEND)
                root.rename(f"{number}-{turn}".encode(), root, f"d{number}-{turn}".encode())
                list(root.entries())
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(tree.read("log")) == 400 and len(tree.paths()) == 401
