"""Spec chapter "Validation / Instructions": memories, tables, references, vector lanes and atomic accesses.

Invariant: as in :mod:`wardian.valid.control`. Every access with a memory argument has one row of ``(natural
alignment, operands above the address, results)``, computed from its family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wardian.syntax.families import (
    AtomicCmpxchg,
    AtomicLoad,
    AtomicNotify,
    AtomicRmw,
    AtomicStore,
    AtomicWait,
    Family,
    Load,
    SimdExtractLane,
    SimdLoad,
    SimdLoadExtend,
    SimdLoadLane,
    SimdLoadSplat,
    SimdLoadZero,
    SimdReplaceLane,
    SimdStore,
    SimdStoreLane,
    Store,
)
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32, I64, V128, HeapType, NumType, RefType, TableType, ValType, ref
from wardian.valid.stacks import Stacks

Access: TypeAlias = "tuple[int, tuple[ValType, ...], tuple[ValType, ...], bool]"
"""Natural alignment (log2), operands above the address, results, and whether alignment must be exact (atomics)."""


def _access(size: int, operands: tuple[ValType, ...], results: tuple[ValType, ...], exact: bool = False) -> Access:
    return (size.bit_length() - 1, operands, results, exact)


# fmt: off
_ACCESS: Final[Mapping[type[Family], Callable[[Any], Access]]] = MappingProxyType({
    Load:           lambda f: _access(f.size, (), (f.type,)),
    Store:          lambda f: _access(f.size, (f.type,), ()),
    SimdLoad:       lambda f: _access(16, (), (V128,)),
    SimdStore:      lambda f: _access(16, (V128,), ()),
    SimdLoadExtend: lambda f: _access(8, (), (V128,)),
    SimdLoadSplat:  lambda f: _access(f.bits // 8, (), (V128,)),
    SimdLoadZero:   lambda f: _access(f.bits // 8, (), (V128,)),
    SimdLoadLane:   lambda f: _access(f.shape.bits // 8, (V128,), (V128,)),
    SimdStoreLane:  lambda f: _access(f.shape.bits // 8, (V128,), ()),
    AtomicNotify:   lambda f: _access(4, (I32,), (I32,), True),
    AtomicWait:     lambda f: _access(f.type.size, (f.type, I64), (I32,), True),
    AtomicLoad:     lambda f: _access(f.size, (), (f.type,), True),
    AtomicStore:    lambda f: _access(f.size, (f.type,), (), True),
    AtomicRmw:      lambda f: _access(f.size, (f.type,), (f.type,), True),
    AtomicCmpxchg:  lambda f: _access(f.size, (f.type, f.type), (f.type,), True),
})
# fmt: on


def access_rule(row: Row) -> Callable[[Stacks, Row, Any], None] | None:
    """The rule of a row with a memory argument (and maybe a lane), or ``None`` if it has none."""
    make = _ACCESS.get(type(row.family))
    if make is None:
        return None
    rule = _plain_rule(make(row.family))
    return _lane_rule(make(row.family), rule) if row.imm == Imm.MEMARG_LANE else rule


# -- memories ----------------------------------------------------------------------------------------------------------


def _plain_rule(access: Access) -> Callable[[Stacks, Row, Any], None]:
    natural, operands, results, exact = access

    def rule(v: Stacks, row: Row, imm: tuple[int, int, int]) -> None:
        align, offset, memory = imm
        addresses = v.addresses
        if memory >= len(addresses):
            raise v.invalid(f"unknown memory {memory}")
        if align > natural:
            raise v.invalid(f"alignment must not be larger than natural: 2**{align} > 2**{natural}")
        if exact and align != natural:
            raise v.invalid(f"atomic alignment must be natural: 2**{align} is not 2**{natural}")
        address = addresses[memory]
        if offset > 0xFFFF_FFFF and address is I32:
            raise v.invalid(f"offset out of range: {offset:#x} in a 32-bit memory")
        stack = v.stack
        if operands:
            v.pop_all(operands)
        got = stack.pop()
        if got is not address:
            v.unlike(got, address)
        if results:
            stack.append(results[0])

    return rule


def _lane_rule(access: Access, plain: Callable[[Stacks, Row, Any], None]) -> Callable[[Stacks, Row, Any], None]:
    lanes = 16 >> access[0]

    def rule(v: Stacks, row: Row, imm: tuple[int, int, int, int]) -> None:
        align, offset, memory, lane = imm
        _check_lane(v, lane, lanes)
        plain(v, row, (align, offset, memory))

    return rule


def memory_address(v: Stacks, memory: int) -> NumType:
    addresses = v.addresses
    if memory >= len(addresses):
        raise v.invalid(f"unknown memory {memory}")
    return addresses[memory]


def memory_size(v: Stacks, row: Row, memory: int) -> None:
    v.push(memory_address(v, memory))


def memory_grow(v: Stacks, row: Row, memory: int) -> None:
    address = memory_address(v, memory)
    v.pop(address)
    v.push(address)


def memory_fill(v: Stacks, row: Row, memory: int) -> None:
    address = memory_address(v, memory)
    v.pop_all((address, I32, address))


def memory_copy(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    target = memory_address(v, imm[0])
    source = memory_address(v, imm[1])
    v.pop_all((target, source, _smaller(target, source)))


def memory_init(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    data, memory = imm
    address = memory_address(v, memory)
    check_data(v, data)
    v.pop_all((address, I32, I32))


def data_drop(v: Stacks, row: Row, data: int) -> None:
    check_data(v, data)


def check_data(v: Stacks, data: int) -> None:
    """Raises :class:`InvalidError` (``unknown data segment``). That they are counted is the body stream's business."""
    if data >= len(v.ctx.module.datas):
        raise v.invalid(f"unknown data segment {data}")


