"""Structures, arrays, i31 and casts through the public interface: what Python sees, reads, writes and is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.support import Mode, level_params
from wardian.runtime.process import process

TYPES = """
  (type $point (struct (field i8) (field (mut i16)) (field (mut i32)) (field (mut i64)) (field (mut f32))
    (field (mut f64)) (field (mut v128)) (field (mut anyref)) (field (mut funcref)) (field (mut externref))
    (field (mut (ref null $point)))))
  (func $f (export "f") (result i32) (i32.const 42))
  (func (export "point") (result (ref $point))
    (struct.new $point (i32.const 200) (i32.const -2) (i32.const -3) (i64.const -4) (f32.const 0.5)
      (f64.const nan:0x123) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
      (ref.i31 (i32.const -5)) (ref.func $f) (ref.null extern) (ref.null $point)))
  (func (export "signed") (param (ref $point)) (result i32) (struct.get_s $point 0 (local.get 0)))
  (func (export "unsigned") (param (ref $point)) (result i32) (struct.get_u $point 0 (local.get 0)))
  (func (export "call") (param (ref $point)) (result i32)
    (call_ref $nullary (ref.cast (ref $nullary) (struct.get $point 8 (local.get 0)))))
  (type $nullary (func (result i32)))
"""

ARRAYS = """
  (type $i8s (array (mut i8))) (type $i16s (array (mut i16))) (type $i32s (array (mut i32)))
  (type $i64s (array (mut i64))) (type $f32s (array (mut f32))) (type $f64s (array (mut f64)))
  (type $v128s (array (mut v128))) (type $anys (array (mut anyref))) (type $funcs (array (mut funcref)))
  (type $const (array i32))
  (func (export "i8s") (param i32 i32) (result (ref $i8s)) (array.new $i8s (local.get 0) (local.get 1)))
  (func (export "i16s") (param i32 i32) (result (ref $i16s)) (array.new $i16s (local.get 0) (local.get 1)))
  (func (export "i32s") (param i32 i32) (result (ref $i32s)) (array.new $i32s (local.get 0) (local.get 1)))
  (func (export "i64s") (param i64 i32) (result (ref $i64s)) (array.new $i64s (local.get 0) (local.get 1)))
  (func (export "f32s") (param f32 i32) (result (ref $f32s)) (array.new $f32s (local.get 0) (local.get 1)))
  (func (export "f64s") (param f64 i32) (result (ref $f64s)) (array.new $f64s (local.get 0) (local.get 1)))
  (func (export "v128s") (param v128 i32) (result (ref $v128s)) (array.new $v128s (local.get 0) (local.get 1)))
  (func (export "anys") (param anyref i32) (result (ref $anys)) (array.new $anys (local.get 0) (local.get 1)))
  (func (export "funcs") (param funcref i32) (result (ref $funcs)) (array.new $funcs (local.get 0) (local.get 1)))
  (func (export "const") (result (ref $const)) (array.new_fixed $const 3 (i32.const 1) (i32.const 2) (i32.const 3)))
  (func (export "at") (param (ref $i32s) i32) (result i32) (array.get $i32s (local.get 0) (local.get 1)))
  (func (export "fill") (param (ref $i16s) i32 i32 i32)
    (array.fill $i16s (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "copy") (param (ref $i64s) i32 (ref $i64s) i32 i32)
    (array.copy $i64s $i64s (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)))
"""

ANYS = """
  (type $s (struct)) (type $a (array i8))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "eq") (param eqref) (result eqref) (local.get 0))
  (func (export "i31") (param i31ref) (result i31ref) (local.get 0))
  (func (export "struct") (param structref) (result structref) (local.get 0))
  (func (export "array") (param (ref array)) (result arrayref) (local.get 0))
  (func (export "none") (param nullref) (result nullref) (local.get 0))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "noextern") (param nullexternref) (result i32) (ref.is_null (local.get 0)))
  (func (export "s") (result (ref $s)) (struct.new $s))
  (func (export "a") (result (ref $a)) (array.new_fixed $a 0))
  (func (export "to_any") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "to_extern") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "kind") (param anyref) (result i32)
    (if (ref.is_null (local.get 0)) (then (return (i32.const 0))))
    (if (ref.test (ref i31) (local.get 0)) (then (return (i32.const 1))))
    (if (ref.test (ref $s) (local.get 0)) (then (return (i32.const 2))))
    (if (ref.test (ref array) (local.get 0)) (then (return (i32.const 3))))
    (if (ref.test (ref eq) (local.get 0)) (then (return (i32.const 4))))
    (i32.const 5))
