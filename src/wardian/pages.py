"""Pages of the documentation of which a part is made from the rows of a table: between two marks.

Imports nothing of the package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

BEGIN: Final = "<!-- generated: begin -->"
END: Final = "<!-- generated: end -->"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def renewed(text: str, tables: str) -> str:
    """``text`` with what stands between the two marks replaced. Raises ``ValueError`` if a mark is missing."""
    before, mark, rest = text.partition(BEGIN)
    _, other, after = rest.partition(END)
    if not mark or not other:
        raise ValueError(f"the marks {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def renew(arguments: list[str], tables: Callable[[], str]) -> int:
    """Renew the files named, or write the tables to standard output: an exit code."""
    if not arguments:
        sys.stdout.write(tables())
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text("utf-8"), tables()), "utf-8")
    return 0
