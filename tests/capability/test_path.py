"""Both resolvers give the same answers, and neither ever leaves its root."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardian.capability.filesystem.path import KernelResolver, Resolver, WalkResolver, resolver

OUT = errno.EPERM
"""How a path that leads out is refused."""


def kernel() -> Resolver:
    try:
        return KernelResolver()
    except OSError as error:
        pytest.skip(f"no openat2 on this host: {error}")


RESOLVERS = {"kernel": kernel, "walk": WalkResolver}


def choosing(name: str) -> Callable[..., Resolver]:
    """Stands for :func:`resolver`, and always chooses that one."""
    return lambda *probe: RESOLVERS[name]()


@pytest.fixture(params=sorted(RESOLVERS))
def resolve(request: pytest.FixtureRequest) -> Resolver:
    return RESOLVERS[request.param]()


def build(base: Path) -> Path:
    """A tree with everything hostile in it; returns the root, beside which lies what must stay out of reach."""
    root = base / "root"
    (root / "dir" / "nested").mkdir(parents=True)
    (root / "file").write_text("file")
    (root / "dir" / "inner").write_text("inner")
    (base / "secret").write_text("secret")
    (base / "outside").mkdir()
    (base / "outside" / "secret").write_text("secret")
    links = {
        "to_file": "file",
        "to_dir": "dir",
        "to_dir_slash": "dir/",
        "to_file_slash": "file/",
        "to_inner": "dir/inner",
        "to_dot": ".",
        "to_up_inside": "dir/../file",
        "dangling": "nowhere",
        "dangling_deep": "nowhere/else",
        "self": "self",
        "ping": "pong",
        "pong": "ping",
        "out_up": "..",
        "out_file": "../secret",
        "out_dir": "../outside",
        "out_dir_slash": "../outside/",
        "out_and_back": "../root/file",
        "out_absolute": "/etc/passwd",
        "out_absolute_root": "/",
        "via_link": "to_dir/inner",
        "via_out": "out_dir/secret",
        "dir/up": "../file",
        "dir/up_dir": "..",
        "dir/up_out": "../../secret",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    (root / "chain0").symlink_to("file")
    for i in range(1, 45):
        (root / f"chain{i}").symlink_to(f"chain{i - 1}")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def outcome(resolve: Resolver, root_fd: int, path: bytes, flags: int) -> tuple[str, object]:
    """What opening gives: the inode, or the error."""
    try:
        fd = resolve.open(root_fd, path, flags, 0o600)
    except OSError as error:
        return "error", errno.errorcode[error.errno or 0]
    try:
        return "inode", os.fstat(fd).st_ino
    finally:
        os.close(fd)


INSIDE = {
    "file": "file",
    "./file": "file",
    ".//./file": "file",
    "dir/inner": "dir/inner",
    "dir//inner": "dir/inner",
    "dir/../file": "file",
    "dir/nested/../../file": "file",
    "dir/./nested/.././../dir/inner": "dir/inner",
    "to_file": "file",
    "to_inner": "dir/inner",
    "via_link": "dir/inner",
    "to_dir/inner": "dir/inner",
    "to_dir_slash/inner": "dir/inner",
    "to_dot/file": "file",
    "to_dot/to_dot/to_dot/file": "file",
    "to_up_inside": "file",
    "dir/up": "file",
    "dir/up_dir/file": "file",
    "to_dir/up": "file",
    "chain39": "file",
    "dir": "dir",
    "dir/": "dir",
    "dir//": "dir",
    "dir/.": "dir",
    "dir/nested/..": "dir",
    "to_dir": "dir",
    "to_dir/": "dir",
    "to_dir/.": "dir",
    "to_dir_slash": "dir",
    ".": ".",
    "./": ".",
    "dir/..": ".",
    "to_dot": ".",
}

REFUSED = {
    "..": OUT,
    "../": OUT,
    "../root/file": OUT,
    "../secret": OUT,
    "dir/../..": OUT,
    "dir/../../secret": OUT,
    "dir/../../root/file": OUT,
    "./../secret": OUT,
    "/": OUT,
    "/file": OUT,
    "//file": OUT,
    "/etc/passwd": OUT,
    "out_up": OUT,
    "out_up/secret": OUT,
    "out_up/": OUT,
    "out_up/.": OUT,
    "out_file": OUT,
    "out_dir": OUT,
    "out_dir/": OUT,
    "out_dir/.": OUT,
    "out_dir/secret": OUT,
    "out_dir_slash": OUT,
    "out_and_back": OUT,
    "out_absolute": OUT,
    "out_absolute_root": OUT,
    "out_absolute_root/etc/passwd": OUT,
    "via_out": OUT,
    "dir/up_out": OUT,
    "to_dir/up_out": OUT,
    "dir/up_dir/../secret": OUT,
    "": errno.ENOENT,
    "nowhere": errno.ENOENT,
    "nowhere/..": errno.ENOENT,
    "nowhere/../file": errno.ENOENT,
    "dangling": errno.ENOENT,
    "dangling/": errno.ENOENT,
    "dangling_deep": errno.ENOENT,
    "file/": errno.ENOTDIR,
    "file/.": errno.ENOTDIR,
    "file/..": errno.ENOTDIR,
    "file/../file": errno.ENOTDIR,
    "file/x": errno.ENOTDIR,
    "to_file/": errno.ENOTDIR,
    "to_file/.": errno.ENOTDIR,
    "to_file_slash": errno.ENOTDIR,
    "to_file/../file": errno.ENOTDIR,
    "self": errno.ELOOP,
    "self/": errno.ELOOP,
    "self/x": errno.ELOOP,
    "ping": errno.ELOOP,
    "chain40": errno.ELOOP,
    "file\0": errno.EINVAL,
    "\0": errno.EINVAL,
    "dir/\0/../file": errno.EINVAL,
    "x" * 256: errno.ENAMETOOLONG,
    "dir/" + "x" * 256: errno.ENAMETOOLONG,
    "./" * 2100 + "file": errno.ENAMETOOLONG,
}


@pytest.mark.parametrize("path", INSIDE)
def test_inside(resolve: Resolver, root: Path, root_fd: int, path: str) -> None:
    expected = os.stat(root / INSIDE[path]).st_ino
    assert outcome(resolve, root_fd, path.encode(), os.O_RDONLY) == ("inode", expected)


@pytest.mark.parametrize("path", REFUSED)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_PATH, os.O_RDONLY | os.O_TRUNC], ids=["read", "path", "trunc"])
def test_refused(resolve: Resolver, root_fd: int, path: str, flags: int) -> None:
    assert outcome(resolve, root_fd, path.encode(), flags) == ("error", errno.errorcode[REFUSED[path]])


def test_the_longest_path(resolve: Resolver, root: Path, root_fd: int) -> None:
    longest = b"./" * 2045 + b".file"[1:]
    assert len(longest) == 4094
    assert outcome(resolve, root_fd, longest, os.O_RDONLY)[0] == "inode"
    assert outcome(resolve, root_fd, b"./" + longest, os.O_RDONLY) == ("error", "ENAMETOOLONG")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("to_file", "ELOOP"), ("out_file", "ELOOP"), ("dangling", "ELOOP"), ("self", "ELOOP"), ("out_absolute", "ELOOP")],
)
def test_a_last_link_is_not_followed_unless_asked(
    resolve: Resolver, root_fd: int, path: str, expected: str
) -> None:
    assert outcome(resolve, root_fd, path.encode(), os.O_RDONLY | os.O_NOFOLLOW) == ("error", expected)


@pytest.mark.parametrize("path", ["to_file", "out_file", "dangling", "self", "out_absolute", "to_dir/up"])
def test_the_link_itself_can_be_named(resolve: Resolver, root: Path, root_fd: int, path: str) -> None:
    expected = os.lstat(root / path).st_ino
    assert outcome(resolve, root_fd, path.encode(), os.O_PATH | os.O_NOFOLLOW) == ("inode", expected)


def test_a_slash_follows_even_so(resolve: Resolver, root: Path, root_fd: int) -> None:
    flags = os.O_PATH | os.O_NOFOLLOW
    assert outcome(resolve, root_fd, b"to_dir/", flags) == ("inode", os.stat(root / "dir").st_ino)
    assert outcome(resolve, root_fd, b"out_dir/", flags) == ("error", errno.errorcode[OUT])


@pytest.mark.parametrize(
    ("path", "flags", "expected"),
    [
        ("new", 0, None),
        ("dir/../new", 0, None),
        ("dangling", 0, None),
        ("dangling", os.O_EXCL, "EEXIST"),
        ("dangling", os.O_NOFOLLOW, "ELOOP"),
        ("file", os.O_EXCL, "EEXIST"),
        ("new/", 0, "EISDIR"),
        ("dir", 0, "EISDIR"),
        ("dir/", 0, "EISDIR"),
        ("to_dir/", 0, "EISDIR"),
        ("nowhere/new", 0, "ENOENT"),
        ("dangling_deep", 0, "ENOENT"),
        ("out_new", 0, "EPERM"),
        ("../new", 0, "EPERM"),
        ("out_up/new", 0, "EPERM"),
        ("out_file", 0, "EPERM"),
        ("/new", 0, "EPERM"),
    ],
)
def test_creating(resolve: Resolver, tmp_path: Path, path: str, flags: int, expected: str | None) -> None:
    root = build(tmp_path)
    (root / "out_new").symlink_to("../new")
    before = sorted(os.listdir(tmp_path)), (tmp_path / "secret").read_text()
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        got = outcome(resolve, root_fd, path.encode(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags)
    finally:
        os.close(root_fd)
    assert got == ("error", expected) if expected else got[0] == "inode"
    assert (sorted(os.listdir(tmp_path)), (tmp_path / "secret").read_text()) == before


def test_depth(resolve: Resolver, tmp_path: Path) -> None:
    """Deep down and all the way up again, with few descriptors open at a time."""
    depth = 600
    fd = os.open(tmp_path, os.O_RDONLY)
    root_fd = os.dup(fd)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    (tmp_path / "file").write_text("")
    try:
        for up in (0, 1, 31, 32, 33, 100, depth):
            path = b"d/" * depth + b"../" * up
            wanted = os.path.join(tmp_path, *["d"] * (depth - up))
            assert outcome(resolve, root_fd, path, os.O_RDONLY) == ("inode", os.stat(wanted).st_ino)
        assert outcome(resolve, root_fd, b"d/" * depth + b"../" * depth + b"file", os.O_RDONLY)[0] == "inode"
        assert outcome(resolve, root_fd, b"d/" * depth + b"../" * (depth + 1), os.O_RDONLY) == ("error", "EPERM")
    finally:
        os.close(root_fd)


def test_no_descriptor_is_left_open(resolve: Resolver, root_fd: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (*INSIDE, *REFUSED):
        outcome(resolve, root_fd, path.encode(), os.O_RDONLY)
        try:
            with resolve.parent(root_fd, path.encode()):
                pass
        except OSError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_new_descriptor_is_not_inherited(resolve: Resolver, root_fd: int) -> None:
    fd = resolve.open(root_fd, b"file", os.O_RDONLY)
    assert not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "name", "slash", "directory"),
    [
        ("file", b"file", False, "."),
        ("dir/inner", b"inner", False, "dir"),
        ("dir/", b"dir", True, "."),
        ("to_dir/x", b"x", False, "dir"),
        ("to_dir", b"to_dir", False, "."),
        ("out_dir", b"out_dir", False, "."),
        ("dir/.", b".", False, "dir"),
        ("dir/..", b".", False, "."),
        ("dir/nested/../", b".", True, "dir"),
        (".", b".", False, "."),
    ],
)
def test_parent(
    resolve: Resolver, root: Path, root_fd: int, path: str, name: bytes, slash: bool, directory: str
) -> None:
    with resolve.parent(root_fd, path.encode()) as found:
        assert (found.name, found.slash) == (name, slash)
        assert os.fstat(found.fd).st_ino == os.stat(root / directory).st_ino


@pytest.mark.parametrize("path", ["../x", "/x", "out_dir/x", "dir/../../x", "..", "dir/../..", "out_up/.", "", "x\0"])
def test_no_parent_outside(resolve: Resolver, root_fd: int, path: str) -> None:
    with pytest.raises(OSError) as caught, resolve.parent(root_fd, path.encode()):
        pass
    assert caught.value.errno in (errno.EPERM, errno.ENOENT if not path else errno.EINVAL)


NAMES = st.sampled_from(
    ["", ".", "..", "dir", "nested", "file", "inner", "to_dir", "to_file", "to_dot", "out_up", "out_dir", "self",
     "out_absolute", "dangling", "up_dir", "up", "to_dir_slash", "x"]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(NAMES, min_size=1, max_size=8),
    flags=st.sampled_from(
        [0, os.O_PATH, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_PATH | os.O_NOFOLLOW, os.O_DIRECTORY | os.O_NOFOLLOW]
    ),
)
def test_both_resolvers_agree(root: Path, root_fd: int, parts: list[str], flags: int) -> None:
    path = "/".join(parts).encode()
    assert outcome(kernel(), root_fd, path, flags) == outcome(WalkResolver(), root_fd, path, flags)


def test_the_host_chooses() -> None:
    assert isinstance(resolver(), KernelResolver | WalkResolver)


@pytest.mark.parametrize("swap", ["link", "move"])
def test_a_race_leads_nowhere(resolve: Resolver, tmp_path: Path, swap: str) -> None:
    """While paths are resolved, a directory on the way is swapped for a link out, or moved out itself."""
    root = tmp_path / "root"
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "evil").symlink_to("../outside")
    outside = tmp_path / "outside"
    (outside / "b" / "c").mkdir(parents=True)
    (tmp_path / "secret").write_text("")
    (outside / "secret").write_text("")
    (root / "secret").write_text("")
    (root / "a" / "secret").write_text("")
    allowed = {os.stat(root / "secret").st_ino, os.stat(root / "a" / "secret").st_ino}
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            if swap == "link":
                os.rename(root / "a", root / "kept")
                os.rename(root / "evil", root / "a")
                os.rename(root / "a", root / "evil")
                os.rename(root / "kept", root / "a")
            else:
                os.rename(root / "a" / "b", tmp_path / "moved")
                os.rename(tmp_path / "moved", root / "a" / "b")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(1500):
            for path in (b"a/secret", b"a/b/c/../../secret", b"a/b/c/../../../secret", b"a/b/c/../../../../secret"):
                kind, what = outcome(resolve, root_fd, path, os.O_RDONLY)
                assert what in allowed if kind == "inode" else what in ("ENOENT", "EPERM", "EAGAIN"), (path, what)
    finally:
        stop.set()
        thread.join()
        os.close(root_fd)
