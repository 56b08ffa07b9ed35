"""Makes the library of stencils: which templates there are, and in which registers.

Invariant: every instruction a template exists for is taken from the instruction table and lowered by its family's
lowering. Nothing here says what an instruction computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wardian.compile import exceptions, heap
from wardian.compile.baseline import machine as x86_64
from wardian.compile.baseline.aggregates import cast, fixed, object_, structure
from wardian.compile.baseline.facts import (
    ANY,
    COMPARISONS,
    FINAL,
    FUNCTION,
    MANY,
    OPEN,
    PLAIN,
    SUBTYPES,
    call_group,
    payload_group,
    throw_group,
)
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.baseline.holes import Hole, narrow, wide
from wardian.compile.baseline.machines import Machine
from wardian.compile.baseline.maker import Maker
from wardian.compile.baseline.memories import access, copy
from wardian.compile.baseline.shapes import CONSTANT, FLOAT, MOST_PAIRS, OPERANDS, PINNED, SLOT, WORD, pack
from wardian.compile.baseline.slots import immediates, signature, works_on_slots
from wardian.compile.baseline.tables import references, table, tables
from wardian.compile.baseline.templates import CLASS, Template, push_operands, push_slots
from wardian.compile.emit import Value, const
from wardian.syntax import families as f
from wardian.syntax.instructions import BY_NAME, ROWS, Row
from wardian.syntax.types import (
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    NumType,
    RefType,
    ValType,
)
from wardian.vm import builtins
from wardian.vm.abi import MAX_REGISTER_RESULTS
from wardian.vm.traps import TrapCode

if TYPE_CHECKING:
    from wardian.compile.llvm import Backend

CALL_WORDS: Final = 8
"""Calls with that many integer parameters, or any :data:`CALL_MIXED` parameters, are made ready."""
CALL_MIXED: Final = 3
SHIPPED_WORDS: Final = 16
SHIPPED_ONE_FLOAT: Final = 8
"""Made ready only for the package are those with that many integers, and with that many parameters of which one is a
float: making them takes a second, and a guest's first run should not load LLVM for a function with nine parameters."""
THROWN: Final = 3
"""Exceptions with that many integers are."""
_RETURNED: Final[Mapping[str, NumType]] = MappingProxyType({"w": I64, "f": F64, "v": V128})
RESULTS: Final[Mapping[str, tuple[NumType, ...]]] = MappingProxyType(
    {
        "": (),
        **{letter: (t,) for letter, t in _RETURNED.items()},
        **{x + y: (_RETURNED[x], _RETURNED[y]) for x, y in product(_RETURNED, repeat=2)},
        MANY: (I64,) * (MAX_REGISTER_RESULTS + 1),
    }
)
"""What a call returns -> how stencils take it: both floats are the low part of the same register. How many results go
to a buffer, and of what types, makes no difference to the call."""
_THROWN_TYPES: Final[Mapping[str, ValType]] = MappingProxyType({**_RETURNED, FUNCTION: FUNCREF})
_RESULT: Final = MappingProxyType({I64: "%t0", F64: "%f0", V128: ""})
"""Where stencils have the result of a call; a vector is in its slots."""
GLOBALS: Final = MappingProxyType({"i32": I32, "i64": I64, "f32": F32, "f64": F64})
"""And vectors, which are in slots."""


def plain_rows() -> Iterator[Row]:
    """Rows whose operands and result are numbers of types that say all."""
    return (row for row in ROWS if isinstance(row.family, PLAIN))


def _types(row: Row) -> tuple[tuple[NumType, ...], NumType]:
    assert row.params is not None and row.results
    params = tuple(t for t in row.params if isinstance(t, NumType))
    result = row.results[0]
    assert isinstance(result, NumType) and len(params) == len(row.params)
    return params, result


# -- what there is -----------------------------------------------------------------------------------------------------


def collect(flavour: Flavour, machine: Machine = x86_64, *, shipped: bool = False) -> Maker:
    """Everything the baseline compiler asks for; ``shipped``: and what it may ask for."""
    maker = Maker(flavour, machine)
    _numeric(maker)
    _memory(maker, flavour)
    _variables(maker)
    _moves(maker)
    _control(maker)
    _calls(maker, shipped=shipped)
    _callees(maker)
    _on_slots(maker, flavour)
    references(maker)
    tables(maker)
    if flavour.options.exceptions:
        _exceptions(maker)
    _fuel(maker)
    _tiers(maker)
    _frames(maker)
    return maker


