"""What code that has taken over a worker can do: nothing. A broken engine (broken.py) tries, and each act is refused:
by seccomp, which ends the worker, and with seccomp left out by the layer behind it."""

from __future__ import annotations

import errno
import os
import pty
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.isolation.broken import X86_ONLY
from tests.isolation.guests import ANY, layers, need
from tests.support import GLUE, ROOT
from wardian.api.engine import Engine
from wardian.isolation.frames import Kind, pack
from wardian.isolation.numbers import machine
from wardian.isolation.policy import Isolation
from wardian.sandbox import isolated as parent
from wardian.sandbox import spawn

EMPTY = b"\0asm\1\0\0\0"


def numbers() -> Mapping[str, int]:
    """The system calls that can be tried on this machine."""
    known = machine()
    found = dict(known.numbers) if known else {}
    return {**found, **X86_ONLY} if os.uname().machine == "x86_64" else found


class Broken:
    """Workers of a broken engine; ``without`` is the layer left out."""

    def __init__(self, without: str) -> None:
        self.zygote = spawn.Zygote(
            f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.argv[3:]]; from tests.isolation.broken import main; "
            f"main(int(sys.argv[1]), sys.argv[2] or None, {without!r})"
        )
        self.engine = Engine(wardian.Config(cache=os.environ[GLUE], lazy=True))

    def act(
        self,
        name: str,
        *args: object,
        dirs: Any = None,
        timeout: float = 20,
        cpu: float | None = None,
        isolation: Isolation = ANY,
        **streams: Any,
    ) -> wardian.RunResult:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parent, "zygote", lambda: self.zygote)
            patch.setattr(parent.border.Objects, "write", lambda self, value: value)
            return wardian.run(
                EMPTY,
                args,
                invoke=name,
                engine=self.engine,
                isolation=isolation,
                dirs=dirs,
                timeout=timeout,
                cpu=cpu,
                **streams,
            )


@pytest.fixture(scope="module")
def broken() -> Iterator[Broken]:
    """With every layer."""
    layers()  # or there can be no worker, and all of this is skipped
    made = Broken("")
    yield made
    made.zygote.close()


@pytest.fixture(scope="module")
def naked() -> Iterator[Broken]:
    """Without the filter of system calls: what lies behind it has to hold."""
    layers()
    made = Broken("seccomp")
    yield made
    made.zygote.close()


ENDED = [
    ("execve", (b"/bin/sh", None, None)),
    ("fork", ()),
    ("vfork", ()),
    ("clone", (17, 0, 0, 0, 0)),
    ("clone", (0x10000000 | 17, 0, 0, 0, 0)),
    ("ptrace", (0, 0, 0, 0)),
    ("ptrace", (16, 1, 0, 0)),
    ("kill", (1, 9)),
    ("kill", (-1, 9)),
    ("tgkill", (2, 2, 9)),
    ("socket", (2, 1, 0)),
    ("socket", (1, 1, 0)),
    ("connect", (0, b"", 0)),
    ("bind", (0, b"", 0)),
    ("accept", (0, None, None)),
    ("mount", (b"none", b"/", b"tmpfs", 0, None)),
    ("pivot_root", (b".", b".")),
    ("chroot", (b"/",)),
    ("setns", (0, 0)),
    ("unshare", (0x10000000,)),
    ("setuid", (0,)),
    ("capset", (b"", b"")),
    ("process_vm_readv", (1, b"", 0, b"", 0, 0)),
    ("process_vm_writev", (1, b"", 0, b"", 0, 0)),
    ("pidfd_open", (1, 0)),
    ("pidfd_send_signal", (0, 9, None, 0)),
    ("bpf", (0, None, 0)),
    ("io_uring_setup", (1, None)),
    ("perf_event_open", (None, 0, 0, 0, 0)),
    ("userfaultfd", (0,)),
    ("keyctl", (0, 0)),
    ("seccomp", (1, 0, None)),
    ("init_module", (None, 0, b"")),
    ("open_by_handle_at", (0, None, 0)),
    ("personality", (0x0040000,)),
    ("shmget", (1, 4096, 0o1600)),
    ("open", (b"/etc/passwd", 0)),
    ("truncate", (b"/etc/passwd", 0)),
    ("chmod", (b"/etc/passwd", 0)),
    ("mmap", (0, 4096, 7, 0x22, -1, 0)),
    ("mprotect", (0, 4096, 7)),
    ("ioctl", (0, 0x5412, b"x")),
    ("fcntl", (0, 8, 1)),
    ("prlimit64", (0, 7, b"\xff" * 16, None)),
    ("unlinkat", (-100, b"/etc/passwd", 0)),
    ("mkdirat", (-100, b"/tmp/x", 0)),
]


@pytest.mark.parametrize(("name", "args"), ENDED, ids=[f"{n}-{name}" for n, (name, _) in enumerate(ENDED)])
def test_a_forbidden_call_ends_the_worker(broken: Broken, name: str, args: tuple[object, ...]) -> None:
    need("seccomp")
    if name not in numbers():
        pytest.skip("the number of this call is not known here")
    result = broken.act(name, *args)
    assert result.status == "killed" and result.trap is not None, result
    assert "SIGSYS" in result.trap.message and "must not" in result.trap.message


