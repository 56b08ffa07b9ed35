"""What the baseline compiler asks about a module, looked up once.

Invariant: whatever a module does that no stencil exists for raises :class:`Unsupported`, here or in
:mod:`wardian.compile.baseline.function`; it never becomes wrong code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, final

from wardian.compile.baseline.flavour import WHOLE_PAGES
from wardian.compile.baseline.library import Group, Library
from wardian.compile.baseline.machine import SAVED_BYTES
from wardian.compile.baseline.shapes import FLOAT, SLOT, VECTOR, WORD, Place
from wardian.syntax import families as f
from wardian.syntax.instructions import ROWS
from wardian.syntax.module import Module
from wardian.syntax.types import F32, F64, I32, I64, V128, FuncType, NumType, RefType, ValType
from wardian.vm.abi import MAX_REGISTER_RESULTS, is_func_ref
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
FUNCTION: Final = "r"
"""In the names of groups: a reference to a function that is kept in the heap."""
MANY: Final = "m"
"""In the names of groups: results go to a buffer."""
MAX_OFFSET: Final = min(GUARD, 1 << 31) - 64
"""Offsets from here on do not fit the field of a stencil."""


def local_class(type: ValType) -> int:
    """Class of the place, or the two places, of a value of ``type``."""
    if type is V128:
        return VECTOR
    return FLOAT if type is F32 or type is F64 else WORD


def letters_of(types: Sequence[ValType]) -> str:
    """A letter of :data:`LETTERS` for each."""
    return "".join([LETTERS[local_class(t)] for t in types])


def results_name(types: Sequence[ValType]) -> str:
    """How values of ``types`` are returned, in the names of groups."""
    return letters_of(types) if len(types) <= MAX_REGISTER_RESULTS else MANY


def classes_of(types: Sequence[ValType]) -> tuple[int, ...]:
    """Classes of the operands that values of ``types`` are."""
    found: list[int] = []
    for t in types:
        found += (VECTOR, VECTOR) if t is V128 else (local_class(t),)
    return tuple(found)


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
        self.odd_pages = bool(self.memories) and self.memories[0].page_size_log2 != WHOLE_PAGES
        """Is memory 0 of a kind that no flavour is for?"""
        self.memories_at = self.layout.memories
        """Where the context has the address of memory 0's length."""
        self.tables = module.table_types()
        self.global_types = module.global_types()
        self.tags = module.tag_types()
        groups = library.groups
        self.exceptions = "caught" in groups
        """Does code look for pending exceptions?"""
        self.fuel = "fuel" in groups
        """Does code pay for what it does?"""
        none = Group(b"", {})
        self.do = [groups.get(f"do {row.name}", none) for row in ROWS]
        self.result = result_classes()
        self.branch: list[tuple[Group, ...]] = [
            (groups.get(f"unless {r.name}", none), groups.get(f"if {r.name}", none)) for r in ROWS
        ]
        self.slots: tuple[list[Place], ...] = ([], [], [])
        """By class: the slots of frames in order, each the same object everywhere, so comparing them is quick."""
        self.moves: dict[tuple[Place, Place], bytes] = {}
        """Code that moves from place to place, as far as it has been asked for."""
        self.move: tuple[Group, ...] = (groups["move w"], groups["move f"], groups["move w"])
        self.jump = groups["jump"].get(0)
        self._calls: dict[tuple[str, int], tuple[Group, tuple[int, ...], str]] = {}
        self._globals: dict[tuple[str, int], tuple[Group, int, int]] = {}

    def slot(self, number: int, cls: int) -> Place:
        """The slot of a frame that is ``number`` words below what the frame has for registers."""
        known = self.slots[cls]
        while len(known) <= number:
            known.append((SLOT, -SAVED_BYTES - 8 * len(known), cls))
        return known[number]

    def func_type(self, type_index: int) -> FuncType:
        comp = self.module.types[type_index].comp
        assert isinstance(comp, FuncType)
        return comp

    def call(self, kind: str, type_index: int) -> tuple[Group, tuple[int, ...], str]:
        """``(stencils, classes of the operands, how results come)`` for a call of that type."""
        key = kind, type_index
        found = self._calls.get(key)
        if found is None:
            type_ = self.func_type(type_index)
            results = results_name(type_.results)
            name = call_group(kind, letters_of(type_.params), results)
            found = self._calls[key] = self.more_group(name), classes_of(type_.params), results
        return found

    def is_function(self, type: RefType) -> bool:
        """Is ``type`` one of references to functions?"""
        return is_func_ref(type, self.module.types)

    def plain(self, type: ValType) -> NumType:
        """The numbers whose bits values of ``type`` have in registers and slots."""
        if isinstance(type, NumType):
            return type
        return I64 if self.is_function(type) else I32

    def memory_address(self, memory: int = 0) -> NumType:
        """Type of addresses of a memory."""
        return I64 if self.memories and self.memories[memory].limits.is64 else I32

    def is_rare(self, imm: tuple[int, ...]) -> bool:
        """Is an access to another memory than the usual one, or at an offset that does not fit its stencil?"""
        return imm[2] != 0 or imm[1] >= MAX_OFFSET or self.odd_pages

    def memory(self, index: int) -> str:
        """A memory's number and what code depends on of its type, in the names of groups."""
        type_ = self.memories[index]
        shared = "shared" if type_.shared else ""
        return f"{index} {'i64' if type_.limits.is64 else 'i32'}{shared}{type_.page_size_log2}"

    def more_group(self, name: str) -> Group:
        """Stencils the library may have to be given first."""
        return self.library.groups.get(name) or self._more(name)

    def compared(self, type_index: int) -> str:
        """:data:`FINAL` or :data:`OPEN`."""
        return FINAL if self.module.types[type_index].final else OPEN

    def above(self, type_index: int) -> int:
        """Displacement of a type in a row of the table of ancestors."""
        depth = 0
        while supers := self.module.types[type_index].supers:
            type_index = supers[0]
            depth += 1
        return 4 * depth

    def throw(self, tag: int) -> Group:
        """Stencils that throw an exception with this tag."""
        params = self.tag_params(tag)
        letters = [FUNCTION if self.is_reference_to_function(t) else LETTERS[local_class(t)] for t in params]
        return self.more_group(throw_group("".join(letters)))

    def is_reference_to_function(self, type: ValType) -> bool:
        return isinstance(type, RefType) and self.is_function(type)

    def tag_params(self, tag: int) -> tuple[ValType, ...]:
        """What exceptions with this tag carry."""
        return self.func_type(self.tags[tag].type).params

    def global_(self, how: str, index: int) -> tuple[Group, int, int]:
        """``(stencils, displacement, class)`` for ``global.get`` or ``global.set`` (``how``)."""
        key = how, index
        found = self._globals.get(key)
        if found is None:
            type_ = self.plain(self.global_types[index].value)
            indirect, at = self.layout.global_cell(index)
            name = f"{how} {type_} {'far' if indirect else 'near'}"
            found = self._globals[key] = self.library.groups[name], at, local_class(type_)
        return found


