"""Chapter "random" of preview 1."""

from __future__ import annotations

from typing import Final

from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.memory import span
from wardian.wasi.p1.types import Preview

_CHUNK: Final = 1 << 18


def random_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    fill = ctx.random.fill
    check = ctx.waiter.check

    def call(pointer: int, length: int) -> None:
        target = span(ctx.memory.view(), pointer, length)
        if len(target) <= _CHUNK:
            fill(target)
            return
        for start in range(0, len(target), _CHUNK):
            check()
            fill(target[start : start + _CHUNK])

    return call
