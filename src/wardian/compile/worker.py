"""A process that compiles functions for another one: job in, machine code out, in frames of bytes over two pipes.

Invariant: nothing but lengths, numbers and code crosses the pipes, and a worker reads only what the process that
started it writes. A function that cannot be compiled is named as such; why, the other process finds out by itself.
"""

from __future__ import annotations

import struct
import time
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from wardian.compile.channel import read_frame, serving, write_frame
from wardian.compile.compiler import Compiler
from wardian.compile.options import CodeOptions
from wardian.errors import WardianError
from wardian.limits import Features, Limits
from wardian.valid.context import ModuleContext

_SECONDS: Final = struct.Struct("<d")
_ROW: Final = struct.Struct("<III")
FAILED: Final = 0xFFFFFFFF
"""In place of a function's entry: it could not be compiled."""

Made = tuple[int, bytes, int]
"""Index of a defined function, its code, offset of its entry in that."""


def encode_job(ctx: ModuleContext, options: CodeOptions, hints: dict[int, bool], limits: Limits) -> list[bytes]:
    """The frames that begin a worker's work."""
    values = [f"{name}={getattr(ctx.features, name):d}" for name in ctx.features.names()]
    values += [f"{name}={getattr(limits, name)}" for name in Limits.__match_args__]
    branches = array("Q", [at << 1 | likely for at, likely in hints.items()])
    return [options.encode().encode(), " ".join(values).encode(), branches.tobytes(), ctx.module.source]


def decode_job(frames: list[bytes]) -> tuple[ModuleContext, CodeOptions, dict[int, bool]]:
    """Inverse of :func:`encode_job`."""
    from wardian.binary.decode import decode
    from wardian.valid.module import validate_module

    options = CodeOptions.decode(frames[0].decode())
    pairs = (item.split("=") for item in frames[1].decode().split())
    given: dict[str, Any] = {name: _number(value) for name, value in pairs}
    features = Features(**{name: bool(given[name]) for name in Features.names()})
    limits = Limits(**{name: given[name] for name in Limits.__match_args__})
    hints = {word >> 1: bool(word & 1) for word in array("Q", frames[2])}
    return validate_module(decode(frames[3], features, limits), features, limits), options, hints


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def encode_made(made: Iterable[Made | int], seconds: float) -> bytes:
    """Compiled functions, or the indices of those that failed, and the processor time that took, as a frame."""
    out = bytearray(_SECONDS.pack(seconds))
    for item in made:
        index, code, entry = (item, b"", FAILED) if isinstance(item, int) else item
        out += _ROW.pack(index, len(code), entry) + code
    return bytes(out)


def seconds_of(frame: bytes) -> float:
    """The processor time that what is in a frame has taken."""
    seconds: float = _SECONDS.unpack_from(frame)[0]
    return seconds


def decode_made(frame: bytes) -> Iterator[Made | int]:
    """Inverse of :func:`encode_made`, but for the time."""
    at = _SECONDS.size
    while at < len(frame):
        index, size, entry = _ROW.unpack_from(frame, at)
        at += _ROW.size
        yield index if entry == FAILED else (index, frame[at : at + size], entry)
        at += size


def work(job: list[bytes], batches: Iterator[bytes]) -> Iterator[bytes]:
    """The compiled functions of each batch, which is the indices of defined functions."""
    ctx, options, hints = decode_job(job)
    compiler = Compiler(None, inside=True)
    for batch in batches:
        made: list[Made | int] = []
        began = time.thread_time()
        for index in array("I", batch):
            try:
                made += compiler.compile(ctx, options, [index], hints)
            except WardianError:
                made.append(index)
        yield encode_made(made, time.thread_time() - began)


def main() -> None:
    """Serve the process at the other end of standard input and output."""
    serving(_serve)


def _serve(pipe_in: IO[bytes], pipe_out: IO[bytes]) -> None:
    job = [read_frame(pipe_in) or b"" for _ in range(4)]
    for answer in work(job, iter(lambda: read_frame(pipe_in), None)):
        write_frame(pipe_out, answer)
