"""The heap: what is reachable stays, what is not goes, and neither depth, size nor number breaks the collector."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wardian
from wardian.limits import Limits
from wardian.runtime.heap import Heap
from wardian.runtime.process import process
from wardian.vm import heap as places

ENGINE = pytest.fixture(scope="module", name="engine")(
    lambda: wardian.Engine(wardian.Config(opt="O2", cache=False))
)


class Thing:
    """Something to be kept alive, or not."""


def heap_of(instance: wardian.Instance) -> Heap:
    heap: Heap = instance._data.store.heap()
    return heap


def instance(engine: wardian.Engine, text: str, limits: Limits | None = None, **imports: Any) -> wardian.Instance:
    return wardian.Module(f"(module {text})", engine).instantiate({"env": imports}, limits=limits)


EXTERNS = """
  (global $g (export "g") (mut externref) (ref.null extern))
  (table $t (export "t") 2 externref)
  (type $cell (struct (field (mut externref))))
  (func (export "id") (param externref) (result externref) (local.get 0))
  (func (export "set") (param externref) (global.set $g (local.get 0)))
  (func (export "put") (param externref) (table.set $t (i32.const 1) (local.get 0)))
  (func (export "cell") (param externref) (result (ref $cell)) (struct.new $cell (local.get 0)))
  (func (export "same") (param externref externref) (result i32)
    (ref.eq (ref.cast (ref null eq) (any.convert_extern (local.get 0)))
            (ref.cast (ref null eq) (any.convert_extern (local.get 1)))))
  (func (export "is_null") (param externref) (result i32) (ref.is_null (local.get 0)))
