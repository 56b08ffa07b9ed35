"""Plain values with named fields: what dataclasses are, without compiling methods for each class when it is imported.

A dataclass costs some 0.4 ms when it is defined, and its module 6 ms; the engine defines a hundred of them, and a warm
run of a small guest takes 40 ms in all. Imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform, final

R = TypeVar("R", bound="Fields")


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
