"""Small binary modules, put together by hand."""

from __future__ import annotations

from wardian.binary import writer

HEADER = b"\0asm\1\0\0\0"


def leb(value: int) -> bytes:
    out = bytearray()
    writer.unsigned(out, value)
    return bytes(out)


def sized(content: bytes) -> bytes:
    return leb(len(content)) + content


def section(section_id: int, content: bytes | str) -> bytes:
    """A section; a string is hexadecimal."""
    raw = bytes.fromhex(content) if isinstance(content, str) else content
    return bytes((section_id,)) + sized(raw)


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)


def with_body(code: bytes | str, *more: bytes) -> bytes:
    """A module of one function ``() -> ()`` whose body, without locals, is ``code``; ``more`` stands before it."""
    raw = bytes.fromhex(code) if isinstance(code, str) else code
    return module(section(1, "01 60 00 00"), section(3, "01 00"), *more, section(10, b"\1" + sized(b"\0" + raw)))
