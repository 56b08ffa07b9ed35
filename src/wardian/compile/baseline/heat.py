"""When code is hot."""

from __future__ import annotations

from typing import Final, final

from wardian.record import Record

LOOP_TURNS: Final = 8
"""Turns of a loop that weigh as much as a call."""


@final
class Heat(Record):
    """What a call, and a turn of a loop, adds to a function's heat, which is hot when 2^32 is reached."""

    of_call: int
    of_loop: int

    @classmethod
    def after(cls, calls: int) -> Heat:
        """Hot after ``calls`` calls."""
        return cls(*((1 << 32) // calls // turns - 1 for turns in (1, LOOP_TURNS)))
