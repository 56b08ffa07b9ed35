"""A control group for one worker (Linux: "Control Group v2"), beneath a directory that was delegated to us.

Invariant: a group is there from before its worker sees a job until its worker is gone, and holds nobody else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final

_PATIENCE: Final = 2.0
_MOMENT: Final = 0.001


def bounds(memory: int, processes: int) -> Mapping[str, str]:
    """What is written into a group: bytes of memory, none of it swapped; processes and threads."""
    return {"memory.max": str(memory), "memory.swap.max": "0", "pids.max": str(processes)}


_OPTIONAL: Final = ("memory.swap.max",)
"""Files a kernel without that feature does not have."""


@final
class Group:
    """One group; :meth:`close` ends whoever is in it and removes it."""

    def __init__(self, parent: str, pid: int, limits: Mapping[str, str]) -> None:
        """Make a group beneath ``parent``, with ``limits``, for the process ``pid``. Raises ``OSError``."""
        self.path = os.path.join(parent, f"wardian-{os.getpid()}-{pid}")
        os.mkdir(self.path, 0o700)
        try:
            for name, value in limits.items():
                try:
                    self._write(name, value)
                except FileNotFoundError:
                    if name not in _OPTIONAL:
                        raise
            self._write("cgroup.procs", str(pid))
        except BaseException:
            self.close()
            raise

    def _write(self, name: str, value: str) -> None:
        # No O_CREAT: what is no control group has no such file, and gets none.
        fd = os.open(os.path.join(self.path, name), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def close(self) -> None:
        """Remove it, once its processes, which are killed, are gone; a second call does nothing."""
        with suppress(OSError):
            self._write("cgroup.kill", "1")
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                os.rmdir(self.path)
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(_MOMENT)
