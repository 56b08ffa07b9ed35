"""Lowering of access to a store's heap: from a 32-bit reference to a host address (:mod:`wardian.vm.heap`).

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. Every byte of the heap that guest code reaches is decided here, and in one case more: a function reference   |
| that comes out of the heap is a number, looked up below a bound and held to its type. Nothing in the heap is         |
| trusted: whatever its bytes are, an access stays inside the heap's reservation of 4 GiB + GUARD.                     |
+----------------------------------------------------------------------------------------------------------------------+

A reference is zero-extended and added to the base; a structure's fields lie a small constant further, an array's
elements less than :data:`wardian.vm.heap.ARRAY_BYTES` further, which the mask of :func:`array_length` guarantees.
"""

from __future__ import annotations

from wardian.compile import speculation
from wardian.compile.emit import CONSTANT, FREERUN, HEAPDATA, HOSTDATA, OBJECT, UNLIKELY, Value, const
from wardian.compile.function import Lowering
from wardian.syntax.types import NumType, PackedType, RefType, ValType
from wardian.vm import builtins, heap
from wardian.vm.layout import FUNCREF, STORE
from wardian.vm.objects import storage_size
from wardian.vm.traps import TrapCode


def pointer(lo: Lowering, reference: Value) -> Value:
    """Host address of what a reference's bits say; for a null or an i31 it leads to nothing of use."""
    # SAFETY: the reference is an i32, zero-extended: below 4 GiB.
    return lo.b.index(lo.heap_base(), lo.b.cast("zext", reference, "i64"))


def volatile(lo: Lowering) -> bool:
    """Under guard pages a later access can end the function without LLVM knowing, so stores must not move past it."""
    return lo.facts.options.checks == "guard"


def header(lo: Lowering, reference: Value) -> Value:
    """The header word of the object behind a reference that is neither null nor an i31."""
    return lo.b.load(pointer(lo, reference), "i32", OBJECT, align=4)


# -- allocation --------------------------------------------------------------------------------------------------------


def allocate(lo: Lowering, size: int) -> Value:
    """A new object of ``size`` bytes, a multiple of :data:`wardian.vm.heap.ALIGN`, all zero."""
    if size > heap.MAX_RUN:
        return _ask(lo, const(size, "i32"))
    return _take(lo, lo.b.offset(lo.heap_base(), heap.RUNS + size), const(size, "i32"))


def allocate_array(lo: Lowering, length: Value, element: int) -> Value:
    """A new array of ``length`` (``i32``) elements of ``element`` bytes, all zero."""
    b = lo.b
    shift = element.bit_length() - 1
    lo.trap_if(b.icmp("uge", length, const(heap.ARRAY_BYTES >> shift, "i32")), TrapCode.HEAP_EXHAUSTED)
    data = b.binary("shl", length, const(shift, "i32"))
    rounded = b.binary("add", data, const(heap.ELEMENTS + heap.ALIGN - 1, "i32"))
    size = b.binary("and", rounded, const(-heap.ALIGN, "i32"))
    large, small, done = b.label(), b.label(), b.label()
    b.cond_br(b.icmp("ugt", size, const(heap.MAX_RUN, "i32")), large, small)
    b.start(large)
    big = _ask(lo, size)
    from_large = b.block
    b.br(done)
    b.start(small)
    # SAFETY: size <= MAX_RUN here, so the run is one of the heap's own.
    runs = b.offset(lo.heap_base(), heap.RUNS)
    little = _take(lo, b.index(runs, b.cast("zext", size, "i64")), size)
    from_small = b.block
    b.br(done)
    b.start(done)
    return b.phi("i32", [(big[0], from_large), (little[0], from_small)])


def _take(lo: Lowering, run: Value, size: Value) -> Value:
    """The next cell of a run, or a new one from the collector."""
    b = lo.b
    end = b.offset(run, 4)
    at = b.load(run, "i32", FREERUN, align=4)
    after = b.binary("add", at, size)
    full = b.icmp("ugt", after, b.load(end, "i32", FREERUN, align=4))
    slow, quick, done = b.label(), b.label(), b.label()
    b.cond_br(full, slow, quick, UNLIKELY)
    b.start(slow)
    made = _ask(lo, size)
    from_slow = b.block
    b.br(done)
    b.start(quick)
    b.store(after, run, FREERUN, align=4, volatile=volatile(lo))
    b.br(done)
    b.start(done)
    return b.phi("i32", [(made[0], from_slow), (at[0], quick)])


def _ask(lo: Lowering, size: Value) -> Value:
    """Call the collector's ``alloc``; traps when there is no room."""
    lo.note_call()
    b = lo.b
    code = b.load(b.offset(lo.store(), STORE.at["alloc"]), "ptr", CONSTANT)
    context = b.load(b.offset(lo.store(), STORE.at["alloc_context"]), "ptr", CONSTANT)
    if lo.tank is not None:
        lo.tank.flush()
    made = b.call("i32", code, [context, size], "tailcc ")
    lo.trap_if(b.icmp("eq", made, const(0, "i32")), TrapCode.HEAP_EXHAUSTED)
    return made


