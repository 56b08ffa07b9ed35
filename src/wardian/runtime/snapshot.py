"""What an instance's native memory holds right after instantiation, and going back to it.

Invariant: :meth:`Snapshot.restore` leaves nothing behind of what guests and embedders did since, as long as the store
has no heap (references into which are not words to be kept) and the instance imports nothing mutable; without these,
:func:`wardian.runtime.instantiate.start_over` runs the steps of instantiation again.
"""

from __future__ import annotations

from array import array
from typing import Final, final

from wardian.runtime.instance import Instance
from wardian.runtime.instantiate import placed_data
from wardian.runtime.memory import Image
from wardian.runtime.native import Block, page_up
from wardian.syntax.module import Slice
from wardian.vm.layout import HEADER, MEMORY, TABLE

_SPARSE: Final = 16
"""An image is made of a memory only if it is at most this many times larger than the data in it."""


@final
class Contents:
    """What a memory holds at first: an image that is mapped, or else bytes to be written."""

    __slots__ = ("image", "writes")

    def __init__(self, source: bytes, placed: list[tuple[int, Slice]]) -> None:
        self.image: Image | None = None
        self.writes = [(at, source[start:end]) for at, (start, end) in placed if end > start]
        end = max((at + len(data) for at, data in self.writes), default=0)
        if 0 < end <= _SPARSE * max(4096, sum(len(data) for _, data in self.writes)):
            whole = bytearray(end)
            for at, data in self.writes:
                whole[at : at + len(data)] = data
            self.image = Image(bytes(whole))
            self.writes = []


def _mutable(instance: Instance) -> list[tuple[int, int]]:
    """Where in the context there is what may change, FUNCREFs apart: offsets of beginning and end.

    Active segments have no words that ever change, and there may be very many of them.
    """
    layout, module = instance.code.layout, instance.module
    if any(segment.mode == "passive" for _, segment in module.datas.others()):
        return [(HEADER.size, layout.funcs)]
    return [(HEADER.size, layout.datas), (layout.elems, layout.funcs)]


@final
class Snapshot:
    """Of an instance that has just been made, or started over, and whose start function has not run.

    FAST: what does not change its size (nearly everything, nearly always) is restored by one call of glue, with the
    rows it reads in one block: words that must be as expected, what to copy where, which pages to discard.
    """

    __slots__ = ("_counts", "_memories", "_restore", "_rows", "_saved", "_tables", "_writes", "contents")

    def __init__(self, instance: Instance, contents: list[Contents] | None = None) -> None:
        """``contents`` are those of another instance of the same module with the same imports."""
        module = instance.module
        first = len(module.imported_memories)
        self._memories = [(first + i, memory.length) for i, memory in enumerate(instance.memories[first:])]
        tables = range(len(module.imported_tables), len(instance.tables))
        self._tables = [(i, instance.tables[i].words()) for i in tables]
        if contents is None:
            contents = [Contents(module.source, placed) for placed in placed_data(instance)[first:]]
        self.contents = contents
        self._writes: list[tuple[int, int, bytes]] = []
        for (index, _), content in zip(self._memories, contents, strict=True):
            if content.image is not None and not instance.memories[index].map_image(content.image):
                raise MemoryError("the system has no room for another mapping")
            self._writes += [(index, at, data) for at, data in content.writes]
        self._lay_out(instance)

    def _lay_out(self, instance: Instance) -> None:
        """Make the rows for the glue, and the copies they refer to."""
        checks: list[int] = []
        copies: list[tuple[int, memoryview[int]]] = []
        for first, end in _mutable(instance):
            copies.append((instance.block.address + first, instance.block.words[first >> 3 : end >> 3]))
        discards: list[int] = []
        for index, length in self._memories:
            memory = instance.memories[index]
            checks += memory.block.address + MEMORY.at["length"], length
            discards += memory.base, page_up(length)
        for index, words in self._tables:
            table = instance.tables[index]
            checks += table.block.address + TABLE.at["length"], len(words)
            copies.append((table.block[TABLE.at["base"]], memoryview(words)))
        self._saved = Block(sum(source.nbytes for _, source in copies))
        rows: list[int] = []
        at = 0
        for to, source in copies:
            self._saved.words[at : at + len(source)] = source
            rows += to, self._saved.address + 8 * at, source.nbytes
            at += len(source)
        self._rows = Block(8 * (len(checks) + len(rows) + len(discards)))
        self._rows.words[: len(checks) + len(rows) + len(discards)] = memoryview(array("Q", checks + rows + discards))
        self._counts = len(checks) // 2, len(copies), len(discards) // 2
        self._restore = instance.store.process.restore

    def restore(self, instance: Instance) -> bool:
        """Undo what has happened to ``instance`` (or to one in the same memory); ``False`` if a memory cannot be
        brought back (:meth:`MemoryInstance.restore`)."""
        if self._restore(self._rows.address, *self._counts):
            # Something has grown. Shrink it, and then the same again.
            for index, length in self._memories:
                if not instance.memories[index].restore(length):
                    return False
            for index, words in self._tables:
                instance.tables[index].restore(words)
            if self._restore(self._rows.address, *self._counts):
                return False
        for index, at, data in self._writes:
            instance.memories[index].write(at, data)
        return True
