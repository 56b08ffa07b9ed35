"""Spec appendix "Index of Instructions": what the table in :mod:`wardian.syntax.instructions` says of one instruction.

Invariant: a row never changes. It has a file of its own because the compiled build (setup.py) reads rows natively,
and the table cannot be compiled.
"""

from __future__ import annotations

from typing import TypeAlias, final

from wardian.syntax.families import Family
from wardian.syntax.immediates import Imm
from wardian.syntax.types import ValType

Signature: TypeAlias = "tuple[tuple[ValType, ...], tuple[ValType, ...]] | tuple[None, None]"


@final
class Row:
    """One instruction.

    ``index`` is its dense position in :data:`ROWS`; ``opcode`` its byte, or ``(prefix << 16) | sub-opcode``; ``name``
    its text mnemonic; ``imm`` the kind of its immediates. ``params`` and ``results`` are both ``None`` where the type
    depends on immediates, on the operand stack, or on the address type of a memory or table. ``feature`` is a field of
    :class:`wardian.limits.Features` or ``"mvp"``. ``traps`` are the codes of the traps it may raise itself.
    """

    __slots__ = ("family", "feature", "imm", "index", "name", "opcode", "params", "results", "traps")

    def __init__(
        self,
        index: int,
        opcode: int,
        name: str,
        imm: Imm,
        signature: Signature,
        feature: str,
        traps: tuple[str, ...],
        family: Family,
    ) -> None:
        self.index = index
        self.opcode = opcode
        self.name = name
        self.imm = imm
        self.params = signature[0]
        self.results = signature[1]
        self.family = family
        self.feature = feature
        self.traps = traps

    def __repr__(self) -> str:
        return f"<{self.name} {self.opcode:#x}>"
