"""Border of time: what a guest did before it trapped or was stopped has happened, what came after has not.

Compilers like to move, merge and drop memory accesses; none of that may show.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest

import wardian
from tests.escape.guest import PAGE, make, module, traps
from tests.support import Mode, mode_params

every_mode = pytest.mark.parametrize("mode", mode_params())

TRAPS = {
    "unreachable": ("(unreachable)", "unreachable"),
    "div": ("(drop (i32.div_u (i32.const 5) (local.get 0)))", "integer_divide_by_zero"),
    "rem": ("(drop (i64.rem_s (i64.const 5) (i64.extend_i32_u (local.get 0))))", "integer_divide_by_zero"),
    "overflow": ("(drop (i32.div_s (i32.const 0x80000000) (i32.sub (local.get 0) (i32.const 1))))", "integer_overflow"),
    "trunc": ("(drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.convert_i32_s (local.get 0)))))",
              "bad_conversion_to_integer"),
    "load": ("(drop (i32.load (i32.sub (local.get 0) (i32.const 1))))", "memory_out_of_bounds"),
    "store": ("(i64.store (i32.const 65529) (i64.const -1))", "memory_out_of_bounds"),
    "vector": ("(v128.store (i32.const 65521) (v128.const i64x2 -1 -1))", "memory_out_of_bounds"),
    "atomic": ("(i32.atomic.store (i32.const 2) (i32.const -1))", "unaligned_atomic"),
    "fill": ("(memory.fill (i32.const 100) (i32.const 255) (i32.const 65437))", "memory_out_of_bounds"),
    "copy": ("(memory.copy (i32.const 65000) (i32.const 0) (i32.const 537))", "memory_out_of_bounds"),
    "init": ("(memory.init $d (i32.const 65530) (i32.const 0) (i32.const 7))", "memory_out_of_bounds"),
    "short": ("(memory.init $d (i32.const 100) (i32.const 1) (i32.const 10))", "memory_out_of_bounds"),
    "table.get": ("(drop (table.get $t (i32.const 4)))", "table_out_of_bounds"),
    "table.set": ("(table.set $t (i32.const 4) (ref.func $f))", "table_out_of_bounds"),
    "table.fill": ("(table.fill $t (i32.const 1) (ref.func $f) (i32.const 4))", "table_out_of_bounds"),
    "table.copy": ("(table.copy $t $t (i32.const 2) (i32.const 0) (i32.const 3))", "table_out_of_bounds"),
    "table.init": ("(table.init $t $e (i32.const 3) (i32.const 0) (i32.const 2))", "table_out_of_bounds"),
    "null": ("(call_indirect $t (i32.const 1))", "indirect_call_to_null"),
    "type": ("(drop (call_indirect $t (result i32) (i32.const 0)))", "bad_signature"),
    "call_ref": ("(call_ref $v (ref.null $v))", "null_reference"),
    "cast": ("(drop (ref.cast (ref $s) (ref.i31 (i32.const 1))))", "cast_failure"),
    "struct": ("(drop (struct.get $s 0 (ref.null $s)))", "null_reference"),
    "array": ("(drop (array.get_u $a (array.new_default $a (i32.const 3)) (i32.const 3)))", "array_out_of_bounds"),
    "throw_ref": ("(throw_ref (ref.null exn))", "null_reference"),
    "stack": ("(call $endless)", "stack_exhausted"),
}  # fmt: skip


@functools.cache
def trapping() -> str:
    """A module in which each way to trap stands between stores to all that can be stored to."""
    functions = []
    for i, (code, _) in enumerate(TRAPS.values()):
        functions.append(f"""
          (func (export "{i}") (param i32)
            (i32.store (i32.const 40) (i32.const 1)) (global.set $g (i32.const 1))
            (table.set $t (i32.const 2) (ref.func $f))
            (struct.set $s 0 (global.get $box) (i32.const 1))
            (array.set $a (global.get $bytes) (i32.const 2) (i32.const 1))
            (v128.store (i32.const 48) (v128.const i32x4 1 1 1 1))
            (memory.fill (i32.const 64) (i32.const 1) (i32.const 8))
            {code}
            (memory.fill (i32.const 64) (i32.const 2) (i32.const 8))
            (v128.store (i32.const 48) (v128.const i32x4 2 2 2 2))
            (array.set $a (global.get $bytes) (i32.const 2) (i32.const 2))
            (struct.set $s 0 (global.get $box) (i32.const 2))
            (table.set $t (i32.const 2) (ref.null func))
            (global.set $g (i32.const 2)) (i32.store (i32.const 40) (i32.const 2)))""")
    return f"""(module (type $v (func)) (type $s (struct (field (mut i32)))) (type $a (array (mut i8)))
      (memory (export "memory") 1 1) (table $t (export "t") 4 4 funcref)
      (global $g (export "g") (mut i32) (i32.const 0))
      (global $box (export "box") (ref $s) (struct.new_default $s))
      (global $bytes (export "bytes") (ref $a) (array.new_default $a (i32.const 5)))
      (data $d "0123456789") (elem $e func $f $f) (elem (table $t) (i32.const 0) func $f)
      (func $f (export "f")) (func $endless (call $endless) (call $endless))
      {"".join(functions)})"""


@every_mode
@pytest.mark.parametrize("name", TRAPS)
def test_what_came_before_has_happened_and_nothing_after(mode: Mode, name: str) -> None:
    exports = module(trapping(), mode).instantiate().exports
    before = bytes(exports.memory[0:PAGE])
    with traps(TRAPS[name][1]):
        exports[str(list(TRAPS).index(name))](0)
    wanted = bytearray(before)
    wanted[40:44] = b"\1\0\0\0"
    wanted[48:64] = b"\1\0\0\0" * 4
    wanted[64:72] = b"\1" * 8
    assert bytes(exports.memory[0:PAGE]) == wanted
    assert exports.g.value == 1
    assert [exports.t[i] for i in range(4)] == [exports.f, None, exports.f, None]
    assert exports.box.value[0] == 1
    assert exports.bytes.value.tobytes() == b"\0\0\1\0\0"


STRADDLE = {
    "i32.store8": (1, "(i32.const -1)"), "i32.store16": (2, "(i32.const -1)"), "i32.store": (4, "(i32.const -1)"),
    "i64.store8": (1, "(i64.const -1)"), "i64.store16": (2, "(i64.const -1)"), "i64.store32": (4, "(i64.const -1)"),
    "i64.store": (8, "(i64.const -1)"), "f32.store": (4, "(f32.const -nan:0x7fffff)"),
    "f64.store": (8, "(f64.const -nan:0xfffffffffffff)"), "v128.store": (16, "(v128.const i64x2 -1 -1)"),
    "v128.store8_lane 3": (1, "(v128.const i64x2 -1 -1)"), "v128.store16_lane 3": (2, "(v128.const i64x2 -1 -1)"),
    "v128.store32_lane 3": (4, "(v128.const i64x2 -1 -1)"), "v128.store64_lane 1": (8, "(v128.const i64x2 -1 -1)"),
}  # fmt: skip


@functools.cache
def straddling(offset: int) -> str:
    functions = []
    for name, (_, value) in STRADDLE.items():
        op, _, lane = name.partition(" ")
        store = f"({op} offset={offset} {lane} (local.get 0) {value})"
        functions.append(f'(func (export "{name}") (param i32) {store})')
    return f'(module (memory (export "memory") 1 2) {"".join(functions)})'


@every_mode
@pytest.mark.parametrize("offset", [0, 7, 4096])
def test_a_store_across_the_end_writes_nothing(mode: Mode, offset: int) -> None:
    """Not even the bytes that are inside; where the memory has grown, the end is elsewhere."""
    exports = module(straddling(offset), mode).instantiate().exports
    for pages in (1, 2):
        for name, (width, _) in STRADDLE.items():
            end = pages * PAGE
            for inside in range(width):
                with traps("memory_out_of_bounds"):
                    exports[name](end - inside - offset)
            assert not any(exports.memory[end - 64 : end]), name
            exports[name](end - width - offset)
            assert exports.memory[end - 64 : end] == bytes(64 - width) + b"\xff" * width
            exports.memory[end - 64 : end] = bytes(64)
        exports.memory.grow(1) if pages == 1 else None


LOOPS = {
    # What LLVM would like to make memset, memcpy, vectors, or a single store after the loop of.
    "zeros": "(i32.store (local.get $i) (i32.const 0))",
    "ones": "(i64.store (local.get $i) (i64.const -1))",
    "numbers": "(i32.store (local.get $i) (local.get $i))",
    "bytes": "(i32.store8 (local.get $i) (i32.const 7))",
    "copy": "(i32.store (local.get $i) (i32.load (i32.sub (local.get $i) (i32.const 4096))))",
    "add": "(i32.store (local.get $i) (i32.add (i32.load (local.get $i)) (i32.const 1)))",
    "two": "(i32.store (local.get $i) (i32.const 1)) (i32.store (i32.add (local.get $i) (i32.const 8)) (i32.const 2))",
}


@functools.cache
def looping(step: int) -> str:
    functions = [
        f"""(func (export "{name}") (param $i i32)
          (loop $again {body}
            (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
            (local.set $i (i32.add (local.get $i) (i32.const {step}))) (br $again)))"""
        for name, body in LOOPS.items()
    ]
    head = '(memory (export "memory") 1 1) (global $g (export "g") (mut i32) (i32.const 0))'
    return f"(module {head} {''.join(functions)})"


def expected(name: str, start: int, step: int) -> tuple[bytearray, int]:
    """Memory and rounds of a loop that runs over the end, said in Python."""
    memory = bytearray(range(256)) * (PAGE // 256)
    memory[0:4] = bytes(4)
    at, rounds = start, 0

    def put(where: int, data: bytes) -> bool:
        if where + len(data) > PAGE:
            return False
        memory[where : where + len(data)] = data
        return True

    def word(value: int) -> bytes:
        return (value & 0xFFFFFFFF).to_bytes(4, "little")

    def load(where: int) -> int:
        return int.from_bytes(memory[where : where + 4], "little") if where + 4 <= PAGE else -1

    steps = {
        "zeros": lambda: put(at, bytes(4)),
        "ones": lambda: put(at, b"\xff" * 8),
        "numbers": lambda: put(at, word(at)),
        "bytes": lambda: put(at, b"\7"),
        "copy": lambda: put(at, word(load(at - 4096))),
        "add": lambda: put(at, word(load(at) + 1)),
        "two": lambda: put(at, word(1)) and put(at + 8, word(2)),
    }
    while steps[name]():
        rounds += 1
        put(0, word(load(0) + 1))
        at += step
    return memory, rounds


@every_mode
@pytest.mark.parametrize("step", [1, 4, 8, 13])
def test_a_loop_over_the_end(mode: Mode, step: int) -> None:
    """Every round before the one that traps is complete, and that one is done as far as its first access outside."""
    for name in LOOPS:
        for start in (PAGE - 100, PAGE - 5003, 4100):
            exports = module(looping(step), mode).instantiate().exports
            exports.memory[0:PAGE] = b"\0\0\0\0" + bytes(range(256))[4:] + bytes(range(256)) * 255
            with traps("memory_out_of_bounds"):
                exports[name](start)
            memory, rounds = expected(name, start, step)
            assert exports.g.value == rounds, (name, start)
            assert bytes(exports.memory[0:PAGE]) == memory, (name, start)


STOPPED = """(module (memory (export "memory") 1025 1025) (table $t (export "t") 2000000 2000000 externref)
  (func (export "fill") (param $n i32)
    (loop $again (memory.fill (i32.const 0) (local.get $n) (i32.const 0x4000000))
      (local.set $n (i32.add (local.get $n) (i32.const 1))) (br $again)))
  (func (export "up")
    (loop $again (memory.copy (i32.const 65536) (i32.const 0) (i32.const 0x4000000)) (br $again)))
  (func (export "down")
    (loop $again (memory.copy (i32.const 0) (i32.const 65536) (i32.const 0x4000000)) (br $again)))
  (func (export "table") (param externref externref)
    (loop $again (table.fill $t (i32.const 0) (local.get 0) (i32.const 2000000))
      (table.fill $t (i32.const 0) (local.get 1) (i32.const 2000000)) (br $again))))"""


def stop(guest: wardian.Instance, seconds: float, name: str, *args: Any) -> None:
    with pytest.raises(wardian.Interrupted), guest.deadline(seconds):
        guest.exports[name](*args)


@every_mode
def test_bulk_operations_that_are_stopped(mode: Mode) -> None:
    """wasmtime.md 2.4 C 31: a state that byte by byte, in order, passes through as well."""
    size = 0x4000000
    guest = module(STOPPED, mode).instantiate()
    memory = guest.exports.memory
    for n in range(6):
        stop(guest, 0.013 + 0.003 * n, "fill", 0)
        view = memory.view()
        first, last = view[0], view[size - 1]
        assert last in (first, (first - 1) & 255)
        done = bytes(view[:size]).rstrip(bytes([last])) if first != last else b""
        assert done == bytes([first]) * len(done)
        assert not any(view[size : size + PAGE])
    for name in ("up", "down"):
        memory[0:PAGE] = bytes(range(256)) * 256
        memory[size : size + PAGE] = bytes(range(256)) * 256
        stop(guest, 0.03, name)
        pages = {bytes(memory[at : at + PAGE]) for at in range(0, size + PAGE, PAGE)}
        assert pages <= {bytes(range(256)) * 256, bytes([first]) * PAGE, bytes([last]) * PAGE}


@every_mode
def test_a_table_fill_that_is_stopped(mode: Mode) -> None:
    guest = module(STOPPED, mode).instantiate()
    for n in range(4):
        stop(guest, 0.005 + 0.002 * n, "table", "one", "two")
        table = guest.exports.t
        values = [table[i] for i in range(0, 2_000_000, 4001)]
        changes = sum(a != b for a, b in itertools.pairwise(values))
        assert changes <= 1 and set(values) <= {"one", "two", None}
    assert make('(module (func (export "f") (result i32) (i32.const 3)))', mode).f() == 3
