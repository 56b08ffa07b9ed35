"""A world of its own for the zygote, and so for its workers: user, processes, files, network, queues.

Invariant: these run in a process that has one thread and nothing to lose; what fails is reported and leaves the process
as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from wardian.isolation import kernel
from wardian.isolation.lockdown import attempt
from wardian.isolation.report import Layer

_OTHERS: Final = (
    ("network-namespace", kernel.NEWNET),
    ("ipc-namespace", kernel.NEWIPC | kernel.NEWUTS),
)


def enter() -> tuple[Layer, ...]:
    """Everything but processes and files, which come when they can."""
    return tuple(_enter())


def _enter() -> Iterator[Layer]:
    yield attempt("user-namespace", _become_nobody)
    for name, flags in _OTHERS:
        yield attempt(name, lambda flags=flags: kernel.unshare(flags))  # type: ignore[misc]


def _become_nobody() -> None:
    """The same user and group, as the only ones there are, with no rights over what belongs to the world outside."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def new_processes() -> None:
    """Children of this process have a world of processes of their own, of which the first is number 1."""
    kernel.unshare(kernel.NEWPID)


def no_files() -> Layer:
    """An empty root, from now on."""

    def act() -> None:
        kernel.unshare(kernel.NEWNS)
        kernel.empty_root()

    return attempt("mount-namespace", act)
