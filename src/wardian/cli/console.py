"""The one place through which everything passes that this command prints on a terminal.

Invariant: once :func:`guard` was called, ``sys.stdout`` and ``sys.stderr`` let no control code but tab and line feed
out to a terminal, whoever prints: sub-commands, argparse, warnings, tracebacks. Names and messages from modules are so
harmless by construction; that they are escaped where they are printed, too, is for files and pipes, which are left
alone here.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO, final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from wardian.terminal import Screen


@final
class _Shield(io.RawIOBase):
    """A terminal's binary stream behind a filter."""

    def __init__(self, inner: BinaryIO, screen: Screen, ascii: bool) -> None:
        from wardian.terminal import Filter

        super().__init__()
        self._inner = inner
        self._filter = Filter("strict", screen=screen, ascii=ascii)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._inner.fileno()

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        self.control(self._filter.feed(view))
        return view.nbytes

    def control(self, data: bytes) -> None:
        """Write what is not to be filtered."""
        self._inner.write(data)
        self._inner.flush()


@final
class Console(io.TextIOWrapper):
    """A text stream on a terminal; only :meth:`live` moves the cursor."""

    def __init__(self, inner: TextIO, screen: Screen) -> None:
        from wardian.terminal import only_ascii

        self._shield = _Shield(inner.buffer, screen, only_ascii())
        super().__init__(io.BufferedWriter(self._shield), "utf-8", "backslashreplace", line_buffering=True)

    def live(self, text: str) -> None:
        """Show ``text`` in place of the line that :meth:`live` showed before; an empty one only removes that."""
        self._shield.control(b"\r")
        self.write(text)
        self.flush()
        self._shield.control(b"\x1b[K")


def guard() -> None:
    """Put the process' own output streams behind the filter, as far as they are terminals."""
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    terminals = {name: stream for name, stream in streams.items() if stream is not None and stream.isatty()}
    if not terminals:
        return
    from wardian.terminal import Screen

    screen = Screen()
    for name, stream in terminals.items():
        stream.flush()
        setattr(sys, name, Console(stream, screen))
