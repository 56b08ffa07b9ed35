"""Values of the converted scripts: arguments made, results compared; floats by bits, with the spec's NaN classes."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

JsonValue = dict[str, Any]

_WIDTH = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
_QUIET = {32: 0x7FC0_0000, 64: 0x7FF8_0000_0000_0000}
_INFINITY = {32: 0x7F80_0000, 64: 0x7FF0_0000_0000_0000}


class HostRef:
    """A host value that guests hold a reference to; number ``n`` is always the same object."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"host {self.number}"


@cache
def host_ref(number: int) -> HostRef:
    return HostRef(number)


def is_nan(bits: int, width: int) -> bool:
    return bits & ((1 << (width - 1)) - 1) > _INFINITY[width]


def bits_of(value: JsonValue) -> int:
    """The bits of a number of the script, unsigned."""
    return int(value["value"]) & ((1 << _WIDTH[value["type"]]) - 1)


def argument(value: JsonValue) -> object:
    """What to pass through the public interface."""
    kind = value["type"]
    if kind in ("i32", "i64"):
        bits, width = bits_of(value), _WIDTH[kind]
        return bits - (1 << width) if bits >> (width - 1) else bits
    if kind == "f32":
        return struct.unpack("<f", struct.pack("<I", bits_of(value)))[0]
    if kind == "f64":
        return struct.unpack("<d", struct.pack("<Q", bits_of(value)))[0]
    if kind == "v128":
        width = _WIDTH[value["lane_type"]]
        lanes = (int(lane) & ((1 << width) - 1) for lane in value["value"])
        return b"".join(lane.to_bytes(width // 8, "little") for lane in lanes)
    if value.get("value", "null") == "null":
        return None
    return host_ref(int(value["value"]))


def needs_bits(value: JsonValue) -> bool:
    """Whether a Python float cannot carry this f32 exactly: the detour through a double quiets a NaN."""
    if value["type"] == "either":
        return any(map(needs_bits, value["values"]))
    if value["type"] != "f32":
        return False
    return value["value"].startswith("nan") or is_nan(bits_of(value), 32)


def matches(expected: JsonValue, actual: object) -> bool:
    """Whether ``actual``, as the public interface (or the bit adapter) returned it, is what the script expects."""
    kind = expected["type"]
    if kind == "either":
        return any(matches(choice, actual) for choice in expected["values"])
    if kind in ("i32", "i64"):
        if type(actual) is not int:
            return False
        return actual & ((1 << _WIDTH[kind]) - 1) == bits_of(expected)
    if kind in ("f32", "f64"):
        bits = _float_bits(kind, actual)
        return bits is not None and _matches_lane(expected["value"], bits, _WIDTH[kind])
    if kind == "v128":
        return _matches_vector(expected, actual)
    return _matches_reference(kind, expected.get("value"), actual)


def _float_bits(kind: str, actual: object) -> int | None:
    if type(actual) is int:  # from the bit adapter
        return actual & 0xFFFF_FFFF
    if type(actual) is not float:
        return None
    try:
        return int.from_bytes(struct.pack("<f" if kind == "f32" else "<d", actual), "little")
    except OverflowError:
        return None


def _matches_lane(expected: str, bits: int, width: int) -> bool:
    if expected == "nan:canonical":
        return bits & ~(1 << (width - 1)) == _QUIET[width]
    if expected == "nan:arithmetic":
        return bits & _QUIET[width] == _QUIET[width]
    return bits == int(expected) & ((1 << width) - 1)


def _matches_vector(expected: JsonValue, actual: object) -> bool:
    if not isinstance(actual, bytes) or len(actual) != 16:
        return False
    width = _WIDTH[expected["lane_type"]]
    size = width // 8
    lanes = (int.from_bytes(actual[at : at + size], "little") for at in range(0, 16, size))
    return all(_matches_lane(word, lane, width) for word, lane in zip(expected["value"], lanes, strict=True))


def _matches_reference(kind: str, value: str | None, actual: object) -> bool:
    if value == "null" or kind in ("refnull", "nullref", "nullfuncref", "nullexternref", "nullexnref"):
        return actual is None
    if value is not None:
        return actual is host_ref(int(value))
    return callable(actual) if kind == "funcref" else actual is not None
