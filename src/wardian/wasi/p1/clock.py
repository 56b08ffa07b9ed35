"""Chapter "clock" of preview 1. Unknown clocks are invalid; the CPU-time clocks work, unlike in Wasmtime."""

from __future__ import annotations

from struct import error as PackError

from wardian.capability.errno import CapabilityError, Errno
from wardian.wasi.errno import FAULT, INVAL, SUCCESS
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.memory import MASK, MASK64, place
from wardian.wasi.p1.types import U64, Preview


def clock_res_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    resolution = ctx.clocks.resolution

    def call(clock: int, result: int) -> None:
        view = ctx.memory.view()
        if not 0 <= clock < len(resolution):
            raise CapabilityError(Errno.INVALID)
        U64.pack_into(view, place(view, result, U64), resolution[clock])

    return call


def clock_time_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    now = ctx.clocks.now
    clocks = len(now)
    pack_into = U64.pack_into

    def call(clock: int, precision: int, result: int) -> int:
        if not 0 <= clock < clocks:
            return INVAL
        try:
            # FAST: the packer checks the range, and before it the clock is only looked at.
            pack_into(ctx.memory.view(), result & MASK, now[clock]() & MASK64)
        except PackError:
            return FAULT
        return SUCCESS

    return call
