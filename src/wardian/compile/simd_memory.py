"""Lowering of vector loads and stores; every address comes from :mod:`wardian.compile.bounds`.

Invariant: an access touches exactly the bytes its instruction names. What is narrower than a vector is loaded as one
integer, for a vector type that the machine lacks could be split into several accesses.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import bounds, simd
from wardian.compile.emit import GUEST, Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.compile.simd import BYTES, HALF, LANE, VECTOR
from wardian.syntax import families as f
from wardian.syntax.families import I8X16, I16X8, I32X4, I64X2

_BY_BITS: Final = MappingProxyType({8: I8X16, 16: I16X8, 32: I32X4, 64: I64X2})


def _load(lo: Lowering, offset: int, memory: int, type: str, size: int) -> Value:
    index = lo.pop_address(lo.facts.memories[memory].limits.is64)
    pointer, volatile = bounds.address(lo, memory, index, offset, size)
    return lo.b.load(pointer, type, GUEST, volatile=volatile, align=1)


def _store(lo: Lowering, value: Value, offset: int, memory: int, size: int) -> None:
    index = lo.pop_address(lo.facts.memories[memory].limits.is64)
    pointer, volatile = bounds.address(lo, memory, index, offset, size)
    lo.b.store(value, pointer, GUEST, volatile=volatile, align=1)


def load(lo: Lowering, fam: f.SimdLoad, imm: tuple[int, int, int]) -> None:
    lo.push(_load(lo, imm[1], imm[2], BYTES, 16))


def store(lo: Lowering, fam: f.SimdStore, imm: tuple[int, int, int]) -> None:
    _store(lo, lo.pop(), imm[1], imm[2], 16)


def load_extend(lo: Lowering, fam: f.SimdLoadExtend, imm: tuple[int, int, int]) -> None:
    shape = fam.shape
    word = _load(lo, imm[1], imm[2], "i64", 8)
    narrow = lo.b.cast("bitcast", word, f"<{shape.lanes} x {LANE[HALF[shape]]}>")
    simd.push(lo, lo.b.cast("sext" if fam.signed else "zext", narrow, VECTOR[shape]))


def load_splat(lo: Lowering, fam: f.SimdLoadSplat, imm: tuple[int, int, int]) -> None:
    shape = _BY_BITS[fam.bits]
    simd.push(lo, lo.b.splat(_load(lo, imm[1], imm[2], LANE[shape], fam.bits // 8), shape.lanes))


def load_zero(lo: Lowering, fam: f.SimdLoadZero, imm: tuple[int, int, int]) -> None:
    shape = _BY_BITS[fam.bits]
    simd.push(lo, lo.b.with_lane(simd.zero(shape), _load(lo, imm[1], imm[2], LANE[shape], fam.bits // 8), 0))


def load_lane(lo: Lowering, fam: f.SimdLoadLane, imm: tuple[int, int, int, int]) -> None:
    shape = fam.shape
    vector = simd.pop(lo, shape)
    lane = _load(lo, imm[1], imm[2], LANE[shape], shape.bits // 8)
    simd.push(lo, lo.b.with_lane(vector, lane, imm[3]))


def store_lane(lo: Lowering, fam: f.SimdStoreLane, imm: tuple[int, int, int, int]) -> None:
    shape = fam.shape
    lane = lo.b.lane(simd.pop(lo, shape), const(imm[3], "i32"), LANE[shape])
    _store(lo, lane, imm[1], imm[2], shape.bits // 8)


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.SimdLoad: load,
        f.SimdStore: store,
        f.SimdLoadExtend: load_extend,
        f.SimdLoadSplat: load_splat,
        f.SimdLoadZero: load_zero,
        f.SimdLoadLane: load_lane,
        f.SimdStoreLane: store_lane,
    }
)
