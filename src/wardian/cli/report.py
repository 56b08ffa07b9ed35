"""What the sub-commands say to the user: errors with hints, sizes, durations, and guest text made safe to print."""

from __future__ import annotations

import sys
from typing import Final, final

from wardian.cli.console import Console
from wardian.errors import printable

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@final
class CliError(Exception):
    """Something to tell the user instead of a traceback; ``hint`` is what to try, ``code`` the exit code."""

    def __init__(self, message: str, *, hint: str | None = None, code: int = 1) -> None:
        self.hint = hint
        self.code = code
        super().__init__(message)


def safe(text: str) -> str:
    """Text that may hold guest names, made safe for a terminal; line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str) -> None:
    """One message on standard error, with the program's name before it."""
    if sys.stderr is not None:
        print(f"wardian: {text}", file=sys.stderr)


def explain(error: CliError) -> int:
    """Tell the user ``error`` and its hint; returns its exit code."""
    say(f"error: {error}")
    if error.hint:
        say(f"hint: {error.hint}")
    return error.code


def size(count: int) -> str:
    """A number of bytes for people: ``"12.3 MiB"``; below one KiB exactly."""
    value = float(count)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit takes everything")


def plural(count: int, noun: str) -> str:
    """``"1 function"``, ``"2 functions"``, ``"3 memories"``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"


@final
class Progress:
    """A line on standard error that counts up, shown on a terminal only, and only once work takes long."""

    def __init__(self, what: str, patience: float = 0.5) -> None:
        from time import monotonic

        self._clock = monotonic
        self._what = what
        self._shown = False
        self._next = monotonic() + patience
        self._console = sys.stderr if isinstance(sys.stderr, Console) else None

    def __call__(self, done: int, total: int) -> None:
        if self._console is None or self._clock() < self._next:
            return
        self._next = self._clock() + 0.1
        self._shown = True
        percent = 100 * done // max(total, 1)
        self._console.live(f"{self._what}: {done:,} of {total:,} ({percent} %)")

    def close(self) -> None:
        """Remove the line."""
        if self._shown and self._console is not None:
            self._console.live("")
