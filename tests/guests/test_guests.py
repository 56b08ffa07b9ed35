"""Real programs print exactly what they should: every mode, compiled afresh and from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

import wardian
from tests.guests.manifest import Entry, check, entries, run
from tests.support import MODES, NO_DATA, QUICK_MODE, Mode

QUICK = frozenset(
    "sg/noop sg/shootout-shootout-keccak sg/shootout-shootout-base64 sg/shootout-shootout-switch sg/quicksort "
    "sg/tinygo-tinygo-regex w3/c-ray-small w3/smallpt-mv".split()
)
"""Entries small enough for a quick run, in the quick mode; everything else is slow."""


def _cases() -> list[object]:
    cases: list[object] = [
        pytest.param(
            entry,
            mode,
            id=f"{entry['id']}-{mode}",
            marks=() if mode == QUICK_MODE and entry["id"] in QUICK else pytest.mark.slow,
        )
        for stage in ("foundation", "exact", "files")
        for entry in entries(stage)
        for mode in MODES
    ]
    return cases or [pytest.param({}, QUICK_MODE, id="no-data", marks=pytest.mark.skip(NO_DATA))]


@pytest.mark.parametrize(("entry", "mode"), _cases())
def test_prints_what_it_should(entry: Entry, mode: Mode, data: Path, tmp_path: Path) -> None:
    def engine() -> wardian.Engine:
        config = mode.config(cache=tmp_path / "cache", lazy=True)
        return wardian.Engine(config)

    for round_ in ("cold", "cached"):
        scratch = tmp_path / round_
        scratch.mkdir()
        chosen = engine()
        check(entry, run(entry, data, scratch, chosen))
        chosen.flush()
        assert chosen.cache.size() > 0, "nothing was cached"
