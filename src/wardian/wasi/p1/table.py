"""The 46 functions of ``wasi_snapshot_preview1.witx``, one row each: name, parameters, handler, rights.

Everything else that knows the functions (the imports given to a guest, the documentation, the tests) is derived from
these rows. Preview 0 (``wasi_unstable``) has the same rows but for what :class:`~wardian.wasi.p1.types.Preview` names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wardian.syntax.types import I32, I64, FuncType, NumType
from wardian.wasi.p1 import clock, environ, fd, fs, path, poll, proc, random, sock
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.types import Preview, Rights

_KINDS: Final = {"i": I32, "l": I64}


def _row(
    name: str,
    params: str,
    bind: Callable[[WasiContext, Preview, Function], Handler],
    rights: int = Rights.NONE,
    target: int = Rights.NONE,
    *,
    results: tuple[NumType, ...] = (I32,),
    bare: bool = False,
) -> Function:
    type_ = FuncType(tuple(_KINDS[code] for code in params), results)
    return Function(name, type_, bind, int(rights), int(target), bare)


R: Final = Rights
FUNCTIONS: Final = (
    _row("args_get", "ii", environ.args_get),
    _row("args_sizes_get", "ii", environ.args_sizes_get),
    _row("environ_get", "ii", environ.environ_get),
    _row("environ_sizes_get", "ii", environ.environ_sizes_get),
    _row("clock_res_get", "ii", clock.clock_res_get),
    _row("clock_time_get", "ili", clock.clock_time_get, bare=True),
    _row("fd_advise", "illi", fd.fd_advise, R.FD_ADVISE),
    _row("fd_allocate", "ill", fd.fd_allocate, R.FD_ALLOCATE),
    _row("fd_close", "i", fd.fd_close),
    _row("fd_datasync", "i", fd.fd_datasync, R.FD_DATASYNC),
    _row("fd_fdstat_get", "ii", fs.fd_fdstat_get),
    _row("fd_fdstat_set_flags", "ii", fs.fd_fdstat_set_flags, R.FD_FDSTAT_SET_FLAGS),
    _row("fd_fdstat_set_rights", "ill", fs.fd_fdstat_set_rights),
    _row("fd_filestat_get", "ii", fs.fd_filestat_get, R.FD_FILESTAT_GET),
    _row("fd_filestat_set_size", "il", fs.fd_filestat_set_size, R.FD_FILESTAT_SET_SIZE),
    _row("fd_filestat_set_times", "illi", fs.fd_filestat_set_times, R.FD_FILESTAT_SET_TIMES),
    _row("fd_pread", "iiili", fd.fd_pread, R.FD_READ),
    _row("fd_prestat_get", "ii", fs.fd_prestat_get),
    _row("fd_prestat_dir_name", "iii", fs.fd_prestat_dir_name),
    _row("fd_pwrite", "iiili", fd.fd_pwrite, R.FD_WRITE),
    _row("fd_read", "iiii", fd.fd_read, R.FD_READ, bare=True),
    _row("fd_readdir", "iiili", fs.fd_readdir, R.FD_READDIR),
    _row("fd_renumber", "ii", fd.fd_renumber),
    _row("fd_seek", "ilii", fd.fd_seek, R.FD_SEEK, bare=True),
    _row("fd_sync", "i", fd.fd_sync, R.FD_SYNC),
    _row("fd_tell", "ii", fd.fd_tell, R.FD_TELL),
    _row("fd_write", "iiii", fd.fd_write, R.FD_WRITE, bare=True),
    _row("path_create_directory", "iii", path.path_create_directory, R.PATH_CREATE_DIRECTORY),
    _row("path_filestat_get", "iiiii", path.path_filestat_get, R.PATH_FILESTAT_GET),
    _row("path_filestat_set_times", "iiiilli", path.path_filestat_set_times, R.PATH_FILESTAT_SET_TIMES),
    _row("path_link", "iiiiiii", path.path_link, R.PATH_LINK_SOURCE, R.PATH_LINK_TARGET),
    _row("path_open", "iiiiillii", path.path_open, R.PATH_OPEN),
    _row("path_readlink", "iiiiii", path.path_readlink, R.PATH_READLINK),
    _row("path_remove_directory", "iii", path.path_remove_directory, R.PATH_REMOVE_DIRECTORY),
    _row("path_rename", "iiiiii", path.path_rename, R.PATH_RENAME_SOURCE, R.PATH_RENAME_TARGET),
    _row("path_symlink", "iiiii", path.path_symlink, R.PATH_SYMLINK),
    _row("path_unlink_file", "iii", path.path_unlink_file, R.PATH_UNLINK_FILE),
    _row("poll_oneoff", "iiii", poll.poll_oneoff),
    _row("proc_exit", "i", proc.proc_exit, results=(), bare=True),
    _row("proc_raise", "i", proc.proc_raise),
    _row("random_get", "ii", random.random_get, bare=True),
    _row("sched_yield", "", proc.sched_yield),
    _row("sock_accept", "iii", sock.sock_accept, R.SOCK_ACCEPT),
    _row("sock_recv", "iiiiii", sock.sock_recv, R.FD_READ),
    _row("sock_send", "iiiii", sock.sock_send, R.FD_WRITE),
    _row("sock_shutdown", "ii", sock.sock_shutdown, R.SOCK_SHUTDOWN),
)
