"""Chapters "proc" and "sched" of preview 1."""

from __future__ import annotations

import os
from typing import NoReturn

from wardian.capability.errno import CapabilityError, Errno
from wardian.errors import Exit
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.memory import MASK
from wardian.wasi.p1.types import Preview

_SIGNALS = 31


def proc_exit(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call(code: int) -> NoReturn:
        raise Exit(code & MASK)

    return call


def proc_raise(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    """There are no signals to raise: a known one is not supported, as in Wasmtime."""

    def call(signal: int) -> None:
        raise CapabilityError(Errno.NOT_SUPPORTED if 0 <= signal < _SIGNALS else Errno.INVALID)

    return call


def sched_yield(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    def call() -> None:
        os.sched_yield()

    return call
