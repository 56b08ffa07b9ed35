"""The targets of coverage-guided fuzzing, on what to begin with, on what once showed a fault, and on some noise.

Needs no atheris; :mod:`tests.fuzz.coverage` is where it is used.
"""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from itertools import islice

import pytest

from tests.fuzz.coverage import CORPUS, TARGETS, kept, load
from tests.support import ROOT

NOISE = 60
"""Damaged seeds of each target."""


def _damaged(data: bytes, chance: random.Random) -> bytes:
    raw = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(raw)) if raw else 0
        what = chance.randrange(4)
        if what == 0 and raw:
            raw[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            raw[at:at] = chance.randbytes(chance.choice((1, 4)))
        elif what == 2:
            del raw[at : at + chance.choice((1, 3))]
        else:
            raw[at : at + 1] = chance.choice((b"\xff\xff\xff\xff\x0f", b"\0", b"\x7f", b"\x80"))
    return bytes(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings(name: str) -> None:
    target = load(name)
    assert target.__doc__ is not None
    seeds = list(target.seeds())
    assert seeds
    chance = random.Random(9)
    noise = (_damaged(chance.choice(seeds), chance) for _ in range(NOISE))
    for data in (b"", b"\0", *seeds, *(path.read_bytes() for path in kept(name)), *noise):
        target.run(data)


@pytest.mark.parametrize("name", [name for name in TARGETS if hasattr(load(name), "mutate")])
def test_mutations_keep_to_what_the_target_takes(name: str) -> None:
    target, chance = load(name), random.Random(3)
    for data in islice(target.seeds(), 0, None, 10):
        for _ in range(4):
            data = target.mutate(data, 4096, chance, lambda piece, most: _damaged(piece, chance)[:most])[:4096]
            target.run(data)


def test_a_finding_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is not None, reason="atheris is installed")
def test_without_atheris_it_says_so() -> None:
    command = [sys.executable, "-m", "tests.fuzz.coverage", "binary", "--minutes", "0.01"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "atheris is not installed" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("name", TARGETS)
def test_with_atheris_for_a_moment(name: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz.coverage", name, "--minutes", "0.1", "-runs=2000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
