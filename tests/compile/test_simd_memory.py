"""A vector access touches exactly its bytes: it works up to the last byte of the memory and traps one further."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pytest

import wardian
from tests.compile.simd_cases import rows
from tests.support import Mode, assemble, mode_params
from wardian.syntax.immediates import Imm

SIZE: Final = 65536

WIDTH: Final = {
    "v128.load": 16,
    "v128.store": 16,
    **{f"v128.load{pair}_{sign}": 8 for pair in ("8x8", "16x4", "32x2") for sign in "su"},
    **{f"v128.load{bits}_splat": bits // 8 for bits in (8, 16, 32, 64)},
    **{f"v128.load{bits}_zero": bits // 8 for bits in (32, 64)},
    **{f"v128.{kind}{bits}_lane": bits // 8 for kind in ("load", "store") for bits in (8, 16, 32, 64)},
}
"""Bytes each instruction touches (spec "Execution / Memory Instructions")."""

FUSED: Final = {
    "f64 load, splat": ("f64.load f64x2.splat", 8),
    "f32 load, splat": ("f32.load f32x4.splat", 4),
    "i32 load8_u, splat": ("i32.load8_u i8x16.splat", 1),
    "i32 load16_u, splat": ("i32.load16_u i16x8.splat", 2),
    "zero, promote": ("v128.load64_zero f64x2.promote_low_f32x4", 8),
    "zero, convert": ("v128.load64_zero f64x2.convert_low_i32x4_s", 8),
    "zero, extend": ("v128.load64_zero i16x8.extend_low_i8x16_s", 8),
    "zero 32, add": ("v128.load32_zero local.get 1 f32x4.add", 4),
    "f64 load, lane": ("local.set 2 local.get 1 local.get 2 f64.load f64x2.replace_lane 0 local.get 1 f64x2.add", 8),
    "load, low lane": ("v128.load f64x2.extract_lane 0 f64x2.splat", 16),
    "load, high half": ("v128.load i32x4.extend_high_i16x8_u", 16),
    "load, unused": ("v128.load drop local.get 1", 16),
    "load, splat of a lane": ("v128.load i8x16.extract_lane_u 0 i8x16.splat", 16),
}
"""Loads with what LLVM may fuse them with; their width stays."""


def _operation(name: str, imm: Imm, offset: int) -> str:
    return f"{name} offset={offset} align=1" + (" 0" if imm is Imm.MEMARG_LANE else "")


@cache
def _module_text() -> str:
    parts = [f'(memory (export "memory") {SIZE >> 16} 3)']
    for row in rows():
        if row.params is not None:
            continue
        for offset in (0, 7):
            vector = "local.get 1" if "store" in row.name or "lane" in row.name else ""
            result = "" if "store" in row.name else "(result v128)"
            body = f"local.get 0 {vector} {_operation(row.name, row.imm, offset)}"
            parts.append(f'(func (export "{row.name} {offset}") (param i32 v128) {result} {body})')
    for name, (body, _) in FUSED.items():
        parts.append(f'(func (export "{name}") (param i32 v128) (result v128) (local i32) local.get 0 {body})')
    return f"(module {' '.join(parts)})"


def _exports(mode: Mode) -> Any:
    engine = wardian.Engine(mode.config(cache=False))
    return wardian.Module(assemble(_module_text()), engine).instantiate().exports


def _traps(function: Any, address: int) -> bool:
    try:
        function(address, (1 << 128) - 1)
    except wardian.Trap as trap:
        assert trap.message == "out of bounds memory access"
        return True
    return False


def test_every_memory_row_is_known() -> None:
    assert {row.name for row in rows() if row.params is None} == WIDTH.keys()


@pytest.mark.parametrize("mode", mode_params())
def test_the_end_of_memory(mode: Mode) -> None:
    exports = _exports(mode)
    memory = exports["memory"]
    for name, width in WIDTH.items():
        for offset in (0, 7):
            function = exports[f"{name} {offset}"]
            memory[SIZE - 64 : SIZE] = bytes(range(64))
            last = SIZE - width - offset
            assert not _traps(function, last), name
            touched = 0 if "store" not in name else width
            assert memory[SIZE - 64 : SIZE - touched] == bytes(range(64 - touched)), name
            memory[SIZE - 64 : SIZE] = bytes(range(64))
            for beyond in (last + 1, last + width, 0xFFFFFFFF, 0x80000000):
                assert _traps(function, beyond), (name, beyond)
            assert memory[SIZE - 64 : SIZE] == bytes(range(64)), f"{name} wrote before it trapped"


@pytest.mark.parametrize("mode", mode_params())
def test_fused_loads_keep_their_width(mode: Mode) -> None:
    exports = _exports(mode)
    for name, (_, width) in FUSED.items():
        assert not _traps(exports[name], SIZE - width), name
        assert _traps(exports[name], SIZE - width + 1), name


@pytest.mark.parametrize("mode", mode_params())
def test_lanes_go_where_they_belong(mode: Mode) -> None:
    """Every lane of the lane accesses, by their bytes."""
    parts, wanted = [], []
    for bits in (8, 16, 32, 64):
        width = bits // 8
        for lane in range(16 // width):
            parts.append(f'(func (export "l{bits} {lane}") (param i32 v128) (result v128) local.get 0 local.get 1 '
                         f"v128.load{bits}_lane {lane})")  # fmt: skip
            parts.append(f'(func (export "s{bits} {lane}") (param i32 v128) local.get 0 local.get 1 '
                         f"v128.store{bits}_lane {lane})")  # fmt: skip
            wanted.append((bits, lane, width))
    engine = wardian.Engine(mode.config(cache=False))
    module = wardian.Module(assemble(f'(module (memory (export "memory") 1) {" ".join(parts)})'), engine)
    exports = module.instantiate().exports
    vector, data = bytes(range(100, 116)), bytes(range(16))
    for bits, lane, width in wanted:
        at = lane * width
        exports["memory"].write(32, data)
        assert exports[f"l{bits} {lane}"](32, vector) == vector[:at] + data[:width] + vector[at + width :]
        exports[f"s{bits} {lane}"](32, vector)
        assert exports["memory"].read(32, 16) == vector[at : at + width] + data[width:]
