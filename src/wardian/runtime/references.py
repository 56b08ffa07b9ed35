"""References <-> Python values: functions, boxed Python objects, i31, and handles for structures and arrays.

Invariant: a handle holds its object, and its object's store, for as long as it exists; reading or writing through it,
however wrong, does no more than raise. Two handles are equal if they stand for the same object.

Python's values of an ``anyref`` follow the JavaScript interface: ``None`` is null, an ``int`` of 31 bits an ``i31``,
handles are their objects, and anything else is a host value, as if ``any.convert_extern`` had been applied. An
``externref`` gives back the very object that was passed.
"""

from __future__ import annotations

import struct as codec
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, Final, final

from wardian.errors import WasmException
from wardian.runtime import values
from wardian.runtime.cells import GlobalInstance, Tag
from wardian.runtime.heap import Heap, HeapRef
from wardian.runtime.native import no_copy
from wardian.runtime.process import Process
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.syntax.types import (
    ANY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I8,
    I16,
    I31,
    I32,
    I64,
    NOFUNC,
    V128,
    ArrayType,
    FieldType,
    NumType,
    PackedType,
    RefType,
    StructType,
    ValType,
)
from wardian.valid.types import TypeContext, link_matches_heap
from wardian.vm import heap as layout
from wardian.vm.objects import storage_size, struct_layout

_PLAIN: Final = MappingProxyType({I8: "<b", I16: "<h", I32: "<i", I64: "<q", F32: "<I", F64: "<Q"})
"""How fields are read: packed and whole integers signed, floats by their bits."""


class _Object:
    """What both have in common."""

    __slots__ = ("__weakref__", "_heap", "_ref", "_type")
    __reduce_ex__ = no_copy
    _heap: Heap
    _ref: HeapRef
    _type: tuple[TypeContext, int]

    def __init__(self) -> None:
        raise TypeError(f"a {type(self).__name__} is made by a guest")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Object):
            return NotImplemented
        return self._heap is other._heap and self._ref.reference == other._ref.reference

    def __hash__(self) -> int:
        return hash((self._heap.number, self._ref.reference))

    def _read(self, at: int, storage: NumType | RefType | PackedType) -> Any:
        return read(self._heap, at, storage, self._type[0])

    def _write(self, at: int, field: FieldType, value: Any, what: str) -> None:
        if not field.mutable:
            raise AttributeError(f"{what} is immutable")
        write(self._heap, at, value, field.storage, self._type[0], what)


@final
class Struct(_Object):
    """A structure: ``struct[i]`` is field ``i``, ``len(struct)`` their number; mutable fields may be assigned."""

    __slots__ = ("_fields", "_offsets")
    _fields: tuple[FieldType, ...]
    _offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self._fields)

    def _index(self, index: int) -> int:
        if not 0 <= index < len(self._fields):
            raise IndexError(f"{index} is out of the structure's {len(self._fields)} fields")
        return index

    def __getitem__(self, index: int) -> Any:
        index = self._index(index)
        return self._read(self._ref.reference + self._offsets[index], self._fields[index].storage)

    def __setitem__(self, index: int, value: Any) -> None:
        index = self._index(index)
        self._write(self._ref.reference + self._offsets[index], self._fields[index], value, f"field {index}")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<wardian.Struct of {len(self)} fields>"


