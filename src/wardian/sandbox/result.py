"""How a run ended, as a frozen value that can be pickled.

Invariant: it holds plain values only, whatever the guest did and wherever it ran.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, final

from wardian.errors import Exit, Trap
from wardian.isolation.report import Layer
from wardian.record import Record

Status: TypeAlias = Literal["exited", "trapped", "timeout", "interrupted", "out_of_fuel", "killed"]

TRAPPED: Final = 134
"""``returncode`` of a guest that trapped, as a shell shows SIGABRT, and as Wasmtime's command does."""


@final
class Usage(Record):
    """What a run cost: ``seconds`` of wall time, the most bytes its memories had, and the ``fuel`` it spent, if that
    was counted."""

    seconds: float
    memory: int
    fuel: int | None = None


@final
class RunResult(Record):
    """How a guest ended. ``stdout`` and ``stderr`` are ``bytes`` (``str`` with ``text=True``), empty unless captured.

    ``status`` is ``"exited"`` (see ``returncode``), ``"trapped"`` (see ``trap``), ``"timeout"``, ``"interrupted"`` or
    ``"out_of_fuel"``, or, of a run in a process of its own, ``"killed"``: that process was lost, and ``trap`` says how.
    ``truncated`` tells that output went beyond its bound; ``values`` are the results of ``invoke``; ``isolation`` are
    the layers around the guest's process that were looked at, in force or not: none of a run in this process.
    ``reached`` names the limits (:data:`wardian.limits.BOUNDS`) that the guest has run into, whether it went on or not.
    """

    status: Status
    returncode: int
    stdout: Any
    stderr: Any
    trap: Trap | None
    usage: Usage
    truncated: bool = False
    values: tuple[Any, ...] = ()
    isolation: tuple[Layer, ...] = ()
    reached: tuple[str, ...] = ()

    def check(self) -> RunResult:
        """Itself if the guest exited with 0; else raises its :class:`Trap`, or :class:`Exit`."""
        if self.trap is not None:
            raise self.trap
        if self.returncode:
            raise Exit(self.returncode)
        return self
