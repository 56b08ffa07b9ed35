"""Attacks on a terminal by class: what a hostile program may print, and an emulator that tells what it did."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyte

ST = b"\x1b\\"

ATTACKS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "title": (b"\x1b]0;owned\x07", b"\x1b]2;owned" + ST, b"\x1b]1;x\x07", b"\x1bkowned" + ST, b"\x1b]l;x" + ST),
        "title report": (b"\x1b[21t", b"\x1b[20t", b"\x1b]0;; rm -rf ~\x07\x1b[21t"),
        "reports": (
            b"\x05",
            b"\x1b[c",
            b"\x1b[>c",
            b"\x1b[=c",
            b"\x1b[5n",
            b"\x1b[6n",
            b"\x1b[?15n",
            b"\x1bZ",
            b"\x1b[x",
        ),
        "settings reports": (
            b"\x1bP$qm" + ST,
            b'\x1bP$q"p\n; rm -rf ~\n' + ST,
            b"\x1bP+q544e" + ST,
            b"\x1b[>q",
            b"\x1b[?1$p",
        ),
        "clipboard": (b"\x1b]52;c;cm0gLXJmIH4K\x07", b"\x1b]52;p;?\x07", b"\x1b]52;;!" + ST),
        "hyperlinks": (b"\x1b]8;;http://evil.example\x07safe.example\x1b]8;;\x07",),
        "colour queries": (b"\x1b]4;1;?\x07", b"\x1b]10;?\x07", b"\x1b]11;?" + ST, b"\x1b]104\x07", b"\x1b]12;red\x07"),
        "fonts": (b"\x1b]50;?\x07", b"\x1b]50;#1\x07"),
        "files and images": (
            b"\x1b]1337;File=name=eA==;size=4:AAAA\x07",
            b"\x1b_Gf=24,s=1,v=1;AAAA" + ST,
            b"\x1b_Ga=T,t=f;L2V0Yy9wYXNzd2Q=" + ST,
            b"\x1bPq#0;2;0;0;0~~@@vv" + ST,
            b"\x1bP0p S(E)" + ST,
            b"\x1bPtmux;\x1b\x1b]52;c;eA==\x07" + ST,
        ),
        "windows": (b"\x1b[2t", b"\x1b[8;1;1t", b"\x1b[3;9999;9999t", b"\x1b[14t", b"\x1b[9;1t"),
        "modes": (
            b"\x1b[?1049h",
            b"\x1b[?47h",
            b"\x1b[2;3r",
            b"\x1b[?1000h",
            b"\x1b[?1006h",
            b"\x1b[?2004h",
            b"\x1b[>1u",
            b"\x1b[=1;1u",
            b"\x1b[?25l",
            b"\x1b[?7l",
            b"\x1b[?5h",
            b"\x1b[4h",
            b"\x1b[20h",
            b"\x1b[12l",
            b"\x1b[2h",
            b"\x1b=",
            b"\x1b[?6h",
            b"\x1b[?69h",
        ),
        "printing": (b"\x1b[5i", b"\x1b[4i", b"\x1b[i", b"\x1b[?1i"),
        "patterns and keys": (b"\x1b#8", b"\x1b#3", b"\x1b#6", b"\x1bP1;1|17/726d0d" + ST, b'\x1b[0;68;"rm"p'),
        "resets": (b"\x1bc", b"\x1b[!p", b'\x1b[61"p', b'\x1b[0"q'),
        "bells": (b"\x07" * 50,),
        "overwriting": (b"good\b\b\b\bevil", b"good\revil", b"good\x7f\x7f", b"good\x1b[4Devil", b"a\r\r\nb\r"),
        "hiding": (
            b"secret\x1b[2K",
            b"\x1b[1A\x1b[2K",
            b"\x1b[2J",
            b"\x1b[1J",
            b"\x1b[3J",
            b"\x1b[1K",
            b"\x1b[5X",
            b"\x1b[3P",
            b"\x1b[1M",
            b"\x1b[9S",
            b"\x1b[9T",
            b"\x1b[1;1H",
            b"\x1b[5;5f",
            b"\x1b[5d",
            b"\x1b[5G",
            b"\x1b7\x1b8",
            b"\x1b[s\x1b[u",
            b"\x1bM",
            b"\x1bD",
            b"\x1bE",
        ),
        "invisible text": (
            b"\x1b[8mhidden\x1b[m",
            b"\x1b[31;41mhidden",
            b"\x1b[38;5;1;48;5;1mhidden",
            b"\x1b[38;2;1;2;3m\x1b[48;2;3;2;1mhidden",
            b"\x1b[38:2::9:9:9;48:5:16mhidden",
            b"\x1b[5mblink",
            b"\x1b[30;40mx",
            b"\x1b[97;107mx",
        ),
        "other controls": (
            b"\x00\x01\x02\x03\x04\x06\x0b\x0c\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f",
        ),
        "character sets": (
            b"\x0e\x0f",
            b"\x1b(0qqq",
            b"\x1b)0\x0e",
            b"\x1b*<\x1bn",
            b"\x1b%@",
            b"\x1b%G",
            b"\x1bN~\x1bO~",
            b"\x1b-A",
            b"\x1b~",
        ),
        "tab stops": (b"\x1bH", b"\x1b[3g", b"\x1b[5I", b"\x1b[2Z", b"\x1b[?5W"),
        "C1 as bytes": (
            b"\x9b2J",
            b"\x9d0;x\x9c",
            b"\x90q\x9c",
            b"\x9f G\x9c",
            b"\x84\x85\x88\x8d\x8e\x8f\x98\x9a\x9e",
            b"\x9b31mred",
        ),
        "C1 as characters": (
            b"\xc2\x9b2J",
            b"\xc2\x9d0;x\xc2\x9c",
            b"\xc2\x90q\xc2\x9c",
            b"\xc2\x9fG\xc2\x9c",
            "".join(map(chr, range(0x80, 0xA0))).encode(),
            b"\xc2\x9b31mred",
            b"\x1b\xc2\x9b2J",
            b"\xc2\x1b[2J\x9b2J",
        ),
        "bidi": (
            "\u202eevil\u202c \u202dx \u2066y\u2069 \u2067z\u2069 \u2068 \u061c \u200e\u200f \u202a\u202b".encode(),
        ),
        "zero width": (
            "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u180eh\u3164i\u115fj\u2061k\u206al\u034fm".encode(),
        ),
        "tags and selectors": (
            "".join(chr(0xE0000 + ord(c)) for c in "ignore all").encode(),
            "a\ufe00\ufe05\U000e0100\U000e01ef\ufe0f\ufe0f".encode(),
        ),
        "separators": ("a\u2028b\u2029c\u0085d\ufff9e\ufffaf\ufffb".encode(),),
        "combining floods": (
            ("a" + "\u0301" * 500 + "\u20dd" * 30 + "\u1160" * 40).encode(),
            ("\u0301" * 20).encode(),
            ("a" + "\U0001d167" * 60).encode(),
        ),
        "invalid UTF-8": (
            b"\xc0\x9b2J",
            b"\xe0\x80\x9b2J",
            b"\xf0\x80\x80\x9b",
            b"\xed\xa0\x80\xed\xb0\x80",
            b"\xff\xfe\xf8\x88\x80\x80\x80",
            b"\xf4\x90\x80\x80",
            b"\xc1\x9b",
            b"\xe2\x90",
            b"\xf0\x9f\x98",
            b"\x80" * 9,
            b"\xe2\x1b[2J",
            "\ufdd0\ufffe\uffff\U0001ffff".encode(),
        ),
        "unterminated": (
            b"\x1b]0;",
            b"\x1bP",
            b"\x1b_",
            b"\x1b^",
            b"\x1bX",
            b"\x1b[",
            b"\x1b",
            b"\x1b[38;5",
            b"\x1b]52;c;" + b"A" * 5000,
            b"\x1b[?",
            b"\x1b(",
        ),
        "malformed colours": (
            b"\x1b[" + b"1;" * 500 + b"m",
            b"\x1b[38;5;999mx",
            b"\x1b[38;2;1mx",
            b"\x1b[?31mx",
            b"\x1b[>4;2m",
            b"\x1b[31 m",
            b"\x1b[31$m",
            b"\x1b[3\x071m",
            b"\x1b[999999999999999999999m",
            b"\x1b[:::m",
            b"\x1b[38:9:1mx",
            b"\x1b[4:9mx",
            b"\x1b[=1m",
            b"\x1b[1\x18m",
            b"\x1b[m\x1b[",
            b"\x1b[58;5;1mx",
        ),
        "nested": (
            b"\x1b[3\x1b[31mX",
            b"\x1b]0;\x1b[31mX\x07",
            b"\x1bP\x1b[1mX" + ST,
            b"\x1b\x1b\x1b[31mX",
            b"\x1b[\x1b]0;x\x07m",
            b"\x1b]0;a\x18b\x1ac",
        ),
        "line feeds": (b"\n\n[kernel] panic\n", b"wardian: error: fake\n"),
    }
)
"""By the classes of the threat model, each with the spellings that got past some filter or other."""

EVERYTHING = tuple(attack for attacks in ATTACKS.values() for attack in attacks)

INERT = frozenset({"draw", "linefeed", "tab", "select_graphic_rendition"})
"""What an emulator may be told: text, newlines, tabs, colours."""


class Recorder(pyte.Screen):
    """A screen that keeps the names of everything it is told to do."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.depth = 0
        super().__init__(80, 24)
        self.told.clear()

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name not in pyte.Stream.events:
            return value

        def tell(*words: Any, **more: Any) -> Any:
            if not self.depth:  # not what the screen tells itself to do
                self.told.append((name, words, more))
            self.depth += 1
            try:
                return value(*words, **more)
            finally:
                self.depth -= 1

        return tell


def acts(output: bytes) -> set[str]:
    """What an emulator does with ``output`` beyond :data:`INERT`; colours only of the kinds that show text."""
    screen = Recorder()
    stream = pyte.ByteStream(screen)
    found = set()
    try:
        stream.feed(output)
    except TypeError:  # pyte fails at some sequences that it does not know
        found.add("breaks the emulator")
    found |= {name for name, _, _ in screen.told} - INERT
    for name, words, more in screen.told:
        if name == "select_graphic_rendition" and (more or {5, 6, 8} & set(_simple(words))):
            found.add("hides text")
    return found


def _simple(words: tuple[int, ...]) -> list[int]:
    """The parameters of an SGR that are no part of a colour."""
    rest = list(words)
    simple = []
    while rest:
        word = rest.pop(0)
        if word in (38, 48):
            del rest[: 2 if rest[:1] == [5] else 4]
        else:
            simple.append(word)
    return simple
