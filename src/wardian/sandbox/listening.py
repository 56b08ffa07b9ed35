"""Events of a worker's audit stream, read in this process and given to a function.

Invariant: the worker is not believed: lines that are no JSON object, or too long, are passed over.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from wardian.wasi.p1.audit import Sink

_LONGEST: Final = 1 << 16


@contextmanager
def listening(sink: Sink) -> Iterator[int]:
    """A descriptor to write events to, as lines of JSON; ``sink`` is called with them on a thread of its own.

    On leaving, everything that was written has been told. Raises what ``sink`` raised.
    """
    ours, theirs = os.pipe()
    raised: list[BaseException] = []

    def listen() -> None:
        with open(ours, "rb") as lines:
            while line := lines.readline(_LONGEST):
                if not raised:
                    try:
                        _tell(sink, line)
                    except Exception as error:  # noqa: BLE001 - it is raised where the run ends
                        raised.append(error)

    listener = threading.Thread(target=listen, name="wardian-audit", daemon=True)
    listener.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        listener.join()
    if raised:
        raise raised[0]


def _tell(sink: Sink, line: bytes) -> None:
    try:
        event = json.loads(line)
    except ValueError:
        return
    if isinstance(event, dict):
        sink(event)
