"""LLVM in a process of its own, for functions of guests: text in, object code out.

LLVM was made for compilers' output, not for an attacker's: what it does not expect it may answer by ending its process
(an ``if`` a thousand times over is enough for one of its assertions), or by not answering at all.

Invariant: whatever LLVM does with a function, this process goes on. A helper that died, or was stopped at
some :data:`SECONDS` of processor time, is replaced by another; of a function at which it died for a reason of its own
:class:`GaveUp` is raised, and somebody who can do without LLVM compiles it.
"""

from __future__ import annotations

import functools
import math
import os
import select
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import IO, Any, Final, Literal, TypeAlias, final

from wardian.compile.channel import read_frame, serving, start, write_frame
from wardian.compile.effort import GaveUp

SECONDS: Final[Mapping[str, int]] = MappingProxyType({"O0": 60, "O1": 60, "O2": 20})
"""Of processor time for one function, by level. What :mod:`wardian.compile.effort` lets pass to O2 takes less than half
of it; after the others there is only the baseline tier, which does not do everything."""

MEMORY: Final = 4 << 30
"""Address space of the helper."""

IDLE: Final = 60
"""Seconds without work after which the helper ends; the next function has another one started."""

_TRIES: Final = 2
_HEAD: Final = struct.Struct("<d?")
"""Begins an answer: seconds of processor time; is what follows an object, or why there is none?"""
_OWN_FAULT: Final = frozenset(
    {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGTRAP, signal.SIGXCPU}
)
"""What ends a process because of what it did itself."""

Level: TypeAlias = Literal["O0", "O1", "O2"]


class NoHelper(Exception):
    """No process can be started here."""


@final
class Outside:
    """The helper, started when it is first wanted. Thread-safe; forked children start one of their own."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._closed = False

    def object(self, text: str, level: Level, spend: Callable[[float], None]) -> bytes:
        """LLVM text as an ELF object; see :meth:`wardian.compile.llvm.Backend.object`, whose errors are raised here,
        too. ``spend`` is told the seconds of processor time.

        Raises :class:`GaveUp` and :class:`NoHelper`.
        """
        if os.getpid() != self._process:
            # The helper is the parent's, and the lock somebody's who is not here.
            self._start_over()
        question = level.encode() + text.encode()
        status = 0
        with self._lock:
            for _ in range(_TRIES):
                began = time.monotonic()
                answer = self._ask(question)
                if isinstance(answer, bytes):
                    return _opened(answer, spend)
                spend(time.monotonic() - began)
                status = answer
                if self._closed or -status in _OWN_FAULT:
                    break
        raise GaveUp(f"its process has ended with status {status}")

    def begin(self) -> None:
        """Start the helper, if there is none and nobody is asking it anything, so that it is there when it is wanted.

        Raises :class:`NoHelper`.
        """
        if os.getpid() == self._process and self._lock.acquire(blocking=False):
            try:
                self._ready()
            finally:
                self._lock.release()

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._helper is None:
            try:
                # What LLVM says when it ends is of use to nobody here; Ctrl-C is not meant for it.
                self._helper = start("wardian.compile.outside", stderr=subprocess.DEVNULL, start_new_session=True)
            except OSError as error:
                raise NoHelper(str(error)) from error
        return self._helper

    def _ask(self, question: bytes) -> bytes | int:
        """The answer, or the exit status of the helper."""
        helper = self._ready()
        assert helper.stdin is not None
        assert helper.stdout is not None
        answer = None
        try:
            write_frame(helper.stdin, question)
            answer = read_frame(helper.stdout)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except BaseException:
            # Ctrl-C, say. The next question must not get this one's answer.
            helper.kill()
            raise
        finally:
            if answer is None:
                self._helper = None
                status = _end(helper)
        return status if answer is None else answer

    def close(self) -> None:
        """End the helper, whatever it is at, and start no other."""
        if os.getpid() == self._process:
            self._closed = True
            helper = self._helper
            if helper is not None:
                helper.kill()


def _opened(answer: bytes, spend: Callable[[float], None]) -> bytes:
    seconds, fine = _HEAD.unpack_from(answer)
    spend(seconds)
    if not fine:
        raise RuntimeError(answer[_HEAD.size :].decode())
    return answer[_HEAD.size :]


def _end(helper: subprocess.Popen[bytes]) -> int:
    """See that a helper is gone: its status."""
    try:
        # Who closed its end has ended, or is about to; nobody else is waited for.
        status = helper.wait(0.5)
    except subprocess.TimeoutExpired:
        helper.kill()
        status = helper.wait()
    for pipe in (helper.stdin, helper.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass
    return status


@functools.cache
def outside() -> Outside:
    """This process's."""
    return Outside()


def main() -> None:
    """Serve the process at the other end of standard input and output."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    serving(_serve)


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    import resource

    from wardian.compile.llvm import Backend

    backend = Backend()
    while select.select([questions], [], [], IDLE)[0]:
        question = read_frame(questions)
        if question is None:
            return
        began = time.process_time()
        level: Any = question[:2].decode()
        most = math.ceil(began) + SECONDS[level]
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
        try:
            fine, found = True, backend.object(question[2:].decode(), level)
        except RuntimeError as error:
            fine, found = False, str(error).encode()
        write_frame(answers, _HEAD.pack(time.process_time() - began, fine) + found)
