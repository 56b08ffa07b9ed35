"""What a worker may still do, as data that can be read, printed and compared.

Invariant: whatever is not listed is forbidden. Each system call that is allowed says what needs it; the filter of
:mod:`wardian.isolation.seccomp` and the tables of docs/isolation.md are made from these rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, final

from wardian.record import Record

LAYERS: Final = MappingProxyType(
    {
        "descriptors": "no descriptor but the line to the parent and what was granted",
        "parent-death": "the worker dies with the process that started it",
        "rlimits": "bounds on memory, processor time, descriptors; no core dumps",
        "non-dumpable": "nobody of the same user can attach to the worker or read its memory",
        "user-namespace": "a user of its own, without rights outside",
        "pid-namespace": "no process but its own has a number it could name",
        "mount-namespace": "the root directory is empty and cannot be written",
        "network-namespace": "no network interface, not even the loopback",
        "ipc-namespace": "no shared memory segments or queues of others",
        "capabilities": "no privilege of root, should the caller have any",
        "no-new-privs": "no program it could start would have more rights than it",
        "branch-predictor": "the branch predictor forgets when the processor changes to the worker, or from it",
        "landlock-files": "no file but beneath the directories granted, for reading only where so granted",
        "landlock-network": "no TCP port can be bound or connected to",
        "landlock-scope": "no signals and abstract sockets to processes outside",
        "cgroup": "a control group of its own: memory and number of processes are counted by the kernel",
        "seccomp": "system calls outside of the list below end the worker",
    }
)
"""Every layer, in the order in which they are put on, and what it means."""

DISPENSABLE: Final = ("cgroup", "landlock-scope", "branch-predictor")
"""Layers that do without being asked: few machines delegate control groups, whose work the limits do as well, what the
newest kernels' scopes forbid needs system calls that are forbidden, and of kernels that let no process ask for an
indirect branch prediction barrier (PR_SPEC_INDIRECT_BRANCH) some do it always and some processors need none."""

NAMESPACES: Final = tuple(name for name in LAYERS if name.endswith("-namespace"))


@final
class Isolation(Record):
    """How a guest's own process is locked in.

    * ``accept``: names of layers (see ``wardian doctor``) that may be missing; ``"namespaces"`` stands for all of
      those. A layer that this machine cannot enforce, and that is not named here, is
      :class:`~wardian.IsolationUnavailable`, not a shrug.
    * ``overhead``: bytes of memory the worker may have beyond what the guest may: for the engine, and to compile in.
    * ``open_files``: descriptors the worker may have.
    * ``cgroup``: a directory of the version 2 hierarchy, delegated to this process, with the controllers memory and
      pids for its children: the worker gets a control group of its own there, which then has to work.
    """

    accept: tuple[str, ...] = DISPENSABLE
    overhead: int = 512 << 20
    open_files: int = 1024
    cgroup: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.accept if name not in LAYERS and name != "namespaces"]
        if unknown:
            raise ValueError(f"there is no layer {unknown[0]!r}; they are {', '.join(LAYERS)}")

    def accepts(self, layer: str) -> bool:
        """May ``layer`` be missing?"""
        if layer == "cgroup" and self.cgroup is not None:
            return False
        return layer in self.accept or (layer in NAMESPACES and "namespaces" in self.accept)

    def missing(self, absent: Iterable[str]) -> tuple[str, ...]:
        """Those of the absent layers that may not be."""
        return tuple(name for name in absent if not self.accepts(name))


# -- system calls ------------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What becomes of a system call."""

    ALLOW = "allowed"
    NO_ENTRY = "fails: no such file"
    DENIED = "fails: not permitted"
    UNKNOWN = "fails: not implemented"
    KILL = "ends the worker"


SELF: Final = -1
"""In place of a value: the worker's own process number."""


class Test(NamedTuple):
    """Argument number ``arg``, as far as ``mask`` goes, equals ``value``."""

    arg: int
    mask: int
    value: int


class Rule(NamedTuple):
    """System calls and what becomes of them. With ``when`` (any of these combinations of tests) it holds for those
    calls, and ``otherwise`` for others; ``files`` rules hold only where directories are granted."""

    calls: str
    why: str
    verdict: Verdict = Verdict.ALLOW
    when: tuple[tuple[Test, ...], ...] = ()
    files: bool = False
    otherwise: Verdict = Verdict.KILL


_WORD: Final = 0xFFFFFFFF
_WHOLE: Final = (1 << 64) - 1
_WRITE, _EXEC = 2, 4
_THREAD: Final = 0x100 | 0x800 | 0x10000  # CLONE_VM, CLONE_SIGHAND, CLONE_THREAD
_CLONE_NEW: Final = 0x7E020080 | 0x80000000  # every namespace flag, CLONE_IO
_TCGETS, _FIONREAD, _FIOCLEX, _FIONBIO = 0x5401, 0x541B, 0x5451, 0x5421
_F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC = 0, 1, 2, 3, 4, 1030


def _one_of(index: int, *values: int) -> tuple[tuple[Test, ...], ...]:
    return tuple((Test(index, _WORD, value),) for value in values)


