"""Spec chapter "Structure / Types": value, reference, heap, composite, table, memory, global and tag types.

Invariant: every value type is interned, so two value types of one module are the same type if and only if they are
the same object (``is``). Concrete heap types are type *indices* of the module; making them canonical across modules
is validation's and the runtime's business, not this file's.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, TypeAlias, final
from weakref import WeakValueDictionary

from wardian.record import Record


@final
class NumType:
    """A number or vector type: ``code`` is its binary encoding, ``size`` its width in bytes."""

    __slots__ = ("code", "name", "size")

    def __init__(self, name: str, code: int, size: int) -> None:
        self.name = name
        self.code = code
        self.size = size

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name.upper()


I32: Final = NumType("i32", 0x7F, 4)
I64: Final = NumType("i64", 0x7E, 8)
F32: Final = NumType("f32", 0x7D, 4)
F64: Final = NumType("f64", 0x7C, 8)
V128: Final = NumType("v128", 0x7B, 16)
BOT: Final = NumType("bot", 0x00, 0)
"""The bottom type of unreachable code (spec appendix "Validation Algorithm"); never in a module."""


@final
class AbsHeapType:
    """An abstract heap type; ``top`` is the name of the top of its hierarchy."""

    __slots__ = ("code", "name", "top")

    def __init__(self, name: str, code: int, top: str) -> None:
        self.name = name
        self.code = code
        self.top = top

    def __repr__(self) -> str:
        return self.name


FUNC: Final = AbsHeapType("func", 0x70, "func")
NOFUNC: Final = AbsHeapType("nofunc", 0x73, "func")
EXTERN: Final = AbsHeapType("extern", 0x6F, "extern")
NOEXTERN: Final = AbsHeapType("noextern", 0x72, "extern")
ANY: Final = AbsHeapType("any", 0x6E, "any")
EQ: Final = AbsHeapType("eq", 0x6D, "any")
I31: Final = AbsHeapType("i31", 0x6C, "any")
STRUCT: Final = AbsHeapType("struct", 0x6B, "any")
ARRAY: Final = AbsHeapType("array", 0x6A, "any")
NONE: Final = AbsHeapType("none", 0x71, "any")
EXN: Final = AbsHeapType("exn", 0x69, "exn")
NOEXN: Final = AbsHeapType("noexn", 0x74, "exn")

ABS_HEAP_TYPES: Final = (FUNC, NOFUNC, EXTERN, NOEXTERN, ANY, EQ, I31, STRUCT, ARRAY, NONE, EXN, NOEXN)

HeapType: TypeAlias = "AbsHeapType | int"
"""An abstract heap type or a type index."""


@final
class RefType:
    """A reference type; make it with :func:`ref`, which interns."""

    __slots__ = ("__weakref__", "heap", "nullable")

    def __init__(self, nullable: bool, heap: HeapType) -> None:
        self.nullable = nullable
        self.heap = heap

    def __eq__(self, other: object) -> bool:
        # Usually one object is compared with itself; two that were interned by two threads at once are equal, too.
        return isinstance(other, RefType) and self.nullable == other.nullable and self.heap == other.heap

    def __hash__(self) -> int:
        return hash((self.nullable, self.heap))

    def __repr__(self) -> str:
        if self.nullable and isinstance(self.heap, AbsHeapType):
            return _SHORTHAND.get(self.heap.name, f"{self.heap.name}ref")
        return f"(ref {'null ' if self.nullable else ''}{self.heap})"


_SHORTHAND: Final = {"none": "nullref", "nofunc": "nullfuncref", "noextern": "nullexternref", "noexn": "nullexnref"}

ValType: TypeAlias = "NumType | RefType"

_REFS: Final = MappingProxyType[tuple[bool, HeapType], RefType](
    {(nullable, heap): RefType(nullable, heap) for nullable in (False, True) for heap in ABS_HEAP_TYPES}
)
_CONCRETE: Final[WeakValueDictionary[tuple[bool, HeapType], RefType]] = WeakValueDictionary()
# An intern table: it only ever maps a key to the one object that stands for it, so it is no state. That object is gone
# with the last module that mentions it: of modules nobody has any more, nothing may be left, however many there were.


def ref(nullable: bool, heap: HeapType) -> RefType:
    """The one :class:`RefType` for these parts."""
    key = (nullable, heap)
    found = _REFS.get(key) or _CONCRETE.get(key)
    if found is None:
        found = _CONCRETE.setdefault(key, RefType(nullable, heap))
    return found


FUNCREF: Final = ref(True, FUNC)
EXTERNREF: Final = ref(True, EXTERN)
EXNREF: Final = ref(True, EXN)

NUM_BY_CODE: Final = {t.code: t for t in (I32, I64, F32, F64, V128)}
HEAP_BY_CODE: Final = {h.code: h for h in ABS_HEAP_TYPES}


@final
class PackedType(Record):
    """``i8`` or ``i16``, in a field of a structure or an array only."""

    name: str
    code: int
    size: int


I8: Final = PackedType("i8", 0x78, 1)
I16: Final = PackedType("i16", 0x77, 2)


@final
class FieldType(Record):
    storage: NumType | RefType | PackedType
    mutable: bool


@final
class FuncType(Record):
    params: tuple[ValType, ...]
    results: tuple[ValType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(repr, self.params))}) -> ({', '.join(map(repr, self.results))})"

    def text(self) -> str:
        """As the text format has it: ``(param i32 i32) (result i64)``."""
        both = (("param", self.params), ("result", self.results))
        return " ".join(f"({word} {' '.join(map(repr, types))})" for word, types in both if types)


@final
class StructType(Record):
    fields: tuple[FieldType, ...]


@final
class ArrayType(Record):
    field: FieldType


CompType: TypeAlias = "FuncType | StructType | ArrayType"


@final
class SubType(Record):
    """One defined type: ``supers`` are type indices (at most one is valid), ``comp`` the composite type."""

    comp: CompType
    final: bool = True
    supers: tuple[int, ...] = ()


@final
class TypeLimits(Record):
    """Bounds of a table (elements) or a memory (pages); ``is64`` tells the address type."""

    min: int
    max: int | None = None
    is64: bool = False

    @property
    def address(self) -> NumType:
        return I64 if self.is64 else I32

    def text(self) -> str:
        """As the text format has it: ``1 2``, ``i64 0``."""
        most = "" if self.max is None else f" {self.max}"
        return f"{'i64 ' if self.is64 else ''}{self.min}{most}"


@final
class TableType(Record):
    element: RefType
    limits: TypeLimits

    def text(self) -> str:
        """As the text format has it: ``1 2 funcref``."""
        return f"{self.limits.text()} {self.element!r}"


@final
class MemoryType(Record):
    """``page_size_log2`` is 16 but for the custom-page-sizes proposal (0 or 16)."""

    limits: TypeLimits
    shared: bool = False
    page_size_log2: int = 16

    def text(self) -> str:
        """As the text format has it: ``1 2 shared``."""
        shared = " shared" if self.shared else ""
        pages = "" if self.page_size_log2 == 16 else f" (pagesize {1 << self.page_size_log2})"
        return f"{self.limits.text()}{shared}{pages}"


@final
class GlobalType(Record):
    value: ValType
    mutable: bool

    def text(self) -> str:
        """As the text format has it: ``(mut i32)``."""
        return f"(mut {self.value!r})" if self.mutable else repr(self.value)


@final
class TagType(Record):
    """The type index of the tag's function type (no results)."""

    type: int
