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
from wardian.runtime.native import PAGE, Block, page_up
from wardian.runtime.process import Process
from wardian.syntax.module import Slice
from wardian.vm.layout import HEADER, MEMORY, TABLE

FILLED: Final = 64
"""If more pages of a memory were written to, they are given back instead of being filled again."""

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
    rows it reads in one block: words that must be as expected, what to copy where, which pages show what. A few pages
    that were written to are filled again and stay; of many, all are given back to the system.
    """

    __slots__ = ("_memories", "_most", "_restore", "_rows", "_saved", "_tables", "_writes", "contents")

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
        pages: list[int] = []
        process = instance.store.process
        for (index, length), content in zip(self._memories, self.contents, strict=True):
            memory, image = instance.memories[index], content.image
            checks += memory.block.address + MEMORY.at["length"], length
            pages += memory.base, page_up(length)
            pages += (0, 0) if image is None else (image.view(process), page_up(image.size))
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
        words = array("Q", [len(checks) // 2, len(copies), len(self._memories), *checks, *rows, *pages])
        self._rows = Block(8 * len(words))
        self._rows.words[: len(words)] = memoryview(words)
        self._restore = process.restore
        self._most = FILLED if fills_pages(process) else 0

    def restore(self, instance: Instance, most: int = FILLED) -> int:
        """Undo what has happened to ``instance`` (or to one in the same memory); negative if a memory cannot be
        brought back (:meth:`MemoryInstance.restore`), else how many pages stay in memory, at most ``most`` of each."""
        stay = self._restore(self._rows.address, min(most, self._most))
        if stay < 0:
            # Something has grown. Shrink it, and then the same again.
            for index, length in self._memories:
                if not instance.memories[index].restore(length):
                    return -1
            for index, words in self._tables:
                instance.tables[index].restore(words)
            stay = self._restore(self._rows.address, 0)
            if stay < 0:
                return -1
        for index, at, data in self._writes:
            instance.memories[index].write(at, data)
        return stay


def fills_pages(process: Process) -> bool:
    """Does this system say, rightly, which pages were written to? Tried once: with four pages, two of an image."""
    if process.fills_pages is None:
        process.fills_pages = False
        native = process.native
        at = native.reserve(4 * PAGE)
        if at is not None:
            try:
                process.fills_pages = _tried(process, at)
            finally:
                native.release(at, 4 * PAGE)
    return process.fills_pages


def _tried(process: Process, at: int) -> bool:
    native, image = process.native, Image(b"image of" * (2 * PAGE // 8))
    first = int.from_bytes(b"image of", "little")
    rows = Block(8 * 7)
    rows.words[:] = memoryview(array("Q", [0, 0, 1, at, 4 * PAGE, image.view(process), 2 * PAGE]))
    if not native.commit(at, 4 * PAGE) or not native.map_private(at, 2 * PAGE, image.fd):
        return False

    def written() -> bool:
        """Write to a page of the image and to another, read another of the image: are two written to?"""
        native.poke(at + 8, 1)
        native.poke(at + 3 * PAGE, 1)
        return native.peek(at + PAGE) == first

    def restored() -> bool:
        words = native.words(at, 4 * PAGE >> 3)
        return words[: 2 * PAGE >> 3].tolist() == [first] * (2 * PAGE >> 3) and not any(words[2 * PAGE >> 3 :])

    return (
        written() and process.restore(rows.address, 2) == 2 and restored()
        and written() and process.restore(rows.address, 1) == 0 and restored()
    )  # fmt: skip
