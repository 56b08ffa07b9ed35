"""Lowering one validated body to one LLVM function (spec chapter "Execution / Instructions", as code).

Invariant: the only way in is :meth:`Lowering.step`, which is given what :mod:`wardian.valid.driver` handed on after the
validator took the same instruction, so what was not validated is never lowered. Traps are exact: nothing observable
moves across one.

The operand stack holds SSA values; locals are slots of the frame (LLVM promotes them); structured control becomes
basic blocks whose parameters are phis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias, final

from wardian.compile import emit
from wardian.compile.emit import CONSTANT, HOSTDATA, UNLIKELY, Emitter, Value, const, phi_text
from wardian.compile.options import CodeOptions
from wardian.compile.tank import Tank
from wardian.record import Record
from wardian.syntax.families import Family
from wardian.syntax.instructions import Row
from wardian.syntax.module import Module
from wardian.syntax.types import FieldType, FuncType, MemoryType, NumType, RefType, StructType, TableType, ValType
from wardian.vm import abi, builtins
from wardian.vm.layout import FUNCREF, HEADER, STORE, InstanceLayout
from wardian.vm.objects import StructLayout, has_objects, struct_layout
from wardian.vm.traps import TrapCode

CTX: Final = ("%ctx", "ptr")
RET: Final = ("%ret", "ptr")

SMALL_FRAME: Final = 16 << 10
"""Bytes of native frame a leaf may use, or a prologue may touch, without looking at the stack limit first; well below
the headroom that :mod:`wardian.runtime` keeps."""

SLOT_SIZE: Final = 16
"""Upper bound of the stack one value takes."""

_WORK: Final = MappingProxyType({"memory_copy": 0, "memory_fill": 0, "table_fill": 3})
"""Core functions that take as long as their last argument says, a number of bytes shifted right by this."""

_STORE_KEY, _TYPES_KEY, _HEAP_KEY = -1, -2, -3
"""Where :meth:`Lowering._entry_word` keeps what is no memory's base."""


@final
class ModuleFacts:
    """What lowering asks about the module, flattened once per module."""

    __slots__ = (
        "globals",
        "has_objects",
        "hints",
        "is_stencil",
        "layout",
        "memories",
        "module",
        "options",
        "tables",
        "tags",
        "types",
    )

    def __init__(self, module: Module, options: CodeOptions, hints: Mapping[int, bool]) -> None:
        """``hints``: see :func:`wardian.binary.custom.branch_hints`."""
        self.module = module
        self.hints = hints
        self.options = options
        self.types = module.types
        self.layout = InstanceLayout.of(module)
        self.memories: list[MemoryType] = module.memory_types()
        self.tables: list[TableType] = module.table_types()
        self.globals = module.global_types()
        self.tags = module.tag_types()
        self.has_objects = has_objects(module)
        self.is_stencil = False
        """Is it for a single instruction, to be copied?"""

    def func_type(self, type_index: int) -> FuncType:
        comp = self.types[type_index].comp
        assert isinstance(comp, FuncType)
        return comp

    def struct(self, type_index: int) -> tuple[tuple[FieldType, ...], StructLayout]:
        """A structure's fields, and where they are."""
        comp = self.types[type_index].comp
        assert isinstance(comp, StructType)
        return comp.fields, struct_layout(comp, self.types)

    def depth(self, type_index: int) -> int:
        """How many supertypes a type has."""
        depth = 0
        while supers := self.types[type_index].supers:
            type_index = supers[0]
            depth += 1
        return depth

    def llvm(self, type: ValType) -> str:
        return abi.llvm_type(type, self.types)


