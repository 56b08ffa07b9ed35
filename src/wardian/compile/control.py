"""Lowering of control, parametric and variable instructions, and of calls."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import bounds, heap, speculation
from wardian.compile.emit import CONSTANT, HINT, HOSTDATA, Emitter, Value, const
from wardian.compile.exceptions import land_exceptions
from wardian.compile.function import CTX, RET, FamilyTable, Frame, Lowering
from wardian.syntax import families as f
from wardian.syntax.types import FuncType, HeapType, ref
from wardian.vm import abi
from wardian.vm.layout import FUNCREF
from wardian.vm.traps import TrapCode


def unreachable(lo: Lowering, fam: f.Unreachable, imm: None) -> None:
    lo.trap(TrapCode.UNREACHABLE)


def nop(lo: Lowering, fam: f.Nop, imm: None) -> None:
    pass


def block(lo: Lowering, fam: f.Block, imm: object) -> None:
    params, results = lo.block_type(imm)
    lo.frames.append(Frame("block", lo.b.label(), params, results, len(lo.stack) - len(params)))


def loop(lo: Lowering, fam: f.Loop, imm: object) -> None:
    params, results = lo.block_type(imm)
    frame = Frame("loop", lo.b.label(), params, results, len(lo.stack) - len(params))
    lo.frames.append(frame)
    lo.loop_header(frame)
    if lo.proven is not None:
        frame.latch = lo.proven.latch


def if_(lo: Lowering, fam: f.If, imm: object) -> None:
    cond = lo.pop_bool()
    params, results = lo.block_type(imm)
    b = lo.b
    frame = Frame("if", b.label(), params, results, len(lo.stack) - len(params))
    then, frame.else_label = b.label(), b.label()
    lo.stack += lo.pop_n(len(params))
    frame.saved = lo.stack[frame.height :]
    b.cond_br(cond, then, frame.else_label, lo.hint)
    b.start(then)
    lo.frames.append(frame)


def else_(lo: Lowering, fam: f.Else, imm: None) -> None:
    lo.jump(lo.frames[-1])
    else_dead(lo, fam, imm)


def else_dead(lo: Lowering, fam: f.Else, imm: None) -> None:
    frame = lo.frames[-1]
    if frame.kind == "dead":
        return
    frame.kind = "else"
    lo.b.start(frame.else_label)
    del lo.stack[frame.height :]
    lo.stack += frame.saved


def end(lo: Lowering, fam: f.End, imm: None) -> None:
    frame = lo.frames[-1]
    if frame.kind == "loop":
        # A loop's label is its beginning, so falling out of its end is no edge: the operands simply stay.
        lo.frames.pop()
        lo.close_loop(frame)
        return
    lo.jump(frame)
    end_dead(lo, fam, imm)


def end_dead(lo: Lowering, fam: f.End, imm: None) -> None:
    frame = lo.frames.pop()
    kind = frame.kind
    if kind == "dead":
        return
    if kind == "loop":
        lo.close_loop(frame)
        after = lo.b.label()
        lo.b.start(after)
        del lo.stack[frame.height :]
        lo.stack += [("poison", t) for t in frame.results]
        return
    if kind == "if":
        lo.b.start(frame.else_label)
        del lo.stack[frame.height :]
        lo.stack += frame.saved
        lo.jump(frame)
    if kind == "try":
        land_exceptions(lo, frame)
    if kind == "function":
        lo.leave_function(frame)
    else:
        lo.land(frame)


def open_dead(lo: Lowering, fam: object, imm: object) -> None:
    lo.frames.append(Frame("dead", "", [], [], len(lo.stack)))


def br(lo: Lowering, fam: f.Br, imm: int) -> None:
    lo.jump(lo.target(imm))


def br_if(lo: Lowering, fam: f.BrIf, imm: int) -> None:
    cond = lo.pop_bool()
    frame = lo.target(imm)
    lo.join(frame)
    on = lo.b.label()
    lo.b.cond_br(cond, frame.label, on, lo.hint + frame.latch)
    lo.b.start(on)


def br_table(lo: Lowering, fam: f.BrTable, imm: tuple[tuple[int, ...], int]) -> None:
    labels, default = imm
    index = lo.pop()
    b = lo.b
    landing: dict[int, str] = {}
    pads: list[tuple[str, Frame]] = []
    for label in {*labels, default}:
        frame = lo.target(label)
        if frame.arity():
            # A phi wants one entry per edge; a pad makes it one edge per label however often the table names it.
            landing[label] = b.label()
            pads.append((landing[label], frame))
        else:
            landing[label] = frame.label
    _switch(lo, index, landing[default], [landing[label] for label in labels])
    for name, frame in pads:
        b.start(name)
        lo.jump(frame)


def _switch(lo: Lowering, index: Value, default: str, labels: list[str]) -> None:
    b = lo.b
    if not speculation.masks(lo):
        b.switch(index, default, labels)
        return
    # The default is one more case, the first, so that a table LLVM makes of it has an entry for every number that can
    # arrive, and no branch in front of it.
    nowhere = b.label()
    b.switch(speculation.counted_from_one(lo, index, len(labels)), nowhere, [default, *labels])
    b.start(nowhere)
    b.unreachable()


def return_(lo: Lowering, fam: f.Return, imm: None) -> None:
    lo.jump(lo.target(len(lo.frames) - 1))


def br_on_null(lo: Lowering, fam: f.BrOnNull, imm: int) -> None:
    b = lo.b
    ref = lo.pop()
    null = b.icmp("eq", ref, ("null" if ref[1] == "ptr" else "0", ref[1]))
    frame = lo.target(imm)
    on = b.label()
    if fam.non_null:
        lo.push(ref)
        lo.join(frame)
        lo.pop_raw()
        b.cond_br(null, on, frame.label)
        b.start(on)
    else:
        lo.join(frame)
        b.cond_br(null, frame.label, on)
        b.start(on)
        lo.push(ref)


# -- calls -------------------------------------------------------------------------------------------------------------


def call(lo: Lowering, fam: f.Call, imm: int) -> None:
    type_ = lo.facts.func_type(lo.facts.module.func_type_index(imm))
    if lo.inliner is not None and not fam.tail and lo.inliner.takes(imm):
        lo.call_inline(imm, type_)
        return
    call_known(lo, imm, imm < lo.facts.layout.counts[0], type_, tail=fam.tail)


def call_known(lo: Lowering, function: int, imported: bool, type: FuncType, *, tail: bool) -> None:
    """Call a function of the index space."""
    target = lo.func_ref(function)
    if not imported and lo.facts.options.spectre == "full" and not lo.facts.is_stencil and not abi.on_stack(type):
        lo.call_code(_way(lo, function, type), CTX, type, tail)
        return
    context = lo.b.load(lo.b.offset(target, FUNCREF.at["context"]), "ptr", CONSTANT) if imported else CTX
    lo.call_ref(target, type, context, tail)


def _way(lo: Lowering, function: int, type: FuncType) -> Value:
    """A function of its own that goes on to a defined one.

    Where indirect branches are not guessed, every call would cost dozens of cycles. This one always leads to the same
    place, and what the guest can lead anywhere does not teach the processor, so here it may guess (docs/spectre.md).
    """
    name, b = f"@way{function}", Emitter()
    params: list[Value] = [CTX]
    if len(type.results) > abi.MAX_REGISTER_RESULTS:
        params.append(RET)
    params += [(f"%p{i}", lo.facts.llvm(t)) for i, t in enumerate(type.params)]
    params += [("%pad", pad) for pad in abi.pads(type, lo.facts.types)]
    at = b.offset(CTX, lo.facts.layout.func_ref(function)[1])
    result = abi.result_type(type.results, lo.facts.types)
    b.tail_call(result, b.load(b.offset(at, FUNCREF.at["code"]), "ptr", ""), params, False)
    declared = ", ".join(f"{kind} {text}" for text, kind in params)
    lo.b.declared.add("\n".join([f"define hidden tailcc {result} {name}({declared}) #2 {{", *b.lines, "}"]))
    return name, "ptr"


def call_indirect(lo: Lowering, fam: f.CallIndirect, imm: tuple[int, int]) -> None:
    type_index, table = imm
    b = lo.b
    index = lo.pop_address(lo.facts.tables[table].limits.is64)
    slot = bounds.table_slot(lo, table, index, TrapCode.UNDEFINED_ELEMENT)
    ref = b.load(slot, "ptr", HOSTDATA)
    lo.trap_if(b.icmp("eq", ref, ("null", "ptr")), TrapCode.UNINITIALIZED_ELEMENT)
    options = lo.facts.options
    if speculation.masks(lo) and options.opt == "O2" and not lo.facts.is_stencil and lo.facts.types[type_index].final:
        _call_own_or_other(lo, ref, type_index, fam.tail, checked=False)
        return
    sure = heap.checked_function(lo, ref, type_index, TrapCode.BAD_SIGNATURE)
    call_through(lo, sure, type_index, fam.tail)


def call_through(lo: Lowering, ref: Value, type_index: int, tail: bool) -> None:
    type_ = lo.facts.func_type(type_index)
    if speculation.masks(lo):
        _call_own_or_other(lo, ref, type_index, tail, checked=True)
        return
    context = lo.b.load(lo.b.offset(ref, FUNCREF.at["context"]), "ptr", HOSTDATA)
    if lo.facts.options.opt != "O0":
        context = _predicted(lo, context)
    lo.call_ref(ref, type_, context, tail)


def _call_own_or_other(lo: Lowering, ref: Value, type_index: int, tail: bool, *, checked: bool) -> None:
    """What :func:`_predicted` is for, where no guess may have consequences: a function of another instance that runs
    with this context would take any number in it for an address. So there are two calls, each with a history of its
    own; this instance's context goes to the one whose target is masked unless it is a function of this instance.

    Unless it was ``checked`` that ``ref`` has the type (which is final), the same mask answers for that too; what it
    is otherwise, is only asked where the call is not to a function of this instance."""
    b = lo.b
    type_ = lo.facts.func_type(type_index)
    ref = speculation.copy(lo, ref)
    alike = [(b.load(b.offset(ref, FUNCREF.at["context"]), "ptr", HOSTDATA), CTX)]
    if not checked:
        alike.append((heap.function_type(lo, ref), heap.type_word(lo, type_index)))
    mine = speculation.equal(lo, *alike)
    own_ref = b.opaque(speculation.kept(lo, ref, mine))
    own, other, join = b.label(), b.label(), b.label()
    b.cond_br(b.icmp("eq", speculation.copy(lo, mine), const(0, "i64")), other, own, HINT[False])
    before, ends, results = list(lo.stack), [], []
    for label, target in ((own, own_ref), (other, ref)):
        b.start(label)
        lo.stack = list(before)
        callee = CTX
        if label == other:
            if not checked:
                target = heap.checked_function(lo, ref, type_index, TrapCode.BAD_SIGNATURE)
            callee = b.load(b.offset(target, FUNCREF.at["context"]), "ptr", HOSTDATA)
        lo.call_ref(target, type_, callee, tail)
        if not tail:
            results.append(lo.stack[len(before) - len(type_.params) :])
            ends.append(b.block)
            b.br(join)
    if tail:
        return
    del lo.stack[len(before) - len(type_.params) :]
    b.start(join)
    for pair in zip(*results, strict=True):
        lo.push(b.phi(pair[0][1], [(value, block) for (value, _), block in zip(pair, ends, strict=True)]))


def _predicted(lo: Lowering, context: tuple[str, str]) -> tuple[str, str]:
    """``context``, as a guess: most functions are called by their own module's.

    Everything the callee does begins with its context. If that came out of the table, a caller that finds its next
    callee in memory would wait for six loads in a row every time; a branch is predicted.
    """
    b = lo.b
    own, other, join = b.label(), b.label(), b.label()
    b.cond_br(b.icmp("eq", context, CTX), own, other, HINT[True])
    b.start(own)
    guess = b.opaque(CTX)
    b.br(join)
    b.start(other)
    b.br(join)
    b.start(join)
    return b.phi("ptr", [(guess[0], own), (context[0], other)])


def call_ref(lo: Lowering, fam: f.CallRef, imm: int) -> None:
    ref = lo.pop()
    lo.trap_if(lo.b.icmp("eq", ref, ("null", "ptr")), TrapCode.NULL_FUNCTION_REFERENCE)
    call_through(lo, ref, imm, fam.tail)


# -- parametric, variables ---------------------------------------------------------------------------------------------


def drop(lo: Lowering, fam: f.Drop, imm: None) -> None:
    lo.pop_raw()


def select(lo: Lowering, fam: f.Select, imm: object) -> None:
    cond = lo.pop_bool()
    y, x = lo.pop(), lo.pop()
    lo.push(lo.b.select(cond, x, y))


def local_get(lo: Lowering, fam: f.LocalGet, imm: int) -> None:
    lo.push(lo.b.load(lo.locals[imm], lo.local_types[imm], ""))


def local_set(lo: Lowering, fam: f.LocalSet, imm: int) -> None:
    lo.b.store(lo.pop(), lo.locals[imm], "")


def local_tee(lo: Lowering, fam: f.LocalTee, imm: int) -> None:
    value = lo.pop()
    lo.push(value)
    lo.b.store(value, lo.locals[imm], "")


def _cell(lo: Lowering, index: int) -> tuple[str, str]:
    indirect, at = lo.facts.layout.global_cell(index)
    return lo.pointer_at(at) if indirect else lo.b.offset(CTX, at)


def global_get(lo: Lowering, fam: f.GlobalGet, imm: int) -> None:
    type_ = lo.facts.globals[imm]
    tag = HOSTDATA if type_.mutable else CONSTANT
    lo.push(lo.b.load(_cell(lo, imm), lo.facts.llvm(type_.value), tag))


def global_set(lo: Lowering, fam: f.GlobalSet, imm: int) -> None:
    # Under guard pages a later access can end the function without LLVM knowing, so the store must not move past it.
    lo.b.store(lo.pop(), _cell(lo, imm), HOSTDATA, volatile=lo.facts.options.checks == "guard")


# -- references --------------------------------------------------------------------------------------------------------


def ref_null(lo: Lowering, fam: f.RefNull, imm: HeapType) -> None:
    type_ = lo.facts.llvm(ref(True, imm))
    lo.push(("null" if type_ == "ptr" else "0", type_))


def ref_is_null(lo: Lowering, fam: f.RefIsNull, imm: None) -> None:
    x = lo.pop()
    lo.push(lo.b.icmp("eq", x, ("null" if x[1] == "ptr" else "0", x[1])))


def ref_func(lo: Lowering, fam: f.RefFunc, imm: int) -> None:
    lo.push(lo.func_ref(imm))


def ref_eq(lo: Lowering, fam: f.RefEq, imm: None) -> None:
    y, x = lo.pop(), lo.pop()
    lo.push(lo.b.icmp("eq", x, y))


def ref_as_non_null(lo: Lowering, fam: f.RefAsNonNull, imm: None) -> None:
    x = lo.pop()
    lo.trap_if(lo.b.icmp("eq", x, ("null" if x[1] == "ptr" else "0", x[1])), TrapCode.NULL_REFERENCE)
    lo.push(x)


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.Unreachable: unreachable,
        f.Nop: nop,
        f.Block: block,
        f.Loop: loop,
        f.If: if_,
        f.Else: else_,
        f.End: end,
        f.Br: br,
        f.BrIf: br_if,
        f.BrTable: br_table,
        f.Return: return_,
        f.BrOnNull: br_on_null,
        f.Call: call,
        f.CallIndirect: call_indirect,
        f.CallRef: call_ref,
        f.Drop: drop,
        f.Select: select,
        f.LocalGet: local_get,
        f.LocalSet: local_set,
        f.LocalTee: local_tee,
        f.GlobalGet: global_get,
        f.GlobalSet: global_set,
        f.RefNull: ref_null,
        f.RefIsNull: ref_is_null,
        f.RefFunc: ref_func,
        f.RefEq: ref_eq,
        f.RefAsNonNull: ref_as_non_null,
    }
)

DEAD: Final[FamilyTable] = MappingProxyType(
    {
        f.Block: open_dead,
        f.Loop: open_dead,
        f.If: open_dead,
        f.TryTable: open_dead,
        f.Else: else_dead,
        f.End: end_dead,
    }
)
"""Instructions that shape the nesting even where code is unreachable."""
