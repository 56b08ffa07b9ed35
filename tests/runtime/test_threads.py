"""Shared memories: instances on several Python threads at once, waiting and waking, growing, stopping."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import wardian
from tests.support import Mode, assemble, level_params

WORKER = """
(module
  (import "env" "memory" (memory 1 64 shared))
  (func (export "count") (param $n i32)
    (loop $again
      (drop (i64.atomic.rmw.add (i32.const 8) (i64.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  ;; A plain counter at 24 behind a mutex at 16: 0 free, 1 taken.
  (func (export "count_locked") (param $n i32)
    (loop $again
      (block $taken
        (loop $try
          (br_if $taken (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 16) (i32.const 0) (i32.const 1))))
          (drop (memory.atomic.wait32 (i32.const 16) (i32.const 1) (i64.const -1)))
          (br $try)))
      (i64.store (i32.const 24) (i64.add (i64.load (i32.const 24)) (i64.const 1)))
      (i32.atomic.store (i32.const 16) (i32.const 0))
      (drop (memory.atomic.notify (i32.const 16) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "wait32") (param i32 i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "notify") (param i32 i32) (result i32)
    (memory.atomic.notify (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  ;; Spin until memory has $pages, then write the last word of it.
  (func (export "follow") (param $pages i32)
    (loop $again (br_if $again (i32.lt_u (memory.size) (local.get $pages))))
    (i32.store (i32.sub (i32.shl (local.get $pages) (i32.const 16)) (i32.const 4)) (local.get $pages)))
  ;; Read an index that others change, check it, use it.
  (func (export "chase") (param $n i32) (result i32)
    (local $i i32) (local $sum i32)
    (loop $again
      (local.set $i (i32.load (i32.const 32)))
      (if (i32.lt_u (local.get $i) (i32.const 0x10000))
        (then (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $i))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "hang") (loop $l (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))) (br $l))))
"""


@pytest.fixture(params=level_params())
def engine(request: pytest.FixtureRequest) -> wardian.Engine:
    mode: Mode = request.param
    return wardian.Engine(mode.config(cache=False))


@pytest.fixture
def memory(engine: wardian.Engine) -> wardian.Memory:
    return wardian.Memory(1, 64, shared=True, engine=engine)


@pytest.fixture
def new(engine: wardian.Engine, memory: wardian.Memory) -> Callable[[], wardian.Instance]:
    module = wardian.Module(assemble(WORKER), engine)
    return lambda: module.instantiate({"env": {"memory": memory}})


def number(memory: wardian.Memory, at: int) -> int:
    return int.from_bytes(memory.read(at, 8), "little")


@pytest.mark.parametrize(("name", "at", "each"), [("count", 8, 100_000), ("count_locked", 24, 2_000)])
def test_threads_count_to_the_exact_sum(
    new: Callable[[], wardian.Instance], memory: wardian.Memory, name: str, at: int, each: int
) -> None:
    workers = [new() for _ in range(4)]
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(worker.exports[name], each) for worker in workers]:
            done.result(60)
    assert number(memory, at) == each * len(workers)


def waiting(instance: wardian.Instance) -> bool:
    return instance._data.store.root().parked is not None


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


def test_notify_wakes_as_many_as_asked_in_order(new: Callable[[], wardian.Instance]) -> None:
    sleepers, other = [new() for _ in range(3)], new()
    woken: list[int] = []

    def sleep(i: int) -> None:
        assert sleepers[i].exports.wait32(64, 0, -1) == 0
        woken.append(i)

    threads = [threading.Thread(target=sleep, args=(i,)) for i in range(3)]
    for i, thread in enumerate(threads):
        thread.start()
        until(lambda i=i: waiting(sleepers[i]))  # type: ignore[misc]
    assert other.exports.notify(68, 10) == 0
    assert other.exports.notify(64, 0) == 0
    assert other.exports.notify(64, 1) == 1
    until(lambda: woken == [0])
    assert other.exports.notify(64, -1) == 2
    for thread in threads:
        thread.join(20)
    assert sorted(woken) == [0, 1, 2]
    assert other.exports.notify(64, 1) == 0


def test_wait_compares_and_times_out(new: Callable[[], wardian.Instance], memory: wardian.Memory) -> None:
    exports = new().exports
    memory[64:72] = (0x1_0000_0002).to_bytes(8, "little")
    assert exports.wait32(64, 1, -1) == 1
    assert exports.wait64(64, 2, -1) == 1
    start = time.monotonic()
    assert exports.wait32(64, 2, 20_000_000) == 2
    assert exports.wait64(64, 0x1_0000_0002, 20_000_000) == 2
    assert 0.04 <= time.monotonic() - start < 5
    assert exports.wait32(64, 2, 0) == 2
    assert exports.notify(64, 1) == 0


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda e: e.wait32(65, 0, 0), "unaligned_atomic"),
        (lambda e: e.wait64(68, 0, 0), "unaligned_atomic"),
        (lambda e: e.notify(2, 0), "unaligned_atomic"),
        (lambda e: e.wait32(65536, 0, 0), "memory_out_of_bounds"),
        (lambda e: e.wait64(-8, 0, 0), "memory_out_of_bounds"),
        (lambda e: e.notify(65536, 0), "memory_out_of_bounds"),
        (lambda e: e.notify(65537, 0), "unaligned_atomic"),
    ],
)
def test_wait_and_notify_trap(
    new: Callable[[], wardian.Instance], call: Callable[[wardian.Exports], object], code: str
) -> None:
    with pytest.raises(wardian.Trap) as caught:
        call(new().exports)
    assert caught.value.code == code


@pytest.mark.parametrize("width", ["32", "64"])
def test_waiting_on_an_unshared_memory_traps(engine: wardian.Engine, width: str) -> None:
    text = f"""(module (memory 1) (func (export "f") (param i32) (result i32)
      (memory.atomic.wait{width} (local.get 0) (i{width}.const 0) (i64.const 0))))"""
    f = wardian.Module(assemble(text), engine).instantiate().exports.f
    with pytest.raises(wardian.Trap, match="expected shared memory"):
        f(0)


def test_a_deadline_stops_a_waiting_guest(new: Callable[[], wardian.Instance]) -> None:
    instance = new()
    start = time.monotonic()
    for call in (lambda: instance.exports.wait32(0, 0, -1), instance.exports.hang):
        with pytest.raises(wardian.Interrupted) as caught, instance.deadline(0.05):
            call()
        assert caught.value.code == "timeout"
    assert time.monotonic() - start < 5
    assert instance.exports.notify(0, 1) == 0
    assert instance.exports.size() == 1


def test_an_interrupt_stops_a_waiting_guest(new: Callable[[], wardian.Instance]) -> None:
    instance = new()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(instance.exports.hang)
        until(lambda: waiting(instance))
        assert instance.interrupt()
        with pytest.raises(wardian.Interrupted):
            running.result(20)


def test_a_deadline_of_an_outer_store_stops_a_waiting_guest(
    new: Callable[[], wardian.Instance], engine: wardian.Engine
) -> None:
    inner = new()
    outer = wardian.Module(assemble('(module (import "m" "f" (func $f)) (func (export "f") (call $f)))'), engine)
    instance = outer.instantiate({"m": {"f": lambda: inner.exports.hang()}})
    with pytest.raises(wardian.Interrupted), instance.deadline(0.05):
        instance.exports.f()
    assert not inner.running


CTRL_C = """
import os, signal, threading, wardian
signal.signal(signal.SIGINT, signal.default_int_handler)
exports = wardian.Module('''(module (memory 1 1 shared)
  (func (export "wait") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 9))))''').instantiate().exports
exports.notify()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    exports.wait()
except KeyboardInterrupt:
    print("stopped", exports.notify())
"""


def test_ctrl_c_stops_a_waiting_guest() -> None:
    done = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "stopped 0\n", done.stderr


def test_growth_is_visible_to_all(new: Callable[[], wardian.Instance], memory: wardian.Memory) -> None:
    one, two = new(), new()
    view = memory.view()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(two.exports.follow, 3)
        assert one.exports.grow(1) == 1
        assert memory.grow(1) == 2
        following.result(20)
    assert one.exports.load((3 << 16) - 4) == 3
    assert one.exports.size() == two.exports.size() == memory.pages == 3
    assert len(view) == 1 << 16
    assert len(memory.view()) == 3 << 16
    with pytest.raises(wardian.Trap, match="out of bounds"):
        two.exports.load((3 << 16) - 3)


def test_growing_at_once_loses_nothing(new: Callable[[], wardian.Instance], memory: wardian.Memory) -> None:
    workers = [new() for _ in range(4)]

    def grow(worker: wardian.Instance) -> list[int]:
        return [worker.exports.grow(1) for _ in range(20)]

    with ThreadPoolExecutor(len(workers)) as pool:
        sizes = [size for got in pool.map(grow, workers) for size in got]
    assert sorted(size for size in sizes if size >= 0) == list(range(1, 64))
    assert sizes.count(-1) == 80 - 63


def test_a_racing_index_stays_inside(new: Callable[[], wardian.Instance], memory: wardian.Memory) -> None:
    """What is checked is what is used: an index that another thread keeps changing never gets past its check."""
    chaser, stop = new(), threading.Event()

    def spoil() -> None:
        while not stop.is_set():
            memory[32:36] = b"\xff\xff\xff\x7f"
            memory[32:36] = b"\0\0\0\0"

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    try:
        for _ in range(5):
            assert chaser.exports.chase(200_000) == 0
    finally:
        stop.set()
        spoiler.join()


def test_shared_and_unshared_do_not_link(engine: wardian.Engine) -> None:
    shared = wardian.Module(assemble('(module (import "m" "m" (memory 1 2 shared)))'), engine)
    unshared = wardian.Module(assemble('(module (import "m" "m" (memory 1 2)))'), engine)
    for module, wrong in ((shared, False), (unshared, True)):
        with pytest.raises(wardian.LinkError, match="incompatible import type"):
            module.instantiate({"m": {"m": wardian.Memory(1, 2, shared=wrong, engine=engine)}})
        module.instantiate({"m": {"m": wardian.Memory(1, 2, shared=not wrong, engine=engine)}})


def test_what_a_memory_made_by_the_host_may_be() -> None:
    with pytest.raises(ValueError, match="maximum"):
        wardian.Memory(1, shared=True)
    with pytest.raises(ValueError, match="page"):
        wardian.Memory(1, page_size=2)
    small = wardian.Memory(10, 20, page_size=1)
    assert len(small) == small.pages == 10
    assert small.grow(10) == 10
    with pytest.raises(MemoryError):
        small.grow(1)
