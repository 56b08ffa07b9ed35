"""What the baseline compiler does with exceptions: throwing, and the handlers of ``try_table``.

Invariant: an exception arrives at a handler as :meth:`Baseline.unwind` says; control leaves it for a label as it does
everywhere, with every operand in its own place. What is in an exception object only stencils know.
"""

from __future__ import annotations

from wardian.compile.baseline.facts import ANY, classes_of, local_class, payload_group
from wardian.compile.baseline.function import BLOCK, FUNCTION, Baseline, Frame
from wardian.compile.baseline.shapes import OPERANDS, SLOT, VECTOR, WORD
from wardian.compile.baseline.unsupported import Unsupported
from wardian.compile.exceptions import TAGGED, WITH_REFERENCE
from wardian.syntax.instructions import Row
from wardian.syntax.types import V128, RefType, ValType
from wardian.vm import heap


def try_table(c: Baseline, offset: int, row: Row, imm: tuple[object, tuple[tuple[int, int | None, int], ...]]) -> None:
    block_type, catches = imm
    params, results = c.block_classes(block_type)
    c.settle_all(len(c.ops))
    frame = Frame(BLOCK, len(c.ops) - len(params), params, results, 0)
    c.frames.append(frame)
    if catches and c.facts.exceptions:
        frame.catches = catches
        c.tries.append(frame)


def throw(c: Baseline, offset: int, row: Row, imm: int) -> None:
    group = c.facts.throw(imm)
    a = c.arguments(len(classes_of(c.facts.tag_params(imm))))
    c.save_floats()
    c.unwind(c.emit(group.get(0), a=a, i=c.facts.layout.tags + 8 * imm))


def throw_ref(c: Baseline, offset: int, row: Row, imm: None) -> None:
    if not c.facts.exceptions:
        raise Unsupported("throw_ref where nothing can have been thrown yet")
    a = c.settled(c.ops.pop(), len(c.ops))
    c.save(len(c.ops))
    c.save_floats()
    c.unwind(c.emit(c.group("throw_ref").get(a[0]), a=a[1]))


def land_exceptions(c: Baseline, frame: Frame) -> None:
    """The handler of ``frame``, whose body has ended: its clauses in order, else the exception is passed on."""
    assert c.tries.pop() is frame
    if not frame.thrown:
        return  # nothing in the body can throw
    c.bind(frame.thrown, len(c.out))
    c.restore_floats()
    c.places(frame.height, ())
    for depth, place in enumerate(c.ops[:OPERANDS]):
        c.move(c.slot(depth, place[2]), place)
    for kind, tag, label in frame.catches:
        target = c.frames[-2 - label]
        otherwise = []
        at = target.height
        if kind in TAGGED:
            assert tag is not None
            otherwise = c.emit(c.group("unless tagged").get(0), i=c.facts.layout.tags + 8 * tag)
            for i, of_type in enumerate(c.facts.tag_params(tag)):
                at += _take_out(c, of_type, at, heap.EXCEPTION_SIZE + 16 * i)
        if kind in WITH_REFERENCE:
            d = c.own(at, WORD)
            c.emit(c.group("exception").get(d[0]), d=d[1])
        c.emit(c.group("caught").get(0))
        if target.kind == FUNCTION:
            kept = list(c.ops)
            c.places(0, target.results)
            c.return_()
            c.ops[:] = kept
        else:
            c.jump(target)
        if kind not in TAGGED:
            return
        c.bind(otherwise, len(c.out))
    c.unwind(c.emit(c.group("jump").get(0)))


def _take_out(c: Baseline, type: ValType, depth: int, at: int) -> int:
    """Put what lies at ``at`` of the pending exception where the operand at ``depth`` belongs; how many operands it is.
    """
    facts = c.facts
    if type is V128:
        c.own(depth, VECTOR)
        c.emit(c.group(payload_group(V128)).get(SLOT), d=c.own(depth + 1, VECTOR)[1], i=at)
        return 2
    d = c.own(depth, local_class(type))
    if isinstance(type, RefType) and facts.is_function(type):
        heap_type = type.heap
        how, word, above = ANY, 0, 0
        if isinstance(heap_type, int):
            how, word, above = facts.compared(heap_type), 8 * heap_type, facts.above(heap_type)
        slot = c.slot(depth, WORD)
        c.emit(c.group(payload_group(how)).get(SLOT), c=above, d=slot[1], i=at, j=word)
        if d != slot:
            c.move(slot, d)
        return 1
    c.emit(c.group(payload_group(facts.plain(type))).get(d[0]), d=d[1], i=at)
    return 1
