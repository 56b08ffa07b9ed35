"""Spectre level ``basic``: what a comparison bounds is masked as well, and LLVM has not removed it.

The machine code of both tiers is disassembled and followed: from the difference to the mask, from the mask to the
address. tests/spec and all tests of other levels say that nothing else changes.
"""

from __future__ import annotations

import pytest

from tests.escape.assembly import GUESTS, OBJDUMP, code, disassembled, masked_addresses
from tests.escape.guest import make, traps
from tests.support import Mode, mode_params

pytestmark = pytest.mark.skipif(OBJDUMP is None, reason="GNU objdump, which shows machine code, is not installed")

CASES = [pytest.param(name, tier, id=f"{name}-{tier}") for name, guest in GUESTS.items() for tier in guest.tiers]


@pytest.mark.parametrize(("name", "tier"), CASES)
def test_addresses_are_masked(name: str, tier: str) -> None:
    guest = GUESTS[name]
    lines = disassembled(code(guest.text, tier, guest.checks, "basic"))
    found = masked_addresses(lines)
    assert len(found) >= guest.addresses, "\n".join(map(str, lines))


@pytest.mark.parametrize("name", GUESTS)
def test_the_reader_of_machine_code_tells_them_apart(name: str) -> None:
    guest = GUESTS[name]
    lines = disassembled(code(guest.text, "O2", guest.checks, "off"))
    assert not masked_addresses(lines), "\n".join(map(str, lines))


def test_a_jump_table_has_no_branch_in_front_of_it() -> None:
    lines = disassembled(code(JUMPS, "O2", "guard", "basic"))
    jump = next(i for i, line in enumerate(lines) if line.name == "jmp" and line.operands[0].startswith("*"))
    assert not [line for line in lines[:jump] if line.name.startswith("j")], "\n".join(map(str, lines))
    assert masked_addresses(lines[: jump + 1])


JUMPS = """(module (global $g (mut i32) (i32.const 0)) (func (export "f") (param i32) (result i32)
  (block (block (block (block (block (block (br_table 0 1 2 3 4 5 (local.get 0)))
  (global.set $g (i32.const 3)) (return (i32.const 33))) (global.set $g (i32.const 4)) (return (i32.const 7)))
  (global.set $g (i32.const 5)) (return (i32.const 91))) (return (i32.mul (local.get 0) (global.get $g))))
  (global.set $g (i32.const 7)) (return (i32.const 1000))) (i32.add (i32.const 5) (global.get $g))))"""

OTHERS = """(module
  (import "m" "t" (table 4 funcref)) (type $t (func (param i32) (result i32 i64 f64)))
  (func $own (type $t) (local.get 0) (i64.const 7) (f64.const 0.5))
  (elem (i32.const 1) $own)
  (func (export "call") (param i32 i32) (result i32 i64 f64)
    (call_indirect (type $t) (local.get 1) (local.get 0)))
  (func (export "jump") (param i32 i32) (result i32 i64 f64)
    (return_call_indirect (type $t) (local.get 1) (local.get 0))))"""

THEIRS = """(module (table (export "t") 4 funcref) (global $g (mut i64) (i64.const 40))
  (func $a (param i32) (result i32 i64 f64) (i32.const -1) (global.get $g) (f64.const 2.5))
  (func $b (result i32) (i32.const 1))
  (elem (i32.const 0) $a) (elem (i32.const 2) $b))"""


@pytest.mark.parametrize("mode", mode_params())
def test_calls_of_own_functions_and_of_others(mode: Mode) -> None:
    theirs = make(THEIRS, mode)
    exports = make(OTHERS, mode, {"m": {"t": theirs.t}})
    for function in (exports.call, exports.jump):
        assert function(0, 3) == (-1, 40, 2.5)
        assert function(1, 3) == (3, 7, 0.5)
        for index, code_ in ((2, "bad_signature"), (3, "indirect_call_to_null"), (4, "table_out_of_bounds")):
            with traps(code_):
                function(index, 3)


@pytest.mark.parametrize("tier", ["O2", "baseline"])
def test_what_the_guest_leads_is_not_guessed(tier: str) -> None:
    """At the level ``full`` nothing the guest chooses is an indirect branch, and a guess spoils what is loaded."""
    for name in ("call_indirect", "br_table"):
        lines = disassembled(code(GUESTS[name].text if name != "br_table" else JUMPS, tier, "guard", "full"))
        text = "\n".join(map(str, lines))
        assert not [line for line in lines if line.name == "jmp" and line.operands[0].startswith("*")], text
        assert "lfence" in text or name == "br_table", text
    hardened = disassembled(code(LOOKS, tier, "guard", "full"))
    text = "\n".join(map(str, hardened))
    assert ("lfence" in text) if tier == "baseline" else ("$0x3f" in text and "cmov" in text), text


LOOKS = """(module (memory 1) (func (export "f") (param i32 i32) (result i32)
  (if (result i32) (i32.lt_u (local.get 0) (local.get 1)) (then (i32.load (local.get 0))) (else (i32.const 0)))))"""


@pytest.mark.thorough
@pytest.mark.parametrize("tier", ["O0", "O2", "baseline"])
def test_masked_checks_cut_every_address(tier: str) -> None:
    """Whatever comes out of the comparison: 32 bits of it, or as many as a larger memory's reservation has."""
    wide = "(module (memory i64 1) (func (param i64) (result i32) (i32.load offset=8 (local.get 0))))"
    lines = disassembled(code(wide, tier, "masked", "off"))
    assert [line for line in lines if line.name.startswith("and")], lines
    narrow = GUESTS["explicit load"].text
    cut, plain = (disassembled(code(narrow, tier, checks, "off")) for checks in ("masked", "explicit"))
    assert len(cut) > len(plain)
