"""What the baseline compiler does with vectors, atomics and wide arithmetic: operands in slots, and the result.

Invariant: the halves of a vector are moved one by one but always together, so they lie in neighbouring slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wardian.compile.baseline.facts import (
    FAR,
    MAX_OFFSET,
    NEAR,
    access_group,
    classes_of,
    copy_group,
    local_class,
)
from wardian.compile.baseline.function import Baseline
from wardian.compile.baseline.library import Stencil
from wardian.compile.baseline.shapes import SLOT, VECTOR, WORD, Place
from wardian.syntax import families as f
from wardian.syntax.instructions import BY_NAME, Row
from wardian.syntax.types import I32, I64, V128, NumType
from wardian.vm.layout import SEGMENT

_LANES: Final = (f.SimdExtractLane, f.SimdReplaceLane)
LANE_ACCESSES: Final = (f.SimdLoadLane, f.SimdStoreLane)
_ACCESSES: Final = (
    f.SimdLoad,
    f.SimdLoadExtend,
    f.SimdLoadSplat,
    f.SimdLoadZero,
    f.SimdLoadLane,
    f.SimdStore,
    f.SimdStoreLane,
    f.AtomicLoad,
    f.AtomicStore,
    f.AtomicRmw,
    f.AtomicCmpxchg,
    f.AtomicWait,
    f.AtomicNotify,
)
_TAKES_VECTOR: Final = (f.SimdLoadLane, f.SimdStore, f.SimdStoreLane)
_GIVES_NONE: Final = (f.SimdStore, f.SimdStoreLane)
Signature: TypeAlias = "tuple[tuple[NumType, ...], NumType | None]"

_ATOMICS: Final[Mapping[type[f.Family], Callable[[Any, NumType], Signature]]] = MappingProxyType(
    {
        f.AtomicLoad: lambda family, address: ((address,), family.type),
        f.AtomicStore: lambda family, address: ((address, family.type), None),
        f.AtomicRmw: lambda family, address: ((address, family.type), family.type),
        f.AtomicCmpxchg: lambda family, address: ((address, family.type, family.type), family.type),
    }
)
_NOWHERE: Final = 0xFF
"""An index of ``i8x16.swizzle`` that gives 0."""


def works_on_slots(row: Row) -> bool:
    """Is there a group of stencils for ``row``, with operands in slots anywhere?"""
    if isinstance(row.family, f.Const | f.SimdShuffle):
        return False
    return row.feature in ("simd", "relaxed_simd") or type(row.family) in _ATOMICS


def signature(row: Row, address: NumType) -> Signature:
    """Types of the operands and of the result of an instruction that works on slots."""
    atomic = _ATOMICS.get(type(row.family))
    if atomic is not None:
        return atomic(row.family, address)
    if isinstance(row.family, _ACCESSES):
        params = (address, V128) if isinstance(row.family, _TAKES_VECTOR) else (address,)
        return params, None if isinstance(row.family, _GIVES_NONE) else V128
    assert row.params is not None and row.results
    result = row.results[0]
    assert isinstance(result, NumType)
    return tuple(t for t in row.params if isinstance(t, NumType)), result


_OTHERS: Final[Mapping[type[f.Family], Callable[[Any, NumType], Signature]]] = MappingProxyType(
    {
        f.Load: lambda family, address: ((address,), family.type),
        f.Store: lambda family, address: ((address, family.type), None),
        f.MemorySize: lambda family, address: ((), address),
        f.MemoryGrow: lambda family, address: ((address,), address),
        f.MemoryFill: lambda family, address: ((address, I32, address), None),
        f.MemoryInit: lambda family, address: ((address, I32, I32), None),
        f.AtomicWait: lambda family, address: ((address, family.type, I64), I32),
        f.AtomicNotify: lambda family, address: ((address, I32), I32),
    }
)


def takes_memory(row: Row) -> bool:
    """Is :func:`access_signature` for this row?"""
    return isinstance(row.family, (*_ACCESSES, *_OTHERS))


def access_signature(row: Row, address: NumType) -> Signature:
    """Types of the operands and of the result of an instruction on one memory."""
    other = _OTHERS.get(type(row.family))
    return signature(row, address) if other is None else other(row.family, address)


def immediates(row: Row, offset: int) -> Iterator[tuple[int, Any]]:
    """``(key of the stencil, immediate)`` for each stencil of a row."""
    family = row.family
    if isinstance(family, _LANES):
        yield from ((lane, lane) for lane in range(family.shape.lanes))
    elif isinstance(family, LANE_ACCESSES):
        yield from ((lane, (0, offset, 0, lane)) for lane in range(family.shape.lanes))
    else:
        yield 0, (0, offset, 0) if isinstance(family, _ACCESSES) else None


def halves(place: Place) -> tuple[Place, Place]:
    """The operands a vector local is."""
    return (SLOT, place[1] + 8, VECTOR), (SLOT, place[1], VECTOR)


def take(c: Baseline) -> int:
    """Pop an operand, a vector or not: displacement of the slot or slots it is in."""
    ops = c.ops
    place = ops.pop()
    if place[2] == VECTOR:
        assert ops.pop()[1] == place[1] + 8, "a vector was torn apart"
        return place[1]
    slot = c.slot(len(ops), place[2])
    if place != slot:
        c.move(place, slot)
    return slot[1]


def give(c: Baseline) -> int:
    """Push a vector that is about to be made: displacement of its slots."""
    c.ops.append(c.own(len(c.ops), VECTOR))
    c.ops.append(c.own(len(c.ops), VECTOR))
    return c.ops[-1][1]


def on_slots(c: Baseline, offset: int, row: Row, imm: Any) -> None:
    """Any instruction of :func:`works_on_slots`."""
    family = row.family
    if isinstance(family, _ACCESSES) and c.facts.is_rare(imm):
        rare_access(c, row, imm)
        return
    at = imm[1] if isinstance(family, _ACCESSES) else 0
    key = imm[3] if isinstance(family, LANE_ACCESSES) else imm if isinstance(family, _LANES) else 0
    params, result = signature(row, c.facts.memory_address())
    taken = [take(c) for _ in params]
    taken.reverse()
    d = 0
    if result is V128:
        d = give(c)
    elif result is not None:
        place = c.slot(len(c.ops), local_class(result))
        c.ops.append(place)
        d = place[1]
    c.emit(c.do[row.index].get(key), **dict(zip("abc", taken, strict=False)), d=d, i=at, j=c.facts.memories_at)


def rare_access(c: Baseline, row: Row, imm: Any) -> None:
    """An access to another memory than the first, or at a large offset."""
    facts, memory, at = c.facts, imm[2], imm[1]
    group = facts.more_group(access_group(row.name, facts.memory(memory), FAR if at >= MAX_OFFSET else NEAR))
    key = imm[3] if isinstance(row.family, LANE_ACCESSES) else 0
    # No memory reaches as far, wherever exactly; what counts is how far from a multiple of the access it is.
    _on_memory(c, group.get(key), row, memory, at if at < _NOWHERE_NEAR else _NOWHERE_NEAR | at & _LINE)


def whole_memory(c: Baseline, offset: int, row: Row, imm: Any) -> None:
    """``memory.size``, ``grow``, ``fill``, ``init``."""
    facts = c.facts
    segment, memory = imm if isinstance(row.family, f.MemoryInit) else (0, imm)
    usual = not memory and not facts.odd_pages
    group = c.do[row.index] if usual else facts.more_group(access_group(row.name, facts.memory(memory)))
    _on_memory(c, group.get(0), row, memory, facts.layout.datas + SEGMENT.size * segment)


def _on_memory(c: Baseline, stencil: Stencil, row: Row, memory: int, i: int) -> None:
    layout = c.facts.layout
    params, result = access_signature(row, c.facts.memory_address(memory))
    a, d = c.arguments(len(classes_of(params))), 0
    if result is V128:
        d = give(c)
    elif result is not None:
        place = c.slot(len(c.ops), local_class(result))
        c.ops.append(place)
        d = place[1]
    c.emit(stencil, a=a, c=layout.memory_bases + 8 * memory, d=d, i=i, j=layout.memories + 8 * memory)


def memory_copy(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    facts, layout = c.facts, c.facts.layout
    target, source = imm
    a = c.arguments(3)
    if imm == (0, 0) and not facts.odd_pages:
        c.emit(c.do[row.index].get(0), a=a, j=facts.memories_at)
        return
    stencil = facts.more_group(copy_group(facts.memory(target), facts.memory(source))).get(0)
    bases, definitions = layout.memory_bases, layout.memories
    there, here = 8 * source, 8 * target
    c.emit(stencil, a=a, b=bases + there, c=bases + here, i=definitions + there, j=definitions + here)


_NOWHERE_NEAR: Final = 1 << 62
_LINE: Final = 63


def atomic_call(c: Baseline, offset: int, row: Row, imm: tuple[int, int, int]) -> None:
    """``memory.atomic.wait`` and ``notify``: the operands in neighbouring slots, as of a call."""
    if c.facts.is_rare(imm):
        rare_access(c, row, imm)
        return
    at = imm[1]
    a = c.arguments(3 if isinstance(row.family, f.AtomicWait) else 2)
    d = c.slot(len(c.ops), WORD)
    c.emit(c.do[row.index].get(0), a=a, d=d[1], i=at, j=c.facts.memories_at)
    c.ops.append(d)


def wide(c: Baseline, offset: int, row: Row, imm: None) -> None:
    """Of wide arithmetic: operands in neighbouring slots, and both results in the first of them."""
    assert row.params is not None and row.results is not None
    a = 0
    for _ in row.params:
        a = take(c)
    for _ in row.results:
        c.ops.append(c.slot(len(c.ops), WORD))
    c.emit(c.do[row.index].get(0), a=a)


def fence(c: Baseline, offset: int, row: Row, imm: None) -> None:
    c.emit(c.do[row.index].get(0))


def vector_const(c: Baseline, offset: int, row: Row, imm: bytes) -> None:
    _put(c, give(c), imm)


def _put(c: Baseline, to: int, value: bytes) -> None:
    for at in (0, 8):
        word = int.from_bytes(value[at : at + 8], "little", signed=True)
        c.emit(c.group("const w").get(SLOT), a=word, d=to + at)


def shuffle(c: Baseline, offset: int, row: Row, imm: bytes) -> None:
    """Both operands' bytes put in place by ``i8x16.swizzle``, and joined."""
    b, a = take(c), take(c)
    to = give(c)
    indices = c.own(len(c.ops) + 3, VECTOR)[1]
    swizzle, join = (c.do[BY_NAME[name].index].get(0) for name in ("i8x16.swizzle", "v128.or"))
    _put(c, indices, bytes(i if i < 16 else _NOWHERE for i in imm))
    c.emit(swizzle, a=a, b=indices, d=to)
    _put(c, indices, bytes(i - 16 if i >= 16 else _NOWHERE for i in imm))
    c.emit(swizzle, a=b, b=indices, d=indices)
    c.emit(join, a=to, b=indices, d=to)


def set_vector(c: Baseline, home: Place) -> None:
    """``local.set`` of a vector."""
    value = c.ops[-2:]
    del c.ops[-2:]
    for source, target in zip(value, halves(home), strict=True):
        if source != target:
            c.unhand(target)
            c.move(source, target)


def select_vector(c: Baseline) -> None:
    condition, y, x = take(c), take(c), take(c)
    c.emit(c.group("select v").get(0), x, y, condition, give(c))
