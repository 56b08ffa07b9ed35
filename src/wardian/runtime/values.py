"""Python values <-> guest words, strictly: a value fits its type or raises ``TypeError``/``OverflowError``; nothing
wraps.

An ``i32`` or ``i64`` is accepted signed or unsigned and given back signed. Floats keep every bit, NaN payloads
included. A ``v128`` is 16 bytes, lane 0 first, or the unsigned integer with these bytes in little-endian order; it is
given back as ``bytes``.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from wardian.syntax.types import F32, F64, I32, I64, V128, NumType


def to_int(value: Any, type: NumType, what: str) -> int:
    """A signed integer that fits ``type``."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer for {type}, not {kind_of(value)}") from None
    bits = 8 * type.size
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{what}: {number if number.bit_length() < 200 else 'the integer'} does not fit {type}")
    return number - (1 << bits) if number >> (bits - 1) > 0 else number


def to_float(value: Any, type: NumType, what: str) -> float:
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        # float() also reads text, in any object that gives out a buffer.
        raise TypeError(f"{what} must be a number for {type}, not {kind_of(value)}")
    try:
        return float(value)
    except TypeError:
        raise TypeError(f"{what} must be a number for {type}, not {kind_of(value)}") from None


def to_vector(value: Any, what: str) -> bytes:
    """The 16 bytes of a v128."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        if len(data) != 16:
            raise ValueError(f"{what}: a v128 has 16 bytes, not {len(data)}")
        return data
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be 16 bytes or an integer for v128, not {kind_of(value)}") from None
    if not 0 <= number < 1 << 128:
        raise OverflowError(f"{what}: the integer does not fit v128, which is unsigned")
    return number.to_bytes(16, "little")


def kind_of(value: object) -> str:
    return "None" if value is None else value.__class__.__name__


def float_to_bits(value: float, type: NumType) -> int:
    """The bits of the nearest float of the type; a NaN keeps sign, quiet bit and as much payload as fits."""
    wide: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    if type is F64:
        return wide
    if value != value:
        payload = (wide >> 29) & 0x7FFFFF
        return (wide >> 32) & 0x80000000 | 0x7F800000 | (payload or 0x400000)
    try:
        return int(struct.unpack("<I", struct.pack("<f", value))[0])
    except OverflowError:
        return 0x7F800000 | (wide >> 32) & 0x80000000


def bits_to_float(bits: int, type: NumType) -> float:
    """Inverse of :func:`float_to_bits`."""
    if type is F32 and bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF:
        bits = (bits & 0x80000000) << 32 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
    elif type is F32:
        return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def to_bits(value: Any, type: NumType, what: str) -> int:
    """The bits machine code sees for ``value``, as an unsigned number: 128 for a v128, else at most 64."""
    return _TO_WORD[type](value, type, what)


def from_bits(word: int, type: NumType) -> Any:
    """Inverse of :func:`to_bits`."""
    return _FROM_WORD[type](word, type)


def _int_word(value: Any, type: NumType, what: str) -> int:
    return to_int(value, type, what) & ((1 << (8 * type.size)) - 1)


def _float_word(value: Any, type: NumType, what: str) -> int:
    return float_to_bits(to_float(value, type, what), type)


def _vector_word(value: Any, type: NumType, what: str) -> int:
    return int.from_bytes(to_vector(value, what), "little")


def _word_vector(word: int, type: NumType) -> bytes:
    return word.to_bytes(16, "little")


def signed(word: int, type: NumType) -> int:
    bits = 8 * type.size
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


_TO_WORD: Final[MappingProxyType[NumType, Callable[[Any, NumType, str], int]]] = MappingProxyType(
    {I32: _int_word, I64: _int_word, F32: _float_word, F64: _float_word, V128: _vector_word}
)
_FROM_WORD: Final[MappingProxyType[NumType, Callable[[int, NumType], Any]]] = MappingProxyType(
    {I32: signed, I64: signed, F32: bits_to_float, F64: bits_to_float, V128: _word_vector}
)
