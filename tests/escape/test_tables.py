"""Tables at their edges: bounds, null, wrong signatures, growth, 64-bit indices; references kept beyond their table."""

from __future__ import annotations

import gc

import pytest

import wardian
from tests.escape.guest import child, make, traps
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

TABLES = """
(module
  (type $unary (func (param i32) (result i32)))
  (type $wide (func (param i64) (result i64)))
  (table $t (export "t") {at} 4 6 funcref)
  (elem (table $t) ({at}.const 0) func $one $wider)
  (elem $passive func $one $one $wider)
  (func $one (type $unary) (i32.add (local.get 0) (i32.const 1)))
  (func $wider (type $wide) (local.get 0))
  (func (export "call") (param i32 {at}) (result i32)
    (call_indirect $t (type $unary) (local.get 0) (local.get 1)))
  (func (export "tail") (param i32 {at}) (result i32)
    (return_call_indirect $t (type $unary) (local.get 0) (local.get 1)))
  (func (export "get") (param {at}) (result funcref) (table.get $t (local.get 0)))
  (func (export "set") (param {at} funcref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "size") (result {at}) (table.size $t))
  (func (export "grow") (param {at}) (result {at}) (table.grow $t (ref.null func) (local.get 0)))
  (func (export "fill") (param {at} {at}) (table.fill $t (local.get 0) (ref.func $one) (local.get 1)))
  (func (export "copy") (param {at} {at} {at}) (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param {at} i32 i32) (table.init $t $passive (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (elem.drop $passive))
  (elem declare func $one))
"""


def lone_types(count: int, mode: Mode) -> None:
    """Every type of the process is without supertypes, and may have subtypes."""
    others = " ".join(f"(type (sub (func (param {'i32 ' * (i >> 6)} {'i64 ' * (i & 63)}))))" for i in range(count))
    exports = make(
        f"""(module {others}
          (type $is (sub (func (result i32)))) (type $wanted (sub (func)))
          (table 1 funcref) (elem (i32.const 0) $f) (func $f (type $is) (i32.const 1))
          (func (export "call") (call_indirect (type $wanted) (i32.const 0)))
          (func (export "test") (result i32) (ref.test (ref $wanted) (table.get 0 (i32.const 0)))))""",
        mode,
    )
    with traps("bad_signature"):
        exports.call()
    assert exports.test() == 0


@every_mode
@pytest.mark.parametrize("count", [0, 1100])
def test_types_without_supertypes(mode: Mode, count: int) -> None:
    child(lone_types, count, mode)


@every_mode
@pytest.mark.parametrize("at", ["i32", "i64"])
def test_bounds_null_and_signatures(mode: Mode, at: str) -> None:
    exports = make(TABLES.format(at=at), mode)
    top = (1 << int(at[1:])) - 1
    for name in ("call", "tail"):
        assert exports[name](41, 0) == 42
        for index, code in [(1, "bad_signature"), (2, "indirect_call_to_null"), (3, "indirect_call_to_null")]:
            with traps(code):
                exports[name](1, index)
        for index in (4, 5, 6, top, top >> 1, (top >> 1) + 1, top - 3, 1 << 29, 1 << 31):
            with traps("table_out_of_bounds"):
                exports[name](1, index)
    for index in (4, top, (top >> 1) + 1, 1 << 29):
        with traps("table_out_of_bounds"):
            exports["get"](index)
        with traps("table_out_of_bounds"):
            exports.set(index, None)
    if at == "i64":
        # An index whose lower half alone would be fine.
        for index in (1 << 32, (1 << 32) + 1, 7 << 33):
            with traps("table_out_of_bounds"):
                exports.call(1, index)
            with traps("table_out_of_bounds"):
                exports["get"](index)


@every_mode
@pytest.mark.parametrize("at", ["i32", "i64"])
def test_growth(mode: Mode, at: str) -> None:
    """wasmtime.md 2.4 A 5 and 6: a refused growth is -1 in the index type, and changes nothing."""
    exports = make(TABLES.format(at=at), mode)
    top = (1 << int(at[1:])) - 1
    for delta in (3, top, (top >> 1) + 1, top - 3):
        assert exports.grow(delta) == -1
        assert exports.size() == 4
    assert exports.grow(1) == 4
    with traps("indirect_call_to_null"):
        exports.call(1, 4)
    with traps("table_out_of_bounds"):
        exports.call(1, 5)
    assert exports.grow(1) == 5
    assert exports.grow(1) == -1
    assert exports.size() == 6


@every_mode
@pytest.mark.parametrize("at", ["i32", "i64"])
def test_bulk(mode: Mode, at: str) -> None:
    exports = make(TABLES.format(at=at), mode)
    top = (1 << int(at[1:])) - 1
    calls = [
        ("fill", 4, 1),
        ("fill", 5, 0),
        ("fill", 0, 5),
        ("fill", top, top),
        ("fill", 1, top),
        ("copy", 1, 0, 4),
        ("copy", 0, 1, 4),
        ("copy", 5, 0, 0),
        ("copy", 0, top, top),
        ("init", 2, 0, 3),
        ("init", 0, 1, 3),
        ("init", 0, 4, 0),
        ("init", top, 0, 1),
        ("init", 5, 0, 0),
    ]
    for name, *args in calls:
        with traps("table_out_of_bounds"):
            exports[name](*args)
    for index in (2, 3):
        assert exports["get"](index) is None, "a trapping bulk operation wrote something"
    exports.fill(4, 0)
    exports.copy(4, 4, 0)
    exports.init(4, 3, 0)
    exports.drop()
    exports.init(4, 0, 0)
    with traps("table_out_of_bounds"):
        exports.init(0, 0, 1)
    exports.fill(0, 4)
    assert [exports.call(i, i) for i in range(4)] == [1, 2, 3, 4]


