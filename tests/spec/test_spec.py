"""The specification's own suite, file by file, in every mode, bodies validated eagerly and lazily.

``legacy/`` is left out: it is the superseded encoding of exceptions, no part of WebAssembly 3.0.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import wardian
from tests.spec.expected import differences, rows
from tests.support import MODES, NO_DATA, QUICK_MODE, Mode, data_root
from wardian.cli.scripts import Script, Spectest, assumed
from wardian.text.script import Unreadable, commands

SECONDS = 300
"""No script takes a tenth of this."""


def _files() -> list[str]:
    root = data_root()
    if root is None:
        return []
    suite = root / "testsuite"
    found = (path.relative_to(suite) for path in suite.rglob("*.wast"))
    return sorted(path.as_posix() for path in found if path.parts[0] != "legacy")


def _name(mode: Mode, lazy: bool) -> str:
    return f"{mode}-lazy" if lazy else str(mode)


def _cases() -> list[object]:
    """Every file in the quick mode, and in the others, and validated lazily, as slow tests."""
    cases: list[object] = [
        pytest.param(
            file,
            mode,
            lazy,
            id=f"{file}-{_name(mode, lazy)}",
            marks=() if mode == QUICK_MODE and not lazy else pytest.mark.slow,
        )
        for mode in MODES
        for lazy in (False, True)
        for file in _files()
    ]
    return cases or [pytest.param("", QUICK_MODE, False, id="no-data", marks=pytest.mark.skip(NO_DATA))]


@cache
def _engine(mode: Mode, lazy: bool, folder: str) -> tuple[wardian.Engine, Spectest]:
    features = wardian.Features().__replace__(**assumed(folder))
    engine = wardian.Engine(mode.config(cache=False, features=features, lazy=lazy))
    return engine, Spectest(engine)


@pytest.fixture
def deadline() -> Iterator[None]:
    """End the process, with every thread's stack, should a script hang: nothing less stops a loop in compiled code."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize(("file", "mode", "lazy"), _cases())
def test_script(file: str, mode: Mode, lazy: bool, data: Path, record_property: Callable[[str, object], None]) -> None:
    engine, spectest = _engine(mode, lazy, file.rpartition("/")[0])
    outcome = Script(engine, spectest).run((data / "testsuite" / file).read_bytes())
    name = _name(mode, lazy)
    record_property("spec", [name, {"passed": outcome.passed.total(), "failed": len(outcome.failures)}])
    found = differences(file, name, outcome.failures)
    assert not found, f"{len(found)} differences\n" + "\n".join(found[:30])


def test_every_command_is_read(data: Path) -> None:
    unread = [
        f"{file}:{command.line}: {command.error}"
        for file in _files()
        if not file.startswith("proposals/custom-descriptors/")
        for command in commands((data / "testsuite" / file).read_bytes())
        if isinstance(command, Unreadable)
    ]
    assert not unread, unread


def test_every_row_names_files_and_a_reason(data: Path) -> None:
    files = _files()
    for row in rows():
        assert row.reason
        for pattern in row.files:
            covered = [
                file for file in files if row._replace(files=(pattern,), modes=("*",)).covers(file, str(QUICK_MODE))
            ]
            assert covered, f"{pattern} names no file"
