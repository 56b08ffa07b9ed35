"""Every access a guest can make at the edges of its memory: width by width, offset by offset, in every mode.

The oracle is arithmetic: an access is in bounds exactly if index + offset + width <= size.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import pytest

import wardian
from tests.escape.guest import GUARD, PAGE, make, traps
from tests.support import Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())


class Access(NamedTuple):
    """A load or store: its name, width in bytes, and operand type (of a load: result type)."""

    name: str
    width: int
    type: str
    lane: str = ""

    @property
    def store(self) -> bool:
        return "store" in self.name


ACCESSES = (
    Access("i32.load", 4, "i32"),
    Access("i32.load8_s", 1, "i32"),
    Access("i32.load8_u", 1, "i32"),
    Access("i32.load16_s", 2, "i32"),
    Access("i32.load16_u", 2, "i32"),
    Access("i64.load", 8, "i64"),
    Access("i64.load8_s", 1, "i64"),
    Access("i64.load8_u", 1, "i64"),
    Access("i64.load16_s", 2, "i64"),
    Access("i64.load16_u", 2, "i64"),
    Access("i64.load32_s", 4, "i64"),
    Access("i64.load32_u", 4, "i64"),
    Access("f32.load", 4, "f32"),
    Access("f64.load", 8, "f64"),
    Access("i32.store", 4, "i32"),
    Access("i32.store8", 1, "i32"),
    Access("i32.store16", 2, "i32"),
    Access("i64.store", 8, "i64"),
    Access("i64.store8", 1, "i64"),
    Access("i64.store16", 2, "i64"),
    Access("i64.store32", 4, "i64"),
    Access("f32.store", 4, "f32"),
    Access("f64.store", 8, "f64"),
    Access("v128.load", 16, "v128"),
    Access("v128.store", 16, "v128"),
    Access("v128.load8x8_s", 8, "v128"),
    Access("v128.load16x4_u", 8, "v128"),
    Access("v128.load32x2_s", 8, "v128"),
    Access("v128.load8_splat", 1, "v128"),
    Access("v128.load16_splat", 2, "v128"),
    Access("v128.load32_splat", 4, "v128"),
    Access("v128.load64_splat", 8, "v128"),
    Access("v128.load32_zero", 4, "v128"),
    Access("v128.load64_zero", 8, "v128"),
    Access("v128.load8_lane", 1, "v128", "15"),
    Access("v128.load16_lane", 2, "v128", "7"),
    Access("v128.load32_lane", 4, "v128", "3"),
    Access("v128.load64_lane", 8, "v128", "1"),
    Access("v128.store8_lane", 1, "v128", "15"),
    Access("v128.store16_lane", 2, "v128", "7"),
    Access("v128.store32_lane", 4, "v128", "3"),
    Access("v128.store64_lane", 8, "v128", "1"),
)

ONES = {"i32": "(i32.const -1)", "i64": "(i64.const -1)", "f32": "(f32.const 1)", "f64": "(f64.const 1)"}
ONE_BITS = {"f32": b"\0\0\x80\x3f", "f64": b"\0\0\0\0\0\0\xf0\x3f"}
ONES["v128"] = "(v128.const i64x2 -1 -1)"


def body(access: Access, offset: int, index: str, memory: int = 0) -> str:
    """The access as text; a load's result is dropped, which must not save it from trapping."""
    where = f"{memory} " * bool(memory) + f"offset={offset} "
    value = ONES[access.type] if access.store or access.lane else ""
    text = f"({access.name} {where}{access.lane} {index} {value})"
    return text if access.store else f"(drop {text})"


def text_of(offset: int, address: str = "i32", memories: str = "(memory 1 3)", memory: int = 0) -> str:
    """A module with every access at ``offset``, exported by name."""
    functions = "".join(
        f'(func (export "{a.name}") (param {address}) {body(a, offset, "(local.get 0)", memory)})' for a in ACCESSES
    )
    return (
        f'(module {memories} {functions} (export "memory" (memory {memory}))'
        f'(func (export "grow") (param {address}) (result {address}) (memory.grow {memory} (local.get 0))))'
    )


def signed(value: int, bits: int) -> int:
    """As an embedder would pass it; huge unsigned ones are passed as they are."""
    return value - (1 << bits) if value >= 1 << bits else value


