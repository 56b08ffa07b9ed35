"""Another process: swaps a directory for symbolic links as fast as it can, until its input ends; prints how often."""

from __future__ import annotations

import ctypes
import os
import select
import sys

_AT_FDCWD = -100
_EXCHANGE = 2


def main(root: str, place: str, links: list[str]) -> None:
    os.chdir(root)
    rename = ctypes.CDLL(None).renameat2
    names = [os.fsencode(name) for name in links]
    target = os.fsencode(place)
    swaps = 0
    print("ready", flush=True)
    while not select.select([0], [], [], 0)[0]:
        for _ in range(50):
            for name in names:
                # There and back: what is at `place` is the directory, then a link, then the directory again.
                swaps += rename(_AT_FDCWD, target, _AT_FDCWD, name, _EXCHANGE) == 0
                swaps += rename(_AT_FDCWD, target, _AT_FDCWD, name, _EXCHANGE) == 0
    print(swaps, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
