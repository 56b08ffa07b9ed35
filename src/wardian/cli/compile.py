"""``wardian compile``: compile every function of a module now, into the cache, so that later runs only map it."""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Final

from wardian.cli.options import ENGINE_OPTIONS, build_engine, parse_checks, parse_level
from wardian.cli.report import Progress, plural, size
from wardian.cli.source import read_module

_EXAMPLES: Final = """\
examples:
  wardian compile tool.wasm && wardian run tool.wasm     the run compiles nothing
  wardian compile -O0 huge.wasm                          quicker to compile, slower to run"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian compile",
        description="Compile a whole module ahead of time, into the cache that `wardian run` uses.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE.wasm", help="the module")
    for option in ENGINE_OPTIONS:
        option.add_to(parser)
    options = parser.parse_args(argv)
    level, checks = parse_level(options.optimize), parse_checks(options.checks)
    source = read_module(options.file)

    from wardian.api.module import Module

    engine = build_engine(level=level, checks=checks)
    began = perf_counter()
    module = Module(source, engine)
    progress = Progress(f"compiling {options.file}")
    try:
        module.compile(progress)
        engine.flush()
    finally:
        progress.close()
    functions = plural(len(module.decl.funcs), "function")
    print(
        f"compiled {functions} ({size(len(source))}) in {perf_counter() - began:.1f} s; "
        f"the cache {engine.cache.path} holds {size(engine.cache.size())}"
    )
    return 0
