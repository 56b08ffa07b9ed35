"""What the baseline compiler does with each instruction: which stencil, with operands from where.

Invariant: a row without a step here is :class:`Unsupported`; meaning is in the stencils only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NoReturn

from wardian.compile.baseline.exceptions import land_exceptions, throw, throw_ref, try_table
from wardian.compile.baseline.facts import COMPARISONS, LETTERS, MANY, PLAIN, SUBTYPES, classes_of
from wardian.compile.baseline.function import BLOCK, DEAD, FUNCTION, IF, LOOP, Baseline, Frame, Step
from wardian.compile.baseline.library import Group
from wardian.compile.baseline.objects import OBJECT_STEPS
from wardian.compile.baseline.references import REFERENCE_STEPS
from wardian.compile.baseline.shapes import CONSTANT, FLOAT, SLOT, VECTOR, WORD, Place
from wardian.compile.baseline.slots import (
    atomic_call,
    fence,
    give,
    halves,
    memory_copy,
    on_slots,
    rare_access,
    select_vector,
    set_vector,
    shuffle,
    take,
    vector_const,
    whole_memory,
    wide,
    works_on_slots,
)
from wardian.compile.baseline.tails import tail_call
from wardian.compile.baseline.unsupported import Unsupported
from wardian.syntax import families as f
from wardian.syntax.instructions import ROWS, Row
from wardian.syntax.types import F32, F64, I32, I64, V128, NumType, ValType
from wardian.vm.abi import RESULT_SLOT

_BR_IF: Final = 0x0D
_IF: Final = 0x04
_NAMES_MEMORY: Final = 0x40
"""Set in an access's alignment if the number of a memory follows it."""
_I32_MIN: Final = -(1 << 31)
_I32_MAX: Final = (1 << 31) - 1


# -- numbers -----------------------------------------------------------------------------------------------------------


def _unary(c: Baseline, offset: int, row: Row, imm: None) -> None:
    a = c.ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(c.ops))
    d, stays = c.target(offset + 1 if row.opcode < 0x100 else offset + 2, c.result[row.index])
    group = c.do[row.index]
    key = a[0] | d[0] << 4
    c.emit(group.ready.get(key) or group.get(key), a=a[1], d=d[1])
    if stays:
        c.ops.append(d)


def _binary(c: Baseline, offset: int, row: Row, imm: None) -> None:
    ops = c.ops
    b = ops.pop()
    a = ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(ops))
    d, stays = c.target(offset + 1, c.result[row.index])
    group = c.do[row.index]
    key = a[0] | b[0] << 4 | d[0] << 8
    c.emit(group.ready.get(key) or group.get(key), a=a[1], b=b[1], d=d[1])
    if stays:
        ops.append(d)


NOTHING: Final[Place] = (0, 0, WORD)


def _is_zero(c: Baseline, offset: int, row: Row, imm: None) -> None:
    """A comparison with zero, put off if a branch consumes it."""
    following = c.source[offset + 1]
    if following != _BR_IF and following != _IF:
        _unary(c, offset, row, imm)
        return
    a = c.ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(c.ops))
    c.pending = row, a, NOTHING


def _compare(c: Baseline, offset: int, row: Row, imm: None) -> None:
    """A comparison, put off if a branch consumes it."""
    following = c.source[offset + 1]
    if following != _BR_IF and following != _IF:
        _binary(c, offset, row, imm)
        return
    ops = c.ops
    b = ops.pop()
    a = ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(ops))
    c.pending = row, a, b


def tested(c: Baseline, when: bool) -> tuple[Group, int, Place, Place]:
    """The condition on the stack: stencils that jump if it is ``when``, which one, and its operands."""
    pending = c.pending
    if pending is not None:
        row, a, b = pending
        c.pending = None
        key = a[0] if b is NOTHING else a[0] | b[0] << 4
        return c.branch[row.index][when], key, a, b
    a = c.ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(c.ops))
    return c.group("if true" if when else "unless true"), a[0], a, NOTHING


def _const32(c: Baseline, offset: int, row: Row, imm: int) -> None:
    c.ops.append((CONSTANT, imm, WORD))


