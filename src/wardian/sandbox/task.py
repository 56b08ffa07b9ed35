"""A run as one value, everything about it being decided but where it happens.

Invariant: it says the same to whoever carries it out, in this process (:func:`wardian.sandbox.run.carry_out`) or in one
of its own (:mod:`wardian.sandbox.isolated`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from wardian.errors import Frame, Interrupted, Trap
from wardian.grants import Grants
from wardian.limits import Limits, remedy
from wardian.record import NamedTuple

Imports: TypeAlias = "Mapping[str, Mapping[str, object]]"
Unknown: TypeAlias = "Literal['trap', 'default'] | None"

NO_IMPORTS: Final[Imports] = MappingProxyType({})


def cpu_used_up(seconds: float, frames: tuple[Frame, ...] = ()) -> Interrupted:
    """What stops a guest whose processor time is over."""
    spent = f"timeout: the {seconds:g} s of processor time it had are used up; {remedy('cpu')}"
    return Interrupted("cpu", spent, frames)


def time_over(seconds: float, frames: tuple[Frame, ...] = (), more: str = "") -> Interrupted:
    """What stops a guest whose wall-clock time is over."""
    return Interrupted("timeout", f"timeout: the {seconds:g} s it had are over{more}; {remedy('timeout')}", frames)


_LIMITS: Final = MappingProxyType(
    {
        "stack_exhausted": "stack", "heap_exhausted": "gc_heap",
        "timeout": "timeout", "cpu": "cpu", "out_of_fuel": "fuel",
    }
)
"""Traps -> the limits whose end they are."""


def limits_of(trap: Trap) -> Iterator[str]:
    """The limit that a trap is the end of, if it is one."""
    if trap.code in _LIMITS:
        yield _LIMITS[trap.code]


class Task(NamedTuple):
    """What a guest is given, bounded by, and asked to do."""

    limits: Limits
    grants: Grants
    invoke: str | None = None
    """The exported function to call with ``args``; ``None``: the program is run."""
    args: tuple[Any, ...] = ()
    timeout: float | None = None
    cpu: float | None = None
    imports: Imports = NO_IMPORTS
    unknown: Unknown = None
    """What stands for imports that nobody defines."""
