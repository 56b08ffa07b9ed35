"""Spec appendix "Custom Sections / Name Section": a module's names as identifiers of its text.

Invariant: every identifier is unique in its space and valid, whatever the names are. Where the text can express the
name section exactly (:attr:`Identifiers.complete`), assembling the text writes that section again, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, final

from wardian.binary.body import instructions, locals_of
from wardian.binary.custom import NAME_SECTION, Names, Subsection, names
from wardian.binary.decode import ORDER
from wardian.errors import WardianError
from wardian.limits import Features
from wardian.syntax.immediates import Imm
from wardian.syntax.module import Module
from wardian.syntax.types import StructType
from wardian.text.names import name_section

_PLAIN: Final = re.compile(r"[!#$%&'*+\-./0-9:<=>?@A-Z\\^_`a-z|~]+\Z")
_VERBATIM: Final = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
_ESCAPES: Final = {byte: chr(byte) if byte in _VERBATIM else f"\\{byte:02x}" for byte in range(256)}

_QUOTING: Final = '"\\'
_OPENS: Final = (Imm.BLOCK, Imm.TRY_TABLE)


def quoted(content: bytes) -> str:
    """A string token for any bytes."""
    return f'"{content.decode("latin-1").translate(_ESCAPES)}"'


def quoted_text(text: str) -> str:
    """A string token for text: what can be printed stands as it is."""
    return f'"{"".join(c if c.isprintable() and c not in _QUOTING else _escaped(c) for c in text)}"'


def _escaped(character: str) -> str:
    return quoted(character.encode("utf-8"))[1:-1]


def token_of(name: str) -> str:
    """The token of an identifier with this name, which must not be empty."""
    return f"${name}" if _PLAIN.match(name) else f"${quoted_text(name)}"


class Identifier(str):
    """The token; ``note`` is what must stand after it where the name itself is another one."""

    __slots__ = ("note",)
    note: str

    def __new__(cls, token: str, note: str = "") -> Identifier:
        made = super().__new__(cls, token)
        made.note = note
        return made

    def definition(self) -> str:
        """What stands where the identifier is defined."""
        return f"{self} {self.note}".lstrip() if self.note else str(self)


def unique(found: Mapping[int, str], count: int) -> dict[int, Identifier]:
    """Identifiers for the ``names`` of the indices below ``count``; no two are equal."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    made: dict[int, Identifier] = {}
    for index in sorted(found):
        if index >= count:
            break
        name = found[index]
        chosen = name or str(index)
        if not name or chosen in taken:
            # No number is tried twice with a name, so that a thousand equal names do not cost a million tries.
            number = numbers.get(chosen, 1)
            while f"{chosen}.{number}" in taken:
                number += 1
            numbers[chosen] = number + 1
            chosen = f"{chosen}.{number}"
        taken.add(chosen)
        made[index] = Identifier(token_of(chosen), "" if chosen == name else f"(@name {quoted_text(name)})")
    return made


@final
class Identifiers:
    """The identifiers of one module. ``complete`` tells whether they, and their notes, give back its name section."""

    def __init__(self, module: Module) -> None:
        known = names(module)
        self.module = known.module()
        counts = _counts(module)
        self._spaces = {space: unique(known.of(space), count) for space, count in counts.items()}
        self._locals = known.within(Subsection.LOCAL)
        self._labels = known.within(Subsection.LABEL)
        self._fields = known.within(Subsection.FIELD)
        self._module = module
        self.complete = self._is_complete(known, counts)

    def of(self, space: Subsection) -> dict[int, Identifier]:
        """The identifiers of an index space; without one, an index stands for itself."""
        return self._spaces[space]

    def locals_of(self, func: int, count: int) -> dict[int, Identifier]:
        """The identifiers of the parameters and locals of ``func``."""
        return unique(self._locals.get(func, {}), count)

    def labels_of(self, func: int) -> Mapping[int, str]:
        """The names of the blocks of ``func``, by their order."""
        return self._labels.get(func, {})

    def fields_of(self, type: int, count: int) -> dict[int, Identifier]:
        """The identifiers of the fields of structure ``type``."""
        return unique(self._fields.get(type, {}), count)

    def _is_complete(self, known: Names, counts: Mapping[Subsection, int]) -> bool:
        """Whether a name section made of what the text can name would equal the one there is."""
        module = self._module
        sections = [custom for custom in module.customs if custom.name == NAME_SECTION]
        last = max((section for section, _, _ in module.sections if section), key=ORDER.__getitem__, default=0)
        if not sections:
            return True
        if len(sections) > 1 or sections[0].after != last:
            return False
        maps = {space: {i: n for i, n in known.of(space).items() if i < count} for space, count in counts.items()}
        nested = {
            Subsection.LOCAL: {f: n for f, n in self._locals.items() if self._fits_locals(f, n)},
            Subsection.LABEL: {f: n for f, n in self._labels.items() if self._fits_labels(f, n)},
            Subsection.FIELD: {t: n for t, n in self._fields.items() if self._fits_fields(t, n)},
        }
        start, end = sections[0].content
        return start < end and name_section(self.module, maps, nested) == module.source[start:end]

    def _fits_locals(self, func: int, found: Mapping[int, str]) -> bool:
        module = self._module
        defined = func - len(module.imported_funcs)
        if not 0 <= defined < len(module.bodies):
            return False
        type = module.funcs[defined]
        if type >= len(module.types) or not hasattr(module.types[type].comp, "params"):
            return False
        try:
            runs, _ = locals_of(module.source, *module.bodies[defined])
        except WardianError:
            return False
        return max(found, default=-1) < len(module.func_type(func).params) + sum(count for count, _ in runs)

    def _fits_labels(self, func: int, found: Mapping[int, str]) -> bool:
        module = self._module
        defined = func - len(module.imported_funcs)
        if not 0 <= defined < len(module.bodies):
            return False
        start, end = module.bodies[defined]
        try:
            _, pos = locals_of(module.source, start, end)
            blocks = sum(row.imm in _OPENS for _, row, _ in instructions(module.source, pos, end, Features()))
        except WardianError:
            return False
        return max(found, default=-1) < blocks

    def _fits_fields(self, type: int, found: Mapping[int, str]) -> bool:
        types = self._module.types
        comp = types[type].comp if type < len(types) else None
        return isinstance(comp, StructType) and max(found, default=-1) < len(comp.fields)


def _counts(module: Module) -> dict[Subsection, int]:
    return {
        Subsection.FUNC: module.func_count(),
        Subsection.TYPE: len(module.types),
        Subsection.TABLE: len(module.imported_tables) + len(module.tables),
        Subsection.MEMORY: len(module.imported_memories) + len(module.memories),
        Subsection.GLOBAL: len(module.imported_globals) + len(module.globals),
        Subsection.ELEM: len(module.elems),
        Subsection.DATA: len(module.datas),
        Subsection.TAG: len(module.imported_tags) + len(module.tags),
    }
