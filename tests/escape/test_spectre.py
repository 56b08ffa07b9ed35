"""The probe of :mod:`tests.escape.spectre` runs, and masks leave it nothing. What leaks without them depends on the
machine, so nothing is said of that here."""

from __future__ import annotations

import pytest

import wardian
from tests.escape import spectre

BYTES = 8


@pytest.mark.parametrize(
    "level", ["basic", pytest.param("full", marks=pytest.mark.slow), pytest.param("off", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("opt", ["O2", "baseline"])
def test_masks_leave_nothing(opt: str, level: str) -> None:
    if spectre.compiler() is None:
        pytest.skip("the probe's native helper needs a C compiler and clflush")
    config = wardian.Config(opt=opt, checks="explicit", spectre=level, cache=False)  # type: ignore[arg-type]
    outcome = spectre.probe(config, size=BYTES, rounds=50)
    assert outcome.total == BYTES
    if level != "off":
        # Chance finds a byte in 32 tries; two of eight in one run of a thousand.
        assert outcome.right < 3