def _numeric(maker: Maker) -> None:
    for row in plain_rows():
        params, result = _types(row)
        last = len(params) - 1
        constants = tuple(i == last and i > 0 and CLASS[t] == WORD for i, t in enumerate(params))

        def do(t: Template, row: Row = row) -> None:
            t.do(row)

        maker.shaped(f"do {row.name}", params, constants, result, do)
        if isinstance(row.family, COMPARISONS):
            for when in (True, False):

                def branch(t: Template, row: Row = row, when: bool = when) -> None:
                    t.do(row)
                    t.branch(when=when)

                maker.shaped(f"{_IF[when]} {row.name}", params, constants, None, branch)
    for when in (True, False):

        def test(t: Template, when: bool = when) -> None:
            t.branch(when=when)

        maker.shaped(f"{_IF[when]} true", (I32,), (False,), None, test)


_IF: Final = MappingProxyType({True: "if", False: "unless"})


def _memory(maker: Maker, flavour: Flavour) -> None:
    address = I64 if flavour.is64 else I32
    access = (0, Hole("I_s"), 0)
    for row in ROWS:
        family = row.family

        def do(t: Template, row: Row = row) -> None:
            t.do(row, access)

        if isinstance(family, f.Load) and family.type in CLASS:
            maker.shaped(f"do {row.name}", (address,), (False,), family.type, do)
        elif isinstance(family, f.Store) and family.type in CLASS:
            constants = (False, CLASS[family.type] == WORD)
            maker.shaped(f"do {row.name}", (address, family.type), constants, None, do)
    bulk: dict[str, tuple[NumType, ...]] = {
        "memory.fill": (address, I32, address),
        "memory.init": (address, I32, I32),
        "memory.copy": (address, address, address),
    }
    for name, types in bulk.items():

        def fill(t: Template, name: str = name, types: tuple[NumType, ...] = types) -> None:
            push_slots(t, "A_s", types)
            t.do(BY_NAME[name], 0 if name == "memory.fill" else (0, 0))
            t.clobber(keep_floats=True)

        maker.single(f"do {name}", 0, fill)
    sizes: dict[str, tuple[NumType, ...]] = {"memory.size": (), "memory.grow": (address,)}
    for name, types in sizes.items():

        def size(t: Template, name: str = name, types: tuple[NumType, ...] = types) -> None:
            push_slots(t, "A_s", types)
            t.do(BY_NAME[name], 0)
            t.result("")
            if types:
                t.clobber(keep_floats=True)

        maker.single(f"do {name}", 0, size)


def _variables(maker: Maker) -> None:
    for (name, of_type), indirect in product(GLOBALS.items(), (False, True)):
        maker.facts.about(indirect=indirect, type=of_type)
        where = "far" if indirect else "near"

        def read(t: Template) -> None:
            t.do(BY_NAME["global.get"], Hole("I_s"))

        def write(t: Template) -> None:
            t.do(BY_NAME["global.set"], Hole("I_s"))

        maker.shaped(f"global.get {name} {where}", (), (), of_type, read)
        maker.shaped(f"global.set {name} {where}", (of_type,), (CLASS[of_type] == WORD,), None, write)
    for indirect in (False, True):
        maker.facts.about(indirect=indirect, type=V128)
        where = "far" if indirect else "near"

        def read_vector(t: Template) -> None:
            t.do(BY_NAME["global.get"], Hole("I_s"))
            t.result("")

        def write_vector(t: Template) -> None:
            push_operands(t, (V128,))
            t.do(BY_NAME["global.set"], Hole("I_s"))

        maker.single(f"global.get v128 {where}", SLOT, read_vector)
        maker.single(f"global.set v128 {where}", SLOT, write_vector)
    for name, of_type in {"w": I64, "f": F64}.items():

        def select(t: Template) -> None:
            t.do(BY_NAME["select"], None)

        maker.shaped(f"select {name}", (of_type, of_type, I32), (False, False, False), of_type, select)


