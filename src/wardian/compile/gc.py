"""Lowering of structures, arrays, i31, casts and conversions of references (spec: "Reference Instructions", "Aggregate
Instructions").

Invariant: an array access compares its index with the array's length in every mode; objects are reached through
:mod:`wardian.compile.heap` only. ``any`` and ``extern`` references have the same bits, so converting them does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from wardian.compile import bounds, heap, speculation
from wardian.compile.emit import HOSTDATA, Value, const
from wardian.compile.function import FamilyTable, Lowering
from wardian.syntax import families as f
from wardian.syntax.types import (
    ARRAY,
    EQ,
    I31,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    AbsHeapType,
    ArrayType,
    FieldType,
    HeapType,
    RefType,
)
from wardian.vm import heap as facts
from wardian.vm.layout import FUNCREF, SEGMENT
from wardian.vm.objects import storage_size
from wardian.vm.traps import TrapCode

_NULL: Final = const(0, "i32")
_ARRAY: Final = TrapCode.NULL_ARRAY_REFERENCE
_BOUNDS: Final = TrapCode.ARRAY_OUT_OF_BOUNDS


def _check_null(lo: Lowering, reference: Value, code: TrapCode) -> None:
    lo.trap_if(lo.b.icmp("eq", reference, _NULL), code)


# -- structures --------------------------------------------------------------------------------------------------------


def struct_new(lo: Lowering, fam: f.StructNew, imm: int) -> None:
    fields, layout = lo.facts.struct(imm)
    values = [] if fam.default else lo.pop_n(len(fields))
    # A function's number may have to be made, which is a call, so before the object exists.
    words = [heap.function_number(lo, v) if v[1] == "ptr" else v for v in values]
    reference = heap.allocate(lo, layout.size)
    heap.begin(lo, reference, heap.type_word(lo, imm))
    at = heap.pointer(lo, reference)
    for field, offset, word in zip(fields, layout.offsets, words, strict=False):
        heap.write(lo, lo.b.offset(at, offset), field.storage, word)
    lo.push(reference)


def struct_get(lo: Lowering, fam: f.StructGet, imm: tuple[int, int]) -> None:
    fields, layout = lo.facts.struct(imm[0])
    reference = lo.pop()
    _check_null(lo, reference, TrapCode.NULL_STRUCTURE_REFERENCE)
    at = lo.b.offset(heap.pointer(lo, reference), layout.offsets[imm[1]])
    lo.push(heap.read(lo, at, fields[imm[1]].storage, fam.signed))


def struct_set(lo: Lowering, fam: f.StructSet, imm: tuple[int, int]) -> None:
    fields, layout = lo.facts.struct(imm[0])
    value, reference = lo.pop(), lo.pop()
    _check_null(lo, reference, TrapCode.NULL_STRUCTURE_REFERENCE)
    at = lo.b.offset(heap.pointer(lo, reference), layout.offsets[imm[1]])
    heap.write(lo, at, fields[imm[1]].storage, value)


# -- arrays ------------------------------------------------------------------------------------------------------------


def _element(lo: Lowering, type_index: int) -> tuple[FieldType, int]:
    """An array type's field, and the bytes of an element."""
    comp = lo.facts.types[type_index].comp
    assert isinstance(comp, ArrayType)
    return comp.field, storage_size(comp.field.storage)


def _new(lo: Lowering, type_index: int, length: Value) -> Value:
    """A new array, all zero."""
    size = _element(lo, type_index)[1]
    if lo.tank is not None:
        lo.tank.work(_scaled(lo, _wide(lo, length), size))
    reference = heap.allocate_array(lo, length, size)
    heap.begin_array(lo, reference, heap.type_word(lo, type_index), length)
    return reference


def array_new(lo: Lowering, fam: f.ArrayNew, imm: int) -> None:
    length = lo.pop()
    value = None if fam.default else lo.pop()
    reference = _new(lo, imm, length)
    if value is not None:
        _fill(lo, imm, reference, _NULL, length, value)
    lo.push(reference)


