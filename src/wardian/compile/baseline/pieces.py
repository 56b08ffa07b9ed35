"""What the instructions of bodies mean in a module, known by their bytes.

Invariant: what a piece says holds wherever its bytes stand in that module as a reachable instruction. What depends on
where it stands, and all that may be wrong with it, is left to validator and lowering (:data:`OTHER`).
"""

from __future__ import annotations

from typing import Any, Final, final

from wardian.binary.body import instruction_at
from wardian.binary.reader import switched_off
from wardian.compile.baseline.facts import COMPARISONS, PLAIN, BaselineFacts, classes_of
from wardian.compile.baseline.library import Group, Stencil
from wardian.compile.baseline.shapes import CONSTANT, WORD, Place
from wardian.syntax import families as f
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import PLAIN as BY_BYTE
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32, I64, V128, NumType, ValType
from wardian.valid.context import ModuleContext

OTHER: Final = 0
GET: Final = 1
CONST: Final = 2
LOAD: Final = 3
STORE: Final = 4
SET: Final = 5
BINARY: Final = 6
UNARY: Final = 7
END: Final = 8
"""``else`` too."""
CALL: Final = 9
OPEN: Final = 10
"""A ``block`` or ``if`` without parameters."""
BR: Final = 11
BR_IF: Final = 12

_MOST_PIECES: Final = 1 << 15
_MOST_COPIES: Final = 1 << 16
"""Pieces and filled stencils that are kept; beyond that, one starts over."""

_BLOCK: Final = 0x02
_IF: Final = 0x04
_ELSE: Final = 0x05
_END: Final = 0x0B
_BR: Final = 0x0C
_BR_IF: Final = 0x0D
_INDICES: Final = (Imm.LOCAL, Imm.FUNC, Imm.LABEL, Imm.GLOBAL)
_NO_TYPES: Final[tuple[ValType, ...]] = ()


class NotUsual(Exception):
    """Nothing for the quick way."""


@final
class Piece:
    """What is known of an instruction by its bytes, in one module."""

    __slots__ = (
        "branches",
        "classes",
        "cls",
        "copies",
        "first",
        "group",
        "imm",
        "index",
        "kind",
        "offset",
        "params",
        "place",
        "results",
        "row",
        "second",
        "size",
        "tees",
        "type",
    )

    def __init__(self, row: Row, imm: Any, size: int) -> None:
        self.kind = OTHER
        self.row = row
        self.imm: Any = imm
        self.size = size
        self.index = 0
        """Of a local; of a label."""
        self.tees = False
        self.offset = 0
        """Of an access; where a call finds its callee."""
        self.place: Place = _NOWHERE
        """Of a constant."""
        self.type: ValType = I32
        """Of the result."""
        self.first: ValType = I32
        self.second: ValType = I32
        """Of the operands."""
        self.cls = WORD
        """Of the result."""
        self.results: tuple[ValType, ...] = _NO_TYPES
        """Of a block or call; ``params``: of a call."""
        self.params: list[ValType] = []
        self.classes: tuple[int, ...] = ()
        """Of ``results``, as operands."""
        self.branches = False
        """Is it put off if a branch consumes its result? Is what opens an ``if``, what closes an ``else``?"""
        self.group: Group = NO_GROUP
        self.copies: dict[tuple[Place, ...], bytes] = {}
        """Stencils with their holes filled, by where operands and result are."""


_NOWHERE: Final[Place] = (0, 0, WORD)
NO_GROUP: Final = Group(b"", {})


