"""A flat image out of one relocatable ELF object: what makes artifacts independent of any linker.

Invariant: an image is position-independent bytes. Only PC-relative relocations between sections of the object are
applied; an undefined symbol or any other relocation is our bug and raises ``AssertionError``, never runs.
"""

from __future__ import annotations

import struct
from typing import Final, final

from wardian.record import Record

PAGE: Final = 4096

_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC = 1, 2, 4
_RELA, _SYMTAB, _NOBITS = 4, 2, 8
_X86_64, _AARCH64 = 62, 183
_UNUSED: Final = (".eh_frame", ".note")
"""What the names of sections begin with that are for debuggers and linkers."""
_PC32: Final = frozenset({2, 4})
"""R_X86_64_PC32 and R_X86_64_PLT32: to a symbol of the same image they are the same."""
_PC64: Final = 24


@final
class Image(Record):
    """``code`` is mapped read+execute; ``data`` bytes, if any, lie at ``data_at`` (page-aligned) and are writable.

    ``symbols`` are ``(name, offset, size)`` of functions and data, by offset.
    """

    code: bytes
    symbols: tuple[tuple[str, int, int], ...]
    data: bytes = b""
    data_at: int = 0

    def offset(self, name: str) -> int:
        for symbol, at, _ in self.symbols:
            if symbol == name:
                return at
        raise AssertionError(f"no symbol {name}")


def flatten(obj: bytes) -> Image:
    """Lay out an ELF64 little-endian object: executable sections, constants, then writable data on a page of its
    own."""
    assert obj[:6] == b"\x7fELF\x02\x01", "not an ELF64 object"
    machine = struct.unpack_from("<H", obj, 18)[0]
    shoff, shentsize, shnum, shstr = *struct.unpack_from("<Q", obj, 40), *struct.unpack_from("<HHH", obj, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", obj, shoff + i * shentsize) for i in range(shnum)]
    names = sections[shstr][4]

    placed: dict[int, int] = {}
    image, data = bytearray(), bytearray()

    def place(want_write: bool, want_exec: bool, out: bytearray) -> None:
        for i, (name, kind, flags, _, off, size, _, _, align, _) in enumerate(sections):
            if not flags & _SHF_ALLOC or bool(flags & _SHF_WRITE) != want_write or bool(flags & _SHF_EXEC) != want_exec:
                continue
            if _string(obj, names + name).startswith(_UNUSED):
                continue
            out.extend(b"\0" * (-len(out) % max(align, 1)))
            placed[i] = len(out)
            out.extend(b"\0" * size if kind == _NOBITS else obj[off : off + size])

    place(False, True, image)
    place(False, False, image)
    place(True, False, data)
    data_at = (len(image) + PAGE - 1) & -PAGE
    address = {i: at + (data_at if sections[i][2] & _SHF_WRITE else 0) for i, at in placed.items()}

    symbols: list[tuple[str, int, int]] = []
    values: list[int | None] = []
    for section in sections:
        if section[1] != _SYMTAB:
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, info, _, index, value, size = struct.unpack_from("<IBBHQQ", obj, at)
            where = address.get(index)
            values.append(None if where is None else where + value)
            if where is not None and info & 15 in (0, 1, 2) and name:
                symbols.append((_string(obj, strings + name), where + value, size))

    for section in sections:
        target = section[7]
        if section[1] != _RELA or target not in placed:
            continue
        assert machine == _X86_64, "relocations are known for x86-64 only"
        out = data if sections[target][2] & _SHF_WRITE else image
        for at in range(section[4], section[4] + section[5], 24):
            offset, info, addend = struct.unpack_from("<QQq", obj, at)
            kind, symbol = info & 0xFFFFFFFF, info >> 32
            value = values[symbol]
            assert value is not None, f"relocation {kind} against an undefined symbol"
            assert kind in _PC32 or kind == _PC64, f"relocation of kind {kind}"
            delta = value + addend - (address[target] + offset)
            struct.pack_into("<i" if kind in _PC32 else "<q", out, placed[target] + offset, delta)
    return Image(bytes(image), tuple(sorted(symbols, key=lambda s: s[1])), bytes(data), data_at if data else 0)


def _string(obj: bytes, at: int) -> str:
    return obj[at : obj.index(b"\0", at)].decode("ascii")