@final
class Array(_Object):
    """An array: a sequence of fixed length. ``array[a:b]`` is a list; :meth:`tobytes` gives numbers as raw bytes."""

    __slots__ = ("_field", "_length", "_size")
    _field: FieldType
    _length: int
    _size: int

    def __len__(self) -> int:
        return self._length

    def _at(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(f"{index} is out of the array's {self._length} elements")
        return self._ref.reference + layout.ELEMENTS + self._size * index

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._read(self._at(i), self._field.storage) for i in range(*index.indices(self._length))]
        return self._read(self._at(index), self._field.storage)

    def __setitem__(self, index: int, value: Any) -> None:
        self._write(self._at(index), self._field, value, f"element {index}")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._length))

    def tobytes(self) -> bytes:
        """All elements, little-endian, one after the other. Raises ``TypeError`` for references."""
        if isinstance(self._field.storage, RefType):
            raise TypeError("an array of references has no bytes")
        first = self._ref.reference + layout.ELEMENTS
        return bytes(self._heap.bytes()[first : first + self._size * self._length])

    __bytes__ = tobytes

    def __repr__(self) -> str:
        return f"<wardian.Array of {self._length} x {getattr(self._field.storage, 'name', self._field.storage)}>"


@final
class ExceptionRef(_Object):
    """An exception that a guest has caught and hands on as a value (``exnref``): :meth:`exception` is what to raise."""

    __slots__ = ()

    def exception(self) -> WasmException:
        """Tag and payload, as an exception of Python's. Raises :class:`LimitExceeded`, :class:`StoreBusy`."""
        return exception_at(self._heap, self._ref.reference)

    def __repr__(self) -> str:
        return "<wardian.ExceptionRef>"


def exception_at(heap: Heap, reference: int) -> WasmException:
    """The exception behind a reference that something holds meanwhile."""
    view = heap.bytes()
    number = view[reference + layout.EXCEPTION_TAG : reference + layout.EXCEPTION_TAG + 8]
    tag = heap.store.root().tags[int.from_bytes(number, "little")]
    first = reference + layout.EXCEPTION_SIZE
    params = enumerate(tag.type.params)
    return WasmException(tag, *[read(heap, first + 16 * i, type_, tag.types) for i, type_ in params])


def make_exception(store: Store, error: WasmException) -> HeapRef:
    """``error`` as an object of the store's heap.

    Raises ``TypeError`` if its payload does not fit its tag, and what :func:`to_ref` does.
    """
    tag = error.tag
    if not isinstance(tag, Tag):
        raise TypeError(f"a WasmException needs a wardian.Tag, not {values.kind_of(tag)}")
    wanted = tag.type.params
    if len(error.payload) != len(wanted):
        raise TypeError(f"{tag!r} takes {len(wanted)} values, {len(error.payload)} given")
    heap: Heap = store.heap()
    made = heap.make(layout.EXCEPTION_SIZE + 16 * len(wanted), layout.EXCEPTION)
    at = made.reference + layout.EXCEPTION_TAG
    heap.bytes()[at : at + 8] = tag.number.to_bytes(8, "little")
    at = made.reference + layout.EXCEPTION_SIZE
    for i, (value, type_) in enumerate(zip(error.payload, wanted, strict=True)):
        write(heap, at + 16 * i, value, type_, tag.types, f"exception value {i + 1}")
    store.root().tags.setdefault(tag.number, tag)
    return made


def handle(heap: Heap, ref: HeapRef) -> Struct | Array | ExceptionRef:
    """The handle for an object that is a structure, an array or an exception."""
    reference = ref.reference
    if heap.header(reference) & layout.KIND_MASK == layout.EXCEPTION:
        caught = ExceptionRef.__new__(ExceptionRef)
        caught._heap, caught._ref = heap, ref
        return caught
    types, index = heap.types[heap.header(reference)]
    comp = types.expand(index)
    made: Struct | Array
    if isinstance(comp, StructType):
        made = Struct.__new__(Struct)
        made._fields = comp.fields
        made._offsets = struct_layout(comp, types.module.types).offsets
    else:
        assert isinstance(comp, ArrayType)
        made = Array.__new__(Array)
        made._field = comp.field
        made._size = storage_size(comp.field.storage)
        made._length = int(heap.words()[(reference + layout.LENGTH) >> 2])
    made._heap, made._ref, made._type = heap, ref, (types, index)
    return made


# -- conversions -------------------------------------------------------------------------------------------------------


