"""Colours: what is read, and the one way in which it is written."""

from __future__ import annotations

import pytest

from wardian.terminal.sgr import DEFAULT, Style, apply


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        ("", "[0m"),
        ("0", "[0m"),
        ("1", "[0;1m"),
        ("1;22", "[0m"),
        ("4:3", "[0;4m"),
        ("4:0", "[0m"),
        ("4;24", "[0m"),
        ("7;9;3;2", "[0;2;3;7;9m"),
        ("31;42", "[0;31;42m"),
        ("31;39", "[0m"),
        ("95;103", "[0;95;103m"),
        ("38;5;208", "[0;38;5;208m"),
        ("38:5:208", "[0;38;5;208m"),
        ("38;2;1;2;3", "[0;38;2;1;2;3m"),
        ("38:2:1:2:3", "[0;38;2;1;2;3m"),
        ("38:2::1:2:3", "[0;38;2;1;2;3m"),
        ("38;2;;;", "[0;38;2;0;0;0m"),
        ("38;5;256;1", "[0m"),
        ("1;38;7;1;4", "[0;1m"),
        ("38", "[0m"),
        ("38;5", "[0m"),
        ("58;5;1;1", "[0;1m"),
        ("58:2::1:2:3;1", "[0;1m"),
        ("5", "[0m"),
        ("6", "[0m"),
        ("8", "[0m"),
        ("21", "[0m"),
        ("53", "[0m"),
        ("11", "[0m"),
        ("999", "[0m"),
        ("1;;4", "[0;4m"),
        ("001", "[0;1m"),
        ("31;41", "[0;31m"),
        ("38;5;16;48;2;9;9;9", "[0;38;5;16m"),
        ("38;5;244;48;5;245", "[0;38;5;244m"),
        ("97;40", "[0;97;40m"),
        ("1:2", "[0m"),
    ],
)
def test_apply(parameters: str, written: str) -> None:
    assert apply(DEFAULT, parameters).sequence() == written


def test_styles_add_up() -> None:
    style = apply(apply(DEFAULT, "1;31"), "44")
    assert style == Style("31", "44", ("1",))
    assert apply(style, "") == DEFAULT