def _const64(c: Baseline, offset: int, row: Row, imm: int) -> None:
    if _I32_MIN <= imm <= _I32_MAX:
        c.ops.append((CONSTANT, imm, WORD))
        return
    d = c.own(len(c.ops), WORD)
    c.emit(c.group("const w").get(d[0]), a=imm, d=d[1])
    c.ops.append(d)


def _const_float(c: Baseline, offset: int, row: Row, imm: int) -> None:
    d = c.own(len(c.ops), FLOAT)
    if row.name == "f32.const":
        c.emit(c.group("const s").get(d[0]), a=imm - ((imm & 1 << 31) << 1), d=d[1])
    else:
        c.emit(c.group("const d").get(d[0]), a=imm - ((imm & 1 << 63) << 1), d=d[1])
    c.ops.append(d)


# -- variables ---------------------------------------------------------------------------------------------------------


def _local_get(c: Baseline, offset: int, row: Row, imm: int) -> None:
    home = c.home[imm]
    c.ops += halves(home) if home[2] == VECTOR else (home,)


def _local_set(c: Baseline, offset: int, row: Row, imm: int) -> None:
    home = c.home[imm]
    if home[2] == VECTOR:
        set_vector(c, home)
        return
    value = c.ops.pop()
    if value == home:
        return
    if c.ops:
        c.unhand(home)
    c.move(value, home)


def _local_tee(c: Baseline, offset: int, row: Row, imm: int) -> None:
    _local_set(c, offset, row, imm)
    _local_get(c, offset, row, imm)


def _global_get(c: Baseline, offset: int, row: Row, imm: int) -> None:
    group, at, cls = c.facts.global_("global.get", imm)
    if cls == VECTOR:
        c.emit(group.get(SLOT), d=give(c), i=at)
        return
    d = c.own(len(c.ops), cls)
    c.emit(group.get(d[0]), d=d[1], i=at)
    c.ops.append(d)


def _global_set(c: Baseline, offset: int, row: Row, imm: int) -> None:
    group, at, cls = c.facts.global_("global.set", imm)
    if cls == VECTOR:
        c.emit(group.get(SLOT), a=take(c), i=at)
        return
    a = c.ops.pop()
    c.emit(group.get(a[0]), a=a[1], i=at)


def _drop(c: Baseline, offset: int, row: Row, imm: None) -> None:
    if c.ops.pop()[2] == VECTOR:
        c.ops.pop()


def _select(c: Baseline, offset: int, row: Row, imm: object) -> None:
    ops = c.ops
    if ops[-2][2] == VECTOR:
        select_vector(c)
        return
    depth = len(ops) - 3
    cond, y, x = c.settled(ops.pop(), depth + 2), ops.pop(), ops.pop()
    y, x = c.settled(y, depth + 1), c.settled(x, depth)
    d = c.own(depth, x[2])
    key = x[0] | y[0] << 4 | cond[0] << 8 | d[0] << 12
    c.emit(c.group("select " + "wf"[x[2]]).get(key), x[1], y[1], cond[1], d[1])
    ops.append(d)


# -- memory ------------------------------------------------------------------------------------------------------------


def _load(c: Baseline, offset: int, row: Row, imm: tuple[int, int, int]) -> None:
    if c.facts.is_rare(imm):
        rare_access(c, row, imm)
        return
    at = imm[1]
    a = c.ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(c.ops))
    source = c.source
    following = offset + 1
    for _ in range(3 if source[following] & _NAMES_MEMORY else 2):
        while source[following] & 0x80:
            following += 1
        following += 1
    d, stays = c.target(following, c.result[row.index])
    group = c.do[row.index]
    key = a[0] | d[0] << 4
    c.emit(group.ready.get(key) or group.get(key), a=a[1], d=d[1], i=at, j=c.facts.memories_at)
    if stays:
        c.ops.append(d)


