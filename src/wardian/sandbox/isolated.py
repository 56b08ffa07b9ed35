"""The parent's side of a guest in a process of its own: serves it, stops it, and tells how it ended.

Invariant: whatever a worker does (nothing, garbage, dying at any moment), :meth:`Isolated.run` returns or raises soon
after its deadlines, leaves no process and no descriptor behind, and believes a worker nothing but how its guest ended.
"""

from __future__ import annotations

import atexit
import functools
import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.errors import Exit, Interrupted, IsolationUnavailable, Trap, WardianError
from wardian.grants import Call, DirGrant, Grants, Inherit, InputGrant, Null
from wardian.isolation import frames
from wardian.isolation.cgroup import Group, bounds
from wardian.isolation.codec import CodecError
from wardian.isolation.frames import Kind
from wardian.isolation.policy import LAYERS, Isolation
from wardian.isolation.report import Layer
from wardian.limits import BOUNDS
from wardian.sandbox import border
from wardian.sandbox.codestore import CodeStore
from wardian.sandbox.result import TRAPPED, RunResult, Status, Usage
from wardian.sandbox.spawn import ENDING, STARTING, Worker, zygote
from wardian.sandbox.streams import Outputs, readable_only
from wardian.sandbox.task import Task, cpu_used_up, limits_of, time_over

GRACE: Final = 0.5
"""Seconds beyond its deadline after which a worker that did not stop its guest is killed."""
_COMPILING: Final = 60.0
"""Seconds that compiling for the cache may take."""
_LONGEST: Final = 1e6
"""Seconds beyond which nobody waits at once."""
_BACKLOG: Final = 16
_MAX_FDS: Final = 250
_PROCESSES: Final = 64
"""Processes and threads that a control group holds: a worker is one process, of a handful of threads."""


class IsolatedJob(NamedTuple):
    """A run with everything decided but where."""

    source: bytes
    compiled: bool
    engine: Engine
    """Whose configuration and cache the worker's engine takes over."""
    task: Task
    isolation: Isolation
    named: bool = True
    """Whether the grants' arguments begin with the program's name; else the module's own comes first."""
    probe: bool = False
    """Only look at which layers there are."""
    make: Mapping[str, tuple[object, ...]] | None = None
    """Run nothing; compile these functions and signatures for the cache."""


