"""Canonical types: as many as are in use, each with one number, whoever comes and goes meanwhile."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.escape.guest import engine
from tests.support import Mode
from wardian.runtime import canonical as tables
from wardian.runtime.heap import Heap
from wardian.runtime.native import Block
from wardian.syntax.module import Module
from wardian.syntax.types import F32, F64, I32, I64, FieldType, FuncType, RefType, StructType, SubType
from wardian.valid.types import TypeContext

KINDS = (I32, I64, F32, F64)
MODE = Mode("baseline", "guard")


@pytest.fixture
def known() -> Iterator[tables.Canonical]:
    """The process's, which has to be as it was at the end, and meanwhile uses numbers again at once."""
    found = engine(MODE).process.canonical
    load(0).struct()  # makes what stays in any case
    settle(found)
    before, place = len(found), found._next
    yield found
    settle(found)
    assert len(found) <= before  # a module of another test may have been kept by its background work until now
    found._next = max(place, found._next)


def fresh(number: int, count: int = 3) -> TypeContext:
    """A function's type, and a chain of structures in a recursion group: with another number, all others."""
    params = tuple(KINDS[number >> 2 * i & 3] for i in range(12))
    subs = [SubType(FuncType(params, ()))]
    for i in range(count):
        fields = (*[FieldType(kind, False) for kind in params], FieldType(RefType(True, 1), True))
        subs.append(SubType(StructType(fields), supers=(i,) if i else (), final=False))
    return TypeContext(Module(b"", types=subs, rec_groups=[(0, 1), (1, count)]))


def settle(known: tables.Canonical) -> None:
    """Have everything forgotten that nobody has."""
    gc.collect()
    known.sweep()


def sound(known: tables.Canonical, held: list[tuple[TypeContext, Block]]) -> None:
    """Every type that somebody holds has one number, which is no other's, and a row that leads to its supertypes."""
    numbers: dict[int, bytes] = {}
    for types, ids in held:
        mine = [ids[8 * i] for i in range(len(types))]
        for i, id in enumerate(mine):
            key = types.key(i)
            assert numbers.setdefault(id >> 4, key) == key
            assert known._types[key].id == id
            ancestry = [id]
            at = i
            while supers := types.module.types[at].supers:
                at = supers[0]
                ancestry.insert(0, mine[at])
            row = known._native.read(known._rows + (id >> 4 << 8), 256)
            assert row == b"".join(id.to_bytes(4, "little") for id in ancestry).ljust(256, b"\0")


def test_numbers_are_used_again_only_when_nobody_has_them(known: tables.Canonical) -> None:
    first = fresh(1), known.lease(fresh(1))
    number = first[1][0] >> 4
    other = known.lease(fresh(1))
    assert [other[8 * i] for i in range(4)] == [first[1][8 * i] for i in range(4)]
    known._next = 1
    sound(known, [first, (fresh(2), known.lease(fresh(2)))])
    del other
    known.sweep()
    known._next = number
    second = fresh(3), known.lease(fresh(3))
    assert second[1][0] >> 4 != number
    sound(known, [first, second])
    row = known._rows + (number << 8)
    assert known._native.read(row, 256) != bytes(256)
    del first
    known.sweep()
    assert known._native.read(row, 256) == bytes(256)
    third = fresh(4), known.lease(fresh(4))
    assert third[1][0] >> 4 != number, "used again at once"
    known._next = number
    fourth = fresh(5), known.lease(fresh(5))
    assert fourth[1][0] >> 4 == number
    sound(known, [second, third, fourth])


