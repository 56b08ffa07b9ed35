"""The border between two users of one pool: nothing of the first is left for the second, whatever the first keeps."""

from __future__ import annotations

import gc
import os
import random
import resource
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import child, module
from tests.support import MODES, Mode, mode_params
from wardian.runtime import mould
from wardian.runtime.process import process

every_mode = pytest.mark.parametrize("mode", mode_params())

SECRET = b"the first user's secret"

GUEST = """(module (import "e" "f" (func $f (param i32)))
  (memory (export "memory") 1 4) (data (i32.const 16) "public") (data $p "segment")
  (global $g (export "g") (mut i64) (i64.const 1)) (global $r (export "r") (mut funcref) (ref.null func))
  (table $t (export "t") 2 8 funcref) (elem $e func $one)
  (func $one (export "one") (result i32) (i32.load8_u (i32.const 0)))
  (func (export "set") (param i64) (global.set $g (local.get 0)))
  (func (export "grow") (result i32) (drop (table.grow $t (ref.func $one) (i32.const 3))) (memory.grow (i32.const 2)))
  (func (export "drop") (data.drop $p) (elem.drop $e))
  (func (export "init") (memory.init $p (i32.const 0) (i32.const 0) (i32.const 7)))
  (func (export "host") (param i32) (call $f (local.get 0)))
  (func (export "trap") (i32.store8 (i32.const 1) (i32.const 9)) (unreachable))
  (func (export "spin") (loop (br 0)))
  (func (export "deep") (call 9)))"""

IMPORTS: dict[str, dict[str, object]] = {"e": {"f": lambda x: None}}


def pooled(text: str, mode: Mode, size: int = 1, imports: Any = None) -> wardian.api.prepared.Pool:  # type: ignore[name-defined]
    return module(text, mode).prepare(IMPORTS if imports is None else imports).pool(size)


def defile(exports: Any) -> None:
    """Leave traces everywhere."""
    exports.memory[100 : 100 + len(SECRET)] = SECRET
    exports.grow()
    exports.memory[190000 : 190000 + len(SECRET)] = SECRET
    exports.set(-5)
    exports.r.value = exports.one
    exports.t[0] = exports.one
    exports.drop()


def assert_clean(exports: Any) -> None:
    memory = exports.memory
    assert len(memory) == 65536
    assert memory[:] == (b"\0" * 16 + b"public").ljust(65536, b"\0")
    assert exports.g.value == 1
    assert exports.r.value is None
    assert len(exports.t) == 2
    assert exports.t[0] is None
    assert exports.t[1] is None
    exports.init()
    assert memory[0:7] == b"segment"
    assert exports.grow() == 1
    assert memory[65536:] == bytes(131072)
    assert exports.t[4]() == ord("s")


@every_mode
def test_nothing_of_the_state_is_left(mode: Mode) -> None:
    with pooled(GUEST, mode) as pool:
        for _ in range(4):
            with pool.instance() as instance:
                assert_clean(instance.exports)
                defile(instance.exports)


@every_mode
def test_what_a_user_keeps_is_not_the_next_users(mode: Mode) -> None:
    """Handles and views outlive the block: they show their own instance, of which the next user sees nothing."""
    with pooled(GUEST, mode) as pool:
        kept: list[Any] = []
        for turn in range(3):
            with pool.instance() as instance:
                exports = instance.exports
                assert_clean(exports)
                exports.memory[0] = turn
                exports.set(turn)
                kept.append((exports.memory, exports.memory.view(), exports.one, exports.set, exports.g, exports.t))
            del instance, exports
            for mine, (memory, view, one, set_, g, t) in enumerate(kept):
                assert memory[0] == view[0] == one() == g.value == mine
                assert t[4]() == mine
                set_(mine)
        view = kept[0][1]
        kept.clear()
        gc.collect()
        view[0:3] = b"abc"
        with pool.instance() as instance:
            assert_clean(instance.exports)
            assert bytes(view[0:3]) == b"abc"
            view[0:3] = b"xyz"
            assert instance.exports.memory[0:3] == b"seg"


