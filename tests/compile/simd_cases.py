"""One case for every vector and wide-arithmetic row of the instruction table, and operands that hurt.

A case is a function. Floats travel as the integers with their bits, so nothing is lost on the way in or out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from wardian.syntax import families as f
from wardian.syntax.families import F32X4, F64X2, Op, Shape
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS, Row
from wardian.syntax.types import F32, F64, I32, I64, V128, NumType, ValType

FEATURES: Final = frozenset({"simd", "relaxed_simd", "wide_arithmetic"})

DATA: Final = 1024
"""Where the bytes lie that memory instructions work on; operands and results are below."""
DATA_SIZE: Final = 64
RESULTS: Final = 256


@dataclass(frozen=True)
class Case:
    """``text`` computes ``results`` from ``params`` on the stack, and so, in core instructions only, does ``oracle``.

    ``sources`` says where operands come from, other than from the parameters. ``nan`` is the lane width in which
    results may be any NaN the spec allows; 0: results are exact.
    """

    row: Row
    text: str
    oracle: str
    params: tuple[NumType, ...]
    results: tuple[NumType, ...]
    nan: int = 0
    shape: Shape | None = None
    sources: tuple[tuple[int, str], ...] = ()

    @property
    def memory(self) -> bool:
        return self.row.params is None

    def __str__(self) -> str:
        return f"{self.text} {dict(self.sources) or ''}"


# -- cases -------------------------------------------------------------------------------------------------------------

_EVEN = "i8x16.shuffle 0 1 4 5 8 9 12 13 16 17 20 21 24 25 28 29"
_ODD = "i8x16.shuffle 2 3 6 7 10 11 14 15 18 19 22 23 26 27 30 31"
_PRODUCTS = " ".join(f"local.get 0 local.get 1 i16x8.extmul_{half}_i8x16_s" for half in ("low", "high"))
_DOT = f"drop drop {_PRODUCTS} {_EVEN} {_PRODUCTS} {_ODD} i16x8.add_sat_s"

_DETERMINISTIC: Final = {
    "i8x16.relaxed_swizzle": "i8x16.swizzle",
    "i32x4.relaxed_trunc_f32x4_s": "i32x4.trunc_sat_f32x4_s",
    "i32x4.relaxed_trunc_f32x4_u": "i32x4.trunc_sat_f32x4_u",
    "i32x4.relaxed_trunc_f64x2_s_zero": "i32x4.trunc_sat_f64x2_s_zero",
    "i32x4.relaxed_trunc_f64x2_u_zero": "i32x4.trunc_sat_f64x2_u_zero",
    "i8x16.relaxed_laneselect": "v128.bitselect",
    "i16x8.relaxed_laneselect": "v128.bitselect",
    "i32x4.relaxed_laneselect": "v128.bitselect",
    "i64x2.relaxed_laneselect": "v128.bitselect",
    "i16x8.relaxed_q15mulr_s": "i16x8.q15mulr_sat_s",
    "i16x8.relaxed_dot_i8x16_i7x16_s": _DOT,
    "i32x4.relaxed_dot_i8x16_i7x16_add_s": f"drop {_DOT} i32x4.extadd_pairwise_i16x8_s local.get 2 i32x4.add",
    **{f"{shape}.relaxed_{minmax}": f"{shape}.{minmax}" for shape in ("f32x4", "f64x2") for minmax in ("min", "max")},
    **{
        f"{shape}.relaxed_{kind}madd": f"drop drop drop local.get 0 {shape + '.neg' if kind else ''} local.get 1 "
        f"{shape}.mul local.get 2 {shape}.add"
        for shape in ("f32x4", "f64x2")
        for kind in ("", "n")
    },
}
"""Relaxed instruction -> what it is in the deterministic profile (spec "Execution / Numerics / Relaxed operations")."""


def _nan(row: Row) -> tuple[int, Shape | None]:
    """Lane width of arithmetic NaNs among the results, and the shape the operands are seen in."""
    match row.family:
        case f.SimdFloatUn(op=op, shape=shape):
            return (0 if op in (Op.ABS, Op.NEG) else shape.bits), shape
        case f.SimdFloatBin(op=op, shape=shape):
            return (0 if op in (Op.PMIN, Op.PMAX) else shape.bits), shape
        case f.SimdRelaxedMinMax(shape=shape) | f.SimdMadd(shape=shape):
            return shape.bits, shape
        case f.SimdDemote():
            return 32, F64X2
        case f.SimdPromote():
            return 64, F32X4
        case f.SimdFloatCmp(shape=shape) | f.SimdTruncSat(src=shape):
            return 0, shape
        case family:
            return 0, getattr(family, "shape", None)


def _texts(row: Row, rng: random.Random) -> list[str]:
    """The instruction with every lane, or some immediates."""
    name, family = row.name, row.family
    if row.imm is Imm.LANE:
        assert isinstance(family, f.SimdExtractLane | f.SimdReplaceLane)
        return [f"{name} {lane}" for lane in range(family.shape.lanes)]
    if row.imm is Imm.SHUFFLE:
        masks = [list(range(16)), [0] * 16, [31 - i for i in range(16)], [i // 2 + 16 * (i % 2) for i in range(16)]]
        masks += [[rng.randrange(32) for _ in range(16)] for _ in range(6)]
        return [f"{name} {' '.join(map(str, mask))}" for mask in masks]
    if row.imm is Imm.V128:
        return [f"{name} i64x2 {rng.getrandbits(64)} {rng.getrandbits(64)}" for _ in range(4)] + [f"{name} i64x2 0 0"]
    if row.imm is Imm.MEMARG:
        return [name, f"{name} offset=5 align=1"]
    if row.imm is Imm.MEMARG_LANE:
        assert isinstance(family, f.SimdLoadLane | f.SimdStoreLane)
        return [f"{name} offset=3 align=1 {lane}" for lane in range(family.shape.lanes)]
    return [name]


_SPLAT: Final = {I32: "i32x4.splat", I64: "i64x2.splat", F32: "f32x4.splat", F64: "f64x2.splat", V128: ""}


def _any_operand(rng: random.Random, type: NumType) -> str:
    if type is not V128:
        bits = rng.choice((0, 1, 7, 31, 0xFFFFFFFF, rng.getrandbits(32)))
        plain = {I32: f"i32.const {bits}", I64: f"i64.const {bits * 0x100000001}"}
        return plain.get(type, f"local.get {rng.randrange(3)} f{8 * type.size}x{16 // type.size}.extract_lane 1")
    if rng.random() < 0.25:
        high, low = divmod(vector(rng, None), 1 << 64)
        return f"v128.const i64x2 {low} {high}"
    return f"local.get {rng.randrange(3)}"


_ONE_NAN: Final = {
    0: "",
    32: "local.tee 3 v128.const i32x4 2143289344 2143289344 2143289344 2143289344 "
    "local.get 3 local.get 3 f32x4.eq v128.bitselect",
    64: "local.tee 3 v128.const i64x2 9221120237041090560 9221120237041090560 "
    "local.get 3 local.get 3 f64x2.eq v128.bitselect",
}
"""Lane width of arithmetic NaNs -> code that puts the positive canonical one in their place."""


def chain(rng: random.Random, length: int) -> Case:
    """``length`` instructions at random on three vector parameters, constants and each other's results."""
    chosen = [case for case in cases() if not case.memory and case.row.feature == "simd"]
    text = ["drop drop drop drop"]
    for _ in range(length):
        case = rng.choice(chosen)
        text += [_any_operand(rng, t) for t in case.params]
        text += [case.text, _ONE_NAN[case.nan], _SPLAT[case.results[0]], f"local.set {rng.randrange(3)}"]
    body = " ".join([*text, "local.get 0 local.get 1 i32x4.add local.get 2 v128.xor"])
    return replace(cases()[0], text=body, oracle=body, params=(V128,) * 4, results=(V128,))


