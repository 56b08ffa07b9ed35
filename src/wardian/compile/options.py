"""What the user chooses about generated code."""

from __future__ import annotations

from typing import Literal, final

from wardian.record import Record


@final
class CodeOptions(Record):
    """Everything but the module that changes generated code; part of the cache key, unless a field says otherwise."""

    opt: Literal["O0", "O2", "baseline"] = "O2"
    """``baseline``: stencils, and O0 for a function that needs what no stencil does."""
    checks: Literal["guard", "explicit"] = "explicit"
    exceptions: bool = False
    """Look for a pending exception after each call: needed as soon as some module of the store has tags."""
    optimise_below: int = 256 << 10
    """Bytes of a body from which on it is compiled at O0 whatever ``opt`` says: several of LLVM's passes take quadratic
    time, so a function made for the purpose would take hours. Changes no meaning, so no part of the cache key."""
    stack_checks: bool = True
    """Off for the collector, which needs little stack and must not stop half way."""
