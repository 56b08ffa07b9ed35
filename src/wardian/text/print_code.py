"""Spec chapter "Text Format / Instructions", the other way round: the bytes of an expression to flat instructions.

Invariant: reading what is written here gives the same bytes. Where an integer is encoded in more bytes than it needs,
as linkers do, an annotation says so; other programs pass over that.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

from wardian.binary.body import Instruction, instructions
from wardian.binary.custom import Subsection
from wardian.binary.encode import write_instruction
from wardian.limits import Features
from wardian.syntax.families import RefCast, RefTest
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS, Row
from wardian.syntax.module import Module
from wardian.syntax.types import AbsHeapType, FieldType, FuncType, HeapType, PackedType, RefType, ValType, ref
from wardian.text.body import widen
from wardian.text.identifiers import Identifier, Identifiers, token_of
from wardian.text.lexer import HINT_NOTE, LEB_NOTE
from wardian.text.numbers import DOUBLE, SINGLE, FloatFormat
from wardian.text.operands import natural_alignment

_MOST_INDENT: Final = 40
"""Deeper blocks are not indented further, or a deep nest would make its text quadratic."""

LONG_TYPE: Final = 50
"""A function type with more parameters and results is not written out where it is used."""

_PADDED: Final = re.compile(rb"[\x80-\xff][\0\x7f]")
"""What the end of an integer looks like that is longer than need be; other bytes may look so, too."""

_SPACES: Final = MappingProxyType(
    {
        Imm.FUNC: Subsection.FUNC,
        Imm.TYPE: Subsection.TYPE,
        Imm.GLOBAL: Subsection.GLOBAL,
        Imm.DATA: Subsection.DATA,
        Imm.ELEM: Subsection.ELEM,
        Imm.TAG: Subsection.TAG,
    }
)


_LARGEST_SINGLE: Final = float.fromhex("0x1.fffffep127")


def float_text(bits: int, format: FloatFormat) -> str:
    """A token that reads back to the float with these bits: the shortest decimal, if it is no NaN."""
    sign = "-" if bits >> (format.bits - 1) else ""
    magnitude = bits & ((1 << (format.bits - 1)) - 1)
    if magnitude > format.infinity:
        payload = magnitude & ~format.infinity
        return f"{sign}nan" if payload == format.quiet else f"{sign}nan:{payload:#x}"
    if magnitude == format.infinity:
        return f"{sign}inf"
    if format is DOUBLE:
        return sign + repr(struct.unpack("<d", magnitude.to_bytes(8, "little"))[0]).removesuffix(".0")
    raw = magnitude.to_bytes(4, "little")
    value: float = struct.unpack("<f", raw)[0]
    for digits in range(1, 9):
        token = f"{value:.{digits}g}"
        if float(token) <= _LARGEST_SINGLE and struct.pack("<f", float(token)) == raw:
            return sign + token
    return f"{sign}{value:.9g}"


@final
class Words:
    """What a module's indices and types are written as; identifiers where there are some."""

    def __init__(self, module: Module, ids: Identifiers) -> None:
        self.module = module
        self.ids = ids
        self.spaces = {space: ids.of(space) for space in Subsection if space in _INDEXED}
        self._fields: dict[int, dict[int, Identifier]] = {}

    def index(self, space: Subsection, index: int) -> str:
        return self.spaces[space].get(index) or str(index)

    def heap(self, heap: HeapType) -> str:
        return heap.name if isinstance(heap, AbsHeapType) else self.index(Subsection.TYPE, heap)

    def type(self, type: ValType | PackedType) -> str:
        if not isinstance(type, RefType):
            return type.name
        if isinstance(type.heap, AbsHeapType):
            return repr(type)
        return f"(ref {'null ' if type.nullable else ''}{self.heap(type.heap)})"

    def types(self, types: tuple[ValType, ...]) -> str:
        return " ".join(map(self.type, types))

    def field_type(self, field: FieldType) -> str:
        storage = self.type(field.storage)
        return f"(mut {storage})" if field.mutable else storage

    def fields(self, type: int) -> dict[int, Identifier]:
        """The identifiers of the fields of structure ``type``."""
        found = self._fields.get(type)
        if found is None:
            comp = self.module.types[type].comp if type < len(self.module.types) else None
            found = self._fields[type] = self.ids.fields_of(type, len(getattr(comp, "fields", ())))
        return found

    def inline(self, type: FuncType) -> str:
        """``(param ...) (result ...)``, each with a space before it."""
        params = f" (param {self.types(type.params)})" if type.params else ""
        return f"{params} (result {self.types(type.results)})" if type.results else params

    def type_use(self, index: int) -> str:
        """``(type x)`` and, if that is a function type, what it is."""
        comp = self.module.types[index].comp if index < len(self.module.types) else None
        # A type is defined once and may be used at every third byte: a long one is not repeated.
        short = isinstance(comp, FuncType) and len(comp.params) + len(comp.results) <= LONG_TYPE
        inline = self.inline(comp) if isinstance(comp, FuncType) and short else ""
        return f"(type {self.index(Subsection.TYPE, index)}){inline}"


