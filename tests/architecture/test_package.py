"""pyproject.toml, README and the checks agree with each other."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from typing import Any

import wardian
from tests.architecture.tree import ROOT, sources


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


def _compiled() -> list[str]:
    """The modules that setup.py may compile, as paths in the package."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    found = [n.value for n in tree.body if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "COMPILED"]
    return [f"{name}.py" for name in ast.literal_eval(ast.unparse(found[0]))]  # type: ignore[arg-type]


def test_what_is_compiled_exists_and_can_be() -> None:
    """A record finds its fields in ``__annotations__`` and keeps them in ``__dict__``, and native classes have neither:
    it belongs in a module that is not compiled."""
    by_path = {source.path: source for source in sources()}
    assert set(_compiled()) <= set(by_path)
    records = [
        f"{path}:{node.lineno} {node.name}"
        for path in _compiled()
        for node in ast.walk(by_path[path].tree)
        if isinstance(node, ast.ClassDef) and {"Record", "Entity", "Fields"} & {ast.unparse(b) for b in node.bases}
    ]
    assert not records, f"records in modules that setup.py compiles (move the record or take out the module): {records}"
