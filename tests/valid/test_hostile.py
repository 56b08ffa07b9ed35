"""Bytes made to cost time or memory: each module here is small, and each must be done with in a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.valid.build import END, I32, Built, func_type, leb, module, section, vec, with_body
from wardian.binary.decode import decode
from wardian.errors import InvalidError, WardianError
from wardian.valid.driver import validate

WIDE = bytes([I32]) * 1000


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """CPU time, so that a busy machine fails nothing; each bound is many times what is needed."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


def accept(built: Built) -> None:
    validate(decode(built.source))


def test_a_huge_br_table() -> None:
    with within(5):
        accept(with_body(b"\0\x0e" + leb(500_000) + bytes(500_001) + END))


def test_many_huge_br_tables_to_wide_labels() -> None:
    wide = func_type(results=WIDE)
    blocks = 60
    table = b"\0\x0e" + leb(1000) + b"".join(leb(i % blocks) for i in range(1000)) + leb(0)
    with within(5):
        accept(with_body(b"\x02\1" * blocks + table * 200 + (b"\0\x0b\0" * blocks) + END, func_type(), wide))


def test_many_locals_in_many_functions() -> None:
    body = b"\1" + leb(50_000) + b"\x7f\x0b"
    count = 20_000
    source = module(
        section(1, vec(func_type())),
        section(3, leb(count) + b"\0" * count),
        section(10, leb(count) + (leb(len(body)) + body) * count),
    )
    with within(10):
        validate(decode(source))


def test_many_runs_of_locals() -> None:
    with within(5):
        accept(with_body((b"\x20" + leb(40_000) + b"\x1a") * 10_000 + END, locals_=leb(50_000) + b"\1\x7f" * 50_000))


def test_wide_blocks_in_unreachable_code() -> None:
    with within(10):
        accept(with_body(b"\0" + b"\x02\0\0\x0b" * 20_000 + END, func_type(WIDE)))


def test_wide_structures_in_unreachable_code() -> None:
    struct = b"\x5f" + vec(*[b"\x7f\0"] * 10_000)
    for instruction in (b"\xfb\0\1\x1a", b"\xfb\1\1\x1a"):
        with within(5):
            accept(with_body(b"\0" + instruction * 50_000 + END, func_type(), struct))


def test_results_pile_up_to_a_bound() -> None:
    with within(5), pytest.raises(WardianError, match="operands"):
        accept(with_body(b"\x02\0\0\x0b" * 100_000 + b"\0" + END, func_type(results=WIDE)))


def test_a_message_stays_short() -> None:
    with pytest.raises(InvalidError) as caught:
        accept(with_body(b"\x0c\0" + END, func_type(results=WIDE)))
    assert len(str(caught.value)) < 10_000


def test_one_recursion_group_of_many_types() -> None:
    group = b"\x4e" + vec(*[b"\x50\0\x5f" + vec(b"\x63\0\1")] * 50_000)
    source = module(section(1, vec(group)))
    with within(10):
        ctx = validate(decode(source))
        assert len({ctx.types.key(i) for i in range(50_000)}) == 50_000


@pytest.mark.parametrize("nested", [b"\x02\x40", b"\x03\x40", b"\x1f\x40\1\2\0"])
def test_deep_nesting(nested: bytes) -> None:
    with within(5):
        accept(with_body(nested * 49_999 + END * 50_000))
