"""The table of ``docs/limits.md``, from the limits' rows; ``python -m wardian.sandbox.document`` renews it.

Invariant: the page, the refusals and the command line's options are made of the same rows.
"""

from __future__ import annotations

import sys

from wardian.limits import BOUNDS, Bound, Limits
from wardian.pages import renew, table

_POWERS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def _default(name: str, bound: Bound) -> str:
    if bound.default:
        return bound.default
    value = getattr(Limits, name)
    if bound.unit == "bytes":
        for power, unit in _POWERS:
            if value % power == 0:
                return f"{value // power} {unit}"
    return f"{value:,.0f}" + (" s" if bound.unit == "seconds" else "")


def tables() -> str:
    """The generated part: a row for each limit."""
    rows = (
        (
            f"`{name}`", bound.bounds, _default(name, bound), bound.happens,
            f"`{bound.set_in_python(name)}`", f"`-W {bound.key(name)}=`",
        )
        for name, bound in BOUNDS.items()
    )  # fmt: skip
    return table(("limit", "bounds", "default", "at the limit", "in Python", "on the command line"), rows)


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:], tables))