def _store(c: Baseline, offset: int, row: Row, imm: tuple[int, int, int]) -> None:
    if c.facts.is_rare(imm):
        rare_access(c, row, imm)
        return
    at = imm[1]
    ops = c.ops
    b = ops.pop()
    a = ops.pop()
    if a[0] == CONSTANT:
        a = c.settled(a, len(ops))
    group = c.do[row.index]
    key = a[0] | b[0] << 4
    c.emit(group.ready.get(key) or group.get(key), a=a[1], b=b[1], i=at, j=c.facts.memories_at)


# -- control -----------------------------------------------------------------------------------------------------------


def _nop(c: Baseline, offset: int, row: Row, imm: None) -> None:
    pass


def _unreachable(c: Baseline, offset: int, row: Row, imm: None) -> None:
    c.emit(c.group("trap").get(1))


def _block(c: Baseline, offset: int, row: Row, imm: object) -> None:
    params, results = c.block_classes(imm)
    c.settle_all(len(c.ops))
    c.frames.append(Frame(BLOCK, len(c.ops) - len(params), params, results, 0))


def _loop(c: Baseline, offset: int, row: Row, imm: object) -> None:
    params, results = c.block_classes(imm)
    c.settle_all(len(c.ops))
    c.frames.append(Frame(LOOP, len(c.ops) - len(params), params, results, len(c.out)))
    c.loops += 1
    c.count(c.loops)


def _if(c: Baseline, offset: int, row: Row, imm: object) -> None:
    params, results = c.block_classes(imm)
    group, key, a, b = tested(c, False)
    c.settle_all(len(c.ops))
    frame = Frame(IF, len(c.ops) - len(params), params, results, 0)
    frame.else_patches = c.emit(group.get(key), a[1], b[1])
    c.frames.append(frame)


def _else(c: Baseline, offset: int, row: Row, imm: None) -> None:
    c.leave(c.frames[-1])
    _else_dead(c, offset, row, imm)


def _else_dead(c: Baseline, offset: int, row: Row, imm: None) -> None:
    frame = c.frames[-1]
    if frame.kind == DEAD:
        return
    frame.kind = BLOCK
    c.bind(frame.else_patches, len(c.out))
    frame.else_patches = []
    c.places(frame.height, frame.params)


def _end(c: Baseline, offset: int, row: Row, imm: None) -> None:
    frame = c.frames[-1]
    if frame.kind == LOOP:
        c.frames.pop()
        return
    if frame.kind == FUNCTION and not frame.patches:
        c.return_()
        return
    c.settle_all(len(c.ops))
    if frame.thrown:
        c.jump(frame)
    _end_dead(c, offset, row, imm)


def _end_dead(c: Baseline, offset: int, row: Row, imm: None) -> None:
    frame = c.frames[-1]
    if frame.kind != DEAD:
        if frame.catches:
            land_exceptions(c, frame)
        c.bind(frame.patches, len(c.out))
        c.bind(frame.else_patches, len(c.out))
        c.places(frame.height, frame.results)
    if frame.kind == FUNCTION:
        c.return_()
    else:
        c.frames.pop()


def _open_dead(c: Baseline, offset: int, row: Row, imm: object) -> None:
    c.frames.append(Frame(DEAD, 0, (), (), 0))


def _br(c: Baseline, offset: int, row: Row, imm: int) -> None:
    frame = c.frames[-1 - imm]
    if frame.kind == FUNCTION:
        c.return_()
    else:
        c.leave(frame)


def _br_if(c: Baseline, offset: int, row: Row, imm: int) -> None:
    frame = c.frames[-1 - imm]
    count = len(frame.label)
    pending = c.pending
    depth = len(c.ops) - (pending is None)
    if not count or depth - count == frame.height:
        group, key, a, b = tested(c, True)
        c.settle_all(frame.height + count)
        c.reach(c.emit(group.get(key), a[1], b[1]), frame)
        return
    group, key, a, b = tested(c, False)
    c.settle_all(frame.height)
    around = c.emit(group.get(key), a[1], b[1])
    c.pass_on(frame)
    c.jump(frame)
    c.bind(around, len(c.out))


