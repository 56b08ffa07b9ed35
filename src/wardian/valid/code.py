"""Spec chapter "Validation / Instructions" and appendix "Validation Algorithm": the validator of one body at a time.

Invariant: an instruction whose row has a signature and whose immediate needs no look-up goes the generic path; every
other family has its rule in :data:`RULES`, nowhere else. After :class:`InvalidError` the state is of no use but to be
overwritten by :meth:`Validator.begin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias, final

from wardian.errors import MalformedError
from wardian.syntax import families as f
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS, Row
from wardian.syntax.types import FuncType, ValType
from wardian.valid import access, aggregate, control
from wardian.valid.context import ModuleContext
from wardian.valid.stacks import Stacks

Rule: TypeAlias = "Callable[[Stacks, Row, Any], None]"

# fmt: off
RULES: Final[Mapping[type[f.Family], Rule]] = MappingProxyType({
    f.Unreachable:      control.unreachable,
    f.Block:            control.block,
    f.Loop:             control.loop,
    f.If:               control.if_,
    f.Else:             control.else_,
    f.End:              control.end,
    f.TryTable:         control.try_table,
    f.Br:               control.br,
    f.BrIf:             control.br_if,
    f.BrTable:          control.br_table,
    f.BrOnNull:         control.br_on_null,
    f.BrOnCast:         control.br_on_cast,
    f.Return:           control.return_,
    f.Throw:            control.throw,
    f.ThrowRef:         control.throw_ref,
    f.Call:             control.call,
    f.CallIndirect:     control.call_indirect,
    f.CallRef:          control.call_ref,
    f.Drop:             control.drop,
    f.Select:           control.select,
    f.LocalGet:         control.local_get,
    f.LocalSet:         control.local_set,
    f.LocalTee:         control.local_tee,
    f.GlobalGet:        control.global_get,
    f.GlobalSet:        control.global_set,
    f.MemorySize:       access.memory_size,
    f.MemoryGrow:       access.memory_grow,
    f.MemoryFill:       access.memory_fill,
    f.MemoryCopy:       access.memory_copy,
    f.MemoryInit:       access.memory_init,
    f.DataDrop:         access.data_drop,
    f.TableGet:         access.table_get,
    f.TableSet:         access.table_set,
    f.TableSize:        access.table_size,
    f.TableGrow:        access.table_grow,
    f.TableFill:        access.table_fill,
    f.TableCopy:        access.table_copy,
    f.TableInit:        access.table_init,
    f.ElemDrop:         access.elem_drop,
    f.RefNull:          access.ref_null,
    f.RefIsNull:        access.ref_is_null,
    f.RefAsNonNull:     access.ref_as_non_null,
    f.RefFunc:          access.ref_func,
    f.SimdExtractLane:  access.extract_lane,
    f.SimdReplaceLane:  access.replace_lane,
    f.SimdShuffle:      access.shuffle,
    f.StructNew:        aggregate.struct_new,
    f.StructGet:        aggregate.struct_get,
    f.StructSet:        aggregate.struct_set,
    f.ArrayNew:         aggregate.array_new,
    f.ArrayNewFixed:    aggregate.array_new_fixed,
    f.ArrayNewData:     aggregate.array_new_data,
    f.ArrayNewElem:     aggregate.array_new_elem,
    f.ArrayGet:         aggregate.array_get,
    f.ArraySet:         aggregate.array_set,
    f.ArrayFill:        aggregate.array_fill,
    f.ArrayCopy:        aggregate.array_copy,
    f.ArrayInitData:    aggregate.array_init_data,
    f.ArrayInitElem:    aggregate.array_init_elem,
    f.RefTest:          aggregate.ref_test,
    f.RefCast:          aggregate.ref_cast,
    f.AnyConvertExtern: aggregate.any_convert_extern,
    f.ExternConvertAny: aggregate.extern_convert_any,
})
# fmt: on
"""The rules of the families that the generic path cannot do. Accesses with a memory argument are the rest."""

_CONSTANTS: Final = frozenset({Imm.NONE, Imm.I32, Imm.I64, Imm.F32, Imm.F64, Imm.V128, Imm.FENCE})


@cache
def _plan() -> tuple[list[Rule | None], list[tuple[ValType, ...]]]:
    """By row index: the rule, or ``None`` for the generic path; and the parameters, topmost first."""
    rules: list[Rule | None] = []
    pops: list[tuple[ValType, ...]] = []
    for row in ROWS:
        rule = RULES.get(type(row.family)) or access.access_rule(row)
        assert rule is not None or (row.params is not None and row.imm in _CONSTANTS), row
        rules.append(rule)
        pops.append(tuple(reversed(row.params or ())))
    return rules, pops


@final
class Validator(Stacks):
    """Validates bodies one after another, an instruction at a time.

    Call :meth:`begin`, then :meth:`step` for every instruction of :func:`wardian.binary.body.instructions` (which sees
    to it that blocks nest), then :meth:`finish`. All three raise :class:`InvalidError`, :meth:`step` also
    :class:`LimitExceeded` (``nesting``). What :class:`Stacks` offers may be read between steps.
    """

    __slots__ = ("_pops", "_rules")

    def __init__(self, ctx: ModuleContext) -> None:
        super().__init__(ctx)
        self._rules, self._pops = _plan()

    def begin(self, function: int | None, signature: FuncType, runs: list[tuple[int, ValType]], offset: int) -> None:
        """Start with the body of ``function`` (``None``: a constant expression), of type ``signature``.

        ``runs`` are its local declarations ``(count, type)``; ``offset`` is where they stand, for errors.
        """
        self.open(function, signature, runs, offset)

    def step(self, offset: int, row: Row, imm: object) -> None:
        """Validate one instruction with its immediates, in the form of :mod:`wardian.syntax.immediates`."""
        self.offset = offset
        rule = self._rules[row.index]
        if rule is not None:
            rule(self, row, imm)
            return
        # FAST: the generic path is written out here, since half of all instructions take it.
        stack = self.stack
        for want in self._pops[row.index]:
            got = stack.pop()
            if got is not want:
                self.unlike(got, want)
        stack += row.results or ()

    def finish(self, offset: int) -> None:
        """The body ends at ``offset``."""
        if self.frames:
            raise MalformedError("END opcode expected", offset=offset, function=self.function)
