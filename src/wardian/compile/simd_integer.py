"""Lowering of integer vector arithmetic, comparisons and shifts.

What the relaxed instructions leave open is decided as the spec's deterministic profile does.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import simd
from wardian.compile.emit import Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.compile.simd import HALF, LANE, VECTOR, WIDE
from wardian.syntax import families as f
from wardian.syntax.families import I16X8, I32X4, Op, Shape


def _pop_two(lo: Lowering, shape: Shape) -> tuple[Value, Value]:
    y = simd.pop(lo, shape)
    return simd.pop(lo, shape), y


_COMPARE: Final = MappingProxyType(
    {
        Op.EQ: "eq",
        Op.NE: "ne",
        Op.LT_S: "slt",
        Op.LT_U: "ult",
        Op.GT_S: "sgt",
        Op.GT_U: "ugt",
        Op.LE_S: "sle",
        Op.LE_U: "ule",
        Op.GE_S: "sge",
        Op.GE_U: "uge",
    }
)


def compare(lo: Lowering, fam: f.SimdIntCmp, imm: None) -> None:
    x, y = _pop_two(lo, fam.shape)
    found = lo.b.compare(f"icmp {_COMPARE[fam.op]}", x, y, fam.shape.lanes)
    simd.push(lo, simd.mask(lo, found, fam.shape))


def int_un(lo: Lowering, fam: f.SimdIntUn, imm: None) -> None:
    x = simd.pop(lo, fam.shape)
    if fam.op is Op.NEG:
        simd.push(lo, lo.b.binary("sub", simd.zero(fam.shape), x))
    elif fam.op is Op.ABS:
        simd.push(lo, simd.intrinsic(lo, "abs", fam.shape, x, const(0, "i1")))
    else:
        simd.push(lo, simd.intrinsic(lo, "ctpop", fam.shape, x))


_BINARY: Final = MappingProxyType({Op.ADD: "add", Op.SUB: "sub", Op.MUL: "mul"})
_CALL: Final = MappingProxyType({Op.MIN_S: "smin", Op.MIN_U: "umin", Op.MAX_S: "smax", Op.MAX_U: "umax"})


def int_bin(lo: Lowering, fam: f.SimdIntBin, imm: None) -> None:
    x, y = _pop_two(lo, fam.shape)
    name = _BINARY.get(fam.op)
    value = lo.b.binary(name, x, y) if name else simd.intrinsic(lo, _CALL[fam.op], fam.shape, x, y)
    simd.push(lo, value)


def saturating(lo: Lowering, fam: f.SimdSatBin, imm: None) -> None:
    x, y = _pop_two(lo, fam.shape)
    name = f"{'s' if fam.signed else 'u'}{_BINARY[fam.op]}.sat"
    simd.push(lo, simd.intrinsic(lo, name, fam.shape, x, y))


def average(lo: Lowering, fam: f.SimdAvgr, imm: None) -> None:
    b, shape = lo.b, fam.shape
    wide = WIDE[shape]
    x, y = (b.cast("zext", v, f"<{shape.lanes} x {LANE[wide]}>") for v in _pop_two(lo, shape))
    one = simd.every(1, wide, shape.lanes)
    total = b.binary("add", b.binary("add", x, y), one)
    simd.push(lo, b.cast("trunc", b.binary("lshr", total, one), VECTOR[shape]))


_SHIFT: Final = MappingProxyType({Op.SHL: "shl", Op.SHR_S: "ashr", Op.SHR_U: "lshr"})


def shift(lo: Lowering, fam: f.SimdShift, imm: None) -> None:
    count = simd.mask_count(lo, lo.pop(), fam.shape)
    simd.push(lo, lo.b.binary(_SHIFT[fam.op], simd.pop(lo, fam.shape), count))


def q15mulr(lo: Lowering, fam: f.SimdQ15Mulr, imm: None) -> None:
    """``(x * y + 0x4000) >> 15``; written as the machines do it, where only -1 * -1 leaves the range."""
    b = lo.b
    type_ = "<8 x i32>"
    x, y = (b.cast("sext", v, type_) for v in _pop_two(lo, I16X8))
    one = simd.every(1, I32X4, 8)
    rounded = b.binary("add", b.binary("lshr", b.binary("mul", x, y), simd.every(14, I32X4, 8)), one)
    result = b.cast("trunc", b.binary("lshr", rounded, one), VECTOR[I16X8])
    over = b.compare("icmp eq", result, simd.every(-32768, I16X8), 8)
    simd.push(lo, b.binary("xor", result, simd.mask(lo, over, I16X8)))


# -- from narrow lanes to wide ones and back ---------------------------------------------------------------------------


def _extended_half(lo: Lowering, x: Value, shape: Shape, signed: bool, high: bool) -> Value:
    """One half of the lanes of ``x``, which are half as wide as those of ``shape``, extended."""
    part = simd.half(lo, x, HALF[shape], high)
    return lo.b.cast("sext" if signed else "zext", part, VECTOR[shape])


def extend(lo: Lowering, fam: f.SimdExtend, imm: None) -> None:
    x = simd.pop(lo, HALF[fam.shape])
    simd.push(lo, _extended_half(lo, x, fam.shape, fam.signed, fam.high))


def ext_mul(lo: Lowering, fam: f.SimdExtMul, imm: None) -> None:
    x, y = (_extended_half(lo, v, fam.shape, fam.signed, fam.high) for v in _pop_two(lo, HALF[fam.shape]))
    simd.push(lo, lo.b.binary("mul", x, y))


def _pairs(lo: Lowering, x: Value, shape: Shape, signed: bool) -> tuple[Value, Value]:
    """Even and odd lanes, half as wide, of ``x``, a vector of ``shape``, extended in place."""
    count = shape.bits // 2
    op = "ashr" if signed else "lshr"
    even = simd.shift(lo, op, simd.shift(lo, "shl", x, shape, count), shape, count)
    return even, simd.shift(lo, op, x, shape, count)


def ext_add_pairwise(lo: Lowering, fam: f.SimdExtAddPairwise, imm: None) -> None:
    simd.push(lo, lo.b.binary("add", *_pairs(lo, simd.pop(lo, fam.shape), fam.shape, fam.signed)))


def dot(lo: Lowering, fam: f.SimdDot, imm: None) -> None:
    b = lo.b
    x, y = (b.cast("sext", v, "<8 x i32>") for v in _pop_two(lo, I16X8))
    products = b.binary("mul", x, y)
    even, odd = (b.shuffle(products, ("poison", "<8 x i32>"), range(i, 8, 2), "i32") for i in (0, 1))
    simd.push(lo, b.binary("add", even, odd))


def relaxed_dot(lo: Lowering, fam: f.SimdRelaxedDot, imm: None) -> None:
    """Both operands signed; the sum of two products saturates (spec: ``ivdot_sat``)."""
    b = lo.b
    addend = simd.pop(lo, I32X4) if fam.accumulate else None
    x, y = _pop_two(lo, I16X8)
    (x_even, x_odd), (y_even, y_odd) = _pairs(lo, x, I16X8, True), _pairs(lo, y, I16X8, True)
    even, odd = b.binary("mul", x_even, y_even), b.binary("mul", x_odd, y_odd)
    total = simd.intrinsic(lo, "sadd.sat", I16X8, even, odd)
    if addend is not None:
        wide = b.cast("bitcast", total, VECTOR[I32X4])
        total = b.binary("add", b.binary("add", *_pairs(lo, wide, I32X4, True)), addend)
    simd.push(lo, total)


def narrow(lo: Lowering, fam: f.SimdNarrow, imm: None) -> None:
    b, shape = lo.b, fam.shape
    wide = WIDE[shape]
    x, y = _pop_two(lo, wide)
    low, high = (-(1 << (shape.bits - 1)), (1 << (shape.bits - 1)) - 1) if fam.signed else (0, (1 << shape.bits) - 1)
    for name, end in (("smax", low), ("smin", high)):
        limit = simd.every(end, wide)
        x, y = (simd.intrinsic(lo, name, wide, v, limit) for v in (x, y))
    both = b.shuffle(x, y, range(shape.lanes), LANE[wide])
    simd.push(lo, b.cast("trunc", both, VECTOR[shape]))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.SimdIntCmp: compare,
        f.SimdIntUn: int_un,
        f.SimdIntBin: int_bin,
        f.SimdSatBin: saturating,
        f.SimdAvgr: average,
        f.SimdShift: shift,
        f.SimdQ15Mulr: q15mulr,
        f.SimdExtend: extend,
        f.SimdExtMul: ext_mul,
        f.SimdExtAddPairwise: ext_add_pairwise,
        f.SimdDot: dot,
        f.SimdRelaxedDot: relaxed_dot,
        f.SimdNarrow: narrow,
    }
)