def begin(lo: Lowering, reference: Value, word: Value) -> None:
    """Write a fresh object's header."""
    lo.b.store(word, pointer(lo, reference), OBJECT, align=4, volatile=volatile(lo))


def begin_array(lo: Lowering, reference: Value, word: Value, length: Value) -> None:
    """Write a fresh array's header and length."""
    begin(lo, reference, word)
    at = lo.b.offset(pointer(lo, reference), heap.LENGTH)
    lo.b.store(length, at, OBJECT, align=4, volatile=volatile(lo))


# -- fields and elements -----------------------------------------------------------------------------------------------


def array_length(lo: Lowering, reference: Value) -> Value:
    """The length of a non-null array, as it stands."""
    return lo.b.load(lo.b.offset(pointer(lo, reference), heap.LENGTH), "i32", OBJECT, align=4)


def bounded_length(lo: Lowering, reference: Value, element: int) -> Value:
    """The length of a non-null array of ``element`` bytes each, below what :data:`heap.ARRAY_BYTES` allows."""
    # SAFETY: the mask makes length * element < ARRAY_BYTES, whatever the heap's bytes are; it changes no true length.
    return lo.b.binary("and", array_length(lo, reference), const(heap.ARRAY_BYTES // element - 1, "i32"))


def element(lo: Lowering, reference: Value, index: Value, size: int) -> Value:
    """Address of the element ``index`` (``i32``), which was compared with :func:`bounded_length`."""
    b = lo.b
    # SAFETY: index * size <= ARRAY_BYTES <= GUARD, all in 64 bits.
    first = b.offset(pointer(lo, reference), heap.ELEMENTS)
    return b.index(first, lo.element_index(b.cast("zext", index, "i64")), f"[{size} x i8]")


def read(lo: Lowering, at: Value, storage: NumType | RefType | PackedType, signed: bool | None) -> Value:
    """The value at ``at``, a field's or an element's address."""
    b = lo.b
    size = storage_size(storage)
    if isinstance(storage, PackedType):
        value = b.load(at, f"i{8 * size}", HEAPDATA, align=size)
        return b.cast("sext" if signed else "zext", value, "i32")
    type_ = lo.facts.llvm(storage)
    if type_ == "ptr":
        assert isinstance(storage, RefType)
        return _function(lo, b.load(at, "i32", HEAPDATA, align=4), storage)
    return b.load(at, type_, HEAPDATA, align=min(size, heap.ALIGN))


def write(lo: Lowering, at: Value, storage: NumType | RefType | PackedType, value: Value) -> None:
    """Store an operand at ``at``, a field's or an element's address."""
    size = storage_size(storage)
    if isinstance(storage, PackedType):
        value = lo.b.cast("trunc", value, f"i{8 * size}")
    elif value[1] == "ptr":
        value = function_number(lo, value)
    lo.b.store(value, at, HEAPDATA, align=min(size, heap.ALIGN), volatile=volatile(lo))


def function_number(lo: Lowering, function: Value) -> Value:
    """What stands for a function reference inside the heap; 0 for null."""
    b = lo.b
    start, look, ask, done = b.block, b.label(), b.label(), b.label()
    b.cond_br(b.icmp("eq", function, ("null", "ptr")), done, look)
    b.start(look)
    known = b.load(b.offset(function, FUNCREF.at["number"]), "i32", HOSTDATA, align=4)
    b.cond_br(b.icmp("eq", known, const(0, "i32")), ask, done, UNLIKELY)
    b.start(ask)
    new = lo.builtin("function_number", "i32", function)
    b.br(done)
    b.start(done)
    return b.phi("i32", [("0", start), (known[0], look), (new[0], ask)])


def _function(lo: Lowering, number: Value, type: RefType) -> Value:
    """The function behind a number from the heap: one of the store's, and of the type the field has."""
    b = lo.b
    wide, store = b.cast("zext", number, "i64"), lo.store()
    masked = speculation.masks(lo)
    if masked:
        wide, store = speculation.copy(lo, wide), speculation.copy(lo, store)
    count = b.load(b.offset(store, STORE.at["functions_count"]), "i64", HOSTDATA)
    # SAFETY: a number is never trusted: it is below the count, and the function's type is compared with the field's.
    if masked:
        (wide,) = speculation.check(lo, speculation.below(lo, wide, count), TrapCode.CAST_FAILURE, wide)
    else:
        lo.trap_if(b.icmp("uge", wide, count), TrapCode.CAST_FAILURE)
    table = b.load(b.offset(lo.store(), STORE.at["functions"]), "ptr", HOSTDATA)
    function = b.load(b.index(table, wide, "i64"), "ptr", HOSTDATA)
    if not isinstance(type.heap, int):
        return function
    start, look, done = b.block, b.label(), b.label()
    b.cond_br(b.icmp("eq", function, ("null", "ptr")), done, look)
    b.start(look)
    sure = checked_function(lo, function, type.heap, TrapCode.CAST_FAILURE)
    from_look = b.block
    b.br(done)
    b.start(done)
    return b.phi("ptr", [("null", start), (sure[0], from_look)])


# -- canonical types ---------------------------------------------------------------------------------------------------


def type_word(lo: Lowering, type_index: int) -> Value:
    """The canonical id of a type of the module: the header of its objects."""
    return lo.b.load(lo.b.offset(lo.type_ids(), 8 * type_index), "i32", CONSTANT, align=8)


def matches(lo: Lowering, actual: Value, type_index: int) -> Value:
    """Is the canonical id ``actual`` that of a type, or of one below it? ``i1``, in constant time."""
    b = lo.b
    wanted = type_word(lo, type_index)
    same = b.icmp("eq", actual, wanted)
    if lo.facts.types[type_index].final:
        return same
    start, look, done = b.block, b.label(), b.label()
    b.cond_br(same, done, look)
    b.start(look)
    below = b.icmp("eq", _ancestor(lo, actual, type_index), wanted)
    b.br(done)
    b.start(done)
    return b.phi("i1", [("true", start), (below[0], look)])


def _ancestor(lo: Lowering, actual: Value, type_index: int) -> Value:
    """What the type with the canonical id ``actual`` has for a supertype where the type ``type_index`` would stand."""
    b = lo.b
    ancestors = b.load(b.offset(lo.builtins(), builtins.SLOT["ancestors"]), "ptr", CONSTANT)
    # SAFETY: 28 bits of row number times 256: inside the table's reservation, whatever the header's bits are.
    number = b.cast("zext", b.binary("lshr", actual, const(heap.TYPE_SHIFT, "i32")), "i64")
    row = b.index(ancestors, number, f"[{1 << heap.ROW_SHIFT} x i8]")
    return b.load(b.offset(row, 4 * lo.facts.depth(type_index)), "i32", HOSTDATA, align=4)


def sure_function(lo: Lowering, function: Value, type_index: int) -> Value:
    """With masks: ``function`` (not null), or null unless it has the type or one below it."""
    other = speculation.copy(lo, function)
    return speculation.kept(lo, other, speculation.mask(lo, _another(lo, other, type_index)))


def function_type(lo: Lowering, function: Value) -> Value:
    """The canonical id (``i32``) of the type of ``function``, which is not null."""
    return lo.b.load(lo.b.offset(function, FUNCREF.at["type_id"]), "i32", HOSTDATA, align=4)


def checked_function(lo: Lowering, function: Value, type_index: int, code: TrapCode) -> Value:
    """``function`` (not null), after a check that it has the type or one below it."""
    b = lo.b
    if not speculation.masks(lo):
        matching = matches(lo, function_type(lo, function), type_index)
        lo.trap_if(b.icmp("eq", matching, const(0, "i1")), code)
        return function
    function = speculation.copy(lo, function)
    return speculation.check(lo, speculation.mask(lo, _another(lo, function, type_index)), code, function)[0]


def _another(lo: Lowering, function: Value, type_index: int) -> Value:
    """Has ``function`` neither the type nor one below it? ``i1``, without a branch."""
    b = lo.b
    actual, wanted = function_type(lo, function), type_word(lo, type_index)
    fails = b.icmp("ne", actual, wanted)
    if not lo.facts.types[type_index].final:
        fails = b.binary("and", fails, b.icmp("ne", _ancestor(lo, actual, type_index), wanted))
    return fails


# -- exceptions --------------------------------------------------------------------------------------------------------


def new_exception(lo: Lowering, tag: Value, values: list[Value]) -> Value:
    """A new exception object with a tag's number (``i64``) and its values, 16 bytes each."""
    b = lo.b
    words = [function_number(lo, value) if value[1] == "ptr" else value for value in values]
    exception = allocate(lo, heap.EXCEPTION_SIZE + 16 * len(values))
    begin(lo, exception, const(heap.EXCEPTION, "i32"))
    at = pointer(lo, exception)
    b.store(tag, b.offset(at, heap.EXCEPTION_TAG), HEAPDATA, volatile=volatile(lo))
    for i, word in enumerate(words):
        b.store(word, b.offset(at, heap.EXCEPTION_SIZE + 16 * i), HEAPDATA, volatile=volatile(lo))
    return exception


def exception_tag(lo: Lowering, exception: Value) -> Value:
    return lo.b.load(lo.b.offset(pointer(lo, exception), heap.EXCEPTION_TAG), "i64", HEAPDATA)


def exception_values(lo: Lowering, exception: Value, types: tuple[ValType, ...]) -> list[Value]:
    at = pointer(lo, exception)
    return [read(lo, lo.b.offset(at, heap.EXCEPTION_SIZE + 16 * i), t, None) for i, t in enumerate(types)]
