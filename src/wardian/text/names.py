"""Spec appendix "Custom Sections / Name Section", written: names to the content of the section.

Invariant: the inverse of :mod:`wardian.binary.custom` for what a name section usually holds: each part at most once, in
the order of the ids, indices rising; parts without names are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from wardian.binary import writer
from wardian.binary.custom import Subsection

NameMap: TypeAlias = "Mapping[int, str]"
IndirectMap: TypeAlias = "Mapping[int, Mapping[int, str]]"


def name_section(
    module: str | None, maps: Mapping[Subsection, NameMap], nested: Mapping[Subsection, IndirectMap]
) -> bytes:
    """The content of a name section; empty if there are no names at all."""
    out = bytearray()
    if module is not None:
        part = bytearray()
        writer.name(part, module)
        _part(out, Subsection.MODULE, part)
    for space in Subsection:
        if maps.get(space):
            part = bytearray()
            _name_map(part, maps[space])
            _part(out, space, part)
        found = {outer: names for outer, names in sorted(nested.get(space, {}).items()) if names}
        if found:
            part = bytearray()
            writer.unsigned(part, len(found))
            for outer, names in found.items():
                writer.unsigned(part, outer)
                _name_map(part, names)
            _part(out, space, part)
    return bytes(out)


def _part(out: bytearray, space: Subsection, content: bytearray) -> None:
    out.append(space)
    writer.unsigned(out, len(content))
    out += content


def _name_map(out: bytearray, names: NameMap) -> None:
    writer.unsigned(out, len(names))
    for index, name in sorted(names.items()):
        writer.unsigned(out, index)
        writer.name(out, name)


def branch_hint_section(hints: Mapping[int, list[tuple[int, int]]]) -> bytes:
    """The content of a section of branch hints: function -> ``(offset in its body, 0 or 1)``."""
    out = bytearray()
    writer.unsigned(out, len(hints))
    for func, found in sorted(hints.items()):
        writer.unsigned(out, func)
        writer.unsigned(out, len(found))
        for offset, value in sorted(found):
            writer.unsigned(out, offset)
            out += bytes((1, value))
    return bytes(out)
