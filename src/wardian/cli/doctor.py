"""``wardian doctor``: what this machine offers to the engine and the sandbox, and what is missing.

Invariant: it reports, it changes nothing; every line is something that was looked at just now.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from wardian.cli.options import build_engine
from wardian.cli.report import size

_MAPS_WANTED: Final = 65_530
_RESERVATION: Final = 8 << 30
"""Address space one guarded memory takes, about."""


class Finding(NamedTuple):
    """One line: what was looked at, what was found, and a complaint if something is worse than it should be."""

    what: str
    found: str
    complaint: str | None = None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _python() -> Iterator[Finding]:
    from wardian import __version__

    yield Finding("wardian", __version__)
    implementation = sys.implementation.name
    version = platform.python_version()
    wrong = None if implementation == "cpython" else "only CPython can load the generated calls"
    yield Finding("python", f"{implementation} {version}", wrong)
    from importlib import metadata

    try:
        yield Finding("llvmlite", metadata.version("llvmlite"))
    except metadata.PackageNotFoundError:
        yield Finding("llvmlite", "missing", "nothing new can be compiled: pip install llvmlite")


def _machine() -> Iterator[Finding]:
    tested = (sys.platform, platform.machine()) == ("linux", "x86_64")
    yield Finding(
        "platform",
        f"{platform.system()} {platform.release()} {platform.machine()}",
        None if tested else "the engine was only ever tested on Linux x86-64",
    )
    model = next((line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")), "unknown")
    yield Finding("cpu", f"{model}, {os.cpu_count()} threads")
    guard = None if tested else "guard pages need Linux x86-64 signals; use --checks explicit"
    yield Finding("memory checks", "guard, explicit, masked" if tested else "explicit, masked", guard)


def _cpu_lines() -> list[str]:
    return (_read("/proc/cpuinfo") or "").splitlines()


def _cache() -> Iterator[Finding]:
    cache = build_engine().cache
    path = Path(cache.path or ".")
    nearest = next((parent for parent in (path, *path.parents) if parent.exists()), path)
    writable = os.access(nearest, os.W_OK)
    yield Finding(
        "cache",
        f"{path}, {size(cache.size())}",
        None if writable else f"{nearest} cannot be written, so every run compiles again; WARDIAN_CACHE names another",
    )


def _files() -> Iterator[Finding]:
    from wardian.capability.filesystem.path import KernelResolver, resolver

    kernel = isinstance(resolver(), KernelResolver)
    slow = None if kernel else "paths are walked component by component: as safe, but slower (openat2: Linux 5.6)"
    yield Finding("openat2", "yes" if kernel else "no", slow)


def _limits() -> Iterator[Finding]:
    maps = _read("/proc/sys/vm/max_map_count")
    if maps is not None:
        few = f"{_MAPS_WANTED:,} allow 10,000 instances at once" if int(maps) < _MAPS_WANTED else None
        yield Finding("vm.max_map_count", f"{int(maps):,}", few)
    try:
        import resource
    except ImportError:
        return
    stack, space = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_STACK, resource.RLIMIT_AS))
    shallow = "deep recursion in guests will trap early" if 0 <= stack < 1 << 20 else None
    yield Finding("stack limit", _limit(stack), shallow)
    tight = "too little for guarded memories; use --checks explicit" if 0 <= space < 4 * _RESERVATION else None
    yield Finding("address space limit", _limit(space), tight)


def _layers() -> Iterator[Finding]:
    """What --isolate puts around a guest's process, as a worker has just found it."""
    from wardian.errors import Refused
    from wardian.isolation.policy import LAYERS, Isolation
    from wardian.sandbox.isolated import probe

    try:
        layers = probe(build_engine().config.cache_path())
    except Refused as error:
        yield Finding("isolation", "no", str(error))
        return
    for layer in layers:
        what = f"{'on ' if layer.on else 'off'}  {LAYERS[layer.name]}"
        tolerable = layer.on or Isolation().accepts(layer.name)
        reason = f" ({layer.detail})" if layer.detail else ""
        complaint = f"{layer.detail}; --accept-missing {layer.name} runs without"
        yield Finding(layer.name, what + reason, None if tolerable else complaint)


def _limit(value: int) -> str:
    return "none" if value < 0 else size(value)


def _profiles() -> Iterator[Finding]:
    """What --profile stands for."""
    from wardian.api.profile import PROFILES

    for profile in PROFILES.values():
        chosen = ", ".join(f"{name} {value}" for name, value, _ in profile.rows() if value != "default")
        yield Finding(f"profile {profile.name}", chosen, None)


SECTIONS: Final[tuple[Callable[[], Iterator[Finding]], ...]] = (
    _python,
    _machine,
    _cache,
    _files,
    _limits,
    _layers,
    _profiles,
)


def main(argv: list[str]) -> int:
    argparse.ArgumentParser(
        prog="wardian doctor",
        description="Look at Python, the machine, the cache and the limits, and say what is missing. "
        "The exit code is 1 if anything is.",
        allow_abbrev=False,
    ).parse_args(argv)
    complaints = 0
    for section in SECTIONS:
        for finding in section():
            print(f"{finding.what:<20} {finding.found}")
            if finding.complaint:
                complaints += 1
                print(f"{'':<20} ! {finding.complaint}")
    return 1 if complaints else 0
