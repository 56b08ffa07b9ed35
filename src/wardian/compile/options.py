"""What the user chooses about generated code."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, final

from wardian.record import Record

Checks: TypeAlias = Literal["guard", "explicit", "masked"]
Spectre: TypeAlias = Literal["off", "basic", "full"]


@final
class CodeOptions(Record):
    """Everything but the module that changes generated code; part of the cache key, unless a field says otherwise."""

    opt: Literal["O0", "O2", "baseline"] = "O2"
    """``baseline``: stencils, and O0 for a function that needs what no stencil does."""
    checks: Checks = "explicit"
    spectre: Spectre = "off"
    """Against what the processor does on a wrong guess (:mod:`wardian.compile.speculation`)."""
    exceptions: bool = False
    """Look for a pending exception after each call: needed as soon as some module of the store has tags."""
    fuel: bool = False
    """Count what runs (:mod:`wardian.compile.fuel`)."""
    deterministic: bool = False
    """Every NaN that arithmetic makes is the canonical one (spec: "Deterministic profile")."""
    optimise_below: int = 256 << 10
    """Bytes of a body from which on it is compiled at O0 whatever ``opt`` says: several of LLVM's passes take quadratic
    time, so a function made for the purpose would take hours. Changes no meaning, so no part of the cache key."""
    stack_checks: bool = True
    """Off for the collector, which needs little stack and must not stop half way."""

    def encode(self) -> str:
        """As text, which :meth:`decode` takes back."""
        return " ".join([f"{name}={value}" for name, value in self.__dict__.items()])

    @classmethod
    def decode(cls, text: str) -> CodeOptions:
        """Inverse of :meth:`encode`. Raises ``ValueError`` for what is not its result."""
        given = dict(item.split("=", 1) for item in text.split(" "))
        if tuple(given) != cls.__match_args__:
            raise ValueError("these are no options of generated code")
        defaults = cls().__dict__
        made = cls(**{name: _value(type(defaults[name]), text) for name, text in given.items()})
        if made.opt not in _OPTS or any(getattr(made, name) not in known for name, known in _PROTECTION.items()):
            raise ValueError("these are no options of this version")
        return made

    def lacking(self, wanted: CodeOptions) -> list[str]:
        """What is wanted of code that was compiled with these options does not have."""
        return [
            f"{name}={getattr(wanted, name)!r}"
            for name, least_first in _PROTECTION.items()
            if least_first.index(getattr(self, name)) < least_first.index(getattr(wanted, name))
        ]

    def meaning(self) -> str:
        """What is part of the cache key."""
        return self.__replace__(optimise_below=0).encode()


_OPTS: Final = ("O0", "O2", "baseline")
_PROTECTION: Final[Mapping[str, tuple[object, ...]]] = MappingProxyType(
    {
        "checks": ("guard", "explicit", "masked"),
        "spectre": ("off", "basic", "full"),
        "fuel": (False, True),
        "deterministic": (False, True),
    }
)
"""Options that protect -> their values, each of which also does for who wants an earlier one."""


def _value(kind: type, text: str) -> Any:
    """Inverse of ``str`` for the kinds of values options have."""
    return text == "True" if kind is bool else kind(text)
