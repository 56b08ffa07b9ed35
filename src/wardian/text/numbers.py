"""Spec chapter "Text Format / Values": the tokens of numbers to integers and to the bits of floats.

Invariant: the result is exact, floats are rounded once, to nearest, ties to even; and a number of a million digits
costs time linear in its length. A function here returns ``None`` for a token that is no number of its kind, and raises
``OverflowError`` for one whose value does not fit.
"""

from __future__ import annotations

import math
import re
import struct
from decimal import Context, Decimal
from typing import Final, NamedTuple

_DIGITS: Final = r"[0-9](?:_?[0-9])*+"
_HEX: Final = r"[0-9a-fA-F](?:_?[0-9a-fA-F])*+"

_NAT: Final = re.compile(rf"(?:0x({_HEX})|({_DIGITS}))\Z")
_INT: Final = re.compile(rf"([+-])?(?:0x({_HEX})|({_DIGITS}))\Z")
_DECIMAL: Final = re.compile(rf"([+-])?({_DIGITS}(?:\.(?:{_DIGITS})?)?(?:[eE][+-]?{_DIGITS})?)\Z")
_HEXFLOAT: Final = re.compile(rf"([+-])?0x({_HEX})(?:\.({_HEX})?)?(?:[pP]([+-]?)({_DIGITS}))?\Z")
_SPECIAL: Final = re.compile(rf"([+-])?(?:(inf)|nan(?::(?:0x({_HEX})|(canonical|arithmetic)))?)\Z")

_MOST_DIGITS: Final = 40
"""More than any 128-bit number has; whatever is longer, leading zeros aside, fits nowhere."""

_FAR: Final = 1 << 60
"""An exponent beyond anything that the digits of a text in memory could make up for."""


class FloatFormat(NamedTuple):
    """An IEEE 754 binary format: ``bits`` wide, with ``mantissa`` explicit bits."""

    bits: int
    mantissa: int

    @property
    def infinity(self) -> int:
        return ((1 << (self.bits - self.mantissa - 1)) - 1) << self.mantissa

    @property
    def quiet(self) -> int:
        """The highest bit of a NaN's payload; with it alone the NaN is canonical."""
        return 1 << (self.mantissa - 1)


SINGLE: Final = FloatFormat(32, 23)
DOUBLE: Final = FloatFormat(64, 52)


def is_number(token: str) -> bool:
    """Whether ``token`` is a number in any notation."""
    return bool(_INT.match(token) or _DECIMAL.match(token) or _HEXFLOAT.match(token) or _SPECIAL.match(token))


def is_natural(token: str) -> bool:
    """Whether ``token`` is an integer without a sign."""
    return bool(_NAT.match(token))


# -- integers ----------------------------------------------------------------------------------------------------------


def _magnitude(hexadecimal: str | None, decimal: str | None) -> int:
    digits = (hexadecimal or decimal or "").replace("_", "").lstrip("0")
    if len(digits) > _MOST_DIGITS:
        raise OverflowError
    return int(digits or "0", 16 if hexadecimal else 10)


def natural(token: str, bits: int) -> int | None:
    """An unsigned integer without a sign, below ``2**bits``."""
    found = _NAT.match(token)
    if found is None:
        return None
    value = _magnitude(found.group(1), found.group(2))
    if value >> bits:
        raise OverflowError
    return value


def integer(token: str, bits: int) -> int | None:
    """An integer from ``-2**(bits-1)`` to ``2**bits - 1``, as the signed one with the same bits."""
    found = _INT.match(token)
    if found is None:
        return None
    value = _magnitude(found.group(2), found.group(3))
    if found.group(1) == "-":
        value = -value
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise OverflowError
    return value - (1 << bits) if value >> (bits - 1) > 0 else value


# -- floats ------------------------------------------------------------------------------------------------------------


def float_bits(token: str, format: FloatFormat) -> int | None:
    """The bits of the float nearest to ``token``, which may be an integer, ``inf``, ``nan`` or ``nan:0x...``."""
    found = _DECIMAL.match(token)
    if found is not None:
        return _signed(found.group(1), _decimal(found.group(2).replace("_", ""), format), format)
    found = _HEXFLOAT.match(token)
    if found is not None:
        whole, fraction = found.group(2).replace("_", ""), (found.group(3) or "").replace("_", "")
        exponent = _exponent(found.group(4), found.group(5)) - 4 * len(fraction)
        return _signed(found.group(1), _round(int(whole + fraction, 16), exponent, format), format)
    found = _SPECIAL.match(token)
    if found is None or found.group(4):
        return None
    if found.group(2):
        return _signed(found.group(1), format.infinity, format)
    payload = format.quiet
    if found.group(3):
        payload = _magnitude(found.group(3), None)
        if not 0 < payload < 1 << format.mantissa:
            raise OverflowError
    return _signed(found.group(1), format.infinity | payload, format)


def _signed(sign: str | None, bits: int, format: FloatFormat) -> int:
    return bits | 1 << (format.bits - 1) if sign == "-" else bits


def _exponent(sign: str | None, digits: str | None) -> int:
    shown = (digits or "0").replace("_", "").lstrip("0")
    value = int(shown or "0") if len(shown) <= 18 else _FAR
    return -value if sign == "-" else value


def _round(mantissa: int, exponent: int, format: FloatFormat) -> int:
    """The bits of ``mantissa * 2**exponent``, rounded to nearest, ties to even."""
    if not mantissa:
        return 0
    bias = (1 << (format.bits - format.mantissa - 2)) - 1
    top = mantissa.bit_length() + exponent - 1
    if top > bias:
        raise OverflowError
    # The exponent of the last bit that is kept; below the normal range it stays where it is.
    last = max(top, 1 - bias) - format.mantissa
    shift = last - exponent
    if shift > mantissa.bit_length() + 1:
        return 0
    if shift <= 0:
        kept = mantissa << -shift
    else:
        kept = mantissa >> shift
        half = 1 << (shift - 1)
        rest = mantissa & ((1 << shift) - 1)
        if rest > half or (rest == half and kept & 1):
            kept += 1
    # A carry out of the mantissa raises the exponent by itself, for the exponent's bits stand right above.
    bits = kept + ((max(top, 1 - bias) + bias - 1) << format.mantissa)
    if bits >= format.infinity:
        raise OverflowError
    return bits


def _decimal(digits: str, format: FloatFormat) -> int:
    # CPython's float() is correctly rounded, and linear in the number of digits.
    value = float(digits)
    if math.isinf(value):
        raise OverflowError
    if format is DOUBLE:
        return int.from_bytes(struct.pack("<d", value), "little")
    if _is_tie(value):
        value = _off_the_tie(value, digits)
    return int.from_bytes(struct.pack("<f", value), "little")  # raises OverflowError itself


def _is_tie(value: float) -> bool:
    """Whether a double lies exactly between two singles, so that rounding it says nothing about what it stood for."""
    mantissa, exponent = math.frexp(value)
    kept = min(24, exponent + 149)
    if not mantissa or kept < 0:
        return False
    scaled = math.ldexp(mantissa, kept + 1)
    return scaled.is_integer() and int(scaled) & 1 == 1


def _off_the_tie(value: float, digits: str) -> float:
    """The next double towards the exact value of ``digits``, or ``value`` if that is exact."""
    context = Context(prec=1)  # comparing is exact in any precision
    order = context.compare(Decimal(digits), Decimal(value))
    return value if not order else math.nextafter(value, math.inf if order > 0 else 0.0)