@final
class Frame:
    """A control frame. ``kind`` ``"dead"``: opened in unreachable code, emits nothing."""

    __slots__ = (
        "catches",
        "else_label",
        "header",
        "height",
        "incoming",
        "kind",
        "label",
        "latch",
        "params",
        "results",
        "safepoints",
        "saved",
    )

    def __init__(self, kind: str, label: str, params: list[str], results: list[str], height: int) -> None:
        self.kind = kind
        self.label = label
        self.params = params
        self.results = results
        self.height = height
        self.incoming: list[list[tuple[str, str]]] = [[] for _ in (params if kind == "loop" else results)]
        self.else_label = ""
        """Of an ``if``, where its else part begins; of a ``try``, where exceptions go, once anything can throw."""
        self.catches: tuple[tuple[int, int | None, int], ...] = ()
        self.saved: list[Value] = []
        self.header: tuple[int, list[str]] = (0, [])
        self.safepoints: tuple[int, int] = (0, 0)
        """Of a loop: calls and array accesses before it; see :meth:`Lowering.element_index`."""
        self.latch = ""
        """What is said of a branch back to a loop's beginning."""

    def arity(self) -> int:
        return len(self.incoming)


class Inlining(Protocol):
    """See :class:`wardian.compile.inline.Inliner`."""

    def takes(self, function: int) -> bool: ...


def inline_symbol(index: int) -> str:
    """The name of a defined function's copy that is put in place of calls."""
    return f"{abi.function_symbol(index)}.inline"


@final
class Resume(Record):
    """Going on in the middle of a function: before its loop number ``loop`` (in order, from 1).

    Locals are at ``locals`` from the frame pointer that is passed; operands are below each other, 8 bytes each, vectors
    16, the first one's last 8 bytes at ``operands``. The address of the buffer for results is at ``results``.
    """

    loop: int
    locals: tuple[int, ...]
    operands: int
    results: int


@final
class Exits:
    """Stand-ins for the frames around a loop, so that something can be done on every way out of it."""

    __slots__ = ("_depth", "_label", "found", "latch")

    def __init__(self, depth: int, label: Callable[[], str], latch: str) -> None:
        """``depth`` is the loop's own place in the frames; ``label`` makes one."""
        self._depth = depth
        self._label = label
        self.latch = latch
        self.found: dict[int, tuple[Frame, Frame]] = {}
        """Place in the frames -> the frame and what stands for it."""

    def target(self, at: int, frame: Frame) -> Frame:
        if at >= self._depth:
            return frame
        if at not in self.found:
            self.found[at] = frame, Frame(frame.kind, self._label(), frame.params, frame.results, frame.height)
        return self.found[at][1]


Handler: TypeAlias = "Callable[[Lowering, Any, Any], None]"


