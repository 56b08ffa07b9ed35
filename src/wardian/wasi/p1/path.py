"""Chapter "path" of preview 1: everything that takes a path relative to a directory descriptor.

What a path may reach is decided where it is opened (:mod:`wardian.capability.filesystem`), not here.
"""

from __future__ import annotations

import os
from typing import Final

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.types import Directory, OpenMode
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.fds import Descriptor, directory_descriptor, file_descriptor
from wardian.wasi.p1.fs import flags, new_times, stat_values
from wardian.wasi.p1.memory import place, span, string
from wardian.wasi.p1.types import LOOKUP_SYMLINK_FOLLOW, U32, Fdflags, Oflags, Preview, Rights

_READ: Final = int(Rights.FD_READ)
_WRITE: Final = int(Rights.FD_WRITE)


def _follow(lookup: int) -> bool:
    if lookup & ~LOOKUP_SYMLINK_FOLLOW:
        raise CapabilityError(Errno.INVALID)
    return bool(lookup)


def path_create_directory(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, path: int, length: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        directory.create_directory(string(ctx.memory.view(), path, length))

    return call


def path_remove_directory(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, path: int, length: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        directory.remove_directory(string(ctx.memory.view(), path, length))

    return call


def path_unlink_file(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, path: int, length: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        directory.unlink(string(ctx.memory.view(), path, length))

    return call


def path_filestat_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    layout = preview.filestat

    def call(fd: int, lookup: int, path: int, length: int, result: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        view = ctx.memory.view()
        at = place(view, result, layout)
        found = directory.stat_path(string(view, path, length), _follow(lookup))
        layout.pack_into(view, at, *stat_values(found))

    return call


def path_filestat_set_times(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, lookup: int, path: int, length: int, accessed: int, modified: int, which: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        times = new_times(ctx, accessed, modified, which)
        directory.set_times_path(string(ctx.memory.view(), path, length), times, _follow(lookup))

    return call


def path_link(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, lookup: int, path: int, length: int, new_fd: int, new_path: int, new_length: int) -> None:
        source = ctx.fds.directory(fd, row.rights)
        target = ctx.fds.directory(new_fd, row.target)
        view = ctx.memory.view()
        old, new = string(view, path, length), string(view, new_path, new_length)
        if _follow(lookup):
            # Linking what a symbolic link points to is not offered, as in Wasmtime.
            raise CapabilityError(Errno.INVALID)
        source.link(old, target, new)

    return call


def path_rename(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, path: int, length: int, new_fd: int, new_path: int, new_length: int) -> None:
        source = ctx.fds.directory(fd, row.rights)
        target = ctx.fds.directory(new_fd, row.target)
        view = ctx.memory.view()
        old, new = string(view, path, length), string(view, new_path, new_length)
        source.rename(old, target, new)

    return call


def path_symlink(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(text: int, text_length: int, fd: int, path: int, length: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        view = ctx.memory.view()
        directory.symlink(string(view, text, text_length), string(view, path, length))

    return call


def path_readlink(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, path: int, length: int, buffer: int, size: int, result: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        view = ctx.memory.view()
        at = place(view, result, U32)
        into = span(view, buffer, size)
        text = directory.read_link(string(view, path, length))[: len(into)]
        into[: len(text)] = text
        U32.pack_into(view, at, len(text))

    return call


def _open_mode(lookup: int, oflags: int, base: int, fdflags: int) -> OpenMode:
    """How to open: a guest that does not ask to write reads, as in Wasmtime."""
    if oflags & ~Oflags.ALL:
        raise CapabilityError(Errno.INVALID)
    if oflags & Oflags.DIRECTORY and oflags & (Oflags.CREAT | Oflags.EXCL | Oflags.TRUNC):
        raise CapabilityError(Errno.INVALID)
    create = bool(oflags & Oflags.CREAT)
    write = bool(base & _WRITE)
    return OpenMode(
        read=bool(base & _READ) or not write,
        write=write,
        create=create,
        exclusive=create and bool(oflags & Oflags.EXCL),
        truncate=bool(oflags & Oflags.TRUNC),
        directory=bool(oflags & Oflags.DIRECTORY),
        follow=_follow(lookup),
        append=bool(fdflags & Fdflags.APPEND),
        sync=bool(fdflags & Fdflags.SYNC),
        data_sync=bool(fdflags & Fdflags.DSYNC),
        read_sync=bool(fdflags & Fdflags.RSYNC),
    )


def _check_rights(found: Descriptor, mode: OpenMode) -> None:
    """What opening in this way needs beyond the right to open."""
    if mode.create:
        found.need(int(Rights.PATH_CREATE_FILE))
    if mode.write and not found.inheriting & _WRITE:
        raise CapabilityError(Errno.NOT_CAPABLE)


def _open(directory: Directory, path: bytes, mode: OpenMode, inheriting: int, fdflags: int) -> Descriptor:
    opened = directory.open(path, mode)
    if opened.directory is not None:
        return directory_descriptor(opened.directory, inheriting)
    assert opened.file is not None
    return file_descriptor(opened.file, inheriting, fdflags, mode.read, mode.write)


def _is_terminal(descriptor: Descriptor) -> bool:
    fd = None if descriptor.file is None else descriptor.file.poll_fd
    return fd is not None and os.isatty(fd)


def path_open(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(
        fd: int, lookup: int, path: int, length: int, oflags: int, base: int, inheriting: int, fdflags: int, result: int
    ) -> None:
        view = ctx.memory.view()
        at = place(view, result, U32)
        name = string(view, path, length)
        found = ctx.fds.get(fd)
        if found.directory is None:
            raise CapabilityError(Errno.BAD_FD if found.file is None else Errno.NOT_DIRECTORY)
        found.need(row.rights)
        mode = _open_mode(lookup, oflags, base, flags(fdflags, Fdflags.ALL))
        _check_rights(found, mode)
        new = _open(found.directory, name, mode, found.inheriting, fdflags)
        if ctx.terminal != "raw" and _is_terminal(new):
            # Terminals are reached through the standard streams, which are filtered, whatever lies in a directory.
            new.close()
            raise CapabilityError(Errno.ACCESS)
        try:
            number = ctx.fds.insert(new)
        except CapabilityError:
            new.close()
            raise
        U32.pack_into(view, at, number)

    return call