"""


# -- Python objects ----------------------------------------------------------------------------------------------------


def test_an_object_comes_back_as_itself(engine: wardian.Engine) -> None:
    exports = instance(engine, EXTERNS).exports
    for value in (Thing(), 5, 10**30, "text", exports.id, (), True, 1.5, [None]):
        assert exports.id(value) is value
        assert exports.is_null(value) == 0
    assert exports.id(None) is None
    assert exports.is_null(None) == 1


def _drop_global(i: wardian.Instance) -> None:
    i.exports.set(None)


def _drop_table(i: wardian.Instance) -> None:
    i.exports.t[1] = None


HOLDERS: tuple[tuple[str, Callable[[wardian.Instance], None]], ...] = (("set", _drop_global), ("put", _drop_table))


@pytest.mark.parametrize(("hold", "drop"), HOLDERS, ids=("global", "table"))
def test_an_object_lives_as_long_as_a_guest_holds_it(
    engine: wardian.Engine, hold: str, drop: Callable[[wardian.Instance], None]
) -> None:
    i = instance(engine, EXTERNS)
    thing = Thing()
    alive = weakref.ref(thing)
    i.exports[hold](thing)
    del thing
    i.collect()
    assert alive() is not None
    drop(i)
    i.collect()
    assert alive() is None


def test_an_object_in_a_structure_lives_as_long_as_that(engine: wardian.Engine) -> None:
    i = instance(engine, EXTERNS)
    thing = Thing()
    alive = weakref.ref(thing)
    cell = i.exports.cell(thing)
    del thing
    i.collect()
    assert cell[0] is alive()
    i.exports.set(cell)
    del cell
    i.collect()
    assert alive() is not None
    assert i.exports.g.value[0] is alive()
    i.exports.g.value = None
    i.collect()
    assert alive() is None


def test_passing_many_objects_keeps_few_alive(engine: wardian.Engine) -> None:
    i = instance(engine, EXTERNS)
    passed = i.exports.id
    most = 0
    for n in range(50_000):
        passed(Thing())
        if n % 1000 == 0:
            most = max(most, heap_of(i).boxes())
    assert most <= 2048
    i.collect()
    assert heap_of(i).boxes() == 0


def test_the_last_collection_lets_go_of_the_store(engine: wardian.Engine) -> None:
    """A guest's object that refers to its own instance is garbage of Python's, not a leak."""
    thing = Thing()
    alive = weakref.ref(thing)
    i = instance(engine, EXTERNS)
    thing.instance = i  # type: ignore[attr-defined]
    i.exports.set(thing)
    number = heap_of(i).number
    del thing, i
    gc.collect()
    assert alive() is None
    assert number not in process().heaps


def test_a_finaliser_may_call_the_guest(engine: wardian.Engine) -> None:
    i = instance(engine, EXTERNS)
    seen = []

    class Caller:
        def __del__(self) -> None:
            seen.append(i.exports.id(len(seen)))

    for _ in range(5000):
        i.exports.id(Caller())
    i.collect()
    assert seen == list(range(5000))


def test_an_unlinked_table_and_global_hold_objects(engine: wardian.Engine) -> None:
    thing, other = Thing(), Thing()
    table, cell = wardian.Table("externref", 3), wardian.Global("externref", thing, mutable=True)
    table[1] = other
    assert table[0] is None
    assert table[1] is other
    assert cell.value is thing
    assert table.grow(1, thing) == 3
    text = """(import "env" "table" (table $t 3 externref)) (import "env" "cell" (global $g (mut externref)))
      (func (export "read") (param i32) (result externref) (table.get $t (local.get 0)))
      (func (export "cell") (result externref) (global.get $g))
      (func (export "clear") (global.set $g (ref.null extern)))"""
    i = instance(engine, text, table=table, cell=cell)
    assert [i.exports.read(n) for n in range(4)] == [None, other, None, thing]
    assert i.exports.cell() is thing
    alive = weakref.ref(other)
    del other
    i.collect()
    assert table[1] is alive()
    table[1] = None
    i.collect()
    assert alive() is None


# -- structures and arrays ---------------------------------------------------------------------------------------------

LISTS = """
  (type $list (struct (field $value (mut i64)) (field $next (mut (ref null $list)))))
  (type $refs (array (mut (ref null $list))))
  (type $bytes (array (mut i8)))
  (global $root (export "root") (mut (ref null $list)) (ref.null $list))
  (global $array (mut (ref null $refs)) (ref.null $refs))
  (func $cons (export "cons") (param i64 (ref null $list)) (result (ref $list))
    (struct.new $list (local.get 0) (local.get 1)))
  (func (export "long") (param $n i64)
    (loop $more
      (global.set $root (call $cons (local.get $n) (global.get $root)))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $more (i64.ne (local.get $n) (i64.const 0)))))
  (func (export "sum") (result i64) (local $at (ref null $list)) (local $sum i64)
    (local.set $at (global.get $root))
    (block $end
      (loop $more
        (br_if $end (ref.is_null (local.get $at)))
        (local.set $sum (i64.add (local.get $sum) (struct.get $list $value (local.get $at))))
        (local.set $at (struct.get $list $next (local.get $at)))
        (br $more)))
    (local.get $sum))
  (func (export "churn") (param $n i64)
    (loop $more
      (drop (call $cons (local.get $n) (ref.null $list)))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $more (i64.ne (local.get $n) (i64.const 0)))))
  (func (export "wide") (param $n i32) (local $i i32)
    (global.set $array (array.new_default $refs (local.get $n)))
    (loop $more
      (array.set $refs (global.get $array) (local.get $i)
        (call $cons (i64.extend_i32_u (local.get $i)) (call $cons (i64.const 1) (ref.null $list))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (local.get $n)))))
  (func (export "wide_sum") (result i64) (local $i i32) (local $sum i64)
    (loop $more
      (local.set $sum (i64.add (local.get $sum)
        (i64.add (struct.get $list $value (array.get $refs (global.get $array) (local.get $i)))
          (struct.get $list $value
            (struct.get $list $next (array.get $refs (global.get $array) (local.get $i)))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (array.len (global.get $array)))))
    (local.get $sum))
  (func (export "bytes") (param i32 i32) (result (ref $bytes))
    (array.new $bytes (local.get 0) (local.get 1)))
  (func (export "drop") (global.set $root (ref.null $list)) (global.set $array (ref.null $refs)))
"""


def test_a_long_list_survives_and_goes(engine: wardian.Engine) -> None:
    """Ten times as many objects as a piece of the mark stack holds, in depth."""
    i = instance(engine, LISTS)
    i.exports.long(500_000)
    i.collect()
    assert heap_of(i).live() == 500_000
    assert i.exports.sum() == 500_000 * 500_001 // 2
    i.exports.drop()
    i.collect()
    assert heap_of(i).live() == 0


def test_a_wide_array_survives_and_goes(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    i.exports.wide(300_000)
    i.collect()
    assert heap_of(i).live() == 600_001
    assert i.exports.wide_sum() == 300_000 * 299_999 // 2 + 300_000
    i.exports.drop()
    i.collect()
    assert heap_of(i).live() == 0


def test_allocating_for_ever_in_a_bounded_live_set(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    i.exports.long(10_000)
    heap = heap_of(i)
    i.exports.churn(2_000_000)
    before = heap.memory.length
    for _ in range(5):
        i.exports.churn(2_000_000)
    assert heap.memory.length == before <= 16 << 20
    assert heap.state(places.STATE_COLLECTIONS) > 10
    assert i.exports.sum() == 10_000 * 10_001 // 2


SIZES = (0, 1, 7, 8, 100, 495, 504, 505, 512, 520, 600, 640, 641, 1000, 1024, 1025, 4000, 8183, 8184, 8185, 8192, 8193,
         12_000, 65_536, 990_000, 995_320, 995_321, 1_048_576, 3_000_000)  # fmt: skip


def test_objects_of_every_size_keep_their_bytes(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    held = []
    for round_ in range(3):
        for n, size in enumerate(SIZES):
            held.append((n + round_, size, i.exports.bytes(n + round_, size)))
            i.exports.bytes(99, size)
        i.collect()
        held = [h for k, h in enumerate(held) if k % 3 != round_]
        i.exports.churn(1000)
    for value, size, array in held:
        assert len(array) == size
        assert array.tobytes() == bytes([value]) * size
    count = len(held)
    i.collect()
    assert heap_of(i).live() == count
    del held, array
    i.collect()
    assert heap_of(i).live() == 0


def test_a_full_heap_traps_and_goes_on(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS, Limits(gc_heap=8 << 20))
    with pytest.raises(wardian.Trap) as trap:
        i.exports.long(10_000_000)
    assert trap.value.code == "heap_exhausted"
    assert heap_of(i).memory.length <= 9 << 20
    i.exports.drop()
    i.exports.churn(1_000_000)
    i.exports.long(1000)
    assert i.exports.sum() == 500_500
    for size in (1 << 31, (1 << 31) - 1, (1 << 32) - 1, 8 << 20):
        with pytest.raises(wardian.Trap, match="heap exhausted"):
            i.exports.bytes(0, size)


def test_boxes_in_a_full_heap_are_refused(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS + EXTERNS, Limits(gc_heap=1 << 20))
    with pytest.raises(wardian.Trap):
        i.exports.long(10_000_000)
    kept = []
    thing = Thing()
    with pytest.raises(wardian.LimitExceeded) as refusal:
        for _ in range(100_000):
            kept.append(i.exports.cell(Thing()))
    assert refusal.value.limit == "gc_heap" or kept
    kept.clear()
    i.exports.drop()
    i.collect()
    assert i.exports.id(thing) is thing


def test_handles_hold_their_objects(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    node = None
    for n in range(3000):
        node = i.exports.cons(n, node)
    handles = [node]
    while handles[-1][1] is not None:
        handles.append(handles[-1][1])
    assert len(handles) == 3000
    i.exports.churn(3_000_000)
    assert [h[0] for h in handles] == list(range(2999, -1, -1))
    del node
    middle = handles[1500]
    del handles
    i.collect()
    assert heap_of(i).live() == 1500
    assert middle[0] == 1499


def test_equal_handles_are_equal(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    one, two = i.exports.cons(1, None), i.exports.cons(1, None)
    i.exports.root.value = one
    again = i.exports.root.value
    assert again == one != two
    assert hash(again) == hash(one)
    assert len({one, two, again}) == 2
    assert one != 1


# -- roots -------------------------------------------------------------------------------------------------------------


def test_what_only_a_frame_holds_survives(engine: wardian.Engine) -> None:
    """References in locals across a call that collects, deep in a recursion, through Python and back."""
    i: wardian.Instance

    def collect() -> None:
        i.exports.churn(300_000)
        i.collect()

    text = LISTS + """
      (import "env" "collect" (func $collect))
      (func $deep (export "deep") (param $n i64) (result i64) (local $mine (ref null $list))
        (if (i64.eqz (local.get $n)) (then (call $collect) (return (i64.const 0))))
        (local.set $mine (call $cons (local.get $n) (ref.null $list)))
        (i64.add (call $deep (i64.sub (local.get $n) (i64.const 1))) (struct.get $list $value (local.get $mine))))
    """.replace("\n", " ")
    imports = text.index('(import "env" "collect"')
    end = text.index("(func $deep")
    i = instance(engine, text[imports:end] + text[:imports] + text[end:], collect=collect)
    assert i.exports.deep(1000) == 500_500


def test_a_passive_segment_is_a_root(engine: wardian.Engine) -> None:
    text = """
      (type $box (struct (field i32)))
      (table $t (export "t") 3 (ref null $box))
      (elem $e (ref null $box) (struct.new $box (i32.const 1)) (ref.null $box) (struct.new $box (i32.const 3)))
      (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3)))
      (func (export "drop") (elem.drop $e))"""
    i = instance(engine, text)
    i.collect()
    assert heap_of(i).live() == 2
    i.exports.init()
    assert [value and value[0] for value in (i.exports.t[n] for n in range(3))] == [1, None, 3]
    i.exports.drop()
    i.exports.t[0] = None
    i.collect()
    assert heap_of(i).live() == 1


def test_a_pending_exception_is_a_root(engine: wardian.Engine) -> None:
    text = """
      (import "env" "host" (func $host))
      (type $box (struct (field i32)))
      (tag $tag (export "tag") (param externref (ref null $box) funcref i64))
      (func $f (export "f"))
      (func (export "throw") (param externref)
        (throw $tag (local.get 0) (struct.new $box (i32.const 7)) (ref.func $f) (i64.const -1)))
      (func (export "catch") (result externref (ref null $box) funcref i64)
        (block $caught (result externref (ref null $box) funcref i64)
          (try_table (catch $tag $caught) (call $host))
          (unreachable)))"""
    thing = Thing()
    made: list[wardian.Instance] = []

    def host() -> None:
        made[0].exports.throw(thing)

    made.append(instance(engine, text, host=host))
    process_zeal = heap_of(made[0])
    process_zeal.words()[places.STATE_ZEAL >> 2] = 1
    values = made[0].exports.catch()
    assert values[0] is thing
    assert values[1][0] == 7
    assert values[2] is made[0].exports.f
    assert values[3] == -1
    with pytest.raises(wardian.WasmException) as error:
        made[0].exports.throw("text")
    assert error.value.payload[0] == "text"
    assert error.value.payload[1][0] == 7
    del values, error
    made[0].collect()
    assert heap_of(made[0]).live() == 0


# -- stores and threads ------------------------------------------------------------------------------------------------


def test_heaps_join_if_one_is_empty(engine: wardian.Engine) -> None:
    one, two = instance(engine, LISTS), instance(engine, LISTS)
    two.exports.long(10)
    text = """
      (type $list (struct (field $value (mut i64)) (field $next (mut (ref null $list)))))
      (import "env" "cons" (func $cons (param i64 (ref null $list)) (result (ref $list))))
      (import "env" "sum" (func $sum (result i64)))
      (func (export "cons") (param i64 (ref null $list)) (result (ref $list)) (call $cons (local.get 0) (local.get 1)))
      (func (export "sum") (result i64) (call $sum))"""
    three = instance(engine, text, cons=one.exports.cons, sum=two.exports.sum)
    assert three.exports.sum() == 55
    two.exports.root.value = one.exports.cons(100, two.exports.root.value)
    assert three.exports.sum() == 155
    three.collect()
    assert heap_of(one) is heap_of(two)
    assert heap_of(three).live() == 11


def test_heaps_with_objects_do_not_join(engine: wardian.Engine) -> None:
    one, two = instance(engine, LISTS), instance(engine, LISTS)
    one.exports.long(1)
    two.exports.long(2)
    text = '(import "env" "a" (func (result i64))) (import "env" "b" (func (result i64)))'
    with pytest.raises(wardian.LinkError, match=r"both have objects.*beside=first"):
        instance(engine, text, a=one.exports.sum, b=two.exports.sum)
    assert (one.exports.sum(), two.exports.sum()) == (1, 3)


def test_instances_made_beside_each_other_share_a_heap(engine: wardian.Engine) -> None:
    module = wardian.Module(f"(module {LISTS})", engine)
    one = module.instantiate()
    one.exports.long(1)
    two = module.instantiate(beside=one)
    two.exports.long(2)
    assert heap_of(one) is heap_of(two)
    assert two.exports.cons(1, one.exports.cons(2, None))[1][0] == 2
    text = '(func (export "a") (import "env" "a") (result i64)) (func (export "b") (import "env" "b") (result i64))'
    three = instance(engine, text, a=one.exports.sum, b=two.exports.sum)
    assert (three.exports.a(), three.exports.b()) == (1, 3)


def test_an_instance_may_be_beside_one_and_import_from_another(engine: wardian.Engine) -> None:
    one, two = instance(engine, LISTS), instance(engine, LISTS)
    one.exports.long(3)
    text = '(func (export "sum") (import "env" "sum") (result i64))'
    three = wardian.Module(f"(module {text})", engine).instantiate({"env": {"sum": two.exports.sum}}, beside=one)
    two.exports.long(4)
    assert three.exports.sum() == 10
    assert two.exports.cons(1, one.exports.root.value)[1] == one.exports.root.value
    for wrong in (three.exports, 5, wardian.Module):
        with pytest.raises(TypeError, match=r"must be a wardian\.Instance"):
            wardian.Module("(module)", engine).instantiate(beside=wrong)  # type: ignore[arg-type]


def test_an_object_of_another_store_is_refused(engine: wardian.Engine) -> None:
    one, two = instance(engine, LISTS), instance(engine, LISTS + EXTERNS)
    node = one.exports.cons(1, None)
    for use in (lambda: two.exports.cons(2, node), lambda: two.exports.id(node)):
        with pytest.raises(ValueError, match="another store"):
            use()
    with pytest.raises(ValueError, match="another store"):
        two.exports.root.value = node


@pytest.fixture
def running(engine: wardian.Engine) -> Iterator[wardian.Instance]:
    """An instance that is allocating on another thread."""
    text = LISTS + """
      (global $stop (export "stop") (mut i32) (i32.const 0))
      (func (export "forever") (result i32)
        (loop $more
          (drop (call $cons (i64.const 1) (call $cons (i64.const 2) (ref.null $list))))
          (br_if $more (i32.eqz (global.get $stop))))
        (global.get $stop))"""
    i = instance(engine, text)
    i.exports.long(100)
    thread = threading.Thread(target=i.exports.forever)
    thread.start()
    while not i.running:
        time.sleep(0.001)
    yield i
    i.exports.stop.value = 1
    thread.join()


def test_another_thread_makes_nothing_meanwhile(running: wardian.Instance) -> None:
    for use in (lambda: running.exports.cons(1, None), running.collect):
        with pytest.raises(wardian.StoreBusy):
            use()


def test_another_thread_may_look_meanwhile(running: wardian.Instance) -> None:
    for _ in range(200):
        node = running.exports.root.value
        for n in range(1, 101):
            assert node[0] == n
            node = node[1]
        assert node is None
    running.exports.root.value[1][0] = -5
    running.exports.root.value[1][1] = None
    assert [value[0] for value in (running.exports.root.value, running.exports.root.value[1])] == [1, -5]


def test_an_allocating_guest_stops_at_a_deadline(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    i.exports.long(1000)
    for _ in range(20):
        with pytest.raises(wardian.Interrupted), i.deadline(0.02):
            i.exports.churn(1 << 40)
    i.collect()
    assert heap_of(i).live() == 1000
    assert i.exports.sum() == 500_500


def test_a_guest_that_does_nothing_but_collect_stops(engine: wardian.Engine) -> None:
    i = instance(engine, LISTS)
    i.exports.long(100_000)
    heap_of(i).words()[places.STATE_ZEAL >> 2] = 1
    began = time.monotonic()
    with pytest.raises(wardian.Interrupted), i.deadline(0.1):
        i.exports.churn(1 << 40)
    assert time.monotonic() - began < 1
    heap_of(i).words()[places.STATE_ZEAL >> 2] = 0
    assert i.exports.sum() == 100_000 * 100_001 // 2


@pytest.mark.parametrize("first", ["a", "b"])
def test_types_of_a_heap_that_another_replaces(engine: wardian.Engine, first: str) -> None:
    """Of two stores that become one, both with a heap, one heap goes; what its modules make later is known all the
    same, to the collector and to Python."""
    one = instance(
        engine,
        """(type $n (struct (field (mut (ref null $n))) (field (mut i64))))
          (global $g (mut (ref null $n)) (ref.null $n))
          (func (export "make") (global.set $g (struct.new $n
            (struct.new $n (ref.null $n) (i64.const 1234)) (i64.const 1))))
          (func (export "inner") (result i64) (struct.get $n 1 (struct.get $n 0 (global.get $g))))
          (func (export "junk") (local i32) (loop (drop (struct.new $n (ref.null $n) (i64.const 99)))
            (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000)))))
          (func (export "object") (result anyref) (global.get $g))""",
    ).exports
    two = instance(
        engine,
        """(type $s (struct (field (ref null $s)) (field (mut f32)) (field (mut i32))))
          (func (export "object") (result anyref) (struct.new_default $s))""",
    ).exports
    exports = {"a": one, "b": two}
    wanted = " ".join(
        f'(import "{name}" "object" (func (result anyref)))' for name in (first, "b" if first == "a" else "a")
    )
    wardian.Module(f"(module {wanted})", engine).instantiate(exports)
    one.make()
    for _ in range(3):
        one.junk()
    assert one.inner() == 1234
    assert [len(one.object()), len(two.object())] == [2, 3]
