"""Where generated code counts fuel, and when the store's word says how much is left.

Invariant: whoever can look at the store's word (host functions, callers, whoever is told of a trap) finds what
:mod:`wardian.compile.fuel` says has been paid by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from wardian.compile.emit import HOSTDATA, Emitter, Value, const
from wardian.vm.layout import STORE
from wardian.vm.traps import TrapCode

WORK_SHIFT: Final = 6
"""2 to this many bytes that are moved or made cost a unit."""


@final
class Tank:
    """The fuel of the code one lowering writes."""

    __slots__ = ("_b", "_slot", "_store", "_trap_if", "_word")

    def __init__(self, b: Emitter, store: Callable[[], Value], trap_if: Callable[[Value, TrapCode], None]) -> None:
        self._b = b
        self._store = store
        self._trap_if = trap_if
        self._slot: Value | None = None
        self._word: Value = ("", "ptr")

    def keep(self) -> tuple[Value, Value]:
        """Have the function keep its fuel in a slot of its own, which LLVM makes a register of: addresses of the slot
        and of the store's word, which is brought up to date by :meth:`flush`."""
        b = self._b
        self._slot = b.local("i64")
        at, first = b.name(), b.name()
        b.entry += [
            f" {at} = getelementptr i8, ptr {self._store()[0]}, i64 {STORE.at['fuel']}",
            f" {first} = load i64, ptr {at}, align 8{HOSTDATA}",
            f" store i64 {first}, ptr {self._slot[0]}, align 8",
        ]
        self._word = at, "ptr"
        return self._slot, self._word

    def flush(self, *, faults: bool = False) -> None:
        """Bring the store's word up to date: somebody may look. ``faults``: without LLVM knowing, for an access that is
        stopped by a guard page may follow."""
        if self._slot is not None:
            self._b.store(self._left(), self._word, HOSTDATA, volatile=faults)

    def refresh(self) -> None:
        """Somebody may have changed the store's word."""
        if self._slot is not None:
            self._b.store(self._b.load(self._word, "i64", HOSTDATA), self._slot, "")

    def pay(self, amount: Value) -> None:
        """Pay ``amount`` (``i64``, at least 0) or trap."""
        b = self._b
        left = b.binary("sub", self._left(), amount)
        if self._slot is None:
            b.store(left, self._at_store(), HOSTDATA)
        else:
            b.store(left, self._slot, "")
            self.flush(faults=True)
        self._trap_if(b.icmp("slt", left, const(0, "i64")), TrapCode.OUT_OF_FUEL)

    def work(self, size: Value) -> None:
        """Pay for ``size`` bytes (``i64``, less than 2^63) that are about to be moved or made."""
        self.pay(self._b.binary("lshr", size, const(WORK_SHIFT, "i64")))

    def suffices(self, turns: Value, amount: int) -> Value:
        """An ``i1``: is there enough for ``turns`` + 1 times ``amount``?

        ``turns`` (``i64``) is at most 2^32, ``amount`` at most 2^24, so nothing wraps.
        """
        b = self._b
        need = b.binary("mul", b.binary("add", turns, const(1, "i64")), const(amount, "i64"))
        return b.icmp("sge", self._left(), need)

    def _left(self) -> Value:
        if self._slot is not None:
            return self._b.load(self._slot, "i64", "")
        return self._b.load(self._at_store(), "i64", HOSTDATA)

    def _at_store(self) -> Value:
        return self._b.offset(self._store(), STORE.at["fuel"])
