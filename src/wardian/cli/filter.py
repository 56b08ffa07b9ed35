"""``wardian filter``: a pipe that makes any command's output harmless for the terminal.

Invariant: it ends when its input does, so the last words of a command that was interrupted are seen; whatever ends it,
the terminal is left with its usual look.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Final

from wardian.cli.options import parse_terminal
from wardian.cli.report import INTERRUPTED, plural, say

if TYPE_CHECKING:
    from wardian.terminal import Filter
    from wardian.terminal.report import Report

_EXAMPLES: Final = """\
examples:
  make 2>&1 | wardian filter
  curl -s https://example.com/notes.txt | wardian filter --terminal strict
  ssh untrusted@host tail -f log | wardian filter
  wardian filter --report < download.log > /dev/null      what would it have done?

Ctrl-C goes to the command as well, which usually ends; its last output is still shown. A second one ends the filter."""

_CHUNK: Final = 1 << 16
_TERMINATED: Final = 128 + signal.SIGTERM


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wardian filter",
        description="Pass standard input on with everything that could act on a terminal shown instead.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--terminal", metavar="MODE", default="color", help="strict, color (default) or raw")
    parser.add_argument("--report", action="store_true", help="say in the end, on standard error, what was tried")
    return parser


def _write(data: bytes) -> None:
    """Raises ``BrokenPipeError`` when nobody reads any more."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _copy(made: Filter, report: Report | None) -> None:
    try:
        while data := os.read(0, _CHUNK):
            if report is not None:
                report.feed(data)
            _write(made.feed(data))
    finally:
        _write(made.finish())


def _tell(report: Report) -> None:
    report.finish()
    for what, count in report.counts.most_common():
        say(f"{plural(count, 'time')}: {what}")


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    mode = parse_terminal(options.terminal) or "color"
    from wardian.terminal import Filter, only_ascii

    report = None
    if options.report:
        from wardian.terminal.report import Report

        report = Report()
    code = 0

    def patient(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = INTERRUPTED
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def terminated(number: int, frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    if not os.isatty(0):
        signal.signal(signal.SIGINT, patient)
    signal.signal(signal.SIGTERM, terminated)
    sys.stdout.flush()
    _copy(Filter(mode, ascii=os.isatty(1) and only_ascii()), report)
    if report is not None:
        _tell(report)
    return code
