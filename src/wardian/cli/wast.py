"""``wardian wast``: run scripts of the specification's suite, and count what holds."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from wardian.cli.options import (
    ENGINE_OPTIONS,
    build_engine,
    parse_checks,
    parse_level,
    parse_spectre,
    parse_wasm_options,
)
from wardian.cli.report import CliError, explain, plural, safe, say
from wardian.errors import MalformedError

if TYPE_CHECKING:
    from wardian.api.engine import Engine
    from wardian.cli.scripts import Outcome, Spectest

_SWITCHES: Final = "switch features, as wardian run does: -W multi-memory=n"

_EXAMPLES: Final = """\
examples:
  wardian wast i32.wast                     what fails, and how many commands held
  wardian wast -O2 --checks guard suite/    every .wast below a folder, in one of the modes
  wardian wast --quiet suite/*.wast         only the totals

The exit code is 0 if every command of every script did what it says."""


def _files(names: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = Path(name)
        found += sorted(path.rglob("*.wast")) if path.is_dir() else [path]
    if not found:
        raise CliError(f"there is no .wast below {', '.join(names)}")
    return found


def _spectest(engine: Engine) -> Spectest:
    from wardian.cli.scripts import Spectest

    return Spectest(engine)


def _run(engine: Engine, spectest: Spectest, path: Path) -> Outcome | None:
    """The outcome of one script; ``None`` if it could not be read, which has been said then."""
    from wardian.cli.scripts import Script

    try:
        return Script(engine, spectest).run(path.read_bytes())
    except OSError as error:
        explain(CliError(f"{path}: cannot be read: {error.strerror}"))
    except MalformedError as error:
        say(f"error: {path}: {safe(str(error))}")
    return None


def _describe(path: Path, outcome: Outcome, seconds: float, most: int) -> None:
    failed = len(outcome.failures)
    print(f"{path}: {outcome.total - failed:,} of {outcome.total:,} hold ({seconds:.2f} s)")
    for failure in outcome.failures[:most]:
        print(f"  {path}:{failure.line}: {failure.kind}: {safe(failure.message)}")
    if failed > most:
        print(f"  ... {plural(failed - most, 'more failure')}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian wast",
        description="Run scripts in the specification's .wast format: modules, calls and assertions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="scripts, or folders to look for them in")
    parser.add_argument("-q", "--quiet", action="store_true", help="name only files with failures")
    parser.add_argument("--failures", type=int, default=20, metavar="N", help="show so many per file (default: 20)")
    parser.add_argument("-W", dest="wasm", metavar="KEY", action="append", default=[], help=_SWITCHES)
    parser.add_argument("--lazy", action="store_true", help="validate functions when they are first called")
    for option in ENGINE_OPTIONS:
        option.add_to(parser)
    options = parser.parse_args(argv)
    settings, switches = parse_wasm_options(options.wasm)
    if settings:
        raise CliError(f"-W {next(iter(settings))} has no meaning for scripts", hint=_SWITCHES, code=2)
    level, checks = parse_level(options.optimize), parse_checks(options.checks)
    spectre = parse_spectre(options.spectre)
    worlds: dict[tuple[tuple[str, bool], ...], tuple[Engine, Spectest]] = {}

    def world(path: Path) -> tuple[Engine, Spectest]:
        """An engine, with the suite's host module, for what scripts where ``path`` lies assume."""
        from wardian.cli.scripts import assumed

        chosen = {**assumed(path.resolve().parent.as_posix()), **switches}
        key = tuple(sorted(chosen.items()))
        if key not in worlds:
            engine = build_engine(
                level=level,
                checks=checks,
                spectre=spectre,
                shared_memory=True,
                cache=False,
                lazy=options.lazy,
                switches=chosen,
            )
            worlds[key] = engine, _spectest(engine)
        return worlds[key]

    held: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    unread = 0
    begin = perf_counter()
    files = _files(options.files)
    for path in files:
        start = perf_counter()
        outcome = _run(*world(path), path)
        if outcome is None:
            unread += 1
            continue
        held.update(outcome.passed)
        lost.update(failure.kind for failure in outcome.failures)
        if outcome.failures or not options.quiet:
            _describe(path, outcome, perf_counter() - start, options.failures)
    _totals(len(files), held, lost, perf_counter() - begin)
    return 1 if lost or unread else 0


def _totals(files: int, held: Counter[str], lost: Counter[str], seconds: float) -> None:
    print(
        f"{plural(files, 'file')}, {held.total():,} of {held.total() + lost.total():,} commands hold, {seconds:.1f} s"
    )
    for kind in sorted(held.keys() | lost.keys()):
        missing = f", {lost[kind]:,} fail" if lost[kind] else ""
        print(f"  {kind:<22}{held[kind]:>8,}{missing}")