def new_fixed(lo: Lowering, type_index: int, size: int, length: int) -> Value:
    """A new array, all zero, that takes ``size`` bytes, a multiple of what objects are aligned to."""
    reference = heap.allocate(lo, size)
    heap.begin_array(lo, reference, heap.type_word(lo, type_index), const(length, "i32"))
    return reference


def array_new_fixed(lo: Lowering, fam: f.ArrayNewFixed, imm: tuple[int, int]) -> None:
    type_index, count = imm
    field, size = _element(lo, type_index)
    values = lo.pop_n(count)
    words = [heap.function_number(lo, v) if v[1] == "ptr" else v for v in values]
    reference = new_fixed(lo, type_index, (facts.ELEMENTS + size * count + facts.ALIGN - 1) & -facts.ALIGN, count)
    at = heap.pointer(lo, reference)
    for i, word in enumerate(words):
        heap.write(lo, lo.b.offset(at, facts.ELEMENTS + size * i), field.storage, word)
    lo.push(reference)


def _wide(lo: Lowering, value: Value) -> Value:
    return lo.b.cast("zext", value, "i64")


def _scaled(lo: Lowering, value: Value, size: int) -> Value:
    """A count of elements (``i64``) in bytes."""
    return lo.b.binary("shl", value, const(size.bit_length() - 1, "i64"))


def array_new_data(lo: Lowering, fam: f.ArrayNewData, imm: tuple[int, int]) -> None:
    type_index, data = imm
    size = _element(lo, type_index)[1]
    length, source = lo.pop(), _wide(lo, lo.pop())
    count = _scaled(lo, _wide(lo, length), size)
    at = lo.facts.layout.datas + SEGMENT.size * data
    source, count, base = bounds.check_segment(lo, at, source, count, TrapCode.MEMORY_OUT_OF_BOUNDS)
    reference = _new(lo, type_index, length)
    lo.builtin("memory_copy", "void", heap.element(lo, reference, _NULL, size), lo.b.index(base, source), count)
    lo.push(reference)


def array_new_elem(lo: Lowering, fam: f.ArrayNewElem, imm: tuple[int, int]) -> None:
    type_index, elem = imm
    length, source = lo.pop(), _wide(lo, lo.pop())
    at = lo.facts.layout.elems + SEGMENT.size * elem
    source, count, base = bounds.check_segment(lo, at, source, _wide(lo, length), TrapCode.TABLE_OUT_OF_BOUNDS)
    reference = _new(lo, type_index, length)
    _copy_words(lo, type_index, reference, _NULL, lo.b.index(base, source, "i64"), lo.b.cast("trunc", count, "i32"))
    lo.push(reference)


def _checked_element(lo: Lowering, type_index: int, reference: Value, index: Value) -> Value:
    """Address of an element, after the checks."""
    b = lo.b
    size = _element(lo, type_index)[1]
    _check_null(lo, reference, _ARRAY)
    if not speculation.masks(lo):
        lo.trap_if(b.icmp("uge", index, heap.bounded_length(lo, reference, size)), _BOUNDS)
        return heap.element(lo, reference, index, size)
    array, index = speculation.copy(lo, reference), speculation.copy(lo, index)
    mask = speculation.below(lo, _wide(lo, index), _wide(lo, heap.bounded_length(lo, array, size)))
    return heap.element(lo, array, speculation.check(lo, mask, _BOUNDS, index)[0], size)


def array_get(lo: Lowering, fam: f.ArrayGet, imm: int) -> None:
    index, reference = lo.pop(), lo.pop()
    at = _checked_element(lo, imm, reference, index)
    lo.push(heap.read(lo, at, _element(lo, imm)[0].storage, fam.signed))


def array_set(lo: Lowering, fam: f.ArraySet, imm: int) -> None:
    value, index, reference = lo.pop(), lo.pop(), lo.pop()
    at = _checked_element(lo, imm, reference, index)
    heap.write(lo, at, _element(lo, imm)[0].storage, value)


