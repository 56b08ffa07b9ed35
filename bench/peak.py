"""Peak speed: kernels of our own and programs of the test data, compiled and warm, beside each other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Final

from bench.contest import Time, available, compare, geometric, node, speed, tiers
from bench.program import Program, chosen, manifest, own
from bench.report import Chart, Section, Table, ratio

BASE: Final = "wasmtime"
ARMED: Final = "wasmtime epochs"
METERED: Final = "wasmtime fuel"


def _measure(
    contestants: Sequence[str], base: str, programs: Sequence[Program], rounds: int
) -> list[tuple[Program, dict[str, Time]]]:
    found = []
    for program in programs:
        times = compare(program, contestants, rounds)
        shown = "  ".join(f"{n} {ratio(speed(times, n, base))}" for n in contestants if n != base and n in times)
        print(f"  {program.group:<18}{program.name:<28}{shown}", flush=True)
        found.append((program, times))
    return found


def _section(
    name: str, title: str, text: str, base: str, contestants: Sequence[str],
    found: Sequence[tuple[Program, dict[str, Time]]],
) -> Section:  # fmt: skip
    others = [n for n in contestants if n != base]
    rows, means, bars = [], [], []
    for group in dict.fromkeys(program.group for program, _ in found):
        for program, times in found:
            if program.group == group:
                seconds = f"{times[base].cpu * 1e3:.1f} ms" if base in times else "-"
                rows.append([program.name, group, seconds, *(ratio(speed(times, n, base)) for n in others)])
    groups: list[tuple[str, list[dict[str, Time]]]] = [
        (group, [times for program, times in found if program.group == group])
        for group in dict.fromkeys(program.group for program, _ in found)
    ]
    for group, all_times in [*groups, ("all", [times for _, times in found])]:
        cells, values = [], []
        for n in others:
            speeds = [s for times in all_times if (s := speed(times, n, base)) is not None]
            mean = geometric(speeds)
            values.append(mean if speeds else None)
            cells.append(f"{mean:.2f} ({min(speeds):.2f})" if speeds else "-")
        means.append([group, *cells])
        bars.append((group, values))
    chart = Chart(f"performance-{name}", f"{title}: geometric means, {base} = 1", others, bars)
    programs = Chart(
        f"performance-{name}-programs", f"{title}, {base} = 1", others,
        [(f"{p.name} {'simd' if 'simd' in p.group else ''}", [speed(t, n, base) for n in others]) for p, t in found],
    )  # fmt: skip
    return Section(
        name, title, text,
        [("Geometric means (and the worst program):", Table(["", *others], means)),
         ("Each program:", Table(["program", "group", base, *others], rows))],
        [chart, programs],
    )  # fmt: skip


def peak(rounds: int, only: list[str]) -> Section:
    """Speed relative to Wasmtime's, without and with a deadline."""
    contestants = [*([BASE] if available(BASE) else []), *(f"wardian {t}" for t in tiers())]
    contestants += [*(["node"] if node() else []), "native"]
    with tempfile.TemporaryDirectory() as scratch:
        found = _measure(contestants, BASE, chosen(own() + manifest(scratch), only), rounds)
    return _section(
        "peak", "Peak speed",
        "How many times as fast as Wasmtime (`wasmtime-py`, its defaults) programs run that are compiled and warm, by "
        "CPU time: median of rounds in which every contestant has its turn. Higher is better. *Native* is the same C "
        "built by the same compiler with `-O2 -march=native -ffp-contract=off`: WebAssembly rounds after every "
        "operation. (With fused multiply-add gemm runs 1.8 times as fast natively, vectors 1.3 times.)",
        BASE, contestants, found,
    )  # fmt: skip


def armed(rounds: int, only: list[str]) -> Section:
    """The same with a timeout running."""
    contestants = [*([ARMED] if available(BASE) else []), *(f"wardian {t} armed" for t in tiers())]
    with tempfile.TemporaryDirectory() as scratch:
        programs = [p for p in chosen(own() + manifest(scratch), only) if "simd" not in p.group]
        found = _measure(contestants, ARMED, programs, rounds)
    return _section(
        "armed", "Peak speed with a timeout armed",
        "The same when the guest can be stopped: `timeout=` here (a signal, nothing in the code), epoch interruption "
        "with a tick every 10 ms in Wasmtime.",
        ARMED, contestants, found,
    )  # fmt: skip


def fuel(rounds: int, only: list[str]) -> Section:
    """What counting fuel costs, here and there."""
    contestants = [BASE, METERED] if available(BASE) else []
    for tier in tiers():
        contestants += [f"wardian {tier}", f"wardian {tier} fuel"]
    with tempfile.TemporaryDirectory() as scratch:
        programs = [p for p in chosen(own() + manifest(scratch), only) if "simd" not in p.group]
        found = _measure(contestants, METERED, programs, rounds)
    rows = []
    for plain in (BASE, *(f"wardian {tier}" for tier in tiers())):
        paid = METERED if plain == BASE else f"{plain} fuel"
        costs = [1 / s for _, times in found if (s := speed(times, paid, plain)) is not None]
        if costs:
            rows.append([plain, f"{geometric(costs):.2f}", f"{max(costs):.2f}"])
    section = _section(
        "fuel", "Peak speed with fuel counted",
        "The same when guests pay for what they do: `fuel=` here, `consume_fuel` in Wasmtime.", METERED, contestants,
        found,
    )  # fmt: skip
    costs_table = ("Times as slow as without fuel:", Table(["", "geometric mean", "worst"], rows))
    return section._replace(tables=[costs_table, *section.tables])
