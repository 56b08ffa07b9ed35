"""Output that cannot attack: what programs print, made harmless for a terminal. Knows nothing of WebAssembly."""

from __future__ import annotations

from wardian.terminal.encoding import only_ascii
from wardian.terminal.filter import MODES, Filter, Mode, Screen

__all__ = ("MODES", "Filter", "Mode", "Screen", "only_ascii")