@final
class Lowering:
    """Builds the text of one function. Give instructions through :meth:`step`; then :meth:`text` is the function."""

    __slots__ = (
        "_attributes",
        "_bases",
        "_builtins",
        "_handlers",
        "_most_args",
        "_ret_buffer",
        "_ret_slots",
        "b",
        "calls",
        "count",
        "elements",
        "facts",
        "faults",
        "frames",
        "hint",
        "index",
        "inliner",
        "leave",
        "local_types",
        "locals",
        "propagates",
        "proven",
        "resume",
        "resumed",
        "safepoints",
        "stack",
        "tank",
        "traps",
        "tries",
        "type",
    )

    def __init__(
        self,
        facts: ModuleFacts,
        index: int,
        locals: list[tuple[int, ValType]],
        handlers: Handlers,
        resume: Resume | None = None,
    ) -> None:
        """``index`` in the defined functions; ``locals`` are the declared runs, without parameters."""
        self.resume = resume
        self.resumed: list[str] = []
        """Of a function that is resumed, its way from the entry to where it goes on (:mod:`wardian.compile.resume`)."""
        self.facts = facts
        self.index = index
        self.type = facts.func_type(facts.module.funcs[index])
        self.b = Emitter()
        self.stack: list[Value] = []
        self.frames: list[Frame] = []
        self.hint = ""
        """Weights of the conditional branch that is being lowered."""
        self.count = 0
        self.calls = False
        self.safepoints = 0
        self.elements: list[tuple[int, str, str]] = []
        self.tries: list[Frame] = []
        self.leave: Callable[[Value, Value], None] | None = None
        """Who takes over, and ends the block, where a tail call's callee and its context are known; operands stay."""
        self.inliner: Inlining | None = None
        """Who says which calls are replaced, if any are."""
        self.proven: Exits | None = None
        """Set while a loop is lowered whose guarded accesses cannot trap; see :mod:`wardian.compile.versions`."""
        self.tank = Tank(self.b, self.store, self.trap_if) if facts.options.fuel else None
        self.faults = 0
        """Accesses to memory that may fault, so far."""
        self.propagates = False
        self._attributes = "#0"
        self._handlers = handlers
        self._bases: dict[int, Value] = {}
        self._builtins: Value | None = None
        self._ret_buffer: Value | None = None
        self._ret_slots = 0
        self._most_args = 0
        self.traps: dict[int, str] = {}
        self.locals: list[Value] = []
        self.local_types: list[str] = []
        self._begin(locals)

    def _begin(self, locals: list[tuple[int, ValType]]) -> None:
        b = self.b
        b.start("start")
        for i, t in enumerate(self.type.params):
            name = self.facts.llvm(t)
            slot = b.local(name)
            b.store((f"%p{i}", name) if self.resume is None else self.zero(t), slot, "")
            self.locals.append(slot)
            self.local_types.append(name)
        for count, t in locals:
            name = self.facts.llvm(t)
            zero = self.zero(t)
            for _ in range(count):
                slot = b.local(name)
                b.store(zero, slot, "")
                self.locals.append(slot)
                self.local_types.append(name)
        results = [self.facts.llvm(t) for t in self.type.results]
        self.frames.append(Frame("function", "leave", [], results, 0))

    def zero(self, t: ValType) -> Value:
        """The default value of ``t``. A float's zero is fenced, see :meth:`fence`."""
        name = self.facts.llvm(t)
        if name in ("float", "double"):
            return self.fence(emit.float_bits(0, name))
        return ("null" if name == "ptr" else "zeroinitializer" if name[0] == "<" else "0"), name

    def fence(self, x: Value) -> Value:
        """``x``, opaque to LLVM's folding.

        LLVM folds ``x*1``, ``x-0``, ``demote(promote(x))`` and the like to ``x`` without making a signalling NaN quiet,
        which the spec requires of every arithmetic result. Fencing the neutral constants stops that, and nothing else.
        """
        return self.b.intrinsic(f"arithmetic.fence.{'f32' if x[1] == 'float' else 'f64'}", x[1], x)

    def computed(self, x: Value) -> Value:
        """``x``, which float arithmetic gave, with the NaN it may be as the options want it.

        Fenced, for LLVM holds one NaN as good as another where it knows what operation one came from (a square root's).
        """
        if not self.facts.options.deterministic:
            return x
        x = self.fence(x)
        nan = emit.float_bits(0x7FC00000 if x[1] == "float" else 0x7FF8 << 48, x[1])
        return self.b.select(self.b.fcmp("uno", x, x), nan, x)

    # -- the stream --------------------------------------------------------------------------------------------------

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        """Lower one instruction the validator has just taken; ``reachable`` is its verdict from before."""
        self.count += 1
        if reachable:
            self._handlers.live[row.index](self, row.family, imm)
        else:
            handler = self._handlers.dead.get(row.index)
            if handler is not None:
                handler(self, row.family, imm)

    # -- operand stack -----------------------------------------------------------------------------------------------

    def pop(self) -> Value:
        """The top operand in its own type (an ``i1`` is made an ``i32``)."""
        v = self.stack.pop()
        return v if v[1] != "i1" else self.b.cast("zext", v, "i32")

    def pop_raw(self) -> Value:
        return self.stack.pop()

    def pop_bool(self) -> Value:
        """The top operand, an i32, as an ``i1``."""
        v = self.stack.pop()
        return v if v[1] == "i1" else self.b.icmp("ne", v, const(0, "i32"))

    def push(self, v: Value) -> None:
        self.stack.append(v)

    def pop_n(self, n: int) -> list[Value]:
        """The top ``n`` operands, deepest first."""
        if not n:
            return []
        out = self.stack[-n:]
        del self.stack[-n:]
        return [v if v[1] != "i1" else self.b.cast("zext", v, "i32") for v in out]

    def pop_address(self, is64: bool) -> Value:
        """An index operand, zero-extended to 64 bits."""
        v = self.pop()
        return v if is64 else self.b.cast("zext", v, "i64")

    def push_address(self, v: Value, is64: bool) -> None:
        """A 64-bit size as the address type's integer."""
        self.push(v if is64 else self.b.cast("trunc", v, "i32"))

    # -- traps, builtins, context ------------------------------------------------------------------------------------

    def trap(self, code: TrapCode) -> None:
        """End the block with a trap."""
        self.b.br(self._trap_label(code))

    def trap_if(self, cond: Value, code: TrapCode) -> None:
        """Go on only when ``cond`` (an ``i1``) is false."""
        ok = self.b.label()
        self.b.cond_br(cond, self._trap_label(code), ok, UNLIKELY)
        self.b.start(ok)

    def _trap_label(self, code: TrapCode) -> str:
        label = self.traps.get(code)
        if label is None:
            label = self.traps[code] = f"trap{int(code)}"
        return label

    def builtins(self) -> Value:
        if self._builtins is None:
            self._builtins = self.b.entry_load(CTX, HEADER.at["builtins"], "ptr")
        return self._builtins

    def builtin(self, name: str, result: str, *args: Value) -> Value:
        """Call the core function ``name`` with this function's context first."""
        self.note_call()
        if self.tank is not None:
            if name in _WORK:
                self.tank.work(self.b.binary("shl", args[-1], const(_WORK[name], "i64")))
            self.tank.flush()
        f = self.b.load(self.b.offset(self.builtins(), builtins.SLOT[name]), "ptr", CONSTANT)
        return self.b.call(result, f, [CTX, *args])

    def note_call(self) -> None:
        """A call follows: the frame needs a stack check, and a collection may happen there."""
        self.calls = True
        self.safepoints += 1

    def store(self) -> Value:
        """Address of the STORE."""
        return self._entry_word(_STORE_KEY, CTX, HEADER.at["store"])

    def type_ids(self) -> Value:
        """Address of the instance's canonical type ids."""
        return self._entry_word(_TYPES_KEY, CTX, HEADER.at["type_ids"])

    def heap_base(self) -> Value:
        """Base address of the store's heap, which never moves, but may be made while code runs that opens no object
        itself."""
        if self.facts.has_objects:
            return self._entry_word(_HEAP_KEY, self.store(), STORE.at["heap"])
        return self.b.load(self.b.offset(self.store(), STORE.at["heap"]), "ptr", HOSTDATA)

    def _entry_word(self, key: int, base: Value, at: int) -> Value:
        found = self._bases.get(key)
        if found is None:
            found = self._bases[key] = self.b.entry_load(base, at, "ptr")
        return found

    def element_index(self, index: Value) -> Value:
        """An array index (``i64``) to be added to an object's address.

        The collector finds an object by any pointer into it. In a loop with calls LLVM could keep only a pointer
        outside of it, such as one that lacks the constant part of the index; there it is given an index it cannot
        take apart.
        """
        n = self.b.name()
        self.elements.append((len(self.b.lines), n, index[0]))
        self.b.lines.append(f" {n} = add i64 {index[0]}, 0")
        return n, "i64"

    def memory_base(self, memory: int) -> Value:
        base = self._bases.get(memory)
        if base is None:
            base = self.b.entry_load(CTX, self.facts.layout.memory_bases + 8 * memory, "ptr")
            self._bases[memory] = base
        return base

    def pointer_at(self, offset: int) -> Value:
        """The invariant pointer at ``offset`` of the context."""
        return self.b.load(self.b.offset(CTX, offset), "ptr", CONSTANT)

    def func_ref(self, index: int) -> Value:
        """Pointer to the FUNCREF of function ``index`` of the whole index space."""
        indirect, at = self.facts.layout.func_ref(index)
        return self.pointer_at(at) if indirect else self.b.offset(CTX, at)

    # -- calls -------------------------------------------------------------------------------------------------------

    def call_ref(self, ref: Value, type: FuncType, context: Value, tail: bool) -> None:
        """Call through a non-null FUNCREF of the right type, operands on the stack."""
        code = self.b.load(self.b.offset(ref, FUNCREF.at["code"]), "ptr", HOSTDATA)
        self.call_code(code, context, type, tail)

    def call_code(self, code: Value, context: Value, type: FuncType, tail: bool) -> None:
        self.note_call()
        if tail and self.leave is not None:
            self.leave(code, context)
            return
        args = [context]
        many = len(type.results) > abi.MAX_REGISTER_RESULTS
        if many:
            args.append(RET if tail else self._result_buffer(len(type.results)))
        args += self._parameters(type)
        self._most_args = max(self._most_args, len(args))
        result = abi.result_type(type.results, self.facts.types)
        apart = self.facts.options.spectre != "off"
        if self.tank is not None:
            self.tank.flush()
        if tail:
            on_stack = abi.on_stack(self.type) or abi.on_stack(type)
            self._attributes = "#1" if on_stack else self._attributes
            self.b.tail_call(result, code, args, on_stack, apart=apart)
            return
        value = self.b.call(result, code, args, "tailcc ", apart=apart)
        if self.tank is not None:
            self.tank.refresh()
        if self.facts.options.exceptions:
            self._handlers.after_call(self)
        self._results(value, args, type)

    def _parameters(self, type: FuncType) -> list[Value]:
        """The operands a call takes."""
        return [*self.pop_n(len(type.params)), *(("poison", pad) for pad in abi.pads(type, self.facts.types))]

    def call_inline(self, function: int, type: FuncType) -> None:
        """Call a function that LLVM is to put in place of the call (:mod:`wardian.compile.inline`): nothing can be
        thrown or collected in it."""
        args = [CTX]
        many = len(type.results) > abi.MAX_REGISTER_RESULTS
        if many:
            args.append(self._result_buffer(len(type.results)))
        args += self._parameters(type)
        symbol = inline_symbol(function - self.facts.layout.counts[0])
        result = abi.result_type(type.results, self.facts.types)
        if self.tank is not None:
            self.tank.flush()
        value = self.b.call(result, (f"@{symbol}", "ptr"), args, "tailcc ")
        if self.tank is not None:
            self.tank.refresh()
            # What the callee wrote down as it returned is no more than a store in front of what follows here.
            self.tank.flush(faults=True)
        self._results(value, args, type)

    def _results(self, value: Value, args: list[Value], type: FuncType) -> None:
        """Push what a call returned."""
        names = [self.facts.llvm(t) for t in type.results]
        if len(names) > abi.MAX_REGISTER_RESULTS:
            buffer = args[1]
            self.stack += [
                self.b.load(self.b.offset(buffer, abi.RESULT_SLOT * i), name, "") for i, name in enumerate(names)
            ]
        elif len(names) == 2:
            self.stack += [self.b.extract(value, i, name) for i, name in enumerate(names)]
        elif names:
            self.stack.append(value)

    def results_at(self, buffer: Value) -> None:
        """Have results that go to a buffer go there, instead of to one in the frame."""
        self._ret_buffer = buffer

    def _result_buffer(self, slots: int) -> Value:
        self._ret_slots = max(self._ret_slots, slots)
        if self._ret_buffer is None:
            self._ret_buffer = ("%results", "ptr")
        return self._ret_buffer

    def handler(self) -> str:
        """Label of the code that takes care of a pending exception here."""
        if not self.tries:
            self.propagates = True
            return "propagate"
        frame = self.tries[-1]
        if not frame.else_label:
            frame.else_label = self.b.label()
        return frame.else_label

    # -- control -----------------------------------------------------------------------------------------------------

    def block_type(self, imm: object) -> tuple[list[str], list[str]]:
        if imm is None:
            return [], []
        if isinstance(imm, int):
            t = self.facts.func_type(imm)
            return [self.facts.llvm(p) for p in t.params], [self.facts.llvm(r) for r in t.results]
        assert isinstance(imm, NumType | RefType)
        return [], [self.facts.llvm(imm)]

    def join(self, frame: Frame) -> None:
        """Record the edge from here to ``frame``'s label with the operands on top; they stay on the stack."""
        n = frame.arity()
        if n:
            values = self.pop_n(n)
            self.stack += values
            block = self.b.block
            for incoming, v in zip(frame.incoming, values, strict=True):
                incoming.append((v[0], block))

    def jump(self, frame: Frame) -> None:
        self.join(frame)
        self.b.br(frame.label, frame.latch)

    def target(self, label: int) -> Frame:
        """Where a branch goes; out of a loop that is :attr:`proven`, to a stand-in."""
        frame = self.frames[-1 - label]
        return frame if self.proven is None else self.proven.target(len(self.frames) - 1 - label, frame)

    def loop_header(self, frame: Frame) -> None:
        """Start a loop: its phis are written by :meth:`close_loop`, when all back edges are known."""
        self.jump(frame)
        b = self.b
        b.start(frame.label)
        frame.safepoints = self.safepoints, len(self.elements)
        names = [b.name() for _ in frame.params]
        frame.header = (len(b.lines), names)
        b.lines.extend([""] * len(names))
        del self.stack[len(self.stack) - len(names) :]
        self.stack += list(zip(names, frame.params, strict=True))

    def close_loop(self, frame: Frame) -> None:
        at, names = frame.header
        for i, name in enumerate(names):
            self.b.lines[at + i] = phi_text(name, frame.params[i], frame.incoming[i])
        calls, elements = frame.safepoints
        if self.safepoints > calls:
            for line, n, index in self.elements[elements:]:
                self.b.lines[line] = f' {n} = call i64 asm "", "=r,0"(i64 {index})'
            del self.elements[elements:]

    def land(self, frame: Frame) -> None:
        """Start ``frame``'s end label and push its results."""
        del self.stack[frame.height :]
        self.b.start(frame.label)
        for t, incoming in zip(frame.results, frame.incoming, strict=True):
            self.stack.append(self.b.phi(t, incoming) if incoming else ("poison", t))

    def leave_function(self, frame: Frame) -> None:
        """The function's last ``end``: every return arrives here."""
        self.land(frame)
        if self.tank is not None:
            self.tank.flush()
        values, self.stack = self.stack, []
        b = self.b
        if len(values) > abi.MAX_REGISTER_RESULTS:
            for i, v in enumerate(values):
                b.store(v, b.offset(RET, abi.RESULT_SLOT * i), "")
            b.ret(None)
        elif len(values) == 2:
            pair: Value = ("poison", abi.result_type(self.type.results, self.facts.types))
            for i, v in enumerate(values):
                pair = b.insert(pair, v, i)
            b.ret(pair)
        else:
            b.ret(values[0] if values else None)

    # -- the finished text -------------------------------------------------------------------------------------------

    def frame_estimate(self) -> int:
        """More bytes of stack than the function's frame can need, as long as LLVM keeps no value twice."""
        return SLOT_SIZE * (self.b.names + len(self.locals) + self._ret_slots + self._most_args)

    def inline_text(self) -> str:
        """The function as one that LLVM puts in place of its calls (:mod:`wardian.compile.inline`)."""
        name = abi.function_symbol(self.index)
        text = self.text(False)
        assert not self.calls, "only functions without calls are put in place of theirs"
        first, rest = text.split("\n", 1)
        first = first.replace(f"@{name}(", f"@{inline_symbol(self.index)}(").replace("define ", "define internal ")
        return f"{first[:-1]}alwaysinline {{\n{rest}"

    def text(self, split: bool) -> str:
        """The function, without declarations, which are ``b.declared``.

        ``split``: in two, a body and an entrance that looks whether the stack has room for the body's frame; the size
        is the constant ``FUNCTION.frame``, to be corrected when it is known.
        """
        b = self.b
        for code, label in self.traps.items():
            b.start(label)
            if self.tank is not None:
                self.tank.flush()
            trap = b.load(b.offset(self.builtins(), builtins.SLOT["trap"]), "ptr", CONSTANT)
            b.lines.append(f" call void {trap[0]}(ptr %ctx, i32 {int(code)}) noreturn cold\n unreachable")
        if self.propagates:
            b.start("propagate")
            if self.tank is not None:
                self.tank.flush()
            kind = abi.result_type(self.type.results, self.facts.types)
            b.ret(None if kind == "void" else ("zeroinitializer", kind))
        result = abi.result_type(self.type.results, self.facts.types)
        many = len(self.type.results) > abi.MAX_REGISTER_RESULTS
        params = ["ptr %ctx"] + ["ptr %ret"] * many
        params += [f"{self.facts.llvm(t)} %p{i}" for i, t in enumerate(self.type.params)]
        params += [f"{pad} %pad" for pad in abi.pads(self.type, self.facts.types)]
        if self.resume is not None:
            params = ["ptr %ctx", "ptr %fp"]
        name = abi.function_symbol(self.index)
        body = f"{name}.body" if split else name
        out = [f"define tailcc {result} @{body}({', '.join(params)}) {self._attributes} {{", "entry:"]
        if self._ret_buffer is not None:
            out.append(f" %results = alloca i8, i32 {abi.RESULT_SLOT * self._ret_slots}, align 16")
        if self.resume is not None and many:
            out.append(f" %ret.at = getelementptr i8, ptr %fp, i64 {self.resume.results}")
            out.append(" %ret = load ptr, ptr %ret.at, align 8")
        out += b.entry
        if self.calls and self.facts.options.stack_checks and not split:
            out += stack_check("")
        if self.resume is not None:
            out += [" br label %resume", "resume:", *self.resumed]
        else:
            out.append(" br label %start")
        out += b.lines
        out.append("}")
        if split:
            size = f"@{name}.frame"
            out.append(f"{size} = hidden constant i64 {self.frame_estimate()}, align 8")
            out += [f"define tailcc {result} @{name}({', '.join(params)}) #0 {{", "entry:", *stack_check(size)]
            call = f"musttail call tailcc {result} @{name}.body({', '.join(params)})"
            out += [f" {call}\n ret void" if result == "void" else f" %r = {call}\n ret {result} %r", "}"]
        return "\n".join(out)


