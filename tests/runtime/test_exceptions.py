"""Exceptions with every kind of payload: inside a guest, between instances, into Python and out of host functions.

Everything once as it is and once with a collection at each allocation.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wardian
from tests.support import Mode, mode_params
from wardian.runtime.process import process

PARAMS = "i32 i64 f32 f64 v128 funcref externref (ref $box) (ref null $list) i31ref anyref (ref $f) exnref"
VECTOR = bytes(range(16))

TYPES = """
  (type $box (struct (field (mut i32))))
  (type $list (array (mut (ref null $box))))
  (type $f (func (result i32)))"""

GUEST = f"""(module {TYPES}
  (import "env" "host" (func $host))
  (tag $all (export "all") (param {PARAMS}))
  (tag $other (export "other") (param i32))
  (global $thing (export "thing") (mut externref) (ref.null extern))
  (func $seven (export "seven") (type $f) (i32.const 7))
  (func $inner (export "inner") (result exnref) (local $e exnref)
    (block $caught (result i32 exnref)
      (try_table (catch_ref $other $caught) (throw $other (i32.const -5)))
      (unreachable))
    (local.set $e) (drop) (local.get $e))
  (func $throw (export "throw") (param externref)
    (throw $all (i32.const 1) (i64.const -2) (f32.const 0.5) (f64.const -0.25)
      (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) (ref.func $seven) (local.get 0)
      (struct.new $box (i32.const 8))
      (array.new_fixed $list 3 (struct.new $box (i32.const 9)) (ref.null $box) (struct.new $box (i32.const 10)))
      (ref.i31 (i32.const -11)) (any.convert_extern (local.get 0)) (ref.func $seven) (call $inner)))
  (func $garbage (drop (array.new_default $list (i32.const 5))))
  (func $again (param externref)
    (block $caught (result {PARAMS} exnref)
      (try_table (catch_ref $all $caught) (call $throw (local.get 0)))
      (unreachable))
    (call $garbage)
    (throw_ref))
  (func $deep (param externref i32)
    (if (i32.eqz (local.get 1)) (then (call $again (local.get 0)) (return)))
    (drop (block $x (result i32)
      (try_table (catch $other $x) (call $deep (local.get 0) (i32.sub (local.get 1) (i32.const 1))))
      (i32.const 0)))
    (call $garbage))
  (func (export "deep") (param externref i32) (result {PARAMS})
    (block $caught (result {PARAMS})
      (try_table (catch $all $caught) (call $deep (local.get 0) (local.get 1)))
      (unreachable))
    (call $garbage))
  (func (export "from_host") (result {PARAMS})
    (block $caught (result {PARAMS})
      (try_table (catch $all $caught) (call $host))
      (unreachable))
    (call $garbage))
  (func (export "host") (call $host))
  (func (export "throw_ref") (param exnref) (throw_ref (local.get 0)))
  (func (export "id") (param exnref) (result exnref) (local.get 0))
  (func (export "number") (param (ref null $box)) (result i32) (struct.get $box 0 (local.get 0))))"""


class Thing:
    """An object that can be watched."""

    def __repr__(self) -> str:
        raise ValueError("cannot be described")


def nothing() -> None:
    pass


@functools.cache
def engine(mode: Mode) -> wardian.Engine:
    return wardian.Engine(mode.config(cache=False))


@functools.cache
def module(text: str, mode: Mode) -> wardian.Module:
    return wardian.Module(text, engine(mode))


Make = Callable[..., wardian.Instance]


@pytest.fixture(params=[False, True], ids=["", "zeal"])
def zeal(request: pytest.FixtureRequest) -> Iterator[None]:
    process().zeal = request.param
    yield
    process().zeal = False


@pytest.fixture(params=mode_params())
def make(request: pytest.FixtureRequest, zeal: None) -> Make:
    def made(text: str = GUEST, **env: object) -> wardian.Instance:
        return module(text, request.param).instantiate({"env": {"host": nothing, **env}})

    return made


def check(guest: wardian.Instance, values: Any, thing: object) -> None:
    """``values`` are what ``throw`` throws."""
    assert values[:5] == (1, -2, 0.5, -0.25, VECTOR)
    seven, extern, box, boxes, small, anything, typed, caught = values[5:]
    assert seven is typed is guest.exports.seven and seven() == 7
    assert extern is thing and anything is thing
    assert box[0] == 8 and guest.exports.number(box) == 8
    assert [item and item[0] for item in boxes] == [9, None, 10]
    assert small == -11
    assert isinstance(caught, wardian.ExceptionRef)
    inside = caught.exception()
    assert inside.tag is guest.exports.other and inside.payload == (-5,)


def test_inside_a_guest(make: Make) -> None:
    guest, thing = make(), Thing()
    for depth in (0, 1, 20):
        check(guest, guest.exports.deep(thing, depth), thing)


def test_into_python(make: Make) -> None:
    guest, thing = make(), Thing()
    with pytest.raises(wardian.WasmException) as caught:
        guest.exports.throw(thing)
    assert caught.value.tag is guest.exports.all
    guest.collect()
    check(guest, caught.value.payload, thing)
    payload = caught.value.payload
    gone = weakref.ref(guest)
    del guest, caught
    gc.collect()
    assert gone() is None
    assert payload[7][0] == 8 and payload[5]() == 7 and payload[12].exception().payload == (-5,)
    payload[7][0] = 1


def test_nothing_is_kept(make: Make) -> None:
    guest, thing = make(), Thing()
    gone = weakref.ref(thing)
    with pytest.raises(wardian.WasmException):
        guest.exports.throw(thing)
    guest.exports.deep(thing, 3)
    del thing
    gc.collect()
    guest.collect()
    assert gone() is None


def test_out_of_a_host_function(make: Make) -> None:
    thing = Thing()
    source = make()
    with pytest.raises(wardian.WasmException) as caught:
        source.exports.throw(thing)
    values = caught.value.payload
    made: list[wardian.Instance] = []

    def host() -> None:
        made[0].collect()
        first = made[0].exports.deep(thing, 1)
        raise wardian.WasmException(made[0].exports.all, *values[:5], *first[5:])

    made.append(make(host=host))
    check(made[0], made[0].exports.from_host(), thing)
    with pytest.raises(wardian.WasmException) as again:
        made[0].exports.host()
    check(made[0], again.value.payload, thing)


def test_through_a_host_function(make: Make) -> None:
    thing = Thing()
    made: list[wardian.Instance] = []

    def host() -> None:
        made[0].exports.throw(thing)

    made.append(make(host=host))
    check(made[0], made[0].exports.from_host(), thing)


RELAY = f"""(module {TYPES}
  (import "env" "all" (tag $all (param {PARAMS})))
  (import "env" "throw" (func $throw (param externref)))
  (import "env" "host" (func $host))
  (func $seven (export "seven") (type $f) (i32.const 7))
  (tag $other (export "other") (param i32))
  (func (export "pass") (param externref) (call $throw (local.get 0)))
  (func (export "tail") (param externref) (return_call $throw (local.get 0)))
  (func (export "number") (param (ref null $box)) (result i32) (struct.get $box 0 (local.get 0)))
  (func (export "catch") (param externref) (result {PARAMS})
    (block $caught (result {PARAMS})
      (drop (block $x (result i32)
        (try_table (catch $other $x) (catch $all $caught) (call $throw (local.get 0)))
        (unreachable)))
      (unreachable))
    (drop (array.new_default $list (i32.const 5)))))"""


def test_between_instances(make: Make) -> None:
    guest, thing = make(), Thing()
    names = {"all": guest.exports.all}
    relays = [make(RELAY, throw=guest.exports.throw, **names)]
    for name in ("pass", "tail", "pass"):
        relays.append(make(RELAY, throw=relays[-1].exports[name], **names))
    for relay in relays:
        check(guest, relay.exports.catch(thing), thing)
    with pytest.raises(wardian.WasmException) as caught:
        relays[-1].exports.tail(thing)
    assert caught.value.tag is guest.exports.all
    check(guest, caught.value.payload, thing)


def test_a_guest_may_outlive_the_one_that_threw(make: Make) -> None:
    guest, thing = make(), Thing()
    relay = make(RELAY, throw=guest.exports.throw, all=guest.exports.all)
    seven, other = guest.exports.seven, guest.exports.other
    del guest
    gc.collect()
    values = relay.exports.catch(thing)
    assert values[5] is seven and values[12].exception().tag is other
    assert relay.exports.number(values[7]) == 8


def test_exception_references(make: Make) -> None:
    guest = make()
    caught = guest.exports.inner()
    assert guest.exports.id(None) is None
    assert guest.exports.id(caught) == caught != guest.exports.inner()
    assert hash(guest.exports.id(caught)) == hash(caught)
    with pytest.raises(wardian.WasmException) as error:
        guest.exports.throw_ref(caught)
    assert error.value.tag is guest.exports.other and error.value.payload == (-5,)
    with pytest.raises(wardian.Trap) as trap:
        guest.exports.throw_ref(None)
    assert trap.value.code == "null_reference"
    for wrong in (5, "text", guest.exports.seven, error.value):
        with pytest.raises(TypeError, match=r"must be a wardian\.ExceptionRef"):
            guest.exports.throw_ref(wrong)
    with pytest.raises(ValueError, match="another store"):
        make().exports.throw_ref(caught)
    with pytest.raises(TypeError):
        wardian.ExceptionRef()


def test_an_exception_reference_is_an_object_like_any_other(make: Make) -> None:
    guest = make()
    caught = guest.exports.inner()
    values = guest.exports.deep(caught, 0)
    assert values[6] is caught


@pytest.mark.parametrize("wrong", ["type", "count", "null", "store", "function", "exception", "tag"])
def test_what_does_not_fit_is_not_thrown(make: Make, wrong: str) -> None:
    thing = Thing()
    foreign = make().exports.deep(thing, 0)
    made: list[wardian.Instance] = []
    thrown: list[Any] = []

    def host() -> None:
        values = list(made[0].exports.deep(thing, 0))
        tag: Any = made[0].exports.all
        if wrong == "type":
            values[0] = "text"
        elif wrong == "count":
            values.pop()
        elif wrong == "null":
            values[7] = None
        elif wrong == "tag":
            tag = "text"
        else:
            at = {"store": 8, "function": 11, "exception": 12}[wrong]
            values[at] = foreign[at]
        error = wardian.WasmException(tag, *values)
        thrown.append(weakref.ref(error))
        raise error

    made.append(make(host=host))
    with pytest.raises(ValueError if wrong in ("store", "function", "exception") else TypeError) as caught:
        made[0].exports.from_host()
    assert caught.value.__cause__ is thrown[0]()
    del caught
    gc.collect()
    assert thrown[0]() is None
    check(made[0], made[0].exports.deep(thing, 0), thing)


CALLS = """(module
  (import "env" "tag" (tag $tag (param i32)))
  (import "env" "give" (func $give (result (ref func))))
  (type $f (func (result i32)))
  (func $id (export "id") (param i32) (result i32) (local.get 0))
  (func (export "ask") (param i32) (result i32) (call $id (local.get 0)))
  (func (export "use") (result i32)
    (block $caught (result i32)
      (try_table (catch $tag $caught) (return (call_ref $f (ref.cast (ref $f) (call $give)))))
      (unreachable)))
  (func $thrower (param i32) (throw $tag (local.get 0)))
  (func (export "spin") (loop $l
    (block $caught (result i32) (try_table (catch $tag $caught) (call $thrower (i32.const 5))) (i32.const 0))
    (drop) (br $l))))"""


class Finalised:
    """Whose end calls a guest."""

    def __init__(self, made: list[wardian.Instance], log: list[object]) -> None:
        self.made, self.log = made, log

    def __del__(self) -> None:
        self.log.append(self.made[0].exports.ask(42))


def test_a_finaliser_may_call_the_guest_while_an_exception_is_pending(make: Make) -> None:
    made: list[wardian.Instance] = []
    log: list[object] = []
    tag = wardian.Tag("i32")

    def give() -> None:
        alive = Finalised(made, log)
        raise wardian.WasmException(tag, 5 if alive else 0)

    made.append(make(CALLS, tag=tag, give=give))
    assert made[0].exports.use() == 5
    assert log == [42]


def test_a_guest_stopped_in_mid_air_leaves_nothing_pending(make: Make) -> None:
    guest = make(CALLS, tag=wardian.Tag("i32"), give=nothing)
    for n in range(60):
        with pytest.raises(wardian.Interrupted), guest.deadline(0.001):
            guest.exports.spin()
        assert guest.exports.ask(n) == n


def test_room_for_a_payload_is_made_while_it_is_pending(make: Make) -> None:
    """However many references Python holds already, among them the last there was room for."""
    guest, thing = make(), Thing()
    held = [guest.exports.inner() for _ in range(1000)]
    for _ in range(40):
        with pytest.raises(wardian.WasmException) as caught:
            guest.exports.throw(thing)
        check(guest, caught.value.payload, thing)
        held.append(guest.exports.inner())


def test_a_tag_of_another_type_is_no_import(make: Make) -> None:
    guest = make()
    for tag in (guest.exports.other, wardian.Tag("i32"), wardian.Tag()):
        with pytest.raises(wardian.LinkError, match="incompatible import type"):
            make(RELAY, throw=guest.exports.throw, all=tag)


@pytest.mark.parametrize("opt", ["O0", "O2", "baseline", "auto"])
def test_thrown_again_by_a_module_without_tags(opt: str) -> None:
    engine = wardian.Engine(wardian.Config(opt=opt, cache=False))  # type: ignore[arg-type]
    thrower = """(module (tag $e (export "e") (param i32)) (func (export "caught") (result exnref) (local exnref)
      (block $h (result i32 exnref) (try_table (catch_ref $e $h) (throw $e (i32.const 7))) unreachable)
      (local.set 0) drop (local.get 0)))"""
    again = """(module (import "a" "caught" (func $caught (result exnref)))
      (func (export "it") (result i32) (throw_ref (call $caught)))
      (func (export "none") (result i32) (throw_ref (ref.null exn))))"""
    imports = {"a": dict(wardian.Module(thrower, engine).instantiate().exports.items())}
    exports = wardian.Module(again, engine).instantiate(imports).exports
    with pytest.raises(wardian.WasmException) as caught:
        exports["it"]()
    assert caught.value.payload == (7,)
    with pytest.raises(wardian.Trap, match="null"):
        exports["none"]()
