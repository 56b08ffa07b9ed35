"""What crosses between the parent and a worker, as plain values of :mod:`wardian.isolation.codec`, and back.

Invariant: the parent takes nothing a worker says for granted: each ``read_`` function gives values of the declared
types or raises :class:`CodecError`, and none of them runs anything the worker chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from wardian import errors, grants, limits
from wardian.api.config import Config
from wardian.errors import Frame, Interrupted, Trap
from wardian.isolation.codec import CodecError, Handle
from wardian.isolation.policy import LAYERS
from wardian.isolation.report import Layer
from wardian.record import Record
from wardian.vm.traps import STOPS, TRAPS

_RECORDS: Final[Mapping[str, type[Record]]] = MappingProxyType(
    {
        **{kind.__name__: kind for kind in (limits.Limits, limits.Features, Config)},
        **{
            name: kind
            for name, kind in vars(grants).items()
            if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
        },
    }
)
"""Values with fields that the parent sends: what guests are granted, and how they are compiled."""

_KIND: Final = "kind"


def write_record(value: object) -> object:
    """``value`` with every record in it as a map of its fields, those that are as by default left out."""
    if isinstance(value, Record):
        default = vars(type(value))
        fields = {
            name: write_record(field)
            for name, field in vars(value).items()
            if name not in default or default[name] != field
        }
        return {_KIND: type(value).__name__, "fields": fields}
    if isinstance(value, tuple | list):
        return tuple(map(write_record, value))
    return value


def read_record(value: Any) -> Any:
    """Inverse of :func:`write_record`. Raises ``KeyError`` for a record nobody may send."""
    if isinstance(value, dict):
        fields = {name: read_record(field) for name, field in value["fields"].items()}
        return _RECORDS[value[_KIND]](**fields)
    if isinstance(value, tuple):
        return tuple(map(read_record, value))
    return value


# -- errors ------------------------------------------------------------------------------------------------------------

_PLAIN: Final = MappingProxyType(
    {kind.__name__: kind for kind in (ValueError, TypeError, OverflowError, OSError, MemoryError, KeyError)}
)
"""Exceptions of Python that a wrong call raises."""

_INPUT: Final[Mapping[str, type[errors.BadInput]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (errors.MalformedError, errors.InvalidError, errors.ArtifactError, errors.LinkError)
    }
)
_REFUSALS: Final = ("Refused", "LimitExceeded", "FeatureDisabled")
_FIELDS: Final = ("message", "offset", "function", "line", "column", "excerpt")


def write_error(error: BaseException) -> dict[str, object]:
    """An exception of the worker's, of a kind that concerns the caller, as a map; any other as our own bug."""
    name = type(error).__name__
    if name in _INPUT or name in _REFUSALS:
        fields = {field: getattr(error, field) for field in _FIELDS if hasattr(error, field)}
        return {"name": name, "text": str(error), **fields, **_named(error)}
    if name in _PLAIN:
        return {"name": name, "text": str(error), "errno": getattr(error, "errno", None)}
    return {"name": "AssertionError", "text": f"{name}: {error}"}


def _named(error: BaseException) -> dict[str, object]:
    return {name: getattr(error, name) for name in ("limit", "feature") if hasattr(error, name)}


def read_error(value: Any) -> Exception | None:
    """The exception to raise for what a worker says was wrong; ``None`` if that is no fault of the caller's."""
    fields = _map(value)
    name, text = _typed(fields, "name", str), _typed(fields, "text", str)
    if name in _PLAIN:
        number = fields.get("errno")
        return OSError(number, text) if name == "OSError" and type(number) is int else _PLAIN[name](text)
    if name == "LimitExceeded":
        return errors.LimitExceeded(_typed(fields, "limit", str), text)
    if name == "FeatureDisabled":
        return errors.FeatureDisabled(_typed(fields, "feature", str), text)
    if name == "Refused":
        return errors.Refused(text)
    if name in _INPUT:
        places = {
            field: fields[field] for field in ("offset", "function", "line", "column") if type(fields.get(field)) is int
        }
        excerpt = fields.get("excerpt")
        message = _typed(fields, "message", str)
        return _INPUT[name](message, **places, excerpt=excerpt if type(excerpt) is str else "")
    return None


# -- results -----------------------------------------------------------------------------------------------------------


def write_trap(trap: Trap | None) -> object:
    if trap is None:
        return None
    frames = tuple((frame.function, frame.name, frame.module) for frame in trap.frames[:1000])
    return {"code": trap.code, "message": trap.message, "frames": frames}


_STOPS: Final = frozenset({"cpu", *(TRAPS[code][0] for code in STOPS)})


def read_trap(value: Any) -> Trap | None:
    """The trap a worker reports."""
    if value is None:
        return None
    fields = _map(value)
    code, message = _typed(fields, "code", str), _typed(fields, "message", str)
    frames = []
    for row in _typed(fields, "frames", tuple):
        if type(row) is not tuple or len(row) != 3 or type(row[0]) is not int:
            raise CodecError("a backtrace of the wrong form")
        if any(text is not None and type(text) is not str for text in row[1:]):
            raise CodecError("a backtrace of the wrong form")
        frames.append(Frame(*row))
    kind = Interrupted if code in _STOPS else Trap
    return kind(code, message, tuple(frames))


def field(value: Any, name: str, kind: type) -> Any:
    """A field of a map that a worker sent, of exactly this type."""
    return _typed(_map(value), name, kind)


def _map(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise CodecError("not a map")
    return value


def _typed(fields: dict[str, Any], name: str, kind: type) -> Any:
    found = fields.get(name)
    if type(found) is not kind:
        raise CodecError(f"{name} is not of the type {kind.__name__}")
    return found


# -- values of host functions ------------------------------------------------------------------------------------------


class Objects:
    """Objects of the host that guests hold as ``externref``: they stay here, and handles stand for them."""

    __slots__ = ("_found", "_numbers")

    def __init__(self) -> None:
        self._found: list[object] = []
        self._numbers: dict[int, int] = {}

    def write(self, value: Any) -> object:
        """A value for the worker: numbers and bytes as they are, sequences piece by piece, all else as a handle."""
        if value is None or type(value) in (bool, int, float, bytes):
            return value
        if type(value) in (tuple, list):
            return tuple(map(self.write, value))
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._found)
            self._found.append(value)
        return Handle(number)

    def read(self, value: Any) -> Any:
        """A value from the worker. Raises :class:`CodecError` for a handle that was never given out."""
        if type(value) is Handle:
            if value.number >= len(self._found):
                raise CodecError("a handle nobody gave out")
            return self._found[value.number]
        if type(value) is tuple:
            return tuple(map(self.read, value))
        return value


def read_layers(value: Any) -> tuple[Layer, ...]:
    """The report of a worker that has not seen its job yet."""
    if type(value) is not tuple:
        raise CodecError("not a report")
    found = []
    for row in value:
        if type(row) is not tuple or tuple(map(type, row)) != (str, bool, str) or row[0] not in LAYERS:
            raise CodecError("not a report")
        found.append(Layer(*row))
    return tuple(found)