def _br_table(c: Baseline, offset: int, row: Row, imm: tuple[tuple[int, ...], int]) -> None:
    labels, default = imm
    index = c.settled(c.ops.pop(), len(c.ops))
    c.settle_all(len(c.ops))
    tables = c.emit(c.group("br_table").get(index[0]), a=index[1], i=len(labels))
    out = c.out
    out += b"\xcc" * (-len(out) % 4)
    table = len(out)
    c.bind(tables, table)
    out += bytes(4 * (len(labels) + 1))
    pads: dict[int, int] = {}
    for i, label in enumerate((*labels, default)):
        frame = c.frames[-1 - label]
        field = table + 4 * i
        # A field holds the distance from the table, not from itself.
        patch = (field, field - table)
        if not frame.label or len(c.ops) - len(frame.label) == frame.height:
            c.reach([patch], frame)
            continue
        if label not in pads:
            pads[label] = len(out)
            c.pass_on(frame)
            c.jump(frame)
        c.bind([patch], pads[label])


def _return(c: Baseline, offset: int, row: Row, imm: None) -> None:
    c.return_()


# -- calls -------------------------------------------------------------------------------------------------------------


def _call(c: Baseline, offset: int, row: Row, imm: int) -> None:
    facts = c.facts
    indirect, at = facts.layout.func_ref(imm)
    type_index = facts.module.func_type_index(imm)
    group, classes, results = facts.call("far" if indirect else "near", type_index)
    _finish_call(c, group, c.arguments(len(classes)), type_index, results, at)


def _indirect(c: Baseline, type_index: int, table: int) -> tuple[str, int, int]:
    """``(kind of call, where the table is, displacement of the type among its subtypes' ancestors)``."""
    facts = c.facts
    kind = "indirect64" if facts.tables[table].limits.is64 else "indirect"
    at = facts.layout.tables + 8 * table
    if facts.module.types[type_index].final:
        return kind, at, 0
    return kind + SUBTYPES, at, facts.above(type_index)


