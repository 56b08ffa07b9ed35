"""Williams' state machine and the report: each state, any pieces, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.terminal.corpus import ATTACKS, EVERYTHING
from wardian.terminal.parser import MOST, Event, Parser, rules
from wardian.terminal.report import Report, describe


def events(text: str) -> list[Event]:
    return list(Parser().feed(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab\n", [Event("print", data="ab"), Event("execute", "\n")]),
        ("\x1bc", [Event("esc", "c")]),
        ("\x1b(0", [Event("esc", "0", "", "(")]),
        ("\x1b[1;2H", [Event("csi", "H", "1;2")]),
        ("\x1b[?25l", [Event("csi", "l", "25", "?")]),
        ('\x1b[61"p', [Event("csi", "p", "61", '"')]),
        ("\x9b4\x08m", [Event("execute", "\x08"), Event("csi", "m", "4")]),
        ("\x1b[4<m\x1b[1 2m x", [Event("print", data=" x")]),
        ("\x1b[1\x18m", [Event("execute", "\x18"), Event("print", data="m")]),
        ("\x1b]0;t\x07", [Event("osc", "]", string="0;t")]),
        ("\x9d0;t\x9cx", [Event("osc", "\x9d", string="0;t"), Event("print", data="x")]),
        ("\x1b]0;t\x1b\\", [Event("osc", "]", string="0;t"), Event("esc", "\\")]),
        ("\x1bP1$qm\x1b\\", [Event("dcs", "q", "1", "$", "m"), Event("esc", "\\")]),
        ("\x1bP1<qm\x9c", []),
        ("\x1b_Ga\x18", [Event("string", "_", string="Ga", ended=False), Event("execute", "\x18")]),
        ("\x1bXx\x9f", [Event("string", "X", string="x", ended=False)]),
        ("\x1b[\x1b[m", [Event("csi", "m")]),
    ],
)
def test_events(text: str, expected: list[Event]) -> None:
    assert events(text) == expected


def test_all_fourteen_states() -> None:
    assert len(rules()) == 14
    assert {row.state for _, rows in rules().values() for row in rows} - {""} == set(rules())


def test_every_state_leads_from_esc_to_the_same_one() -> None:
    for state in rules():
        made = Parser()
        made.state = state
        list(made.feed("\x1b"))
        assert made.state == "escape"


def joined(found: list[Event]) -> list[Event]:
    """Printed text in one piece, however it came."""
    result: list[Event] = []
    for event in found:
        if event.kind == "print" and result and result[-1].kind == "print":
            result[-1] = Event("print", data=result[-1].data + event.data)
        else:
            result.append(event)
    return result


TEXTS = st.lists(
    st.one_of(st.sampled_from(EVERYTHING).map(lambda b: b.decode(errors="replace")), st.text(max_size=5)), max_size=6
)


@given(parts=TEXTS, cuts=st.lists(st.integers(0, 300), max_size=10))
def test_any_text_in_any_pieces(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    made = Parser()
    ends = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    found = [event for begin, end in zip([0, *ends], ends, strict=False) for event in made.feed(text[begin:end])]
    assert joined(found) == joined(events(text))
    assert all(len(part) <= MOST for event in found if event.kind != "print" for part in event[:-1])


@given(data=st.lists(st.one_of(st.sampled_from(EVERYTHING), st.binary(max_size=6)), max_size=6).map(b"".join))
def test_reports_do_not_depend_on_the_pieces(data: bytes) -> None:
    whole, single = Report(), Report()
    whole.feed(data)
    for value in data:
        single.feed(bytes((value,)))
    whole.finish()
    single.finish()
    assert whole.counts == single.counts


def test_every_class_of_attack_is_reported() -> None:
    quiet = {"combining floods", "invisible text", "line feeds", "invalid UTF-8", "malformed colours", "nested"}
    for name, attacks in ATTACKS.items():
        if name in quiet:
            continue
        for attack in attacks:
            made = Report()
            made.feed(attack)
            made.finish()
            # A C1 control that stands as a lone byte is none in UTF-8.
            assert made.counts or name == "C1 as bytes" or b"31m" in attack, (name, attack)


def test_text_and_colours_are_nothing_to_report() -> None:
    made = Report()
    made.feed("\x1b[1;31mGröße\x1b[m\t✔\r\n".encode())
    made.finish()
    assert not made.counts
    assert describe(Event("print", data="x")) is None
