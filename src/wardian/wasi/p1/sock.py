"""Chapter "sock" of preview 1. No descriptor is a socket: there is no way to be granted one."""

from __future__ import annotations

from wardian.capability.errno import CapabilityError, Errno
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.types import Preview


def no_socket(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    """Any of the four functions: a bad descriptor, or not a socket."""

    def call(fd: int, *rest: int) -> None:
        ctx.fds.get(fd)
        raise CapabilityError(Errno.NOT_SOCKET)

    return call
