"""docs/isolation.md says what the policy's rows say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import ROOT
from wardian.isolation.document import tables
from wardian.isolation.policy import LAYERS, RULES
from wardian.pages import renew, renewed

PAGE = ROOT / "docs" / "isolation.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text, tables()) == text, "run: python -m wardian.isolation.document docs/isolation.md"


def test_every_row_is_in_it() -> None:
    assert all(f"`{name}`" in tables() for name in LAYERS)
    assert all(f"`{name}`" in tables() for rule in RULES for name in rule.calls.split())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- generated: begin --> before <!-- generated: end -->\nb\n")
    assert renew([str(page)], tables) == 0 and tables() in page.read_text() and " before " not in page.read_text()
    assert renew([], tables) == 0 and capsys.readouterr().out == tables()
    with pytest.raises(ValueError):
        renewed("no marks", tables())
