"""Stencils of structures, arrays, i31 and casts.

They are made when the first function needs one. Operands are in neighbouring slots from ``A`` on, the result in ``D``.
``I`` is a field's offset, an object's size or where a segment is; ``J`` the type word of what is made or, of a function
that is read, of what it must be; ``C`` where a type is among the ancestors of a subtype, or a fixed array's length.

Invariant: a field or an element is what the group's name says it is; where it lies is all a hole can change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from wardian.compile import gc
from wardian.compile.baseline.facts import ANY, FINAL, OPEN
from wardian.compile.baseline.holes import Hole
from wardian.compile.baseline.objects import LARGE, NO_STORAGE, NULLABLE, SIZES, object_signature
from wardian.compile.baseline.templates import Template, push_operands, push_slots
from wardian.syntax import families as f
from wardian.syntax import types as ty
from wardian.syntax.instructions import BY_NAME, TWIN
from wardian.syntax.types import EXTERNREF, FUNCREF, I8, I16, I32, I64, V128, ArrayType, FieldType, HeapType, RefType
from wardian.vm import heap
from wardian.vm.objects import StructLayout

if TYPE_CHECKING:
    from wardian.compile.baseline.maker import Maker

_OBJECTS: Final = (ty.ANY, ty.EQ, ty.I31, ty.STRUCT, ty.ARRAY, ty.NONE)
_OTHERS: Final = (ty.FUNC, ty.NOFUNC, ty.EXTERN, ty.NOEXTERN, ty.EXN, ty.NOEXN)
_ABSTRACT: Final[Mapping[str, HeapType]] = MappingProxyType({t.name: t for t in (*_OBJECTS, *_OTHERS)})


def _storages() -> dict[str, Any]:
    """What a field or an element may be, by the name of its kind."""
    numbers = {t.name: t for t in (I8, I16, I32, I64, ty.F32, ty.F64, V128)}
    some = RefType(True, Hole("J_s"))
    return {**numbers, NO_STORAGE: I32, "ref": EXTERNREF, ANY: FUNCREF, FINAL: some, OPEN: some}


def object_(maker: Maker, name: str, storage: str) -> None:
    """``object NAME STORAGE``: an instruction on objects with such fields or elements."""
    row, kind = BY_NAME[name], _storages()[storage]
    imm = _IMMEDIATES[type(row.family)]

    def build(t: Template) -> None:
        facts = maker.facts
        facts.subtypes = storage == OPEN
        facts.array = ArrayType(FieldType(kind, True))
        facts.structure = (FieldType(kind, True),), StructLayout(0, (Hole("I_s"),), ())
        is_function = isinstance(kind, RefType) and kind is not EXTERNREF
        params, result = object_signature(row.family, FUNCREF if is_function else kind)
        # A structure's fields are set one by one when it is made, wherever their values are.
        if isinstance(row.family, f.StructSet):
            push_operands(t, params)
        else:
            push_slots(t, "A_s", params)
        t.do(row, imm)
        _end(t, has_result=result is not None)

    maker.single(f"object {name} {storage}", 0, build)


def _end(t: Template, *, has_result: bool) -> None:
    if has_result:
        t.result("")
    if t.lo.calls:
        t.clobber(keep_floats=True)


_MADE: Final = Hole("J_s")
_IMMEDIATES: Final[Mapping[type[f.Family], object]] = MappingProxyType(
    {
        f.StructGet: (0, 0),
        f.StructSet: (0, 0),
        f.ArrayNew: _MADE,
        f.ArrayNewData: (_MADE, 0),
        f.ArrayNewElem: (_MADE, 0),
        f.ArrayGet: 0,
        f.ArraySet: 0,
        f.ArrayLen: None,
        f.ArrayFill: 0,
        f.ArrayCopy: (0, 0),
        f.ArrayInitData: (0, 0),
        f.ArrayInitElem: (0, 0),
        f.RefEq: None,
        f.RefI31: None,
        f.I31Get: None,
    }
)


def _sized(maker: Maker, group: str, size: str, make: Callable[[Template, Hole], None]) -> None:
    if size not in SIZES:
        raise ValueError("objects are small or large")
    like = heap.MAX_RUN + heap.ALIGN if size == LARGE else heap.ALIGN

    def build(t: Template) -> None:
        make(t, Hole("I_s", like=like))
        _end(t, has_result=True)

    maker.single(f"{group} {size}", 0, build)


def structure(maker: Maker, size: str) -> None:
    """``structure small|large``: a new one, all zero."""

    def make(t: Template, size: Hole) -> None:
        maker.facts.structure = (), StructLayout(size, (), ())
        t.do(BY_NAME["struct.new_default"], _MADE)

    _sized(maker, "structure", size, make)


def fixed(maker: Maker, size: str) -> None:
    """``fixed small|large``: a new array of a length that is known, all zero."""
    _sized(maker, "fixed", size, lambda t, size: t.lo.push(gc.new_fixed(t.lo, _MADE, size, Hole("C_s"))))


def cast(maker: Maker, what: str, plain: str, type: str, null: str) -> None:
    """``cast ref.test|ref.cast|if|unless i32|i64 TYPE null|some``: of a reference of that width. ``if`` and ``unless``
    branch when it has the type, or has not."""
    reference = {"i64": FUNCREF, "i32": EXTERNREF}[plain]
    heap_type: HeapType = Hole("J_s") if type in (FINAL, OPEN) else _ABSTRACT[type]
    row = BY_NAME["ref.cast" if what == "ref.cast" else "ref.test"]
    if null == NULLABLE:
        row = TWIN[row.name]
    if what not in ("ref.test", "ref.cast", "if", "unless"):
        raise ValueError(what)

    def build(t: Template) -> None:
        maker.facts.subtypes = type == OPEN
        push_operands(t, (reference,))
        t.do(row, heap_type)
        if what in ("if", "unless"):
            t.branch(when=what == "if")
        else:
            t.result("")

    maker.single(f"cast {what} {plain} {type} {null}", 0, build)
