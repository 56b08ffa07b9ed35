"""pyproject.toml, README and the checks agree with each other."""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

import wardian
from tests.architecture.tree import ROOT


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_dev_extra_and_the_dev_group_are_one_list() -> None:
    project = _project()
    assert project["project"]["optional-dependencies"]["dev"] == project["dependency-groups"]["dev"]


def test_llvmlite_is_the_only_dependency() -> None:
    names = [re.split(r"[<>=!~ \[;]", need)[0] for need in _project()["project"]["dependencies"]]
    assert names == ["llvmlite"]


def test_one_version() -> None:
    assert _project()["project"]["version"] == wardian.__version__


def test_readme_gives_the_command_that_ci_runs() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert re.search(r"(?m)^\./test$", readme), "README does not show ./test"
    assert re.search(r"(?m)^\./test\b", ci), ".ci/run does not run ./test"
    assert os.access(ROOT / "test", os.X_OK) and os.access(ROOT / ".ci" / "run", os.X_OK)
