"""Prepared modules, instances that start anew, pools: what they promise when everything goes well."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import module
from tests.support import MODES, Mode, mode_params
from wardian.runtime import mould
from wardian.runtime.process import process

every_mode = pytest.mark.parametrize("mode", mode_params())
QUICK = MODES[0]

STATEFUL = """(module (import "e" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1 8) (data (i32.const 8) "first") (data $p "passive")
  (global $g (export "g") (mut i32) (i32.const 7)) (global $v (mut v128) (v128.const i64x2 1 2))
  (table $t (export "t") 3 9 funcref) (elem (i32.const 1) $one) (elem $e func $one)
  (func $one (export "one") (result i32) (i32.const 1))
  (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
  (func (export "out") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "vector") (result i64) (i64x2.extract_lane 1 (global.get $v)))
  (func (export "use")
    (i32.store8 (i32.const 8) (i32.const 88)) (i32.store (i32.const 60000) (i32.const -1))
    (drop (memory.grow (i32.const 2))) (i32.store (i32.const 131000) (i32.const -1))
    (global.set $g (i32.const 9)) (global.set $v (v128.const i64x2 5 5))
    (table.set $t (i32.const 0) (ref.func $one)) (drop (table.grow $t (ref.func $one) (i32.const 4)))
    (data.drop $p) (elem.drop $e))
  (func (export "segments") (memory.init $p (i32.const 100) (i32.const 0) (i32.const 7))
    (table.init $t $e (i32.const 2) (i32.const 0) (i32.const 1))))"""

IMPORTS: dict[str, dict[str, object]] = {"e": {"f": lambda x: x + 1}}


def assert_new(exports: Any) -> None:
    """Everything is as right after instantiation."""
    assert exports.memory.pages == 1
    assert exports.memory[0:20] == b"\0" * 8 + b"first" + b"\0" * 7
    assert exports.memory[60000:60004] == b"\0" * 4
    assert exports.g.value == 7
    assert exports.vector() == 2
    assert len(exports.t) == 3
    assert exports.t[0] is None
    assert exports.t[1] is exports.one
    assert exports.t[2] is None
    exports.segments()
    assert exports.memory[100:107] == b"passive"
    assert exports.t[2] is exports.one


def use(exports: Any) -> None:
    """Change everything a guest or an embedder can."""
    exports.use()
    exports.memory[3] = 1
    assert exports.memory.pages == 3
    assert len(exports.t) == 7
    assert exports.call(6) == 1
    assert exports.out(4) == 5


MAKERS: dict[str, Callable[[wardian.Module], Callable[[], wardian.Instance]]] = {
    "instantiate": lambda made: lambda: made.instantiate(IMPORTS),
    "prepared": lambda made: made.prepare(IMPORTS).instantiate,
}


@every_mode
@pytest.mark.parametrize("maker", MAKERS)
def test_reset(mode: Mode, maker: str) -> None:
    instance = MAKERS[maker](module(STATEFUL, mode))()
    one = instance.exports.one
    for _ in range(4):
        assert_new(instance.exports)
        use(instance.exports)
        instance.reset()
    assert instance.exports.one is one
    assert one() == 1


@every_mode
def test_memory_is_used_again_and_new(mode: Mode) -> None:
    prepared = module(STATEFUL, mode).prepare(IMPORTS)
    places = set()
    for _ in range(5):
        instance = prepared.instantiate()
        places.add(instance._data.address)
        assert_new(instance.exports)
        use(instance.exports)
    assert len(places) <= 2


def test_nothing_is_left_for_the_collector() -> None:
    """An instance goes when the last reference does, also after its exports were used."""
    prepared = module(STATEFUL, QUICK).prepare(IMPORTS)
    gc.disable()
    try:
        places = set()
        for _ in range(50):
            instance = prepared.instantiate()
            assert instance.exports.call(1) + instance.exports.out(1) == 3
            assert instance.exports.memory[8:13] == b"first"
            places.add(instance._data.address)
        assert len(places) <= 2
    finally:
        gc.enable()


@every_mode
def test_start_functions_run_every_time(mode: Mode) -> None:
    counted: list[int] = []
    text = """(module (import "e" "f" (func $f)) (global $n (export "n") (mut i32) (i32.const 0))
      (func $start (global.set $n (i32.add (global.get $n) (i32.const 1))) (call $f)) (start $start))"""
    prepared = module(text, mode).prepare({"e": {"f": lambda: counted.append(1)}})
    assert not counted
    first = prepared.instantiate()
    first.reset()
    del first
    assert prepared.instantiate().exports.n.value == 1
    assert len(counted) == 3


def test_missing_imports_are_found_when_preparing() -> None:
    with pytest.raises(wardian.LinkError, match=r"e\.f"):
        module(STATEFUL, QUICK).prepare({})


def test_a_segment_that_does_not_fit_traps_each_time() -> None:
    prepared = module('(module (memory 1) (data (i32.const 65530) "too long"))', QUICK).prepare()
    for _ in range(2):
        with pytest.raises(wardian.Trap):
            prepared.instantiate()


SHARING: dict[str, tuple[str, Callable[[], dict[str, dict[str, object]]]]] = {
    "memory": (
        '(module (import "e" "m" (memory 1)) (data (i32.const 0) "x") (func (export "f")))',
        lambda: {"e": {"m": wardian.Memory(1)}},
    ),
    "table": (
        '(module (import "e" "t" (table 1 funcref)) (elem (i32.const 0) $f) (func $f (export "f")))',
        lambda: {"e": {"t": wardian.Table("funcref", 1)}},
    ),
    "global": (
        '(module (import "e" "g" (global (mut i32))) (func (export "f") (global.set 0 (i32.const 1))))',
        lambda: {"e": {"g": wardian.Global("i32", 5, mutable=True)}},
    ),
}


@pytest.mark.parametrize("what", SHARING)
def test_what_is_imported_is_shared_and_not_reset(what: str) -> None:
    text, imports = SHARING[what]
    prepared = module(text, QUICK).prepare(imports())
    one, two = prepared.instantiate(), prepared.instantiate()
    one.exports.f()
    two.exports.f()
    with pytest.raises(wardian.Refused, match=rf"imports the {what} e\."):
        one.reset()


def test_functions_of_another_instance_are_linked() -> None:
    library = module('(module (func (export "f") (result i32) (i32.const 3)))', QUICK).instantiate()
    text = """(module (import "e" "f" (func (result i32))) (export "g" (func 0))
      (func (export "h") (result i32) (call 0)))"""
    prepared = module(text, QUICK).prepare({"e": {"f": library.exports.f}})
    made = [prepared.instantiate() for _ in range(3)]
    assert [i.exports.h() for i in made] == [3, 3, 3]
    made[0].reset()
    assert made[0].exports.h() == 3
    assert made[1].exports.g is library.exports.f


def test_reset_is_refused_while_running() -> None:
    asked: list[type[BaseException]] = []

    def host() -> None:
        try:
            instance.reset()
        except wardian.StoreBusy as error:
            asked.append(type(error))

    text = '(module (import "e" "f" (func $f)) (func (export "g") (call $f)))'
    instance = module(text, QUICK).prepare({"e": {"f": host}}).instantiate()
    instance.exports.g()
    assert asked == [wardian.StoreBusy]


def test_reset_is_refused_while_a_grown_memory_is_viewed() -> None:
    instance = module(STATEFUL, QUICK).prepare(IMPORTS).instantiate()
    small = instance.exports.memory.view()
    use(instance.exports)
    view = instance.exports.memory.view()
    with pytest.raises(BufferError, match="views"):
        instance.reset()
    assert view[131000] == 255
    assert instance.exports.g.value == 9
    del view, small
    instance.reset()
    assert_new(instance.exports)
    small = instance.exports.memory.view()
    instance.exports.memory[8] = 0
    instance.reset()
    assert small[8] == ord("f")


def test_reset_is_refused_if_others_use_the_memory() -> None:
    owner = module('(module (memory (export "m") 1))', QUICK).instantiate()
    owner.reset()
    module('(module (import "e" "m" (memory 1)))', QUICK).instantiate({"e": {"m": owner.exports.m}})
    with pytest.raises(wardian.Refused, match="others"):
        owner.reset()
    shared = module('(module (memory (export "m") 1 1 shared))', QUICK).instantiate()
    with pytest.raises(wardian.Refused, match="others"):
        shared.reset()


def test_pool() -> None:
    with module(STATEFUL, QUICK).prepare(IMPORTS).pool(2) as pool:
        for _ in range(4):
            with pool.instance() as one, pool.instance() as two:
                assert_new(one.exports)
                use(one.exports)
                assert_new(two.exports)
                with pytest.raises(TimeoutError), pool.instance(timeout=0):
                    pass
            for given_back in (lambda: one.exports, one.reset, one.interrupt, lambda: one.running, one.collect):
                with pytest.raises(ValueError, match="given back"):
                    given_back()
    with pytest.raises(ValueError, match="closed"), pool.instance():
        pass
    with pytest.raises(ValueError, match="at least one"):
        pool.prepared.pool(0)


def test_a_pool_waits_and_serves_many_threads() -> None:
    pool = module(STATEFUL, QUICK).prepare(IMPORTS).pool(3)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                with pool.instance() as instance:
                    assert_new(instance.exports)
                    use(instance.exports)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_shells_kept_are_bounded() -> None:
    prepared = module(STATEFUL, QUICK).prepare(IMPORTS)
    prepared.kept = 2
    made = [prepared.instantiate() for _ in range(5)]
    del made
    assert prepared._mould is not None
    assert len(prepared._mould.free) == 2
    prepared.kept = 0
    assert not prepared._mould.free
    with pytest.raises(ValueError, match="negative"):
        prepared.kept = -1


def test_shells_beyond_some_are_bounded_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = process()
    monkeypatch.setattr(mould, "SPARE", shared.spare_shells + 3)
    before = shared.spare_shells
    one, two = (module(STATEFUL, QUICK).prepare(IMPORTS) for _ in range(2))
    for prepared, spare in ((one, 3), (two, 0)):
        made = [prepared.instantiate() for _ in range(mould.CERTAIN + 6)]
        del made
        assert prepared._mould is not None
        assert len(prepared._mould.free) == mould.CERTAIN + spare
        assert shared.spare_shells == before + 3
    one.kept = mould.CERTAIN + 1
    assert shared.spare_shells == before + 1
    made = [one.instantiate() for _ in range(2)]
    assert shared.spare_shells == before
    del made, one
    gc.collect()
    assert shared.spare_shells == before


@every_mode
def test_an_instance_that_nobody_used_leaves_the_next_one_as_it_should_be(mode: Mode) -> None:
    prepared = module(STATEFUL, mode).prepare(IMPORTS)
    for used in (True, False, True, False, False, True):
        instance = prepared.instantiate()
        if used:
            assert_new(instance.exports)
            use(instance.exports)
    with prepared.pool(1) as pool, pool.instance() as instance:
        pass
    with pytest.raises(ValueError, match="given back"):
        _ = instance.exports


def test_threads_that_are_the_first_to_use_an_instance_have_the_same() -> None:
    prepared = module(STATEFUL, QUICK).prepare(IMPORTS)
    for _ in range(20):
        instance = prepared.instantiate()
        barrier = threading.Barrier(3)
        found: list[object] = []

        def first(instance: wardian.Instance = instance, barrier: Any = barrier, found: Any = found) -> None:
            barrier.wait()
            found.append((instance._data, instance._data.store))

        threads = [threading.Thread(target=first) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1


def test_a_cycle_with_an_unused_instance_may_use_it_when_it_dies() -> None:
    """The lease ends after every finaliser of the cycle."""
    prepared = module(STATEFUL, QUICK).prepare(IMPORTS)
    seen: list[int] = []

    class User:
        def __init__(self) -> None:
            self.instance, self.me = prepared.instantiate(), self

        def __del__(self) -> None:
            assert_new(self.instance.exports)
            use(self.instance.exports)
            seen.append(self.instance.exports.g.value)

    for _ in range(3):
        User()
        gc.collect()
        assert_new(prepared.instantiate().exports)
    assert seen == [9, 9, 9]


@every_mode
def test_the_same_imports_and_others(mode: Mode) -> None:
    """Each instance is new, and has the imports and limits that were given for it, whatever was given before."""
    made = wardian.Module(STATEFUL, module(STATEFUL, mode).engine)
    add = {"e": {"f": lambda x: x + 1}}
    other = {"e": {"f": lambda x: x - 1}}
    alive = []
    for i, imports in enumerate([add, add, add, add, other, add, other, other, other, add]):
        limits = wardian.Limits(memory=65536) if i in (3, 8) else None
        instance = made.instantiate(dict(imports), limits=limits)
        assert_new(instance.exports)
        assert instance.exports.out(4) == imports["e"]["f"](4)
        if limits is None:
            use_with(instance.exports, imports["e"]["f"])
        else:
            with pytest.raises(MemoryError):
                instance.exports.memory.grow(1)
        alive.append(instance if i % 3 == 0 else None)
    assert len({i._data.store for i in alive if i is not None}) == 4


def use_with(exports: Any, host: Callable[[int], int]) -> None:
    exports.use()
    exports.memory[3] = 1
    assert exports.out(4) == host(4)


def test_wrong_imports_are_wrong_each_time() -> None:
    made = wardian.Module(STATEFUL, module(STATEFUL, QUICK).engine)
    for _ in range(4):
        with pytest.raises(wardian.LinkError, match=r"e\.f"):
            made.instantiate({"e": {}})
        with pytest.raises(TypeError, match="mapping"):
            made.instantiate({"e": 5})  # type: ignore[dict-item]
    none = wardian.Limits(instances=0)
    for _ in range(4):
        with pytest.raises(wardian.LimitExceeded):
            made.instantiate(IMPORTS, limits=none)
    beside = made.instantiate(IMPORTS)
    for _ in range(3):
        joined = made.instantiate(IMPORTS, beside=beside)
        assert joined._data.store.root() is beside._data.store.root()
