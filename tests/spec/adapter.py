"""A little module around a function, so that its f32 values travel as the i32 with the same bits.

A Python float is a double: a signalling f32 NaN cannot pass through one unchanged. The adapter imports the function,
takes and returns i32 where it has f32, and reinterprets.
"""

from __future__ import annotations

from typing import Any

import wardian
from wardian.syntax.types import F32, I32, AbsHeapType, RefType

_REINTERPRET_TO_F32 = b"\xbe"
_REINTERPRET_TO_I32 = b"\xbc"


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _vector(items: list[bytes]) -> bytes:
    return _leb(len(items)) + b"".join(items)


def _section(number: int, items: list[bytes]) -> bytes:
    content = _vector(items)
    return bytes([number]) + _leb(len(content)) + content


def _code(type_: Any) -> bytes:
    if isinstance(type_, RefType):
        assert type_.nullable and isinstance(type_.heap, AbsHeapType), f"no short form for {type_}"
        return bytes([type_.heap.code])
    return bytes([type_.code])


def _as_bits(types: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(I32 if t is F32 else t for t in types)


def _func_type(params: tuple[Any, ...], results: tuple[Any, ...]) -> bytes:
    return b"\x60" + _vector([_code(t) for t in params]) + _vector([_code(t) for t in results])


def _body(params: tuple[Any, ...], results: tuple[Any, ...]) -> bytes:
    """Pass the parameters on, keep the results in locals, and give them back as bits."""
    code = bytearray(_vector([b"\x01" + _code(t) for t in results]))
    for index, type_ in enumerate(params):
        code += b"\x20" + _leb(index) + (_REINTERPRET_TO_F32 if type_ is F32 else b"")
    code += b"\x10\x00"
    for index in reversed(range(len(results))):
        code += b"\x21" + _leb(len(params) + index)
    for index, type_ in enumerate(results):
        code += b"\x20" + _leb(len(params) + index) + (_REINTERPRET_TO_I32 if type_ is F32 else b"")
    code += b"\x0b"
    return _leb(len(code)) + bytes(code)


def by_bits(function: wardian.Func, engine: wardian.Engine) -> Any:
    """``function`` with every f32 replaced by its bits as an i32."""
    params, results = function.type.params, function.type.results
    types = [_func_type(params, results), _func_type(_as_bits(params), _as_bits(results))]
    binary = b"".join(
        (
            b"\0asm\1\0\0\0",
            _section(1, types),
            _section(2, [b"\x01m\x01f\x00\x00"]),
            _section(3, [b"\x01"]),
            _section(7, [b"\x01f\x00\x01"]),
            _section(10, [_body(params, results)]),
        )
    )
    return wardian.Module(binary, engine).instantiate({"m": {"f": function}}).exports["f"]
