"""``wardian compile``: compile every function of a module now, into the cache or a file, so that runs only map it."""

from __future__ import annotations

import argparse
import math
import os
from time import perf_counter
from typing import Final

from wardian.cli.options import ENGINE_OPTIONS, build_engine, parse_checks, parse_level, parse_spectre, usage
from wardian.cli.report import CliError, Progress, plural, size
from wardian.cli.source import read_module

_EXAMPLES: Final = """\
examples:
  wardian compile tool.wasm && wardian run tool.wasm     the run compiles nothing
  wardian compile tool.wasm -o tool.cwasm                one file, to be run without a compiler or a cache
  wardian run tool.cwasm
  wardian compile -O0 huge.wasm                          quicker to compile, slower to run

A compiled file holds native code for CPUs like this one. Run only those that you, or somebody you trust, made."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wardian compile",
        description="Compile a whole module ahead of time: into the cache that `wardian run` uses, or into a file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE.wasm", help="the module")
    parser.add_argument("-o", "--output", metavar="OUT", help="write the compiled module here, for `wardian run OUT`")
    parser.add_argument("-j", "--jobs", metavar="N", help="compile in N processes (default: as many as processors)")
    for option in ENGINE_OPTIONS:
        option.add_to(parser)
    return parser


def _jobs(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise usage(f"-j {text} is not a number of processes", "-j 4")
    return int(text)


def _write(path: str, data: bytes) -> None:
    """Put ``data`` into ``path``, all or nothing."""
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise CliError(f"{path}: cannot be written: {error.strerror}") from None


def main(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    level, checks = parse_level(options.optimize), parse_checks(options.checks)
    spectre = parse_spectre(options.spectre)
    if level is None:
        level = "O2"  # what a run does in the background for what is hot is done now, for everything
    jobs = _jobs(options.jobs)
    source = read_module(options.file)

    from wardian.api.module import Module

    # Whoever asks for all of it waits as long as it takes; and whether a memory may be shared is asked when it runs.
    engine = build_engine(
        level=level, checks=checks, spectre=spectre, shared_memory=True, bounds={"compile_time": math.inf}
    )
    began = perf_counter()
    module = Module(source, engine)
    checked = perf_counter()
    progress = Progress(f"compiling {options.file}")
    written = b""
    try:
        if options.output is None:
            module.compile(progress, jobs=jobs)
        else:
            written = module.serialize(jobs=jobs, progress=progress)
        engine.flush()
    finally:
        progress.close()
    ended = perf_counter()
    if options.output is not None:
        _write(options.output, written)
    functions = len(module.decl.funcs)
    code = module.code()
    bodies = sum(end - start for start, end in module.decl.bodies)
    how = code.options if options.output is None else code.ahead_options()
    print(
        f"compiled {plural(functions, 'function')} ({how.opt}) in {ended - began:.1f} s: "
        f"checked in {checked - began:.1f} s, compiled in {ended - checked:.1f} s"
    )
    made = code.gather(None, options=how).blob
    print(f"{size(bodies)} of WebAssembly code became {size(len(made))} of machine code")
    if options.output is not None:
        print(f"{options.output}: {size(len(written))}; wardian run {options.output} runs it")
    else:
        print(f"the cache {engine.cache.path} holds {size(engine.cache.size())}")
    return 0