def _moves(maker: Maker) -> None:
    """Between any two places of a class, and constants into places."""
    for name, cls in (("w", WORD), ("f", FLOAT)):
        codes = [*range(OPERANDS + PINNED[cls]), SLOT]
        for source, target in product([*codes, CONSTANT] if cls == WORD else codes, codes):
            if source != target or source == SLOT:
                maker.raw(f"move {name}", pack((source, target)), maker.machine.move(cls, source, target))
    for name, of_type, symbol in (("w", I64, "A_q"), ("d", F64, "A_q"), ("s", F32, "A_u")):

        def constant(t: Template, of_type: ValType = of_type, symbol: str = symbol) -> None:
            b = t.lo.b
            if of_type is F32:
                t.lo.push(b.cast("bitcast", (narrow(symbol), "i32"), "float"))
            elif of_type is F64:
                t.lo.push(b.cast("bitcast", (wide(symbol), "i64"), "double"))
            else:
                t.lo.push((wide(symbol), "i64"))

        maker.shaped(f"const {name}", (), (), of_type, constant)


def _control(maker: Maker) -> None:
    def jump(t: Template) -> bool:
        t.lo.b.lines += t.go("@target")
        return True

    maker.single("jump", 0, jump)

    def switch(t: Template) -> bool:
        b = t.lo.b
        index = t.lo.pop()
        last = (narrow("I_u"), "i32")
        bounded = b.cast("zext", b.intrinsic("umin.i32", "i32", index, last), "i64")
        entry = b.index(("@table", "ptr"), bounded, "i32")
        delta = b.cast("sext", b.load(entry, "i32", "", align=4), "i64")
        t.jump_to(b.index(("@table", "ptr"), delta))
        return True

    maker.shaped("br_table", (I32,), (False,), None, switch)
    for code in TrapCode:

        def trap(t: Template, code: TrapCode = code) -> bool:
            b = t.lo.b
            function = b.load(b.offset(t.lo.builtins(), builtins.SLOT["trap"]), "ptr", "")
            b.lines.append(f" call void {function[0]}(ptr %ctx, i32 {int(code)}) noreturn cold\n unreachable")
            return True

        maker.single("trap", int(code), trap)


def _fuel(maker: Maker) -> None:
    """Paying ``I``."""

    def pay(t: Template) -> None:
        assert t.lo.tank is not None
        t.lo.tank.pay((wide("I_s"), "i64"))

    if maker.facts.options.fuel:
        maker.single("fuel", 0, pay)


def _tiers(maker: Maker) -> None:
    """Counting how often code runs, and going over to better code.

    ``count`` adds ``J`` to the heat at ``I`` and jumps when it wraps. ``hot`` asks whether there is better code for the
    loop ``J`` of function ``I`` and jumps if so, with its address in the first operand register, from where ``enter``
    calls it with this frame.
    """

    def count(t: Template) -> None:
        b = t.lo.b
        heat = b.offset(("%ctx", "ptr"), Hole("I_s"))
        old = b.load(heat, "i32", "", align=4)
        both = b.intrinsic("uadd.with.overflow.i32", "{ i32, i1 }", old, (narrow("J_u"), "i32"))
        b.store(b.extract(both, 0, "i32"), heat, "", align=4)
        t.lo.push(b.extract(both, 1, "i1"))
        t.branch(when=True)

    maker.single("count", 0, count)

    def hot(t: Template) -> None:
        b = t.lo.b
        index, site = (b.cast("zext", (narrow(name), "i32"), "i64") for name in ("I_u", "J_u"))
        address = t.lo.builtin("hot", "i64", index, site)
        t.clobber(keep_floats=False)
        t.change("%t0", address[0])
        t.lo.push(b.icmp("ne", address, const(0, "i64")))
        t.branch(when=True)

    maker.single("hot", 0, hot)
    for name, results in RESULTS.items():

        def enter(t: Template, results: tuple[NumType, ...] = results) -> None:
            code = t.lo.b.cast("inttoptr", ("%t0", "i64"), "ptr")
            t.enter(code, results)
            t.clobber(keep_floats=False)
            if len(results) == 1:
                t.result(_RESULT[results[0]])
            else:
                t.results("D_s", results)

        if name != MANY:
            maker.single(f"enter {name}", 0, enter)


def call_shapes(*, shipped: bool = False) -> Iterable[str]:
    yield from ("w" * n for n in range((SHIPPED_WORDS if shipped else CALL_WORDS) + 1))
    for n in range(1, CALL_MIXED + 1):
        yield from ("".join(letters) for letters in product("wf", repeat=n) if "f" in letters)
    for n in range(CALL_MIXED + 1, SHIPPED_ONE_FLOAT + 1) if shipped else ():
        yield from ("w" * at + "f" + "w" * (n - at - 1) for at in range(n))


