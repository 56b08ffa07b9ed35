"""How linear memories are reserved: numbers that address arithmetic and the allocator share."""

from __future__ import annotations

from typing import Final

GUARD: Final = 2 << 30
"""Bytes that are never accessible before a memory, nor after the 4 GiB that a 32-bit index can reach."""

INDEX_SPACE: Final = 4 << 30

SLOT: Final = INDEX_SPACE + GUARD
"""Address space one memory of at most 4 GiB takes; neighbours share guards, and the first has one of its own."""
