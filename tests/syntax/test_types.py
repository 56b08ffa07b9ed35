"""Types are interned, and say themselves as the text format does."""

from __future__ import annotations

import gc
import pickle

import pytest

from wardian.syntax import types
from wardian.syntax.module import Module
from wardian.syntax.types import (
    ABS_HEAP_TYPES,
    EXN,
    EXTERNREF,
    FUNC,
    FUNCREF,
    HEAP_BY_CODE,
    I32,
    I64,
    NONE,
    NUM_BY_CODE,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    SubType,
    TypeLimits,
    ref,
)


def test_reference_types_are_one_object_each() -> None:
    assert ref(True, FUNC) is FUNCREF
    assert ref(False, 7) is ref(False, 7)
    assert ref(False, 7) is not ref(True, 7)


def test_nothing_stays_of_types_nobody_has() -> None:
    """Else every module, even an invalid one, would leave some of itself in the process for ever."""
    gc.collect()
    before = len(types._CONCRETE)
    kept = [ref(True, 10_000_000 + index) for index in range(1000)]
    assert len(types._CONCRETE) == before + 1000 and kept[7] is ref(True, 10_000_007)
    assert RefType(True, 10_000_007) == kept[7] and hash(RefType(True, 10_000_007)) == hash(kept[7])
    assert RefType(False, 10_000_007) != kept[7] != RefType(True, 10_000_008)
    del kept
    gc.collect()
    assert len(types._CONCRETE) == before


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (I32, "i32"),
        (FUNCREF, "funcref"),
        (EXTERNREF, "externref"),
        (ref(True, NONE), "nullref"),
        (ref(False, EXN), "(ref exn)"),
        (ref(True, 3), "(ref null 3)"),
        (ref(False, 3), "(ref 3)"),
    ],
)
def test_types_say_themselves_as_the_text_format_does(type: object, text: str) -> None:
    assert repr(type) == text


def test_codes_are_unique() -> None:
    assert len(HEAP_BY_CODE) == len(ABS_HEAP_TYPES)
    assert not HEAP_BY_CODE.keys() & NUM_BY_CODE.keys()


def test_number_types_survive_pickling_as_themselves() -> None:
    for type in NUM_BY_CODE.values():
        assert pickle.loads(pickle.dumps(type)) is type


def test_index_spaces_put_imports_first() -> None:
    module = Module(b"", types=[SubType(FuncType((I32,), ())), SubType(FuncType((), ()))])
    module.imported_funcs, module.funcs = [1], [0, 1]
    module.imported_globals = [GlobalType(I64, True)]
    module.memories = [MemoryType(TypeLimits(1, is64=True))]
    assert module.func_count() == 3
    assert [module.func_type_index(i) for i in range(3)] == [1, 0, 1]
    assert module.func_type(1).params == (I32,)
    assert module.global_types() == [GlobalType(I64, True)]
    assert module.memory_types()[0].limits.address is I64
