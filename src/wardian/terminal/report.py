"""What a program tried on the terminal, in words: its output counted by what a terminal would have done with it.

Invariant: any bytes give a count, in linear time; the kinds are those of the tables below, so their number is bounded.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from types import MappingProxyType
from typing import Final, final

from wardian.terminal.parser import Event, Parser
from wardian.terminal.wide import hidden

_CONTROLS: Final = MappingProxyType(
    {
        "\x05": "asks for the answerback (ENQ)",
        "\x07": "rings the bell",
        "\x08": "overwrites (backspace)",
        "\x0b": "moves the cursor",
        "\x0c": "moves the cursor",
        "\r": "overwrites (carriage return)",
        "\x0e": "switches the character set",
        "\x0f": "switches the character set",
        "\x8e": "switches the character set",
        "\x8f": "switches the character set",
    }
)
_OTHER_CONTROL: Final = "other control codes"

_CSI: Final = MappingProxyType(
    {
        **dict.fromkeys("ABCDEFGHIZ`adef", "moves the cursor"),
        **dict.fromkeys("JKX@PLM", "erases or moves text"),
        **dict.fromkeys("STr", "scrolls, or sets the region that scrolls"),
        **dict.fromkeys("hl", "switches modes (alternate screen, mouse, paste...)"),
        **dict.fromkeys("cnx", "asks for a report, which arrives as typed input"),
        "m": "colours text",
        "t": "handles the window, or asks for its title",
        "i": "prints (media copy)",
        "q": "changes the cursor or the lights",
        "s": "saves the cursor",
        "u": "restores the cursor, or changes the keyboard",
    }
)
_OTHER_CSI: Final = "other control sequences"

_ESC: Final = MappingProxyType(
    {
        "c": "resets the terminal",
        **dict.fromkeys("78", "saves or restores the cursor"),
        **dict.fromkeys("DEHM", "moves the cursor or sets tab stops"),
        **dict.fromkeys("NOno|}~", "switches the character set"),
        **dict.fromkeys("=>", "switches the keypad"),
        "Z": "asks for a report, which arrives as typed input",
    }
)
_COLLECTED: Final = MappingProxyType(
    {**dict.fromkeys("()*+-./%", "switches the character set"), "#": "fills or stretches lines (DECALN...)"}
)
_OTHER_ESC: Final = "other escape sequences"

_OSC: Final = MappingProxyType(
    {
        **dict.fromkeys("012", "sets the title"),
        **dict.fromkeys("4 5 10 11 12 13 14 17 19 104 105 110 111 112".split(), "sets or asks for colours"),
        **dict.fromkeys("9 99 777".split(), "shows a notification"),
        "7": "names the working directory",
        "8": "makes a hyperlink",
        "50": "sets or asks for the font",
        "52": "reads or writes the clipboard",
        "133": "marks prompts and commands",
        "1337": "sends a file or an image",
    }
)
_OTHER_OSC: Final = "other operating system commands"

_DCS: Final = MappingProxyType(
    {
        ("", "q"): "draws an image (sixel)",
        ("", "p"): "draws an image (ReGIS)",
        ("", "|"): "redefines keys (DECUDK)",
        ("$", "q"): "asks for settings, which arrive as typed input (DECRQSS)",
        ("+", "q"): "asks for capabilities, which arrive as typed input",
        ("", "t"): "talks past a multiplexer (tmux)",
    }
)
_OTHER_DCS: Final = "other device control strings"
_STRING: Final = "application strings (APC, PM, SOS), such as images"
_HIDDEN: Final = "invisible or reordering characters"
_UNFINISHED: Final = "a string that never ends"

_number: Final = re.compile("[0-9]*")


def describe(event: Event) -> str | None:
    """What ``event`` is, in a few words; ``None`` for text, tabs, line feeds and colours."""
    match event.kind:
        case "execute":
            return None if event.final in "\t\n" else _CONTROLS.get(event.final, _OTHER_CONTROL)
        case "csi":
            return None if event.final == "m" and not event.collected else _CSI.get(event.final, _OTHER_CSI)
        case "esc":
            if event.final == "\\" and not event.collected:
                return None  # it ended a string, which has been counted
            return (_COLLECTED if event.collected else _ESC).get(event.collected[:1] or event.final, _OTHER_ESC)
        case "osc":
            number = _number.match(event.string)
            return _OSC.get(number[0] if number else "", _OTHER_OSC)
        case "dcs":
            return _DCS.get((event.collected[:1], event.final), _OTHER_DCS)
        case "string":
            return _STRING
    return None


@final
class Report:
    """Counts: :attr:`counts` says how often each kind of thing was tried."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._parser = Parser()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._return = False

    def feed(self, data: bytes) -> None:
        """Count what is in ``data``."""
        text = self._decode(data)
        if self._return:
            text = "\r" + text
        self._return = text.endswith("\r")
        self._count(text[:-1] if self._return else text)

    def finish(self) -> None:
        """Count what is left when nothing more comes."""
        self._count(("\r" if self._return else "") + self._decode(b"", True))
        self._return = False
        if self._parser.state != "ground":
            self.counts[_UNFINISHED] += 1
            self._parser = Parser()

    def _count(self, text: str) -> None:
        if text.isascii() and text.isprintable() and self._parser.state == "ground":
            return
        if "\x7f" in text:
            self.counts[_OTHER_CONTROL] += text.count("\x7f")  # printed, for the state machine
        if not text.isascii():
            self.counts[_HIDDEN] += sum(1 for found in hidden.finditer(text) if found[0] > "\x9f")
        for event in self._parser.feed(text.replace("\r\n", "\n")):
            what = describe(event)
            if what is not None:
                self.counts[what] += 1
        self.counts = +self.counts