def test_absurd_tables_are_refused() -> None:
    """wasmtime.md 2.4 B 19: sizes whose product overflows are a clean error."""
    for size in ("i64 0xffffffffffff", "0xffffffff", "i64 0x2000000000000000"):
        text = f"(table {size} funcref)"
        with pytest.raises(wardian.LimitExceeded):
            make(f"(module {text})", MODES[0])


@every_mode
def test_growing_step_by_step_keeps_what_was_there(mode: Mode) -> None:
    """A table without a maximum starts small and moves nowhere: growth through several orders of magnitude."""
    text = """(module (table $t 1 funcref) (elem (i32.const 0) $f) (func $f (result i32) (i32.const 9))
      (func (export "grow") (param i32) (result i32) (table.grow $t (ref.func $f) (local.get 0)))
      (func (export "call") (param i32) (result i32) (call_indirect $t (result i32) (local.get 0))))"""
    exports = make(text, mode)
    size = 1
    for delta in (0, 1, 1, 5, 100, 8192, 8191, 1, 200_000):
        assert exports.grow(delta) == size
        size += delta
        assert exports.call(0) == exports.call(size - 1) == 9
        with traps("table_out_of_bounds"):
            exports.call(size)


SHARED = """(module (import "m" "t" (table 4 funcref)) (memory 1)
  (elem (i32.const {slot}) $f) (func $f (result i32) (i32.load8_u (i32.const 0)) (drop) {body}))"""
CALLER = """(module (import "m" "t" (table 4 funcref))
  (func (export "go") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"""


@every_mode
def test_a_free_table_joins_whoever_imports_it(mode: Mode) -> None:
    """References in a table that no instance made: their functions stay, and trap in the store that calls them."""
    table = wardian.Table("funcref", 4)
    spaces = {"m": {"t": table}}
    make(SHARED.format(slot=0, body="(i32.const 7)"), mode, spaces)
    make(SHARED.format(slot=1, body="unreachable"), mode, spaces)
    caller = make(CALLER, mode, spaces)
    for _ in range(3):
        gc.collect()
        assert caller.go(0) == 7
        with traps("unreachable"):
            caller.go(1)
    assert table[0]() == 7
    del caller
    gc.collect()
    assert table[0]() == 7
    with traps("unreachable"):
        table[1]()


@every_mode
def test_a_free_global_joins_whoever_imports_it(mode: Mode) -> None:
    cell = wardian.Global("funcref", None, mutable=True)
    spaces = {"m": {"g": cell}}
    make(
        """(module (import "m" "g" (global $g (mut funcref))) (memory 1) (start $set)
        (func $f (result i32) (i32.const 11)) (elem declare func $f) (func $set (global.set $g (ref.func $f))))""",
        mode,
        spaces,
    )
    caller = make(
        """(module (type $r (func (result i32))) (import "m" "g" (global $g (mut funcref))) (table $t 1 1 funcref)
        (func (export "go") (result i32) (table.set $t (i32.const 0) (global.get $g))
          (call_indirect $t (type $r) (i32.const 0))))""",
        mode,
        spaces,
    )
    gc.collect()
    assert caller.go() == 11
    assert cell.value() == 11


def python_side(mode: Mode) -> None:
    """Wrong uses of a Table from Python."""
    table = make(TABLES.format(at="i32"), mode).t
    other = make("""(module (func (export "f")))""", mode).f
    for wrong in (4, -1, 1 << 40, "0", 1.5, None):
        with pytest.raises((IndexError, TypeError, OverflowError)):
            table[wrong]
        with pytest.raises((IndexError, TypeError, OverflowError)):
            table[wrong] = None
    for value in (5, "f", print, lambda: 1, object(), other):
        with pytest.raises((TypeError, ValueError)):
            table[0] = value
    for count in (-1, 3, 1 << 70):
        with pytest.raises((ValueError, MemoryError)):
            table.grow(count)
    with pytest.raises(TypeError):
        table.grow(1.5)
    assert len(table) == 4
    assert table.grow(1) == 4
    assert table[4] is None
    del table
    gc.collect()


@every_mode
def test_python_side(mode: Mode) -> None:
    python_side(mode)


def grow_in_a_signal_handler() -> None:
    """Growing a table while machine code is in a loop over it; its base must not have moved."""
    import signal

    exports = make(
        """(module (table $t (export "t") 2 funcref) (elem (i32.const 0) $f)
        (func $f (result i32) (i32.const 1)) (global $stop (export "stop") (mut i32) (i32.const 0))
        (func (export "loop") (result i32) (local $n i32)
          (loop $again
            (local.set $n (i32.add (local.get $n) (call_indirect $t (result i32) (i32.const 0))))
            (table.set $t (i32.const 1) (table.get $t (i32.const 0)))
            (br_if $again (i32.eqz (global.get $stop))))
          (local.get $n)))""",
        Mode("O2", "explicit"),
    )
    rounds = 0

    def handler(number: int, frame: object) -> None:
        nonlocal rounds
        rounds += 1
        exports.t.grow(rounds * 1000)
        if rounds == 40:
            exports.stop.value = 1

    signal.signal(signal.SIGALRM, handler)
    exports.t.grow(1)
    make("(module)", Mode("O2", "explicit"))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    assert exports.loop() > 0
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_grow_in_a_signal_handler() -> None:
    child(grow_in_a_signal_handler)
