"""``wardian inspect``: what a module contains and asks for. It is decoded, not validated, so broken ones show, too."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from wardian.cli.report import plural, safe, size
from wardian.cli.source import read_binary
from wardian.errors import printable

if TYPE_CHECKING:
    from wardian.syntax.module import ExternType, Kind, Module
    from wardian.syntax.types import GlobalType, MemoryType, TableType, TypeLimits

_EXAMPLES: Final = """\
examples:
  wardian inspect plugin.wasm
  wardian inspect --functions plugin.wasm | sort -k 2 -n -r | head    the largest functions"""

_MOST_WISHES: Final = 40

_SECTIONS: Final = (
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
    "tag",
)
"""Section names by id (spec chapter "Binary Format / Modules / Sections")."""


def _bounds(limits: TypeLimits, unit: int | None) -> str:
    """``"2 pages (128.0 KiB) to 10 pages (640.0 KiB)"``; ``unit`` is the bytes of a page, ``None`` for elements."""

    def shown(count: int) -> str:
        return plural(count, "element") if unit is None else f"{plural(count, 'page')} ({size(count * unit)})"

    upper = "" if limits.max is None else f" to {shown(limits.max)}"
    return f"{shown(limits.min)}{upper}{', 64-bit' if limits.is64 else ''}"


def _memory(memory: MemoryType) -> str:
    return _bounds(memory.limits, 1 << memory.page_size_log2) + (", shared" if memory.shared else "")


def _table(table: TableType) -> str:
    return f"{table.element}, {_bounds(table.limits, None)}"


def _global(type_: GlobalType) -> str:
    return f"{'mutable ' if type_.mutable else ''}{type_.value}"


def _func(module: Module, index: int) -> str:
    """A function type by its index; an index nothing declares is shown as it stands."""
    return str(module.types[index].comp) if 0 <= index < len(module.types) else f"type {index}"


def _extern(module: Module, kind: Kind, type_: ExternType) -> str:
    shown: Callable[..., str] = _SHOWN[kind]
    return shown(module, type_)


_SHOWN: Final[MappingProxyType[str, Callable[..., str]]] = MappingProxyType(
    {
        "func": _func,
        "table": lambda module, type_: _table(type_),
        "memory": lambda module, type_: _memory(type_),
        "global": lambda module, type_: _global(type_),
        "tag": lambda module, type_: _func(module, type_.type),
    }
)


def _spaces(module: Module) -> dict[str, list[ExternType]]:
    """Every index space that exports point into, imports first."""
    return {
        "func": [*module.imported_funcs, *module.funcs],
        "table": [*module.table_types()],
        "memory": [*module.memory_types()],
        "global": [*module.global_types()],
        "tag": [*module.tag_types()],
    }


def _section_lines(module: Module) -> Iterator[str]:
    customs = iter(module.customs)
    counts = {
        1: len(module.types),
        2: len(module.imports),
        3: len(module.funcs),
        4: len(module.tables),
        5: len(module.memories),
        6: len(module.globals),
        7: len(module.exports),
        9: len(module.elems),
        10: len(module.bodies),
        11: len(module.datas),
        13: len(module.tags),
    }
    for number, start, end in module.sections:
        name = _SECTIONS[number]
        detail = f"{counts[number]:,}" if number in counts else ""
        if number == 0:
            name = f"custom {printable(next(customs).name)}"
        yield f"  {name:<28} {start:>#10x} {size(end - start):>11} {detail:>9}"


def _wish_lines(module: Module) -> Iterator[str]:
    """What the module asks for: WASI's functions by what they are about, then everything nobody here defines."""
    from wardian.wasi.p1.groups import GROUP_OF, GROUPS
    from wardian.wasi.p1.types import PREVIEWS

    served = {preview.module for preview in PREVIEWS}
    asked: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for item in module.imports:
        if item.module in served and item.name in GROUP_OF:
            asked.setdefault(GROUP_OF[item.name], []).append(item.name)
        else:
            others.setdefault(item.module, []).append(item.name)
    for group, (_, granted) in GROUPS.items():
        if group in asked:
            yield f"  {group:<24}{granted}"
            yield from _wrapped(asked[group])
    for name, wanted in others.items():
        yield f"  {'host functions' if name not in served else 'unknown functions':<24}of {_short(name)}: none"
        yield from _wrapped(wanted[:_MOST_WISHES])
        if len(wanted) > _MOST_WISHES:
            yield f"    ... and {plural(len(wanted) - _MOST_WISHES, 'more name')}"


def _short(name: str) -> str:
    return printable(name if len(name) <= 60 else name[:57] + "...")


def _wrapped(names: list[str]) -> Iterator[str]:
    from textwrap import wrap

    yield from wrap(", ".join(map(_short, names)), 110, initial_indent="    ", subsequent_indent="    ")


def _import_lines(module: Module) -> Iterator[str]:
    for item in module.imports:
        what = _extern(module, item.kind, item.type)
        yield f"  {item.kind:<7}{printable(item.module)}.{printable(item.name)}: {what}"


def _export_lines(module: Module) -> Iterator[str]:
    spaces = _spaces(module)
    for item in module.exports:
        space = spaces[item.kind]
        what = _extern(module, item.kind, space[item.index]) if item.index < len(space) else f"no such {item.kind}"
        yield f"  {item.kind:<7}{printable(item.name)}: {what}"


def _declared_lines(module: Module) -> Iterator[str]:
    for table in module.tables:
        yield f"  table  {_table(table.type)}"
    for memory in module.memories:
        yield f"  memory {_memory(memory)}"
    for declared in module.globals[:20]:
        yield f"  global {_global(declared.type)}"
    if len(module.globals) > 20:
        yield f"  ... and {plural(len(module.globals) - 20, 'global')} more"
    if module.start is not None:
        yield f"  start  function {module.start}"


def _function_lines(module: Module) -> Iterator[str]:
    from wardian.binary.custom import Subsection, names

    named = names(module).of(Subsection.FUNC)
    exported = {item.index: item.name for item in reversed(module.exports) if item.kind == "func"}
    for place, (start, end) in enumerate(module.bodies):
        index = len(module.imported_funcs) + place
        name = named.get(index) or exported.get(index)
        yield (
            f"  {index:>7} {end - start:>9} B  {start:>#10x}  "
            f"{printable(name) if name else '-'}: {_func(module, module.funcs[place])}"
        )


PARTS: Final[tuple[tuple[str, Callable[[Module], Iterator[str]]], ...]] = (
    ("asks for, and gets", _wish_lines),
    ("sections (offset, size, entries)", _section_lines),
    ("imports", _import_lines),
    ("exports", _export_lines),
    ("defined", _declared_lines),
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wardian inspect",
        description="Show what a module asks for, its sections, imports, exports, memories, tables and globals.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE.wasm", help="the module")
    parser.add_argument("--functions", action="store_true", help="every function: index, size, offset, name, type")
    options = parser.parse_args(argv)
    source = read_binary(options.file)

    from wardian.binary.decode import decode

    module = decode(source)
    print(f"{safe(options.file)}: {size(len(source))}, {plural(len(module.funcs), 'function')}")
    for title, lines in (*PARTS, *((("functions", _function_lines),) if options.functions else ())):
        shown = list(lines(module))
        if shown:
            print(f"\n{title}")
            print(*shown, sep="\n")
    return 0
