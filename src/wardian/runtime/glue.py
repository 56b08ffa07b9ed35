"""Glue for signatures: machine code through which Python calls functions, and guests call Python's.

Invariant: the glue of a signature is mapped as long as anything can reach it: whoever has an address of it has the
:class:`Glue`. A ``Func`` has it by its function instance, and whoever calls a ``Func`` has that. A host function has it
by its facts; its store has the host function, and the ``Func`` by which the guest that calls it was entered has the
store. What nobody has is unmapped, but for the :data:`KEPT` that were asked for last: who loads module after module of
the usual signatures maps nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, final

KEPT: Final = 128
"""How many signatures' glue stays mapped though nobody has it."""


@final
class Glue:
    """Where the glue of one signature is: ``entry`` calls a function from Python, ``stub`` a Python function from a
    guest; mapped as long as this lives."""

    __slots__ = ("__weakref__", "_region", "entry", "stub")

    def __init__(self, region: object, entry: int, stub: int) -> None:
        self._region = region
        self.entry = entry
        self.stub = stub


@final
class GlueTable:
    """What glue there is, by the code of its signature. Usable from several threads."""

    def __init__(self, map_: Callable[[bytes], int], unmap: Callable[[int, int], None]) -> None:
        """``map_(code)`` maps glue; ``unmap(at, bytes of code)`` undoes it."""
        self._map = map_
        self._unmap = unmap
        self._known: dict[str, weakref.ref[Glue]] = {}
        self._recent: dict[str, Glue] = {}
        """Those that were asked for last, the latest at the end."""
        self._mapped: dict[int, tuple[str, int]] = {}
        """By address: the signature, and the bytes of code."""
        self._ended: deque[int] = deque()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """For how many signatures there is glue; some twice, perhaps."""
        return len(self._mapped)

    def all(self) -> list[Glue]:
        """All that somebody can ask for."""
        found = [reference() for reference in list(self._known.values())]
        return [glue for glue in found if glue is not None]

    def after_fork(self) -> None:
        """In the child: other threads, one of which may have had the lock, are no more."""
        self._lock = threading.RLock()

    def get(self, signature: str) -> Glue | None:
        """The glue of a signature, if there is any."""
        reference = self._known.get(signature)
        found = None if reference is None else reference()
        if found is not None:
            self._remember(signature, found)
        return found

    def add(
        self, signature: str, code: bytes, region: Callable[[int], object], entry: int, stub: int
    ) -> Glue:
        """Map the glue of a signature, ``entry`` and ``stub`` being offsets in it. ``region(address)`` is an object
        that calls :meth:`end` with the address when the last reference to it goes.

        Of two threads that come here for the same signature each may have its own.
        """
        self._sweep()
        at = self._map(code)
        self._mapped[at] = signature, len(code)
        made = Glue(region(at), at + entry, at + stub)
        self._known[signature] = weakref.ref(made)
        self._remember(signature, made)
        return made

    def _remember(self, signature: str, glue: Glue) -> None:
        recent = self._recent
        recent.pop(signature, None)
        recent[signature] = glue
        if len(recent) > KEPT:
            for oldest in list(recent)[: len(recent) - KEPT]:
                recent.pop(oldest, None)

    def forget(self) -> None:
        """Have nothing mapped that nobody has."""
        self._recent.clear()
        self._sweep()

    def end(self, at: int) -> None:
        """Called when nobody has the glue at this address any more: in a finaliser, wherever that may run."""
        self._ended.append(at)
        self._sweep()

    def _sweep(self) -> None:
        """Unmap what has ended; unless somebody is at it, who may be waiting for this thread."""
        while self._ended and self._lock.acquire(blocking=False):
            try:
                at = self._ended.popleft()
                # Off the list first: what is cut short here stays mapped.
                signature, size = self._mapped.pop(at)
                reference = self._known.get(signature)
                if reference is not None and reference() is None:
                    self._known.pop(signature, None)
                self._unmap(at, size)
            except IndexError:
                return
            finally:
                self._lock.release()
