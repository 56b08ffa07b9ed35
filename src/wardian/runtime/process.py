"""What a process has once: address space for memories and code, the builtins table, signal handlers, thread records.

Invariant: native state (a pthread key, signal handlers) is process-wide by nature, so there is exactly one
:class:`Process`, made on first use by :func:`process`. Everything mutable of a guest belongs to its store instead.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import signal
import sys
import threading
import weakref
from _signal import getsignal  # type: ignore[import-not-found]  # CPython's own, under signal.getsignal
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

from wardian.errors import LimitExceeded
from wardian.runtime.canonical import ANCESTORS, Canonical
from wardian.runtime.glue import GlueTable
from wardian.runtime.native import Block, Native, address_of, page_up, uncollected
from wardian.runtime.places import Places
from wardian.vm.builtins import CORE, OBJECTS, SLOT, SLOTS, SYMBOLS
from wardian.vm.layout import THREAD
from wardian.vm.memory import GUARD
from wardian.vm.memory import SLOT as MEMORY_SLOT

CODE_SPACE: Final = 4 << 30
"""Address space all guest code of the process shares, so that "is this guest code" is two comparisons."""

ARENA: Final = 16 << 40
MAX_ARENAS: Final = 64

HEADROOM: Final = 160 << 10
"""Stack kept free below guest code for signal frames, glue and host functions."""


_NOT_PYTHONS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""Signals of the code that runs: Python's handlers for these are never run in a guest's place."""


_FAULTS: Final = 1 << signal.SIGSEGV - 1 | 1 << signal.SIGBUS - 1


@final
class CodeRange:
    """Where a compiled function's machine code lies, for backtraces. ``owner()`` is the module's code while it lives,
    ``index`` the function in the module's whole index space."""

    __slots__ = ("end", "index", "owner")

    def __init__(self, end: int, owner: Callable[[], Any], index: int) -> None:
        self.end = end
        self.owner = owner
        self.index = index