def try_edges(exports: Any, offset: int, size: int, bits: int = 32) -> None:
    """Each access one byte before, at, and one byte beyond the last place where it fits, and far away."""
    top = 1 << bits
    for access in ACCESSES:
        last = size - offset - access.width
        places = {last - 1, last, last + 1, last + access.width, 0, size, top - 1, top - access.width, top >> 1}
        for index in sorted(i for i in places if 0 <= i < top):
            if index + offset + access.width <= size:
                exports[access.name](index)
            else:
                with traps("memory_out_of_bounds"):
                    exports[access.name](index)


@every_mode
@pytest.mark.parametrize("offset", [0, 1, 7, PAGE - 1, PAGE, 3 * PAGE])
def test_edges(mode: Mode, offset: int) -> None:
    exports = make(text_of(offset), mode)
    try_edges(exports, offset, PAGE)
    assert exports.grow(1) == 1
    try_edges(exports, offset, 2 * PAGE)


@every_mode
@pytest.mark.parametrize(
    "offset", [GUARD - 16, GUARD - 8, GUARD - 4, GUARD - 1, GUARD, GUARD + 1, (1 << 32) - 16, (1 << 32) - 1]
)
def test_offsets_around_the_guard_and_the_end_of_32_bits(mode: Mode, offset: int) -> None:
    try_edges(make(text_of(offset), mode), offset, PAGE)


@every_mode
@pytest.mark.parametrize("offset", [0, PAGE - 1, GUARD, (1 << 32) - 1, (1 << 63), (1 << 64) - 16, (1 << 64) - 1])
def test_64_bit_memories(mode: Mode, offset: int) -> None:
    exports = make(text_of(offset, "i64", "(memory i64 1 3)"), mode)
    try_edges(exports, offset, PAGE, 64)
    assert exports.grow(1) == 1
    assert exports.grow(1 << 63) == -1
    assert exports.grow((1 << 64) - 1) == -1
    try_edges(exports, offset, 2 * PAGE, 64)


@every_mode
@pytest.mark.parametrize("memories", ["(memory 0)", "(memory 0 0)"])
def test_a_memory_of_no_pages(mode: Mode, memories: str) -> None:
    """wasmtime.md 2.4 B 15: no byte may be reachable, neither at 0 nor at the far end."""
    for offset in (0, 16, (1 << 32) - 1):
        try_edges(make(text_of(offset, memories=memories), mode), offset, 0)


@every_mode
def test_several_memories(mode: Mode) -> None:
    exports = make(text_of(3, memories="(memory 2) (memory 1 3) (memory 5)", memory=1), mode)
    try_edges(exports, 3, PAGE)
    exports.grow(1)
    try_edges(exports, 3, 2 * PAGE)


@every_mode
def test_pages_of_one_byte(mode: Mode) -> None:
    """A length that is no multiple of the system's page: its last page is committed, and still out of bounds."""
    exports = make(text_of(0, memories="(memory 100 200 (pagesize 1))"), mode)
    try_edges(exports, 0, 100)
    assert exports.grow(28) == 100
    try_edges(exports, 0, 128)


@every_mode
def test_stores_touch_what_they_should_and_nothing_else(mode: Mode) -> None:
    for offset in (0, 5):
        exports = make(text_of(offset), mode)
        for access in (a for a in ACCESSES if a.store):
            for index in (0, 8, PAGE - offset - access.width):
                exports.memory[0:PAGE] = bytes(PAGE)
                exports[access.name](index)
                expected = bytearray(PAGE)
                value = ONE_BITS.get(access.type, b"\xff" * access.width)
                expected[index + offset : index + offset + access.width] = value
                assert exports.memory[0:PAGE] == expected, (access.name, index)


BULK = """
(module (memory (export "a") 1 2) (memory (export "b") 2 2) (data $d "abcdefgh")
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "cross") (param i32 i32 i32) (memory.copy 0 1 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i32 i32 i32) (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop") (data.drop $d)))
"""


