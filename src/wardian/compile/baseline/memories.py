"""Stencils of what is rare about memories: others than the first, and offsets that guard pages do not cover.

They are made when the first function needs one. Operands are in neighbouring slots from ``A`` on, the result in ``D``;
``I`` is the offset, or where the segment is; ``J`` and ``C`` are where the context has the memory and its base, ``B``
and ``I`` of the memory ``memory.copy`` reads. The first memory's base is where every stencil has it.

Invariant: how a memory is addressed and checked is said by its type, which is part of the group's name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from wardian.compile.baseline.facts import FAR, access_group, copy_group
from wardian.compile.baseline.holes import Hole
from wardian.compile.baseline.slots import LANE_ACCESSES, access_signature, takes_memory
from wardian.compile.baseline.templates import Template, push_slots
from wardian.syntax import families as f
from wardian.syntax.instructions import BY_NAME
from wardian.syntax.types import I32, I64, V128, MemoryType, NumType, TypeLimits

if TYPE_CHECKING:
    from wardian.compile.baseline.maker import Maker

_FAR_OFFSET: Final = 1 << 33
"""Steers the lowering as every offset does that no guard page covers."""

def _type_of(name: str) -> MemoryType:
    pages = int(name[3:].removeprefix("shared"))
    return MemoryType(TypeLimits(0, None, name.startswith("i64")), "shared" in name, pages)


def _address(type: MemoryType) -> NumType:
    return I64 if type.limits.is64 else I32


def access(maker: Maker, name: str, memory: str, kind: str, how: str) -> None:
    """``access NAME MEMORY TYPE near|far``: an instruction on one memory, with an immediate lane as the key."""
    row, index, type_ = BY_NAME[name], int(memory), _type_of(kind)
    if not takes_memory(row):
        raise ValueError(f"{name} is about no memory")
    params, result = access_signature(row, _address(type_))
    family = row.family

    def build(t: Template, lane: int = 0) -> None:
        maker.facts.reach({index: type_}, definitions={index: "J_s"}, bases={index: "C_s"})
        push_slots(t, "A_s", params)
        offset = t.far("I_q", like=_FAR_OFFSET, most=V128.size) if how == FAR else Hole("I_s")
        imm: object = (0, offset, index)
        if isinstance(family, LANE_ACCESSES):
            imm = (0, offset, index, lane)
        elif isinstance(family, f.MemorySize | f.MemoryGrow | f.MemoryFill):
            imm = index
        elif isinstance(family, f.MemoryInit):
            imm = (0, index)
        t.do(row, imm)
        if result is not None:
            t.result("")
        if t.lo.calls:
            t.clobber(keep_floats=True)

    lanes = family.shape.lanes if isinstance(family, LANE_ACCESSES) else 1
    for lane in range(lanes):
        maker.single(access_group(name, f"{memory} {kind}", how), lane, partial(build, lane=lane))


def copy(maker: Maker, target: str, target_type: str, source: str, source_type: str) -> None:
    """``copy TARGET TYPE SOURCE TYPE``: ``memory.copy``."""
    to, from_ = int(target), int(source)
    types = {to: _type_of(target_type), from_: _type_of(source_type)}
    both64 = all(type_.limits.is64 for type_ in types.values())
    params = (_address(types[to]), _address(types[from_]), I64 if both64 else I32)

    def build(t: Template) -> None:
        maker.facts.reach(types, definitions={from_: "I_s", to: "J_s"}, bases={from_: "B_s", to: "C_s"})
        push_slots(t, "A_s", params)
        t.do(BY_NAME["memory.copy"], (to, from_))
        t.clobber(keep_floats=True)

    maker.single(copy_group(f"{target} {target_type}", f"{source} {source_type}"), 0, build)


