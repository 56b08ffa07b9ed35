"""Spec chapter "Structure / Modules": a module as data.

Invariant: function bodies and constant expressions stay *slices* of the source bytes; nothing here copies or decodes
them. Index spaces put imports first, as the spec does. ``Decl`` things stand in a module; ``Instance`` things belong
to a store.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NewType, TypeAlias, final, overload

from wardian.record import Entity, NamedTuple, Record, made
from wardian.syntax.types import FuncType, GlobalType, MemoryType, RefType, SubType, TableType, TagType

FuncIdx = NewType("FuncIdx", int)
TypeIdx = NewType("TypeIdx", int)

Kind: TypeAlias = Literal["func", "table", "memory", "global", "tag"]
KINDS: tuple[Kind, ...] = ("func", "table", "memory", "global", "tag")
"""Import and export kinds, in the order of their binary codes 0..4."""

ExternType: TypeAlias = "int | TableType | MemoryType | GlobalType | TagType"
"""What an import or export is; a function is its type index."""

Slice: TypeAlias = "tuple[int, int]"
"""``(start, end)`` in :attr:`Module.source`. An expression's slice includes its final ``end`` opcode."""


@final
class Import(Record):
    module: str
    name: str
    kind: Kind
    type: ExternType


@final
class Export(Record):
    name: str
    kind: Kind
    index: int


@final
class TableDecl(Record):
    """A table defined by the module; ``init`` is its initialiser expression, if it has one."""

    type: TableType
    init: Slice | None = None


@final
class GlobalDecl(Record):
    type: GlobalType
    init: Slice


@final
class ElemSegment(Record):
    """An element segment. Exactly one of ``funcs`` (function indices) and ``exprs`` is used, the other is empty.

    ``table`` and ``offset`` are set in mode ``active`` only. ``start`` is the segment's offset in the source.
    """

    type: RefType
    mode: Literal["active", "passive", "declarative"]
    funcs: tuple[int, ...] = ()
    exprs: tuple[Slice, ...] = ()
    table: int = 0
    offset: Slice | None = None
    start: int = 0

    def __len__(self) -> int:
        return len(self.funcs) or len(self.exprs)


class DataSegment(NamedTuple):
    """A data segment; ``init`` is a slice of the source. ``memory`` and ``offset`` are set when active."""

    mode: Literal["active", "passive"]
    init: Slice
    memory: int = 0
    offset: Slice | None = None
    start: int = 0


Placed: TypeAlias = "tuple[int, int, int, int, int]"
"""An active segment of memory 0 whose offset is one small ``i32.const``: that number, where its contents begin and end,
and where it and what follows its offset begin, in the source."""


@final
class DataSegments(Sequence[DataSegment]):
    """A module's data segments.

    FAST: real modules have up to 64,000, nearly all :data:`Placed`; ``items`` keeps those as bare tuples. They may be
    left in the module's bytes until somebody asks for them (:meth:`later`).
    """

    __slots__ = ("_count", "_items", "_read", "placed")

    def __init__(self, items: Iterable[DataSegment | Placed] = ()) -> None:
        self._items: list[DataSegment | Placed] = list(items)
        self._read: Callable[[], list[DataSegment | Placed]] | None = None
        self._count = 0
        self.placed: tuple[array[int], int] | None = None
        """Of segments that are all active, in memory 0, at constants, and within its least size, once it is known:
        where each goes and where its contents begin and end, one after the other, and where the last one in memory
        ends."""

    @classmethod
    def later(cls, count: int, read: Callable[[], list[DataSegment | Placed]]) -> DataSegments:
        """``count`` segments that ``read()`` gives when they are wanted; it raises what decoding raises."""
        made = cls()
        made._count, made._read = count, read
        return made

    @property
    def is_read(self) -> bool:
        return self._read is None

    @property
    def items(self) -> list[DataSegment | Placed]:
        """All of them; read now, if they are not yet."""
        read = self._read
        if read is not None:
            self._items, self._read = read(), None
        return self._items

    def __len__(self) -> int:
        return len(self._items) if self._read is None else self._count

    @overload
    def __getitem__(self, index: int) -> DataSegment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataSegment]: ...
    def __getitem__(self, index: int | slice) -> DataSegment | Sequence[DataSegment]:
        if isinstance(index, slice):
            return [_segment(item) for item in self.items[index]]
        return _segment(self.items[index])

    def __iter__(self) -> Iterator[DataSegment]:
        return map(_segment, self.items)

    def others(self) -> Iterator[tuple[int, DataSegment]]:
        """Those that are not :data:`Placed`, with their indices."""
        return ((i, item) for i, item in enumerate(self.items) if isinstance(item, DataSegment))

    def append(self, segment: DataSegment) -> None:
        self.items.append(segment)


