"""Instruction families: what a row of the instruction table *means*, with typed parameters.

Invariant: a family says everything about an instruction's semantics that validation's special cases and lowering
need, so neither ever looks at a name or an opcode. Some 130 families stand for 570 instructions;
each has exactly one lowering.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from wardian.record import Record
from wardian.syntax.types import F32, F64, I32, I64, NumType


class Op(Enum):
    """Operators; a family says to which of them it applies."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    REM = "rem"
    AND = "and"
    OR = "or"
    XOR = "xor"
    SHL = "shl"
    SHR_S = "shr_s"
    SHR_U = "shr_u"
    ROTL = "rotl"
    ROTR = "rotr"
    CLZ = "clz"
    CTZ = "ctz"
    POPCNT = "popcnt"
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    GT = "gt"
    LE = "le"
    GE = "ge"
    LT_S = "lt_s"
    LT_U = "lt_u"
    GT_S = "gt_s"
    GT_U = "gt_u"
    LE_S = "le_s"
    LE_U = "le_u"
    GE_S = "ge_s"
    GE_U = "ge_u"
    ABS = "abs"
    NEG = "neg"
    CEIL = "ceil"
    FLOOR = "floor"
    TRUNC = "trunc"
    NEAREST = "nearest"
    SQRT = "sqrt"
    MIN = "min"
    MAX = "max"
    PMIN = "pmin"
    PMAX = "pmax"
    COPYSIGN = "copysign"
    XCHG = "xchg"
    ANDNOT = "andnot"
    MIN_S = "min_s"
    MIN_U = "min_u"
    MAX_S = "max_s"
    MAX_U = "max_u"


class Family(Record):
    """Base of all families: an immutable value whose fields are the annotations of its class."""


@final
class Shape(Record):
    """How a vector is cut: ``lanes`` lanes of ``bits`` bits, each seen by scalar code as a ``lane``."""

    name: str
    lanes: int
    bits: int
    lane: NumType


I8X16: Final = Shape("i8x16", 16, 8, I32)
I16X8: Final = Shape("i16x8", 8, 16, I32)
I32X4: Final = Shape("i32x4", 4, 32, I32)
I64X2: Final = Shape("i64x2", 2, 64, I64)
F32X4: Final = Shape("f32x4", 4, 32, F32)
F64X2: Final = Shape("f64x2", 2, 64, F64)


# -- numeric -----------------------------------------------------------------------------------------------------------


@final
class Const(Family):
    """``t.const``; ``V128`` included."""

    type: NumType


@final
class IntUn(Family):
    """CLZ, CTZ, POPCNT."""

    op: Op
    type: NumType


@final
class IntExtend(Family):
    """``t.extendN_s``: sign-extend the low ``bits``."""

    type: NumType
    bits: int


@final
class IntBin(Family):
    """ADD SUB MUL AND OR XOR SHL SHR_S SHR_U ROTL ROTR: never traps."""

    op: Op
    type: NumType


@final
class IntDiv(Family):
    """DIV or REM: traps on zero, and signed DIV on overflow."""

    op: Op
    type: NumType
    signed: bool


@final
class IntTest(Family):
    """``t.eqz``."""

    type: NumType


@final
class IntCmp(Family):
    """EQ NE and the signed and unsigned orders."""

    op: Op
    type: NumType


@final
class FloatUn(Family):
    """ABS NEG CEIL FLOOR TRUNC NEAREST SQRT."""

    op: Op
    type: NumType


@final
class FloatBin(Family):
    """ADD SUB MUL DIV MIN MAX COPYSIGN."""

    op: Op
    type: NumType


@final
class FloatCmp(Family):
    """EQ NE LT GT LE GE."""

    op: Op
    type: NumType


@final
class Wrap(Family):
    """``i32.wrap_i64``."""


@final
class ExtendI32(Family):
    """``i64.extend_i32_{s,u}``."""

    signed: bool


@final
class TruncFloat(Family):
    """``dst.trunc[_sat]_src_{s,u}``; traps unless ``saturating``."""

    dst: NumType
    src: NumType
    signed: bool
    saturating: bool