@final
class Pieces:
    """What pieces of bodies mean in a module. Not thread-safe."""

    __slots__ = ("_all_on", "_ctx", "_facts", "_has_data_count", "_known", "_left")

    def __init__(self, ctx: ModuleContext, facts: BaselineFacts) -> None:
        self._ctx = ctx
        self._facts = facts
        self._all_on = not switched_off(ctx.features)
        self._has_data_count = ctx.module.data_count is not None
        self._known: dict[bytes, Piece] = {}
        self._left = _MOST_COPIES

    def known(self) -> dict[bytes, Piece]:
        """All so far; what is asked for and not there is to be made by :meth:`make`."""
        if self._left <= 0 or len(self._known) > _MOST_PIECES:
            self._known = {}
            self._left = _MOST_COPIES
        return self._known

    def at(self, at: int, end: int) -> Piece:
        """The instruction at a position, which is none of the known ones. Raises as ``instruction_at`` does."""
        source = self._ctx.module.source
        if source[at] in (_ELSE, _END):
            raise NotUsual
        row, imm, after = instruction_at(source, at, end, self._ctx.features, has_data_count=self._has_data_count)
        return Piece(row, imm, after - at)

    def make(self, piece: bytes, at: int, end: int) -> Piece:
        """For what stands at a position. Raises as ``instruction_at`` does."""
        byte = piece[0]
        if byte in (_ELSE, _END):
            made = self._closing(byte)
        else:
            made = self._short(piece) or self.at(at, end)
            self._say(made, made.row.family, byte)
        self._known[piece] = made
        return made

    def _short(self, piece: bytes) -> Piece | None:
        """A piece that can be read at a glance."""
        byte, size = piece[0], len(piece)
        row = BY_BYTE[byte]
        if row is None or not self._all_on:
            return None
        if size == 2 and row.imm in _INDICES:
            return Piece(row, piece[1], size)
        if size == 3 and row.imm is Imm.MEMARG:
            return Piece(row, (piece[1], piece[2], 0), size)
        return Piece(row, None, size) if row.imm is Imm.NONE else None

    def _say(self, made: Piece, family: f.Family, byte: int) -> None:
        if isinstance(family, f.Load | f.Store):
            self._access(made, family)
        elif isinstance(family, f.Const):
            self._constant(made, family.type)
        elif isinstance(family, f.Call):
            self._call(made, family)
        elif isinstance(family, f.LocalGet):
            made.kind, made.index = GET, made.imm
        elif isinstance(family, f.LocalSet | f.LocalTee):
            made.kind, made.index, made.tees = SET, made.imm, isinstance(family, f.LocalTee)
        elif isinstance(family, PLAIN):
            self._plain(made)
        elif byte in (_BR, _BR_IF):
            made.kind, made.index = BR if byte == _BR else BR_IF, made.imm
        elif byte in (_BLOCK, _IF):
            self._opening(made, byte)

    @staticmethod
    def _closing(byte: int) -> Piece:
        row = BY_BYTE[byte]
        assert row is not None
        made = Piece(row, None, 1)
        made.kind, made.branches = END, byte == _ELSE
        return made

    @staticmethod
    def _opening(made: Piece, byte: int) -> None:
        type_ = made.imm
        if type_ is None or (isinstance(type_, NumType) and type_ is not V128):
            made.kind, made.branches = OPEN, byte == _IF
            made.results = _NO_TYPES if type_ is None else (type_,)
            made.classes = classes_of(made.results)

    def _call(self, made: Piece, family: f.Call) -> None:
        signatures = self._ctx.signatures
        if family.tail or made.imm >= len(signatures):
            return
        type_ = signatures[made.imm]
        if len(type_.results) > 1 or V128 in type_.params or V128 in type_.results:
            return
        made.kind, made.params, made.results = CALL, list(type_.params), type_.results
        made.classes = classes_of(type_.results)

    def find_callee(self, made: Piece) -> None:
        """Complete what is known of a call: the stencils for it may have to be made first, if it is reached."""
        indirect, made.offset = self._facts.layout.func_ref(made.imm)
        made.group = self._facts.call("far" if indirect else "near", self._ctx.func_types[made.imm])[0]

    def _constant(self, made: Piece, type_: NumType) -> None:
        if (type_ is I32 or type_ is I64) and -1 << 31 <= made.imm < 1 << 31:
            made.kind, made.type, made.place = CONST, type_, (CONSTANT, made.imm, WORD)

    def _plain(self, made: Piece) -> None:
        row = made.row
        assert row.params is not None and row.results is not None
        made.kind = BINARY if len(row.params) == 2 else UNARY
        made.first, made.second = row.params[0], row.params[-1]
        made.branches = isinstance(row.family, COMPARISONS)
        self._result(made, row.results[0])

    def _access(self, made: Piece, family: f.Load | f.Store) -> None:
        align, offset, memory = made.imm
        addresses = self._ctx.memory_addresses
        if memory >= len(addresses) or addresses[memory] is not I32 or self._facts.is_rare(made.imm):
            return
        if 1 << align > family.size or offset > 0xFFFF_FFFF:
            return
        made.offset = offset
        if isinstance(family, f.Load):
            made.kind = LOAD
        else:
            made.kind, made.second = STORE, family.type
        self._result(made, family.type)

    def _result(self, made: Piece, type_: ValType) -> None:
        made.type = type_
        made.cls = self._facts.result[made.row.index]
        made.group = self._facts.do[made.row.index]

    def keep(self, made: Piece, places: tuple[Place, ...], stencil: Stencil, copy: bytes) -> None:
        """A stencil has been filled; jumps are different each time."""
        if not stencil.jumps:
            made.copies[places] = copy
            self._left -= 1
