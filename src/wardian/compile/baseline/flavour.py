"""What stencils depend on besides the machine: how memory 0 is addressed and checked.

Invariant: two modules of one flavour can use the same stencils.
"""

from __future__ import annotations

from typing import final

from wardian.compile.options import CodeOptions
from wardian.record import Record
from wardian.syntax.module import Module
from wardian.syntax.types import MemoryType, TypeLimits


@final
class Flavour(Record):
    """What, besides the machine, stencils depend on."""

    options: CodeOptions
    is64: bool
    shared: bool

    def memory(self) -> MemoryType:
        return MemoryType(TypeLimits(0, None, self.is64), self.shared)


def flavour(module: Module, options: CodeOptions) -> Flavour | None:
    """What stencils the module takes; ``None``: there are none for its memory."""
    memories = module.memory_types()
    first = memories[0] if memories else MemoryType(TypeLimits(0))
    if first.page_size_log2 != 16:
        return None
    return Flavour(
        CodeOptions(checks=options.checks, exceptions=options.exceptions), first.limits.is64, first.shared
    )


def every() -> tuple[Flavour, ...]:
    """All there are."""
    both = (False, True)
    return tuple(
        Flavour(CodeOptions(checks=checks, exceptions=exceptions), is64, shared)
        for checks in ("guard", "explicit")
        for exceptions in both
        for is64 in both
        for shared in both
    )
