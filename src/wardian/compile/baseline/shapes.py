"""Where operands of baseline code are, and which combinations of places stencils exist for.

An operand at depth ``d`` of the stack has a place of its own: an operand register for the first four, else a slot of
the frame. Until it must be there it may also be a constant or the place of a local. Invariant: the operand registers
named in a shape are those of neighbouring depths, so :func:`variants` lists every combination that can arise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

WORD: Final = 0
FLOAT: Final = 1
VECTOR: Final = 2
"""Classes of places: integers and references; floats; halves of vectors. A vector is two operands, always in
neighbouring slots: the upper half, and then, at the lower address, the lower one."""

OPERANDS: Final = 4
"""Operand registers of each class: codes 0 to 3."""
PINNED: Final = (3, 2)
"""Registers for locals of each class: codes from 4 on."""
SLOT: Final = 7
CONSTANT: Final = 8

MOST_PAIRS: Final = 8
"""Functions return by stencils of their own as long as they have fewer pairs of words of parameters on the stack."""

Place: TypeAlias = "tuple[int, ...]"
"""``(code, value, class)``; the value is a slot's displacement from the frame pointer, or the constant.

Not ``tuple[int, int, int]``: mypyc would take such tuples apart and build them anew whenever they pass a list."""

Shape: TypeAlias = "tuple[int, ...]"
"""Codes of the operands and then of the result, if there is one."""


def pack(shape: Shape) -> int:
    key = 0
    for i, code in enumerate(shape):
        key |= code << (4 * i)
    return key


def _elsewhere(cls: int, constants: bool) -> list[int]:
    """Codes of places that are not an operand's own register."""
    found = [*range(OPERANDS, OPERANDS + PINNED[cls]), SLOT]
    return [*found, CONSTANT] if constants else found


def variants(classes: tuple[int, ...], constants: tuple[bool, ...], result: int | None) -> Iterator[Shape]:
    """All shapes of an instruction with operands of ``classes``, of which ``constants`` may be constants.

    ``result`` is the class of its result, if it has one.
    """
    for depth in range(OPERANDS + 1):
        owns = [depth + i if depth + i < OPERANDS else SLOT for i in range(len(classes))]
        choices = [[own, *_elsewhere(c, k)] for own, c, k in zip(owns, classes, constants, strict=True)]
        if result is not None:
            choices.append([depth if depth < OPERANDS else SLOT, *_elsewhere(result, False)])
        shapes: list[Shape] = [()]
        for codes in choices:
            shapes = [(*shape, code) for shape in shapes for code in dict.fromkeys(codes)]
        yield from shapes
