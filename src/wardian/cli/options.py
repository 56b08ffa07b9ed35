"""The words of the command line: sizes, durations, switches, ``-W`` and ``-O`` keys, and the engine they ask for.

Words are Wasmtime's where the meaning is Wasmtime's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from wardian.cli.report import CliError
from wardian.limits import BOUNDS, Limits, parse_size
from wardian.record import NamedTuple

if TYPE_CHECKING:
    import argparse

    from wardian.api.engine import Engine
    from wardian.api.profile import Profile

_DURATION: Final = r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)?"
_DURATION_UNITS: Final = MappingProxyType({"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0})
_SWITCH: Final = MappingProxyType(
    {"y": True, "yes": True, "true": True, "": True, "n": False, "no": False, "false": False}
)


class Option(NamedTuple):
    """One option: its spellings, the name of its value (``None``: it is a switch), and help."""

    flags: tuple[str, ...]
    value: str | None
    help: str
    many: bool = False

    @property
    def name(self) -> str:
        """Under which argparse keeps its value."""
        return max(self.flags, key=len).lstrip("-").replace("-", "_")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        if self.value is None:
            parser.add_argument(*self.flags, action="store_true", help=self.help)
        elif self.many:
            parser.add_argument(*self.flags, metavar=self.value, action="append", default=[], help=self.help)
        else:
            parser.add_argument(*self.flags, metavar=self.value, help=self.help)


ENGINE_OPTIONS: Final = (
    Option(
        ("-O", "--optimize"),
        "LEVEL",
        "-O0 compiles quickly, -O2 for speed; also opt-level=2 (default: by the module's size)",
        many=True,
    ),
    Option(("--checks",), "KIND", "how memory accesses are bounded: guard (pages, default), explicit or masked"),
    Option(
        ("--spectre",),
        "LEVEL",
        "against wrong guesses of the processor: off, basic (masks) or full (all that LLVM has)",
    ),
)


def usage(message: str, hint: str | None = None) -> CliError:
    return CliError(message, hint=hint, code=2)


def size_option(text: str) -> int:
    """:func:`wardian.limits.parse_size`, for a text that a user typed."""
    try:
        return parse_size(text)
    except ValueError:
        raise usage(f"{text!r} is not a size", "a number of bytes, or a number with K, M, G or T: 64M") from None


def parse_duration(text: str) -> float:
    """Seconds: ``"5s"``, ``"250ms"``, ``"2m"``; without a unit, seconds."""
    match = re.fullmatch(_DURATION, text.strip(), re.ASCII)
    if match is None:
        raise usage(f"{text!r} is not a duration", "a number with ns, us, ms, s, m or h: 5s")
    return float(match[1]) * _DURATION_UNITS[match[2] or "s"]


def parse_count(text: str) -> int:
    """A number of things."""
    if not (text.isascii() and text.isdecimal()):
        raise usage(f"{text!r} is not a number", "a whole number, such as 1000")
    return int(text)


def parse_switch(text: str) -> bool:
    found = _SWITCH.get(text.lower())
    if found is None:
        raise usage(f"{text!r} is not a switch", "y or n")
    return found


_PARSERS: Final[Mapping[str, Callable[[str], object]]] = MappingProxyType(
    {"bytes": size_option, "seconds": parse_duration, "count": parse_count}
)
_EXAMPLES: Final = MappingProxyType({"bytes": "64M", "seconds": "5s", "count": "1000"})
LIMIT_KEYS: Final = MappingProxyType({bound.key(name): name for name, bound in BOUNDS.items()})
"""Keys of ``-W`` that set a limit -> its name."""

WASM_KEYS: Final[MappingProxyType[str, tuple[Callable[[str], object], str]]] = MappingProxyType(
    {
        **{
            key: (_PARSERS[BOUNDS[name].unit], f"the most {BOUNDS[name].bounds}: {_EXAMPLES[BOUNDS[name].unit]}")
            for key, name in LIMIT_KEYS.items()
        },
        "shared-memory": (parse_switch, "modules may have shared memories (default: unless --spectre full is chosen)"),
        "unknown-imports-default": (parse_switch, "imports nobody defines return zeros"),
        "unknown-imports-trap": (parse_switch, "imports nobody defines trap when called"),
    }
)


def limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of the keys that were set, those that are fields of :class:`Limits`."""
    fields = Limits.__match_args__
    return {name: settings[key] for key, name in LIMIT_KEYS.items() if key in settings and name in fields}


def _pairs(values: list[str]) -> list[tuple[str, str]]:
    """``["a=1,b", "c=2"]`` as ``[("a", "1"), ("b", ""), ("c", "2")]``."""
    parts = [part for value in values for part in value.split(",") if part]
    return [(key, text) for key, _, text in (part.partition("=") for part in parts)]