@final
class Isolated:
    """One run in one worker."""

    def __init__(self, job: IsolatedJob, worker: Worker) -> None:
        self._job = job
        self._worker = worker
        self._objects = border.Objects()
        self._functions: list[Callable[..., object]] = []
        self._raised: BaseException | None = None
        self._broken = False
        self._outputs: Outputs
        self._answer: frames.Frame | None = None
        self._layers: tuple[Layer, ...] | None = None
        self._out = bytearray()
        self.made: dict[str, tuple[object, ...]] = {}
        """What the worker had to compile, for the cache to have it next time."""
        self._reader = frames.Reader(frames.UNTRUSTED if job.make is None else frames.TRUSTED)
        self._store = CodeStore(job.engine, job.source, compiled=job.compiled)
        self._verdict: Trap | None = None

    def run(self) -> RunResult:
        """Carry the job out. Raises what the caller got wrong, and what its own functions raise."""
        started = time.monotonic()
        with ExitStack() as stack:
            self._send(stack)
            self._serve(started)
            self._outputs.finish()
        seconds = time.monotonic() - started
        unwound = self._answer is not None and self._answer.kind is Kind.ERROR
        if self._raised is not None and (unwound or self._broken):
            raise self._raised
        return self._result(seconds)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The worker's report, once it has been run."""
        return self._layers or ()

    # -- the job, to the worker

    def _send(self, stack: ExitStack) -> None:
        job, task = self._job, self._job.task
        fds: list[int] = []
        grants = self._with_places(task.grants, fds, stack)
        if len(fds) > _MAX_FDS:
            raise ValueError(f"{len(fds)} directories and streams are too many for a worker: {_MAX_FDS} are the most")
        message = {
            "source": job.source,
            "compiled": job.compiled,
            "config": border.write_record(self._config()),
            "entries": self._store.entries(),
            "cached": self._store.cache is not None,
            "limits": border.write_record(task.limits),
            "grants": border.write_record(grants),
            "named": job.named,
            "invoke": task.invoke,
            "args": tuple(map(self._objects.write, task.args)) if task.invoke is not None else (),
            "imports": tuple(self._imports()),
            "input": self._input(task.grants.stdin),
            "unknown": task.unknown,
            "timeout": task.timeout,
            "cpu": task.cpu,
            "make": None if job.make is None else dict(job.make),
            "lock": {
                "cgroup": self._group(stack),
                "memory": self._memory(),
                "cpu": None if task.cpu is None else int(min(task.cpu, _LONGEST)) + 2,
                "files": job.isolation.open_files,
                "accept": tuple(filter(job.isolation.accepts, LAYERS)),
                "probe": job.probe,
            },
        }
        self._out += frames.pack(Kind.JOB, message)
        with suppress(OSError):  # It is gone already; the status says how.
            socket.send_fds(self._worker.line, [b"J"], fds)
        self._worker.line.setblocking(False)

    def _group(self, stack: ExitStack) -> tuple[bool, str]:
        """Put the worker into a control group of its own, if there can be one; ``stack`` removes it."""
        how = self._job.isolation
        if how.cgroup is None:
            return False, "no delegated control group was named (Isolation.cgroup)"
        memory = self._memory() + (64 << 20)
        try:
            group = Group(how.cgroup, self._worker.pid, bounds(memory, _PROCESSES))
        except OSError as error:
            return False, f"{how.cgroup}: {error.strerror}"
        stack.callback(group.close)
        stack.callback(self._worker.kill)
        return True, group.path

    def _memory(self) -> int:
        """Bytes that may be written: by the guest, and by the engine on its behalf."""
        limits = self._job.task.limits
        return limits.memory + limits.gc_heap + self._job.isolation.overhead

    def _config(self) -> Config:
        """The worker's: without the cache, which it cannot reach; and whoever only compiles looks at what it must."""
        config = self._job.engine.config
        return config.__replace__(cache=False, lazy=config.lazy or self._job.make is not None)

    def _with_places(self, grants: Grants, fds: list[int], stack: ExitStack) -> Grants:
        """The grants with places in ``fds`` instead of what is opened; ``stack`` closes what is only for the worker."""

        def owned(fd: int) -> int:
            stack.callback(os.close, fd)
            fds.append(fd)
            return len(fds) - 1

        dirs = []
        for grant in grants.dirs:
            if not isinstance(grant, DirGrant):
                raise TypeError(f"{grant.guest}: a tree cannot be granted to a guest in a process of its own")
            fd = grant.host if isinstance(grant.host, int) else _open_directory(grant.host)
            dirs.append(DirGrant(owned(fd), grant.guest, grant.readonly))
        if grants.sockets:
            raise TypeError("a guest in a process of its own can have no sockets")
        self._outputs = Outputs(grants, stack)
        streams: dict[str, Any] = {name: getattr(grants, name) for name in ("stdout", "stderr", "audit")}
        given = Null() if isinstance(grants.stdin, Call) else grants.stdin
        streams |= {"stdin": readable_only(given, stack), **self._outputs.granted}
        changed: dict[str, object] = {"dirs": tuple(dirs), "terminal": "elsewhere", "stdin": given}
        if grants.terminal == "raw":
            changed["terminal"] = "raw"
        for name, stream in streams.items():
            if isinstance(stream, Inherit):
                fds.append({"stdout": 1, "stderr": 2}.get(name, 0) if stream.fd is None else stream.fd)
                changed[name] = Inherit(len(fds) - 1, stream.terminal)
        return grants.__replace__(**changed)

    def _input(self, stdin: InputGrant) -> int | None:
        """The place of the function that is the guest's input, if one is: it is called as those in ``imports`` are."""
        if not isinstance(stdin, Call):
            return None
        self._functions.append(lambda count: bytes(stdin.function(count)))
        return len(self._functions) - 1

    def _imports(self) -> Iterator[tuple[str, str, object]]:
        for module, names in self._job.task.imports.items():
            for name, value in names.items():
                if type(value) in (int, float, bytes):
                    yield module, name, value
                elif callable(value):
                    yield module, name, None
                else:
                    raise TypeError(
                        f"{module}.{name}: a {type(value).__name__} cannot be imported from another process; "
                        "functions and numbers can"
                    )
                self._functions.append(value)  # type: ignore[arg-type]

    # -- its frames, deadlines and output

    def _serve(self, started: float) -> None:
        worker, job = self._worker, self._job
        poll = select.poll()
        line = worker.line.fileno()
        for fd in (line, worker.status.fileno(), *self._outputs.pipes):
            poll.register(fd, select.POLLIN)
        until = None if job.task.timeout is None else started + job.task.timeout + GRACE
        deaf = False
        while worker.ended is None and self._answer is None:
            if not deaf:
                poll.modify(line, select.POLLIN | (select.POLLOUT if self._out else 0))
            for fd, events in poll.poll(self._patience(until)):
                if fd in self._outputs.pipes:
                    if not self._collect(fd):
                        poll.unregister(fd)
                elif fd == line:
                    if events & select.POLLOUT:
                        self._speak()
                    if events & ~select.POLLOUT and not self._listen():
                        poll.unregister(fd)
                        deaf = True
                elif worker.ended is None:
                    worker.bury()
            self._check(until)
        if self._answer is None:
            self._listen_to_the_end()
        # What it had to say it has said: it need not be waited for, but nothing may go on filling the pipes.
        worker.kill()
        for fd in self._outputs.pipes:
            while self._collect(fd):
                pass

    def _patience(self, until: float | None) -> int | None:
        """Milliseconds until something has to be looked at."""
        waits = [] if until is None else [until - time.monotonic()]
        cpu = self._job.task.cpu
        if cpu is not None:
            waits.append(cpu + GRACE - (self._worker.cpu_seconds() or 0.0))
        return max(0, int(1000 * min(*waits, _LONGEST)) + 1) if waits else None

    def _check(self, until: float | None) -> None:
        """Kill a worker whose time is over."""
        task = self._job.task
        if self._verdict is not None or self._worker.ended is not None:
            return
        if until is not None and time.monotonic() >= until:
            self._stop(time_over(task.timeout or 0.0, more=", and the worker did not stop"))
        elif task.cpu is not None and (self._worker.cpu_seconds() or 0.0) >= task.cpu + GRACE:
            self._stop(cpu_used_up(task.cpu))

    def _stop(self, verdict: Trap) -> None:
        if self._answer is None:
            self._verdict = verdict
        self._worker.kill()

    def _collect(self, fd: int) -> bool:
        """Take what the guest has written; ``False`` when there is no more, or it is not wanted."""
        try:
            return self._outputs.collect(fd)
        except Exception as error:  # noqa: BLE001 - of a function as stream: it leaves run(), as in the process itself
            self._raised, self._broken = error, True
            self._worker.kill()
            return False

    def _listen(self) -> bool:
        """Take what the worker says; ``False`` when it says no more."""
        try:
            piece = self._worker.line.recv(1 << 20)
        except BlockingIOError:
            return True
        except OSError:
            piece = b""
        return bool(piece) and self._hear(piece)

    def _hear(self, piece: bytes) -> bool:
        try:
            for frame in self._reader.feed(piece):
                self._take(frame)
        except (CodecError, UnicodeError, RecursionError) as error:
            self._stop(Trap("worker", f"the worker process broke the rules of the line: {error}"))
            return False
        return True

    def _listen_to_the_end(self) -> None:
        """What it said last is still in the socket."""
        data = b""
        with suppress(OSError):
            while self._verdict is None and (data := self._worker.line.recv(1 << 20)):
                self._hear(data)

    def _speak(self) -> None:
        """Send what is to be sent, as much as it takes."""
        try:
            del self._out[: self._worker.line.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._out.clear()  # It is gone; its status follows.

    def _take(self, frame: frames.Frame) -> None:
        if self._answer is not None:
            raise CodecError("more after the end")
        if frame.kind in _QUESTIONS:
            if self._worker.ended is not None:
                return  # It asked, and died before it was heard.
            if self._out:
                raise CodecError("a question before the last one's answer")
        handle = _HANDLERS.get(frame.kind)
        if handle is None or (self._layers is None) != (frame.kind in (Kind.READY, Kind.REFUSED)):
            raise CodecError(f"a frame of the kind {frame.kind.name}, which has no place here")
        handle(self, frame)

    def _report(self, frame: frames.Frame) -> None:
        self._layers = border.read_layers(frame.value)
        if frame.kind is Kind.REFUSED:
            self._answer = frame

    def _finish(self, frame: frames.Frame) -> None:
        self._answer = frame

    def _load(self, frame: frames.Frame) -> None:
        """The worker asks for an entry of the code cache, by a name such as the cache gives."""
        self._out += frames.pack(Kind.LOADED, self._store.load(frame.value))

    def _keep(self, frame: frames.Frame) -> None:
        """A worker that runs no guest hands over an entry for the cache."""
        if self._job.make is None or type(frame.value) is not tuple or len(frame.value) != 2:
            raise CodecError("not an entry for the cache")
        self._store.store(*frame.value)

    def _call(self, frame: frames.Frame) -> None:
        """The guest calls a function of the host."""
        value = frame.value
        if type(value) is not tuple or len(value) != 2 or type(value[0]) is not int or type(value[1]) is not tuple:
            raise CodecError("not a call")
        place, args = value
        if not 0 <= place < len(self._functions):
            raise CodecError("a call of a function that was not given")
        self._out += frames.pack(Kind.RETURN, self._called(self._functions[place], self._objects.read(args)))

    def _called(self, function: Callable[..., object], args: tuple[Any, ...]) -> tuple[str, object]:
        try:
            return "value", self._objects.write(function(*args))
        except Exit as exit:
            return "exit", exit.code
        except Trap as trap:
            return "trap", border.write_trap(trap)
        except Exception as error:  # noqa: BLE001 - it leaves run(), as it does in the process itself
            self._raised = error
            return "raised", None

    # -- how it ended

    def _result(self, seconds: float) -> RunResult:
        answer, trap = self._answer, self._verdict
        usage = Usage(seconds, 0)
        if trap is None and answer is not None:
            try:
                if answer.kind is Kind.RESULT:
                    return self._read(answer.value, seconds)
                trap = self._failure(answer)
            except CodecError as error:
                trap = Trap("worker", f"the worker process gave no result: {error}")
        if trap is None:
            trap = Trap("worker", _obituary(self._worker.ended))
        status: Status = "timeout" if isinstance(trap, Interrupted) else "killed"
        stdout, stderr = map(self._outputs.captured, ("stdout", "stderr"))
        cut = self._outputs.truncated
        reached = (*limits_of(trap), *(("output",) if cut else ()))
        return RunResult(status, TRAPPED, stdout, stderr, trap, usage, cut, (), self._layers or (), reached)

    def _failure(self, answer: frames.Frame) -> Trap:
        """Raise what the caller has to know; what is nobody's fault out here is the worker's end."""
        if answer.kind is Kind.REFUSED:
            raise unavailable(self._job.isolation, self._layers or ())
        error = border.read_error(answer.value)
        if error is not None:
            raise error
        return Trap("worker", f"the worker process failed: {border.field(answer.value, 'text', str)}")

    def _read(self, value: Any, seconds: float) -> RunResult:
        status = border.field(value, "status", str)
        if status not in ("exited", "trapped", "timeout", "interrupted", "out_of_fuel"):
            raise CodecError("an end that is none")
        spent = None if value.get("fuel") is None else max(0, border.field(value, "fuel", int))
        usage = Usage(seconds, max(0, border.field(value, "memory", int)), spent)
        values = self._objects.read(border.field(value, "values", tuple))
        self.made = self._store.checked(border.field(value, "made", dict))
        stdout, stderr = map(self._outputs.captured, ("stdout", "stderr"))
        trap = border.read_trap(value.get("trap"))
        code = border.field(value, "returncode", int)
        cut = self._outputs.truncated or border.field(value, "truncated", bool)
        reached = {name: None for name in border.field(value, "reached", tuple) if type(name) is str and name in BOUNDS}
        if cut:
            reached["output"] = None
        return RunResult(status, code, stdout, stderr, trap, usage, cut, values, self._layers or (), tuple(reached))


_HANDLERS: Final[Mapping[Kind, Callable[[Isolated, frames.Frame], None]]] = MappingProxyType(
    {
        Kind.READY: Isolated._report,
        Kind.REFUSED: Isolated._report,
        Kind.LOAD: Isolated._load,
        Kind.STORE: Isolated._keep,
        Kind.CALL: Isolated._call,
        Kind.RESULT: Isolated._finish,
        Kind.ERROR: Isolated._finish,
    }
)


_QUESTIONS: Final = (Kind.LOAD, Kind.CALL)
"""What a worker waits for the answer of, one at a time: so no more than one answer is ever kept for it."""


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


_SIGNALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        signal.SIGSYS: "it made a system call that a worker must not",
        signal.SIGXCPU: "its processor time was used up",
        signal.SIGKILL: "something outside of the guest ended it, perhaps for want of memory",
    }
)


