"""A build step of the package: :mod:`wardian.compile.baseline.ship`'s file goes where the package goes.

Invariant: a package without the file works all the same, so nothing that goes wrong here ends a build.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools.command.build_py import build_py  # type: ignore[import-untyped]


class BuildPy(build_py):  # type: ignore[misc]
    """``build_py`` that makes the stencils as well."""

    def run(self) -> None:
        """See the class."""
        super().run()
        here = Path(__file__).parent
        target = here if self.editable_mode else Path(self.build_lib) / "wardian" / "compile" / "baseline"
        # The build imports this file by itself; the package it belongs to is not on the path then.
        sys.path.insert(0, str(here.parents[2]))
        try:
            from wardian.compile.baseline.ship import FILE, write

            target.mkdir(parents=True, exist_ok=True)
            write(target / FILE)
        except Exception as reason:  # noqa: BLE001 - whatever it is, the first run makes them instead
            self.warn(f"the package goes without stencils: {reason}")
