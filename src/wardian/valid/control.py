"""Spec chapter "Validation / Instructions": control, calls, exceptions, parametric and variable instructions.

Invariant: a rule takes ``(stacks, row, immediate)``, changes the stacks as the instruction does, and raises
:class:`InvalidError` if it may not stand there.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from wardian.syntax.families import BrOnCast, BrOnNull, Call, CallIndirect, CallRef
from wardian.syntax.instructions import Row
from wardian.syntax.types import BOT, EXN, EXNREF, FUNC, I32, FuncType, GlobalType, RefType, ValType, ref
from wardian.valid.context import check_val
from wardian.valid.stacks import BLOCK, ELSE, FLOOR, IF, LOOP, TRY_TABLE, Stacks

Catch: TypeAlias = "tuple[int, int | None, int]"

_CATCHES_REF: Final = (1, 3)


# -- blocks ------------------------------------------------------------------------------------------------------------


def unreachable(v: Stacks, row: Row, imm: None) -> None:
    v.diverge()


def block(v: Stacks, row: Row, imm: object) -> None:
    params, results = v.block_type(imm)
    if params:
        v.pop_all(params)
    v.enter(BLOCK, params, results)


def loop(v: Stacks, row: Row, imm: object) -> None:
    params, results = v.block_type(imm)
    if params:
        v.pop_all(params)
    v.enter(LOOP, params, results)


def if_(v: Stacks, row: Row, imm: object) -> None:
    params, results = v.block_type(imm)
    v.pop(I32)
    if params:
        v.pop_all(params)
    v.enter(IF, params, results)


def else_(v: Stacks, row: Row, imm: None) -> None:
    frame = v.leave()
    v.enter(ELSE, frame.params, frame.results)


def end(v: Stacks, row: Row, imm: None) -> None:
    frame = v.leave()
    if frame.kind == IF and frame.params != frame.results and not v.types.matches_vals(frame.params, frame.results):
        raise v.invalid("type mismatch: an if without else must have the same parameters as results")
    if frame.results:
        v.push_all(frame.results)


def try_table(v: Stacks, row: Row, imm: tuple[object, tuple[Catch, ...]]) -> None:
    block_type, catches = imm
    params, results = v.block_type(block_type)
    v.pop_all(params)
    for kind, tag, label in catches:
        passed = tag_params(v, tag) if tag is not None else ()
        if kind in _CATCHES_REF:
            passed = (*passed, _CAUGHT)
        want = v.label(label)
        if not v.types.matches_vals(passed, want):
            shown = " ".join(map(repr, passed)), " ".join(map(repr, want))
            raise v.invalid(f"type mismatch: the catch clause passes [{shown[0]}] but the label expects [{shown[1]}]")
    v.enter(TRY_TABLE, params, results)


_CAUGHT: Final = ref(False, EXN)


def tag_params(v: Stacks, tag: int) -> tuple[ValType, ...]:
    if tag >= len(v.ctx.tags):
        raise v.invalid(f"unknown tag {tag}")
    return v.ctx.tags[tag].params


# -- branches ----------------------------------------------------------------------------------------------------------


def br(v: Stacks, row: Row, label: int) -> None:
    v.pop_all(v.label(label))
    v.diverge()


def br_if(v: Stacks, row: Row, label: int) -> None:
    got = v.stack.pop()
    if got is not I32:
        v.unlike(got, I32)
    types = v.label(label)
    if types:
        v.pop_all(types)
        v.stack.extend(types)


def br_table(v: Stacks, row: Row, imm: tuple[tuple[int, ...], int]) -> None:
    labels, default = imm
    v.ctx.limits.check("br_table", len(labels))
    v.pop(I32)
    types = v.label(default)
    seen = {types}
    # FAST: many labels are few distinct ones, and these have fewer distinct types still.
    for label in set(labels):
        other = v.label(label)
        if other not in seen:
            if len(other) != len(types):
                raise v.invalid(f"type mismatch: label {label} takes {len(other)} values, the default {len(types)}")
            v.check_top(other)
            seen.add(other)
    v.pop_all(types)
    v.diverge()


def return_(v: Stacks, row: Row, imm: None) -> None:
    v.pop_all(v.results)
    v.diverge()


def br_on_null(v: Stacks, row: Row, label: int) -> None:
    family = row.family
    assert isinstance(family, BrOnNull)
    types = v.label(label)
    operand = v.non_null(v.pop_ref())
    if not family.non_null:
        v.pop_all(types)
        v.stack.extend(types)
        v.push(operand)
        return
    if not types or not v.types.matches_val(operand, types[-1]):
        raise v.invalid(f"type mismatch: the label does not take a {operand} last")
    v.pop_all(types[:-1])
    v.stack.extend(types[:-1])


def br_on_cast(v: Stacks, row: Row, imm: tuple[int, RefType, RefType]) -> None:
    family = row.family
    assert isinstance(family, BrOnCast)
    label, source, target = imm
    v.check_ref(source)
    v.check_ref(target)
    types = v.label(label)
    if not v.types.matches_val(target, source):
        raise v.invalid(f"type mismatch: {target} is no subtype of {source}")
    rest = v.non_null(source) if target.nullable else source
    passed, kept = (rest, target) if family.fail else (target, rest)
    if not types or not v.types.matches_val(passed, types[-1]):
        raise v.invalid(f"type mismatch: the label does not take a {passed} last")
    v.pop(source)
    v.pop_all(types[:-1])
    v.stack.extend(types[:-1])
    v.push(kept)


def throw(v: Stacks, row: Row, tag: int) -> None:
    v.pop_all(tag_params(v, tag))
    v.diverge()


def throw_ref(v: Stacks, row: Row, imm: None) -> None:
    v.pop(EXNREF)
    v.diverge()


# -- calls -------------------------------------------------------------------------------------------------------------


def _finish_call(v: Stacks, signature: FuncType, tail: bool) -> None:
    if signature.params:
        v.pop_all(signature.params)
    if tail:
        if not v.types.matches_vals(signature.results, v.results):
            raise v.invalid(f"type mismatch: the callee's type {signature} does not return what the function does")
        v.diverge()
    elif signature.results:
        v.push_all(signature.results)


def call(v: Stacks, row: Row, function: int) -> None:
    signatures = v.ctx.signatures
    if function >= len(signatures):
        raise v.invalid(f"unknown function {function}")
    family = row.family
    assert isinstance(family, Call)
    _finish_call(v, signatures[function], family.tail)


def call_indirect(v: Stacks, row: Row, imm: tuple[int, int]) -> None:
    type_index, table = imm
    tables = v.ctx.tables
    if table >= len(tables):
        raise v.invalid(f"unknown table {table}")
    if tables[table].element.heap is not FUNC and v.types.top(tables[table].element.heap) is not FUNC:
        raise v.invalid(f"type mismatch: table {table} has {tables[table].element} elements, not functions")
    signature = v.func_type(type_index)
    v.pop(v.ctx.table_addresses[table])
    family = row.family
    assert isinstance(family, CallIndirect)
    _finish_call(v, signature, family.tail)


def call_ref(v: Stacks, row: Row, type_index: int) -> None:
    signature = v.func_type(type_index)
    v.pop(ref(True, type_index))
    family = row.family
    assert isinstance(family, CallRef)
    _finish_call(v, signature, family.tail)


# -- parametric --------------------------------------------------------------------------------------------------------


def drop(v: Stacks, row: Row, imm: None) -> None:
    if v.stack.pop() is FLOOR:
        v.push(FLOOR)
        v.pop_any()


def select(v: Stacks, row: Row, imm: tuple[ValType, ...] | None) -> None:
    v.pop(I32)
    if imm is not None:
        if len(imm) != 1:
            raise v.invalid(f"invalid result arity: select has {len(imm)} result types")
        check_val(imm[0], len(v.types), v.offset)
        v.pop(imm[0])
        v.pop(imm[0])
        v.push(imm[0])
        return
    second = v.pop_any()
    first = v.pop_any()
    if isinstance(first, RefType) or isinstance(second, RefType):
        raise v.invalid("type mismatch: select without a type takes numbers and vectors only")
    if first is not second and first is not BOT and second is not BOT:
        raise v.invalid(f"type mismatch: select of {first} and {second}")
    v.push(second if first is BOT else first)


# -- variables ---------------------------------------------------------------------------------------------------------


def local_get(v: Stacks, row: Row, index: int) -> None:
    known = v.locals
    t = known[index] if index < len(known) else None
    v.stack.append(t if t is not None else v.read_local(index))


def local_set(v: Stacks, row: Row, index: int) -> None:
    known = v.locals
    t = known[index] if index < len(known) else None
    if t is None:
        v.pop(v.local_type(index))
        v.write_local(index)
        return
    got = v.stack.pop()
    if got is not t:
        v.unlike(got, t)


def local_tee(v: Stacks, row: Row, index: int) -> None:
    local_set(v, row, index)
    v.stack.append(v.local_type(index))


def global_get(v: Stacks, row: Row, index: int) -> None:
    v.stack.append(_global(v, index).value)


def global_set(v: Stacks, row: Row, index: int) -> None:
    declared = _global(v, index)
    if not declared.mutable:
        raise v.invalid(f"immutable global {index}")
    v.pop(declared.value)


def _global(v: Stacks, index: int) -> GlobalType:
    known = v.ctx.globals
    if index >= len(known):
        raise v.invalid(f"unknown global {index}")
    return known[index]
