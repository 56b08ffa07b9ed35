"""The filter as a function: what it makes of what, in any pieces, and that it keeps little."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.terminal.corpus import EVERYTHING
from wardian.terminal import MODES, Filter, Screen
from wardian.terminal import filter as machinery
from wardian.terminal.parser import Parser
from wardian.terminal.text import CONTROLS
from wardian.terminal.wide import MARKS, MOST_MARKS, hidden

FILTERING = ("strict", "color")


def whole(data: bytes, mode: str = "strict", **more: bool) -> bytes:
    made = Filter(mode, **more)  # type: ignore[arg-type]
    return made.feed(data) + made.finish()


@pytest.mark.parametrize(
    ("data", "strict", "color"),
    [
        ("plain text\tand\nlines", None, None),
        ("Größe 中文 😀 e\u0301 ✔️", None, None),
        ("a\r\nb\rc\r", "a\nb␍c␍", "a\nb␍c␍"),
        ("\0\7\b\v\f\16\17\x7f", "␀␇␈␋␌␎␏␡", "␀␇␈␋␌␎␡"),
        ("\x1b[31mred\x1b[0m.", "␛[31mred␛[0m.", "\x1b[0;31mred\x1b[0m."),
        ("\x1b[1;4mtwo\nlines", "␛[1;4mtwo\nlines", "\x1b[0;1;4mtwo\x1b[0m\n\x1b[0;1;4mlines\x1b[0m"),
        ("\x1b[31m\n\n", "␛[31m\n\n", "\n\n"),
        ("\x1b[31mx\n\n\n", "␛[31mx\n\n\n", "\x1b[0;31mx\x1b[0m\n\n\n"),
        ("\x1b[32mok\x1b[K\x1b(B\x1b[m\x0f", "␛[32mok␛[K␛(B␛[m␏", "\x1b[0;32mok\x1b[0m"),
        ("\x1b[8;5;31mx", "␛[8;5;31mx", "\x1b[0;31mx\x1b[0m"),
        ("\x1b[01;38;05;007;48:2::1:2:3mx", "␛[01;38;05;007;48:2::1:2:3mx", "\x1b[0;1;38;5;7;48;2;1;2;3mx\x1b[0m"),
        ("\x1b[31;41mx", "␛[31;41mx", "\x1b[0;31mx\x1b[0m"),
        ("\x1b[2J\x1b]0;t\7", "␛[2J␛]0;t␇", "␛[2J␛]0;t␇"),
        ("a\u202eb\u200b\u009b\U000e0041\ufe01", "a<U+202E>b<U+200B><U+009B><U+E0041><U+FE01>", None),
        ("a\n\u0301b", "a\n<U+0301>b", None),
        ("\x1b[1mx\u0301\x1b[m\u0301y", "␛[1mx\u0301␛[m\u0301y", "\x1b[0;1mx\u0301\x1b[0m<U+0301>y"),
    ],
)
def test_what_becomes_of_what(data: str, strict: str | None, color: str | None) -> None:
    strict = data if strict is None else strict
    assert whole(data.encode()).decode() == strict
    if color is None:
        color = strict
    assert whole(data.encode(), "color").decode() == color
    assert whole(data.encode(), "raw").decode() == data


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a\0b\xc2\x80\x07\x80\xed\xa0\x80\xff\xfe", "a␀b<U+0080>␇\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"),
        (b"\x80" * 4, "\ufffd" * 4),
        (b"\xf0\x80\x80A", "\ufffd\ufffd\ufffdA"),
        (b"\xf4\x80\x80\xc0", "\ufffd\ufffd"),
    ],
)
def test_invalid_utf8(data: bytes, shown: str) -> None:
    assert whole(data).decode() == shown


def test_combining_marks_are_few() -> None:
    shown = whole(("a" + "\u0301" * 10 + "b").encode()).decode()
    assert shown == "a" + "\u0301" * MOST_MARKS + "<U+0301>" * 2 + "b"


def test_floods_are_counted_across_pieces_and_colours() -> None:
    made = Filter("color")
    out = made.feed(b"a") + b"".join(made.feed("\u0301".encode() + b"\x1b[1m") for _ in range(20))
    assert out.decode().count("\u0301") == 1


def test_ascii() -> None:
    made = whole("a\x1bé\u202e".encode(), ascii=True)
    assert made == b"a\\u241b\\xe9<U+202E>"


def test_modes_are_checked() -> None:
    with pytest.raises(ValueError, match="strict, color or raw, not 'colour'"):
        Filter("colour")  # type: ignore[arg-type]
    assert MODES == ("strict", "color", "raw")


def test_streams_of_one_terminal() -> None:
    screen = Screen()
    out, err = Filter("color", screen=screen), Filter("color", screen=screen)
    shown = (
        out.feed(b"\x1b[31mred") + err.feed(b"plain") + out.feed(b"still red\x1b]0;") + err.feed(b"\x1b[32mgreen\x1b[")
    )
    shown += err.finish() + out.finish()
    assert shown.decode() == ("\x1b[0;31mred\x1b[0mplain\x1b[0;31mstill red␛]0;\x1b[0;32mgreen␛[\x1b[0m")


def test_a_stream_cannot_pile_marks_upon_anothers_text() -> None:
    screen = Screen()
    out, err = Filter("strict", screen=screen), Filter("strict", screen=screen)
    shown = b"".join(one.feed("\u0301".encode()) for _ in range(20) for one in (out, err))
    assert "\u0301" not in shown.decode()


def test_pause_gives_the_terminal_away_as_it_was() -> None:
    made = Filter("color")
    assert made.feed(b"\x1b[31mred").endswith(b"red")
    assert made.pause() == b"\x1b[0m"
    assert made.pause() == b""
    assert made.feed(b"red") == b"\x1b[0;31mred"


def test_any_buffer_will_do() -> None:
    for kind in (bytes, bytearray, memoryview):
        made = Filter()
        assert made.feed(kind(b"a\0" * 50_000)) + made.finish() == "a␀".encode() * 50_000


PIECES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(EVERYTHING),
    st.sampled_from(
        [
            b"\x1b[31m",
            b"\x1b[m",
            b"\n",
            b"\r",
            b"\r\n",
            b"text",
            "é".encode(),
            "\u0301".encode() * 7,
            b"\x1b[K",
            b"\x0f",
        ]
    ),
    st.text(max_size=6).map(str.encode),
)
STREAMS = st.lists(PIECES, max_size=12).map(b"".join)


def harmless(output: bytes, mode: str) -> None:
    text = output.decode()
    assert not hidden.search(text)
    for event in Parser().feed(text):
        if event.kind == "csi":
            assert mode == "color" and event.final == "m" and not event.collected
            assert event.data.split(";")[0] == "0"
        elif event.kind == "execute":
            assert event.final in "\t\n"
        else:
            assert event.kind == "print" and not any(ord(char) in CONTROLS for char in event.data)
    without = re.sub("\x1b\\[[0-9;]*m", "", text)
    assert not re.search(f"[{re.escape(chr(0))}]|[\u0300-\u036f]{{{MOST_MARKS + 1}}}", without)
    if mode == "color" and "\x1b" in text:
        assert text.rstrip("\n").rpartition("\x1b")[2].startswith("[0m"), "the usual look at the end"


def ways(made: Filter) -> int:
    """How many ways from one look to another can be reached, however they are held."""
    seen = {id(look): look for look in (made._look, *made._looks.values(), *made._linked)}
    waiting = list(seen.values())
    while waiting:
        for look in waiting.pop().after.values():
            if id(look) not in seen:
                seen[id(look)] = look
                waiting.append(look)
    return sum(len(look.after) for look in seen.values())


def small(made: Filter) -> None:
    """What a filter keeps is bounded."""
    assert len(made._rest) <= machinery._LONGEST + 4
    assert len(made._looks) <= machinery._MOST_TRANSITIONS + 1
    assert ways(made) <= machinery._MOST_TRANSITIONS
    assert made._standins is None or len(made._standins) <= 1 << 13


@given(data=STREAMS, cuts=st.lists(st.integers(0, 200), max_size=20), mode=st.sampled_from(FILTERING))
def test_any_bytes_in_any_pieces(data: bytes, cuts: list[int], mode: str) -> None:
    expected = whole(data, mode)
    harmless(expected, mode)
    made = Filter(mode)  # type: ignore[arg-type]
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    out = b""
    for begin, end in zip([0, *ends], ends, strict=False):
        out += made.feed(data[begin:end])
        small(made)
    assert out + made.finish() == expected


@given(data=STREAMS, mode=st.sampled_from(FILTERING))
def test_byte_by_byte(data: bytes, mode: str) -> None:
    made = Filter(mode)  # type: ignore[arg-type]
    out = b"".join(made.feed(data[at : at + 1]) for at in range(len(data)))
    assert out + made.finish() == whole(data, mode)


@given(streams=st.lists(st.tuples(st.booleans(), PIECES), max_size=12), mode=st.sampled_from(FILTERING))
def test_two_streams_in_any_order(streams: list[tuple[bool, bytes]], mode: str) -> None:
    screen = Screen()
    filters = [Filter(mode, screen=screen) for _ in range(2)]  # type: ignore[arg-type]
    out = b"".join(filters[which].feed(data) for which, data in streams)
    harmless(out + filters[0].finish() + filters[1].finish(), mode)


@given(data=STREAMS)
def test_what_was_filtered_passes(data: bytes) -> None:
    once = whole(data)
    assert whole(once) == once
    assert whole(whole(data, "color"), "color") == whole(data, "color")


def test_memory_is_bounded() -> None:
    made = Filter("color")
    for number in range(20_000):
        made.feed(
            b"\x1b[38;2;%d;%d;%dmx%s" % (number & 255, number >> 8 & 255, number % 7, chr(0x4E00 + number).encode())
        )
        made.feed(b"\x9b\xc2\x85" + chr(0x1F000 + number).encode())
    small(made)


def test_looks_are_forgotten_wherever_they_are_held() -> None:
    made = Filter("color")
    for number in range(30_000):
        # A few looks come again and again, each with new ways to others.
        made.feed(b"\x1b[38;5;%d;4%dmx\x1b[m" % (number % 7, number % 8) + b"\x1b[%d;1mx" % (number % 3000))
    small(made)


def test_sizes_of_the_piece_do_not_matter() -> None:
    data = (b"".join(EVERYTHING) * 3 + b"plain\n" * 500) * 4
    for mode in FILTERING:
        expected = whole(data, mode)
        made = Filter(mode)  # type: ignore[arg-type]
        view = memoryview(data)
        out = b"".join(made.feed(view[at : at + 65_537]) for at in range(0, len(data), 65_537))
        assert out + made.finish() == expected


def test_the_table_of_marks_is_that_of_unicode() -> None:
    known = re.compile(f"[{MARKS}]")
    missing = [
        f"{value:04X}"
        for value in (*range(0x10000), *range(0x10000, 0x1FFFF))
        if unicodedata.category(chr(value)) in ("Mn", "Me")
        and value > 0x10000 - 0x10000 * (unicodedata.unidata_version < "17")
        and not known.match(chr(value))
        and not hidden.match(chr(value))
        and value not in (0x102E0, *range(0x10376, 0x1037B))
    ]
    assert not missing or sys.version_info > (3, 14), missing


def test_default_ignorable_characters_are_hidden() -> None:
    formats = [chr(v) for v in range(0x110000) if unicodedata.category(chr(v)) == "Cf"]
    visible = {*"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
    shown = {char for char in formats if not hidden.match(char)} - visible
    assert {ord(char) >> 8 for char in shown} <= {0x134}, "hieroglyphs are put together by formats that take room"