@pytest.mark.parametrize(
    ("name", "args", "number"),
    [
        ("openat", (-100, b"/etc/passwd", 0), errno.ENOENT),
        ("openat", (-100, b"/proc/self/mem", 2), errno.ENOENT),
        ("openat", (-100, b"/tmp/new", os.O_CREAT | os.O_WRONLY, 0o600), errno.ENOENT),
        ("prctl", (4, 1, 0, 0, 0), errno.EPERM),
        ("clone3", (None, 0), errno.ENOSYS),
    ],
)
def test_a_call_that_python_makes_fails(broken: Broken, name: str, args: tuple[object, ...], number: int) -> None:
    need("seccomp")
    assert broken.act(name, *args).values == (-1, number)


def test_granted_directories_are_all_there_is(broken: Broken, tmp_path: Path) -> None:
    """A raw descriptor of one does not lead out of it."""
    need("seccomp", "landlock-files", "mount-namespace")
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.write_text("secret")
    (inside / "file").write_text("content")
    (inside / "link").symlink_to(secret)
    dirs = {"/d": inside}
    assert broken.act("openat", "dir", b"file", 0, dirs=dirs).values[0] > 3
    for path in (b"../secret", b"link", str(secret).encode(), b"/proc/self/mem", b"/etc/passwd", b".."):
        result, number = broken.act("openat", "dir", path, 0, dirs=dirs).values
        assert result == -1 and number in (errno.EACCES, errno.ENOENT), path
    for path in (b"../new", b"/tmp/new"):
        result, number = broken.act("openat", "dir", path, os.O_CREAT | os.O_WRONLY, 0o600, dirs=dirs).values
        assert result == -1 and number in (errno.EACCES, errno.ENOENT, errno.EROFS), path
    assert broken.act("renameat", "dir", b"file", "dir", b"../file", dirs=dirs).values[0] == -1
    assert broken.act("linkat", "dir", b"../secret", "dir", b"mine", 0, dirs=dirs).values[0] == -1
    assert broken.act("unlinkat", "dir", b"../secret", 0, dirs=dirs).values == (-1, errno.EACCES)
    assert broken.act("utimensat", "dir", b"../secret", None, 0, dirs=dirs).values == (-1, errno.EPERM)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["inside", "secret"]


def test_a_directory_for_reading_is_not_written(broken: Broken, tmp_path: Path) -> None:
    need("landlock-files")
    (tmp_path / "file").write_text("content")
    dirs = [(str(tmp_path), "/d", True)]
    assert broken.act("openat", "dir", b"file", 0, dirs=dirs).values[0] > 3
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT | os.O_WRONLY, os.O_TRUNC):
        path = b"new" if flags & os.O_CREAT else b"file"
        assert broken.act("openat", "dir", path, flags, 0o600, dirs=dirs).values == (-1, errno.EACCES)
    assert broken.act("unlinkat", "dir", b"file", 0, dirs=dirs).values == (-1, errno.EACCES)
    assert (tmp_path / "file").read_text() == "content"


def test_only_what_was_granted_is_open(broken: Broken, tmp_path: Path) -> None:
    assert broken.act("descriptors", 0).values[0] == 2  # the pipes that take its output
    assert broken.act("descriptors", 0, dirs={"/d": tmp_path}).values[0] == 3


def test_a_terminal_is_out_of_reach(broken: Broken) -> None:
    """The worker has it for reading only, and what it writes passes the filter out here."""
    ours, theirs = pty.openpty()
    try:
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        assert broken.act("screens", 0, **streams).values == (1, 0)
        broken.act("write", "out", b"\x1b]0;title\x07\x1b[2Jtext\n", 19, **streams)
        shown = os.read(ours, 100)
        assert b"text" in shown and b"\x1b" not in shown and b"\x07" not in shown
    finally:
        os.close(ours)
        os.close(theirs)


# -- behind the filter -------------------------------------------------------------------------------------------------


def refused(result: wardian.RunResult, *numbers: int) -> None:
    assert result.status == "exited", result
    assert result.values[0] == -1 and result.values[1] in numbers, result.values


def test_without_the_filter_files_are_out_of_reach(naked: Broken, tmp_path: Path) -> None:
    need("landlock-files", "mount-namespace")
    for path in (b"/etc/passwd", b"/proc/self/mem", b"/dev/null", str(tmp_path).encode()):
        refused(naked.act("openat", -100, path, 0), errno.ENOENT)
    refused(naked.act("openat", -100, b"/", 0), errno.EACCES)
    refused(naked.act("mkdirat", -100, b"/x", 0o700), errno.EACCES, errno.EROFS)
    refused(naked.act("execve", b"/bin/sh", None, None), errno.ENOENT, errno.EACCES)