def _smaller(a: NumType, b: NumType) -> NumType:
    return I64 if a is I64 and b is I64 else I32


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(v: Stacks, table: int) -> TableType:
    tables = v.ctx.tables
    if table >= len(tables):
        raise v.invalid(f"unknown table {table}")
    return tables[table]


def elem_type(v: Stacks, segment: int) -> RefType:
    """The type of an element segment. Raises :class:`InvalidError` (``unknown elem segment``)."""
    types = v.ctx.elem_types
    if segment >= len(types):
        raise v.invalid(f"unknown elem segment {segment}")
    return types[segment]


def table_get(v: Stacks, row: Row, table: int) -> None:
    t = _table(v, table)
    v.pop(t.limits.address)
    v.push(t.element)


def table_set(v: Stacks, row: Row, table: int) -> None:
    t = _table(v, table)
    v.pop_all((t.limits.address, t.element))


def table_size(v: Stacks, row: Row, table: int) -> None:
    v.push(_table(v, table).limits.address)


def table_grow(v: Stacks, row: Row, table: int) -> None:
    t = _table(v, table)
    v.pop_all((t.element, t.limits.address))
    v.push(t.limits.address)


def table_fill(v: Stacks, row: Row, table: int) -> None:
    t = _table(v, table)
    v.pop_all((t.limits.address, t.element, t.limits.address))


def table_copy(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    target = _table(v, imm[0])
    source = _table(v, imm[1])
    if not v.types.matches_val(source.element, target.element):
        raise v.invalid(f"type mismatch: a table of {source.element} copied to one of {target.element}")
    a, b = target.limits.address, source.limits.address
    v.pop_all((a, b, _smaller(a, b)))


def table_init(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    segment, table = imm
    t = _table(v, table)
    element = elem_type(v, segment)
    if not v.types.matches_val(element, t.element):
        raise v.invalid(f"type mismatch: elements of type {element} in a table of {t.element}")
    v.pop_all((t.limits.address, I32, I32))


def elem_drop(v: Stacks, row: Row, segment: int) -> None:
    elem_type(v, segment)


# -- references --------------------------------------------------------------------------------------------------------


def ref_null(v: Stacks, row: Row, heap: HeapType) -> None:
    v.push(v.check_ref(ref(True, heap)))


def ref_is_null(v: Stacks, row: Row, imm: None) -> None:
    v.pop_ref()
    v.push(I32)


def ref_as_non_null(v: Stacks, row: Row, imm: None) -> None:
    v.push(v.non_null(v.pop_ref()))


def ref_func(v: Stacks, row: Row, function: int) -> None:
    ctx = v.ctx
    if function >= len(ctx.func_types):
        raise v.invalid(f"unknown function {function}")
    if function not in ctx.refs:
        raise v.invalid(f"undeclared function reference: function {function} occurs in bodies only")
    v.push(ref(False, ctx.func_types[function]))


# -- vector lanes ------------------------------------------------------------------------------------------------------


def _check_lane(v: Stacks, lane: int, lanes: int) -> None:
    if lane >= lanes:
        raise v.invalid(f"invalid lane index: {lane} of {lanes}")


def extract_lane(v: Stacks, row: Row, lane: int) -> None:
    family = row.family
    assert isinstance(family, SimdExtractLane)
    _check_lane(v, lane, family.shape.lanes)
    v.pop(V128)
    v.push(family.shape.lane)


def replace_lane(v: Stacks, row: Row, lane: int) -> None:
    family = row.family
    assert isinstance(family, SimdReplaceLane)
    _check_lane(v, lane, family.shape.lanes)
    v.pop_all((V128, family.shape.lane))
    v.push(V128)


def shuffle(v: Stacks, row: Row, lanes: bytes) -> None:
    for lane in lanes:
        _check_lane(v, lane, 32)
    v.pop_all((V128, V128))
    v.push(V128)