@final
class ConvertInt(Family):
    """``dst.convert_src_{s,u}``."""

    dst: NumType
    src: NumType
    signed: bool


@final
class Demote(Family):
    """``f32.demote_f64``."""


@final
class Promote(Family):
    """``f64.promote_f32``."""


@final
class Reinterpret(Family):
    dst: NumType
    src: NumType


# -- parametric, variables ---------------------------------------------------------------------------------------------


@final
class Drop(Family):
    pass


@final
class Select(Family):
    """``select``, with (``typed``) or without its type immediate."""

    typed: bool


@final
class LocalGet(Family):
    pass


@final
class LocalSet(Family):
    pass


@final
class LocalTee(Family):
    pass


@final
class GlobalGet(Family):
    pass


@final
class GlobalSet(Family):
    pass


# -- control -----------------------------------------------------------------------------------------------------------


@final
class Unreachable(Family):
    pass


@final
class Nop(Family):
    pass


@final
class Block(Family):
    pass


@final
class Loop(Family):
    pass


@final
class If(Family):
    pass


@final
class Else(Family):
    pass


@final
class End(Family):
    pass


@final
class Br(Family):
    pass


@final
class BrIf(Family):
    pass


@final
class BrTable(Family):
    pass


@final
class Return(Family):
    pass


@final
class Call(Family):
    """``call``, or ``return_call`` if ``tail``."""

    tail: bool


@final
class CallIndirect(Family):
    tail: bool


@final
class CallRef(Family):
    tail: bool


@final
class Throw(Family):
    pass


@final
class ThrowRef(Family):
    pass


@final
class TryTable(Family):
    pass


@final
class BrOnNull(Family):
    """``br_on_null``, or ``br_on_non_null`` if ``non_null``."""

    non_null: bool


@final
class BrOnCast(Family):
    """``br_on_cast``, or ``br_on_cast_fail`` if ``fail``."""

    fail: bool


# -- references --------------------------------------------------------------------------------------------------------


@final
class RefNull(Family):
    pass


@final
class RefIsNull(Family):
    pass


@final
class RefFunc(Family):
    pass


@final
class RefEq(Family):
    pass


@final
class RefAsNonNull(Family):
    pass


# -- memory and tables -------------------------------------------------------------------------------------------------


@final
class Load(Family):
    """A scalar load of ``size`` bytes into ``type``; a narrow one extends by ``signed``."""

    type: NumType
    size: int
    signed: bool = False


@final
class Store(Family):
    """A scalar store of the low ``size`` bytes of ``type``."""

    type: NumType
    size: int


@final
class MemorySize(Family):
    pass


@final
class MemoryGrow(Family):
    pass


@final
class MemoryFill(Family):
    pass


@final
class MemoryCopy(Family):
    pass


@final
class MemoryInit(Family):
    pass


@final
class DataDrop(Family):
    pass


@final
class TableGet(Family):
    pass


@final
class TableSet(Family):
    pass


@final
class TableSize(Family):
    pass


@final
class TableGrow(Family):
    pass


@final
class TableFill(Family):
    pass


@final
class TableCopy(Family):
    pass


@final
class TableInit(Family):
    pass


@final
class ElemDrop(Family):
    pass


# -- aggregates (GC) ---------------------------------------------------------------------------------------------------


@final
class StructNew(Family):
    """``struct.new``, or ``struct.new_default`` if ``default``."""

    default: bool


@final
class StructGet(Family):
    """``struct.get``; a packed field extends by ``signed``, which is ``None`` for an unpacked one."""

    signed: bool | None


@final
class StructSet(Family):
    pass


@final
class ArrayNew(Family):
    """``array.new``, or ``array.new_default`` if ``default``."""

    default: bool


@final
class ArrayNewFixed(Family):
    pass


@final
class ArrayNewData(Family):
    pass


@final
class ArrayNewElem(Family):
    pass


@final
class ArrayGet(Family):
    """``array.get``; ``signed`` as in :class:`StructGet`."""

    signed: bool | None


@final
class ArraySet(Family):
    pass


