"""Whatever a worker says: the parent takes frames of plain values that encode as they came, or stops it for breaking
the rules; nothing but what it gave out can be called or asked for; its end is a result or an error for the caller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.errors import BadInput, Frame, IsolationUnavailable, Refused, Trap, WardianError
from wardian.grants import Grants
from wardian.isolation.codec import CodecError, Handle, decode, encode
from wardian.isolation.frames import Kind
from wardian.isolation.policy import LAYERS, Isolation
from wardian.limits import Limits
from wardian.sandbox import border
from wardian.sandbox.isolated import Isolated, IsolatedJob
from wardian.sandbox.result import RunResult
from wardian.sandbox.task import Task

RAW = 0xFF
"""In place of a frame's kind: bytes that stand in the stream as they are."""
FOR_THE_CALLER = (BadInput, Refused, IsolationUnavailable, ValueError, TypeError, OverflowError, OSError, MemoryError,
                  KeyError)  # fmt: skip


def pack(*pieces: tuple[int, bytes]) -> bytes:
    """An input: pieces of a kind and a body, with the body's length in two bytes."""
    return b"".join(bytes((kind,)) + len(body).to_bytes(2, "little") + body for kind, body in pieces)


def unpack(data: bytes) -> list[tuple[int, bytes]]:
    """Inverse of :func:`pack`, of any bytes."""
    found = []
    while data:
        size = int.from_bytes(data[1:3], "little")
        found.append((data[0], data[3 : 3 + size]))
        data = data[3 + size :]
    return found


def seeds() -> Iterator[bytes]:
    """The first byte: whether the worker compiles for the cache, and whether it takes its answers."""
    for flags in range(4):
        for stream in _streams():
            yield bytes((flags,)) + stream


def _streams() -> Iterator[bytes]:
    ready = (Kind.READY, encode(tuple((name, True, "as it should be") for name in LAYERS)))
    refused = (Kind.REFUSED, encode(tuple((name, False, "no") for name in LAYERS)))
    trap = border.write_trap(Trap("unreachable", "unreachable", (Frame(1, "f", None), Frame(2, None, "m"))))
    result = {"status": "trapped", "memory": 5, "values": (1, 2.5, b"x", Handle(0)), "made": {}, "trap": trap,
              "returncode": 134}  # fmt: skip
    yield pack(
        ready, (Kind.LOAD, encode("0" * 40)), (Kind.RESULT, encode({**result, "trap": None, "status": "exited"}))
    )
    yield pack(ready, (Kind.CALL, encode((0, (1, 2.0, b"y", (None, True))))), (Kind.RESULT, encode(result)))
    yield pack(refused)
    for name in ("ValueError", "OSError", "MalformedError", "LimitExceeded", "FeatureDisabled", "Refused", "Other"):
        fields = {"name": name, "text": "t", "message": "m", "offset": 3, "limit": "fuel", "feature": "gc", "errno": 2}
        yield pack(ready, (Kind.ERROR, encode({**fields, "excerpt": "line\n  ^"})))
    yield pack(ready, (Kind.STORE, encode(("glue-" + "0" * 40, b"x"))), (RAW, b"\1\0\0"))
    for value in (1 << 70, -(1 << 300), "\ud800", {"a": (), "b": {"c": None}}, float("nan")):
        yield pack((Kind.READY, encode(value)))


@cache
def _engine() -> Engine:
    return Engine(Config(cache=False))


def _parent(make: bool) -> Isolated:
    """The parent's side of a run whose worker is not there: what it says comes from the input."""
    job = IsolatedJob(
        b"\0asm\1\0\0\0", False, _engine(), Task(Limits(), Grants(), "f", timeout=1.0), Isolation(tuple(LAYERS)),
        make={"0" * 40: (1,)} if make else None,
    )  # fmt: skip
    worker = SimpleNamespace(ended=None, kill=lambda: None)
    parent = Isolated(job, worker)  # type: ignore[arg-type]
    parent._outputs = SimpleNamespace(captured=lambda name: b"", truncated=())  # type: ignore[assignment]
    parent._functions.append(lambda *args: args)
    parent._objects.write(parent)  # what a guest may hold a handle of
    return parent


def run(data: bytes) -> None:
    if not data:
        return
    parent = _parent(data[0] & 1 == 1)
    for kind, body in unpack(data[1:]):
        if kind != RAW:
            _codec(body)
        head = b"" if kind == RAW else len(body).to_bytes(8, "little") + bytes((kind,))
        if not parent._hear(head + body):
            break
        if data[0] & 2:
            parent._out.clear()  # the worker has taken its answer
    try:
        result = parent._result(0.5)
    except FOR_THE_CALLER as error:
        assert str(error) is not None
        return
    assert isinstance(result, RunResult) and str(result.trap) is not None


def _codec(body: bytes) -> None:
    try:
        value = decode(body)
    except CodecError:
        return
    assert encode(value) == body
    for read in (border.read_layers, border.read_error, border.read_trap, border.Objects().read):
        try:
            read(value)
        except (CodecError, RecursionError):
            pass


# -- mutation ----------------------------------------------------------------------------------------------------------

_ATOMS = (None, True, 0, -1, 1 << 40, 1 << 500, 2.5, b"", b"bytes", "", "text", "OSError", "timeout", "\ud800", (), {})


def mutate(data: bytes, most: int, chance: random.Random, change: Callable[[bytes, int], bytes]) -> bytes:
    """Most of the time one frame is changed: its bytes, or one of the values in it."""
    pieces = unpack(data[1:])
    if not pieces or chance.random() < 0.2:
        return change(data, most)
    at = chance.randrange(len(pieces))
    kind, body = pieces[at]
    what = chance.random()
    try:
        body = encode(_other(decode(body), chance)) if what < 0.6 else change(body, 600)
    except (WardianError, RecursionError):
        body = change(body, 600)
    pieces[at] = (chance.choice((kind, kind, kind, chance.randrange(12))), body)
    if what > 0.9:
        pieces.insert(chance.randrange(len(pieces) + 1), chance.choice(pieces))
    return data[:1] + pack(*((kind, body[:0xFFFF]) for kind, body in pieces))


def _other(value: Any, chance: random.Random) -> Any:
    """``value`` with something in it changed."""
    if type(value) is tuple and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return (*value[:at], _other(value[at], chance), *value[at + 1 :])
    if type(value) is dict and value and chance.random() < 0.8:
        key = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _other(value[key], chance)}
    return chance.choice((*_ATOMS, value, (value,), {"a": value}, Handle(chance.randrange(3))))
