"""Chapter "fd" of preview 1, first half: transfers, positions, and the table of descriptors.

Invariant: the place for the result is checked before anything is transferred, so no data is lost to a bad pointer.
"""

from __future__ import annotations

from struct import error as PackError

from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.filesystem.types import Advice
from wardian.wasi.errno import BADF, FAULT, INVAL, NOTCAPABLE, SPIPE, SUCCESS, number
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.fds import Descriptor
from wardian.wasi.p1.memory import MASK, MASK64, MOST_BYTES, buffers, place, unpack_pair
from wardian.wasi.p1.types import U32, U64, Preview


def fd_read(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    entries = ctx.fds.entries
    waiter = ctx.waiter
    pack_into = U32.pack_into

    def call(fd: int, iovs: int, count: int, result: int) -> int:
        found = entries.get(fd)
        if found is None or found.read is None:
            return BADF
        view = ctx.memory.view()
        size = view.nbytes
        result &= MASK
        if result + 4 > size:
            return FAULT
        try:
            if count == 1:  # FAST: the usual case, without a call
                start, length = unpack_pair(view, iovs & MASK)
                if start + length > size:
                    return FAULT
                into = [view[start : start + (length if length < MOST_BYTES else MOST_BYTES)]] if length else []
            else:
                into = buffers(view, iovs, count, waiter)
            done = found.read(into, waiter) if into else 0
        except PackError:
            return FAULT
        except (CapabilityError, OSError) as error:
            return number(error)
        pack_into(view, result, done)
        return SUCCESS

    return call


def fd_write(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    entries = ctx.fds.entries
    waiter = ctx.waiter
    pack_into = U32.pack_into

    def call(fd: int, iovs: int, count: int, result: int) -> int:
        found = entries.get(fd)
        if found is None or found.write is None:
            return BADF
        view = ctx.memory.view()
        size = view.nbytes
        result &= MASK
        if result + 4 > size:
            return FAULT
        try:
            if count == 1:  # FAST: the usual case, without a call
                start, length = unpack_pair(view, iovs & MASK)
                if start + length > size:
                    return FAULT
                source = [view[start : start + (length if length < MOST_BYTES else MOST_BYTES)]] if length else []
            else:
                source = buffers(view, iovs, count, waiter)
            done = found.write(source, waiter) if source else 0
        except PackError:
            return FAULT
        except (CapabilityError, OSError) as error:
            return number(error)
        pack_into(view, result, done)
        return SUCCESS

    return call


def _stream_at_offset(found: Descriptor) -> Errno:
    return Errno.ILLEGAL_SEEK if found.directory is None else Errno.BAD_FD


def fd_pread(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, iovs: int, count: int, offset: int, result: int) -> None:
        found = ctx.fds.get(fd)
        if found.read is None or found.file is None:
            raise CapabilityError(Errno.BAD_FD if found.read is None else _stream_at_offset(found))
        view = ctx.memory.view()
        at = place(view, result, U32)
        into = buffers(view, iovs, count, ctx.waiter)
        done = found.file.read_at(into, offset & MASK64) if into else 0
        U32.pack_into(view, at, done)

    return call


def fd_pwrite(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, iovs: int, count: int, offset: int, result: int) -> None:
        found = ctx.fds.get(fd)
        if found.write is None or found.file is None:
            raise CapabilityError(Errno.BAD_FD if found.write is None else _stream_at_offset(found))
        view = ctx.memory.view()
        at = place(view, result, U32)
        source = buffers(view, iovs, count, ctx.waiter)
        done = found.file.write_at(source, offset & MASK64) if source else 0
        U32.pack_into(view, at, done)

    return call


def fd_seek(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    entries = ctx.fds.entries
    whences = preview.whence
    rights = row.rights
    pack_into = U64.pack_into

    def call(fd: int, offset: int, whence: int, result: int) -> int:
        found = entries.get(fd)
        if found is None or found.directory is not None:
            return BADF
        file = found.file
        if file is None:
            return SPIPE
        if not 0 <= whence < 3:
            return INVAL
        view = ctx.memory.view()
        result &= MASK
        if result + 8 > view.nbytes:
            return FAULT
        if found.base & rights != rights:
            return NOTCAPABLE
        try:
            position = file.seek(offset, whences[whence])
        except (CapabilityError, OSError) as error:
            return number(error)
        pack_into(view, result, position)
        return SUCCESS

    return call


def fd_tell(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, result: int) -> None:
        found = ctx.fds.get(fd)
        if found.file is None:
            raise CapabilityError(_stream_at_offset(found))
        found.need(row.rights)
        view = ctx.memory.view()
        at = place(view, result, U64)
        U64.pack_into(view, at, found.file.seek(0, 1))

    return call


def fd_close(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return ctx.fds.remove


def fd_renumber(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return ctx.fds.renumber


def _sync(ctx: WasiContext, row: Function, data_only: bool) -> Handler:
    def call(fd: int) -> None:
        found = ctx.fds.get(fd)
        if found.directory is not None:
            found.directory.sync(data_only)
        else:
            ctx.fds.file(fd, row.rights).sync(data_only)

    return call


def fd_sync(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _sync(ctx, row, False)


def fd_datasync(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _sync(ctx, row, True)


def fd_advise(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, offset: int, length: int, advice: int) -> None:
        if not 0 <= advice < len(Advice):
            raise CapabilityError(Errno.INVALID)
        ctx.fds.file(fd, row.rights).advise(offset & MASK64, length & MASK64, Advice(advice))

    return call


def fd_allocate(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, offset: int, length: int) -> None:
        ctx.fds.file(fd, row.rights).allocate(offset & MASK64, length & MASK64)

    return call
