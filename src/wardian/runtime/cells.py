"""Spec "Global Instances" and "Tag Instances"."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, final

from wardian.runtime.heap import plain_word
from wardian.runtime.native import Block
from wardian.runtime.process import process
from wardian.syntax.module import Module
from wardian.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    SubType,
    ValType,
)
from wardian.valid.types import TypeContext
from wardian.vm.layout import ROOT

_WORD: Final = (1 << 64) - 1


@final
class GlobalInstance:
    """One global: a cell of 16 bytes in ``block`` at ``offset`` (an instance's context, or a block of its own)."""

    __slots__ = ("__weakref__", "_root", "block", "keep", "offset", "type", "types", "waiting")

    def __init__(self, type: GlobalType, types: TypeContext, block: Block | None = None, offset: int = 0) -> None:
        self.type = type
        self.types = types
        self.block = Block(16) if block is None else block
        self.offset = offset
        self.keep: list[object] = []
        self._root: Block | None = None
        self.waiting: object = None
        """Of a global for heap references that no store has yet: its value in Python."""
        if block is None and types.is_heap_ref(type.value):
            self._root = Block(ROOT.size)
            self._root[ROOT.at["base"]] = self.block.address
            self._root[ROOT.at["length"]] = 1

    def lent(self, store: object | None, keeper: object) -> GlobalInstance:
        """The same cell as an object of its own that keeps ``keeper`` and its ``store``."""
        made = GlobalInstance(self.type, self.types, self.block.lent(keeper), self.offset)
        if store is not None:
            made.keep.append(store)
        return made

    @property
    def address(self) -> int:
        return self.block.address + self.offset

    @property
    def word(self) -> int:
        """The value's bits as an unsigned number: 128 for a v128, else at most 64."""
        low = self.block[self.offset]
        return low | self.block[self.offset + 8] << 64 if self.type.value is V128 else low

    @word.setter
    def word(self, value: int) -> None:
        if self.type.value is V128:
            self.block[self.offset + 8] = value >> 64
            value &= _WORD
        self.block[self.offset] = value

    def set(self, word: int) -> None:
        """Store a word, such as one that holds a reference (:class:`wardian.runtime.heap.HeapRef`)."""
        self.word = plain_word(word)

    def roots(self) -> list[int]:
        """What the collector must look at, for a global that is a block of its own: addresses as in STORE.roots."""
        return [] if self._root is None else [self._root.address]


TAG_TYPES: Final[MappingProxyType[str, ValType]] = MappingProxyType(
    {"i32": I32, "i64": I64, "f32": F32, "f64": F64, "v128": V128, "funcref": FUNCREF, "externref": EXTERNREF}
)


@final
class Tag:
    """An exception tag (spec: "Tag Instances"): ``Tag("i32", "i64")`` makes one to be imported by modules.

    ``number`` is its identity, process-wide; ``type_index`` of ``types`` its function type.
    """

    __slots__ = ("__weakref__", "number", "type", "type_index", "types")

    def __init__(self, *params: str) -> None:
        """A new tag whose exceptions carry values of these types. Raises ``ValueError``."""
        unknown = [p for p in params if p not in TAG_TYPES]
        if unknown:
            raise ValueError(f"types must be of {', '.join(TAG_TYPES)}, not {unknown[0]!r}")
        type_ = FuncType(tuple(TAG_TYPES[p] for p in params), ())
        self._set(type_, 0, TypeContext(Module(b"", types=[SubType(type_)], rec_groups=[(0, 1)])))

    @classmethod
    def of(cls, type: FuncType, type_index: int, types: TypeContext) -> Tag:
        """A new tag of a module's type."""
        tag = cls.__new__(cls)
        tag._set(type, type_index, types)
        return tag

    def _set(self, type: FuncType, type_index: int, types: TypeContext) -> None:
        self.number = process().new_handle()
        self.type = type
        self.type_index = type_index
        self.types = types

    def __repr__(self) -> str:
        return f"<wardian.Tag: {', '.join(map(repr, self.type.params))}>"
