"""The state of one preview-1 guest: what it was granted, as capability objects, and its descriptors.

Invariant: a context belongs to one guest and is used by one thread at a time; :meth:`WasiContext.close` gives back
every host descriptor it opened.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias, final

from wardian.capability.clock import ClockKind, Clocks, FrozenClocks, HostClocks
from wardian.capability.environment import arguments, variables
from wardian.capability.filesystem.types import Directory
from wardian.capability.poll import Waiter
from wardian.capability.random import HostRandom, Random, SeededRandom
from wardian.capability.stream import (
    BytesInput,
    CallInput,
    CallOutput,
    CaptureOutput,
    HostInput,
    HostOutput,
    InputStream,
    LimitedOutput,
    NullInput,
    NullOutput,
    OutputStream,
)
from wardian.grants import (
    Call,
    ClockGrant,
    Data,
    FileQuota,
    FrozenClock,
    Grants,
    Inherit,
    InputGrant,
    Null,
    OutputGrant,
    TerminalGrant,
    TreeGrant,
)
from wardian.record import NamedTuple
from wardian.syntax.types import FuncType
from wardian.wasi.p1.fds import Fds, input_descriptor, output_descriptor, preopen_descriptor, socket_descriptor
from wardian.wasi.p1.memory import GuestMemory, NoMemory
from wardian.wasi.p1.types import SOCKET_RIGHTS, Preview
from wardian.wasi.shield import ShieldedOutput, shielded

if TYPE_CHECKING:
    from wardian.capability.filesystem.quota import Quota
    from wardian.capability.socket import HostSocket
    from wardian.wasi.p1.audit import Audit

Handler: TypeAlias = Callable[..., "int | None"]


class Function(NamedTuple):
    """One function of the ABI.

    ``bind(context, preview, row)`` gives the callable. Of a descriptor it is given, ``rights`` are needed, and of a
    second one ``target``. A *bare* callable returns the errno itself (it is on a hot path, or never returns); any
    other returns ``None`` or raises ``CapabilityError`` or ``OSError``.
    """

    name: str
    type: FuncType
    bind: Callable[[WasiContext, Preview, Function], Handler]
    rights: int = 0
    target: int = 0
    bare: bool = False


@final
class WasiContext:
    """``memory`` is the guest's exported memory, attached after instantiation; until then every pointer is bad.

    ``preopens`` are pairs of the guest's name and the directory, which the context takes over; they become the
    descriptors from 3 on, in order, and ``sockets`` those after them. ``open_files`` bounds the descriptors the guest
    has at a time. When ``wake_fd`` becomes readable, every blocking call ends with ``EINTR``.
    """

    def __init__(
        self,
        args: Iterable[str] = (),
        env: Iterable[tuple[str, str]] = (),
        preopens: Iterable[tuple[str, Directory]] = (),
        stdin: InputStream | None = None,
        stdout: OutputStream | None = None,
        stderr: OutputStream | None = None,
        clock: Clocks | None = None,
        random: Random | None = None,
        wake_fd: int | None = None,
        open_files: int = 1024,
        terminal: TerminalGrant = None,
        audit: Audit | None = None,
        sockets: Iterable[HostSocket] = (),
        output_limit: int | None = None,
        quota: Quota | None = None,
    ) -> None:
        """Raises ``ValueError`` for an argument or variable that cannot be one."""
        self.memory: GuestMemory = NoMemory()
        self.args = arguments(args)
        self.env = variables(env)
        self.stdin = stdin or NullInput()
        self.stdout = stdout or NullOutput()
        self.stderr = stderr or NullOutput()
        self.clocks = clock or HostClocks()
        self.random = random or HostRandom()
        self.waiter = Waiter(wake_fd)
        self.audit = audit
        self.fds = Fds(open_files)
        self.fds.grant(input_descriptor(self.stdin))
        self.terminal = terminal
        self._quota = quota
        self._shown = shielded((self.stdout, self.stderr), terminal)
        self._bounded = bounded(self._shown, output_limit)
        for stream in self._bounded:
            self.fds.grant(output_descriptor(stream))
        for name, directory in preopens:
            self.fds.grant(preopen_descriptor(directory, name.encode("utf-8", "surrogateescape")))
        for socket in sockets:
            self.fds.grant(socket_descriptor(socket, int(SOCKET_RIGHTS)))
        self._finalizer = weakref.finalize(self, self.fds.close)

    @classmethod
    def from_grants(cls, grants: Grants, wake_fd: int | None = None, audit: Audit | None = None) -> WasiContext:
        """Turn ``grants`` into capabilities; ``audit`` watches what the guest does with them.

        Raises ``OSError`` if a directory or descriptor cannot be had.
        """
        preopens: list[tuple[str, Directory]] = []
        clocks = _clocks(grants.clock)
        quota = _quota(grants.quota)
        sockets: list[HostSocket] = []
        try:
            sockets.extend(_sockets(grants))
            for opened in _directories(grants, clocks, quota):
                preopens.append(opened)
            return cls(
                grants.args,
                grants.env,
                preopens,
                _input(grants.stdin),
                output_stream(grants.stdout, 1),
                output_stream(grants.stderr, 2),
                clocks,
                HostRandom() if grants.seed is None else SeededRandom(grants.seed),
                wake_fd,
                grants.open_files,
                grants.terminal,
                audit,
                sockets,
                grants.output_limit,
                quota,
            )
        except BaseException:
            for directory in (directory for _, directory in preopens):
                directory.close()
            for socket in sockets:
                socket.close()
            raise

    @property
    def truncated(self) -> bool:
        """Was output dropped, because there was too much of it?"""
        return any(map(was_cut, (self.stdout, self.stderr, *self._bounded)))

    def reached(self) -> Iterator[str]:
        """Names of limits (:data:`wardian.limits.BOUNDS`) that the guest has run into."""
        if self.truncated:
            yield "output"
        if self.fds.refused:
            yield "open_files"
        if self._quota is not None:
            yield from (name for bound, name in _QUOTA.items() if bound in self._quota.reached)

    def finish(self) -> None:
        """Write what is left of the output and give a terminal its usual look back, once the guest has ended."""
        for stream in self._shown:
            if isinstance(stream, ShieldedOutput):
                stream.finish()

    def close(self) -> None:
        """Close every descriptor the guest left open, after :meth:`finish`; a second call does nothing."""
        self.finish()
        self._finalizer()


_QUOTA: Final = MappingProxyType({"bytes": "written", "file_size": "file_size", "files": "new_files"})
"""Bounds of a quota -> the names of the limits they are."""


def _directories(grants: Grants, clocks: Clocks, quota: Quota | None) -> Iterator[tuple[str, Directory]]:
    """Each granted directory, opened, with the guest's name for it."""
    devices: dict[int, int] = {}
    metered = _metered(quota)
    for grant in grants.dirs:
        if isinstance(grant, TreeGrant):
            device = devices.setdefault(id(grant.tree), len(devices) + 1)
            yield grant.guest, grant.tree.mount(grant.readonly, clocks.now[ClockKind.REALTIME], device)
            continue
        from wardian.capability.filesystem.host import open_directory  # Here, as many guests have no directories.

        yield grant.guest, metered(open_directory(grant.host, readonly=grant.readonly))


