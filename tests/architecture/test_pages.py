"""Generated pages: what stands between the marks is replaced, the rest stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.pages import renew, renewed


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- generated: begin --> before <!-- generated: end -->\nb\n")
    assert renew([str(page)], lambda: "| new |") == 0
    assert page.read_text() == "a\n<!-- generated: begin -->\n\n| new |\n<!-- generated: end -->\nb\n"
    assert renew([], lambda: "| new |") == 0
    assert capsys.readouterr().out == "| new |"


@pytest.mark.parametrize("text", ["", "no marks", "<!-- generated: begin -->", "<!-- generated: end -->"])
def test_marks_are_needed(text: str) -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed(text, "| new |")
