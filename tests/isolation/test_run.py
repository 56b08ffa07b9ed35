"""Guests in a process of their own: the same results as in this one, and a worker loses nothing but itself."""

from __future__ import annotations

import os
import pickle
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import wardian
from tests.isolation.guests import ANY, EATER, FLOOD, HELLO, SHOUT, SPIN, engine, isolated, layers, need
from tests.support import GLUE, ROOT, assemble
from wardian.compile.compiler import MORE
from wardian.isolation.policy import LAYERS, Isolation
from wardian.sandbox import isolated as parent
from wardian.sandbox.spawn import Worker, Zygote


def test_a_program_ends_as_it_does_in_this_process() -> None:
    here = wardian.run(assemble(HELLO), engine=engine())
    there = isolated(HELLO)
    assert (there.status, there.returncode, there.stdout) == ("exited", 3, b"hello\n")
    assert here.__replace__(usage=there.usage, isolation=there.isolation) == there
    assert here.isolation == ()


def test_the_report_names_every_layer_once() -> None:
    names = [layer.name for layer in isolated(HELLO).isolation]
    assert names == list(LAYERS)
    always = ("descriptors", "parent-death", "rlimits", "non-dumpable", "capabilities", "no-new-privs")
    assert all(layers()[name].on for name in always)


def test_a_missing_layer_is_refused_by_name_unless_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    report = tuple(layer.__replace__(on=False, detail="no") for layer in layers().values() if layer.name == "seccomp")
    error = parent.unavailable(Isolation(), report)
    assert error.missing == ("seccomp",) and "seccomp: no" in str(error)
    assert pickle.loads(pickle.dumps(error)).missing == ("seccomp",)
    assert Isolation(accept=("seccomp",)).missing(["seccomp"]) == ()
    assert Isolation(accept=("namespaces",)).missing(["pid-namespace", "seccomp"]) == ("seccomp",)
    with pytest.raises(ValueError, match="no layer 'secomp'"):
        Isolation(accept=("secomp",))


def test_a_worker_without_a_needed_layer_does_not_look_at_the_job() -> None:
    absent = [layer.name for layer in layers().values() if not layer.on]
    if not absent:
        pytest.skip("this machine gives every layer")
    with pytest.raises(wardian.IsolationUnavailable) as caught:
        isolated(b"not even a module", isolation=Isolation(accept=()))
    assert set(caught.value.missing) == set(absent)


def test_a_trap_has_its_backtrace() -> None:
    result = isolated('(module (func $f unreachable) (func (export "_start") (call $f)))')
    assert (result.status, result.returncode) == ("trapped", 134)
    assert result.trap is not None and result.trap.code == "unreachable"
    assert [frame.function for frame in result.trap.frames] == [0, 1]


@pytest.mark.slow
def test_directories_and_input(tmp_path: Path, data: Path) -> None:
    (tmp_path / "a").write_text("content")
    script = "print(io.open('/d/a'):read('a'), io.read('a')); io.open('/d/b', 'w'):write('new'); "
    script += "os.rename('/d/b', '/d/c'); print(io.open('/d/../a'), io.open('/etc/passwd'))"
    lua = data / "guests" / "lua.wasm"
    result = wardian.run(lua, ["-e", script], dirs={"/d": tmp_path}, input="typed", engine=engine(), isolation=ANY)
    assert result.stdout.startswith(b"content\ttyped\nnil"), result
    assert (tmp_path / "c").read_text() == "new"
    script = "print(io.open('/d/a'):read('a'), io.open('/d/x', 'w'))"
    only = [(str(tmp_path), "/d", True)]
    result = wardian.run(lua, ["-e", script], dirs=only, engine=engine(), isolation=ANY)
    assert result.stdout.startswith(b"content\tnil"), result
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_input_arguments_variables_and_directories(tmp_path: Path, data: Path) -> None:
    (tmp_path / "a").write_text("content")
    script = "import os, sys; print(sys.argv[1:], os.environ.get('K'), sys.stdin.read(), open('/d/a').read()); "
    script += "open('/d/b', 'w').write('new'); print(sorted(os.listdir('/d')))"
    result = wardian.run(
        data / "guests" / "python-3.12.0.wasm",
        ["-c", script, "x"],
        env={"K": "v"},
        dirs={"/d": tmp_path},
        input="typed",
        engine=engine(),
        isolation=ANY,
    )
    assert result.stdout.decode() == "['x'] v typed content\n['a', 'b']\n", result
    assert (tmp_path / "b").read_text() == "new"
    script = "try: open('/d/c', 'w')\nexcept OSError as error: print(type(error).__name__)"
    result = wardian.run(
        data / "guests" / "python-3.12.0.wasm",
        ["-c", script],
        dirs=[(str(tmp_path), "/d", True)],
        engine=engine(),
        isolation=ANY,
    )
    assert result.stdout == b"PermissionError\n"


