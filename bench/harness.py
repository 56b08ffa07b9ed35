"""Interleaved timing: every contestant once a round, medians over the rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def nanoseconds(contestants: Mapping[str, Callable[[int], None]], calls: int, rounds: int = 9) -> dict[str, float]:
    """Median time per call. Each contestant makes as many calls as it is told."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            begin = time.perf_counter_ns()
            run(calls)
            times[name].append((time.perf_counter_ns() - begin) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def table(title: str, found: Mapping[str, float], base: str, unit: str = "ns") -> None:
    """Print medians, and ratios to ``base``."""
    print(f"{title}\n" + "\n".join(f"  {n:<28}{v:>12.1f} {unit}   {v / found[base]:6.2f}x" for n, v in found.items()))
