"""Lowering of memory and table instructions; every address comes from :mod:`wardian.compile.bounds`."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from wardian.compile import bounds
from wardian.compile.emit import GUEST, HOSTDATA, Value, const
from wardian.compile.function import CTX, FamilyTable, Lowering
from wardian.compile.numeric import LLVM
from wardian.syntax import families as f
from wardian.vm.layout import SEGMENT
from wardian.vm.traps import TrapCode

_OOB: Final = TrapCode.MEMORY_OUT_OF_BOUNDS
_TABLE: Final = TrapCode.TABLE_OUT_OF_BOUNDS
_MOST_FEW: Final = 128
"""Bytes up to which a copy or a fill of constant size is done in place."""
_PIECE: Final = MappingProxyType({width: f"<{width} x i8>" for width in (1, 2, 4, 8, 16)})


def load(lo: Lowering, fam: f.Load, imm: tuple[int, int, int]) -> None:
    _, offset, memory = imm
    index = lo.pop_address(lo.facts.memories[memory].limits.is64)
    pointer, volatile = bounds.address(lo, memory, index, offset, fam.size)
    full = LLVM[fam.type]
    narrow = fam.size != fam.type.size
    value = lo.b.load(pointer, f"i{fam.size * 8}" if narrow else full, GUEST, volatile=volatile, align=1)
    lo.push(lo.b.cast("sext" if fam.signed else "zext", value, full) if narrow else value)


def store(lo: Lowering, fam: f.Store, imm: tuple[int, int, int]) -> None:
    _, offset, memory = imm
    value = lo.pop()
    index = lo.pop_address(lo.facts.memories[memory].limits.is64)
    pointer, volatile = bounds.address(lo, memory, index, offset, fam.size)
    if fam.size != fam.type.size:
        value = lo.b.cast("trunc", value, f"i{fam.size * 8}")
    lo.b.store(value, pointer, GUEST, volatile=volatile, align=1)


def memory_size(lo: Lowering, fam: f.MemorySize, imm: int) -> None:
    type_ = lo.facts.memories[imm]
    pages = lo.b.binary("lshr", bounds.length(lo, imm, "seq_cst"), const(type_.page_size_log2, "i64"))
    lo.push_address(pages, type_.limits.is64)


def memory_grow(lo: Lowering, fam: f.MemoryGrow, imm: int) -> None:
    is64 = lo.facts.memories[imm].limits.is64
    delta = lo.pop_address(is64)
    lo.push_address(lo.builtin("memory_grow", "i64", const(imm, "i64"), delta), is64)


def memory_fill(lo: Lowering, fam: f.MemoryFill, imm: int) -> None:
    is64 = lo.facts.memories[imm].limits.is64
    few = _few(lo, imm)
    count, value, start = lo.pop_address(is64), lo.pop(), lo.pop_address(is64)
    if few:
        _fill_few(lo, imm, start, value, few)
        return
    start, count = bounds.check_memory(lo, imm, start, count)
    lo.builtin("memory_fill", "void", bounds.pointer(lo, imm, start), value, count)


def memory_copy(lo: Lowering, fam: f.MemoryCopy, imm: tuple[int, int]) -> None:
    dst, src = imm
    dst64, src64 = lo.facts.memories[dst].limits.is64, lo.facts.memories[src].limits.is64
    few = _few(lo, dst, src)
    count = lo.pop_address(dst64 and src64)
    source, target = lo.pop_address(src64), lo.pop_address(dst64)
    if few:
        _copy_few(lo, dst, target, src, source, few)
        return
    target, count = bounds.check_memory(lo, dst, target, count)
    source, count = bounds.check_memory(lo, src, source, count)
    lo.builtin("memory_copy", "void", bounds.pointer(lo, dst, target), bounds.pointer(lo, src, source), count)


def _few(lo: Lowering, *memories: int) -> int:
    """How many bytes on top of the stack say, if it is a constant, and accesses take the place of a call; else 0."""
    text = lo.stack[-1][0]
    if lo.facts.options.opt != "O2" or lo.facts.is_stencil or not text.isdecimal() or int(text) > _MOST_FEW:
        return 0
    return int(text) if all(bounds.guarded(lo, memory) for memory in memories) else 0


def _pieces(size: int) -> list[tuple[int, int]]:
    """``(offset, bytes)`` of accesses that cover ``size`` bytes; the last may cover some a second time."""
    width = next(width for width in (16, 8, 4, 2, 1) if width <= size)
    whole = [(at, width) for at in range(0, size - width + 1, width)]
    return [*whole, (size - width, width)] if size % width else whole


def _copy_few(lo: Lowering, to: int, target: Value, from_: int, source: Value, size: int) -> None:
    """All is read before anything is written, so it does not matter how the ranges overlap."""
    pieces, values = _pieces(size), []
    for at, width in pieces:
        pointer, volatile = bounds.address(lo, from_, source, at, width)
        values.append(lo.b.load(pointer, _PIECE[width], GUEST, volatile=volatile, align=1))
    _write(lo, to, target, pieces, values)


def _fill_few(lo: Lowering, memory: int, start: Value, value: Value, size: int) -> None:
    pieces, b = _pieces(size), lo.b
    byte = b.cast("trunc", value, "i8")
    many = b.splat(byte, pieces[0][1])
    _write(lo, memory, start, pieces, [many] * len(pieces))


def _write(lo: Lowering, memory: int, start: Value, pieces: list[tuple[int, int]], values: list[Value]) -> None:
    """Nothing is written where not all can be: so the last byte is touched before."""
    if len(pieces) > 1:
        pointer, volatile = bounds.address(lo, memory, start, sum(pieces[-1]) - 1, 1)
        lo.b.load(pointer, "i8", GUEST, volatile=volatile, align=1)
    for (at, width), value in zip(pieces, values, strict=True):
        pointer, volatile = bounds.address(lo, memory, start, at, width)
        lo.b.store(value, pointer, GUEST, volatile=volatile, align=1)


def memory_init(lo: Lowering, fam: f.MemoryInit, imm: tuple[int, int]) -> None:
    data, memory = imm
    count, source = lo.pop_address(False), lo.pop_address(False)
    target = lo.pop_address(lo.facts.memories[memory].limits.is64)
    target, count = bounds.check_memory(lo, memory, target, count)
    at = lo.facts.layout.datas + SEGMENT.size * data
    source, count, base = bounds.check_segment(lo, at, source, count, _OOB)
    lo.builtin("memory_copy", "void", bounds.pointer(lo, memory, target), lo.b.index(base, source), count)


def data_drop(lo: Lowering, fam: f.DataDrop, imm: int) -> None:
    _drop(lo, lo.facts.layout.datas + SEGMENT.size * imm)


def elem_drop(lo: Lowering, fam: f.ElemDrop, imm: int) -> None:
    _drop(lo, lo.facts.layout.elems + SEGMENT.size * imm)


def _drop(lo: Lowering, at: int) -> None:
    lo.b.store(const(0, "i64"), lo.b.offset(CTX, at + SEGMENT.at["length"]), HOSTDATA)


# -- tables ------------------------------------------------------------------------------------------------------------


def _is64(lo: Lowering, table: int) -> bool:
    return lo.facts.tables[table].limits.is64


def table_get(lo: Lowering, fam: f.TableGet, imm: int) -> None:
    slot = bounds.table_slot(lo, imm, lo.pop_address(_is64(lo, imm)), _TABLE)
    lo.push(lo.b.load(slot, lo.facts.llvm(lo.facts.tables[imm].element), HOSTDATA))


def table_set(lo: Lowering, fam: f.TableSet, imm: int) -> None:
    value = lo.pop()
    slot = bounds.table_slot(lo, imm, lo.pop_address(_is64(lo, imm)), _TABLE)
    lo.b.store(value, slot, HOSTDATA)


def table_size(lo: Lowering, fam: f.TableSize, imm: int) -> None:
    lo.push_address(bounds.table_length(lo, imm)[1], _is64(lo, imm))


def _as_word(lo: Lowering, value: Value) -> Value:
    return lo.b.cast("ptrtoint" if value[1] == "ptr" else "zext", value, "i64")


def table_grow(lo: Lowering, fam: f.TableGrow, imm: int) -> None:
    is64 = _is64(lo, imm)
    delta = lo.pop_address(is64)
    value = _as_word(lo, lo.pop())
    lo.push_address(lo.builtin("table_grow", "i64", const(imm, "i64"), delta, value), is64)


def table_fill(lo: Lowering, fam: f.TableFill, imm: int) -> None:
    is64 = _is64(lo, imm)
    count, value, start = lo.pop_address(is64), _as_word(lo, lo.pop()), lo.pop_address(is64)
    start, count = bounds.check_table(lo, imm, start, count)
    lo.builtin("table_fill", "void", bounds.table_range(lo, imm, start), value, count)


def table_copy(lo: Lowering, fam: f.TableCopy, imm: tuple[int, int]) -> None:
    dst, src = imm
    dst64, src64 = _is64(lo, dst), _is64(lo, src)
    count = lo.pop_address(dst64 and src64)
    source, target = lo.pop_address(src64), lo.pop_address(dst64)
    target, count = bounds.check_table(lo, dst, target, count)
    source, count = bounds.check_table(lo, src, source, count)
    to, from_ = bounds.table_range(lo, dst, target), bounds.table_range(lo, src, source)
    lo.builtin("memory_copy", "void", to, from_, lo.b.binary("shl", count, const(3, "i64")))


def table_init(lo: Lowering, fam: f.TableInit, imm: tuple[int, int]) -> None:
    elem, table = imm
    count, source = lo.pop_address(False), lo.pop_address(False)
    target = lo.pop_address(_is64(lo, table))
    target, count = bounds.check_table(lo, table, target, count)
    at = lo.facts.layout.elems + SEGMENT.size * elem
    source, count, base = bounds.check_segment(lo, at, source, count, _TABLE)
    to, from_ = bounds.table_range(lo, table, target), lo.b.index(base, source, "i64")
    lo.builtin("memory_copy", "void", to, from_, lo.b.binary("shl", count, const(3, "i64")))


LIVE: Final[FamilyTable] = MappingProxyType(
    {
        f.Load: load,
        f.Store: store,
        f.MemorySize: memory_size,
        f.MemoryGrow: memory_grow,
        f.MemoryFill: memory_fill,
        f.MemoryCopy: memory_copy,
        f.MemoryInit: memory_init,
        f.DataDrop: data_drop,
        f.ElemDrop: elem_drop,
        f.TableGet: table_get,
        f.TableSet: table_set,
        f.TableSize: table_size,
        f.TableGrow: table_grow,
        f.TableFill: table_fill,
        f.TableCopy: table_copy,
        f.TableInit: table_init,
    }
)