_INDEXED: Final = frozenset(Subsection) - {Subsection.MODULE, Subsection.LOCAL, Subsection.LABEL, Subsection.FIELD}

# -- immediates --------------------------------------------------------------------------------------------------------

Printer: TypeAlias = "Callable[[CodePrinter, Any], str]"
"""``Any``: each kind of immediate has a Python form of its own. What is returned begins with a space, or is empty."""


@final
class CodePrinter:
    """Writes expressions; ``locals`` and ``label_names`` are those of the function at hand.

    Unless ``exact``, how integers are encoded is not told.
    """

    def __init__(self, words: Words, features: Features, hints: Mapping[int, bool], *, exact: bool) -> None:
        self.words = words
        self.exact = exact
        self.features = features
        self.hints = hints
        self.locals: Mapping[int, str] = {}
        self.label_names: Mapping[int, str] = {}
        self._labels: list[str | None] = []
        self._places: dict[str, list[int]] = {}
        self._blocks = 0

    def lines(self, start: int, end: int, depth: int) -> Iterator[str]:
        """The instructions of the expression at ``start``, one a line, without its final ``end``.

        Raises :class:`MalformedError`.
        """
        source = self.words.module.source
        first = depth
        printers = _PRINTERS
        indent = _indent(depth)
        stream = instructions(source, start, end, self.features, constant=True)
        careful = self.hints or (self.exact and _PADDED.search(source, start, end) is not None)
        for note, row, imm in self._noted(stream) if careful else _without_notes(stream):
            printer = printers[row.index]
            if printer is None:
                yield f"{indent}{note}{row.name}"
            elif isinstance(printer, str):
                if printer == "end" and depth == first:
                    return
                if printer != "open":
                    depth -= 1
                yield f"{_indent(depth)}{note}{row.name}{self._structure(printer, row, imm)}"
                if printer != "end":
                    depth += 1
                indent = _indent(depth)
            else:
                yield f"{indent}{note}{row.name}{printer(self, imm)}"

    def function(self, locals: Mapping[int, str], labels: Mapping[int, str]) -> None:
        """What follows is the body of a function with these identifiers and names."""
        self.locals = locals
        self.label_names = labels
        self._labels = []
        self._places = {}
        self._blocks = 0

    # -- structure -----------------------------------------------------------------------------------------------------

    def _structure(self, printer: str, row: Row, imm: Any) -> str:
        if printer == "end":
            closed = self._labels.pop()
            if closed is not None:
                self._places[closed].pop()
            return ""
        if printer == "else":
            return ""
        name = self.label_names.get(self._blocks)
        self._blocks += 1
        definition = ""
        label: str | None = None
        if name is not None:
            made = Identifier(token_of(name) if name else "", "" if name else '(@name "")')
            label = made or None
            definition = f" {made.definition()}"
        tail = _block(self, imm) if row.imm is Imm.BLOCK else _try_table(self, imm)
        if label is not None:
            self._places.setdefault(label, []).append(len(self._labels))
        self._labels.append(label)
        return definition + tail

    def label(self, depth: int) -> str:
        """A label by its identifier, if the innermost of that name is the one that is meant."""
        place = len(self._labels) - 1 - depth
        name = self._labels[place] if place >= 0 else None
        return name if name is not None and self._places[name][-1] == place else str(depth)

    # -- annotations ---------------------------------------------------------------------------------------------------

    def _noted(self, stream: Iterator[Instruction]) -> Iterator[tuple[str, Row, Any]]:
        """Each instruction, but for the last ``end``, with its annotations."""
        held = next(stream)
        for one in stream:
            # The bytes of an instruction end where the next one begins.
            yield self._note(held, one[0]), held[1], held[2]
            held = one

    def _note(self, one: Instruction, end: int) -> str:
        at, row, imm = one
        hint = self.hints.get(at)
        note = "" if hint is None else f'(@{HINT_NOTE} "\\{int(hint):02x}") '
        source = self.words.module.source
        if not self.exact or not _PADDED.search(source, at, end):
            return note
        canonical = bytearray()
        write_instruction(canonical, row, imm)
        actual = source[at:end]
        if canonical == actual:
            return note
        found = _widths(bytes(canonical), actual)
        return note if found is None else f"{note}(@{LEB_NOTE} {' '.join(map(str, found))}) "