@every_mode
def test_a_view_alone_keeps_the_memory_from_the_next_user(mode: Mode) -> None:
    with pooled(GUEST, mode) as pool:
        with pool.instance() as instance:
            view = instance.exports.memory.view()[100:200]
            view[0:3] = b"old"
        del instance
        gc.collect()
        with pool.instance() as instance:
            assert instance.exports.memory[100:103] == bytes(3)
            instance.exports.memory[100:103] = b"new"
            assert bytes(view[0:3]) == b"old"


@every_mode
def test_traps_stops_and_exceptions_are_not_inherited(mode: Mode) -> None:
    def fail(x: int) -> None:
        raise KeyError(x)

    errors: list[BaseException] = []
    with pooled(GUEST, mode, imports={"e": {"f": fail}}) as pool:
        for _ in range(2):
            with pool.instance() as instance:
                assert_clean(instance.exports)
                for name, arguments in (("trap", ()), ("deep", ()), ("host", (1,))):
                    with pytest.raises((wardian.Trap, KeyError)) as caught:
                        instance.exports[name](*arguments)
                    errors.append(caught.value)
                with pytest.raises(wardian.Interrupted), instance.deadline(0.01):
                    instance.exports.spin()
            del instance
    assert len(errors) == 6


def test_a_deadline_of_the_first_does_not_stop_the_second() -> None:
    with pooled(GUEST, MODES[0]) as pool:
        with pool.instance() as instance, instance.deadline(0.0):
            time.sleep(0.01)
            with pytest.raises(wardian.Interrupted):
                instance.exports.one()
        del instance
        with pool.instance() as instance:
            assert instance.exports.one() == 0


def _until_stopped(spin: Callable[[], None]) -> None:
    with pytest.raises(wardian.Interrupted):
        spin()


@every_mode
def test_a_guest_that_still_runs_keeps_its_memory(mode: Mode) -> None:
    """The block ends, the guest does not: who comes next gets other memory."""
    with pooled(GUEST, mode, 2) as pool:
        with pool.instance() as instance:
            spin, memory = instance.exports.spin, instance.exports.memory
            store = instance._data.store
            thread = threading.Thread(target=_until_stopped, args=(spin,))
            thread.start()
            while not store.running():
                time.sleep(0.001)
        memory[0] = 77
        for _ in range(3):
            with pool.instance() as other:
                assert_clean(other.exports)
                assert other._data.store is not store
        while thread.is_alive():
            store.interrupt()
            thread.join(0.01)
        assert memory[0] == 77


OBJECTS = """(module (type $s (struct (field (mut i64)))) (import "e" "f" (func $f (param externref)))
  (global $kept (export "kept") (mut externref) (ref.null extern)) (table $t (export "t") 1 externref)
  (global $s (export "s") (mut (ref null $s)) (ref.null $s))
  (func (export "keep") (param externref)
    (global.set $kept (local.get 0)) (table.set $t (i32.const 0) (local.get 0)) (call $f (local.get 0)))
  (func (export "make") (result (ref $s))
    (global.set $s (struct.new $s (i64.const 42))) (ref.as_non_null (global.get $s)))
  (func (export "has") (result i32) (i32.eqz (ref.is_null (global.get $s)))))"""

EXTERNS = """(module (import "e" "f" (func $f (param externref)))
  (global $kept (export "kept") (mut externref) (ref.null extern)) (table $t (export "t") 1 externref)
  (func (export "keep") (param externref)
    (global.set $kept (local.get 0)) (table.set $t (i32.const 0) (local.get 0)) (call $f (local.get 0))))"""


class Thing:
    """Something of the host."""


