"""Modules written byte by byte, so that a test knows the offset of every instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
FUNCREF, EXTERNREF, ANYREF = 0x70, 0x6F, 0x6E
END = b"\x0b"
HEADER = b"\0asm\1\0\0\0"


def leb(n: int) -> bytes:
    """``n`` as an unsigned LEB128 integer."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def heap(index: int) -> bytes:
    """A type index as a heap type: a signed LEB128 integer."""
    out = bytearray()
    while index > 0x3F:
        out.append(index & 0x7F | 0x80)
        index >>= 7
    out.append(index)
    return bytes(out)


def vec(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + leb(len(content)) + content


def func_type(params: bytes | Sequence[bytes] = b"", results: bytes | Sequence[bytes] = b"") -> bytes:
    """Types are single bytes of a ``bytes``, or longer ones in a sequence."""
    return b"\x60" + b"".join(
        vec(*(bytes([t]) if isinstance(t, int) else t for t in part)) for part in (params, results)
    )


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)


class Built(NamedTuple):
    """A module, and where the instructions of its (last) body begin."""

    source: bytes
    code: int


def with_body(
    body: bytes,
    *types: bytes,
    before: tuple[bytes, ...] = (),
    after: tuple[bytes, ...] = (),
    locals_: bytes = b"\0",
    func: int = 0,
) -> Built:
    """A module of one defined function of type ``func`` (default ``[] -> []``), ``end`` included in ``body``.

    ``before`` and ``after`` are sections around the code section; section 1 and 3 are written here, and what of
    ``before`` has number 2 goes between them.
    """
    entry = locals_ + body
    imports = tuple(s for s in before if s[0] == 2)
    others = tuple(s for s in before if s[0] != 2)
    head = module(section(1, vec(*(types or (func_type(),)))), *imports, section(3, vec(leb(func))), *others)
    code = section(10, vec(leb(len(entry)) + entry))
    return Built(head + code + b"".join(after), len(head) + len(code) - len(body))
