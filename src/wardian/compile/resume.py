"""Entering an optimised function at one of its loops: what on-stack replacement compiles.

Values that wait on the operand stack below a block are SSA values defined before it. A second way into the middle of
the function would go around those definitions, so here each of them has a slot of the frame: filled where the block
begins, or by whoever enters, and read again wherever ways meet. LLVM makes SSA values of the slots, as it does of
locals.

Invariant: wherever two ways meet that the entrance could lead to, no operand is an SSA value from before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from wardian.compile.emit import Value
from wardian.compile.function import Lowering, Resume
from wardian.compile.loops import Step
from wardian.syntax.families import Block, Else, End, If, Loop, TryTable
from wardian.syntax.instructions import Row

_OPENS: Final = (Block, Loop, If, TryTable)


@final
class Resumption:
    """Stands before a :class:`Lowering`'s step and keeps the operands below every block in slots."""

    __slots__ = ("_lowering", "_resume", "_seen", "_slots", "_step")

    def __init__(self, lowering: Lowering, resume: Resume, step: Callable[..., None]) -> None:
        self._lowering = lowering
        self._resume = resume
        self._step = step
        self._slots: list[Value] = []
        self._seen = 0

    def before(self, step: Step) -> None:
        """To be called with every instruction, once, before anything is done for it: finds the loop to enter at."""
        _, row, _, reachable = step
        if reachable and isinstance(row.family, Loop):
            self._seen += 1
            if self._seen == self._resume.loop:
                self._enter()

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        """See :meth:`Lowering.step`."""
        lo = self._lowering
        family = row.family
        if isinstance(family, _OPENS):
            if reachable:
                self._spill(1 if isinstance(family, If) else 0)
            self._step(offset, row, imm, reachable)
            del self._slots[lo.frames[-1].height :]
            if reachable and isinstance(family, Loop):
                self._reload()
        elif isinstance(family, Else | End):
            live = lo.frames[-1].kind != "dead"
            self._step(offset, row, imm, reachable)
            if live and lo.frames:
                self._reload()
                if isinstance(family, End):
                    # What lies above the block around this one will be other operands by the next time.
                    del self._slots[lo.frames[-1].height :]
        else:
            self._step(offset, row, imm, reachable)

    def _spill(self, above: int) -> None:
        """Give every operand a slot, but the ``above`` topmost ones."""
        lo = self._lowering
        kept = lo.stack[len(lo.stack) - above :]
        del lo.stack[len(lo.stack) - above :]
        lo.stack = lo.pop_n(len(lo.stack))
        for value in lo.stack[len(self._slots) :]:
            slot = lo.b.local(value[1])
            lo.b.store(value, slot, "")
            self._slots.append(slot)
        lo.stack += kept

    def _reload(self) -> None:
        """Read what lies below the innermost block again."""
        lo = self._lowering
        for i, slot in enumerate(self._slots):
            lo.stack[i] = lo.b.load(slot, lo.stack[i][1], "")

    def _enter(self) -> None:
        """Make the entrance: it fills locals and operands from the frame that is taken over."""
        lo, b = self._lowering, self._lowering.b
        self._spill(0)
        label = b.label()
        b.br(label)
        kept, b.lines = b.lines, []
        places = list(zip(self._resume.locals, lo.locals, lo.local_types, strict=True))
        at = self._resume.operands + 8
        for slot, (_, kind) in zip(self._slots, lo.stack, strict=True):
            at -= 16 if kind[0] == "<" else 8
            places.append((at, slot, kind))
        for at, slot, kind in places:
            b.store(b.load(b.offset(("%fp", "ptr"), at), kind, ""), slot, "")
        b.br(label)
        lo.resumed, b.lines = b.lines, kept
        b.start(label)
        self._reload()
