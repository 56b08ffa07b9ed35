"""Spec appendix "Validation Algorithm": the operand stack and the control stack of one body.

Invariant: each control frame has put a :data:`FLOOR` under its operands, and the operand stack always has one below
the innermost frame's, so popping never needs to compare heights: what lies at the floor is equal to no type, and the
slow path decides. Types are compared by identity first; matching is asked only where that fails.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

from wardian.errors import InvalidError
from wardian.syntax.types import BOT, FuncType, NumType, RefType, ValType, ref
from wardian.valid.context import ModuleContext
from wardian.valid.types import BOT_REF, TypeContext, is_defaultable

FLOOR: Final = NumType("floor", 0x00, 0)
"""What lies under the operands of each control frame."""

FUNCTION: Final = 0
BLOCK: Final = 1
LOOP: Final = 2
IF: Final = 3
ELSE: Final = 4
TRY_TABLE: Final = 5

NO_TYPES: Final[tuple[ValType, ...]] = ()

_EXPANDED_LOCALS: Final = 2048
# Locals beyond these are found by bisection, so declaring many in each of many bodies costs no more than its bytes.


@final
class Frame:
    """A control frame: ``label`` is what a branch to it passes, ``floor`` its position in the operand stack.

    ``polymorphic`` is the algorithm's "unreachable": operands below the floor have whatever type is asked for.
    ``entered`` tells whether its first instruction can be reached, ``inits`` how many locals were set before it.
    """

    __slots__ = ("entered", "floor", "inits", "kind", "label", "params", "polymorphic", "results")

    def __init__(
        self,
        kind: int,
        params: tuple[ValType, ...],
        results: tuple[ValType, ...],
        floor: int,
        entered: bool,
        inits: int,
    ) -> None:
        self.kind = kind
        self.params = params
        self.results = results
        self.label = params if kind == LOOP else results
        self.floor = floor
        self.entered = entered
        self.inits = inits
        self.polymorphic = False


class Stacks:
    """Operands, control frames and locals of the body under validation; the instructions' rules work on it.

    ``reachable`` tells whether the code at the current point can be reached; it is exact after a branch, and after
    the ``end`` of a block it holds if the block itself could be reached (nobody counts branches).
    """

    __slots__ = (
        "_declared_ends",
        "_declared_types",
        "_late_inits",
        "_max_operands",
        "addresses",
        "ctx",
        "frames",
        "function",
        "init_log",
        "local_count",
        "locals",
        "max_nesting",
        "offset",
        "reachable",
        "reference",
        "results",
        "stack",
        "types",
    )

    def __init__(self, ctx: ModuleContext) -> None:
        self.ctx: Final = ctx
        self.types: Final[TypeContext] = ctx.types
        self.addresses: Final = ctx.memory_addresses
        self.stack: list[ValType] = []
        self.frames: list[Frame] = []
        self.function: int | None = None
        self.offset = 0
        self.reachable = True
        self.reference: RefType = BOT_REF
        """The type of the reference :meth:`pop_ref` took last, for lowerings."""
        self.results: tuple[ValType, ...] = NO_TYPES
        self.local_count = 0
        self.locals: list[ValType | None] = []
        """Types of the first locals; ``None`` while a local without a default value is not yet set."""
        self._declared_ends: list[int] = []
        self._declared_types: list[ValType] = []
        self.init_log: list[int] = []
        self._late_inits: set[int] = set()
        self.max_nesting: Final = ctx.limits.nesting
        self._max_operands: Final = ctx.limits.operands

    # -- errors --------------------------------------------------------------------------------------------------------

    def invalid(self, message: str) -> InvalidError:
        """The error to raise for the instruction at hand."""
        return InvalidError(message, offset=self.offset, function=self.function)

    def mismatch(self, want: str) -> InvalidError:
        """The error for operands that are not what ``want`` lists."""
        return self.invalid(f"type mismatch: instruction requires [{want}] but stack has [{self._shown(want)}]")

    def _shown(self, want: str) -> str:
        """As many operands of the innermost frame as were wanted, at least one if there is one."""
        floor = self.frames[-1].floor
        count = max(1, len(want.split()))
        shown = self.stack[max(floor + 1, len(self.stack) - count) :]
        return " ".join(map(repr, shown))

    # -- a body begins and ends ----------------------------------------------------------------------------------------

    def open(self, function: int | None, signature: FuncType, runs: list[tuple[int, ValType]], offset: int) -> None:
        """Start over with the body of ``function`` (``None``: a constant expression)."""
        self.function = function
        self.offset = offset
        self.results = signature.results
        self._set_locals(signature.params, runs)
        self.stack.clear()
        self.frames.clear()
        self.stack.append(FLOOR)
        self.frames.append(Frame(FUNCTION, NO_TYPES, signature.results, 0, True, 0))
        self.reachable = True

    def _set_locals(self, params: tuple[ValType, ...], runs: list[tuple[int, ValType]]) -> None:
        locals_: list[ValType | None] = list(params)
        total = len(params)
        self._declared_ends = ends = []
        self._declared_types = declared = []
        type_count = len(self.types)
        for count, t in runs:
            if isinstance(t, RefType) and isinstance(t.heap, int) and t.heap >= type_count:
                raise self.invalid(f"unknown type {t.heap}")
            expanded = min(count, _EXPANDED_LOCALS - total)
            if expanded > 0:
                locals_ += [t if is_defaultable(t) else None] * expanded
            total += count
            ends.append(total)
            declared.append(t)
        self.local_count = total
        self.locals = locals_
        self.init_log.clear()
        self._late_inits.clear()

    # -- locals --------------------------------------------------------------------------------------------------------

    def local_type(self, index: int) -> ValType:
        """The declared type of a local. Raises :class:`InvalidError` (``unknown local``)."""
        if index >= self.local_count:
            raise self.invalid(f"unknown local {index}")
        if index < len(self.locals):
            known = self.locals[index]
            if known is not None:
                return known
        return self._declared_types[bisect_right(self._declared_ends, index)]

    def read_local(self, index: int) -> ValType:
        """:meth:`local_type` of a local that must have a value by now (``uninitialized local``)."""
        t = self.local_type(index)
        if is_defaultable(t) or index in self._late_inits or (index < len(self.locals) and self.locals[index]):
            return t
        raise self.invalid(f"uninitialized local: local {index} of type {t} is not set yet")

    def write_local(self, index: int) -> ValType:
        """:meth:`local_type` of a local that has a value from now on, until the end of the block."""
        t = self.local_type(index)
        if is_defaultable(t):
            return t
        if index < len(self.locals):
            if self.locals[index] is None:
                self.locals[index] = t
                self.init_log.append(index)
        elif index not in self._late_inits:
            self._late_inits.add(index)
            self.init_log.append(index)
        return t

    def forget_inits(self, height: int) -> None:
        """Locals set in the block that ends here, and not before, have no value after it."""
        log = self.init_log
        while len(log) > height:
            index = log.pop()
            if index < len(self.locals):
                self.locals[index] = None
            else:
                self._late_inits.discard(index)

    # -- operands ------------------------------------------------------------------------------------------------------

    def push(self, t: ValType) -> None:
        self.stack.append(t)

    def pop(self, want: ValType) -> None:
        """Take an operand that must match ``want``."""
        got = self.stack.pop()
        if got is not want:
            self.unlike(got, want)

    def unlike(self, got: ValType, want: ValType) -> None:
        """``got``, just popped, is not the very type ``want``: raise unless it matches anyway."""
        if got is FLOOR:
            self.stack.append(FLOOR)
            if self.frames[-1].polymorphic:
                return
        elif self.types.matches_val(got, want):
            return
        else:
            self.stack.append(got)
        raise self.mismatch(repr(want))

    def pop_all(self, want: tuple[ValType, ...]) -> None:
        """Take operands that must match ``want``, whose last type is on top."""
        stack = self.stack
        for t in reversed(want):
            got = stack.pop()
            if got is not t:
                self.unlike(got, t)
                if got is FLOOR:
                    # What lies below is of any type: many parameters must not cost time where nothing was pushed.
                    return

    def push_all(self, types: tuple[ValType, ...]) -> None:
        """Raises :class:`LimitExceeded` (``operands``): two bytes of code can push as many as a type has results."""
        stack = self.stack
        stack.extend(types)
        if len(stack) > self._max_operands:
            self.ctx.limits.check("operands", len(stack))

    def pop_any(self) -> ValType:
        """Take an operand of whatever type; :data:`BOT` in unreachable code."""
        got = self.stack.pop()
        if got is FLOOR:
            self.stack.append(FLOOR)
            if not self.frames[-1].polymorphic:
                raise self.mismatch("any")
            return BOT
        return got

    def pop_ref(self) -> RefType:
        """Take a reference of whatever type; ``BOT_REF`` in unreachable code."""
        got = self.pop_any()
        if got is BOT:
            return BOT_REF
        if not isinstance(got, RefType):
            self.stack.append(got)
            raise self.mismatch("ref")
        self.reference = got
        return got

    def check_top(self, want: tuple[ValType, ...]) -> None:
        """The topmost operands must match ``want``; they keep their types."""
        stack = self.stack
        at = len(stack)
        for t in reversed(want):
            at -= 1
            got = stack[at]
            if got is FLOOR:
                if not self.frames[-1].polymorphic:
                    raise self.mismatch(" ".join(map(repr, want)))
                return
            if got is not t and not self.types.matches_val(got, t):
                raise self.mismatch(" ".join(map(repr, want)))

    # -- control -------------------------------------------------------------------------------------------------------

    def enter(self, kind: int, params: tuple[ValType, ...], results: tuple[ValType, ...]) -> None:
        """Push a control frame whose parameters were popped. Raises :class:`LimitExceeded` (``nesting``)."""
        frames = self.frames
        if len(frames) > self.max_nesting:
            self.ctx.limits.check("nesting", len(frames))
        stack = self.stack
        frames.append(Frame(kind, params, results, len(stack), self.reachable, len(self.init_log)))
        stack.append(FLOOR)
        if params:
            stack.extend(params)

    def leave(self) -> Frame:
        """Pop the innermost frame, whose operands must be exactly its results; these are not pushed again."""
        frame = self.frames[-1]
        stack = self.stack
        if frame.results:
            self.pop_all(frame.results)
        if stack.pop() is not FLOOR:
            del stack[frame.floor + 1 :]
            raise self.invalid("type mismatch: values remaining on stack at end of block")
        self.frames.pop()
        if len(self.init_log) > frame.inits:
            self.forget_inits(frame.inits)
        self.reachable = frame.entered
        return frame

    def label(self, depth: int) -> tuple[ValType, ...]:
        """What a branch to label ``depth`` passes. Raises :class:`InvalidError` (``unknown label``)."""
        frames = self.frames
        if depth >= len(frames):
            raise self.invalid(f"unknown label {depth}")
        return frames[-1 - depth].label

    def diverge(self) -> None:
        """The rest of the block cannot be reached."""
        frame = self.frames[-1]
        del self.stack[frame.floor + 1 :]
        frame.polymorphic = True
        self.reachable = False

    # -- what a lowering may ask ---------------------------------------------------------------------------------------

    def operand(self, depth: int = 0) -> ValType:
        """Type of the operand ``depth`` places below the top; :data:`BOT` where there is none."""
        at = len(self.stack) - 1 - depth
        if at <= self.frames[-1].floor:
            return BOT
        return self.stack[at]

    @property
    def depth(self) -> int:
        """How many control frames are open, that of the function included."""
        return len(self.frames)

    @property
    def height(self) -> int:
        """How many operands are on the stack, of all frames."""
        return len(self.stack) - len(self.frames)

    def block_type(self, imm: object) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
        """Parameters and results of a block type immediate. Raises :class:`InvalidError` (``unknown type``)."""
        if imm is None:
            return (NO_TYPES, NO_TYPES)
        if isinstance(imm, int):
            signature = self.func_type(imm)
            return (signature.params, signature.results)
        if isinstance(imm, RefType):
            self.check_ref(imm)
            return (NO_TYPES, (imm,))
        assert isinstance(imm, NumType)
        return (NO_TYPES, (imm,))

    def func_type(self, index: int) -> FuncType:
        """The function type of this index. Raises :class:`InvalidError` (``unknown type``)."""
        comp = self.types.expand(self.known_type(index))
        if not isinstance(comp, FuncType):
            raise self.invalid(f"type mismatch: non-function type {index}")
        return comp

    def known_type(self, index: int) -> int:
        """``index`` itself. Raises :class:`InvalidError` (``unknown type``)."""
        if index >= len(self.types):
            raise self.invalid(f"unknown type {index}")
        return index

    def check_ref(self, t: RefType) -> RefType:
        """``t`` itself. Raises :class:`InvalidError` (``unknown type``)."""
        if isinstance(t.heap, int):
            self.known_type(t.heap)
        return t

    @staticmethod
    def non_null(t: RefType) -> RefType:
        """The same reference type without null."""
        return ref(False, t.heap) if t.nullable else t
