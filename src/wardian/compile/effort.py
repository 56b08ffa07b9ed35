"""How much work a function is for LLVM's optimiser: told from its text, before it is given any.

Several passes take time that grows with a product: blocks by variables that are alive across them, ways into one block
by the variables that meet there, accesses to memory in one block by each other. Functions of real programs stay far
below the bounds here; the bytes of a body say nothing, since 40 KiB made for the purpose can take minutes.

Invariant: what passes is optimised in some seconds, in some hundred megabytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

LOOK_FROM: Final = 4096
"""Bytes of a body below which no function can be too much."""


class GaveUp(Exception):
    """LLVM has not compiled a function, and will not if it is asked again."""


_BLOCK: Final = re.compile(r"^b\d+:", re.MULTILINE)
_TARGET: Final = re.compile(r"label %(\w+)")
_ACCESS: Final = "!tbaa !1"
"""Begins the mark of an access to guest memory, and to objects."""
_SLOT: Final = " = alloca "

BOUNDS: Final = MappingProxyType(
    {
        "blocks": 20_000,
        "ways into one block": 3_000,
        "blocks by variables": 10_000_000,
        "ways into one block by variables": 200_000,
        "accesses to memory in one block": 6_000,
    }
)
"""What a function may have of each; at any of them the optimiser takes some five to ten seconds. The most that was
seen in programs (CPython, PHP, SQLite): 17,600; 1,600; 1.1 million; 52,000; 3,200."""


def _measures(text: str) -> Iterator[tuple[str, int]]:
    pieces = _BLOCK.split(text)
    variables = text.count(_SLOT)
    ways = max(Counter(_TARGET.findall(text)).values(), default=0)
    yield "blocks", len(pieces)
    yield "ways into one block", ways
    yield "blocks by variables", len(pieces) * variables
    yield "ways into one block by variables", ways * variables
    yield "accesses to memory in one block", max(piece.count(_ACCESS) for piece in pieces)


def too_much(text: str) -> str | None:
    """What an LLVM function has too much of to be optimised, in words; ``None``: nothing."""
    for name, found in _measures(text):
        if found > BOUNDS[name]:
            return f"{name}: {found}"
    return None