FAR: Final = "far"
NEAR: Final = "near"


def access_group(name: str, memory: str, how: str = NEAR) -> str:
    """Name of the group of an instruction on a memory (:meth:`BaselineFacts.memory`); ``how``: is its offset large?"""
    return f"access {name} {memory} {how}"


def copy_group(target: str, source: str) -> str:
    """Name of the group of ``memory.copy`` between two memories (:meth:`BaselineFacts.memory`)."""
    return f"copy {target} {source}"


def throw_group(letters: str) -> str:
    """Name of the group of a ``throw`` of values of :func:`letters_of`."""
    return f"throw {letters}"


def payload_group(type: NumType | str) -> str:
    """Name of the group that takes a value of ``type`` out of the pending exception; for functions a word that says
    what they are compared with."""
    return f"payload {type}"


ANY: Final = "any"
FINAL: Final = "final"
OPEN: Final = "open"
"""How a function's type is compared: not at all; with one that has no subtypes; with one that may have."""


SUBTYPES: Final = "+"
"""At the end of a kind of call: the type may have subtypes."""


def call_group(kind: str, params: str, results: str) -> str:
    """Name of the group of a call: ``kind`` is near, far, ref, indirect or indirect64, the latter two perhaps with
    :data:`SUBTYPES`; see :func:`letters_of`, :func:`results_name`."""
    return f"call {kind} {params}:{results}"
