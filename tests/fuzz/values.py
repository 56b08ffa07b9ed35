"""Values that hurt, and outcomes that can be compared: numbers travel between engines as unsigned 64-bit slots."""

from __future__ import annotations

import random
import struct
from typing import Final, NamedTuple

NUMBERS: Final = ("i32", "i64", "f32", "f64", "v128")
SLOTS: Final = {"i32": 1, "i64": 1, "f32": 1, "f64": 1, "v128": 2}
"""How many slots a value takes: low half first."""

MASK32: Final = (1 << 32) - 1
MASK64: Final = (1 << 64) - 1


def f32_bits(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def f64_bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _ints(bits: int) -> tuple[int, ...]:
    mask, top = (1 << bits) - 1, 1 << (bits - 1)
    near = [0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000]
    near += [top, top - 1, top + 1, mask, mask - 1, -2, -3, -7, -8, -31, -32, -64, -128, -129, -32768, -32769]
    near += [0x55555555_55555555, 0xAAAAAAAA_AAAAAAAA, 0x01010101_01010101, 0x80808080_80808080, 0x12345678_9ABCDEF0]
    near += [1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, 1 << 52, 1 << 53, (1 << 53) + 1, (1 << 63) - 512]
    return tuple(sorted({n & mask for n in near}))


_REALS: Final = (
    0.0, 1.0, 0.5, 1.5, 2.0, 2.5, 3.5, 0.1, 10.0, 1e10, 1e30, 127.5, 255.0, 32767.5, 65535.5,
    2.0**23, 2.0**24, 2.0**24 + 2, 2.0**31, 2.0**31 - 1, 2.0**31 - 128, 2.0**31 + 1, 2.0**32, 2.0**32 - 1,
    2.0**32 - 256,
    2.0**52, 2.0**52 + 0.5, 2.0**53, 2.0**62, 2.0**63, 2.0**63 - 1024, 2.0**63 - 2.0**39, 2.0**64, 2.0**64 - 2048,
    2.0**64 - 2.0**40, 0.49999999999999994, 0.49999997, 8388607.5, 4503599627370495.5, 0.9999999999999999,
    2.0**31 - 0.5, 2.0**31 + 0.5, 2.0**32 - 0.5, float("inf"),
)  # fmt: skip

_F32: Final = tuple(
    sorted(
        {f32_bits(s * r) for r in _REALS for s in (1, -1)}
        | {s | b for s in (0, 1 << 31) for b in (1, 0x7FFFFF, 0x800000, 0x7F7FFFFF)}
        | {s | 0x7F800000 | p for s in (0, 1 << 31) for p in (0x400000, 1, 0x200000, 0x400001, 0x7FFFFF)}
    )
)
_F64: Final = tuple(
    sorted(
        {f64_bits(s * r) for r in _REALS for s in (1, -1)}
        | {s | b for s in (0, 1 << 63) for b in (1, (1 << 52) - 1, 1 << 52, 0x7FEFFFFF_FFFFFFFF, 0x3E90000000000000)}
        | {f64_bits(s * r) for s in (1, -1) for r in (2.0**-126, 2.0**-149, 2.0**-150, 3.4028235677973366e38, 1e300)}
        | {
            s | 0x7FF << 52 | p
            for s in (0, 1 << 63)
            for p in (1 << 51, 1, 1 << 29, 1 << 50, (1 << 51) + 1, (1 << 52) - 1)
        }
    )
)

EDGES: Final = {"i32": _ints(32), "i64": _ints(64), "f32": _F32, "f64": _F64}


def bits(rng: random.Random, type_: str) -> int:
    """The bits of a value of a number type: mostly an edge, else anything."""
    if type_ == "v128":
        return _vector(rng)
    if rng.random() < 0.8:
        return rng.choice(EDGES[type_])
    return rng.getrandbits(32 if type_ in ("i32", "f32") else 64)


def _vector(rng: random.Random) -> int:
    lane, count = rng.choice((("i32", 4), ("i64", 2), ("f32", 4), ("f64", 2), ("i8", 16), ("i16", 8)))
    width = 128 // count
    if lane in ("i8", "i16"):
        small = (0, 1, 2, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1)
        lanes = [rng.choice(small) if rng.random() < 0.6 else rng.getrandbits(width) for _ in range(count)]
    else:
        lanes = [bits(rng, lane) for _ in range(count)]
    return sum(value << (width * i) for i, value in enumerate(lanes))


def slots(type_: str, value: int) -> tuple[int, ...]:
    return (value & MASK64, value >> 64) if type_ == "v128" else (value,)


class Outcome(NamedTuple):
    """How a call, or an instantiation, ended."""

    kind: str
    """``returned``, ``trap``, ``exception``, or ``gave up`` (on a resource, which the standard leaves open)."""
    word: str = ""
    values: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.kind == "returned":
            return "(" + ", ".join(f"{v:#x}" for v in self.values) + ")"
        return f"{self.kind} {self.word}".rstrip()


def _is_nan(type_: str, word: int) -> bool:
    if type_ == "f32":
        return word & 0x7FFFFFFF > 0x7F800000
    return type_ == "f64" and word & MASK64 >> 1 > 0x7FF << 52


def same(one: Outcome, two: Outcome, types: tuple[str, ...], loose: bool) -> bool:
    """Do they agree? ``types`` are those of the slots; ``loose``: any NaN is as good as any other."""
    if one[:2] != two[:2] or len(one.values) != len(two.values):
        return False
    if not loose or not one.values:
        return one.values == two.values
    return all(
        a == b or (_is_nan(t, a) and _is_nan(t, b)) for a, b, t in zip(one.values, two.values, types, strict=True)
    )
