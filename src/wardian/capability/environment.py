"""Arguments and environment variables as a guest sees them: zero-terminated byte strings.

Invariant: no string contains a zero byte, so each ends exactly where its terminator stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final


@final
class Strings:
    """A block of zero-terminated strings: ``data``, and ``offsets`` where each begins."""

    __slots__ = ("data", "offsets")

    def __init__(self, strings: Iterable[bytes]) -> None:
        """Raises ``ValueError`` if a string contains a zero byte."""
        parts: list[bytes] = []
        offsets: list[int] = []
        position = 0
        for string in strings:
            if b"\0" in string:
                raise ValueError("an argument or environment variable contains a zero byte")
            offsets.append(position)
            parts.append(string + b"\0")
            position += len(string) + 1
        self.data = b"".join(parts)
        self.offsets = tuple(offsets)


def arguments(args: Iterable[str]) -> Strings:
    """The argument vector; host bytes that are no text survive (``surrogateescape``)."""
    return Strings(arg.encode("utf-8", "surrogateescape") for arg in args)


def variables(env: Iterable[tuple[str, str]]) -> Strings:
    """The environment as ``NAME=value``. Raises ``ValueError`` for a name that is empty or contains ``=``."""
    lines: list[bytes] = []
    for name, value in env:
        if not name or "=" in name:
            raise ValueError(f"not the name of an environment variable: {name!r}")
        lines.append(f"{name}={value}".encode("utf-8", "surrogateescape"))
    return Strings(lines)
