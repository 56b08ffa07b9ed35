"""Plain values with named fields: what dataclasses are, without compiling methods for each class when it is imported.

A dataclass costs some 0.4 ms when it is defined, and its module 6 ms; the engine defines a hundred of them, and a warm
run of a small guest takes 40 ms in all. Imports nothing of the package.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]  # what the fields of named tuples are
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform, final

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple

    R = TypeVar("R", bound="Fields")
else:
    # FAST: a bound in quotes is compiled, and what that needs is made by the first call of compile(): 1 ms.
    R = TypeVar("R")


@final
class _Made:
    __slots__ = ("make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def made(*, default_factory: Callable[[], Any]) -> Any:
    """A field's default that is made anew for each object."""
    return _Made(default_factory)


class Fields:
    """Base of both kinds: the fields are the annotations of the class, in order, with class attributes as defaults."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = tuple(n for n in cls.__annotations__ if n[:1] != "_")  # type: ignore[misc]

    def __init__(self, *args: object, **kwargs: object) -> None:
        cls = type(self)
        names = cls.__match_args__
        values = dict(zip(names, args, strict=False))
        if len(args) < len(names):
            for name in names[len(args) :]:
                if name in kwargs:
                    values[name] = kwargs.pop(name)
                else:
                    default = getattr(cls, name, _MISSING)
                    if default is _MISSING:
                        raise TypeError(f"{cls.__name__} needs {name}; its fields are {', '.join(names)}")
                    values[name] = default.make() if type(default) is _Made else default
        if kwargs or len(args) > len(names):
            raise TypeError(f"{cls.__name__} has only the fields {', '.join(names)}")
        self.__dict__.update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """For subclasses that check their fields."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"

    def __replace__(self: R, **changes: object) -> R:
        """The same with some fields changed (also for ``copy.replace`` of Python 3.13)."""
        return type(self)(**{**self.__dict__, **changes})


@dataclass_transform(frozen_default=True)
class Record(Fields):
    """An immutable value: equal to another of its class with equal fields, and hashable if they are."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))


@dataclass_transform(eq_default=False, field_specifiers=(made,))
class Entity(Fields):
    """A mutable object with named fields, equal only to itself."""


_MISSING: Final = object()


class _Named(type):
    """The type of classes that :class:`NamedTuple` is the base of."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        fields = tuple(body.get("__annotations__", ()))
        if bases != (tuple,) and fields:
            defaults = {field: body.pop(field) for field in fields if field in body}
            body.update((field, _tuplegetter(at, "")) for at, field in enumerate(fields))
            body.update(_fields=fields, _field_defaults=defaults, __match_args__=fields)
        body.setdefault("__slots__", ())
        return super().__new__(cls, name, bases, body)


if not TYPE_CHECKING:

    class NamedTuple(tuple, metaclass=_Named):
        """What ``typing.NamedTuple`` is, for those who are in a hurry: nothing is compiled to define one (0.2 ms)."""

        _fields = ()
        _field_defaults: ClassVar = {}

        def __new__(cls, *args, **kwargs):
            fields = cls._fields
            missing = len(fields) - len(args)
            if missing:
                if kwargs and missing > 0:
                    values = cls._field_defaults | kwargs
                    args += tuple([values.pop(field) for field in fields[len(args) :] if field in values])
                    kwargs = kwargs.keys() - fields[-missing:]
                elif 0 < missing <= len(cls._field_defaults):
                    args += tuple(cls._field_defaults.values())[-missing:]
            if kwargs or len(args) != len(fields):
                raise TypeError(f"{cls.__name__} has the fields {', '.join(fields)}")
            return tuple.__new__(cls, args)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            return type(self)(**{**self._asdict(), **changes})

        __replace__ = _replace

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._asdict().items())})"
