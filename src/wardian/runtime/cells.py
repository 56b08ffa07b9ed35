"""Spec "Global Instances" and "Tag Instances"."""

from __future__ import annotations

from typing import Final, final

from wardian.runtime.native import Block
from wardian.syntax.types import V128, FuncType, GlobalType
from wardian.valid.types import TypeContext

_WORD: Final = (1 << 64) - 1


@final
class GlobalInstance:
    """One global: a cell of 16 bytes in ``block`` at ``offset`` (an instance's context, or a block of its own)."""

    __slots__ = ("__weakref__", "block", "keep", "offset", "type", "types")

    def __init__(self, type: GlobalType, types: TypeContext, block: Block | None = None, offset: int = 0) -> None:
        self.type = type
        self.types = types
        self.block = Block(16) if block is None else block
        self.offset = offset
        self.keep: list[object] = []

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


@final
class TagInstance:
    __slots__ = ("__weakref__", "key", "type")

    def __init__(self, type: FuncType, key: bytes) -> None:
        self.type = type
        self.key = key