def _obituary(ended: int | None) -> str:
    if ended is None or ended >= 0:
        return f"the worker process ended by itself (exit code {ended}) without a result"
    with suppress(ValueError):
        name = signal.Signals(-ended).name
        return f"the worker process was killed by {name}: {_SIGNALS.get(-ended, 'a fault in it, or its limits')}"
    return f"the worker process was killed by signal {-ended}"


def chosen(isolation: Isolation | str) -> Isolation:
    """The value that ``isolation=`` stands for. Raises ``ValueError``."""
    if isinstance(isolation, Isolation):
        return isolation
    if isolation != "process":
        raise ValueError(f"isolation must be None, 'process' or an Isolation, not {isolation!r}")
    return Isolation()


def unavailable(isolation: Isolation, layers: tuple[Layer, ...]) -> IsolationUnavailable:
    """What to raise for layers that are not on and have to be."""
    missing = isolation.missing(layer.name for layer in layers if not layer.on)
    why = "; ".join(f"{layer.name}: {layer.detail}" for layer in layers if layer.name in missing)
    return IsolationUnavailable(
        missing,
        f"this machine cannot enforce {len(missing)} of the layers ({why}); "
        f"Isolation(accept={(*isolation.accept, *missing)!r}) does without",
    )


def probe(cache: str | None = None) -> tuple[Layer, ...]:
    """Which layers this machine can put around a worker, started with the code cache at ``cache``.

    Raises :class:`Refused` if there can be no worker at all.
    """
    engine = Engine(Config(cache=cache or False))
    task = Task(engine.config.limits, Grants(), timeout=STARTING)
    job = IsolatedJob(b"", False, engine, task, Isolation(tuple(LAYERS)), probe=True)
    worker = zygote().spawn(cache)
    try:
        isolated = Isolated(job, worker)
        isolated.run()
        return isolated.layers
    finally:
        worker.close()


