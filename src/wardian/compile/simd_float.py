"""Lowering of float vector arithmetic, comparisons and conversions.

What the relaxed instructions leave open is decided as the spec's deterministic profile does: minimum and maximum as
without "relaxed", multiply-add with two roundings, conversions saturate.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import simd
from wardian.compile.emit import Value
from wardian.compile.function import FamilyTable, Lowering
from wardian.compile.simd import INTEGER, VECTOR
from wardian.syntax import families as f
from wardian.syntax.families import F32X4, F64X2, I32X4, Op, Shape

_COMPARE: Final = MappingProxyType({Op.EQ: "oeq", Op.NE: "une", Op.LT: "olt", Op.GT: "ogt", Op.LE: "ole", Op.GE: "oge"})


def compare(lo: Lowering, fam: f.SimdFloatCmp, imm: None) -> None:
    y, x = simd.pop(lo, fam.shape), simd.pop(lo, fam.shape)
    found = lo.b.compare(f"fcmp {_COMPARE[fam.op]}", x, y, fam.shape.lanes)
    simd.push(lo, simd.mask(lo, found, INTEGER[fam.shape]))


_ROUND: Final = MappingProxyType(
    {Op.SQRT: "sqrt", Op.CEIL: "ceil", Op.FLOOR: "floor", Op.TRUNC: "trunc", Op.NEAREST: "roundeven"}
)


def float_un(lo: Lowering, fam: f.SimdFloatUn, imm: None) -> None:
    shape = fam.shape
    if fam.op is Op.NEG:
        simd.push(lo, lo.b.fneg(simd.pop(lo, shape)))
    elif fam.op is Op.ABS:
        simd.push(lo, simd.intrinsic(lo, "fabs", shape, simd.pop(lo, shape)))
    else:
        x = simd.operands(lo, [lo.pop()], shape)[0]
        simd.push(lo, simd.arithmetic(lo, simd.intrinsic(lo, _ROUND[fam.op], shape, x)))


_BINARY: Final = MappingProxyType({Op.ADD: "fadd", Op.SUB: "fsub", Op.MUL: "fmul", Op.DIV: "fdiv"})


def float_bin(lo: Lowering, fam: f.SimdFloatBin, imm: None) -> None:
    shape = fam.shape
    if fam.op in (Op.PMIN, Op.PMAX):
        y, x = simd.pop(lo, shape), simd.pop(lo, shape)
        first, second = (y, x) if fam.op is Op.PMIN else (x, y)
        simd.push(lo, lo.b.choose(lo.b.compare("fcmp olt", first, second, shape.lanes), y, x))
        return
    x, y = simd.operands(lo, lo.pop_n(2), shape)
    if fam.op in (Op.MIN, Op.MAX):
        value = _min_max(lo, fam.op, x, y, shape)
    else:
        value = lo.b.binary(_BINARY[fam.op], x, y)
    simd.push(lo, simd.arithmetic(lo, value))


def _min_max(lo: Lowering, op: Op, x: Value, y: Value, shape: Shape) -> Value:
    """The spec's ``fmin`` and ``fmax``.

    LLVM's ``minimum`` leaves signalling NaNs as they are. Here the smaller is chosen in both orders, which differs only
    for zeros of both signs and NaNs; ``or`` keeps the sign of -0, ``and`` drops it; a NaN comes from an addition.
    """
    b = lo.b
    test = "fcmp olt" if op is Op.MIN else "fcmp ogt"
    bits = VECTOR[INTEGER[shape]]
    one, other = (b.choose(b.compare(test, p, q, shape.lanes), p, q) for p, q in ((x, y), (y, x)))
    both = b.binary("or" if op is Op.MIN else "and", b.cast("bitcast", one, bits), b.cast("bitcast", other, bits))
    unordered = b.compare("fcmp uno", x, y, shape.lanes)
    return b.choose(unordered, b.binary("fadd", x, y), b.cast("bitcast", both, VECTOR[shape]))


def relaxed_min_max(lo: Lowering, fam: f.SimdRelaxedMinMax, imm: None) -> None:
    x, y = simd.operands(lo, lo.pop_n(2), fam.shape)
    simd.push(lo, simd.arithmetic(lo, _min_max(lo, fam.op, x, y, fam.shape)))


def madd(lo: Lowering, fam: f.SimdMadd, imm: None) -> None:
    x, y, addend = lo.pop_n(3)
    first, second = simd.operands(lo, [x, y], fam.shape)
    if fam.negated:
        first = lo.b.fneg(first)
    product = lo.b.binary("fmul", first, second)
    # The product is no constant and holds no signalling NaN, so nothing need be fenced here.
    simd.push(lo, simd.arithmetic(lo, lo.b.binary("fadd", product, simd.view(lo, addend, fam.shape))))


# -- conversions -------------------------------------------------------------------------------------------------------


def trunc_sat(lo: Lowering, fam: f.SimdTruncSat, imm: None) -> None:
    x = simd.pop(lo, fam.src)
    if fam.src is F32X4:
        simd.push(lo, _trunc_single(lo, x, fam.signed))
    else:
        simd.push(lo, _trunc_double(lo, x, fam.signed))


def _select(lo: Lowering, test: str, x: Value, limit: float, shape: Shape, otherwise: Value) -> Value:
    """``x`` where it compares with ``limit``, else ``otherwise``."""
    return lo.b.choose(lo.b.compare(f"fcmp {test}", x, simd.every_float(limit, shape), shape.lanes), x, otherwise)


def _trunc_single(lo: Lowering, x: Value, signed: bool) -> Value:
    """Out of range becomes 0 before the conversion and is put right after it: the upper end is no float."""
    b = lo.b
    high = 2.0**31 if signed else 2.0**32
    nothing = simd.zero(F32X4)
    inside = _select(lo, "olt", x, high, F32X4, nothing)
    inside = _select(lo, "oge" if signed else "ogt", inside, -high if signed else 0.0, F32X4, nothing)
    whole = b.cast("fptosi" if signed else "fptoui", inside, VECTOR[I32X4])
    most, least = ((1 << 31) - 1, -(1 << 31)) if signed else (-1, 0)
    over = b.compare("fcmp oge", x, simd.every_float(high, F32X4), 4)
    whole = b.choose(over, simd.every(most, I32X4), whole)
    if signed:
        under = b.compare("fcmp olt", x, simd.every_float(-high, F32X4), 4)
        whole = b.choose(under, simd.every(least, I32X4), whole)
    return whole


def _trunc_double(lo: Lowering, x: Value, signed: bool) -> Value:
    """Both ends are doubles, so the operand is clamped; the upper two lanes are zero."""
    b = lo.b
    low, high = (-(2.0**31), 2.0**31 - 1) if signed else (0.0, 2.0**32 - 1)
    if signed:
        x = b.choose(b.compare("fcmp ord", x, x, 2), x, simd.zero(F64X2))
    # A NaN compares false and so becomes the unsigned limit 0.
    x = _select(lo, "ogt", x, low, F64X2, simd.every_float(low, F64X2))
    x = _select(lo, "olt", x, high, F64X2, simd.every_float(high, F64X2))
    whole = b.cast("fptosi" if signed else "fptoui", x, "<2 x i32>")
    return b.shuffle(whole, ("zeroinitializer", "<2 x i32>"), range(4), "i32")


def convert_int(lo: Lowering, fam: f.SimdConvertInt, imm: None) -> None:
    x = simd.pop(lo, I32X4)
    if fam.dst is F64X2:
        x = simd.half(lo, x, I32X4, high=False)
    simd.push(lo, lo.b.cast("sitofp" if fam.signed else "uitofp", x, VECTOR[fam.dst]))


def demote(lo: Lowering, fam: f.SimdDemote, imm: None) -> None:
    # Fenced whatever it is: LLVM folds the demotion of a promotion.
    narrow = lo.b.cast("fptrunc", simd.fence(lo, simd.pop(lo, F64X2), F64X2), "<2 x float>")
    whole = lo.b.shuffle(narrow, ("zeroinitializer", "<2 x float>"), range(4), "float")
    simd.push(lo, simd.arithmetic(lo, whole))


def promote(lo: Lowering, fam: f.SimdPromote, imm: None) -> None:
    x = simd.operands(lo, [lo.pop()], F32X4)[0]
    simd.push(lo, simd.arithmetic(lo, lo.b.cast("fpext", simd.half(lo, x, F32X4, high=False), VECTOR[F64X2])))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.SimdFloatCmp: compare,
        f.SimdFloatUn: float_un,
        f.SimdFloatBin: float_bin,
        f.SimdRelaxedMinMax: relaxed_min_max,
        f.SimdMadd: madd,
        f.SimdTruncSat: trunc_sat,
        f.SimdConvertInt: convert_int,
        f.SimdDemote: demote,
        f.SimdPromote: promote,
    }
)