def to_word(value: Any, type: ValType, types: TypeContext, store: Store | None, what: str) -> int:
    """The bits machine code sees for ``value``, as an unsigned number: 128 for a v128, else at most 64.

    A reference into the heap is a :class:`HeapRef`, of which only the low 32 bits are to be stored, while it is held.
    """
    if not isinstance(type, RefType):
        return values.to_bits(value, type, what)
    if value is None and type.nullable:
        return 0
    if store is None:
        raise TypeError(f"{what}: a reference needs the store of an instance; give None")
    return to_ref(value, type, types, store, what)


def from_word(word: int, type: ValType, types: TypeContext, store: Store | None) -> Any:
    """Inverse of :func:`to_word`."""
    if isinstance(type, RefType):
        return None if store is None or not word else from_ref(word, type, types, store)
    return values.from_bits(word, type)


def to_ref(value: Any, type: RefType, types: TypeContext, store: Store, what: str) -> int:
    """The word of a reference: a FUNCREF's address, or a heap reference as :func:`to_word` says.

    What belongs to a store must belong to this one, and fit the type. Raises ``TypeError``, ``ValueError``,
    ``OverflowError``, :class:`LimitExceeded`, :class:`StoreBusy`.
    """
    if value is None:
        if not type.nullable:
            raise TypeError(f"{what} must not be None for {type}")
        return 0
    top = types.top(type.heap)
    if top is FUNC:
        return _to_function(value, type, types, store, what)
    heap: Heap = store.heap()
    if top is EXN:
        if type.heap is not EXN or not isinstance(value, ExceptionRef):
            raise TypeError(f"{what} must be a wardian.ExceptionRef for {type}, not {values.kind_of(value)}")
        if value._heap is not heap:
            raise ValueError(f"{what}: {value!r} belongs to another store; link the instances to pass it")
        return value._ref
    if isinstance(value, Struct | Array):
        if value._heap is not heap:
            raise ValueError(f"{what}: {value!r} belongs to another store; link the instances to pass it")
        if not _object_matches(value, type, types):
            raise TypeError(f"{what}: {value!r} is not a {type}")
        return value._ref
    if top is ANY and value.__class__ is int and type.heap in (ANY, EQ, I31):
        if -(1 << 30) <= value < 1 << 30:
            return (value << 1 | 1) & 0xFFFFFFFF
        if type.heap is not ANY:
            raise OverflowError(f"{what}: {value} does not fit i31")
    if type.heap is not EXTERN and type.heap is not ANY:
        raise TypeError(f"{what} must be a {type}, not {values.kind_of(value)}")
    return heap.box(value)


def _to_function(value: Any, type: RefType, types: TypeContext, store: Store, what: str) -> int:
    native = store.process.types
    if type.heap is NOFUNC or not isinstance(value, native.Func):
        raise TypeError(f"{what} must be a wardian.Func or None for {type}, not {values.kind_of(value)}")
    func = native.instance_of(value)
    if func.store.root() is not store.root():
        raise ValueError(f"{what}: {value!r} belongs to another store; link the instances to pass it")
    if type.heap is not FUNC and not link_matches_heap(func.type_index, func.types, type.heap, types):
        raise TypeError(f"{what}: {value!r} is not a {type}")
    return int(func.ref)


def _object_matches(value: Struct | Array, type: RefType, types: TypeContext) -> bool:
    """Does a structure or an array fit ``type``, of the ``any`` or the ``extern`` hierarchy?"""
    if type.heap is EXTERN:
        return True
    of, index = value._type
    return link_matches_heap(index, of, type.heap, types)


def from_ref(word: int, type: RefType, types: TypeContext, store: Store) -> Any:
    """The Python value of a reference that a guest's frame, a table or a global holds at this moment."""
    if not word:
        return None
    if types.top(type.heap) is FUNC:
        return store.root().func_at(word)
    return _from_heap(store.heap(), word, None)


