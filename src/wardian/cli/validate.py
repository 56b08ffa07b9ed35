"""``wardian validate``: decode and check modules completely, without compiling or running anything."""

from __future__ import annotations

import argparse
from typing import Final

from wardian.cli.report import CliError, explain, plural, safe, say, size
from wardian.cli.source import read_module
from wardian.errors import BadInput, Refused

_EXAMPLES: Final = """\
examples:
  wardian validate plugin.wasm
  wardian validate build/*.wasm     every file is checked; the exit code is 1 if any is not valid"""


def _check(path: str) -> bool:
    """Validate one file and say how it went."""
    from wardian.api.module import Module
    from wardian.cli.options import build_engine

    try:
        module = Module(read_module(path), build_engine(cache=False))
    except CliError as error:
        explain(error)
        return False
    except (BadInput, Refused) as error:
        say(f"error: {path}: {safe(str(error))}")
        return False
    declared = module.decl
    print(f"{path}: valid ({plural(len(declared.funcs), 'function')}, {size(len(declared.source))})")
    return True


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian validate",
        description="Check that files are valid WebAssembly modules: every section, every function body.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="modules to check")
    options = parser.parse_args(argv)
    bad = [path for path in options.files if not _check(path)]
    return 1 if bad else 0
