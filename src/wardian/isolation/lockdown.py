"""Putting the layers on, and saying which are on.

Invariant: a layer that could not be put on is in the report with the kernel's reason; nothing is retried weaker in
silence. After :func:`lock_in` the process can only compute, use the descriptors it has, and names beneath granted ones.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from wardian.isolation import kernel
from wardian.isolation.numbers import machine
from wardian.isolation.policy import LAYERS, READING, WRITING
from wardian.isolation.report import Layer
from wardian.isolation.seccomp import program

_RIGHTS: Final = (
    "EXECUTE", "WRITE_FILE", "READ_FILE", "READ_DIR", "REMOVE_DIR", "REMOVE_FILE", "MAKE_CHAR", "MAKE_DIR", "MAKE_REG",
    "MAKE_SOCK", "MAKE_FIFO", "MAKE_BLOCK", "MAKE_SYM", "REFER", "TRUNCATE", "IOCTL_DEV",
)  # fmt: skip
"""Landlock's rights to files, by bit."""
_RIGHTS_BY_VERSION: Final = (0, 13, 14, 15, 15, 16)
"""How many of them an ABI knows; the last for all that follow."""
_TCP: Final = 0b11
_SCOPES: Final = 0b11
_NETWORK_FROM, _SCOPE_FROM, _TRUNCATE_FROM = 4, 6, 3


class Base(NamedTuple):
    """What a process has before its job: bytes that can be written, and bytes of address space."""

    data: int
    space: int

    @classmethod
    def now(cls) -> Base:
        """As the kernel counts them for this process; the files that say so have to be reachable still."""
        with open("/proc/self/status") as file:
            sizes = dict(line.split(":", 1) for line in file)
        return cls(*(int(sizes[name].split()[0]) << 10 for name in ("VmData", "VmSize")))


class Bounds(NamedTuple):
    """``memory``: bytes of writable memory, beyond ``base``; ``cpu``: seconds; ``files``: descriptors."""

    memory: int
    cpu: int | None
    files: int
    base: Base


class Directory(NamedTuple):
    """A descriptor of a granted directory."""

    fd: int
    readonly: bool


def lock_in(bounds: Bounds, directories: Sequence[Directory], before: Sequence[Layer]) -> tuple[Layer, ...]:
    """Put on what is put on in the worker itself; the report, with what is ``before`` on already."""
    report = [*before, Layer("descriptors", True, f"{len(directories)} directories")]
    report.append(attempt("rlimits", lambda: _limit(bounds)))
    report.append(attempt("non-dumpable", kernel.make_undumpable))
    report.append(attempt("no-new-privs", kernel.no_new_privileges))
    report.append(attempt("capabilities", kernel.drop_capabilities))
    report.append(attempt("branch-predictor", kernel.clear_predictor))
    report += _landlock(directories)
    report.append(attempt("seccomp", lambda: _seccomp(bool(directories))))
    order = list(LAYERS)
    return tuple(sorted(report, key=lambda layer: order.index(layer.name)))


def attempt(name: str, act: Callable[[], str | None]) -> Layer:
    """A layer put on by ``act``, which says how, or whose ``OSError`` says why not."""
    try:
        return Layer(name, True, act() or "")
    except (OSError, ValueError) as error:
        return Layer(name, False, getattr(error, "strerror", None) or str(error))


def _limit(bounds: Bounds) -> str:
    """Memory is bounded in two ways, since guard pages reserve far more address space than anybody will use: what can
    be written counts against RLIMIT_DATA, and little more can be reserved than is now."""
    wanted = {
        resource.RLIMIT_DATA: bounds.base.data + bounds.memory,
        resource.RLIMIT_AS: bounds.base.space + bounds.memory + _SPACE,
        resource.RLIMIT_NOFILE: bounds.files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
    }
    if bounds.cpu is not None:
        wanted[resource.RLIMIT_CPU] = bounds.cpu
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    return f"{bounds.memory >> 20} MiB"


_SPACE: Final = 64 << 30
"""Address space a worker may reserve beyond what it begins with: guard pages of a few more memories."""


def _landlock(directories: Sequence[Directory]) -> Iterator[Layer]:
    version = kernel.landlock_version()
    if version == 0:
        for name in ("landlock-files", "landlock-network", "landlock-scope"):
            yield Layer(name, False, "the kernel has no Landlock, or it is not switched on")
        return
    known = _RIGHTS[: _RIGHTS_BY_VERSION[min(version, len(_RIGHTS_BY_VERSION) - 1)]]
    words = [_bits(known), _TCP if version >= _NETWORK_FROM else 0, _SCOPES if version >= _SCOPE_FROM else 0]
    used = 1 + (version >= _NETWORK_FROM) + (version >= _SCOPE_FROM)
    failure = _restrict(struct.pack(f"<{used}Q", *words[:used]), known, directories)
    wanted = (
        ("landlock-files", _TRUNCATE_FROM), ("landlock-network", _NETWORK_FROM), ("landlock-scope", _SCOPE_FROM)
    )  # fmt: skip
    for name, needed in wanted:
        if failure is not None:
            yield Layer(name, False, failure)
        elif version < needed:
            yield Layer(name, False, f"the kernel's Landlock is version {version}; this needs {needed}")
        else:
            yield Layer(name, True, f"Landlock {version}")


def _restrict(attributes: bytes, known: Sequence[str], directories: Sequence[Directory]) -> str | None:
    """What went wrong, if anything."""
    try:
        ruleset = kernel.landlock_ruleset(attributes)
        try:
            for directory in directories:
                rights = READING if directory.readonly else WRITING
                kernel.landlock_allow(ruleset, directory.fd, _bits([right for right in rights if right in known]))
            kernel.landlock_enforce(ruleset)
        finally:
            os.close(ruleset)
    except OSError as error:
        return error.strerror
    return None


def _bits(rights: Sequence[str]) -> int:
    return sum(1 << _RIGHTS.index(right) for right in rights)


def _seccomp(files: bool) -> str:
    if machine() is None:
        raise OSError(0, "the system calls of this machine are not known")
    made = program(os.uname().machine, os.getpid(), files)
    kernel.filter_calls(made)
    return f"{len(made) // 8} instructions"


def tie_to_parent(life: int) -> Layer:
    """First thing in a new child: it ends with its parent, of whose life the pipe ``life`` is the sign."""

    def tie() -> None:
        kernel.die_with_parent(signal.SIGKILL)
        # Had the parent ended before that call, there would be no signal any more; its end of the pipe is closed then.
        if select.select([life], [], [], 0)[0]:
            os._exit(1)

    return attempt("parent-death", tie)
