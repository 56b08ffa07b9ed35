"""The audit stream: which capability a guest used, was denied, or ran out of, and which of its functions asked.

An event is a map of plain values, ready for JSON. Uses of an open descriptor, the clock and the like are told once for
each function and descriptor; everything with a path, and every refusal, each time; how often each function was called
is told in the last event. After :data:`MOST` events only that one follows, so a guest cannot fill a disk.

Invariant: what is told of a path is what the guest said, never what the host made of it; nothing the guest wrote, read
or was given (contents, values of variables) is told. Watching changes no result.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, final

from wardian.capability.errno import Errno
from wardian.errors import Trap, WardianError
from wardian.grants import Grants
from wardian.wasi.errno import NUMBERS
from wardian.wasi.p1.fds import Fds
from wardian.wasi.p1.groups import GROUP_OF
from wardian.wasi.p1.memory import MASK, GuestMemory

Event: TypeAlias = "dict[str, Any]"
Sink: TypeAlias = Callable[[Event], object]
Call: TypeAlias = "Callable[..., int | None]"

MOST: Final = 100_000
"""Events of one run, but for the last."""
_TIME: Final = ("timeout", "cpu")
_LONGEST: Final = 4096
"""Bytes of a path that are told."""

_DENIED: Final = frozenset(
    NUMBERS[each] for each in (Errno.ACCESS, Errno.PERMISSION, Errno.NOT_CAPABLE, Errno.READ_ONLY, Errno.NOT_SOCKET)
)
_LIMITED: Final = frozenset(
    NUMBERS[each]
    for each in (
        Errno.TOO_MANY_OPEN,
        Errno.TOO_MANY_OPEN_SYSTEM,
        Errno.QUOTA,
        Errno.FILE_TOO_BIG,
        Errno.NO_SPACE,
        Errno.NO_MEMORY,
        Errno.INTERRUPTED,
    )
)
_REFUSED: Final = MappingProxyType({**dict.fromkeys(_DENIED, "denied"), **dict.fromkeys(_LIMITED, "limited")})
_BOUNDS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        NUMBERS[Errno.TOO_MANY_OPEN]: ("open_files",),
        NUMBERS[Errno.NO_SPACE]: ("written", "new_files"),
        NUMBERS[Errno.FILE_TOO_BIG]: ("file_size",),
    }
)
"""The limits of which a guest hears by an error."""
_WORDS: Final = MappingProxyType({value: reason.value for reason, value in NUMBERS.items()})

_PATHS: Final = MappingProxyType({
    # function: for each path where its directory, pointer and length stand among the arguments
    "path_create_directory": ((0, 1, 2),),
    "path_filestat_get": ((0, 2, 3),),
    "path_filestat_set_times": ((0, 2, 3),),
    "path_link": ((0, 2, 3), (4, 5, 6)),
    "path_open": ((0, 2, 3),),
    "path_readlink": ((0, 1, 2),),
    "path_remove_directory": ((0, 1, 2),),
    "path_rename": ((0, 1, 2), (3, 4, 5)),
    "path_symlink": ((2, 3, 4),),
    "path_unlink_file": ((0, 1, 2),),
})  # fmt: skip
_DESCRIPTOR: Final = frozenset({"fd", "sock"})
"""Functions whose first argument is a descriptor begin so."""
_FOLLOWED: Final = frozenset({"fd_close", "fd_renumber"})
"""Functions after which a descriptor is another."""
_OPENED: Final = 8
"""Where ``path_open`` is given the place for the new descriptor."""


class Context(Protocol):
    """What an audit sees of a guest's context."""

    memory: GuestMemory

    @property
    def fds(self) -> Fds: ...
    def reached(self) -> Iterable[str]: ...


