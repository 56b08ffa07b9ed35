"""The process that workers are forked from: started by ``exec``, with nothing of the caller's, and warmed up.

Invariant: it has one thread, an empty environment, and never sees a job: it hands the worker's end of the line to a
child and reports, on a line of its own, that child's descriptor and how it ended. It ends when its parent does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import struct
import sys
from typing import Final, NamedTuple, NoReturn, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.module import Module
from wardian.isolation import kernel, namespaces
from wardian.isolation.lockdown import Base, tie_to_parent
from wardian.isolation.numbers import machine
from wardian.isolation.report import Layer
from wardian.isolation.seccomp import program
from wardian.sandbox.run import run
from wardian.sandbox.worker import Birth, work

STATUS: Final = struct.Struct("<i")
STARTED: Final = b"S"
READY: Final = b"R"

_WARMING: Final = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (data (i32.const 8) "\\00\\00\\00\\00\\01\\00\\00\\00")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
    (call $exit (i32.const 0)))
  (type $box (struct (field i32)))
  (func (export "gc") (drop (struct.new $box (i32.const 1))))
  (func (export "trap") unreachable))"""
"""Uses what every guest uses, so that all workers begin with it loaded."""


_NOT_NEEDED: Final = ("wardian.cli", "wardian.compat", "wardian.__main__", "wardian.compile.baseline.building")
"""What workers have no use for, the first part of a name."""


_CODECS: Final = tuple(f"encodings.{name}" for name in ("ascii", "latin_1", "unicode_escape", "utf_8"))
LATE: Final = ("hashlib", "json", "locale", "pathlib", "termios", "unicodedata", *_CODECS)
"""Of the standard library, what is imported only where it is needed: there are no files by then."""


class _Child(NamedTuple):
    pidfd: int
    status: socket.socket


def warm_up(cache: str | None) -> Engine:
    """An engine with everything loaded that workers, which have no files, will need."""
    package = sys.modules["wardian"].__path__
    for name in LATE:
        importlib.import_module(name)
    for found in pkgutil.walk_packages(package, "wardian."):
        if not found.name.startswith(_NOT_NEEDED):
            with contextlib.suppress(ImportError):  # llvmlite need not be installed.
                importlib.import_module(found.name)
    engine = Engine(Config(cache=cache or False, lazy=True))
    engine.compiler.warm()
    module = Module(_WARMING, engine)
    run(module, env={"A": "b"}, engine=engine)
    for function in ("gc", "trap"):
        run(module, invoke=function, engine=engine)
    engine.flush()
    if machine() is not None:
        for files in (False, True):
            program(os.uname().machine, 1, files)
    return engine


def main(fd: int, cache: str | None) -> None:
    """Serve the process at the other end of ``fd``, a socket that keeps messages apart."""
    layers = [*namespaces.enter()]
    own, layer = _new_world()
    engine = warm_up(cache)
    base = Base.now()
    layers += [layer, namespaces.no_files()]
    kernel.make_undumpable()
    gc.collect()
    gc.freeze()
    Zygote(socket.socket(fileno=fd), engine, own, tuple(layers), base).serve()


def _new_world() -> tuple[int | None, Layer]:
    """Go on as the first process of a world of its own: a descriptor of that, so as to come back to it.

    The process that was started waits outside, and ends when this one does.
    """
    try:
        namespaces.new_processes()
    except OSError as error:
        return None, Layer("pid-namespace", False, error.strerror or str(error))
    inside = os.fork()
    if inside:
        os.closerange(3, 1 << 20)
        os.waitpid(inside, 0)
        os._exit(0)
    kernel.die_with_parent(signal.SIGKILL)
    return os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC), Layer("pid-namespace", True)


@final
class Zygote:
    """Forks workers. ``own`` is the world of processes to come back to after each, where workers have theirs."""

    def __init__(
        self, channel: socket.socket, engine: Engine, own: int | None, layers: tuple[Layer, ...], base: Base
    ) -> None:
        self._channel = channel
        self._engine = engine
        self._own = own
        self._layers = layers
        self._base = base
        self._children: dict[int, _Child] = {}
        self._life = os.pipe()
        self._poll = select.poll()

    def serve(self) -> NoReturn:
        """Start workers until nobody is there to ask for one."""
        channel = self._channel.fileno()
        self._poll.register(channel, select.POLLIN)
        self._channel.send(READY)
        while True:
            for ready, _ in self._poll.poll():
                if ready == channel:
                    self._start()
                else:
                    self._poll.unregister(ready)
                    _bury(self._children.pop(ready))

    def _start(self) -> None:
        message, fds, _, _ = socket.recv_fds(self._channel, 16, 2)
        if not message:
            self._end()
        line, status = fds[0], socket.socket(fileno=fds[1])
        try:
            pid = self._fork()
        except OSError:
            # No more processes: whoever waits sees the line end without a word.
            os.close(line)
            status.close()
            return
        if pid == 0:
            self._become_worker(line)
        os.close(line)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = _Child(pidfd, status)
        self._poll.register(pidfd, select.POLLIN)
        with contextlib.suppress(OSError):  # Nobody wants it any more, and it will notice.
            socket.send_fds(status, [STARTED], [pidfd])

    def _fork(self) -> int:
        if self._own is None:
            return os.fork()
        namespaces.new_processes()
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                kernel.join_namespace(self._own, kernel.NEWPID)
        return pid

    def _become_worker(self, line: int) -> NoReturn:
        code = 1
        try:
            os.close(self._life[1])
            layers = (*self._layers, tie_to_parent(self._life[0]))
            os.dup2(line, 3)
            os.closerange(4, 1 << 20)
            work(3, Birth(self._engine, layers, self._base))
            code = 0
        finally:
            os._exit(code)

    def _end(self) -> NoReturn:
        for child in self._children.values():
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        os._exit(0)


def _bury(child: _Child) -> None:
    """Tell whoever waits for a worker how it ended: its exit code, or the signal as a negative number."""
    ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    assert ended is not None
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    with contextlib.suppress(OSError):
        child.status.send(STATUS.pack(code))
    child.status.close()
    os.close(child.pidfd)
