"""Spec chapter "Binary Format / Values": a bounded cursor over a module's bytes.

Invariant: nothing is ever read at or beyond the bound, and every error is a :class:`MalformedError` that carries the
absolute offset of what was wrong and begins with the words of the specification's test suite. The functions at module
level take and return positions; they are for loops too hot for a cursor object.
"""

from __future__ import annotations

from typing import Final, Never, final

from wardian.errors import MalformedError
from wardian.limits import Features, Limits

END: Final = "unexpected end of section or function"
TOO_LONG: Final = "integer representation too long"
TOO_LARGE: Final = "integer too large"


def unsigned(source: bytes, pos: int, end: int, bits: int) -> tuple[int, int]:
    """The unsigned LEB128 integer of at most ``bits`` bits at ``pos``, and the position after it."""
    value = 0
    shift = 0
    at = pos
    while at < end:
        byte = source[at]
        at += 1
        left = bits - shift
        if left < 7 and (byte & 0x7F) >> left:
            raise MalformedError(TOO_LARGE, offset=pos)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= bits:
            raise MalformedError(TOO_LONG, offset=pos)
    raise MalformedError(END, offset=end)


def signed(source: bytes, pos: int, end: int, bits: int) -> tuple[int, int]:
    """The signed LEB128 integer of at most ``bits`` bits at ``pos``, and the position after it."""
    value = 0
    shift = 0
    at = pos
    while at < end:
        byte = source[at]
        at += 1
        left = bits - shift
        if left < 7:
            # The bits beyond the width, and the sign bit below them, must all be equal.
            high = (byte & 0x7F) >> (left - 1)
            if high and high != 0x7F >> (left - 1):
                raise MalformedError(TOO_LARGE, offset=pos)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << shift) if byte & 0x40 else value), at
        if shift >= bits:
            raise MalformedError(TOO_LONG, offset=pos)
    raise MalformedError(END, offset=end)


def switched_off(features: Features) -> frozenset[str]:
    """The features that are off: usually none, so hot loops can test the set's truth alone."""
    if features == _ALL_ON:
        return _NOTHING
    return frozenset(name for name in Features.names() if not getattr(features, name))


_ALL_ON: Final = Features()
_NOTHING: Final[frozenset[str]] = frozenset()


@final
class Reader:
    """A cursor: reads ``source[pos:end]`` and moves ``pos``. ``off`` names the features that are switched off."""

    __slots__ = ("end", "features", "limits", "off", "pos", "source")

    def __init__(
        self,
        source: bytes,
        pos: int,
        end: int,
        features: Features = Features(),  # noqa: B008
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.source = source
        self.pos = pos
        self.end = end
        self.features = features
        self.limits = limits
        self.off = switched_off(features)

    def fail(self, message: str, offset: int | None = None) -> Never:
        """Raise :class:`MalformedError` at ``offset``, or at the current position."""
        raise MalformedError(message, offset=self.pos if offset is None else offset)

    def byte(self) -> int:
        pos = self.pos
        if pos >= self.end:
            raise MalformedError(END, offset=self.end)
        self.pos = pos + 1
        return self.source[pos]

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes and return where they began."""
        pos = self.pos
        if size > self.end - pos:
            raise MalformedError(END, offset=self.end)
        self.pos = pos + size
        return pos

    def u32(self) -> int:
        pos = self.pos
        if pos < self.end:
            byte = self.source[pos]
            if byte < 0x80:
                self.pos = pos + 1
                return byte
        value, self.pos = unsigned(self.source, pos, self.end, 32)
        return value

    def u64(self) -> int:
        value, self.pos = unsigned(self.source, self.pos, self.end, 64)
        return value

    def s32(self) -> int:
        value, self.pos = signed(self.source, self.pos, self.end, 32)
        return value

    def s33(self) -> int:
        value, self.pos = signed(self.source, self.pos, self.end, 33)
        return value

    def s64(self) -> int:
        value, self.pos = signed(self.source, self.pos, self.end, 64)
        return value

    def count(self, limit: str = "", already: int = 0) -> int:
        """The length of a vector.

        Raises :class:`MalformedError` if the bytes left cannot hold that many elements of a byte each, so the caller
        may allocate by it, and :class:`LimitExceeded` if it and ``already`` exceed the bound ``limit``.
        """
        at = self.pos
        n = self.u32()
        if n > self.end - self.pos:
            raise MalformedError(f"{END}: {n} elements declared", offset=at)
        if limit:
            self.limits.check(limit, n + already)
        return n

    def name(self) -> str:
        """A vector of bytes that must be UTF-8."""
        at = self.pos
        size = self.u32()
        if size > self.end - self.pos:
            raise MalformedError("length out of bounds", offset=at)
        start = self.skip(size)
        try:
            return self.source[start : self.pos].decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("malformed UTF-8 encoding", offset=start + error.start) from None