def test_values_and_functions_of_the_host() -> None:
    seen = []

    def host(a: int, b: float) -> tuple[int, float]:
        seen.append((a, b))
        return a + 1, b / 2

    text = """(module (import "h" "f" (func $f (param i32 f64) (result i64 f32))) (import "h" "n" (global i32))
      (func (export "go") (param i32) (result i64 f32)
        (call $f (i32.add (local.get 0) (global.get 0)) (f64.const 5))))"""
    result = isolated(text, 1, invoke="go", imports={"h": {"f": host, "n": 41}})
    assert result.values == (43, 2.5)
    assert seen == [(42, 5.0)]


def test_objects_of_the_host_stay_here() -> None:
    held = object()
    text = """(module (import "h" "get" (func $get (result externref)))
      (import "h" "put" (func $put (param externref externref)))
      (func (export "go") (param externref) (result externref) (call $put (call $get) (local.get 0)) (local.get 0)))"""
    got = []
    mine = object()
    imports = {"h": {"get": lambda: held, "put": lambda *a: got.extend(a)}}
    result = isolated(text, mine, invoke="go", imports=imports)
    assert got == [held, mine] and result.values == (mine,)


def test_what_a_function_of_the_host_raises_arrives_here() -> None:
    error = LookupError("here")

    def host() -> None:
        raise error

    text = '(module (import "h" "f" (func $f)) (func (export "_start") (call $f)))'
    with pytest.raises(LookupError) as caught:
        isolated(text, imports={"h": {"f": host}})
    assert caught.value is error

    def leave() -> None:
        raise wardian.Exit(7)

    assert isolated(text, imports={"h": {"f": leave}}).returncode == 7

    def trap() -> None:
        raise wardian.Trap("mine", "so")

    result = isolated(text, imports={"h": {"f": trap}})
    assert result.trap is not None and (result.trap.code, result.trap.message) == ("mine", "so")


def test_bad_input_is_the_callers() -> None:
    with pytest.raises(wardian.MalformedError, match="magic"):
        isolated(b"\0asx\1\0\0\0")
    with pytest.raises(wardian.LinkError, match="no _start"):
        isolated("(module)")
    with pytest.raises(wardian.LinkError, match="h"):
        isolated('(module (import "h" "f" (func)) (func (export "_start")))')
    with pytest.raises(TypeError):
        isolated('(module (func (export "f") (param i32)))', "x", invoke="f")
    with pytest.raises(TypeError, match="cannot be imported"):
        isolated("(module)", imports={"h": {"m": object()}})
    with pytest.raises(ValueError, match="isolation"):
        isolated(HELLO, isolation="container")
    with pytest.raises(OSError):
        isolated(HELLO, dirs={"/d": "/does/not/exist"})


def test_a_deadline_stops_the_guest() -> None:
    result = isolated(SPIN, timeout=0.2)
    assert result.status == "timeout" and result.trap is not None and result.trap.code == "timeout"


