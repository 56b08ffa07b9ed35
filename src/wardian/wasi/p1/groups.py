"""What each function of preview 1 is about: the capability that a guest which imports it asks for.

Invariant: every row of :data:`wardian.wasi.p1.table.FUNCTIONS` is in exactly one group.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

GROUPS: Final = MappingProxyType({
    # name: (its functions, what is granted how)
    "arguments": ("args_get args_sizes_get", "the words after FILE.wasm"),
    "environment": ("environ_get environ_sizes_get", "none, but for --env"),
    "clock": ("clock_res_get clock_time_get", "always there"),
    "random": ("random_get", "always there"),
    "files": (
        "fd_advise fd_allocate fd_datasync fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get "
        "fd_prestat_dir_name fd_pwrite fd_readdir fd_sync path_create_directory path_filestat_get "
        "path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename path_symlink "
        "path_unlink_file",
        "none, but beneath --dir",
    ),
    "streams and open files": (
        "fd_close fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get fd_read fd_renumber fd_seek "
        "fd_tell fd_write",
        "standard input, output and error, and files opened",
    ),
    "waiting": ("poll_oneoff sched_yield", "always there, within -W timeout"),
    "network": ("sock_accept sock_recv sock_send sock_shutdown", "none: there is no way to grant it"),
    "exit": ("proc_exit", "always there"),
    "signals": ("proc_raise", "none"),
})  # fmt: skip
"""In the order in which people care."""

GROUP_OF: Final = MappingProxyType({name: group for group, (names, _) in GROUPS.items() for name in names.split()})
"""Function -> group."""
