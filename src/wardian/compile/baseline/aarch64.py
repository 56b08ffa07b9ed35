"""What the generator of stencils must know of aarch64 (AArch64 Procedure Call Standard; ELF for the Arm 64-bit
Architecture).

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. The assembler here would run as it stands. It has been taken apart by a disassembler, never executed: the    |
| engine does not run on aarch64 yet.                                                                                  |
+----------------------------------------------------------------------------------------------------------------------+

Stencils use LLVM's ``preserve_nonecc``: everything travels in registers and nothing is saved. Context, frame, pinned
integers and the base of memory 0 are registers the C convention preserves. The frame pointer proper is no parameter,
so the frame is in a second register as well, and backtraces find it by the first.

A hole is a number, built by two instructions (four for 64 bits) that take 16 bits each, and is added to a register;
labels are reached by the branches' own fields. A function signs its return address and authenticates it before it
returns, which also makes its first instruction one that indirect calls may land on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from wardian.compile.baseline.machines import Syntax, registers
from wardian.compile.baseline.shapes import CONSTANT, MOST_PAIRS, OPERANDS, SLOT
from wardian.record import Record
from wardian.vm.layout import HEADER, STORE

CONVENTION: Final = "preserve_nonecc"
PARAMETERS: Final = (
    ("%ctx", "ptr"),
    ("%fp", "ptr"),
    ("%p0", "i64"),
    ("%p1", "i64"),
    ("%p2", "i64"),
    ("%mem", "ptr"),
    ("%t0", "i64"),
    ("%t1", "i64"),
    ("%t2", "i64"),
    ("%t3", "i64"),
    ("%f0", "<4 x float>"),
    ("%f1", "<4 x float>"),
    ("%f2", "<4 x float>"),
    ("%f3", "<4 x float>"),
    ("%f4", "<4 x float>"),
    ("%f5", "<4 x float>"),
)
"""In ``x20`` to ``x28`` and then ``x0``; ``v0`` to ``v5``."""


def _word(number: int) -> tuple[str, str]:
    return f"x{number}", f"w{number}"


def _vector(number: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for letter in "qdshbv")


REGISTERS: Final = registers(
    [_word(number) for number in (26, 27, 28, 0, 22, 23, 24)], [_vector(number) for number in range(6)], r"\b"
)
SPARE_WORDS: Final = tuple(_word(number) for number in (13, 14, 15))
SPARE_VECTORS: Final = tuple(_vector(number) for number in (29, 30, 31))

_CONTEXT: Final = "x20"
_FRAME: Final = "x21"
_MEMORY: Final = "x25"
_SCRATCH: Final = "x16"
_VALUE: Final = "x17"

# -- text --------------------------------------------------------------------------------------------------------------

_OPPOSITES: Final = dict(
    pair
    for x, y in (("eq", "ne"), ("hs", "lo"), ("hi", "ls"), ("ge", "lt"), ("gt", "le"), ("mi", "pl"), ("vs", "vc"))
    for pair in ((x, y), (y, x))
)
_ADDRESS: Final = re.compile(r"^\tadrp\t(x\d+), (\S+)$", re.MULTILINE)
_LOW: Final = re.compile(r"^\tadd\t(x\d+), (x\d+), :lo12:(\S+)$", re.MULTILINE)
_LITERAL: Final = re.compile(r"^\tldr\t(\w+), \[x\d+, :lo12:(\.LCPI\S+)\]$", re.MULTILINE)
_PARTS: Final = MappingProxyType(
    {
        "s": (("movz", "abs_g1_s"), ("movk", "abs_g0_nc")),
        "u": (("movz", "abs_g1"), ("movk", "abs_g0_nc")),
        "q": (("movz", "abs_g3"), ("movk", "abs_g2_nc"), ("movk", "abs_g1_nc"), ("movk", "abs_g0_nc")),
    }
)
"""Range of a hole -> the instructions that make the number, and which 16 bits of it each takes."""
_HOLE: Final = re.compile(r"^[A-Z]_([suq])(?:[+-]\d+)?$")


def _instructions(register: str, hole: str, first: int, last: int | None) -> str:
    found = _HOLE.match(hole)
    assert found, hole
    return "\n".join(f"\t{name}\t{register}, #:{part}:{hole}" for name, part in _PARTS[found[1]][first:last])


def _high(found: re.Match[str]) -> str:
    if not _HOLE.match(found[2]):
        return ""  # a label's whole address is said by what follows
    half = len(_PARTS[found[2][2]]) // 2
    return _instructions(found[1], found[2], 0, half)


def _low(found: re.Match[str]) -> str:
    assert found[1] == found[2], "the two halves of an address in different registers"
    if not _HOLE.match(found[3]):
        return f"\tadr\t{found[1]}, {found[3]}"
    return _instructions(found[1], found[3], len(_PARTS[found[3][2]]) // 2, None)


def _rewritten(text: str) -> str:
    text = _LITERAL.sub(r"\tldr\t\1, \2", _ADDRESS.sub(_high, text))
    text = _LOW.sub(_low, text)
    assert ":lo12:" not in text, "an address that is made in another way"
    return text


def _opposite(jump: str) -> str | None:
    name, _, rest = jump.strip().partition("\t")
    if name.startswith("b."):
        condition = _OPPOSITES.get(name[2:])
        return None if condition is None else f"\tb.{condition}\t"
    return f"\t{'cbz' if name == 'cbnz' else 'cbnz'}\t{rest}"


_PRESERVED: Final = range(8, 16)
_FREE: Final = range(16, 29)


def _others(used: frozenset[str]) -> dict[str, str]:
    """Callers want the lower halves of ``v8`` to ``v15`` back, and nobody saves them."""
    numbers = {int(name[1:]) for name in used if name[0] not in "xw"}
    free = [number for number in _FREE if number not in numbers]
    renamed = zip([number for number in _PRESERVED if number in numbers], free, strict=False)
    return {old: new for x, y in renamed for old, new in zip(_vector(x), _vector(y), strict=True)}


SYNTAX: Final = Syntax(
    comment="//",
    sigil="",
    register=re.compile(r"\b([xwqdshbv]\d+)\b"),
    jump=re.compile(r"^\tb\t([A-Za-z_]\w*)$"),
    jump_to="\tb\t",
    leaves=("\tb\t", "\tret", "\tbr\t"),
    conditional=re.compile(r"^(\tb\.\w+\t|\tcbn?z\t\w+, )(\S+)$"),
    opposite=_opposite,
    near=re.compile(r"^\ttbn?z\t"),
    others=_others,
    call="\tbl",
    rewritten=_rewritten,
    fenced=None,
)

# -- fields ------------------------------------------------------------------------------------------------------------


class Field(Record):
    """A field of ``bits`` bits from bit ``at`` on of an instruction. It takes the number, or distance, without its
    lowest ``shift`` bits, which for a distance have to be 0, as all above the field have to repeat its sign."""

    at: int
    bits: int
    shift: int
    distance: bool = False


FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "g0": Field(5, 16, 0),
        "g1": Field(5, 16, 16),
        "g2": Field(5, 16, 32),
        "g3": Field(5, 16, 48),
        "unsigned": Field(5, 16, 16),
        "signed": Field(5, 16, 16),
        "jump26": Field(0, 26, 2, distance=True),
        "jump19": Field(5, 19, 2, distance=True),
        "jump14": Field(5, 14, 2, distance=True),
        "near": Field(5, 21, 0, distance=True),
    }
)
"""Kinds of fields. ``unsigned`` and ``signed`` are the upper half of a number of 32 bits; the latter decides between
``movz`` and ``movn``. ``near``, of ``adr``, has its lowest two bits elsewhere."""
RELOCATIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        264: "g0",
        266: "g1",
        268: "g2",
        269: "g3",
        265: "unsigned",
        271: "signed",
        273: "jump19",
        274: "near",
        279: "jump14",
        280: "jump19",
        282: "jump26",
        283: "jump26",
    }
)
"""R_AARCH64_MOVW_UABS_G0_NC, _G1_NC, _G2_NC, _G3, _G1, _SABS_G1, _LD_PREL_LO19, _ADR_PREL_LO21, _TSTBR14, _CONDBR19,
_JUMP26, _CALL26."""

_WORD: Final = struct.Struct("<I")
_MOVZ: Final = 1 << 30
"""Set in ``movz``, clear in ``movn``."""


def patch(code: bytearray, at: int, kind: str, value: int) -> None:
    """See :class:`wardian.compile.baseline.machines.Machine`."""
    field = FIELDS[kind]
    (word,) = _WORD.unpack_from(code, at)
    if field.distance:
        limit = 1 << (field.bits + field.shift - 1)
        if not -limit <= value < limit or value & ((1 << field.shift) - 1):
            raise struct.error(f"{value} does not fit {kind}")
    elif kind == "signed":
        if not -1 << 31 <= value < 1 << 31:
            raise struct.error(f"{value} does not fit {kind}")
        word = word & ~_MOVZ if value < 0 else word | _MOVZ
        value = ~value if value < 0 else value
    elif (kind == "unsigned" and not 0 <= value < 1 << 32) or not -1 << 63 <= value < 1 << 64:
        raise struct.error(f"{value} does not fit {kind}")
    if kind == "near":
        _WORD.pack_into(code, at, word & 0x9F00001F | (value & 3) << 29 | (value >> 2 & 0x7FFFF) << 5)
        return
    mask = ((1 << field.bits) - 1) << field.at
    _WORD.pack_into(code, at, word & ~mask | (value >> field.shift << field.at) & mask)


# -- pieces in assembler -----------------------------------------------------------------------------------------------

_SAVED: Final = (("x27", "x28"), ("x25", "x26"), ("x23", "x24"), ("x21", "x22"), ("x19", "x20"))
SAVED_BYTES: Final = 16 * len(_SAVED)
"""What the prologue saves below the frame pointer; slots lie below that."""

WORD_ARGUMENTS: Final = tuple(f"x{i}" for i in range(1, 8))
"""Where the integer parameters of a function arrive, after the context in ``x0``."""
FLOAT_ARGUMENTS: Final = tuple(f"q{i}" for i in range(8))
FIRST_STACK_ARGUMENT: Final = 16
"""Displacement of the first one from the frame pointer."""
_RESULT: Final = ("x0", "d0")
_PAIR: Final = (("x0", "x1"), ("0", "1"))


def _number(register: str, hole: str) -> str:
    return _instructions(register, hole, 0, None) + "\n"


def _load(register: str, hole: str, base: str = _FRAME) -> str:
    return f"{_number(_SCRATCH, hole)} ldr {register}, [{base}, {_SCRATCH}]\n"


def _store(register: str, hole: str) -> str:
    return f"{_number(_SCRATCH, hole)} str {register}, [{_FRAME}, {_SCRATCH}]\n"


def _name(cls: int, code: int) -> str:
    """The register, floats as their low 64 bits."""
    return REGISTERS.words[code][0] if cls == 0 else REGISTERS.vectors[code][1]


def _whole(code: int) -> str:
    return f"{REGISTERS.vectors[code][-1]}.16b"


def prologue() -> str:
    """Save what must be saved, look for room on the stack, take the frame. ``I_s``: minus the bytes of the slots."""
    pairs = "\n".join(f" stp {x}, {y}, [sp, #-16]!" for x, y in _SAVED)
    # SAFETY: nothing below the stack pointer is touched before it is known that all slots lie above the stack limit;
    # the sum cannot wrap, for a frame has at most 2 * MAX_LOCALS + MAX_DEPTH slots. The limit is compared with the
    # opposite condition around a branch that reaches any distance.
    return f""" paciasp
 stp x29, x30, [sp, #-16]!
 mov x29, sp
{pairs}
 mov {_CONTEXT}, x0
 mov {_FRAME}, x29
 ldr {_SCRATCH}, [{_CONTEXT}, #{HEADER.at["store"]}]
 ldr {_SCRATCH}, [{_SCRATCH}, #{STORE.at["stack_limit"]}]
{_number(_VALUE, "I_s")} add {_VALUE}, x29, {_VALUE}
 sub {_VALUE}, {_VALUE}, #{SAVED_BYTES}
 cmp {_VALUE}, {_SCRATCH}
 b.hs .LBB_room
 b trap_STACK_EXHAUSTED
.LBB_room:
 mov sp, {_VALUE}
"""


def popped(words: int) -> int:
    """Bytes that ``tailcc`` has the callee take off the stack."""
    return (8 * words + 15) & -16


def epilogue(words: int) -> str:
    """Return, and take so many words of parameters off the stack; from ``2 * MOST_PAIRS`` on, ``I_s`` bytes."""
    pairs = "\n".join(f" ldp {x}, {y}, [sp], #16" for x, y in reversed(_SAVED))
    size = popped(words)
    pops = f" add sp, sp, #{size}\n" if size else ""
    if words >= 2 * MOST_PAIRS:
        pops = f"{_number(_SCRATCH, 'I_s')} add sp, sp, {_SCRATCH}\n"
    # SAFETY: x29 is where the prologue left it, for no stencil may change it, so what is popped is what was pushed; the
    # return address is authenticated with the stack pointer it was signed with.
    return f" sub sp, x29, #{SAVED_BYTES}\n{pairs}\n ldp x29, x30, [sp], #16\n autiasp\n{pops} ret\n"


def pass_argument(letter: str, register: str) -> str:
    """An argument of a tail call, from its slot (``@A_s``)."""
    return _load(f"d{register[1:]}" if letter == "f" else register, "A_s")


def put_aside() -> str:
    """An argument that goes on the stack, in the order of their addresses, from its slot (``@A_s``)."""
    # SAFETY: below the frame is the room that every function leaves for what it calls.
    return f"{_load(_VALUE, 'A_s')} str {_VALUE}, [sp, #-16]!\n"


def leave() -> str:
    """Of a tail call, when all arguments are in their registers or put aside: give up the frame, with the callee in the
    first pinned integer and its context in the second. ``@I_s``: where the word below the arguments will be."""
    saved = "".join(f" ldp {x}, {y}, [x29, #{-16 * (i + 1)}]\n" for i, (x, y) in enumerate(_SAVED))
    # SAFETY: everything the frame holds has been read but what was put aside, which lies below it. The return address
    # is authenticated with the stack pointer it was signed with, which was just above the frame's first pair; the stack
    # pointer itself stays below what was put aside, for a signal's handler uses what lies below it.
    return f""" mov x8, {_name(0, OPERANDS)}
 mov x0, {_name(0, OPERANDS + 1)}
{_number(_VALUE, "I_s")} add x9, x29, {_VALUE}
 add x10, x29, #16
{saved} ldp x29, {_VALUE}, [x29]
 mov {_SCRATCH}, x10
 autia1716
 mov x30, {_VALUE}
"""


def put_back() -> str:
    """What was put aside last, to its place (``@I_s`` from the word below the arguments)."""
    return f" ldr {_VALUE}, [sp], #16\n{_number(_SCRATCH, 'I_s')} str {_VALUE}, [x9, {_SCRATCH}]\n"


def go(*, guessed: bool) -> str:
    """Jump to the callee, with the stack as its caller would have left it."""
    assert guessed, "without fences there are no stencils of this level"
    # Only from these two scratch registers may a jump lead to where calls land.
    return f" add sp, x9, #8\n mov {_SCRATCH}, x8\n br {_SCRATCH}\n"


def load_base() -> str:
    """Base of memory 0; ``@I_s``: where the context has it."""
    return _load(_MEMORY, "I_s", _CONTEXT)


def argument(cls: int, register: str, code: int) -> str:
    """An argument into its local's place (``@A_s``)."""
    if code == SLOT:
        return _store(register if cls == 0 else f"d{register[1:]}", "A_s")
    return f" mov {_name(0, code)}, {register}\n" if cls == 0 else f" mov {_whole(code)}, v{register[1:]}.16b\n"


def stack_argument(cls: int, code: int) -> str:
    """A parameter on the stack (``@I_s``) into its local's place (``@A_s``)."""
    if code == SLOT:
        return _load(_VALUE, "I_s") + _store(_VALUE, "A_s")
    return _load(_name(cls, code), "I_s")


def vector_argument(register: str) -> str:
    """A vector into its local's slots (``@A_s``)."""
    return _store(register, "A_s")


def result(cls: int | None, code: int) -> str:
    """A result (``@A_s``) where the caller looks for it."""
    if cls is None:
        return ""
    if code == CONSTANT:
        return _number(_RESULT[0], "A_s")
    if code == SLOT:
        return _load(_RESULT[cls], "A_s")
    return f" mov x0, {_name(0, code)}\n" if cls == 0 else f" mov v0.16b, {_whole(code)}\n"


def vector_result() -> str:
    return _load("q0", "A_s")


def result_pair(letters: str) -> str:
    """Two results, from slots (``@A_s``, ``@B_s``)."""
    free = [iter(each) for each in _PAIR]
    text = ""
    for letter, hole in zip(letters, "AB", strict=True):
        register = next(free[letter != "w"])
        text += _load({"w": "", "f": "d", "v": "q"}[letter] + register, f"{hole}_s")
    return text


def clear() -> str:
    """Zero for :func:`clear_slot`, which needs none."""
    return ""


def clear_slot() -> str:
    return _store("xzr", "A_s")


def clear_word(code: int) -> str:
    return f" mov {_name(0, code)}, xzr\n"


def clear_float(code: int) -> str:
    return f" movi {REGISTERS.vectors[code][-1]}.2d, #0\n"


_LETTER: Final = MappingProxyType({"i32": "x", "i64": "x", "f32": "s", "f64": "d"})


def _typed(type: str, register: str) -> str:
    return _LETTER[type] + register[1:]


def fetch(type: str, hole: str, register: str) -> str:
    """A slot's value into a register. Integers always fill their slots."""
    return _load(_typed(type, register), f"{hole}_s")


def store(type: str, register: str) -> str:
    """A register into the result's slot."""
    return _store(_typed(type, register), "D_s")


def move(cls: int, source: int, target: int) -> str:
    """From place to place (``@A_s``, ``@D_s``); a constant is extended with its sign."""
    if source == CONSTANT:
        return _number(_VALUE, "A_s") + _store(_VALUE, "D_s") if target == SLOT else _number(_name(0, target), "A_s")
    if source == SLOT and target == SLOT:
        return _load(_VALUE, "A_s") + _store(_VALUE, "D_s")
    if source == SLOT:
        return _load(_name(cls, target), "A_s")
    if target == SLOT:
        return _store(_name(cls, source), "D_s")
    if cls == 0:
        return f" mov {_name(0, target)}, {_name(0, source)}\n"
    return f" mov {_whole(target)}, {_whole(source)}\n"


