"""How an engine works: one frozen value, checked when it is made."""

from __future__ import annotations

import os
from typing import Literal, final

from wardian.compile.cache import LIMIT
from wardian.compile.options import Checks, CodeOptions, Spectre
from wardian.errors import FeatureDisabled
from wardian.limits import UNLIMITED_FUEL, Features, Limits
from wardian.record import Record


@final
class Config(Record):
    """Choices an :class:`Engine` is made with.

    * ``opt``: ``"O2"`` compiles well, ``"baseline"`` at once, by copying machine code, ``"O0"`` is LLVM in a hurry;
      ``"auto"`` (default) begins with baseline and optimises what is hot, in the background, since optimising costs
      about a tenth of a millisecond per instruction.
    * ``checks``: what bounds memory accesses: ``"guard"`` pages, ``"explicit"`` comparisons, or comparisons and
      addresses that are ``"masked"`` to the memory's own reservation whatever came out of them. All are exact.
    * ``spectre``: what is done about code that runs because the processor guessed wrongly (docs/spectre.md): ``"off"``,
      ``"basic"`` (indices and types are masked without branches where they are checked) or ``"full"`` (nothing that was
      loaded on a guess is used, indirect branches are not guessed, clocks are coarse, memory is not shared; slow).
    * ``shared_memory``: may modules have shared memories? A second thread that counts in one makes a clock finer than
      any that guests are given, so at ``spectre="full"`` they may not unless this is ``True``, else unless it is
      ``False``.
    * ``fuel``: whether guests pay for what they do (docs/fuel.md); then ``Limits.fuel`` bounds it, and
      :attr:`Instance.fuel` is what is left. Costs a seventh of their speed on average, half where they do little but
      call.
    * ``deterministic``: the same module does the same everywhere: a NaN made by arithmetic has the same bits, and
      :func:`wardian.run` gives guests made-up time and randomness unless told otherwise (docs/determinism.md).
    * ``tier_up``: under ``"auto"``, after how many calls (or eight times as many turns of its loops) a function is
      optimised in the background, to be exchanged when that is done.
    * ``cache``: a directory for compiled code, ``True`` for the user's cache directory, ``False`` for none.
    * ``cache_size``: bytes the cache may take; what was used longest ago goes first.
    * ``features``, ``limits``: what modules may use.
    * ``lazy``: validate a function body only when the function is first called.
    """

    opt: Literal["baseline", "O0", "O2", "auto"] = "auto"
    checks: Checks = "guard"
    spectre: Spectre = "basic"
    shared_memory: bool | None = None
    fuel: bool = False
    deterministic: bool = False
    tier_up: int = 100_000
    cache: bool | str | os.PathLike[str] = True
    cache_size: int = LIMIT
    features: Features = Features()
    limits: Limits = Limits()
    lazy: bool = False

    def __post_init__(self) -> None:
        if self.opt not in ("baseline", "O0", "O2", "auto"):
            raise ValueError(f"opt must be 'baseline', 'O0', 'O2' or 'auto', not {self.opt!r}")
        if not 1 <= self.tier_up < 1 << 28:
            raise ValueError(f"tier_up must be at least 1 and below 2**28, not {self.tier_up!r}")
        if self.checks not in ("guard", "explicit", "masked"):
            raise ValueError(f"checks must be 'guard', 'explicit' or 'masked', not {self.checks!r}")
        if self.spectre not in ("off", "basic", "full"):
            raise ValueError(f"spectre must be 'off', 'basic' or 'full', not {self.spectre!r}")
        self.check_limits(self.limits)
        if self.cache_size < 0:
            raise ValueError("cache_size cannot be negative")

    def check_limits(self, limits: Limits) -> None:
        """Raise ``ValueError`` for a limit that code compiled under these choices would not keep."""
        if limits.fuel != UNLIMITED_FUEL and not self.fuel:
            raise ValueError("Limits(fuel=...) bounds nothing unless fuel is counted: Config(fuel=True)")

    def check_shared(self) -> None:
        """Raise :class:`FeatureDisabled`, because there is a shared memory, if there may not be one."""
        if self.shared_memory is None and self.spectre == "full":
            why = "a thread that counts in a shared memory is a finer clock than spectre='full' leaves to guests"
        elif self.shared_memory is False:
            why = "Config(shared_memory=False) forbids shared memories"
        else:
            return
        raise FeatureDisabled(
            "shared_memory",
            f"{why}; allow them with Config(shared_memory=True), or -W shared-memory=y on the command line",
        )

    def code(self, opt: Literal["O0", "O2", "baseline"], *, exceptions: bool = False) -> CodeOptions:
        """What code is compiled with under these choices."""
        return CodeOptions(opt, self.checks, self.spectre, exceptions, self.fuel, self.deterministic)

    def cache_path(self) -> str | None:
        """Where compiled code is kept, or ``None``."""
        if self.cache is False:
            return None
        if self.cache is not True:
            return os.fspath(self.cache)
        path = os.path.expanduser("~/.cache/wardian")
        return None if path.startswith("~") else path  # a user without a home, as in many containers
