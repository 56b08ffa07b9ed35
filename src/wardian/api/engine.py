"""An engine: a configuration, a compiler with its cache, and the process's runtime started."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, final

from wardian.api.config import Config
from wardian.compile.cache import Cache
from wardian.compile.compiler import Compiler
from wardian.errors import LimitExceeded, Refused
from wardian.runtime import calls
from wardian.runtime.function import NativeTypes
from wardian.runtime.glue import Glue
from wardian.runtime.heap import Heap
from wardian.runtime.instantiate import make_heap
from wardian.runtime.native import no_copy
from wardian.runtime.process import GlueRegion, Process, process
from wardian.runtime.store import Store
from wardian.vm.builtins import STUB_SIZE, STUBS
from wardian.vm.layout import InstanceLayout
from wardian.vm.platform import MACHINES

if TYPE_CHECKING:
    from pathlib import Path

    from wardian.api.collector import CollectorCode
    from wardian.api.tiers import Worker

_LAYOUT_LIMIT: Final = 1 << 31
_UNSAVED: Final = 64 << 20
"""Bytes of new code that are kept at most before they are written to the cache."""


@final
class CodeCache:
    """The engine's cache of compiled code as embedders see it."""

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache

    @property
    def path(self) -> Path | None:
        """Its directory, or ``None`` if there is no cache."""
        from pathlib import Path

        return Path(self._cache.path) if self._cache else None

    @property
    def limit(self) -> int:
        """Bytes its entries may take together (``Config.cache_size``)."""
        return self._cache.limit if self._cache else 0

    def size(self) -> int:
        """Bytes of all entries."""
        return self._cache.size() if self._cache else 0

    def clear(self) -> int:
        """Delete all entries; how many there were."""
        return self._cache.clear() if self._cache else 0


@final
class Engine:
    """Compiles modules one way. Engines are cheap after the first and may be shared by threads."""

    __reduce_ex__ = no_copy

    def __init__(self, config: Config | None = None) -> None:
        self.config = config or Config()
        path = self.config.cache_path()
        store = Cache(path, self.config.cache_size) if path else None
        self.cache = CodeCache(store)
        self.compiler = Compiler(store, lambda: process().images)
        self._lock = threading.Lock()
        self._unsaved: dict[int, tuple[str, list[tuple[int, bytes, int]]]] = {}
        self._unsaved_bytes = 0
        self._flushes_at_exit = False
        self.may_fork = False
        """Is the process whoever made this engine's own, so that it may be forked?"""

    @functools.cached_property
    def process(self) -> Process:
        """The process's runtime, started. Raises :class:`Refused` on a platform without glue."""
        runtime = process()
        with runtime.lock:
            if not runtime.core:
                system = os.uname()
                if system.machine not in MACHINES or system.sysname != "Linux":
                    raise Refused(f"wardian runs on Linux x86-64 only so far, not {system.sysname} {system.machine}")
                runtime.start(self._core)
                core = runtime.core
                runtime.types = NativeTypes(runtime.make_func, core["getbuffer"])
                runtime.make_heap = self._make_heap
                calls.bind(runtime)
        runtime.watch_signals()
        return runtime

    def _make_heap(self, store: Store) -> Heap:
        """See :attr:`Process.make_heap`; its collector is compiled once per process."""
        return make_heap(store, self._collector)

    @functools.cached_property
    def worker(self) -> Worker:
        """Optimises in the background."""
        from wardian.api.tiers import Worker

        return Worker(self.compiler.begin)

    @functools.cached_property
    def _collector(self) -> CollectorCode:
        from wardian.api.collector import CollectorCode
        from wardian.compile.stack import with_deep_stack

        # The first box may be wanted deep in a guest's stack, and LLVM needs a good deal of its own.
        return with_deep_stack(lambda: CollectorCode(self.compiler, self.process, self.glue))

    def _core(self) -> tuple[bytes, int, bytes, dict[str, int]]:
        image = self.compiler.core()
        return image.code, image.data_at, image.data, {name: at for name, at, _ in image.symbols}

    def glue(self, code: str) -> Glue:
        """The glue of a signature code."""
        # Also if it is there: whoever fills this engine's cache, or makes a bundle, has to have it.
        image = self.compiler.signature(code)
        process = self.process
        with process.lock:
            found = process.glue.get(code)
            if found is None:
                entry, stub = image.offset(f"entry_{code}"), image.offset(f"host_{code}")
                found = process.glue.add(code, image.code, GlueRegion, entry, stub)
            return found

    def stubs(self, count: int) -> list[int]:
        """Addresses of the lazy stubs of defined functions 0 to ``count - 1``."""
        process = self.process
        chunks = -(-count // STUBS)
        images = [self.compiler.stubs(chunk) for chunk in range(chunks)]
        with process.lock:
            for image in images[len(process.stubs) :]:
                process.stubs.append(process.map_glue(image.code) + image.offset("wd_stubs"))
            out: list[int] = []
            for base in process.stubs[:chunks]:
                n = min(STUBS, count - len(out))
                out += range(base, base + n * STUB_SIZE, STUB_SIZE)
            return out

    def check_layout(self, layout: InstanceLayout) -> None:
        if layout.size >= _LAYOUT_LIMIT:
            raise LimitExceeded("functions", "the module's index spaces are too large for one instance")

    # -- what is to be written to the cache before the process ends
    # ------------------------------------------------------

    def remember(self, key: str, new: list[tuple[int, bytes, int]], added: int) -> None:
        """There are functions for the cache in ``new``, under ``key``, by now ``added`` bytes more.

        They are taken out and written by :meth:`flush`, if there are many, or as the process ends; the module that had
        them compiled may be gone by then.
        """
        with self._lock:
            if not self._flushes_at_exit:
                self._flushes_at_exit = True
                atexit.register(_flush, weakref.ref(self))
            self._unsaved[id(new)] = key, new
            self._unsaved_bytes += added
            much = self._unsaved_bytes > _UNSAVED
        if much:
            self.flush()

    def flush(self) -> None:
        """Write newly compiled code to the cache now."""
        with self._lock:
            unsaved, self._unsaved, self._unsaved_bytes = self._unsaved, {}, 0
        for key, new in unsaved.values():
            made = new[:]
            self.compiler.store_functions(key, made)
            del new[: len(made)]
        self.compiler.flush()


def _flush(reference: weakref.ref[Engine]) -> None:
    engine = reference()
    if engine is not None:
        engine.flush()


@functools.cache
def default_engine() -> Engine:
    """The engine of everyone who names none."""
    return Engine()
