"""The ``wardian`` command: finds the sub-command, runs it, and turns what it raises into a message and an exit code.

Invariant: a sub-command's module is imported only when that sub-command is asked for, so ``wardian run`` starts
without loading anything it does not use. Exit codes: 0 well, 1 the input or the host refused, 2 bad usage, 130 Ctrl-C;
``run`` adds the guest's own code and 134 for a trap.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import Final, NoReturn

from wardian.cli.console import guard
from wardian.cli.report import INTERRUPTED, CliError, explain, safe, say
from wardian.errors import BadInput, Refused

COMMANDS: Final = MappingProxyType(
    {
        "run": "run a program, or call one of its functions",
        "validate": "check modules without running them",
        "inspect": "show what a module contains, imports and exports",
        "compile": "compile a whole module ahead of time, into the cache or a file",
        "wat": "print a module as text, or turn text into a module",
        "wast": "run scripts of the specification's test suite",
        "filter": "make any command's output harmless for a terminal",
        "cache": "show where compiled code is kept and how much, or clear it",
        "doctor": "show what this machine offers and what is missing",
    }
)


def _help() -> str:
    rows = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
    return f"""usage: wardian COMMAND [OPTIONS] ...

Runs WebAssembly programs in a sealed case: compiled to native code, and able to reach nothing that was not granted.

commands:
{rows}

examples:
  wardian run hello.wasm                          run a program; it sees no files, no environment
  wardian run --dir data:ro tool.wasm data/x.csv  let it read the folder data, and nothing else
  wardian run --invoke add math.wasm 1 2          call one exported function
  wardian run -W timeout=5s,max-memory-size=64M untrusted.wasm
  wardian COMMAND --help                          everything about one command

`wardian --version` prints the version."""


def _unknown(word: str) -> CliError:
    from difflib import get_close_matches

    if word.endswith((".wasm", ".wat")):
        return CliError(f"unknown command {word!r}", hint=f"wardian run {word}", code=2)
    near = get_close_matches(word, COMMANDS, 1)
    hint = f"wardian {near[0]}" if near else "wardian --help lists the commands"
    return CliError(f"unknown command {word!r}", hint=hint, code=2)


def _dispatch(argv: list[str]) -> int:
    if not argv:
        print(_help(), file=sys.stderr)
        return 2
    word, rest = argv[0], argv[1:]
    if word in ("-h", "--help", "help"):
        if rest and rest[0] in COMMANDS:
            return _dispatch([rest[0], "--help"])
        print(_help())
        return 0
    if word in ("-V", "--version"):
        from wardian import __version__

        print(f"wardian {__version__}")
        return 0
    if word not in COMMANDS:
        raise _unknown(word)
    code: int = import_module(f"wardian.cli.{word}").main(rest)
    return code


def script() -> NoReturn:
    """The process's whole life: :func:`main`, then the end, without taking the interpreter apart piece by piece.

    FAST: collections while importing, and the teardown of two hundred modules, cost as much as a small guest's run.
    What must happen at the end (exit handlers, flushing) does happen.
    """
    gc.disable()
    guard()
    try:
        code = main()
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
    tiers = sys.modules.get("wardian.api.tiers")
    if tiers is not None:
        # Nothing is taken apart here, so whatever is being compiled may simply stop.
        atexit.unregister(tiers.close_worker)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process' own) and return its exit code.

    ``SystemExit`` passes: argparse raises it for ``--help`` (0) and for bad usage (2).
    """
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except CliError as error:
        return explain(error)
    except (BadInput, Refused) as error:
        say(f"error: {safe(str(error))}")
        return 1
    except BrokenPipeError:
        # The reader of our output went away: end quietly, and keep the interpreter's last flush from complaining.
        sys.stdout = None
        return 1
    except OSError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
