"""Spec chapter "Structure / Instructions" and appendix "Index of Instructions": THE instruction table.

Invariant: one row per instruction, and nothing about an instruction is written twice. Decoder, encoder, text parser
and printer, the validator's generic path, constant expressions and both tiers read it here. Besides Wasm 3.0 it has
the rows of the proposals threads and wide-arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias, final

from wardian.syntax.families import (
    F32X4,
    F64X2,
    I8X16,
    I16X8,
    I32X4,
    I64X2,
    AnyConvertExtern,
    ArrayCopy,
    ArrayFill,
    ArrayGet,
    ArrayInitData,
    ArrayInitElem,
    ArrayLen,
    ArrayNew,
    ArrayNewData,
    ArrayNewElem,
    ArrayNewFixed,
    ArraySet,
    AtomicCmpxchg,
    AtomicFence,
    AtomicLoad,
    AtomicNotify,
    AtomicRmw,
    AtomicStore,
    AtomicWait,
    Block,
    Br,
    BrIf,
    BrOnCast,
    BrOnNull,
    BrTable,
    Call,
    CallIndirect,
    CallRef,
    Const,
    ConvertInt,
    DataDrop,
    Demote,
    Drop,
    ElemDrop,
    Else,
    End,
    ExtendI32,
    ExternConvertAny,
    Family,
    FloatBin,
    FloatCmp,
    FloatUn,
    GlobalGet,
    GlobalSet,
    I31Get,
    If,
    IntBin,
    IntCmp,
    IntDiv,
    IntExtend,
    IntTest,
    IntUn,
    Load,
    LocalGet,
    LocalSet,
    LocalTee,
    Loop,
    MemoryCopy,
    MemoryFill,
    MemoryGrow,
    MemoryInit,
    MemorySize,
    Nop,
    Op,
    Promote,
    RefAsNonNull,
    RefCast,
    RefEq,
    RefFunc,
    RefI31,
    RefIsNull,
    RefNull,
    RefTest,
    Reinterpret,
    Return,
    Select,
    SimdAllTrue,
    SimdAnyTrue,
    SimdAvgr,
    SimdBitmask,
    SimdBits,
    SimdBitselect,
    SimdConvertInt,
    SimdDemote,
    SimdDot,
    SimdExtAddPairwise,
    SimdExtend,
    SimdExtMul,
    SimdExtractLane,
    SimdFloatBin,
    SimdFloatCmp,
    SimdFloatUn,
    SimdIntBin,
    SimdIntCmp,
    SimdIntUn,
    SimdLaneselect,
    SimdLoad,
    SimdLoadExtend,
    SimdLoadLane,
    SimdLoadSplat,
    SimdLoadZero,
    SimdMadd,
    SimdNarrow,
    SimdNot,
    SimdPromote,
    SimdQ15Mulr,
    SimdRelaxedDot,
    SimdRelaxedMinMax,
    SimdReplaceLane,
    SimdSatBin,
    SimdShift,
    SimdShuffle,
    SimdSplat,
    SimdStore,
    SimdStoreLane,
    SimdSwizzle,
    SimdTruncSat,
    Store,
    StructGet,
    StructNew,
    StructSet,
    TableCopy,
    TableFill,
    TableGet,
    TableGrow,
    TableInit,
    TableSet,
    TableSize,
    Throw,
    ThrowRef,
    TruncFloat,
    TryTable,
    Unreachable,
    WideBin,
    WideMul,
    Wrap,
)
from wardian.syntax.immediates import Imm
from wardian.syntax.types import ARRAY, EQ, F32, F64, I31, I32, I64, V128, ValType, ref

Signature: TypeAlias = "tuple[tuple[ValType, ...], tuple[ValType, ...]] | tuple[None, None]"


@final
class Row:
    """One instruction.

    ``index`` is its dense position in :data:`ROWS`; ``opcode`` its byte, or ``(prefix << 16) | sub-opcode``; ``name``
    its text mnemonic; ``imm`` the kind of its immediates. ``params`` and ``results`` are both ``None`` where the type
    depends on immediates, on the operand stack, or on the address type of a memory or table. ``feature`` is a field of
    :class:`wardian.limits.Features` or ``"mvp"``. ``traps`` are the codes of the traps it may raise itself.
    """

    __slots__ = ("family", "feature", "imm", "index", "name", "opcode", "params", "results", "traps")

    def __init__(
        self,
        index: int,
        opcode: int,
        name: str,
        imm: Imm,
        signature: Signature,
        feature: str,
        traps: tuple[str, ...],
        family: Family,
    ) -> None:
        self.index = index
        self.opcode = opcode
        self.name = name
        self.imm = imm
        self.params = signature[0]
        self.results = signature[1]
        self.family = family
        self.feature = feature
        self.traps = traps

    def __repr__(self) -> str:
        return f"<{self.name} {self.opcode:#x}>"


_EQREF: Final = ref(True, EQ)
_ARRAYREF: Final = ref(True, ARRAY)
_I31REF: Final = ref(True, I31)
_I31: Final = ref(False, I31)

# Signatures: parameters, an underscore, results; I i32, L i64, F f32, D f64, V v128.
_DYN: Final[Signature] = (None, None)
_VOID: Final[Signature] = ((), ())
_ARR_I: Final[Signature] = ((_ARRAYREF,), (I32,))
_DD_D: Final[Signature] = ((F64, F64), (F64,))
_DD_I: Final[Signature] = ((F64, F64), (I32,))
_D_D: Final[Signature] = ((F64,), (F64,))
_D_F: Final[Signature] = ((F64,), (F32,))
_D_I: Final[Signature] = ((F64,), (I32,))
_D_L: Final[Signature] = ((F64,), (I64,))
_D_V: Final[Signature] = ((F64,), (V128,))
_EQEQ_I: Final[Signature] = ((_EQREF, _EQREF), (I32,))
_FF_F: Final[Signature] = ((F32, F32), (F32,))
_FF_I: Final[Signature] = ((F32, F32), (I32,))
_F_D: Final[Signature] = ((F32,), (F64,))
_F_F: Final[Signature] = ((F32,), (F32,))
_F_I: Final[Signature] = ((F32,), (I32,))
_F_L: Final[Signature] = ((F32,), (I64,))
_F_V: Final[Signature] = ((F32,), (V128,))
_I31_I: Final[Signature] = ((_I31REF,), (I32,))
_II_I: Final[Signature] = ((I32, I32), (I32,))
_I_D: Final[Signature] = ((I32,), (F64,))
_I_F: Final[Signature] = ((I32,), (F32,))
_I_I: Final[Signature] = ((I32,), (I32,))
_I_I31: Final[Signature] = ((I32,), (_I31,))
_I_L: Final[Signature] = ((I32,), (I64,))
_I_V: Final[Signature] = ((I32,), (V128,))
_LLLL_LL: Final[Signature] = ((I64, I64, I64, I64), (I64, I64))
_LL_I: Final[Signature] = ((I64, I64), (I32,))
_LL_L: Final[Signature] = ((I64, I64), (I64,))
_LL_LL: Final[Signature] = ((I64, I64), (I64, I64))
_L_D: Final[Signature] = ((I64,), (F64,))
_L_F: Final[Signature] = ((I64,), (F32,))
_L_I: Final[Signature] = ((I64,), (I32,))
_L_L: Final[Signature] = ((I64,), (I64,))
_L_V: Final[Signature] = ((I64,), (V128,))
_VD_V: Final[Signature] = ((V128, F64), (V128,))
_VF_V: Final[Signature] = ((V128, F32), (V128,))
_VI_V: Final[Signature] = ((V128, I32), (V128,))
_VL_V: Final[Signature] = ((V128, I64), (V128,))
_VVV_V: Final[Signature] = ((V128, V128, V128), (V128,))
_VV_V: Final[Signature] = ((V128, V128), (V128,))
_V_D: Final[Signature] = ((V128,), (F64,))
_V_F: Final[Signature] = ((V128,), (F32,))
_V_I: Final[Signature] = ((V128,), (I32,))
_V_L: Final[Signature] = ((V128,), (I64,))
_V_V: Final[Signature] = ((V128,), (V128,))
_TO_D: Final[Signature] = ((), (F64,))
_TO_F: Final[Signature] = ((), (F32,))
_TO_I: Final[Signature] = ((), (I32,))
_TO_L: Final[Signature] = ((), (I64,))
_TO_V: Final[Signature] = ((), (V128,))

# Signedness of a family, in its place.
_S: Final = True
_U: Final = False

# Features with long names.
_SATURATING: Final = "saturating_float_to_int"
_RELAX: Final = "relaxed_simd"

# Sets of traps.
_UNREACHABLE: Final = ("unreachable",)
_THROW: Final = ("uncaught_exception",)
_THROW_REF: Final = ("null_reference", "uncaught_exception")
_CALL: Final = ("stack_exhausted",)
_INDIRECT: Final = ("table_out_of_bounds", "indirect_call_to_null", "bad_signature", "stack_exhausted")
_CALL_REF: Final = ("null_reference", "stack_exhausted")
_MEMORY_OOB: Final = ("memory_out_of_bounds",)
_TABLE_OOB: Final = ("table_out_of_bounds",)
_DIV: Final = ("integer_divide_by_zero", "integer_overflow")
_ZERO: Final = ("integer_divide_by_zero",)
_TRUNC: Final = ("bad_conversion_to_integer", "integer_overflow")
_NULL: Final = ("null_reference",)
_HEAP: Final = ("heap_exhausted",)
_ARRAY: Final = ("null_reference", "array_out_of_bounds")
_ARRAY_NEW_DATA: Final = ("memory_out_of_bounds", "heap_exhausted")
_ARRAY_NEW_ELEM: Final = ("table_out_of_bounds", "heap_exhausted")
_ARRAY_INIT_DATA: Final = ("null_reference", "array_out_of_bounds", "memory_out_of_bounds")
_ARRAY_INIT_ELEM: Final = ("null_reference", "array_out_of_bounds", "table_out_of_bounds")
_CAST: Final = ("cast_failure",)
_ATOMIC: Final = ("memory_out_of_bounds", "unaligned_atomic")
_WAIT: Final = ("memory_out_of_bounds", "unaligned_atomic", "wait_on_unshared_memory")

_TABLE: Final[tuple[tuple[int, str, Imm, Signature, str, tuple[str, ...], Family], ...]] = (
    # control (spec 5.4.1)
    (0x00, "unreachable",          Imm.NONE,          _DYN,  "mvp",                 _UNREACHABLE, Unreachable()),
    (0x01, "nop",                  Imm.NONE,          _VOID, "mvp",                 (),           Nop()),
    (0x02, "block",                Imm.BLOCK,         _DYN,  "mvp",                 (),           Block()),
    (0x03, "loop",                 Imm.BLOCK,         _DYN,  "mvp",                 (),           Loop()),
    (0x04, "if",                   Imm.BLOCK,         _DYN,  "mvp",                 (),           If()),
    (0x05, "else",                 Imm.NONE,          _DYN,  "mvp",                 (),           Else()),
    (0x08, "throw",                Imm.TAG,           _DYN,  "exceptions",          _THROW,       Throw()),
    (0x0A, "throw_ref",            Imm.NONE,          _DYN,  "exceptions",          _THROW_REF,   ThrowRef()),
    (0x0B, "end",                  Imm.NONE,          _DYN,  "mvp",                 (),           End()),
    (0x0C, "br",                   Imm.LABEL,         _DYN,  "mvp",                 (),           Br()),
    (0x0D, "br_if",                Imm.LABEL,         _DYN,  "mvp",                 (),           BrIf()),
    (0x0E, "br_table",             Imm.BR_TABLE,      _DYN,  "mvp",                 (),           BrTable()),
    (0x0F, "return",               Imm.NONE,          _DYN,  "mvp",                 (),           Return()),
    (0x10, "call",                 Imm.FUNC,          _DYN,  "mvp",                 _CALL,        Call(False)),
    (0x11, "call_indirect",        Imm.CALL_INDIRECT, _DYN,  "mvp",                 _INDIRECT,    CallIndirect(False)),
    (0x12, "return_call",          Imm.FUNC,          _DYN,  "tail_call",           _CALL,        Call(True)),
    (0x13, "return_call_indirect", Imm.CALL_INDIRECT, _DYN,  "tail_call",           _INDIRECT,    CallIndirect(True)),
    (0x14, "call_ref",             Imm.TYPE,          _DYN,  "function_references", _CALL_REF,    CallRef(False)),
    (0x15, "return_call_ref",      Imm.TYPE,          _DYN,  "function_references", _CALL_REF,    CallRef(True)),
    (0x1F, "try_table",            Imm.TRY_TABLE,     _DYN,  "exceptions",          (),           TryTable()),
    # parametric, variables, tables
    (0x1A, "drop",       Imm.NONE,     _DYN, "mvp",             (),         Drop()),
    (0x1B, "select",     Imm.NONE,     _DYN, "mvp",             (),         Select(False)),
    (0x1C, "select",     Imm.SELECT_T, _DYN, "reference_types", (),         Select(True)),
    (0x20, "local.get",  Imm.LOCAL,    _DYN, "mvp",             (),         LocalGet()),
    (0x21, "local.set",  Imm.LOCAL,    _DYN, "mvp",             (),         LocalSet()),
    (0x22, "local.tee",  Imm.LOCAL,    _DYN, "mvp",             (),         LocalTee()),
    (0x23, "global.get", Imm.GLOBAL,   _DYN, "mvp",             (),         GlobalGet()),
    (0x24, "global.set", Imm.GLOBAL,   _DYN, "mvp",             (),         GlobalSet()),
    (0x25, "table.get",  Imm.TABLE,    _DYN, "reference_types", _TABLE_OOB, TableGet()),
    (0x26, "table.set",  Imm.TABLE,    _DYN, "reference_types", _TABLE_OOB, TableSet()),
    # memory
    (0x28, "i32.load",     Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I32, 4)),
    (0x29, "i64.load",     Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 8)),
    (0x2A, "f32.load",     Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(F32, 4)),
    (0x2B, "f64.load",     Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(F64, 8)),
    (0x2C, "i32.load8_s",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I32, 1, _S)),
    (0x2D, "i32.load8_u",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I32, 1)),
    (0x2E, "i32.load16_s", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I32, 2, _S)),
    (0x2F, "i32.load16_u", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I32, 2)),
    (0x30, "i64.load8_s",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 1, _S)),
    (0x31, "i64.load8_u",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 1)),
    (0x32, "i64.load16_s", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 2, _S)),
    (0x33, "i64.load16_u", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 2)),
    (0x34, "i64.load32_s", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 4, _S)),
    (0x35, "i64.load32_u", Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Load(I64, 4)),
    (0x36, "i32.store",    Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I32, 4)),
    (0x37, "i64.store",    Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I64, 8)),
    (0x38, "f32.store",    Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(F32, 4)),
    (0x39, "f64.store",    Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(F64, 8)),
    (0x3A, "i32.store8",   Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I32, 1)),
    (0x3B, "i32.store16",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I32, 2)),
    (0x3C, "i64.store8",   Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I64, 1)),
    (0x3D, "i64.store16",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I64, 2)),
    (0x3E, "i64.store32",  Imm.MEMARG, _DYN, "mvp", _MEMORY_OOB, Store(I64, 4)),
    (0x3F, "memory.size",  Imm.MEMORY, _DYN, "mvp", (),          MemorySize()),
    (0x40, "memory.grow",  Imm.MEMORY, _DYN, "mvp", (),          MemoryGrow()),
    # constants and numbers
    (0x41, "i32.const",           Imm.I32,  _TO_I, "mvp", (),     Const(I32)),
    (0x42, "i64.const",           Imm.I64,  _TO_L, "mvp", (),     Const(I64)),
    (0x43, "f32.const",           Imm.F32,  _TO_F, "mvp", (),     Const(F32)),
    (0x44, "f64.const",           Imm.F64,  _TO_D, "mvp", (),     Const(F64)),
    (0x45, "i32.eqz",             Imm.NONE, _I_I,  "mvp", (),     IntTest(I32)),
    (0x46, "i32.eq",              Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.EQ, I32)),
    (0x47, "i32.ne",              Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.NE, I32)),
    (0x48, "i32.lt_s",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.LT_S, I32)),
    (0x49, "i32.lt_u",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.LT_U, I32)),
    (0x4A, "i32.gt_s",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.GT_S, I32)),
    (0x4B, "i32.gt_u",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.GT_U, I32)),
    (0x4C, "i32.le_s",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.LE_S, I32)),
    (0x4D, "i32.le_u",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.LE_U, I32)),
    (0x4E, "i32.ge_s",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.GE_S, I32)),
    (0x4F, "i32.ge_u",            Imm.NONE, _II_I, "mvp", (),     IntCmp(Op.GE_U, I32)),
    (0x50, "i64.eqz",             Imm.NONE, _L_I,  "mvp", (),     IntTest(I64)),
    (0x51, "i64.eq",              Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.EQ, I64)),
    (0x52, "i64.ne",              Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.NE, I64)),
    (0x53, "i64.lt_s",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.LT_S, I64)),
    (0x54, "i64.lt_u",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.LT_U, I64)),
    (0x55, "i64.gt_s",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.GT_S, I64)),
    (0x56, "i64.gt_u",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.GT_U, I64)),
    (0x57, "i64.le_s",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.LE_S, I64)),
    (0x58, "i64.le_u",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.LE_U, I64)),
    (0x59, "i64.ge_s",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.GE_S, I64)),
    (0x5A, "i64.ge_u",            Imm.NONE, _LL_I, "mvp", (),     IntCmp(Op.GE_U, I64)),
    (0x5B, "f32.eq",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.EQ, F32)),
    (0x5C, "f32.ne",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.NE, F32)),
    (0x5D, "f32.lt",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.LT, F32)),
    (0x5E, "f32.gt",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.GT, F32)),
    (0x5F, "f32.le",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.LE, F32)),
    (0x60, "f32.ge",              Imm.NONE, _FF_I, "mvp", (),     FloatCmp(Op.GE, F32)),
    (0x61, "f64.eq",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.EQ, F64)),
    (0x62, "f64.ne",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.NE, F64)),
    (0x63, "f64.lt",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.LT, F64)),
    (0x64, "f64.gt",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.GT, F64)),
    (0x65, "f64.le",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.LE, F64)),
    (0x66, "f64.ge",              Imm.NONE, _DD_I, "mvp", (),     FloatCmp(Op.GE, F64)),
    (0x67, "i32.clz",             Imm.NONE, _I_I,  "mvp", (),     IntUn(Op.CLZ, I32)),
    (0x68, "i32.ctz",             Imm.NONE, _I_I,  "mvp", (),     IntUn(Op.CTZ, I32)),
    (0x69, "i32.popcnt",          Imm.NONE, _I_I,  "mvp", (),     IntUn(Op.POPCNT, I32)),
    (0x6A, "i32.add",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.ADD, I32)),
    (0x6B, "i32.sub",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.SUB, I32)),
    (0x6C, "i32.mul",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.MUL, I32)),
    (0x6D, "i32.div_s",           Imm.NONE, _II_I, "mvp", _DIV,   IntDiv(Op.DIV, I32, _S)),
    (0x6E, "i32.div_u",           Imm.NONE, _II_I, "mvp", _ZERO,  IntDiv(Op.DIV, I32, _U)),
    (0x6F, "i32.rem_s",           Imm.NONE, _II_I, "mvp", _ZERO,  IntDiv(Op.REM, I32, _S)),
    (0x70, "i32.rem_u",           Imm.NONE, _II_I, "mvp", _ZERO,  IntDiv(Op.REM, I32, _U)),
    (0x71, "i32.and",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.AND, I32)),
    (0x72, "i32.or",              Imm.NONE, _II_I, "mvp", (),     IntBin(Op.OR, I32)),
    (0x73, "i32.xor",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.XOR, I32)),
    (0x74, "i32.shl",             Imm.NONE, _II_I, "mvp", (),     IntBin(Op.SHL, I32)),
    (0x75, "i32.shr_s",           Imm.NONE, _II_I, "mvp", (),     IntBin(Op.SHR_S, I32)),
    (0x76, "i32.shr_u",           Imm.NONE, _II_I, "mvp", (),     IntBin(Op.SHR_U, I32)),
    (0x77, "i32.rotl",            Imm.NONE, _II_I, "mvp", (),     IntBin(Op.ROTL, I32)),
    (0x78, "i32.rotr",            Imm.NONE, _II_I, "mvp", (),     IntBin(Op.ROTR, I32)),
    (0x79, "i64.clz",             Imm.NONE, _L_L,  "mvp", (),     IntUn(Op.CLZ, I64)),
    (0x7A, "i64.ctz",             Imm.NONE, _L_L,  "mvp", (),     IntUn(Op.CTZ, I64)),
    (0x7B, "i64.popcnt",          Imm.NONE, _L_L,  "mvp", (),     IntUn(Op.POPCNT, I64)),
    (0x7C, "i64.add",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.ADD, I64)),
    (0x7D, "i64.sub",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.SUB, I64)),
    (0x7E, "i64.mul",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.MUL, I64)),
    (0x7F, "i64.div_s",           Imm.NONE, _LL_L, "mvp", _DIV,   IntDiv(Op.DIV, I64, _S)),
    (0x80, "i64.div_u",           Imm.NONE, _LL_L, "mvp", _ZERO,  IntDiv(Op.DIV, I64, _U)),
    (0x81, "i64.rem_s",           Imm.NONE, _LL_L, "mvp", _ZERO,  IntDiv(Op.REM, I64, _S)),
    (0x82, "i64.rem_u",           Imm.NONE, _LL_L, "mvp", _ZERO,  IntDiv(Op.REM, I64, _U)),
    (0x83, "i64.and",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.AND, I64)),
    (0x84, "i64.or",              Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.OR, I64)),
    (0x85, "i64.xor",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.XOR, I64)),
    (0x86, "i64.shl",             Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.SHL, I64)),
    (0x87, "i64.shr_s",           Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.SHR_S, I64)),
    (0x88, "i64.shr_u",           Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.SHR_U, I64)),
    (0x89, "i64.rotl",            Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.ROTL, I64)),
    (0x8A, "i64.rotr",            Imm.NONE, _LL_L, "mvp", (),     IntBin(Op.ROTR, I64)),
    (0x8B, "f32.abs",             Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.ABS, F32)),
    (0x8C, "f32.neg",             Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.NEG, F32)),
    (0x8D, "f32.ceil",            Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.CEIL, F32)),
    (0x8E, "f32.floor",           Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.FLOOR, F32)),
    (0x8F, "f32.trunc",           Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.TRUNC, F32)),
    (0x90, "f32.nearest",         Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.NEAREST, F32)),
    (0x91, "f32.sqrt",            Imm.NONE, _F_F,  "mvp", (),     FloatUn(Op.SQRT, F32)),
    (0x92, "f32.add",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.ADD, F32)),
    (0x93, "f32.sub",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.SUB, F32)),
    (0x94, "f32.mul",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.MUL, F32)),
    (0x95, "f32.div",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.DIV, F32)),
    (0x96, "f32.min",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.MIN, F32)),
    (0x97, "f32.max",             Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.MAX, F32)),
    (0x98, "f32.copysign",        Imm.NONE, _FF_F, "mvp", (),     FloatBin(Op.COPYSIGN, F32)),
    (0x99, "f64.abs",             Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.ABS, F64)),
    (0x9A, "f64.neg",             Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.NEG, F64)),
    (0x9B, "f64.ceil",            Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.CEIL, F64)),
    (0x9C, "f64.floor",           Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.FLOOR, F64)),
    (0x9D, "f64.trunc",           Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.TRUNC, F64)),
    (0x9E, "f64.nearest",         Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.NEAREST, F64)),
    (0x9F, "f64.sqrt",            Imm.NONE, _D_D,  "mvp", (),     FloatUn(Op.SQRT, F64)),
    (0xA0, "f64.add",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.ADD, F64)),
    (0xA1, "f64.sub",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.SUB, F64)),
    (0xA2, "f64.mul",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.MUL, F64)),
    (0xA3, "f64.div",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.DIV, F64)),
    (0xA4, "f64.min",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.MIN, F64)),
    (0xA5, "f64.max",             Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.MAX, F64)),
    (0xA6, "f64.copysign",        Imm.NONE, _DD_D, "mvp", (),     FloatBin(Op.COPYSIGN, F64)),
    (0xA7, "i32.wrap_i64",        Imm.NONE, _L_I,  "mvp", (),     Wrap()),
    (0xA8, "i32.trunc_f32_s",     Imm.NONE, _F_I,  "mvp", _TRUNC, TruncFloat(I32, F32, _S, saturating=False)),
    (0xA9, "i32.trunc_f32_u",     Imm.NONE, _F_I,  "mvp", _TRUNC, TruncFloat(I32, F32, _U, saturating=False)),
    (0xAA, "i32.trunc_f64_s",     Imm.NONE, _D_I,  "mvp", _TRUNC, TruncFloat(I32, F64, _S, saturating=False)),
    (0xAB, "i32.trunc_f64_u",     Imm.NONE, _D_I,  "mvp", _TRUNC, TruncFloat(I32, F64, _U, saturating=False)),
    (0xAC, "i64.extend_i32_s",    Imm.NONE, _I_L,  "mvp", (),     ExtendI32(_S)),
    (0xAD, "i64.extend_i32_u",    Imm.NONE, _I_L,  "mvp", (),     ExtendI32(_U)),
    (0xAE, "i64.trunc_f32_s",     Imm.NONE, _F_L,  "mvp", _TRUNC, TruncFloat(I64, F32, _S, saturating=False)),
    (0xAF, "i64.trunc_f32_u",     Imm.NONE, _F_L,  "mvp", _TRUNC, TruncFloat(I64, F32, _U, saturating=False)),
    (0xB0, "i64.trunc_f64_s",     Imm.NONE, _D_L,  "mvp", _TRUNC, TruncFloat(I64, F64, _S, saturating=False)),
    (0xB1, "i64.trunc_f64_u",     Imm.NONE, _D_L,  "mvp", _TRUNC, TruncFloat(I64, F64, _U, saturating=False)),
    (0xB2, "f32.convert_i32_s",   Imm.NONE, _I_F,  "mvp", (),     ConvertInt(F32, I32, _S)),
    (0xB3, "f32.convert_i32_u",   Imm.NONE, _I_F,  "mvp", (),     ConvertInt(F32, I32, _U)),
    (0xB4, "f32.convert_i64_s",   Imm.NONE, _L_F,  "mvp", (),     ConvertInt(F32, I64, _S)),
    (0xB5, "f32.convert_i64_u",   Imm.NONE, _L_F,  "mvp", (),     ConvertInt(F32, I64, _U)),
    (0xB6, "f32.demote_f64",      Imm.NONE, _D_F,  "mvp", (),     Demote()),
    (0xB7, "f64.convert_i32_s",   Imm.NONE, _I_D,  "mvp", (),     ConvertInt(F64, I32, _S)),
    (0xB8, "f64.convert_i32_u",   Imm.NONE, _I_D,  "mvp", (),     ConvertInt(F64, I32, _U)),
    (0xB9, "f64.convert_i64_s",   Imm.NONE, _L_D,  "mvp", (),     ConvertInt(F64, I64, _S)),
    (0xBA, "f64.convert_i64_u",   Imm.NONE, _L_D,  "mvp", (),     ConvertInt(F64, I64, _U)),
    (0xBB, "f64.promote_f32",     Imm.NONE, _F_D,  "mvp", (),     Promote()),
    (0xBC, "i32.reinterpret_f32", Imm.NONE, _F_I,  "mvp", (),     Reinterpret(I32, F32)),
    (0xBD, "i64.reinterpret_f64", Imm.NONE, _D_L,  "mvp", (),     Reinterpret(I64, F64)),
    (0xBE, "f32.reinterpret_i32", Imm.NONE, _I_F,  "mvp", (),     Reinterpret(F32, I32)),
    (0xBF, "f64.reinterpret_i64", Imm.NONE, _L_D,  "mvp", (),     Reinterpret(F64, I64)),
    # sign extension
    (0xC0, "i32.extend8_s",  Imm.NONE, _I_I, "sign_extension", (), IntExtend(I32, 8)),
    (0xC1, "i32.extend16_s", Imm.NONE, _I_I, "sign_extension", (), IntExtend(I32, 16)),
    (0xC2, "i64.extend8_s",  Imm.NONE, _L_L, "sign_extension", (), IntExtend(I64, 8)),
    (0xC3, "i64.extend16_s", Imm.NONE, _L_L, "sign_extension", (), IntExtend(I64, 16)),
    (0xC4, "i64.extend32_s", Imm.NONE, _L_L, "sign_extension", (), IntExtend(I64, 32)),
    # references
    (0xD0, "ref.null",        Imm.HEAP,  _DYN,    "reference_types",     (),    RefNull()),
    (0xD1, "ref.is_null",     Imm.NONE,  _DYN,    "reference_types",     (),    RefIsNull()),
    (0xD2, "ref.func",        Imm.FUNC,  _DYN,    "reference_types",     (),    RefFunc()),
    (0xD3, "ref.eq",          Imm.NONE,  _EQEQ_I, "gc",                  (),    RefEq()),
    (0xD4, "ref.as_non_null", Imm.NONE,  _DYN,    "function_references", _NULL, RefAsNonNull()),
    (0xD5, "br_on_null",      Imm.LABEL, _DYN,    "function_references", (),    BrOnNull(non_null=False)),
    (0xD6, "br_on_non_null",  Imm.LABEL, _DYN,    "function_references", (),    BrOnNull(non_null=True)),
    # prefix 0xFB: aggregates, casts, i31
    (0xFB0000, "struct.new",         Imm.TYPE,       _DYN,   "gc", _HEAP,            StructNew(default=False)),
    (0xFB0001, "struct.new_default", Imm.TYPE,       _DYN,   "gc", _HEAP,            StructNew(default=True)),
    (0xFB0002, "struct.get",         Imm.TYPE_FIELD, _DYN,   "gc", _NULL,            StructGet(None)),
    (0xFB0003, "struct.get_s",       Imm.TYPE_FIELD, _DYN,   "gc", _NULL,            StructGet(_S)),
    (0xFB0004, "struct.get_u",       Imm.TYPE_FIELD, _DYN,   "gc", _NULL,            StructGet(_U)),
    (0xFB0005, "struct.set",         Imm.TYPE_FIELD, _DYN,   "gc", _NULL,            StructSet()),
    (0xFB0006, "array.new",          Imm.TYPE,       _DYN,   "gc", _HEAP,            ArrayNew(default=False)),
    (0xFB0007, "array.new_default",  Imm.TYPE,       _DYN,   "gc", _HEAP,            ArrayNew(default=True)),
    (0xFB0008, "array.new_fixed",    Imm.TYPE_COUNT, _DYN,   "gc", _HEAP,            ArrayNewFixed()),
    (0xFB0009, "array.new_data",     Imm.TYPE_DATA,  _DYN,   "gc", _ARRAY_NEW_DATA,  ArrayNewData()),
    (0xFB000A, "array.new_elem",     Imm.TYPE_ELEM,  _DYN,   "gc", _ARRAY_NEW_ELEM,  ArrayNewElem()),
    (0xFB000B, "array.get",          Imm.TYPE,       _DYN,   "gc", _ARRAY,           ArrayGet(None)),
    (0xFB000C, "array.get_s",        Imm.TYPE,       _DYN,   "gc", _ARRAY,           ArrayGet(_S)),
    (0xFB000D, "array.get_u",        Imm.TYPE,       _DYN,   "gc", _ARRAY,           ArrayGet(_U)),
    (0xFB000E, "array.set",          Imm.TYPE,       _DYN,   "gc", _ARRAY,           ArraySet()),
    (0xFB000F, "array.len",          Imm.NONE,       _ARR_I, "gc", _NULL,            ArrayLen()),
    (0xFB0010, "array.fill",         Imm.TYPE,       _DYN,   "gc", _ARRAY,           ArrayFill()),
    (0xFB0011, "array.copy",         Imm.TYPE_TYPE,  _DYN,   "gc", _ARRAY,           ArrayCopy()),
    (0xFB0012, "array.init_data",    Imm.TYPE_DATA,  _DYN,   "gc", _ARRAY_INIT_DATA, ArrayInitData()),
    (0xFB0013, "array.init_elem",    Imm.TYPE_ELEM,  _DYN,   "gc", _ARRAY_INIT_ELEM, ArrayInitElem()),
    (0xFB0014, "ref.test",           Imm.HEAP,       _DYN,   "gc", (),               RefTest(nullable=False)),
    (0xFB0015, "ref.test",           Imm.HEAP,       _DYN,   "gc", (),               RefTest(nullable=True)),
    (0xFB0016, "ref.cast",           Imm.HEAP,       _DYN,   "gc", _CAST,            RefCast(nullable=False)),
    (0xFB0017, "ref.cast",           Imm.HEAP,       _DYN,   "gc", _CAST,            RefCast(nullable=True)),
    (0xFB0018, "br_on_cast",         Imm.BR_CAST,    _DYN,   "gc", (),               BrOnCast(fail=False)),
    (0xFB0019, "br_on_cast_fail",    Imm.BR_CAST,    _DYN,   "gc", (),               BrOnCast(fail=True)),
    (0xFB001A, "any.convert_extern", Imm.NONE,       _DYN,   "gc", (),               AnyConvertExtern()),
    (0xFB001B, "extern.convert_any", Imm.NONE,       _DYN,   "gc", (),               ExternConvertAny()),
    (0xFB001C, "ref.i31",            Imm.NONE,       _I_I31, "gc", (),               RefI31()),
    (0xFB001D, "i31.get_s",          Imm.NONE,       _I31_I, "gc", _NULL,            I31Get(_S)),
    (0xFB001E, "i31.get_u",          Imm.NONE,       _I31_I, "gc", _NULL,            I31Get(_U)),
    # prefix 0xFC: saturating conversions
    (0xFC0000, "i32.trunc_sat_f32_s", Imm.NONE, _F_I, _SATURATING, (), TruncFloat(I32, F32, _S, saturating=True)),
    (0xFC0001, "i32.trunc_sat_f32_u", Imm.NONE, _F_I, _SATURATING, (), TruncFloat(I32, F32, _U, saturating=True)),
    (0xFC0002, "i32.trunc_sat_f64_s", Imm.NONE, _D_I, _SATURATING, (), TruncFloat(I32, F64, _S, saturating=True)),
    (0xFC0003, "i32.trunc_sat_f64_u", Imm.NONE, _D_I, _SATURATING, (), TruncFloat(I32, F64, _U, saturating=True)),
    (0xFC0004, "i64.trunc_sat_f32_s", Imm.NONE, _F_L, _SATURATING, (), TruncFloat(I64, F32, _S, saturating=True)),
    (0xFC0005, "i64.trunc_sat_f32_u", Imm.NONE, _F_L, _SATURATING, (), TruncFloat(I64, F32, _U, saturating=True)),
    (0xFC0006, "i64.trunc_sat_f64_s", Imm.NONE, _D_L, _SATURATING, (), TruncFloat(I64, F64, _S, saturating=True)),
    (0xFC0007, "i64.trunc_sat_f64_u", Imm.NONE, _D_L, _SATURATING, (), TruncFloat(I64, F64, _U, saturating=True)),
    # prefix 0xFC: bulk operations
    (0xFC0008, "memory.init", Imm.MEMORY_INIT, _DYN,  "bulk_memory",     _MEMORY_OOB, MemoryInit()),
    (0xFC0009, "data.drop",   Imm.DATA,        _VOID, "bulk_memory",     (),          DataDrop()),
    (0xFC000A, "memory.copy", Imm.MEMORY_COPY, _DYN,  "bulk_memory",     _MEMORY_OOB, MemoryCopy()),
    (0xFC000B, "memory.fill", Imm.MEMORY,      _DYN,  "bulk_memory",     _MEMORY_OOB, MemoryFill()),
    (0xFC000C, "table.init",  Imm.TABLE_INIT,  _DYN,  "bulk_memory",     _TABLE_OOB,  TableInit()),
    (0xFC000D, "elem.drop",   Imm.ELEM,        _VOID, "bulk_memory",     (),          ElemDrop()),
    (0xFC000E, "table.copy",  Imm.TABLE_COPY,  _DYN,  "bulk_memory",     _TABLE_OOB,  TableCopy()),
    (0xFC000F, "table.grow",  Imm.TABLE,       _DYN,  "reference_types", (),          TableGrow()),
    (0xFC0010, "table.size",  Imm.TABLE,       _DYN,  "reference_types", (),          TableSize()),
    (0xFC0011, "table.fill",  Imm.TABLE,       _DYN,  "reference_types", _TABLE_OOB,  TableFill()),
    # prefix 0xFC: wide arithmetic
    (0xFC0013, "i64.add128",     Imm.NONE, _LLLL_LL, "wide_arithmetic", (), WideBin(Op.ADD)),
    (0xFC0014, "i64.sub128",     Imm.NONE, _LLLL_LL, "wide_arithmetic", (), WideBin(Op.SUB)),
    (0xFC0015, "i64.mul_wide_s", Imm.NONE, _LL_LL,   "wide_arithmetic", (), WideMul(_S)),
    (0xFC0016, "i64.mul_wide_u", Imm.NONE, _LL_LL,   "wide_arithmetic", (), WideMul(_U)),
    # prefix 0xFD: vectors, memory
    (0xFD0000, "v128.load",         Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoad()),
    (0xFD0001, "v128.load8x8_s",    Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I16X8, _S)),
    (0xFD0002, "v128.load8x8_u",    Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I16X8, _U)),
    (0xFD0003, "v128.load16x4_s",   Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I32X4, _S)),
    (0xFD0004, "v128.load16x4_u",   Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I32X4, _U)),
    (0xFD0005, "v128.load32x2_s",   Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I64X2, _S)),
    (0xFD0006, "v128.load32x2_u",   Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadExtend(I64X2, _U)),
    (0xFD0007, "v128.load8_splat",  Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadSplat(8)),
    (0xFD0008, "v128.load16_splat", Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadSplat(16)),
    (0xFD0009, "v128.load32_splat", Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadSplat(32)),
    (0xFD000A, "v128.load64_splat", Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdLoadSplat(64)),
    (0xFD000B, "v128.store",        Imm.MEMARG, _DYN, "simd", _MEMORY_OOB, SimdStore()),
    # prefix 0xFD: vectors, constants and lanes
    (0xFD000C, "v128.const",           Imm.V128,    _TO_V, "simd", (), Const(V128)),
    (0xFD000D, "i8x16.shuffle",        Imm.SHUFFLE, _VV_V, "simd", (), SimdShuffle()),
    (0xFD000E, "i8x16.swizzle",        Imm.NONE,    _VV_V, "simd", (), SimdSwizzle(relaxed=False)),
    (0xFD000F, "i8x16.splat",          Imm.NONE,    _I_V,  "simd", (), SimdSplat(I8X16)),
    (0xFD0010, "i16x8.splat",          Imm.NONE,    _I_V,  "simd", (), SimdSplat(I16X8)),
    (0xFD0011, "i32x4.splat",          Imm.NONE,    _I_V,  "simd", (), SimdSplat(I32X4)),
    (0xFD0012, "i64x2.splat",          Imm.NONE,    _L_V,  "simd", (), SimdSplat(I64X2)),
    (0xFD0013, "f32x4.splat",          Imm.NONE,    _F_V,  "simd", (), SimdSplat(F32X4)),
    (0xFD0014, "f64x2.splat",          Imm.NONE,    _D_V,  "simd", (), SimdSplat(F64X2)),
    (0xFD0015, "i8x16.extract_lane_s", Imm.LANE,    _V_I,  "simd", (), SimdExtractLane(I8X16, _S)),
    (0xFD0016, "i8x16.extract_lane_u", Imm.LANE,    _V_I,  "simd", (), SimdExtractLane(I8X16, _U)),
    (0xFD0017, "i8x16.replace_lane",   Imm.LANE,    _VI_V, "simd", (), SimdReplaceLane(I8X16)),
    (0xFD0018, "i16x8.extract_lane_s", Imm.LANE,    _V_I,  "simd", (), SimdExtractLane(I16X8, _S)),
    (0xFD0019, "i16x8.extract_lane_u", Imm.LANE,    _V_I,  "simd", (), SimdExtractLane(I16X8, _U)),
    (0xFD001A, "i16x8.replace_lane",   Imm.LANE,    _VI_V, "simd", (), SimdReplaceLane(I16X8)),
    (0xFD001B, "i32x4.extract_lane",   Imm.LANE,    _V_I,  "simd", (), SimdExtractLane(I32X4, None)),
    (0xFD001C, "i32x4.replace_lane",   Imm.LANE,    _VI_V, "simd", (), SimdReplaceLane(I32X4)),
    (0xFD001D, "i64x2.extract_lane",   Imm.LANE,    _V_L,  "simd", (), SimdExtractLane(I64X2, None)),
    (0xFD001E, "i64x2.replace_lane",   Imm.LANE,    _VL_V, "simd", (), SimdReplaceLane(I64X2)),
    (0xFD001F, "f32x4.extract_lane",   Imm.LANE,    _V_F,  "simd", (), SimdExtractLane(F32X4, None)),
    (0xFD0020, "f32x4.replace_lane",   Imm.LANE,    _VF_V, "simd", (), SimdReplaceLane(F32X4)),
    (0xFD0021, "f64x2.extract_lane",   Imm.LANE,    _V_D,  "simd", (), SimdExtractLane(F64X2, None)),
    (0xFD0022, "f64x2.replace_lane",   Imm.LANE,    _VD_V, "simd", (), SimdReplaceLane(F64X2)),
    # prefix 0xFD: vectors, comparisons and bits
    (0xFD0023, "i8x16.eq",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.EQ, I8X16)),
    (0xFD0024, "i8x16.ne",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.NE, I8X16)),
    (0xFD0025, "i8x16.lt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_S, I8X16)),
    (0xFD0026, "i8x16.lt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_U, I8X16)),
    (0xFD0027, "i8x16.gt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_S, I8X16)),
    (0xFD0028, "i8x16.gt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_U, I8X16)),
    (0xFD0029, "i8x16.le_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_S, I8X16)),
    (0xFD002A, "i8x16.le_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_U, I8X16)),
    (0xFD002B, "i8x16.ge_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_S, I8X16)),
    (0xFD002C, "i8x16.ge_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_U, I8X16)),
    (0xFD002D, "i16x8.eq",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.EQ, I16X8)),
    (0xFD002E, "i16x8.ne",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.NE, I16X8)),
    (0xFD002F, "i16x8.lt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_S, I16X8)),
    (0xFD0030, "i16x8.lt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_U, I16X8)),
    (0xFD0031, "i16x8.gt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_S, I16X8)),
    (0xFD0032, "i16x8.gt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_U, I16X8)),
    (0xFD0033, "i16x8.le_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_S, I16X8)),
    (0xFD0034, "i16x8.le_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_U, I16X8)),
    (0xFD0035, "i16x8.ge_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_S, I16X8)),
    (0xFD0036, "i16x8.ge_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_U, I16X8)),
    (0xFD0037, "i32x4.eq",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.EQ, I32X4)),
    (0xFD0038, "i32x4.ne",       Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.NE, I32X4)),
    (0xFD0039, "i32x4.lt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_S, I32X4)),
    (0xFD003A, "i32x4.lt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LT_U, I32X4)),
    (0xFD003B, "i32x4.gt_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_S, I32X4)),
    (0xFD003C, "i32x4.gt_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GT_U, I32X4)),
    (0xFD003D, "i32x4.le_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_S, I32X4)),
    (0xFD003E, "i32x4.le_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.LE_U, I32X4)),
    (0xFD003F, "i32x4.ge_s",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_S, I32X4)),
    (0xFD0040, "i32x4.ge_u",     Imm.NONE, _VV_V,  "simd", (), SimdIntCmp(Op.GE_U, I32X4)),
    (0xFD0041, "f32x4.eq",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.EQ, F32X4)),
    (0xFD0042, "f32x4.ne",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.NE, F32X4)),
    (0xFD0043, "f32x4.lt",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.LT, F32X4)),
    (0xFD0044, "f32x4.gt",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.GT, F32X4)),
    (0xFD0045, "f32x4.le",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.LE, F32X4)),
    (0xFD0046, "f32x4.ge",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.GE, F32X4)),
    (0xFD0047, "f64x2.eq",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.EQ, F64X2)),
    (0xFD0048, "f64x2.ne",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.NE, F64X2)),
    (0xFD0049, "f64x2.lt",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.LT, F64X2)),
    (0xFD004A, "f64x2.gt",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.GT, F64X2)),
    (0xFD004B, "f64x2.le",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.LE, F64X2)),
    (0xFD004C, "f64x2.ge",       Imm.NONE, _VV_V,  "simd", (), SimdFloatCmp(Op.GE, F64X2)),
    (0xFD004D, "v128.not",       Imm.NONE, _V_V,   "simd", (), SimdNot()),
    (0xFD004E, "v128.and",       Imm.NONE, _VV_V,  "simd", (), SimdBits(Op.AND)),
    (0xFD004F, "v128.andnot",    Imm.NONE, _VV_V,  "simd", (), SimdBits(Op.ANDNOT)),
    (0xFD0050, "v128.or",        Imm.NONE, _VV_V,  "simd", (), SimdBits(Op.OR)),
    (0xFD0051, "v128.xor",       Imm.NONE, _VV_V,  "simd", (), SimdBits(Op.XOR)),
    (0xFD0052, "v128.bitselect", Imm.NONE, _VVV_V, "simd", (), SimdBitselect()),
    (0xFD0053, "v128.any_true",  Imm.NONE, _V_I,   "simd", (), SimdAnyTrue()),
    # prefix 0xFD: vectors, memory lanes
    (0xFD0054, "v128.load8_lane",   Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdLoadLane(I8X16)),
    (0xFD0055, "v128.load16_lane",  Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdLoadLane(I16X8)),
    (0xFD0056, "v128.load32_lane",  Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdLoadLane(I32X4)),
    (0xFD0057, "v128.load64_lane",  Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdLoadLane(I64X2)),
    (0xFD0058, "v128.store8_lane",  Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdStoreLane(I8X16)),
    (0xFD0059, "v128.store16_lane", Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdStoreLane(I16X8)),
    (0xFD005A, "v128.store32_lane", Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdStoreLane(I32X4)),
    (0xFD005B, "v128.store64_lane", Imm.MEMARG_LANE, _DYN, "simd", _MEMORY_OOB, SimdStoreLane(I64X2)),
    (0xFD005C, "v128.load32_zero",  Imm.MEMARG,      _DYN, "simd", _MEMORY_OOB, SimdLoadZero(32)),
    (0xFD005D, "v128.load64_zero",  Imm.MEMARG,      _DYN, "simd", _MEMORY_OOB, SimdLoadZero(64)),
    # prefix 0xFD: vectors, arithmetic
    (0xFD005E, "f32x4.demote_f64x2_zero",       Imm.NONE, _V_V,  "simd", (), SimdDemote()),
    (0xFD005F, "f64x2.promote_low_f32x4",       Imm.NONE, _V_V,  "simd", (), SimdPromote()),
    (0xFD0060, "i8x16.abs",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.ABS, I8X16)),
    (0xFD0061, "i8x16.neg",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.NEG, I8X16)),
    (0xFD0062, "i8x16.popcnt",                  Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.POPCNT, I8X16)),
    (0xFD0063, "i8x16.all_true",                Imm.NONE, _V_I,  "simd", (), SimdAllTrue(I8X16)),
    (0xFD0064, "i8x16.bitmask",                 Imm.NONE, _V_I,  "simd", (), SimdBitmask(I8X16)),
    (0xFD0065, "i8x16.narrow_i16x8_s",          Imm.NONE, _VV_V, "simd", (), SimdNarrow(I8X16, _S)),
    (0xFD0066, "i8x16.narrow_i16x8_u",          Imm.NONE, _VV_V, "simd", (), SimdNarrow(I8X16, _U)),
    (0xFD0067, "f32x4.ceil",                    Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.CEIL, F32X4)),
    (0xFD0068, "f32x4.floor",                   Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.FLOOR, F32X4)),
    (0xFD0069, "f32x4.trunc",                   Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.TRUNC, F32X4)),
    (0xFD006A, "f32x4.nearest",                 Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.NEAREST, F32X4)),
    (0xFD006B, "i8x16.shl",                     Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHL, I8X16)),
    (0xFD006C, "i8x16.shr_s",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_S, I8X16)),
    (0xFD006D, "i8x16.shr_u",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_U, I8X16)),
    (0xFD006E, "i8x16.add",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.ADD, I8X16)),
    (0xFD006F, "i8x16.add_sat_s",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.ADD, I8X16, _S)),
    (0xFD0070, "i8x16.add_sat_u",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.ADD, I8X16, _U)),
    (0xFD0071, "i8x16.sub",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.SUB, I8X16)),
    (0xFD0072, "i8x16.sub_sat_s",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.SUB, I8X16, _S)),
    (0xFD0073, "i8x16.sub_sat_u",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.SUB, I8X16, _U)),
    (0xFD0074, "f64x2.ceil",                    Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.CEIL, F64X2)),
    (0xFD0075, "f64x2.floor",                   Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.FLOOR, F64X2)),
    (0xFD0076, "i8x16.min_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_S, I8X16)),
    (0xFD0077, "i8x16.min_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_U, I8X16)),
    (0xFD0078, "i8x16.max_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_S, I8X16)),
    (0xFD0079, "i8x16.max_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_U, I8X16)),
    (0xFD007A, "f64x2.trunc",                   Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.TRUNC, F64X2)),
    (0xFD007B, "i8x16.avgr_u",                  Imm.NONE, _VV_V, "simd", (), SimdAvgr(I8X16)),
    (0xFD007C, "i16x8.extadd_pairwise_i8x16_s", Imm.NONE, _V_V,  "simd", (), SimdExtAddPairwise(I16X8, _S)),
    (0xFD007D, "i16x8.extadd_pairwise_i8x16_u", Imm.NONE, _V_V,  "simd", (), SimdExtAddPairwise(I16X8, _U)),
    (0xFD007E, "i32x4.extadd_pairwise_i16x8_s", Imm.NONE, _V_V,  "simd", (), SimdExtAddPairwise(I32X4, _S)),
    (0xFD007F, "i32x4.extadd_pairwise_i16x8_u", Imm.NONE, _V_V,  "simd", (), SimdExtAddPairwise(I32X4, _U)),
    (0xFD0080, "i16x8.abs",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.ABS, I16X8)),
    (0xFD0081, "i16x8.neg",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.NEG, I16X8)),
    (0xFD0082, "i16x8.q15mulr_sat_s",           Imm.NONE, _VV_V, "simd", (), SimdQ15Mulr(relaxed=False)),
    (0xFD0083, "i16x8.all_true",                Imm.NONE, _V_I,  "simd", (), SimdAllTrue(I16X8)),
    (0xFD0084, "i16x8.bitmask",                 Imm.NONE, _V_I,  "simd", (), SimdBitmask(I16X8)),
    (0xFD0085, "i16x8.narrow_i32x4_s",          Imm.NONE, _VV_V, "simd", (), SimdNarrow(I16X8, _S)),
    (0xFD0086, "i16x8.narrow_i32x4_u",          Imm.NONE, _VV_V, "simd", (), SimdNarrow(I16X8, _U)),
    (0xFD0087, "i16x8.extend_low_i8x16_s",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I16X8, _S, high=False)),
    (0xFD0088, "i16x8.extend_high_i8x16_s",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I16X8, _S, high=True)),
    (0xFD0089, "i16x8.extend_low_i8x16_u",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I16X8, _U, high=False)),
    (0xFD008A, "i16x8.extend_high_i8x16_u",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I16X8, _U, high=True)),
    (0xFD008B, "i16x8.shl",                     Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHL, I16X8)),
    (0xFD008C, "i16x8.shr_s",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_S, I16X8)),
    (0xFD008D, "i16x8.shr_u",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_U, I16X8)),
    (0xFD008E, "i16x8.add",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.ADD, I16X8)),
    (0xFD008F, "i16x8.add_sat_s",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.ADD, I16X8, _S)),
    (0xFD0090, "i16x8.add_sat_u",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.ADD, I16X8, _U)),
    (0xFD0091, "i16x8.sub",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.SUB, I16X8)),
    (0xFD0092, "i16x8.sub_sat_s",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.SUB, I16X8, _S)),
    (0xFD0093, "i16x8.sub_sat_u",               Imm.NONE, _VV_V, "simd", (), SimdSatBin(Op.SUB, I16X8, _U)),
    (0xFD0094, "f64x2.nearest",                 Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.NEAREST, F64X2)),
    (0xFD0095, "i16x8.mul",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MUL, I16X8)),
    (0xFD0096, "i16x8.min_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_S, I16X8)),
    (0xFD0097, "i16x8.min_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_U, I16X8)),
    (0xFD0098, "i16x8.max_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_S, I16X8)),
    (0xFD0099, "i16x8.max_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_U, I16X8)),
    (0xFD009B, "i16x8.avgr_u",                  Imm.NONE, _VV_V, "simd", (), SimdAvgr(I16X8)),
    (0xFD009C, "i16x8.extmul_low_i8x16_s",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I16X8, _S, high=False)),
    (0xFD009D, "i16x8.extmul_high_i8x16_s",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I16X8, _S, high=True)),
    (0xFD009E, "i16x8.extmul_low_i8x16_u",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I16X8, _U, high=False)),
    (0xFD009F, "i16x8.extmul_high_i8x16_u",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I16X8, _U, high=True)),
    (0xFD00A0, "i32x4.abs",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.ABS, I32X4)),
    (0xFD00A1, "i32x4.neg",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.NEG, I32X4)),
    (0xFD00A3, "i32x4.all_true",                Imm.NONE, _V_I,  "simd", (), SimdAllTrue(I32X4)),
    (0xFD00A4, "i32x4.bitmask",                 Imm.NONE, _V_I,  "simd", (), SimdBitmask(I32X4)),
    (0xFD00A7, "i32x4.extend_low_i16x8_s",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I32X4, _S, high=False)),
    (0xFD00A8, "i32x4.extend_high_i16x8_s",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I32X4, _S, high=True)),
    (0xFD00A9, "i32x4.extend_low_i16x8_u",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I32X4, _U, high=False)),
    (0xFD00AA, "i32x4.extend_high_i16x8_u",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I32X4, _U, high=True)),
    (0xFD00AB, "i32x4.shl",                     Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHL, I32X4)),
    (0xFD00AC, "i32x4.shr_s",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_S, I32X4)),
    (0xFD00AD, "i32x4.shr_u",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_U, I32X4)),
    (0xFD00AE, "i32x4.add",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.ADD, I32X4)),
    (0xFD00B1, "i32x4.sub",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.SUB, I32X4)),
    (0xFD00B5, "i32x4.mul",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MUL, I32X4)),
    (0xFD00B6, "i32x4.min_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_S, I32X4)),
    (0xFD00B7, "i32x4.min_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MIN_U, I32X4)),
    (0xFD00B8, "i32x4.max_s",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_S, I32X4)),
    (0xFD00B9, "i32x4.max_u",                   Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MAX_U, I32X4)),
    (0xFD00BA, "i32x4.dot_i16x8_s",             Imm.NONE, _VV_V, "simd", (), SimdDot()),
    (0xFD00BC, "i32x4.extmul_low_i16x8_s",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I32X4, _S, high=False)),
    (0xFD00BD, "i32x4.extmul_high_i16x8_s",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I32X4, _S, high=True)),
    (0xFD00BE, "i32x4.extmul_low_i16x8_u",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I32X4, _U, high=False)),
    (0xFD00BF, "i32x4.extmul_high_i16x8_u",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I32X4, _U, high=True)),
    (0xFD00C0, "i64x2.abs",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.ABS, I64X2)),
    (0xFD00C1, "i64x2.neg",                     Imm.NONE, _V_V,  "simd", (), SimdIntUn(Op.NEG, I64X2)),
    (0xFD00C3, "i64x2.all_true",                Imm.NONE, _V_I,  "simd", (), SimdAllTrue(I64X2)),
    (0xFD00C4, "i64x2.bitmask",                 Imm.NONE, _V_I,  "simd", (), SimdBitmask(I64X2)),
    (0xFD00C7, "i64x2.extend_low_i32x4_s",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I64X2, _S, high=False)),
    (0xFD00C8, "i64x2.extend_high_i32x4_s",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I64X2, _S, high=True)),
    (0xFD00C9, "i64x2.extend_low_i32x4_u",      Imm.NONE, _V_V,  "simd", (), SimdExtend(I64X2, _U, high=False)),
    (0xFD00CA, "i64x2.extend_high_i32x4_u",     Imm.NONE, _V_V,  "simd", (), SimdExtend(I64X2, _U, high=True)),
    (0xFD00CB, "i64x2.shl",                     Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHL, I64X2)),
    (0xFD00CC, "i64x2.shr_s",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_S, I64X2)),
    (0xFD00CD, "i64x2.shr_u",                   Imm.NONE, _VI_V, "simd", (), SimdShift(Op.SHR_U, I64X2)),
    (0xFD00CE, "i64x2.add",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.ADD, I64X2)),
    (0xFD00D1, "i64x2.sub",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.SUB, I64X2)),
    (0xFD00D5, "i64x2.mul",                     Imm.NONE, _VV_V, "simd", (), SimdIntBin(Op.MUL, I64X2)),
    (0xFD00D6, "i64x2.eq",                      Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.EQ, I64X2)),
    (0xFD00D7, "i64x2.ne",                      Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.NE, I64X2)),
    (0xFD00D8, "i64x2.lt_s",                    Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.LT_S, I64X2)),
    (0xFD00D9, "i64x2.gt_s",                    Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.GT_S, I64X2)),
    (0xFD00DA, "i64x2.le_s",                    Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.LE_S, I64X2)),
    (0xFD00DB, "i64x2.ge_s",                    Imm.NONE, _VV_V, "simd", (), SimdIntCmp(Op.GE_S, I64X2)),
    (0xFD00DC, "i64x2.extmul_low_i32x4_s",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I64X2, _S, high=False)),
    (0xFD00DD, "i64x2.extmul_high_i32x4_s",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I64X2, _S, high=True)),
    (0xFD00DE, "i64x2.extmul_low_i32x4_u",      Imm.NONE, _VV_V, "simd", (), SimdExtMul(I64X2, _U, high=False)),
    (0xFD00DF, "i64x2.extmul_high_i32x4_u",     Imm.NONE, _VV_V, "simd", (), SimdExtMul(I64X2, _U, high=True)),
    (0xFD00E0, "f32x4.abs",                     Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.ABS, F32X4)),
    (0xFD00E1, "f32x4.neg",                     Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.NEG, F32X4)),
    (0xFD00E3, "f32x4.sqrt",                    Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.SQRT, F32X4)),
    (0xFD00E4, "f32x4.add",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.ADD, F32X4)),
    (0xFD00E5, "f32x4.sub",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.SUB, F32X4)),
    (0xFD00E6, "f32x4.mul",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MUL, F32X4)),
    (0xFD00E7, "f32x4.div",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.DIV, F32X4)),
    (0xFD00E8, "f32x4.min",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MIN, F32X4)),
    (0xFD00E9, "f32x4.max",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MAX, F32X4)),
    (0xFD00EA, "f32x4.pmin",                    Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.PMIN, F32X4)),
    (0xFD00EB, "f32x4.pmax",                    Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.PMAX, F32X4)),
    (0xFD00EC, "f64x2.abs",                     Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.ABS, F64X2)),
    (0xFD00ED, "f64x2.neg",                     Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.NEG, F64X2)),
    (0xFD00EF, "f64x2.sqrt",                    Imm.NONE, _V_V,  "simd", (), SimdFloatUn(Op.SQRT, F64X2)),
    (0xFD00F0, "f64x2.add",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.ADD, F64X2)),
    (0xFD00F1, "f64x2.sub",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.SUB, F64X2)),
    (0xFD00F2, "f64x2.mul",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MUL, F64X2)),
    (0xFD00F3, "f64x2.div",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.DIV, F64X2)),
    (0xFD00F4, "f64x2.min",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MIN, F64X2)),
    (0xFD00F5, "f64x2.max",                     Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.MAX, F64X2)),
    (0xFD00F6, "f64x2.pmin",                    Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.PMIN, F64X2)),
    (0xFD00F7, "f64x2.pmax",                    Imm.NONE, _VV_V, "simd", (), SimdFloatBin(Op.PMAX, F64X2)),
    (0xFD00F8, "i32x4.trunc_sat_f32x4_s",       Imm.NONE, _V_V,  "simd", (), SimdTruncSat(F32X4, _S, relaxed=False)),
    (0xFD00F9, "i32x4.trunc_sat_f32x4_u",       Imm.NONE, _V_V,  "simd", (), SimdTruncSat(F32X4, _U, relaxed=False)),
    (0xFD00FA, "f32x4.convert_i32x4_s",         Imm.NONE, _V_V,  "simd", (), SimdConvertInt(F32X4, _S)),
    (0xFD00FB, "f32x4.convert_i32x4_u",         Imm.NONE, _V_V,  "simd", (), SimdConvertInt(F32X4, _U)),
    (0xFD00FC, "i32x4.trunc_sat_f64x2_s_zero",  Imm.NONE, _V_V,  "simd", (), SimdTruncSat(F64X2, _S, relaxed=False)),
    (0xFD00FD, "i32x4.trunc_sat_f64x2_u_zero",  Imm.NONE, _V_V,  "simd", (), SimdTruncSat(F64X2, _U, relaxed=False)),
    (0xFD00FE, "f64x2.convert_low_i32x4_s",     Imm.NONE, _V_V,  "simd", (), SimdConvertInt(F64X2, _S)),
    (0xFD00FF, "f64x2.convert_low_i32x4_u",     Imm.NONE, _V_V,  "simd", (), SimdConvertInt(F64X2, _U)),
    # prefix 0xFD from 0x100: relaxed vectors
    (0xFD0100, "i8x16.relaxed_swizzle",            Imm.NONE, _VV_V, _RELAX, (), SimdSwizzle(relaxed=True)),
    (0xFD0101, "i32x4.relaxed_trunc_f32x4_s",      Imm.NONE, _V_V,  _RELAX, (), SimdTruncSat(F32X4, _S, relaxed=True)),
    (0xFD0102, "i32x4.relaxed_trunc_f32x4_u",      Imm.NONE, _V_V,  _RELAX, (), SimdTruncSat(F32X4, _U, relaxed=True)),
    (0xFD0103, "i32x4.relaxed_trunc_f64x2_s_zero", Imm.NONE, _V_V,  _RELAX, (), SimdTruncSat(F64X2, _S, relaxed=True)),
    (0xFD0104, "i32x4.relaxed_trunc_f64x2_u_zero", Imm.NONE, _V_V,  _RELAX, (), SimdTruncSat(F64X2, _U, relaxed=True)),
    # prefix 0xFD from 0x100: relaxed vectors, continued
    (0xFD0105, "f32x4.relaxed_madd",                  Imm.NONE, _VVV_V, _RELAX, (), SimdMadd(F32X4, negated=False)),
    (0xFD0106, "f32x4.relaxed_nmadd",                 Imm.NONE, _VVV_V, _RELAX, (), SimdMadd(F32X4, negated=True)),
    (0xFD0107, "f64x2.relaxed_madd",                  Imm.NONE, _VVV_V, _RELAX, (), SimdMadd(F64X2, negated=False)),
    (0xFD0108, "f64x2.relaxed_nmadd",                 Imm.NONE, _VVV_V, _RELAX, (), SimdMadd(F64X2, negated=True)),
    (0xFD0109, "i8x16.relaxed_laneselect",            Imm.NONE, _VVV_V, _RELAX, (), SimdLaneselect(I8X16)),
    (0xFD010A, "i16x8.relaxed_laneselect",            Imm.NONE, _VVV_V, _RELAX, (), SimdLaneselect(I16X8)),
    (0xFD010B, "i32x4.relaxed_laneselect",            Imm.NONE, _VVV_V, _RELAX, (), SimdLaneselect(I32X4)),
    (0xFD010C, "i64x2.relaxed_laneselect",            Imm.NONE, _VVV_V, _RELAX, (), SimdLaneselect(I64X2)),
    (0xFD010D, "f32x4.relaxed_min",                   Imm.NONE, _VV_V,  _RELAX, (), SimdRelaxedMinMax(Op.MIN, F32X4)),
    (0xFD010E, "f32x4.relaxed_max",                   Imm.NONE, _VV_V,  _RELAX, (), SimdRelaxedMinMax(Op.MAX, F32X4)),
    (0xFD010F, "f64x2.relaxed_min",                   Imm.NONE, _VV_V,  _RELAX, (), SimdRelaxedMinMax(Op.MIN, F64X2)),
    (0xFD0110, "f64x2.relaxed_max",                   Imm.NONE, _VV_V,  _RELAX, (), SimdRelaxedMinMax(Op.MAX, F64X2)),
    (0xFD0111, "i16x8.relaxed_q15mulr_s",             Imm.NONE, _VV_V,  _RELAX, (), SimdQ15Mulr(relaxed=True)),
    (0xFD0112, "i16x8.relaxed_dot_i8x16_i7x16_s",     Imm.NONE, _VV_V,  _RELAX, (), SimdRelaxedDot(accumulate=False)),
    (0xFD0113, "i32x4.relaxed_dot_i8x16_i7x16_add_s", Imm.NONE, _VVV_V, _RELAX, (), SimdRelaxedDot(accumulate=True)),
    # prefix 0xFE: atomics
    (0xFE0000, "memory.atomic.notify",       Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicNotify()),
    (0xFE0001, "memory.atomic.wait32",       Imm.MEMARG, _DYN,  "threads", _WAIT,   AtomicWait(I32)),
    (0xFE0002, "memory.atomic.wait64",       Imm.MEMARG, _DYN,  "threads", _WAIT,   AtomicWait(I64)),
    (0xFE0003, "atomic.fence",               Imm.FENCE,  _VOID, "threads", (),      AtomicFence()),
    (0xFE0010, "i32.atomic.load",            Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I32, 4)),
    (0xFE0011, "i64.atomic.load",            Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I64, 8)),
    (0xFE0012, "i32.atomic.load8_u",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I32, 1)),
    (0xFE0013, "i32.atomic.load16_u",        Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I32, 2)),
    (0xFE0014, "i64.atomic.load8_u",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I64, 1)),
    (0xFE0015, "i64.atomic.load16_u",        Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I64, 2)),
    (0xFE0016, "i64.atomic.load32_u",        Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicLoad(I64, 4)),
    (0xFE0017, "i32.atomic.store",           Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I32, 4)),
    (0xFE0018, "i64.atomic.store",           Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I64, 8)),
    (0xFE0019, "i32.atomic.store8",          Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I32, 1)),
    (0xFE001A, "i32.atomic.store16",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I32, 2)),
    (0xFE001B, "i64.atomic.store8",          Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I64, 1)),
    (0xFE001C, "i64.atomic.store16",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I64, 2)),
    (0xFE001D, "i64.atomic.store32",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicStore(I64, 4)),
    (0xFE001E, "i32.atomic.rmw.add",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I32, 4)),
    (0xFE001F, "i64.atomic.rmw.add",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I64, 8)),
    (0xFE0020, "i32.atomic.rmw8.add_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I32, 1)),
    (0xFE0021, "i32.atomic.rmw16.add_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I32, 2)),
    (0xFE0022, "i64.atomic.rmw8.add_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I64, 1)),
    (0xFE0023, "i64.atomic.rmw16.add_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I64, 2)),
    (0xFE0024, "i64.atomic.rmw32.add_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.ADD, I64, 4)),
    (0xFE0025, "i32.atomic.rmw.sub",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I32, 4)),
    (0xFE0026, "i64.atomic.rmw.sub",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I64, 8)),
    (0xFE0027, "i32.atomic.rmw8.sub_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I32, 1)),
    (0xFE0028, "i32.atomic.rmw16.sub_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I32, 2)),
    (0xFE0029, "i64.atomic.rmw8.sub_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I64, 1)),
    (0xFE002A, "i64.atomic.rmw16.sub_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I64, 2)),
    (0xFE002B, "i64.atomic.rmw32.sub_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.SUB, I64, 4)),
    (0xFE002C, "i32.atomic.rmw.and",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I32, 4)),
    (0xFE002D, "i64.atomic.rmw.and",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I64, 8)),
    (0xFE002E, "i32.atomic.rmw8.and_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I32, 1)),
    (0xFE002F, "i32.atomic.rmw16.and_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I32, 2)),
    (0xFE0030, "i64.atomic.rmw8.and_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I64, 1)),
    (0xFE0031, "i64.atomic.rmw16.and_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I64, 2)),
    (0xFE0032, "i64.atomic.rmw32.and_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.AND, I64, 4)),
    (0xFE0033, "i32.atomic.rmw.or",          Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I32, 4)),
    (0xFE0034, "i64.atomic.rmw.or",          Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I64, 8)),
    (0xFE0035, "i32.atomic.rmw8.or_u",       Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I32, 1)),
    (0xFE0036, "i32.atomic.rmw16.or_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I32, 2)),
    (0xFE0037, "i64.atomic.rmw8.or_u",       Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I64, 1)),
    (0xFE0038, "i64.atomic.rmw16.or_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I64, 2)),
    (0xFE0039, "i64.atomic.rmw32.or_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.OR, I64, 4)),
    (0xFE003A, "i32.atomic.rmw.xor",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I32, 4)),
    (0xFE003B, "i64.atomic.rmw.xor",         Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I64, 8)),
    (0xFE003C, "i32.atomic.rmw8.xor_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I32, 1)),
    (0xFE003D, "i32.atomic.rmw16.xor_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I32, 2)),
    (0xFE003E, "i64.atomic.rmw8.xor_u",      Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I64, 1)),
    (0xFE003F, "i64.atomic.rmw16.xor_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I64, 2)),
    (0xFE0040, "i64.atomic.rmw32.xor_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XOR, I64, 4)),
    (0xFE0041, "i32.atomic.rmw.xchg",        Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I32, 4)),
    (0xFE0042, "i64.atomic.rmw.xchg",        Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I64, 8)),
    (0xFE0043, "i32.atomic.rmw8.xchg_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I32, 1)),
    (0xFE0044, "i32.atomic.rmw16.xchg_u",    Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I32, 2)),
    (0xFE0045, "i64.atomic.rmw8.xchg_u",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I64, 1)),
    (0xFE0046, "i64.atomic.rmw16.xchg_u",    Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I64, 2)),
    (0xFE0047, "i64.atomic.rmw32.xchg_u",    Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicRmw(Op.XCHG, I64, 4)),
    (0xFE0048, "i32.atomic.rmw.cmpxchg",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I32, 4)),
    (0xFE0049, "i64.atomic.rmw.cmpxchg",     Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I64, 8)),
    (0xFE004A, "i32.atomic.rmw8.cmpxchg_u",  Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I32, 1)),
    (0xFE004B, "i32.atomic.rmw16.cmpxchg_u", Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I32, 2)),
    (0xFE004C, "i64.atomic.rmw8.cmpxchg_u",  Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I64, 1)),
    (0xFE004D, "i64.atomic.rmw16.cmpxchg_u", Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I64, 2)),
    (0xFE004E, "i64.atomic.rmw32.cmpxchg_u", Imm.MEMARG, _DYN,  "threads", _ATOMIC, AtomicCmpxchg(I64, 4)),
)

ROWS: Final[tuple[Row, ...]] = tuple(Row(index, *columns) for index, columns in enumerate(_TABLE))
"""Every instruction."""


def _by_sub_opcode(prefix: int) -> tuple[Row | None, ...]:
    rows = {row.opcode & 0xFFFF: row for row in ROWS if row.opcode >> 16 == prefix}
    return tuple(rows.get(sub) for sub in range(max(rows) + 1))


PLAIN: Final[tuple[Row | None, ...]] = _by_sub_opcode(0) + (None,) * (256 - len(_by_sub_opcode(0)))
"""The 256 one-byte opcodes; ``None`` where there is no instruction, or a prefix."""

PREFIXED: Final[Mapping[int, tuple[Row | None, ...]]] = MappingProxyType(
    {prefix: _by_sub_opcode(prefix) for prefix in (0xFB, 0xFC, 0xFD, 0xFE)}
)
"""The rows of each prefix byte, by sub-opcode."""

BY_NAME: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in reversed(ROWS)})
"""The rows by mnemonic. ``select``, ``ref.test`` and ``ref.cast`` stand for two rows each: here for the first, which
is the untyped ``select`` and the cast to a non-nullable type; :data:`TWIN` has the other."""

TWIN: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in ROWS if BY_NAME[row.name] is not row})
"""The second row of those mnemonics that have two: ``select`` with a type, and the casts to a nullable type."""
