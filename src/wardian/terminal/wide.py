"""What a character beyond ASCII may be on a terminal: passed, or shown as its number; and how many may be on top of it.

Sources: Unicode's ``Default_Ignorable_Code_Point``, ``Bidi_Control`` and general categories ``Mn`` and ``Me`` (Unicode
16). A module of its own, since its tables take some milliseconds and most programs write ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from wardian.terminal.text import code

MOST_MARKS: Final = 8
"""Combining marks on one base; natural languages need about half of that, floods of them hide neighbouring lines."""

_HIDDEN_BMP: Final = (
    "\x80-\x9f"  # C1: the eight-bit spellings of CSI, OSC, DCS...; NEL
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufff8"  # ignorable: no glyph
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi: text that reads in another order than it was written in
    "\u200b-\u200d\u2060-\u2065\u206a-\u206f"  # zero width
    "\u2028\u2029\ufff9-\ufffb"  # separators of lines and of annotations
    "\ufdd0-\ufdef\ufffe\uffff"  # noncharacters
)
_HIDDEN_ASTRAL: Final = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # tags, selectors...

_NONCHARACTERS: Final = "".join(f"{chr(plane - 2)}{chr(plane - 1)}" for plane in range(2 << 16, 18 << 16, 1 << 16))

_hidden_bmp: Final = re.compile(f"[{_HIDDEN_BMP}]")
_hidden_astral: Final = re.compile(f"[{_HIDDEN_ASTRAL}{_NONCHARACTERS}]")
astral: Final = re.compile("[\U00010000-\U0010ffff]")
hidden: Final = re.compile(f"[{_HIDDEN_BMP}{_HIDDEN_ASTRAL}{_NONCHARACTERS}]")

_MARKS: Final = """\
0300-034e 0350-036f 0483-0489 0591-05bd 05bf 05c1-05c2 05c4-05c5 05c7 0610-061a 064b-065f 0670 06d6-06dc
06df-06e4 06e7-06e8 06ea-06ed 0711 0730-074a 07a6-07b0 07eb-07f3 07fd 0816-0819 081b-0823 0825-0827 0829-082d
0859-085b 0897-089f 08ca-08e1 08e3-0902 093a 093c 0941-0948 094d 0951-0957 0962-0963 0981 09bc 09c1-09c4 09cd
09e2-09e3 09fe 0a01-0a02 0a3c 0a41-0a42 0a47-0a48 0a4b-0a4d 0a51 0a70-0a71 0a75 0a81-0a82 0abc 0ac1-0ac5
0ac7-0ac8 0acd 0ae2-0ae3 0afa-0aff 0b01 0b3c 0b3f 0b41-0b44 0b4d 0b55-0b56 0b62-0b63 0b82 0bc0 0bcd 0c00 0c04
0c3c 0c3e-0c40 0c46-0c48 0c4a-0c4d 0c55-0c56 0c62-0c63 0c81 0cbc 0cbf 0cc6 0ccc-0ccd 0ce2-0ce3 0d00-0d01
0d3b-0d3c 0d41-0d44 0d4d 0d62-0d63 0d81 0dca 0dd2-0dd4 0dd6 0e31 0e34-0e3a 0e47-0e4e 0eb1 0eb4-0ebc 0ec8-0ece
0f18-0f19 0f35 0f37 0f39 0f71-0f7e 0f80-0f84 0f86-0f87 0f8d-0f97 0f99-0fbc 0fc6 102d-1030 1032-1037 1039-103a
103d-103e 1058-1059 105e-1060 1071-1074 1082 1085-1086 108d 109d 1161-11ff 135d-135f 1712-1714 1732-1733
1752-1753 1772-1773 17b7-17bd 17c6 17c9-17d3 17dd 1885-1886 18a9 1920-1922 1927-1928 1932 1939-193b 1a17-1a18
1a1b 1a56 1a58-1a5e 1a60 1a62 1a65-1a6c 1a73-1a7c 1a7f 1ab0-1b03 1b34 1b36-1b3a 1b3c 1b42 1b6b-1b73 1b80-1b81
1ba2-1ba5 1ba8-1ba9 1bab-1bad 1be6 1be8-1be9 1bed 1bef-1bf1 1c2c-1c33 1c36-1c37 1cd0-1cd2 1cd4-1ce0 1ce2-1ce8
1ced 1cf4 1cf8-1cf9 1dc0-1dff 20d0-20f0 2cef-2cf1 2d7f 2de0-2dff 302a-302d 3099-309a a66f-a672 a674-a67d
a69e-a69f a6f0-a6f1 a802 a806 a80b a825-a826 a82c a8c4-a8c5 a8e0-a8f1 a8ff a926-a92d a947-a951 a980-a982 a9b3
a9b6-a9b9 a9bc-a9bd a9e5 aa29-aa2e aa31-aa32 aa35-aa36 aa43 aa4c aa7c aab0 aab2-aab4 aab7-aab8 aabe-aabf aac1
aaec-aaed aaf6 abe5 abe8 abed d7b0-d7ff fb1e fe0e-fe0f fe20-fe2f"""

_MARKS_BMP: Final = "".join("-".join(rf"\u{end}" for end in part.split("-")) for part in _MARKS.split())
_MARKS_ASTRAL: Final = (
    "\U000101fd-\U00011fff\U00016af0-\U00016fff\U0001bc9d\U0001bc9e\U0001cf00-\U0001cf46"
    "\U0001d165-\U0001d244\U0001da00-\U0001daaf\U0001e000-\U0001e94a"
)
MARKS: Final = _MARKS_BMP + _MARKS_ASTRAL
"""The inside of a character class: what takes no room of its own but is drawn upon the character before. Exact in the
first plane; beyond it these are the blocks such characters lie in, and :func:`is_mark` decides."""

_mark_astral: Final = re.compile(f"[{_MARKS_ASTRAL}]")
_mark_bmp: Final = re.compile(f"[{_MARKS_BMP}]")
_flood_bmp: Final = re.compile(f"[{_MARKS_BMP}]{{{MOST_MARKS + 1},}}")
_baseless: Final = re.compile(f"\n[{MARKS}]+")
_leading: Final = re.compile(f"[{MARKS}]+")
_flood: Final = re.compile(f"[{MARKS}]{{{MOST_MARKS + 1},}}")


def is_mark(char: str) -> bool:
    """Is ``char``, of the class :data:`MARKS`, really drawn upon the character before?"""
    if char < "\U00010000":
        return True
    from unicodedata import category

    return category(char) in ("Mn", "Me")


def stack(run: str, before: int) -> str:
    """A run of :data:`MARKS`, ``before`` of which stand already on the base, with those too many as stand-ins."""
    if before >= MOST_MARKS and len(run) == 1:
        return code(run) if is_mark(run) else run
    codes = _Codes()
    if astral.search(run) is None:
        room = max(0, MOST_MARKS - before)
        return run[:room] + "".join(map(codes.__getitem__, run[room:]))
    real = {char: is_mark(char) for char in {*run}}
    shown = []
    for char in run:
        before = before + 1 if real[char] else 0
        shown.append(char if before <= MOST_MARKS else codes[char])
    return "".join(shown)


def beyond(text: str) -> str:
    """The characters of ``text`` beyond the first plane, each once.

    FAST: regular expressions that look for those are slow, and hardly a text has many different ones.
    """
    return "".join({*astral.findall(text)})


def without_lead(text: str, before: int) -> str:
    """``text`` with those marks at its beginning as stand-ins that are too many upon a character with ``before``."""
    lead = _leading.match(text)
    return stack(lead[0], before) + text[lead.end() :] if lead else text


def trailing(text: str) -> int:
    """How many marks ``text`` ends with, at most :data:`MOST_MARKS`."""
    count = 0
    for char in reversed(text[-MOST_MARKS:]):
        if not (_leading.match(char) and is_mark(char)):
            break
        count += 1
    return count


def without_floods(text: str) -> str:
    """``text`` with at most :data:`MOST_MARKS` marks in a row, and none that begins a line, the others as stand-ins."""
    text = _baseless.sub(lambda match: "\n" + stack(match[0][1:], MOST_MARKS), text)
    # FAST: classes that reach beyond the first plane are slow, and hardly a text needs them.
    if _mark_astral.search(beyond(text)):
        return _flood.sub(_stacked, text)
    return _flood_bmp.sub(_stacked, text) if _mark_bmp.search(text) else text


def _stacked(match: re.Match[str]) -> str:
    return stack(match[0], 0)


def without_hidden(text: str, table: Callable[[str], str]) -> str:
    """``text`` with what :data:`hidden` finds as stand-ins; ``table`` is the lookup of :class:`Standins`.

    FAST: looking for them is quick where there are few, and looking up every character where there are many.
    """
    most = 16 + len(text) // 32
    text, found = _hidden_bmp.subn(_coded, text, most)
    if found < most and _hidden_astral.search(beyond(text)):
        text, found = _hidden_astral.subn(_coded, text, most)
    return "".join(map(table, text)) if found == most else text


def _coded(match: re.Match[str]) -> str:
    return code(match[0])


class _Codes(dict[str, str]):
    """Character -> :func:`code`."""

    def __missing__(self, char: str) -> str:
        self[char] = shown = code(char)
        return shown


class Standins(dict[str, str]):
    """Character -> what is shown for it, filled as characters come by. Bounded."""

    def __missing__(self, char: str) -> str:
        if len(self) >= 1 << 13:
            self.clear()
        shown = code(char) if hidden.match(char) else char
        self[char] = shown
        return shown
