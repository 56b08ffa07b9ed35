"""What the baseline tier must know of a machine that LLVM does not tell: registers, frames, jumps in assembler.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. The assembler here runs as it stands. It holds frames together; everything else is LLVM's.                   |
+----------------------------------------------------------------------------------------------------------------------+

For x86-64. Stencils use LLVM's ``ghccc``: everything travels in registers and nothing is saved. Its
parameters are, in order: context, frame, three pinned integer locals, four integer operands, the base of memory 0, and
six vector registers, of which the last two are pinned float locals. Context, memory base and pinned integers are
registers the C convention preserves, so calls need not save them, and the frame register is the machine's frame
pointer, so backtraces find baseline frames like all others.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from wardian.compile.baseline.holes import NAMES
from wardian.compile.baseline.machines import JUMP, NUMBER, WIDE, Syntax, registers
from wardian.compile.baseline.shapes import CONSTANT, MOST_PAIRS, OPERANDS, SLOT
from wardian.vm.layout import HEADER, STORE

CONVENTION: Final = "ghccc"
PARAMETERS: Final = (
    ("%ctx", "ptr"),
    ("%fp", "ptr"),
    ("%p0", "i64"),
    ("%p1", "i64"),
    ("%p2", "i64"),
    ("%t0", "i64"),
    ("%t1", "i64"),
    ("%t2", "i64"),
    ("%t3", "i64"),
    ("%mem", "ptr"),
    ("%f0", "<4 x float>"),
    ("%f1", "<4 x float>"),
    ("%f2", "<4 x float>"),
    ("%f3", "<4 x float>"),
    ("%f4", "<4 x float>"),
    ("%f5", "<4 x float>"),
)
"""Of every stencil, in an order that puts each into the right register."""


def _x86_word(name: str) -> tuple[str, ...]:
    if name[1:].isdigit():
        return name, name + "d", name + "w", name + "b"
    low = name[1:]
    return name, "e" + low, low, (low[0] if low[1] == "x" else low) + "l"


SPARE_WORDS: Final = tuple(_x86_word(name) for name in ("r10", "r11", "rdx"))
SPARE_VECTORS: Final = tuple((f"xmm{i}", f"ymm{i}", f"zmm{i}") for i in (12, 13, 14))
"""What is fetched from slots goes here; no stencil that has operands in slots uses them itself."""

REGISTERS: Final = registers(
    [_x86_word(name) for name in ("rsi", "rdi", "r8", "r9", "r12", "rbx", "r14")],
    [(f"xmm{i}", f"ymm{i}", f"zmm{i}") for i in range(1, 7)],
    "%",
)

_CONDITIONS: Final = dict(
    pair
    for x, y in (("e", "ne"), ("l", "ge"), ("le", "g"), ("b", "ae"), ("be", "a"), ("s", "ns"), ("p", "np"), ("o", "no"))
    for pair in ((x, y), (y, x))
)
_RELATIVE_HOLE: Final = re.compile(rf"^\tleaq\t([{''.join(NAMES)}]_([sq])\S*)\(%rip\), ", re.MULTILINE)

_TABLE_JUMP: Final = re.compile(r"^\tjmpq(?=\t\*)", re.MULTILINE)
_UNTRACKED: Final = "\tnotrack jmpq"


def _opposite(jump: str) -> str | None:
    condition = _CONDITIONS.get(jump.strip()[1:])
    return None if condition is None else f"\tj{condition}\t"


_TAKES: Final = MappingProxyType({"s": "movq", "q": "movabsq"})


def _rewritten(text: str) -> str:
    # A hole is a number, but LLVM takes it for an address, which a shared object has relative to where it is.
    text = _RELATIVE_HOLE.sub(lambda found: f"\t{_TAKES[found[2]]}\t${found[1]}, ", text.replace("@PLT", ""))
    # Through a table of our own, which no guest can write, so where it leads need not begin with endbr64.
    return _TABLE_JUMP.sub(_UNTRACKED, text)


_BRANCH: Final = re.compile(r"^(\tj\w+\t)(\S+)$")


def _fenced(lines: Sequence[str], led: bool) -> list[str]:
    """Nothing runs on a guess: a fence on both ways of every branch, and where a call returns to. ``led``: what the
    code calls or jumps to is the guest's choice; then that is not guessed either, for a return to a place it has just
    been called from leads there (a "retpoline")."""
    out: list[str] = []
    branches = {line: found for line in lines if not line.startswith("\tjmp") and (found := _BRANCH.match(line))}
    landings = {branch[2] for branch in branches.values()}
    for line in lines:
        branch = branches.get(line)
        if branch and not branch[2].startswith((".L", "trap_")):
            opposite = _opposite(branch[1])
            assert opposite is not None, f"the opposite of {line!r} cannot be said"
            out += [f"{opposite}7f", _FENCE, f"\tjmp\t{branch[2]}", "7:", _FENCE]
        elif branch or line.removesuffix(":") in landings:
            out += [line, _FENCE]
        elif led and line.startswith("\tcall") and "*" in line:
            target = line.partition("*")[2]
            out += [f"\tmovq\t{target}, %r11", "\tjmp\t9f", "8:", *_unguessed("%r11"), "9:", "\tcallq\t8b", _FENCE]
        elif led and line.startswith(_UNTRACKED):
            out += _unguessed(line.partition("*")[2])
        elif line.startswith("\tcall"):
            out += [line, _FENCE]
        else:
            out.append(line)
    return out


_FENCE: Final = "\tlfence"


def _unguessed(target: str) -> list[str]:
    """A jump to where a register says."""
    trap = ["\tcallq\t7f", "6:", "\tpause", _FENCE, "\tjmp\t6b", "7:"]
    return [*trap, f"\tmovq\t{target}, (%rsp)", "\tretq"]


SYNTAX: Final = Syntax(
    comment="#",
    sigil="%",
    register=re.compile(r"%(\w+)"),
    jump=re.compile(r"^\tjmp\t([A-Za-z_]\w*)$"),
    jump_to="\tjmp\t",
    leaves=("\tjmp", _UNTRACKED, "\tret"),
    conditional=_BRANCH,
    opposite=_opposite,
    near=None,
    others=lambda used: {},
    call="\tcall",
    rewritten=_rewritten,
    fenced=_fenced,
)
RELOCATIONS: Final[Mapping[int, str]] = MappingProxyType({1: WIDE, 2: JUMP, 4: JUMP, 10: NUMBER, 11: NUMBER})
"""R_X86_64_64, _PC32, _PLT32, _32, _32S."""

_SAVED: Final = ("%r15", "%r14", "%r13", "%r12", "%rbx")
SAVED_BYTES: Final = 8 * len(_SAVED)
"""What the prologue saves below the frame pointer; slots lie below that."""

WORD_ARGUMENTS: Final = ("%rsi", "%rdx", "%rcx", "%r8", "%r9")
"""Where the integer parameters of a function arrive, after the context in ``%rdi``."""
FLOAT_ARGUMENTS: Final = tuple(f"%xmm{i}" for i in range(8))
FREE_FLOATS: Final = 5
"""That many floats and vectors arrive in registers that are no pinned local's."""