def _numbers(types: tuple[ValType, ...]) -> tuple[NumType, ...]:
    return tuple(t for t in types if isinstance(t, NumType))


def _signature(row: Row) -> tuple[tuple[NumType, ...], tuple[NumType, ...]]:
    if row.params is not None and row.results is not None:
        return _numbers(row.params), _numbers(row.results)
    match row.family:
        case f.SimdStore() | f.SimdStoreLane():
            return (I32, V128), ()
        case f.SimdLoadLane():
            return (I32, V128), (V128,)
        case _:
            return (I32,), (V128,)


@cache
def rows() -> tuple[Row, ...]:
    return tuple(row for row in ROWS if row.feature in FEATURES)


@cache
def cases() -> tuple[Case, ...]:
    """Every row, with every lane where it has one."""
    rng = random.Random(11)
    made = []
    for row in rows():
        nan, shape = _nan(row)
        for text in _texts(row, rng):
            made.append(Case(row, text, _DETERMINISTIC.get(row.name, text), *_signature(row), nan, shape))
    return tuple(made)


def with_constants(case: Case, rng: random.Random) -> list[Case]:
    """The same with one vector operand a constant, at each place, and with the same operand at the first two."""
    made = []
    vectors = [i for i, t in enumerate(case.params) if t is V128]
    for i in vectors:
        for _ in range(5):
            low, high = divmod(vector(rng, case.shape), 1 << 64)[::-1]
            made.append(_rewired(case, i, f"v128.const i64x2 {low} {high}"))
    if len(vectors) > 1:
        made.append(_rewired(case, 1, "local.get 0"))
    return made


