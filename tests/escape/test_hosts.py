"""Border to host functions: what they return, raise, and do to the guest that is waiting for them."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import child, make, module, traps
from tests.support import Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

RESULTS = """(module
  (import "m" "none" (func $none)) (import "m" "i32" (func $i32 (result i32)))
  (import "m" "i64" (func $i64 (result i64))) (import "m" "f32" (func $f32 (result f32)))
  (import "m" "f64" (func $f64 (result f64))) (import "m" "v128" (func $v128 (result v128)))
  (import "m" "ref" (func $ref (result funcref))) (import "m" "extern" (func $extern (result externref)))
  (import "m" "strict" (func $strict (result (ref func))))
  (import "m" "pair" (func $pair (result i32 f64)))
  (import "m" "many" (func $many (result i32 i64 f32 f64 funcref externref v128)))
  (global $after (export "after") (mut i32) (i32.const 0))
  (func (export "none") (call $none) (call $done))
  (func (export "i32") (result i32) (call $i32) (call $done))
  (func (export "i64") (result i64) (call $i64) (call $done))
  (func (export "f32") (result f32) (call $f32) (call $done))
  (func (export "f64") (result f64) (call $f64) (call $done))
  (func (export "v128") (result v128) (call $v128) (call $done))
  (func (export "ref") (result funcref) (call $ref) (call $done))
  (func (export "extern") (result externref) (call $extern) (call $done))
  (func (export "strict") (result funcref) (call $strict) (call $done))
  (func (export "pair") (result i32 f64) (call $pair) (call $done))
  (func (export "many") (result i32 i64 f32 f64 funcref externref v128) (call $many) (call $done))
  (func $done (export "done") (global.set $after (i32.add (global.get $after) (i32.const 1)))))"""

NAMES = ("none", "i32", "i64", "f32", "f64", "v128", "ref", "extern", "strict", "pair", "many")


class Returns:
    """Host functions that all return ``value``, or call it if ``call`` says so."""

    def __init__(self, mode: Mode) -> None:
        self.value: Any = None
        self.exports = make(RESULTS, mode, {"m": dict.fromkeys(NAMES, self.host)})

    def host(self) -> Any:
        return self.value() if isinstance(self.value, Provider) else self.value

    def ask(self, name: str, value: object) -> Any:
        self.value = value
        return self.exports[name]()


class Provider:
    """A result that is made at the call."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make

    def __call__(self) -> object:
        return self.make()


