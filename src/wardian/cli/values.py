"""Values of WebAssembly types as words: the arguments of ``--invoke`` read, its results printed.

Integers print signed, floats by the shortest decimal that reads back to the same bits, as Wasmtime prints them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from wardian.cli.options import usage
from wardian.errors import printable


def _integer(bits: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text, 0)
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise OverflowError
        return value - (1 << bits) if value >= 1 << (bits - 1) else value

    return read


def _null(text: str) -> None:
    if text != "null":
        raise ValueError(text)


_READERS: Final[MappingProxyType[str, Callable[[str], object]]] = MappingProxyType(
    {"i32": _integer(32), "i64": _integer(64), "f32": float, "f64": float}
)


def read_arguments(function: str, types: tuple[object, ...], words: list[str]) -> list[object]:
    """``words`` as values of the parameter ``types`` of ``function``. Raises a usage error that names the misfit."""
    signature = f"{printable(function)}({', '.join(map(str, types))})"
    if len(words) != len(types):
        needs = f"{len(types)} argument{'' if len(types) == 1 else 's'}"
        raise usage(f"{signature} takes {needs}, {len(words)} given")
    values: list[object] = []
    for position, (type_, word) in enumerate(zip(types, words, strict=True), 1):
        try:
            values.append(_READERS.get(str(type_), _null)(word))
        except OverflowError:
            raise usage(f"argument {position} of {signature}: {word} does not fit {type_}") from None
        except ValueError:
            expected = type_ if str(type_) in _READERS else f"{type_}: only null can be given on the command line"
            raise usage(f"argument {position} of {signature}: {word!r} is not of type {expected}") from None
    return values


def show(value: object, type_: object) -> str:
    """One result as a word."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return _float(value, narrow=str(type_) == "f32")
    return printable(str(value))


def _float(value: float, *, narrow: bool) -> str:
    if math.isnan(value) or math.isinf(value):
        return str(value)
    if narrow:
        bits = struct.pack("<f", value)
        for digits in range(1, 10):
            word = f"{value:.{digits}g}"
            if struct.pack("<f", float(word)) == bits:
                value = float(word)
                break
    if value.is_integer() and 0 < abs(value) < 1e16:
        return str(int(value))
    return {"0.0": "0", "-0.0": "-0"}.get(repr(value), repr(value))