RULES: Final = (
    Rule("read write readv writev", "the line to the parent, standard streams, granted files"),
    Rule("futex", "locks of Python and of the C library, a thread's end"),
    Rule("mmap", "memory; but nothing executable, which only mprotect makes", when=((Test(2, _EXEC, 0),),)),
    Rule(
        "mprotect",
        "committing a guest's memory, sealing its code; but nothing is writable and executable at once",
        when=((Test(2, _EXEC, 0),), (Test(2, _WRITE, 0),)),
    ),
    Rule("munmap madvise brk", "giving memory back, growing the heap"),
    Rule("mremap", "realloc of large blocks; pages keep their protection"),
    Rule("close fstat newfstatat lseek", "streams and files; by name, only an empty root is left to look at"),
    Rule("pread64 pwrite64 preadv pwritev preadv2 pwritev2", "WASI: reading and writing at a place of a granted file"),
    Rule("poll ppoll select pselect6", "waiting for streams, and to be stopped"),
    Rule("clock_gettime clock_getres gettimeofday time", "clocks, where the kernel offers no quicker way"),
    Rule("clock_nanosleep nanosleep", "sleeping"),
    Rule("getrandom", "WASI: randomness; Python's hashes and temporary names"),
    Rule("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack", "traps are signals; their handlers stand on a stack"),
    Rule("tgkill", "a deadline signals the thread that runs the guest, of this process", when=_one_of(0, SELF)),
    Rule("gettid getpid getuid geteuid getgid getegid uname", "who and where: constants of the worker"),
    Rule("restart_syscall", "the kernel's own, after a signal"),
    Rule("exit exit_group", "the end"),
    Rule("pipe pipe2 eventfd2", "waking a guest that waits"),
    Rule("memfd_create", "a guest's initial memory is mapped from an unnamed file"),
    Rule("dup dup3", "listing a directory works on a copy of its descriptor"),
    Rule(
        "fcntl",
        "flags of descriptors and copies of them; not who is signalled (F_SETOWN), no locks, no leases",
        when=_one_of(1, _F_DUPFD, _F_GETFD, _F_SETFD, _F_GETFL, _F_SETFL, _F_DUPFD_CLOEXEC),
    ),
    Rule(
        "ioctl",
        "is it a terminal, how much can be read; not a terminal's input (TIOCSTI) or settings",
        when=_one_of(1, _TCGETS, _FIONREAD, _FIOCLEX, _FIONBIO),
    ),
    Rule(
        "clone",
        "threads, which share everything and stay inside: a deadline's, the optimising compiler's",
        when=((Test(0, _THREAD | _CLONE_NEW, _THREAD),),),
    ),
    Rule("clone3", "its flags cannot be looked at; the C library then takes clone", Verdict.UNKNOWN),
    Rule("set_robust_list rseq", "a thread's start"),
    Rule("sched_yield sched_getaffinity", "spinning politely, the number of processors"),
    Rule("prctl", "names of threads and of memory, which nobody needs", Verdict.DENIED),
    Rule(
        "prlimit64",
        "reading a limit, to know the stack; not setting one",
        when=((Test(0, _WORD, 0), Test(2, _WHOLE, 0)),),
    ),
    Rule("getrlimit getrusage", "reading limits and usage"),
    Rule("ftruncate fallocate fadvise64 fsync fdatasync getdents64", "WASI: granted files and directories"),
    Rule(
        "openat openat2 unlinkat mkdirat renameat renameat2 linkat symlinkat readlinkat statx",
        "WASI: names beneath granted directories; which, Landlock and openat2 decide",
        files=True,
    ),
    Rule(
        "utimensat",
        "WASI: times of open files; by name, which Landlock does not look at, only none",
        when=((Test(1, _WHOLE, 0),),),
        files=True,
        otherwise=Verdict.DENIED,
    ),
    Rule(
        "openat openat2 readlinkat statx",
        "no directory is granted: Python, which may look for a module's source, is told there is none",
        Verdict.NO_ENTRY,
    ),
)
"""The list, most frequent first."""


# -- files and network -------------------------------------------------------------------------------------------------

READING: Final = ("READ_FILE", "READ_DIR")
WRITING: Final = (
    *READING, "WRITE_FILE", "REMOVE_DIR", "REMOVE_FILE", "MAKE_DIR", "MAKE_REG", "MAKE_SYM", "REFER", "TRUNCATE",
)  # fmt: skip
"""Landlock's rights beneath a granted directory; never executing, devices, sockets or FIFOs."""


@final
class Policy(Record):
    """Everything above as one value: print it, compare it."""

    layers: tuple[str, ...] = tuple(LAYERS)
    calls: tuple[Rule, ...] = RULES
    reading: tuple[str, ...] = READING
    writing: tuple[str, ...] = WRITING

    def __str__(self) -> str:
        lines = [f"{name:<18} {what}" for name, what in LAYERS.items() if name in self.layers]
        lines += ["", "system calls (all others end the worker):"]
        lines += [f"  {rule.calls}: {rule.verdict.value}{_condition(rule)}; {rule.why}" for rule in self.calls]
        lines += ["", f"beneath read-only directories: {' '.join(self.reading)}"]
        lines += [f"beneath others: {' '.join(self.writing)}"]
        return "\n".join(lines)


def _condition(rule: Rule) -> str:
    where = " where directories are granted" if rule.files else ""
    if not rule.when:
        return where
    other = "" if rule.otherwise is Verdict.KILL else f", else {rule.otherwise.value}"
    return f"{where} if {' or '.join(' and '.join(map(_described, tests)) for tests in rule.when)}{other}"


def _described(test: Test) -> str:
    mask = "" if test.mask in (_WORD, _WHOLE) else f" & {test.mask:#x}"
    return f"argument {test.arg}{mask} is {'its own' if test.value == SELF else hex(test.value)}"