def array_len(lo: Lowering, fam: f.ArrayLen, imm: None) -> None:
    reference = lo.pop()
    _check_null(lo, reference, _ARRAY)
    lo.push(heap.array_length(lo, reference))


def _check_part(
    lo: Lowering, type_index: int, reference: Value, start: Value, count: Value
) -> tuple[Value, Value]:
    """Trap unless ``count`` elements from ``start`` (``i32``) lie in the array; returns both, to go on with."""
    size = _element(lo, type_index)[1]

    def limit(masked: bool) -> Value:
        array = speculation.copy(lo, reference) if masked else reference
        return _wide(lo, heap.bounded_length(lo, array, size))

    first, many = bounds.check_range(lo, _wide(lo, start), _wide(lo, count), limit, _BOUNDS)
    return lo.b.cast("trunc", first, "i32"), lo.b.cast("trunc", many, "i32")


def array_fill(lo: Lowering, fam: f.ArrayFill, imm: int) -> None:
    count, value, start, reference = lo.pop(), lo.pop(), lo.pop(), lo.pop()
    _check_null(lo, reference, _ARRAY)
    start, count = _check_part(lo, imm, reference, start, count)
    _fill(lo, imm, reference, start, count, value)


def array_copy(lo: Lowering, fam: f.ArrayCopy, imm: tuple[int, int]) -> None:
    count, source_at, source, target_at, target = (lo.pop() for _ in range(5))
    _check_null(lo, target, _ARRAY)
    _check_null(lo, source, _ARRAY)
    target_at, count = _check_part(lo, imm[0], target, target_at, count)
    source_at, count = _check_part(lo, imm[1], source, source_at, count)
    size = _element(lo, imm[0])[1]
    to, from_ = heap.element(lo, target, target_at, size), heap.element(lo, source, source_at, size)
    lo.builtin("memory_copy", "void", to, from_, _scaled(lo, _wide(lo, count), size))


def array_init_data(lo: Lowering, fam: f.ArrayInitData, imm: tuple[int, int]) -> None:
    type_index, data = imm
    size = _element(lo, type_index)[1]
    count, source, start, reference = lo.pop(), _wide(lo, lo.pop()), lo.pop(), lo.pop()
    _check_null(lo, reference, _ARRAY)
    start, count = _check_part(lo, type_index, reference, start, count)
    length = _scaled(lo, _wide(lo, count), size)
    at = lo.facts.layout.datas + SEGMENT.size * data
    source, length, base = bounds.check_segment(lo, at, source, length, TrapCode.MEMORY_OUT_OF_BOUNDS)
    lo.builtin("memory_copy", "void", heap.element(lo, reference, start, size), lo.b.index(base, source), length)


def array_init_elem(lo: Lowering, fam: f.ArrayInitElem, imm: tuple[int, int]) -> None:
    type_index, elem = imm
    count, source, start, reference = lo.pop(), _wide(lo, lo.pop()), lo.pop(), lo.pop()
    _check_null(lo, reference, _ARRAY)
    start, count = _check_part(lo, type_index, reference, start, count)
    at = lo.facts.layout.elems + SEGMENT.size * elem
    source, many, base = bounds.check_segment(lo, at, source, _wide(lo, count), TrapCode.TABLE_OUT_OF_BOUNDS)
    count = lo.b.cast("trunc", many, "i32")
    _copy_words(lo, type_index, reference, start, lo.b.index(base, source, "i64"), count)


def _each(lo: Lowering, count: Value, body: Callable[[Value], None]) -> None:
    """A loop over ``i32`` 0 to ``count - 1``; ``body`` may end in another block than it began."""
    b = lo.b
    head, inside, done = b.label(), b.label(), b.label()
    before, i, following = b.block, b.name(), b.name()
    b.br(head)
    b.start(head)
    at = len(b.lines)
    b.lines.append("")
    b.cond_br(b.icmp("ult", (i, "i32"), count), inside, done)
    b.start(inside)
    body(speculation.counted(lo, (i, "i32"), count))
    b.lines.append(f" {following} = add i32 {i}, 1")
    b.lines[at] = f" {i} = phi i32 [ 0, %{before} ], [ {following}, %{b.block} ]"
    b.br(head)
    b.start(done)


