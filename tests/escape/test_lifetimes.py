"""Use after the owner is gone, in every order, with the collector in between: nothing dangles, everything goes."""

from __future__ import annotations

import copy
import gc
import itertools
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import PAGE, child, engine, make, module, traps
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

FULL = """(module (memory (export "memory") 1 4) (table (export "table") 2 4 funcref)
  (global (export "global") (mut i32) (i32.const 5)) (elem (i32.const 0) $load)
  (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))))"""


def use(name: str, thing: Any) -> None:
    """Everything that can be done with one export, as a program that still has only this would."""
    if name == "memory":
        assert thing[0:4] == b"\1\2\3\4"
        thing.view()[4] = 9
        assert thing.grow(0) >= 1
    elif name == "view":
        assert thing[0] == 1
        thing[5] = 1
        bytes(thing)
    elif name == "table":
        assert thing[0](0) == 0x04030201
        assert thing[1] is None
        thing[1] = thing[0]
        thing[1] = None
    elif name == "global":
        thing.value += 1
    else:
        assert thing(0) == 0x04030201
        assert "Func" in repr(thing)
        with traps("memory_out_of_bounds"):
            thing(-1)


@every_mode
def test_exports_outlive_their_instance_in_every_order(mode: Mode) -> None:
    names = ("memory", "view", "table", "global", "load", "indirect")
    for order in itertools.permutations(names, 3):
        exports = make(FULL, mode)
        exports.memory[0:4] = b"\1\2\3\4"
        held = {name: exports.memory.view() if name == "view" else exports[name] for name in names}
        del exports
        gc.collect(0)
        for name in order:
            use(name, held.pop(name))
            gc.collect(0)
        for name, thing in held.items():
            use(name, thing)
    gc.collect()


@every_mode
def test_views_while_the_memory_grows(mode: Mode) -> None:
    exports = make(FULL, mode)
    views = [exports.memory.view()]
    for pages in range(2, 5):
        exports.grow(1) if pages % 2 else exports.memory.grow(1)
        views.append(exports.memory.view())
        assert [len(v) for v in views] == [PAGE * n for n in range(1, pages + 1)]
    exports.memory[0:3] = b"abc"
    assert all(bytes(v[0:3]) == b"abc" for v in views)
    views[0][PAGE - 1] = 7
    assert exports.memory[PAGE - 1] == 7
    with pytest.raises(IndexError):
        views[0][PAGE]
    del exports
    gc.collect()
    assert all(bytes(v[0:3]) == b"abc" for v in views)
    for view in views:
        view.release()


@every_mode
def test_a_released_view_harms_nobody(mode: Mode) -> None:
    exports = make(FULL, mode)
    with exports.memory.view() as view:
        other = exports.memory.view()
        view[0] = 1
    with pytest.raises(ValueError):
        view[0]
    assert other[0] == exports.memory[0] == 1
    other.release()
    assert exports.memory[0:1] == b"\1"
    assert exports.load(0) == 1


@every_mode
def test_instances_with_closures_are_collected(mode: Mode) -> None:
    """wasmtime-py keeps these for ever."""
    text = '(module (import "m" "f" (func $f)) (memory (export "memory") 1) (func (export "go") (call $f)))'
    gone: list[int] = []
    for i in range(50):

        def host() -> None:
            gone.append(len(instance.exports.memory))  # noqa: B023, F821

        instance = module(text, mode).instantiate({"m": {"f": host}})
        instance.exports.go()
        weakref.finalize(host, gone.append, i)
    del instance, host
    gc.collect()
    assert set(range(50)) <= set(gone)


FINALISED = """(module (import "m" "f" (func $f)) (memory (export "memory") 1)
  (func (export "go") (call $f)) (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "late") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))"""


