"""A store's heap of structures, arrays, boxes and exceptions, as Python sees it (:mod:`wardian.vm.heap`).

Invariant: whoever holds a reference in Python holds a :class:`HeapRef`, and for as long as that exists the object
behind it is not collected. Objects are made, and the collector runs, only while a thread is inside the store; the
collector is itself a guest (``collector.wasm``) on the heap's memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, final

from wardian.limits import PAGE, exceeded
from wardian.runtime.memory import MemoryInstance
from wardian.runtime.native import Block, address_of, uncollected
from wardian.runtime.process import Process, process
from wardian.syntax.types import MemoryType, StructType, TypeLimits
from wardian.valid.types import TypeContext
from wardian.vm import heap
from wardian.vm.layout import FUNCREF, HEADER, STORE
from wardian.vm.objects import struct_layout

_REF: Final = (1 << 32) - 1
_SLOT_SHIFT: Final = 32
_NUMBER_SHIFT: Final = 64
_FIRST_PINS: Final = 1024


@uncollected
class HeapRef(int):
    """A reference Python holds: ``heap number << 64 | pin << 32 | reference``; its object lives at least as long.

    Uncollected: a finaliser in a dying cycle may still hand it to a guest.
    """

    @property
    def reference(self) -> int:
        return self & _REF

    def __del__(self, process: Callable[[], Process] = process) -> None:
        # The default is there even when the interpreter has begun to take modules apart.
        found = process().heaps.get(self >> 64)
        if found is not None:
            found.unpin(self >> 32 & 0xFFFFFFFF)


def plain_word(word: int) -> int:
    """What is stored for a reference: of a :class:`HeapRef` the offset, a FUNCREF's address as it is."""
    return word.reference if isinstance(word, HeapRef) else word


@final
class NativeFunction:
    """A core glue function that the collector imports: a context, and a FUNCREF in it."""

    __slots__ = ("_type_ids", "block", "ref")

    def __init__(self, store: Any, code: int, type_ids: Block, type_index: int) -> None:
        self._type_ids = type_ids
        self.block = block = Block(HEADER.size + FUNCREF.size)
        block[HEADER.at["builtins"]] = store.process.builtins.address
        block[HEADER.at["owner"]] = address_of(self)
        at = HEADER.size
        self.ref = block.address + at
        block[at + FUNCREF.at["code"]] = code
        block[at + FUNCREF.at["context"]] = block.address
        block[at + FUNCREF.at["type_id"]] = type_ids[8 * type_index]
        store.adopt(block, self)

    def use_exceptions(self) -> None:
        """It calls no guest."""