@every_mode
@pytest.mark.parametrize("text", [EXTERNS, OBJECTS], ids=["externref", "struct"])
def test_host_references_and_objects_are_not_inherited(text: str, mode: Mode) -> None:
    seen: list[object] = []
    with pooled(text, mode, imports={"e": {"f": seen.append}}) as pool:
        watched = []
        for _ in range(3):
            with pool.instance() as instance:
                exports = instance.exports
                assert exports.kept.value is None
                assert exports.t[0] is None
                thing = Thing()
                watched.append(weakref.ref(thing))
                exports.keep(thing)
                assert exports.kept.value is exports.t[0] is seen.pop() is thing
                if text is OBJECTS:
                    assert not exports.has()
                    made = exports.make()
                    assert made[0] == 42
            del thing, instance, exports
        gc.collect()
        assert [ref() for ref in watched[:-1]] == [None, None]
        assert text is EXTERNS or made[0] == 42


@every_mode
@pytest.mark.parametrize("text", [EXTERNS, OBJECTS], ids=["externref", "struct"])
def test_reset_lets_go_of_host_references(text: str, mode: Mode) -> None:
    instance = module(text, mode).instantiate({"e": {"f": lambda x: None}})
    thing = Thing()
    watched = weakref.ref(thing)
    instance.exports.keep(thing)
    del thing
    for _ in range(2):
        instance.reset()
        assert instance.exports.kept.value is None
        assert instance.exports.t[0] is None
    instance.collect()
    gc.collect()
    assert watched() is None
    if text is OBJECTS:
        made = instance.exports.make()
        instance.reset()
        assert not instance.exports.has()
        instance.collect()
        assert made[0] == 42


@every_mode
def test_exceptions_of_the_guest(mode: Mode) -> None:
    text = """(module (tag $e (export "e") (param i32)) (global $g (export "g") (mut i32) (i32.const 0))
      (func (export "throw") (param i32) (global.set $g (i32.const 1)) (throw $e (local.get 0))))"""
    tags = []
    with pooled(text, mode, imports={}) as pool:
        for turn in range(3):
            with pool.instance() as instance:
                assert instance.exports.g.value == 0
                with pytest.raises(wardian.WasmException) as caught:
                    instance.exports.throw(turn)
                assert caught.value.payload == (turn,)
                assert caught.value.tag is instance.exports.e
                tags.append(caught.value.tag)
                instance.reset()
                assert instance.exports.g.value == 0
                with pytest.raises(wardian.WasmException) as caught:
                    instance.exports.throw(turn)
                assert caught.value.tag is instance.exports.e
            del instance
    assert len({tag.number for tag in tags}) == 3


@every_mode
def test_an_instance_that_was_linked_to_another_is_not_lent_again(mode: Mode) -> None:
    with pooled(GUEST, mode) as pool:
        with pool.instance() as instance:
            first = instance._data.address
            text = '(module (import "g" "one" (func $f (result i32))) (func (export "go") (result i32) (call $f)))'
            linked = module(text, mode).instantiate({"g": {"one": instance.exports.one}})
            instance.exports.memory[0] = 5
        del instance
        gc.collect()
        with pool.instance() as other:
            assert_clean(other.exports)
            assert other._data.address != first
        assert linked.exports.go() == 5


def finalisers(mode: Mode) -> None:
    """Users in cycles, whose finalisers still call the guest, while others come and go on other threads."""

    class User:
        def __init__(self, exports: Any) -> None:
            self.exports, self.me = exports, self

        def __del__(self) -> None:
            assert self.exports.one() == 9
            assert self.exports.memory[0] == 9

    pool = pooled(GUEST, mode, 4)

    def work() -> None:
        for i in range(60):
            with pool.instance() as instance:
                assert_clean(instance.exports)
                defile(instance.exports)
                instance.exports.memory[0] = 9
                if i % 3 == 0:
                    User(instance.exports)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    with pool.instance() as instance:
        assert_clean(instance.exports)
    print("fine")


@every_mode
def test_finalisers(mode: Mode) -> None:
    assert child(finalisers, mode) == "fine\n"


