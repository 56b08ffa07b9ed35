"""Spec "Instantiation", in the spec's order, one function per step.

Invariant: when a step fails, everything made so far is unreachable from the module's exports, except what the spec says
stays: writes to imported memories and tables made before a trap.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeAlias, final

from wardian.errors import LimitExceeded, Trap
from wardian.limits import Limits
from wardian.runtime.cells import GlobalInstance, Tag
from wardian.runtime.function import FuncInstance, HostFacts, HostFunc
from wardian.runtime.heap import Heap, HeapRef, NativeFunction, plain_word
from wardian.runtime.instance import Code, Instance
from wardian.runtime.memory import Initial, MemoryInstance
from wardian.runtime.native import Block, bytes_address, page_up
from wardian.runtime.store import Store
from wardian.runtime.table import TableInstance
from wardian.syntax.module import ElemSegment, Slice
from wardian.syntax.types import FUNC, ArrayType, HeapType, MemoryType, NumType, PackedType, RefType, StructType
from wardian.valid.constant import evaluate
from wardian.vm import heap as places
from wardian.vm.layout import ROOT, SEGMENT
from wardian.vm.objects import storage_size, struct_layout
from wardian.vm.traps import TRAPS, TrapCode

Extern: TypeAlias = "FuncInstance | HostFunc | TableInstance | MemoryInstance | GlobalInstance | Tag"


def instantiate(code: Code, store: Store, imports: Sequence[Extern], limits: Limits) -> Instance:
    """An instance of a validated module with matching imports; the start function has not run yet.

    Raises :class:`Trap` when an active segment does not fit, :class:`LimitExceeded`.
    """
    if code.has_objects:
        store.heap().register(code.ctx.types, code.type_ids)
    instance = Instance(code, store)
    _place_imports(instance, imports)
    _register_roots(instance)
    instance.point_functions()
    _allocate_memories(instance, limits)
    environment = _Environment(instance)
    _allocate_globals(instance, environment)
    _allocate_tables(instance, environment, limits)
    _allocate_tags(instance)
    initial = _initial(instance)
    if initial is not None:
        instance.has_image = initial.fill(instance.memories[0])
    _element_segments(instance, environment)
    _data_segments(instance, environment, initial is not None)
    return instance


def _place_imports(instance: Instance, imports: Sequence[Extern]) -> None:
    layout, block = instance.code.layout, instance.block
    functions = 0
    for extern in imports:
        instance.keep.append(extern)
        if isinstance(extern, FuncInstance | HostFunc):
            block[layout.imported_funcs + 8 * functions] = extern.ref
            functions += 1
        elif isinstance(extern, MemoryInstance):
            extern.is_shared_out = True
            _add_memory(instance, extern)
        elif isinstance(extern, TableInstance):
            _enter_store(instance.store, extern)
            _add_table(instance, extern)
        elif isinstance(extern, GlobalInstance):
            if isinstance(extern.type.value, RefType):
                _enter_store(instance.store, extern)
            block[layout.imported_globals + 8 * len(instance.globals)] = extern.address
            instance.globals.append(extern)
        else:
            instance.tags.append(extern)


def _enter_store(store: Store, extern: TableInstance | GlobalInstance) -> None:
    """What holds references is of one store: who imports it next joins that, and no reference dangles."""
    if not any(isinstance(kept, Store) for kept in extern.keep):
        extern.keep.append(store)


def _add_memory(instance: Instance, memory: MemoryInstance) -> None:
    layout, index = instance.code.layout, len(instance.memories)
    instance.block[layout.memory_bases + 8 * index] = memory.base
    instance.block[layout.memories + 8 * index] = memory.block.address
    instance.memories.append(memory)


def _add_table(instance: Instance, table: TableInstance) -> None:
    instance.block[instance.code.layout.tables + 8 * len(instance.tables)] = table.block.address
    instance.tables.append(table)


def _allocate_memories(instance: Instance, limits: Limits) -> None:
    for declared in instance.module.memories:
        _add_memory(instance, new_memory(instance.store, declared, limits))


def new_memory(store: Store, declared: MemoryType, limits: Limits) -> MemoryInstance:
    return MemoryInstance(store.process, declared, limits.memory)


@final
class _Environment:
    """What constant expressions may ask for (:class:`wardian.valid.constexpr.Environment`).

    Values are words. A reference to a new object is a :class:`wardian.runtime.heap.HeapRef`, which holds it until it
    has been stored.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.types = instance.code.ctx.types

    def global_value(self, index: int) -> object:
        return self.instance.globals[index].word

    def func_ref(self, index: int) -> object:
        return self.instance.func_ref(index)

    def null(self, heap: HeapType) -> object:
        return 0

    def i31(self, value: int) -> object:
        return (value << 1 | 1) & 0xFFFFFFFF

    def any_convert_extern(self, reference: object) -> object:
        return reference

    def extern_convert_any(self, reference: object) -> object:
        return reference

    def struct_new_default(self, type_index: int) -> object:
        return self.struct_new(type_index, ())

    def struct_new(self, type_index: int, fields: Sequence[object]) -> object:
        comp = self.types.expand(type_index)
        assert isinstance(comp, StructType)
        layout = struct_layout(comp, self.types.module.types)
        made = self._make(layout.size, type_index)
        for field, at, value in zip(comp.fields, layout.offsets, fields, strict=False):
            self._put(made.reference + at, field.storage, [value])
        return made

    def array_new_default(self, type_index: int, count: int) -> object:
        return self._array(type_index, count)

    def array_new(self, type_index: int, init: object, count: int) -> object:
        made = self._array(type_index, count)
        self._put(made.reference + places.ELEMENTS, self._element(type_index), [init] * count)
        return made

    def array_new_fixed(self, type_index: int, elements: Sequence[object]) -> object:
        made = self._array(type_index, len(elements))
        self._put(made.reference + places.ELEMENTS, self._element(type_index), elements)
        return made

    def _element(self, type_index: int) -> NumType | RefType | PackedType:
        comp = self.types.expand(type_index)
        assert isinstance(comp, ArrayType)
        return comp.field.storage

    def _array(self, type_index: int, count: int) -> HeapRef:
        size = storage_size(self._element(type_index))
        if count * size >= places.ARRAY_BYTES:
            raise _trap(TrapCode.HEAP_EXHAUSTED)
        made = self._make(places.ELEMENTS + count * size, type_index)
        self.instance.store.heap().words()[(made.reference + places.LENGTH) >> 2] = count
        return made

    def _make(self, size: int, type_index: int) -> HeapRef:
        try:
            heap: Heap = self.instance.store.heap()
            return heap.make(size, self.instance.code.type_ids[8 * type_index])
        except LimitExceeded:
            raise _trap(TrapCode.HEAP_EXHAUSTED) from None

    def _put(self, at: int, storage: NumType | RefType | PackedType, items: Sequence[object]) -> None:
        """Write values side by side into a new object."""
        size = storage_size(storage)
        is_function = isinstance(storage, RefType) and self.types.top(storage.heap) is FUNC
        store = self.instance.store
        data = bytearray()
        for item in items:
            if isinstance(item, int):
                word = store.function_number(item) if is_function and item else item
                item = (word & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            assert isinstance(item, bytes)
            data += item
        store.heap().bytes()[at : at + len(data)] = data


def _register_roots(instance: Instance) -> None:
    """Tell the collector of every cell of this instance that can hold a reference into the heap; all are null yet."""
    code, block = instance.code, instance.block
    holds = code.ctx.types.is_heap_ref
    layout = code.layout
    roots = [
        block.address + layout.elems + SEGMENT.size * i
        for i, segment in enumerate(instance.module.elems)
        if segment.mode == "passive" and holds(segment.type)
    ]
    cells = [i for i, declared in enumerate(instance.module.globals) if holds(declared.type.value)]
    if cells:
        made = Block(ROOT.size * len(cells))
        instance.keep.append(made)
        for i, index in enumerate(cells):
            _, at = layout.global_cell(layout.counts[1] + index)
            made[ROOT.size * i + ROOT.at["base"]] = block.address + at
            made[ROOT.size * i + ROOT.at["length"]] = 1
            roots.append(made.address + ROOT.size * i)
    for table in instance.tables:
        roots += table.roots()
    for cell in instance.globals:
        roots += cell.roots()
    if roots:
        instance.store.add_roots(roots)


def _allocate_globals(instance: Instance, environment: _Environment) -> None:
    code, block = instance.code, instance.block
    for declared in instance.module.globals:
        _, at = code.layout.global_cell(len(instance.globals))
        made = GlobalInstance(declared.type, code.ctx.types, block, at)
        made.set(_word(code, declared.init, environment))
        instance.globals.append(made)


def _word(code: Code, expr: tuple[int, int], environment: _Environment) -> int:
    """The bits of a constant expression's value as an unsigned number; of a :class:`HeapRef` only the low half
    counts."""
    value = evaluate(code.ctx, expr, environment)
    if isinstance(value, bytes):
        return int.from_bytes(value, "little")
    assert isinstance(value, int)
    return value


def _allocate_tables(instance: Instance, environment: _Environment, limits: Limits) -> None:
    code = instance.code
    for declared in instance.module.tables:
        init = _word(code, declared.init, environment) if declared.init is not None else 0
        table = TableInstance(instance.store.process, declared.type, code.ctx.types, limits.table_elements, init)
        instance.store.add_roots(table.roots())
        _add_table(instance, table)


def _allocate_tags(instance: Instance) -> None:
    code, root = instance.code, instance.store.root()
    for declared in instance.module.tags:
        type_ = code.ctx.tags[len(instance.tags)]
        instance.tags.append(Tag.of(type_, declared.type, code.ctx.types))
    for i, tag in enumerate(instance.tags):
        instance.block[code.layout.tags + 8 * i] = tag.number
        root.tags[tag.number] = tag


def _initial(instance: Instance) -> Initial | None:
    """Memory 0's initial contents, if the module says before there is an instance what they are."""
    if instance.module.imported_memories or not instance.memories:
        return None
    return instance.code.initial()


def _element_segments(instance: Instance, environment: _Environment) -> None:
    code, block, segments = instance.code, instance.block, instance.module.elems
    passive = _passive_words(instance) if segments else memoryview(b"")
    used = 0
    for i, segment in enumerate(segments):
        if segment.mode == "declarative":
            continue
        words = _segment_words(instance, segment, environment)
        if segment.mode == "passive":
            passive[used : used + len(words)] = memoryview(array("Q", map(plain_word, words)))
            at = code.layout.elems + SEGMENT.size * i
            block[at] = int(instance.passive) + 8 * used
            block[at + SEGMENT.at["length"]] = len(words)
            used += len(words)
            continue
        assert segment.offset is not None
        start = _word(code, segment.offset, environment)
        table = instance.tables[segment.table]
        if start + len(words) > len(table):
            raise _trap(TrapCode.TABLE_OUT_OF_BOUNDS)
        table.write(start, words)


def _passive_words(instance: Instance) -> memoryview:
    """Room for the elements of all passive segments, side by side; that of the first time, if this is not the first."""
    count = sum(len(s) for s in instance.module.elems if s.mode == "passive")
    if not count:
        return memoryview(bytearray()).cast("Q")
    process = instance.store.process
    if not instance.passive:
        instance.passive = process.new_place(8 * count)
        rest = page_up(8 * count) - process.places.accessible(instance.passive)
        if rest > 0 and not process.native.commit(instance.passive, rest):
            raise LimitExceeded("element_segments", f"the system has no room for {count} elements of segments")
    return process.places.words(instance.passive, count)


def _segment_words(instance: Instance, segment: ElemSegment, environment: _Environment) -> list[int]:
    if segment.funcs:
        func_ref = instance.func_ref
        return [func_ref(index) for index in segment.funcs]
    return [_word(instance.code, expr, environment) for expr in segment.exprs]


def _data_segments(instance: Instance, environment: _Environment, filled: bool) -> None:
    """``filled``: memory 0 has its contents."""
    code, block, module = instance.code, instance.block, instance.module
    source = memoryview(module.source)
    base = 0
    if filled and module.datas.placed is not None:
        return
    # FAST: what is there already is skipped as it stands, in bulk.
    for i, segment in module.datas.others() if filled else enumerate(module.datas):
        start, end = segment.init
        if segment.mode == "passive":
            base = base or bytes_address(module.source)
            at = code.layout.datas + SEGMENT.size * i
            block[at] = base + start
            block[at + SEGMENT.at["length"]] = end - start
            continue
        if filled and segment.memory == 0:
            continue
        assert segment.offset is not None
        to = _word(code, segment.offset, environment)
        memory = instance.memories[segment.memory]
        if to + end - start > memory.length:
            raise _trap(TrapCode.MEMORY_OUT_OF_BOUNDS)
        memory.write(to, source[start:end])


def placed_data(instance: Instance) -> list[list[tuple[int, Slice]]]:
    """Of each memory, the active data segments that an instance of this module writes: where to, and what."""
    environment = _Environment(instance)
    placed: list[list[tuple[int, Slice]]] = [[] for _ in instance.memories]
    for segment in instance.module.datas:
        if segment.offset is not None:
            placed[segment.memory].append((_word(instance.code, segment.offset, environment), segment.init))
    return placed


def start_over(instance: Instance) -> bool:
    """Bring an instance that imports nothing mutable back to what it was before its start function ran.

    ``False`` if a memory could not be brought back (:meth:`MemoryInstance.restore`).
    """
    module, limits = instance.module, instance.store.limits
    imported = len(module.imported_memories)
    for memory in instance.memories[imported:]:
        if not memory.restore(memory.first_length):
            return False
    environment = _Environment(instance)
    for decl, cell in zip(module.globals, instance.globals[len(module.imported_globals) :], strict=True):
        cell.set(_word(instance.code, decl.init, environment))
    for table_decl, table in zip(module.tables, instance.tables[len(module.imported_tables) :], strict=True):
        init = _word(instance.code, table_decl.init, environment) if table_decl.init is not None else 0
        table.restore(array("Q", [plain_word(init)]) * min(table_decl.type.limits.min, limits.table_elements))
    _element_segments(instance, environment)
    initial = _initial(instance)
    if initial is not None and not instance.has_image:
        initial.write(instance.memories[0])
    _data_segments(instance, environment, initial is not None)
    return True


def _trap(code: TrapCode) -> Trap:
    word, message = TRAPS[code]
    return Trap(word, message)


# -- the heap ----------------------------------------------------------------------------------------------------------


def make_heap(store: Store, code: Code) -> Heap:
    """A heap for ``store``, with the collector, whose code is ``code``, instantiated on it. Raises
    :class:`LimitExceeded`."""
    process, types, module = store.process, code.ctx.types, code.ctx.module
    heap = Heap(process, store.limits.gc_heap)
    externs: list[Extern] = []
    for wanted in module.imports:
        if not isinstance(wanted.type, int):
            externs.append(heap.memory)
            continue
        glue = code.glue(wanted.type)
        if wanted.name == "release":
            facts = HostFacts(wanted.type, types, code.type_ids, wanted.name, glue)
            externs.append(HostFunc(store, heap.release, facts))
        else:
            native = NativeFunction(store, process.core[f"heap_{wanted.name}"], code.type_ids, wanted.type)
            externs.append(FuncInstance(store, native, native.ref, wanted.type, types, wanted.name, glue))
    heap.start(store, instantiate(code, store, externs, store.limits))
    return heap
