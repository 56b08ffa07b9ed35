"""Random modules from ``wasm-tools smith``."""

from __future__ import annotations

import random
import subprocess
from typing import Final

from tests.support import wasm_tools

_ALWAYS: Final = {
    "fuel": 1000,
    "export-everything": "true",
    "max-imports": 0,
    # A NaN's payload is the engine's choice; made canonical after every operation, bits can be compared.
    "canonicalize-nans": "true",
    # Resources are no matter of the specification: stay where no engine gives up.
    "memory-max-size-required": "true",
    "max-memory32-bytes": 1 << 20,
    "max-memory64-bytes": 1 << 20,
    "table-max-size-required": "true",
    "max-table-elements": 1000,
    "max-memories": 3,
    "max-tables": 3,
    "min-funcs": 4,
    "min-memories": 1,
    "max-funcs": 12,
    "max-types": 12,
    "max-globals": 10,
    "max-data-segments": 6,
    "max-element-segments": 6,
    "wide-arithmetic-enabled": "true",
    "custom-page-sizes-enabled": "true",
    "limit-arrays-in-const-exprs": "true",
    # Another thread would be needed to end a wait.
    "threads-enabled": "false",
    "compact-imports-enabled": "false",
    "custom-descriptors-enabled": "false",
}

_FLAVOURS: Final = (
    {"gc-enabled": "false", "exceptions-enabled": "false"},
    {"gc-enabled": "false", "exceptions-enabled": "false", "simd-enabled": "false", "relaxed-simd-enabled": "false"},
    {"gc-enabled": "false", "exceptions-enabled": "false", "allowed-instructions": "numeric,memory,control,variable"},
    {"gc-enabled": "false", "exceptions-enabled": "false", "disallow-traps": "true"},
    {"gc-enabled": "false", "exceptions-enabled": "true", "min-tags": 2},
    {"gc-enabled": "true", "exceptions-enabled": "true"},
    {"gc-enabled": "true", "exceptions-enabled": "false", "simd-enabled": "false", "relaxed-simd-enabled": "false"},
)


def module(rng: random.Random) -> bytes | None:
    """A module; ``None`` if the random bytes led nowhere."""
    options = {**_ALWAYS, **rng.choice(_FLAVOURS), "max-instructions": rng.choice((50, 200, 600))}
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [*wasm_tools(), "smith", "--ensure-termination", *flags]
    done = subprocess.run(
        command, input=rng.randbytes(rng.choice((1000, 3000, 8000))), capture_output=True, check=False
    )
    if done.returncode and b"error: " in done.stderr and b"unexpected argument" in done.stderr:
        raise AssertionError(done.stderr.decode())
    return done.stdout if done.returncode == 0 else None
