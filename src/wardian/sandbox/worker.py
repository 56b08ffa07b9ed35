"""The process a guest runs in: forked from the zygote, locked in, good for one job.

Invariant: nothing of a job is looked at (no byte of the module is decoded) before the lockdown is in force, or the job
is refused. What the worker learns or makes goes to the parent through one stream of frames, and the worker ends with
its job, whatever becomes of that.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, NamedTuple, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.module import Module
from wardian.compile.artifact import Functions, decode_images
from wardian.compile.baseline.library import Library
from wardian.compile.compiler import MORE
from wardian.errors import Exit, Trap, WardianError
from wardian.grants import Call, DirGrant, Grants, Inherit
from wardian.isolation import frames
from wardian.isolation.codec import CodecError, Handle
from wardian.isolation.frames import Kind
from wardian.isolation.lockdown import Base, Bounds, Directory, lock_in
from wardian.isolation.report import Layer
from wardian.sandbox import border
from wardian.sandbox.result import RunResult, Usage
from wardian.sandbox.run import carry_out
from wardian.sandbox.task import Task

MAX_FDS: Final = 250
"""Descriptors that can be given to a worker: what one message of a Unix socket takes, nearly."""


class HostRaised(Exception):
    """A function of the host raised something; the parent has it, and this unwinds the guest here."""


@final
class Line:
    """The stream to the parent."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def send(self, kind: Kind, value: object) -> None:
        frames.write(self.fd, kind, value)

    def ask(self, kind: Kind, value: object, answer: Kind) -> Any:
        """Send a question and wait for its answer. The parent speaks when it is asked, and then says this."""
        self.send(kind, value)
        found = frames.read(self.fd)
        if found.kind is not answer:
            raise CodecError("the parent answered something else")
        return found.value


@final
class RemoteCache:
    """The parent's code cache, for reading.

    What is compiled here is not kept: a guest may have had its hands in it. Only what it was is noted, for a worker
    that runs no guest to compile it once more; such a one, ``trusted``, may hand over what it made.
    """

    def __init__(self, line: Line, entries: dict[str, bytes], known: Container[str], *, trusted: bool) -> None:
        """``entries`` came with the job: there are no others of its module; ``known`` is the glue that all have."""
        self._line = line
        self._entries = entries
        self._known = known
        self._trusted = trusted
        self.made: dict[str, tuple[object, ...]] = {}
        """What was compiled: the functions or signatures, by the name of the entry they belong to."""

    def load(self, key: str) -> bytes | None:
        if "-" not in key:
            return self._entries.get(key)
        found = self._line.ask(Kind.LOAD, key, Kind.LOADED)
        assert found is None or isinstance(found, bytes)
        return found

    def store(self, key: str, payload: bytes) -> None:
        """Hand over stencils, or note that they had to be made."""
        if self._trusted:
            self._line.send(Kind.STORE, (key, payload))
            return
        # The newest first, in case they are too many.
        self.made[key] = tuple(reversed(Library.names(payload))) if key.endswith(MORE) else ("",)

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Hand over the entry, or note what is new in it."""
        if self._trusted:
            self._line.send(Kind.STORE, (key, change(self.load(key))))
        elif key.startswith("glue-"):
            new = [name for name in decode_images(change(None)) if name not in self._known]
            self.made[key] = tuple(name.split()[1] for name in new if name.startswith("signature "))
        else:
            functions = Functions.decode(change(None))
            self.made[key] = (*self.made.get(key, ()), *(functions.rows if functions else ()))


def receive(fd: int) -> tuple[dict[str, Any], list[int]]:
    """The job, and the descriptors that came with it."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        start, fds, _, _ = socket.recv_fds(sock, 1, MAX_FDS)
    if not start:
        os._exit(0)
    job = frames.read(fd)
    if job.kind is not Kind.JOB or not isinstance(job.value, dict):
        raise CodecError("not a job")
    return job.value, list(fds)


class Birth(NamedTuple):
    """What a worker has from the zygote: its engine, the layers already on, the memory it begins with."""

    engine: Engine
    layers: tuple[Layer, ...]
    base: Base


def work(fd: int, birth: Birth) -> None:
    """Do the one job that the parent sends through ``fd``."""
    line = Line(fd)
    try:
        job, fds = receive(fd)
    except (EOFError, OSError):
        return
    try:
        if not _lock_in(job, fds, line, birth):
            return
        result = _run(job, fds, line, birth.engine)
    except HostRaised:
        line.send(Kind.ERROR, {"name": "raised", "text": ""})
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to know
        line.send(Kind.ERROR, border.write_error(error))
        return
    line.send(Kind.RESULT, result)


def _lock_in(job: dict[str, Any], fds: list[int], line: Line, birth: Birth) -> bool:
    """Put the layers on and report; whether there is a job to do."""
    lock = job["lock"]
    directories = [Directory(fds[int(each.host)], each.readonly) for each in border.read_record(job["grants"]).dirs]
    bounds = Bounds(lock["memory"] + 4 * len(job["source"]), lock["cpu"], lock["files"] + len(fds), birth.base)
    layers = lock_in(bounds, directories, (*birth.layers, Layer("cgroup", *lock["cgroup"])))
    rows = tuple((layer.name, layer.on, layer.detail) for layer in layers)
    refused = any(not layer.on and layer.name not in lock["accept"] for layer in layers)
    line.send(Kind.REFUSED if refused else Kind.READY, rows)
    return not refused and not lock["probe"]


