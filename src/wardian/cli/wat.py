"""``wardian wat``: a binary module to text, and text to a binary module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wardian.cli.report import CliError, size
from wardian.cli.source import read_module
from wardian.syntax.module import Module

_EXAMPLES: Final = """\
examples:
  wardian wat plugin.wasm                    print it
  wardian wat plugin.wasm -o plugin.wat      the same, to a file
  wardian wat plugin.wat -o plugin.wasm      the other way round

What is printed is assembled to the same bytes again. Annotations beginning with @wardian say how things are encoded
where there is a choice; other programs pass over them, and --plain leaves them out."""


def _output(path: str | None, source: str) -> str | None:
    if path is not None and Path(path).exists() and source != "-" and Path(path).samefile(source):
        raise CliError(f"{path}: is the file that is read", code=2)
    return None if path == "-" else path


def _write_text(lines: Iterable[str], path: str | None) -> None:
    if path is None:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        return
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _write_binary(content: bytes, path: str | None) -> None:
    if path is not None:
        Path(path).write_bytes(content)
        return
    if sys.stdout.isatty():
        raise CliError(
            f"the binary module ({size(len(content))}) is not for a terminal",
            hint="-o FILE.wasm names a file; a pipe works, too",
            code=2,
        )
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def _decoded(content: bytes) -> Module:
    from wardian.binary.decode import decode
    from wardian.limits import Features

    # Nothing is run: whatever can be read is shown.
    return decode(content, Features(**dict.fromkeys(Features.names(), True)))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian wat",
        description="Print a binary module in the text format, or assemble a text to a binary module.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="a .wasm to print, or a .wat to assemble; - is standard input")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--plain", action="store_true", help="print no annotations of how integers are encoded")
    options = parser.parse_args(argv)
    content = sys.stdin.buffer.read() if options.file == "-" else read_module(options.file)
    output = _output(options.output, options.file)
    from wardian.text.parse import assemble, is_text

    if is_text(content):
        _write_binary(assemble(content), output)
        return 0
    from wardian.text.printer import ModulePrinter

    _write_text(ModulePrinter(_decoded(content), exact=not options.plain).lines(), output)
    return 0
