"""The specification's files on references with a collection at every allocation: nothing live may ever be freed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import wardian
from tests.support import Mode, mode_params
from wardian.cli.scripts import Script, Spectest
from wardian.runtime.process import process

FILES = (
    "array array_copy array_fill array_init_data array_init_elem array_new_data array_new_elem br_on_cast "
    "br_on_cast_fail br_on_non_null br_on_null elem extern global i31 ref_as_non_null ref_cast ref_eq ref_is_null "
    "ref_null ref_test return_call_ref struct table table-sub table_fill table_get table_grow table_set throw "
    "throw_ref try_table type-canon type-equivalence type-rec type-subtyping "
).split()


@pytest.fixture
def zeal() -> Iterator[None]:
    process().zeal = True
    yield
    process().zeal = False


@pytest.mark.thorough
@pytest.mark.usefixtures("zeal")
@pytest.mark.parametrize("mode", mode_params())
def test_every_allocation_collects(mode: Mode, data: Path) -> None:
    engine = wardian.Engine(mode.config(cache=False))
    spectest = Spectest(engine)
    for name in FILES:
        source = (data / "testsuite" / f"{name}.wast").read_bytes()
        outcome = Script(engine, spectest).run(source)
        assert not outcome.failures, f"{name}: {outcome.failures[0]}"
        assert outcome.passed.total()
