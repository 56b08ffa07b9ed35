"""Spec appendix "Validation Algorithm" put to work: one stream of instructions, the validator, and maybe a lowering.

Invariant: a lowering never sees an instruction before the validator has accepted it, so what was not validated cannot
be compiled. A malformed body anywhere makes the module malformed, even if another one is invalid: the spec's two
phases are kept apart although they run together.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from wardian.binary.body import instructions, locals_of
from wardian.errors import InvalidError, MalformedError
from wardian.limits import Features, Limits
from wardian.syntax.instructions import Row
from wardian.syntax.module import Module
from wardian.syntax.types import ValType
from wardian.valid.code import Validator
from wardian.valid.context import ModuleContext
from wardian.valid.module import validate_module


class Lowering(Protocol):
    """What turns validated instructions into something else."""

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        """Take one instruction the validator has accepted; ``reachable`` tells whether control can arrive at it."""


def validate_body(
    ctx: ModuleContext, index: int, lowering: Lowering | None = None, validator: Validator | None = None
) -> None:
    """Validate the body of the defined function ``index`` (not counting imports), feeding ``lowering`` on the way.

    ``validator`` may be one to use again, and is the one a lowering asks for types; it must be of ``ctx``.
    Raises :class:`InvalidError`, :class:`MalformedError`, both with offset and function; :class:`LimitExceeded`;
    :class:`FeatureDisabled`; and what the lowering raises.
    """
    module = ctx.module
    checker = Validator(ctx) if validator is None else validator
    _, pos = begin_body(ctx, index, checker)
    end = module.bodies[index][1]
    try:
        counted = module.data_count is not None
        stream = instructions(module.source, pos, end, ctx.features, has_data_count=counted)
        if lowering is None:
            for offset, row, imm in stream:
                checker.step(offset, row, imm)
        else:
            lower = lowering.step
            for offset, row, imm in stream:
                reachable = checker.reachable
                checker.step(offset, row, imm)
                lower(offset, row, imm, reachable)
        checker.finish(end)
    except MalformedError as error:
        raise in_function(error, len(module.imported_funcs) + index) from None


def begin_body(ctx: ModuleContext, index: int, checker: Validator) -> tuple[list[tuple[int, ValType]], int]:
    """Start with the body of the defined function ``index``: its local declarations, and its first instruction's
    position. Raises as :func:`validate_body` does."""
    module = ctx.module
    start, end = module.bodies[index]
    function = len(module.imported_funcs) + index
    try:
        runs, pos = locals_of(module.source, start, end, ctx.limits, ctx.features)
    except MalformedError as error:
        raise in_function(error, function) from None
    checker.begin(function, ctx.signatures[function], runs, start)
    return runs, pos


def check_locals(ctx: ModuleContext, index: int) -> list[tuple[int, ValType]]:
    """The declarations of the locals of the defined function ``index``, whose types are valid.

    For a lowering, which must know them before the first instruction. Raises as :func:`validate_body` does.
    """
    return begin_body(ctx, index, Validator(ctx))[0]


def validate_bodies(ctx: ModuleContext) -> None:
    """Validate every body. Raises as :func:`validate_body` does, but a malformed body goes before an invalid one."""
    validator = Validator(ctx)
    for index in range(len(ctx.module.bodies)):
        try:
            validate_body(ctx, index, None, validator)
        except InvalidError:
            check_structure(ctx.module, ctx.features, ctx.limits, index)
            raise


def validate(module: Module, features: Features | None = None, limits: Limits | None = None) -> ModuleContext:
    """Validate a whole module: :func:`validate_module`, then :func:`validate_bodies`."""
    features = features or Features()
    limits = limits or Limits()
    try:
        ctx = validate_module(module, features, limits)
    except InvalidError:
        check_structure(module, features, limits)
        raise
    validate_bodies(ctx)
    return ctx


def check_structure(module: Module, features: Features, limits: Limits, first: int = 0) -> None:
    """Decode the bodies from defined function ``first`` on, no more. Raises :class:`MalformedError`."""
    counted = module.data_count is not None
    for index in range(first, len(module.bodies)):
        start, end = module.bodies[index]
        try:
            _, pos = locals_of(module.source, start, end, limits, features)
            deque(instructions(module.source, pos, end, features, has_data_count=counted), 0)
        except MalformedError as error:
            raise in_function(error, len(module.imported_funcs) + index) from None


def in_function(error: MalformedError, function: int) -> MalformedError:
    """The error, said to be in a function."""
    if error.function is not None:
        return error
    return MalformedError(error.message, offset=error.offset, function=function)
