"""Scripts of our own, in the specification's format so that other engines can judge them, in every mode."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

import wardian
from tests.support import Mode, level_params
from wardian.cli.scripts import Script, Spectest

FILES = sorted(Path(__file__).parent.glob("*.wast"))


@cache
def _engine(mode: Mode) -> tuple[wardian.Engine, Spectest]:
    features = wardian.Features(custom_page_sizes=True)
    config = mode.config(cache=False, features=features)
    engine = wardian.Engine(config)
    return engine, Spectest(engine)


@pytest.mark.parametrize("mode", level_params())
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_script(file: Path, mode: Mode) -> None:
    outcome = Script(*_engine(mode)).run(file.read_bytes())
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    assert outcome.passed
