"""Spec "Memory Instances": reserved address space, committed pages, views that cannot dangle.

Invariant: the base never moves, and the length falls only when an instance is reset, with nobody looking; bytes below
the length are committed, bytes above are not (beyond the last whole system page); released memory is inaccessible, or
shows its first contents again, before anyone else can be given it.
"""

from __future__ import annotations

import threading
import weakref
from array import array
from typing import Final, final

from wardian.errors import LimitExceeded
from wardian.limits import exceeded
from wardian.runtime.native import Block, anonymous_file, bytes_address, page_up
from wardian.runtime.parking import Parking
from wardian.runtime.process import Process
from wardian.syntax.types import MemoryType, TypeLimits
from wardian.vm.layout import MEMORY
from wardian.vm.memory import GUARD, INDEX_SPACE
from wardian.vm.memory import SLOT as MEMORY_SLOT

_LARGEST: Final = (1 << 32, 1 << 64)
"""Bytes of a memory of 32-bit and of 64-bit addresses."""
_LENGTH: Final = MEMORY.at["length"] >> 3


@final
class MemoryInstance:
    """One linear memory. ``limit`` is the most bytes it may ever have, whatever its type says."""

    __slots__ = (
        "__weakref__",
        "_growing",
        "_keeper",
        "_view",
        "_views",
        "_words",
        "base",
        "block",
        "declared",
        "is_shared_out",
        "limit",
        "parking",
        "peak",
        "process",
        "refused",
    )

    def __init__(self, process: Process, declared: MemoryType, limit: int) -> None:
        """Raises :class:`LimitExceeded` when its least size is above ``limit`` or no room is left."""
        self.process = process
        self.declared = declared
        size = declared.limits.min << declared.page_size_log2
        most = declared.limits.max
        bound = min(limit, _LARGEST[declared.limits.is64] if most is None else most << declared.page_size_log2)
        reserved, room = MEMORY_SLOT, INDEX_SPACE
        if size > limit:
            raise exceeded("memory", f"a memory of {size} bytes is more than the limit of {limit}")
        if bound > INDEX_SPACE:
            # Only a 64-bit memory can be this large, and it is always checked explicitly.
            room = 1 << (bound - 1).bit_length()
            reserved = -(-(room + GUARD) // MEMORY_SLOT) * MEMORY_SLOT
        self.limit = bound
        self.block = Block(MEMORY.size)
        self._words = self.block.words
        self._growing = threading.RLock()
        self._view: memoryview | None = None
        self._views: list[weakref.ref[Viewed]] = []
        self._keeper: object = None
        self.is_shared_out = declared.shared
        """May other instances use it, too?"""
        self.parking = Parking() if declared.shared else None
        self.base = process.new_slot(reserved)
        self.block[MEMORY.at["base"]] = self.base
        self.block[MEMORY.at["mask"]] = room - 1
        self.peak = 0
        self.refused = False
        """Was it not allowed to grow though its type says it may?"""
        if not self._resize(0, size):
            raise LimitExceeded("memory", f"the system has no {size} bytes for a memory")

    def lent(self, keeper: object) -> MemoryInstance:
        """The same memory as an object of its own that keeps ``keeper``."""
        made = MemoryInstance.__new__(MemoryInstance)
        made.process = self.process
        made.declared = self.declared
        made.limit = self.limit
        made.block = self.block.lent(keeper)
        made._words = self._words
        made._growing = threading.RLock()
        made._view = None
        made._views = []
        made._keeper = keeper
        made.is_shared_out = self.declared.shared
        made.parking = Parking() if self.declared.shared else None
        made.base = self.base
        made.peak = self.length
        made.refused = False
        return made

    @property
    def length(self) -> int:
        """Bytes."""
        return self.block[MEMORY.at["length"]]

    @property
    def first_length(self) -> int:
        """Bytes at first."""
        return self.declared.limits.min << self.declared.page_size_log2

    @property
    def type(self) -> MemoryType:
        """The type with the present size as its least."""
        d = self.declared
        limits = TypeLimits(self.length >> d.page_size_log2, d.limits.max, d.limits.is64)
        return MemoryType(limits, d.shared, d.page_size_log2)

    def grow(self, delta: int) -> int:
        """Grow by ``delta`` pages; the old size in pages, or -1 if that is not to be had (spec: ``memory.grow``)."""
        shift = self.declared.page_size_log2
        with self._growing:
            old = self.length
            new = old + (delta << shift)
            if new > self.limit or not self._resize(old, new):
                self.refused = self.refused or new <= self._largest()
                return -1
        return old >> shift

    def _largest(self) -> int:
        """Bytes that the type allows."""
        declared = self.declared
        if declared.limits.max is None:
            return _LARGEST[declared.limits.is64]
        return declared.limits.max << declared.page_size_log2

    def _resize(self, old: int, new: int) -> bool:
        first, end = page_up(old), page_up(new)
        # Before, for of what the system then refuses to commit it may have committed a part.
        self.process.use_slot(self.base, new)
        if end > first and not self.process.native.commit(self.base + first, end - first):
            return False
        self.peak = max(self.peak, new)
        # Last of all, for guests on other threads may be reading it: what it covers is there.
        self.block[MEMORY.at["length"]] = new
        return True

    def view(self) -> memoryview:
        """All present bytes, writable. It keeps the memory alive and stays valid, at its length, when it grows.

        The same view for everyone until the memory grows, so never to be released, nor given away.
        """
        view = self._view
        if view is None or view.nbytes != self._words[_LENGTH]:
            viewed = Viewed(self)
            view = self._view = memoryview(self.process.types.window(self.block.address, viewed))
            self._views = [r for r in self._views if r() is not None] + [weakref.ref(viewed)]
        return view

    def is_viewed(self) -> bool:
        """Is there a view of it that somebody else holds?"""
        with self._growing:
            self._view = None
            self._views = [r for r in self._views if r() is not None]
            return bool(self._views)

    def word(self, at: int, size: int) -> int:
        """The 4 or 8 bytes at ``at``, read at once, unsigned; the caller has checked range and alignment."""
        native = self.process.native
        return native.peek(self.base + at) if size == 8 else native.peek32(self.base + at)

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Copy ``data`` to ``at``; the caller has checked the range."""
        self.process.native.write(self.base + at, data)

    def map_image(self, image: Image) -> bool:
        """Put an image at the beginning, copy-on-write; the memory is fresh and at least as long."""
        return self.process.native.map_private(self.base, page_up(image.size), image.fd)

    def restore(self, length: int) -> bool:
        """Go back to the ``length`` the memory had at first, and undo all writes: pages of an image show it again.

        No guest may be using the memory. ``False`` if somebody holds a view of it beyond that length, and then nothing
        has changed, or if the system refuses.
        """
        native = self.process.native
        with self._growing:
            now = self.length
            if now > length:
                # First the length, so that no view can be made meanwhile that is longer.
                self.block[MEMORY.at["length"]] = length
                if self.is_viewed():
                    self.block[MEMORY.at["length"]] = now
                    return False
                first = page_up(length)
                if not native.decommit(self.base + first, page_up(now) - first):
                    # The length again that these pages, which can still be reached, are within.
                    self.block[MEMORY.at["length"]] = now
                    return False
            return native.discard(self.base, page_up(length))


@final
class Viewed:
    """What a view keeps alive: the memory's address space. Gone with the last view made from the same window."""

    __slots__ = ("__weakref__", "_kept")

    def __init__(self, memory: MemoryInstance) -> None:
        # Not the memory itself, which keeps a view.
        self._kept = memory.block, memory.base, memory._keeper


@final
class Image:
    """The initial contents of a memory, shared by all instances until they write."""

    __slots__ = ("_view", "fd", "size")

    def __init__(self, data: bytes | memoryview) -> None:
        """Raises ``OSError`` if the system has no file for it."""
        self.fd = anonymous_file(data)
        self.size = memoryview(data).nbytes
        self._view: int | None = None

    def view(self, process: Process) -> int:
        """Address of its pages, to be read for as long as this lives. Raises ``MemoryError``."""
        if self._view is None:
            self._view = process.map_image(page_up(self.size), self.fd)
        return self._view


@final
class Initial:
    """What a module's active data segments make of a memory that is new: all of them at once.

    FAST: a first instance, which mostly is the only one, has them copied from the module's bytes to where they belong,
    once and with no page more than they touch. Whoever comes later shares an image that is mapped.
    """

    __slots__ = ("_image", "_lock", "_used", "rows", "size", "source")

    def __init__(self, source: bytes, rows: array[int], size: int) -> None:
        """``rows`` are those of :data:`wardian.vm.layout.PLACED`, in the segments' order: within ``source``, and within
        the memory's first ``size`` bytes, which whoever makes this has seen to."""
        self.source = source
        self.rows = rows
        self.size = size
        self._image: Image | None = None
        self._used = False
        self._lock = threading.Lock()

    def fill(self, memory: MemoryInstance) -> bool:
        """Give a new memory, which is at least as large, its contents; whether they are an image that is mapped."""
        with self._lock:
            image = self._image
            if image is None and self._used:
                image = self._image = self._make(memory.process)
            self._used = True
        if image is not None and memory.map_image(image):
            return True
        self.write(memory)
        return False

    def write(self, memory: MemoryInstance) -> None:
        """Copy the contents into a memory that has zeros where no segment goes."""
        self._place(memory.process, memory.base)

    def _place(self, process: Process, to: int) -> None:
        rows, count = self.rows.buffer_info()
        process.place(rows, count // 3, to, bytes_address(self.source))

    def _make(self, process: Process) -> Image | None:
        """``None`` if the system has no file for it."""
        contents = Block(self.size)
        self._place(process, contents.address)
        try:
            return Image(contents.words)
        except OSError:
            return None
