"""Every exception Wardian raises on purpose, in one tree of four kinds that are never mixed.

* bad input   -> :class:`BadInput`: the module is malformed, invalid, or does not fit its imports;
* guest fault -> :class:`Trap` (:class:`Exit` stands apart: leaving on purpose is no fault);
* refusal     -> :class:`Refused`: the host said no (a limit, a capability, a feature switched off);
* our bug     -> ``AssertionError``, which nothing here catches.

This module imports nothing of the package.
"""

from __future__ import annotations

from typing import Final, final

from wardian.record import Record


class WardianError(Exception):
    """Base of everything raised on purpose.

    Messages often quote a module, and end in logs and tracebacks: whatever they are made of, they are :func:`inert`.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(inert(value) if isinstance(value, str) else value for value in args))


class BadInput(WardianError):
    """The bytes or the imports given are at fault.

    ``offset`` is the absolute byte offset in the module (``None`` when there is none) and ``function`` the index of
    the function, in the module's index space, inside which it was found. In a text there are ``line`` and ``column``
    instead, counted from 1, and ``excerpt``: that line, printable, with a caret below the place.
    """

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        function: int | None = None,
        line: int | None = None,
        column: int | None = None,
        excerpt: str = "",
    ) -> None:
        self.message = inert(message)
        self.offset = offset
        self.function = function
        self.line = line
        self.column = column
        self.excerpt = excerpt
        place = "" if offset is None else f" at offset {offset:#x}"
        if function is not None:
            place += f" in function {function}"
        if line is not None:
            place += f" at line {line}, column {column}"
        if excerpt:
            place += "\n" + "\n".join(f"  {part}" for part in excerpt.split("\n"))
        super().__init__(self.message + place)

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"message": self.message, "offset": self.offset, "function": self.function})


@final
class MalformedError(BadInput):
    """The bytes are not a WebAssembly module (spec: "Binary Format")."""


@final
class InvalidError(BadInput):
    """The module is well-formed but breaks a rule of the spec's chapter "Validation"."""


@final
class ArtifactError(BadInput):
    """A compiled module cannot be loaded: it is damaged, not authentic, or made by another version or for another
    CPU."""


@final
class LinkError(BadInput):
    """The imports given do not fit what the module asks for (spec: "Instantiation")."""


@final
class Frame(Record):
    """One WebAssembly frame of a backtrace, innermost first.

    ``name`` comes from the name section, or is an export's name, or ``None``; it is guest text, so printing goes
    through :func:`printable`.
    """

    function: int
    name: str | None
    module: str | None = None

    def __str__(self) -> str:
        where = f"{printable(self.module)}!" if self.module else ""
        return f"{where}{printable(self.name)}" if self.name else f"{where}<function {self.function}>"


class Trap(WardianError):
    """The guest did something the spec defines as a trap, or was stopped.

    ``code`` is one of the words of :data:`wardian.vm.traps.TRAPS`; ``frames`` the Wasm backtrace, innermost first.
    """

    def __init__(self, code: str, message: str, frames: tuple[Frame, ...] = ()) -> None:
        self.code = code
        self.message = inert(message)
        self.frames = frames
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"code": self.code, "message": self.message, "frames": self.frames})

    def __str__(self) -> str:
        if not self.frames:
            return self.message
        shown = [f"  {i}: {frame}" for i, frame in enumerate(self.frames[:40])]
        if len(self.frames) > 40:
            shown.append(f"  ... {len(self.frames) - 40} more")
        return "\n".join([self.message, "wasm backtrace:", *shown])


@final
class Interrupted(Trap):
    """The guest was stopped: ``code`` is ``"timeout"``, ``"cpu"``, ``"interrupt"`` or ``"out_of_fuel"``."""


@final
class Exit(WardianError):
    """The guest asked to end with ``code`` (WASI ``proc_exit``); not a fault."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exit status {code}")

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"code": self.code})


@final
class WasmException(WardianError):
    """An exception of the guest's own kind: thrown by ``throw`` and not caught, or raised by a host function to be
    caught.

    ``tag`` is the :class:`wardian.Tag`, ``payload`` the tuple of its values.
    """

    def __init__(self, tag: object, *payload: object) -> None:
        self.tag = tag
        self.payload = payload
        Exception.__init__(self, tag, *payload)

    def __str__(self) -> str:
        # Only now: a payload may hold objects that take long to describe, or cannot be.
        return f"uncaught exception {self.tag!r} {self.payload!r}"


class Refused(WardianError):
    """The host said no."""


@final
class LimitExceeded(Refused):
    """A bound of :class:`wardian.limits.Limits` was reached; ``limit`` names the field."""

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"limit": self.limit, "message": str(self)})


@final
class FeatureDisabled(Refused):
    """The module needs a WebAssembly feature that is switched off; ``feature`` names the switch."""

    def __init__(self, feature: str, message: str) -> None:
        self.feature = feature
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"feature": self.feature, "message": str(self)})


@final
class IsolationUnavailable(Refused):
    """This machine cannot enforce layers of a process' isolation that were not said to be dispensable: ``missing``
    holds their names."""

    def __init__(self, missing: tuple[str, ...], message: str) -> None:
        self.missing = missing
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return _remake, (type(self), {"missing": self.missing, "message": str(self)})


@final
class StoreBusy(Refused):
    """The instance is running on another thread right now."""


def _remake(kind: type[WardianError], fields: dict[str, object]) -> WardianError:
    """For pickling: an exception again from its fields."""
    return kind(**fields)


def inert(text: str) -> str:
    """Text of several lines made safe for a terminal or a log: :func:`printable`, but line feeds stay."""
    if text.isascii() and text.isprintable():
        return text
    return "\n".join(map(printable, text.split("\n")))


def printable(text: str) -> str:
    """Guest text made safe for a terminal or a log: what nobody sees, what acts, and what piles up on the character
    before it becomes an escape."""
    if text.isascii() and text.isprintable():
        return text
    from unicodedata import category

    shown = []
    marks = 0
    for char in text:
        marks = marks + 1 if category(char) in ("Mn", "Me") else 0
        hidden = char in _UNSEEN or "\ufe00" <= char <= "\ufe0f" or "\U000e0000" <= char <= "\U000e0fff"
        if hidden or marks > _MOST_MARKS or not char.isprintable():
            char = char.encode("unicode_escape", "backslashreplace").decode()
        shown.append(char)
    return "".join(shown)


_UNSEEN: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
"""Letters and marks without a glyph, which Python holds for printable."""
_MOST_MARKS: Final = 8