def forked(mode: Mode) -> None:
    """Parent and child use the same pool; neither sees the other's."""
    pool = pooled(GUEST, mode, 2)
    with pool.instance() as instance:
        instance.exports.memory[0] = 1
        pid = os.fork()
        instance.exports.memory[1] = 7 if pid else 8
        assert instance.exports.memory[0:2] == bytes([1, 7 if pid else 8])
        instance.reset()
        assert instance.exports.memory[0:2] == b"\0\0"
        defile(instance.exports)
    for _ in range(3):
        with pool.instance() as other:
            assert_clean(other.exports)
            defile(other.exports)
    if not pid:
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    print("fine")


def test_fork() -> None:
    assert child(forked, MODES[0]) == "fine\n"


IMAGES = {
    "image": '(module (memory (export "m") 5) (data (i32.const 5000) "{0}") (data (i32.const 90000) "{0}"))',
    "sparse": '(module (memory (export "m") 5) (data (i32.const 5000) "a") (data (i32.const 299999) "b"))',
    "nothing": '(module (memory (export "m") 5))',
    "much": '(module (memory (export "m") 70) (data (i32.const 5000) "{0}"))',
    "two": '(module (memory (export "m") 5) (memory 1) (data (i32.const 9) "{0}") (data 1 (i32.const 9) "{0}"))',
}
"""Memories by what they hold at first; with 70 pages of 64 KiB it is more than is looked at page by page."""


@pytest.mark.parametrize("fills", [True, False])
@pytest.mark.parametrize("name", IMAGES)
def test_whatever_pages_were_touched(name: str, fills: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few or many, of the image or beyond, read only or written, by a user or by several: the next finds none of it."""
    prepared = module(IMAGES[name].format("of an image" * 3000), MODES[0]).prepare()
    first = prepared.instantiate().exports.m[:]
    if not fills:
        monkeypatch.setattr(process(), "fills_pages", False)
        prepared = module(IMAGES[name].format("of an image" * 3000), MODES[0]).prepare()
    chance = random.Random(name)
    pages = len(first) // 4096
    for turn in range(40):
        instance = prepared.instantiate()
        memory = instance.exports.m
        view = memory.view()
        for page in chance.sample(range(pages), chance.choice([0, 1, 3, 60, 64, 65, pages])):
            assert view[4096 * page + 5] == first[4096 * page + 5]
            if turn % 4:
                at = 4096 * page + chance.randrange(4096)
                view[at] ^= 255
        if turn % 5 == 4:
            memory.grow(1)
            memory[len(memory) - 1] = 1
        del view
        if turn % 2:
            instance.reset()
            assert memory[:] == first, turn
        else:
            del instance, memory
            again = prepared.instantiate()
            assert again.exports.m[:] == first, turn
            again.exports.m[0] = 1
            del again


def without_descriptors(mode: Mode) -> None:
    """Nothing can be opened: the system cannot be asked which pages were written to."""
    pool = pooled(GUEST, mode)
    with pool.instance() as instance:
        defile(instance.exports)
    del instance
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for _ in range(3):
        with pool.instance() as instance:
            assert_clean(instance.exports)
            defile(instance.exports)
            instance.reset()
            assert_clean(instance.exports)
            instance.exports.memory[5] = 1
        del instance
    print("fine")


def test_without_descriptors() -> None:
    assert child(without_descriptors, MODES[0]) == "fine\n"


def test_pages_that_stay_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    used = process()
    gc.collect()
    before = used.resident_pages
    monkeypatch.setattr(mould, "PAGES", before + 10)
    prepared = module(IMAGES["nothing"], MODES[0]).prepare()
    made = [prepared.instantiate() for _ in range(3)]
    for instance in made:
        for page in range(6):
            instance.exports.m[4096 * page] = 1
    del instance, made
    stay = 6 if used.fills_pages else 0
    assert used.resident_pages == before + stay
    made = [prepared.instantiate() for _ in range(3)]
    assert used.resident_pages == before
    assert not any(any(instance.exports.m[:]) for instance in made)
    del made, prepared
    gc.collect()
    assert used.resident_pages == before