def _without_notes(stream: Iterator[Instruction]) -> Iterator[tuple[str, Row, Any]]:
    for _, row, imm in stream:
        yield "", row, imm


def _indent(depth: int) -> str:
    return "  " * min(depth, _MOST_INDENT)


_WIDEST: Final = 10


def _widths(canonical: bytes, actual: bytes) -> list[int] | None:
    """The widths of the integers of ``actual`` where they are not the least; ``None`` if it differs otherwise, too."""
    widths: list[int] = []
    here = there = 1
    while here < len(canonical) and there < len(actual):
        first, second = _leb_end(canonical, here), _leb_end(actual, there)
        widths.append(second - there if second - there != first - here else 0)
        here, there = first, second
        if canonical[here:] == actual[there:]:
            break
    if any(width > _WIDEST for width in widths) or widen(canonical, widths) != actual:
        return None
    return widths


def _leb_end(code: bytes, pos: int) -> int:
    while pos < len(code) and code[pos] >= 0x80:
        pos += 1
    return pos + 1


# -- each kind of immediate --------------------------------------------------------------------------------------------


def _index_in(space: Subsection) -> Printer:
    def printer(p: CodePrinter, imm: int) -> str:
        return f" {p.words.spaces[space].get(imm) or imm}"

    return printer


def _local(p: CodePrinter, imm: int) -> str:
    return f" {p.locals.get(imm) or imm}"


def _label(p: CodePrinter, imm: int) -> str:
    return f" {p.label(imm)}"


def _number(p: CodePrinter, imm: int) -> str:
    return f" {imm}"


def _f32(p: CodePrinter, imm: int) -> str:
    return f" {float_text(imm, SINGLE)}"


def _f64(p: CodePrinter, imm: int) -> str:
    return f" {float_text(imm, DOUBLE)}"


def _v128(p: CodePrinter, imm: bytes) -> str:
    return " i32x4 " + " ".join(f"0x{int.from_bytes(imm[at : at + 4], 'little'):08x}" for at in range(0, 16, 4))


def _shuffle(p: CodePrinter, imm: bytes) -> str:
    return f" {' '.join(map(str, imm))}"


def _optional(space: Subsection) -> Printer:
    """An index that is left out if it is 0."""

    def printer(p: CodePrinter, imm: int) -> str:
        return f" {p.words.index(space, imm)}" if imm else ""

    return printer


def _two_or_none(space: Subsection) -> Printer:
    def printer(p: CodePrinter, imm: tuple[int, int]) -> str:
        return f" {p.words.index(space, imm[0])} {p.words.index(space, imm[1])}" if any(imm) else ""

    return printer


def _init(segments: Subsection, space: Subsection) -> Printer:
    def printer(p: CodePrinter, imm: tuple[int, int]) -> str:
        target = f" {p.words.index(space, imm[1])}" if imm[1] else ""
        return f"{target} {p.words.index(segments, imm[0])}"

    return printer


def _pair(first: Subsection, second: Subsection) -> Printer:
    def printer(p: CodePrinter, imm: tuple[int, int]) -> str:
        return f" {p.words.index(first, imm[0])} {p.words.index(second, imm[1])}"

    return printer


def _block(p: CodePrinter, imm: ValType | int | None) -> str:
    if imm is None:
        return ""
    return f" {p.words.type_use(imm)}" if isinstance(imm, int) else f" (result {p.words.type(imm)})"


_CATCHES: Final = ("catch", "catch_ref", "catch_all", "catch_all_ref")


def _try_table(p: CodePrinter, imm: tuple[Any, tuple[tuple[int, int | None, int], ...]]) -> str:
    out = _block(p, imm[0])
    for kind, tag, label in imm[1]:
        named = "" if tag is None else f" {p.words.index(Subsection.TAG, tag)}"
        out += f" ({_CATCHES[kind]}{named} {p.label(label)})"
    return out