def test_processor_time_is_bounded() -> None:
    result = isolated(SPIN, timeout=30, cpu=0.2)
    assert result.status == "timeout" and result.trap is not None and "processor time" in result.trap.message
    assert result.usage.seconds < 20


def test_a_worker_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the engine's own deadline failed: the worker is stopped from outside."""
    spawn = type(parent.zygote()).spawn
    workers: list[Worker] = []

    def stopped(self: parent.Zygote, cache: str | None) -> Worker:
        worker = spawn(self, cache)
        signal.pidfd_send_signal(worker.pidfd, signal.SIGSTOP)
        workers.append(worker)
        return worker

    monkeypatch.setattr(type(parent.zygote()), "spawn", stopped)
    result = isolated(HELLO, timeout=0.1)
    assert result.status == "timeout" and result.trap is not None and "did not stop" in result.trap.message
    assert workers[0].ended == -signal.SIGKILL


@pytest.mark.parametrize(
    ("then", "says"),
    [
        pytest.param(
            "held = socket.recv_fds(line, 16, 2); line.recv(16)", "has not started within 0.5 seconds", id="hangs"
        ),
        pytest.param("line.recv(16)", "could not be started", id="dies"),
    ],
)
def test_a_zygote_that_starts_no_worker_is_a_refusal(then: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = f"import socket, sys; line = socket.socket(fileno=int(sys.argv[1])); line.send(b'ready')\n{then}"
    starter = Zygote(main)
    starter._ready(None)
    monkeypatch.setattr("wardian.sandbox.spawn.STARTING", 0.5)
    try:
        with pytest.raises(wardian.Refused, match=says):
            starter.spawn(None)
    finally:
        starter.close()


def test_a_worker_killed_from_outside_is_reported() -> None:
    """It dies while the guest waits for the host, which is the moment this test can choose."""
    need("pid-namespace")

    def die() -> None:
        signal.pidfd_send_signal(workers[0].pidfd, signal.SIGKILL)
        time.sleep(0.05)

    workers: list[Worker] = []
    spawn = type(parent.zygote()).spawn

    def noted(self: parent.Zygote, cache: str | None) -> Worker:
        workers.append(spawn(self, cache))
        return workers[-1]

    text = '(module (import "h" "f" (func $f)) (func (export "_start") (call $f)))'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(parent.zygote()), "spawn", noted)
        result = isolated(text, imports={"h": {"f": die}})
    assert result.status == "killed" and result.returncode == 134
    assert result.trap is not None and "SIGKILL" in result.trap.message
    with pytest.raises(wardian.Trap):
        result.check()
    assert isolated(HELLO).returncode == 3


def test_a_flood_of_output_is_cut() -> None:
    result = isolated(FLOOD, timeout=0.5, output_limit=100_000)
    assert result.status == "timeout" and result.truncated and len(result.stdout) == 100_000


