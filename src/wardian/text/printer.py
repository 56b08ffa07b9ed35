"""Spec chapter "Text Format / Modules", the other way round: a module to its text.

Invariant: reading what is written here gives the same bytes, for every module whose sections are written as an
assembler writes them. What cannot be said in the text is: an integer outside function bodies and constant expressions
that takes more bytes than it needs, a long form of a type or a flag where there is a short one, and a section without
content.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final, final

from wardian.binary.body import instructions, locals_of
from wardian.binary.custom import BRANCH_HINT_SECTION, NAME_SECTION, Subsection, branch_hints
from wardian.binary.sections import FUNC_NON_NULL
from wardian.limits import Features, Limits
from wardian.syntax.immediates import Imm
from wardian.syntax.module import CustomSection, DataSegment, ElemSegment, ExternType, Kind, Module, Slice
from wardian.syntax.types import (
    ArrayType,
    FuncType,
    GlobalType,
    MemoryType,
    StructType,
    SubType,
    TableType,
    ValType,
)
from wardian.text.body import HINTED
from wardian.text.fields import SECTION_IDS
from wardian.text.identifiers import Identifier, Identifiers, quoted, quoted_text, token_of
from wardian.text.lexer import DATA_COUNT_NOTE, EMPTY_NOTE, RUN_NOTE
from wardian.text.names import branch_hint_section
from wardian.text.print_code import LONG_TYPE, CodePrinter, Words

_LINE: Final = 512
"""So many bytes of data stand on one line."""

_SECTION_NAMES: Final = MappingProxyType({id: name for name, id in SECTION_IDS.items()})
_SINGLE: Final = (SECTION_IDS["start"], SECTION_IDS["datacount"])
_NEED_DATA_COUNT: Final = (Imm.DATA, Imm.MEMORY_INIT, Imm.TYPE_DATA)

_KIND_SPACES: Final = MappingProxyType[Kind, Subsection](
    {
        "func": Subsection.FUNC,
        "table": Subsection.TABLE,
        "memory": Subsection.MEMORY,
        "global": Subsection.GLOBAL,
        "tag": Subsection.TAG,
    }
)


def to_text(module: Module, features: Features = Features()) -> str:  # noqa: B008
    """The text of ``module``, which need not be valid. Raises :class:`MalformedError` for a malformed body."""
    return "".join(f"{line}\n" for line in ModulePrinter(module, features).lines())


@final
class ModulePrinter:
    """Writes one module, line by line. Unless ``exact``, how things are encoded is not told where there is a choice."""

    def __init__(self, module: Module, features: Features = Features(), *, exact: bool = True) -> None:  # noqa: B008
        self.module = module
        self.features = features
        self.exact = exact
        self.ids = Identifiers(module)
        self.words = Words(module, self.ids)
        self.hinted = self._shows_hints()
        self.code = CodePrinter(self.words, features, branch_hints(module) if self.hinted else {}, exact=exact)
        self._given: dict[Subsection, int] = {}

    def lines(self) -> Iterator[str]:
        name = self.ids.module
        if name is None:
            yield "(module"
        else:
            yield f"(module {token_of(name)}" if name else '(module (@name "")'
        for part in (
            self._types,
            self._imports,
            self._tables,
            self._memories,
            self._tags,
            self._globals,
            self._exports,
            self._start,
            self._elems,
            self._funcs,
            self._datas,
            self._empty,
            self._customs,
        ):
            yield from part()
        yield ")"

    def _define(self, space: Subsection) -> str:
        """Identifier and index of the next definition of a space, with a space before it."""
        index = self._given.get(space, 0)
        self._given[space] = index + 1
        found = self.words.spaces[space].get(index)
        return f" (;{index};)" if found is None else f" {self._definition(found)} (;{index};)"

    def _definition(self, found: Identifier) -> str:
        """An identifier where it is defined; its note only if the name section is made of them."""
        return found.definition() if self.ids.complete else str(found)

    # -- types ---------------------------------------------------------------------------------------------------------

    def _types(self) -> Iterator[str]:
        lone = frozenset(self.module.lone_groups)
        for first, count in self.module.rec_groups:
            grouped = count != 1 or first in lone
            if grouped:
                yield "  (rec"
            for index in range(first, first + count):
                indent = "    " if grouped else "  "
                definition = self._define(Subsection.TYPE)
                yield f"{indent}(type{definition} {self._sub_type(index, self.module.types[index])})"
            if grouped:
                yield "  )"

    def _sub_type(self, index: int, type: SubType) -> str:
        comp = self._comp_type(index, type)
        if type.final and not type.supers:
            return comp
        supers = "".join(f" {self.words.index(Subsection.TYPE, one)}" for one in type.supers)
        return f"(sub{' final' if type.final else ''}{supers} {comp})"

    def _comp_type(self, index: int, type: SubType) -> str:
        comp = type.comp
        if isinstance(comp, FuncType):
            return f"(func{self.words.inline(comp)})"
        if isinstance(comp, ArrayType):
            return f"(array {self.words.field_type(comp.field)})"
        return f"(struct{self._fields(index, comp)})"

    def _fields(self, index: int, comp: StructType) -> str:
        names = self.words.fields(index)
        out = ""
        for at, field in enumerate(comp.fields):
            found = names.get(at)
            named = "" if found is None else f"{self._definition(found)} "
            out += f" (field {named}{self.words.field_type(field)})"
        return out

    def _table_type(self, type: TableType) -> str:
        return f"{type.limits.text()} {self.words.type(type.element)}"

    def _global_type(self, type: GlobalType) -> str:
        return f"(mut {self.words.type(type.value)})" if type.mutable else self.words.type(type.value)

    def _extern_type(self, type: ExternType) -> str:
        if isinstance(type, int):
            return self.words.type_use(type)
        if isinstance(type, TableType):
            return self._table_type(type)
        if isinstance(type, MemoryType):
            return type.text()
        return self._global_type(type) if isinstance(type, GlobalType) else self.words.type_use(type.type)

    # -- the small sections --------------------------------------------------------------------------------------------

    def _imports(self) -> Iterator[str]:
        for item in self.module.imports:
            names = f"{quoted_text(item.module)} {quoted_text(item.name)}"
            definition = self._define(_KIND_SPACES[item.kind])
            yield f"  (import {names} ({item.kind}{definition} {self._extern_type(item.type)}))"

    def _tables(self) -> Iterator[str]:
        for table in self.module.tables:
            init = "" if table.init is None else f" {self._constant(table.init)}"
            yield f"  (table{self._define(Subsection.TABLE)} {self._table_type(table.type)}{init})"

    def _memories(self) -> Iterator[str]:
        for type in self.module.memories:
            yield f"  (memory{self._define(Subsection.MEMORY)} {type.text()})"

    def _tags(self) -> Iterator[str]:
        for tag in self.module.tags:
            yield f"  (tag{self._define(Subsection.TAG)} {self.words.type_use(tag.type)})"

    def _globals(self) -> Iterator[str]:
        for item in self.module.globals:
            type = self._global_type(item.type)
            yield f"  (global{self._define(Subsection.GLOBAL)} {type} {self._constant(item.init)})"

    def _exports(self) -> Iterator[str]:
        for export in self.module.exports:
            target = self.words.index(_KIND_SPACES[export.kind], export.index)
            yield f"  (export {quoted_text(export.name)} ({export.kind} {target}))"

    def _start(self) -> Iterator[str]:
        if self.module.start is not None:
            yield f"  (start {self.words.index(Subsection.FUNC, self.module.start)})"

    def _constant(self, part: Slice) -> str:
        """A constant expression: folded if it is a single instruction."""
        found = list(self.code.lines(*part, 0))
        if len(found) != 1:
            return " ".join(found)
        note, _, rest = found[0].rpartition(") ") if found[0].startswith("(@") else ("", "", found[0])
        return f"{note}) ({rest})" if note else f"({rest})"

    def _folded(self, part: Slice, keyword: str) -> str:
        """The same where a sequence must be wrapped."""
        found = list(self.code.lines(*part, 0))
        return self._constant(part) if len(found) == 1 else f"({keyword} {' '.join(found)})"

    # -- segments ------------------------------------------------------------------------------------------------------

    def _elems(self) -> Iterator[str]:
        for segment in self.module.elems:
            yield f"  (elem{self._define(Subsection.ELEM)}{self._elem_mode(segment)} {self._elem_list(segment)})"

    def _elem_mode(self, segment: ElemSegment) -> str:
        if segment.offset is None:
            return " declare" if segment.mode == "declarative" else ""
        table = f" (table {self.words.index(Subsection.TABLE, segment.table)})" if segment.table else ""
        return f"{table} {self._folded(segment.offset, 'offset')}"

    def _elem_list(self, segment: ElemSegment) -> str:
        if segment.exprs or segment.type is not FUNC_NON_NULL:
            items = "".join(f" {self._folded(part, 'item')}" for part in segment.exprs)
            return f"{self.words.type(segment.type)}{items}"
        return "func" + "".join(f" {self.words.index(Subsection.FUNC, func)}" for func in segment.funcs)

    def _datas(self) -> Iterator[str]:
        for segment in self.module.datas:
            yield f"  (data{self._define(Subsection.DATA)}{self._data_mode(segment)}{self._content(segment.init)})"
        if self.exact and self.module.data_count is not None and not self._uses_data():
            yield f"  (@{DATA_COUNT_NOTE})"

    def _data_mode(self, segment: DataSegment) -> str:
        if segment.offset is None:
            return ""
        memory = f" (memory {self.words.index(Subsection.MEMORY, segment.memory)})" if segment.memory else ""
        return f"{memory} {self._folded(segment.offset, 'offset')}"

    def _content(self, part: Slice) -> str:
        start, end = part
        source = self.module.source
        if end - start <= _LINE:
            return f" {quoted(source[start:end])}"
        return "".join(f"\n    {quoted(source[at : min(at + _LINE, end)])}" for at in range(start, end, _LINE))

    def _uses_data(self) -> bool:
        source = self.module.source
        for start, end in self.module.bodies:
            _, pos = locals_of(source, start, end, Limits(locals=1 << 32))
            if any(row.imm in _NEED_DATA_COUNT for _, row, _ in instructions(source, pos, end, self.features)):
                return True
        return False

    def _empty(self) -> Iterator[str]:
        module = self.module
        for section, start, end in module.sections:
            if self.exact and section and module.source[start:end] == b"\0" and section not in _SINGLE:
                yield f"  (@{EMPTY_NOTE} {_SECTION_NAMES[section]})"

    # -- functions -----------------------------------------------------------------------------------------------------

    def _funcs(self) -> Iterator[str]:
        imported = len(self.module.imported_funcs)
        for defined, part in enumerate(self.module.bodies):
            yield from self._func(imported + defined, part)

    def _func(self, index: int, part: Slice) -> Iterator[str]:
        source = self.module.source
        type = self.module.func_type_index(index)
        comp = self.module.types[type].comp if type < len(self.module.types) else None
        params = comp.params if isinstance(comp, FuncType) else ()
        runs, pos = locals_of(source, *part, Limits(locals=1 << 32))
        names = self.ids.locals_of(index, len(params) + sum(count for count, _ in runs))
        use = f"(type {self.words.index(Subsection.TYPE, type)})"
        if isinstance(comp, FuncType) and (names or len(params) + len(comp.results) <= LONG_TYPE):
            use += self._declared(names, 0, params, "param")
            use += f" (result {self.words.types(comp.results)})" if comp.results else ""
        yield f"  (func{self._define(Subsection.FUNC)} {use}"
        if runs:
            yield f"   {self._locals(names, len(params), runs)}"
        self.code.function(names, self.ids.labels_of(index))
        yield from self.code.lines(pos, part[1], 2)
        yield "  )"

    def _declared(self, names: dict[int, Identifier], first: int, types: tuple[ValType, ...], keyword: str) -> str:
        """``(keyword ...)`` groups: one for each named, and one for unnamed neighbours together."""
        out = ""
        together: list[str] = []
        for index, type in enumerate(types, first):
            found = names.get(index)
            if found is None:
                together.append(self.words.type(type))
                continue
            if together:
                out += f" ({keyword} {' '.join(together)})"
                together = []
            out += f" ({keyword} {self._definition(found)} {self.words.type(type)})"
        return f"{out} ({keyword} {' '.join(together)})" if together else out

    def _locals(self, names: dict[int, Identifier], first: int, runs: list[tuple[int, ValType]]) -> str:
        out = ""
        before: ValType | None = None
        for count, type in runs:
            apart = f" (@{RUN_NOTE})" if type is before and self.exact else ""
            out += apart + self._declared(names, first, (type,) * count, "local")
            first += count
            before = type
        return out

    # -- custom sections -----------------------------------------------------------------------------------------------

    def _shows_hints(self) -> bool:
        """Whether the branch hints can stand as annotations: they would give back their section."""
        module = self.module
        sections = [custom for custom in module.customs if custom.name == BRANCH_HINT_SECTION]
        if len(sections) != 1:
            return False
        hints = branch_hints(module)
        imported = len(module.imported_funcs)
        found: dict[int, list[tuple[int, int]]] = {}
        for defined, (start, end) in enumerate(module.bodies):
            here = sorted(offset for offset in hints if start <= offset < end)
            if here:
                if not self._can_hint(here, start, end):
                    return False
                found[imported + defined] = [(offset - start, int(hints[offset])) for offset in here]
        start, end = sections[0].content
        return branch_hint_section(found) == module.source[start:end]

    def _can_hint(self, offsets: list[int], start: int, end: int) -> bool:
        source = self.module.source
        _, pos = locals_of(source, start, end, Limits(locals=1 << 32))
        return set(offsets) <= {
            at for at, row, _ in instructions(source, pos, end, self.features) if row.opcode in HINTED
        }

    def _customs(self) -> Iterator[str]:
        named = False
        for custom in self.module.customs:
            if custom.name == NAME_SECTION and self.ids.complete:
                named = True
            elif custom.name != BRANCH_HINT_SECTION or not self.hinted:
                place = "(after last)" if named else self._place(custom)
                yield f"  (@custom {quoted_text(custom.name)} {place}{self._content(custom.content)})"

    def _place(self, custom: CustomSection) -> str:
        return f"(after {_SECTION_NAMES[custom.after]})" if custom.after else "(before first)"
