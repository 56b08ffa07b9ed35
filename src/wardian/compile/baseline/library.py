"""The stencils of one flavour of memory, as inert bytes and looked up by name and shape.

Invariant: a stencil is decoded when it is first asked for; asking for one that does not exist is our bug and raises
``KeyError``. Whether the bytes may be trusted is :mod:`wardian.compile.cache`'s business.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, TypeAlias, final

from wardian.compile.baseline.assembler import Part
from wardian.compile.baseline.holes import NAMES
from wardian.compile.baseline.machines import JUMP, NUMBER, WIDE
from wardian.vm.traps import TrapCode

NEXT: Final = 0
TARGET: Final = 1
TABLE: Final = 2
TRAPS: Final = 16
POOL: Final = 256
"""What a jump's field refers to: what follows the stencil, a label, the table of a ``br_table``, from :data:`TRAPS` on
the function's trap of that code, from :data:`POOL` on a constant of the library."""

_SYMBOLS: Final = {
    "next": NEXT,
    "target": TARGET,
    "table": TABLE,
    **{f"trap_{code.name}": TRAPS + code for code in TrapCode},
}

UNSIGNED: Final = 8
"""Added to the hole of a 64-bit field that takes a 32-bit number without its sign."""

Field: TypeAlias = "tuple[int, int, int]"

_GROUP: Final = struct.Struct("<HI")
_ENTRY: Final = struct.Struct("<II")
_PART: Final = struct.Struct("<HBBB")
_HOLE: Final = struct.Struct("<HHi")
_CONSTANT: Final = struct.Struct("<I")


@final
class Stencil:
    """A piece of machine code. ``numbers`` are ``(offset, hole, added)`` of 32-bit fields, ``wide`` of 64-bit ones,
    ``jumps`` are ``(offset, symbol, added)`` of fields relative to their own address."""

    __slots__ = ("code", "jumps", "numbers", "wide")

    def __init__(
        self, code: bytes, numbers: tuple[Field, ...], wide: tuple[Field, ...], jumps: tuple[Field, ...]
    ) -> None:
        self.code = code
        self.numbers = numbers
        self.wide = wide
        self.jumps = jumps


@final
class Group:
    """Stencils of one instruction (or helper) by packed shape."""

    __slots__ = ("_at", "_data", "_pool", "ready")

    def __init__(self, data: bytes, at: dict[int, int], pool: int = 0) -> None:
        """``pool``: where the constants the data knows begin among the library's."""
        self._data = data
        self._at = at
        self._pool = pool
        self.ready: dict[int, Stencil] = {}

    def get(self, key: int) -> Stencil:
        found = self.ready.get(key)
        if found is None:
            found = self.ready[key] = self._decode(self._at[key])
        return found

    def _decode(self, at: int) -> Stencil:
        data = self._data
        size, *counts = _PART.unpack_from(data, at)
        at += _PART.size
        code = data[at : at + size]
        at += size
        fields = []
        for count in counts:
            end = at + count * _HOLE.size
            fields.append(tuple(_HOLE.iter_unpack(data[at:end])))
            at = end
        jumps = fields[2]
        if self._pool:
            jumps = tuple([(at, symbol + self._pool if symbol >= POOL else symbol, n) for at, symbol, n in jumps])
        return Stencil(code, fields[0], fields[1], jumps)

    def moved(self, pool: int) -> Group:
        """The same stencils in another library."""
        return Group(self._data, self._at, pool)