def test_without_the_filter_nobody_can_be_signalled_or_traced(naked: Broken) -> None:
    need("pid-namespace")
    for pid in (os.getpid(), os.getppid(), 2, 3):
        refused(naked.act("kill", pid, 9), errno.ESRCH, errno.EPERM)
        refused(naked.act("ptrace", 16, pid, 0, 0), errno.ESRCH, errno.EPERM)
        refused(naked.act("read_memory", pid), errno.ESRCH, errno.EPERM)
        refused(naked.act("pidfd_open", pid, 0), errno.ESRCH, errno.EINVAL)
    refused(naked.act("ptrace", 16, 1, 0, 0), errno.EPERM)


def test_without_the_filter_there_is_no_network(naked: Broken) -> None:
    need("network-namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused(naked.act("connect_to", port), errno.ENETUNREACH, errno.EACCES)
    name = f"wardian-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        refused(naked.act("connect_abstract", name.encode()), errno.ECONNREFUSED, errno.EPERM)


def test_without_the_filter_there_are_no_privileges(naked: Broken) -> None:
    need("capabilities", "user-namespace")
    refused(naked.act("mount", b"none", b"/", b"tmpfs", 0, None), errno.EPERM)
    refused(naked.act("chroot", b"/"), errno.EPERM, errno.EACCES)
    refused(naked.act("setuid", 12345), errno.EPERM, errno.EINVAL)
    refused(naked.act("init_module", None, 0, b""), errno.EPERM, errno.ENOSYS)


def test_memory_beyond_the_bound_is_refused_by_the_kernel(broken: Broken) -> None:
    bounds = ANY.__replace__(overhead=-(5 << 30) + (64 << 20))  # what the engine's limits add comes off again
    assert broken.act("eat", 16 << 20, isolation=bounds).values == (1, 0)
    assert broken.act("eat", 128 << 20, isolation=bounds).values == (0, errno.ENOMEM)


# -- workers that misbehave lose nothing but themselves ----------------------------------------------------------------


def test_a_fork_bomb_is_one_dead_worker(broken: Broken) -> None:
    need("seccomp")
    result = broken.act("fork_bomb", 0)
    assert result.status == "killed" and result.trap is not None and "SIGSYS" in result.trap.message


def test_a_worker_that_ignores_everything_is_killed(broken: Broken) -> None:
    before = time.monotonic()
    result = broken.act("spin", 0, timeout=0.2)
    assert result.status == "timeout" and result.trap is not None and "did not stop" in result.trap.message
    assert time.monotonic() - before < 15


def test_processor_time_holds_for_such_a_worker(broken: Broken) -> None:
    result = broken.act("spin", 0, timeout=60, cpu=0.2)
    assert result.status == "timeout" and result.trap is not None and "processor time" in result.trap.message


def test_a_crash_is_reported(broken: Broken) -> None:
    result = broken.act("segfault", 0)
    assert result.status == "killed" and result.trap is not None and "SIGSEGV" in result.trap.message
    result = broken.act("exit", 0)
    assert result.status == "killed" and result.trap is not None and "without a result" in result.trap.message


GARBAGE = {
    "nothing that is a frame": b"\xff" * 100,
    "an endless frame": struct.pack("<QB", 1 << 60, Kind.RESULT),
    "a frame of no kind": struct.pack("<QB", 1, 99) + b"n",
    "half a frame": pack(Kind.RESULT, {"status": "exited"})[:-3],
    "a result of the wrong form": pack(Kind.RESULT, {"status": "exited", "returncode": "0"}),
    "a result that is none": pack(Kind.RESULT, None),
    "an end that is none": pack(Kind.RESULT, {"status": "won", "returncode": 0}),
    "a second report": pack(Kind.READY, ()),
    "an entry for the cache": pack(Kind.STORE, ("0" * 40, b"code")),
    "a call of what was not given": pack(Kind.CALL, (0, ())),
    "a call that is none": pack(Kind.CALL, "call"),
    "a handle nobody gave out": pack(Kind.RESULT, {"status": "exited", "returncode": 0, "values": (1,)}),
    "a parent's word": pack(Kind.JOB, None),
    "an error of no kind": pack(Kind.ERROR, {"name": "SystemExit", "text": "x"}),
    "an error of the wrong form": pack(Kind.ERROR, {"name": 1}),
    "a load of a path": pack(Kind.LOAD, 7),
    "questions without waiting for answers": pack(Kind.LOAD, "key") * 1000,
    "a frame larger than any": pack(Kind.RESULT, b"x" * (4 << 20)),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_a_worker_says_is_not_believed(broken: Broken, what: str) -> None:
    result = broken.act("speak", GARBAGE[what])
    assert result.status == "killed" and result.trap is not None and result.trap.code == "worker", result


def test_a_worker_cannot_ask_for_the_caches_secret(broken: Broken) -> None:
    """What it asks for comes back as nothing; then it says its result, which is believed as such."""
    for key in ("key", "../key", "0" * 40):
        assert broken.act("speak", pack(Kind.LOAD, key)).status == "exited"


def test_after_all_that_a_guest_runs(broken: Broken) -> None:
    assert broken.act("eat", 4096).values == (1, 0)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