def finalisers(mode: Mode) -> None:
    """Finalisers in a dying cycle call exports, trap, resurrect; and what comes last of all is refused, not a crash."""
    seen: list[object] = []
    saved: list[Any] = []

    class Ordinary:
        def __init__(self, exports: Any, resurrect: bool) -> None:
            self.exports = exports
            self.resurrect = resurrect

        def __del__(self) -> None:
            attempt(lambda: self.exports.load(0))
            attempt(lambda: self.exports.load(-1))
            attempt(lambda: self.exports.late(4))
            attempt(lambda: self.exports.memory.grow(1))
            if self.resurrect:
                saved.append(self)

    class Bare(int):
        """No container: the collector does not know it, so it goes when the cycle is already being taken apart."""

        __slots__ = ()

    def attempt(action: Callable[[], object]) -> None:
        try:
            seen.append(action())
        except Exception as error:  # noqa: BLE001 - whatever it is
            seen.append(type(error).__name__)

    def cycle(resurrect: bool) -> None:
        instance = module(FINALISED, mode).instantiate({"m": {"f": lambda: instance}})
        exports = instance.exports
        exports.go()
        load, late, view = exports.load, exports.late, exports.memory.view()

        class Last(Bare):
            __slots__ = ()

            def __del__(self, load: Any = load, late: Any = late, view: Any = view) -> None:
                attempt(lambda: load(0))
                attempt(lambda: late(4))
                attempt(lambda: view[0])

        instance.parts = [Ordinary(exports, resurrect), Last(7), instance, load]

    for i in range(30):
        cycle(i % 3 == 0)
    gc.collect()
    assert len(saved) == 10
    for thing in saved:
        assert thing.exports.load(0) == 0
        with traps("memory_out_of_bounds"):
            thing.exports.load(-1)
        assert thing.exports.late(3) == 6
    del thing
    saved.clear()
    gc.collect()
    gc.collect()
    assert seen.count("Trap") == 30, seen
    assert seen.count(8) >= 30, seen


@every_mode
def test_finalisers(mode: Mode) -> None:
    child(finalisers, mode)


@every_mode
def test_what_owns_native_memory_is_unknown_to_the_collector(mode: Mode) -> None:
    """Or it would be finalised while a finaliser of the same cycle still calls a guest, or saves it."""
    instance = module(FULL, mode).instantiate()
    instance.exports.load(0)
    code = instance.module.code()
    assert code._mapped
    for owner in (instance.exports.memory._instance.base, *code._mapped):
        assert not gc.is_tracked(owner) and isinstance(owner, int), type(owner)
    saved: list[Any] = []

    class Phoenix:
        def __init__(self, exports: Any) -> None:
            self.exports = exports
            self.itself = self

        def __del__(self) -> None:
            saved.append(self)

    for _ in range(3):
        phoenix = Phoenix(make(FULL, mode))
        phoenix.exports.memory[0:1] = b"!"
        del phoenix
        gc.collect()
        other = make(FULL, mode)
        assert other.memory[0:1] == b"\0"
        other.memory[0:1] = b"?"
        assert saved.pop().exports.memory[0:1] == b"!"


@every_mode
def test_copies_and_pickles(mode: Mode) -> None:
    """What exists once cannot be doubled; the originals go on."""
    instance = module(FULL, mode).instantiate()
    exports = instance.exports
    things = [exports.load, exports.memory, exports.table, exports["global"], exports, instance, instance.module]
    things += [engine(mode), exports.memory._instance, exports.memory._instance.base, exports.memory._instance.block]
    for thing in things:
        for way in (copy.deepcopy, pickle.dumps):
            with pytest.raises(Exception):  # noqa: B017 - whatever it is, it must be an exception
                way(thing)
        try:
            copy.copy(thing)
        except Exception:  # noqa: BLE001
            pass
    gc.collect()
    exports.memory[0:4] = b"\1\2\3\4"
    for _ in range(3):
        use("memory", exports.memory)
        use("load", exports.load)
        make(FULL, mode).memory[0:8] = b"\xff" * 8
        assert exports.memory[0:4] == b"\1\2\3\4"


@every_mode
def test_a_module_goes_before_its_instances(mode: Mode) -> None:
    made = wardian.Module(module(FULL, mode).decl.source, engine(mode))
    load = made.instantiate().exports.load
    load(0)
    del made
    for _ in range(5):
        gc.collect()
        again = wardian.Module(module(FULL, mode).decl.source, engine(mode)).instantiate().exports
        assert again.indirect(0) == 0
    assert load(0) == 0


