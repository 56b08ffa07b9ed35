"""What a terminal would do: Paul Williams' state machine ("A parser for DEC's ANSI-compatible video terminals").

All fourteen states, for text instead of bytes: C1 controls are the characters ``U+0080`` to ``U+009F``, and everything
above is printed, put into strings, and passed over within sequences. Two things differ, as in every terminal of today:
BEL ends an OSC string, and a colon belongs to the parameters.

Invariant: any text gives events, however it is cut into pieces, and the same for each cut but for the cuts of printed
text; an event's strings are cut off at :data:`MOST`. This only looks: what may be written to a terminal is decided in
:mod:`wardian.terminal.filter`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple, final

MOST: Final = 256
"""Characters of parameters or of a string that are kept; the rest is passed over."""


class Event(NamedTuple):
    """Something a terminal does.

    ``kind`` is ``print`` (``data``: the text), ``execute`` (``final``: the control), ``esc``, ``csi``, ``dcs``
    (``final``, ``collected`` intermediates and private markers, ``data``: parameters; a DCS' string is in ``string``),
    ``osc`` or ``string`` (SOS, PM, APC: ``final`` says which). A sequence that was cut short is no event; an ``ended``
    of ``False`` marks a string that was left by something else than its terminator.
    """

    kind: str
    final: str = ""
    data: str = ""
    collected: str = ""
    string: str = ""
    ended: bool = True


_C0: Final = "\x00-\x17\x19\x1c-\x1f"
"""Control codes that mean the same in every state, so not CAN, SUB and ESC."""

# For each state, in this order: the characters, what is done with one, the state that follows (empty: the same).
_ROWS: Final = MappingProxyType({
    "anywhere": (
        ("\x18\x1a\x80-\x8f\x91-\x97\x99\x9a", "execute", "ground"),
        ("\x1b", "", "escape"),
        ("\x90", "", "dcs entry"),
        ("\x98\x9e\x9f", "begin", "string"),
        ("\x9b", "", "csi entry"),
        ("\x9c", "", "ground"),
        ("\x9d", "begin", "osc"),
    ),
    "ground": ((_C0, "execute", ""), ("\x20-\x7f\xa0-\U0010ffff", "print", "")),
    "escape": (
        (_C0, "execute", ""),
        ("\x20-\x2f", "collect", "escape intermediate"),
        ("P", "", "dcs entry"),
        ("X^_", "begin", "string"),
        (r"\[", "", "csi entry"),
        (r"\]", "begin", "osc"),
        (r"\x30-\x7e", "esc", "ground"),
    ),
    "escape intermediate": (
        (_C0, "execute", ""), ("\x20-\x2f", "collect", ""), ("\x30-\x7e", "esc", "ground"),
    ),
    "csi entry": (
        (_C0, "execute", ""),
        ("\x20-\x2f", "collect", "csi intermediate"),
        ("0-9:;", "parameter", "csi parameter"),
        ("<=>?", "collect", "csi parameter"),
        ("\x40-\x7e", "csi", "ground"),
    ),
    "csi parameter": (
        (_C0, "execute", ""),
        ("0-9:;", "parameter", ""),
        ("\x20-\x2f", "collect", "csi intermediate"),
        ("<=>?", "", "csi ignore"),
        ("\x40-\x7e", "csi", "ground"),
    ),
    "csi intermediate": (
        (_C0, "execute", ""),
        ("\x20-\x2f", "collect", ""),
        ("\x30-\x3f", "", "csi ignore"),
        ("\x40-\x7e", "csi", "ground"),
    ),
    "csi ignore": ((_C0, "execute", ""), ("\x40-\x7e", "", "ground")),
    "dcs entry": (
        ("\x20-\x2f", "collect", "dcs intermediate"),
        ("0-9:;", "parameter", "dcs parameter"),
        ("<=>?", "collect", "dcs parameter"),
        ("\x40-\x7e", "hook", "dcs passthrough"),
    ),
    "dcs parameter": (
        ("0-9:;", "parameter", ""),
        ("\x20-\x2f", "collect", "dcs intermediate"),
        ("<=>?", "", "dcs ignore"),
        ("\x40-\x7e", "hook", "dcs passthrough"),
    ),
    "dcs intermediate": (
        ("\x20-\x2f", "collect", ""),
        ("\x30-\x3f", "", "dcs ignore"),
        ("\x40-\x7e", "hook", "dcs passthrough"),
    ),
    "dcs passthrough": (("\x00-\x17\x19\x1c-\x7e\xa0-\U0010ffff", "put", ""),),
    "dcs ignore": (),
    "osc": (("\x07", "", "ground"), ("\x20-\x7f\xa0-\U0010ffff", "put", "")),
    "string": (("\x20-\x7f\xa0-\U0010ffff", "put", ""),),
})  # fmt: skip
_STRINGS: Final = MappingProxyType({"dcs passthrough": "dcs", "osc": "osc", "string": "string"})
"""The states whose end is an event, and its kind."""
_CLEARING: Final = frozenset({"escape", "csi entry", "dcs entry"})


class _Rule(NamedTuple):
    action: str
    state: str


@cache
def rules() -> dict[str, tuple[re.Pattern[str], tuple[_Rule, ...]]]:
    """For each state an expression of one group per row, each a run of characters that are treated alike, and the rows.

    Rows of the state itself count before those of ``anywhere``; what no row has is passed over.
    """
    made = {}
    for state, own in _ROWS.items():
        if state != "anywhere":
            rows = (*own, *_ROWS["anywhere"])
            # A run of characters that change the state has length one.
            groups = (f"([{chars}]{'' if follows else '+'})" for chars, _, follows in rows)
            made[state] = (re.compile("|".join(groups)), tuple(_Rule(action, follows) for _, action, follows in rows))
    return made


@final
class Parser:
    """Follows one stream: :meth:`feed` it text."""

    def __init__(self) -> None:
        self._rules = rules()
        self._actions: Final[dict[str, Callable[[str], Event | None]]] = {
            "": self._nothing,
            "print": lambda run: Event("print", data=run),
            "collect": self._collect,
            "parameter": self._parameter,
            "begin": self._begin,
            "hook": self._hook,
            "put": self._put,
            "esc": lambda run: Event("esc", run, "", self._collected),
            "csi": lambda run: Event("csi", run, self._parameters, self._collected),
        }
        self.state = "ground"
        self._collected = self._parameters = self._string = self._final = ""

    def feed(self, text: str) -> Iterator[Event]:
        """What a terminal does with ``text``, after what came before."""
        at = 0
        while at < len(text):
            expression, rows = self._rules[self.state]
            match = expression.search(text, at)
            if match is None:
                return
            at = match.end()
            row = rows[match.lastindex - 1 if match.lastindex else 0]
            run = match[0]
            if row.state and self.state in _STRINGS:
                yield self._ended(_STRINGS[self.state], run in "\x07\x1b\x9c")
            if row.action == "execute":
                for control in run:
                    yield Event("execute", control)
            elif (event := self._actions[row.action](run)) is not None:
                yield event
            if row.state:
                self.state = row.state
                if row.state in _CLEARING:
                    self._collected = self._parameters = ""

    def _nothing(self, run: str) -> None:
        """The state changes, and nothing else."""

    def _collect(self, run: str) -> None:
        self._collected = (self._collected + run)[:MOST]

    def _parameter(self, run: str) -> None:
        self._parameters = (self._parameters + run)[:MOST]

    def _begin(self, run: str) -> None:
        self._string, self._final = "", run

    def _hook(self, run: str) -> None:
        self._string, self._final = "", run

    def _put(self, run: str) -> None:
        self._string = (self._string + run[: MOST - len(self._string)])[:MOST]

    def _ended(self, kind: str, ended: bool) -> Event:
        if kind == "dcs":
            return Event("dcs", self._final, self._parameters, self._collected, self._string, ended)
        return Event(kind, self._final, string=self._string, ended=ended)
