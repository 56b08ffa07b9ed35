"""Colour and weight of text: ECMA-48's SELECT GRAPHIC RENDITION, read leniently and written in one way only.

Invariant: what is written is ``CSI 0 ; ... m`` with numbers from :data:`FLAGS` and colours from 0 to 255; it does not
depend on what was in force before. Text is never made invisible on purpose: concealing and blinking are left out,
and so is a background too near to the colour of the text upon it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, NamedTuple

FLAGS: Final = MappingProxyType(
    {"1": "bold", "2": "faint", "3": "italic", "4": "underlined", "7": "inverse", "9": "crossed-out"}
)
"""What may be switched on, besides colours. Not 5 and 6 (blinking), 8 (concealed), 21 (double underline for some,
no bold for others) nor fonts and frames."""

_OFF: Final = MappingProxyType({"22": ("1", "2"), "23": ("3",), "24": ("4",), "27": ("7",), "29": ("9",)})
_COLOURED: Final = MappingProxyType(
    {
        **{str(base + n): ("foreground", str(base + n)) for base in (30, 90) for n in range(8)},
        **{str(base + n): ("background", str(base + n)) for base in (40, 100) for n in range(8)},
        "39": ("foreground", ""),
        "49": ("background", ""),
    }
)
_EXTENDED: Final = MappingProxyType({"38": "foreground", "48": "background", "58": ""})
"""Parameters that are followed by a colour; that of underlines (58) is read over."""

_BASIC: Final = (0x000000, 0xCD0000, 0x00CD00, 0xCDCD00, 0x0000EE, 0xCD00CD, 0x00CDCD, 0xE5E5E5)
_BRIGHT: Final = (0x7F7F7F, 0xFF0000, 0x00FF00, 0xFFFF00, 0x5C5CFF, 0xFF00FF, 0x00FFFF, 0xFFFFFF)
_LEVELS: Final = (0, 95, 135, 175, 215, 255)
_NEAR: Final = 64
"""How far two colours may be apart, in every channel, to count as one."""


class Style(NamedTuple):
    """How text looks. Colours are SGR's own parameters (``"31"``, ``"48;5;7"``), empty for the terminal's own."""

    foreground: str = ""
    background: str = ""
    flags: tuple[str, ...] = ()

    def sequence(self) -> str:
        """The control sequence after which text looks so, without the ESC that begins it."""
        if self.foreground and not self.background and not self.flags:
            return f"[0;{self.foreground}m"
        background = "" if _near(self.foreground, self.background) else self.background
        return f"[{';'.join(part for part in ('0', *self.flags, self.foreground, background) if part)}m"


DEFAULT: Final = Style()


def _near(foreground: str, background: str) -> bool:
    """Would text of these colours be hard to see? Colours of the terminal's own choice are not known."""
    if not foreground or not background:
        return False
    pairs = zip(_channels(foreground), _channels(background), strict=True)
    return all(abs(one - other) < _NEAR for one, other in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, as xterm has them by default."""
    parts = [int(part) for part in colour.split(";")]
    if len(parts) == 5:
        return parts[2], parts[3], parts[4]
    if len(parts) == 3:
        index = parts[2]
        if index >= 232:
            return (8 + 10 * (index - 232),) * 3
        if index >= 16:
            index -= 16
            return _LEVELS[index // 36], _LEVELS[index // 6 % 6], _LEVELS[index % 6]
        value = (_BASIC + _BRIGHT)[index]
    else:
        (code,) = parts
        value = (_BRIGHT if code >= 90 else _BASIC)[code % 10]
    return value >> 16, value >> 8 & 255, value & 255


def _number(text: str) -> str | None:
    """``text`` as a colour's component without superfluous zeros; ``None`` if it is none. Empty means 0."""
    value = text.lstrip("0") or "0"
    if not (value.isascii() and value.isdecimal()) or len(value) > 3:
        return None
    return value if int(value) < 256 else None


def _colour(kind: str, components: list[str], role: str) -> str | None:
    numbers = [_number(component) for component in components]
    wanted = {"5": 1, "2": 3}.get(kind)
    if len(numbers) != wanted or None in numbers:
        return None
    return ";".join([role, kind, *map(str, numbers)])


def _subparameters(parts: list[str]) -> str | None:
    """``38:5:n``, ``38:2:r:g:b`` or ``38:2:space:r:g:b`` as a colour."""
    kind, components = parts[1], parts[2:]
    if kind == "2" and len(components) > 3:
        components = components[1:4]
    return _colour(kind, components, parts[0])


_direct: Final = re.compile("([34]8);2;([0-9]{1,3});([0-9]{1,3});([0-9]{1,3})")
"""FAST: the whole of most sequences of pictures and gradients."""


def apply(style: Style, parameters: str) -> Style:
    """``style`` after the sequence with these parameters (what stands between ``CSI`` and ``m``).

    Parameters that are not known are passed over; after a colour that is none, so is the rest, since nobody can say
    where it ends.
    """
    direct = _direct.fullmatch(parameters)
    if direct is not None:
        role, *components = direct.groups()
        numbers = [int(component) for component in components]
        if max(numbers) < 256:
            return _with_colour(style, _EXTENDED[role], "{};2;{};{};{}".format(role, *numbers))
    words = iter(parameters.split(";"))
    for word in words:
        name, colon, _ = word.partition(":")
        name = name.lstrip("0")
        if name in _EXTENDED:
            colour = _subparameters(word.split(":")) if colon else _following(words, name)
            if colour is None:
                return style
            style = _with_colour(style, _EXTENDED[name], colour)
        elif colon:
            # 4:3 is a curly underline, 4:0 is none; nothing else has subparameters.
            if name == "4":
                style = _with_flag(style, "4", word[2:].strip("0:") != "")
        elif not name:
            style = DEFAULT
        elif name in FLAGS:
            style = _with_flag(style, name, True)
        elif name in _OFF:
            for flag in _OFF[name]:
                style = _with_flag(style, flag, False)
        elif name in _COLOURED:
            style = _with_colour(style, *_COLOURED[name])
    return style


def _following(words: Iterator[str], role: str) -> str | None:
    """The colour in the parameters that follow ``38`` or ``48``."""
    kind = next(words, "").lstrip("0")
    count = {"5": 1, "2": 3}.get(kind, 0)
    return _colour(kind, [next(words, "?") for _ in range(count)], role)


def _with_flag(style: Style, flag: str, on: bool) -> Style:
    flags = {*style.flags, flag} if on else {*style.flags} - {flag}
    return Style(style.foreground, style.background, tuple(sorted(flags)))


def _with_colour(style: Style, layer: str, colour: str) -> Style:
    foreground, background, flags = style
    if layer == "foreground":
        return Style(colour, background, flags)
    return Style(foreground, colour, flags) if layer else style
