"""What the lowerings of SIMD instructions share (spec chapter "Execution / Numerics", its vector operations).

Invariant: on the operand stack and in locals a v128 is ``<16 x i8>``; an instruction views it in its own shape. A view
is remembered by the name of what it was cast from, so a chain of operations in one shape is written without casts.

**Signalling NaNs.** The spec makes the result of every arithmetic instruction quiet. LLVM regards ``x * 1.0`` or
``x - 0.0`` as ``x`` even if ``x`` is a signalling NaN. Operands are therefore fenced (``llvm.arithmetic.fence``, which
costs no instruction) wherever such a fold is possible: see :func:`operands`. Unlike for scalars, fencing constants
alone would not do: what is a float vector here may have been integers before.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import Final

from wardian.compile.emit import Value, const
from wardian.compile.function import Lowering
from wardian.syntax.families import F32X4, F64X2, I8X16, I16X8, I32X4, I64X2, Shape

BYTES: Final = "<16 x i8>"
"""How a v128 travels."""

LANE: Final = MappingProxyType({I8X16: "i8", I16X8: "i16", I32X4: "i32", I64X2: "i64", F32X4: "float", F64X2: "double"})
VECTOR: Final = MappingProxyType({shape: f"<{shape.lanes} x {lane}>" for shape, lane in LANE.items()})
SUFFIX: Final = MappingProxyType(
    {shape: f"v{shape.lanes}{'f' if shape in (F32X4, F64X2) else 'i'}{shape.bits}" for shape in LANE}
)
"""Shape -> the suffix of LLVM's intrinsics."""

HALF: Final = MappingProxyType({I16X8: I8X16, I32X4: I16X8, I64X2: I32X4, F64X2: F32X4})
"""Shape -> the shape with lanes half as wide."""
WIDE: Final = MappingProxyType({narrow: wide for wide, narrow in HALF.items() if narrow is not F32X4})
INTEGER: Final = MappingProxyType({F32X4: I32X4, F64X2: I64X2})
"""Float shape -> the integer shape of its bits."""


def zero(shape: Shape) -> Value:
    return "zeroinitializer", VECTOR[shape]


def every(value: int, shape: Shape, lanes: int = 0) -> Value:
    """An integer constant in every lane (of ``lanes``, where the vector is not 128 bits wide)."""
    lane = LANE[shape]
    return f"splat ({lane} {value})", f"<{lanes or shape.lanes} x {lane}>"


def every_float(value: float, shape: Shape) -> Value:
    """A float constant, exact in the type, in every lane."""
    # LLVM writes floats of both types with the bits of the double of the same value.
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    return f"splat ({LANE[shape]} 0x{bits:016X})", VECTOR[shape]


def view(lo: Lowering, value: Value, shape: Shape) -> Value:
    """The v128 ``value`` as a vector of ``shape``."""
    if shape is I8X16:
        return value
    known = lo.b.views.get(value[0])
    wanted = VECTOR[shape]
    return known if known is not None and known[1] == wanted else lo.b.cast("bitcast", value, wanted)


def pop(lo: Lowering, shape: Shape) -> Value:
    return view(lo, lo.pop_raw(), shape)


def push(lo: Lowering, value: Value) -> None:
    """Push any vector of 128 bits."""
    if value[1] != BYTES:
        bytes_ = lo.b.cast("bitcast", value, BYTES)
        lo.b.views[bytes_[0]] = value
        value = bytes_
    lo.push(value)


def intrinsic(lo: Lowering, name: str, shape: Shape, *args: Value) -> Value:
    """LLVM's intrinsic ``name`` from ``shape`` to ``shape``."""
    return lo.b.intrinsic(f"{name}.{SUFFIX[shape]}", VECTOR[shape], *args)


def mask(lo: Lowering, lanes: Value, shape: Shape) -> Value:
    """A vector of ``i1`` as all ones and all zeros in an integer shape."""
    return lo.b.cast("sext", lanes, VECTOR[shape])


def half(lo: Lowering, vector: Value, shape: Shape, high: bool) -> Value:
    """The lower or upper half of the lanes of a vector of ``shape``."""
    n = shape.lanes // 2
    start = n if high else 0
    return lo.b.shuffle(vector, ("poison", vector[1]), range(start, start + n), LANE[shape])


def shift(lo: Lowering, op: str, vector: Value, shape: Shape, count: int) -> Value:
    """Shift every lane by a constant less than the lane's width."""
    return lo.b.binary(op, vector, every(count, shape))


# -- float arithmetic --------------------------------------------------------------------------------------------------

_NEUTRAL: Final = MappingProxyType(
    {
        F32X4: frozenset({0x00000000, 0x80000000, 0x3F800000, 0xBF800000}),
        F64X2: frozenset({0, 1 << 63, 0x3FF0 << 48, 0xBFF0 << 48}),
    }
)
"""+-0 and +-1: the constants that arithmetic with them can be folded to the other operand, or to its negation."""


_CANONICAL: Final = MappingProxyType({F32X4: 0x7FC00000, F64X2: 0x7FF8 << 48})


def arithmetic(lo: Lowering, value: Value) -> Value:
    """``value``, which came out of arithmetic on :func:`operands`, with the NaNs it may hold as the options want them
    (see :meth:`Lowering.computed`). Noted: it holds no signalling NaN and is no constant."""
    if lo.facts.options.deterministic:
        shape = F32X4 if value[1] == VECTOR[F32X4] else F64X2
        bits = every(_CANONICAL[shape], INTEGER[shape])
        value = fence(lo, value, shape)
        nan = f"bitcast ({bits[1]} {bits[0]} to {value[1]})", value[1]
        value = lo.b.choose(lo.b.compare("fcmp uno", value, value, shape.lanes), nan, value)
    lo.b.quiet.add(value[0])
    return value


def fence(lo: Lowering, value: Value, shape: Shape) -> Value:
    return intrinsic(lo, "arithmetic.fence", shape, value)


def _is_plain(value: Value, shape: Shape) -> bool:
    """Is ``value`` a literal constant without neutral lanes?"""
    text = value[0]
    if not text.startswith("<"):
        return False
    data = bytes([int(byte.split()[1]) for byte in text[1:-1].split(",")])
    width = shape.bits // 8
    lanes = {int.from_bytes(data[at : at + width], "little") for at in range(0, 16, width)}
    return not lanes & _NEUTRAL[shape]


def operands(lo: Lowering, values: list[Value], shape: Shape) -> list[Value]:
    """The v128 ``values`` as the operands of one arithmetic operation, fenced where LLVM might otherwise return one.

    A fold returns an operand ``x`` because the other one is a neutral constant, which does harm if ``x`` may be a
    signalling NaN. What came out of arithmetic is neither, so one such operand makes the operation safe. Of other
    operands all but plain literals are fenced, at least one, which makes the result no constant either.
    """
    views = [view(lo, v, shape) for v in values]
    if any(v[0] in lo.b.quiet for v in views):
        return views
    fenced = [_is_plain(v, shape) for v in values]
    if all(fenced):
        fenced[0] = False
    return [v if safe else fence(lo, v, shape) for v, safe in zip(views, fenced, strict=True)]


def mask_count(lo: Lowering, count: Value, shape: Shape) -> Value:
    """A shift count (an ``i32``) modulo the lane width, in every lane of ``shape``."""
    b = lo.b
    count = b.binary("and", count, const(shape.bits - 1, "i32"))
    if shape.bits != 32:
        count = b.cast("zext" if shape.bits == 64 else "trunc", count, LANE[shape])
    return b.splat(count, shape.lanes)