@final
class Library:
    """All stencils of one flavour."""

    def __init__(self, groups: dict[str, Group], constants: list[bytes]) -> None:
        self.groups = groups
        self.constants = constants
        self._first = len(groups), len(constants)
        self.added = bytearray()
        """What :meth:`add` has taken in."""

    def pristine(self) -> Library:
        """A library like this one before it took in anything."""
        groups, constants = self._first
        return Library(dict(islice(self.groups.items(), groups)), self.constants[:constants])

    def group(self, name: str) -> Group:
        return self.groups[name]

    def add(self, data: bytes) -> None:
        """Take in what this one lacks of libraries that :func:`framed` made inert, one behind the other, as far as they
        are sound."""
        at = 0
        while at + _CONSTANT.size <= len(data):
            (size,) = _CONSTANT.unpack_from(data, at)
            at += _CONSTANT.size
            other = Library.decode(data[at : at + size])
            if other is None:
                return
            missing = [name for name in other.groups if name not in self.groups]
            for name in missing:
                self.groups[name] = other.groups[name].moved(len(self.constants))
            if missing:
                self.constants += other.constants
                self.added += framed(data[at : at + size])
            at += size

    @classmethod
    def names(cls, data: bytes) -> list[str]:
        """Names of the groups :meth:`add` would take, in order."""
        found = cls({}, [])
        found.add(data)
        return list(found.groups)

    @classmethod
    def decode(cls, data: bytes) -> Library | None:
        """Inverse of :func:`encode`; ``None`` for bytes of another format."""
        if data[:4] != b"WST1":
            return None
        try:
            groups_count, constants_count = _ENTRY.unpack_from(data, 4)
            at = 4 + _ENTRY.size
            constants = []
            for _ in range(constants_count):
                (size,) = _CONSTANT.unpack_from(data, at)
                at += _CONSTANT.size
                constants.append(data[at : at + size])
                at += size
            groups = {}
            for _ in range(groups_count):
                name_size, entries = _GROUP.unpack_from(data, at)
                at += _GROUP.size
                name = data[at : at + name_size].decode()
                at += name_size
                end = at + entries * _ENTRY.size
                groups[name] = Group(data, dict(_ENTRY.iter_unpack(data[at:end])))
                at = end
        except (struct.error, UnicodeDecodeError):
            return None
        return cls(groups, constants)


def framed(data: bytes) -> bytes:
    """An encoded library as a part of what :meth:`Library.add` takes."""
    return _CONSTANT.pack(len(data)) + data


def encode(groups: Mapping[str, Iterable[tuple[int, Part]]], constants: Mapping[str, bytes]) -> bytes:
    """A library's bytes, for :meth:`Library.decode`."""
    numbers = {**_SYMBOLS, **{name: POOL + i for i, name in enumerate(constants)}}
    placed = {name: dict(parts) for name, parts in groups.items()}
    bodies: list[bytes] = []
    head = bytearray(b"WST1" + _ENTRY.pack(len(placed), len(constants)))
    for value in constants.values():
        head += _CONSTANT.pack(len(value)) + value
    size = len(head) + sum(_GROUP.size + len(n.encode()) + _ENTRY.size * len(p) for n, p in placed.items())
    for name, parts in placed.items():
        raw = name.encode()
        head += _GROUP.pack(len(raw), len(parts)) + raw
        for key, part in parts.items():
            head += _ENTRY.pack(key, size)
            body = _encoded(part, numbers)
            bodies.append(body)
            size += len(body)
    return bytes(head) + b"".join(bodies)


def _encoded(part: Part, symbols: Mapping[str, int]) -> bytes:
    numbers = [(at, NAMES.index(symbol[0]), added) for at, kind, symbol, added in part.fields if kind == NUMBER]
    wide = [
        (at, NAMES.index(symbol[0]) | (UNSIGNED if symbol.endswith("_u") else 0), added)
        for at, kind, symbol, added in part.fields
        if kind == WIDE
    ]
    jumps = [(at, symbols[symbol], added) for at, kind, symbol, added in part.fields if kind == JUMP]
    counts = len(numbers), len(wide), len(jumps)
    assert sum(counts) == len(part.fields), "a kind of field the baseline compiler does not know"
    fields = [*numbers, *wide, *jumps]
    return _PART.pack(len(part.code), *counts) + part.code + b"".join(_HOLE.pack(*field) for field in fields)
