"""Numbers of system calls, as the kernel's headers have them, for the machines whose filter we can write.

Invariant: a call without a number on a machine does not exist there, and nothing can allow it.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import Final, NamedTuple

# fmt: off
_ROWS: Final[tuple[tuple[str, int | None, int | None], ...]] = (
    # name, x86-64, aarch64
    ("read", 0, 63),
    ("write", 1, 64),
    ("readv", 19, 65),
    ("writev", 20, 66),
    ("pread64", 17, 67),
    ("pwrite64", 18, 68),
    ("preadv", 295, 69),
    ("pwritev", 296, 70),
    ("preadv2", 327, 286),
    ("pwritev2", 328, 287),
    ("lseek", 8, 62),
    ("close", 3, 57),
    ("fstat", 5, 80),
    ("newfstatat", 262, 79),
    ("ftruncate", 77, 46),
    ("fallocate", 285, 47),
    ("fadvise64", 221, 223),
    ("fsync", 74, 82),
    ("fdatasync", 75, 83),
    ("getdents64", 217, 61),
    ("dup", 32, 23),
    ("dup2", 33, None),
    ("dup3", 292, 24),
    ("fcntl", 72, 25),
    ("ioctl", 16, 29),
    ("poll", 7, None),
    ("ppoll", 271, 73),
    ("select", 23, None),
    ("pselect6", 270, 72),
    ("pipe", 22, None),
    ("pipe2", 293, 59),
    ("eventfd2", 290, 19),
    ("memfd_create", 319, 279),
    ("mmap", 9, 222),
    ("munmap", 11, 215),
    ("mprotect", 10, 226),
    ("mremap", 25, 216),
    ("madvise", 28, 233),
    ("brk", 12, 214),
    ("clone", 56, 220),
    ("clone3", 435, 435),
    ("futex", 202, 98),
    ("set_robust_list", 273, 99),
    ("rseq", 334, 293),
    ("gettid", 186, 178),
    ("exit", 60, 93),
    ("exit_group", 231, 94),
    ("sched_yield", 24, 124),
    ("sched_getaffinity", 204, 123),
    ("prctl", 157, 167),
    ("rt_sigaction", 13, 134),
    ("rt_sigprocmask", 14, 135),
    ("rt_sigreturn", 15, 139),
    ("sigaltstack", 131, 132),
    ("tgkill", 234, 131),
    ("restart_syscall", 219, 128),
    ("clock_gettime", 228, 113),
    ("clock_getres", 229, 114),
    ("clock_nanosleep", 230, 115),
    ("gettimeofday", 96, 169),
    ("nanosleep", 35, 101),
    ("time", 201, None),
    ("getpid", 39, 172),
    ("getuid", 102, 174),
    ("geteuid", 107, 175),
    ("getgid", 104, 176),
    ("getegid", 108, 177),
    ("getrandom", 318, 278),
    ("uname", 63, 160),
    ("prlimit64", 302, 261),
    ("getrlimit", 97, 163),
    ("getrusage", 98, 165),
    ("openat", 257, 56),
    ("openat2", 437, 437),
    ("statx", 332, 291),
    ("unlinkat", 263, 35),
    ("mkdirat", 258, 34),
    ("renameat", 264, 38),
    ("renameat2", 316, 276),
    ("linkat", 265, 37),
    ("symlinkat", 266, 36),
    ("readlinkat", 267, 78),
    ("utimensat", 280, 88),
    ("faccessat2", 439, 439),
    ("pivot_root", 155, 41),
    ("capset", 126, 91),
    ("landlock_create_ruleset", 444, 444),
    ("landlock_add_rule", 445, 445),
    ("landlock_restrict_self", 446, 446),
    ("seccomp", 317, 277),
    ("fork", 57, None),
    ("vfork", 58, None),
    ("execve", 59, 221),
    ("ptrace", 101, 117),
    ("socket", 41, 198),
    ("connect", 42, 203),
    ("kill", 62, 129),
    ("mount", 165, 40),
    ("process_vm_readv", 310, 270),
)
# fmt: on


class Machine(NamedTuple):
    """``audit`` is what the kernel calls the machine when it runs a filter (``AUDIT_ARCH_...``)."""

    audit: int
    numbers: MappingProxyType[str, int]


MACHINES: Final = MappingProxyType(
    {
        "x86_64": Machine(0xC000003E, MappingProxyType({name: x for name, x, _ in _ROWS if x is not None})),
        "aarch64": Machine(0xC00000B7, MappingProxyType({name: a for name, _, a in _ROWS if a is not None})),
    }
)


def machine() -> Machine | None:
    """The one this process runs on, if it is known."""
    return MACHINES.get(os.uname().machine)
