"""Lowering of numeric instructions (spec chapter "Execution / Numerics").

Where LLVM leaves an operand undefined (shift counts, division, float to integer) the check or mask stands here, so no
operand reaches LLVM's undefined behaviour.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import Any, Final

from wardian.compile import emit
from wardian.compile.emit import Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.syntax import families as f
from wardian.syntax.families import Op
from wardian.syntax.types import F32, F64, I32, I64, V128, NumType
from wardian.vm.traps import TrapCode

LLVM: Final = MappingProxyType({I32: "i32", I64: "i64", F32: "float", F64: "double"})
_SUFFIX: Final = MappingProxyType({I32: "i32", I64: "i64", F32: "f32", F64: "f64"})

_FENCED: Final = MappingProxyType(
    {
        F32: frozenset({0x00000000, 0x80000000, 0x3F800000, 0xBF800000}),
        F64: frozenset({0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48}),
    }
)
"""The neutral constants +-0 and +-1: see :meth:`Lowering.fence`."""


def const_(lo: Lowering, fam: f.Const, imm: Any) -> None:
    t = fam.type
    if t is I32 or t is I64:
        lo.push(const(imm, LLVM[t]))
        return
    if t is V128:
        lo.push(emit.v128(imm))
        return
    value = emit.float_bits(imm, LLVM[t])
    lo.push(lo.fence(value) if imm in _FENCED[t] else value)


_INT_UN: Final = MappingProxyType({Op.CLZ: "ctlz", Op.CTZ: "cttz", Op.POPCNT: "ctpop"})


def int_un(lo: Lowering, fam: f.IntUn, imm: None) -> None:
    x = lo.pop()
    name = f"{_INT_UN[fam.op]}.{_SUFFIX[fam.type]}"
    extra = () if fam.op is Op.POPCNT else (const(0, "i1"),)
    lo.push(lo.b.intrinsic(name, x[1], x, *extra))


def int_extend(lo: Lowering, fam: f.IntExtend, imm: None) -> None:
    x = lo.pop()
    narrow = lo.b.cast("trunc", x, f"i{fam.bits}")
    lo.push(lo.b.cast("sext", narrow, x[1]))


_INT_BIN: Final = MappingProxyType(
    {
        Op.ADD: "add",
        Op.SUB: "sub",
        Op.MUL: "mul",
        Op.AND: "and",
        Op.OR: "or",
        Op.XOR: "xor",
        Op.SHL: "shl",
        Op.SHR_S: "ashr",
        Op.SHR_U: "lshr",
        Op.ROTL: "fshl",
        Op.ROTR: "fshr",
    }
)
_SHIFTS: Final = frozenset({Op.SHL, Op.SHR_S, Op.SHR_U})
_ROTATES: Final = frozenset({Op.ROTL, Op.ROTR})


def int_bin(lo: Lowering, fam: f.IntBin, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    b = lo.b
    name = _INT_BIN[fam.op]
    if fam.op in _ROTATES:
        lo.push(b.intrinsic(f"{name}.{x[1]}", x[1], x, x, y))
        return
    if fam.op in _SHIFTS:
        y = b.binary("and", y, const(fam.type.size * 8 - 1, y[1]))
    lo.push(b.binary(name, x, y))


def int_div(lo: Lowering, fam: f.IntDiv, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    b = lo.b
    t = x[1]
    lo.trap_if(b.icmp("eq", y, const(0, t)), TrapCode.INTEGER_DIVIDE_BY_ZERO)
    if not fam.signed:
        lo.push(b.binary("udiv" if fam.op is Op.DIV else "urem", x, y))
        return
    minus_one = b.icmp("eq", y, const(-1, t))
    if fam.op is Op.REM:
        # x rem -1 is 0 even for the least integer, where LLVM's srem is undefined; x rem 1 is 0 as well.
        lo.push(b.binary("srem", x, b.select(minus_one, const(1, t), y)))
        return
    least = b.icmp("eq", x, const(-(1 << (fam.type.size * 8 - 1)), t))
    lo.trap_if(b.binary("and", least, minus_one), TrapCode.INTEGER_OVERFLOW)
    lo.push(b.binary("sdiv", x, y))


def int_test(lo: Lowering, fam: f.IntTest, imm: None) -> None:
    x = lo.pop_raw()
    if x[1] == "i1":
        lo.push(lo.b.binary("xor", x, ("true", "i1")))
    else:
        lo.push(lo.b.icmp("eq", x, const(0, x[1])))


_INT_CMP: Final = MappingProxyType(
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


def int_cmp(lo: Lowering, fam: f.IntCmp, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    lo.push(lo.b.icmp(_INT_CMP[fam.op], x, y))


_FLOAT_UN: Final = MappingProxyType(
    {
        Op.ABS: "fabs",
        Op.CEIL: "ceil",
        Op.FLOOR: "floor",
        Op.TRUNC: "trunc",
        Op.NEAREST: "roundeven",
        Op.SQRT: "sqrt",
    }
)


def _is_literal(x: Value) -> bool:
    return not x[0].startswith("%")


def float_un(lo: Lowering, fam: f.FloatUn, imm: None) -> None:
    x = lo.pop()
    if _is_literal(x):
        x = lo.fence(x)  # what it gives may be neutral
    if fam.op is Op.NEG:
        lo.push(lo.b.fneg(x))
        return
    result = lo.b.intrinsic(f"{_FLOAT_UN[fam.op]}.{_SUFFIX[fam.type]}", x[1], x)
    lo.push(result if fam.op is Op.ABS else lo.computed(result))


_FLOAT_BIN: Final = MappingProxyType({Op.ADD: "fadd", Op.SUB: "fsub", Op.MUL: "fmul", Op.DIV: "fdiv"})
_FLOAT_CALL: Final = MappingProxyType({Op.MIN: "minimum", Op.MAX: "maximum", Op.COPYSIGN: "copysign"})
_QUIETED: Final = frozenset({Op.MIN, Op.MAX})


def float_bin(lo: Lowering, fam: f.FloatBin, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    if _is_literal(x) and _is_literal(y):
        x = lo.fence(x)
    name = _FLOAT_BIN.get(fam.op)
    if name is not None:
        lo.push(lo.computed(lo.b.binary(name, x, y)))
        return
    result = lo.b.intrinsic(f"{_FLOAT_CALL[fam.op]}.{_SUFFIX[fam.type]}", x[1], x, y)
    if fam.op not in _QUIETED:
        lo.push(result)
        return
    if not lo.facts.options.deterministic:
        # LLVM's minimum may hand a signalling NaN through; a sum makes it quiet, as the spec's fmin requires.
        result = lo.b.select(lo.b.fcmp("uno", x, y), lo.b.binary("fadd", x, y), result)
    lo.push(lo.computed(result))


_FLOAT_CMP: Final = MappingProxyType(
    {Op.EQ: "oeq", Op.NE: "une", Op.LT: "olt", Op.GT: "ogt", Op.LE: "ole", Op.GE: "oge"}
)


def float_cmp(lo: Lowering, fam: f.FloatCmp, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    lo.push(lo.b.fcmp(_FLOAT_CMP[fam.op], x, y))


def wrap(lo: Lowering, fam: f.Wrap, imm: None) -> None:
    lo.push(lo.b.cast("trunc", lo.pop(), "i32"))


def extend_i32(lo: Lowering, fam: f.ExtendI32, imm: None) -> None:
    lo.push(lo.b.cast("sext" if fam.signed else "zext", lo.pop(), "i64"))


def _bound(value: float, type: NumType) -> Value:
    """``value``, which the type represents exactly, as a constant."""
    form, bits = ("<f", "<I") if type is F32 else ("<d", "<Q")
    return emit.float_bits(struct.unpack(bits, struct.pack(form, value))[0], LLVM[type])


def trunc_limits(dst: NumType, src: NumType, signed: bool) -> tuple[float, bool, float]:
    """``(low, low itself is fine, high)``: the values that truncate into ``dst`` lie between, ``high`` excluded.

    The ends are exact in ``src``: where ``-2**n - 1`` is not a float of that type, ``-2**n`` itself is the least good
    value.
    """
    bits = dst.size * 8
    high = 2.0 ** (bits - signed)
    if not signed:
        return -1.0, False, high
    precise = src is F64 and dst is I32
    return (-high - 1, False, high) if precise else (-high, True, high)


def trunc_float(lo: Lowering, fam: f.TruncFloat, imm: None) -> None:
    x = lo.pop()
    b = lo.b
    to = LLVM[fam.dst]
    sign = "s" if fam.signed else "u"
    if fam.saturating:
        lo.push(b.intrinsic(f"fpto{sign}i.sat.{to}.{_SUFFIX[fam.src]}", to, x))
        return
    low, inclusive, high = trunc_limits(fam.dst, fam.src, fam.signed)
    lo.trap_if(b.fcmp("uno", x, x), TrapCode.BAD_CONVERSION_TO_INTEGER)
    too_low = b.fcmp("olt" if inclusive else "ole", x, _bound(low, fam.src))
    too_high = b.fcmp("oge", x, _bound(high, fam.src))
    lo.trap_if(b.binary("or", too_low, too_high), TrapCode.INTEGER_OVERFLOW)
    lo.push(b.cast(f"fpto{sign}i", x, to))


def convert_int(lo: Lowering, fam: f.ConvertInt, imm: None) -> None:
    x = lo.pop()
    value = lo.b.cast("sitofp" if fam.signed else "uitofp", x, LLVM[fam.dst])
    lo.push(lo.fence(value) if _is_literal(x) else value)


def demote(lo: Lowering, fam: f.Demote, imm: None) -> None:
    lo.push(lo.computed(lo.b.cast("fptrunc", lo.fence(lo.pop()), "float")))


def promote(lo: Lowering, fam: f.Promote, imm: None) -> None:
    lo.push(lo.computed(lo.b.cast("fpext", lo.pop(), "double")))


def reinterpret(lo: Lowering, fam: f.Reinterpret, imm: None) -> None:
    value = lo.b.cast("bitcast", lo.pop(), LLVM[fam.dst])
    # Programs compute bits of floats, neutral ones among them.
    lo.push(lo.fence(value) if fam.dst is F32 or fam.dst is F64 else value)


# -- wide arithmetic ---------------------------------------------------------------------------------------------------


def _join(lo: Lowering, low: Value, high: Value) -> Value:
    """The ``i128`` of two 64-bit halves."""
    b = lo.b
    upper = b.binary("shl", b.cast("zext", high, "i128"), const(64, "i128"))
    return b.binary("or", upper, b.cast("zext", low, "i128"))


def _push_halves(lo: Lowering, wide: Value) -> None:
    b = lo.b
    lo.push(b.cast("trunc", wide, "i64"))
    lo.push(b.cast("trunc", b.binary("lshr", wide, const(64, "i128")), "i64"))


def wide_bin(lo: Lowering, fam: f.WideBin, imm: None) -> None:
    x_low, x_high, y_low, y_high = lo.pop_n(4)
    _push_halves(lo, lo.b.binary(_INT_BIN[fam.op], _join(lo, x_low, x_high), _join(lo, y_low, y_high)))


def wide_mul(lo: Lowering, fam: f.WideMul, imm: None) -> None:
    extend = "sext" if fam.signed else "zext"
    y, x = (lo.b.cast(extend, lo.pop(), "i128") for _ in range(2))
    _push_halves(lo, lo.b.binary("mul", x, y))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.Const: const_,
        f.IntUn: int_un,
        f.IntExtend: int_extend,
        f.IntBin: int_bin,
        f.IntDiv: int_div,
        f.IntTest: int_test,
        f.IntCmp: int_cmp,
        f.FloatUn: float_un,
        f.FloatBin: float_bin,
        f.FloatCmp: float_cmp,
        f.Wrap: wrap,
        f.ExtendI32: extend_i32,
        f.TruncFloat: trunc_float,
        f.ConvertInt: convert_int,
        f.Demote: demote,
        f.Promote: promote,
        f.Reinterpret: reinterpret,
        f.WideBin: wide_bin,
        f.WideMul: wide_mul,
    }
)
