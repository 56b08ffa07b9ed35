"""Stencils for aarch64, of which every one is made, filled with random numbers and taken apart by a disassembler.

None of this runs: it shows that each relocation is of a known kind and that each hole is where its number goes.
"""

from __future__ import annotations

import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from wardian.binary.decode import decode
from wardian.compile.baseline import aarch64
from wardian.compile.baseline.assembler import Part
from wardian.compile.baseline.library import POOL
from wardian.compile.baseline.ship import common
from wardian.compile.baseline.stencils import collect
from wardian.compile.function import ModuleFacts
from wardian.compile.llvm import Backend
from wardian.compile.lowering import function_text
from wardian.compile.options import CodeOptions
from wardian.limits import Features, Limits
from wardian.text.parse import assemble
from wardian.valid.module import validate_module

_RANGES = {"s": (-(1 << 30), 1 << 30), "u": (0, 1 << 30), "q": (-(1 << 62), 1 << 62)}
_LINE = re.compile(r"^ *([0-9a-f]+): ((?:[0-9a-f]{2} ){4})[ \t]*(\S+)(?:[ \t]+(.*))?$", re.MULTILINE)
_BEGINS = {"signed", "unsigned", "g3"}
_DISTANCES = {kind for kind, field in aarch64.FIELDS.items() if field.distance}
_REACH = {"jump26": 27, "jump19": 20, "jump14": 15, "near": 20}


class Cross:
    """LLVM for aarch64, with another assembler, since llvmlite has none for foreign machines."""

    def __init__(self, folder: Path) -> None:
        backend = Backend(architecture="aarch64")
        self.stencil_preamble = backend.stencil_preamble
        self.assembly = backend.assembly
        self._folder = folder

    def assemble(self, text: str) -> bytes:
        source, made = self._folder / "text.s", self._folder / "text.o"
        source.write_text(text)
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu", "-c", source, "-o", made]
        subprocess.run(command, check=True)
        return made.read_bytes()


def test_fields_hold_what_fits_and_nothing_else() -> None:
    rng = random.Random(5)
    for kind, field in aarch64.FIELDS.items():
        if field.distance:
            top = 1 << (_REACH[kind])
            step = 1 << field.shift
            for value in (-top, top - step, 0, *(rng.randrange(-top, top) & -step for _ in range(50))):
                code = bytearray(b"\x00\x00\x00\x14")
                aarch64.patch(code, 0, kind, value)
            for value in (-top - step, top, *([1] if step > 1 else [])):
                with pytest.raises(struct.error):
                    aarch64.patch(bytearray(4), 0, kind, value)
    for kind, low, high in (("signed", -(1 << 31), 1 << 31), ("unsigned", 0, 1 << 32)):
        for value in (low, high - 1):
            aarch64.patch(bytearray(4), 0, kind, value)
        for value in (low - 1, high):
            with pytest.raises(struct.error):
                aarch64.patch(bytearray(4), 0, kind, value)


def _filled(parts: list[Part], rng: random.Random) -> Iterator[tuple[bytes, list[tuple[int, str, int]]]]:
    """Each part's code with numbers in its holes; ``(offset, kind, number or distance)`` of each."""
    for part in parts:
        code = bytearray(part.code)
        numbers: dict[str, int] = {}
        placed = []
        for at, kind, symbol, added in part.fields:
            if kind in _DISTANCES:
                reach = 1 << _REACH[kind]
                value = rng.randrange(-reach, reach) & -(1 << aarch64.FIELDS[kind].shift)
            else:
                value = numbers.setdefault(symbol, rng.randrange(*_RANGES[symbol[-1]])) + added
            aarch64.patch(code, at, kind, value)
            field = aarch64.FIELDS[kind]
            (before,), (after,) = struct.unpack_from("<I", part.code, at), struct.unpack_from("<I", code, at)
            mask = ((1 << field.bits) - 1) << field.at if kind != "near" else 0x60FFFFE0
            assert (before ^ after) & ~mask & ~(1 << 30 if kind == "signed" else 0) == 0, (part, kind)
            placed.append((at, kind, value))
        yield bytes(code), placed


