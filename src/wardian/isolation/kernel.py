"""DANGER: this file asks the kernel to take rights from this very process, by number and with raw structures.

Each function is one system call that the standard library does not wrap. All of them only ever *restrict* the calling
process (or, for mounts, a namespace that is its own); each raises ``OSError`` when the kernel says no, and a caller
that goes on regardless has to say so in its report.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from typing import Any, Final

from wardian.isolation.numbers import machine

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
"""Namespaces, as in clone(2)."""
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_REC, _MS_PRIVATE = 1, 2, 4, 8, 32, 1 << 14, 1 << 18
_MNT_DETACH: Final = 2
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CAP_AMBIENT_CLEAR = 1, 4, 38, 47, 4
_SET_SPECULATION, _INDIRECT_BRANCH, _FORCE_DISABLE = 53, 1, 8
_FILTER: Final = 1
_LANDLOCK_PATH: Final = 1
_LANDLOCK_VERSION: Final = 1
_CAPABILITY_VERSION: Final = 0x20080522


@functools.cache
def _libc() -> Any:
    # SAFETY: the C library is already loaded (None); `syscall` is variadic and gets machine words only.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _syscall(name: str, *arguments: int | bytes | None) -> int:
    known = machine()
    if known is None:
        raise OSError(errno.ENOSYS, "the system calls of this machine are not known")
    words = [a if isinstance(a, bytes) or a is None else ctypes.c_long(a) for a in arguments]
    # SAFETY: integers are passed as whole words, bytes as pointers to buffers that live until the call returns and that
    # the calls below only read.
    return _done(_libc().syscall(ctypes.c_long(known.numbers[name]), *words))


def _prctl(option: int, value: int, more: int = 0) -> None:
    zero = ctypes.c_ulong(0)
    # SAFETY: none of the options used here takes a pointer.
    _done(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), zero, zero))


def die_with_parent(number: int) -> None:
    """Get the signal ``number`` when the thread that started this process ends."""
    _prctl(_SET_PDEATHSIG, number)


def make_undumpable() -> None:
    _prctl(_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    _prctl(_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every privilege, for good: no program started later has them back, given :func:`no_new_privileges`."""
    try:
        _prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR)
    except OSError:
        pass  # Kernels before 4.3 have no ambient set.
    # SAFETY: a struct __user_cap_header_struct for this process, and two zeroed struct __user_cap_data_struct.
    _syscall("capset", struct.pack("<Ii", _CAPABILITY_VERSION, 0), bytes(24))


def clear_predictor() -> None:
    """Have a barrier for the branch predictor (IBPB) whenever the processor changes to this process or from it, for
    good; and none that is shared with another thread of the core meanwhile (STIBP)."""
    _prctl(_SET_SPECULATION, _INDIRECT_BRANCH, _FORCE_DISABLE)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _done(_libc().unshare(ctypes.c_int(flags)))


def join_namespace(fd: int, flag: int) -> None:
    _done(_libc().setns(ctypes.c_int(fd), ctypes.c_int(flag)))


def empty_root() -> None:
    """Make an empty, read-only directory this mount namespace's root. The namespace must be its own."""
    mount, base = _libc().mount, b"/tmp" if os.path.isdir("/tmp") else b"/proc"
    none = ctypes.c_void_p(None)
    # SAFETY: all strings are constants that end in a zero byte; flags are words; there is no data but a constant.
    _done(mount(b"none", b"/", none, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), none))
    sealed = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    # SAFETY: as above.
    _done(mount(b"tmpfs", base, b"tmpfs", sealed, b"size=4k,mode=555"))
    os.chdir(base)
    _syscall("pivot_root", b".", b".")
    _done(_libc().umount2(b".", ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")
    sealed = ctypes.c_ulong(_MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    # SAFETY: as above.
    _done(mount(b"none", b"/", none, sealed, none))


def landlock_version() -> int:
    """The Landlock ABI of the kernel; 0 without Landlock."""
    try:
        return _syscall("landlock_create_ruleset", None, 0, _LANDLOCK_VERSION)
    except OSError:
        return 0


def landlock_ruleset(attributes: bytes) -> int:
    """A descriptor of a rule set that handles what ``attributes`` (struct landlock_ruleset_attr) says."""
    # SAFETY: the structure's size is passed with it.
    return _syscall("landlock_create_ruleset", attributes, len(attributes), 0)


def landlock_allow(ruleset: int, directory: int, rights: int) -> None:
    """Allow ``rights`` beneath a directory descriptor."""
    # SAFETY: struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of the descriptor.
    _syscall("landlock_add_rule", ruleset, _LANDLOCK_PATH, struct.pack("<Qi", rights, directory), 0)


def landlock_enforce(ruleset: int) -> None:
    _syscall("landlock_restrict_self", ruleset, 0)


def filter_calls(program: bytes) -> None:
    """Put a filter of :mod:`wardian.isolation.bpf` on this thread's system calls, and on those of its children."""
    buffer = ctypes.create_string_buffer(program, len(program))
    # SAFETY: struct sock_fprog is a count of eight-byte instructions and a pointer to them, which lives until the call
    # returns; the kernel copies and verifies the program.
    _syscall("seccomp", _FILTER, 0, struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)))
