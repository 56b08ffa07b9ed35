"""Spec chapter "Text Format / Conventions / Contexts": what identifiers stand for while a module is read.

Invariant: every index space knows all its identifiers before anything that may use one is read, for the text may name
what comes later. An identifier is kept with its ``$``, in the one form that ``$a`` and ``$"a"`` share.
"""

from __future__ import annotations

from typing import Final, final

from wardian.binary import writer
from wardian.limits import Features, Limits
from wardian.syntax.module import Module
from wardian.syntax.types import FuncType, SubType, ValType
from wardian.text.lexer import Cursor
from wardian.text.numbers import natural

INDEX_BITS: Final = 32


def index_number(cur: Cursor, i: int, expected: str, bits: int = INDEX_BITS) -> int:
    """The natural number at token ``i``, which must be one that fits."""
    token = cur.toks[i]
    try:
        value = natural(token, bits)
    except OverflowError:
        cur.fail(i, f"i{bits} constant out of range: {token[:40]}")
    if value is None:
        cur.unexpected(i, expected)
    return value


@final
class Space:
    """One index space: ``kind`` is its name in messages, ``count`` how many indices are given out.

    ``codes`` maps tokens to the encoded index; it is filled as tokens are met. ``shown`` are the names that go into the
    name section.
    """

    __slots__ = ("codes", "count", "kind", "names", "shown")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0
        self.names: dict[str, int] = {}
        self.codes: dict[str, bytes] = {}
        self.shown: dict[int, str] = {}

    def define(self, name: str | None, cur: Cursor, i: int) -> int:
        """Give out the next index, to ``name`` if that is not ``None``; ``i`` is where to point if it is taken."""
        index = self.count
        self.count = index + 1
        if name is not None:
            if name in self.names:
                cur.fail(i, f"duplicate {self.kind} {name}")
            self.names[name] = index
            self.shown[index] = name[1:]
        return index

    def resolve(self, cur: Cursor) -> int:
        """The index that the next token names, and move past it."""
        i = cur.i
        token = cur.toks[i]
        found = self.names.get(token)
        if found is None:
            if token[:1] == "$":
                name = cur.plain_identifier(i)
                found = self.names.get(name)
                if found is None:
                    cur.fail(i, f"unknown {self.kind} {name}")
            else:
                found = index_number(cur, i, f"the index or identifier of a {self.kind}")
        cur.i = i + 1
        return found

    def code(self, cur: Cursor) -> bytes:
        """The encoded index that the next token names, and move past it."""
        token = cur.toks[cur.i]
        found = self.codes.get(token)
        if found is None:
            out = bytearray()
            writer.unsigned(out, self.resolve(cur))
            found = self.codes[token] = bytes(out)
        else:
            cur.i += 1
        return found


def is_index(token: str) -> bool:
    """Whether ``token`` begins as an index or an identifier does."""
    return token[:1] == "$" or token[:1].isdigit()


@final
class Scope:
    """All index spaces of one module, and the module itself as far as it has been read.

    ``code`` are the bytes that expressions and segments are slices of.
    """

    __slots__ = (
        "code",
        "datas",
        "elems",
        "features",
        "fields",
        "funcs",
        "globals",
        "hints",
        "implicit",
        "labels",
        "limits",
        "locals",
        "memories",
        "module",
        "module_name",
        "tables",
        "tags",
        "types",
        "uses_data",
    )

    def __init__(self, features: Features, limits: Limits) -> None:
        self.features = features
        self.limits = limits
        self.module = Module(b"")
        self.code = bytearray()
        self.types = Space("type")
        self.funcs = Space("function")
        self.tables = Space("table")
        self.memories = Space("memory")
        self.globals = Space("global")
        self.tags = Space("tag")
        self.elems = Space("elem segment")
        self.datas = Space("data segment")
        self.fields: dict[int, Space] = {}
        """The fields of each structure type."""
        self.implicit: dict[tuple[tuple[ValType, ...], tuple[ValType, ...]], int] = {}
        """Parameters and results -> the first type that is just this function type."""
        self.module_name: str | None = None
        self.locals: dict[int, dict[int, str]] = {}
        self.labels: dict[int, dict[int, str]] = {}
        self.hints: dict[int, list[tuple[int, int]]] = {}
        """Function -> ``(offset in its body, 0 or 1)`` of its branch hints."""
        self.uses_data = False
        """Whether some instruction names a data segment, so that their number must be known before."""

    def func_type(self, index: int) -> FuncType | None:
        """The function type ``index``, or ``None`` if it is something else, which validation will say."""
        types = self.module.types
        if index < len(types):
            comp = types[index].comp
            if isinstance(comp, FuncType):
                return comp
        return None

    def type_of(self, params: tuple[ValType, ...], results: tuple[ValType, ...]) -> int:
        """The type index that an inline function type stands for; a new type is added if there is none yet."""
        found = self.implicit.get((params, results))
        if found is None:
            module = self.module
            found = len(module.types)
            self.limits.check("types", found + 1)
            module.rec_groups.append((found, 1))
            module.types.append(SubType(FuncType(params, results)))
            self.implicit[(params, results)] = found
        return found

    def add_code(self, content: bytes | bytearray) -> tuple[int, int]:
        """Keep ``content`` and return its slice."""
        start = len(self.code)
        self.code += content
        return start, len(self.code)


@final
class BodyScope:
    """What identifiers stand for inside one expression, and the cursor it is read with.

    ``labels`` are the identifiers of the open blocks, ``None`` for one without; ``depths`` where each stands in it.
    ``constants`` remembers what immediates are encoded as, across the bodies of a module.
    """

    __slots__ = ("constants", "cur", "depths", "labels", "locals", "scope")

    def __init__(self, cur: Cursor, scope: Scope, constants: dict[str, bytes]) -> None:
        self.cur = cur
        self.scope = scope
        self.constants = constants
        self.locals = Space("local")
        self.labels: list[str | None] = []
        self.depths: dict[str, list[int]] = {}

    def label(self) -> int:
        """The relative depth of the label that the next token names, and move past it."""
        cur = self.cur
        token = cur.toks[cur.i]
        if token[:1] != "$":
            found = index_number(cur, cur.i, "a label")
            cur.i += 1
            return found
        name = cur.plain_identifier(cur.i)
        depths = self.depths.get(name)
        if not depths:
            cur.fail(cur.i, f"unknown label {name}")
        cur.i += 1
        return len(self.labels) - 1 - depths[-1]

    def open_label(self, name: str | None) -> None:
        if name is not None:
            self.depths.setdefault(name, []).append(len(self.labels))
        self.labels.append(name)

    def close_label(self) -> None:
        name = self.labels.pop()
        if name is not None:
            self.depths[name].pop()