def load(read: Callable[[], int], type: ValType, types: TypeContext, store: Store | None) -> Any:
    """The Python value of the word that ``read`` finds in a cell of ``store``, whoever else is running there."""
    word = read()
    if not word or store is None or not types.is_heap_ref(type):
        return from_word(word, type, types, store)
    heap: Heap = store.heap()
    while word and not word & 1:
        ref = heap.pin(word)
        again = read()
        if again == word:
            # A guest on another thread may have changed the cell, and collected, before the object was held. But if the
            # cell has it still, a collection that began before found it there.
            return _from_heap(heap, word, ref)
        word = again
    return from_word(word, type, types, store)


def _from_heap(heap: Heap, reference: int, ref: HeapRef | None) -> Any:
    """The value of a reference that is not null; ``ref`` may hold it already."""
    if reference & 1:
        return values.signed(reference, I32) >> 1
    if heap.header(reference) & layout.KIND_MASK == layout.EXTERN:
        return heap.unbox(reference)
    return handle(heap, heap.pin(reference) if ref is None else ref)


def read(heap: Heap, at: int, storage: NumType | RefType | PackedType, types: TypeContext) -> Any:
    """The value of the field at ``at`` of an object that is held."""
    if isinstance(storage, RefType):
        if types.top(storage.heap) is FUNC:
            return from_word(heap.store.function(heap.words()[at >> 2]), storage, types, heap.store)
        return load(lambda: int(heap.words()[at >> 2]), storage, types, heap.store)
    view = heap.bytes()
    if storage is V128:
        return bytes(view[at : at + 16])
    bits: int = codec.unpack_from(_PLAIN[storage], view, at)[0]
    return values.from_bits(bits, storage) if isinstance(storage, NumType) else bits


def write(
    heap: Heap, at: int, value: Any, storage: NumType | RefType | PackedType, types: TypeContext, what: str
) -> None:
    """Inverse of :func:`read`. Raises as :func:`to_ref` does."""
    if isinstance(storage, RefType):
        word = to_ref(value, storage, types, heap.store, what)
        number = heap.store.function_number(word) if word and types.top(storage.heap) is FUNC else word & 0xFFFFFFFF
        heap.words()[at >> 2] = number
        return
    if isinstance(storage, PackedType):
        limit = 1 << 8 * storage.size
        bits = values.to_int(value, I32, what)
        if not -limit // 2 <= bits < limit:
            raise OverflowError(f"{what}: {bits} does not fit {storage.name}")
        bits &= limit - 1
    else:
        bits = values.to_bits(value, storage, what)
    heap.bytes()[at : at + storage.size] = bits.to_bytes(storage.size, "little")


# -- tables and globals that Python makes, which belong to no store until they are linked, or given something of one ---


def owner(cell: TableInstance | GlobalInstance) -> Store | None:
    """The store a table or a global belongs to."""
    return next((k.root() for k in cell.keep if isinstance(k, Store)), None)


def settle(cell: TableInstance | GlobalInstance, store: Store) -> None:
    """Make a table or a global one of ``store``, if it has none and may hold references."""
    if owner(cell) is not None:
        return
    if isinstance(cell, TableInstance):
        cell.keep.append(store)
        store.add_roots(cell.roots())
        waiting, cell.waiting = cell.waiting, {}
        for index, value in waiting.items():
            cell.write(index, [to_word(value, cell.declared.element, cell.types, store, f"element {index}")])
    elif isinstance(cell.type.value, RefType):
        cell.keep.append(store)
        store.add_roots(cell.roots())
        if cell.waiting is not None:
            cell.set(to_word(cell.waiting, cell.type.value, cell.types, store, "the value"))
            cell.waiting = None


def store_of(value: object, process: Process) -> Store | None:
    """The store a function, a structure or an array belongs to."""
    if isinstance(value, _Object):
        store: Store = value._heap.store.root()
        return store
    types = process.types
    return types.instance_of(value).store.root() if types and isinstance(value, types.Func) else None