def _rewired(case: Case, source: int, text: str) -> Case:
    """``case`` with one operand taken from elsewhere than its parameter."""
    return replace(case, oracle=case.oracle.replace(f"local.get {source}", text), sources=((source, text),))


# -- operands ----------------------------------------------------------------------------------------------------------

_F32 = (
    "00000000 80000000 3f800000 bf800000 7f800000 ff800000 7fc00000 ffc00000 7f800001 ffa00000 7fffffff 00000001 "
    "80000001 007fffff 00800000 7f7fffff 3f000000 bf000000 3fc00000 40200000 4b000001 cb000001 4affffff 4f000000 "
    "cf000000 4effffff 4f800000 4f7fffff cf000001 3effffff 33800000 40000000"
)
_F64 = (
    "0000000000000000 8000000000000000 3ff0000000000000 bff0000000000000 7ff0000000000000 fff0000000000000 "
    "7ff8000000000000 fff8000000000000 7ff0000000000001 fff4000000000000 7fffffffffffffff 0000000000000001 "
    "800fffffffffffff 0010000000000000 7fefffffffffffff 3fe0000000000000 bfe0000000000000 4004000000000000 "
    "41dfffffffc00000 41e0000000000000 41dfffffffe00000 c1e0000000000000 c1e0000000200000 c1e00000001fffff "
    "41efffffffe00000 41f0000000000000 41effffffff00000 4330000000000001 47efffffe0000000 47effffff0000000 "
    "36a0000000000000 3690000000000000 380fffffc0000000 3ff0000010000000"
)
_FLOATS: Final = {32: tuple(int(w, 16) for w in _F32.split()), 64: tuple(int(w, 16) for w in _F64.split())}


def _lane(rng: random.Random, bits: int, floats: bool) -> int:
    kind = rng.random()
    if floats and kind < 0.7:
        return rng.choice(_FLOATS[bits])
    if kind < 0.6:
        top = 1 << bits
        return (
            rng.choice((0, 1, 2, top - 1, top - 2, top >> 1, (top >> 1) - 1, (top >> 1) + 1, 15, 16, 127, 128, 255))
            % top
        )
    return rng.getrandbits(bits)


