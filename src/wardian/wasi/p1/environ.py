"""Chapters "args" and "environ" of preview 1: two blocks of zero-terminated strings."""

from __future__ import annotations

import struct

from wardian.capability.environment import Strings
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.memory import MASK, place, span
from wardian.wasi.p1.types import U32, Preview


def _get(ctx: WasiContext, strings: Strings) -> Handler:
    layout = struct.Struct(f"<{len(strings.offsets)}I")

    def call(pointers: int, block: int) -> None:
        view = ctx.memory.view()
        table = span(view, pointers, layout.size)
        data = span(view, block, len(strings.data))
        base = block & MASK
        layout.pack_into(table, 0, *[base + offset for offset in strings.offsets])
        data[:] = strings.data

    return call


def _sizes(ctx: WasiContext, strings: Strings) -> Handler:
    def call(count: int, size: int) -> None:
        view = ctx.memory.view()
        first, second = place(view, count, U32), place(view, size, U32)
        U32.pack_into(view, first, len(strings.offsets))
        U32.pack_into(view, second, len(strings.data))

    return call


def args_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _get(ctx, ctx.args)


def args_sizes_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _sizes(ctx, ctx.args)


def environ_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _get(ctx, ctx.env)


def environ_sizes_get(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    return _sizes(ctx, ctx.env)
