"""Chapter "fd" of preview 1, second half: what a descriptor is, and may do; the contents of directories."""

from __future__ import annotations

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.types import FileStat, NewTimes
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.fds import FILETYPES, Listing
from wardian.wasi.p1.memory import MASK, MASK64, place, span
from wardian.wasi.p1.types import DIRENT, FDSTAT, PRESTAT, U32, Fdflags, Fstflags, Preview

_SETTABLE = Fdflags.APPEND | Fdflags.NONBLOCK
_STREAM_STAT = (0,) * 8


def flags(value: int, every: int) -> int:
    """``value`` if it has no unknown bit; raises :class:`CapabilityError` (invalid) otherwise."""
    if value & ~every:
        raise CapabilityError(Errno.INVALID)
    return value


def _timestamp(nanoseconds: int) -> int:
    """Times before 1970 or after 2554 have no number here: the nearest one stands for them."""
    return min(max(nanoseconds, 0), MASK64)


def stat_values(found: FileStat) -> tuple[int, ...]:
    """The fields of a ``filestat``."""
    return (
        found.device & MASK64,
        found.inode & MASK64,
        FILETYPES[found.type],
        found.links & MASK,
        found.size,
        _timestamp(found.accessed),
        _timestamp(found.modified),
        _timestamp(found.changed),
    )


def new_times(ctx: WasiContext, accessed: int, modified: int, which: int) -> NewTimes:
    """What ``fstflags`` make of the two timestamps. Setting one both to a value and to now is invalid."""
    flags(which, Fstflags.ALL)
    chosen: list[int | None] = []
    for value, given, now in (
        (accessed, Fstflags.ATIM, Fstflags.ATIM_NOW),
        (modified, Fstflags.MTIM, Fstflags.MTIM_NOW),
    ):
        if which & given and which & now:
            raise CapabilityError(Errno.INVALID)
        if which & given:
            chosen.append(value & MASK64)
        else:
            chosen.append(ctx.clocks.now[0]() if which & now else None)
    return NewTimes(*chosen)


def fd_fdstat_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, result: int) -> None:
        found = ctx.fds.get(fd)
        view = ctx.memory.view()
        at = place(view, result, FDSTAT)
        FDSTAT.pack_into(view, at, found.type, found.flags, found.base, found.inheriting)

    return call


def fd_fdstat_set_flags(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, new: int) -> None:
        file = ctx.fds.file(fd, row.rights)
        flags(new, Fdflags.ALL)
        found = ctx.fds.get(fd)
        if new & ~_SETTABLE:
            raise CapabilityError(Errno.INVALID)
        file.set_append(bool(new & Fdflags.APPEND))
        file.set_blocking(not new & Fdflags.NONBLOCK)
        found.flags = (found.flags & ~_SETTABLE) | new

    return call


def fd_fdstat_set_rights(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, base: int, inheriting: int) -> None:
        found = ctx.fds.get(fd)
        base, inheriting = base & MASK64, inheriting & MASK64
        if base & ~found.base or inheriting & ~found.inheriting:
            raise CapabilityError(Errno.NOT_CAPABLE)
        found.limit(base, inheriting)

    return call


def fd_filestat_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    layout = preview.filestat

    def call(fd: int, result: int) -> None:
        found = ctx.fds.get(fd)
        view = ctx.memory.view()
        at = place(view, result, layout)
        node = found.file or found.directory
        if node is None:
            layout.pack_into(view, at, 0, 0, found.type, *_STREAM_STAT[3:])
            return
        found.need(row.rights)
        layout.pack_into(view, at, *stat_values(node.stat()))

    return call


def fd_filestat_set_size(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, size: int) -> None:
        ctx.fds.file(fd, row.rights).set_size(size & MASK64)

    return call


def fd_filestat_set_times(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, accessed: int, modified: int, which: int) -> None:
        found = ctx.fds.get(fd)
        times = new_times(ctx, accessed, modified, which)
        node = found.file or found.directory
        if node is None:
            raise CapabilityError(Errno.BAD_FD)
        found.need(row.rights)
        node.set_times(times)

    return call


def fd_prestat_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, result: int) -> None:
        name = ctx.fds.get(fd).preopen
        if name is None:
            raise CapabilityError(Errno.BAD_FD)
        view = ctx.memory.view()
        PRESTAT.pack_into(view, place(view, result, PRESTAT), 0, len(name))

    return call


def fd_prestat_dir_name(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, pointer: int, length: int) -> None:
        name = ctx.fds.get(fd).preopen
        if name is None:
            raise CapabilityError(Errno.NOT_DIRECTORY)
        if len(name) > length & MASK:
            raise CapabilityError(Errno.NAME_TOO_LONG)
        span(ctx.memory.view(), pointer, len(name))[:] = name

    return call


def fd_readdir(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    """Fills the buffer to its end if there is more: the last entry may be cut, and is asked for again."""

    def call(fd: int, pointer: int, length: int, cookie: int, result: int) -> None:
        directory = ctx.fds.directory(fd, row.rights)
        found = ctx.fds.get(fd)
        view = ctx.memory.view()
        at = place(view, result, U32)
        buffer = span(view, pointer, length)
        if found.listing is None:
            found.listing = Listing(directory)
        used = 0
        for following, entry in found.listing.seek(cookie & MASK64):
            head = DIRENT.pack(following, entry.inode & MASK64, len(entry.name), FILETYPES[entry.type])
            piece = (head + entry.name)[: len(buffer) - used]
            buffer[used : used + len(piece)] = piece
            used += len(piece)
            if used == len(buffer):
                break
        U32.pack_into(view, at, used)

    return call
