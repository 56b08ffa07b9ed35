"""A run as one value, everything about it being decided but where it happens.

Invariant: it says the same to whoever carries it out, in this process (:func:`wardian.sandbox.run.carry_out`) or in one
of its own (:mod:`wardian.sandbox.isolated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from wardian.grants import Grants
from wardian.limits import Limits

Imports: TypeAlias = "Mapping[str, Mapping[str, object]]"
Unknown: TypeAlias = "Literal['trap', 'default'] | None"

NO_IMPORTS: Final[Imports] = MappingProxyType({})


class Task(NamedTuple):
    """What a guest is given, bounded by, and asked to do."""

    limits: Limits
    grants: Grants
    invoke: str | None = None
    """The exported function to call with ``args``; ``None``: the program is run."""
    args: tuple[Any, ...] = ()
    timeout: float | None = None
    imports: Imports = NO_IMPORTS
    unknown: Unknown = None
    """What stands for imports that nobody defines."""
