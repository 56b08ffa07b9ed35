"""Wrong use of the Python interface: an exception each time, of a kind that says what was wrong."""

from __future__ import annotations

import ctypes
import enum
import fractions
import sys
import threading
from typing import Any

import pytest

import wardian
from tests.escape.guest import PAGE, child, make, module
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

IDENTITY = """(module (memory (export "memory") 1 2)
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "v128") (param v128) (result v128) (local.get 0))
  (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "none"))
  (func (export "many") (param i32 i64 f32 f64 i32 i64 f32 f64 i32 i64) (result i64 f64)
    (i64.add (i64.extend_i32_u (local.get 0)) (local.get 9)) (f64.add (local.get 3) (local.get 7)))
  (global (export "g") (mut i32) (i32.const 0)))"""


class Index:
    """An integer by ``__index__``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> int:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value  # type: ignore[no-any-return]


class Floaty:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> float:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value  # type: ignore[no-any-return]


class Colour(enum.IntEnum):
    RED = 3


@every_mode
@pytest.mark.parametrize("bits", [32, 64])
def test_integers(mode: Mode, bits: int) -> None:
    call = make(IDENTITY, mode)[f"i{bits}"]
    half, whole = 1 << (bits - 1), 1 << bits
    for value in (0, 1, -1, half - 1, -half, half, whole - 1):
        assert call(value) == (value - whole if value >= half else value)
    assert [call(True), call(False), call(Colour.RED), call(Index(5))] == [1, 0, 3, 5]
    for value in (whole, -half - 1, 1 << 64, -(1 << 64), 1 << 5000, -(1 << 5000), Index(whole), Index(1 << 300)):
        with pytest.raises(OverflowError):
            call(value)
    for wrong in (None, "1", b"1", 1.0, 1.5, float("nan"), 1j, [], (), {}, object(), int, fractions.Fraction(2), call):
        with pytest.raises(TypeError):
            call(wrong)
    with pytest.raises(TypeError):
        call(Index("x"))
    with pytest.raises(ZeroDivisionError):
        call(Index(ZeroDivisionError()))


@every_mode
@pytest.mark.parametrize("name", ["f32", "f64"])
def test_floats(mode: Mode, name: str) -> None:
    call = make(IDENTITY, mode)[name]
    for value in (0, 1, -1.5, True, 1 << 60, Index(4), Floaty(2.5), fractions.Fraction(1, 2), float("inf")):
        assert call(value) == float(value)
    assert call(-1.0) == -1.0
    assert call(float("nan")) != call(0)
    for value in (1 << 2000, -(1 << 2000)):
        with pytest.raises(OverflowError):
            call(value)
    for wrong in (None, "1.5", b"1.5", bytearray(b"1.5"), memoryview(b"1.5"), [], object(), 1j, Floaty("x"), Floaty(1)):
        with pytest.raises(TypeError):
            call(wrong)
    with pytest.raises(ZeroDivisionError):
        call(Floaty(ZeroDivisionError()))


@every_mode
def test_references_and_vectors(mode: Mode) -> None:
    exports = make(IDENTITY, mode)
    for wrong in (1, "f", b"", print, lambda: 0, object(), type(exports.none), exports):
        with pytest.raises(TypeError):
            exports["func"](wrong)
    assert exports["func"](None) is None
    assert exports["func"](exports.none) is exports.none
    for value in (1, "f", print, object(), exports.none, [], type):
        assert exports["extern"](value) is value
    assert exports["extern"](None) is None
    assert exports.v128(bytes(range(16))) == bytes(range(16))
    for wrong in (b"", b"x" * 15, b"x" * 17, -1, 1 << 128, None, "x" * 16, [1] * 15, [256] * 16):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            exports.v128(wrong)


@every_mode
def test_wrong_calls(mode: Mode) -> None:
    exports = make(IDENTITY, mode)
    wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        ((1, 2), {}),
        (tuple(range(100_000)), {}),
        ((), {"x": 1}),
        ((1,), {"x": 1}),
        ((1,), {str(i): i for i in range(300)}),
    ]
    for args, kwargs in wrong:
        with pytest.raises(TypeError):
            exports.i32(*args, **kwargs)
    with pytest.raises(TypeError):
        exports.none(1)
    with pytest.raises(TypeError):
        exports.none(**{"": 1})
    assert exports.none(*[]) is None
    assert exports.many(1, 2, 3.0, 4.0, 5, 6, 7.0, 8.0, 9, 10) == (11, 12.0)
    for position in range(10):
        args = [1, 2, 3.0, 4.0, 5, 6, 7.0, 8.0, 9, 10]
        args[position] = "x"  # type: ignore[call-overload]
        with pytest.raises(TypeError, match=f"argument {position + 1}"):
            exports.many(*args)


@every_mode
def test_an_argument_that_comes_back(mode: Mode) -> None:
    """Conversion of an argument runs Python code, which may call, grow, or let go of anything."""
    exports = make(IDENTITY, mode)

    class Evil:
        def __index__(self) -> int:
            exports.memory.grow(1) if exports.memory.pages < 2 else None
            assert exports.many(1, 2, 3.0, 4.0, 5, 6, 7.0, 8.0, 9, 10)[0] == 11
            return exports.i32(7)  # type: ignore[no-any-return]

        __float__ = None

    args = [Evil(), Evil(), 3.0, 4.0, Evil(), Evil(), 7.0, 8.0, Evil(), Evil()]
    assert exports.many(*args) == (14, 12.0)

    class Last:
        def __index__(self) -> int:
            held.clear()
            return 5

    held = [make(IDENTITY, mode).i32]
    assert held[0](Last()) == 5


def func_type(mode: Mode) -> None:
    """The hand-made type of functions: not to be made, subclassed, given attributes or another class."""
    exports = make(IDENTITY, mode)
    func: Any = exports.i32
    kind: Any = type(func)
    for action in (
        lambda: kind(),
        lambda: kind(func),
        lambda: object.__new__(kind),
        lambda: kind.__new__(kind),
        lambda: type("Sub", (kind,), {}),
        lambda: setattr(func, "x", 1),
        lambda: setattr(func, "name", "x"),
        lambda: setattr(func, "type", None),
        lambda: delattr(func, "name"),
        lambda: delattr(func, "type"),
        lambda: func._owner,
        lambda: kind._owner,
        lambda: func.__dict__,
        lambda: setattr(func, "__class__", object),
        lambda: setattr(func, "__class__", type("Other", (), {"__slots__": ("a", "b", "c", "d", "__weakref__")})),
        lambda: setattr(func, "_owner", None),
        lambda: delattr(func, "_owner"),
        lambda: func[0],
        lambda: memoryview(func),
        lambda: func + 1,
        lambda: len(func),
        lambda: iter(func),
    ):
        try:
            action()
        except (TypeError, AttributeError):
            continue
        raise AssertionError("no exception")
    assert func(3) == 3
    assert func == func and hash(func) == hash(func) and func != exports.i64
    assert func.name == "i32"
    assert {func: 1}[func] == 1
    for name in list(vars(kind)):
        try:
            delattr(kind, name)
        except (TypeError, AttributeError):
            continue
    import gc

    gc.collect()
    assert func(3) == 3
    repr(func)
    window = exports.memory.view().obj
    for action in (lambda: type(window)(), lambda: setattr(window, "x", 1), lambda: window()):
        try:
            action()
        except (TypeError, AttributeError):
            continue
        raise AssertionError("no exception")
    assert len(memoryview(window)) == PAGE
    assert ctypes.sizeof((ctypes.c_char * PAGE).from_buffer(window)) == PAGE


@every_mode
def test_func_type(mode: Mode) -> None:
    child(func_type, mode)


@every_mode
def test_memory_indexing(mode: Mode) -> None:
    memory = make(IDENTITY, mode).memory
    huge = [PAGE, -1, 1 << 32, 1 << 63, 1 << 64, 1 << 100]
    for index in huge:
        with pytest.raises((IndexError, OverflowError)):
            memory[index]
        with pytest.raises((IndexError, OverflowError)):
            memory[index] = 1
        for wrong in (slice(0, index + 1 if index > 0 else index), slice(index, None if index < 0 else index + 1)):
            with pytest.raises((IndexError, OverflowError)):
                memory[wrong]
            with pytest.raises((IndexError, OverflowError)):
                memory[wrong] = b""
        with pytest.raises((IndexError, OverflowError)):
            memory.read(index, 1)
        with pytest.raises((IndexError, OverflowError)):
            memory.write(index, b"x")
    for size in (-1, PAGE + 1, 1 << 64):
        with pytest.raises((IndexError, OverflowError)):
            memory.read(0, size)
    for wrong in ("a", 1.5, None, (1, 2), slice("a", 2), slice(0, 1.5), slice(0, 10, 2), slice(10, 0, -1), slice(5, 3)):
        with pytest.raises((TypeError, ValueError, IndexError)):
            memory[wrong]
    for value in (-1, 256, "x", None, b"x"):
        with pytest.raises((TypeError, ValueError)):
            memory[0] = value
    for value in (b"", b"12345", "1234", 5, None, [1, 2, 3, 4]):
        with pytest.raises((TypeError, ValueError)):
            memory[0:4] = value
    for pages in (-1, 2, 1 << 20, 1 << 70):
        with pytest.raises((ValueError, MemoryError)):
            memory.grow(pages)
    with pytest.raises(TypeError):
        memory.grow(1.5)
    assert memory[0:8] == bytes(8) and memory.pages == 1
    with pytest.raises(TypeError):
        memory.view()[0:4] = "abcd"


def test_constructors() -> None:
    wrong: list[Any] = [
        lambda: wardian.Memory(-1),
        lambda: wardian.Memory(2, 1),
        lambda: wardian.Memory(65537),
        lambda: wardian.Memory(1 << 70),
        lambda: wardian.Memory("1"),  # type: ignore[arg-type]
        lambda: wardian.Memory(1.5),  # type: ignore[arg-type]
        lambda: wardian.Table("i32", 1),
        lambda: wardian.Table("funcref", -1),
        lambda: wardian.Table("funcref", 2, 1),
        lambda: wardian.Table("funcref", 1 << 40),
        lambda: wardian.Table("funcref", 1, 1 << 70),
        lambda: wardian.Table(None, 1),  # type: ignore[arg-type]
        lambda: wardian.Global("i32", 1 << 32),
        lambda: wardian.Global("i32", "1"),
        lambda: wardian.Global("i128", 1),
        lambda: wardian.Global("funcref", print),
        lambda: wardian.Module("text"),  # type: ignore[arg-type]
        lambda: wardian.Module(None),  # type: ignore[arg-type]
        lambda: wardian.Module(b""),
        lambda: wardian.Module(b"\0asm"),
        lambda: wardian.Config(opt="O9"),  # type: ignore[arg-type]
        lambda: wardian.Config(checks="none"),  # type: ignore[arg-type]
    ]
    for action in wrong:
        with pytest.raises((ValueError, TypeError, OverflowError, wardian.WardianError)):
            action()


def test_exports_as_a_mapping() -> None:
    exports = make(IDENTITY, MODES[0])
    with pytest.raises(AttributeError, match="no export"):
        exports.nothing
    with pytest.raises(KeyError):
        exports["nothing"]
    with pytest.raises((KeyError, TypeError)):
        exports[0]
    with pytest.raises((AttributeError, TypeError)):
        exports["i32"] = 1
    assert next(iter(exports)) == "memory" and len(exports) == 11 and "i32" in exports and 5 not in exports
    assert "i32" in dir(exports)
    with pytest.raises(AttributeError):
        exports.g.nothing
    for value in (1 << 33, "1", None, 1.5):
        with pytest.raises((TypeError, OverflowError)):
            exports.g.value = value


def odd_limits(mode: Mode) -> None:
    """Limits nobody should set: refused or obeyed."""
    for stack in (0, 1, 1000, 1 << 40, (1 << 64) - 1, 1 << 64, -1):
        try:
            exports = make(IDENTITY, mode, limits=wardian.Limits(stack=stack))
            exports.i32(1)
        except (wardian.WardianError, ValueError, OverflowError):
            continue


@every_mode
def test_odd_limits(mode: Mode) -> None:
    child(odd_limits, mode)


def test_an_instance_from_another_thread() -> None:
    """One thread after the other is fine; the thread's record goes with it."""
    exports = make(IDENTITY, MODES[0])
    results: list[int] = []
    for i in range(200):
        thread = threading.Thread(target=lambda i=i: results.append(exports.i32(i)))
        thread.start()
        thread.join()
    assert results == list(range(200))


def test_reference_counts() -> None:
    """Calls keep no references to what they were given or gave."""
    exports = make(
        '(module (import "m" "f" (func $f (param i64 externref) (result i64 externref)))'
        '(func (export "go") (param i64 externref) (result i64 externref) (call $f (local.get 0) (local.get 1))))',
        MODES[0],
        {"m": {"f": lambda number, thing: (number, thing)}},
    )
    thing, number = object(), 1 << 60
    exports.go(number, thing)
    before = sys.getrefcount(thing), sys.getrefcount(number), sys.getrefcount(exports.go), sys.getrefcount(None)
    for _ in range(1000):
        exports.go(number, thing)
        with pytest.raises(TypeError):
            exports.go(number)
        with pytest.raises(TypeError):
            exports.go("x", thing)
    after = sys.getrefcount(thing), sys.getrefcount(number), sys.getrefcount(exports.go), sys.getrefcount(None)
    # One kept for each call would be a thousand; what else goes on in the process moves None's count a little.
    assert all(abs(a - b) < 500 for a, b in zip(before, after, strict=True)), (before, after)


def test_no_import_of_what_is_not_there() -> None:
    assert module("(module)", MODES[0]).instantiate().exports.keys() == set()