def _run(job: dict[str, Any], fds: list[int], line: Line, warm: Engine) -> dict[str, object]:
    config: Config = border.read_record(job["config"])
    engine = Engine(config)
    engine.compiler.share(warm.compiler)
    cache = RemoteCache(line, job["entries"], engine.compiler.glue(), trusted=job["make"] is not None)
    if job["cached"]:
        engine.compiler.cache = cache
    source: bytes = job["source"]
    if job["make"] is not None:
        _make(engine, source, job["make"])
        return _report(RunResult("exited", 0, b"", b"", None, Usage(0.0, 0)))
    module = Module.deserialize(source, engine) if job["compiled"] else Module(source, engine)
    grants = _with_descriptors(border.read_record(job["grants"]), fds)
    if job["input"] is not None:
        grants = grants.__replace__(stdin=Call(_function(job["input"], line)))
    if job["invoke"] is None and not job["named"]:
        grants = grants.__replace__(args=(module.name or "main.wasm", *grants.args))
    task = Task(
        border.read_record(job["limits"]), grants, job["invoke"], tuple(map(_inward, job["args"])), job["timeout"],
        job["cpu"], _imports(job["imports"], line), job["unknown"],
    )  # fmt: skip
    result = carry_out(module, task)
    return {**_report(result), "made": cache.made}


def _make(engine: Engine, source: bytes, wanted: dict[str, tuple[Any, ...]]) -> None:
    """Compile for the cache what another worker, which is not believed, says it had to compile."""
    for key, items in wanted.items():
        if key.startswith("glue-"):
            for code in items:
                engine.compiler.signature(code)
        elif key.endswith(MORE):
            engine.compiler.make_more(key, items, engine.config.code("baseline"))
        elif key.startswith("stencils-"):
            engine.compiler.make_stencils(key, engine.config.code("baseline"))
        else:
            Module(source, engine).code().remake(key, items)
    engine.flush()


def _with_descriptors(grants: Grants, fds: list[int]) -> Grants:
    """The grants with places in the list of descriptors as the descriptors themselves."""
    streams = {
        name: stream.__replace__(fd=fds[stream.fd])
        for name in ("stdin", "stdout", "stderr", "audit")
        if isinstance(stream := getattr(grants, name), Inherit) and stream.fd is not None
    }
    places = [grant for grant in grants.dirs if isinstance(grant, DirGrant)]
    dirs = tuple(DirGrant(fds[int(each.host)], each.guest, each.readonly) for each in places)
    return grants.__replace__(dirs=dirs, **streams)


def _report(result: RunResult) -> dict[str, object]:
    return {
        "status": result.status,
        "returncode": result.returncode,
        "trap": border.write_trap(result.trap),
        "seconds": result.usage.seconds,
        "memory": result.usage.memory,
        "fuel": result.usage.fuel,
        "values": tuple(map(_outward, result.values)),
        "truncated": result.truncated,
        "reached": result.reached,
        "made": {},
    }


# -- functions of the host ---------------------------------------------------------------------------------------------


@final
class Foreign:
    """An object of the host's, as a guest's ``externref``."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


def _outward(value: Any) -> object:
    """A value of the guest's for the parent. Raises ``TypeError`` for what exists in this process only."""
    if type(value) is Foreign:
        return Handle(value.number)
    if value is None or type(value) in (bool, int, float, bytes):
        return value
    if type(value) is tuple:
        return tuple(map(_outward, value))
    raise TypeError(f"a {type(value).__name__} cannot leave the process that the guest runs in")


def _inward(value: Any) -> object:
    if type(value) is Handle:
        return Foreign(value.number)
    if type(value) is tuple:
        return tuple(map(_inward, value))
    return value


def _imports(rows: tuple[tuple[str, str, Any], ...], line: Line) -> Mapping[str, Mapping[str, object]]:
    """``(module, name, number or None for a function)`` as imports."""
    found: dict[str, dict[str, object]] = {}
    for place, (module, name, value) in enumerate(rows):
        found.setdefault(module, {})[name] = _function(place, line) if value is None else value
    return found


def _function(place: int, line: Line) -> Callable[..., object]:
    def call(*args: object) -> object:
        how, value = line.ask(Kind.CALL, (place, tuple(map(_outward, args))), Kind.RETURN)
        if how == "value":
            return _inward(value)
        raise _RAISED[how](value)

    return call


def _trap(value: Any) -> WardianError:
    trap = border.read_trap(value)
    assert trap is not None
    return Trap(trap.code, trap.message)


_RAISED: Final[Mapping[str, Callable[[Any], Exception]]] = {"exit": Exit, "trap": _trap, "raised": HostRaised}
