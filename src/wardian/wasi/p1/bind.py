"""What the engine asks for: the callables of a context, and their types, by module and name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from wardian.capability.errno import CapabilityError, Errno
from wardian.syntax.types import FuncType
from wardian.wasi.errno import NUMBERS, SUCCESS, number
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.table import FUNCTIONS
from wardian.wasi.p1.types import PREVIEWS, Preview


def host_import(ctx: WasiContext, module: str, name: str) -> Handler | None:
    """The callable for an import, or ``None`` for what is not WASI's.

    A callable takes the Wasm parameters as (signed) integers and returns the errno; ``proc_exit`` raises
    :class:`wardian.errors.Exit`. Nothing else is raised, whatever the arguments and the memory.
    """
    found = _rows().get((module, name))
    return None if found is None else _bound(ctx, *found)


def host_imports(ctx: WasiContext) -> dict[str, dict[str, Handler]]:
    """``{module: {name: callable}}`` for both previews: every :func:`host_import` there is."""
    found: dict[str, dict[str, Handler]] = {}
    for (module, name), row in _rows().items():
        found.setdefault(module, {})[name] = _bound(ctx, *row)
    return found


@functools.cache
def _rows() -> Mapping[tuple[str, str], tuple[Preview, Function]]:
    """Every function of both previews by its module and name."""
    return MappingProxyType(
        {
            (preview.module, row.name): (preview, row)
            for preview in PREVIEWS
            for row in FUNCTIONS
            if row.name not in preview.lacks
        }
    )


def host_types() -> dict[str, dict[str, FuncType]]:
    """``{module: {name: type}}``: what a guest's imports have to match."""
    return {
        preview.module: {row.name: row.type for row in FUNCTIONS if row.name not in preview.lacks}
        for preview in PREVIEWS
    }


def _bound(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    handler = row.bind(ctx, preview, row)
    call = handler if row.bare else _guarded(handler)
    return call if ctx.audit is None else ctx.audit.watched(row.name, call, ctx)


def _guarded(handler: Handler) -> Handler:
    """``handler`` with its failures turned into numbers."""

    def call(*arguments: int) -> int:
        try:
            handler(*arguments)
        except (CapabilityError, OSError) as error:
            return number(error)
        except MemoryError:
            return NUMBERS[Errno.NO_MEMORY]
        return SUCCESS

    return call