def prologue() -> str:
    """Land, save what must be saved, look for room on the stack, take the frame. ``I_s``: minus the bytes of the
    slots."""
    pushes = "\n".join(f" pushq {name}" for name in _SAVED)
    # SAFETY: nothing below the stack pointer is touched before it is known that all slots lie above the stack limit;
    # the sum cannot wrap, for a frame has at most 2 * MAX_LOCALS + MAX_DEPTH slots.
    return f""" endbr64
 pushq %rbp
 movq %rsp, %rbp
{pushes}
 movq %rdi, %r13
 movq {HEADER.at["store"]}(%r13), %rax
 leaq I_s(%rsp), %r10
 cmpq {STORE.at["stack_limit"]}(%rax), %r10
 jb trap_STACK_EXHAUSTED
 movq %r10, %rsp
"""


FIRST_STACK_ARGUMENT: Final = 16
"""Displacement of the first one from the frame pointer."""


def popped(words: int) -> int:
    """Bytes that ``tailcc`` has the callee take off the stack: with the return address a multiple of 16."""
    return ((8 * words + 8 + 15) & -16) - 8


def epilogue(words: int) -> str:
    """Return, and take so many words of parameters off the stack; from ``2 * MOST_PAIRS`` on, ``I_s`` bytes."""
    pops = "\n".join(f" popq {name}" for name in reversed(_SAVED))
    # SAFETY: the frame pointer is where the prologue left it, for no stencil may change it, so what is popped is what
    # was pushed, and the callee takes its stack parameters with it as tailcc says.
    back = f" retq ${popped(words)}\n"
    if words >= 2 * MOST_PAIRS:
        # The return address moves up, so that every call still has its return.
        back = " popq %rcx\n addq $I_s, %rsp\n pushq %rcx\n retq\n"
    return f" leaq -{SAVED_BYTES}(%rbp), %rsp\n{pops}\n popq %rbp\n{back}"


_PASS: Final = MappingProxyType({"w": "movq", "f": "movq", "v": "movups"})


def pass_argument(letter: str, register: str) -> str:
    """An argument of a tail call, from its slot (``@A_s``)."""
    return f" {_PASS[letter]} A_s(%rbp), {register}\n"


def put_aside() -> str:
    """An argument that goes on the stack, in the order of their addresses, from its slot (``@A_s``)."""
    # SAFETY: below the frame is the room that every function leaves for what it calls.
    return " pushq A_s(%rbp)\n"


def leave() -> str:
    """Of a tail call, when all arguments are in their registers or put aside: give up the frame, with the callee in the
    first pinned integer and its context in the second. ``@I_s``: where the return address will be."""
    saved = "".join(f" movq {-8 * (i + 1)}(%rbp), {name}\n" for i, name in enumerate(_SAVED))
    # SAFETY: everything the frame holds has been read but what was put aside, which lies below it.
    return f""" movq {_name(0, OPERANDS)}, %rax
 movq {_name(0, OPERANDS + 1)}, %rdi
 movq 8(%rbp), %r11
 leaq I_s(%rbp), %r10
{saved} movq (%rbp), %rbp
"""


