"""What the baseline compiler does with tail calls: the callee gets the place of this function's frame.

Invariant: when control leaves, registers and stack are as the caller of this function would have left them, had it
called the callee: what callers expect back is back, and as many bytes as the callee takes off the stack lie above the
return address, in the room that this function would have taken off (:func:`wardian.compile.baseline.machine.popped`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wardian.compile.baseline.facts import LETTERS, MANY, classes_of, results_name
from wardian.compile.baseline.function import Baseline
from wardian.compile.baseline.machine import FLOAT_ARGUMENTS, WORD_ARGUMENTS, popped
from wardian.compile.baseline.shapes import VECTOR, WORD
from wardian.syntax.types import V128, ValType
from wardian.vm.abi import pads

_WORD_BYTES: Final = 8


def tail_call(
    c: Baseline, kind: str, type_index: int, above: int = 0, i: int = 0, j: int = 0, ancestor: int = 0
) -> None:
    """Leave for a callee of this type, which the ``above`` topmost operands say, with holes as calls have them."""
    c.tails = True
    type_ = c.facts.func_type(type_index)
    count = len(classes_of(type_.params))
    first = c.arguments(count + above)
    callee = first - _WORD_BYTES * count
    other_way = c.emit(c.group(f"callee {kind}").get(0), a=callee, c=ancestor, i=i, j=j)
    registers, stacked = _places(type_.params, first, results_name(type_.results) == MANY)
    stacked += [callee] * len(pads(type_, c.facts.module.types))
    # Nothing that lies below the frame may come to lie where the stack's arguments go.
    c.slot(len(c.ops) + count + above + len(stacked), WORD)
    _leave(c, registers, stacked)
    if other_way:
        c.bind(other_way, len(c.out))
        _leave(c, registers, stacked)


def _places(params: Sequence[ValType], first: int, buffer: bool) -> tuple[list[tuple[str, int, int]], list[int]]:
    """``(letter, number of the register, displacement)`` of the arguments in registers, and the displacements of all
    words on the stack, in order; for a word without meaning, that of any."""
    registers: list[tuple[str, int, int]] = []
    stacked: list[int] = []
    free = [iter(range(1 if buffer else 0, len(WORD_ARGUMENTS))), iter(range(len(FLOAT_ARGUMENTS)))]
    at = first + _WORD_BYTES
    for of_type in params:
        (cls, *_) = classes_of((of_type,))
        at -= 2 * _WORD_BYTES if of_type is V128 else _WORD_BYTES
        number = next(free[cls != WORD], None)
        if number is not None:
            registers.append((LETTERS[cls], number, at))
        elif cls == VECTOR:
            stacked += [at] * (len(stacked) & 1)
            stacked += [at, at + _WORD_BYTES]
        else:
            stacked.append(at)
    return registers, stacked


def _leave(c: Baseline, registers: list[tuple[str, int, int]], stacked: list[int]) -> None:
    for at in stacked:
        c.emit(c.group("pass on stack").get(0), a=at)
    if c.results_at:
        c.emit(c.group("pass w").get(0), a=c.results_at)
    for letter, number, at in registers:
        c.emit(c.group(f"pass {letter}").get(number), a=at)
    c.emit(c.group("leave").get(0), i=_WORD_BYTES + c.stack_bytes - popped(len(stacked)))
    for number in range(len(stacked), 0, -1):
        c.emit(c.group("put on stack").get(0), i=_WORD_BYTES * number)
    c.emit(c.group("go").get(0))