@final
class ArrayLen(Family):
    pass


@final
class ArrayFill(Family):
    pass


@final
class ArrayCopy(Family):
    pass


@final
class ArrayInitData(Family):
    pass


@final
class ArrayInitElem(Family):
    pass


@final
class RefTest(Family):
    """``ref.test (ref null? ht)``."""

    nullable: bool


@final
class RefCast(Family):
    """``ref.cast (ref null? ht)``."""

    nullable: bool


@final
class RefI31(Family):
    pass


@final
class I31Get(Family):
    """``i31.get_{s,u}``."""

    signed: bool


@final
class AnyConvertExtern(Family):
    pass


@final
class ExternConvertAny(Family):
    pass


# -- vectors: memory ---------------------------------------------------------------------------------------------------


@final
class SimdLoad(Family):
    """``v128.load``."""


@final
class SimdStore(Family):
    """``v128.store``."""


@final
class SimdLoadExtend(Family):
    """``v128.loadNxM_{s,u}``: 8 bytes, each lane widened by ``signed`` into a lane of ``shape``."""

    shape: Shape
    signed: bool


@final
class SimdLoadSplat(Family):
    """``v128.loadN_splat``: ``bits`` bits into every lane."""

    bits: int


@final
class SimdLoadZero(Family):
    """``v128.loadN_zero``: ``bits`` bits into lane 0, zero into the rest."""

    bits: int


@final
class SimdLoadLane(Family):
    """``v128.loadN_lane``; ``shape`` is the integer shape of ``N``."""

    shape: Shape


@final
class SimdStoreLane(Family):
    """``v128.storeN_lane``; ``shape`` is the integer shape of ``N``."""

    shape: Shape


# -- vectors: lanes ----------------------------------------------------------------------------------------------------


@final
class SimdShuffle(Family):
    """``i8x16.shuffle``: 16 constant byte indices 0..31 into both operands."""


@final
class SimdSwizzle(Family):
    """``i8x16.swizzle``; an index above 15 gives 0 (``relaxed``: or, from 16 to 127, lane index modulo 16)."""

    relaxed: bool


@final
class SimdSplat(Family):
    shape: Shape


@final
class SimdExtractLane(Family):
    """``extract_lane``; ``signed`` is ``None`` where a lane is as wide as its scalar."""

    shape: Shape
    signed: bool | None


@final
class SimdReplaceLane(Family):
    shape: Shape


# -- vectors: bits and tests -------------------------------------------------------------------------------------------


@final
class SimdNot(Family):
    pass


@final
class SimdBits(Family):
    """AND ANDNOT OR XOR of all 128 bits; ANDNOT inverts the second operand."""

    op: Op


@final
class SimdBitselect(Family):
    pass


@final
class SimdAnyTrue(Family):
    pass


@final
class SimdAllTrue(Family):
    shape: Shape


@final
class SimdBitmask(Family):
    shape: Shape


@final
class SimdIntCmp(Family):
    """EQ NE and the orders; each lane becomes all ones or all zeros."""

    op: Op
    shape: Shape


@final
class SimdFloatCmp(Family):
    """EQ NE LT GT LE GE; each lane becomes all ones or all zeros."""

    op: Op
    shape: Shape


# -- vectors: integers -------------------------------------------------------------------------------------------------


@final
class SimdIntUn(Family):
    """ABS NEG POPCNT."""

    op: Op
    shape: Shape


@final
class SimdIntBin(Family):
    """ADD SUB MUL MIN_S MIN_U MAX_S MAX_U."""

    op: Op
    shape: Shape


@final
class SimdSatBin(Family):
    """``add_sat_{s,u}``, ``sub_sat_{s,u}``."""

    op: Op
    shape: Shape
    signed: bool


@final
class SimdAvgr(Family):
    """``avgr_u``: ``(a + b + 1) >> 1`` without overflow."""

    shape: Shape


@final
class SimdShift(Family):
    """SHL SHR_S SHR_U by a scalar, modulo the lane width."""

    op: Op
    shape: Shape


