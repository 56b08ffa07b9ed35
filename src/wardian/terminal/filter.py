"""Bytes of a program nobody trusts -> bytes that a terminal shows and nothing more.

Invariant: whatever goes in, and however it is cut into pieces, what comes out is valid UTF-8 that consists of visible
characters, spaces, tabs, line feeds and, in mode ``color``, sequences of :mod:`wardian.terminal.sgr`. The pieces put
together are the same for every cut. What is held back is less than 200 bytes, what is remembered is bounded.

Why no terminal's state machine runs over every byte: in Williams' machine (:mod:`wardian.terminal.parser`) ESC leads to
the same state from every other, and without ESC or a C1 control the ground state is never left. So a text in which
every ESC begins one complete, known sequence, and which has no C1 control, does what these sequences do and no more.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final, get_args

from wardian.terminal.sgr import DEFAULT, Style, apply
from wardian.terminal.text import ESC, PICTURES, PLAIN, ascii_table, deletions, picture

if TYPE_CHECKING:
    from wardian.terminal.wide import Standins

Mode: TypeAlias = Literal["strict", "color", "raw"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

_PARAMETERS: Final = "[0-9:;]{0,128}"
_SEQUENCE: Final = rf"\x1b(?:\[{_PARAMETERS}m|\[0?[JK]|\(B)"
"""What mode ``color`` understands. All but the first say what holds anyway, since nothing else is let through: erase to
the end of a line or screen where nothing is yet, use ASCII. Programs that only want colour write them; they are left
out, and so is SI, which some terminals' descriptions have for the last of these."""
_SI: Final = b"\x0f"

_runs: Final = re.compile(f"({_SEQUENCE}(?:{_SEQUENCE})*)")  # FAST: so it begins with a letter to look for
_sequence: Final = re.compile(_SEQUENCE)
_sgr: Final = re.compile(rf"\x1b\[({_PARAMETERS})m")
_unfinished: Final = re.compile(rb"\x1b(?:\[[0-9:;]{0,128}|\()?")
_LONGEST: Final = 130

_PICTURE_OF_ESC: Final = picture(0x1B)
_OWN: Final = "\0"
"""ESC of a sequence of our own, until the guest's are gone: a character that no text has at that point."""
_RESET: Final = f"{_OWN}[0m"

_FULL: Final = 1 << 10
"""More combining marks than any character may have."""

_PIECE: Final = 1 << 16
"""Bytes that are worked on at a time, whatever a caller gives."""
_MOST_TRANSITIONS: Final = 1 << 11
"""Ways from one look to another that are remembered."""


@final
class Screen:
    """One terminal, which several streams write to: the look it is left in, and who wrote last."""

    __slots__ = ("last", "look")

    def __init__(self) -> None:
        self.look = ""
        self.last: Filter | None = None


@final
class _Look:
    """A style, the sequence that switches it on (empty: the default), and where sequences lead from it."""

    __slots__ = ("after", "sequence", "style")

    def __init__(self, style: Style) -> None:
        self.style = style
        self.sequence = "" if style == DEFAULT else _OWN + style.sequence()
        self.after: dict[str, _Look] = {}