def _calls(maker: Maker, *, shipped: bool) -> None:
    for kind, params, result in product(("near", "far", "indirect"), call_shapes(shipped=shipped), ("", *"wf")):
        call(maker, kind, params, result)


def call(maker: Maker, kind: str, params: str, result: str) -> None:
    """A call (:func:`wardian.compile.baseline.facts.call_group`): operands in neighbouring slots from ``A`` on; ``I``:
    where the FUNCREF is, or the type word; ``J``: where the table is; ``C``: where the type is among the ancestors of a
    subtype; ``B``: slots that are a buffer for results."""
    types = tuple(_RETURNED[letter] for letter in params)
    results = RESULTS[result]
    group = call_group(kind, params, result)
    # No register is renamed here, for some of those a call's arguments travel in are operand registers as well.
    register = _RESULT[results[0]] if len(results) == 1 else ""
    for code in (0, SLOT) if register else (SLOT,) if results else (0,):

        def build(t: Template, code: int = code) -> None:
            facts = maker.facts
            facts.about(indirect=kind == "far")
            facts.signature = FuncType(types, results)
            push_slots(t, "A_s", types)
            t.buffer("B_s")
            facts.subtypes = kind.endswith(SUBTYPES)
            above = len(types) + params.count("v")
            if kind.startswith("indirect"):
                address = I64 if kind.startswith("indirect64") else I32
                facts.tables = [table(FUNCREF, address)]
                push_slots_from(t, above, address)
                t.do(BY_NAME["call_indirect"], (Hole("I_s"), 0))
            elif kind == "ref":
                push_slots_from(t, above, FUNCREF)
                t.do(BY_NAME["call_ref"], 0)
            else:
                call_function(t, kind == "far")
            facts.signature = FuncType((), ())
            if len(results) == 1:
                t.result("" if code == SLOT else register)
            elif result == MANY:
                t.lo.pop_n(len(results))
            else:
                t.results("D_s", results)
            t.clobber(keep_floats=False)

        maker.single(group, code, build)


def _callees(maker: Maker) -> None:
    """Of tail calls: the callee's code and its context into the first two pinned integers, of no use any more.

    Holes are as in :func:`call`, but ``A`` is the reference or the index.
    """
    for kind in ("near", "far", "ref", *(n + s for n in ("indirect", "indirect64") for s in ("", SUBTYPES))):

        def build(t: Template, kind: str = kind) -> bool:
            facts = maker.facts
            facts.about(indirect=kind == "far")
            facts.subtypes = kind.endswith(SUBTYPES)
            t.leaves("%p0", "%p1")
            if kind.startswith("indirect"):
                address = I64 if kind.startswith("indirect64") else I32
                facts.tables = [table(FUNCREF, address)]
                push_operands(t, (address,))
                t.do(BY_NAME["return_call_indirect"], (Hole("I_s"), 0))
            elif kind == "ref":
                push_operands(t, (FUNCREF,))
                t.do(BY_NAME["return_call_ref"], 0)
            else:
                call_function(t, kind == "far", tail=True)
            return True

        maker.single(f"callee {kind}", 0, build)
    machine = maker.machine
    for number, register in enumerate(machine.WORD_ARGUMENTS):
        maker.raw("pass w", number, machine.pass_argument("w", register))
    for number, register in enumerate(machine.FLOAT_ARGUMENTS):
        for letter in "fv":
            maker.raw(f"pass {letter}", number, machine.pass_argument(letter, register))
    maker.raw("pass on stack", 0, machine.put_aside())
    maker.raw("leave", 0, machine.leave())
    maker.raw("put on stack", 0, machine.put_back())
    maker.raw("go", 0, machine.go(guessed=maker.facts.options.spectre != "full"))