def _fill(lo: Lowering, type_index: int, reference: Value, start: Value, count: Value, value: Value) -> None:
    """Store ``value`` in a range that has been checked."""
    field, size = _element(lo, type_index)
    word = heap.function_number(lo, value) if value[1] == "ptr" else value
    if lo.tank is not None:
        lo.tank.work(_scaled(lo, _wide(lo, count), size))
    first = heap.element(lo, reference, start, size)
    scale = f"[{size} x i8]"
    _each(lo, count, lambda i: heap.write(lo, lo.b.index(first, _wide(lo, i), scale), field.storage, word))


def _copy_words(lo: Lowering, type_index: int, reference: Value, start: Value, source: Value, count: Value) -> None:
    """Store 8-byte words of an element segment in a range that has been checked."""
    field, size = _element(lo, type_index)
    assert isinstance(field.storage, RefType)
    storage, type_ = field.storage, lo.facts.llvm(field.storage)
    if lo.tank is not None:
        lo.tank.work(_scaled(lo, _wide(lo, count), 8))

    def one(i: Value) -> None:
        value = lo.b.load(lo.b.index(source, _wide(lo, i), "i64"), type_, HOSTDATA)
        word = heap.function_number(lo, value) if type_ == "ptr" else value
        at = lo.b.binary("add", start, i)
        heap.write(lo, heap.element(lo, reference, at, size), storage, word)

    _each(lo, count, one)


# -- i31, equality, conversions ----------------------------------------------------------------------------------------


def ref_i31(lo: Lowering, fam: f.RefI31, imm: None) -> None:
    doubled = lo.b.binary("shl", lo.pop(), const(1, "i32"))
    lo.push(lo.b.binary("or", doubled, const(1, "i32")))


def i31_get(lo: Lowering, fam: f.I31Get, imm: None) -> None:
    reference = lo.pop()
    _check_null(lo, reference, TrapCode.NULL_I31_REFERENCE)
    lo.push(lo.b.binary("ashr" if fam.signed else "lshr", reference, const(1, "i32")))


def convert(lo: Lowering, fam: f.AnyConvertExtern | f.ExternConvertAny, imm: None) -> None:
    pass


# -- casts -------------------------------------------------------------------------------------------------------------


def _kind_test(limit: int, value: int) -> Callable[[Lowering, Value], Value]:
    """Whether an object's kind, all but its low ``limit`` bits, is ``value``."""

    def test(lo: Lowering, reference: Value) -> Value:
        kind = lo.b.binary("and", heap.header(lo, reference), const(facts.KIND_MASK >> limit << limit, "i32"))
        return lo.b.icmp("eq", kind, const(value, "i32"))

    return test


_KIND_TESTS: Final = MappingProxyType(
    {STRUCT: _kind_test(1, facts.STRUCT), ARRAY: _kind_test(1, facts.ARRAY), EQ: _kind_test(2, facts.STRUCT)}
)
"""Abstract types of objects: whether an object that is no i31 has one. ``STRUCT`` and ``ARRAY`` are pairs of kinds."""

_BOTTOMS: Final = frozenset({NONE, NOFUNC, NOEXTERN, NOEXN})


