"""Machine code of small guests, and which of its addresses a mask has gone into.

``python -m tests.escape.assembly`` prints the code in docs/spectre.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import wardian
from wardian.compile.compiler import Compiler
from wardian.compile.options import CodeOptions

OBJDUMP: Final = shutil.which("objdump") or shutil.which("llvm-objdump")


class Guest(NamedTuple):
    """A module whose first function does one thing that is bounded by a comparison."""

    text: str
    addresses: int
    """How many addresses in it must be masked at least."""
    checks: str = "guard"
    tiers: tuple[str, ...] = ("O0", "O2", "baseline")


GUESTS: Final = MappingProxyType(
    {
        "explicit load": Guest(
            "(module (memory 1) (func (export \"f\") (param i32) (result i32) (i32.load offset=8 (local.get 0))))", 1,
            "explicit",
        ),
        "64-bit load": Guest(
            "(module (memory i64 1) (func (export \"f\") (param i64) (result i32) (i32.load offset=8 (local.get 0))))", 1
        ),
        "far offset": Guest(
            "(module (memory 1) (func (export \"f\") (param i32) (result i32) "
            "(i32.load offset=0xc0000000 (local.get 0))))", 1, tiers=("O0", "O2"),
        ),
        "table.get": Guest(
            "(module (table 9 funcref) (func (export \"f\") (param i32) (result funcref) "
            "(table.get 0 (local.get 0))))", 1, tiers=("O0", "O2"),
        ),
        "call_indirect": Guest(
            "(module (table 9 funcref) (type $t (func (result i32))) (func (export \"f\") (param i32) (result i32) "
            "(call_indirect (type $t) (local.get 0))))", 2,
        ),
        "br_table": Guest(
            "(module (func (export \"f\") (param i32) (result i32) (block (block (block (block (block (block "
            "(br_table 0 1 2 3 4 5 (local.get 0))) (return (i32.const 33))) (return (i32.const 7))) "
            "(return (i32.const 91))) (return (i32.const 2))) (return (i32.const 1000))) (i32.const 5)))", 1,
        ),
        "array.get": Guest(
            "(module (type $a (array (mut i64))) (func (export \"f\") (param (ref $a) i32) (result i64) "
            "(array.get $a (local.get 0) (local.get 1))))", 1, tiers=("O0", "O2"),
        ),
        "array.get behind the guest's own comparison": Guest(
            "(module (type $a (array (mut i64))) (func (export \"f\") (param (ref $a) i32) (result i64) "
            "(if (result i64) (i32.lt_u (local.get 1) (array.len (local.get 0))) "
            "(then (array.get $a (local.get 0) (local.get 1))) (else (i64.const 0)))))", 1, tiers=("O2",),
        ),
        "array.get behind a length that is known": Guest(
            "(module (type $a (array (mut i64))) (func (export \"f\") (param (ref $a) i32) (result i64) "
            "(if (result i64) (i32.eq (array.len (local.get 0)) (i32.const 5)) "
            "(then (array.get $a (local.get 0) (i32.const 4))) (else (i64.const 0)))))", 1, tiers=("O2",),
        ),
        "ref.cast behind the guest's own test": Guest(
            "(module (type $t (func (result i32))) (func (export \"f\") (param funcref) (result i32) "
            "(if (result i32) (ref.test (ref $t) (local.get 0)) "
            "(then (call_ref $t (ref.cast (ref $t) (local.get 0)))) (else (i32.const 0)))))", 1, tiers=("O2",),
        ),
    }
)  # fmt: skip


def code(text: str, tier: str, checks: str, spectre: str) -> bytes:
    """The first function's machine code."""
    options = CodeOptions(tier, checks, spectre)  # type: ignore[arg-type]
    ctx = wardian.Module(text)._ctx
    compiler = Compiler(None)
    if tier != "baseline":
        return compiler.compile(ctx, options, [0], {})[0][1]
    baseline = compiler.baseline(ctx, options)
    assert baseline is not None
    return bytes(baseline.compile([0])[0][1])


class Line(NamedTuple):
    """An instruction in AT&T's spelling."""

    name: str
    operands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name:<8}{', '.join(self.operands)}".rstrip()


