"""Border of the baseline tier: what a stencil checks is the address it accesses, whatever number fills its holes."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

import wardian
from wardian.compile.baseline.facts import FAR, MAX_OFFSET, NEAR
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.baseline.function import Baseline
from wardian.compile.baseline.holes import Hole
from wardian.compile.baseline.memories import access
from wardian.compile.baseline.stencils import Maker, _memory
from wardian.compile.baseline.steps import dead, live
from wardian.compile.compiler import Compiler
from wardian.compile.options import CodeOptions
from wardian.vm.memory import GUARD

FLAVOURS = [
    Flavour(CodeOptions(checks=checks), is64, shared)  # type: ignore[arg-type]
    for checks, is64, shared in product(("guard", "explicit"), (False, True), (False, True))
]


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_a_comparison_knows_the_offset_that_is_added(flavour: Flavour) -> None:
    """Guard pages need none below :data:`MAX_OFFSET`; everything else compares with what it then adds."""
    maker = Maker(flavour)
    _memory(maker, flavour)
    compared = flavour.is64 or flavour.options.checks == "explicit"
    seen = 0
    for key, name in maker._names.items():
        assert isinstance(key, tuple)
        if "load" in key[0] or "store" in key[0]:
            seen += 1
            lines = [line for line in maker._texts[name].splitlines() if "@I_s" in line]
            assert len(lines) == 1 + compared, (key, maker._texts[name])
            assert not compared or "usub.sat" in lines[0] or "add i64" in lines[0], lines
    assert seen > 20


@pytest.mark.parametrize("checks", ["guard", "explicit"])
@pytest.mark.parametrize("kind", ["i3216", "i32shared16", "i6416", "i320", "i640"])
@pytest.mark.parametrize("how", [NEAR, FAR])
def test_other_memories_are_compared_likewise(kind: str, checks: str, how: str) -> None:
    """Unless guard pages do it, at an offset that they cover; and base and length are those of the memory at hand."""
    maker = Maker(Flavour(CodeOptions(checks=checks), False, False))  # type: ignore[arg-type]
    compared = how == FAR or checks == "explicit" or (not kind.endswith("i3216") and kind not in ("i32shared16",))
    for memory in (0, 2):
        for name in ("i32.load", "i64.store8", "v128.load64_splat"):
            access(maker, name, str(memory), kind, how)
            text = maker._texts[f"t{len(maker._texts) - 1}"].partition("start:")[2]
            uses = [line for line in text.splitlines() if "@I_s" in line or "%far" in line]
            assert len(uses) == 1 + compared, text
            assert ("@J_s" in text) == compared
            assert ("@C_s" in maker._texts[f"t{len(maker._texts) - 1}"]) == (memory != 0)


def test_offsets_stay_in_the_guard() -> None:
    assert MAX_OFFSET + 16 <= GUARD


def test_the_stand_in_is_never_computed_with() -> None:
    hole = Hole("I_s")
    assert str(hole + 8 - 1) == str(7 + hole) == "ptrtoint (ptr getelementptr (i8, ptr @I_s, i64 7) to i64)"
    assert Hole("I_s", -1), "true, whatever the stand-in is"
    operations: list[Callable[[Any, Any], Any]] = [
        operator.mul, operator.floordiv, operator.mod, operator.and_, operator.or_, operator.xor, operator.lshift,
        operator.rshift, lambda a, b: b - a,
    ]  # fmt: skip
    for operation in operations:
        with pytest.raises(AssertionError, match="only known when"):
            operation(hole, 3)


def test_no_hole_is_left_empty() -> None:
    """What a stencil compares with is never what its bytes happened to be."""
    ctx = wardian.Module("(module (memory i64 1) (func (param i64)))")._ctx
    compiler = Compiler(None).baseline(ctx, CodeOptions(checks="guard"))
    assert compiler is not None
    function = Baseline(compiler._facts, 0, [], live(), dead())
    stencil = compiler._facts.library.group("do i32.load").get(0)
    function.emit(stencil, a=0, d=0, i=0, j=0)
    for missing in "ij":
        with pytest.raises(struct.error):
            function.emit(stencil, **{hole: 0 for hole in "abcdij" if hole != missing})
