"""The codec and the frames: any bytes give a value or the codec's own error, and values come back as they were."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.isolation import frames
from wardian.isolation.codec import DEPTH, CodecError, Handle, decode, encode
from wardian.isolation.frames import Kind, Reader

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 510), 1 << 510),
    st.floats(),
    st.binary(max_size=50),
    st.text(st.characters(exclude_categories=[]), max_size=20),
    st.builds(Handle, st.integers(0, (1 << 64) - 1)),
)
VALUES = st.recursive(
    SCALARS,
    lambda v: st.lists(v, max_size=4).map(tuple) | st.dictionaries(st.text(max_size=5), v, max_size=4),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal, types and NaNs included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


@given(VALUES)
def test_values_come_back(value: object) -> None:
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_codecs_error(data: bytes) -> None:
    try:
        value = decode(data)
    except CodecError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_damaged_values_give_a_value_or_the_codecs_error(value: object, data: st.DataObject) -> None:
    raw = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    except CodecError:
        pass


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {1}, 1 << 600, Kind.JOB, bytearray(b"x")], ids=lambda v: type(v).__name__
)
def test_what_has_no_bytes(value: object) -> None:
    with pytest.raises(CodecError):
        encode(value)


def test_depth_is_bounded_both_ways() -> None:
    value: object = None
    for _ in range(DEPTH):
        value = (value,)
    assert decode(encode(value)) == value
    with pytest.raises(CodecError):
        encode((value,))
    with pytest.raises(CodecError):
        decode(b"t\1\0\0\0" * 100_000 + b"n")


def test_a_length_is_not_believed() -> None:
    """No memory is taken for what is not there."""
    for head in (b"b", b"s", b"t", b"m"):
        with pytest.raises(CodecError):
            decode(head + b"\xff\xff\xff\xff")


@given(st.lists(st.tuples(st.sampled_from(Kind), VALUES), max_size=4), st.integers(1, 7))
def test_frames_arrive_in_any_pieces(given_frames: list[tuple[Kind, object]], step: int) -> None:
    stream = b"".join(frames.pack(kind, value) for kind, value in given_frames)
    reader = Reader()
    got = [frame for at in range(0, len(stream), step) for frame in reader.feed(stream[at : at + step])]
    assert [frame.kind for frame in got] == [kind for kind, _ in given_frames]
    assert all(same(frame.value, value) for frame, (_, value) in zip(got, given_frames, strict=True))


@given(st.binary(max_size=100))
def test_any_stream_gives_frames_or_the_codecs_error(data: bytes) -> None:
    try:
        list(Reader(bound=1000).feed(data))
    except CodecError:
        pass


def test_a_frame_beyond_the_bound_is_refused_by_its_head() -> None:
    with pytest.raises(CodecError, match="1001 bytes"):
        list(Reader(bound=1000).feed((1001).to_bytes(8, "little") + b"\x01"))
