"""The list of what went wrong elsewhere is complete, and every test it names is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache

import pytest

from tests.escape.advisories import LAST, PARTS, ROWS, tables
from tests.support import ROOT
from wardian.pages import renewed

PAGE = ROOT / "docs" / "advisories.md"


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_number_is_there_once() -> None:
    numbers = [row.number for row in ROWS]
    assert numbers == list(range(1, len(ROWS) + 1)) and len(ROWS) > LAST
    assert [first for _, first in PARTS] == sorted(first for _, first in PARTS)
    assert len({row.what for row in ROWS}) == len(ROWS)


def test_every_row_has_a_test_or_a_reason() -> None:
    assert not [row.number for row in ROWS if not row.tests and not row.reason]
    missing = []
    for row in ROWS:
        for test in row.tests:
            path, _, name = test.partition("::")
            if not name.startswith("test_") or name not in _tests_of(path):
                missing.append((row.number, test))
    assert not missing, missing


@pytest.mark.slow
def test_every_test_is_collected() -> None:
    nodes = sorted({f"tests/{test}" for row in ROWS for test in row.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *nodes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    collected = {line.partition("[")[0] for line in done.stdout.splitlines()}
    assert set(nodes) <= collected


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text, tables()) == text, "run: python -m tests.escape.advisories docs/advisories.md"
