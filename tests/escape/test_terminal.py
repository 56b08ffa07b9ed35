"""Border: output -> terminal. Every class of attack, whole, cut and spread over two streams, into an emulator."""

from __future__ import annotations

import pyte
import pytest

from tests.terminal.corpus import ATTACKS, EVERYTHING, acts
from wardian.terminal import Filter, Mode, Screen

FILTERING: tuple[Mode, ...] = ("strict", "color")
CLASSES = [pytest.param(attacks, id=name) for name, attacks in ATTACKS.items()]


def test_the_emulator_sees_what_is_active() -> None:
    """The judge judges: unfiltered, most of the corpus does something."""
    guilty = [attack for attack in EVERYTHING if acts(attack)]
    assert len(guilty) > len(EVERYTHING) / 2


@pytest.mark.parametrize("mode", FILTERING)
@pytest.mark.parametrize("attacks", CLASSES)
def test_whole(attacks: tuple[bytes, ...], mode: Mode) -> None:
    for attack in attacks:
        made = Filter(mode)
        assert not acts(made.feed(attack) + made.finish()), attack


@pytest.mark.parametrize("mode", FILTERING)
@pytest.mark.parametrize("attacks", CLASSES)
def test_cut_at_every_byte(attacks: tuple[bytes, ...], mode: Mode) -> None:
    for attack in attacks:
        made = Filter(mode)
        expected = made.feed(attack) + made.finish()
        for cut in range(1, min(len(attack), 80)):
            assert made.feed(attack[:cut]) + made.feed(attack[cut:]) + made.finish() == expected


@pytest.mark.thorough
@pytest.mark.parametrize("mode", FILTERING)
@pytest.mark.parametrize("attacks", CLASSES)
def test_spread_over_two_streams(attacks: tuple[bytes, ...], mode: Mode) -> None:
    for attack in attacks:
        for cut in range(1, min(len(attack), 40)):
            screen = Screen()
            out, err = Filter(mode, screen=screen), Filter(mode, screen=screen)
            shown = out.feed(attack[:cut]) + err.feed(attack[cut:]) + out.feed(b"after") + err.finish() + out.finish()
            assert not acts(shown), (attack, cut)


@pytest.mark.parametrize("mode", FILTERING)
def test_all_pairs_of_attacks(mode: Mode) -> None:
    """One attack begins what another one ends."""
    made = Filter(mode)
    shown = b"".join(made.feed(one + other) for one in EVERYTHING for other in EVERYTHING[::7])
    assert not acts(shown + made.finish())


@pytest.mark.parametrize("attack", [b"\x1b]0;", b"\x1bP", b"\x1b_", b"\x1b[", b"\x1b[8m", b"\x1b(0", b"\x1b[31m"])
@pytest.mark.parametrize("mode", FILTERING)
def test_what_the_host_says_afterwards_is_seen(attack: bytes, mode: Mode) -> None:
    made = Filter(mode)
    screen = pyte.Screen(80, 5)
    stream = pyte.ByteStream(screen)
    stream.feed(made.feed(attack) + made.finish() + b"\nwardian: trap")
    assert screen.display[1].strip() == "wardian: trap"
    assert {screen.buffer[1][column].fg for column in range(8)} == {"default"}