def put_back() -> str:
    """What was put aside last, to its place (``@I_s`` from the return address)."""
    return " popq I_s(%r10)\n"


def go(*, guessed: bool) -> str:
    """Jump to the callee, with the stack as its caller would have left it. ``guessed``: may the processor guess where
    to?"""
    # SAFETY: the caller takes its own arguments for gone: as many bytes as the callee removes are above what it returns
    # to, because I_s of leave() was computed from both.
    jump = [" jmpq *%rax"] if guessed else _unguessed("%rax")
    return "\n".join([" movq %r11, (%r10)", " movq %r10, %rsp", *jump, ""])


def stack_argument(cls: int, code: int) -> str:
    """A parameter on the stack (``@I_s``) into its local's place (``@A_s``)."""
    if code == SLOT:
        return " movq I_s(%rbp), %rax\n movq %rax, A_s(%rbp)\n"
    return f" movq I_s(%rbp), {_name(cls, code)}\n"


def load_base() -> str:
    """Base of memory 0; ``@I_s``: where the context has it."""
    return " movq I_s(%r13), %r15\n"


def _name(cls: int, code: int) -> str:
    return "%" + (REGISTERS.words if cls == 0 else REGISTERS.vectors)[code][0]


def argument(cls: int, register: str, code: int) -> str:
    """An argument into its local's place (``@A_s``)."""
    if cls == 0:
        target = "A_s(%rbp)" if code == SLOT else _name(cls, code)
        return f" movq {register}, {target}\n"
    if code == SLOT:
        return f" movq {register}, A_s(%rbp)\n"
    return f" movaps {register}, {_name(cls, code)}\n"


def result(cls: int | None, code: int) -> str:
    """A result (``@A_s``) where the caller looks for it."""
    if cls is None:
        return ""
    if cls == 0:
        source = "A_s(%rbp)" if code == SLOT else "$A_s" if code == CONSTANT else _name(cls, code)
        return f" movq {source}, %rax\n"
    if code == SLOT:
        return " movq A_s(%rbp), %xmm0\n"
    return f" movaps {_name(cls, code)}, %xmm0\n"


def vector_argument(register: str) -> str:
    """A vector into its local's slots (``@A_s``)."""
    return f" movups {register}, A_s(%rbp)\n"


def vector_result() -> str:
    return " movups A_s(%rbp), %xmm0\n"


_PAIR: Final = (("%rax", "%rdx"), ("%xmm0", "%xmm1"))
"""Where the first and the second integer of a pair of results go, and the first and the second float or vector."""
_PAIR_MOVE: Final = MappingProxyType({"w": "movq", "f": "movq", "v": "movups"})


def result_pair(letters: str) -> str:
    """Two results, from slots (``@A_s``, ``@B_s``)."""
    free = [iter(registers) for registers in _PAIR]
    text = ""
    for letter, hole in zip(letters, "AB", strict=True):
        text += f" {_PAIR_MOVE[letter]} {hole}_s(%rbp), {next(free[letter != 'w'])}\n"
    return text


def clear() -> str:
    """Zero for :func:`clear_slot`."""
    return " xorl %eax, %eax\n"


def clear_slot() -> str:
    return " movq %rax, A_s(%rbp)\n"


def clear_word(code: int) -> str:
    name = "%" + REGISTERS.words[code][1]
    return f" xorl {name}, {name}\n"


def clear_float(code: int) -> str:
    return f" xorps {_name(1, code)}, {_name(1, code)}\n"


_MOVE: Final = {"i32": "movq", "i64": "movq", "f32": "movss", "f64": "movsd"}


def fetch(type: str, hole: str, register: str) -> str:
    """A slot's value into a register. Integers always fill their slots."""
    return f" {_MOVE[type]} {hole}_s(%rbp), %{register}\n"


def store(type: str, register: str) -> str:
    """A register into the result's slot."""
    return f" {_MOVE[type]} %{register}, D_s(%rbp)\n"


def move(cls: int, source: int, target: int) -> str:
    """From place to place (``@A_s``, ``@D_s``); a constant is extended with its sign."""
    to = "D_s(%rbp)" if target == SLOT else _name(cls, target)
    if source == CONSTANT:
        return f" movq $A_s, {to}\n"
    of = "A_s(%rbp)" if source == SLOT else _name(cls, source)
    if source == SLOT and target == SLOT:
        return f" movq {of}, %rax\n movq %rax, {to}\n"
    whole = cls == 1 and source != SLOT and target != SLOT
    return f" {'movaps' if whole else 'movq'} {of}, {to}\n"


_FIELDS: Final = MappingProxyType({NUMBER: struct.Struct("<i"), WIDE: struct.Struct("<q"), JUMP: struct.Struct("<i")})


def patch(code: bytearray, at: int, kind: str, value: int) -> None:
    """See :class:`wardian.compile.baseline.machines.Machine`."""
    _FIELDS[kind].pack_into(code, at, value)