def parse_wasm_options(values: list[str]) -> tuple[dict[str, Any], dict[str, bool]]:
    """The ``-W`` values as (keys of :data:`WASM_KEYS`, feature switches by field name)."""
    settings: dict[str, Any] = {}
    switches: dict[str, bool] = {}
    for key, text in _pairs(values):
        if key in WASM_KEYS:
            if not text and WASM_KEYS[key][0] is not parse_switch:
                raise usage(f"-W {key} needs a value", f"-W {key}=...: {WASM_KEYS[key][1]}")
            settings[key] = WASM_KEYS[key][0](text)
            continue
        field = key.replace("-", "_")
        if field not in _features():
            raise usage(f"-W {key} is not known", "wardian run -W help lists the keys")
        switches[field] = parse_switch(text)
    return settings, switches


def _features() -> tuple[str, ...]:
    from wardian.limits import Features

    return Features.names()


def feature_keys() -> tuple[str, ...]:
    """The ``-W`` keys that switch features."""
    return tuple(name.replace("_", "-") for name in _features())


def _feature_help(name: str) -> str:
    from wardian.limits import Features

    on = getattr(Features, name)
    key = name.replace("_", "-") + ("=n" if on else "=y")
    return f"  -W {key:<28}{'reject' if on else 'accept'} modules that need this feature"


def wasm_help() -> str:
    """The text of ``-W help``."""
    rows = [f"  -W {key + '=...':<28}{text}" for key, (_, text) in WASM_KEYS.items()]
    rows += map(_feature_help, _features())
    return "\n".join(["Keys of -W (several: -W a=1,b=2):", *rows])


def parse_level(values: list[str]) -> str | None:
    """The level of the ``-O`` values, as in :class:`Config`, or ``None`` for the default; the last one counts."""
    level: str | None = None
    for value in values:
        key, equals, text = value.partition("=")
        name = text if equals else key
        if (equals and key != "opt-level") or name not in _LEVELS:
            known = "-O2 (runs quickly), -O baseline (starts quickly), -O auto (first one, then the other), -O0"
            raise usage(f"-O {value} is not known", f"{known}, or -O opt-level=2")
        level = _LEVELS[name]
    return level


_LEVELS: Final = MappingProxyType({"0": "O0", "2": "O2", "baseline": "baseline", "auto": "auto"})


def parse_checks(text: str | None) -> str | None:
    if text not in (None, "guard", "explicit", "masked"):
        raise usage(f"--checks {text} is not known", "--checks guard, --checks explicit or --checks masked")
    return text


def parse_spectre(text: str | None) -> str | None:
    if text not in (None, "off", "basic", "full"):
        raise usage(f"--spectre {text} is not known", "--spectre off, --spectre basic or --spectre full")
    return text


def parse_profile(name: str | None) -> Profile | None:
    """The profile of that name, if there is a name."""
    if name is None:
        return None
    from wardian.api.profile import PROFILES

    if name not in PROFILES:
        raise usage(f"there is no profile {name!r}", f"--profile {', --profile '.join(PROFILES)}")
    return PROFILES[name]


def parse_terminal(text: str | None) -> Literal["strict", "color", "raw"] | None:
    """A mode of :mod:`wardian.terminal`; ``None`` if the user left it open."""
    match text:
        case None | "strict" | "color" | "raw":
            return text
    raise usage(f"--terminal {text} is not known", "--terminal strict, --terminal color or --terminal raw")


def cache_path() -> str | None:
    """The cache's folder if the environment names one: ``WARDIAN_CACHE``, or under ``XDG_CACHE_HOME``."""
    named = os.environ.get("WARDIAN_CACHE")
    if named:
        return named
    home = os.environ.get("XDG_CACHE_HOME")
    return os.path.join(home, "wardian") if home and os.path.isabs(home) else None


def build_engine(
    *,
    level: str | None = None,
    checks: str | None = None,
    spectre: str | None = None,
    shared_memory: bool | None = None,
    cache: bool = True,
    lazy: bool = False,
    switches: dict[str, bool] | None = None,
    fuel: bool = False,
    deterministic: bool = False,
    bounds: Mapping[str, Any] | None = None,
    profile: Profile | None = None,
) -> Engine:
    """The engine the options ask for; what they leave open keeps the library's default."""
    from wardian.api.config import Config
    from wardian.api.engine import Engine

    chosen: dict[str, object] = {"lazy": lazy, "fuel": fuel, "deterministic": deterministic}
    if level is not None:
        chosen["opt"] = level
    if checks is not None:
        chosen["checks"] = checks
    if spectre is not None:
        chosen["spectre"] = spectre
    if shared_memory is not None:
        chosen["shared_memory"] = shared_memory
    if not cache:
        chosen["cache"] = False
    elif (path := cache_path()) is not None:
        chosen["cache"] = path
    if most := os.environ.get("WARDIAN_CACHE_SIZE"):
        chosen["cache_size"] = size_option(most)
    if bounds:
        chosen["limits"] = Limits(**bounds)
    if switches:
        from wardian.limits import Features

        chosen["features"] = Features(**switches)
    return Engine(profile.config(**chosen) if profile is not None else Config(**chosen))  # type: ignore[arg-type]