@every_mode
def test_bulk_operations_at_the_edges(mode: Mode) -> None:
    """Out of bounds traps before a byte is written, at zero length too; right up to the end works."""
    top = (1 << 32) - 1
    exports = make(BULK, mode)
    for fine in [("fill", PAGE, 1, 0), ("fill", PAGE - 1, 1, 1), ("fill", 0, 1, PAGE), ("copy", PAGE, PAGE, 0)]:
        exports[fine[0]](*fine[1:])
    last = ("init", PAGE - 8, 0, 8)
    for fine in [("copy", 1, 0, PAGE - 1), ("cross", 0, PAGE, PAGE), ("cross", PAGE, 2 * PAGE, 0), last]:
        exports[fine[0]](*fine[1:])
    exports.a[0:PAGE] = bytes(PAGE)
    for wrong in [
        ("fill", PAGE + 1, 1, 0),
        ("fill", PAGE, 1, 1),
        ("fill", 1, 1, PAGE),
        ("fill", 0, 1, top),
        ("fill", top, 1, top),
        ("copy", PAGE + 1, 0, 0),
        ("copy", 0, PAGE + 1, 0),
        ("copy", 1, 0, PAGE),
        ("copy", 0, 1, PAGE),
        ("copy", top, top, top),
        ("cross", 1, 0, PAGE),
        ("cross", 0, PAGE + 1, PAGE),
        ("init", PAGE - 7, 0, 8),
        ("init", 0, 1, 8),
        ("init", 0, 9, 0),
        ("init", 0, top, top),
    ]:
        with traps("memory_out_of_bounds"):
            exports[wrong[0]](*wrong[1:])
    assert exports.a[0:PAGE] == bytes(PAGE)
    exports.drop()
    exports.init(0, 0, 0)
    with traps("memory_out_of_bounds"):
        exports.init(0, 0, 1)


@every_mode
def test_large_overlapping_copies(mode: Mode) -> None:
    """Bulk operations are done in chunks of a mebibyte: overlap in both directions must not show it."""
    text = """(module (memory (export "memory") 80)
      (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2))))"""
    exports = make(text, mode)
    size = 80 * PAGE
    pattern = bytes(i * 37 + (i >> 8) & 0xFF for i in range(size))
    far = [(1000, 3, 3 << 20), (3, 1000, 3 << 20), (5, 5, 2 << 20)]
    for to, from_, count in [(0, 1, size - 1), (1, 0, size - 1), *far]:
        exports.memory[0:size] = pattern
        exports.copy(to, from_, count)
        expected = bytearray(pattern)
        expected[to : to + count] = pattern[from_ : from_ + count]
        assert exports.memory[0:size] == expected, (to, from_, count)


FOLDING = """
(module (import "m" "noise" (func $noise (param i64) (result i64)))
  (memory (export "memory") 1) (table $t 1 1 funcref)
  (func (export "shl") (param i32) (result i32)
    (i32.load offset=16 (i32.shl (local.get 0) (i32.const 3))))
  (func (export "shl_add") (param i32 i32) (result i32)
    (i32.load offset=4 (i32.add (i32.shl (local.get 0) (i32.const 3)) (i32.shl (local.get 1) (i32.const 2)))))
  (func (export "mul") (param i32) (result i32) (i32.load (i32.mul (local.get 0) (i32.const 24))))
  (func (export "add_const") (param i32) (result i32)
    (i32.load offset=8 (i32.add (local.get 0) (i32.const 0x7ffffff0))))
  (func (export "sub_const") (param i32) (result i32)
    (i32.load offset=8 (i32.sub (local.get 0) (i32.const 16))))
  (func (export "and") (param i32) (result i32) (i32.load offset=4 (i32.and (local.get 0) (i32.const 0xfff8))))
  (func (export "wrap") (param i64) (result i32) (i32.load offset=4 (i32.wrap_i64 (local.get 0))))
  (func (export "wrap_sum") (param i64 i64) (result i32)
    (i32.load offset=4 (i32.wrap_i64 (i64.add (local.get 0) (local.get 1)))))
  (func (export "signed") (param i64) (result i32)
    (i32.load offset=4 (i32.wrap_i64 (i64.shr_s (local.get 0) (i64.const 4)))))
  (func (export "size") (result i32) (i32.load (i32.mul (memory.size) (i32.const 65532))))
  (func (export "grow_fails") (result i32) (i32.load (memory.grow (i32.const 65536))))
  (func (export "table_grow_fails") (result i32) (i32.load (table.grow $t (ref.null func) (i32.const 5))))
  (func (export "table_size") (result i32) (i32.load offset=65531 (table.size $t)))
  (func (export "spill") (param i32 i64) (result i64)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64) (local $f i64)
    (local.set $a (call $noise (local.get 1)))
    (local.set $b (call $noise (local.get $a)))
    (local.set $c (call $noise (local.get $b)))
    (local.set $d (call $noise (local.get $c)))
    (local.set $e (call $noise (local.get $d)))
    (local.set $f (call $noise
      (i64.add (i64.add (local.get $a) (local.get $b)) (i64.add (local.get $c) (local.get $d)))))
    (i64.add (i64.load offset=16 (local.get 0)) (i64.and (i64.const 0) (i64.add (local.get $e) (local.get $f))))))
"""