def _disassembled(code: bytes, folder: Path) -> dict[int, tuple[str, str]]:
    words = "\n".join(f".inst {word}" for (word,) in struct.iter_unpack("<I", code))
    (folder / "filled.s").write_text(words)
    made = folder / "filled.o"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu", "-c"]
    subprocess.run([*command, folder / "filled.s", "-o", made], check=True)
    dump = subprocess.run(["llvm-objdump", "-d", made], check=True, capture_output=True, text=True)
    return {int(at, 16): (name, operands) for at, _, name, operands in _LINE.findall(dump.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("flavour", common(), ids=["plain", "exceptions"])
def test_every_hole_is_where_it_should_be(flavour: object, tmp_path: Path) -> None:
    if shutil.which("llvm-objdump") is None or find_spec("ziglang") is None:
        pytest.skip("llvm-objdump or ziglang is missing")
    groups, pool = collect(flavour, aarch64).parts(Cross(tmp_path))  # type: ignore[arg-type]
    assert pool and POOL
    parts = sorted({part for entries in groups.values() for _, part in entries})
    assert len(parts) > 20_000
    rng = random.Random(8)
    filled = list(_filled(parts, rng))
    found = _disassembled(b"".join(code for code, _ in filled), tmp_path)
    begin = holes = 0
    for code, placed in filled:
        making: dict[str, int] = {}
        for at, kind, value in placed:
            name, operands = found[begin + at]
            if kind in _DISTANCES:
                assert name in ("b", "bl", "adr", "ldr", "cbz", "cbnz", "tbz", "tbnz") or name.startswith("b."), name
                shown = operands.split(", ")[-1].split()[0]
                distance = int(shown[1:]) if shown[0] == "#" else int(shown, 16) - begin - at
                assert (distance - value) % (1 << 64) == 0, (name, operands, kind)
                holes += 1
                continue
            register, immediate, *shift = operands.split(", ")
            bits = int(immediate.lstrip("#"), 0) << (int(shift[0].removeprefix("lsl #")) if shift else 0)
            if kind in _BEGINS:
                # Shown as the number all of the register then is.
                assert name == "mov" or (not bits and name in ("movz", "movn")), (name, operands)
                making[register] = (~bits if name == "movn" else bits) % (1 << 64)
            else:
                assert name == "movk"
                place = aarch64.FIELDS[kind].shift
                making[register] = making[register] & ~(0xFFFF << place) | bits
            if kind == "g0":
                assert making.pop(register) == value % (1 << 64)
                holes += 1
        assert not making, "a number that is not finished"
        begin += len(code)
    assert holes > 20_000
    _no_register_of_others(found)


def _no_register_of_others(found: dict[int, tuple[str, str]]) -> None:
    """Neither the platform's register nor vectors that callers want back are changed; the frame pointer is only by
    the code that makes frames."""
    for name, operands in found.values():
        assert not re.search(r"\b[xw]18\b|\b[vqdshb](8|9|1[0-5])\b", operands or ""), (name, operands)
    frames = {f"{name} {operands}" for name, operands in found.values() if re.search(r"\bx29\b", operands or "")}
    assert frames == {
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "mov x21, x29",
        "add x17, x29, x17",
        f"sub sp, x29, #{aarch64.SAVED_BYTES}",
        "ldp x29, x30, [sp], #16",
        # A tail call's.
        "add x9, x29, x17",
        "add x10, x29, #16",
        *(f"ldp {x}, {y}, [x29, #{-16 * (i + 1)}]" for i, (x, y) in enumerate(aarch64._SAVED)),
        "ldp x29, x17, [x29]",
    }
    assert all(not name.startswith("<") and "unknown" not in operands for name, operands in found.values())


def _instructions(wat: str) -> list[str]:
    """What LLVM makes of the first function."""
    backend = Backend(architecture="aarch64")
    module = decode(assemble(wat), Features(), Limits())
    ctx = validate_module(module, Features(), Limits())
    facts = ModuleFacts(module, CodeOptions(), {})
    text = backend.assembly(function_text(facts, ctx, 0, backend.preamble()))
    assert "Tag_Feature_BTI" in text, "what makes the object say so as well"
    return re.findall(r"^(\.?\w+(?=:)|\t[a-z].*)", text[text.index("\nf0:") + 1 :], re.MULTILINE)


PACIASP, AUTIASP, BTI_C, BTI_J = ("\thint\t#25", "\thint\t#29", "\thint\t#34", "\thint\t#36")


def test_code_says_where_it_may_be_entered_and_signs_return_addresses() -> None:
    calling = _instructions("(module (func (param i32) (result i32) (i32.add (call 0 (local.get 0)) (i32.const 1))))")
    assert calling[:2] == ["f0", PACIASP] and AUTIASP in calling  # paciasp is a place to land as well
    leaf = _instructions("(module (func (param i32) (result i32) (i32.mul (local.get 0) (local.get 0))))")
    assert leaf[1] in (BTI_C, PACIASP)
    names = ("add", "sub", "mul", "and", "or", "xor", "shl") * 3
    arms = " ".join(
        f"(global.set 0 (i32.{name} (global.get 0) (i32.const {n}))) (return) )" for n, name in enumerate(names)
    )
    table = _instructions(
        f"(module (global (mut i32) (i32.const 0)) (func (param i32) {'(block ' * 22} "
        f"(br_table {' '.join(map(str, range(22)))} (local.get 0)) ) {arms}))"
    )
    assert table.count(BTI_J) >= 13, table


def test_jumps_to_callees_may_land_where_calls_do() -> None:
    """``paciasp`` takes jumps from two registers only, and so does ``bti c``."""
    assert aarch64.prologue().startswith(" paciasp\n")
    assert re.findall(r"\bbr (\w+)", aarch64.go(guessed=True)) == ["x16"]
