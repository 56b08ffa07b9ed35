"""What the baseline compiler does with exceptions: throwing, and the handlers of ``try_table``.

Invariant: an exception arrives at a handler as :meth:`Baseline.unwind` says; control leaves it for a label as it does
everywhere, with every operand in its own place. What is in an exception object only stencils know.
"""

from __future__ import annotations

from wardian.compile.baseline.facts import class_of, payload_group, throw_group
from wardian.compile.baseline.function import BLOCK, FUNCTION, Baseline, Frame
from wardian.compile.baseline.shapes import OPERANDS, WORD
from wardian.compile.exceptions import TAGGED, WITH_REFERENCE
from wardian.syntax.instructions import Row
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
    classes = [class_of(t) for t in c.facts.tag_params(imm)]
    group = c.facts.more_group(throw_group(classes))
    a = c.arguments(len(classes))
    c.save_floats()
    c.unwind(c.emit(group.get(0), a=a, i=c.facts.layout.tags + 8 * imm))


def throw_ref(c: Baseline, offset: int, row: Row, imm: None) -> None:
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
                d = c.own(at, class_of(of_type))
                group = c.group(payload_group(of_type))
                c.emit(group.get(d[0]), d=d[1], i=heap.EXCEPTION_SIZE + 16 * i)
                at += 1
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
