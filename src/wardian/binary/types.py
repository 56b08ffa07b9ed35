"""Spec chapter "Binary Format / Types": value, reference, heap, composite, table, memory, global and tag types.

Invariant: a type whose feature is switched off is refused here, so nothing above meets one.
"""

from __future__ import annotations

from typing import Final

from wardian.binary.reader import END, TOO_LONG, Reader, signed
from wardian.errors import MalformedError
from wardian.limits import Features
from wardian.syntax.types import (
    EXN,
    EXTERN,
    FUNC,
    HEAP_BY_CODE,
    I8,
    I16,
    NOEXN,
    NUM_BY_CODE,
    V128,
    AbsHeapType,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    MemoryType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    TagType,
    TypeLimits,
    ValType,
    ref,
)

VALTYPE_BY_CODE: Final[dict[int, ValType]] = {
    **NUM_BY_CODE,
    **{code: ref(True, heap) for code, heap in HEAP_BY_CODE.items()},
}
"""The value types of one byte."""

_PACKED: Final = {I8.code: I8, I16.code: I16}
_HEAP_FEATURE: Final = {
    FUNC: "reference_types",
    EXTERN: "reference_types",
    EXN: "exceptions",
    NOEXN: "exceptions",
}
_MUTABLE: Final = {0: False, 1: True}

REF: Final = 0x64
REF_NULL: Final = 0x63
ARRAY_CODE: Final = 0x5E
STRUCT_CODE: Final = 0x5F
FUNC_CODE: Final = 0x60
SUB: Final = 0x50
SUB_FINAL: Final = 0x4F
REC: Final = 0x4E

# Bits of the flags of limits.
HAS_MAX: Final = 1
SHARED: Final = 2
IS_64: Final = 4
PAGE_SIZE: Final = 8


# -- value types, by position ------------------------------------------------------------------------------------------


def heap_type_at(source: bytes, pos: int, end: int) -> tuple[HeapType, int]:
    if pos < end:
        heap = HEAP_BY_CODE.get(source[pos])
        if heap is not None:
            return heap, pos + 1
    index, after = signed(source, pos, end, 33)
    if index < 0:
        raise MalformedError("malformed heap type", offset=pos)
    return index, after


def val_type_at(source: bytes, pos: int, end: int) -> tuple[ValType, int]:
    if pos >= end:
        raise MalformedError(END, offset=end)
    byte = source[pos]
    found = VALTYPE_BY_CODE.get(byte)
    if found is not None:
        return found, pos + 1
    if byte != REF and byte != REF_NULL:
        # Type codes are signed LEB128 of seven bits, so a continuation bit is an error of its own.
        raise MalformedError(TOO_LONG if byte >= 0x80 else "malformed value type", offset=pos)
    heap, after = heap_type_at(source, pos + 1, end)
    return ref(byte == REF_NULL, heap), after


def require_type(features: Features, type: ValType) -> None:
    """Raise :class:`FeatureDisabled` if ``type`` needs a feature that is off."""
    if isinstance(type, RefType):
        require_heap(features, type.heap)
        if not type.nullable or not isinstance(type.heap, AbsHeapType):
            features.require("function_references", f"the type {type}")
    elif type is V128:
        features.require("simd", "the type v128")


def require_heap(features: Features, heap: HeapType) -> None:
    """Raise :class:`FeatureDisabled` if ``heap`` needs a feature that is off."""
    if isinstance(heap, AbsHeapType):
        features.require(_HEAP_FEATURE.get(heap, "gc"), f"the heap type {heap}")
    else:
        features.require("function_references", f"the heap type {heap}")


# -- by cursor ---------------------------------------------------------------------------------------------------------


def read_val_type(r: Reader) -> ValType:
    found, r.pos = val_type_at(r.source, r.pos, r.end)
    if r.off:
        require_type(r.features, found)
    return found


def read_ref_type(r: Reader, *, plain: bool = False) -> RefType:
    """A reference type; ``plain``: ``funcref`` is allowed whatever the features (a table of the first version)."""
    at = r.pos
    try:
        found, r.pos = val_type_at(r.source, at, r.end)
    except MalformedError as error:
        if error.message == "malformed value type":
            r.fail("malformed reference type", at)
        raise
    if not isinstance(found, RefType):
        r.fail("malformed reference type", at)
    if r.off and not (plain and found.heap is FUNC and found.nullable):
        require_type(r.features, found)
    return found


