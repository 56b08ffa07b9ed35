"""Integers and names: every boundary, every error with its words and its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.binary import writer
from wardian.binary.reader import Reader, signed, unsigned
from wardian.errors import LimitExceeded, MalformedError
from wardian.limits import Limits

END = "unexpected end of section or function"


def reader(raw: bytes, **kwargs: object) -> Reader:
    return Reader(raw, 0, len(raw), **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "bits", "value"),
    [
        ("00", 32, 0),
        ("7f", 32, 127),
        ("8001", 32, 128),
        ("8000", 32, 0),
        ("8080808000", 32, 0),
        ("ffffffff0f", 32, 0xFFFF_FFFF),
        ("ffffffffffffffffff01", 64, 0xFFFF_FFFF_FFFF_FFFF),
    ],
)
def test_unsigned(raw: str, bits: int, value: int) -> None:
    data = bytes.fromhex(raw)
    assert unsigned(data, 0, len(data), bits) == (value, len(data))


@pytest.mark.parametrize(
    ("raw", "bits", "value"),
    [
        ("00", 32, 0),
        ("7f", 32, -1),
        ("40", 32, -64),
        ("c000", 32, 64),
        ("ff7f", 32, -1),
        ("ffffffff7f", 32, -1),
        ("ffffffff07", 32, 0x7FFF_FFFF),
        ("8080808078", 32, -0x8000_0000),
        ("ffffffff0f", 33, 0xFFFF_FFFF),
        ("8080808070", 33, -0x1_0000_0000),
        ("8080808080808080807f", 64, -0x8000_0000_0000_0000),
        ("ffffffffffffffffff00", 64, 0x7FFF_FFFF_FFFF_FFFF),
    ],
)
def test_signed(raw: str, bits: int, value: int) -> None:
    data = bytes.fromhex(raw)
    assert signed(data, 0, len(data), bits) == (value, len(data))


@pytest.mark.parametrize(
    ("raw", "bits", "message", "offset"),
    [
        ("", 32, END, 0),
        ("80", 32, END, 1),
        ("80808080", 32, END, 4),
        ("808080808000", 32, "integer representation too long", 0),
        ("8080808080", 32, "integer representation too long", 0),
        ("8080808010", 32, "integer too large", 0),
        ("8080808090", 32, "integer too large", 0),
        ("80808080808080808002", 64, "integer too large", 0),
        ("8080808080808080808000", 64, "integer representation too long", 0),
    ],
)
def test_bad_unsigned(raw: str, bits: int, message: str, offset: int) -> None:
    data = bytes.fromhex(raw)
    with pytest.raises(MalformedError) as caught:
        unsigned(data, 0, len(data), bits)
    assert (caught.value.message, caught.value.offset) == (message, offset)


@pytest.mark.parametrize(
    ("raw", "bits", "message"),
    [
        ("", 32, END),
        ("ff", 64, END),
        ("808080808000", 32, "integer representation too long"),
        ("8080808008", 32, "integer too large"),
        ("ffffffff6f", 32, "integer too large"),
        ("ffffffff77", 32, "integer too large"),
        ("8080808010", 33, "integer too large"),
        ("80808080808080808001", 64, "integer too large"),
        ("ffffffffffffffffff7e", 64, "integer too large"),
    ],
)
def test_bad_signed(raw: str, bits: int, message: str) -> None:
    data = bytes.fromhex(raw)
    with pytest.raises(MalformedError) as caught:
        signed(data, 0, len(data), bits)
    assert caught.value.message == message


@given(st.integers(0, 2**64 - 1))
def test_unsigned_round_trip(value: int) -> None:
    out = bytearray(b"?")
    writer.unsigned(out, value)
    assert unsigned(bytes(out), 1, len(out), 64) == (value, len(out))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_round_trip(value: int) -> None:
    out = bytearray(b"?")
    writer.signed(out, value)
    assert signed(bytes(out), 1, len(out), 64) == (value, len(out))


@given(st.binary(max_size=12), st.sampled_from([7, 32, 33, 64]))
def test_any_bytes_are_an_integer_in_range_or_malformed(raw: bytes, bits: int) -> None:
    for read, low, high in ((unsigned, 0, 2**bits), (signed, -(2 ** (bits - 1)), 2 ** (bits - 1))):
        try:
            value, pos = read(raw, 0, len(raw), bits)
        except MalformedError:
            continue
        assert low <= value < high
        assert 0 < pos <= len(raw)


def test_cursor_integers() -> None:
    r = reader(bytes.fromhex("05 8001 7f ff7f 8001 40"))
    assert [r.u32(), r.u32(), r.s32(), r.s64(), r.u64(), r.s33()] == [5, 128, -1, -1, 128, -64]
    assert r.pos == r.end


def test_a_bound_inside_the_source_is_kept() -> None:
    r = Reader(b"\x80\x80\x01", 0, 2)
    with pytest.raises(MalformedError) as caught:
        r.u32()
    assert caught.value.offset == 2
    r = Reader(b"abc", 1, 1)
    for read in (r.byte, r.u32, lambda: r.skip(1)):
        with pytest.raises(MalformedError) as caught:
            read()
        assert (caught.value.message, caught.value.offset) == (END, 1)


@pytest.mark.parametrize(
    ("raw", "message", "offset"),
    [
        (b"\x05abc", "length out of bounds", 0),
        (b"\x02a\xff", "malformed UTF-8 encoding", 2),
        (b"\x03\xed\xa0\x80", "malformed UTF-8 encoding", 1),
        (b"\x02\xc0\x80", "malformed UTF-8 encoding", 1),
        (b"\x04\xf4\x90\x80\x80", "malformed UTF-8 encoding", 1),
    ],
)
def test_bad_names(raw: bytes, message: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        reader(raw).name()
    assert (caught.value.message, caught.value.offset) == (message, offset)


@given(st.text())
def test_names_round_trip(text: str) -> None:
    out = bytearray()
    writer.name(out, text)
    assert reader(bytes(out)).name() == text


def test_a_count_is_checked_before_anybody_allocates_by_it() -> None:
    with pytest.raises(MalformedError, match=END):
        reader(bytes.fromhex("ffffffff0f 00")).count("types")
    with pytest.raises(LimitExceeded) as caught:
        reader(b"\x03abc", limits=Limits(types=4)).count("types", 2)
    assert caught.value.limit == "types"
    assert reader(b"\x03abc", limits=Limits(types=5)).count("types", 2) == 3