_INSTRUCTION: Final = re.compile(r"^\s*[0-9a-f]+:\s+(?:notrack |rep |lock |bnd )?(\S+)\s*(.*?)\s*(?:[#<].*)?$")
_OPERAND: Final = re.compile(r"[^,(]*\([^)]*\)|[^,]+")


def disassembled(machine_code: bytes) -> list[Line]:
    """The instructions, in order of their addresses."""
    assert OBJDUMP is not None
    with tempfile.NamedTemporaryFile(suffix=".o") as file:
        if "llvm" in OBJDUMP:
            raise RuntimeError("GNU objdump reads plain machine code, llvm-objdump does not")
        file.write(machine_code)
        file.flush()
        how = ["-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn"]
        text = subprocess.run([OBJDUMP, *how, file.name], check=True, capture_output=True, text=True).stdout
    found = [match for line in text.splitlines() if (match := _INSTRUCTION.match(line))]
    return [Line(m[1], tuple(part.strip() for part in _OPERAND.findall(m[2]))) for m in found]


_FAMILIES: Final = (*(f"{n}x" for n in "abcd"), "si", "di", "bp", "sp")


def _register(operand: str) -> str:
    """One name for all widths of a register; ``""`` for anything else."""
    if not operand.startswith("%"):
        return ""
    name = operand[1:]
    if name[0] == "r" and name[1:2].isdigit():
        return name.rstrip("dwb")
    for family in _FAMILIES:
        if name in (f"r{family}", f"e{family}", family, family[0] + "l", f"{family}l"):
            return family
    return name


def masked_addresses(lines: Sequence[Line]) -> list[Line]:
    """Instructions that use an address computed from what a mask (made of a comparison without a branch) has left."""
    signs: set[str] = set()  # differences, and results of comparisons
    masks: set[str] = set()
    kept: set[str] = set()
    slots: dict[str, tuple[bool, bool, bool]] = {}
    found = []
    for line in lines:
        memory = next((operand for operand in line.operands if "(" in operand), "")
        parts = {_register(part) for part in re.findall(r"%\w+", memory)}
        if parts & kept and not line.name.startswith(("lea", "nop")):
            found.append(line)
        if not line.operands or line.name.startswith(("cmp", "test", "j", "call", "push", "nop")):
            continue
        target, sources = _register(line.operands[-1]), {_register(o) for o in line.operands[:-1]} | parts
        name = line.name.rstrip("lq") if line.name not in ("shl", "mul") else line.name
        if not target:
            slots[line.operands[-1]] = tuple(bool(sources & s) for s in (signs, masks, kept))  # type: ignore[assignment]
            continue
        spilled = slots.get(line.operands[0], (False, False, False)) if name.startswith("mov") else (False,) * 3
        moves = name.startswith(("mov", "lea", "cmov"))
        old = [target in s for s in (signs, masks, kept)]
        came = [bool((sources - parts if name[:3] == "mov" else sources) & s) for s in (signs, masks, kept)]
        sign = name in ("sub", "sbb", "neg", "dec") or name.startswith("set") or any((old[0] and not moves, came[0]))
        mask = (
            (name in ("sar", "neg", "sbb", "dec") and (old[0] or name == "sbb"))
            or (name.startswith("movs") and came[0]) or came[1] or (old[1] and not moves)
        )  # fmt: skip
        keep = name == "and" and (old[1] or came[1]) or came[2] or (old[2] and not moves) or name == "andn" and came[1]
        if name.startswith("cmov"):
            keep = True
        flags = (sign, mask, keep) if not spilled[0] and not any(spilled) else spilled
        for s, flag in zip((signs, masks, kept), flags, strict=True):
            (s.add if flag else s.discard)(target)
    return found


def main() -> None:
    """Print the machine code of every guest."""
    for name, guest in GUESTS.items():
        for tier in guest.tiers:
            if tier == "O0":
                continue
            print(f"{name}, {tier}:\n")
            for line in disassembled(code(guest.text, tier, guest.checks, "basic")):
                print(f"    {line}")
                if line.name.startswith("ret"):
                    break
            print()


if __name__ == "__main__":
    main()
