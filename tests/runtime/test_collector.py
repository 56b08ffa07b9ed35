"""collector.wasm is what collector.c says, and does what its head promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.build_collector import BINARY, build
from wardian.binary.body import instructions
from wardian.binary.decode import decode
from wardian.limits import Features, Limits
from wardian.syntax.families import Call, CallIndirect, GlobalSet
from wardian.syntax.module import Module
from wardian.valid.driver import validate


@pytest.fixture
def module() -> Module:
    return decode(BINARY.read_bytes(), Features(), Limits())


def test_it_is_built_from_its_source(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    target = tmp_path / "collector.wasm"
    build(target)
    assert target.read_bytes() == BINARY.read_bytes(), "python -m tests.runtime.build_collector"


def test_it_is_valid_and_asks_for_little(module: Module) -> None:
    validate(module)
    assert {(i.module, i.name) for i in module.imports} == {("env", "memory"), ("host", "roots"), ("host", "release")}
    assert not module.datas, "its constants would have to be put into every heap"


def test_it_has_no_stack_in_memory(module: Module) -> None:
    """Leaving it by longjmp must not leave a moved stack pointer behind."""
    from wardian.binary.body import locals_of

    for start, end in module.bodies:
        _, pos = locals_of(module.source, start, end, Limits())
        for _, row, _ in instructions(module.source, pos, end, Features()):
            assert not isinstance(row.family, GlobalSet | CallIndirect), row
            assert not (isinstance(row.family, Call) and row.family.tail)
