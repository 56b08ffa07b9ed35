"""Glue for signatures: mapped while anyone could run it, and gone afterwards; so is what was needed to make it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.escape.guest import child, engine
from tests.support import Mode, share_glue
from wardian.compile import compiler as compiling
from wardian.compile.artifact import decode_images
from wardian.compile.bundle import Bundle
from wardian.compile.link import Image
from wardian.runtime import glue as tables
from wardian.runtime.native import uncollected
from wardian.runtime.process import GlueRegion

MODE = Mode("baseline", "guard")
TEXT = """(module (import "" "host" (func $host (param {0}) (result {1}))) (table (export "table") 1 funcref)
  (elem (i32.const 0) $host) (func (export "f") (param {0}) (result {1}) (call $host {2}))
  (func (export "own") (param f32 i32 f32 i32) (result funcref) (ref.func $host)))"""


def text(params: str, result: str) -> str:
    kinds = params.split()
    return TEXT.format(params, result, " ".join(f"(local.get {i})" for i in range(len(kinds))))


@pytest.fixture
def glue() -> Iterator[tables.GlueTable]:
    """The process's, with nothing in it that nobody has; also at the end."""
    wardian.Module(text("i32", "i32"), engine(MODE)).instantiate({"": {"host": abs}}).exports.f(1)
    found: tables.GlueTable = engine(MODE).process.glue
    settle(found)
    before = len(found)
    yield found
    settle(found)
    assert len(found) == before


def settle(found: tables.GlueTable) -> None:
    """What threads of earlier tests are about to let go of goes as well."""
    same, before = 0, -1
    while same < 3:
        gc.collect()
        found.forget()
        same, before = (same + 1 if len(found) == before else 0), len(found)
        time.sleep(0.02)


def is_mapped(at: int) -> bool:
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if low <= at < high:
            return "x" in line.split()[1]
    return False


def test_glue_lives_as_long_as_what_uses_it(glue: tables.GlueTable) -> None:
    before = len(glue)
    module = wardian.Module(text("i64 f32 i64", "f32"), engine(MODE))
    exports = module.instantiate({"": {"host": lambda a, b, c: a + b + c}}).exports
    f, host = exports.f, exports.own(0, 0, 0, 0)
    assert len(glue) == before + 2  # that of own, too
    at = engine(MODE).process.types.instance_of(f).glue.entry
    table = exports.table
    del module, exports
    settle(glue)
    assert is_mapped(at)
    assert len(glue) == before + 2
    assert (f(1, 2.5, 3), host(4, 0.5, 1)) == (6.5, 5.5)
    del f
    settle(glue)
    assert host(4, 0.5, 1) == 5.5
    assert table[0] is host
    del host
    settle(glue)
    assert table[0](4, 0.5, 1) == 5.5
    del table
    settle(glue)
    assert len(glue) == before
    assert not is_mapped(at)


def test_glue_of_a_running_guest(glue: tables.GlueTable) -> None:
    """A host function drops all that there is of its guest, then returns to it."""
    held: dict[str, Any] = {}

    def host(*values: float) -> float:
        held.clear()
        gc.collect()
        glue.forget()
        # Something else may have the place by now.
        wardian.Module(text("f32 f32 i64", "f32"), engine(MODE)).instantiate({"": {"host": max}}).exports.f(1, 2, 3)
        return values[0]

    held["f"] = wardian.Module(text("f64 i64 f64", "f64"), engine(MODE)).instantiate({"": {"host": host}}).exports.f
    assert held["f"](2.5, 1, 0.5) == 2.5
    thread = threading.Thread(target=lambda: held.update(wardian_result=held["f"](1.5, 1, 0.5)))
    held["f"] = wardian.Module(text("f64 i64 f64", "f64"), engine(MODE)).instantiate({"": {"host": host}}).exports.f
    thread.start()
    thread.join()
    assert held.pop("wardian_result") == 1.5


def test_glue_of_prepared_instances(glue: tables.GlueTable) -> None:
    prepared = wardian.Module(text("f32 i64 i64", "i64"), engine(MODE)).prepare({"": {"host": lambda a, b, c: b}})
    first = prepared.instantiate().exports
    assert first.f(1, 2, 3) == 2
    second = prepared.instantiate().exports
    del first, prepared
    settle(glue)
    assert second.f(1, 5, 3) == 5
    host = second.own(0, 0, 0, 0)
    del second
    settle(glue)
    assert host(1, 6, 3) == 6


def test_the_last_signatures_stay_mapped(glue: tables.GlueTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "KEPT", 3)
    compiler = engine(MODE).compiler
    image = compiler.signature("i_i")
    before = len(glue)
    for code in ("a", "b", "c", "d", "e"):
        assert glue.get(code) is None
        assert is_mapped(glue.add(code, image.code, GlueRegion, 0, 16).entry)
        glue.get("a")
    assert [glue.get(code) is not None for code in "abcde"] == [True, False, False, True, True]
    assert len(glue) == before + 3


