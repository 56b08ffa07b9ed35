"""What became of each layer of the confinement: the worker's report, before it looks at its job.

Invariant: a layer is said to be in force only after the system call that enforces it has succeeded.
"""

from __future__ import annotations

from typing import final

from wardian.record import Record


@final
class Layer(Record):
    """One layer: its name in :data:`wardian.isolation.policy.LAYERS`, whether it is in force, and how, or why not."""

    name: str
    on: bool
    detail: str = ""
