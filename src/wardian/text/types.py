"""Spec chapter "Text Format / Types": types and type uses.

Invariant: as everywhere in this package, a function reads from a cursor exactly what its grammar rule spans, and raises
:class:`MalformedError` at the first token that does not fit.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from wardian.syntax.types import (
    ABS_HEAP_TYPES,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    V128,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    MemoryType,
    NumType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    TypeLimits,
    ValType,
    ref,
)
from wardian.text.lexer import Annotation, Cursor
from wardian.text.scope import Scope, Space, index_number

HEAP_TYPES: Final = {heap.name: heap for heap in ABS_HEAP_TYPES}
REF_TYPES: Final[dict[str, RefType]] = {repr(ref(True, heap)): ref(True, heap) for heap in ABS_HEAP_TYPES}
"""The reference types of one word."""
NUM_TYPES: Final[dict[str, NumType]] = {type.name: type for type in (I32, I64, F32, F64, V128)}
_VAL_TYPES: Final[dict[str, ValType]] = {**NUM_TYPES, **REF_TYPES}
_PACKED: Final[dict[str, PackedType]] = {"i8": I8, "i16": I16}

_PAGE_LOG2: Final = 16

Params: TypeAlias = "list[tuple[str | None, int, ValType]]"
"""Identifier, the token it stands at, and type of each parameter or local."""


def heap_type(cur: Cursor, scope: Scope) -> HeapType:
    found = HEAP_TYPES.get(cur.toks[cur.i])
    if found is not None:
        cur.i += 1
        return found
    return scope.types.resolve(cur)


def ref_type(cur: Cursor, scope: Scope) -> RefType:
    found = REF_TYPES.get(cur.toks[cur.i])
    if found is not None:
        cur.i += 1
        return found
    if not cur.enter("ref"):
        cur.unexpected(cur.i, "a reference type")
    nullable = cur.accept("null")
    found = ref(nullable, heap_type(cur, scope))
    cur.close()
    return found


def at_ref_type(cur: Cursor) -> bool:
    return cur.toks[cur.i] in REF_TYPES or cur.at_group("ref")


def val_type(cur: Cursor, scope: Scope) -> ValType:
    found = _VAL_TYPES.get(cur.toks[cur.i])
    if found is not None:
        cur.i += 1
        return found
    if cur.at_group("ref"):
        return ref_type(cur, scope)
    cur.unexpected(cur.i, "a value type")


def val_types(cur: Cursor, scope: Scope) -> list[ValType]:
    """Value types up to the `)` that follows, which is read as well."""
    types: list[ValType] = []
    while not cur.accept(")"):
        types.append(val_type(cur, scope))
    return types


def results(cur: Cursor, scope: Scope) -> tuple[ValType, ...]:
    """``(result t*)*``"""
    types: list[ValType] = []
    while cur.enter("result"):
        types += val_types(cur, scope)
    return tuple(types)


def declared(cur: Cursor, scope: Scope, keyword: str, *, named: bool = True) -> Params:
    """``(keyword $x t)`` and ``(keyword t*)``, any number of them: parameters or locals."""
    found: Params = []
    while cur.at_group(keyword):
        found += declared_group(cur, scope, keyword, named=named)
    return found


def declared_group(cur: Cursor, scope: Scope, keyword: str, *, named: bool = True) -> Params:
    """The next of such groups."""
    cur.expect("(")
    cur.expect(keyword)
    at = cur.i
    if not named or (cur.toks[at][:1] != "$" and not cur.notes.get(at)):
        return [(None, at, type) for type in val_types(cur, scope)]
    name = cur.identifier()
    type = val_type(cur, scope)
    cur.close()
    return [(name, at, type)]


# -- type uses ---------------------------------------------------------------------------------------------------------


def inline_type(cur: Cursor, scope: Scope, *, named: bool) -> tuple[Params, tuple[ValType, ...]]:
    """``(param ...)* (result ...)*``"""
    params = declared(cur, scope, "param", named=named)
    found = results(cur, scope)
    if cur.at_group("param"):
        cur.unexpected(cur.i + 1, "no parameter after the results")
    return params, found


def explicit_type(cur: Cursor, scope: Scope) -> int | None:
    """``(type x)``, if that comes next."""
    if not cur.enter("type"):
        return None
    index = scope.types.resolve(cur)
    cur.close()
    return index


def type_use(cur: Cursor, scope: Scope, *, named: bool) -> tuple[int, Params]:
    """A type use: its type index, and the parameters if it spells them out."""
    at = cur.i
    index = explicit_type(cur, scope)
    params, found = inline_type(cur, scope, named=named)
    return agreed_type(cur, scope, at, index, tuple([type for _, _, type in params]), found), params


def agreed_type(
    cur: Cursor,
    scope: Scope,
    at: int,
    index: int | None,
    params: tuple[ValType, ...],
    found: tuple[ValType, ...],
) -> int:
    """The index of a type use: with both an index and an inline type, the two must agree."""
    if index is None:
        return scope.type_of(params, found)
    if params or found:
        type = scope.func_type(index)
        if type is None and index >= len(scope.module.types):
            cur.fail(at, f"unknown type {index}")
        if type is None or type.params != params or type.results != found:
            cur.fail(at, f"inline function type does not match type {index}, which is {type or 'no function type'}")
    return index


# -- definitions -------------------------------------------------------------------------------------------------------


def _field_type(cur: Cursor, scope: Scope) -> FieldType:
    mutable = cur.enter("mut")
    packed = _PACKED.get(cur.toks[cur.i])
    if packed is not None:
        cur.i += 1
    field = FieldType(packed or val_type(cur, scope), mutable)
    if mutable:
        cur.close()
    return field


def _fields(cur: Cursor, scope: Scope, space: Space) -> tuple[FieldType, ...]:
    found: list[FieldType] = []
    while cur.enter("field"):
        at = cur.i
        if cur.toks[at][:1] == "$" or cur.notes.get(at):
            name = cur.identifier()
            define_named(cur, space, name, at)
            found.append(_field_type(cur, scope))
            cur.close()
        else:
            while not cur.accept(")"):
                space.define(None, cur, at)
                found.append(_field_type(cur, scope))
    return tuple(found)


def comp_type(cur: Cursor, scope: Scope, index: int) -> CompType:
    """``(func ...)``, ``(struct ...)`` or ``(array ...)``, the definition of type ``index``."""
    comp: CompType
    if cur.enter("func"):
        params, found = inline_type(cur, scope, named=True)
        comp = FuncType(tuple([type for _, _, type in params]), found)
    elif cur.enter("struct"):
        space = scope.fields[index] = Space("field")
        comp = StructType(_fields(cur, scope, space))
    elif cur.enter("array"):
        comp = ArrayType(_field_type(cur, scope))
    else:
        cur.unexpected(cur.i + (cur.toks[cur.i] == "("), "`(func`, `(struct` or `(array`")
    cur.close()
    return comp


def sub_type(cur: Cursor, scope: Scope, index: int) -> SubType:
    """A defined type after its identifier: a composite type, or ``(sub final? x* comp)``."""
    if not cur.enter("sub"):
        return SubType(comp_type(cur, scope, index))
    final = cur.accept("final")
    supers: list[int] = []
    while cur.toks[cur.i] != "(":
        supers.append(scope.types.resolve(cur))
    comp = comp_type(cur, scope, index)
    cur.close()
    return SubType(comp, final, tuple(supers))


# -- external types ----------------------------------------------------------------------------------------------------


def is_address64(cur: Cursor) -> bool:
    """The optional address type of a table or memory."""
    if cur.accept("i64"):
        return True
    cur.accept("i32")
    return False


def limits(cur: Cursor, scope: Scope, is64: bool) -> TypeLimits:
    # Always 64 bits wide, as in the binary format: too large a bound for the address type is invalid, not malformed.
    # Before memory64 it was the other way round.
    bits = 64 if scope.features.memory64 else 32
    least = index_number(cur, cur.i, "a size", bits)
    cur.i += 1
    most: int | None = None
    if cur.toks[cur.i][:1].isdigit():
        most = index_number(cur, cur.i, "a size", bits)
        cur.i += 1
    return TypeLimits(least, most, is64)


def page_size(cur: Cursor) -> int:
    """``(pagesize n)?``: the power of two that a page is large."""
    if not cur.enter("pagesize"):
        return _PAGE_LOG2
    at = cur.i
    size = index_number(cur, at, "a page size", 64)
    if size & (size - 1) or not size:
        cur.fail(at, f"invalid custom page size: {size} is not a power of two")
    cur.i += 1
    cur.close()
    return size.bit_length() - 1


def memory_type(cur: Cursor, scope: Scope) -> MemoryType:
    bounds = limits(cur, scope, is_address64(cur))
    shared = cur.accept("shared")
    return MemoryType(bounds, shared, page_size(cur))


def table_type(cur: Cursor, scope: Scope) -> TableType:
    bounds = limits(cur, scope, is_address64(cur))
    return TableType(ref_type(cur, scope), bounds)


def global_type(cur: Cursor, scope: Scope) -> GlobalType:
    if cur.enter("mut"):
        type = val_type(cur, scope)
        cur.close()
        return GlobalType(type, True)
    return GlobalType(val_type(cur, scope), False)


# -- names -------------------------------------------------------------------------------------------------------------


def name_note(cur: Cursor) -> str | None:
    """The text of an annotation ``(@name "...")`` that stands here."""
    note = cur.note_at(cur.i, "name")
    return None if note is None else name_text(cur, note)


def name_text(cur: Cursor, note: Annotation) -> str:
    """The text of ``note``, an annotation ``(@name "...")``."""
    if len(note.tokens) != 1:
        cur.bad_note(note, "a single string expected")
    return cur.note_text(note, 0)


def define_named(cur: Cursor, space: Space, name: str | None, at: int) -> int:
    """Define ``name`` in ``space``; an annotation here replaces it in the name section."""
    index = space.define(name, cur, at)
    shown = name_note(cur)
    if shown is not None:
        space.shown[index] = shown
    return index