def _on_slots(maker: Maker, flavour: Flavour) -> None:
    """Vectors and atomics, all in slots: one stencil for each instruction, and for each lane it can name."""
    address = I64 if flavour.is64 else I32
    for row in filter(works_on_slots, ROWS):
        params, result = signature(row, address)
        for key, imm in immediates(row, Hole("I_s")):

            maker.single(f"do {row.name}", key, partial(_in_slots, row=row, imm=imm, params=params, result=result))

    def select(t: Template) -> None:
        push_operands(t, (V128, V128, I32))
        t.do(BY_NAME["select"])
        t.result("")

    maker.single("select v", 0, select)
    for row in ROWS:
        family = row.family
        if isinstance(family, f.WideBin | f.WideMul):
            maker.single(f"do {row.name}", 0, partial(_wide, row=row))
        elif isinstance(family, f.AtomicFence):
            maker.single(f"do {row.name}", 0, partial(_in_slots, row=row, imm=None, params=(), result=None))
        elif isinstance(family, f.AtomicWait | f.AtomicNotify):
            taken = (address, family.type, I64) if isinstance(family, f.AtomicWait) else (address, I32)

            def call(t: Template, row: Row = row, taken: tuple[NumType, ...] = taken) -> None:
                push_slots(t, "A_s", taken)
                t.do(row, (0, Hole("I_s"), 0))
                t.result("")
                t.clobber(keep_floats=True)

            maker.single(f"do {row.name}", 0, call)


def _in_slots(t: Template, row: Row, imm: object, params: tuple[NumType, ...], result: NumType | None) -> None:
    push_operands(t, params)
    t.do(row, imm)
    if result is not None:
        t.result("")


def _wide(t: Template, row: Row) -> None:
    """Operands in neighbouring slots from ``A`` on, where the results go."""
    assert row.params is not None and row.results is not None
    push_slots(t, "A_s", row.params)
    t.do(row)
    t.results("A_s", (I64,) * len(row.results))


def _exceptions(maker: Maker) -> None:
    """Throwing, and what handlers are made of: ``unless tagged`` jumps if the pending exception's tag is not the one at
    ``I``, ``payload`` takes the value at ``I`` out of it, ``exception`` is the exception itself."""
    for count in range(THROWN + 1):
        throw(maker, "w" * count)

    def again(t: Template) -> bool:
        t.do(BY_NAME["throw_ref"])
        return True

    maker.shaped("throw_ref", (I32,), (False,), None, again)

    def pending(t: Template) -> Value:
        return t.lo.b.load(exceptions.pending_word(t.lo), "i32", "", align=4)

    def tagged(t: Template) -> None:
        t.lo.push(exceptions.is_tagged(t.lo, pending(t), 0))
        t.branch(when=False)

    maker.single("unless tagged", 0, tagged)
    for of_type in CLASS:

        def payload(t: Template, of_type: NumType = of_type) -> None:
            at = t.lo.b.offset(heap.pointer(t.lo, pending(t)), Hole("I_s"))
            t.lo.push(heap.read(t.lo, at, of_type, None))

        maker.shaped(payload_group(of_type), (), (), of_type, payload)

    def vector(t: Template) -> None:
        at = t.lo.b.offset(heap.pointer(t.lo, pending(t)), Hole("I_s"))
        t.lo.push(heap.read(t.lo, at, V128, None))
        t.result("")

    maker.single(payload_group(V128), SLOT, vector)
    for how, type_ in functions_in_the_heap().items():

        def function(t: Template, how: str = how, type_: RefType = type_) -> None:
            maker.facts.subtypes = how == OPEN
            at = t.lo.b.offset(heap.pointer(t.lo, pending(t)), Hole("I_s"))
            t.lo.push(heap.read(t.lo, at, type_, None))
            t.result("")

        maker.single(payload_group(how), SLOT, function)

    def exception(t: Template) -> None:
        t.lo.push(pending(t))

    maker.shaped("exception", (), (), I32, exception)

    def caught(t: Template) -> None:
        t.lo.b.store(const(0, "i32"), exceptions.pending_word(t.lo), "", align=4)

    maker.single("caught", 0, caught)


def throw(maker: Maker, letters: str) -> None:
    """A ``throw`` of values in neighbouring slots from ``A`` on, with the tag at ``I``."""
    types = tuple(_THROWN_TYPES[letter] for letter in letters)

    def build(t: Template) -> bool:
        maker.facts.signature = FuncType(types, ())
        push_slots(t, "A_s", types)
        t.do(BY_NAME["throw"], 0)
        maker.facts.signature = FuncType((), ())
        return True

    maker.single(throw_group(letters), 0, build)


def functions_in_the_heap() -> dict[str, RefType]:
    """Types of function references that come out of the heap: ``J``: the type word; ``C``: where it is among the
    ancestors of a subtype."""
    some = RefType(True, Hole("J_s"))
    return {ANY: FUNCREF, FINAL: some, OPEN: some}


