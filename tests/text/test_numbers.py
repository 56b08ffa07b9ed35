"""Numbers of the text format: exact, rounded once, and linear in their length."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wardian.text.numbers import DOUBLE, SINGLE, FloatFormat, float_bits, integer, is_number, natural
from wardian.text.print_code import float_text

FORMATS = [SINGLE, DOUBLE]
DIGITS = st.text("0123456789", min_size=1, max_size=30)


def exact(token: str) -> Fraction:
    return Fraction(token)


def value_of(bits: int, format: FloatFormat) -> Fraction:
    raw = bits.to_bytes(format.bits // 8, "little")
    return Fraction(struct.unpack("<f" if format is SINGLE else "<d", raw)[0])


@pytest.mark.parametrize(
    ("token", "bits", "value"),
    [
        ("0", 32, 0),
        ("4294967295", 32, -1),
        ("-2147483648", 32, -(1 << 31)),
        ("0x8000_0000", 32, -(1 << 31)),
        ("+7", 32, 7),
        ("0xffff_ffff_ffff_ffff", 64, -1),
        ("-128", 8, -128),
        ("255", 8, -1),
        ("000000000000000000000000000000000000000000000000001", 32, 1),
    ],
)
def test_integers(token: str, bits: int, value: int) -> None:
    assert integer(token, bits) == value


@pytest.mark.parametrize(("token", "bits"), [("4294967296", 32), ("-2147483649", 32), ("0x1_00", 8), ("9" * 100, 64)])
def test_integers_that_do_not_fit(token: str, bits: int) -> None:
    with pytest.raises(OverflowError):
        integer(token, bits)


@pytest.mark.parametrize("token", ["", "x", "0x", "_1", "1_", "1__0", "0x_1", "1.0", "1e3", "--1", "+", "0b1", "1 "])
def test_no_integers(token: str) -> None:
    assert integer(token, 32) is None


@pytest.mark.parametrize("token", ["-1", "+1", "1.0", "nan"])
def test_no_naturals(token: str) -> None:
    assert natural(token, 32) is None
    assert is_number(token)


@pytest.mark.parametrize("token", ["", "0x", "1e", "0x1p", ".5", "nan:", "nan:1", "inf1", "0x1.p-", "e5", "nan:0x"])
def test_no_numbers(token: str) -> None:
    assert not is_number(token)
    assert float_bits(token, DOUBLE) is None


@pytest.mark.parametrize(
    ("token", "single"),
    [
        ("0", 0),
        ("-0", 0x8000_0000),
        ("-0x0p-99999999999999999999", 0x8000_0000),
        ("0x1p-149", 1),
        ("0x1p-150", 0),
        ("0x1.000002p-150", 1),
        ("0x1.fffffep127", 0x7F7F_FFFF),
        ("0x1.fffffefffffffffffffffp127", 0x7F7F_FFFF),
        ("340282356779733661637539395458142568448", None),
        ("340282356779733661637539395458142568447.9", 0x7F7F_FFFF),
        ("0x1p128", None),
        ("1e99999999999999999999999", None),
        ("1e-99999999999999999999999", 0),
        ("inf", 0x7F80_0000),
        ("-inf", 0xFF80_0000),
        ("nan", 0x7FC0_0000),
        ("-nan:0x1", 0xFF80_0001),
        ("nan:0x7f_ffff", 0x7FFF_FFFF),
        ("nan:0x80_0000", None),
        ("nan:0x0", None),
        ("1.00000017881393421514957253748434595763683319091796875001", 0x3F80_0001),
        ("1.00000017881393432617187499", 0x3F80_0001),
        ("1.00000017881393432617187500", 0x3F80_0002),
        ("0x1.000001", 0x3F80_0000),
        ("0x1.0000010000000000000000001", 0x3F80_0001),
        ("0x1.000003", 0x3F80_0002),
        ("1_2.5_0e0_1", 0x42FA_0000),
    ],
)
def test_singles(token: str, single: int | None) -> None:
    if single is None:
        with pytest.raises(OverflowError):
            float_bits(token, SINGLE)
    else:
        assert float_bits(token, SINGLE) == single


def nearest(token: str, format: FloatFormat) -> None:
    """Check ``token``'s bits against its neighbours by exact arithmetic."""
    wanted = exact(token)
    try:
        bits = float_bits(token, format)
    except OverflowError:
        half = (Fraction(1 << (format.mantissa + 2)) - 1) / (1 << (format.mantissa + 1))
        most = half * Fraction(2) ** ((1 << (format.bits - format.mantissa - 2)) - 1)
        assert wanted >= most
        return
    assert bits is not None
    error = abs(wanted - value_of(bits, format))
    for other in (bits - 1, bits + 1):
        if 0 <= other < format.infinity:
            distance = abs(wanted - value_of(other, format))
            assert error < distance or (error == distance and bits % 2 == 0)


@pytest.mark.parametrize("format", FORMATS)
@given(digits=DIGITS, more=DIGITS, exponent=st.integers(-60, 60))
@example(digits="1", more="00000005960464477539062500001", exponent=0)
def test_decimals_are_rounded_once(format: FloatFormat, digits: str, more: str, exponent: int) -> None:
    nearest(f"{digits}.{more}e{exponent}", format)


@pytest.mark.parametrize("format", FORMATS)
@given(bits=st.integers(0, 0x7F7F_FFFE), nudge=st.sampled_from(["", "1", "00000000000000000000000001"]))
def test_ties_of_singles(format: FloatFormat, bits: int, nudge: str) -> None:
    """Half-way between two singles, and a trifle beyond: where going through a double would round twice."""
    half = (value_of(bits, SINGLE) + value_of(bits + 1, SINGLE)) / 2
    power = half.denominator.bit_length() - 1
    digits = str(half.numerator * 5**power)
    nearest(f"{digits}{'.' if nudge else ''}{nudge}e-{power}", format)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_what_is_printed_reads_back(format: FloatFormat, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, (1 << format.bits) - 1))
    assert float_bits(float_text(bits, format), format) == bits


@pytest.mark.parametrize("digits", ["1" * 3_000_000, "0x" + "f" * 3_000_000, "0." + "0" * 3_000_000 + "1e3000001"])
def test_huge_numbers_are_cheap(digits: str) -> None:
    """Converting three million digits the ordinary way would take minutes."""
    for format in FORMATS:
        try:
            assert float_bits(digits, format) is not None
        except OverflowError:
            pass
    if not digits.startswith("0."):
        with pytest.raises(OverflowError):
            integer(digits, 64)