@every_mode
def test_address_folding(mode: Mode) -> None:
    """wasmtime.md 2.4 A 1 to 5: index arithmetic wraps at 32 bits before it meets the offset, spilled or not."""
    exports = make(FOLDING, mode, {"m": {"noise": lambda x: x ^ -1}})
    for at in range(0, PAGE, 4):
        exports.memory[at : at + 4] = (at ^ 0x5A5A5A5A).to_bytes(4, "little")

    def expect(name: str, args: tuple[int, ...], index: int, offset: int) -> None:
        at = (index & 0xFFFFFFFF) + offset
        if at + 4 <= PAGE:
            word = int.from_bytes(exports.memory[at : at + 4], "little", signed=True)
            assert exports[name](*args) == word, (name, args)
        else:
            with traps("memory_out_of_bounds"):
                exports[name](*args)

    odd = [0, 1, 2, 0x1FFF, 0x2000, 0x20000000, 0x20000001, 0x40000001, 0x60000000, 0x7FFFFFFF, 0x80000000]
    odd += [0x80000010, 0xA0000001, 0xC0000000, 0xE0000003, 0xFFFFFFF0, 0xFFFFFFFF]
    for x in odd:
        expect("shl", (x,), x << 3, 16)
        expect("mul", (x,), x * 24, 0)
        expect("add_const", (x,), x + 0x7FFFFFF0, 8)
        expect("sub_const", (x,), x - 16, 8)
        expect("and", (x,), x & 0xFFF8, 4)
        for y in odd:
            expect("shl_add", (x, y), ((x << 3) & 0xFFFFFFFF) + (y << 2), 4)
        for high in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            wide = high << 32 | x
            expect("wrap", (wide,), wide, 4)
            arithmetic = (wide - (1 << 64) if wide >> 63 else wide) >> 4
            expect("signed", (wide,), arithmetic, 4)
            expect("wrap_sum", (wide, (1 << 64) - 8), wide - 8, 4)


@every_mode
def test_results_of_grow_and_size_as_addresses(mode: Mode) -> None:
    exports = make(FOLDING, mode, {"m": {"noise": lambda x: x ^ -1}})
    exports.memory[65532:65536] = b"\x01\0\0\0"
    assert exports.size() == 1
    for name in ("grow_fails", "table_grow_fails"):
        with traps("memory_out_of_bounds"):
            exports[name]()
    assert exports.table_size() == 1
    exports.memory[16:24] = (77).to_bytes(8, "little")
    assert exports.spill(0, 5) == 77
    for x in (0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, PAGE - 23):
        with traps("memory_out_of_bounds"):
            exports.spill(x, 5)
    assert exports.spill(PAGE - 24, 5) == 1 << 32


SINKS = ("f64.copysign", "f64.add", "f64.mul", "f64.min", "f64.max", "f64.lt", "f32.copysign", "f32.add", "f32.div")


@every_mode
def test_a_folded_load_reads_no_more_than_its_width(mode: Mode) -> None:
    """wasmtime.md 2.4 A 7 and 8: with the operand in the last bytes of memory, an operation that takes it from there
    must not read beyond."""
    functions = []
    for name in SINKS:
        kind = name[:3]
        result = "i32" if name.endswith("lt") else kind
        functions.append(
            f'(func (export "{name}") (param {kind} i32) (result {result}) '
            f"({name} (local.get 0) ({kind}.load (local.get 1))))"
        )
    for name, load in [("f64x2.add", "f64.load"), ("f32x4.mul", "f32.load"), ("i64x2.add", "i64.load")]:
        shape = name[:5]
        functions.append(
            f'(func (export "{name}") (param i32) (result i32) '
            f"(i8x16.extract_lane_u 0 ({name} ({shape}.splat ({load} (local.get 0))) (v128.const i64x2 0 0))))"
        )
    exports = make(f'(module (memory (export "memory") 1) {" ".join(functions)})', mode)
    for name in SINKS:
        width = 4 if name.startswith("f32") else 8
        exports[name](1.0, PAGE - width)
        with traps("memory_out_of_bounds"):
            exports[name](1.0, PAGE - width + 1)
    for name, width in [("f64x2.add", 8), ("f32x4.mul", 4), ("i64x2.add", 8)]:
        exports[name](PAGE - width)
        with traps("memory_out_of_bounds"):
            exports[name](PAGE - width + 1)


@every_mode
def test_released_memory_is_never_seen_again(mode: Mode) -> None:
    """wasmtime.md 2.4 B 16 and 17: a new memory is zero, and ends where it says, whoever had the place before."""
    text = text_of(0, memories="(memory 1 3)")
    for pages in (1, 3, 2, 1):
        exports = make(text, mode)
        if pages > 1:
            exports.grow(pages - 1)
        size = pages * PAGE
        assert exports.memory[0:size] == bytes(size)
        with traps("memory_out_of_bounds"):
            exports["i32.load8_u"](size)
        exports.memory[0:size] = b"\xee" * size
        del exports


