"""Forward edges ("CET", "BTI"): whatever an indirect call or jump may lead to begins with the instruction that says so.

Nothing enforces it today: Linux does not offer indirect branch tracking to processes. So machine code is looked at: of
each tier and level, of the glue, and at each address that a running engine has put where something calls it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest

import wardian
from tests.escape.assembly import GUESTS, OBJDUMP, code, disassembled
from tests.escape.guest import child, traps
from tests.support import MODES, Mode, share_glue
from wardian.api.code import ModuleCode
from wardian.compile.glue.core import core_text
from wardian.compile.glue.signature import signature_text
from wardian.compile.link import flatten
from wardian.compile.llvm import Backend
from wardian.vm.builtins import STUB_SIZE, STUBS
from wardian.vm.layout import FUNC_OBJECT, FUNCREF
from wardian.vm.platform import MACHINES

ENDBR64 = bytes.fromhex("f30f1efa")

TAIL_CALLS = """(module (table 4 funcref) (type $t (func (param i32) (result i32)))
  (func (export "f") (type $t) (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
    (return_call_indirect (type $t) (i32.const 1) (local.get 0))))"""

needs_objdump = pytest.mark.skipif(OBJDUMP is None, reason="GNU objdump is not installed")


@needs_objdump
@pytest.mark.parametrize("level", [pytest.param("off", marks=pytest.mark.slow), "basic", "full"])
@pytest.mark.parametrize("tier", ["O0", "O2", "baseline"])
def test_functions_land_and_only_tables_are_not_tracked(tier: str, level: str) -> None:
    for name in ("call_indirect", "br_table", "explicit load"):
        machine_code = code(GUESTS[name].text, tier, "guard", level)
        assert machine_code.startswith(ENDBR64), name
        lines = list(takewhile(lambda line: line.name != "(bad)", disassembled(machine_code)))  # a table's contents
        jumps = [line for line in lines if line.operands and line.operands[0].startswith("*%") and line.name == "jmp"]
        assert all(line.untracked for line in jumps), "\n".join(map(str, lines))
    tail = code(TAIL_CALLS, tier, "guard", level)
    assert tail.startswith(ENDBR64)
    lines = disassembled(tail)
    leaving = [line for line in lines if line.operands and line.operands[0].startswith("*") and line.name == "jmp"]
    assert not any(line.untracked for line in leaving), "where the guest leads is tracked"
    assert bool(leaving) == (level != "full"), "at the level full it is a return, which is not guessed"


def test_glue_lands_too() -> None:
    """Also where ``_setjmp`` comes back to for the second time, by a jump of the C library's."""
    backend = Backend()
    preamble = backend.preamble()
    texts = [core_text(MACHINES[backend.arch], preamble), *(signature_text(code, preamble) for code in ("_", "il_f"))]
    for text in texts:
        image = flatten(backend.object(text, "O2"))
        for name in called(text):
            assert image.code[image.offset(name) :].startswith(ENDBR64), name
        more = {at.start() for at in re.finditer(re.escape(ENDBR64), image.code)} - {*map(image.offset, called(text))}
        assert len(more) == ("define internal i32 @set_jump" in text)


def called(text: str) -> list[str]:
    """Functions that somebody else may call, so not by their names."""
    return re.findall(r"^define (?!internal).*?@(\w+)\(", text, re.MULTILINE)


GUEST = """(module (import "m" "f" (func $host (param i32) (result i32)))
  (table 4 funcref) (type $t (func (param i32) (result i32))) (elem (i32.const 0) $add $host $loop $jump)
  (func $add (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $loop (export "loop") (type $t) (local $n i32)
    (loop $l (local.set $n (call_indirect (type $t) (local.get $n) (i32.and (local.get 0) (i32.const 1))))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get $n))
  (func $jump (export "jump") (type $t) (return_call_indirect (type $t) (local.get 0) (i32.const 2)))
  (func (export "oob") (call_indirect (type $t) (i32.const 1) (i32.const 9)) drop))"""


def every_address(mode: Mode | None) -> None:
    """What is called by its address while guests run, tier up in the middle of a loop, and trap."""
    seen: dict[str, set[int]] = {"resolved": set()}
    resolve = ModuleCode.resolve

    def resolving(self: ModuleCode, index: int) -> int:
        seen["resolved"].add(address := resolve(self, index))
        return address

    patched: Any = ModuleCode
    patched.resolve = resolving
    choices: Any = {"opt": "auto", "tier_up": 1} if mode is None else mode._asdict()
    engine = share_glue(wardian.Engine(wardian.Config(cache=False, **choices)))
    instance = wardian.Module(GUEST, engine).instantiate({"m": {"f": lambda n: n + 1}})
    exports = instance.exports
    native = engine.process.native
    seen["stubs before"] = set(codes(instance))
    for n in (2000, 5, 2000, 3):
        assert exports.loop(n) == exports.jump(n) == n
        engine.worker.wait()
    with traps("table_out_of_bounds"):
        exports.oob()
    process = engine.process
    seen["functions"] = set(codes(instance))
    seen["glue"] = {address for glue in process.glue.all() for address in (glue.entry, glue.stub)}
    seen["stubs"] = {chunk + STUB_SIZE * i for chunk in process.stubs for i in range(STUBS)}
    core = called(core_text(MACHINES["x86_64"], ""))
    seen["core"] = {process.core[name] for name in core}
    seen["vectorcall"] = {native.peek(id(func) + FUNC_OBJECT.at["vectorcall"]) for func in (exports.loop, exports.oob)}
    if mode is None:
        seen["better"] = set(instance._data.code._better.values())
        seen["continuations"] = set(instance._data.code._continuations.values())
    for what, addresses in seen.items():
        assert addresses, what
        for address in addresses:
            assert native.read(address, 4) == ENDBR64, (what, hex(address))


def codes(instance: Any) -> Iterator[int]:
    inner = instance._data
    for index in range(1, 1 + len(inner.module.funcs)):
        yield inner.store.process.native.peek(inner.func_ref(index) + FUNCREF.at["code"])


EACH = [None, *(pytest.param(mode, marks=pytest.mark.slow) for mode in MODES)]


@pytest.mark.parametrize("mode", EACH, ids=lambda mode: str(mode or "auto"))
def test_every_address_that_is_called(mode: Mode | None) -> None:
    child(every_address, mode)