def _quota(bounds: FileQuota) -> Quota | None:
    if bounds == FileQuota():
        return None
    from wardian.capability.filesystem.quota import Quota  # Here, as most guests have no quota.

    return Quota(bounds.bytes, bounds.files, bounds.file_size)


def _metered(quota: Quota | None) -> Callable[[Directory], Directory]:
    """What puts one quota on all directories it is given."""
    if quota is None:
        return lambda directory: directory
    from wardian.capability.filesystem.metered import Meter, MeteredDirectory

    meter = Meter(quota)
    return lambda directory: MeteredDirectory(directory, meter)


def _sockets(grants: Grants) -> Iterator[HostSocket]:
    if not grants.sockets:
        return
    from wardian.capability.socket import from_descriptor  # Here, as few guests have one.

    for fd in grants.sockets:
        yield from_descriptor(fd)


def _input(grant: InputGrant) -> InputStream:
    match grant:
        case Null():
            return NullInput()
        case Data(content):
            return BytesInput(content)
        case Call(function):
            return CallInput(function)
        case Inherit(fd):
            return HostInput(0 if fd is None else fd)


def output_stream(grant: OutputGrant, role: int) -> OutputStream:
    """The stream that is granted; ``role`` is the descriptor it stands for. Raises ``OSError``."""
    match grant:
        case Null():
            return NullOutput()
        case Inherit(fd, terminal):
            return HostOutput(role if fd is None else fd, terminal)
        case Call(function):
            return CallOutput(function)
        case _:
            return CaptureOutput(grant.limit)


def bounded(streams: Iterable[OutputStream], limit: int | None) -> list[OutputStream]:
    """The streams with a bound on how much they take, but for those that have one of their own."""
    if limit is None:
        return list(streams)
    return [each if isinstance(each, CaptureOutput) else LimitedOutput(each, limit) for each in streams]


def was_cut(stream: OutputStream) -> bool:
    """Did a stream with a bound drop what was beyond?"""
    return isinstance(stream, CaptureOutput | LimitedOutput) and stream.truncated


def _clocks(grant: ClockGrant) -> Clocks:
    if isinstance(grant, FrozenClock):
        return FrozenClocks(grant.start, grant.tick)
    return HostClocks(grant.step, grant.jitter)