def test_finalisers_in_the_middle() -> None:
    """Ends come on any thread, at any allocation, whoever holds the lock."""
    mapped: set[int] = set()

    def map_(code: bytes) -> int:
        gc.collect(0)
        at = 1 + max(mapped, default=0)
        mapped.add(at)
        return at

    def unmap(at: int, size: int) -> None:
        mapped.remove(at)
        gc.collect(0)

    table = tables.GlueTable(map_, unmap)

    @uncollected
    class Region(int):
        def __del__(self) -> None:
            table.end(int(self))

    class Cycle:
        def __init__(self, code: str) -> None:
            self.me = self
            self.glue = table.get(code) or table.add(code, b"", Region, 0, 0)

        def __del__(self) -> None:
            # Brought back for as long as this takes: it is there still.
            assert self.glue.entry in mapped
            other = table.add("other", b"", Region, 0, 0)
            assert other.entry in mapped

    for i in range(300):
        Cycle(str(i % 7))
        if i % 5 == 0:
            table.forget()
    with table._lock:
        thread = threading.Thread(target=lambda: (Cycle("last"), gc.collect()))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    for _ in range(5):
        gc.collect()
        table.forget()
    assert len(table) == len(mapped) <= 2


# -- what makes it -----------------------------------------------------------------------------------------------------


def test_images_of_signatures_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, in what compilers share, and in the cache; those in use last stay."""
    monkeypatch.setattr(compiling, "MOST_SIGNATURES", 4)
    shared: dict[str, Image] = {}
    monkeypatch.setattr(compiling.Compiler, "backend", lambda self: _NoBackend())
    monkeypatch.setattr("wardian.compile.link.flatten", lambda data: Image(data, (), b"", 0))
    store = wardian.Engine(wardian.Config(cache=tmp_path)).compiler.cache
    compiler = compiling.Compiler(store, lambda: shared)
    compiler.__dict__["_shipped"] = {}
    codes = ["i" * n + "_" for n in range(12)]
    for code in codes:
        compiler.signature(code)
        compiler.signature(codes[0])
    wanted = {f"signature {code}" for code in (codes[0], *codes[-3:])}
    assert compiler.glue().keys() == wanted
    assert shared.keys() == {f"signature {code}" for code in codes[-4:]}
    compiler.flush()
    other = compiling.Compiler(store, dict)
    other.__dict__["_shipped"] = {}
    other.signature("l_")
    other.flush()
    assert store is not None
    there = decode_images(store.load(other.glue_key()) or b"")
    assert len(there) == 4
    assert "signature l_" in there


class _NoBackend:
    def preamble(self) -> str:
        return ""

    def object(self, text: str, opt: str) -> bytes:
        return b"\x90"


def test_a_compiled_module_has_its_own_signatures_only() -> None:
    """And not those of whoever was in the process before."""
    used = engine(MODE)
    used.compiler.signature("il_il")
    data = wardian.Module('(module (func (export "f") (param i32) (result i32) (local.get 0)))', used).serialize()
    names = decode_images(Bundle.decode(data, None).glue).keys()
    assert "core" in names
    assert [name for name in names if name.startswith("signature ")] == ["signature i_i"]


def test_stencils_of_calls_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules at work keep theirs."""
    monkeypatch.setattr(compiling, "MOST_MORE", 1)
    used = share_glue(wardian.Engine(wardian.Config(cache=False, opt="baseline")))

    def caller(params: str) -> str:
        zeros = " ".join(f"({kind}.const 0)" for kind in params.split())
        return f"""(module (type $t (func (param {params}) (result i32))) (table funcref (elem $g $g))
          (func $g (type $t) (i32.const 5))
          (func (export "f") (result i32) (call_indirect (type $t) {zeros} (i32.const 1)))
          (func (export "again") (result i32) (call_indirect (type $t) {zeros} (i32.const 0))))"""

    first = wardian.Module(caller("i64 f32 f64 i32 f32 f32 i64"), used).instantiate().exports
    assert first.f() == 5
    before = list(used.compiler._libraries.values())
    second = wardian.Module(caller("i32 f64 f32 i64 i64 f32 f32"), used).instantiate().exports
    assert second.f() == 5
    assert not before
    assert not used.compiler._libraries
    assert (first.again(), second.again()) == (5, 5)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def churn(opt: str, count: int) -> None:
    """Modules, each with its own signatures, types and constants, made, called both ways, and dropped."""
    used = share_glue(wardian.Engine(wardian.Config(cache=False, opt=opt)))  # type: ignore[arg-type]
    kinds = ("i32", "i64", "f32", "f64")
    sizes = []
    for turn in range(3):
        for i in range(turn * count, (turn + 1) * count):
            params = " ".join(kinds[i >> 2 * j & 3] for j in range(9))
            exports = wardian.Module(text(params, "f64"), used).instantiate({"": {"host": lambda *v: v[0]}}).exports
            assert exports.f(3, 0, 0, 0, 0, 0, 0, 0, 0) == 3
            assert exports.own(0, 0, 0, 0)(4, 0, 0, 0, 0, 0, 0, 0, 0) == 4
        del exports
        gc.collect()
        process = used.process
        process.glue.forget()
        process.canonical.sweep()
        images = sum(len(image.code) for image in process.images.values())
        mapped = len(Path("/proc/self/maps").read_text().splitlines())
        sizes.append((len(process.glue), len(process.canonical), mapped, resident() - images))
    assert sizes[1][:2] == sizes[2][:2], sizes
    assert sizes[2][2] - sizes[1][2] < 20, sizes
    # It was 0.2 MB for each.
    assert sizes[2][3] - sizes[1][3] < count * 40_000 + (1 << 20), sizes
    sys.stdout.write(f"{sizes}\n")


@pytest.mark.parametrize(
    ("opt", "count"),
    [
        pytest.param("O2", 6, id="few"),
        *(pytest.param(opt, 150, id=opt, marks=pytest.mark.slow) for opt in ("baseline", "O2")),
    ],
)
def test_signatures_that_come_and_go_leave_nothing(opt: str, count: int) -> None:
    child(churn, opt, count, timeout=390)