def attend(job: IsolatedJob) -> tuple[RunResult, dict[str, tuple[object, ...]]]:
    """Carry a job out in a new worker: how it ended, and what had to be compiled."""
    worker = zygote().spawn(job.engine.config.cache_path())
    try:
        run = Isolated(job, worker)
        return run.run(), run.made
    finally:
        worker.close()


@final
class Filler:
    """A thread that has compiled for the cache what workers had to compile for themselves."""

    def __init__(self) -> None:
        self._start_over()
        atexit.register(self.wait, ENDING)
        os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._jobs: queue.SimpleQueue[IsolatedJob] = queue.SimpleQueue()
        self._state = threading.Condition()
        self._waiting = 0

    def submit(self, job: IsolatedJob, made: Mapping[str, tuple[object, ...]]) -> None:
        """Have it compiled some time; too much at once is forgotten, since it will be asked for again."""
        glue = {key: items for key, items in made.items() if "-" in key}
        code = {key: items for key, items in made.items() if key not in glue}
        for source, wanted in ((b"", glue), (job.source, code)):
            with self._state:
                if not wanted or self._waiting > _BACKLOG:
                    continue
                self._waiting += 1
                if self._waiting == 1:
                    threading.Thread(target=self._work, name="wardian-filler", daemon=True).start()
            task = Task(job.task.limits, Grants(), timeout=_COMPILING)
            self._jobs.put(job._replace(source=source, task=task, make=wanted))

    def _work(self) -> None:
        while True:
            with suppress(OSError, WardianError):  # It stays uncompiled, and is tried again after another run.
                attend(self._jobs.get())
            with self._state:
                self._waiting -= 1
                self._state.notify_all()
                if self._waiting == 0:
                    return

    def wait(self, seconds: float | None = None) -> None:
        """Until all that was submitted is done, or for so long."""
        with self._state:
            self._state.wait_for(lambda: self._waiting == 0, seconds)


@functools.cache
def filler() -> Filler:
    """The process's one."""
    return Filler()


def run_isolated(job: IsolatedJob) -> RunResult:
    """Run a guest in a process of its own; see :func:`wardian.run`."""
    result, made = attend(job)
    if made:
        filler().submit(job, made)
    return result
