"""Which characters this process' terminal takes, as its locale says."""

from __future__ import annotations


def only_ascii() -> bool:
    """Whether a terminal must not be sent UTF-8: one that reads single bytes finds C1 controls in it."""
    from locale import getencoding

    return getencoding().lower().replace("_", "-") not in ("utf-8", "utf8")
