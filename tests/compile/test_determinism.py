"""``deterministic``: the NaN of the spec's deterministic profile in every mode, and a world that is always the same."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import wardian
from tests.support import MODES, Mode, share_glue
from wardian import Config, Engine
from wardian.syntax import families as f
from wardian.syntax.families import Op
from wardian.syntax.instructions import ROWS, Row

QUICK = [
    pytest.param(m, id=str(m), marks=() if m.checks == "guard" and m.opt != "O0" else pytest.mark.slow) for m in MODES
]
NANS = {
    "f32": (0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFA00005, 0x7FFFFFFF, 0x7FC12345),
    "f64": (0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0_0000_0000_0001, 0xFFF4_0000_0000_0005, 0x7FFF_FFFF_FFFF_FFFF),
}
CANONICAL = {"f32": 0x7FC00000, "f64": 0x7FF8 << 48}
KEEPS = (Op.NEG, Op.ABS, Op.COPYSIGN)


@cache
def engine(mode: Mode) -> Engine:
    config = mode.config(cache=False, deterministic=True, fuel=True)
    return share_glue(Engine(config))


def _rows() -> list[Row]:
    arithmetic = (f.FloatUn, f.FloatBin, f.Demote, f.Promote)
    return [r for r in ROWS if isinstance(r.family, arithmetic) and getattr(r.family, "op", None) not in KEEPS]


def _bits(value: str) -> str:
    return f"{value[0].replace('f', 'i')}{value[1:]}"


def _text() -> str:
    """A function of bits for every scalar arithmetic instruction; and one that keeps NaNs."""
    functions = []
    for row in _rows():
        assert row.params is not None
        assert row.results
        kinds = [str(p) for p in row.params]
        result = str(row.results[0])
        params = " ".join(f"(param {_bits(kind)})" for kind in kinds)
        args = " ".join(f"({kind}.reinterpret_{_bits(kind)} (local.get {i}))" for i, kind in enumerate(kinds))
        body = f"({_bits(result)}.reinterpret_{result} ({row.name} {args}))"
        functions.append(f'(func (export "{row.name}") {params} (result {_bits(result)}) {body})')
    functions.append(
        '(func (export "keep") (param i32) (result i32) (i32.reinterpret_f32 (f32.neg (f32.neg'
        " (f32.reinterpret_i32 (local.get 0))))))"
    )
    return f"(module {' '.join(functions)})"


@pytest.mark.thorough
@pytest.mark.parametrize("mode", QUICK)
def test_nans_of_arithmetic_are_canonical(mode: Mode) -> None:
    exports = wardian.Module(_text(), engine(mode)).instantiate().exports
    tried = 0
    for row in _rows():
        assert row.params is not None
        assert row.results
        kinds, result = [str(p) for p in row.params], str(row.results[0])
        one = {"f32": 0x3F800000, "f64": 0x3FF0 << 48}
        for nan in NANS[kinds[0]]:
            for place in range(len(kinds)):
                args = [nan if i == place else one[kind] for i, kind in enumerate(kinds)]
                mask = (1 << (32 if result == "f32" else 64)) - 1
                assert exports[row.name](*args) & mask == CANONICAL[result], (row.name, args)
                tried += 1
    assert tried > 150
    # What is no arithmetic changes no bit.
    assert all(exports["keep"](nan) & 0xFFFFFFFF == nan for nan in NANS["f32"])


INVALID = (("f32", "div", 0, 0), ("f64", "sub", "inf", "inf"), ("f32", "mul", "inf", 0), ("f64", "add", "inf", "-inf"))


@pytest.mark.parametrize("mode", QUICK)
def test_nans_made_of_nothing_are_canonical(mode: Mode) -> None:
    """The processor's own is negative, LLVM's constant folding makes a positive one."""
    give = {"f32": "(i64.extend_i32_u (i32.reinterpret_f32 ({}.{} (f32.const {}) (f32.const {}))))"}
    give["f64"] = "(i64.reinterpret_f64 ({}.{} (f64.const {}) (f64.const {})))"
    bodies = [give[kind].format(kind, op, a, b) for kind, op, a, b in INVALID]
    functions = "".join(f'(func (export "{i}") (result i64) {body})' for i, body in enumerate(bodies))
    exports = wardian.Module(f"(module {functions})", engine(mode)).instantiate().exports
    for i, (kind, *_) in enumerate(INVALID):
        assert exports[str(i)]() & (1 << 64) - 1 == CANONICAL[kind]


def _vector_rows() -> list[tuple[str, str]]:
    found = []
    for row in ROWS:
        family = row.family
        if (isinstance(family, f.SimdFloatUn | f.SimdFloatBin | f.SimdRelaxedMinMax) and family.op not in (
            *KEEPS, Op.PMIN, Op.PMAX
        )) or isinstance(family, f.SimdMadd | f.SimdPromote | f.SimdDemote):  # fmt: skip
            assert row.params is not None
            found.append((row.name, " ".join("(local.get 0)" for _ in row.params)))
    return found


@pytest.mark.parametrize("mode", QUICK)
def test_nans_of_vectors_are_canonical(mode: Mode) -> None:
    rows = _vector_rows()
    assert len(rows) > 25
    functions = "".join(f'(func (export "{name}") (param v128) (result v128) ({name} {args}))' for name, args in rows)
    exports = wardian.Module(f"(module {functions})", engine(mode)).instantiate().exports
    for name, _ in rows:
        demotes, promotes = "demote" in name, "promote" in name
        source = "f64" if name.startswith("f64") != (demotes or promotes) else "f32"
        target = "f64" if name.startswith("f64") else "f32"
        size = 4 if source == "f32" else 8
        for nan in NANS[source]:
            given = nan.to_bytes(size, "little") * (16 // size)
            wanted = CANONICAL[target].to_bytes(4 if target == "f32" else 8, "little")
            got = bytes(exports[name](given))
            lanes = 8 if demotes else 16
            assert got[:lanes] == wanted * (lanes // len(wanted)), (name, hex(nan))


WORLD = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 16)))
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 24)))
    (drop (call $random (i32.const 32) (i32.const 16)))
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 32))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


@pytest.mark.parametrize("isolation", [None, "process"])
def test_the_world_is_the_same_every_time(isolation: Any) -> None:
    results = [
        wardian.run(WORLD.encode(), isolation=isolation, deterministic=True, fuel=10_000, engine=engine(MODES[0]))
        for _ in range(2)
    ]
    assert results[0].stdout == results[1].stdout
    assert len(results[0].stdout) == 32
    assert results[0].usage.fuel == results[1].usage.fuel
    other = wardian.run(WORLD.encode(), isolation=isolation, seed=5, engine=engine(MODES[0]))
    assert other.stdout[:16] == results[0].stdout[:16]
    assert other.stdout[16:] != results[0].stdout[16:]


def test_the_engine_has_to_be_one_that_is() -> None:
    with pytest.raises(ValueError, match=r"Config\(deterministic=True\)"):
        wardian.run(b"\0asm\1\0\0\0", deterministic=True, engine=Engine(Config(cache=False)))
