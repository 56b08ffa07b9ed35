"""The soak (``python -m tests.soak``), in small: every behaviour, here and over a pool; and that it can fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests import soak
from tests.support import GLUE


@pytest.mark.thorough
def test_every_behaviour_in_one_process() -> None:
    counts, _ = soak.soak(300, cache=os.environ[GLUE], opt="O0")
    assert len(counts) >= 20 and min(counts.values()) >= 1
    soak.soak(100, threads=3, cache=os.environ[GLUE], opt="O0")


def test_every_behaviour_over_a_pool() -> None:
    counts, _ = soak.soak(50, pool=2, cache=os.environ[GLUE])
    assert len(counts) >= 20


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "pool", "threads"), [(40_000, 0, 0), (20_000, 0, 4), (2_000, 2, 0)])
def test_many(runs: int, pool: int, threads: int) -> None:
    soak.soak(runs, pool, threads, seed=2, cache=os.environ[GLUE])


def grown(**by: Callable[[int], int]) -> list[soak.Sample]:
    """What would be seen of a process that grows so, in each hundredth of a million runs."""
    flat: dict[str, Any] = {"resident": 100 << 20, "descriptors": 6, "mappings": 200, "threads": 2, "children": 0}
    flat = {name: lambda runs, value=value: value for name, value in flat.items()}
    rows = {**flat, **by}
    return [soak.Sample(n, **{name: row(n) for name, row in rows.items()}) for n in range(10_000, 1_000_001, 10_000)]


def test_it_fails_for_what_grows() -> None:
    soak.judge(grown())
    soak.judge(grown(resident=lambda runs: (100 << 20) + min(runs, 200_000) * 100))  # It warms up.
    soak.judge(grown(descriptors=lambda runs: 6 + runs // 10_000 % 3))
    for leak in (
        {"resident": lambda runs: (100 << 20) + 24 * runs},
        {"descriptors": lambda runs: 6 + runs // 100_000},
        {"mappings": lambda runs: 200 + runs // 10_000},
        {"threads": lambda runs: 2 + runs // 200_000},
        {"children": lambda runs: 2 + runs // 200_000},
    ):
        with pytest.raises(soak.Failure, match=r"grows|there are more"):
            soak.judge(grown(**leak))


def test_it_fails_for_a_wrong_result() -> None:
    def end(*args: int) -> wardian.RunResult:
        return wardian.run(
            b'(module (func (export "f") (param i32) (result i32) (i32.div_s (i32.const 8) (local.get 0))))',
            args, invoke="f", engine=wardian.Engine(wardian.Config("O0", cache=False)),
        )  # fmt: skip

    soak.check("one", 1, soak.Ended(values=(4,)), lambda: end(2))
    soak.check("two", 2, soak.Ended("trapped", 134, trap="integer_divide_by_zero"), lambda: end(0))
    soak.check("three", 3, soak.Raised(TypeError), end)
    for want, call in (
        (soak.Ended(values=(5,)), lambda: end(2)),
        (soak.Ended("trapped", 134, trap="unreachable"), lambda: end(0)),
        (soak.Raised(ValueError), end),
        (soak.Raised(TypeError, {"args": (1,)}), end),
        (soak.Raised(TypeError), lambda: end(2)),
    ):
        with pytest.raises(soak.Failure):
            soak.check("wrong", 4, want, call)
