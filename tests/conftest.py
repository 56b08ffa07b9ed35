"""Fixtures and the closing summary that every test room shares."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.support import GLUE, NO_DATA, data_root


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of foreign test data; the test is skipped where there is none."""
    found = data_root()
    if found is None:
        pytest.skip(NO_DATA)
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="tests marked thorough are not slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before what ``-m`` leaves out is left out."""
    if not config.getoption("--thorough"):
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker("slow")


def pytest_configure(config: pytest.Config) -> None:
    """A folder for the glue of this run's processes, which are workers and what tests start."""
    if GLUE not in os.environ:
        os.environ[GLUE] = folder = tempfile.mkdtemp(prefix="wardian-glue-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    """What thousands of collected tests are made of need not be looked through at every collection of garbage."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the specification's tests recorded (record_property "spec": mode, outcome -> commands)."""
    totals: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "spec" and getattr(report, "when", "") == "call":
                    mode, counts = value
                    totals.setdefault(mode, Counter()).update(counts)
    if totals:
        terminalreporter.section("the specification's suite, commands")
    for mode, counts in sorted(totals.items()):
        terminalreporter.write_line(f"{mode:<18}" + "  ".join(f"{what} {n:,}" for what, n in sorted(counts.items())))
