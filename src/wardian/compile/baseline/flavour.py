"""What stencils depend on besides the machine: how memory 0 is addressed and checked.

Invariant: two modules of one flavour can use the same stencils.
"""

from __future__ import annotations

from typing import Final, final

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


WHOLE_PAGES: Final = 16
"""log2 of the usual size of a page."""


def flavour(module: Module, options: CodeOptions) -> Flavour:
    """What stencils the module takes."""
    memories = module.memory_types()
    usual = [type_ for type_ in memories[:1] if type_.page_size_log2 == WHOLE_PAGES]
    # The first memory, if stencils of its own reach it, and else any.
    first = usual[0] if usual else MemoryType(TypeLimits(0))
    return Flavour(_relevant(options), first.limits.is64, first.shared)


def every(options: CodeOptions) -> tuple[Flavour, ...]:
    """All that modules compiled with these options can have, or with exceptions."""
    both = (False, True)
    return tuple(
        Flavour(_relevant(options.__replace__(exceptions=exceptions)), is64, shared)
        for exceptions in both
        for is64 in both
        for shared in both
    )


def _relevant(options: CodeOptions) -> CodeOptions:
    """Options without what is the same to stencils."""
    usual = CodeOptions()
    return options.__replace__(opt=usual.opt, optimise_below=usual.optimise_below)