@final
class Audit:
    """Watches one guest. ``sink`` is called with each event; what it raises ends the guest.

    ``callers`` names the guest's functions that led to a call, innermost first.
    """

    def __init__(self, sink: Sink, callers: Callable[[], list[str]] = list) -> None:
        self._sink = sink
        self._callers = callers
        self._told = 0
        self._seen: set[tuple[str, int, bool]] = set()
        self._names: dict[int, str] = {0: "stdin", 1: "stdout", 2: "stderr"}
        self.calls: Counter[str] = Counter()

    def tell(self, event: str, **fields: object) -> None:
        """An event of the host's; ``None`` fields are left out. The last one is always told."""
        if self._told > MOST and event != "end":
            return
        self._told += 1
        if self._told > MOST and event != "end":
            event, fields = "cut", {"after": MOST}
        present = {name: value for name, value in fields.items() if value is not None}
        self._sink({"time": round(time.time(), 6), "event": event, **present})

    def begin(self, grants: Grants) -> None:
        """Tell what was granted: names, no values."""
        self.tell(
            "start",
            program=grants.args[0] if grants.args else None,
            directories=[{"guest": each.guest, "readonly": each.readonly} for each in grants.dirs],
            environment=[name for name, _ in grants.env],
            open_files=grants.open_files,
            terminal=grants.terminal,
        )

    def end(self, status: str, code: int, trap: Trap | None, reached: Sequence[str], memory: int) -> None:
        """Tell how the guest ended, and which limits (:data:`wardian.limits.BOUNDS`) it has run into."""
        if status == "timeout":
            time_out = [name for name in reached if name in _TIME]
            self.tell("limit", capability="time", outcome="limited", reached=time_out or None)
        if "output" in reached:
            self.tell("limit", capability="output", outcome="limited", reached=["output"])
        self.tell(
            "end", status=status, returncode=code, trap=None if trap is None else trap.code, memory=memory,
            reached=list(reached), calls=dict(self.calls.most_common()),
        )  # fmt: skip

    def watched(self, name: str, call: Call, ctx: Context) -> Call:
        """``call``, the function ``name``, watched."""
        paths = _PATHS.get(name)
        if paths:
            return self._watched_paths(name, call, ctx, paths)
        has_descriptor = name.partition("_")[0] in _DESCRIPTOR
        follows = name in _FOLLOWED
        calls, seen = self.calls, self._seen

        def watching(*arguments: int) -> int | None:
            calls[name] += 1
            fd = arguments[0] & MASK if has_descriptor else -1
            details = {"fd": fd, "name": self._name(ctx, fd)} if follows else None
            try:
                code = call(*arguments)
            except WardianError:
                self._report(ctx, name, 0, {})  # proc_exit leaves so
                raise
            if code in _REFUSED or (name, fd, not code) not in seen:
                if len(seen) < MOST:
                    seen.add((name, fd, not code))
                if details is None:
                    details = {"fd": fd, "name": self._name(ctx, fd)} if has_descriptor else {}
                self._report(ctx, name, code or 0, details)
            if follows and not code:
                self._follow(name, arguments)
            return code

        return watching

    def _watched_paths(self, name: str, call: Call, ctx: Context, paths: tuple[tuple[int, int, int], ...]) -> Call:
        """``call``, which takes paths, watched."""

        def watching(*arguments: int) -> int | None:
            self.calls[name] += 1
            details = self._paths(ctx, paths, arguments)
            code = call(*arguments)
            self._report(ctx, name, code or 0, details)
            if name == "path_open" and not code:
                self._opened(ctx, arguments[_OPENED] & MASK, details)
            return code

        return watching

    def _report(self, ctx: Context, name: str, code: int, details: Mapping[str, Any]) -> None:
        outcome = _REFUSED.get(code, "failed" if code else "used")
        bounds = _BOUNDS.get(code, ())
        reached = [bound for bound in ctx.reached() if bound in bounds] if bounds else []
        self.tell(
            "call", function=name, capability=GROUP_OF[name], outcome=outcome, error=_WORDS.get(code),
            reached=reached or None, asked_by=(self._callers() or None) if self._told < MOST else None, **details,
        )  # fmt: skip

    def _name(self, ctx: Context, fd: int) -> str | None:
        found = self._names.get(fd)
        if found is None:
            entry = ctx.fds.entries.get(fd)
            if entry is not None and entry.preopen is not None:
                found = self._names[fd] = entry.preopen.decode(errors="replace")
        return found

    def _paths(self, ctx: Context, places: tuple[tuple[int, int, int], ...], arguments: tuple[int, ...]) -> Event:
        """The paths as the guest gave them, each below the name of its directory."""
        view = ctx.memory.view()
        found: Event = {}
        for label, (fd, pointer, length) in zip(("", "to_"), places, strict=False):
            begin, size = arguments[pointer] & MASK, arguments[length] & MASK
            text = bytes(view[begin : begin + min(size, _LONGEST)]).decode(errors="replace")
            found[f"{label}fd"] = arguments[fd] & MASK
            found[f"{label}directory"] = self._name(ctx, arguments[fd] & MASK)
            found[f"{label}path"] = text
        return {name: value for name, value in found.items() if value is not None}

    def _opened(self, ctx: Context, at: int, details: Mapping[str, Any]) -> None:
        """Keep the name of a descriptor that the guest has been given ``at`` a place of its memory."""
        fd = int.from_bytes(ctx.memory.view()[at : at + 4], "little")
        self._forget(fd)
        self._names[fd] = f"{details.get('directory', '')}/{details['path']}"[:_LONGEST]

    def _follow(self, name: str, arguments: tuple[int, ...]) -> None:
        """Keep the names of descriptors after a call of :data:`_FOLLOWED` that succeeded."""
        source = arguments[0] & MASK
        moved = self._names.get(source)
        self._forget(source)
        if name == "fd_renumber":
            target = arguments[1] & MASK
            self._forget(target)
            if moved is not None:
                self._names[target] = moved

    def _forget(self, fd: int) -> None:
        self._names.pop(fd, None)
        self._seen -= {key for key in self._seen if key[1] == fd}


def line_writer(fd: int) -> Sink:
    """A sink that writes events to the descriptor ``fd``: lines of JSON, in ASCII. It raises ``OSError``."""

    from json import dumps

    def write(event: Event) -> None:
        line = memoryview((dumps(event) + "\n").encode("ascii"))
        while line:
            line = line[os.write(fd, line) :]

    return write
