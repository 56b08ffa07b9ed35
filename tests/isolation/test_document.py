"""docs/isolation.md says what the policy's rows say."""

from __future__ import annotations

from tests.support import ROOT
from wardian.isolation.document import tables
from wardian.isolation.policy import LAYERS, RULES
from wardian.pages import renewed

PAGE = ROOT / "docs" / "isolation.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text, tables()) == text, "run: python -m wardian.isolation.document docs/isolation.md"


def test_every_row_is_in_it() -> None:
    assert all(f"`{name}`" in tables() for name in LAYERS)
    assert all(f"`{name}`" in tables() for rule in RULES for name in rule.calls.split())
