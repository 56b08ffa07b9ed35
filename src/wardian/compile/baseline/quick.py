"""The baseline tier's usual way through a body: validation and copying in one loop, an instruction a look-up.

Invariant: what comes out is, byte by byte and error by error, what :func:`wardian.valid.driver.validate_body` driving
:class:`Baseline` gives. Where an instruction is reached, its operands are of the very types it asks for and its stencil
jumps nowhere, validator and lowering are brought up to date here; everything else goes through their steps. A body
whose nesting is wrong is left to that driver altogether, which finds the words for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from wardian.binary.tokens import pieces
from wardian.compile.baseline.function import BLOCK, DEAD, FUNCTION, IF, LOOP, Baseline
from wardian.compile.baseline.function import Frame as Region
from wardian.compile.baseline.library import Stencil
from wardian.compile.baseline.pieces import (
    BINARY,
    BR,
    CALL,
    CONST,
    END,
    GET,
    LOAD,
    NO_GROUP,
    OPEN,
    OTHER,
    SET,
    STORE,
    UNARY,
    NotUsual,
    Piece,
    Pieces,
)
from wardian.compile.baseline.shapes import CONSTANT, Place
from wardian.compile.baseline.steps import NOTHING, tested
from wardian.syntax.types import I32, V128
from wardian.valid import stacks
from wardian.valid.code import Validator
from wardian.valid.stacks import FLOOR, NO_TYPES, Frame

_LOCAL_SET: Final = 0x21
_LOCAL_TEE: Final = 0x22
_BRANCH: Final = 0x0D
AHEAD: Final = 2
"""So many bytes behind an instruction are looked at, behind a body that has no end, too."""
_THEN: Final = 0x04


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
        if end + AHEAD > len(self._source):
            raise NotUsual
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
                    self._close(piece, pos)
                else:
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
                self._control(piece, pos)
                pos += piece.size
                reachable = checker.reachable
        return pos

    def _step(self, piece: Piece, at: int) -> None:
        """An instruction as validator and lowering do it."""
        checker = self._checker
        reachable = checker.reachable
        checker.step(at, piece.row, piece.imm)
        self._low.step(at, piece.row, piece.imm, reachable)

    def _result(self, piece: Piece, following: int) -> Place:
        """Where a result goes, which is pushed, unless a local takes it at once: then that is done, too.

        ``_after`` is the position of what is to be done next.
        """
        source = self._source
        opcode = source[following]
        self._after = following
        if _LOCAL_SET <= opcode <= _LOCAL_TEE:
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
        if piece.branches and (self._source[following] == _BRANCH or self._source[following] == _THEN):
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
        if piece.branches and (self._source[following] == _BRANCH or self._source[following] == _THEN):
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

    # -- control -------------------------------------------------------------------------------------------------------

    def _control(self, piece: Piece, at: int) -> None:
        """An instruction that is reached."""
        kind = piece.kind
        if kind == END:
            self._close(piece, at)
        elif kind == CALL:
            self._call(piece, at)
        elif kind == OPEN:
            self._open(piece, at)
        else:
            self._branch(piece, at)

    def _call(self, piece: Piece, at: int) -> None:
        low, stack, ops = self._low, self._stack, self._ops
        count = len(piece.params)
        if count and stack[-count:] != piece.params:
            self._step(piece, at)
            return
        if count:
            del stack[-count:]
        if piece.results:
            self._checker.push_all(piece.results)
        if piece.group is NO_GROUP:
            self._pieces.find_callee(piece)
        low.calls.append(piece.imm)
        first = low.arguments(count)
        low.save_floats()
        code, d = 0, 0
        if piece.classes:
            place = low.slot(len(ops), piece.classes[0]) if ops else low.own(0, piece.classes[0])
            code, d = place[0], place[1]
            ops.append(place)
        thrown = low.emit(piece.group.get(code), first, 0, 0, d, piece.offset, 0)
        if thrown:
            low.unwind(thrown)
        low.restore_floats()

    def _open(self, piece: Piece, at: int) -> None:
        """A ``block`` or ``if``."""
        checker, stack, ops, low = self._checker, self._stack, self._ops, self._low
        frames = checker.frames
        conditional = piece.branches
        if len(frames) > checker.max_nesting or (conditional and stack[-1] is not I32):
            self._step(piece, at)
            return
        if conditional:
            stack.pop()
        kind = stacks.IF if conditional else stacks.BLOCK
        frames.append(Frame(kind, NO_TYPES, piece.results, len(stack), True, len(checker.init_log)))
        stack.append(FLOOR)
        if not conditional:
            if ops:
                low.settle_all(len(ops))
            low.frames.append(Region(BLOCK, len(ops), (), piece.classes, 0))
            return
        group, key, a, b = tested(low, False)
        if ops:
            low.settle_all(len(ops))
        region = Region(IF, len(ops), (), piece.classes, 0)
        region.else_patches = low.emit(group.ready.get(key) or group.get(key), a[1], b[1])
        low.frames.append(region)

    def _branch(self, piece: Piece, at: int) -> None:
        """A ``br`` or ``br_if``."""
        checker, stack, ops, low = self._checker, self._stack, self._ops, self._low
        frames, depth = checker.frames, piece.index
        always = piece.kind == BR
        if depth >= len(frames) or frames[-1 - depth].label or (not always and stack[-1] is not I32):
            self._step(piece, at)
            return
        region = low.frames[-1 - depth]
        if not always:
            stack.pop()
            group, key, a, b = tested(low, True)
            if region.height:
                low.settle_all(region.height)
            low.reach(low.emit(group.ready.get(key) or group.get(key), a[1], b[1]), region)
            return
        frame = frames[-1]
        del stack[frame.floor + 1 :]
        frame.polymorphic = True
        checker.reachable = False
        if region.kind == FUNCTION:
            low.return_()
        else:
            if ops:
                low.settle_all(min(region.height, len(ops)))
            low.jump(region)

    def _close(self, piece: Piece, at: int) -> None:
        """An ``else`` or ``end``, reached or not."""
        checker, stack, low = self._checker, self._stack, self._low
        frames = checker.frames
        frame, region = frames[-1], low.frames[-1]
        if piece.branches:
            if frame.kind != stacks.IF:
                raise NotUsual
            self._step(piece, at)
            return
        kind = region.kind
        if kind == FUNCTION:
            if at + 1 != self._end:
                raise NotUsual
            self._step(piece, at)
            return
        reachable = checker.reachable
        if frame.results or frame.params or stack[-1] is not FLOOR or len(checker.init_log) > frame.inits:
            checker.step(at, piece.row, None)
        else:
            stack.pop()
            frames.pop()
            checker.reachable = frame.entered
        if kind == DEAD or (kind == LOOP and reachable):
            low.frames.pop()
        elif region.catches or low.skip is not None:
            low.step(at, piece.row, None, reachable)
        else:
            self._arrive(region, reachable)

    def _arrive(self, region: Region, reachable: bool) -> None:
        """At the end of a region, from within if that is reached."""
        low, ops = self._low, self._ops
        if reachable and ops:
            low.settle_all(len(ops))
        here = len(self._out)
        if region.patches:
            low.bind(region.patches, here)
        if region.else_patches:
            low.bind(region.else_patches, here)
        if ops or region.results:
            low.places(region.height, region.results)
        low.frames.pop()
