"""The benchmark's own parts: what it writes is what it found, and a section replaces only itself."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.contest import Time, geometric, speed, tiers
from bench.program import Program, chosen
from bench.report import Chart, Section, Table


def test_tables_are_padded() -> None:
    assert Table(["", "a"], [["x", "10"], ["long", "1"]]).markdown().splitlines() == [
        "|      |  a |",
        "|------|---:|",
        "| x    | 10 |",
        "| long |  1 |",
    ]


def test_charts_are_xml_and_leave_out_what_is_unknown() -> None:
    chart = Chart("c", "speed & <size>", ["one", "two"], [("a<b", [1.5, None]), ("c", [0.5, 20.0])])
    root = ElementTree.fromstring(chart.svg())
    values = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"speed & <size>", "a<b", "1.50", "0.50", "20.00"} <= set(values)


def test_a_section_replaces_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "DOCS", tmp_path)
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nBefore.\n")
    for value in ("1", "2"):
        for name in ("one", "two"):
            table = Table(["", "n"], [[name, value]])
            report.write(Section(name, name.title(), "Text.", [("", table)], [Chart(name, name, ["s"], [])]), "here")
    text = page.read_text()
    assert text.startswith("# Performance\n\nBefore.\n\n<!-- begin one -->\n## One\n")
    assert text.count("| one | 2 |") == text.count("| two | 2 |") == 1 and "| 1 |" not in text
    assert (tmp_path / "one.svg").is_file()


def test_speeds() -> None:
    times = {"ours": Time(2.0, 1.0), "theirs": Time(2.0, 3.0)}
    assert speed(times, "ours", "theirs") == 3.0
    assert speed(times, "nobody", "theirs") is None
    assert geometric([2.0, 8.0]) == pytest.approx(4.0)
    assert math.isnan(geometric([]))


def test_programs_travel_as_text() -> None:
    program = Program("sg/x", "g", "/x.wasm", (1, "a"), dirs=(("/h", "."),), env=(("K", "V"),), seconds=9.0)
    assert Program.decode(program.encode()) == program
    assert chosen([program], []) == [] and chosen([program], ["x"]) == [program]


def test_tiers_are_those_of_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDIAN_BENCH_TIERS", raising=False)
    assert "O2" in tiers()
    monkeypatch.setenv("WARDIAN_BENCH_TIERS", "O2,nonsense")
    assert tiers() == ["O2"]