class Liar(tuple[Any, ...]):
    """A tuple that says it is shorter, and gives other things than it holds."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return "nonsense"

    def __iter__(self) -> Any:
        return iter([1, 2.0])


@every_mode
def test_results_of_the_wrong_type(mode: Mode) -> None:
    host = Returns(mode)
    odd = (None, "1", b"1", [], {}, object(), 1j, lambda: 1, type, NotImplemented, ...)
    wrong: dict[str, tuple[Any, ...]] = {
        "i32": (*odd, 1.0, 1 << 32, -(1 << 31) - 1, 1 << 200, float("nan"), (1,)),
        "i64": (*odd, 1.0, 1 << 64, -(1 << 63) - 1, 10**400, (1,)),
        "f32": (*odd, (1.0,), 10**400),
        "f64": (*odd, (1.0,), 10**400),
        "v128": (None, "x" * 16, b"x" * 15, b"x" * 17, -1, 1 << 128, 1.0, [0] * 16),
        "ref": ("f", 5, len, lambda: 1, host.exports, Returns(mode).exports.done),
        "strict": (None, "f", len, Returns(mode).exports.done),
        "pair": (
            None,
            1,
            (),
            (1,),
            (1, 2.0, 3),
            "ab",
            {1: 2},
            {1, 2.0},
            iter((1, 2.0)),
            ("1", 2.0),
            (1, "2"),
            [1, None],
        ),
        "many": (None, (1,) * 7, (1, 2, 3.0, 4.0, None, None), (1, 2, 3.0, 4.0, "f", None, bytes(16)), range(7)),
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises((TypeError, ValueError, OverflowError)):
                host.ask(name, value)
    assert host.exports.after.value == 0, "the guest never went on"
    assert host.ask("none", object()) is None and host.ask("none", (1, 2)) is None
    assert host.ask("i32", True) == 1 and host.ask("i32", (1 << 32) - 1) == -1
    assert host.ask("extern", host) is host
    assert host.ask("strict", host.exports.done) is host.exports.done
    assert host.ask("pair", [1, 2]) == (1, 2.0)
    assert host.ask("pair", Liar((7, 8.0))) in ((7, 8.0), (1, 2.0))
    done = host.exports.done
    assert host.ask("many", (1, -2, 3, 4, done, host, 5)) == (1, -2, 3.0, 4.0, done, host, (5).to_bytes(16, "little"))


@every_mode
def test_results_that_bite_while_they_are_read(mode: Mode) -> None:
    """Conversion runs Python code, which empties the sequence, lets go of functions, calls the guest, raises."""
    host = Returns(mode)
    exports = host.exports
    results: list[Any] = []

    class Bite:
        def __index__(self) -> int:
            results.clear()
            gc.collect()
            exports.done()
            return 5

    class Raise:
        def __index__(self) -> int:
            raise LookupError("from __index__")

        def __float__(self) -> float:
            raise LookupError("from __float__")

    def bites() -> object:
        results[:] = [Bite(), 2.0]
        return results

    def bites_many() -> object:
        results[:] = [Bite(), Bite(), 3.0, 4.0, exports.done, host, bytes(16)]
        return results

    assert host.ask("pair", Provider(bites)) == (5, 2.0)
    assert host.ask("many", Provider(bites_many))[:4] == (5, 5, 3.0, 4.0)
    assert host.ask("i32", Bite()) == 5
    for name in ("i32", "i64", "f32", "f64"):
        with pytest.raises((LookupError, TypeError)):
            host.ask(name, Raise())
    with pytest.raises((LookupError, TypeError)):
        host.ask("pair", (1, Raise()))
    assert host.ask("i32", 4) == 4


class Odd(BaseException):
    """Neither an Exception nor anything Python knows."""


class Picky(Exception):
    """Cannot be made without arguments: an exception class raised as it is fails while it is normalised."""

    def __init__(self, needed: object) -> None:
        raise ValueError("no such exception")


class Quiet(Exception):
    """Text, equality and truth all raise."""

    def __str__(self) -> str:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    __repr__ = __str__


CALLS = """(module
  (import "m" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1 3) (table (export "table") 2 4 funcref)
  (global (export "global") (mut i32) (i32.const 0))
  (type $t (func (param i32) (result i32)))
  (func $call (export "call") (param i32) (result i32)
    (i32.store (i32.const 0) (i32.const 1))
    (global.set 0 (i32.const 1))
    (drop (call $f (local.get 0)))
    (i32.store (i32.const 4) (i32.const 2))
    (global.set 0 (i32.const 2))
    (i32.add (local.get 0) (i32.load8_u (i32.const 0))))
  (func (export "tail") (param i32) (result i32) (return_call $f (local.get 0)))
  (func (export "indirect") (param i32) (result i32) (call_indirect (type $t) (local.get 0) (i32.const 0)))
  (func (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (call $f (i32.const 0)))
      (else (call $self (i32.sub (local.get 0) (i32.const 1))))))
  (func $self (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (call $f (i32.const 0)))
      (else (call $self (i32.sub (local.get 0) (i32.const 1))))))
  (elem (i32.const 0) $call))"""


def calling(mode: Mode, host: Callable[[int], object]) -> Any:
    return make(CALLS, mode, {"m": {"f": host}})


@every_mode
def test_odd_exceptions(mode: Mode) -> None:
    """Whatever is raised arrives as the same object, at any depth, and the guest has done what came before."""
    errors: list[BaseException] = [
        Odd("odd"), Quiet(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(4),
        StopAsyncIteration(),
        MemoryError(), RecursionError(), SystemError(), AssertionError(), OSError(2, "x"), asyncio.CancelledError(),
        wardian.Trap("unreachable", "not a real one"), wardian.Interrupted("timeout", "nor this"), wardian.Exit(3),
        wardian.LimitExceeded("memory", "nor that"), wardian.WasmException(wardian.Tag("i32"), 5),
        BaseExceptionGroup("group", [Odd(), ValueError()]), UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
    ]  # fmt: skip

    def raising(which: int) -> int:
        raise errors[which]

    exports = calling(mode, raising)
    for i, error in enumerate(errors):
        for name in ("call", "tail", "indirect"):
            exports.memory[0:8] = bytes(8)
            exports["global"].value = 0
            with pytest.raises(type(error)) as caught:
                exports[name](i)
            assert caught.value is error
            error.__traceback__ = None
            if name != "tail":
                assert exports.memory[0:8] == b"\1" + bytes(7) and exports["global"].value == 1
    zero = errors[0]
    for depth in (0, 1, 100, 1000):
        with pytest.raises(Odd) as at_depth:
            exports.deep(depth)
        assert at_depth.value is zero


@every_mode
def test_exceptions_that_are_classes(mode: Mode) -> None:
    def raising(which: int) -> int:
        raise (ValueError, Odd, Picky, KeyboardInterrupt)[which]

    exports = calling(mode, raising)
    for which, expected in enumerate((ValueError, Odd, (ValueError, TypeError), KeyboardInterrupt)):
        with pytest.raises(expected):
            exports.call(which)


@every_mode
def test_no_exception_is_lost_or_invented(mode: Mode) -> None:
    """Handled ones leave no trace, chains are kept, the traceback names the host function."""

    def host(n: int) -> int:
        try:
            raise LookupError("inner")
        except LookupError as error:
            if n:
                raise ValueError("outer") from error
        return n

    exports = calling(mode, host)
    for _ in range(100):
        assert exports.call(0) == 1
        assert sys.exception() is None
        with pytest.raises(ValueError, match="outer") as caught:
            exports.call(1)
        assert isinstance(caught.value.__cause__, LookupError)
        names = []
        trace = caught.value.__traceback__
        while trace is not None:
            names.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert names[-1] == "host"


@every_mode
def test_a_trap_inside_a_host_functions_call(mode: Mode) -> None:
    """wasmtime.md 2.4 C 32: traps of another instance, swallowed and passed on; tail calls into what raises."""
    null = make('(module (table 1 funcref) (func (export "go") (call_indirect (i32.const 0))))', mode)

    def host(n: int) -> int:
        if n == 2:
            with traps("indirect_call_to_null"):
                null.go()
        if n == 3:
            null.go()
        return n

    exports = calling(mode, host)
    for name in ("call", "tail", "indirect"):
        assert exports[name](2) in (2, 3)
        with pytest.raises(wardian.Trap) as caught:
            exports[name](3)
        assert caught.value.code == "indirect_call_to_null"
        assert [frame.function for frame in caught.value.frames] == [0]


@every_mode
def test_what_the_guest_waits_for_may_take_everything_away(mode: Mode) -> None:
    """The host function drops the instance, its exports, its own callable, and grows all that can grow."""
    held: dict[str, Any] = {}

    def host(n: int) -> int:
        exports = held["exports"]
        exports.memory.grow(1)
        exports.table.grow(1)
        exports.table[0] = None
        held.clear()
        for _ in range(2):
            gc.collect()
            make(CALLS, mode, {"m": {"f": host}})
        return n

    held["exports"] = calling(mode, host)
    assert held["exports"].call(5) == 6
    assert not held


@every_mode
def test_a_callable_that_goes_while_it_runs(mode: Mode) -> None:
    class Once:
        def __call__(self, n: int) -> int:
            instances.clear()
            gc.collect()
            return n

        def method(self, n: int) -> int:
            return self(n)

    instances: list[Any] = []
    for bind in (
        lambda o: o,
        lambda o: o.method,
        lambda o: functools.partial(o),
        lambda o: functools.partial(o.method),
    ):
        once = Once()
        gone = weakref.ref(once)
        instances.append(calling(mode, bind(once)))
        del once
        call = instances[0].call
        gc.collect()
        assert gone() is not None and call(1) == 2
        del call
        gc.collect()
        assert gone() is None


@every_mode
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_every_kind_of_callable(mode: Mode) -> None:
    class Static:
        @staticmethod
        def static(n: int) -> int:
            return n

        @classmethod
        def of(cls, n: int) -> int:
            return n

        def __call__(self, n: int) -> int:
            return n

    async def coroutine(n: int) -> int:
        return n

    def generator(n: int) -> Any:
        yield n

    other = calling(mode, lambda n: n)
    for good in (lambda n: n, abs, int, Static.static, Static.of, Static(), functools.partial(pow, exp=1), other.call):
        assert calling(mode, good).call(3) == 4
    for bad in (coroutine, generator, str, list, lambda: 1, lambda a, b: 1, lambda *, n: 1, dict.get, type):
        with pytest.raises((TypeError, ValueError)):
            calling(mode, bad).call(3)
    for never in (None, 5, "f", object()):
        with pytest.raises(wardian.LinkError):
            calling(mode, never)  # type: ignore[arg-type]


@every_mode
def test_a_class_that_changes_its_call(mode: Mode) -> None:
    """The machine code holds the callable, not what it did when it was linked."""

    class Changing:
        def __call__(self, n: int) -> int:
            del Changing.__call__
            return n

    exports = calling(mode, Changing())
    assert exports.call(1) == 2
    with pytest.raises(TypeError):
        exports.call(1)
    Changing.__call__ = lambda self, n: n * 2  # type: ignore[method-assign]
    assert exports.tail(4) == 8


@every_mode
def test_entering_again(mode: Mode) -> None:
    """Guest and host functions in turns, up to Python's own limit or the guest's; then all is as before."""
    made: list[Any] = []
    deepest = 0

    def host(n: int) -> int:
        nonlocal deepest
        deepest = max(deepest, n)
        return int(made[0].call(n + 1))

    made.append(calling(mode, host))
    for _ in range(3):
        with pytest.raises((RecursionError, wardian.Trap)) as caught:
            made[0].call(0)
        assert not isinstance(caught.value, wardian.Trap) or caught.value.code == "stack_exhausted"
    assert deepest > 100
    assert calling(mode, lambda n: n).call(1) == 2


def another_thread(mode: Mode) -> None:
    """A host function that has another thread call the store it belongs to: StoreBusy there, and no deadlock."""
    made: list[Any] = []
    found: list[BaseException] = []

    def host(n: int) -> int:
        def work() -> None:
            try:
                made[0].call(1)
            except wardian.StoreBusy as error:
                found.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        return n

    made.append(calling(mode, host))
    assert made[0].call(3) == 4
    assert len(found) == 1


@every_mode
def test_another_thread(mode: Mode) -> None:
    child(another_thread, mode)


def tracing(mode: Mode) -> None:
    """Trace and profile functions run at every border, and may raise there."""
    events: list[str] = []

    def trace(frame: Any, event: str, arg: object) -> Any:
        events.append(event)
        return trace

    def bad(frame: Any, event: str, arg: object) -> Any:
        if frame.f_code.co_name == "host":
            raise Odd
        return bad

    def host(n: int) -> int:
        return n

    exports = calling(mode, host)
    for setter in (sys.settrace, sys.setprofile):
        setter(trace)
        assert exports.call(1) == 2
        setter(None)
        setter(bad)
        try:
            exports.call(1)
            raised = False
        except Odd:
            raised = True
        setter(None)
        assert raised
        assert exports.call(1) == 2
    assert events


@every_mode
def test_tracing(mode: Mode) -> None:
    child(tracing, mode)


@every_mode
def test_null_references_of_every_kind_cross_the_border(mode: Mode) -> None:
    """wasmtime.md 2.4 C 32: every nullable type, in and out."""
    types = (
        "funcref externref anyref eqref i31ref structref arrayref nullref nullfuncref nullexternref exnref nullexnref "
    )
    names = [*types.split(), "(ref null $s)", "(ref null $a)", "(ref null $f)"]
    each = "".join(
        f'(import "m" "f" (func $h{i} (param {t}) (result {t})))'
        f'(func (export "{i}") (param {t}) (result {t}) (call $h{i} (local.get 0)))'
        for i, t in enumerate(names)
    )
    imports, functions = [], []
    for part in each.replace(")(func (export", ")\n(func (export").replace("))(import", "))\n(import").split("\n"):
        (imports if part.startswith("(import") else functions).append(part)
    text = f"""(module (type $s (struct (field i32))) (type $a (array i8)) (type $f (func))
      {"".join(imports)} {"".join(functions)})"""
    seen: list[object] = []

    def host(value: object) -> object:
        seen.append(value)
        return value

    exports = make(text, mode, {"m": {"f": host}})
    for i in range(len(names)):
        assert exports[str(i)](None) is None
        if names[i] not in ("externref", "anyref"):
            with pytest.raises((TypeError, ValueError)):
                exports[str(i)](object())
    assert seen == [None] * len(names)


@every_mode
def test_instantiation_inside_a_host_function(mode: Mode) -> None:
    """Modules made, linked to the one that waits, and collected while it waits."""
    made: list[Any] = []
    linked = """(module (import "m" "call" (func $call (param i32) (result i32))) (import "m" "memory" (memory 1))
      (func (export "go") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.const 40)) (call $call (local.get 0))))"""

    def host(n: int) -> int:
        if n:
            inner = module(linked, mode).instantiate({"m": {"call": made[0].call, "memory": made[0].memory}})
            assert inner.exports.go(0) == 1
        return n

    made.append(calling(mode, host))
    assert made[0].call(7) == 8
