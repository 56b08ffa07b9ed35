"""expected.toml: what of the suite is known to be left, each row with its reason, and strict."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from wardian.cli.scripts import Failure

PATH = Path(__file__).with_name("expected.toml")


class Row(NamedTuple):
    """One row: the files it is about, why, and what may fail there.

    ``lines`` are the very commands that fail; without them the file as a whole is not supported, so some command
    must fail and any may. ``modes`` limits the row to modes that match one of the patterns.
    """

    files: tuple[str, ...]
    reason: str
    lines: tuple[int, ...] = ()
    modes: tuple[str, ...] = ("*",)

    def covers(self, file: str, mode: str) -> bool:
        named = any(fnmatchcase(file, pattern) for pattern in self.files)
        return named and any(fnmatchcase(mode, pattern) for pattern in self.modes)


def _row(entry: dict[str, Any]) -> Row:
    return Row(tuple(entry["files"]), entry["reason"], tuple(entry.get("lines", ())), tuple(entry.get("modes", ("*",))))


@cache
def rows() -> tuple[Row, ...]:
    return tuple(map(_row, tomllib.loads(PATH.read_text()).get("expect", ())))


def differences(file: str, mode: str, failures: list[Failure]) -> list[str]:
    """What is not as the list says: failures nobody expects, and expected ones that did not come."""
    mine = [row for row in rows() if row.covers(file, mode)]
    failed = {failure.line for failure in failures}
    known = {line for row in mine for line in row.lines}
    wholesale = [row for row in mine if not row.lines]
    found = [] if wholesale else [str(failure) for failure in failures if failure.line not in known]
    found += [f"line {line}: passes, but is listed as failing" for line in sorted(known - failed)]
    if wholesale and not failures:
        found.append(f"the whole file passes, but is listed as not supported: {wholesale[0].reason}")
    return found
