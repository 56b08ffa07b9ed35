"""Whole programs: they are valid, and told so quickly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support import NO_DATA, data_root
from wardian.binary.decode import decode
from wardian.valid.driver import validate
from wardian.valid.module import validate_module


def _guests() -> list[str]:
    root = data_root()
    if root is None:
        return []
    folders = [root / name for name in ("guests", "bench", "wasi-testsuite")]
    return sorted(path.relative_to(root).as_posix() for folder in folders for path in folder.rglob("*.wasm"))


@pytest.mark.slow
@pytest.mark.parametrize("guest", _guests() or [pytest.param("", marks=pytest.mark.skip(NO_DATA))])
def test_guest_is_valid(guest: str, data: Path) -> None:
    validate(decode((data / guest).read_bytes()))


def test_a_big_module_is_checked_without_its_bodies_in_a_moment(data: Path) -> None:
    path = data / "guests" / "python-3.12.0.wasm"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    module = decode(path.read_bytes())
    start = time.process_time()
    validate_module(module)
    # Measured: 0.02 s. Ten times that is still no burden on a start, and no busy machine fails here.
    assert time.process_time() - start < 0.2
