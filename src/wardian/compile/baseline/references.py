"""What the baseline compiler does with references and tables.

Invariant: where an operand may be a function or not, the validator, which is one step ahead, says what it was. A
reference is in a register or a slot of the frame like any integer; the collector looks for references in both
(:mod:`wardian.compile.glue.roots`), and what a call may change of registers has been brought into slots before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from wardian.compile.baseline.function import Baseline, Frame, Patch, Step
from wardian.compile.baseline.shapes import CONSTANT, WORD
from wardian.syntax import families as f
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32, I64, HeapType, NumType
from wardian.vm.layout import SEGMENT


def _popped(c: Baseline) -> NumType:
    """What stands for the reference the instruction at hand takes."""
    assert c.validator is not None
    return c.facts.plain(c.validator.reference)


def _null(c: Baseline, offset: int, row: Row, imm: HeapType) -> None:
    c.ops.append((CONSTANT, 0, WORD))


def _func(c: Baseline, offset: int, row: Row, imm: int) -> None:
    indirect, at = c.facts.layout.func_ref(imm)
    d = c.own(len(c.ops), WORD)
    c.emit(c.group(f"ref.func {'far' if indirect else 'near'}").get(d[0]), d=d[1], i=at)
    c.ops.append(d)


def _asked(c: Baseline, offset: int, row: Row, imm: None) -> None:
    """``ref.is_null``, ``ref.as_non_null``."""
    depth = len(c.ops) - 1
    a = c.settled(c.ops.pop(), depth)
    d = c.own(depth, WORD)
    c.emit(c.group(f"do {row.name} {_popped(c)}").get(a[0] | d[0] << 4), a=a[1], d=d[1])
    c.ops.append(d)


def _br_on_null(c: Baseline, offset: int, row: Row, imm: int) -> None:
    assert isinstance(row.family, f.BrOnNull)
    name = f"ref.is_null {_popped(c)}"
    depth = len(c.ops) - 1
    reference = c.settled(c.ops.pop(), depth)
    frame = c.frames[-1 - imm]

    def test(when: bool) -> list[Patch]:
        place = c.ops[-1] if takes else reference
        return c.emit(c.group(f"{'if' if when else 'unless'} {name}").get(place[0]), a=place[1])

    takes = row.family.non_null
    if takes:
        c.ops.append(reference)
        branch_on(c, frame, test, when=False)
        c.ops.pop()
    else:
        branch_on(c, frame, test, when=True)
        c.ops.append(reference)


def branch_on(c: Baseline, frame: Frame, test: Callable[[bool], list[Patch]], *, when: bool) -> None:
    """Branch if a test comes out as ``when``, with the topmost operands as the label's. ``test(outcome)`` emits it, and
    gives the jumps that are taken at that outcome; the label's operands may have been moved before."""
    count = len(frame.label)
    in_place = not count or len(c.ops) - count == frame.height
    c.settle_all(frame.height + count if in_place else frame.height)
    patches = test(when is in_place)
    if in_place:
        c.reach(patches, frame)
        return
    c.pass_on(frame)
    c.jump(frame)
    c.bind(patches, len(c.out))


def _address(c: Baseline, table: int) -> NumType:
    return I64 if c.facts.tables[table].limits.is64 else I32


def _table(c: Baseline, offset: int, row: Row, imm: int) -> None:
    """``table.get``, ``set``, ``size``, ``grow``, ``fill``."""
    table = c.facts.tables[imm]
    plain = "" if isinstance(row.family, f.TableSize) else f" {c.facts.plain(table.element)}"
    count, gives = _TABLE[type(row.family)]
    group = c.group(f"do {row.name}{plain} {_address(c, imm)}")
    a = c.arguments(count)
    d = c.slot(len(c.ops), WORD)
    c.emit(group.get(0), a=a, d=d[1], i=imm, j=c.facts.layout.tables + 8 * imm)
    if gives:
        c.ops.append(d)


_TABLE: Final[Mapping[type[f.Family], tuple[int, bool]]] = MappingProxyType(
    {
        f.TableGet: (1, True),
        f.TableSet: (2, False),
        f.TableSize: (0, True),
        f.TableGrow: (2, True),
        f.TableFill: (3, False),
    }
)
"""How many operands an instruction takes, and whether it gives one."""


def _table_copy(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    target, source = imm
    group = c.group(f"do {row.name} {_address(c, target)} {_address(c, source)}")
    at = c.facts.layout.tables
    c.emit(group.get(0), a=c.arguments(3), j=at + 8 * target, c=at + 8 * source)


def _table_init(c: Baseline, offset: int, row: Row, imm: tuple[int, int]) -> None:
    segment, table = imm
    layout = c.facts.layout
    group = c.group(f"do {row.name} {_address(c, table)}")
    c.emit(group.get(0), a=c.arguments(3), j=layout.tables + 8 * table, i=layout.elems + SEGMENT.size * segment)


def _drop(c: Baseline, offset: int, row: Row, imm: int) -> None:
    layout = c.facts.layout
    segments = layout.elems if isinstance(row.family, f.ElemDrop) else layout.datas
    c.emit(c.do[row.index].get(0), i=segments + SEGMENT.size * imm)


REFERENCE_STEPS: Final[Mapping[type[f.Family], Step]] = MappingProxyType(
    {
        f.RefNull: _null,
        f.RefFunc: _func,
        f.RefIsNull: _asked,
        f.RefAsNonNull: _asked,
        f.BrOnNull: _br_on_null,
        f.TableGet: _table,
        f.TableSet: _table,
        f.TableSize: _table,
        f.TableGrow: _table,
        f.TableFill: _table,
        f.TableCopy: _table_copy,
        f.TableInit: _table_init,
        f.ElemDrop: _drop,
        f.DataDrop: _drop,
    }
)
