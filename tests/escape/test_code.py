"""Border of machine code: no page is ever writable and executable, at any moment of a process's life.

But for one that is not ours: llvmlite makes a ctypes callback when it is imported, and libffi keeps a page of
trampolines for those. A run that finds all its code in the cache imports no llvmlite.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import wardian
from tests.escape.guest import child, engine, make, module
from tests.support import MODES, Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \S+ *(.*)")

GUEST = """(module (import "m" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1 4) (table (export "t") 3 funcref) (tag $e (param i32))
  (type $s (struct (field (mut (ref null any)))))
  (func $g (export "g") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))
  (func (export "throws") (throw $e (i32.const 1)))
  (func (export "objects") (drop (struct.new_default $s)))
  (func (export "oob") (drop (i32.load (i32.const -1))))
  (func (export "endless") (loop (br 0)))
  (elem (i32.const 0) func $g))"""


def maps() -> list[tuple[int, int, str, str]]:
    """This process's mappings: first and last address, permissions, what."""
    found = [_LINE.fullmatch(line) for line in Path("/proc/self/maps").read_text().splitlines()]
    return [(int(m[1], 16), int(m[2], 16), m[3], m[4]) for m in found if m]


def both() -> set[int]:
    return {row[0] for row in maps() if "w" in row[2] and "x" in row[2]}


@functools.cache
def of_ctypes() -> set[int]:
    """What callbacks of ctypes need; to be asked before anything of ours is there."""
    ctypes.CFUNCTYPE(None)(lambda: None)
    return both()


def look() -> None:
    assert both() <= of_ctypes()


def guest_code() -> list[tuple[int, int, str, str]]:
    """What is mapped in the range kept for guests' code."""
    process = wardian.Engine().process
    low, high = process._code, process._code + (1 << 30)
    return [row for row in maps() if low <= row[0] < high]


def every_moment(mode: Mode, cache: str) -> None:
    """Before, during and after: compiling, running, trapping, stopping, loading from the cache, on several threads."""
    assert len(of_ctypes()) <= 1
    config = mode.config(cache=cache)

    def host(n: int) -> int:
        look()
        if n == 1:
            inner = wardian.Module('(module (func (export "f") (result i32) (i32.const 5)))', used).instantiate()
            look()
            assert inner.exports.f() == 5
        return n

    for _ in range(2):  # the second time from the cache
        used = wardian.Engine(config)
        look()
        guest = wardian.Module(GUEST, used)
        look()
        instance = guest.instantiate({"m": {"f": host}})
        look()
        exports = instance.exports
        assert exports.g(1) == 2
        failing: tuple[tuple[Callable[[], object], type[Exception]], ...] = (
            (exports.oob, wardian.Trap),
            (exports.throws, wardian.WasmException),
        )
        for call, kind in failing:
            with pytest.raises(kind):
                call()
            look()
        with pytest.raises(TypeError):
            exports.g("x")
        look()
        exports.objects()
        with pytest.raises(wardian.Interrupted), instance.deadline(0.01):
            exports.endless()
        exports.memory.grow(1)
        exports.t.grow(2)
        look()
        used.flush()
        threads = [threading.Thread(target=lambda: make('(module (func (export "f")))', mode).f()) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            look()
        for thread in threads:
            thread.join()
        look()
    assert guest_code()
    assert any("x" in row[2] for row in guest_code())


@every_mode
def test_never_writable_and_executable(mode: Mode, tmp_path: Path) -> None:
    child(every_moment, mode, str(tmp_path / "cache"))


def warm(mode: Mode, cache: str, expected: bool) -> None:
    """A run with a cache; the second one needs no compiler."""
    config = mode.config(cache=cache)
    made = wardian.Engine(config)
    exports = wardian.Module(GUEST, made).instantiate({"m": {"f": lambda n: n}}).exports
    assert exports.g(1) == 2
    exports.objects()
    made.flush()
    if expected:
        assert "llvmlite" not in sys.modules
        assert not both()


@every_mode
def test_a_warm_run_has_no_such_page_at_all(mode: Mode, tmp_path: Path) -> None:
    for expected in (False, True):
        child(warm, mode, str(tmp_path / "cache"), expected)


def generations() -> None:
    """Places of modules that were collected are written to again."""
    mode = MODES[0]
    look()
    for n in range(50):
        text = f'(module (func (export "f") (result i32) (i32.const {n})))'
        assert wardian.Module(text, engine(mode)).instantiate().exports.f() == n
        if n % 10 == 0:
            gc.collect()
        look()


def test_code_in_the_place_of_other_code() -> None:
    child(generations)


def test_memory_of_guests_is_not_executable() -> None:
    mode = MODES[0]
    exports = module(GUEST, mode).instantiate({"m": {"f": lambda n: n}}).exports
    base = int(exports.memory._instance.base)
    rows = [row for row in maps() if row[0] <= base < row[1]]
    assert rows and all("x" not in row[2] for row in rows)
    beyond = [row for row in maps() if row[0] <= base + 65536 < row[1]]
    assert all(row[2].startswith("---") for row in beyond), "what is behind a memory is inaccessible"
