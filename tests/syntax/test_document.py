"""docs/instructions.md says what the instruction table says."""

from __future__ import annotations

from tests.support import ROOT
from wardian.syntax.document import text


def test_the_document_is_the_table() -> None:
    """To make it say so: ``python -m wardian.syntax.document > docs/instructions.md``."""
    assert (ROOT / "docs" / "instructions.md").read_text() == text()