@every_mode
def test_growing_to_the_limit(mode: Mode) -> None:
    text = """(module (memory (export "memory") 0 65536)
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
      (func (export "size") (result i32) (memory.size)))"""
    exports = make(text, mode, limits=wardian.Limits(memory=8 * PAGE))
    assert exports.grow(-1) == -1
    assert exports.grow(9) == -1
    assert [exports.grow(1) for _ in range(10)] == [0, 1, 2, 3, 4, 5, 6, 7, -1, -1]
    assert exports.load(8 * PAGE - 1) == 0
    with traps("memory_out_of_bounds"):
        exports.load(8 * PAGE)
    assert exports.size() == 8


@every_mode
def test_all_of_4_gib(mode: Mode) -> None:
    """The largest 32-bit memory: its last byte is there, one offset further is not."""
    text = """(module (memory (export "memory") 65536)
      (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
      (func (export "next") (param i32) (result i32) (i32.load8_u offset=1 (local.get 0)))
      (func (export "wide") (param i32) (result i64) (i64.load (local.get 0))))"""
    exports = make(text, mode)
    assert exports.load(-1) == 0
    assert exports.next(-2) == 0
    assert exports.wide(-8) == 0
    for name, index in (("next", -1), ("wide", -7), ("wide", -1)):
        with traps("memory_out_of_bounds"):
            exports[name](index)


def test_absurd_memories_are_refused() -> None:
    """wasmtime.md 2.4 B 19: huge declared sizes are a clean error."""
    mode = Mode("O0", "guard")
    for text in ("(memory i64 0x100000000)", "(memory i64 0x1000000000000)", "(memory i64 1 0x1000000000000)"):
        try:
            exports = make(f'(module {text} (export "m" (memory 0)))', mode)
        except (wardian.LimitExceeded, wardian.InvalidError):
            continue
        assert exports.m.pages == 1


NEIGHBOURS = """
(module (memory (export "memory") {at} 1 2 {shared})
  (func (export "load") (param i64) (result i32) (i32.load8_u offset=3 ({narrow} (local.get 0))))
  (func (export "store") (param i64) (i64.store32 offset=3 ({narrow} (local.get 0)) (i64.const -1)))
  (func (export "float") (param i64) (result f64) (f64.load ({narrow} (local.get 0))))
  (func (export "vector") (param i64) (result i32)
    (i8x16.extract_lane_u 0 (v128.load offset=3 ({narrow} (local.get 0)))))
  (func (export "lane") (param i64) (v128.store8_lane offset=3 1 ({narrow} (local.get 0)) (v128.const i64x2 -1 -1)))
  (func (export "atomic") (param i64) (result i32)
    (i32.atomic.rmw8.xchg_u offset=3 ({narrow} (local.get 0)) (i32.const 7)))
  (func (export "fill") (param i64) (memory.fill ({narrow} (local.get 0)) (i32.const 7) ({at}.const 3))))
"""


@every_mode
@pytest.mark.parametrize("shared", ["", "shared"])
@pytest.mark.parametrize("at", ["i32", "i64"])
def test_another_memory_is_out_of_reach(mode: Mode, at: str, shared: str) -> None:
    """An index that, added to this memory's base, is an address in another's: what a comparison with anything but the
    length would let through."""
    narrow = "i32.wrap_i64" if at == "i32" else "i64.add (i64.const 0)"
    text = NEIGHBOURS.format(at=at, shared=shared, narrow=narrow)
    mine, other = (make(text, mode) for _ in range(2))
    view = other.memory.view()
    bases = [ctypes.addressof(ctypes.c_char.from_buffer(memory.view())) for memory in (mine.memory, other.memory)]
    if at == "i32" and not 0 < bases[1] - bases[0] < 1 << 32:
        mine, other, bases = other, mine, bases[::-1]
    there = (bases[1] - bases[0]) & (1 << 64) - 1
    view[:8] = bytes(8)
    for name in ("load", "store", "float", "vector", "lane", "atomic", "fill"):
        if at == "i64" or there < 1 << 32:
            with traps("memory_out_of_bounds"):
                mine[name](there)
        # And what lies behind the end, in the same memory.
        with traps("memory_out_of_bounds"):
            mine[name](65536)
    assert bytes(other.memory.view()[:8]) == bytes(8)
