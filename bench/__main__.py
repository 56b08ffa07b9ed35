"""``python -m bench [SECTION...] [--rounds N] [--only TEXT] [--write]``: everything side by side.

Sections: peak armed fuel choices start compile growth boundary instances wasi files terminal isolation
threads; without any, all. Prints the tables; ``--write`` puts them into docs/performance.md (choices into
docs/security.md). Contestants that are not installed are left out.
``--only`` picks programs by a part of their name; WARDIAN_BENCH_TIERS=O2,baseline picks tiers.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Final

from bench.contest import node
from bench.report import Section, write

SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "peak": "bench.peak",
        "armed": "bench.peak",
        "fuel": "bench.peak",
        "choices": "bench.choices",
        "start": "bench.start",
        "compile": "bench.compiling",
        "growth": "bench.compiling",
        "boundary": "bench.boundary",
        "instances": "bench.instances",
        "wasi": "bench.wasi",
        "files": "bench.files",
        "terminal": "bench.terminal",
        "isolation": "bench.isolation",
        "threads": "bench.threads",
    }
)
FUNCTION: Final = {"compile": "throughput"}
PACKAGES: Final = ("wasmtime", "llvmlite", "ziglang")


def machine() -> str:
    """Where and with what, in a line."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    parts = [f"{model}, {os.cpu_count()} processors, Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if found := node():
        parts.append(f"node {os.popen(f'{found} --version').read().strip()}")
    load = os.getloadavg()[0]
    return ", ".join(parts) + f"; load {load:.1f} when it ended, {time.strftime('%Y-%m-%d')}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Wardian beside its peers")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {' '.join(SECTIONS)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (default: 5)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="programs whose name contains it")
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args()
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no section {unknown[0]}")
    for name in options.sections or SECTIONS:
        print(f"{name}:", flush=True)
        measure: Callable[[int, list[str]], Section] = getattr(import_module(SECTIONS[name]), FUNCTION.get(name, name))
        section = measure(options.rounds, options.only)
        for caption, table in section.tables:
            print(f"\n{caption}\n{table.markdown()}\n")
        if options.write:
            write(section, machine())


if __name__ == "__main__":
    main()
