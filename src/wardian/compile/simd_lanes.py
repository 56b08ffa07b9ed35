"""Lowering of vector instructions that move lanes, operate on all bits, or test them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import simd
from wardian.compile.emit import Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.compile.simd import BYTES, LANE
from wardian.syntax import families as f
from wardian.syntax.families import I8X16, Op


def shuffle(lo: Lowering, fam: f.SimdShuffle, imm: bytes) -> None:
    y, x = lo.pop(), lo.pop()
    lo.push(lo.b.shuffle(x, y, imm, "i8"))


def swizzle(lo: Lowering, fam: f.SimdSwizzle, imm: None) -> None:
    """LLVM has no such operation; its backends know these sixteen steps for one shuffle by bytes."""
    b = lo.b
    indices, x = lo.pop(), lo.pop()
    inside = b.binary("and", indices, simd.every(15, I8X16))
    moved: Value = ("poison", BYTES)
    for i in range(16):
        index = b.lane(inside, const(i, "i32"), "i8")
        moved = b.with_lane(moved, b.lane(x, index, "i8"), i)
    lo.push(b.choose(b.compare("icmp ult", indices, simd.every(16, I8X16), 16), moved, simd.zero(I8X16)))


def splat(lo: Lowering, fam: f.SimdSplat, imm: None) -> None:
    shape = fam.shape
    value = lo.pop()
    if shape.bits < 32:
        value = lo.b.cast("trunc", value, LANE[shape])
    simd.push(lo, lo.b.splat(value, shape.lanes))


def extract_lane(lo: Lowering, fam: f.SimdExtractLane, imm: int) -> None:
    shape = fam.shape
    value = lo.b.lane(simd.pop(lo, shape), const(imm, "i32"), LANE[shape])
    lo.push(value if fam.signed is None else lo.b.cast("sext" if fam.signed else "zext", value, "i32"))


def replace_lane(lo: Lowering, fam: f.SimdReplaceLane, imm: int) -> None:
    shape = fam.shape
    value = lo.pop()
    if shape.bits < 32:
        value = lo.b.cast("trunc", value, LANE[shape])
    simd.push(lo, lo.b.with_lane(simd.pop(lo, shape), value, imm))


# -- bits --------------------------------------------------------------------------------------------------------------


def not_(lo: Lowering, fam: f.SimdNot, imm: None) -> None:
    lo.push(_inverse(lo, lo.pop()))


def _inverse(lo: Lowering, x: Value) -> Value:
    return lo.b.binary("xor", x, simd.every(-1, I8X16))


_BITS: Final = MappingProxyType({Op.AND: "and", Op.ANDNOT: "and", Op.OR: "or", Op.XOR: "xor"})


def bits(lo: Lowering, fam: f.SimdBits, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    if fam.op is Op.ANDNOT:
        y = _inverse(lo, y)
    lo.push(lo.b.binary(_BITS[fam.op], x, y))


def bitselect(lo: Lowering, fam: f.SimdBitselect | f.SimdLaneselect, imm: None) -> None:
    """The relaxed lane selects are this too: the spec's deterministic choice."""
    b = lo.b
    which, y, x = lo.pop(), lo.pop(), lo.pop()
    lo.push(b.binary("or", b.binary("and", x, which), b.binary("and", y, _inverse(lo, which))))


# -- tests -------------------------------------------------------------------------------------------------------------


def any_true(lo: Lowering, fam: f.SimdAnyTrue, imm: None) -> None:
    lo.push(lo.b.icmp("ne", lo.b.cast("bitcast", lo.pop(), "i128"), const(0, "i128")))


def all_true(lo: Lowering, fam: f.SimdAllTrue, imm: None) -> None:
    b, shape = lo.b, fam.shape
    zeros = b.compare("icmp eq", simd.pop(lo, shape), simd.zero(shape), shape.lanes)
    type_ = f"i{shape.lanes}"
    lo.push(b.icmp("eq", b.cast("bitcast", zeros, type_), const(0, type_)))


def bitmask(lo: Lowering, fam: f.SimdBitmask, imm: None) -> None:
    b, shape = lo.b, fam.shape
    negative = b.compare("icmp slt", simd.pop(lo, shape), simd.zero(shape), shape.lanes)
    lo.push(b.cast("zext", b.cast("bitcast", negative, f"i{shape.lanes}"), "i32"))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.SimdShuffle: shuffle,
        f.SimdSwizzle: swizzle,
        f.SimdSplat: splat,
        f.SimdExtractLane: extract_lane,
        f.SimdReplaceLane: replace_lane,
        f.SimdNot: not_,
        f.SimdBits: bits,
        f.SimdBitselect: bitselect,
        f.SimdLaneselect: bitselect,
        f.SimdAnyTrue: any_true,
        f.SimdAllTrue: all_true,
        f.SimdBitmask: bitmask,
    }
)
