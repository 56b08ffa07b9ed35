"""Stencils before they have registers: LLVM functions made by the same lowering the optimising tier uses.

A template is the lowering of one instruction with its operands taken from named places, its result put into one, and
its immediates left as holes. Invariant: what an instruction does is written nowhere here; this file only moves values
between places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, final

from wardian.compile.baseline.holes import Anywhere, Hole, in_register, narrow, pointer, wide
from wardian.compile.baseline.machines import Machine
from wardian.compile.baseline.shapes import FLOAT, WORD
from wardian.compile.emit import Value
from wardian.compile.function import Handlers, Lowering, ModuleFacts
from wardian.compile.options import CodeOptions
from wardian.syntax.instructions import Row
from wardian.syntax.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    MemoryType,
    NumType,
    TableType,
    ValType,
)
from wardian.vm.objects import StructLayout
from wardian.vm.traps import TrapCode

SLOT_BYTES: Final = 8

_TYPES: Final = {
    I32: "i32",
    I64: "i64",
    F32: "float",
    F64: "double",
    V128: "<16 x i8>",
    FUNCREF: "ptr",
    EXTERNREF: "i32",
}
CLASS: Final = {I32: WORD, I64: WORD, F32: FLOAT, F64: FLOAT}

_OPERAND_REGISTERS: Final = (("%t0", "%t1", "%t3", "%t2"), ("%f0", "%f1", "%f3", "%f2"))
"""Of each class: what first, second and third operand are in before registers are renamed; the last is the result's."""
KEPT: Final = ("%ctx", "%fp", "%p0", "%p1", "%p2", "%mem")
"""What survives calls by itself."""
PINNED_FLOATS: Final = ("%f4", "%f5")


@final
class _Layout:
    """A module's layout of which nothing is known: every offset is a hole."""

    counts = (0, 0)
    memories = Anywhere("", {0: "J_s"})
    tables = Anywhere("", {0: "J_s", 1: "C_s"})
    memory_bases = Anywhere("", {})
    tags = Anywhere("I_s")
    datas = Anywhere("I_s")
    elems = Anywhere("I_s")

    def __init__(self, indirect: bool) -> None:
        self._indirect = indirect

    def reach(self, definitions: Mapping[int, str], bases: Mapping[int, str]) -> None:
        """Holes for where memories and their bases are, by number."""
        self.memories, self.memory_bases = Anywhere("", definitions), Anywhere("", bases)

    def global_cell(self, index: Hole) -> tuple[bool, Hole]:
        return self._indirect, index

    def func_ref(self, index: Hole) -> tuple[bool, Hole]:
        return self._indirect, index


@final
class One:
    """A list all of whose items are the same one."""

    def __init__(self, item: object) -> None:
        self._item = item

    def __getitem__(self, index: int) -> object:
        return self._item


@final
class _Type:
    """A type of the module."""

    def __init__(self, final: bool, comp: ArrayType | None) -> None:
        self.final = final
        self.comp = comp


@final
class _Tag:
    """A tag of the signature at hand."""

    type = 0


@final
class Facts:
    """Stands for the :class:`ModuleFacts` of every module of one flavour."""

    has_objects = False
    is_stencil = True
    tags = One(_Tag())

    def __init__(self, options: CodeOptions, memory: MemoryType) -> None:
        self.options = options
        self.memories: Mapping[int, MemoryType] | One = One(memory)
        self.tables: list[TableType] | One = []
        """Of the next template. The element's type is that of any function or any other reference."""
        self.subtypes = False
        """May types of the next template have subtypes?"""
        self.array: ArrayType | None = None
        """The next template's arrays."""
        self.structure: tuple[tuple[FieldType, ...], StructLayout] = ((), StructLayout(0, (), ()))
        """The next template's structures."""
        self.layout = _Layout(indirect=False)
        self.globals = One(GlobalType(I32, True))
        self.signature = FuncType((), ())
        self.module = self
        self.funcs = (0,)

    @property
    def types(self) -> One:
        return One(_Type(not self.subtypes, self.array))

    def func_type(self, type_index: int) -> FuncType:
        return self.signature

    def struct(self, type_index: int) -> tuple[tuple[FieldType, ...], StructLayout]:
        return self.structure

    def depth(self, type_index: int) -> Hole:
        """Where a type is in a row of the table of ancestors."""
        return Hole("C_s")

    def llvm(self, type: ValType) -> str:
        # Types of functions that only a hole is known of are not in the list.
        return _TYPES.get(type) or "ptr"

    def reach(self, types: Mapping[int, MemoryType], definitions: Mapping[int, str], bases: Mapping[int, str]) -> None:
        """Say what memories there are in the next template."""
        self.memories = types
        self.layout.reach(definitions, bases)

    def about(self, *, indirect: bool, type: ValType = I32) -> None:
        """Say where the global or function of the next template is, and what the global holds."""
        self.layout = _Layout(indirect)
        self.globals = One(GlobalType(type, True))