def _mem_arg(row: Row) -> Printer:
    natural = natural_alignment(row)

    def printer(p: CodePrinter, imm: tuple[int, ...]) -> str:
        align, offset, memory = imm[:3]
        out = f" {p.words.index(Subsection.MEMORY, memory)}" if memory else ""
        if offset:
            out += f" offset={offset}"
        if align != natural:
            out += f" align={1 << align}"
        return f"{out} {imm[3]}" if len(imm) > 3 else out

    return printer


def _select_t(p: CodePrinter, imm: tuple[ValType, ...]) -> str:
    return f" (result{''.join(f' {p.words.type(type)}' for type in imm)})"


def _heap(p: CodePrinter, imm: HeapType) -> str:
    return f" {p.words.heap(imm)}"


def _cast(row: Row) -> Printer:
    assert isinstance(row.family, RefTest | RefCast)
    nullable = row.family.nullable

    def printer(p: CodePrinter, imm: HeapType) -> str:
        return f" {p.words.type(ref(nullable, imm))}"

    return printer


def _br_table(p: CodePrinter, imm: tuple[tuple[int, ...], int]) -> str:
    return f" {' '.join(p.label(label) for label in (*imm[0], imm[1]))}"


def _call_indirect(p: CodePrinter, imm: tuple[int, int]) -> str:
    table = f" {p.words.index(Subsection.TABLE, imm[1])}" if imm[1] else ""
    return f"{table} (type {p.words.index(Subsection.TYPE, imm[0])})"


def _type_field(p: CodePrinter, imm: tuple[int, int]) -> str:
    type, field = imm
    return f" {p.words.index(Subsection.TYPE, type)} {p.words.fields(type).get(field) or field}"


def _type_count(p: CodePrinter, imm: tuple[int, int]) -> str:
    return f" {p.words.index(Subsection.TYPE, imm[0])} {imm[1]}"


def _br_cast(p: CodePrinter, imm: tuple[int, RefType, RefType]) -> str:
    return f" {p.label(imm[0])} {p.words.type(imm[1])} {p.words.type(imm[2])}"


PRINT: Final[Mapping[Imm, Printer | None]] = MappingProxyType(
    {
        **{imm: _index_in(space) for imm, space in _SPACES.items()},
        Imm.NONE: None,
        Imm.FENCE: None,
        Imm.LABEL: _label,
        Imm.LOCAL: _local,
        Imm.TABLE: _optional(Subsection.TABLE),
        Imm.MEMORY: _optional(Subsection.MEMORY),
        Imm.LANE: _number,
        Imm.I32: _number,
        Imm.I64: _number,
        Imm.F32: _f32,
        Imm.F64: _f64,
        Imm.V128: _v128,
        Imm.SHUFFLE: _shuffle,
        Imm.BLOCK: _block,
        Imm.SELECT_T: _select_t,
        Imm.HEAP: _heap,
        Imm.BR_TABLE: _br_table,
        Imm.CALL_INDIRECT: _call_indirect,
        Imm.MEMORY_COPY: _two_or_none(Subsection.MEMORY),
        Imm.MEMORY_INIT: _init(Subsection.DATA, Subsection.MEMORY),
        Imm.TABLE_COPY: _two_or_none(Subsection.TABLE),
        Imm.TABLE_INIT: _init(Subsection.ELEM, Subsection.TABLE),
        Imm.TYPE_FIELD: _type_field,
        Imm.TYPE_COUNT: _type_count,
        Imm.TYPE_DATA: _pair(Subsection.TYPE, Subsection.DATA),
        Imm.TYPE_ELEM: _pair(Subsection.TYPE, Subsection.ELEM),
        Imm.TYPE_TYPE: _pair(Subsection.TYPE, Subsection.TYPE),
        Imm.BR_CAST: _br_cast,
        Imm.TRY_TABLE: _try_table,
    }
)
"""How each kind of immediate is printed, but for those that need to know their row."""

_BY_ROW: Final = (Imm.MEMARG, Imm.MEMARG_LANE)


def _printer_of(row: Row) -> Printer | str | None:
    if row.imm in (Imm.BLOCK, Imm.TRY_TABLE):
        return "open"
    if row.name in ("else", "end"):
        return row.name
    if row.imm in _BY_ROW:
        return _mem_arg(row)
    if isinstance(row.family, RefTest | RefCast):
        return _cast(row)
    return PRINT[row.imm]


_PRINTERS: Final[tuple[Printer | str | None, ...]] = tuple(map(_printer_of, ROWS))
"""By the index of a row: its printer; a word for what opens, divides or closes a block; ``None`` for no immediates."""
