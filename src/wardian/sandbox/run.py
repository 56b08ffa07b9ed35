"""``wardian.run``: a program, its arguments and its grants in; how it ended out.

Invariant: whatever the guest does, ``run`` returns a :class:`RunResult` (or raises, with ``check=True``); it raises
otherwise only for what the *caller* got wrong, or for an exception of the caller's own host functions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol, TypeAlias, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.handles import Memory
from wardian.api.link import instantiate
from wardian.api.module import ImportType, Module
from wardian.capability.stream import CaptureOutput
from wardian.errors import Exit, Interrupted, LinkError, Trap, printable
from wardian.grants import (
    Call,
    Capture,
    ClockGrant,
    Data,
    DirGrant,
    FileQuota,
    Grants,
    Inherit,
    InputGrant,
    Null,
    OutputGrant,
    RealClock,
    TerminalGrant,
    TreeGrant,
)
from wardian.limits import UNLIMITED_FUEL, Limits, parse_size
from wardian.runtime.calls import callers
from wardian.runtime.store import Store
from wardian.runtime.watchdog import Deadline, watchdog
from wardian.sandbox.choice import Wishes, decide
from wardian.sandbox.result import TRAPPED, RunResult, Status, Usage
from wardian.sandbox.task import NO_IMPORTS, Imports, Task, Unknown, cpu_used_up, limits_of, time_over
from wardian.syntax.types import F32, F64, FuncType, RefType
from wardian.wasi.p1.bind import host_import
from wardian.wasi.p1.context import WasiContext

if TYPE_CHECKING:
    from wardian.api.profile import Profile
    from wardian.capability.filesystem.tree.tree import Tree
    from wardian.isolation.policy import Isolation
    from wardian.runtime.process import Process
    from wardian.wasi.p1.audit import Audit, Sink

Source: TypeAlias = "Literal['inherit'] | int | IO[bytes] | Callable[[int], bytes] | None"
Output: TypeAlias = "Literal['inherit'] | int | IO[bytes] | Callable[[bytes], object] | None"


class HasFileno(Protocol):
    """A socket or file, as far as it matters here."""

    def fileno(self) -> int: ...


_NO_QUOTA: Final = FileQuota()
_REAL: Final = RealClock()
_NOTHING: Final = Null()

Host: TypeAlias = "str | os.PathLike[str] | Tree"
Dirs: TypeAlias = "Mapping[str, Host] | Iterable[tuple[Host, str, bool] | tuple[Host, str] | DirGrant | TreeGrant]"


def run(
    module: Module | bytes | str | os.PathLike[str],
    args: Sequence[Any] = (),
    *,
    argv0: str | None = None,
    env: Mapping[str, str] | None = None,
    dirs: Dirs | None = None,
    quota: FileQuota | None = None,
    open_files: int = 1024,
    sockets: Iterable[HasFileno | int] = (),
    clock: ClockGrant | None = None,
    seed: int | None = None,
    deterministic: bool = False,
    input: bytes | str | None = None,
    stdin: Source = None,
    stdout: Output = None,
    stderr: Output = None,
    output_limit: int | str | None = None,
    terminal: TerminalGrant = None,
    audit: str | os.PathLike[str] | Sink | None = None,
    text: bool = False,
    timeout: float | None = None,
    fuel: int | None = None,
    memory: int | str | None = None,
    stack: int | str | None = None,
    invoke: str | None = None,
    imports: Imports | None = None,
    unknown_imports: Unknown = None,
    engine: Engine | None = None,
    profile: str | Profile | None = None,
    check: bool = False,
    isolation: Literal["process"] | Isolation | None = None,
    cpu: float | None = None,
) -> RunResult:
    """Run a WASI program (its ``_start``), or with ``invoke`` one exported function, to the end.

    * ``module``: a path, the bytes, or a :class:`Module`; without an ``engine`` of yours a function body is validated
      when it is first called. ``args`` become ``argv[1:]`` (or ``invoke``'s parameters).
    * Nothing is granted by default: no ``env``, no ``dirs`` (``{guest: host}``, or ``(host, guest[, readonly])`` each;
      ``host`` is a path, or a :class:`Tree`), empty standard input (``input`` is its contents), output captured up to
      16 MiB a stream or ``output_limit``, which then bounds streams that go elsewhere as well. ``"inherit"``
      connects a stream to this process's own, a number to that descriptor, a file object to the file; a function is
      called with what is written (``stdin``: with a number of bytes to give).
    * ``sockets`` are open sockets, or their descriptors; the guest's numbers for them follow those of ``dirs``.
    * ``quota`` bounds what may be added to host directories, ``open_files`` the descriptors open at a time; a
      :class:`Tree` has bounds of its own.
    * ``terminal`` says what output may do to a terminal: ``"strict"``, ``"color"`` or ``"raw"``, wherever it goes; by
      default ``"color"`` on a terminal, and untouched bytes anywhere else.
    * ``audit`` is told which capability the guest uses, is denied or runs out of: a file to which lines of JSON are
      added, or a function that is called with each event.
    * ``clock`` is the host's, in steps or made up (:class:`~wardian.grants.FrozenClock`); ``seed`` makes randomness a
      function of it.
    * ``deterministic``: made-up time and a seed of 0 unless given, and code that computes the same everywhere.
    * ``fuel`` is how many units the guest may spend (docs/fuel.md: about one for an instruction, the same everywhere);
      a :class:`Module` or ``engine`` must be one that counts it.
    * ``timeout`` is wall time in seconds, ``cpu`` processor time; ``memory`` and ``stack`` are bytes, or a text such as
      ``"64M"``. All limits are in ``docs/limits.md``; ``result.reached`` names those that the guest ran into.
    * ``profile``: ``"fast"``, ``"balanced"`` or ``"paranoid"`` (:class:`Profile`), for all that is not said here.
    * ``imports`` are added to WASI's; what nobody defines is an error unless ``unknown_imports`` says otherwise.
    * ``isolation="process"`` runs the guest in a process of its own, locked in as :class:`Isolation` says. A module
      that is given as a path or bytes is not even decoded in this process. Functions in ``imports`` run here all the
      same; other imports than these and numbers cannot cross.

    Raises what :class:`Module` and linking raise, ``OSError`` for a directory that cannot be opened, and
    :class:`IsolationUnavailable` if this machine cannot enforce a layer that was not said to be dispensable; with
    ``check=True`` also :class:`Trap` or :class:`Exit` for a guest that did not exit with 0.
    """
    engine = module.engine if isinstance(module, Module) else engine
    choice = decide(Wishes(engine, profile, isolation, terminal, clock, seed, fuel is not None, deterministic))
    engine, isolation = choice.engine, choice.isolation
    if isolation is None:
        module = _module(module, engine)
    name = argv0 or (_program_name(module) if isinstance(module, Module) else None)
    limits = _limits(engine.config, memory, stack, fuel)
    most = None if output_limit is None else parse_size(output_limit)
    grants = Grants(
        args=() if invoke is not None else (*(() if name is None else (name,)), *map(str, args)),
        env=tuple((env or {}).items()),
        dirs=tuple(_dirs(dirs)),
        stdin=_stdin(input, stdin),
        stdout=_output(stdout, most),
        stderr=_output(stderr, most),
        open_files=open_files,
        output_limit=most,
        quota=quota or _NO_QUOTA,
        sockets=tuple(found if isinstance(found, int) else found.fileno() for found in sockets),
        clock=choice.clock,
        seed=choice.seed,
        terminal=choice.terminal,
    )
    task = Task(limits, grants, invoke, tuple(args), timeout, cpu, imports or NO_IMPORTS, unknown_imports)
    result = _carried_out(module, engine, task, audit, isolation, named=name is not None)
    result = _as_text(result) if text else result
    return result.check() if check else result


def _carried_out(
    module: Module | bytes | str | os.PathLike[str],
    engine: Engine,
    task: Task,
    audit: str | os.PathLike[str] | Sink | None,
    isolation: Literal["process"] | Isolation | None,
    *,
    named: bool,
) -> RunResult:
    """The run, here or in a process of its own. ``named``: has the program its own name among its arguments?"""
    with _audited(audit, task.grants, direct=isolation is None) as (grants, sink):
        task = task._replace(grants=grants)
        if isolation is None:
            assert isinstance(module, Module)
            return carry_out(module, task, sink)
        from wardian.sandbox.isolated import IsolatedJob, chosen, run_isolated

        source, compiled = _source(module)
        return run_isolated(IsolatedJob(source, compiled, engine, task, chosen(isolation), named=named))


def _as_text(result: RunResult) -> RunResult:
    out, err = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
    return result.__replace__(stdout=out, stderr=err)


@contextmanager
def _audited(
    audit: str | os.PathLike[str] | Sink | None, grants: Grants, *, direct: bool
) -> Iterator[tuple[Grants, Sink | None]]:
    """The grants with the descriptor that events go to, or the function they are given to directly."""
    if audit is None or (direct and callable(audit)):
        yield grants, audit if callable(audit) else None
        return
    if not callable(audit):
        fd = os.open(audit, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
        try:
            yield grants.__replace__(audit=Inherit(fd)), None
        finally:
            os.close(fd)
        return
    from wardian.sandbox.listening import listening

    with listening(audit) as fd:
        yield grants.__replace__(audit=Inherit(fd)), None


def _source(module: Module | bytes | str | os.PathLike[str]) -> tuple[bytes, bool]:
    """The module as bytes, and whether these hold its compiled code."""
    if isinstance(module, Module):
        return (module._bundle.encode(None), True) if module._bundle is not None else (module.decl.source, False)
    if isinstance(module, bytes | bytearray | memoryview):
        return bytes(module), False
    with open(module, "rb") as file:
        return file.read(), False


def carry_out(module: Module, task: Task, audit: Sink | None = None) -> RunResult:
    """One run in this process. Raises as :func:`run` does."""
    granted = task.grants.audit
    if granted is not None and granted.fd is not None:
        from wardian.wasi.p1.audit import line_writer

        audit = line_writer(granted.fd)
    run = _Run(module, task, audit)
    try:
        return run.end()
    finally:
        run.context.close()
        module.engine.flush()


@final
class _Run:
    """One run: a store of its own, a WASI context, an instance."""

    def __init__(self, module: Module, task: Task, audit: Sink | None) -> None:
        self.module = module
        self.task = task
        self.store = Store(module.engine.process, task.limits)
        self.audit = None if audit is None else _audit(audit, module.engine.process)
        self.context = WasiContext.from_grants(task.grants, self.store.wake_fd(), self.audit)
        if self.audit is not None:
            self.audit.begin(task.grants)
        self.imports: dict[str, dict[str, object]] = {}
        for asked in module.imports:
            given = task.imports.get(asked.module, {}).get(asked.name)
            if given is None:
                given = host_import(self.context, asked.module, asked.name)
            if given is None and task.unknown is not None:
                given = _substitute(asked, task.unknown)
            if given is not None:
                self.imports.setdefault(asked.module, {})[asked.name] = given

    def end(self) -> RunResult:
        """Have it come to its end."""
        dog, task = watchdog(), self.task
        started = time.monotonic()
        armed: Deadline | None = None
        spent: Deadline | None = None
        status: Status = "exited"
        code, trap, values = 0, None, ()
        try:
            armed = dog.arm(self.store, task.timeout) if task.timeout is not None else None
            spent = dog.arm_cpu(self.store, task.cpu) if task.cpu is not None else None
            values = self._call()
        except Exit as exit:
            code = exit.code
        except Trap as fault:
            trap, code = fault, TRAPPED
            status = _STATUS.get(fault.code, "trapped") if isinstance(fault, Interrupted) else "trapped"
        finally:
            for deadline in (armed, spent):
                if deadline is not None:
                    dog.disarm(deadline)
            self.context.finish()
        seconds = time.monotonic() - started
        if trap is not None and trap.code == "timeout":
            trap = _stopped(task, trap, spent is not None and spent.fired)
        context = self.context
        stdout, stderr = (
            stream.value if isinstance(stream, CaptureOutput) else b"" for stream in (context.stdout, context.stderr)
        )
        truncated, peak = context.truncated, sum(memory.peak for memory in self._memories)
        reached = tuple(self._reached(trap))
        if self.audit is not None:
            self.audit.end(status, code, trap, reached, peak)
        burnt = self.task.limits.fuel - self.store.fuel if self.module.engine.config.fuel else None
        usage = Usage(seconds, peak, burnt)
        return RunResult(status, code, stdout, stderr, trap, usage, truncated, values, reached=reached)

    def _reached(self, trap: Trap | None) -> Iterator[str]:
        """Names of the limits that the guest has run into."""
        if trap is not None:
            yield from limits_of(trap)
        if any(memory.refused for memory in self._memories):
            yield "memory"
        if any(table.refused for table in self._tables):
            yield "table_elements"
        yield from self.context.reached()

    def _call(self) -> tuple[Any, ...]:
        invoke = self.task.invoke
        instance = instantiate(self.module, self.module.code(), self.imports, self.task.limits, self.store)
        exports = instance.exports
        self._memories, self._tables = instance._data.memories, instance._data.tables
        exported = exports.get("memory")
        if isinstance(exported, Memory):
            # FAST: the memory itself, which keeps a view, where the handle makes one each time.
            self.context.memory = exported._instance
        elif self._memories:
            self.context.memory = self._memories[0]
        if invoke is None:
            start = exports.get("_start")
            if start is None:
                raise LinkError("the module has no _start function; name one with invoke=")
            start()
            return ()
        if "_initialize" in exports and invoke != "_initialize":
            exports["_initialize"]()
        if invoke not in exports:
            raise LinkError(f"the module exports no function {printable(invoke)!r}")
        result = exports[invoke](*self.task.args)
        return () if result is None else result if isinstance(result, tuple) else (result,)

    _memories: Sequence[Any] = ()
    _tables: Sequence[Any] = ()


_STATUS: Final[Mapping[str, Status]] = MappingProxyType(
    {"timeout": "timeout", "interrupt": "interrupted", "out_of_fuel": "out_of_fuel"}
)


def _stopped(task: Task, trap: Trap, cpu: bool) -> Trap:
    """What stopped the guest, with the limit of this run in the message."""
    if cpu and task.cpu is not None:
        return cpu_used_up(task.cpu, trap.frames)
    return trap if task.timeout is None else time_over(task.timeout, trap.frames)


def _module(module: Module | bytes | str | os.PathLike[str], engine: Engine) -> Module:
    if isinstance(module, Module):
        return module
    if isinstance(module, bytes | bytearray | memoryview):
        return Module(module, engine)
    return Module.from_file(module, engine)


def _program_name(module: Module) -> str:
    return module.name or "main.wasm"


def _limits(config: Config, memory: int | str | None, stack: int | str | None, fuel: int | None) -> Limits:
    limits = config.limits
    if memory is not None:
        limits = limits.__replace__(memory=parse_size(memory))
    if stack is not None:
        limits = limits.__replace__(stack=parse_size(stack))
    if fuel is not None:
        if not config.fuel:
            raise ValueError("fuel needs an engine that counts it: Engine(Config(fuel=True))")
        if not 0 <= fuel <= UNLIMITED_FUEL:
            raise ValueError(f"fuel must be at least 0 and below 2**63, not {fuel}")
        limits = limits.__replace__(fuel=fuel)
    return limits


def _dirs(dirs: Dirs | None) -> Iterable[DirGrant | TreeGrant]:
    if dirs is None:
        return
    pairs: Iterable[Any] = ((host, guest) for guest, host in dirs.items()) if isinstance(dirs, Mapping) else dirs
    for entry in pairs:
        if isinstance(entry, DirGrant | TreeGrant):
            yield entry
        elif isinstance(entry[0], str | os.PathLike):
            yield DirGrant(os.fspath(entry[0]), *entry[1:])
        elif hasattr(entry[0], "mount"):
            yield TreeGrant(*entry)
        else:
            raise TypeError(f"a directory is a path or a Tree, not {type(entry[0]).__name__}")


def _stdin(input: bytes | str | None, stdin: Source) -> InputGrant:
    if input is not None:
        if stdin is not None:
            raise ValueError("input and stdin exclude each other")
        return Data(input.encode() if isinstance(input, str) else bytes(input))
    if stdin is None:
        return _NOTHING
    return _descriptor(stdin) or Call(_function(stdin, "read"))


def _output(choice: Output, limit: int | None) -> OutputGrant:
    if choice is None:
        return Capture() if limit is None else Capture(limit)
    return _descriptor(choice) or Call(_function(choice, "write"))


def _descriptor(stream: object) -> Inherit | None:
    """What has a descriptor of the host; what was written to a file object before goes out first."""
    if stream == "inherit":
        return Inherit()
    if isinstance(stream, int):
        return Inherit(stream)
    try:
        fd: int = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None  # No file, or one that is none of the host's, such as io.BytesIO.
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()
    return Inherit(fd)


def _function(stream: object, name: str) -> Callable[..., Any]:
    found = stream if callable(stream) else getattr(stream, name, None)
    if not callable(found):
        raise ValueError(f"a stream is 'inherit', a descriptor, a binary file or a function, not {stream!r}")
    return found


_ASKERS: Final = 8
"""Functions of the guest that are named with an event."""


def _audit(sink: Sink, process: Process) -> Audit:
    from wardian.wasi.p1.audit import Audit  # Here, as hardly a guest is watched.

    return Audit(sink, lambda: callers(process, _ASKERS))


def _substitute(asked: ImportType, unknown: str) -> Callable[..., object] | None:
    """A function for an import nobody defines: one that traps, or one that returns zeros."""
    if not isinstance(asked.type, FuncType):
        return None
    name = f"{printable(asked.module)}.{printable(asked.name)}"
    if unknown == "trap":

        def trap(*args: object) -> NoReturn:
            raise Trap("unknown_import", f"unknown import {name} was called")

        return trap
    zeros = tuple(0.0 if t in (F32, F64) else None if isinstance(t, RefType) else 0 for t in asked.type.results)
    value = zeros[0] if len(zeros) == 1 else zeros
    return lambda *args: value
