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
            "(module (memory i64 1) (func (export \"f\") (param i64) (result i32) (i32.load (local.get 0))))", 1,
        ),
        "far offset": Guest(
            "(module (memory 1) (func (export \"f\") (param i32) (result i32) "
            "(i32.load offset=0xc0000000 (local.get 0))))", 1, tiers=("O0", "O2"),
        ),
        "table.get": Guest(
            "(module (table 9 funcref) (func (export \"f\") (param i32) (result funcref) "
            "(table.get 0 (local.get 0))))", 1,
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
    return baseline.function(0)


class Line(NamedTuple):
    """An instruction in AT&T's spelling."""

    name: str
    operands: tuple[str, ...]
    untracked: bool = False
    """Is it a jump that may lead to where nothing says that it may?"""

    def __str__(self) -> str:
        return f"{self.name:<8}{', '.join(self.operands)}".rstrip()


_INSTRUCTION: Final = re.compile(r"^\s*[0-9a-f]+:\s+(notrack |rep |lock |bnd )?(\S+)\s*(.*?)\s*(?:[#<].*)?$")
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
    return [Line(m[2], tuple(part.strip() for part in _OPERAND.findall(m[3])), m[1] == "notrack ") for m in found]


_FAMILIES: Final = (*(f"{n}x" for n in "abcd"), "si", "di", "bp", "sp")


def _register(operand: str) -> str:
    """One name for all widths of a register; ``""`` for anything else."""
    name = operand.removeprefix("%")
    if name == operand:
        return ""
    if name[0] == "r" and name[1:2].isdigit():
        return name.rstrip("dwb")
    same = (f for f in _FAMILIES if name in (f"r{f}", f"e{f}", f, f"{f[0]}l", f"{f}l"))
    return next(same, name)


_SPREADS: Final = ("sbb", "dec", "neg")
"""Beside a shift by 63, what makes all ones or zero of a flag or a bit."""


def masked_addresses(lines: Sequence[Line]) -> list[Line]:
    """Instructions that use an address computed from what a mask, made without a branch, has left of something.

    What is known of a register (or a slot of the frame): is it a mask, and has a mask gone into it?
    """
    known: dict[str, tuple[bool, bool]] = {}
    nothing = (False, False)
    found = []
    for line in lines:
        name, memory = line.name, next((operand for operand in line.operands if "(" in operand), "")
        parts = [_register(part) for part in re.findall(r"%\w+", memory)]
        is_lea = name.startswith("lea")
        if not is_lea and not name.startswith("nop") and any(known.get(part, nothing)[1] for part in parts):
            found.append(line)
        if not line.operands or name.startswith(("cmp", "test", "j", "call", "push", "nop")):
            continue
        target = _register(line.operands[-1]) or line.operands[-1]
        sources = parts if is_lea else [_register(operand) or operand for operand in line.operands[:-1]]
        came = [known.get(source, nothing) for source in sources]
        if not is_lea and not name.startswith("mov"):
            came.append(known.get(target, nothing))
        is_mask = any(m for m, _ in came)
        was_masked = any(k for _, k in came)
        if name.startswith("cmov"):
            known[target] = (False, True)
        elif name.startswith("and"):
            known[target] = (False, is_mask or was_masked)
        elif (name.startswith("sar") and line.operands[0] == "$0x3f") or name.startswith(_SPREADS):
            known[target] = (True, False)
        else:
            known[target] = (is_mask, was_masked)
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
