"""What the user chooses about generated code."""

from __future__ import annotations

from typing import Literal, final

from wardian.record import Record


@final
class CodeOptions(Record):
    """Everything but the module that changes generated code; part of the cache key."""

    opt: Literal["O0", "O2"] = "O2"
    checks: Literal["guard", "explicit"] = "explicit"
    exceptions: bool = False
    """Look for a pending exception after each call: needed as soon as some module of the store has tags."""
    stack_checks: bool = True
    """Off for the collector, which needs little stack and must not stop half way."""