def test_the_window_goes_round_and_grows(known: tables.Canonical, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(known)
    # Of little room, whatever other tests have left.
    monkeypatch.setattr(known, "_window", 2 * max(known._alive, default=0) + 80)
    monkeypatch.setattr(known, "_next", known._window - 3)
    held = []
    for i in range(200):
        held.append((fresh(100 + i), known.lease(fresh(100 + i))))
        sound(known, held[-2:])
        del held[:-5]
        known.sweep()
    sound(known, held)
    assert max(known._alive) < known._window
    window = known._window
    kept = [(fresh(100 + i), known.lease(fresh(100 + i))) for i in range(window // 8 + 20)]
    assert known._window in (2 * window, 4 * window)
    sound(known, kept)
    monkeypatch.setattr(tables, "NUMBERS", known._window)
    with pytest.raises(wardian.LimitExceeded, match="different types are in use"):
        kept += [(fresh(9000 + i), known.lease(fresh(9000 + i))) for i in range(known._window)]
    sound(known, kept)
    held.clear()
    kept.clear()
    known.sweep()
    assert len(known) == before


def test_pages_of_rows_are_given_back(known: tables.Canonical) -> None:
    """And rows of whoever is alive stay as they are."""
    kept = []
    for i in range(400):
        ids = known.lease(fresh(3000 + i))
        if i % 50 == 0:
            kept.append((fresh(3000 + i), ids))
    del ids
    known.sweep()
    page = 16
    pages = {ids[8 * i] >> 8 for _, ids in kept for i in range(4)}
    low, high = min(pages), min(pages) + 1600 // page
    gone = set(range(low + 1, high)) - pages
    assert len(gone) > 80
    with open("/proc/self/pagemap", "rb") as map_:
        map_.seek(8 * (known._rows // 4096 + low))
        present = [int.from_bytes(map_.read(8), "little") >> 63 for _ in range(low, high)]
    assert not any(present[number - low] for number in gone)
    assert all(present[number - low] for number in pages)
    sound(known, kept)


def test_a_row_holds_no_more_than_its_own(known: tables.Canonical) -> None:
    """However deep a limit lets types be."""
    limits = wardian.Limits(subtype_depth=200)
    loose = wardian.Engine(wardian.Config(cache=False, opt="baseline", limits=limits))

    def chain(count: int) -> wardian.Module:
        subs = "".join(f"(type (sub {i - 1 if i else ''} (func (param i64))))" for i in range(count))
        return wardian.Module(f"(module {subs})", loose)

    deepest = chain(64).instantiate()
    with pytest.raises(wardian.LimitExceeded, match="more than 63 supertypes"):
        chain(65).instantiate()
    del deepest


class Loads:
    """In a cycle; its finaliser takes leases on types, and lets go of others."""

    def __init__(self, known: tables.Canonical, number: int, out: list[tuple[TypeContext, Block]]) -> None:
        self.me = self
        self.what = known, number, out
        self.own = known.lease(fresh(number + 1))

    def __del__(self) -> None:
        known, number, out = self.what
        for i in range(number, number + 3):
            out.append((fresh(i), known.lease(fresh(i))))
        known.lease(fresh(number + 3))
        known.sweep()


def test_finalisers_in_the_middle(known: tables.Canonical, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's collector may run wherever a type is made, found missing or given up, and do anything."""
    held: list[tuple[TypeContext, Block]] = []
    make_type, hide = tables.Type, tables.Canonical._hide

    def collecting(*facts: Any) -> tables.Type:
        gc.collect()
        made = make_type(*facts)
        gc.collect()
        return made

    def hiding(self: tables.Canonical, type_: tables.Type) -> bool:
        gc.collect()
        done = hide(self, type_)
        gc.collect()
        return done

    monkeypatch.setattr(tables, "Type", collecting)
    monkeypatch.setattr(tables.Canonical, "_hide", hiding)
    gc.freeze()  # of interest is only what follows
    for turn in range(12):
        number = 500 + turn % 3
        Loads(known, number, held)
        known._next = 1
        held.append((fresh(number), known.lease(fresh(number))))
        Loads(known, number, held)
        del held[: len(held) // 2]
        known.sweep()
        sound(known, held)
    held.clear()
    gc.collect()
    held.clear()


class Finder(dict[bytes, tables.Type]):
    """What stands between finding a type and counting oneself among its users."""

    then: Callable[[], object] | None = None

    def get(self, key: bytes, default: Any = None) -> Any:
        found, then = super().get(key, default), self.then
        if found is not None and then is not None:
            self.then = None
            then()
        return found


def test_a_type_that_goes_as_it_is_found(known: tables.Canonical, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither lost nor two."""
    finder = Finder(known._types)
    monkeypatch.setattr(known, "_types", finder)
    last = [known.lease(fresh(7))]

    def lost() -> None:
        last.clear()
        known.sweep()

    finder.then = lost
    found = known.lease(fresh(7))
    sound(known, [(fresh(7), found)])
    # By somebody else on this thread (as with greenlets), who has come from a sweep and goes on with it.
    type_ = known._types[fresh(7).key(0)]

    def swept() -> None:
        for type_ in [known._types[fresh(7).key(i)] for i in (3, 2, 1, 0)]:
            type_.users -= 1
            assert known._hide(type_)
            known._free([type_.id >> 4])

    known.sweep()
    finder.then = swept
    again = known.lease(fresh(7))
    assert known._types[fresh(7).key(0)] is not type_
    sound(known, [(fresh(7), again)])
    known._leases[int(found._keeper[1])].clear()  # type: ignore[index]
    del found, again, type_
    # The other way round: found as it goes.
    found_late: list[Block] = []
    last = [known.lease(fresh(8))]
    hide = tables.Canonical._hide

    def hiding(self: tables.Canonical, type_: tables.Type) -> bool:
        if not found_late:
            found_late.append(self.lease(fresh(8)))
        return hide(self, type_)

    monkeypatch.setattr(tables.Canonical, "_hide", hiding)
    last.clear()
    known.sweep()
    monkeypatch.setattr(tables.Canonical, "_hide", hide)
    sound(known, [(fresh(8), found_late[0])])
    found_late.clear()
    gc.collect()


def test_threads_that_share_types(known: tables.Canonical) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            held: list[tuple[TypeContext, Block]] = []
            for turn in range(150):
                for each in (turn % 7, 50 + 20 * number + turn % 11):
                    held.append((fresh(each), known.lease(fresh(each))))
                del held[: turn % 5]
                known.sweep()
                if turn % 30 == 0:
                    known._next = 1
                sound(known, held)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_a_child_of_a_thread_at_work(known: tables.Canonical) -> None:
    """It has the types that its parent had, and goes on; whatever another thread was in the middle of."""
    types = fresh(77)
    ids = known.lease(types)
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        with known._lock:
            known._worker = threading.get_ident()
            known._busy += 1
            inside.set()
            done.wait(60)
            known._busy -= 1

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(60)
    try:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                sound(known, [(types, ids)])
                before = len(known)
                more = known.lease(fresh(78))
                sound(known, [(types, ids), (fresh(78), more)])
                del more
                known.sweep()
                status = 0 if len(known) == before else 2
            finally:
                os._exit(status)
    finally:
        done.set()
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# -- what holds types --------------------------------------------------------------------------------------------------

KEPT: dict[str, Callable[[Any], Any]] = {
    "function": lambda exports: exports.f,
    "host function": lambda exports: exports.host(),
    "table": lambda exports: exports.table,
    "global": lambda exports: exports.g,
    "structure": lambda exports: exports.struct(),
    "array": lambda exports: exports.array(),
    "tag": lambda exports: exports.tag,
    "exception": lambda exports: exports.caught(),
    "memory": lambda exports: exports.memory,
    "module": lambda exports: _data(exports).code,
    "store": lambda exports: _data(exports).store,
}
"""What somebody may keep of an instance."""

NEED_NONE = {"tag", "memory"}
"""What has no number in it."""


def _data(exports: Any) -> Any:
    return exports._Exports__instance


def guest(number: int) -> str:
    """A module whose types, with another number, are all others; but its functions are called in the same way."""
    kinds = [str(KINDS[number >> 2 * i & 3]) for i in range(6)]
    fields = " ".join(f"(field {kind})" for kind in kinds)
    zeros = " ".join(f"({kind}.const 0)" for kind in kinds)
    return f"""(module
      (rec (type $s (sub (struct (field (mut i64)) {fields} (field (ref null $s)))))
           (type $d (sub $s (struct (field (mut i64)) {fields} (field (ref null $s)) (field f32))))
           (type $a (array (mut (ref null $d)))))
      (type $f (func (param i64 (ref null $s)) (result i64)))
      (type $other (func (param i64 (ref null $d)) (result i64)))
      (import "" "host" (func $host (type $f)))
      (memory (export "memory") 1)
      (tag $tag (export "tag") (param i64 (ref null $s)))
      (table (export "table") 2 funcref) (elem (i32.const 0) $f $host)
      (global (export "g") (mut anyref) (ref.null any))
      (func $f (export "f") (type $f) (i64.add (local.get 0) (i64.const 5)))
      (func (export "host") (result funcref) (ref.func $host))
      (func (export "struct") (result (ref $s)) (global.set 0 (struct.new $d (i64.const 7) {zeros} (ref.null $s)
        (f32.const 0))) (ref.cast (ref $s) (global.get 0)))
      (func (export "array") (result (ref $a)) (array.new_default $a (i32.const 3)))
      (func (export "caught") (result exnref) (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw $tag (i64.const 9) (ref.null $s))) (unreachable)))
      (func (export "is") (param anyref) (result i32) (ref.test (ref $d) (local.get 0)))
      (func (export "call") (param i32) (result i64)
        (call_indirect (type $f) (i64.const 1) (ref.null $s) (local.get 0)))
      (func (export "wrong") (param i32) (result i64)
        (call_indirect (type $other) (i64.const 1) (ref.null $d) (local.get 0))))"""


def load(number: int) -> Any:
    """The exports of an instance of :func:`guest`, whose module nobody else has."""
    binary = wardian.Module(guest(number), engine(MODE))
    return binary.instantiate({"": {"host": lambda *values: values[0] + number}}).exports


@pytest.mark.thorough
@pytest.mark.parametrize("what", KEPT)
def test_what_is_kept_keeps_its_types(known: tables.Canonical, what: str) -> None:
    """And nothing else does; while others, made meanwhile, get no number that is taken."""
    before = set(known._types)
    exports = load(1)
    exports.struct()
    mine = {key: known._types[key] for key in set(known._types) - before}
    assert len(mine) >= 10
    kept = KEPT[what](exports)
    del exports
    settle(known)
    if what in NEED_NONE:
        assert not mine.keys() & set(known._types)
        return
    assert {key: known._types[key] for key in mine} == mine
    known._next = 1
    others = [load(2 + i) for i in range(3)]
    for i, other in enumerate(others):
        assert (other.call(0), other.call(1)) == (6, 1 + 2 + i)
        with pytest.raises(wardian.Trap, match="indirect call type mismatch"):
            other.wrong(0)
        other.struct()
        assert other["is"](other.g.value) == 1
    _use(what, kept)
    del others, other
    settle(known)
    assert set(known._types) == before | set(mine)
    _use(what, kept)
    del kept
    settle(known)
    assert set(known._types) == before


def _use(what: str, kept: Any) -> None:
    if what == "function":
        assert kept(1, None) == 6
    elif what == "host function":
        assert kept(1, None) == 2
    elif what == "table":
        assert (kept[0](1, None), kept[1](1, None)) == (6, 2)
    elif what in ("structure", "global"):
        value = kept.value if what == "global" else kept
        assert (len(value), value[0]) == (9, 7)
    elif what == "array":
        assert kept[0:3] == [None, None, None]
    elif what == "exception":
        assert kept.exception().payload == (9, None)


def test_a_heap_keeps_what_it_was_told_of(known: tables.Canonical, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a module that came to nothing."""
    first = wardian.Module(guest(0), engine(MODE)).instantiate({"": {"host": abs}})
    before = len(known)
    with monkeypatch.context() as patch:
        patch.setattr(Heap, "_describe", lambda *facts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            wardian.Module(guest(1), engine(MODE)).instantiate({"": {"host": abs}}, beside=first)
    settle(known)
    assert len(known) > before + 4
    wardian.Module(guest(1), engine(MODE)).instantiate({"": {"host": abs}}, beside=first).exports.struct()
    first.collect()


def test_one_of_two_modules_goes(known: tables.Canonical) -> None:
    """What they share stays, under the same number."""
    exports = load(5)
    code = _data(exports).code
    ids = [code.type_ids[8 * i] for i in range(4)]
    other = load(5)
    again = [_data(other).code.type_ids[8 * i] for i in range(4)]
    assert again == ids
    del exports, code
    settle(known)
    known._next = 1
    third = load(6)
    assert not {_data(third).code.type_ids[8 * i] for i in range(4)} & set(ids)
    fourth = load(5)
    assert [_data(fourth).code.type_ids[8 * i] for i in range(4)] == ids
    assert (other.call(0), fourth.call(1), third.call(0)) == (6, 6, 6)


def test_prepared_instances_keep_types(known: tables.Canonical) -> None:
    text = "(module (type $t (func (param f64 i64 f64) (result f64))) (table (export \"t\") 1 funcref)" \
        " (elem (i32.const 0) $f) (func $f (type $t) (local.get 0)))"
    before = len(known)
    prepared = wardian.Module(text, engine(MODE)).prepare()
    table = prepared.instantiate().exports.t
    again = prepared.instantiate().exports.t
    del prepared
    settle(known)
    assert len(known) == before + 1
    assert (table[0](1.5, 1, 1.0), again[0](2.5, 1, 1.0)) == (1.5, 2.5)
    del table
    assert again[0](2.5, 1, 1.0) == 2.5
    del again
    settle(known)
    assert len(known) == before


def only_types(number: int) -> str:
    """Types of all sorts that no other number has."""
    kinds = " ".join(str(KINDS[number >> 2 * i & 3]) for i in range(8))
    fields = " ".join(f"(field {kind})" for kind in kinds.split())
    return f"""(module (type (func (param {kinds}))) (type $s (sub (struct {fields}))) (type $a (array (ref $s)))
      (rec (type $p (struct (field (ref null $q)) {fields})) (type $q (sub $s (struct {fields} (field (ref null $p))))))
      (func (export "f") (result i32) (ref.test (ref $s) (struct.new_default $q))))"""


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("count", [pytest.param(30, id="few"), pytest.param(2000, id="many", marks=pytest.mark.slow)])
def test_modules_that_come_and_go_leave_nothing(known: tables.Canonical, count: int) -> None:
    sizes = []
    for turn in range(3):
        for i in range(count):
            exports = wardian.Module(only_types(turn * count + i), engine(MODE)).instantiate().exports
            assert i % 50 or exports.f() == 1
        del exports
        settle(known)
        sizes.append(((len(known), len(known._leases), len(known._types)), resident()))
    assert sizes[0][0] == sizes[1][0] == sizes[2][0]
    assert sizes[2][1] - sizes[1][1] < 2 << 20, sizes
