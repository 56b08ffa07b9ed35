"""Which function an address of machine code belongs to, while code comes and goes."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.escape.guest import module
from tests.support import MODES
from wardian.runtime import process as home


def test_code_that_goes_while_other_code_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's collector may run, and unmap code, in the middle of mapping."""
    process = module('(module (func (export "f")))', MODES[0]).engine.process
    make = home.CodeRange

    def collecting(*facts: Any) -> home.CodeRange:
        gc.collect(0)
        return make(*facts)

    monkeypatch.setattr(home, "CodeRange", collecting)
    kept = []
    for i in range(60):
        size = 64 * (1 + i % 5)
        region = process.map_code(b"\x90" * size, [(at, 60, i) for at in range(0, size, 64)], lambda: None)
        regions = [*kept, (region, size, i)]
        for address, length, index in regions:
            for at in range(0, length, 64):
                found = process.find_code(int(address) + at + 60)
                assert found is not None
                assert found.index == index
        if i % 3 == 0:
            kept.append(regions[-1])
        regions.append(regions)  # type: ignore[arg-type]
        del region, regions, address
