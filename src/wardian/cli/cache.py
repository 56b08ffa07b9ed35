"""``wardian cache``: where compiled code is kept, how much of it there is, and clearing it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wardian.cli.options import build_engine
from wardian.cli.report import size

if TYPE_CHECKING:
    from wardian.api.engine import CodeCache

_EXAMPLES: Final = """\
examples:
  wardian cache            where it is and how much it holds
  wardian cache clear      remove everything; the next run compiles again
  WARDIAN_CACHE=/tmp/w wardian run x.wasm    another place for it
  WARDIAN_CACHE_SIZE=500M wardian run x.wasm the most it may hold; what was used longest ago goes first"""


def _both(cache: CodeCache) -> None:
    _path(cache)
    print(f"{size(cache.size())} of at most {size(cache.limit)}")


def _path(cache: CodeCache) -> None:
    print(cache.path)


def _size(cache: CodeCache) -> None:
    print(size(cache.size()))


def _clear(cache: CodeCache) -> None:
    before = cache.size()
    cache.clear()
    print(f"removed {size(before - cache.size())} from {cache.path}")


ACTIONS: Final[MappingProxyType[str, Callable[[CodeCache], None]]] = MappingProxyType(
    {"show": _both, "path": _path, "size": _size, "clear": _clear}
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian cache",
        description="Compiled code is kept in a private folder, so a second run need not compile.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="show", help="default: show")
    options = parser.parse_args(argv)
    ACTIONS[options.action](build_engine().cache)
    return 0
