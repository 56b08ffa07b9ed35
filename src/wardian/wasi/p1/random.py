"""Chapter "random" of preview 1."""

from __future__ import annotations

from typing import Final

from wardian.capability.errno import CapabilityError
from wardian.wasi.errno import FAULT, SUCCESS, number
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.memory import MASK
from wardian.wasi.p1.types import Preview

_CHUNK: Final = 1 << 18


def random_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    fill = ctx.random.fill
    check = ctx.waiter.check

    def call(pointer: int, length: int) -> int:
        pointer &= MASK
        length &= MASK
        view = ctx.memory.view()
        end = pointer + length
        if end > view.nbytes:
            return FAULT
        try:
            if length <= _CHUNK:
                fill(view[pointer:end])
                return SUCCESS
            for start in range(pointer, end, _CHUNK):
                check()
                fill(view[start : min(start + _CHUNK, end)])
        except (CapabilityError, OSError) as error:
            return number(error)
        return SUCCESS

    return call