ECHO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "host" "f" (func $f (param i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\00\\01\\00\\00")
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 4) (i32.const 256))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $f (i32.load (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $again (i32.load (i32.const 8))))))"""


def test_input_can_come_from_a_function() -> None:
    pieces = [b"one ", bytearray(b"two "), b"x" * 300, b""]
    wanted: list[int] = []
    counts: list[int] = []

    def give(count: int) -> bytes:
        wanted.append(count)
        return bytes(pieces.pop(0)) if pieces else b""

    result = isolated(ECHO, stdin=give, imports={"host": {"f": counts.append}})
    assert result.stdout == b"one two " + b"x" * 300 and not pieces
    assert wanted == [256, 256, 256, 256] and counts == [4, 4, 256, 44, 0]

    def fail(count: int) -> bytes:
        raise OverflowError("no input")

    with pytest.raises(OverflowError, match="no input"):
        isolated(ECHO, stdin=fail, imports={"host": {"f": counts.append}})


def test_output_can_go_to_a_function_or_a_file(tmp_path: Path) -> None:
    got: list[bytes] = []
    assert isolated(HELLO, stdout=got.append).stdout == b""
    assert b"".join(got) == b"hello\n"

    def fail(piece: bytes) -> None:
        raise LookupError("full")

    with pytest.raises(LookupError, match="full"):
        isolated(HELLO, stdout=fail)
    with pytest.raises(LookupError, match="full"):
        isolated(FLOOD, stdout=fail, timeout=20)
    with (tmp_path / "out").open("wb") as file:
        isolated(HELLO, stdout=file)
    assert (tmp_path / "out").read_bytes() == b"hello\n"


def test_a_guest_on_a_terminal_sees_one() -> None:
    ours, theirs = pty.openpty()
    try:
        assert isolated(SHOUT, stdout=theirs, stderr=theirs).returncode == 2  # a character device
        assert isolated(SHOUT).returncode == 0
        shown = os.read(ours, 100)
        assert b"shout" in shown and b"\x1b" not in shown and b"\x07" not in shown
    finally:
        os.close(ours)
        os.close(theirs)


def test_memory_is_bounded_by_the_engine() -> None:
    result = isolated(EATER, memory="32M", timeout=20)
    assert result.status == "trapped" and result.trap is not None and "memory" in result.trap.code
    assert 31 << 20 < result.usage.memory <= 32 << 20


def test_memory_is_bounded_once_more_by_the_kernel() -> None:
    """The engine is told of more than the process may have: growing fails, and nobody dies of it."""
    bounds = ANY.__replace__(overhead=-(5 << 30) + (128 << 20))  # what the limits add to it comes off again
    result = isolated(EATER, memory="4G", timeout=20, isolation=bounds)
    assert result.status == "trapped" and result.usage.memory < 200 << 20


def test_results_are_plain_values() -> None:
    result = isolated(HELLO)
    assert pickle.loads(pickle.dumps(result)) == result


def test_nothing_is_left_behind() -> None:
    isolated(HELLO)
    parent.filler().wait()
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(5):
        isolated(HELLO)
        isolated(SPIN, timeout=0.01)
    parent.filler().wait()
    assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_many_threads_at_once() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(isolated(HELLO).returncode)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [3] * 8


def test_a_fork_has_workers_of_its_own() -> None:
    isolated(HELLO)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if isolated(HELLO).returncode == 3 else 2
            parent.zygote().close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isolated(HELLO).returncode == 3


def test_a_zygote_that_died_is_replaced() -> None:
    isolated(HELLO)
    process = parent.zygote()._process
    assert process is not None
    process.kill()
    process.wait()
    time.sleep(0.1)
    assert isolated(HELLO).returncode == 3


@pytest.mark.slow
def test_stencils_of_rare_kinds_are_made_once() -> None:
    """By a worker that has no module at all."""
    text = """(module (memory i64 1) (func (export "f") (param i64) (result i32)
      (i32.store (local.get 0) (i32.const 7)) (i32.load (local.get 0))))"""
    config = engine().config.__replace__(opt="baseline", cache=tempfile.mkdtemp(), checks="explicit")
    own = wardian.Engine(config)

    def run() -> tuple[object, ...]:
        return wardian.run(assemble(text), [8], invoke="f", engine=own, isolation=ANY).values

    assert run() == (7,)
    parent.filler().wait()
    assert any(name.startswith("stencils-") for name in os.listdir(str(config.cache)))
    assert run() == (7,)


def test_stencils_of_a_rare_call_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no part of what is made for all modules: the first worker that needs them names them."""
    names: list[list[str]] = []
    submit = parent.Filler.submit

    def watched(self: parent.Filler, job: parent.IsolatedJob, made: Mapping[str, tuple[object, ...]]) -> None:
        names.append([key for key in made if key.endswith(MORE)])
        submit(self, job, made)

    monkeypatch.setattr(parent.Filler, "submit", watched)
    kinds = "i32 f64 i32 f32 f64 i64 f32 f64 i32 f64 i32"
    values = "".join(f"({kind}.const {n})" for n, kind in enumerate(kinds.split()))
    for number in (20260102, 20260103):
        text = f"""(module (func $f (param {kinds}) (result i32) (i32.const {number}))
          (func (export "f") (result i32) (call $f {values})))"""
        assert isolated(text, invoke="f").values == (number,)
        parent.filler().wait()
    assert len(names[0]) == 1 and not any(names[1:])