@final
class Heap:
    """Made by :func:`wardian.runtime.instantiate.make_heap`, which gives it its collector."""

    def __init__(self, process: Process, limit: int) -> None:
        """``limit`` in bytes. Raises :class:`LimitExceeded`."""
        self.process = process
        self.number = process.new_handle()
        self.segments = max(1, min(limit // heap.SEGMENT, 4095))
        pages = heap.SEGMENT // PAGE
        declared = MemoryType(TypeLimits(pages, pages * (self.segments + 1)))
        self.memory = MemoryInstance(process, declared, heap.SEGMENT * (self.segments + 1))
        self.store: Any = None
        self.collector: Any = None
        """The instance of the collector; its exports are called like any guest's."""
        self.types: dict[int, tuple[TypeContext, int]] = {}
        """Canonical id -> the type, as some module of the store declares it."""
        self._described: set[int] = set()
        self._modules: dict[int, tuple[TypeContext, Block]] = {}
        """The types of all modules known here, and their canonical ids, by the address of these."""
        self._registered: set[int] = set()
        self._objects: dict[int, object] = {}
        self._handles: dict[int, int] = {}
        self._free_handles: list[int] = []
        self._free_pins: list[int] = []
        self._lock = threading.RLock()
        self._view: memoryview | None = None
        self._words = memoryview(b"")
        process.heaps[self.number] = self

    def start(self, store: Any, collector: Any) -> None:
        """The collector has been instantiated in ``store``."""
        self.store = store
        self.collector = collector
        exports = {e.name: e.index for e in collector.module.exports}
        self._call = {name: collector.func_at(index) for name, index in exports.items()}
        self._call["start"](self.segments)
        self._more_pins()
        self.words()[heap.STATE_ZEAL >> 2] = self.process.zeal
        block = store.block
        block[STORE.at["heap"]] = self.memory.base
        block[STORE.at["heap_memory"]] = self.memory.block.address
        alloc = collector.func_ref(exports["alloc"])
        block[STORE.at["alloc"]] = self.process.native.peek(alloc + FUNCREF.at["code"])
        block[STORE.at["alloc_context"]] = collector.block.address

    # -- words ---------------------------------------------------------------------------------------------------------

    def words(self) -> memoryview:
        """The heap's present bytes as words of 4 bytes."""
        view = self.memory.view()
        if view is not self._view:
            self._view, self._words = view, view.cast("I")
        return self._words

    def bytes(self) -> memoryview:
        return self.memory.view()

    def state(self, at: int) -> int:
        """One of the collector's words (``STATE_*``)."""
        return int(self.words()[at >> 2])

    def header(self, reference: int) -> int:
        """The header of the object behind a reference that is neither null nor an i31."""
        return int(self.words()[reference >> 2])

    # -- references Python holds ---------------------------------------------------------------------------------------

    def _slot(self) -> int:
        """A free pin."""
        with self._lock:
            while True:
                try:
                    return self._free_pins.pop()
                except IndexError:
                    self._more_pins()

    def _more_pins(self) -> None:
        before = self.state(heap.STATE_PINS_ROOM)
        self._ask("pins", max(_FIRST_PINS, 2 * before))
        self._free_pins.extend(range(self.state(heap.STATE_PINS_ROOM) - 1, before - 1, -1))

    def _held(self, reference: int, slot: int) -> HeapRef:
        return HeapRef(self.number << _NUMBER_SHIFT | slot << _SLOT_SHIFT | reference)

    def _ask(self, name: str, *args: int) -> int:
        """Call the collector. Raises :class:`LimitExceeded` when it gives 0."""
        result = int(self._call[name](*args)) & _REF
        if not result:
            raise exceeded("gc_heap", f"the heap of {self.segments} MiB is full")
        return result

    def pin(self, reference: int) -> HeapRef:
        """Hold a reference that a table, a global, a guest's frame or another HeapRef holds at this moment."""
        slot = self._slot()
        self.words()[(self.state(heap.STATE_PINS) >> 2) + slot] = reference
        return self._held(reference, slot)

    def unpin(self, slot: int) -> None:
        """Called by :class:`HeapRef` when it goes."""
        self.words()[(self.state(heap.STATE_PINS) >> 2) + slot] = 0
        self._free_pins.append(slot)

    def make(self, size: int, header: int) -> HeapRef:
        """A new object, all zero. Raises :class:`LimitExceeded`, :class:`StoreBusy`."""
        slot = self._slot()
        try:
            return self._held(self._ask("make", size, header, slot), slot)
        except BaseException:
            self.unpin(slot)
            raise

    # -- boxes ---------------------------------------------------------------------------------------------------------

    def box(self, value: object) -> HeapRef:
        """The one box of a Python object."""
        slot = self._slot()
        with self._lock:
            handle = self._handles.get(id(value))
            if handle is None:
                handle = self._free_handles.pop() if self._free_handles else len(self._objects)
                self._objects[handle] = value
                self._handles[id(value)] = handle
        try:
            return self._held(self._ask("box", handle, slot), slot)
        except BaseException:
            self.unpin(slot)
            self._forget([handle])
            raise

    def unbox(self, reference: int) -> object:
        """The Python object in a box."""
        return self._objects[self.words()[(reference + heap.BOX_HANDLE) >> 2]]

    def release(self) -> None:
        """Let go of the objects whose boxes have been collected. Called by the collector, from inside the store."""
        words = self.words()
        count, at = self.state(heap.STATE_DEAD_COUNT), self.state(heap.STATE_DEAD) >> 2
        dead = words[at : at + count].tolist()
        words[heap.STATE_DEAD_COUNT >> 2] = 0
        self._forget(dead)

    def _forget(self, handles: list[int]) -> None:
        """Drop the objects with these handles, those that have a box excepted."""
        words, boxes = self.words(), self.state(heap.STATE_BOXES) >> 2
        room = self.state(heap.STATE_BOXES_ROOM)
        doomed = []
        for handle in handles:
            boxed = handle < room and words[boxes + handle]
            if not boxed and handle in self._objects:
                value = self._objects.pop(handle)
                del self._handles[id(value)]
                self._free_handles.append(handle)
                doomed.append(value)
        # Only now, when all is in order, may finalisers run.
        doomed.clear()

    def boxes(self) -> int:
        """How many Python objects the heap keeps alive."""
        return len(self._objects)

    # -- types ---------------------------------------------------------------------------------------------------------

    def register(self, types: TypeContext, ids: Block) -> None:
        """Tell the collector of a module's types; ``ids`` are their canonical ids, 8 bytes each, held from now on."""
        if ids.address in self._registered:
            return
        # First: what is known of some of the types is of use only as long as their ids mean them.
        self._modules[ids.address] = types, ids
        for index, sub in enumerate(types.module.types):
            type_id = ids[8 * index]
            self.types.setdefault(type_id, (types, index))
            if type_id & heap.KIND_MASK != heap.STRUCT_REFS or type_id in self._described:
                continue
            assert isinstance(sub.comp, StructType)
            self._describe(type_id >> heap.TYPE_SHIFT, struct_layout(sub.comp, types.module.types).refs)
            self._described.add(type_id)
        self._registered.add(ids.address)

    def register_all_of(self, other: Heap) -> None:
        """Tell the collector of all modules that ``other`` was told of, which is to be no more.

        Raises :class:`LimitExceeded`, :class:`StoreBusy`.
        """
        for types, ids in list(other._modules.values()):
            self.register(types, ids)

    def _describe(self, number: int, refs: tuple[int, ...]) -> None:
        """Where objects of a type hold references: a map of the first 64 words, or a list of offsets."""
        row = self._ask("describe", number) >> 2
        if refs[-1] < 4 * 64:
            bits = sum(1 << (at >> 2) for at in refs)
            self.words()[row + 2], self.words()[row + 3] = bits & _REF, bits >> 32
            return
        at = self._ask("reserve", 4 * len(refs))
        words = self.words()
        for i, offset in enumerate(refs):
            words[(at >> 2) + i] = offset
        words[row], words[row + 1] = at, len(refs)

    # -- collecting ----------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Collect now. If no guest of the store is running, exactly what nobody can reach goes.

        Raises :class:`StoreBusy` if one is running on another thread.
        """
        self._call["collect"]()

    def live(self) -> int:
        """Objects the last collection found alive."""
        return self.state(heap.STATE_LIVE)
