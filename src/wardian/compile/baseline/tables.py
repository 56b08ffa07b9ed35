"""Stencils of instructions on references and tables.

Invariant: a reference is 64 bits of a function's address or 32 bits of an offset in the heap (:mod:`wardian.vm.abi`);
groups say by the numbers ``i64`` and ``i32`` which of the two they are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wardian.compile.baseline.holes import Hole
from wardian.compile.baseline.templates import One, Template, push_slots
from wardian.syntax.instructions import BY_NAME
from wardian.syntax.types import EXTERNREF, FUNCREF, I32, I64, NumType, RefType, TableType, TypeLimits, ValType

if TYPE_CHECKING:
    from wardian.compile.baseline.maker import Maker

REFERENCES: Final[Mapping[NumType, RefType]] = MappingProxyType({I64: FUNCREF, I32: EXTERNREF})
"""Numbers that stand for references, and what these are."""
_ADDRESSES: Final = (I32, I64)


def _take_reference(t: Template, plain: NumType) -> None:
    """Make a reference of the number on the stack."""
    if plain is I64:
        t.lo.push(t.lo.b.cast("inttoptr", t.lo.pop(), "ptr"))


def references(maker: Maker) -> None:
    """``ref.func``; and what is asked of references, or holds of them, alone."""
    for indirect in (False, True):
        maker.facts.about(indirect=indirect)

        def function(t: Template) -> None:
            t.do(BY_NAME["ref.func"], Hole("I_s"))

        maker.shaped(f"ref.func {'far' if indirect else 'near'}", (), (), I64, function)
    for plain in REFERENCES:

        def is_null(t: Template, plain: NumType = plain) -> None:
            _take_reference(t, plain)
            t.do(BY_NAME["ref.is_null"])

        def non_null(t: Template, plain: NumType = plain) -> None:
            _take_reference(t, plain)
            t.do(BY_NAME["ref.as_non_null"])

        maker.shaped(f"do ref.is_null {plain}", (plain,), (False,), I32, is_null)
        maker.shaped(f"do ref.as_non_null {plain}", (plain,), (False,), plain, non_null)
        for when, word in ((True, "if"), (False, "unless")):

            def branch(t: Template, plain: NumType = plain, when: bool = when) -> None:
                is_null(t, plain)
                t.branch(when=when)

            maker.shaped(f"{word} ref.is_null {plain}", (plain,), (False,), None, branch)


def tables(maker: Maker) -> None:
    """Instructions on tables: operands in neighbouring slots from ``A`` on, the result in ``D``.

    ``J``: where the context has the table, ``C``: ``table.copy``'s source; ``I``: the table's number, or its segment.
    """
    for (plain, reference), address in product(REFERENCES.items(), _ADDRESSES):
        kinds: dict[str, tuple[ValType, ...]] = {
            "table.get": (address,),
            "table.set": (address, reference),
            "table.fill": (address, reference, address),
        }
        for name, params in kinds.items():
            _single(maker, f"do {name} {plain} {address}", name, 0, params, [table(reference, address)])
        # Its number is all the lowering wants to know of the table.
        some = One(table(reference, address))
        _single(maker, f"do table.grow {plain} {address}", "table.grow", Hole("I_s"), (reference, address), some)
    for address in _ADDRESSES:
        there = table(FUNCREF, address)
        _single(maker, f"do table.size {address}", "table.size", 0, (), [there])
        _single(maker, f"do table.init {address}", "table.init", (0, 0), (address, I32, I32), [there])
        for source in _ADDRESSES:
            params = (address, source, I64 if address is source is I64 else I32)
            both = [there, table(FUNCREF, source)]
            _single(maker, f"do table.copy {address} {source}", "table.copy", (0, 1), params, both)
    for name in ("elem.drop", "data.drop"):
        _single(maker, f"do {name}", name, 0, (), [])


def table(element: RefType, address: NumType) -> TableType:
    return TableType(element, TypeLimits(0, None, address is I64))


_GIVES: Final = frozenset({"table.get", "table.size", "table.grow"})


def _single(
    maker: Maker, group: str, name: str, imm: object, params: tuple[ValType, ...], of: list[TableType] | One
) -> None:
    def build(t: Template) -> None:
        maker.facts.tables = of
        push_slots(t, "A_s", params)
        t.do(BY_NAME[name], imm)
        if name in _GIVES:
            t.result("")
        if t.lo.calls:
            t.clobber(keep_floats=True)

    maker.single(group, 0, build)
