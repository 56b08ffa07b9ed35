"""What the baseline compiler asks about a module, looked up once.

Invariant: whatever a module does that no stencil exists for raises :class:`Unsupported`, here or in
:mod:`wardian.compile.baseline.function`; it never becomes wrong code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, final

from wardian.compile.baseline.library import Group, Library
from wardian.compile.baseline.shapes import FLOAT, VECTOR, WORD
from wardian.compile.baseline.unsupported import Unsupported
from wardian.syntax import families as f
from wardian.syntax.instructions import ROWS
from wardian.syntax.module import Module
from wardian.syntax.types import F32, F64, I32, I64, V128, FuncType, NumType, RefType, ValType
from wardian.vm.layout import InstanceLayout
from wardian.vm.memory import GUARD

COMPARISONS: Final = (f.IntCmp, f.IntTest, f.FloatCmp)
PLAIN: Final = (
    f.IntUn,
    f.IntExtend,
    f.IntBin,
    f.IntDiv,
    f.IntTest,
    f.IntCmp,
    f.FloatUn,
    f.FloatBin,
    f.FloatCmp,
    f.Wrap,
    f.ExtendI32,
    f.TruncFloat,
    f.ConvertInt,
    f.Demote,
    f.Promote,
    f.Reinterpret,
)
"""Families of the instructions that take numbers from the stack and put one there, without immediates."""

LETTERS: Final = "wfv"
"""Of each class, in the names of groups."""
MAX_OFFSET: Final = min(GUARD, 1 << 31) - 64
"""Offsets from here on do not fit the field of a stencil."""


def class_of(type: ValType) -> int:
    """Class of the places values of ``type``, which is no vector, are in."""
    if type is V128:
        raise Unsupported("v128 in globals or exceptions")
    return FLOAT if type is F32 or type is F64 else WORD


def local_class(type: ValType) -> int:
    """Class of a local, a vector or not."""
    return VECTOR if type is V128 else class_of(type)


def classes_of(types: Sequence[ValType]) -> tuple[int, ...]:
    """Classes of the operands that values of ``types`` are."""
    found: list[int] = []
    for t in types:
        found += (VECTOR, VECTOR) if t is V128 else (class_of(t),)
    return tuple(found)


def memory_offset(imm: tuple[int, ...]) -> int:
    """The offset of an access to memory 0."""
    if imm[2]:
        raise Unsupported("several memories")
    if imm[1] >= MAX_OFFSET:
        raise Unsupported("large offset")
    return imm[1]


@cache
def result_classes() -> list[int]:
    """By row index: class of the place of the result, for rows that put one number there."""
    types = [row.family.type if isinstance(row.family, f.Load) else (row.results or (I32,))[0] for row in ROWS]
    return [FLOAT if t is F32 or t is F64 else WORD for t in types]


@final
class BaselineFacts:
    """One per module and library."""

    def __init__(self, module: Module, library: Library, more: Callable[[str], Group]) -> None:
        """``more`` makes groups of calls that the library lacks."""
        self._more = more
        self.module = module
        self.library = library
        self.layout = InstanceLayout.of(module)
        self.memories = module.memory_types()
        self.memories_at = self.layout.memories
        """Where the context has the address of memory 0's length."""
        self.tables = module.table_types()
        self.global_types = module.global_types()
        self.tags = module.tag_types()
        groups = library.groups
        self.exceptions = "caught" in groups
        """Does code look for pending exceptions?"""
        none = Group(b"", {})
        self.do = [groups.get(f"do {row.name}", none) for row in ROWS]
        self.result = result_classes()
        self.branch: list[tuple[Group, ...]] = [
            (groups.get(f"unless {r.name}", none), groups.get(f"if {r.name}", none)) for r in ROWS
        ]
        self.move: tuple[Group, ...] = (groups["move w"], groups["move f"], groups["move w"])
        self._calls: dict[tuple[str, int], tuple[Group, tuple[int, ...], int | None]] = {}
        self._globals: dict[tuple[str, int], tuple[Group, int, int]] = {}

    def func_type(self, type_index: int) -> FuncType:
        comp = self.module.types[type_index].comp
        assert isinstance(comp, FuncType)
        return comp

    def call(self, kind: str, type_index: int) -> tuple[Group, tuple[int, ...], int | None]:
        """``(stencils, classes of the operands, class of the result)`` for a call of that type."""
        key = kind, type_index
        found = self._calls.get(key)
        if found is None:
            type_ = self.func_type(type_index)
            if len(type_.results) > 1:
                raise Unsupported("several results")
            classes = classes_of(type_.params)
            result = local_class(type_.results[0]) if type_.results else None
            letters = "".join([LETTERS[local_class(t)] for t in type_.params])
            name = call_group(kind, letters, "" if result is None else LETTERS[result])
            found = self._calls[key] = self.more_group(name), classes, result
        return found

    def memory_address(self) -> NumType:
        """Type of addresses of memory 0."""
        return I64 if self.memories and self.memories[0].limits.is64 else I32

    def more_group(self, name: str) -> Group:
        """Stencils the library may have to be given first."""
        return self.library.groups.get(name) or self._more(name)

    def tag_params(self, tag: int) -> tuple[ValType, ...]:
        """What exceptions with this tag carry."""
        return self.func_type(self.tags[tag].type).params

    def global_(self, how: str, index: int) -> tuple[Group, int, int]:
        """``(stencils, displacement, class)`` for ``global.get`` or ``global.set`` (``how``)."""
        key = how, index
        found = self._globals.get(key)
        if found is None:
            type_ = self.global_types[index].value
            if isinstance(type_, RefType):
                raise Unsupported("global of references")
            indirect, at = self.layout.global_cell(index)
            cls = class_of(type_)
            name = f"{how} {type_} {'far' if indirect else 'near'}"
            found = self._globals[key] = self.library.groups[name], at, cls
        return found


def throw_group(classes: Sequence[int]) -> str:
    """Name of the group of a ``throw`` of values of these classes."""
    return f"throw {''.join([LETTERS[c] for c in classes])}"


def payload_group(type: ValType) -> str:
    """Name of the group that takes a value of ``type`` out of the pending exception."""
    if not isinstance(type, NumType):
        raise Unsupported("references in exceptions")
    return f"payload {type}"


def call_group(kind: str, params: str, result: str) -> str:
    """Name of the group of a call: ``kind`` is near, far or indirect, and there is a letter of :data:`LETTERS` each."""
    return f"call {kind} {params}:{result}"