def _val_types(r: Reader, limit: str) -> tuple[ValType, ...]:
    n = r.count(limit)
    if n == 0:
        return ()
    return tuple([read_val_type(r) for _ in range(n)])


def _mutability(r: Reader) -> bool:
    at = r.pos
    found = _MUTABLE.get(r.byte())
    if found is None:
        r.fail("malformed mutability", at)
    return found


def _field_type(r: Reader) -> FieldType:
    storage: ValType | PackedType | None = _PACKED.get(r.source[r.pos]) if r.pos < r.end else None
    if storage is not None:
        r.pos += 1
    else:
        storage = read_val_type(r)
    return FieldType(storage, _mutability(r))


def _comp_type(r: Reader) -> CompType:
    at = r.pos
    code = r.byte()
    if code == FUNC_CODE:
        params = _val_types(r, "parameters")
        results = _val_types(r, "results")
        if len(results) > 1:
            r.features.require("multi_value", "a function with several results")
        return FuncType(params, results)
    if code == STRUCT_CODE:
        r.features.require("gc", "a structure type")
        return StructType(tuple([_field_type(r) for _ in range(r.count("fields"))]))
    if code == ARRAY_CODE:
        r.features.require("gc", "an array type")
        return ArrayType(_field_type(r))
    r.fail(TOO_LONG if code >= 0x80 else "malformed definition type", at)


def _sub_type(r: Reader) -> SubType:
    code = r.source[r.pos] if r.pos < r.end else 0
    if code != SUB and code != SUB_FINAL:
        return SubType(_comp_type(r))
    r.features.require("gc", "a subtype")
    r.pos += 1
    supers = tuple([r.u32() for _ in range(r.count())])
    return SubType(_comp_type(r), code == SUB_FINAL, supers)


def read_rec_group(r: Reader, types: list[SubType]) -> int:
    """Append one recursion group to ``types`` and return how many types it has."""
    if r.pos < r.end and r.source[r.pos] == REC:
        r.features.require("gc", "a recursion group")
        r.pos += 1
        n = r.count("rec_group")
        r.limits.check("types", len(types) + n)
    else:
        n = 1
    for _ in range(n):
        types.append(_sub_type(r))
    return n


def _limits(r: Reader, allowed: int) -> tuple[int, TypeLimits]:
    """The flags, of which only ``allowed`` may be set, and the bounds."""
    at = r.pos
    flags = r.byte()
    if flags & ~allowed:
        r.fail("malformed limits flags", at)
    if flags & PAGE_SIZE and not r.features.custom_page_sizes:
        # SPEC: a flag the standard does not have, so this is no matter of a feature alone.
        r.fail("malformed limits flags: the feature custom-page-sizes is switched off", at)
    if flags & SHARED:
        r.features.require("threads", "a shared memory")
    if flags & IS_64:
        r.features.require("memory64", "a 64-bit table or memory")
    # Always 64 bits wide: too large a bound for the address type is invalid, not malformed.
    least = r.u64()
    most = r.u64() if flags & HAS_MAX else None
    return flags, TypeLimits(least, most, bool(flags & IS_64))


def read_table_type(r: Reader) -> TableType:
    element = read_ref_type(r, plain=True)
    return TableType(element, _limits(r, HAS_MAX | IS_64)[1])


def read_memory_type(r: Reader) -> MemoryType:
    flags, bounds = _limits(r, HAS_MAX | SHARED | IS_64 | PAGE_SIZE)
    log2 = 16
    if flags & PAGE_SIZE:
        at = r.pos
        log2 = r.u32()
        if log2 >= 64:
            r.fail("invalid custom page size", at)
    return MemoryType(bounds, bool(flags & SHARED), log2)


def read_global_type(r: Reader) -> GlobalType:
    value = read_val_type(r)
    return GlobalType(value, _mutability(r))


def read_tag_type(r: Reader) -> TagType:
    r.features.require("exceptions", "a tag")
    at = r.pos
    if r.byte() != 0:
        r.fail("malformed tag attribute", at)
    return TagType(r.u32())
