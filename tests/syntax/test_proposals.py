"""docs/proposals.md says of every switch what the engine does."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support import ROOT
from wardian.cli.options import parse_wasm_options
from wardian.compile.baseline.steps import _refuse, live
from wardian.limits import Features
from wardian.syntax.instructions import ROWS

PAGE = ROOT / "docs" / "proposals.md"
COLUMNS = ("feature", "standard", "switch", "`-W`", "default", "instructions", "tiers", "suite", "ours")


def tables() -> list[list[dict[str, str]]]:
    """The page's tables, each row as column -> cell."""
    found: list[list[dict[str, str]]] = []
    head: list[str] = []
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            head = []
        elif not head:
            head = cells
            found.append([])
        elif set(cells) != {"---"}:
            assert len(cells) == len(head), line
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


def switched() -> list[dict[str, str]]:
    return next(rows for rows in tables() if tuple(rows[0]) == COLUMNS)


def test_every_switch_has_one_row() -> None:
    assert [row["switch"].strip("`") for row in switched()] == list(Features.names())


@pytest.mark.parametrize("row", switched(), ids=lambda row: row["switch"].strip("`"))
def test_a_row_says_what_is(row: dict[str, str]) -> None:
    name = row["switch"].strip("`")
    default = getattr(Features(), name)
    assert row["default"] == ("on" if default else "off")
    assert parse_wasm_options([row["`-W`"].strip("`")]) == ({}, {name: not default})
    assert int(row["instructions"]) == Counter(row.feature for row in ROWS)[name]
    assert row["tiers"] == tiers(name)


def tiers(feature: str) -> str:
    """Where instructions of a feature are compiled; the baseline tier leaves functions with others to LLVM."""
    rows = [row for row in ROWS if row.feature == feature]
    known = sum(live()[row.index] is not _refuse for row in rows)
    return "baseline, O0, O2" if known and known == len(rows) else f"baseline ({known}), O0, O2" if known else "O0, O2"


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE.read_text("utf-8"))
    assert links
    assert not [link for link in links if not (PAGE.parent / link).exists()]


def test_suite_patterns_name_files(data: Path) -> None:
    suite = data / "testsuite"
    for row in switched():
        for pattern in re.findall(r"`([^`]+)`", row["suite"]):
            assert [*suite.glob(f"{pattern}.wast"), *suite.glob(f"{pattern}/*.wast")], (row["feature"], pattern)
