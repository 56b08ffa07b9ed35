"""How the baseline tier says that a function is not for it."""

from __future__ import annotations

from typing import final


@final
class Unsupported(Exception):
    """No stencil does this: the optimising compiler takes the function. ``reason`` is for statistics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
