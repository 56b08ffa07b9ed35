"""What the generator of stencils asks of an architecture.

Invariant: the generator itself names no register, no instruction and no relocation; whatever it has to know of a
machine stands in that machine's file. ``x86_64`` is what the engine runs on; stencils for ``aarch64`` are made and
taken apart by tests, and have not run on hardware.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, final

from wardian.record import Record

NUMBER: Final = "number"
WIDE: Final = "wide"
JUMP: Final = "jump"
"""Kinds of fields all machines have: a number of 32 bits, one of 64, a distance of 32 bits from the field itself."""


@final
class Registers(Record):
    """Names of one machine's registers as its assembler spells them.

    ``words`` are, in the order of operand codes (four operands, three pinned locals), all spellings of each integer
    register, widest first, and ``vectors`` those of each vector register (four operands, two pinned).
    """

    words: tuple[tuple[str, ...], ...]
    vectors: tuple[tuple[str, ...], ...]
    pattern: re.Pattern[str]


def registers(words: list[tuple[str, ...]], vectors: list[tuple[str, ...]], sigil: str) -> Registers:
    """``sigil``: what stands before every name, as a regular expression."""
    names = sorted((name for family in words + vectors for name in family), key=len, reverse=True)
    return Registers(tuple(words), tuple(vectors), re.compile(sigil + "(" + "|".join(names) + r")\b"))


@final
class Syntax(Record):
    """A machine's assembler text, as far as it is read."""

    comment: str
    sigil: str
    """What the name of a register begins with."""
    register: re.Pattern[str]
    """Any register; its group is the name without the sigil."""
    jump: re.Pattern[str]
    """An unconditional jump; its group is where to."""
    jump_to: str
    """How one is written, before its target."""
    leaves: tuple[str, ...]
    """What lines that nothing goes on after begin with."""
    conditional: re.Pattern[str]
    """A conditional jump that may go to another stencil: everything before the target, and the target."""
    opposite: Callable[[str], str | None]
    """What such a jump begins with if its condition is the opposite, if it can be said."""
    near: re.Pattern[str] | None
    """Conditional jumps that do not reach other stencils."""
    others: Callable[[frozenset[str]], dict[str, str]]
    """What registers are renamed to that LLVM uses but stencils must leave alone, of all that a stencil uses."""
    call: str
    """What a call begins with. Nobody may rename registers in a stencil that has one."""
    rewritten: Callable[[str], str]
    """Text in which symbols are addresses, with holes as numbers and labels near by."""
    fenced: Callable[[Sequence[str], bool], list[str]] | None
    """Lines with which nothing runs that was only guessed (``spectre="full"``), if the machine has that; the flag: what
    they call or jump to is the guest's choice."""


class Machine(Protocol):
    """A module of these."""

    @property
    def CONVENTION(self) -> str:
        """LLVM's name of the calling convention of stencils."""

    @property
    def PARAMETERS(self) -> tuple[tuple[str, str], ...]:
        """Of every stencil, in an order that puts each into the right register."""

    @property
    def REGISTERS(self) -> Registers: ...

    @property
    def SYNTAX(self) -> Syntax: ...

    @property
    def RELOCATIONS(self) -> Mapping[int, str]:
        """ELF's numbers of relocations -> kinds of fields."""

    @property
    def SPARE_WORDS(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def SPARE_VECTORS(self) -> tuple[tuple[str, ...], ...]:
        """What is fetched from slots goes there; no stencil that has operands in slots uses them itself."""

    @property
    def WORD_ARGUMENTS(self) -> tuple[str, ...]: ...

    @property
    def FLOAT_ARGUMENTS(self) -> tuple[str, ...]: ...

    def prologue(self) -> str: ...
    def epilogue(self, words: int) -> str: ...
    def pass_argument(self, letter: str, register: str) -> str: ...
    def put_aside(self) -> str: ...
    def leave(self) -> str: ...
    def put_back(self) -> str: ...
    def go(self, *, guessed: bool) -> str: ...
    def load_base(self) -> str: ...
    def argument(self, cls: int, register: str, code: int) -> str: ...
    def stack_argument(self, cls: int, code: int) -> str: ...
    def vector_argument(self, register: str) -> str: ...
    def result(self, cls: int | None, code: int) -> str: ...
    def vector_result(self) -> str: ...
    def result_pair(self, letters: str) -> str: ...
    def clear(self) -> str: ...
    def clear_slot(self) -> str: ...
    def clear_word(self, code: int) -> str: ...
    def clear_float(self, code: int) -> str: ...
    def fetch(self, type: str, hole: str, register: str) -> str: ...
    def store(self, type: str, register: str) -> str: ...
    def move(self, cls: int, source: int, target: int) -> str: ...

    def patch(self, code: bytearray, at: int, kind: str, value: int) -> None:
        """Put a number, or a distance, into the field at ``at``. Raises ``struct.error`` if it does not fit."""
