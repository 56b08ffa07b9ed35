"""Builds the wheel; with ``WARDIAN_COMPILE=1`` its hottest modules as native code too, by mypyc.

Invariant: the sources are the same in both wheels, and these modules' ``.py`` files are in both. What a compiled wheel
needs beyond them (mypy, a C compiler, Python's headers) it needs when it is built; where these are absent the wheel is
the pure one, with a warning.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
import warnings
from typing import Final

from setuptools import Extension, setup

COMPILED: Final = (
    "syntax/row",
    "binary/reader",
    "binary/types",
    "binary/body",
    "binary/sections",
    "binary/tokens",
    "valid/types",
    "valid/constexpr",
    "valid/stacks",
    "valid/control",
    "valid/access",
    "valid/aggregate",
    "valid/code",
    "valid/module",
    "valid/driver",
    "compile/baseline/unsupported",
    "compile/baseline/shapes",
    "compile/baseline/library",
    "compile/baseline/facts",
    "compile/baseline/function",
    "compile/baseline/steps",
    "compile/baseline/pieces",
    "compile/baseline/quick",
    "compile/baseline/driver",
)
"""What a function's body goes through, byte by byte. The table of instructions is not among them: a thousand rows make
millions of lines of C, and nothing but attributes of theirs is used afterwards."""

_NEEDS: Final = "mypy>=1.15"
_BUILDING: Final = frozenset({"bdist_wheel", "build", "build_ext", "editable_wheel"})


def _obstacle() -> str | None:
    """What stands in the way of native code."""
    try:
        import mypyc.build  # noqa: F401
    except ImportError:
        return "mypy is not installed"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")):
        return "there are no headers of Python"
    return None


def _extensions() -> list[Extension]:
    if os.environ.get("WARDIAN_COMPILE", "0") in ("", "0") or not _BUILDING.intersection(sys.argv):
        return []
    obstacle = _obstacle()
    if obstacle is not None:
        warnings.warn(f"WARDIAN_COMPILE is set, but {obstacle}: the wheel will be pure Python", stacklevel=2)
        return []
    from mypyc.build import mypycify

    os.environ["MYPYPATH"] = "src"
    # Not the project's configuration, which says what to check and how strictly; the checks are another job.
    options = ["--config-file=", "--ignore-missing-imports"]
    found: list[Extension] = mypycify(
        [*options, *(f"src/wardian/{name}.py" for name in COMPILED)], group_name="wardian"
    )
    return found


setup(
    ext_modules=_extensions(),
    setup_requires=[_NEEDS] if os.environ.get("WARDIAN_COMPILE", "0") not in ("", "0") else [],
)
