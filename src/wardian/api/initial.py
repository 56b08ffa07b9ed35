"""What memory 0 of a module's instances holds at first: from its data segments, or as the cache remembers it.

Invariant: what the cache has under a module's digest says that all data segments of the module with that digest were
read and found valid, under the same features and limits, by the same version.
"""

from __future__ import annotations

from array import array
from operator import add
from operator import sub as minus
from typing import TYPE_CHECKING, Final

from wardian.binary.decode import finish
from wardian.binary.sections import LATER_FROM
from wardian.compile.cache import PLACED
from wardian.compile.fingerprint import key
from wardian.runtime.memory import Initial
from wardian.syntax.module import DataSegment
from wardian.valid.constant import lone_integer
from wardian.valid.module import validate_datas
from wardian.vm.layout import PLACED_SIZE

if TYPE_CHECKING:
    from wardian.api.engine import Engine
    from wardian.syntax.module import Module
    from wardian.valid.context import ModuleContext

_FROM: Final = 64 << 10
"""Bytes of initial data from which all of them at once beat segment by segment."""
_SPARSE: Final = 16
"""An image is made only if it is at most this many times larger than the data in it."""
_NUMBERS: Final = 1 << 32
"""Above all numbers a row may have."""


def settle_datas(ctx: ModuleContext, engine: Engine) -> None:
    """Have data segments that were left for later read and validated, unless the cache has what became of them.

    Raises as decoding and validation do.
    """
    datas, cache = ctx.module.datas, engine.compiler.cache
    if datas.is_read:
        return
    payload = cache.load(_key(ctx, engine)) if cache is not None else None
    if payload is not None and len(payload) % PLACED_SIZE == 8:
        rows = array("I")
        rows.frombytes(payload[8:])
        datas.placed = rows, int.from_bytes(payload[:8], "little")
        return
    finish(ctx.module, ctx.features)
    validate_datas(ctx)


def _key(ctx: ModuleContext, engine: Engine) -> str:
    return PLACED + key(engine.compiler.build, ctx.digest, repr(ctx.features), repr(ctx.limits))


def initial(ctx: ModuleContext, engine: Engine) -> Initial | None:
    """Memory 0's contents after instantiation, if every active segment lies at a constant place inside it."""
    module = ctx.module
    if not module.memories or module.imported_memories:
        return None
    datas, cache = module.datas, engine.compiler.cache
    if datas.placed is None:
        found = _placed(module)
        if found is None:
            return None
        rows, end, is_all = found
        if not is_all:
            return Initial(module.source, rows, end)
        datas.placed = rows, end
        if cache is not None and len(datas) >= LATER_FROM:
            cache.store(_key(ctx, engine), end.to_bytes(8, "little") + rows.tobytes())
    return Initial(module.source, *datas.placed)


def _placed(module: Module) -> tuple[array[int], int, bool] | None:
    """The rows of active segments of memory 0, where they end, and whether there are no other segments."""
    placed = []
    is_all = True
    for item in module.datas.items:
        if not isinstance(item, DataSegment):
            placed.append(item[:3])
        elif item.offset is not None and item.memory == 0:
            constant = lone_integer(module.source, item.offset)
            if constant is None:
                return None
            placed.append((constant[1], *item.init))
        else:
            is_all = False
    ats, starts, stops = zip(*placed, strict=True) if placed else ((), (), ())
    total = sum(stops) - sum(starts)
    if total < _FROM:
        return None
    end = max(map(add, ats, map(minus, stops, starts)))
    declared = module.memories[0]
    if end > declared.limits.min << declared.page_size_log2 or end > _SPARSE * total:
        return None
    if max(end, len(module.source)) >= _NUMBERS:
        return None
    rows = array("I", bytes(PLACED_SIZE * len(placed)))
    rows[0::3], rows[1::3], rows[2::3] = array("I", ats), array("I", starts), array("I", stops)
    return rows, end, is_all