"""


@pytest.fixture(params=level_params())
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    mode: Mode = request.param
    engine = wardian.Engine(mode.config(cache=False))

    def exports(text: str, **imports: Any) -> Any:
        return wardian.Module(f"(module {text})", engine).instantiate({"env": imports}).exports

    return exports


# -- structures --------------------------------------------------------------------------------------------------------


def test_fields_are_read(make: Callable[..., Any]) -> None:
    e = make(TYPES)
    p = e.point()
    assert isinstance(p, wardian.Struct)
    assert (len(p), list(p)[:5]) == (11, [-56, -2, -3, -4, 0.5])
    assert p[5] != p[5]
    assert p[6] == bytes(range(16))
    assert (p[7], p[9], p[10]) == (-5, None, None)
    assert p[8] is e.f
    assert (e.signed(p), e.unsigned(p), e.call(p)) == (-56, 200, 42)


def test_mutable_fields_are_written(make: Callable[..., Any]) -> None:
    e = make(TYPES)
    p, q, thing = e.point(), e.point(), object()
    for index, value in enumerate((40_000, 1 << 31, -(1 << 63), 1.5, 2.5, bytes(16), thing, e.f, thing, q), 1):
        p[index] = value
    assert [p[n] for n in (1, 2, 3, 4, 5, 6)] == [40_000 - 65_536, -(1 << 31), -(1 << 63), 1.5, 2.5, bytes(16)]
    assert p[7] is thing
    assert p[8] is e.f
    assert p[9] is thing
    assert p[10] == q
    p[7] = p
    p[8] = None
    assert p[7] == p
    assert p[8] is None
    with pytest.raises(wardian.Trap, match="cast failure"):
        e.call(p)


def test_wrong_writes_are_refused(make: Callable[..., Any]) -> None:
    e = make(TYPES)
    p = e.point()
    refused: tuple[tuple[int, Any, type[Exception]], ...] = (
        (0, 1, AttributeError),
        (1, 1 << 16, OverflowError),
        (1, "x", TypeError),
        (2, 1 << 32, OverflowError),
        (6, b"", ValueError),
        (8, 5, TypeError),
        (10, 5, TypeError),
        (10, object(), TypeError),
        (11, 1, IndexError),
        (-1, 1, IndexError),
    )
    before = [p[n] for n in range(11) if n != 5]
    for index, value, error in refused:
        with pytest.raises(error):
            p[index] = value
    assert [p[n] for n in range(11) if n != 5] == before
    with pytest.raises(TypeError):
        wardian.Struct()


# -- arrays ------------------------------------------------------------------------------------------------------------

ELEMENTS: tuple[tuple[str, Any, Any, int], ...] = (
    ("i8s", 200, -56, 1),
    ("i16s", 70_000, 4464, 2),
    ("i32s", -7, -7, 4),
    ("i64s", 1 << 62, 1 << 62, 8),
    ("f32s", 0.25, 0.25, 4),
    ("f64s", 0.1, 0.1, 8),
    ("v128s", bytes(range(16)), bytes(range(16)), 16),
)


@pytest.mark.thorough
@pytest.mark.parametrize("length", (0, 1, 3, 30, 31, 32, 61, 126, 127, 1000, 70_000))
def test_arrays_of_numbers(make: Callable[..., Any], length: int) -> None:
    e = make(ARRAYS)
    for name, value, seen, size in ELEMENTS:
        array = e[name](value, length)
        assert isinstance(array, wardian.Array)
        assert len(array) == length
        assert array[:2] == [seen] * min(length, 2)
        assert len(array.tobytes()) == length * size
        if length:
            assert array[length - 1] == seen
            array[0] = array[length - 1]
            assert array[0] == seen
        with pytest.raises(IndexError):
            array[length]


def test_arrays_of_references(make: Callable[..., Any]) -> None:
    e = make(ARRAYS)
    thing = object()
    array = e.anys(thing, 100)
    assert all(value is thing for value in array)
    array[5] = array
    array[6] = None
    array[7] = 17
    assert array[4:8] == [thing, array, None, 17]
    funcs = e.funcs(e.i8s, 40)
    assert all(value is e.i8s for value in funcs)
    funcs[1] = e.i16s
    funcs[2] = None
    assert funcs[:3] == [e.i8s, e.i16s, None]
    with pytest.raises(TypeError):
        funcs[0] = len
    with pytest.raises(TypeError):
        funcs.tobytes()
    with pytest.raises(AttributeError):
        e.const()[0] = 1
    assert list(e.const()) == [1, 2, 3]
    assert bytes(e.i8s(65, 3)) == b"AAA"


def test_an_index_is_compared_unsigned(make: Callable[..., Any]) -> None:
    e = make(ARRAYS)
    array = e.i32s(9, 10)
    assert e.at(array, 9) == 9
    for index in (10, -1, 1 << 31, (1 << 32) - 1, 1 << 30):
        with pytest.raises(wardian.Trap, match="out of bounds array access"):
            e.at(array, index)


def test_bulk_operations_check_first(make: Callable[..., Any]) -> None:
    e = make(ARRAYS)
    array = e.i16s(0, 10)
    e.fill(array, 2, 0x12345, 3)
    assert list(array) == [0, 0, 0x2345, 0x2345, 0x2345, 0, 0, 0, 0, 0]
    for start, count in ((8, 3), (11, 0), (-1, 1), (1, -1), (-1, -1), (10, 1)):
        with pytest.raises(wardian.Trap, match="out of bounds array access"):
            e.fill(array, start, 7, count)
    e.fill(array, 10, 7, 0)
    assert list(array) == [0, 0, 0x2345, 0x2345, 0x2345, 0, 0, 0, 0, 0]
    numbers = e.i64s(0, 8)
    for n in range(8):
        numbers[n] = n
    e.copy(numbers, 2, numbers, 0, 5)
    assert list(numbers) == [0, 1, 0, 1, 2, 3, 4, 7]
    e.copy(numbers, 0, numbers, 3, 5)
    assert list(numbers) == [1, 2, 3, 4, 7, 3, 4, 7]
    with pytest.raises(wardian.Trap, match="out of bounds array access"):
        e.copy(numbers, 4, numbers, 0, 5)


# -- any and extern ----------------------------------------------------------------------------------------------------


def test_what_python_values_become(make: Callable[..., Any]) -> None:
    e = make(ANYS)
    thing, s, a = object(), e.s(), e.a()
    low, high = -(1 << 30), (1 << 30) - 1
    values = (None, 0, low, high, s, a, thing, high + 1, low - 1, True, 1.0, "text")
    assert [e.kind(value) for value in values] == [0, 1, 1, 1, 2, 3, 5, 5, 5, 5, 5, 5]
    for value in values:
        back = e.any(value)
        assert back is value or back == value
        assert type(back) is type(value)
        assert e.extern(value) == value
        assert e.to_any(e.to_extern(value)) == value


def test_identity_is_kept(make: Callable[..., Any]) -> None:
    e = make(ANYS)
    thing = object()
    assert e.extern(thing) is e.any(thing) is e.to_any(thing) is e.to_extern(thing) is thing
    assert e.kind(e.to_any(7)) == 1, "what comes back as an int is an i31 again"


def test_what_does_not_fit_is_refused(make: Callable[..., Any]) -> None:
    e = make(ANYS)
    thing, s, a = object(), e.s(), e.a()
    assert [e.eq(value) for value in (None, 5, s, a)] == [None, 5, s, a]
    assert (e.i31(-1), e.struct(s), e.array(a), e.none(None), e.noextern(None)) == (-1, s, a, None, 1)
    refused: tuple[tuple[str, Any, type[Exception]], ...] = (
        ("eq", thing, TypeError),
        ("eq", 1 << 30, OverflowError),
        ("i31", s, TypeError),
        ("i31", 1 << 30, OverflowError),
        ("i31", True, TypeError),
        ("struct", a, TypeError),
        ("struct", 1, TypeError),
        ("array", None, TypeError),
        ("array", s, TypeError),
        ("none", s, TypeError),
        ("none", 0, TypeError),
        ("noextern", thing, TypeError),
    )
    for name, value, error in refused:
        with pytest.raises(error):
            e[name](value)


def test_references_through_python_and_back(make: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def host(*values: Any) -> tuple[Any, ...]:
        seen.append(values)
        return values[::-1]

    e = make(
        """
        (type $s (struct (field i32)))
        (import "env" "host" (func $host
          (param anyref externref (ref null $s)) (result (ref null $s) externref anyref)))
        (func (export "go") (param anyref externref) (result (ref null $s) externref anyref)
          (call $host (local.get 0) (local.get 1) (struct.new $s (i32.const 3))))""",
        host=host,
    )
    thing = object()
    struct, extern, any_ = e.go(5, thing)
    assert (struct[0], extern, any_) == (3, thing, 5)
    assert seen[0][2] == struct


# -- larger programs ---------------------------------------------------------------------------------------------------

TREES = Path(__file__).with_name("binary_trees.wat").read_text()


def _nodes(depth: int) -> int:
    trees = sum((1 << (depth - d + 4)) * ((2 << d) - 1) for d in range(4, depth + 1, 2))
    return trees + (2 << depth) - 1


def test_binary_trees(make: Callable[..., Any]) -> None:
    text = TREES[TREES.index("(module") + len("(module") : TREES.rindex(")")]
    assert make(text).run(12) == _nodes(12)


def test_binary_trees_collecting_always(make: Callable[..., Any]) -> None:
    text = TREES[TREES.index("(module") + len("(module") : TREES.rindex(")")]
    process().zeal = True
    try:
        assert make(text).run(4) == _nodes(4)
    finally:
        process().zeal = False


def test_an_empty_recursion_group_is_nothing(make: Callable[..., Any]) -> None:
    assert make('(rec) (type $s (struct)) (rec) (func (export "s") (result (ref $s)) (struct.new $s)) (rec)').s() != 0
