"""Coverage-guided fuzzing of what takes bytes from strangers: ``python -m tests.fuzz.coverage TARGET --minutes N``.

Needs atheris (``pip install atheris``), which is no dependency of the tests: what it found is kept under ``corpus/``
and run by ``test_targets.py`` without it. A target is a module of ``tests/fuzz/targets`` with a function ``run(data)``
that raises on what must not happen, and ``seeds()``; maybe also ``mutate``, a mutation that knows the format.

Imports nothing of the package: that has to be loaded while atheris watches.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

TARGETS: Final = ("binary", "text", "custom", "wasi", "artifact", "protocol", "terminal")
HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"
"""Inputs that once showed a fault, a folder for each target."""
SECONDS: Final = 20
"""Longer than this no input of :data:`LENGTH` bytes may take, under instrumentation and on a busy machine."""
LENGTH: Final = 4096
MEGABYTES: Final = 2048


def load(name: str) -> ModuleType:
    """The module of a target."""
    return importlib.import_module(f"tests.fuzz.targets.{name}")


def kept(name: str) -> Iterable[Path]:
    """The regression inputs of a target."""
    return sorted((CORPUS / name).glob("*"))


def _instrumented(name: str) -> tuple[Any, ModuleType]:
    """atheris, and the target with the package under its eyes. Raises ``SystemExit``."""
    try:
        import atheris
    except ImportError:
        raise SystemExit(
            "atheris is not installed (pip install atheris); test_targets.py runs the corpus without"
        ) from None
    with atheris.instrument_imports(include=["wardian"]):
        return atheris, load(name)


def _mutator(target: ModuleType, atheris: Any) -> Callable[[bytes, int, int], bytes]:
    def change(data: bytes, most: int) -> bytes:
        changed: bytes = atheris.Mutate(data, most)  # looked up now: atheris puts another function there when it starts
        return changed

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        changed: bytes = target.mutate(data, most, random.Random(seed), change)
        return changed[:most]

    return mutated


def fuzz(name: str, minutes: float, folder: Path, more: list[str]) -> None:
    """Fuzz until the time is over or something is found; never returns."""
    atheris, target = _instrumented(name)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [*target.seeds(), *(path.read_bytes() for path in kept(name))]
    for number, data in enumerate(inputs):
        if len(data) <= LENGTH:
            (folder / f"seed-{number}").write_bytes(data)
    flags = [
        f"-max_total_time={int(60 * minutes)}", f"-max_len={LENGTH}", f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}", "-print_final_stats=1", f"-artifact_prefix={folder.parent}/{name}-",
    ]  # fmt: skip
    own = {"custom_mutator": _mutator(target, atheris)} if hasattr(target, "mutate") else {}
    atheris.Setup([sys.argv[0], *flags, *more, str(folder)], target.run, **own)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--folder", type=Path, help="where the inputs are kept that reach something new")
    parser.add_argument("--input", type=Path, help="run this one input only, without atheris")
    options, more = parser.parse_known_args()
    if options.input is not None:
        load(options.target).run(options.input.read_bytes())
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="wardian-fuzz-"))
    fuzz(options.target, options.minutes, folder / options.target, more)


if __name__ == "__main__":
    main()