def push_slots_from(t: Template, position: int, type: ValType) -> None:
    """Push what is in the slot ``position`` places after ``A``."""
    b = t.lo.b
    t.lo.push(b.load(b.offset(("%fp", "ptr"), Hole("A_s", -8 * position)), t.lo.facts.llvm(type), ""))


def call_function(t: Template, imported: bool, *, tail: bool = False) -> None:
    """As the lowering of ``call`` does, for a function only a hole is known of."""
    from wardian.compile.control import call_known

    call_known(t.lo, Hole("I_s"), imported, t.lo.facts.func_type(0), tail=tail)


def _frames(maker: Maker) -> None:
    stacked = range(0, 2 * MOST_PAIRS + 1, 2)
    maker.raw("prologue", 0, maker.machine.prologue())
    maker.raw("base", 0, maker.machine.load_base())
    for cls, arguments in ((WORD, maker.machine.WORD_ARGUMENTS), (FLOAT, maker.machine.FLOAT_ARGUMENTS)):
        for number, register in enumerate(arguments):
            for code in (*range(OPERANDS, OPERANDS + PINNED[cls]), SLOT):
                maker.raw("argument " + "wf"[cls], pack((number, code)), maker.machine.argument(cls, register, code))
        for code in (*range(OPERANDS, OPERANDS + PINNED[cls]), SLOT):
            maker.raw("stack argument " + "wf"[cls], code, maker.machine.stack_argument(cls, code))
    for number, register in enumerate(maker.machine.FLOAT_ARGUMENTS):
        maker.raw("argument v", number, maker.machine.vector_argument(register))
    for count in stacked:
        text = maker.machine.vector_result() + maker.machine.epilogue(count)
        maker.raw("return v", pack((SLOT, count // 2)), text)
    for pair in (name for name in RESULTS if len(name) == MAX_REGISTER_RESULTS):
        for count in stacked:
            text = maker.machine.result_pair(pair) + maker.machine.epilogue(count)
            maker.raw(f"return {pair}", pack((0, count // 2)), text)
    for letter, of_type in (("w", I64), ("v", V128)):

        def into_buffer(t: Template, of_type: NumType = of_type) -> None:
            push_operands(t, (of_type, I64))
            b = t.lo.b
            buffer = b.cast("inttoptr", t.lo.pop(), "ptr")
            b.store(t.lo.pop(), b.offset(buffer, Hole("I_s")), "")

        maker.single(f"give {letter}", 0, into_buffer)
    results: tuple[tuple[str, int | None], ...] = (("", None), ("w", WORD), ("f", FLOAT))
    for name, kind in results:
        codes: list[int] = [0] if kind is None else [*range(OPERANDS + PINNED[kind]), SLOT]
        for code, count in product([*codes, CONSTANT] if kind == WORD else codes, stacked):
            text = maker.machine.result(kind, code) + maker.machine.epilogue(count)
            maker.raw(f"return {name}", pack((code, count // 2)), text)
    maker.raw("clear", 0, maker.machine.clear())
    maker.raw("clear word", SLOT, maker.machine.clear_slot())
    for code in range(OPERANDS, OPERANDS + PINNED[WORD]):
        maker.raw("clear word", code, maker.machine.clear_word(code))
    for code in range(OPERANDS, OPERANDS + PINNED[FLOAT]):
        maker.raw("clear float", code, maker.machine.clear_float(code))


def library(flavour: Flavour, backend: Backend, *, shipped: bool = False) -> bytes:
    """The encoded library of a flavour; ``shipped``: for the package."""
    return collect(flavour, shipped=shipped).make(backend)


_MORE: Final[Mapping[str, Callable[..., None]]] = MappingProxyType(
    {
        "call": lambda maker, kind, types: call(maker, kind, *types.split(":")),
        "throw": throw,
        "access": access,
        "copy": copy,
        "object": object_,
        "structure": structure,
        "fixed": fixed,
        "cast": cast,
    }
)
"""First words of groups that are made when they are needed, and what makes them, given the others."""


def more(flavour: Flavour, group: str, backend: Backend) -> bytes:
    """An encoded library of one group. Raises :class:`ValueError` for what is none's name."""
    maker = Maker(flavour)
    what, *how = group.split(" ")
    try:
        _MORE[what](maker, *how)
    except (KeyError, TypeError) as error:
        raise ValueError(f"there are no such stencils: {group!r}") from error
    return maker.make(backend)

