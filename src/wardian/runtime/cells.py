"""Spec "Global Instances" and "Tag Instances"."""

from __future__ import annotations

from typing import final

from wardian.runtime.native import Block
from wardian.syntax.types import FuncType, GlobalType
from wardian.valid.types import TypeContext


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
        """The value's bits as an unsigned word."""
        return self.block[self.offset]

    @word.setter
    def word(self, value: int) -> None:
        self.block[self.offset] = value


@final
class TagInstance:
    __slots__ = ("__weakref__", "key", "type")

    def __init__(self, type: FuncType, key: bytes) -> None:
        self.type = type
        self.key = key
