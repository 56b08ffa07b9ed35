"""Guards around whatever a guest indexes; memory that nobody has any more: gone, or zero for whoever gets its place.

Proved by what the kernel says (``/proc/self/maps``), and by looking at every call that changes a page's rights, which
also shows that sealed code stays sealed.
"""

from __future__ import annotations

import gc
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.escape.guest import PAGE, child, engine, make, module, traps
from tests.support import MODES, Mode, mode_params
from wardian.runtime import places

every_mode = pytest.mark.parametrize("mode", mode_params())

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) .*")
GUARD = 2 << 30

TEXT = """(module (memory (export "memory") 2 40) (data (i32.const 100) "own")
  (table (export "table") 30000 60000 externref)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0))))"""


def resident(low: int, high: int) -> tuple[int, set[str]]:
    """Kilobytes in memory of the mappings that meet a range, and their permissions."""
    total, rights, inside = 0, set[str](), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = _HEAD.fullmatch(line)
        if head is not None:
            inside = int(head[1], 16) < high and int(head[2], 16) > low
            if inside:
                rights.add(head[3])
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total, rights


def inaccessible(low: int, high: int) -> bool:
    """Is all of a range reserved, so that nobody else can be given it, and accessible to nobody?"""
    for line in Path("/proc/self/maps").read_text().splitlines():
        head = _HEAD.fullmatch(line)
        if low < high and head is not None and int(head[1], 16) <= low < int(head[2], 16):
            if head[3] != "---p":
                return False
            low = int(head[2], 16)
    return low >= high


