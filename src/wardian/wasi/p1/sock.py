"""Chapter "sock" of preview 1: on sockets that were granted, or accepted on such; nothing here opens one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wardian.capability.errno import CapabilityError, Errno
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.fds import Descriptor, socket_descriptor
from wardian.wasi.p1.fs import flags
from wardian.wasi.p1.memory import buffers, place
from wardian.wasi.p1.types import U16, U32, Fdflags, Preview

if TYPE_CHECKING:
    from wardian.capability.socket import HostSocket

_PEEK: Final = 1
_WAIT_ALL: Final = 2
_TRUNCATED: Final = 1
_READ: Final = 1
_WRITE: Final = 2


def _socket(ctx: WasiContext, fd: int, rights: int) -> tuple[HostSocket, Descriptor]:
    """The socket ``fd``, if it has ``rights``; a bad descriptor, or not a socket, if it is none."""
    found = ctx.fds.get(fd)
    if found.socket is None:
        raise CapabilityError(Errno.NOT_SOCKET)
    found.need(rights)
    return found.socket, found


def sock_accept(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, fdflags: int, result: int) -> None:
        listener, found = _socket(ctx, fd, row.rights)
        if flags(fdflags, Fdflags.ALL) & ~Fdflags.NONBLOCK:
            raise CapabilityError(Errno.INVALID)
        view = ctx.memory.view()
        at = place(view, result, U32)
        new = socket_descriptor(listener.accept(ctx.waiter), found.inheriting, fdflags)
        try:
            number = ctx.fds.insert(new)
        except CapabilityError:
            new.close()
            raise
        U32.pack_into(view, at, number)

    return call


def sock_recv(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, iovs: int, count: int, how: int, size: int, out_flags: int) -> None:
        source, _ = _socket(ctx, fd, row.rights)
        if how & ~(_PEEK | _WAIT_ALL):
            raise CapabilityError(Errno.INVALID)
        view = ctx.memory.view()
        at, flags_at = place(view, size, U32), place(view, out_flags, U16)
        into = buffers(view, iovs, count, ctx.waiter)
        done, cut = 0, False
        if into:
            done, cut = source.receive(into, ctx.waiter, peek=bool(how & _PEEK), wait_all=bool(how & _WAIT_ALL))
        U32.pack_into(view, at, done)
        U16.pack_into(view, flags_at, _TRUNCATED if cut else 0)

    return call


def sock_send(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, iovs: int, count: int, how: int, size: int) -> None:
        sink, _ = _socket(ctx, fd, row.rights)
        if how:
            raise CapabilityError(Errno.INVALID)
        view = ctx.memory.view()
        at = place(view, size, U32)
        source = buffers(view, iovs, count, ctx.waiter)
        U32.pack_into(view, at, sink.send(source, ctx.waiter) if source else 0)

    return call


def sock_shutdown(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(fd: int, how: int) -> None:
        found, _ = _socket(ctx, fd, row.rights)
        if how & ~(_READ | _WRITE):
            raise CapabilityError(Errno.INVALID)
        found.shutdown(bool(how & _READ), bool(how & _WRITE))

    return call
