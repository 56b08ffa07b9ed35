"""An outside oracle, wasm-tools, gives the same verdict on random, generated and damaged modules."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.spec.convert import convert
from tests.support import EVERYTHING, wasm_tools
from tests.valid.bodies import Bodies
from wardian.binary.body import instructions, locals_of
from wardian.binary.decode import decode
from wardian.errors import BadInput, WardianError
from wardian.limits import Features
from wardian.valid.driver import validate

# Ours, in wasm-tools' words.
FEATURES = (
    "-all,mutable-global,saturating-float-to-int,sign-extension,reference-types,multi-value,bulk-memory,simd,"
    "relaxed-simd,threads,tail-call,multi-memory,memory64,extended-const,function-references,gc,exceptions,"
    "wide-arithmetic,custom-page-sizes,floats,gc-types"
)
SMITH = (
    "gc exceptions tail-call simd relaxed-simd threads memory64 multi-value reference-types bulk-memory "
    "saturating-float-to-int sign-extension-ops extended-const wide-arithmetic custom-page-sizes"
).split()
NOT_OURS = ("compact-imports", "custom-descriptors", "shared-everything-threads")
SCRIPTS = ("br_on_cast", "try_table", "array", "struct", "br_table", "call_ref", "local_init", "table_copy64", "select")

OFTEN = (
    b"\0\x0b\x0c\x0d\x0f\x1a\x1b\x20\x21\x22\xd1\xd3\xd4\xd5\xd6\xfb\x40\x63\x64\x69\x6a\x6b\x6c\x6d\x6e\x6f\x70\x71"
)
"""Bytes that mean much: opcodes and types."""


def ours(source: bytes) -> tuple[bool, str]:
    try:
        validate(decode(source, EVERYTHING), EVERYTHING)
    except BadInput as error:
        return False, f"{error!r}"
    return True, "valid"


def theirs(source: bytes) -> tuple[bool, str]:
    command = [*wasm_tools(), "validate", f"--features={FEATURES}", "-"]
    done = subprocess.run(command, input=source, capture_output=True, check=False)
    return done.returncode == 0, done.stderr.decode(errors="replace").strip()


def agree(source: bytes, counts: Counter[bool] | None = None) -> None:
    mine, why = ours(source)
    other, because = theirs(source)
    assert mine == other, f"{why} / {because}\n{source.hex()}"
    if counts is not None:
        counts[mine] += 1


def smith(seed: int) -> bytes:
    """A valid module of every feature; empty where wasm-tools makes nothing of the seed."""
    raw = Random(seed).randbytes(20_000)
    switches = [f"--{name}-enabled=true" for name in SMITH] + [f"--{name}-enabled=false" for name in NOT_OURS]
    bounds = ["--max-memories=3", "--max-tables=3", "--max-instructions=60", "--min-funcs=2", "--min-types=6"]
    command = [*wasm_tools(), "smith", *switches, *bounds, "--allow-start-export=false"]
    return subprocess.run(command, input=raw, capture_output=True, check=False).stdout


def damaged(random: Random, source: bytes) -> bytes:
    """``source`` with one to three bytes changed, mostly where instructions and their immediates begin."""
    out = bytearray(source)
    spots = _instruction_offsets(random, source)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = random.randrange(8, len(out)) if not spots or random.random() < 0.2 else random.choice(spots)
        at = min(at + random.choice((0, 0, 1, 2)), len(out) - 1)
        out[at] = random.choice((random.randrange(8), random.randrange(256), random.choice(OFTEN), out[at] ^ 1))
    return bytes(out)


def _instruction_offsets(random: Random, source: bytes) -> list[int]:
    module = decode(source, EVERYTHING)
    if not module.bodies:
        return []
    start, end = random.choice(module.bodies)
    _, pos = locals_of(source, start, end)
    return [offset for offset, _, _ in instructions(source, pos, end, Features())]


def check_bodies(seed: int, count: int) -> None:
    bodies = Bodies(seed)
    counts: Counter[bool] = Counter()
    for _ in range(count):
        agree(bodies.module(), counts)
    assert counts[True] and counts[False]


def check_smith(seeds: range, mutants: int) -> None:
    for seed in seeds:
        source = smith(seed)
        if len(source) <= 8:
            continue
        assert ours(source) == (True, "valid")
        random = Random(seed)
        for _ in range(mutants):
            agree(damaged(random, source))


def valid_modules(data: Path, name: str) -> list[bytes]:
    script = convert(data / "testsuite" / f"{name}.wast")
    return [script.module(command) for command in script.commands if command["type"] == "module"]


def test_random_bodies() -> None:
    check_bodies(1, 60)


def test_generated_modules() -> None:
    check_smith(range(6), 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_random_bodies(seed: int) -> None:
    check_bodies(seed, 300)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 200, 10))
def test_many_generated_modules(first: int) -> None:
    check_smith(range(first, first + 10), 12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_damaged_modules_of_the_suite(name: str, data: Path) -> None:
    random = Random(name)
    modules = valid_modules(data, name)
    for _ in range(60):
        agree(damaged(random, random.choice(modules)))


@pytest.mark.slow
def test_any_bytes_give_a_verdict(data: Path) -> None:
    """Much damage, no oracle: nothing but our own errors may come out."""
    random = Random(7)
    modules = [module for name in SCRIPTS for module in valid_modules(data, name)]
    for _ in range(5000):
        source = random.choice(modules)
        for _ in range(random.randrange(1, 6)):
            source = damaged_anywhere(random, source)
        try:
            validate(decode(source, EVERYTHING), EVERYTHING)
        except WardianError:
            continue


def damaged_anywhere(random: Random, source: bytes) -> bytes:
    at = random.randrange(8, len(source))
    size = random.choice((0, 1, 1, 1, 2))
    return source[:at] + random.randbytes(random.choice((0, 1, 1, 1, 2))) + source[at + size :]