@every_mode
def test_released_pages_are_gone(mode: Mode) -> None:
    """wasmtime.md 2.4 B 16 and 17: not in memory, not accessible; and the place's next user finds zeros everywhere."""
    chance = random.Random(1)
    places = set()
    for turn in range(6):
        exports = make(TEXT, mode)
        base = int(exports.memory._instance.base)
        grown = (0, 38, 5)[turn % 3]
        assert exports.grow(grown) == 2
        size = (2 + grown) * PAGE
        assert bytes(exports.memory.view()) == bytes(100) + b"own" + bytes(size - 103)
        exports.memory[0:size] = chance.randbytes(64) * (size // 64)
        assert resident(base, base + size)[0] >= size >> 10
        del exports
        gc.collect()
        assert resident(base, base + size) == (0, {"---p"})
        places.add(base)
    assert len(places) < 6, "places are used again"


@every_mode
def test_what_is_behind_is_inaccessible_again(mode: Mode) -> None:
    """Lent again by a prepared module, or begun anew: as long as at first, and zero beyond the data when it grows."""
    ready = module(TEXT, mode).prepare()
    for turn in range(6):
        instance = ready.instantiate()
        exports = instance.exports
        for again in range(2):
            base = int(exports.memory._instance.base)
            assert resident(base + 2 * PAGE, base + 40 * PAGE) == (0, {"---p"})
            with traps("memory_out_of_bounds"):
                exports.load(2 * PAGE)
            assert exports.grow(1 + turn) == 2
            size = (3 + turn) * PAGE
            assert bytes(exports.memory.view()) == bytes(100) + b"own" + bytes(size - 103)
            exports.memory[0:size] = b"\xaa" * size
            if not again:
                instance.reset()
        del instance, exports
        gc.collect()


@every_mode
def test_guards_are_around_every_memory(mode: Mode) -> None:
    """At all lengths: what follows the length, up to the end of any 32-bit index and the guard, and the guard before
    it, cannot be touched, nor can anything else come to lie there."""
    exports = make(TEXT, mode)
    base = int(exports.memory._instance.base)
    for pages in (2, 3, 7, 40):
        exports.grow(pages - len(exports.memory) // PAGE)
        assert inaccessible(base + pages * PAGE, base + (4 << 30) + GUARD)
        assert inaccessible(base - GUARD, base)


def test_guards_are_around_the_first_memory_and_the_largest() -> None:
    """Those that no other memory's guard comes before: of the process, and of address space reserved later."""
    child(first_and_largest)


def first_and_largest() -> None:
    text = """(module (memory (export "a") 0 0) (memory (export "b") 1) (memory (export "c") i64 2 0x1000001))"""
    with_more_room = wardian.Limits(memory=1 << 41)
    process = engine(MODES[0]).process
    for _ in range(2):
        exports = make(text, MODES[0], limits=with_more_room)
        for name, room in (("a", 4 << 30), ("b", 4 << 30), ("c", 2 << 40)):
            memory = exports[name]._instance
            base, mask = int(memory.base), memory.block[16]
            assert mask + 1 == room
            assert inaccessible(base - GUARD, base) and inaccessible(base + memory.length, base + room + GUARD)
        process._free.clear()
        process._next = process._end  # as if all that was reserved were in use


TABLES = """(module (table (export "none") 0 0 funcref) (table (export "small") 500 500 funcref)
  (table (export "most") 2 8192 externref) (table (export "large") 2 8193 externref)
  (table (export "huge") 9000 externref) (func $f) (elem func $f $f) (elem (ref null func) (ref.null func))
  (func (export "grow") (result i32) (table.grow 2 (ref.null extern) (i32.const 600))))"""


def guarded(base: int, size: int, room: int) -> bool:
    """Are ``size`` bytes accessible, and is what is around them, from the end of ``room`` on, the guard?"""
    size, room = (-(-n // 4096) * 4096 for n in (size, room))
    return (
        inaccessible(base - places.GUARD, base)
        and resident(base, base + size)[1] <= {"rw-p"}
        and inaccessible(base + room, base + room + places.GUARD)
    )


def test_guards_are_around_tables_and_segments() -> None:
    instance = module(TABLES, MODES[0]).instantiate()
    tables = {name: instance.exports[name]._instance for name in ("none", "small", "most", "large", "huge")}
    for _ in range(2):
        for name, table in tables.items():
            base, room = table.block[0], 8 * max(table.limit, 1)
            assert guarded(base, 8 * len(table), room), name
            assert inaccessible(base + max(table._committed, 4096), base + room), name
        assert instance.exports.grow() == len(tables["most"]) - 600
    assert guarded(instance._data.passive, 24, 24)


def test_segments_without_elements_have_no_place() -> None:
    text = """(module (table (export "t") 2 funcref) (elem func) (elem funcref) (func $f)
      (func (export "init") (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop 0)))"""
    instance = module(text, MODES[0]).instantiate()
    assert not instance._data.passive
    instance.exports.init()
    instance.reset()
    instance.exports.init()


def test_a_table_s_place_is_zero_when_it_is_used_again() -> None:
    """Wherever the one before wrote, in the slack behind its elements too; and it takes no system call."""
    native: Any = engine(MODES[0]).process.native
    calls: list[tuple[str, int, int, int]] = []
    seen = set()
    gc.collect()  # what earlier tests have left would give its places back in the middle
    for turn in range(4):
        stop = watch(calls) if turn else lambda: None
        exports = make('(module (table (export "t") 500 500 externref))', MODES[0])
        stop()
        base = exports.t._instance.block[0]
        assert native.read(base, 4096) == bytes(4096)
        for i in range(512):
            native.poke(base + 8 * i, 0xAAAA_AAAA_AAAA_AAAA)
        del exports
        gc.collect()
        assert native.read(base, 4096) == bytes(4096), "and already when it is given back"
        seen.add(base)
    assert len(seen) == 1 and calls == []


def test_few_places_are_kept_accessible() -> None:
    """Of many that were in use at the same time, most are given back to the system."""
    ready = module('(module (table (export "t") 8192 8192 externref))', MODES[0])
    some = [ready.instantiate() for _ in range(3 * places.WARM // places.SMALL)]
    bases = [one.exports.t._instance.block[0] for one in some]
    assert all(resident(base, base + places.SMALL)[1] == {"rw-p"} for base in bases)
    del some
    gc.collect()
    kept = [base for base in bases if not inaccessible(base, base + places.SMALL)]
    assert 0 < len(kept) <= places.WARM // places.SMALL
    again = [ready.instantiate() for _ in bases]
    native: Any = engine(MODES[0]).process.native
    for one in again:
        assert native.read(one.exports.t._instance.block[0], places.SMALL) == bytes(places.SMALL)


@every_mode
def test_the_heap_of_objects_lies_as_a_memory_does(mode: Mode) -> None:
    """A reference has 32 bits: whatever one is taken for, it leads into the heap or its guard; then all is gone."""
    text = """(module (type $a (array (mut i8))) (global $g (export "g") (mut (ref null $a)) (ref.null $a))
      (func (export "make") (param i32) (global.set $g (array.new $a (i32.const 238) (local.get 0)))))"""
    known = set(engine(mode).process.heaps)
    exports = make(text, mode)
    exports.make(1 << 20)
    (number,) = set(engine(mode).process.heaps) - known
    memory = engine(mode).process.heaps[number].memory
    base, length = int(memory.base), memory.length
    assert resident(base, base + length)[0] >= 1 << 10
    assert inaccessible(base + length, base + (4 << 30) + GUARD) and inaccessible(base - GUARD, base)
    del exports, memory
    gc.collect()
    assert resident(base, base + length) == (0, {"---p"})


def test_a_large_table_s_place_is_given_back() -> None:
    exports = make(TEXT, MODES[0])
    instance = exports.table._instance
    base = instance.block[0]
    most = 8 * 60000 + 4095 & -4096
    assert exports.table.grow(0) == 30000
    rights = resident(base + instance._committed, base + most)[1]
    assert rights <= {"---p"}, "what a table has not grown to is inaccessible"
    marker = object()
    exports.table[5] = marker
    del exports, instance
    gc.collect()
    assert resident(base, base + most)[0] == 0


# -- every call that changes what a page may be used for ---------------------------------------------------------------

WRITE, EXECUTE = 2, 4


def watch(calls: list[tuple[str, int, int, int]]) -> Callable[[], None]:
    """Note all calls of the engine's that map pages or change their rights."""
    from wardian.runtime.process import process

    libc: Any = process().native.libc
    mmap, mprotect = libc.mmap, libc.mprotect

    def mapped(at: int, size: int, rights: int, *more: int) -> int:
        got: int = mmap(at, size, rights, *more)
        calls.append(("mmap", got, size, rights))
        return got

    def protected(at: int, size: int, rights: int) -> int:
        calls.append(("mprotect", at, size, rights))
        done: int = mprotect(at, size, rights)
        return done

    libc.mmap, libc.mprotect = mapped, protected

    def stop() -> None:
        libc.mmap, libc.mprotect = mmap, mprotect

    return stop


def sealed(mode: Mode | None, folder: str) -> None:
    """Cold start, compiling, tiering up, traps, code in the place of code: the rights of each page, in order."""
    calls: list[tuple[str, int, int, int]] = []
    stop = watch(calls)
    if mode is None:
        config = wardian.Config(opt="auto", tier_up=50, cache=folder)
    else:
        config = wardian.Config(**mode._asdict(), cache=folder)
    used = wardian.Engine(config)
    for turn in range(30):
        text = f"""(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f)
          (func $f (export "f") (param i32) (result i32) (local $n i32)
            (loop $l (local.set $n (i32.add (local.get $n) (i32.const {turn})))
              (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get $n))
          (func (export "oob") (drop (i32.load (i32.const -1)))))"""
        exports = wardian.Module(text, used).instantiate().exports
        assert exports.f(2000) == 2000 * turn and exports.f(3) == 3 * turn
        with traps("memory_out_of_bounds"):
            exports.oob()
        if turn % 5 == 0:
            gc.collect()
    used.flush()
    stop()
    assert any(rights & EXECUTE for _, _, _, rights in calls)
    executable: dict[int, bool] = {}
    for name, at, size, rights in calls:
        assert not (rights & WRITE and rights & EXECUTE), "writable and executable at once"
        if size > 1 << 30:
            continue  # reserved, and accessible to nobody
        for page in range(at, at + size, 4096):
            # What was made executable is given up (mapped anew, as nothing) before it can be written to.
            assert not (executable.get(page) and name == "mprotect" and rights & WRITE), hex(page)
            executable[page] = bool(rights & EXECUTE)


@pytest.mark.parametrize("mode", [*mode_params(), pytest.param(None, id="auto", marks=pytest.mark.slow)])
def test_code_is_sealed(mode: Mode | None, tmp_path: Path) -> None:
    child(sealed, mode, str(tmp_path / "cache"))


def test_the_engine_s_pages_are_watched() -> None:
    """The proof above would see a page that is both."""
    calls: list[tuple[str, int, int, int]] = []
    stop = watch(calls)
    native: Any = engine(MODES[0]).process.native
    at = native.reserve(4096)
    native.commit(at, 4096)
    native.release(at, 4096)
    stop()
    assert [(name, rights) for name, _, _, rights in calls] == [("mmap", 0), ("mprotect", 3)]