def type_test(lo: Lowering, reference: Value, heap_type: HeapType, nullable: bool) -> Value:
    """Does the reference have type ``(ref null? heap_type)``? ``i1``."""
    b = lo.b
    null = b.icmp("eq", reference, ("null" if reference[1] == "ptr" else "0", reference[1]))
    if heap_type in _BOTTOMS:
        return null if nullable else ("false", "i1")
    if isinstance(heap_type, AbsHeapType) and heap_type is not I31 and heap_type not in _KIND_TESTS:
        return ("true", "i1") if nullable else b.icmp("eq", null, const(0, "i1"))
    if heap_type is I31:
        # Null has an even number, too.
        odd = b.cast("trunc", reference, "i1")
        return b.binary("or", odd, null) if nullable else odd
    outcomes = [(str(nullable).lower(), b.block)]
    some, done = b.label(), b.label()
    b.cond_br(null, done, some)
    b.start(some)
    if reference[1] == "ptr":
        assert isinstance(heap_type, int)
        actual = b.load(b.offset(reference, FUNCREF.at["type_id"]), "i32", HOSTDATA, align=4)
        verdict = heap.matches(lo, actual, heap_type)
    else:
        outcomes.append((str(heap_type is EQ).lower(), b.block))
        there = b.label()
        b.cond_br(b.cast("trunc", reference, "i1"), done, there)
        b.start(there)
        if isinstance(heap_type, int):
            verdict = heap.matches(lo, heap.header(lo, reference), heap_type)
        else:
            verdict = _KIND_TESTS[heap_type](lo, reference)
    outcomes.append((verdict[0], b.block))
    b.br(done)
    b.start(done)
    return b.phi("i1", outcomes)


def ref_test(lo: Lowering, fam: f.RefTest, imm: HeapType) -> None:
    lo.push(type_test(lo, lo.pop(), imm, fam.nullable))


def ref_cast(lo: Lowering, fam: f.RefCast, imm: HeapType) -> None:
    reference = lo.pop()
    sure = _sure(lo, reference, imm)
    fails = lo.b.icmp("eq", type_test(lo, reference, imm, fam.nullable), const(0, "i1"))
    lo.trap_if(fails, TrapCode.CAST_FAILURE)
    lo.push(sure)


def _sure(lo: Lowering, reference: Value, heap_type: HeapType) -> Value:
    """``reference``, with masks null unless it has the type (or is null): what goes on where a cast is only guessed to
    succeed. An object of another type is still one of the same heap, but a function would get other parameters."""
    if reference[1] != "ptr" or not isinstance(heap_type, int) or not speculation.masks(lo):
        return reference
    b = lo.b
    start, look, done = b.block, b.label(), b.label()
    b.cond_br(b.icmp("eq", reference, ("null", "ptr")), done, look)
    b.start(look)
    masked = heap.sure_function(lo, reference, heap_type)
    b.br(done)
    b.start(done)
    return b.phi("ptr", [("null", start), (masked[0], look)])


def br_on_cast(lo: Lowering, fam: f.BrOnCast, imm: tuple[int, RefType, RefType]) -> None:
    label, _, wanted = imm
    reference = lo.pop()
    sure = _sure(lo, reference, wanted.heap)
    fits = type_test(lo, reference, wanted.heap, wanted.nullable)
    frame = lo.target(label)
    lo.push(reference if fam.fail else sure)
    lo.join(frame)
    on = lo.b.label()
    if fam.fail:
        lo.b.cond_br(fits, on, frame.label)
    else:
        lo.b.cond_br(fits, frame.label, on)
    lo.b.start(on)
    lo.pop_raw()
    lo.push(sure if fam.fail else reference)


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.StructNew: struct_new,
        f.StructGet: struct_get,
        f.StructSet: struct_set,
        f.ArrayNew: array_new,
        f.ArrayNewFixed: array_new_fixed,
        f.ArrayNewData: array_new_data,
        f.ArrayNewElem: array_new_elem,
        f.ArrayGet: array_get,
        f.ArraySet: array_set,
        f.ArrayLen: array_len,
        f.ArrayFill: array_fill,
        f.ArrayCopy: array_copy,
        f.ArrayInitData: array_init_data,
        f.ArrayInitElem: array_init_elem,
        f.RefTest: ref_test,
        f.RefCast: ref_cast,
        f.BrOnCast: br_on_cast,
        f.RefI31: ref_i31,
        f.I31Get: i31_get,
        f.AnyConvertExtern: convert,
        f.ExternConvertAny: convert,
    }
)
