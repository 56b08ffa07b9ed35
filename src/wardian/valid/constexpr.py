"""Spec chapter "Validation / Instructions / Constant Expressions", and their evaluation ("Execution / Instantiation").

Invariant: an instruction is constant if and only if its family is in :data:`CONSTANT`, and every such family has an
evaluator. What makes references is left to the :class:`Environment`; numbers are their bits, as unsigned integers
(``v128``: 16 bytes). Whoever is not :mod:`wardian.valid.constant` asks that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from wardian.binary.body import instructions
from wardian.syntax import families as f
from wardian.syntax.instructions import Row
from wardian.syntax.module import Slice
from wardian.syntax.types import ArrayType, FuncType, HeapType, StructType, ValType
from wardian.valid.context import ModuleContext

if TYPE_CHECKING:
    from wardian.valid.code import Validator

CONSTANT: Final[Mapping[type[f.Family], str]] = MappingProxyType(
    {
        f.Const: "mvp",
        f.GlobalGet: "mvp",
        f.End: "mvp",
        f.RefNull: "mvp",
        f.RefFunc: "mvp",
        f.IntBin: "extended_const",
        f.RefI31: "gc",
        f.StructNew: "gc",
        f.ArrayNew: "gc",
        f.ArrayNewFixed: "gc",
        f.AnyConvertExtern: "gc",
        f.ExternConvertAny: "gc",
    }
)
"""The families of constant instructions, and the feature that makes them so."""

_ARITHMETIC: Final = frozenset({f.Op.ADD, f.Op.SUB, f.Op.MUL})


def check(
    ctx: ModuleContext, new_validator: Callable[[], Validator], expr: Slice, want: ValType, visible_globals: int
) -> None:
    """Validate a constant expression of type ``want`` that may read the first ``visible_globals`` globals.

    The functions it refers to are added to ``ctx.refs``. Raises :class:`InvalidError` (``constant expression
    required``, ``unknown global`` ...), :class:`MalformedError`, :class:`FeatureDisabled`.
    """
    start, end = expr
    validator = new_validator()
    validator.begin(None, FuncType((), (want,)), [], start)
    for offset, row, imm in instructions(ctx.module.source, start, end, ctx.features):
        family = row.family
        feature = CONSTANT.get(type(family))
        if feature is None or (isinstance(family, f.IntBin) and family.op not in _ARITHMETIC):
            validator.offset = offset
            raise validator.invalid(f"constant expression required, not {row.name}")
        ctx.features.require(feature, f"{row.name} in a constant expression")
        if isinstance(family, f.RefFunc):
            ctx.refs.add(cast(int, imm))
        validator.step(offset, row, imm)
        if isinstance(family, f.GlobalGet):
            _check_global(ctx, validator, cast(int, imm), visible_globals)
    validator.finish(end)


def _check_global(ctx: ModuleContext, validator: Validator, index: int, visible: int) -> None:
    if index >= visible:
        raise validator.invalid(f"unknown global {index}: it is not defined yet")
    if ctx.globals[index].mutable:
        raise validator.invalid(f"constant expression required: global {index} is mutable")
    if index >= ctx.imported_globals and not ctx.features.gc:
        ctx.features.require("gc", f"reading global {index}, which is not imported, in a constant expression")


# -- evaluation --------------------------------------------------------------------------------------------------------


class Environment(Protocol):
    """What constant expressions refer to, given by the instance being made; references are opaque objects."""

    def global_value(self, index: int) -> object:
        """The present value of a global: bits, or a reference."""

    def func_ref(self, index: int) -> object:
        """The reference to a function of the instance."""

    def null(self, heap: HeapType) -> object:
        """The null reference of a heap type."""

    def i31(self, value: int) -> object:
        """``ref.i31`` of the 32 bits ``value``."""

    def struct_new(self, type_index: int, fields: Sequence[object]) -> object:
        """A new structure."""

    def struct_new_default(self, type_index: int) -> object:
        """A new structure with all fields zero or null."""

    def array_new(self, type_index: int, init: object, count: int) -> object:
        """A new array of ``count`` times the same value."""

    def array_new_default(self, type_index: int, count: int) -> object:
        """A new array of ``count`` times zero or null."""

    def array_new_fixed(self, type_index: int, elements: Sequence[object]) -> object:
        """A new array of these values."""

    def any_convert_extern(self, reference: object) -> object:
        """``any.convert_extern``."""

    def extern_convert_any(self, reference: object) -> object:
        """``extern.convert_any``."""


_Evaluator: TypeAlias = "Callable[[ModuleContext, Environment, list[object], Any, Any], None]"
# (context, environment, operands, family, immediate)


def evaluate(ctx: ModuleContext, expr: Slice, env: Environment) -> object:
    """The value of a constant expression of a validated module.

    Raises whatever ``env`` raises; nothing of its own.
    """
    stack: list[object] = []
    for _, row, imm in instructions(ctx.module.source, expr[0], expr[1], ctx.features):
        _EVALUATORS[type(row.family)](ctx, env, stack, row.family, imm)
    return stack[-1]


def _const(ctx: ModuleContext, env: Environment, stack: list[object], family: f.Const, imm: int | bytes) -> None:
    stack.append(imm if isinstance(imm, bytes) else imm & ((1 << 8 * family.type.size) - 1))


_OPERATE: Final[Mapping[f.Op, Callable[[int, int], int]]] = MappingProxyType(
    {f.Op.ADD: int.__add__, f.Op.SUB: int.__sub__, f.Op.MUL: int.__mul__}
)


def _arithmetic(ctx: ModuleContext, env: Environment, stack: list[object], family: f.IntBin, imm: None) -> None:
    b = cast(int, stack.pop())
    a = cast(int, stack.pop())
    stack.append(_OPERATE[family.op](a, b) & ((1 << 8 * family.type.size) - 1))


def _struct_new(ctx: ModuleContext, env: Environment, stack: list[object], family: f.StructNew, imm: int) -> None:
    if family.default:
        stack.append(env.struct_new_default(imm))
        return
    comp = ctx.types.expand(imm)
    assert isinstance(comp, StructType)
    stack.append(env.struct_new(imm, _take(stack, len(comp.fields))))


def _array_new(ctx: ModuleContext, env: Environment, stack: list[object], family: f.ArrayNew, imm: int) -> None:
    assert isinstance(ctx.types.expand(imm), ArrayType)
    count = cast(int, stack.pop())
    if family.default:
        stack.append(env.array_new_default(imm, count))
    else:
        stack.append(env.array_new(imm, stack.pop(), count))


def _array_new_fixed(
    ctx: ModuleContext, env: Environment, stack: list[object], family: f.ArrayNewFixed, imm: tuple[int, int]
) -> None:
    stack.append(env.array_new_fixed(imm[0], _take(stack, imm[1])))


def _take(stack: list[object], count: int) -> list[object]:
    taken = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return taken


_EVALUATORS: Final[Mapping[type[f.Family], _Evaluator]] = MappingProxyType(
    {
        f.Const: _const,
        f.GlobalGet: lambda ctx, env, stack, family, imm: stack.append(env.global_value(imm)),
        f.End: lambda ctx, env, stack, family, imm: None,
        f.RefNull: lambda ctx, env, stack, family, imm: stack.append(env.null(imm)),
        f.RefFunc: lambda ctx, env, stack, family, imm: stack.append(env.func_ref(imm)),
        f.IntBin: _arithmetic,
        f.RefI31: lambda ctx, env, stack, family, imm: stack.append(env.i31(cast(int, stack.pop()))),
        f.StructNew: _struct_new,
        f.ArrayNew: _array_new,
        f.ArrayNewFixed: _array_new_fixed,
        f.AnyConvertExtern: lambda ctx, env, stack, family, imm: stack.append(env.any_convert_extern(stack.pop())),
        f.ExternConvertAny: lambda ctx, env, stack, family, imm: stack.append(env.extern_convert_any(stack.pop())),
    }
)


def is_constant(row: Row) -> bool:
    """Whether the instruction may stand in a constant expression (``global.get``: depending on the global)."""
    family = row.family
    return type(family) in CONSTANT and not (isinstance(family, f.IntBin) and family.op not in _ARITHMETIC)