@every_mode
def test_functions_in_a_table_outlive_their_module(mode: Mode) -> None:
    table = make('(module (table (export "t") 3 funcref))', mode).t
    text = """(module (import "m" "t" (table 3 funcref)) (memory 1) (elem (i32.const {n}) $f)
      (func $f (param i32) (result i32) (i32.add (i32.load (local.get 0)) (i32.const {n}))))"""
    for n in range(3):
        make(text.format(n=n), mode, {"m": {"t": table}})
    module.cache_clear()
    gc.collect()
    assert [table[n](0) for n in range(3)] == [0, 1, 2]


def failed_instantiations(mode: Mode, count: int) -> None:
    """wasmtime.md 2.4 B 18: fail at every step of instantiation, over and over; nothing is left, nothing breaks."""
    data = '(memory 1) (data (i32.const 0) "x") (data (i32.const 65536) "x")'
    elem = "(table 1 funcref) (elem (i32.const 1) $f) (func $f)"
    start = "(memory 1) (table 1 funcref) (elem (i32.const 0) $s) (func $s unreachable) (start $s)"
    raising = '(import "m" "f" (func $s)) (memory 1) (start $s)'
    limits = wardian.Limits(memory=2 * PAGE, table_elements=10)

    class Own(Exception):
        pass

    def host() -> None:
        raise Own

    cases: list[tuple[str, type[Exception]]] = [
        (data, wardian.Trap),
        (elem, wardian.Trap),
        (start, wardian.Trap),
        (raising, Own),
        ("(memory 1) (memory 3)", wardian.LimitExceeded),
        ("(memory 1) (table 5 funcref) (table 11 funcref)", wardian.LimitExceeded),
        ('(import "m" "missing" (func)) (memory 1)', wardian.LinkError),
    ]
    kept = make('(module (memory (export "m") 1) (table (export "t") 1 funcref))', mode)
    sharing = """(module (import "m" "m" (memory 1)) (import "m" "t" (table 1 funcref))
      (data (i32.const 0) "left") (elem (i32.const 0) $f) (func $f (result i32) (i32.load (i32.const 0)))
      (data (i32.const 65536) "x"))"""
    for i in range(count):
        for text, error in cases:
            with pytest.raises(error):
                module(f"(module {text})", mode).instantiate({"m": {"f": host}}, limits=limits)
        if i % 10 == 0:
            with pytest.raises(wardian.Trap):
                make(sharing, mode, {"m": {"m": kept.m, "t": kept.t}})
    gc.collect()
    assert kept.m[0:4] == b"left"
    assert kept.t[0]() == int.from_bytes(b"left", "little")
    process = engine(mode).process
    assert len(process._slots) < 20


@every_mode
def test_failed_instantiations(mode: Mode) -> None:
    child(failed_instantiations, mode, 1000 if mode == MODES[0] else 100, timeout=300)


def end_of_the_process(mode: Mode, where: str) -> None:
    """The interpreter ends while guests run on daemon threads, and while finalisers still call exports."""
    import threading
    import time

    text = """(module (import "m" "f" (func $f)) (memory (export "memory") 1)
      (func (export "spin") (loop $again (drop (i32.load (i32.const 0))) (br $again)))
      (func (export "calls") (loop $again (call $f) (br $again))))"""
    exports = make(text, mode, {"m": {"f": lambda: None}})
    for _ in range(2):
        one = make(text, mode, {"m": {"f": lambda: time.sleep(0.001)}})
        threading.Thread(target=one[where], daemon=True).start()

    class Late:
        def __init__(self) -> None:
            self.exports = exports

        def __del__(self) -> None:
            self.exports.memory.grow(1)

    global _last
    _last = Late()
    time.sleep(0.05)


_last: object = None


@every_mode
@pytest.mark.parametrize("where", ["spin", "calls"])
def test_end_of_the_process(mode: Mode, where: str) -> None:
    child(end_of_the_process, mode, where)
