"""Spec chapter "Text Format / Modules": a module's text to its binary form.

Invariant: any text gives a module, a :class:`MalformedError` with line and column, or a refusal, in time linear in its
length. What is written is what the one decoder and the one validator then see; nothing is validated here but what the
binary form could not express.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias, final

from wardian.binary.custom import BRANCH_HINT_SECTION, NAME_SECTION, Subsection
from wardian.binary.encode import encode
from wardian.binary.sections import SECTIONS
from wardian.limits import Features, Limits
from wardian.syntax.module import CustomSection, Module
from wardian.syntax.types import FuncType
from wardian.text.fields import LAST, Fields
from wardian.text.lexer import DATA_COUNT_NOTE, EMPTY_NOTE, Cursor, Source
from wardian.text.names import branch_hint_section, name_section
from wardian.text.scope import Scope, Space
from wardian.text.types import name_note, sub_type

_CODE: Final = 10
_ORDER: Final = (0, *SECTIONS)

Group: TypeAlias = "tuple[int, int]"


@final
class ModuleText(NamedTuple):
    """A module in a text, not yet read: ``form`` is how it is given, and ``start`` to ``end`` is what gives it.

    An ``instance`` is made of the definition named ``of``, or of the last one.
    """

    source: Source
    form: Literal["text", "binary", "quote", "instance"]
    name: str | None
    start: int
    end: int
    definition: bool = False
    of: str | None = None

    def assemble(self, features: Features = Features(), limits: Limits = Limits()) -> bytes:  # noqa: B008
        """The binary form. Raises :class:`MalformedError`, and :class:`LimitExceeded`."""
        if self.form == "text":
            return encode(read_fields(self, features, limits))
        content = strings(self.source, self.start, self.end)
        return content if self.form == "binary" else assemble(content, features, limits)


def is_text(source: bytes) -> bool:
    """Whether ``source`` looks like a text rather than like a binary module: its first character says so."""
    head = source[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return head[:1] in (b"(", b";")


def assemble(source: str | bytes, features: Features = Features(), limits: Limits = Limits()) -> bytes:  # noqa: B008
    """The binary form of the module whose text is ``source``, not validated.

    Raises :class:`MalformedError` with line and column, and :class:`LimitExceeded`.
    """
    while True:
        limits.check("module_size", len(source))
        found = module_text(Source(source))
        if found.form != "quote":
            return found.assemble(features, limits)
        # A quote in a quote: each is shorter than the one around it.
        source = strings(found.source, found.start, found.end)


def module_text(source: Source) -> ModuleText:
    """The one module of a text, which may stand there with or without ``(module`` around its fields."""
    text = source.text
    whole = ModuleText(source, "text", None, 0, len(text))
    modules = 0
    for start, end in source.groups(0, len(text)):
        if text.startswith("(@", start):
            continue
        if modules:
            Cursor(source, start, end).unexpected(0, "the end of the text after the module")
        if source.token(source.token(start, end)[2], end)[0] != "module":
            return whole
        whole = module_group(source, start, end)
        modules += 1
    if modules:
        for start, end in source.groups(0, len(text)):
            if text.startswith("(@", start):
                Cursor(source, start, end).check_notes()
    if whole.form == "instance" or whole.definition:
        source.fail(0, "unexpected token: a module definition or instance only makes sense in a script")
    return whole


def module_group(source: Source, start: int, end: int) -> ModuleText:
    """The head of ``(module ...)``, which is all of ``text[start:end]``."""
    _, _, pos = source.token(start, end)
    _, _, pos = source.token(pos, end)
    word, _, after = source.token(pos, end)
    definition = word == "definition"
    if word == "instance":
        return _instance(source, after, end)
    if definition:
        pos = after
        word, _, after = source.token(pos, end)
    name = None
    if word[:1] == "$":
        name = Cursor(source, after - len(word), after).plain_identifier(0)
        pos = after
        word, _, after = source.token(pos, end)
    if word == "binary" or word == "quote":
        return ModuleText(source, "binary" if word == "binary" else "quote", name, after, end - 1, definition)
    return ModuleText(source, "text", name, pos, end - 1, definition)


def _instance(source: Source, pos: int, end: int) -> ModuleText:
    cur = Cursor(source, pos, end)
    name = cur.identifier()
    of = cur.identifier()
    cur.close()
    return ModuleText(source, "instance", name, pos, end, of=of)


def strings(source: Source, start: int, end: int) -> bytes:
    """The bytes of the strings in ``text[start:end]``, joined."""
    cur = Cursor(source, start, end)
    content = bytearray()
    while cur.toks[cur.i]:
        content += cur.string()
    return bytes(content)


# -- the module --------------------------------------------------------------------------------------------------------


def read_fields(given: ModuleText, features: Features, limits: Limits) -> Module:
    """The module whose fields are given. Raises :class:`MalformedError` and :class:`LimitExceeded`."""
    source = given.source
    scope = Scope(features, limits)
    fields = Fields(scope)
    scope.module_name = given.name[1:] if given.name is not None else None
    groups = list(source.groups(given.start, given.end))
    _declare(source, groups, scope)
    _read_types(source, groups, scope)
    before = True
    named = False
    for start, end in groups:
        cur = Cursor(source, start, end)
        if cur.toks[0]:
            before = False
            fields.read(cur)
            continue
        for note in cur.notes.get(0, ()):
            if note.name == "custom":
                fields.custom(cur, note)
            elif note.name == DATA_COUNT_NOTE:
                scope.uses_data = True
            elif note.name == EMPTY_NOTE:
                fields.empty(cur, note)
            elif note.name != "name" or not before:
                cur.misplaced(note)
            else:
                if named:
                    cur.bad_note(note, "multiple module names")
                named = True
                scope.module_name = (
                    cur.note_text(note, 0) if len(note.tokens) == 1 else cur.bad_note(note, "a string expected")
                )
    return _finished(scope, fields)


_SPACES: Final[dict[str, Callable[[Scope], Space]]] = {
    "func": lambda scope: scope.funcs,
    "table": lambda scope: scope.tables,
    "memory": lambda scope: scope.memories,
    "global": lambda scope: scope.globals,
    "tag": lambda scope: scope.tags,
    "elem": lambda scope: scope.elems,
    "data": lambda scope: scope.datas,
}


def _declare(source: Source, groups: list[Group], scope: Scope) -> None:
    """Define all identifiers of the module, but those of fields, locals and labels."""
    for start, end in groups:
        found = source.head(start, end)
        if found is None or found[0] in ("type", "rec", "import", "table", "memory"):
            cur = Cursor(source, start, end)
            if cur.toks[0]:
                _declare_slowly(cur, scope)
        elif found[0] in _SPACES:
            space = _SPACES[found[0]](scope)
            if found[1] is None:
                space.count += 1
            elif found[1] in space.names:
                _declare_slowly(Cursor(source, start, end), scope)  # which says where the second one stands
            else:
                space.names[found[1]] = space.count
                space.shown[space.count] = found[1][1:]
                space.count += 1


def _declare_slowly(cur: Cursor, scope: Scope) -> None:
    keyword = cur.toks[1]
    cur.i = 2
    if keyword == "type":
        _declare_name(cur, scope.types)
    elif keyword == "rec":
        while cur.toks[cur.i] == "(":
            cur.i += 1
            cur.expect("type")
            _declare_name(cur, scope.types)
            _skip_group(cur)
    elif keyword == "import":
        cur.i += 3
        if len(cur.toks) > 6 and cur.toks[5] in _SPACES:
            cur.i = 6
            _declare_name(cur, _SPACES[cur.toks[5]](scope))
    elif keyword in _SPACES:
        _declare_name(cur, _SPACES[keyword](scope))
        inline = {"table": ("elem", scope.elems), "memory": ("data", scope.datas)}.get(keyword)
        if inline is not None and _has_group(cur, inline[0]):
            inline[1].define(None, cur, 0)


def _declare_name(cur: Cursor, space: Space) -> None:
    at = cur.i
    space.define(cur.identifier(), cur, at)


def _skip_group(cur: Cursor) -> None:
    """Move past the `)` that closes the group the cursor is in."""
    depth = 1
    while depth:
        token = cur.toks[cur.i]
        depth += (token == "(") - (token == ")")
        cur.i += 1


def _has_group(cur: Cursor, keyword: str) -> bool:
    toks = cur.toks
    return any(token == keyword and toks[k - 1] == "(" for k, token in enumerate(toks))


def _read_types(source: Source, groups: list[Group], scope: Scope) -> None:
    module = scope.module
    for start, end in groups:
        found = source.head(start, end)
        if found is not None and found[0] not in ("type", "rec"):
            continue
        cur = Cursor(source, start, end)
        if not cur.toks[0] or cur.toks[1] not in ("type", "rec"):
            continue
        first = len(module.types)
        cur.i = 2
        if cur.toks[1] == "type":
            _read_type(cur, scope)
        else:
            while cur.enter("type"):
                _read_type(cur, scope)
                cur.close()
            if len(module.types) == first + 1:
                module.lone_groups.append(first)
        cur.close()
        if cur.toks[cur.i]:
            cur.unexpected(cur.i, "the end of the field")
        cur.check_notes()
        module.rec_groups.append((first, len(module.types) - first))
        scope.limits.check("types", len(module.types))
        if len(module.types) == first + 1:
            _remember(scope, first)


def _read_type(cur: Cursor, scope: Scope) -> None:
    index = len(scope.module.types)
    cur.identifier()
    shown = name_note(cur)
    if shown is not None:
        scope.types.shown[index] = shown
    scope.module.types.append(sub_type(cur, scope, index))


def _remember(scope: Scope, index: int) -> None:
    """A type that is just a function type stands for inline function types like it."""
    type = scope.module.types[index]
    if isinstance(type.comp, FuncType) and type.final and not type.supers:
        scope.implicit.setdefault((type.comp.params, type.comp.results), index)


# -- the end -----------------------------------------------------------------------------------------------------------


def _finished(scope: Scope, fields: Fields) -> Module:
    module = scope.module
    if scope.uses_data:
        module.data_count = len(module.datas)
    if scope.hints and not fields.has_custom(BRANCH_HINT_SECTION):
        content = scope.add_code(branch_hint_section(scope.hints))
        before_code = _ORDER[_ORDER.index(_CODE) - 1]
        module.customs.append(CustomSection(BRANCH_HINT_SECTION, content, before_code))
    early = [custom for place, custom in fields.customs if place != LAST]
    module.customs = [*early, *module.customs]
    if not fields.has_custom(NAME_SECTION):
        names = _names(scope)
        if names:
            module.customs.append(CustomSection(NAME_SECTION, scope.add_code(names), _ORDER[-1]))
    module.customs += [custom for place, custom in fields.customs if place == LAST]
    module.source = bytes(scope.code)
    return module


def _names(scope: Scope) -> bytes:
    maps = {
        Subsection.FUNC: scope.funcs.shown,
        Subsection.TYPE: scope.types.shown,
        Subsection.TABLE: scope.tables.shown,
        Subsection.MEMORY: scope.memories.shown,
        Subsection.GLOBAL: scope.globals.shown,
        Subsection.ELEM: scope.elems.shown,
        Subsection.DATA: scope.datas.shown,
        Subsection.TAG: scope.tags.shown,
    }
    nested = {
        Subsection.LOCAL: scope.locals,
        Subsection.LABEL: scope.labels,
        Subsection.FIELD: {type: space.shown for type, space in scope.fields.items()},
    }
    return name_section(scope.module_name, maps, nested)
