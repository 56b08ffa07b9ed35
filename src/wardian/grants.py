"""What a guest may have, as frozen values. Whoever builds these values (the embedder, the command line) decides.

Invariant: a default-constructed :class:`Grants` gives no argument, no variable, no directory, no input and no place
to write to. Time and randomness are no separate right in WASI preview 1, and hardly a program starts without them, so
they are always there; what can be chosen is whether they are the host's or made up (:class:`FrozenClock`, a seed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, final

from wardian.record import Record


@final
class DirGrant(Record):
    """The directory ``host`` and everything beneath it, which the guest sees as ``guest``.

    A number in place of a path is a descriptor of the directory, which whoever uses the grant takes over.
    """

    host: str | int
    guest: str
    readonly: bool = False


class Mountable(Protocol):
    """What can be granted as a directory without being one of the host: a ``wardian.Tree``."""

    def mount(self, readonly: bool = False, now: Callable[[], int] = ..., device: int = ...) -> Any: ...


@final
class TreeGrant(Record):
    """A tree of files that is no directory of the host (``wardian.Tree``), which the guest sees as ``guest``."""

    tree: Mountable
    guest: str
    readonly: bool = False


@final
class FileQuota(Record):
    """What a guest may add to directories of the host, all of them together; ``None`` is no bound.

    ``bytes`` is growth of files, ``files`` the number of new names; what does not fit is refused with ``ENOSPC``. A
    file cannot grow beyond ``file_size``: ``EFBIG``. What the guest removes gives room again, never more than it took.
    """

    bytes: int | None = None
    files: int | None = None
    file_size: int | None = None


@final
class Null(Record):
    """Input that is at its end at once; output that goes nowhere."""


@final
class Inherit(Record):
    """A file descriptor of the host process, used as it is and never closed.

    ``fd`` is its number; ``None`` stands for the descriptor of the same role (0, 1 or 2). ``terminal`` says whether a
    human sits at the other end; ``None``: what the descriptor says.
    """

    fd: int | None = None
    terminal: bool | None = None


@final
class Data(Record):
    """Input that consists of these bytes."""

    content: bytes


@final
class Capture(Record):
    """Output kept in memory, at most ``limit`` bytes of it; what is beyond is dropped and marked as truncated."""

    limit: int = 16 << 20


@final
class Call(Record):
    """A function of the embedder's in place of a stream.

    Input: called with a number of bytes (at most 1 MiB), returns some, or none at the end. Output: called with what the
    guest wrote, at most 1 MiB at a time. What it raises ends the guest and arrives at whoever runs it.
    """

    function: Callable[..., Any]


@final
class RealClock(Record):
    """The clocks of the host; with ``step``, in steps of so many nanoseconds, which makes timing others harder; with
    ``jitter``, each step comes at a moment of its own somewhere in its time, which nobody can foresee."""

    step: int = 1
    jitter: bool = False


@final
class FrozenClock(Record):
    """Made-up time: it starts at ``start`` (nanoseconds since 1970) and moves only when the guest sleeps or looks.

    ``tick`` nanoseconds pass with each look, so that a guest which waits for time to pass does not wait for ever.
    """

    start: int = 0
    tick: int = 1_000


InputGrant: TypeAlias = "Null | Inherit | Data | Call"
OutputGrant: TypeAlias = "Null | Inherit | Capture | Call"
ClockGrant: TypeAlias = "RealClock | FrozenClock"
TerminalGrant: TypeAlias = Literal["strict", "color", "raw", "elsewhere"] | None
"""What output may do to a terminal (:class:`wardian.terminal.Filter`): a mode for both output streams, wherever they
go; ``None`` stands for ``"color"`` where they go to a terminal and untouched bytes where they do not. ``"elsewhere"``:
whoever reads them sees to it."""


@final
class Grants(Record):
    """Everything a guest may have. ``args`` includes the program's own name, as ``argv[0]``.

    ``output_limit`` bounds the bytes of each output stream that is not captured (which has a bound of its own).
    ``seed`` makes the guest's randomness a function of the seed; ``None`` means the host's entropy. ``open_files``
    bounds the descriptors a guest has open at a time. To ``audit``, what the guest does with all this is written.
    ``sockets`` are descriptors of sockets of the host (listeners, connections) that stay the embedder's to close; the
    guest's numbers for them follow those of ``dirs``.
    """

    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    dirs: tuple[DirGrant | TreeGrant, ...] = ()
    stdin: InputGrant = Null()
    stdout: OutputGrant = Null()
    stderr: OutputGrant = Null()
    clock: ClockGrant = RealClock()
    seed: int | None = None
    terminal: TerminalGrant = None
    audit: Inherit | None = None
    open_files: int = 1024
    output_limit: int | None = None
    quota: FileQuota = FileQuota()
    sockets: tuple[int, ...] = ()