def stack_check(room: str) -> list[str]:
    """Compare the stack pointer with the store's limit and trap below it. Ends in a fresh block.

    ``room`` names a constant to be taken off the stack pointer before, if any.
    """
    lines = [
        f" %sc.s = load ptr, ptr %ctx, align 8{CONSTANT}",
        f" %sc.p = getelementptr i8, ptr %sc.s, i64 {STORE.at['stack_limit']}",
        f" %sc.l = load i64, ptr %sc.p, align 8{HOSTDATA}",
        " %sc.sp = call i64 @llvm.read_register.i64(metadata !7)",
    ]
    sp = "%sc.sp"
    if room:
        # Volatile: the constant is corrected after compilation, so its present value must not be folded in.
        lines.append(f" %sc.f = load volatile i64, ptr {room}, align 8")
        lines.append(" %sc.a = call i64 @llvm.usub.sat.i64(i64 %sc.sp, i64 %sc.f)")
        sp = "%sc.a"
    return [
        *lines,
        f" %sc.c = icmp ult i64 {sp}, %sc.l",
        f" br i1 %sc.c, label %sc.trap, label %sc.ok{UNLIKELY}",
        "sc.trap:",
        f" %sc.bp = getelementptr i8, ptr %ctx, i64 {HEADER.at['builtins']}",
        " %sc.b = load ptr, ptr %sc.bp, align 8",
        f" %sc.tp = getelementptr i8, ptr %sc.b, i64 {builtins.SLOT['trap']}",
        " %sc.t = load ptr, ptr %sc.tp, align 8",
        f" call void %sc.t(ptr %ctx, i32 {int(TrapCode.STACK_EXHAUSTED)}) noreturn cold",
        " unreachable",
        "sc.ok:",
    ]


STACK_DECLARATIONS: Final = (
    "declare i64 @llvm.read_register.i64(metadata)",
    "declare i64 @llvm.usub.sat.i64(i64, i64)",
)


@final
class Handlers(Record):
    """Lowering by row index: ``live`` for reachable code; ``dead`` for the few that keep the nesting in dead code."""

    live: tuple[Handler, ...]
    dead: Mapping[int, Handler]
    after_call: Callable[[Lowering], None]
    """What code compiled for exceptions does after each call."""


FamilyTable: TypeAlias = "Mapping[type[Family], Handler]"