@final
class Template:
    """Writes one template."""

    def __init__(self, facts: Facts, handlers: Handlers, machine: Machine) -> None:
        self._machine = machine
        self._parameters = machine.PARAMETERS
        # Facts has what lowering asks of a module, as far as instructions with templates ask.
        self.lo = Lowering(cast(ModuleFacts, facts), 0, [], handlers)
        self.lo._bases[0] = ("%mem", "ptr")
        self._handlers = handlers
        self._changes: dict[str, str] = {}
        self._tails: list[str] = []

    # -- operands and results ------------------------------------------------------------------------------------------

    def operand(self, position: int, register: str, type: ValType) -> None:
        """Push the operand at ``position``, which is in a register, or if that is ``""`` a constant."""
        kind = _TYPES[cast(Any, type)]
        name = "ABCD"[position]
        if register:
            self.lo.push(self.in_register(register, kind))
        else:
            self.lo.push((narrow(f"{name}_u") if kind == "i32" else wide(f"{name}_s"), kind))

    def in_register(self, name: str, kind: str) -> Value:
        b = self.lo.b
        if kind == "i64":
            return name, kind
        if kind == "i32":
            return b.cast("trunc", (name, "i64"), kind)
        if kind == "double":
            return b.lane(b.cast("bitcast", (name, "<4 x float>"), "<2 x double>"), ("0", "i32"), kind)
        return b.lane((name, "<4 x float>"), ("0", "i32"), kind)

    def result(self, register: str) -> None:
        """Pop the result into a register, or if that is ``""`` into its slot."""
        b = self.lo.b
        value = self.lo.pop()
        if value[1] == "ptr":
            value = b.cast("ptrtoint", value, "i64")
        if value[1] == "i32":
            value = b.cast("zext", value, "i64")
        if not register:
            b.store(value, b.offset(("%fp", "ptr"), Hole("D_s")), "")
            return
        if value[1] == "double":
            vector = b.with_lane(("poison", "<2 x double>"), value, 0)
            value = b.cast("bitcast", vector, "<4 x float>")
        elif value[1] == "float":
            value = b.with_lane(("poison", "<4 x float>"), value, 0)
        self._changes[register] = value[0]

    def results(self, first: str, types: Sequence[NumType]) -> None:
        """Pop results into neighbouring slots of which the hole ``first`` is the first."""
        b = self.lo.b
        at = 0
        values = []
        for value, t in zip(self.lo.pop_n(len(types)), types, strict=True):
            at -= SLOT_BYTES if t is V128 else 0
            values.append((value, at))
            at -= SLOT_BYTES
        for value, at in values:
            b.store(value, b.offset(("%fp", "ptr"), Hole(first, at)), "")

    def buffer(self, hole: str) -> None:
        """Results that go to a buffer go to the slots at ``hole``."""
        self.lo.results_at(self.lo.b.offset(("%fp", "ptr"), Hole(hole)))

    def enter(self, code: Value, results: Sequence[NumType]) -> None:
        """Call what goes on in this frame, and push its results."""
        b = self.lo.b
        kinds = [self.lo.facts.llvm(t) for t in results]
        kind = "void" if not kinds else kinds[0] if len(kinds) == 1 else f"{{ {', '.join(kinds)} }}"
        value = b.call(kind, code, [("%ctx", "ptr"), ("%fp", "ptr")], "tailcc ")
        if len(kinds) == 1:
            self.lo.push(value)
        elif kinds:
            self.lo.stack += [b.extract(value, i, name) for i, name in enumerate(kinds)]

    def far(self, symbol: str, like: int, most: int) -> Hole:
        """A hole for a number of 64 bits, to which up to ``most`` is added."""
        for added in range(-1, most + 1):
            # Those nobody uses leave nothing behind.
            name, value = in_register("far", added), f"ptrtoint (ptr {pointer(symbol, added)} to i64)"
            self.lo.b.entry.append(f' {name} = call i64 asm "", "=r,0"(i64 {value})')
        return Hole(symbol, 0, like, "far")

    def leaves(self, code: str, context: str) -> None:
        """Have a tail call's callee and its context put into parameters. Where there are two ways to them, which are to
        be kept apart, the second goes to the target."""
        b = self.lo.b
        ways = iter(("@next", "@target"))

        def leave(callee: Value, its: Value) -> None:
            words = [b.cast("ptrtoint", value, "i64")[0] for value in (callee, its)]
            b.lines += self.go(next(ways), dict(zip((code, context), words, strict=True)))

        self.lo.leave = leave

    def change(self, parameter: str, value: str) -> None:
        """What goes on has ``value`` for a parameter."""
        self._changes[parameter] = value

    def do(self, row: Row, imm: object = None) -> None:
        """Lower ``row``, operands being on the stack."""
        self._handlers.live[row.index](self.lo, row.family, imm)

    def clobber(self, keep_floats: bool) -> None:
        """Operand registers, and if need be pinned floats, are lost."""
        for name, _ in self._parameters:
            if name not in KEPT and not (keep_floats and name in PINNED_FLOATS):
                self._changes.setdefault(name, "poison")

    # -- endings -------------------------------------------------------------------------------------------------------

    def go(self, symbol: str, changes: Mapping[str, str] | None = None) -> list[str]:
        """``changes``: what parameters there have become, if not what was said."""
        changes = self._changes if changes is None else changes
        args = ", ".join([f"{t} {changes.get(n, n)}" for n, t in self._parameters])
        return [f" musttail call {self._machine.CONVENTION} void {symbol}({args})", " ret void"]

    def branch(self, *, when: bool) -> None:
        """Jump if the condition on the stack is ``when``, else go on."""
        cond = self.lo.pop_bool()
        b = self.lo.b
        taken, on = b.label(), b.label()
        b.cond_br(cond, *((taken, on) if when else (on, taken)))
        b.start(taken)
        b.lines += self.go("@target")
        b.start(on)

    def jump_to(self, address: Value) -> None:
        """Go on at an address that was computed."""
        self.lo.b.lines += self.go(address[0])

    def text(self, name: str, *, ends: bool = False) -> str:
        """The function; unless something has ended it, it goes on with what follows."""
        b = self.lo.b
        if not ends:
            b.lines += self.go("@next")
        if self.lo.propagates:
            b.start("propagate")
            b.lines += self.go("@target", {n: "poison" for n, _ in self._parameters if n not in KEPT})
        for code, label in self.lo.traps.items():
            b.start(label)
            b.lines += self.go(f"@trap_{TrapCode(code).name}", {})
        params = ", ".join([f"{t} {n}" for n, t in self._parameters])
        first = f"define {self._machine.CONVENTION} void @{name}({params}) #0 {{"
        lines = [first, "entry:", *b.entry, " br label %start", *b.lines, "}"]
        return "\n".join(lines)


def register_of(position: int, cls: int) -> str:
    """Where a template has an operand (``position`` 0 to 2) or its result (3)."""
    return _OPERAND_REGISTERS[cls][position]


def slots(first: str, count: int) -> list[str]:
    """Pointers to ``count`` neighbouring slots of which the hole ``first`` is the first."""
    return [pointer(first, -SLOT_BYTES * i) for i in range(count)]


def push_operands(template: Template, types: Sequence[ValType]) -> None:
    """Push operands that lie in slots anywhere."""
    b = template.lo.b
    for name, t in zip("ABC", types, strict=False):
        template.lo.push(b.load(b.offset(("%fp", "ptr"), Hole(f"{name}_s")), _TYPES[cast(Any, t)], ""))


def push_slots(template: Template, first: str, types: Sequence[ValType]) -> None:
    """Push operands that lie in neighbouring slots."""
    b = template.lo.b
    at = SLOT_BYTES
    for t in types:
        at -= 2 * SLOT_BYTES if t is V128 else SLOT_BYTES
        template.lo.push(b.load(b.offset(("%fp", "ptr"), Hole(first, at)), _TYPES[cast(Any, t)], ""))
