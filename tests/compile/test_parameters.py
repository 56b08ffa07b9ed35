"""Parameters of every kind, in registers and on the stack, arrive as they were sent, and the stack is level afterwards.

The signatures are those where LLVM's callers and callees once did not agree, and random ones.
"""

from __future__ import annotations

import random
import struct

import pytest

import wardian
from tests.support import Mode, assemble, mode_params, share_glue

KINDS = ("i32", "i64", "f32", "f64", "v128")
_BITS = {
    "i32": "(i64.extend_i32_u {})",
    "i64": "{}",
    "f32": "(i64.extend_i32_u (i32.reinterpret_f32 {}))",
    "f64": "(i64.reinterpret_f64 {})",
    "v128": "(i64.xor (i64x2.extract_lane 0 {0}) (i64.mul (i64.const 3) (i64x2.extract_lane 1 {0})))",
}
_CONST = {
    "i32": "(i32.const {0})",
    "i64": "(i64.const {0})",
    "f32": "(f32.const {0})",
    "f64": "(f64.const {0})",
    "v128": "(v128.const i64x2 {0} {1})",
}


def signatures() -> list[object]:
    """Random ones are for a slow run."""
    rng = random.Random(20)
    found = [("f64",) * 8 + ("v128", "f64"), ("v128",) * 9 + ("f32",), ("i32",) * 7 + ("v128",) * 9, ("v128",) * 11]
    rest = []
    for _ in range(26):
        weights = [rng.random() for _ in KINDS]
        kinds = tuple(rng.choices(KINDS, weights, k=rng.randrange(1, 24)))
        rest.append(pytest.param(kinds, marks=pytest.mark.slow, id="-".join(kinds)))
    return [*(pytest.param(kinds, id="-".join(kinds)) for kinds in found), *rest]


def value(kind: str, i: int) -> tuple[str, object, int]:
    """The constant that parameter ``i`` gets: as text, as Python sends it, and what it adds to the sum."""
    n = 1000 + 17 * i
    text = _CONST[kind].format(n, n + 5)
    if kind == "v128":
        return text, struct.pack("<QQ", n, n + 5), n ^ (3 * (n + 5))
    if kind[0] == "f":
        return text, float(n), int.from_bytes(struct.pack("<f" if kind == "f32" else "<d", n), "little")
    return text, n, n


def text(kinds: tuple[str, ...]) -> str:
    """Functions that call one with such parameters in every way; every result is the same sum."""
    params = " ".join(kinds)
    sent = " ".join(value(kind, i)[0] for i, kind in enumerate(kinds))
    total = "(i64.const 1)"
    for i, kind in enumerate(kinds):
        total = f"(i64.add (i64.mul {total} (i64.const 31)) {_BITS[kind].format(f'(local.get {i})')})"
    passed = " ".join(f"(local.get {i})" for i in range(len(kinds)))
    return f"""(module
      (type $t (func (param {params}) (result i64)))
      (import "host" "sum" (func $host (type $t)))
      (table 2 funcref) (elem (i32.const 0) $sum $host)
      (func $sum (export "sum") (type $t) {total})
      (func $wide (param {params}) (result i64 i64 i64) (call $sum {passed}) (i64.const 0) (i64.const 0))
      (func $on (type $t) (return_call $sum {passed}))
      (func (export "direct") (result i64) (call $sum {sent}))
      (func (export "indirect") (result i64) (call_indirect (type $t) {sent} (i32.const 0)))
      (func (export "host") (result i64) (call_indirect (type $t) {sent} (i32.const 1)))
      (func (export "tail") (result i64) (return_call $sum {sent}))
      (func (export "tails") (param v128) (result i64) (return_call_indirect (type $t) {sent} (i32.const 0)))
      (func (export "on") (result i64) (call $on {sent}))
      (func (export "wide") (result i64) (i64.add (i64.add (call $wide {sent}))))
      (func (export "all") (result i64) (local $n i32) (local $sum i64)
        (local.set $n (i32.const 50))
        (loop $again
          (local.set $sum (i64.add (i64.sub (call $sum {sent}) (call $on {sent})) (i64.add (call $host {sent})
            (i64.mul (local.get $sum) (i64.const 0)))))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"""


@pytest.mark.parametrize("kinds", signatures())
@pytest.mark.parametrize("mode", mode_params())
def test_parameters_arrive(mode: Mode, kinds: tuple[str, ...]) -> None:
    config = mode.config(cache=False)
    module = wardian.Module(assemble(text(kinds)), share_glue(wardian.Engine(config)))
    expected, sent = 1, []
    for i, kind in enumerate(kinds):
        _, given, bits = value(kind, i)
        expected = expected * 31 + bits
        sent.append(given)
    expected = (expected + (1 << 63)) % (1 << 64) - (1 << 63)
    seen: list[tuple[object, ...]] = []

    def host(*args: object) -> int:
        seen.append(args)
        return expected

    exports = module.instantiate({"host": {"sum": host}}).exports
    assert exports["sum"](*sent) == expected
    for name in ("direct", "indirect", "host", "tail", "on", "wide", "all"):
        assert exports[name]() == expected, name
    assert exports["tails"](bytes(16)) == expected
    assert len(seen) == 51 and set(seen) == {tuple(sent)}


def test_a_local_s_register_is_no_argument_s() -> None:
    """Whichever two floats are used most, all eight arrive, beside words and vectors."""
    params = "(param " + " ".join(["f64", "i32", "v128", *["f64"] * 6, "f32", "f64"]) + ")"
    floats = [0, 3, 4, 5, 6, 7, 8, 10]
    functions = []
    for first in floats:
        for second in floats:
            total = "(f64.const 0)"
            for at in floats:
                total = f"(f64.add (f64.mul {total} (f64.const 10)) (local.get {at}))"
            for at in (first, second, first):
                total = f"(f64.add (f64.sub {total} (local.get {at})) (local.get {at}))"
            functions.append(
                f'(func (export "{first} {second}") {params} (result f64)'
                f" (f64.add {total} (f64.add (f64.promote_f32 (local.get 9)) (f64x2.extract_lane 0 (local.get 2)))))"
            )
    engine = wardian.Engine(wardian.Config(opt="baseline", cache=False))
    it = wardian.Module(f"(module {' '.join(functions)})", engine).instantiate()
    vector = int.from_bytes(struct.pack("<dd", 0.5, 0.0), "little")
    for first in floats:
        for second in floats:
            sent = (1.0, 7, vector, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.25, 8.0)
            assert it.exports[f"{first} {second}"](*sent) == 12345678.75, (first, second)
