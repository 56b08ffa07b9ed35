"""What a run takes from its profile, from its engine, and from what was said.

Invariant: what was said goes first; a profile is never weakened by an engine that lacks what it asks for: that is an
error.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Literal

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.profile import Profile
from wardian.grants import ClockGrant, FrozenClock, RealClock, TerminalGrant
from wardian.record import NamedTuple

if TYPE_CHECKING:
    from wardian.isolation.policy import Isolation


BLURRED: Final = RealClock(step=100_000, jitter=True)
"""The clocks of guests of an engine with the Spectre level ``full``, unless others are granted."""


class Wishes(NamedTuple):
    """What the caller said, ``None`` where nothing; ``fuel``: is it to be counted?"""

    engine: Engine | None
    """The module's own, if it has one."""
    profile: str | Profile | None
    isolation: Literal["process"] | Isolation | None
    terminal: TerminalGrant
    clock: ClockGrant | None
    seed: int | None
    fuel: bool
    deterministic: bool


class Choice(NamedTuple):
    """What follows."""

    engine: Engine
    isolation: Literal["process"] | Isolation | None
    terminal: TerminalGrant
    clock: ClockGrant
    seed: int | None


def decide(wishes: Wishes) -> Choice:
    """Raises ``ValueError`` for a profile that does not exist, or an engine that does not do what is asked for."""
    profile = wishes.profile or "balanced"
    profile = profile if isinstance(profile, Profile) else Profile.named(profile)
    engine = wishes.engine or usual_engine(profile, wishes.fuel, wishes.deterministic)
    if wishes.profile is not None:
        _check(engine.config, profile)
    if wishes.deterministic and not engine.config.deterministic:
        raise ValueError("deterministic needs an engine that is: Engine(Config(deterministic=True))")
    usual = BLURRED if engine.config.spectre == "full" and profile.clock_step == 1 else profile.clock()
    clock, seed = wishes.clock or usual, wishes.seed
    if engine.config.deterministic:
        clock, seed = wishes.clock or FrozenClock(), 0 if seed is None else seed
    return Choice(engine, wishes.isolation or profile.isolation, wishes.terminal or profile.terminal, clock, seed)


def _check(config: Config, profile: Profile) -> None:
    if lacking := missing(config, profile):
        raise ValueError(
            f"the engine lacks what the profile {profile.name} asks for ({', '.join(lacking)}): "
            f"Engine(Profile.named({profile.name!r}).config())"
        )


def missing(config: Config, profile: Profile) -> list[str]:
    """What the profile asks for that such an engine does not do."""
    lacking = config.code("O2").lacking(profile.config().code("O2"))
    return [*lacking, "threads=False"] if config.features.threads and not profile.threads else lacking


@functools.cache
def usual_engine(profile: Profile, fuel: bool, deterministic: bool) -> Engine:
    """The engine of whoever names none, for programs given as bytes or by a path.

    It validates lazily: what a program never calls should not cost a run anything, however large it is.
    """
    return Engine(profile.config(fuel=fuel, deterministic=deterministic, lazy=True))
