"""Spec appendix "Custom Sections": names and branch hints, decoded when they are asked for.

Invariant: nothing here raises on what a module contains. A part that is malformed counts as absent, for the
specification forbids that a custom section makes a module malformed; time and memory are linear in the section.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum, unique
from types import MappingProxyType
from typing import Final, TypeVar, final

from wardian.binary.reader import Reader
from wardian.errors import MalformedError
from wardian.syntax.module import Module, Slice

NAME_SECTION: Final = "name"
BRANCH_HINT_SECTION: Final = "metadata.code.branch_hint"

T = TypeVar("T")


@unique
class Subsection(IntEnum):
    """The ids of the name section's parts."""

    MODULE = 0
    FUNC = 1
    LOCAL = 2
    LABEL = 3
    TYPE = 4
    TABLE = 5
    MEMORY = 6
    GLOBAL = 7
    ELEM = 8
    DATA = 9
    FIELD = 10
    TAG = 11


INDIRECT: Final = frozenset({Subsection.LOCAL, Subsection.LABEL, Subsection.FIELD})
"""The parts whose names belong to two indices, as a local's to its function and to itself."""

_NO_NAMES: Final[Mapping[int, str]] = MappingProxyType({})


@final
class Names:
    """A module's name section. Names are guest text: neither unique, nor printable, nor to be trusted."""

    __slots__ = ("_found", "_found_indirect", "_parts", "_source")

    def __init__(self, source: bytes, parts: Mapping[int, Slice]) -> None:
        self._source = source
        self._parts = parts
        self._found: dict[int, Mapping[int, str]] = {}
        self._found_indirect: dict[int, Mapping[int, Mapping[int, str]]] = {}

    def module(self) -> str | None:
        """The module's own name."""
        return self._read(Subsection.MODULE, _name)

    def of(self, space: Subsection) -> Mapping[int, str]:
        """Index -> name, for a part that is neither ``MODULE`` nor in :data:`INDIRECT`."""
        found = self._found.get(space)
        if found is None:
            found = self._found[space] = self._read(space, _name_map) or _NO_NAMES
        return found

    def within(self, space: Subsection) -> Mapping[int, Mapping[int, str]]:
        """Outer index -> inner index -> name, for a part in :data:`INDIRECT`."""
        found = self._found_indirect.get(space)
        if found is None:
            found = self._found_indirect[space] = self._read(space, _indirect_name_map) or {}
        return found

    def function(self, index: int) -> str | None:
        """The name of function ``index``, imports counted."""
        return self.of(Subsection.FUNC).get(index)

    def local(self, function: int, index: int) -> str | None:
        """The name of local ``index``, parameters counted, of ``function``."""
        return self.within(Subsection.LOCAL).get(function, _NO_NAMES).get(index)

    def _read(self, space: Subsection, read: Callable[[Reader], T]) -> T | None:
        part = self._parts.get(space)
        return None if part is None else _leniently(self._source, part, read)


def _leniently(source: bytes, part: Slice, read: Callable[[Reader], T]) -> T | None:
    r = Reader(source, part[0], part[1])
    try:
        found = read(r)
    except MalformedError:
        return None
    return found if r.pos == r.end else None


def _name(r: Reader) -> str:
    return r.name()


def _name_map(r: Reader) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for _ in range(r.count()):
        index = r.u32()
        found[index] = r.name()
    return found


def _indirect_name_map(r: Reader) -> Mapping[int, Mapping[int, str]]:
    found: dict[int, Mapping[int, str]] = {}
    for _ in range(r.count()):
        index = r.u32()
        found[index] = _name_map(r)
    return found


def _subsections(r: Reader) -> Mapping[int, Slice]:
    """The parts up to the first that is cut short; of several with one id the first counts."""
    parts: dict[int, Slice] = {}
    try:
        while r.pos < r.end:
            part = r.byte()
            size = r.u32()
            start = r.skip(size)
            parts.setdefault(part, (start, start + size))
    except MalformedError:
        r.pos = r.end
    return parts


def names(module: Module) -> Names:
    """The names of ``module``; without a name section, or with a malformed one, there are none."""
    for custom in module.customs:
        if custom.name == NAME_SECTION:
            parts = _leniently(module.source, custom.content, _subsections)
            return Names(module.source, parts or {})
    return Names(module.source, {})


def _branch_hints(r: Reader, module: Module) -> Mapping[int, bool]:
    imported = len(module.imported_funcs)
    found: dict[int, bool] = {}
    for _ in range(r.count()):
        func = r.u32() - imported
        for _ in range(r.count()):
            offset = r.u32()
            size = r.u32()
            value = r.source[r.skip(size)] if size == 1 and r.pos < r.end else r.fail("malformed branch hint")
            if 0 <= func < len(module.bodies) and value < 2:
                found[module.bodies[func][0] + offset] = bool(value)
    return found


def branch_hints(module: Module) -> Mapping[int, bool]:
    """Absolute offset of a ``br_if`` or ``if`` -> whether its condition is likely to be true."""
    for custom in module.customs:
        if custom.name == BRANCH_HINT_SECTION:
            return _leniently(module.source, custom.content, lambda r: _branch_hints(r, module)) or {}
    return {}
