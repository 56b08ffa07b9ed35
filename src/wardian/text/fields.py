"""Spec chapter "Text Format / Modules": the fields of a module, each into its part of the module.

Invariant: fields are read in the order of the text, with every identifier of the module known already, so implicit
types, inline segments and everything else get their indices in that order, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, final

from wardian.binary.custom import BRANCH_HINT_SECTION, NAME_SECTION
from wardian.binary.encode import write_instruction, write_locals
from wardian.binary.sections import FUNC_NON_NULL, SECTIONS
from wardian.syntax.instructions import BY_NAME
from wardian.syntax.module import (
    CustomSection,
    DataSegment,
    ElemSegment,
    Export,
    ExternType,
    GlobalDecl,
    Import,
    Kind,
    Slice,
    TableDecl,
)
from wardian.syntax.types import FUNCREF, MemoryType, RefType, TableType, TagType, TypeLimits, ValType
from wardian.text import types
from wardian.text.body import Body
from wardian.text.lexer import RUN_NOTE, Annotation, Cursor
from wardian.text.scope import Scope, Space, is_index

SECTION_IDS: Final = MappingProxyType(
    {
        "type": 1,
        "import": 2,
        "func": 3,
        "table": 4,
        "memory": 5,
        "tag": 13,
        "global": 6,
        "export": 7,
        "start": 8,
        "elem": 9,
        "datacount": 12,
        "code": 10,
        "data": 11,
    }
)
_ORDER: Final = (0, *SECTIONS)
LAST: Final = -1
"""Where a custom section stands that comes after everything, the name section included."""

_TAKES_IMPORTS: Final = ("function", "table", "memory", "global", "tag")


@final
class Fields:
    """Reads fields; ``at`` are the indices that the next of each kind has, for identifiers are defined already."""

    __slots__ = ("_constants", "_counts", "_defined", "customs", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.customs: list[tuple[int, CustomSection]] = []
        """Where each custom section stands (a section id, 0 or LAST), in the order of the text."""
        self._constants: dict[str, bytes] = {}
        self._counts: dict[Space, int] = {}
        self._defined = ""

    def read(self, cur: Cursor) -> None:
        """The field that ``cur`` spans."""
        cur.expect("(")
        keyword = cur.toks[cur.i]
        reader = _FIELDS.get(keyword)
        if reader is None:
            cur.unexpected(cur.i, "a field of a module")
        cur.i += 1
        reader(self, cur)
        cur.close()
        if cur.toks[cur.i]:
            cur.unexpected(cur.i, "the end of the field")
        if cur.notes:
            cur.check_notes()

    # -- what fields share ---------------------------------------------------------------------------------------------

    def _next(self, space: Space) -> int:
        index = self._counts.get(space, 0)
        self._counts[space] = index + 1
        return index

    def _identifier(self, cur: Cursor, space: Space) -> int:
        """The index that the definition at hand has; its identifier is passed over."""
        index = self._next(space)
        cur.identifier()
        shown = types.name_note(cur) if cur.notes else None
        if shown is not None:
            space.shown[index] = shown
        return index

    def _exports(self, cur: Cursor, kind: Kind, index: int) -> None:
        """``(export "name")*``"""
        while cur.enter("export"):
            self.scope.module.exports.append(Export(cur.name(), kind, index))
            cur.close()

    def _inline_import(self, cur: Cursor, space: Space) -> tuple[str, str] | None:
        """``(import "module" "name")``, if that comes next."""
        at = cur.i
        if not cur.enter("import"):
            if not self._defined:
                self._defined = space.kind
            return None
        self._check_import(cur, at)
        names = cur.name(), cur.name()
        cur.close()
        return names

    def _check_import(self, cur: Cursor, at: int) -> None:
        if self._defined:
            cur.fail(at, f"import after {self._defined}: all imports must come first")

    def _add_import(self, names: tuple[str, str], kind: Kind, type: ExternType) -> None:
        module = self.scope.module
        module.imports.append(Import(*names, kind, type))
        if isinstance(type, int):
            module.imported_funcs.append(type)
        elif isinstance(type, TableType):
            module.imported_tables.append(type)
        elif isinstance(type, MemoryType):
            module.imported_memories.append(type)
        elif isinstance(type, TagType):
            module.imported_tags.append(type)
        else:
            module.imported_globals.append(type)

    def _expression(self, cur: Cursor) -> Slice:
        """Instructions up to the `)` that follows, as a constant expression."""
        return self._constant(Body(cur, self.scope, self._constants).expression)

    def _folded(self, cur: Cursor) -> Slice:
        return self._constant(Body(cur, self.scope, self._constants).folded)

    def _constant(self, read: Callable[[], bytes]) -> Slice:
        # Only a function body makes it necessary to know the number of data segments before the code.
        uses_data = self.scope.uses_data
        found = self.scope.add_code(read())
        self.scope.uses_data = uses_data
        return found

    def _offset(self, cur: Cursor) -> Slice:
        """``(offset instr*)``, or a single folded instruction."""
        if not cur.enter("offset"):
            return self._folded(cur)
        found = self._expression(cur)
        cur.close()
        return found

    # -- types ---------------------------------------------------------------------------------------------------------

    def type(self, cur: Cursor) -> None:
        """Nothing: types have been read before all other fields."""
        cur.i = len(cur.toks) - 1
        while cur.toks[cur.i] != ")":
            cur.i -= 1
        cur.notes = {}

    # -- imports and exports -------------------------------------------------------------------------------------------

    def import_(self, cur: Cursor) -> None:
        self._check_import(cur, cur.i)
        names = cur.name(), cur.name()
        cur.expect("(")
        keyword = cur.toks[cur.i]
        described = _EXTERNS.get(keyword)
        if described is None:
            cur.unexpected(cur.i, "`func`, `table`, `memory`, `global` or `tag`")
        cur.i += 1
        kind, space_of, read = described
        self._identifier(cur, space_of(self.scope))
        self._add_import(names, kind, read(cur, self.scope))
        cur.close()

    def export(self, cur: Cursor) -> None:
        name = cur.name()
        cur.expect("(")
        described = _EXTERNS.get(cur.toks[cur.i])
        if described is None:
            cur.unexpected(cur.i, "`func`, `table`, `memory`, `global` or `tag`")
        cur.i += 1
        kind, space_of, _ = described
        self.scope.module.exports.append(Export(name, kind, space_of(self.scope).resolve(cur)))
        cur.close()

    def start(self, cur: Cursor) -> None:
        if self.scope.module.start is not None:
            cur.fail(cur.i, "multiple start sections")
        self.scope.module.start = self.scope.funcs.resolve(cur)

    # -- definitions ---------------------------------------------------------------------------------------------------

    def func(self, cur: Cursor) -> None:
        scope = self.scope
        index = self._identifier(cur, scope.funcs)
        self._exports(cur, "func", index)
        names = self._inline_import(cur, scope.funcs)
        if names is not None:
            self._add_import(names, "func", types.type_use(cur, scope, named=True)[0])
            return
        body = Body(cur, scope, self._constants)
        type, params = types.type_use(cur, scope, named=True)
        if params:
            self._define(cur, body.inner.locals, params)
        else:
            declared = scope.func_type(type)
            body.inner.locals.count = len(declared.params) if declared is not None else 0
        header = bytearray()
        write_locals(header, self._locals(cur, body.inner.locals) if cur.at_group("local") else [])
        code = body.expression()
        scope.module.funcs.append(type)
        scope.module.bodies.append(scope.add_code(header + code))
        if body.inner.locals.shown:
            scope.locals[index] = body.inner.locals.shown
        if body.label_names:
            scope.labels[index] = body.label_names
        if body.hints:
            scope.hints[index] = [(len(header) + offset, value) for offset, value in body.hints]

    def _locals(self, cur: Cursor, space: Space) -> list[tuple[int, ValType]]:
        """``(local ...)*`` as runs of one type; neighbours of a type are one run, unless a note says otherwise."""
        runs: list[tuple[int, ValType]] = []
        apart = False
        while cur.at_group("local"):
            apart = bool(cur.notes) and cur.note_at(cur.i, RUN_NOTE) is not None
            found = types.declared_group(cur, self.scope, "local")
            self._define(cur, space, found)
            for _, _, type in found:
                if runs and not apart and runs[-1][1] is type:
                    runs[-1] = (runs[-1][0] + 1, type)
                else:
                    runs.append((1, type))
                apart = False
        self.scope.limits.check("locals", space.count)
        return runs

    def _define(self, cur: Cursor, space: Space, found: types.Params) -> None:
        for name, at, _ in found:
            index = space.define(name, cur, at)
            if cur.notes:
                note = cur.note_at(at + (name is not None), "name")
                if note is not None:
                    space.shown[index] = types.name_text(cur, note)

    def table(self, cur: Cursor) -> None:
        scope = self.scope
        index = self._identifier(cur, scope.tables)
        self._exports(cur, "table", index)
        names = self._inline_import(cur, scope.tables)
        if names is not None:
            self._add_import(names, "table", types.table_type(cur, scope))
            return
        is64 = types.is_address64(cur)
        if types.at_ref_type(cur):
            self._table_with_elements(cur, index, is64)
            return
        limits = types.limits(cur, scope, is64)
        type = TableType(types.ref_type(cur, scope), limits)
        init = self._expression(cur) if cur.toks[cur.i] != ")" else None
        scope.module.tables.append(TableDecl(type, init))

    def _table_with_elements(self, cur: Cursor, table: int, is64: bool) -> None:
        """``(table reftype (elem ...))``: a table just as large as its elements."""
        type = types.ref_type(cur, self.scope)
        if not cur.enter("elem"):
            cur.unexpected(cur.i, "`(elem`")
        self._next(self.scope.elems)
        offset = self.scope.add_code(_ZERO64 if is64 else _ZERO32)
        if is_index(cur.toks[cur.i]):
            segment = self._listed(type, self._indices(cur), table, offset)
        else:
            segment = ElemSegment(type, "active", (), self._items(cur), table, offset)
        cur.close()
        size = len(segment)
        module = self.scope.module
        module.tables.append(TableDecl(TableType(type, TypeLimits(size, size, is64))))
        module.elems.append(segment)

    def _listed(self, type: RefType, funcs: tuple[int, ...], table: int, offset: Slice) -> ElemSegment:
        """A segment of functions; in a table of another type than ``funcref`` it must have that type."""
        if type is FUNCREF or type is FUNC_NON_NULL:
            return ElemSegment(FUNC_NON_NULL, "active", funcs, (), table, offset)
        exprs: list[Slice] = []
        for func in funcs:
            code = bytearray()
            write_instruction(code, BY_NAME["ref.func"], func)
            code.append(BY_NAME["end"].opcode)
            exprs.append(self.scope.add_code(code))
        return ElemSegment(type, "active", (), tuple(exprs), table, offset)

    def memory(self, cur: Cursor) -> None:
        scope = self.scope
        index = self._identifier(cur, scope.memories)
        self._exports(cur, "memory", index)
        names = self._inline_import(cur, scope.memories)
        if names is not None:
            self._add_import(names, "memory", types.memory_type(cur, scope))
            return
        start = cur.i
        is64 = types.is_address64(cur)
        log2 = types.page_size(cur)
        if not cur.enter("data"):
            cur.i = start
            scope.module.memories.append(types.memory_type(cur, scope))
            return
        self._next(scope.datas)
        init = self._strings(cur)
        cur.close()
        pages = -(-(init[1] - init[0]) >> log2)
        scope.module.memories.append(MemoryType(TypeLimits(pages, pages, is64), False, log2))
        offset = scope.add_code(_ZERO64 if is64 else _ZERO32)
        scope.module.datas.append(DataSegment("active", init, index, offset))

    def global_(self, cur: Cursor) -> None:
        scope = self.scope
        index = self._identifier(cur, scope.globals)
        self._exports(cur, "global", index)
        names = self._inline_import(cur, scope.globals)
        type = types.global_type(cur, scope)
        if names is not None:
            self._add_import(names, "global", type)
        else:
            scope.module.globals.append(GlobalDecl(type, self._expression(cur)))

    def tag(self, cur: Cursor) -> None:
        scope = self.scope
        index = self._identifier(cur, scope.tags)
        self._exports(cur, "tag", index)
        names = self._inline_import(cur, scope.tags)
        type = _tag_type(cur, scope)
        if names is not None:
            self._add_import(names, "tag", type)
        else:
            scope.module.tags.append(type)

    # -- segments ------------------------------------------------------------------------------------------------------

    def elem(self, cur: Cursor) -> None:
        scope = self.scope
        self._identifier(cur, scope.elems)
        mode: Literal["active", "passive", "declarative"] = "passive"
        table = 0
        offset: Slice | None = None
        if cur.accept("declare"):
            mode = "declarative"
        elif is_index(cur.toks[cur.i]) or (cur.toks[cur.i] == "(" and not types.at_ref_type(cur)):
            mode = "active"
            if is_index(cur.toks[cur.i]):
                table = scope.tables.resolve(cur)  # as it was written before WebAssembly 2.0
            elif cur.enter("table"):
                table = scope.tables.resolve(cur)
                cur.close()
            offset = self._offset(cur)
        type, funcs, exprs = self._elem_list(cur, mode == "active")
        scope.module.elems.append(ElemSegment(type, mode, funcs, exprs, table, offset))

    def _elem_list(self, cur: Cursor, active: bool) -> tuple[RefType, tuple[int, ...], tuple[Slice, ...]]:
        if cur.accept("func") or (active and (is_index(cur.toks[cur.i]) or cur.toks[cur.i] == ")")):
            return FUNC_NON_NULL, self._indices(cur), ()
        return types.ref_type(cur, self.scope), (), self._items(cur)

    def _indices(self, cur: Cursor) -> tuple[int, ...]:
        found: list[int] = []
        while cur.toks[cur.i] != ")":
            found.append(self.scope.funcs.resolve(cur))
        return tuple(found)

    def _items(self, cur: Cursor) -> tuple[Slice, ...]:
        """``(item instr*)`` or single folded instructions, up to the `)` that follows."""
        found: list[Slice] = []
        while cur.toks[cur.i] != ")":
            if cur.enter("item"):
                found.append(self._expression(cur))
                cur.close()
            else:
                found.append(self._folded(cur))
        return tuple(found)

    def data(self, cur: Cursor) -> None:
        scope = self.scope
        self._identifier(cur, scope.datas)
        memory = 0
        offset: Slice | None = None
        if cur.toks[cur.i] == "(" or is_index(cur.toks[cur.i]):
            if is_index(cur.toks[cur.i]):
                memory = scope.memories.resolve(cur)  # as it was written before WebAssembly 2.0
            elif cur.enter("memory"):
                memory = scope.memories.resolve(cur)
                cur.close()
            offset = self._offset(cur)
        init = self._strings(cur)
        scope.module.datas.append(DataSegment("passive" if offset is None else "active", init, memory, offset))

    def _strings(self, cur: Cursor) -> Slice:
        content = bytearray()
        while cur.toks[cur.i] != ")":
            content += cur.string()
        return self.scope.add_code(content)

    # -- custom sections -----------------------------------------------------------------------------------------------

    def custom(self, cur: Cursor, note: Annotation) -> None:
        """``(@custom "name" place? "content"*)``"""
        note.used = True
        toks = note.tokens
        if not toks or toks[0][:1] != '"':
            cur.bad_note(note, "missing section name")
        name = cur.note_text(note, 0)
        k = 1
        place = LAST
        if len(toks) > 1 and toks[1] == "(":
            place = _place(cur, note)
            k = 5
        content = bytearray()
        for at in range(k, len(toks)):
            content += cur.note_bytes(note, at)
        after = _ORDER[-1] if place == LAST else place
        self.customs.append((place, CustomSection(name, self.scope.add_code(content), after)))

    def empty(self, cur: Cursor, note: Annotation) -> None:
        """``(@wardian.empty section)``"""
        if len(note.tokens) != 1 or note.tokens[0] not in SECTION_IDS:
            cur.bad_note(note, "malformed section kind")
        self.scope.module.sections.append((SECTION_IDS[note.tokens[0]], 0, 0))

    def has_custom(self, name: str) -> bool:
        return any(custom.name == name for _, custom in self.customs)


def _place(cur: Cursor, note: Annotation) -> int:
    """``(before section)`` or ``(after section)``: the id of the section to stand after."""
    toks = note.tokens
    if len(toks) < 3 or toks[2] not in ("before", "after"):
        cur.bad_note(note, "malformed placement: `before` or `after` expected")
    edge = "first" if toks[2] == "before" else "last"
    if len(toks) < 5 or toks[4] != ")" or (toks[3] not in SECTION_IDS and toks[3] != edge):
        cur.bad_note(note, "malformed section kind")
    if toks[3] == edge:
        return 0 if edge == "first" else LAST
    section = SECTION_IDS[toks[3]]
    return section if edge == "last" else _ORDER[_ORDER.index(section) - 1]


def _func_type(cur: Cursor, scope: Scope) -> ExternType:
    return types.type_use(cur, scope, named=True)[0]


def _tag_type(cur: Cursor, scope: Scope) -> TagType:
    return TagType(types.type_use(cur, scope, named=True)[0])


_EXTERNS: Final[Mapping[str, tuple[Kind, Callable[[Scope], Space], Callable[[Cursor, Scope], ExternType]]]] = (
    MappingProxyType(
        {
            "func": ("func", lambda scope: scope.funcs, _func_type),
            "table": ("table", lambda scope: scope.tables, types.table_type),
            "memory": ("memory", lambda scope: scope.memories, types.memory_type),
            "global": ("global", lambda scope: scope.globals, types.global_type),
            "tag": ("tag", lambda scope: scope.tags, _tag_type),
        }
    )
)

_ZERO32: Final = b"\x41\0\x0b"
_ZERO64: Final = b"\x42\0\x0b"

_FIELDS: Final[Mapping[str, Callable[[Fields, Cursor], None]]] = MappingProxyType(
    {
        "type": Fields.type,
        "rec": Fields.type,
        "import": Fields.import_,
        "export": Fields.export,
        "start": Fields.start,
        "func": Fields.func,
        "table": Fields.table,
        "memory": Fields.memory,
        "global": Fields.global_,
        "tag": Fields.tag,
        "elem": Fields.elem,
        "data": Fields.data,
    }
)

__all__ = ["BRANCH_HINT_SECTION", "LAST", "NAME_SECTION", "Fields"]
