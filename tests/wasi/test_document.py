"""docs/wasi.md says what the rows say."""

from __future__ import annotations

from tests.support import ROOT
from wardian.pages import renewed
from wardian.wasi.p1.document import tables
from wardian.wasi.p1.table import FUNCTIONS

PAGE = ROOT / "docs" / "wasi.md"


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert renewed(text, tables()) == text, "run: python -m wardian.wasi.p1.document docs/wasi.md"


def test_every_function_is_in_it() -> None:
    assert all(f"`{row.name}`" in tables() for row in FUNCTIONS)
