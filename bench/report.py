"""Tables for people: the same rows as Markdown and on a terminal, and bars as SVG. docs/performance.md has a part per
section between markers, and only that part is rewritten."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
COLOURS: Final = ("#3a6ea5", "#d98c3f", "#5a9a68", "#a05a8c", "#8c8c8c")


class Table(NamedTuple):
    """``rows`` of cells; the first column is text, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Columns are padded, so that it reads well unrendered."""
        rows = [list(self.header), *map(list, self.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.header))]

        def line(row: Sequence[str]) -> str:
            cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            return "| " + " | ".join(cells) + " |"

        rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
        return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


class Chart(NamedTuple):
    """Bars: per label one per series; ``None`` is left out. A line is drawn at ``mark``."""

    name: str
    title: str
    series: Sequence[str]
    bars: Sequence[tuple[str, Sequence[float | None]]]
    mark: float = 1.0

    def svg(self) -> str:
        """Horizontal bars, on a scale that ends at the longest, at most six times the mark."""
        bar, gap, left, width = 9, 8, 190, 520
        top = min(max((v for _, vs in self.bars for v in vs if v), default=1.0), 6 * self.mark)
        scale = width / top
        block = bar * len(self.series) + gap
        height = 58 + block * len(self.bars)
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" '
            'font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text x="8" y="16" font-size="13" font-weight="bold">{escape(self.title)}</text>',
        ]
        at = 8
        for i, name in enumerate(self.series):
            out.append(f'<rect x="{at}" y="26" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>')
            out.append(f'<text x="{at + 14}" y="35">{escape(name)}</text>')
            at += 30 + 7 * len(name)
        y = 46.0
        for label, values in self.bars:
            out.append(f'<text x="{left - 6}" y="{y + block / 2}" text-anchor="end">{escape(label)}</text>')
            for i, value in enumerate(values):
                if value is None:
                    continue
                length = min(value, top) * scale
                colour = COLOURS[i % len(COLOURS)]
                out.append(
                    f'<rect x="{left}" y="{y + i * bar}" width="{length:.1f}" height="{bar - 1}" fill="{colour}"/>'
                )
                out.append(f'<text x="{left + length + 3:.1f}" y="{y + i * bar + 8}" font-size="9">{value:.2f}</text>')
            y += block
        x = left + self.mark * scale
        out.append(f'<line x1="{x:.1f}" y1="44" x2="{x:.1f}" y2="{y}" stroke="#000" stroke-dasharray="3,3"/>')
        return "\n".join([*out, "</svg>", ""])


class Section(NamedTuple):
    """One section's outcome: a sentence or two of what was measured, tables with captions, charts."""

    name: str
    title: str
    text: str
    tables: Sequence[tuple[str, Table]]
    charts: Sequence[Chart] = ()

    def markdown(self) -> str:
        parts = [f"## {self.title}", self.text]
        parts += [f"![{chart.title}]({chart.name}.svg)" for chart in self.charts]
        for caption, table in self.tables:
            parts += [*([caption] if caption else []), table.markdown()]
        return "\n\n".join(parts)


PAGES: Final = MappingProxyType({"choices": "security.md"})
"""Sections that do not stand in docs/performance.md."""


def write(section: Section, machine: str) -> None:
    """Put the section in place of its earlier self in its page (or at the end), and its charts beside it."""
    path = DOCS / PAGES.get(section.name, "performance.md")
    begin, end = f"<!-- begin {section.name} -->", f"<!-- end {section.name} -->"
    part = f"{begin}\n{section.markdown()}\n\n*{machine}*\n{end}"
    text = path.read_text()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    text = pattern.sub(lambda _: part, text) if pattern.search(text) else f"{text.rstrip()}\n\n{part}\n"
    path.write_text(text)
    for chart in section.charts:
        (DOCS / f"{chart.name}.svg").write_text(chart.svg())


def ratio(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"