def _call_indirect(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    type_index, table = imm
    kind, at, above = _indirect(c, type_index, table)
    group, classes, results = c.facts.call(kind, type_index)
    _finish_call(c, group, c.arguments(len(classes) + 1), type_index, results, 8 * type_index, at, above)


def _call_ref(c: Baseline, offset: int, row: Row, imm: int) -> None:
    group, classes, results = c.facts.call("ref", imm)
    _finish_call(c, group, c.arguments(len(classes) + 1), imm, results)


def _finish_call(
    c: Baseline, group: Group, first: int, type_index: int, results: str, i: int = 0, j: int = 0, above: int = 0
) -> None:
    """Call with operands that are in slots from ``first`` on, and push the results."""
    c.save_floats()
    if len(results) == 1 and results != MANY:
        cls = LETTERS.index(results)
        if cls == VECTOR:
            code, d = SLOT, give(c)
        else:
            place = c.slot(len(c.ops), cls) if c.ops else c.own(0, cls)
            code, d = place[0], place[1]
            c.ops.append(place)
        c.unwind(c.emit(group.get(code), a=first, c=above, d=d, i=i, j=j))
        c.restore_floats()
        return
    types = c.facts.func_type(type_index).results
    depth = len(c.ops)
    classes = classes_of(types)
    for cls in classes:
        c.ops.append(c.slot(len(c.ops), cls))
    buffer = 0
    if results == MANY:
        # Slots above the results, in ascending order, two for each.
        buffer = c.slot(depth + len(classes) + 2 * len(types), WORD)[1]
    d = c.slot(depth, WORD)[1] if results else 0
    c.unwind(c.emit(group.get(SLOT if results else 0), a=first, b=buffer, c=above, d=d, i=i, j=j))
    if results == MANY:
        _fetch_results(c, types, depth, buffer)
    c.restore_floats()


def _fetch_results(c: Baseline, types: Sequence[ValType], depth: int, buffer: int) -> None:
    """From the buffer into the slots of the operands from ``depth`` on."""
    for i, of_type in enumerate(types):
        at = buffer + RESULT_SLOT * i
        for half in (8, 0) if of_type is V128 else (0,):
            place = c.ops[depth]
            c.move((SLOT, at + half, place[2]), place)
            depth += 1


# -- tail calls --------------------------------------------------------------------------------------------------------


def _return_call(c: Baseline, offset: int, row: Row, imm: int) -> None:
    indirect, at = c.facts.layout.func_ref(imm)
    tail_call(c, "far" if indirect else "near", c.facts.module.func_type_index(imm), i=at)


def _return_call_indirect(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    type_index, table = imm
    kind, at, above = _indirect(c, type_index, table)
    tail_call(c, kind, type_index, 1, 8 * type_index, at, above)


def _return_call_ref(c: Baseline, offset: int, row: Row, imm: int) -> None:
    tail_call(c, "ref", imm, 1)


_TAIL_CALLS: Final[Mapping[type[f.Family], Step]] = MappingProxyType(
    {f.Call: _return_call, f.CallIndirect: _return_call_indirect, f.CallRef: _return_call_ref}
)


# -- tables ------------------------------------------------------------------------------------------------------------


_CONTROL: Final[Mapping[type[f.Family], Step]] = MappingProxyType(
    {
        f.Nop: _nop,
        f.Unreachable: _unreachable,
        f.Block: _block,
        f.TryTable: try_table,
        f.Throw: throw,
        f.ThrowRef: throw_ref,
        f.Loop: _loop,
        f.If: _if,
        f.Else: _else,
        f.End: _end,
        f.Br: _br,
        f.BrIf: _br_if,
        f.BrTable: _br_table,
        f.Return: _return,
        f.Drop: _drop,
        f.Select: _select,
        f.LocalGet: _local_get,
        f.LocalSet: _local_set,
        f.LocalTee: _local_tee,
        f.GlobalGet: _global_get,
        f.GlobalSet: _global_set,
        f.MemorySize: whole_memory,
        f.MemoryGrow: whole_memory,
        f.MemoryFill: whole_memory,
        f.MemoryInit: whole_memory,
        f.MemoryCopy: memory_copy,
        f.Store: _store,
        f.SimdShuffle: shuffle,
        f.AtomicWait: atomic_call,
        f.AtomicNotify: atomic_call,
        f.AtomicFence: fence,
        f.WideBin: wide,
        f.WideMul: wide,
        **REFERENCE_STEPS,
        **OBJECT_STEPS,
    }
)
_DEAD: Final[Mapping[type[f.Family], Step]] = MappingProxyType(
    {
        f.Block: _open_dead,
        f.Loop: _open_dead,
        f.If: _open_dead,
        f.TryTable: _open_dead,
        f.Else: _else_dead,
        f.End: _end_dead,
    }
)
_CONSTANTS: Final[Mapping[NumType, Step]] = MappingProxyType(
    {I32: _const32, I64: _const64, F32: _const_float, F64: _const_float, V128: vector_const}
)


def _step_of(row: Row) -> Step:
    family = row.family
    if isinstance(family, PLAIN):
        assert row.params is not None
        if len(row.params) == 2:
            return _compare if isinstance(family, COMPARISONS) else _binary
        return _is_zero if isinstance(family, COMPARISONS) else _unary
    if isinstance(family, f.Const) and family.type in _CONSTANTS:
        return _CONSTANTS[family.type]
    if isinstance(family, f.Load):
        return _load
    if isinstance(family, f.Call | f.CallIndirect) and not family.tail:
        return _call if isinstance(family, f.Call) else _call_indirect
    if isinstance(family, f.CallRef) and not family.tail:
        return _call_ref
    if isinstance(family, f.Call | f.CallIndirect | f.CallRef):
        return _TAIL_CALLS[type(family)]
    if works_on_slots(row):
        return on_slots
    return _CONTROL.get(type(family), _refuse)


def _refuse(c: Baseline, offset: int, row: Row, imm: object) -> NoReturn:
    raise Unsupported(row.name)


@cache
def live() -> tuple[Step, ...]:
    """Steps by row index."""
    return tuple([_step_of(row) for row in ROWS])


@cache
def dead() -> Mapping[int, Step]:
    """Steps that keep the nesting where code is never reached."""
    return {row.index: _DEAD[type(row.family)] for row in ROWS if type(row.family) in _DEAD}
