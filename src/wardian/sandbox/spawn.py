"""Starting workers: the parent's side of the zygote, and what stands for a worker here.

Invariant: neither the zygote nor a worker outlives this process, and a worker that is closed is dead.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final, final

from wardian.errors import Refused

STARTING: Final = 60.0
"""Seconds that the zygote, and any worker, may take to be there."""
ENDING: Final = 5.0
_STATUS: Final = struct.Struct("<i")
_MAIN: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from wardian.sandbox.zygote import main; "
    "main(int(sys.argv[1]), sys.argv[2] or None)"
)


@final
class Zygote:
    """The process that workers are forked from, started when the first one is wanted. Thread-safe."""

    def __init__(self, main: str = _MAIN) -> None:
        """``main`` is the program: its arguments are the line's descriptor, the code cache, and the path of modules."""
        self._main = main
        self._start_over()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        """A forked child has a zygote of its own: two that write to one line would get each other's workers."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def close(self) -> None:
        """End the zygote, and with it every worker."""
        with self._lock:
            process, channel = self._process, self._channel
            self._process = self._channel = None
        if channel is not None:
            channel.close()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(ENDING)

    def spawn(self, cache: str | None) -> Worker:
        """A new worker. Raises :class:`Refused` if there cannot be one."""
        mine, theirs = socket.socketpair()
        status, teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, teller:
                for attempt in (False, True):
                    channel = self._ready(cache)
                    try:
                        socket.send_fds(channel, [b"W"], [theirs.fileno(), teller.fileno()])
                        break
                    except OSError as error:
                        self.close()
                        if attempt:
                            raise Refused("the process that starts workers is gone") from error
            status.settimeout(STARTING)
            try:
                message, fds, _, _ = socket.recv_fds(status, 16, 1)
            except TimeoutError as error:
                raise Refused(f"a worker process has not started within {STARTING:g} seconds") from error
            except OSError as error:
                raise Refused(f"a worker process could not be started: {error}") from error
            if not message or not fds:
                raise Refused("a worker process could not be started")
            status.settimeout(None)
            return Worker(mine, status, fds[0])
        except BaseException:
            mine.close()
            status.close()
            raise

    def _ready(self, cache: str | None) -> socket.socket:
        """The line to the zygote, which is started if there is none."""
        with self._lock:
            if self._channel is None:
                self._process, self._channel = _start(self._main, cache)
            return self._channel


def _start(main: str, cache: str | None) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        # Isolated, without an environment and in a session of its own: neither the caller's variables, nor its
        # directory, nor its terminal's keys reach a worker.
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", main, str(theirs.fileno()), cache or "", *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Refused(f"the process that starts workers could not be started: {error}") from error
    assert process.stderr is not None
    ours.settimeout(STARTING)
    try:
        ready = ours.recv(16)
    except TimeoutError:
        ready = b""
    if not ready:
        process.kill()
        complaint = process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        process.stderr.close()
        process.wait()
        ours.close()
        raise Refused(f"the process that starts workers failed: {complaint or 'it did not say why'}")
    process.stderr.close()
    ours.settimeout(None)
    return process, ours


@functools.cache
def zygote() -> Zygote:
    """The process's one zygote."""
    return Zygote()


@final
class Worker:
    """A worker process: our end of the line, the zygote's word on how it ended, and its descriptor."""

    def __init__(self, line: socket.socket, status: socket.socket, pidfd: int) -> None:
        self.line = line
        self.status = status
        self.pidfd = pidfd
        self.ended: int | None = None
        """How it ended, once that is known: the exit code, or the signal as a negative number."""

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def bury(self) -> None:
        """Note how it ended, which has just become known."""
        message = self.status.recv(16)
        self.ended = _STATUS.unpack(message)[0] if len(message) == _STATUS.size else -int(signal.SIGKILL)

    def close(self) -> None:
        """End it, if it has not ended, and give back what stood for it here."""
        self.kill()
        self.line.close()
        self.status.close()
        os.close(self.pidfd)

    def cpu_seconds(self) -> float | None:
        """Processor time it has used, or ``None`` if it is gone."""
        clock = self._clock
        if clock is None:
            return None
        try:
            return time.clock_gettime(clock)
        except OSError:
            return None

    @functools.cached_property
    def pid(self) -> int:
        """Its number in this process' world, or -1 if it is gone."""
        with open(f"/proc/self/fdinfo/{self.pidfd}") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), -1)

    @functools.cached_property
    def _clock(self) -> int | None:
        """The number of its processor clock (see clock_getcpuclockid in Linux's time.h)."""
        return (~self.pid << 3) | 2 if self.pid > 0 else None
