"""Named combinations of choices: what stands around a guest, and what that costs.

Invariant: a profile is nothing but settings that can be made one by one; nothing works only in a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, final

from wardian.api.config import Config
from wardian.grants import RealClock, TerminalGrant
from wardian.limits import Features
from wardian.record import Record


@final
class Profile(Record):
    """``Profile.named("fast")``, ``"balanced"`` (what you get if you say nothing), ``"paranoid"``, or one of your own;
    printed, it says what it consists of.

    ``checks``, ``spectre`` and ``threads`` go into the engine (:meth:`config`), the others into :func:`wardian.run`.
    ``clock_step`` is the step of the guest's clocks in nanoseconds.
    """

    name: str
    summary: str
    checks: Literal["guard", "explicit", "masked"] = "guard"
    spectre: Literal["off", "basic", "full"] = "basic"
    threads: bool = True
    isolation: Literal["process"] | None = None
    terminal: TerminalGrant = None
    clock_step: int = 1

    @staticmethod
    def named(name: str) -> Profile:
        """The profile of that name. Raises ``ValueError``."""
        found = PROFILES.get(name)
        if found is None:
            raise ValueError(f"there is no profile {name!r}, but {', '.join(PROFILES)}")
        return found

    def config(self, **changes: Any) -> Config:
        """A configuration of this profile, otherwise as :class:`Config` has it or ``changes`` say."""
        features = changes.pop("features", Features())
        if not self.threads:
            features = features.__replace__(threads=False)
        return Config(**{"checks": self.checks, "spectre": self.spectre, "features": features, **changes})

    def clock(self) -> RealClock:
        """The host's clocks as guests see them."""
        return RealClock(self.clock_step, jitter=self.clock_step > 1)

    def rows(self) -> list[tuple[str, str, str]]:
        """``(choice, what it is here, what that means)``."""
        return [(name, _shown(getattr(self, name)), _MEANING.get((name, getattr(self, name)), "")) for name in CHOICES]

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.summary}"]
        return "\n".join([*lines, *(f"  {name:<12}{value:<10}{what}" for name, value, what in self.rows())])


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    return f"{value} ns" if isinstance(value, int) else str(value)


_WORDS: Final[Mapping[object, str]] = MappingProxyType({None: "default", True: "yes", False: "no"})
_MEANING: Final[Mapping[tuple[str, object], str]] = MappingProxyType(
    {
        ("checks", "guard"): "pages nobody can read stand behind every memory",
        ("checks", "explicit"): "every access is compared with the memory's length first",
        ("checks", "masked"): "every access is compared, and cannot leave the memory's own pages whatever came of it",
        ("spectre", "off"): "nothing is done about wrong guesses of the processor",
        ("spectre", "basic"): "whatever a comparison bounds is masked as well",
        ("spectre", "full"): "and nothing that was loaded on a wrong guess is of use to anybody",
        ("threads", True): "modules may use shared memory and atomics",
        ("threads", False): "no shared memory, which a guest could make a clock of",
        ("isolation", None): "guests run in your process",
        ("isolation", "process"): "every run has a process of its own, locked in",
        ("terminal", None): "colours pass to a terminal, nothing else that acts",
        ("terminal", "strict"): "output is text and nothing else, wherever it goes",
        ("clock_step", 1): "clocks are as good as the host's",
        ("clock_step", 100_000): "clocks go in steps, too coarse to see what a cache holds",
    }
)

CHOICES: Final = tuple(dict.fromkeys(name for name, _ in _MEANING))

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("fast", "for code of people you know: bugs stay inside, clever attacks may not", spectre="off"),
            Profile("balanced", "the default: everything that costs next to nothing"),
            Profile(
                "paranoid",
                "for code that is an attack: two walls, and no clock worth the name",
                checks="masked",
                spectre="full",
                threads=False,
                isolation="process",
                terminal="strict",
                clock_step=100_000,
            ),
        )
    }
)
