"""Limits are numbers, and say so at once."""

from __future__ import annotations

from typing import Any

import pytest

from wardian import Limits


@pytest.mark.parametrize("value", ["64M", None, 1.5, True, b"1"])
def test_only_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match="memory"):
        Limits(memory=value)


@pytest.mark.parametrize("fields", [{"memory": -1}, {"compile_time": -0.5}, {"compile_time": float("nan")}])
def test_nothing_negative(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Limits(**fields)


def test_seconds_may_be_parts() -> None:
    assert Limits(compile_time=0.5).compile_time == 0.5
    assert Limits(compile_time=float("inf")).compile_time == float("inf")
