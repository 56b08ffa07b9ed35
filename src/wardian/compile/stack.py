"""Threads with a stack that is deep enough to compile on.

Invariant: whatever happens, the process's setting for the stacks of new threads is what it was before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

COMPILER_STACK: Final = 64 << 20
"""Stack of the compiler thread: LLVM's passes recurse."""

T = TypeVar("T")


def thread_with_stack(run: Callable[[], None], size: int) -> threading.Thread:
    """A daemon thread that runs ``run`` on a stack of ``size`` bytes."""
    with _STACK_SIZE:
        before = threading.stack_size(size)
        try:
            thread = threading.Thread(target=run, name="wardian-compile", daemon=True)
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def with_deep_stack(work: Callable[[], T]) -> T:
    """Run ``work`` on a thread with a large stack and wait; what it raises is raised here."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread whatever it is
            failure.append(error)

    thread_with_stack(run, COMPILER_STACK).join()
    if failure:
        raise failure[0]
    return outcome[0]


_STACK_SIZE: Final = threading.Lock()
"""``threading.stack_size`` is one setting for the process."""
