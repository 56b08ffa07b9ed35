"""Spec chapter "Text Format / Instructions": the immediates of each kind, from tokens to their encoding.

Invariant: one reader per kind of immediate, completeness tested. A reader gets the bytes of the opcode and
returns those of the whole instruction; keywords, opcodes and natural alignments come from the instruction table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wardian.binary import writer
from wardian.binary.encode import WRITE
from wardian.syntax.families import (
    F32X4,
    F64X2,
    I8X16,
    I16X8,
    I32X4,
    I64X2,
    AtomicNotify,
    AtomicWait,
    Family,
    Shape,
    SimdLoad,
    SimdLoadExtend,
    SimdStore,
)
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import BY_NAME, ROWS, TWIN, Row
from wardian.syntax.types import ValType
from wardian.text.lexer import Cursor
from wardian.text.numbers import DOUBLE, SINGLE, FloatFormat, float_bits, integer, is_natural, is_number, natural
from wardian.text.scope import BodyScope, Space, index_number, is_index
from wardian.text.types import (
    agreed_type,
    at_ref_type,
    explicit_type,
    heap_type,
    inline_type,
    ref_type,
    results,
    type_use,
)

Reader: TypeAlias = "Callable[[BodyScope, bytes, Row], bytes]"

_CACHE: Final = 1 << 16
"""So many encoded constants are remembered at most."""


def _encoded(code: bytes, row: Row, imm: Any) -> bytes:
    out = bytearray(code)
    WRITE[row.imm](out, imm)
    return bytes(out)


# -- indices -----------------------------------------------------------------------------------------------------------


def _nothing(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code


def _label(b: BodyScope, code: bytes, row: Row) -> bytes:
    out = bytearray(code)
    writer.unsigned(out, b.label())
    return bytes(out)


def _func(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.funcs.code(b.cur)


def _type(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.types.code(b.cur)


def _local(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.locals.code(b.cur)


def _global(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.globals.code(b.cur)


def _data(b: BodyScope, code: bytes, row: Row) -> bytes:
    b.scope.uses_data = True
    return code + b.scope.datas.code(b.cur)


def _elem(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.elems.code(b.cur)


def _tag(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.tags.code(b.cur)


def _optional(b: BodyScope, space: Space) -> bytes:
    """The index of a table or memory, which is 0 where none is given."""
    return space.code(b.cur) if is_index(b.cur.toks[b.cur.i]) else b"\0"


def _table(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + _optional(b, b.scope.tables)


def _memory(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + _optional(b, b.scope.memories)


def _two_or_none(b: BodyScope, space: Space) -> bytes:
    if not is_index(b.cur.toks[b.cur.i]):
        return b"\0\0"
    return space.code(b.cur) + space.code(b.cur)


def _memory_copy(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + _two_or_none(b, b.scope.memories)


def _table_copy(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + _two_or_none(b, b.scope.tables)


def _init(b: BodyScope, space: Space, segments: Space) -> bytes:
    """``x? y``: where to, if that is given, and the segment; encoded the other way round."""
    cur = b.cur
    target = space.code(cur) if is_index(cur.toks[cur.i + 1]) else b"\0"
    return segments.code(cur) + target


def _memory_init(b: BodyScope, code: bytes, row: Row) -> bytes:
    b.scope.uses_data = True
    return code + _init(b, b.scope.memories, b.scope.datas)


def _table_init(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + _init(b, b.scope.tables, b.scope.elems)


# -- control -----------------------------------------------------------------------------------------------------------


def _br_table(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    labels = [b.label()]
    while is_index(cur.toks[cur.i]):
        labels.append(b.label())
    return _encoded(code, row, (tuple(labels[:-1]), labels[-1]))


def _call_indirect(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    table = b.scope.tables.resolve(cur) if is_index(cur.toks[cur.i]) else 0
    return _encoded(code, row, (type_use(b.cur, b.scope, named=False)[0], table))


def block_type(b: BodyScope) -> ValType | int | None:
    """The type of a block: nothing, one result, or a type index."""
    cur = b.cur
    if cur.toks[cur.i] != "(":
        return None
    at = cur.i
    index = explicit_type(cur, b.scope)
    params, found = inline_type(cur, b.scope, named=False)
    if index is None and not params and len(found) < 2:
        return found[0] if found else None
    return agreed_type(cur, b.scope, at, index, tuple([type for _, _, type in params]), found)


def _block(b: BodyScope, code: bytes, row: Row) -> bytes:
    return _encoded(code, row, block_type(b))


_CATCHES: Final = ("catch", "catch_ref", "catch_all", "catch_all_ref")
_WITH_TAG: Final = 2


def _try_table(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    block = block_type(b)
    catches: list[tuple[int, int | None, int]] = []
    while cur.toks[cur.i] == "(" and cur.toks[cur.i + 1] in _CATCHES:
        kind = _CATCHES.index(cur.toks[cur.i + 1])
        cur.i += 2
        tag = b.scope.tags.resolve(cur) if kind < _WITH_TAG else None
        catches.append((kind, tag, b.label()))
        cur.close()
    return _encoded(code, row, (block, tuple(catches)))


def _select_t(b: BodyScope, code: bytes, row: Row) -> bytes:
    return _encoded(code, row, results(b.cur, b.scope))


def _select(b: BodyScope, code: bytes, row: Row) -> bytes:
    if b.cur.at_group("result"):
        twin = TWIN[row.name]
        return _select_t(b, opcode(twin), twin)
    return code


def _br_cast(b: BodyScope, code: bytes, row: Row) -> bytes:
    label = b.label()
    source = ref_type(b.cur, b.scope)
    return _encoded(code, row, (label, source, ref_type(b.cur, b.scope)))


# -- numbers -----------------------------------------------------------------------------------------------------------


def _constant(b: BodyScope, code: bytes, row: Row, bits: int) -> bytes:
    cur = b.cur
    key = f"{bits}{cur.toks[cur.i]}"
    found = b.constants.get(key)
    if found is None:
        out = bytearray()
        writer.signed(out, integer_at(cur, bits))
        if len(b.constants) >= _CACHE:
            b.constants.clear()
        found = b.constants[key] = bytes(out)
    else:
        cur.i += 1
    return code + found


def integer_at(cur: Cursor, bits: int) -> int:
    """The integer that the next token must be, signed."""
    token = cur.toks[cur.i]
    try:
        value = integer(token, bits)
    except OverflowError:
        cur.fail(cur.i, f"constant out of range: {token[:40]} does not fit i{bits}")
    if value is None:
        cur.unexpected(cur.i, f"an i{bits} constant")
    cur.i += 1
    return value


def float_at(cur: Cursor, format: FloatFormat) -> int:
    """The bits of the float that the next token must be."""
    token = cur.toks[cur.i]
    try:
        value = float_bits(token, format)
    except OverflowError:
        cur.fail(cur.i, f"constant out of range: {token[:40]} does not fit f{format.bits}")
    if value is None:
        cur.unexpected(cur.i, f"an f{format.bits} constant")
    cur.i += 1
    return value


def _i32(b: BodyScope, code: bytes, row: Row) -> bytes:
    return _constant(b, code, row, 32)


def _i64(b: BodyScope, code: bytes, row: Row) -> bytes:
    return _constant(b, code, row, 64)


def _f32(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + float_at(b.cur, SINGLE).to_bytes(4, "little")


def _f64(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + float_at(b.cur, DOUBLE).to_bytes(8, "little")


SHAPES: Final = {shape.name: shape for shape in (I8X16, I16X8, I32X4, I64X2, F32X4, F64X2)}


def lane_bits(cur: Cursor, shape: Shape) -> int:
    """The bits of the next token as a lane of ``shape``."""
    if shape is F32X4:
        return float_at(cur, SINGLE)
    if shape is F64X2:
        return float_at(cur, DOUBLE)
    return integer_at(cur, shape.bits) & ((1 << shape.bits) - 1)


def shape_at(cur: Cursor) -> Shape:
    shape = SHAPES.get(cur.toks[cur.i])
    if shape is None:
        cur.unexpected(cur.i, "the shape of a vector, as i32x4")
    cur.i += 1
    return shape


def _v128(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + vector(b.cur)


def vector(cur: Cursor) -> bytes:
    """A shape and its lanes."""
    shape = shape_at(cur)
    size = shape.bits // 8
    at = cur.i
    _count_numbers(cur, shape.lanes, "wrong number of lane literals")
    out = bytearray()
    for _ in range(shape.lanes):
        out += lane_bits(cur, shape).to_bytes(size, "little")
    assert cur.i == at + shape.lanes
    return bytes(out)


def _count_numbers(cur: Cursor, wanted: int, complaint: str) -> None:
    """Raise :class:`MalformedError` unless just so many numbers come next; what is no number at all is not judged."""
    toks, i = cur.toks, cur.i
    after = i
    while is_number(toks[after]):
        after += 1
    if after - i > wanted or (after - i < wanted and (toks[after] in ("(", ")") or toks[after] in BY_NAME)):
        cur.fail(min(after, i + wanted), f"{complaint}: {wanted} expected, not {after - i}")


def _lane_index(cur: Cursor) -> int:
    token = cur.toks[cur.i]
    try:
        value = natural(token, 8)
    except OverflowError:
        cur.fail(cur.i, f"i8 constant out of range: {token[:40]}")
    if value is None:
        cur.unexpected(cur.i, "the number of a lane")
    cur.i += 1
    return value


def _lane(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + bytes((_lane_index(b.cur),))


def _shuffle(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    _count_numbers(cur, 16, "invalid lane length")
    for at, token in enumerate(cur.toks[cur.i : cur.i + 16], cur.i):
        if is_number(token) and not is_natural(token):
            cur.fail(at, f"i8 constant out of range: {token[:40]}")
    return code + bytes(_lane_index(cur) for _ in range(16))


# -- memory ------------------------------------------------------------------------------------------------------------


def access_size(family: Family) -> int:
    """How many bytes an access of ``family`` touches, which is its natural alignment."""
    if isinstance(family, SimdLoad | SimdStore):
        return 16
    if isinstance(family, SimdLoadExtend):
        return 8
    if isinstance(family, AtomicNotify):
        return 4
    if isinstance(family, AtomicWait):
        return family.type.size
    parts: dict[str, Any] = vars(family)
    if "size" in parts:
        return int(parts["size"])
    bits: int = parts["bits"] if "bits" in parts else parts["shape"].bits
    return bits // 8


def natural_alignment(row: Row) -> int:
    """The logarithm of the alignment that is meant where none is written."""
    return access_size(row.family).bit_length() - 1


def _mem_arg(b: BodyScope, row: Row, memory: int) -> tuple[int, int, int]:
    cur = b.cur
    offset = 0
    align = natural_alignment(row)
    token = cur.toks[cur.i]
    if token.startswith("offset="):
        offset = _word_number(cur, 64)
        token = cur.toks[cur.i]
    if token.startswith("align="):
        at = cur.i
        value = _word_number(cur, 64)
        if not value or value & (value - 1):
            cur.fail(at, f"alignment must be a power of two, not {value}")
        align = value.bit_length() - 1
    return align, offset, memory


def _word_number(cur: Cursor, bits: int) -> int:
    """The number of ``word=number``, one token."""
    token = cur.toks[cur.i]
    word, _, digits = token.partition("=")
    try:
        value = natural(digits, bits)
    except OverflowError:
        cur.fail(cur.i, f"{word} out of range: {digits[:40]}")
    if value is None:
        cur.fail(cur.i, f"unknown operator {token[:60]}, expected {word}= and a number")
    cur.i += 1
    return value


def _memarg(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    token = cur.toks[cur.i]
    plain = not is_index(token)
    if plain:
        # FAST: the same few forms stand for most accesses of a real module.
        key = f"{row.index} {token} {cur.toks[cur.i + 1]}" if token[:7] == "offset=" else f"{row.index} {token}"
        found = b.constants.get(key)
        if found is not None:
            cur.i += found[0]
            return found[1:]
    start = cur.i
    memory = 0 if plain else b.scope.memories.resolve(cur)
    whole = _encoded(code, row, _mem_arg(b, row, memory))
    if plain:
        if len(b.constants) >= _CACHE:
            b.constants.clear()
        b.constants[key] = bytes((cur.i - start,)) + whole
    return whole


def _memarg_lane(b: BodyScope, code: bytes, row: Row) -> bytes:
    cur = b.cur
    token = cur.toks[cur.i]
    memory = 0
    # A number alone is the lane; with another, or an argument, after it, it is the memory.
    after = cur.toks[cur.i + 1]
    if token[:1] == "$" or (is_index(token) and (after[:1].isdigit() or after.startswith(("offset=", "align=")))):
        memory = b.scope.memories.resolve(cur)
    align, offset, memory = _mem_arg(b, row, memory)
    return _encoded(code, row, (align, offset, memory, _lane_index(cur)))


def _fence(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b"\0"


# -- references and aggregates -----------------------------------------------------------------------------------------


def _heap(b: BodyScope, code: bytes, row: Row) -> bytes:
    return _encoded(code, row, heap_type(b.cur, b.scope))


def _cast(b: BodyScope, code: bytes, row: Row) -> bytes:
    """``ref.test`` and ``ref.cast`` name a reference type; whether it is nullable is told by the opcode."""
    if not at_ref_type(b.cur):
        b.cur.unexpected(b.cur.i, "a reference type")
    type = ref_type(b.cur, b.scope)
    chosen = TWIN[row.name] if type.nullable else row
    return _encoded(opcode(chosen), chosen, type.heap)


def _type_field(b: BodyScope, code: bytes, row: Row) -> bytes:
    type = b.scope.types.resolve(b.cur)
    field = b.scope.fields.get(type)
    found = field.resolve(b.cur) if field is not None else Space("field").resolve(b.cur)
    return _encoded(code, row, (type, found))


def _type_count(b: BodyScope, code: bytes, row: Row) -> bytes:
    type = b.scope.types.resolve(b.cur)
    count = index_number(b.cur, b.cur.i, "a number of elements")
    b.cur.i += 1
    return _encoded(code, row, (type, count))


def _type_data(b: BodyScope, code: bytes, row: Row) -> bytes:
    b.scope.uses_data = True
    return code + b.scope.types.code(b.cur) + b.scope.datas.code(b.cur)


def _type_elem(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.types.code(b.cur) + b.scope.elems.code(b.cur)


def _type_type(b: BodyScope, code: bytes, row: Row) -> bytes:
    return code + b.scope.types.code(b.cur) + b.scope.types.code(b.cur)


READ: Final[Mapping[Imm, Reader]] = MappingProxyType(
    {
        Imm.NONE: _nothing,
        Imm.LABEL: _label,
        Imm.FUNC: _func,
        Imm.TYPE: _type,
        Imm.LOCAL: _local,
        Imm.GLOBAL: _global,
        Imm.TABLE: _table,
        Imm.MEMORY: _memory,
        Imm.DATA: _data,
        Imm.ELEM: _elem,
        Imm.TAG: _tag,
        Imm.LANE: _lane,
        Imm.I32: _i32,
        Imm.I64: _i64,
        Imm.F32: _f32,
        Imm.F64: _f64,
        Imm.V128: _v128,
        Imm.SHUFFLE: _shuffle,
        Imm.BLOCK: _block,
        Imm.MEMARG: _memarg,
        Imm.MEMARG_LANE: _memarg_lane,
        Imm.SELECT_T: _select_t,
        Imm.HEAP: _heap,
        Imm.BR_TABLE: _br_table,
        Imm.CALL_INDIRECT: _call_indirect,
        Imm.MEMORY_COPY: _memory_copy,
        Imm.MEMORY_INIT: _memory_init,
        Imm.TABLE_COPY: _table_copy,
        Imm.TABLE_INIT: _table_init,
        Imm.TYPE_FIELD: _type_field,
        Imm.TYPE_COUNT: _type_count,
        Imm.TYPE_DATA: _type_data,
        Imm.TYPE_ELEM: _type_elem,
        Imm.TYPE_TYPE: _type_type,
        Imm.BR_CAST: _br_cast,
        Imm.TRY_TABLE: _try_table,
        Imm.FENCE: _fence,
    }
)
"""How each kind of immediate is read."""


def opcode(row: Row) -> bytes:
    """The bytes of the opcode of ``row``."""
    out = bytearray()
    if row.opcode < 0x100:
        out.append(row.opcode)
    else:
        out.append(row.opcode >> 16)
        writer.unsigned(out, row.opcode & 0xFFFF)
    return bytes(out)


_STRUCTURE: Final = frozenset({"block", "loop", "if", "else", "end", "try_table"})

PLAIN: Final[Mapping[str, bytes]] = {
    row.name: opcode(row) for row in ROWS if row.imm is Imm.NONE and row.name not in _STRUCTURE and row.name not in TWIN
}
"""The mnemonics of instructions without immediates, and their code."""

_TWIN_READERS: Final[dict[Imm, Reader]] = {Imm.NONE: _select, Imm.HEAP: _cast}

WITH_OPERANDS: Final[Mapping[str, tuple[Reader, bytes, Row]]] = {
    name: (_TWIN_READERS[row.imm] if name in TWIN else READ[row.imm], opcode(row), row)
    for name, row in BY_NAME.items()
    if name not in PLAIN and name not in _STRUCTURE
}
"""The other mnemonics but those of blocks: reader of their immediates, opcode, row."""
