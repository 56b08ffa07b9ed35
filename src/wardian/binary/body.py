"""Spec chapter "Binary Format / Instructions" and "Code Section": a body as a stream of instructions.

Invariant: the stream is exactly the grammar of expressions. It is iterative, holds one byte of state per open block,
and whatever it cannot decode is a :class:`MalformedError` with the absolute offset. Whether labels, indices and types
make sense is validation's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final, Never, TypeAlias

from wardian.binary.reader import END, signed, switched_off, unsigned
from wardian.binary.types import heap_type_at, require_heap, require_type, val_type_at
from wardian.errors import MalformedError
from wardian.limits import Features, Limits
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import PLAIN, PREFIXED, ROWS, Row
from wardian.syntax.types import RefType, ValType, ref

Instruction: TypeAlias = "tuple[int, Row, object]"
"""``(absolute offset of the opcode, row, immediate as documented in wardian.syntax.immediates)``"""

MAX_LOCALS: Final = 0xFFFF_FFFF

_BR_CAST_NULL_SOURCE: Final = 1
_BR_CAST_NULL_DESTINATION: Final = 2
_MEMARG_INDEX: Final = 0x40
_EMPTY_BLOCK: Final = 0x40


# -- readers of immediates: (source, position, end) -> (value, position after) -----------------------------------------


def _nothing(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return None, pos


def _index(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return unsigned(source, pos, end, 32)


def _indices(source: bytes, pos: int, end: int) -> tuple[object, int]:
    first, pos = unsigned(source, pos, end, 32)
    second, pos = unsigned(source, pos, end, 32)
    return (first, second), pos


def _bytes(source: bytes, pos: int, end: int, size: int) -> tuple[bytes, int]:
    after = pos + size
    if after > end:
        raise MalformedError(END, offset=end)
    return source[pos:after], after


def _lane(source: bytes, pos: int, end: int) -> tuple[object, int]:
    raw, after = _bytes(source, pos, end, 1)
    return raw[0], after


def _i32(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return signed(source, pos, end, 32)


def _i64(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return signed(source, pos, end, 64)


def _f32(source: bytes, pos: int, end: int) -> tuple[object, int]:
    raw, after = _bytes(source, pos, end, 4)
    return int.from_bytes(raw, "little"), after


def _f64(source: bytes, pos: int, end: int) -> tuple[object, int]:
    raw, after = _bytes(source, pos, end, 8)
    return int.from_bytes(raw, "little"), after


def _v128(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return _bytes(source, pos, end, 16)


def _block_type(source: bytes, pos: int, end: int) -> tuple[ValType | int | None, int]:
    if pos >= end:
        raise MalformedError(END, offset=end)
    byte = source[pos]
    if byte == _EMPTY_BLOCK:
        return None, pos + 1
    if 0x40 <= byte < 0x80:
        return val_type_at(source, pos, end)
    index, after = signed(source, pos, end, 33)
    if index < 0:
        raise MalformedError("malformed block type", offset=pos)
    return index, after


def _mem_arg(source: bytes, pos: int, end: int) -> tuple[tuple[int, int, int], int]:
    flags, after = unsigned(source, pos, end, 32)
    if flags >= 0x80:
        raise MalformedError("malformed memop flags", offset=pos)
    memory = 0
    if flags & _MEMARG_INDEX:
        memory, after = unsigned(source, after, end, 32)
    offset, after = unsigned(source, after, end, 64)
    return (flags & 0x3F, offset, memory), after


def _mem_arg_lane(source: bytes, pos: int, end: int) -> tuple[object, int]:
    arg, pos = _mem_arg(source, pos, end)
    raw, after = _bytes(source, pos, end, 1)
    return (*arg, raw[0]), after


def _count(source: bytes, pos: int, end: int) -> tuple[int, int]:
    n, after = unsigned(source, pos, end, 32)
    if n > end - after:
        raise MalformedError(f"{END}: {n} elements declared", offset=pos)
    return n, after


def _select(source: bytes, pos: int, end: int) -> tuple[object, int]:
    n, pos = _count(source, pos, end)
    types: list[ValType] = []
    for _ in range(n):
        found, pos = val_type_at(source, pos, end)
        types.append(found)
    return tuple(types), pos


def _heap(source: bytes, pos: int, end: int) -> tuple[object, int]:
    return heap_type_at(source, pos, end)


def _br_table(source: bytes, pos: int, end: int) -> tuple[object, int]:
    n, pos = _count(source, pos, end)
    labels: list[int] = []
    for _ in range(n):
        if pos < end and source[pos] < 0x80:
            labels.append(source[pos])
            pos += 1
        else:
            label, pos = unsigned(source, pos, end, 32)
            labels.append(label)
    default, pos = unsigned(source, pos, end, 32)
    return (tuple(labels), default), pos


def _br_cast(source: bytes, pos: int, end: int) -> tuple[object, int]:
    raw, after = _bytes(source, pos, end, 1)
    flags = raw[0]
    if flags > 3:
        raise MalformedError("malformed br_on_cast flags", offset=pos)
    label, after = unsigned(source, after, end, 32)
    src, after = heap_type_at(source, after, end)
    dst, after = heap_type_at(source, after, end)
    return (
        label,
        ref(bool(flags & _BR_CAST_NULL_SOURCE), src),
        ref(bool(flags & _BR_CAST_NULL_DESTINATION), dst),
    ), after


def _try_table(source: bytes, pos: int, end: int) -> tuple[object, int]:
    block, pos = _block_type(source, pos, end)
    n, pos = _count(source, pos, end)
    catches: list[tuple[int, int | None, int]] = []
    for _ in range(n):
        raw, after = _bytes(source, pos, end, 1)
        kind = raw[0]
        if kind > 3:
            raise MalformedError("malformed catch clause", offset=pos)
        tag: int | None = None
        if kind < 2:
            tag, after = unsigned(source, after, end, 32)
        label, pos = unsigned(source, after, end, 32)
        catches.append((kind, tag, label))
    return (block, tuple(catches)), pos


def _fence(source: bytes, pos: int, end: int) -> tuple[object, int]:
    raw, after = _bytes(source, pos, end, 1)
    if raw[0] != 0:
        raise MalformedError("zero byte expected", offset=pos)
    return None, after


_Reader: TypeAlias = Callable[[bytes, int, int], tuple[object, int]]

_READ: Final = MappingProxyType[Imm, _Reader](
    {
        Imm.NONE: _nothing,
        Imm.LABEL: _index,
        Imm.FUNC: _index,
        Imm.TYPE: _index,
        Imm.LOCAL: _index,
        Imm.GLOBAL: _index,
        Imm.TABLE: _index,
        Imm.MEMORY: _index,
        Imm.DATA: _index,
        Imm.ELEM: _index,
        Imm.TAG: _index,
        Imm.LANE: _lane,
        Imm.I32: _i32,
        Imm.I64: _i64,
        Imm.F32: _f32,
        Imm.F64: _f64,
        Imm.V128: _v128,
        Imm.SHUFFLE: _v128,
        Imm.BLOCK: _block_type,
        Imm.MEMARG: _mem_arg,
        Imm.MEMARG_LANE: _mem_arg_lane,
        Imm.SELECT_T: _select,
        Imm.HEAP: _heap,
        Imm.BR_TABLE: _br_table,
        Imm.CALL_INDIRECT: _indices,
        Imm.MEMORY_COPY: _indices,
        Imm.MEMORY_INIT: _indices,
        Imm.TABLE_COPY: _indices,
        Imm.TABLE_INIT: _indices,
        Imm.TYPE_FIELD: _indices,
        Imm.TYPE_COUNT: _indices,
        Imm.TYPE_DATA: _indices,
        Imm.TYPE_ELEM: _indices,
        Imm.TYPE_TYPE: _indices,
        Imm.BR_CAST: _br_cast,
        Imm.TRY_TABLE: _try_table,
        Imm.FENCE: _fence,
    }
)

# -- what the stream does with each first byte -------------------------------------------------------------------------

_IS_INDEX: Final = 0
_IS_BARE: Final = 1
_IS_MEMARG: Final = 2
_IS_CONST: Final = 3
_IS_OTHER: Final = 4
_OPENS: Final = 5
_IS_ELSE: Final = 6
_IS_END: Final = 7
_IS_PREFIX: Final = 8

_NEEDS_DATA_COUNT: Final = frozenset({Imm.MEMORY_INIT, Imm.DATA, Imm.TYPE_DATA})

# Bytes of the stack of open blocks.
_BLOCK: Final = 0
_IF: Final = 1
_IF_OPCODE: Final = 0x04


def _plan(byte: int) -> int:
    row = PLAIN[byte]
    if row is None:
        return _IS_PREFIX
    if row.name in ("else", "end"):
        return _IS_ELSE if row.name == "else" else _IS_END
    by_imm = {
        Imm.NONE: _IS_BARE,
        Imm.MEMARG: _IS_MEMARG,
        Imm.I32: _IS_CONST,
        Imm.I64: _IS_CONST,
        Imm.BLOCK: _OPENS,
        Imm.TRY_TABLE: _OPENS,
    }
    return by_imm.get(row.imm, _IS_INDEX if _READ[row.imm] is _index else _IS_OTHER)


_PLAN: Final = bytes(_plan(byte) for byte in range(256))
_ROW: Final[tuple[Row, ...]] = tuple(row or ROWS[0] for row in PLAIN)
# Where there is no row the plan is _IS_PREFIX, and what stands here is not looked at.


def _missing_end(source: bytes, end: int) -> Never:
    # The specification's decoder reads on past the bound it was given; its three wordings come from what it finds.
    if end >= len(source):
        raise MalformedError(END, offset=end)
    raise MalformedError("section size mismatch" if source[end] == 0x0B else "END opcode expected", offset=end)


def _prefixed(source: bytes, pos: int, end: int) -> tuple[Row, int]:
    """The row of a prefix byte and sub-opcode, and the position after them."""
    prefix = source[pos]
    rows = PREFIXED.get(prefix)
    if rows is None:
        raise MalformedError(f"illegal opcode {prefix:02x}", offset=pos)
    sub, after = unsigned(source, pos + 1, end, 32)
    row = rows[sub] if sub < len(rows) else None
    if row is None:
        raise MalformedError(f"illegal opcode {prefix:02x} {sub:02x}", offset=pos)
    return row, after


def _refuse(features: Features, row: Row, imm: object) -> None:
    """Raise :class:`FeatureDisabled` if ``row``, or a type in its immediate, needs a feature that is off.

    A second memory or table needs no look here: without its feature there is none to name.
    """
    features.require(row.feature, row.name)
    kind = row.imm
    if kind in (Imm.BLOCK, Imm.TRY_TABLE):
        block = imm[0] if isinstance(imm, tuple) else imm
        if isinstance(block, int):
            features.require("multi_value", "a block with parameters or several results")
        elif block is not None:
            require_type(features, block)  # type: ignore[arg-type]  # a ValType, as documented in immediates
    elif kind is Imm.HEAP:
        require_heap(features, imm)  # type: ignore[arg-type]  # a HeapType, likewise
    elif isinstance(imm, tuple):
        for part in imm:
            if isinstance(part, RefType):
                require_type(features, part)


def instructions(
    source: bytes,
    pos: int,
    end: int,
    features: Features,
    *,
    has_data_count: bool = True,
    constant: bool = False,
) -> Iterator[Instruction]:
    """Every instruction from ``pos`` on, ``end`` opcodes included, up to the one that closes the expression.

    That one must be the last before ``end``, or with ``constant`` the stream stops there. Every block that is opened
    has been closed then, and every ``else`` belonged to an ``if``. Raises :class:`MalformedError` and
    :class:`FeatureDisabled`.
    """
    plan = _PLAN
    rows = _ROW
    total = len(source)
    off = switched_off(features)
    opened = bytearray((_BLOCK,))
    while pos < end:
        at = pos
        byte = source[pos]
        todo = plan[byte]
        row = rows[byte]
        pos += 1
        imm: object = None
        # FAST: the common forms are decoded here where they are one byte long; _READ has the rest.
        if todo == _IS_INDEX and pos < end and source[pos] < 0x80:
            imm = source[pos]
            pos += 1
        elif todo == _IS_BARE:
            pass
        elif todo == _IS_MEMARG and pos + 1 < end and source[pos] < 0x40 and source[pos + 1] < 0x80:
            imm = (source[pos], source[pos + 1], 0)
            pos += 2
        elif todo == _IS_CONST and pos < end and source[pos] < 0x80:
            imm = source[pos] if source[pos] < 0x40 else source[pos] - 0x80
            pos += 1
        elif todo == _IS_END:
            opened.pop()
            if not opened and pos != end and not constant:
                raise MalformedError("section size mismatch: code after the end of the body", offset=pos)
        elif todo == _IS_ELSE:
            if opened[-1] != _IF:
                raise MalformedError("END opcode expected", offset=at)
            opened[-1] = _BLOCK
        else:
            if todo == _IS_PREFIX:
                row, pos = _prefixed(source, at, total)
            # Read to the end of the file, then look where it went: so does the specification's decoder, and what it
            # says of an integer that is too long does not depend on what the bytes around it are taken for.
            imm, pos = _READ[row.imm](source, pos, total)
            if pos > end:
                raise MalformedError(END, offset=end)
            if todo == _OPENS:
                opened.append(_IF if byte == _IF_OPCODE else _BLOCK)
            elif not has_data_count and row.imm in _NEEDS_DATA_COUNT:
                raise MalformedError("data count section required", offset=at)
        if off:
            _refuse(features, row, imm)
        yield at, row, imm
        if not opened:
            return
    _missing_end(source, end)


def instruction_at(
    source: bytes, at: int, end: int, features: Features, *, has_data_count: bool = True
) -> tuple[Row, object, int]:
    """``(row, immediate, position after)`` of the instruction at ``at``, which stands alone: neither ``else`` nor
    ``end``, for whether these may stand there depends on what came before. Raises as :func:`instructions` does.
    """
    byte = source[at]
    row = _ROW[byte]
    pos = at + 1
    total = len(source)
    if _PLAN[byte] == _IS_PREFIX:
        row, pos = _prefixed(source, at, total)
    imm, pos = _READ[row.imm](source, pos, total)
    if pos > end:
        raise MalformedError(END, offset=end)
    if not has_data_count and row.imm in _NEEDS_DATA_COUNT:
        raise MalformedError("data count section required", offset=at)
    if switched_off(features):
        _refuse(features, row, imm)
    return row, imm, pos


def expression_end(source: bytes, pos: int, end: int, features: Features) -> int:
    """The position after the ``end`` that closes the (constant) expression at ``pos``."""
    for at, _row, _imm in instructions(source, pos, end, features, constant=True):
        pos = at + 1
    return pos


def locals_of(
    source: bytes,
    start: int,
    end: int,
    limits: Limits = Limits(),  # noqa: B008
    features: Features = Features(),  # noqa: B008
) -> tuple[list[tuple[int, ValType]], int]:
    """The runs of local declarations ``(count, type)`` of the body at ``start``, and its first instruction's position.

    Raises :class:`MalformedError`, :class:`LimitExceeded` and :class:`FeatureDisabled`.
    """
    size = len(source)
    n, pos = _count(source, start, size)
    off = switched_off(features)
    runs: list[tuple[int, ValType]] = []
    total = 0
    for _ in range(n):
        at = pos
        count, pos = unsigned(source, pos, size, 32)
        total += count
        if total > MAX_LOCALS:
            raise MalformedError("too many locals", offset=at)
        found, pos = val_type_at(source, pos, size)
        if off:
            require_type(features, found)
        runs.append((count, found))
    if pos > end:
        raise MalformedError(END, offset=end)
    limits.check("locals", total)
    return runs, pos


def check_bodies(source: bytes, bodies: list[tuple[int, int]], features: Features) -> None:
    """Decode the bodies, in order, only to raise the first :class:`MalformedError` among them."""
    for start, end in bodies:
        _, pos = locals_of(source, start, end, features=features)
        for _ in instructions(source, pos, end, features):
            pass