@final
class SimdQ15Mulr(Family):
    """``i16x8.q15mulr_sat_s``, or the relaxed one, which may leave ``-32768 * -32768`` unsaturated."""

    relaxed: bool


@final
class SimdExtMul(Family):
    """``shape.extmul_{low,high}_*_{s,u}``: the operands' lanes are half as wide as those of ``shape``."""

    shape: Shape
    signed: bool
    high: bool


@final
class SimdExtAddPairwise(Family):
    """``shape.extadd_pairwise_*_{s,u}``: the operand's lanes are half as wide as those of ``shape``."""

    shape: Shape
    signed: bool


@final
class SimdDot(Family):
    """``i32x4.dot_i16x8_s``."""


@final
class SimdRelaxedDot(Family):
    """``i16x8.relaxed_dot_i8x16_i7x16_s``, or ``i32x4.relaxed_dot_i8x16_i7x16_add_s`` if ``accumulate``."""

    accumulate: bool


@final
class SimdNarrow(Family):
    """``shape.narrow_*_{s,u}``: saturate both operands' signed lanes, twice as wide, into ``shape``."""

    shape: Shape
    signed: bool


@final
class SimdExtend(Family):
    """``shape.extend_{low,high}_*_{s,u}``: the operand's lanes are half as wide as those of ``shape``."""

    shape: Shape
    signed: bool
    high: bool


@final
class SimdLaneselect(Family):
    """``relaxed_laneselect``: ``bitselect``, or a choice by each mask lane's top bit."""

    shape: Shape


# -- vectors: floats ---------------------------------------------------------------------------------------------------


@final
class SimdFloatUn(Family):
    """ABS NEG SQRT CEIL FLOOR TRUNC NEAREST."""

    op: Op
    shape: Shape


@final
class SimdFloatBin(Family):
    """ADD SUB MUL DIV MIN MAX PMIN PMAX."""

    op: Op
    shape: Shape


@final
class SimdRelaxedMinMax(Family):
    """MIN or MAX; a NaN operand, or zeros of both signs, may give either operand."""

    op: Op
    shape: Shape


@final
class SimdMadd(Family):
    """``relaxed_madd``: ``a * b + c``, or ``relaxed_nmadd`` if ``negated``: ``-(a * b) + c``; fused or not."""

    shape: Shape
    negated: bool


@final
class SimdTruncSat(Family):
    """``i32x4.trunc_sat_src_{s,u}`` and its relaxed form; from ``F64X2`` the upper two lanes are zero."""

    src: Shape
    signed: bool
    relaxed: bool


@final
class SimdConvertInt(Family):
    """``f32x4.convert_i32x4_{s,u}``, or ``f64x2.convert_low_i32x4_{s,u}``."""

    dst: Shape
    signed: bool


@final
class SimdDemote(Family):
    """``f32x4.demote_f64x2_zero``."""


@final
class SimdPromote(Family):
    """``f64x2.promote_low_f32x4``."""


# -- threads -----------------------------------------------------------------------------------------------------------


@final
class AtomicNotify(Family):
    pass


@final
class AtomicWait(Family):
    """``memory.atomic.wait32`` (``I32``) or ``wait64``."""

    type: NumType


@final
class AtomicFence(Family):
    pass


@final
class AtomicLoad(Family):
    """A sequentially consistent :class:`Load`, zero-extending; traps if unaligned, as all atomics do."""

    type: NumType
    size: int


@final
class AtomicStore(Family):
    type: NumType
    size: int


@final
class AtomicRmw(Family):
    """ADD SUB AND OR XOR XCHG on ``size`` bytes; the result is the old value, zero-extended."""

    op: Op
    type: NumType
    size: int


@final
class AtomicCmpxchg(Family):
    type: NumType
    size: int


# -- wide arithmetic ---------------------------------------------------------------------------------------------------


@final
class WideBin(Family):
    """``i64.add128``, ``i64.sub128``: ADD or SUB of two pairs (low, high)."""

    op: Op


@final
class WideMul(Family):
    """``i64.mul_wide_{s,u}``: the 128-bit product as (low, high)."""

    signed: bool