@final
class Filter:
    """Makes one stream harmless: :meth:`feed` it bytes, write what that returns, and in the end :meth:`finish`'s.

    * ``"strict"``: text, tabs and newlines pass. Every other control code is shown as its picture (``␛``), what is
      invisible or changes the reading order as its number (``<U+202E>``), bytes that are no UTF-8 as ``U+FFFD``.
    * ``"color"``: the same, but colours and weights (SGR) pass, each written anew. The usual look is restored before
      each line feed and at the end.
    * ``"raw"``: everything passes untouched.

    Streams that end on the same terminal are given the same ``screen``, so that none colours the text of another.
    ``ascii`` is for terminals that do not speak UTF-8: everything beyond ASCII is written as an escape.
    """

    __slots__ = (
        "_ascii",
        "_color",
        "_controls",
        "_linked",
        "_look",
        "_looks",
        "_marks",
        "_rest",
        "_standins",
        "_table",
        "_transitions",
        "mode",
        "screen",
    )

    def __init__(self, mode: Mode = "strict", *, screen: Screen | None = None, ascii: bool = False) -> None:
        """Raises ``ValueError`` for a mode that does not exist."""
        if mode not in MODES:
            raise ValueError(f"the terminal mode must be {', '.join(MODES[:-1])} or {MODES[-1]}, not {mode!r}")
        self.mode: Final = mode
        self.screen: Final = screen or Screen()
        self._color = mode == "color"
        self._ascii = ascii
        kept = (ESC,) if self._color else ()
        self._table = ascii_table(*kept)
        self._controls = deletions(*kept)
        self._standins: Standins | None = None
        self._begin()

    def _begin(self) -> None:
        self._rest = b""  # the beginning of a character or sequence, or a CR: what comes next decides
        self._marks = 0  # combining marks that stand on the last character written
        self._look = _Look(DEFAULT)  # how the next text is to look
        self._looks = {DEFAULT: self._look}
        self._linked: list[_Look] = []
        self._transitions = 0

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """What to write for ``data``."""
        if self.mode == "raw":
            return bytes(data)
        view = memoryview(data).cast("B")
        if view.nbytes <= _PIECE:
            return self._feed(bytes(view), False)
        return b"".join(self._feed(bytes(view[at : at + _PIECE]), False) for at in range(0, view.nbytes, _PIECE))

    def finish(self) -> bytes:
        """What to write when nothing more comes: what was held back, and the usual look. Then it may begin anew."""
        last = self._feed(b"", True) + self.pause()
        self._begin()
        return last

    def pause(self) -> bytes:
        """What to write before somebody else uses the terminal: the usual look. The stream may go on afterwards."""
        look, self.screen.look = self.screen.look, ""
        self.screen.last = None
        return _RESET.replace(_OWN, ESC).encode() if look else b""

    def _feed(self, data: bytes, final: bool) -> bytes:
        screen = self.screen
        # FAST: the usual text. Deleting what is plain is the quickest look at every byte that there is.
        if not (self._rest or screen.look or self._look.sequence or data.translate(None, PLAIN)):
            if data:
                self._marks = _FULL if data.endswith(b"\n") else 0
                screen.last = self
            return data
        if self._color and _SI in data:
            data = data.replace(_SI, b"")
        data = self._rest + data
        text = self._text(data, final)
        if not text:
            return b""
        before = self._marks if screen.last is self else _FULL
        screen.last = self
        wide = not data.isascii()
        self._marks = self._trailing(text, before, wide)
        if wide:
            from wardian.terminal.wide import Standins, without_floods, without_hidden, without_lead

            if self._standins is None:
                self._standins = Standins()
            text = without_floods(without_lead(text, before))
            text = without_hidden(text, self._standins.__getitem__)
        if self._color:
            text = self._coloured(text, wide)
        return text.encode("ascii", "backslashreplace") if self._ascii else text.encode()

    def _text(self, data: bytes, final: bool) -> str:
        """``data`` as text without control codes of ASCII, but for those that mode ``color`` looks at."""
        self._rest = b""
        if not final:
            held = self._held(data)
            if held:
                data, self._rest = data[:-held], data[-held:]
        if b"\r\n" in data:
            data = data.replace(b"\r\n", b"\n")
        if data.isascii():
            return codecs.charmap_decode(data, "strict", self._table)[0]
        for control in {*data.translate(None, self._controls)}:
            byte = bytes((control,))
            data = data.replace(byte, PICTURES[byte])
        text, used = codecs.utf_8_decode(data, "replace", final or bool(self._rest))
        if used < len(data):
            self._rest = data[used:]
        return text

    def _held(self, data: bytes) -> int:
        """How many bytes at the end must wait for what follows them, ASCII only."""
        if data.endswith(b"\r"):
            return 1
        if self._color:
            at = data.rfind(b"\x1b", max(0, len(data) - _LONGEST))
            if at >= 0 and _unfinished.fullmatch(data, at):
                return len(data) - at
        return 0

    def _trailing(self, text: str, before: int, wide: bool) -> int:
        """How many marks stand on the last character after ``text``; after a line feed or sequence, none may come."""
        count = 0
        if wide:
            from wardian.terminal.wide import MOST_MARKS, trailing

            count = trailing(text)
            if count in (MOST_MARKS, len(text)):
                return min(count + (before if count == len(text) else 0), MOST_MARKS)
        at = len(text) - count
        if text[at - 1] == "\n":
            return _FULL
        if self._color and text[at - 1] in "mJKB":
            begin = text.rfind(ESC, 0, at)
            if begin >= 0 and _sequence.fullmatch(text, begin, at):
                return _FULL
        return count

    def _coloured(self, text: str, wide: bool) -> str:
        """``text`` with its sequences written anew: a look is switched on just before the text that has it."""
        if not (self.screen.look or self._look.sequence or ESC in text):
            return text
        parts = _runs.split(text)
        shown: list[str] = []
        add = shown.append
        look, current = self._look, self.screen.look
        if parts[0]:
            current = self._line(parts[0], look.sequence, current, add)
        for run, part in zip(parts[1::2], parts[2::2], strict=True):
            look = look.after.get(run) or self._follow(look, run)
            if not part:
                continue
            sequence = look.sequence
            if wide and part[0] > "\x7f":
                from wardian.terminal.wide import without_lead

                part = without_lead(part, _FULL)
            if "\n" in part:
                current = self._line(part, sequence, current, add)
                continue
            if current != sequence:
                add(sequence or _RESET)
                current = sequence
            add(part)
        self._look, self.screen.look = look, current
        # Only now are our own sequences told from the guest's, whatever those may be.
        return "".join(shown).replace(ESC, _PICTURE_OF_ESC).replace(_OWN, ESC)

    @staticmethod
    def _line(text: str, sequence: str, current: str, add: Callable[[str], None]) -> str:
        """Add text that is to have the look ``sequence``, its line feeds with the usual one, to a screen that has the
        look ``current``; returns the look after it."""
        body = text.lstrip("\n")
        if len(body) < len(text):
            add(_RESET if current else "")
            add(text[: len(text) - len(body)])
            current = ""
        if not body:
            return current
        if current != sequence:
            add(sequence or _RESET)
        if not sequence or "\n" not in body:
            add(body)
            return sequence
        lines = body.rstrip("\n")
        feeds = body[len(lines) :]
        add(lines.replace("\n", f"{_RESET}\n{sequence}").replace(f"{sequence}{_RESET}", ""))
        add(f"{_RESET}{feeds}" if feeds else "")
        return "" if feeds else sequence

    def _follow(self, look: _Look, run: str) -> _Look:
        """The look to which a run of sequences leads from ``look``."""
        began = look
        found = _sgr.findall(run)
        for parameters in found:
            after = look.after.get(parameters)
            if after is None:
                style = apply(look.style, parameters)
                after = self._looks.get(style) or _Look(style)
                if len(found) > 1:
                    self._remember(look, parameters, after)
            look = after
        if len(run) < _LONGEST:
            self._remember(began, run, look)
        return look

    def _remember(self, began: _Look, by: str, look: _Look) -> None:
        if self._transitions >= _MOST_TRANSITIONS:
            # What a hostile program makes us remember is forgotten all at once, every way to it included.
            for each in self._linked:
                each.after.clear()
            self._linked.clear()
            self._looks.clear()
            self._transitions = 0
        if not began.after:
            self._linked.append(began)
        began.after[by] = look
        self._looks[look.style] = look
        self._transitions += 1