def vector(rng: random.Random, shape: Shape | None) -> int:
    """The bits of a v128: lanes of the shape, or of any width, mostly edges, at times all the same."""
    floats = shape in (F32X4, F64X2) or (shape is None and rng.random() < 0.2)
    bits = (
        shape.bits if shape is not None and rng.random() < 0.8 else rng.choice((32, 64) if floats else (8, 16, 32, 64))
    )
    lanes = [_lane(rng, bits, floats and bits >= 32) for _ in range(128 // bits)]
    if rng.random() < 0.2:
        lanes = lanes[:1] * len(lanes)
    return sum(lane << at * bits for at, lane in enumerate(lanes))


def operand(rng: random.Random, case: Case, type: NumType) -> int:
    """The unsigned bits of an operand."""
    if type is V128:
        return vector(rng, case.shape)
    bits = 64 if type in (I64, F64) else 32
    return _lane(rng, bits, type in (F32, F64))


def operands(rng: random.Random, case: Case) -> list[int]:
    if case.memory:
        return [DATA + rng.randrange(32), *(vector(rng, None) for _ in case.params[1:])]
    return [operand(rng, case, t) for t in case.params]


def acceptable(case: Case, args: Sequence[int], expected: int, actual: int, type: NumType) -> bool:
    """Equal, but for lanes where both are NaNs and ours is one the spec allows for these operands."""
    if expected == actual:
        return True
    if not case.nan or type is not V128:
        return False
    mask = (1 << case.nan) - 1
    assert case.shape is not None
    args = _effective(case, args)
    wide = case.shape.bits
    for lane in range(128 // case.nan):
        want, got = (value >> lane * case.nan & mask for value in (expected, actual))
        inputs = [arg >> lane * wide & ((1 << wide) - 1) for arg in args] if lane < case.shape.lanes else []
        canonical = all(_is_canonical(bits, wide) for bits in inputs if _is_nan(bits, wide))
        if want != got and not (_is_nan(want, case.nan) and _is_quiet(got, case.nan)):
            return False
        if want != got and canonical and not _is_canonical(got, case.nan):
            return False
    return True


def _effective(case: Case, args: Sequence[int]) -> list[int]:
    """The operands, constants included."""
    found = list(args)
    for i, text in case.sources:
        words = text.split()
        found[i] = int(words[2]) | int(words[3]) << 64 if words[0] == "v128.const" else args[int(words[1])]
    return found


def _quiet_bits(width: int) -> int:
    return 0x7FC00000 if width == 32 else 0x7FF8 << 48


def _is_nan(bits: int, width: int) -> bool:
    return bits & ((1 << (width - 1)) - 1) > (0x7F800000 if width == 32 else 0x7FF0 << 48)


def _is_quiet(bits: int, width: int) -> bool:
    return bits & _quiet_bits(width) == _quiet_bits(width)


def _is_canonical(bits: int, width: int) -> bool:
    return bits & ((1 << (width - 1)) - 1) == _quiet_bits(width)


# -- modules -----------------------------------------------------------------------------------------------------------

_CARRIER: Final = {I32: "i32", I64: "i64", F32: "i32", F64: "i64", V128: "v128"}
_TO_FLOAT: Final = {F32: "f32.reinterpret_i32", F64: "f64.reinterpret_i64"}
_TO_INT: Final = {F32: "i32.reinterpret_f32", F64: "i64.reinterpret_f64"}


def module_text(selected: Sequence[Case], oracle: bool) -> str:
    """A module of functions ``f0``, ``f1`` ..., and of ``m0`` ..., whose operands and results are in memory."""
    parts = ['(memory (export "memory") 1)']
    for n, case in enumerate(selected):
        params = " ".join(_CARRIER[t] for t in case.params)
        results = " ".join(_CARRIER[t] for t in case.results)
        sources = dict(case.sources)
        body = " ".join(sources.get(i, f"local.get {i} {_TO_FLOAT.get(t, '')}") for i, t in enumerate(case.params))
        body += f" {case.oracle if oracle else case.text} " + " ".join(_TO_INT.get(t, "") for t in case.results)
        parts.append(f'(func $f{n} (export "f{n}") (param {params}) (result {results}) {body})')
        loads = " ".join(f"i32.const {16 * i} {_CARRIER[t]}.load" for i, t in enumerate(case.params))
        stores = [
            f"local.set {i} i32.const {RESULTS + 16 * i} local.get {i} {_CARRIER[t]}.store"
            for i, t in reversed(tuple(enumerate(case.results)))
        ]
        parts.append(f'(func (export "m{n}") (local {results}) {loads} call $f{n} {" ".join(stores)})')
    return f"(module {' '.join(parts)})"
