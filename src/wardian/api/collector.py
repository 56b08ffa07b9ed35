"""The collector's code: a guest module of our own (``vm/collector.wasm``), compiled whole and kept with the glue.

Invariant: it lies outside of the space for guest code, so a signal that stops guests never stops a collection half way,
and its memory accesses are compared with the memory's length, so it faults nowhere.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from typing import Final, final

from wardian.binary.decode import decode
from wardian.compile.artifact import Functions
from wardian.compile.compiler import Compiler
from wardian.limits import Features, Limits
from wardian.runtime.glue import Glue
from wardian.runtime.memory import Initial
from wardian.runtime.native import Block
from wardian.runtime.process import Process
from wardian.syntax.types import FuncType
from wardian.valid.module import validate_module
from wardian.vm import heap
from wardian.vm.abi import function_symbol, signature_code
from wardian.vm.layout import InstanceLayout

COLLECTOR: Final = os.path.join(os.path.dirname(heap.__file__), "collector.wasm")


@final
class CollectorCode:
    """Implements :class:`wardian.runtime.instance.Code`."""

    has_objects = False
    counts_fuel = False

    def __init__(self, compiler: Compiler, process: Process, glue: Callable[[str], Glue]) -> None:
        """``glue`` gives that of a signature code."""
        self._glue = glue
        self.name: str | None = "collector"
        with open(COLLECTOR, "rb") as file:
            decl = decode(file.read(), Features(), Limits())
        self.ctx = validate_module(decl, Features(), Limits())
        self.layout = InstanceLayout.of(decl)
        self.exports = {e.name: e for e in decl.exports}
        count = len(decl.funcs)
        self.codes = Block(8 * count)
        self.type_words = Block(4 * count)
        self.type_words.words.cast("B").cast("I")[:count] = memoryview(array("I", decl.funcs))
        self.type_ids = process.canonical.lease(self.ctx.types)
        self._kept = [self.glue(i) for i in range(len(decl.types))]
        images = enumerate(compiler.collector(self.ctx))
        code = Functions.join(None, [(i, image.code, image.offset(function_symbol(i))) for i, image in images])
        # All at once, and last of all: what is mapped stays, whatever fails after it.
        at = process.map_glue(bytes(code.blob))
        for index, (_, _, entry) in code.rows.items():
            self.codes[8 * index] = at + entry

    def load(self) -> None:
        pass

    def resolve(self, index: int) -> int:
        return self.codes[8 * index]

    def glue(self, type_index: int) -> Glue:
        comp = self.ctx.types.expand(type_index)
        assert isinstance(comp, FuncType)
        return self._glue(signature_code(comp, self.ctx.module.types))

    def func_facts(self, index: int) -> tuple[int, str, Glue]:
        type_index = self.ctx.func_types[index]
        return type_index, f"function {index}", self.glue(type_index)

    def function_name(self, index: int) -> str | None:
        return None

    def hot(self, index: int, site: int) -> tuple[int, int]:
        return 0, 0

    def with_exceptions(self) -> CollectorCode:
        return self

    def initial(self) -> Initial | None:
        return None