def _segment(item: DataSegment | Placed) -> DataSegment:
    if isinstance(item, DataSegment):
        return item
    _, first, stop, start, after = item
    return DataSegment("active", (first, stop), 0, (start + 1, after), start)


@final
class CustomSection(Record):
    """An uninterpreted section. ``after`` is the id of the last non-custom section before it (0: none)."""

    name: str
    content: Slice
    after: int


@final
class Module(Entity):
    """A decoded module. Lists are index spaces *without* imports unless a method says otherwise."""

    source: bytes
    types: list[SubType] = made(default_factory=list)
    """All defined types, in index order."""
    rec_groups: list[tuple[int, int]] = made(default_factory=list)
    """``(first type index, count)`` of each recursion group, in order; together they cover ``types``."""
    lone_groups: list[int] = made(default_factory=list)
    """First type index of those groups of one type that are written as groups all the same."""
    imports: list[Import] = made(default_factory=list)
    funcs: list[int] = made(default_factory=list)
    """Type index of each defined function."""
    bodies: list[Slice] = made(default_factory=list)
    """Each defined function's code entry without its size: local declarations, then the expression with ``end``."""
    tables: list[TableDecl] = made(default_factory=list)
    memories: list[MemoryType] = made(default_factory=list)
    globals: list[GlobalDecl] = made(default_factory=list)
    tags: list[TagType] = made(default_factory=list)
    exports: list[Export] = made(default_factory=list)
    start: int | None = None
    elems: list[ElemSegment] = made(default_factory=list)
    datas: DataSegments = made(default_factory=DataSegments)
    data_count: int | None = None
    customs: list[CustomSection] = made(default_factory=list)
    sections: list[tuple[int, int, int]] = made(default_factory=list)
    """``(id, start of content, end)`` of every section, in order."""

    imported_funcs: list[int] = made(default_factory=list)
    """Type index of each imported function; kept by the decoder, as are the next four."""
    imported_tables: list[TableType] = made(default_factory=list)
    imported_memories: list[MemoryType] = made(default_factory=list)
    imported_globals: list[GlobalType] = made(default_factory=list)
    imported_tags: list[TagType] = made(default_factory=list)

    def func_count(self) -> int:
        return len(self.imported_funcs) + len(self.funcs)

    def func_type_index(self, func: int) -> int:
        """Type index of function ``func`` of the whole index space. Raises ``IndexError``."""
        n = len(self.imported_funcs)
        return self.imported_funcs[func] if func < n else self.funcs[func - n]

    def func_type(self, func: int) -> FuncType:
        """The function type of ``func``; only for a validated type index."""
        comp = self.types[self.func_type_index(func)].comp
        assert isinstance(comp, FuncType)
        return comp

    def table_types(self) -> list[TableType]:
        """The whole table index space."""
        return self.imported_tables + [t.type for t in self.tables]

    def memory_types(self) -> list[MemoryType]:
        """The whole memory index space."""
        return self.imported_memories + self.memories

    def global_types(self) -> list[GlobalType]:
        """The whole global index space."""
        return self.imported_globals + [g.type for g in self.globals]

    def tag_types(self) -> list[TagType]:
        """The whole tag index space."""
        return self.imported_tags + self.tags
