"""Lowering of access to a store's heap: from a 32-bit reference to a host address.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. Every address of a heap object is made here.                                                                 |
+----------------------------------------------------------------------------------------------------------------------+

Invariant: a reference is a 32-bit offset into the heap's reservation, zero-extended; with a small constant added it
stays inside that reservation and its guard whatever the reference's bits are.
"""

from __future__ import annotations

from wardian.compile.emit import CONSTANT, HOSTDATA, Value, const
from wardian.compile.function import CTX, Lowering
from wardian.vm.layout import EXCEPTION, HEADER, STORE


def base(lo: Lowering) -> Value:
    """The heap's base address."""
    store = lo.b.load(lo.b.offset(CTX, HEADER.at["store"]), "ptr", CONSTANT)
    return lo.b.load(lo.b.offset(store, STORE.at["heap"]), "ptr", HOSTDATA)


def pointer(lo: Lowering, reference: Value) -> Value:
    """Host address of the object behind a non-null, non-i31 reference."""
    # SAFETY: see the module's invariant; the reference is an i32, zero-extended.
    return lo.b.index(base(lo), lo.b.cast("zext", reference, "i64"))


def new_exception(lo: Lowering, tag: Value, values: list[Value]) -> Value:
    """A new exception object with a tag's number (``i64``) and its values."""
    b = lo.b
    exception = lo.builtin("exception_new", "i32", const(len(values), "i64"))
    at = pointer(lo, exception)
    b.store(tag, b.offset(at, EXCEPTION.at["tag"]), HOSTDATA)
    for i, value in enumerate(values):
        b.store(value, b.offset(at, EXCEPTION.size + 16 * i), HOSTDATA)
    return exception


def exception_tag(lo: Lowering, exception: Value) -> Value:
    return lo.b.load(lo.b.offset(pointer(lo, exception), EXCEPTION.at["tag"]), "i64", HOSTDATA)


def exception_values(lo: Lowering, exception: Value, types: list[str]) -> list[Value]:
    at = pointer(lo, exception)
    return [lo.b.load(lo.b.offset(at, EXCEPTION.size + 16 * i), t, HOSTDATA) for i, t in enumerate(types)]
