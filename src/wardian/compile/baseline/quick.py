"""The baseline tier's usual way through a body: validation and copying in one loop, an instruction a look-up.

Invariant: what comes out is, byte by byte and error by error, what :func:`wardian.valid.driver.validate_body` driving
:class:`Baseline` gives. Where an instruction is reached, its operands are of the very types it asks for and its stencil
jumps nowhere, validator and lowering are brought up to date here; everything else goes through their steps. A body whose
nesting is wrong is left to that driver altogether, which finds the words for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, final

from wardian.binary.body import instruction_at
from wardian.binary.tokens import pieces
from wardian.compile.baseline.facts import COMPARISONS, PLAIN, BaselineFacts
from wardian.compile.baseline.function import Baseline
from wardian.compile.baseline.library import Group, Stencil
from wardian.compile.baseline.shapes import CONSTANT, WORD, Place
from wardian.compile.baseline.steps import NOTHING
from wardian.syntax import families as f
from wardian.syntax.instructions import PLAIN as BY_BYTE
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32, I64, V128, NumType, ValType
from wardian.valid.code import Validator
from wardian.valid.context import ModuleContext
from wardian.valid.stacks import IF

OTHER: Final = 0
GET: Final = 1
CONST: Final = 2
LOAD: Final = 3
STORE: Final = 4
SET: Final = 5
BINARY: Final = 6
UNARY: Final = 7
END: Final = 8

_MOST_PIECES: Final = 1 << 15
_MOST_COPIES: Final = 1 << 16
"""Pieces and filled stencils that are kept; beyond that, one starts over."""

_LOCAL_SET: Final = 0x21
_LOCAL_TEE: Final = 0x22
_BR_IF: Final = 0x0D
_IF: Final = 0x04
_ELSE: Final = 0x05
_END: Final = 0x0B


class NotUsual(Exception):
    """Nothing for this way."""


@final
class Piece:
    """What is known of an instruction by its bytes, in one module."""

    __slots__ = (
        "branches",
        "cls",
        "copies",
        "first",
        "group",
        "imm",
        "index",
        "kind",
        "offset",
        "place",
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
        """Of a local."""
        self.tees = False
        self.offset = 0
        """Of an access."""
        self.place: Place = _NOWHERE
        """Of a constant."""
        self.type: ValType = I32
        """Of the result."""
        self.first: ValType = I32
        self.second: ValType = I32
        """Of the operands."""
        self.cls = WORD
        """Of the result."""
        self.branches = False
        """Is it put off if a branch consumes its result?"""
        self.group: Group = _NO_GROUP
        self.copies: dict[tuple[Place, ...], bytes] = {}
        """Stencils with their holes filled, by where operands and result are."""


_NOWHERE: Final[Place] = (0, 0, WORD)
_NO_GROUP: Final = Group(b"", {})


@final
class Pieces:
    """What pieces of bodies mean in a module. Not thread-safe."""

    __slots__ = ("_ctx", "_facts", "_has_data_count", "_known", "_left")

    def __init__(self, ctx: ModuleContext, facts: BaselineFacts) -> None:
        self._ctx = ctx
        self._facts = facts
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
        if source[at] == _ELSE or source[at] == _END:
            raise NotUsual
        row, imm, after = instruction_at(source, at, end, self._ctx.features, has_data_count=self._has_data_count)
        return Piece(row, imm, after - at)

    def make(self, piece: bytes, at: int, end: int) -> Piece:
        """For what stands at a position. Raises as ``instruction_at`` does."""
        source = self._ctx.module.source
        byte = piece[0]
        made = self._closing(byte) if byte == _ELSE or byte == _END else self.at(at, end)
        family = made.row.family
        if byte == _ELSE or byte == _END:
            made.kind = END
        elif isinstance(family, f.LocalGet):
            made.kind, made.index = GET, made.imm
        elif isinstance(family, f.LocalSet | f.LocalTee):
            made.kind, made.index, made.tees = SET, made.imm, isinstance(family, f.LocalTee)
        elif isinstance(family, f.Const):
            self._constant(made, family.type)
        elif isinstance(family, PLAIN):
            self._plain(made)
        elif isinstance(family, f.Load | f.Store):
            self._access(made, family)
        self._known[piece] = made
        return made

    @staticmethod
    def _closing(byte: int) -> Piece:
        row = BY_BYTE[byte]
        assert row is not None
        return Piece(row, None, 1)

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


@final
class Pass:
    """One body."""

    __slots__ = (
        "_after",
        "_ahead",
        "_checker",
        "_end",
        "_home",
        "_low",
        "_memories_at",
        "_ops",
        "_out",
        "_own",
        "_pieces",
        "_source",
        "_stack",
        "_types",
    )

    def __init__(self, pieces_: Pieces, source: bytes, end: int, checker: Validator, low: Baseline) -> None:
        """``checker`` has begun with the body; ``low`` is fresh."""
        self._pieces = pieces_
        self._source = source
        self._end = end
        self._checker = checker
        self._low = low
        self._stack = checker.stack
        self._types = checker.locals
        self._ops = low.ops
        self._home = low.home
        self._own = low.owned
        self._out = low.out
        self._memories_at = low.facts.memories_at
        self._ahead: Iterator[bytes] = iter(())
        self._after = 0

    def run(self, pos: int) -> None:
        """From the first instruction, at ``pos``, to the end. Raises what validator and lowering raise, and
        :class:`NotUsual`."""
        end = self._end
        while pos < end:
            some = pieces(self._source, pos, end)
            if some:
                pos = self._several(some, pos)
            else:
                alone = self._pieces.at(pos, end)
                self._step(alone, pos)
                pos += alone.size
        if self._checker.frames:
            raise NotUsual

    def _several(self, some: list[bytes], pos: int) -> int:
        """The instructions ``some`` from ``pos`` on; the position after them."""
        known = self._pieces.known()
        checker, stack, types, ops, home = self._checker, self._stack, self._types, self._ops, self._home
        count = len(types)
        self._ahead = ahead = iter(some)
        reachable = checker.reachable
        for bytes_ in ahead:
            piece = known.get(bytes_)
            if piece is None:
                piece = self._pieces.make(bytes_, pos, self._end)
            kind = piece.kind
            if kind == OTHER or not reachable:
                if kind == END:
                    self._nested(piece, pos)
                self._step(piece, pos)
                pos += piece.size
                reachable = checker.reachable
            elif kind == GET:
                index = piece.index
                type_ = types[index] if index < count else None
                if type_ is None or type_ is V128:
                    self._step(piece, pos)
                else:
                    stack.append(type_)
                    ops.append(home[index])
                pos += piece.size
            elif kind == CONST:
                stack.append(piece.type)
                ops.append(piece.place)
                pos += piece.size
            elif kind == LOAD:
                pos = self._unary(piece, pos)
            elif kind == STORE:
                pos = self._store(piece, pos)
            elif kind == BINARY:
                pos = self._binary(piece, pos)
            elif kind == SET:
                pos = self._set(piece, pos)
            elif kind == UNARY:
                pos = self._unary(piece, pos)
            else:
                self._nested(piece, pos)
                self._step(piece, pos)
                pos += piece.size
                reachable = checker.reachable
        return pos

    def _step(self, piece: Piece, at: int) -> None:
        """An instruction as validator and lowering do it."""
        checker = self._checker
        reachable = checker.reachable
        checker.step(at, piece.row, piece.imm)
        self._low.step(at, piece.row, piece.imm, reachable)

    def _nested(self, piece: Piece, at: int) -> None:
        """May an ``else`` or ``end`` stand there?"""
        frames = self._checker.frames
        if piece.row.opcode == _ELSE:
            if frames[-1].kind != IF:
                raise NotUsual
        elif len(frames) == 1 and at + 1 != self._end:
            raise NotUsual

    def _place(self, cls: int) -> Place:
        """The place of the next operand."""
        own, depth = self._own[cls], len(self._ops)
        return own[depth] if depth < len(own) else self._low.own(depth, cls)

    def _settled(self, place: Place) -> Place:
        return self._low.settled(place, len(self._ops)) if place[0] == CONSTANT else place

    def _result(self, piece: Piece, following: int) -> Place:
        """Where a result goes, which is pushed, unless a local takes it at once: then that is done, too.

        ``_after`` is the position of what is to be done next.
        """
        source = self._source
        opcode = source[following]
        self._after = following
        if opcode == _LOCAL_SET or opcode == _LOCAL_TEE:
            index = source[following + 1]
            home = self._home
            if index < 0x80 and index < len(home):
                place = home[index]
                if place[2] == piece.cls and self._types[index] is piece.type and place not in self._ops:
                    next(self._ahead)
                    self._after = following + 2
                    if opcode == _LOCAL_TEE:
                        self._stack.append(piece.type)
                        self._ops.append(place)
                    return place
        own, depth = self._own[piece.cls], len(self._ops)
        place = own[depth] if depth < len(own) else self._low.own(depth, piece.cls)
        self._stack.append(piece.type)
        self._ops.append(place)
        return place

    def _unary(self, piece: Piece, at: int) -> int:
        """A load, or an instruction with one operand and one result; the position after what has been done."""
        stack, ops, following = self._stack, self._ops, at + piece.size
        if stack[-1] is not piece.first:
            self._step(piece, at)
            return following
        stack.pop()
        a = ops.pop()
        if a[0] == CONSTANT:
            a = self._low.settled(a, len(ops))
        if piece.branches and (self._source[following] == _BR_IF or self._source[following] == _IF):
            self._low.pending = piece.row, a, NOTHING
            stack.append(I32)
            return following
        d = self._result(piece, following)
        key = a, d
        copy = piece.copies.get(key)
        if copy is None:
            self._copy(piece, key, piece.group.get(a[0] | d[0] << 4), a[1], 0, d[1])
        else:
            self._out += copy
        return self._after

    def _binary(self, piece: Piece, at: int) -> int:
        """An instruction with two operands and one result; the position after what has been done."""
        stack, ops, following = self._stack, self._ops, at + piece.size
        if stack[-1] is not piece.second or stack[-2] is not piece.first:
            self._step(piece, at)
            return following
        del stack[-2:]
        b = ops.pop()
        a = ops.pop()
        if a[0] == CONSTANT:
            a = self._low.settled(a, len(ops))
        if piece.branches and (self._source[following] == _BR_IF or self._source[following] == _IF):
            self._low.pending = piece.row, a, b
            stack.append(I32)
            return following
        d = self._result(piece, following)
        key = a, b, d
        copy = piece.copies.get(key)
        if copy is None:
            self._copy(piece, key, piece.group.get(a[0] | b[0] << 4 | d[0] << 8), a[1], b[1], d[1])
        else:
            self._out += copy
        return self._after

    def _store(self, piece: Piece, at: int) -> int:
        """The position after a store."""
        stack, ops = self._stack, self._ops
        if stack[-1] is not piece.second or stack[-2] is not I32:
            self._step(piece, at)
            return at + piece.size
        del stack[-2:]
        b = ops.pop()
        a = ops.pop()
        if a[0] == CONSTANT:
            a = self._low.settled(a, len(ops))
        key = a, b
        copy = piece.copies.get(key)
        if copy is None:
            self._copy(piece, key, piece.group.get(a[0] | b[0] << 4), a[1], b[1], 0)
        else:
            self._out += copy
        return at + piece.size

    def _copy(self, piece: Piece, key: tuple[Place, ...], stencil: Stencil, a: int, b: int, d: int) -> None:
        out = self._out
        before = len(out)
        self._low.emit(stencil, a, b, 0, d, piece.offset, self._memories_at)
        self._pieces.keep(piece, key, stencil, bytes(out[before:]))

    def _set(self, piece: Piece, at: int) -> int:
        """The position after a ``local.set`` or ``local.tee``."""
        low, stack, ops, index = self._low, self._stack, self._ops, piece.index
        type_ = self._types[index] if index < len(self._types) else None
        if low.skip is not None or type_ is None or type_ is V128 or stack[-1] is not type_:
            self._step(piece, at)
            return at + piece.size
        home = self._home[index]
        value = ops.pop()
        if value != home:
            if ops:
                low.unhand(home)
            low.move(value, home)
        if piece.tees:
            ops.append(home)
        else:
            stack.pop()
        return at + piece.size
