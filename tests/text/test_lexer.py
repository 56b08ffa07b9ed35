"""Tokens, their places, strings, identifiers, comments and annotations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.errors import MalformedError
from wardian.text.identifiers import quoted, quoted_text
from wardian.text.lexer import Cursor, Source, unescape


def tokens(text: str) -> list[str]:
    source = Source(text)
    return [token for token in Cursor(source, 0, len(text)).toks if token]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(a b)c", ["(", "a", "b", ")", "c"]),
        (";;x\na;;y\rb;;z\r\nc", ["a", "b", "c"]),
        ("a(;x(;y;);;z;)b", ["a", "b"]),
        ('"a""b" "c;;d" "(;"', ['"a""b"', '"c;;d"', '"(;"']),
        ('$"a b"x', ['$"a b"x']),
        (r'"\"\\" a', [r'"\"\\"', "a"]),
        ('(@note a (b) ")" ;;)\n) c', ["c"]),
        ("(@a (@b)) (@c(@(@)))d", ["d"]),
        ("a,b;c", ["a", ",", "b", ";", "c"]),
    ],
)
def test_tokens(text: str, found: list[str]) -> None:
    assert tokens(text) == found


@given(st.binary())
def test_any_bytes_as_a_string(content: bytes) -> None:
    assert unescape(quoted(content)) == content


@given(st.text())
def test_any_text_as_a_string(text: str) -> None:
    assert unescape(quoted_text(text)).decode("utf-8") == text


@pytest.mark.parametrize(
    ("token", "content"),
    [
        (r'"\t\n\r\"\'\\"', b"\t\n\r\"'\\"),
        (r'"\00\fF\Aa"', b"\0\xff\xaa"),
        (r'"\u{48}\u{1_F600}"', "H\U0001f600".encode()),
        (r'"\\n"', b"\\n"),
        (r'"\\\\"', b"\\\\"),
        ('"ä"', "ä".encode()),
    ],
)
def test_escapes(token: str, content: bytes) -> None:
    assert unescape(token) == content


@pytest.mark.parametrize(
    "token", [r'"\x"', r'"\0"', r'"\u{110000}"', r'"\u{d800}"', r'"\u{}"', r'"\u41"', '"\t"', r'"\0g"']
)
def test_no_escapes(token: str) -> None:
    with pytest.raises(ValueError, match="illegal"):
        unescape(token)


def test_places() -> None:
    source = Source("ab\r\n\tcd\n\n  ef\rgh")
    assert source.place(source.text.index("cd"))[:2] == (2, 2)
    assert source.place(source.text.index("ef"))[:2] == (4, 3)
    assert source.place(source.text.index("gh"))[:2] == (5, 1)
    assert source.place(source.text.index("ef"))[2] == "  ef\n  ^"


def test_a_long_line_is_shown_in_part() -> None:
    source = Source("x" * 5000 + "!" + "y" * 5000)
    line, caret = source.place(5000)[2].split("\n")
    assert len(line) < 200
    assert line[caret.index("^")] == "!"


def test_the_excerpt_is_safe_to_print() -> None:
    with pytest.raises(MalformedError) as caught:
        Source("(\x1b[31m)").fail(2, "x")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b" in caught.value.excerpt


def test_places_count_comments_and_annotations() -> None:
    text = "(func (;two\nlines;) (@note\n) nop)"
    cur = Cursor(Source(text), 0, len(text))
    assert cur.toks[2] == "nop"
    assert cur.offset(2) == text.index("nop")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(;", "unclosed comment"),
        ("(; (; ;)", "unclosed comment"),
        ("(a", "unexpected token"),
        ("(@a (b)", "unclosed annotation"),
        ('(a "b', "unclosed string"),
        ('(a $"b', "empty identifier"),
        ('(@"b\n")', "empty annotation id"),
        ("a", "unknown operator"),
        (")", "unexpected token"),
        ("\0", "illegal character"),
        ("ä", "illegal character"),
    ],
)
def test_what_cannot_be_cut_into_groups(text: str, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        source = Source(text)
        list(source.groups(0, len(text)))
    assert caught.value.message.startswith(words)
    assert caught.value.line is not None


@pytest.mark.parametrize("given", [b"(\xff)", b"\xc3", "(\ud800)"])
def test_not_utf8(given: str | bytes) -> None:
    with pytest.raises(MalformedError, match=r"^malformed UTF-8 encoding at line 1"):
        Source(given)


def test_the_place_of_what_is_not_utf8() -> None:
    with pytest.raises(MalformedError) as caught:
        Source("ä\r\nö".encode() + b"x\xff")
    assert (caught.value.line, caught.value.column) == (2, 3)
