"""What the hostile tests share: guests in every mode, expected traps, and scenarios in a process of their own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

import wardian
from tests.support import ROOT, Mode, assemble, share_glue

GUARD = 2 << 30
"""What :mod:`wardian.vm.memory` keeps inaccessible behind the 4 GiB of an index."""

PAGE = 65536


@functools.cache
def engine(mode: Mode) -> wardian.Engine:
    """One engine per mode, without a cache: guests are compiled by this process."""
    features = wardian.Features(custom_page_sizes=True)
    choices: Any = {"opt": mode.opt, "checks": mode.checks, "spectre": mode.spectre}
    config = wardian.Config(cache=False, features=features, shared_memory=True, **choices)
    return share_glue(wardian.Engine(config))


@functools.lru_cache(maxsize=64)
def module(text: str, mode: Mode) -> wardian.Module:
    return wardian.Module(assemble(text), engine(mode))


def make(text: str, mode: Mode, imports: Mapping[str, Mapping[str, object]] | None = None, **more: Any) -> Any:
    """The exports of a new instance of a module in text format."""
    return module(text, mode).instantiate(imports or {}, **more).exports


@contextmanager
def traps(code: str) -> Iterator[None]:
    """The block must end with a trap of this code."""
    with pytest.raises(wardian.Trap) as caught:
        yield
    assert caught.value.code == code, str(caught.value)


def child(scenario: Callable[..., None], *args: object, timeout: float = 120, expect: int = 0) -> str:
    """Run a function of a test module in a fresh process, which must end with status ``expect``; what it printed.

    So a crash is one failed test, not the end of all.
    """
    source = f"import sys\nfrom {scenario.__module__} import {scenario.__name__} as run\nrun(*{args!r})\n"
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", "from tests.support import Mode\n" + source],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == expect, f"status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