def test_code_compiled_for_one_worker_is_there_for_the_next() -> None:
    """But made by another one, that never ran the guest: what a guest's worker offers itself is not taken."""
    text = '(module (func (export "f") (param i32 i64 f32) (result i64) (i64.const 20260101)))'
    module = assemble(text)
    isolated(module, 1, 2, 3.0, invoke="f")
    parent.filler().wait()
    store = parent.CodeStore(engine(), module, compiled=False)
    found = [key for key in store._keys if store.load(key)]
    assert len(found) == 1
    assert isolated(module, 1, 2, 3.0, invoke="f").values == (20260101,)
    store.store("0" * 40, b"x")
    assert store.load("0" * 40) is None
    assert store.load("key") is None


def test_without_namespaces_a_run_is_refused_unless_they_are_given_up(tmp_path: Path) -> None:
    """In a process that may make none: nobody in a user namespace without a user."""
    need("user-namespace", "seccomp", "landlock-files")
    (tmp_path / "hello.wasm").write_bytes(assemble(HELLO))
    script = f"""
import os, wardian
from wardian.isolation import kernel
kernel.unshare(kernel.NEWUSER)
engine = wardian.Engine(wardian.Config(cache={os.environ[GLUE]!r}, lazy=True))
less = wardian.Isolation(accept=("cgroup", "landlock-scope", "branch-predictor", "landlock-network", "namespaces"))
result = wardian.run({str(tmp_path / "hello.wasm")!r}, engine=engine, isolation=less)
print(result.stdout, [layer.on for layer in result.isolation if layer.name.endswith("namespace")])
try:
    wardian.run({str(tmp_path / "hello.wasm")!r}, engine=engine, isolation="process")
except wardian.IsolationUnavailable as error:
    print(sorted(error.missing))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[0] == f"{b'hello' + bytes([10])!r} {[False] * 5}"
    assert "user-namespace" in lines[1] and "pid-namespace" in lines[1]


def test_workers_end_with_the_process_that_wanted_them(tmp_path: Path) -> None:
    """However it ends: nothing of it is there a moment later."""
    layers()  # or it is skipped here
    (tmp_path / "spin.wasm").write_bytes(assemble(SPIN))
    script = f"""
import threading, time, wardian
from wardian.sandbox import isolated
workers, spawn = [], type(isolated.zygote()).spawn
type(isolated.zygote()).spawn = lambda self, cache: (workers.append(spawn(self, cache)), workers[-1])[1]
engine = wardian.Engine(wardian.Config(cache={os.environ[GLUE]!r}, lazy=True))
less = wardian.Isolation(accept={tuple(LAYERS)!r})
run = lambda: wardian.run({str(tmp_path / "spin.wasm")!r}, engine=engine, isolation=less)
threading.Thread(target=run, daemon=True).start()
while not workers or workers[0].cpu_seconds() < 0.05:
    time.sleep(0.01)
print(isolated.zygote()._process.pid, workers[0].pid, flush=True)
time.sleep(100)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = process.stdout.readline().split()
        assert len(pids) == 2 and all(os.path.exists(f"/proc/{int(pid)}") for pid in pids)
        process.kill()
    until = time.monotonic() + 20
    while any(_is_there(int(pid)) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.01)


def _is_there(pid: int) -> bool:
    """Does it run, or wait? One that only waits to be buried does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
