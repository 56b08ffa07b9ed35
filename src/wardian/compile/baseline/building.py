"""A build step of the package: :mod:`wardian.compile.baseline.ship`'s file goes where the package goes.

Invariant: a package without the file works all the same, so nothing that goes wrong here ends a build.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from setuptools.command.build_py import build_py  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from wardian.compile.link import Image

_FUNCTIONS: Final = 8 * 2048
"""Functions of a module whose lazy stubs are made."""
_SIGNATURES: Final = (
    "_ i_ _i _l _f _d i_i ii_ ii_i iii_ iii_i iiii_ iiii_i iiiii_ iiiii_i iiiiii_i iiiiiii_i l_ l_l ll_l lll_l il_i "
    "ill_i ili_i illi_i ilii_i iiili_i iiiilli_i iiiiillii_i d_d dd_d f_f ff_f l_i i_l d_i i_d"
).split()
"""Of functions that go between Python and guests: WASI's, and simple ones."""


def _glue() -> Mapping[str, Image]:
    from wardian.binary.decode import decode
    from wardian.compile.compiler import Compiler
    from wardian.compile.llvm import Backend
    from wardian.limits import Features, Limits
    from wardian.syntax.types import FuncType
    from wardian.valid.module import validate_module
    from wardian.vm import heap
    from wardian.vm.abi import signature_code
    from wardian.vm.builtins import STUBS

    compiler = Compiler(None, backend=Backend(common=True))
    compiler.core()
    for chunk in range(_FUNCTIONS // STUBS):
        compiler.stubs(chunk)
    for code in _SIGNATURES:
        compiler.signature(code)
    collector = decode(Path(heap.__file__).with_name("collector.wasm").read_bytes(), Features(), Limits())
    compiler.collector(validate_module(collector, Features(), Limits()))
    for type_ in collector.types:
        if isinstance(type_.comp, FuncType):
            compiler.signature(signature_code(type_.comp, collector.types))
    return compiler.glue()


class BuildPy(build_py):  # type: ignore[misc]
    """``build_py`` that makes the stencils as well."""

    def run(self) -> None:
        """See the class."""
        if not self.editable_mode:
            # A module that has gone since an earlier build in this folder would be packed with the others,
            # and the file's digest of the sources would not fit what is installed.
            shutil.rmtree(Path(self.build_lib) / "wardian", ignore_errors=True)
        super().run()
        here = Path(__file__).parent
        target = here if self.editable_mode else Path(self.build_lib) / "wardian" / "compile" / "baseline"
        # The build imports this file by itself; the package it belongs to is not on the path then.
        sys.path.insert(0, str(here.parents[2]))
        try:
            from wardian.compile.baseline.ship import FILE, write

            target.mkdir(parents=True, exist_ok=True)
            write(target / FILE, _glue())
        except Exception as reason:  # noqa: BLE001 - whatever it is, the first run makes them instead
            self.warn(f"the package goes without stencils: {reason}")