@final
class Process:
    """The one per process; see :func:`process`. Methods that change it take its lock."""

    def __init__(self) -> None:
        self.native = Native()
        self.builtins = Block(8 * len(SLOTS))
        self.lock = threading.RLock()
        self.core: Mapping[str, int] = {}
        self.types: Any = None
        """The hand-made Python types (:class:`wardian.runtime.function.NativeTypes`), from :meth:`start` on."""
        self.restore: Callable[[int, int], int] = lambda rows, most: -2
        """See :class:`wardian.runtime.snapshot.Snapshot`."""
        self.place: Callable[[int, int, int, int], int] = lambda rows, count, to, source: 1
        """See :class:`wardian.runtime.memory.Initial`."""
        self.make_func: Any = None
        """See :meth:`wardian.runtime.function.NativeTypes.func`."""
        self.foreign_signals: Callable[[int], int] = lambda mask: 0
        """Of the signals in a mask, those whose handler is not ours: quicker than :meth:`watch_signals`."""
        self.stop_signal = signal.SIGRTMAX - 3
        self._python_signals = [int(n) for n in signal.valid_signals() - _NOT_PYTHONS if n != self.stop_signal]
        self._handlers: list[object] = []
        self._watched = 0
        self._main = threading.main_thread().ident
        self._objects: dict[str, Callable[..., object]] = {}
        self._arenas = Block(8 + 16 * MAX_ARENAS)
        self._free: list[int] = []
        self._slots: dict[int, tuple[int, int]] = {}
        self._unreleased: list[tuple[int, int, int]] = []
        """Slots that the system did not let go of, with their reserved and used bytes: nobody's, until it does."""
        self._next = 0
        """Where address space for memories begins that nobody has had yet, behind a guard, and where it ends."""
        self._end = 0
        self.places = Places(self.native)
        self._live = 0
        self._collect_at = 256
        self._code = 0
        self._code_used = 0
        self._code_free: dict[int, list[int]] = {}
        self._code_sizes: dict[int, int] = {}
        self._code_dead: list[int] = []
        self._code_unreleased: list[tuple[int, int]] = []
        """Places of code that nothing knows any more and the system did not let go of, with their sizes."""
        self._code_held = 0
        self._ranges: list[CodeRange] = []
        self._starts: list[int] = []
        self._handles = itertools.count(1)
        self.canonical = Canonical(self.native, TypeLease)
        self._ancestors = 0
        self._thread_key: int | None = None
        self._symbols: Mapping[str, int] = {}
        self.images: dict[str, Any] = {}
        """Glue that some engine has compiled, by name; it is the same for all of them."""
        self.glue = GlueTable(self.map_glue, lambda at, size: self.native.release(at, page_up(size)))
        """The glue of signatures."""
        self.stubs: list[int] = []
        """Addresses of the lazy stubs, so many at each."""
        self.make_heap: Callable[[Any], Any] = _no_heap
        """Store -> a new :class:`wardian.runtime.heap.Heap` for it; set with :attr:`types`."""
        self.heaps: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        """Number -> :class:`wardian.runtime.heap.Heap`, for the references Python holds."""
        self.shells: dict[int, Any] = {}
        """Number -> :class:`wardian.runtime.mould.Shell`, of those that are lent."""
        self.spare_shells = 0
        """How many shells moulds keep beyond what each may in any case."""
        self.resident_pages = 0
        """How many pages shells that moulds keep have in memory."""
        self.fills_pages: bool | None = None
        """Does the system say which pages were written to (:func:`wardian.runtime.snapshot.fills_pages`)? ``None``:
        nobody has asked yet."""
        self._views: dict[int, int] = {}
        self.zeal = False
        """Collect at every allocation of heaps made from now on: for tests."""

    # -- start ---------------------------------------------------------------------------------------------------------

    def start(self, core: Callable[[], tuple[bytes, int, bytes, Mapping[str, int]]]) -> None:
        """Map the core glue and install handlers, once. ``core()`` is ``(code, data offset, data, symbols)``."""
        with self.lock:
            if self.core:
                return
            n = self.native
            # What an attempt got before the system refused something is kept for the next one.
            self._code = self._code or self._reserved(CODE_SPACE, " for code")
            self._ancestors = self._ancestors or self._reserved(ANCESTORS, "")
            self.canonical.start(self._ancestors)
            table = self.builtins
            for name in SYMBOLS:
                table[SLOT[name]] = n.symbol(name)
            if self._thread_key is None:
                self._thread_key = n.new_key()
            table[SLOT["tls_key"]] = self._thread_key
            table[SLOT["none"]] = address_of(None)
            table[SLOT["code_low"]] = self._code
            table[SLOT["code_high"]] = self._code + CODE_SPACE
            table[SLOT["arenas"]] = self._arenas.address
            table[SLOT["ancestors"]] = self._ancestors
            self._symbols = symbols = self._symbols or self._map_core(*core())
            for name in CORE:
                table[SLOT[name]] = symbols[name]
            n.poke(symbols["wd_builtins"], table.address)
            for number in (signal.SIGSEGV, signal.SIGBUS):
                self._install(symbols, number, "fault", alternate_stack=True)
            self._install(symbols, self.stop_signal, "interrupt", restart=True)
            self.place = n.builtin("place", symbols["py_place"])
            self.foreign_signals = n.builtin("foreign_signals", symbols["py_foreign_signals"])
            self.restore = n.builtin("restore", symbols["py_restore"])
            self.make_func = n.builtin("make_func", symbols["make_func"])
            self.core = symbols
            os.register_at_fork(after_in_child=self._after_fork)

    def _reserved(self, size: int, purpose: str) -> int:
        at = self.native.reserve(size)
        if at is None:
            raise LimitExceeded("address_space", f"cannot reserve {size >> 30} GiB of address space{purpose}")
        return at

    def _map_core(self, code: bytes, data_at: int, data: bytes, symbols: Mapping[str, int]) -> Mapping[str, int]:
        at = self._map_sealed(code, data_at, data)
        return {name: at + offset for name, offset in symbols.items()}

    def _map_sealed(self, code: bytes, sealed: int, data: bytes = b"") -> int:
        """Map ``code`` for ever, and behind the ``sealed`` bytes for it writable ``data``; where."""
        n = self.native
        size = sealed + page_up(len(data))
        at = n.reserve(size)
        if at is None:
            raise MemoryError("no room for glue code")
        try:
            if not n.commit(at, size):
                raise MemoryError("no room for glue code")
            n.write(at, code)
            n.write(at + sealed, data)
            n.seal(at, sealed)
        except MemoryError:
            n.release(at, size)
            raise
        return at

    def _install(self, symbols: Mapping[str, int], number: int, handler: str, **flags: bool) -> None:
        previous = self.native.install(number, symbols[handler], **flags)
        if previous != symbols[handler]:
            self.native.poke(symbols["wd_previous"] + 8 * number, previous)

    def _after_fork(self) -> None:
        self._main = threading.main_thread().ident
        self.lock = threading.RLock()
        self.canonical.after_fork()
        self.glue.after_fork()

    def map_glue(self, code: bytes) -> int:
        """Map a glue image (outside the guest code space), for the life of the process unless it is unmapped; returns
        its address."""
        return self._map_sealed(code, page_up(len(code)))

    def bind(self, name: str, function: Callable[..., object]) -> None:
        """Put a Python callable into the table's slot ``name``."""
        assert name in OBJECTS
        self._objects[name] = function
        self.builtins[SLOT[name]] = address_of(function)

    def watch(self) -> None:
        """:meth:`watch_signals` if a signal that had a handler of ours has another one now: what is quick to see."""
        if self.foreign_signals(_FAULTS | self._watched):
            self.watch_signals()

    def watch_signals(self) -> None:
        """Put our handlers (back) before everyone else's: for faults, and for signals that Python handles (Ctrl-C).

        Whoever installed a handler since is called by ours. Python runs its handlers on the main thread only.
        """
        if not self.core:
            return
        on_main = threading.get_ident() == self._main
        if on_main:
            # FAST: the plain function under signal.getsignal, which makes an enumeration's member of each answer.
            handlers = list(map(getsignal, self._python_signals))
            if handlers != self._handlers:
                self._handlers = handlers
                handled = zip(self._python_signals, handlers, strict=True)
                self._watched = sum(1 << number - 1 for number, handler in handled if callable(handler))
        foreign = self.foreign_signals(_FAULTS | (self._watched if on_main else 0))
        while foreign:
            number = foreign.bit_length()
            foreign ^= 1 << number - 1
            fault = _FAULTS >> number - 1 & 1
            self._install(self.core, number, "fault" if fault else "python_signal", alternate_stack=bool(fault))

    # -- threads -------------------------------------------------------------------------------------------------------

    def thread(self) -> int:
        """Address of the calling thread's THREAD record, made on first use; freed when the thread ends."""
        n = self.native
        key = self.builtins[SLOT["tls_key"]]
        at: int = n.libc.pthread_getspecific(key)
        if not at:
            at = n.libc.calloc(1, THREAD.size)
            if not at:
                raise MemoryError
            low, size = n.thread_stack()
            n.poke(at + THREAD.at["stack_low"], low + min(HEADROOM, size // 2))
            n.poke(at + THREAD.at["stack_size"], size)
            n.poke(at + THREAD.at["pthread"], n.libc.pthread_self())
            n.libc.pthread_setspecific(key, at)
        return at

    def stack_size(self) -> int:
        """Bytes of stack the calling thread has in all."""
        return self.native.peek(self.thread() + THREAD.at["stack_size"])

    # -- memories ------------------------------------------------------------------------------------------------------

    def new_slot(self, size: int = MEMORY_SLOT) -> MemorySlot:
        """Inaccessible address space for one memory: a whole number of guard-separated slots. Raises LimitExceeded."""
        at = self._take_slot(size)
        self._slots[at] = (size, 0)
        return MemorySlot(at)

    def use_slot(self, at: int, used: int) -> None:
        """Note that the first ``used`` bytes of a slot have been committed."""
        reserved, before = self._slots[at]
        self._slots[at] = (reserved, max(before, used))

    def _take_slot(self, size: int) -> int:
        with self.lock:
            self._live += 1
            if self._live >= self._collect_at:
                # An instance in a reference cycle holds address space that Python's collector cannot weigh.
                gc.collect()
                self._collect_at = max(256, 2 * self._live)
            self._release_again()
            if size <= MEMORY_SLOT and self._free:
                return self._free.pop()
            if self._end - self._next < size:
                self._new_arena(size)
            # Numbers only: nothing here can begin a collection, in which somebody else would be given the same slot.
            at = self._next
            self._next = at + size
            return at

    def _new_arena(self, size: int) -> None:
        """Reserve more, with room for ``size`` bytes behind a guard."""
        least = GUARD + size
        want = max(ARENA, least)
        at = None
        while want >= least:
            at = self.native.reserve(want)
            if at is not None:
                break
            want >>= 1
        # Only now, for a collection that began meanwhile may have come here, too.
        count = self._arenas[0]
        if at is None or count == MAX_ARENAS:
            if at is not None:
                self.native.release(at, want)
            self._live -= 1
            raise LimitExceeded("address_space", "no address space is left for another memory")
        self._arenas[8 + 16 * count] = at
        self._arenas[16 + 16 * count] = at + want
        self._arenas[0] = count + 1
        self._next, self._end = at + GUARD, at + want

    def release_slot(self, at: int) -> None:
        """Called by :class:`MemorySlot` when nothing refers to the memory any more."""
        reserved, used = self._slots.pop(at)
        with self.lock:
            self._live -= 1
            self._unreleased.append((at, reserved, used))
            self._release_again()

    def _release_again(self) -> None:
        """Give back the pages of dead slots, and only then use their places again."""
        while self._unreleased:
            # Taken off first: what is collected meanwhile comes here too, on this thread, and must not find it.
            slot = self._unreleased.pop()
            at, reserved, used = slot
            if not self.native.decommit(at, page_up(used)):
                self._unreleased.append(slot)
                return
            self._free.extend(range(at, at + reserved, MEMORY_SLOT))

    def new_place(self, size: int) -> Place:
        """:meth:`Places.take`, given back when the last reference to it goes. Raises :class:`LimitExceeded`."""
        with self.lock:
            return Place(self.places.take(size))

    def release_place(self, at: int) -> None:
        """Called by :class:`Place` when nothing refers to it any more."""
        with self.lock:
            self.places.release(at)

    def map_image(self, size: int, fd: int) -> ImageView:
        """What is in ``fd``, to be read. Raises ``MemoryError``."""
        at = self.native.map_shown(size, fd)
        if at is None:
            raise MemoryError("the system has no room for another mapping")
        self._views[at] = size
        return ImageView(at)

    def release_image(self, at: int) -> None:
        """Called by :class:`ImageView` when nothing refers to it any more."""
        self.native.release(at, self._views.pop(at))

    # -- code ----------------------------------------------------------------------------------------------------------

    def map_code(
        self, code: bytes | memoryview, ranges: list[tuple[int, int, int]], owner: Callable[[], object]
    ) -> CodeRegion:
        """Map position-independent guest code and register its functions; unmapped when the region is dropped.

        ``ranges`` are ``(offset, size, function index)`` by offset. ``owner()`` names functions in backtraces, or is
        ``None``.
        """
        size = page_up(len(code))
        n = self.native
        with self._code_tables():
            free = self._code_free.get(size)
            if free:
                at = free.pop()
            else:
                at = self._code + self._code_used
                if self._code_used + size > CODE_SPACE:
                    raise LimitExceeded("code_size", f"compiled code needs more than {CODE_SPACE >> 30} GiB")
                self._code_used += size
            try:
                if not n.commit(at, size):
                    raise MemoryError("no memory for compiled code")
                n.write(at, code)
                n.seal(at, size)
            except MemoryError:
                self._code_unreleased.append((at, size))
                raise
            place = bisect_right(self._starts, at)
            self._ranges[place:place] = [CodeRange(at + o + length, owner, index) for o, length, index in ranges]
            self._starts[place:place] = [at + offset for offset, _, _ in ranges]
            self._code_sizes[at] = size
        return CodeRegion(at)

    @contextmanager
    def _code_tables(self) -> Iterator[None]:
        """Hold the tables of code still: a collection that begins meanwhile, on this thread, may drop regions."""
        with self.lock:
            self._code_held += 1
            try:
                yield
            finally:
                self._code_held -= 1
                self._sweep_code()

    def unmap_code(self, at: int) -> None:
        """Called by :class:`CodeRegion` when nobody can reach the code any more; its address space is used again."""
        with self.lock:
            self._code_dead.append(at)
            self._sweep_code()

    def _sweep_code(self) -> None:
        """Unmap what has been dropped, unless somebody further out is using the tables, who will do it."""
        if self._code_held:
            return
        self._code_held += 1
        while self._code_dead:
            at = self._code_dead.pop()
            size = self._code_sizes.pop(at)
            first, last = bisect_right(self._starts, at - 1), bisect_right(self._starts, at + size - 1)
            del self._starts[first:last], self._ranges[first:last]
            self._code_unreleased.append((at, size))
        for place in self._code_unreleased[:]:
            at, size = place
            if not self.native.decommit(at, size):
                break
            self._code_unreleased.remove(place)
            self._code_free.setdefault(size, []).append(at)
        self._code_held -= 1

    def find_code(self, pc: int) -> CodeRange | None:
        """The function whose code contains ``pc``."""
        with self._code_tables():
            place = bisect_right(self._starts, pc) - 1
            found = self._ranges[place] if place >= 0 else None
            return found if found is not None and pc <= found.end else None

    def new_handle(self) -> int:
        """A number no reference of this process has had before."""
        return next(self._handles)


def _no_heap(store: object) -> Any:
    raise AssertionError("the process has not been started")


@functools.cache
def process() -> Process:
    """The process's one :class:`Process`."""
    return Process()


@uncollected
class MemorySlot(int):
    """A memory's address space, given back when the last reference to it goes.

    Uncollected: while any finaliser of a dying cycle may still call into a guest, or save it, its memory and code are
    there.
    """

    # The default is there even when the interpreter has begun to take modules apart.
    def __del__(self, process: Callable[[], Process] = process) -> None:
        process().release_slot(int(self))


@uncollected
class Place(int):
    """A guarded place (:mod:`wardian.runtime.places`); see :class:`MemorySlot` for why it is a number."""

    def __del__(self, process: Callable[[], Process] = process) -> None:
        process().release_place(int(self))


@uncollected
class ImageView(int):
    """Where an image is mapped to be read; see :class:`MemorySlot` for why it is a number."""

    def __del__(self, process: Callable[[], Process] = process) -> None:
        process().release_image(int(self))


@uncollected
class CodeRegion(int):
    """Mapped guest code; see :class:`MemorySlot` for why it is a number."""

    def __del__(
        self, process: Callable[[], Process] = process, ending: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        # When the interpreter takes modules apart, what unmapping needs may be gone, and nobody needs it any more.
        if not ending():
            process().unmap_code(int(self))


@uncollected
class TypeLease(int):
    """The canonical types of one module; see :class:`MemorySlot` for why it is a number."""

    def __del__(
        self, process: Callable[[], Process] = process, ending: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        if not ending():
            process().canonical.end(int(self))


@uncollected
class GlueRegion(int):
    """Where the glue of a signature is mapped; see :class:`MemorySlot` for why it is a number."""

    def __del__(
        self, process: Callable[[], Process] = process, ending: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        if not ending():
            process().glue.end(int(self))
