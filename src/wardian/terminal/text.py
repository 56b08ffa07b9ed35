"""What a character may be on a terminal: passed, or shown as an inert stand-in.

This is the part for ASCII, after ECMA-48; the mapping of control codes to pictures (``U+0000`` -> ``U+2400``) is that
of WASI's first terminal filter. The rest of Unicode is in :mod:`wardian.terminal.wide`.

Invariant: no stand-in contains a control code, a format character or anything that is itself replaced, so a text
that was made harmless stays as it is when that is done again.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

ESC: Final = "\x1b"


def code(char: str) -> str:
    """The stand-in of a character nobody can see: ``<U+202E>``."""
    return f"<U+{ord(char):04X}>"


def picture(control: int) -> str:
    """The stand-in of a C0 control code, or of DEL: Unicode's picture of it, ``␛`` for ESC."""
    return chr(0x2421 if control == 0x7F else 0x2400 + control)


CONTROLS: Final = (*range(0x09), *range(0x0B, 0x20), 0x7F)
"""Every control code of ASCII but tab and line feed."""

PICTURES: Final = MappingProxyType({bytes((value,)): picture(value).encode() for value in CONTROLS})
"""Control codes as bytes -> their stand-ins in UTF-8. A control code is never part of a longer UTF-8 sequence, so
these may be replaced before decoding."""


def ascii_table(*kept: str) -> str:
    """For ``codecs.charmap_decode``: bytes below 0x80 as characters, control codes but ``kept`` as pictures."""
    return "".join(
        picture(value) if value in CONTROLS and chr(value) not in kept else chr(value) for value in range(128)
    )


def deletions(*kept: str) -> bytes:
    """All bytes that are no control code, and ``kept``: what remains without them is what must be replaced."""
    return bytes(value for value in range(256) if value not in CONTROLS or chr(value) in kept)


PLAIN: Final = bytes((0x09, 0x0A, *range(0x20, 0x7F)))
"""Bytes that pass as they are, whatever stands around them."""
