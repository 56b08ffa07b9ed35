"""Spec chapter "Constant Expressions": those that are one number, at once; others by :mod:`wardian.valid.constexpr`.

Invariant: what is decided here is what :mod:`wardian.valid.constexpr` would decide.

FAST: most modules have no others, and a warm start then does without the table of instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wardian.binary.reader import signed
from wardian.syntax.module import Slice
from wardian.syntax.types import F32, F64, I32, I64, NumType, ValType
from wardian.valid.context import ModuleContext

if TYPE_CHECKING:
    from wardian.valid.code import Validator
    from wardian.valid.constexpr import Environment

_INTEGERS: Final = MappingProxyType({0x41: I32, 0x42: I64})
_FLOATS: Final = MappingProxyType({0x43: F32, 0x44: F64})
"""Opcode of a ``t.const`` -> the type."""


def check(
    ctx: ModuleContext, new_validator: Callable[[], Validator], expr: Slice, want: ValType, visible_globals: int
) -> None:
    """Validate a constant expression of type ``want`` that may read the first ``visible_globals`` globals.

    The functions it refers to are added to ``ctx.refs``. Raises :class:`InvalidError` (``constant expression
    required``, ``unknown global`` ...), :class:`MalformedError`, :class:`FeatureDisabled`.
    """
    number = _number(ctx.module.source, expr)
    if number is None or number[0] is not want:
        from wardian.valid import constexpr

        constexpr.check(ctx, new_validator, expr, want, visible_globals)


def evaluate(ctx: ModuleContext, expr: Slice, env: Environment) -> object:
    """The value of a constant expression of a validated module.

    Raises whatever ``env`` raises; nothing of its own.
    """
    number = _number(ctx.module.source, expr)
    if number is not None:
        return number[1]
    from wardian.valid import constexpr

    return constexpr.evaluate(ctx, expr, env)


def lone_integer(source: bytes, expr: Slice) -> tuple[ValType, int] | None:
    """Type and bits of an expression that is one integer ``t.const`` and nothing more, else ``None``.

    FAST: big modules have tens of thousands of data segments, and nearly all of their offsets are such.
    """
    start, end = expr
    type = _INTEGERS.get(source[start])
    if type is None:
        return None
    value, after = signed(source, start + 1, end, 8 * type.size)
    return (type, value & ((1 << 8 * type.size) - 1)) if after == end - 1 else None


def _number(source: bytes, expr: Slice) -> tuple[ValType, int] | None:
    """As :func:`lone_integer`, of any number."""
    start, end = expr
    type = _FLOATS.get(source[start])
    if type is None:
        return lone_integer(source, expr)
    return _float(source, start + 1, end, type)


def _float(source: bytes, start: int, end: int, type: NumType) -> tuple[ValType, int] | None:
    # An expression ends behind its ``end``, so what is as long as this has nothing else in it.
    if end != start + type.size + 1:
        return None
    return type, int.from_bytes(source[start : end - 1], "little")
