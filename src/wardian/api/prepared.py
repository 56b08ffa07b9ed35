"""Many instances of a module with the same imports: matched and checked once, then cheap; and pools of them.

Invariant: an instance made here is in no way different from one that :meth:`wardian.Module.instantiate` makes, except
that two of them never share a store; nothing of one is ever seen by another (:mod:`wardian.runtime.mould`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from wardian.api.handles import Instance
from wardian.api.link import Linker, instantiate
from wardian.limits import Limits
from wardian.runtime.cells import GlobalInstance
from wardian.runtime.function import HostFunc
from wardian.runtime.instance import Instance as InstanceData
from wardian.runtime.instantiate import instantiate as make_instance
from wardian.runtime.mould import Mould
from wardian.runtime.native import no_copy
from wardian.runtime.store import Store
from wardian.syntax.types import RefType

if TYPE_CHECKING:
    from wardian.api.code import ModuleCode


@final
class PreparedModule:
    """A module with its imports; from :meth:`Module.prepare`. May be used by several threads.

    Memory of instances that are gone is used again for new ones, up to :attr:`kept` of them at a time. What an instance
    consists of is made when it is used for the first time.
    """

    __reduce_ex__ = no_copy

    def __init__(
        self, module: object, code: ModuleCode, imports: Mapping[str, Mapping[str, object]], limits: Limits
    ) -> None:
        self.module = module
        self._code = code
        self._imports = {name: dict(space) for name, space in imports.items()}
        self._limits = limits
        self._start = code.ctx.module.start
        self._process = self._code.engine.process
        self._process.watch_signals()
        linker = Linker(self._code, self._imports)
        self._mould = Mould(lambda: self._make(linker)) if _can_be_lent(linker, self._code) else None

    def _make(self, linker: Linker) -> tuple[Store, InstanceData, Sequence[HostFunc]]:
        store = Store(self._process, self._limits)
        externs = linker.finish(store)
        data = make_instance(self._code, store, externs, self._limits)
        return store, data, [extern for extern in externs if isinstance(extern, HostFunc)]

    @property
    def kept(self) -> int:
        """For how many instances memory is kept ready while nobody uses it, at most.

        Up to 16 that is certain; what is beyond, all prepared modules of a process have 1,024 of in common.
        """
        return self._mould.kept if self._mould is not None else 0

    @kept.setter
    def kept(self, count: int) -> None:
        if count < 0:
            raise ValueError("kept cannot be negative")
        if self._mould is not None:
            self._mould.keep(count)

    def instantiate(self) -> Instance:
        """A new instance in a store of its own; its start function has run. Raises as :meth:`Module.instantiate` does.

        A signal handler set with Python's ``signal`` for a signal that had none when the module was prepared runs when
        the guest returns, not at once.
        """
        mould = self._mould
        if mould is None:
            return instantiate(self.module, self._code, self._imports, self._limits)
        # FAST: what belongs to the instance is made when it is used for the first time.
        instance = Instance(self.module, None, None, mould.take())
        if self._start is not None:
            instance._data.func_at(self._start)()
        return instance

    def pool(self, size: int) -> Pool:
        """A pool of at most ``size`` instances in use at a time, ready to be taken."""
        return Pool(self, size)

    def _warm(self, count: int) -> None:
        if self._mould is not None:
            self._mould.kept = max(self._mould.kept, count)
            self._mould.warm(count)

    def __repr__(self) -> str:
        return f"<wardian.PreparedModule of {self.module!r}>"


def _can_be_lent(linker: Linker, code: ModuleCode) -> bool:
    """Can instances be made in the memory of others? Not if they have objects, exceptions, or a store in common."""
    module = code.ctx.module
    imported_state = any(
        not isinstance(extern, GlobalInstance) or isinstance(extern.type.value, RefType)
        for i, extern in zip(module.imports, linker.externs, strict=True)
        if i.kind in ("table", "global", "tag")
    )
    imported = len(module.imported_memories)
    writes = imported > 0 and any(d.mode == "active" and d.memory < imported for d in module.datas)
    return not (linker.stores or imported_state or writes or code.has_tags or code.has_objects)


@final
class Pool:
    """At most ``size`` instances in use at a time; from :meth:`PreparedModule.pool`, in a ``with`` or until closed.

    Every user of the pool gets an instance as new. What a user has kept of an instance (a function, the memory, a view)
    goes on working for that user, and nobody else ever sees what it does.
    """

    __reduce_ex__ = no_copy

    def __init__(self, prepared: PreparedModule, size: int) -> None:
        """Raises ``ValueError`` for a size below 1, and what making an instance raises."""
        if size < 1:
            raise ValueError("a pool has at least one instance")
        self.prepared = prepared
        self.size = size
        self._closed = False
        self._free = threading.BoundedSemaphore(size)
        prepared._warm(size)

    @contextmanager
    def instance(self, timeout: float | None = None) -> Iterator[Instance]:
        """An instance for the length of a ``with``; waits for one to be given back if ``size`` of them are in use.

        After the block the :class:`Instance` raises ``ValueError`` when it is used. Raises ``TimeoutError`` after
        ``timeout`` seconds, ``ValueError`` if the pool is closed, and as :meth:`Module.instantiate` does.
        """
        if self._closed:
            raise ValueError("the pool is closed")
        if not self._free.acquire(timeout=timeout):
            raise TimeoutError(f"all {self.size} instances of the pool are in use")
        try:
            instance = self.prepared.instantiate()
            try:
                yield instance
            finally:
                instance._let_go()
        finally:
            self._free.release()

    def close(self) -> None:
        """No more instances; those in use stay valid until their block ends."""
        self._closed = True

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<wardian.Pool of {self.size} x {self.prepared.module!r}>"
