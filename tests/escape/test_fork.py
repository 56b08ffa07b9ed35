"""Border to forked children: they go on with what they inherited, or leave it alone; the parent never notices."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import wardian
from tests.escape.guest import child, engine, make, module, traps
from tests.support import Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

GUEST = """(module (import "m" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1 4) (table (export "t") 2 4 externref) (global (export "g") (mut i32) (i32.const 0))
  (tag $e (export "e") (param i32)) (type $s (struct (field (mut i32)) (field (ref null $s))))
  (global $list (export "list") (mut (ref null $s)) (ref.null $s))
  (func (export "call") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "later") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "throws") (throw $e (i32.const 1)))
  (func (export "grows") (result i32) (memory.grow (i32.const 1)))
  (func (export "objects") (param $n i32)
    (loop $l (global.set $list (struct.new $s (local.get $n) (ref.null $s)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "endless") (loop $l (br $l)))
  (func $deep (export "deep") (call $deep) (call $deep)))"""


def in_a_child(work: Callable[[], object]) -> None:
    """Fork, have the child do the work, and fail if it fails, dies or does not come to an end."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(60)
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - said, and then the child ends whatever it is
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with status {status:#x}"


def use(guest: wardian.Instance) -> None:
    """Everything an instance can do."""
    exports = guest.exports
    assert exports.call(5) == 5 and exports.later(6) == 7
    exports.store(8, 99)
    assert exports.memory[8] == 99
    with traps("memory_out_of_bounds"):
        exports.store(-1, 0)
    with traps("stack_exhausted"):
        exports.deep()
    with pytest.raises(wardian.WasmException):
        exports.throws()
    with pytest.raises(wardian.Interrupted), guest.deadline(0.02):
        exports.endless()
    exports.t[0] = marker = object()
    exports.objects(20_000)
    guest.collect()
    assert exports.t[0] is marker and exports.list.value[0] == 1
    exports.g.value += 1


def new_things(mode: Mode) -> None:
    """What a process does that has never heard of its parent's."""
    text = f'(module (memory (export "m") 1) (func (export "f") (result i32) (i32.const {os.getpid()})))'
    exports = wardian.Module(text, engine(mode)).instantiate().exports
    assert exports.f() == os.getpid() and not any(exports.m[0:100])
    use(module(GUEST, mode).instantiate({"m": {"f": lambda n: n}}))


def instances_in_a_child(mode: Mode) -> None:
    guest = module(GUEST, mode).instantiate({"m": {"f": lambda n: n}})
    fresh = module(GUEST, mode).instantiate({"m": {"f": lambda n: n}})
    guest.exports.memory[0:4] = b"mine"

    def work() -> None:
        assert guest.exports.memory[0:4] == b"mine"
        guest.exports.memory[0:5] = b"child"
        use(guest)
        use(fresh)  # nothing of it was compiled before the fork
        new_things(mode)
        in_a_child(lambda: use(guest))

    before = bytes(guest.exports.memory[0:65536])
    for _ in range(3):
        in_a_child(work)
        assert bytes(guest.exports.memory[0:65536]) == before, "a child writes to copies"
        assert guest.exports.g.value == 0
    use(guest)
    in_a_child(work)
    use(guest)


@every_mode
def test_instances_in_a_child(mode: Mode) -> None:
    child(instances_in_a_child, mode)


def leaves_alone(mode: Mode) -> None:
    """A child that lets go of everything, and ends as Python programs do."""
    held: list[Any] = [module(GUEST, mode).instantiate({"m": {"f": lambda n: n}}) for _ in range(3)]
    use(held[0])

    def work() -> None:
        held.clear()
        module.cache_clear()
        gc.collect()
        new_things(mode)

    in_a_child(lambda: None)
    in_a_child(work)
    pid = os.fork()
    if not pid:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    for guest in held:
        use(guest)


@every_mode
def test_a_child_that_leaves_alone(mode: Mode) -> None:
    child(leaves_alone, mode, expect=0)


def inside_a_host_function(mode: Mode) -> None:
    """Both sides return into the guest that called, and on to Python."""
    pids: list[int] = []

    def host(n: int) -> int:
        pid = os.fork()
        pids.append(pid)
        return 1000 if pid else n

    guest = module(GUEST, mode).instantiate({"m": {"f": host}})
    for n in range(3):
        result = guest.exports.call(n)
        if result != 1000:
            new_things(mode)
            os._exit(0 if result == n else 1)
        assert os.waitpid(pids[-1], 0)[1] == 0


@every_mode
def test_inside_a_host_function(mode: Mode) -> None:
    child(inside_a_host_function, mode)


def while_others_run(mode: Mode) -> None:
    """The child has only the thread that forked: what ran on another one is busy there for ever, and all else works."""
    ready = threading.Event()

    def host(n: int) -> int:
        ready.set()
        return n

    text = """(module (import "m" "f" (func $f (param i32) (result i32)))
      (func (export "after") (result i32) (i32.const 1))
      (func (export "spin") (drop (call $f (i32.const 1))) (loop $l (br $l))))"""
    running = module(text, mode).instantiate({"m": {"f": host}})
    guest = module(GUEST, mode).instantiate({"m": {"f": lambda n: n}})
    use(guest)

    def spin() -> None:
        with pytest.raises(wardian.Interrupted):
            running.exports.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    assert ready.wait(30)
    time.sleep(0.02)

    def work() -> None:
        with pytest.raises(wardian.StoreBusy):
            running.exports.after()
        use(guest)
        new_things(mode)

    for _ in range(3):
        in_a_child(work)
    assert running.interrupt()
    thread.join(30)
    assert not thread.is_alive()
    assert running.exports.after() == 1


@every_mode
def test_while_others_run(mode: Mode) -> None:
    child(while_others_run, mode)


def deadlines(mode: Mode) -> None:
    """A deadline that was armed before the fork holds on both sides."""
    guest = module(GUEST, mode).instantiate({"m": {"f": lambda n: n}})
    use(guest)

    def work() -> None:
        with pytest.raises(wardian.Interrupted):
            guest.exports.endless()

    with guest.deadline(0.3):
        in_a_child(work)
        with pytest.raises(wardian.Interrupted):
            guest.exports.endless()
    use(guest)


@every_mode
def test_deadlines(mode: Mode) -> None:
    child(deadlines, mode)


def shared_memories(mode: Mode) -> None:
    """A shared memory is shared by threads: a child has its own copy, and nobody waits for the other side."""
    memory = wardian.Memory(1, 2, shared=True)
    text = """(module (import "m" "m" (memory 1 2 shared))
      (func (export "wait") (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 1000000)))
      (func (export "add") (result i32) (i32.atomic.rmw.add (i32.const 8) (i32.const 1))))"""
    exports = make(text, mode, {"m": {"m": memory}})
    assert exports.add() == 0 and exports.wait() == 2

    def work() -> None:
        assert exports.add() == 1 and exports.wait() == 2
        memory.grow(1)

    for _ in range(2):
        in_a_child(work)
    assert exports.add() == 1 and memory.pages == 1


@every_mode
def test_shared_memories(mode: Mode) -> None:
    child(shared_memories, mode)
