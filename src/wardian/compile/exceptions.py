"""Lowering of exceptions (spec: "Exception Instances", ``throw``, ``throw_ref``, ``try_table``).

An exception in flight is a reference in the store's ``pending`` word. A function that throws, or whose callee has
thrown, goes to its innermost ``try_table`` or returns (with no meaningful result) to its caller, who looks at the word
in turn. Only code compiled with :attr:`CodeOptions.exceptions` looks, and a store runs either only such code or no tag
at all; see :mod:`wardian.runtime.store`.

The exception itself is an object of the store's heap: the tag's number, then 16 bytes for each value.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import heap
from wardian.compile.emit import CONSTANT, HOSTDATA, UNLIKELY, Value, const
from wardian.compile.function import CTX, FamilyTable, Frame, Lowering
from wardian.syntax import families as f
from wardian.syntax.types import FuncType
from wardian.vm.layout import HEADER, STORE
from wardian.vm.traps import TrapCode

TAGGED: Final = frozenset({0, 1})
WITH_REFERENCE: Final = frozenset({1, 3})
"""Catch clauses by their binary kind: ``catch``, ``catch_ref``, ``catch_all``, ``catch_all_ref``."""


def pending_word(lo: Lowering) -> Value:
    store = lo.b.load(lo.b.offset(CTX, HEADER.at["store"]), "ptr", CONSTANT)
    return lo.b.offset(store, STORE.at["pending"])


def check_call(lo: Lowering) -> None:
    """After a call: go to the handler if the callee left with an exception pending."""
    b = lo.b
    thrown = b.icmp("ne", b.load(pending_word(lo), "i32", HOSTDATA), const(0, "i32"))
    on = b.label()
    b.cond_br(thrown, lo.handler(), on, UNLIKELY)
    b.start(on)


def _tag_type(lo: Lowering, tag: int) -> FuncType:
    return lo.facts.func_type(lo.facts.tags[tag].type)


def is_tagged(lo: Lowering, exception: Value, tag: int) -> Value:
    """Was ``exception`` thrown with this tag? ``i1``."""
    return lo.b.icmp("eq", heap.exception_tag(lo, exception), _tag_number(lo, tag))


def _tag_number(lo: Lowering, tag: int) -> Value:
    return lo.b.load(lo.b.offset(CTX, lo.facts.layout.tags + 8 * tag), "i64", CONSTANT)


def throw(lo: Lowering, fam: f.Throw, imm: int) -> None:
    values = lo.pop_n(len(_tag_type(lo, imm).params))
    exception = heap.new_exception(lo, _tag_number(lo, imm), values)
    lo.b.store(exception, pending_word(lo), HOSTDATA)
    lo.b.br(lo.handler())


def throw_ref(lo: Lowering, fam: f.ThrowRef, imm: None) -> None:
    exception = lo.pop()
    lo.trap_if(lo.b.icmp("eq", exception, const(0, "i32")), TrapCode.NULL_EXCEPTION_REFERENCE)
    lo.b.store(exception, pending_word(lo), HOSTDATA)
    lo.b.br(lo.handler())


def try_table(lo: Lowering, fam: f.TryTable, imm: tuple[object, tuple[tuple[int, int | None, int], ...]]) -> None:
    block_type, catches = imm
    params, results = lo.block_type(block_type)
    kind = "try" if lo.facts.options.exceptions and catches else "block"
    frame = Frame(kind, lo.b.label(), params, results, len(lo.stack) - len(params))
    frame.catches = catches
    lo.frames.append(frame)
    if kind == "try":
        lo.tries.append(frame)


def land_exceptions(lo: Lowering, frame: Frame) -> None:
    """The handler of ``frame``, whose body has ended: try its clauses in order, else pass the exception on.

    ``frame`` is off the control stack already, as the clauses' labels are counted from outside of it.
    """
    assert lo.tries.pop() is frame
    if not frame.else_label:
        return  # nothing in the body can throw
    b = lo.b
    b.start(frame.else_label)
    del lo.stack[frame.height :]
    pending = pending_word(lo)
    exception = b.load(pending, "i32", HOSTDATA)
    for kind, tag, label in frame.catches:
        after = ""
        if kind in TAGGED:
            assert tag is not None
            hit, after = b.label(), b.label()
            b.cond_br(is_tagged(lo, exception, tag), hit, after)
            b.start(hit)
            lo.stack += heap.exception_values(lo, exception, _tag_type(lo, tag).params)
        b.store(const(0, "i32"), pending, HOSTDATA)
        if kind in WITH_REFERENCE:
            lo.push(exception)
        lo.jump(lo.target(label))
        del lo.stack[frame.height :]
        if not after:
            return
        b.start(after)
    b.br(lo.handler())


LIVE: Final[FamilyTable] = MappingProxyType({f.Throw: throw, f.ThrowRef: throw_ref, f.TryTable: try_table})
