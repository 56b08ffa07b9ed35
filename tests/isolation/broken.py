"""An engine that is broken on purpose: instead of running its guest, a worker carries out whatever system call the test
names, as code that has taken over the process would. Only a zygote that a test starts with this module has it."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from wardian.isolation import lockdown
from wardian.isolation.numbers import machine
from wardian.isolation.report import Layer
from wardian.sandbox import worker, zygote
from wardian.sandbox.result import RunResult, Usage
from wardian.sandbox.task import Task

X86_ONLY = {
    "bind": 49,
    "accept": 43,
    "setuid": 105,
    "chroot": 161,
    "keyctl": 250,
    "userfaultfd": 323,
    "setns": 308,
    "unshare": 272,
    "bpf": 321,
    "io_uring_setup": 425,
    "perf_event_open": 298,
    "pidfd_open": 434,
    "pidfd_send_signal": 424,
    "process_vm_writev": 311,
    "chmod": 90,
    "personality": 135,
    "init_module": 175,
    "open_by_handle_at": 304,
    "memfd_secret": 447,
    "fork": 57,
    "open": 2,
    "shmget": 29,
    "truncate": 76,
}


def call(name: str, *arguments: Any) -> tuple[int, int]:
    """A raw system call: its result and errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    known = machine()
    assert known is not None
    number = X86_ONLY[name] if name in X86_ONLY else known.numbers[name]
    words = [a if isinstance(a, bytes) or a is None else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return result, ctypes.get_errno() if result == -1 else 0


def tcp(port: int) -> bytes:
    return b"\2\0" + port.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + bytes(8)


def connect_to(port: int) -> tuple[int, int]:
    fd, number = call("socket", 2, 1, 0)
    return (fd, number) if fd < 0 else call("connect", fd, tcp(port), 16)


def connect_abstract(name: bytes) -> tuple[int, int]:
    fd, number = call("socket", 1, 1, 0)
    address = b"\1\0\0" + name
    return (fd, number) if fd < 0 else call("connect", fd, address, len(address))


def read_memory(pid: int) -> tuple[int, int]:
    """Read a word of another process' memory."""
    there = ctypes.create_string_buffer(16)
    row = struct.pack("<QQ", ctypes.addressof(there), 8)
    return call("process_vm_readv", pid, row, 1, row, 1, 0)


def eat(size: int) -> tuple[int, int]:
    """Take memory outside of the engine's accounting."""
    address, number = call("mmap", 0, size, 3, 0x22, -1, 0)
    return (0, number) if address == -1 else (1, 0)


def fork_bomb(_: int) -> tuple[int, int]:
    while True:
        os.fork()


def thread_and_spin(_: int) -> tuple[int, int]:
    """Ignore every signal there is, and never end."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        pass


def speak(data: bytes) -> tuple[int, int]:
    """Write to the parent what the protocol does not foresee."""
    os.write(3, data)
    return 0, 0


def descriptors(_: int) -> tuple[int, int]:
    """How many descriptors are open, beyond the standard streams and the line."""
    return sum(1 for fd in range(4, 200) if call("fcntl", fd, 1, 0)[0] >= 0), 0


def screens(_: int) -> tuple[int, int]:
    """How many descriptors of terminals are open, and how many of them can be written to."""
    found = [fd for fd in range(200) if call("fcntl", fd, 1, 0)[0] >= 0 and os.isatty(fd)]
    return len(found), sum(call("fcntl", fd, 3, 0)[0] & 3 != os.O_RDONLY for fd in found)


ACTS: Mapping[str, Callable[..., tuple[int, int]]] = MappingProxyType(
    {
        "connect_to": connect_to, "connect_abstract": connect_abstract, "eat": eat, "screens": screens,
        "read_memory": read_memory, "fork_bomb": fork_bomb,
        "spin": thread_and_spin, "speak": speak, "descriptors": descriptors,
        "segfault": lambda _: (ctypes.string_at(1, 1) and 0, 0), "exit": lambda code: os._exit(code),
    }
)  # fmt: skip


def carry_out(module: object, task: Task) -> RunResult:
    """In place of the engine's: the task's function is an act above, or a system call, its arguments what that gets.

    ``"dir"`` among them is the descriptor of the directory granted, ``"out"`` that of its output.
    """
    name, grants = str(task.invoke), cast("Any", task.grants)
    args = [grants.dirs[0].host if arg == "dir" else grants.stdout.fd if arg == "out" else arg for arg in task.args]
    act = ACTS.get(name)
    values = act(*args) if act is not None else call(name, *args)
    return RunResult("exited", 0, b"", b"", None, Usage(0.0, 0), False, values)


def main(fd: int, cache: str | None, without: str) -> None:
    """A zygote whose workers are broken, and lack the layer ``without``."""
    worker.carry_out = carry_out  # type: ignore[assignment]
    if without == "seccomp":
        lockdown._seccomp = lambda files: "left out by the test"  # type: ignore[assignment]
    if without == "landlock":
        lockdown._landlock = lambda directories: iter([Layer("landlock-files", True, "left out by the test")])  # type: ignore[assignment]
    zygote.main(fd, cache)
