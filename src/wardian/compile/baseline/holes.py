"""Immediates that are not known when a stencil is made: symbols that print as LLVM constants.

Invariant: a hole's number is only a stand-in that steers the lowering (an offset that guard pages cover); the machine
code refers to the symbol, and whoever copies the stencil puts the real number there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn, final

from wardian.compile.emit import Unknown

RANGES: Final = {
    "s": "!{i64 -2147483648, i64 2147483648}",
    "u": "!{i64 0, i64 4294967296}",
    "q": "!{i64 -1, i64 -1}",
}
"""Last letter of a symbol -> the numbers it can stand for, for LLVM to choose encodings by."""

NAMES: Final = ("A", "B", "C", "D", "I", "J")
"""What a hole may name: the value of each operand's place, of the result's place, and two immediates."""


@final
class Hole(Unknown):
    """The symbol ``@NAME_RANGE`` plus a constant, usable wherever the lowering takes an integer it only prints.

    ``like`` is a number that steers the lowering as all do that may be put there. ``register``: where the number, and
    what is added to it, has been put (:func:`in_register`), since LLVM takes a symbol for less than 2^31.
    """

    symbol: str
    added: int
    like: int
    register: str

    def __new__(cls, symbol: str, added: int = 0, like: int = 1, register: str = "") -> Hole:
        self = super().__new__(cls, like + added)
        self.like = like
        self.register = register
        self.symbol = symbol
        self.added = added
        return self

    def __bool__(self) -> bool:
        """The real number may be anything, so nothing may be left out because the stand-in is 0."""
        return True

    def __add__(self, other: int) -> Hole:
        return Hole(self.symbol, self.added + other, self.like, self.register)

    __radd__ = __add__

    def __sub__(self, other: int) -> Hole:
        return Hole(self.symbol, self.added - other, self.like, self.register)

    def _refuse(self, *_: object) -> NoReturn:
        # Done to the stand-in it would give a constant, and machine code that has nothing to do with the real number.
        raise AssertionError(f"{self.symbol} is only known when the stencil is copied")

    __rsub__ = __mul__ = __neg__ = __invert__ = __floordiv__ = __mod__ = __pow__ = _refuse
    __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __rlshift__ = __rrshift__ = _refuse

    def __rmul__(self, other: int) -> Hole:
        """What a table of words is indexed with: the number put there is the displacement already."""
        return self

    def text(self, type: str) -> str:
        return str(self) if type == "i64" else f"ptrtoint (ptr {pointer(self.symbol, self.added)} to {type})"

    def __str__(self) -> str:
        if self.register:
            return in_register(self.register, self.added)
        return f"ptrtoint (ptr {pointer(self.symbol, self.added)} to i64)"

    __repr__ = __str__


def pointer(symbol: str, added: int = 0) -> str:
    return f"@{symbol}" if not added else f"getelementptr (i8, ptr @{symbol}, i64 {added})"


def in_register(register: str, added: int) -> str:
    """Name of the value that is a hole plus a constant, at least -1."""
    return f"%{register}{added + 1}"


def narrow(symbol: str) -> str:
    """The hole as an ``i32``."""
    return f"ptrtoint (ptr @{symbol} to i32)"


def wide(symbol: str) -> str:
    """The hole as an ``i64``."""
    return f"ptrtoint (ptr @{symbol} to i64)"


@final
class Anywhere:
    """Stands for an offset of a module's layout: whatever is added to it, the sum is a hole.

    A table of words of which ``each`` has a hole of its own refuses all others.
    """

    def __init__(self, symbol: str, each: Mapping[int, str] | None = None) -> None:
        self.symbol = symbol
        self.each = each

    def __add__(self, other: int) -> Hole:
        return Hole(self.symbol if self.each is None else self.each[other // 8])


def declarations(text: str) -> str:
    """What declares every hole that ``text`` uses."""
    used = [f"{name}_{kind}" for name in NAMES for kind in RANGES if f"@{name}_{kind}" in text]
    lines = [f"@{symbol} = external dso_local global i8, !absolute_symbol !{90 + i}" for i, symbol in enumerate(used)]
    lines += [f"!{90 + i} = {RANGES[symbol[-1]]}" for i, symbol in enumerate(used)]
    return "\n".join(lines)
