"""Compiling one function by copying stencils, in one pass behind the validator.

Invariant: like every lowering this one sees an instruction only after the validator has accepted it. Where control
meets (labels, loops, ends) every operand is in its own place (:mod:`wardian.compile.baseline.shapes`), so nothing
has to be reconciled; between such points operands stay where they are: constants, locals, slots.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, final

from wardian.compile.baseline.facts import MANY, BaselineFacts, classes_of, local_class, results_name
from wardian.compile.baseline.heat import Heat
from wardian.compile.baseline.library import NEXT, POOL, TABLE, TARGET, TRAPS, UNSIGNED, Group, Stencil
from wardian.compile.baseline.machine import (
    FIRST_STACK_ARGUMENT,
    FLOAT_ARGUMENTS,
    FREE_FLOATS,
    SAVED_BYTES,
    WORD_ARGUMENTS,
    popped,
)
from wardian.compile.baseline.shapes import CONSTANT, FLOAT, MOST_PAIRS, OPERANDS, PINNED, SLOT, VECTOR, WORD, Place
from wardian.compile.baseline.unsupported import Unsupported
from wardian.syntax.instructions import BY_NAME, Row
from wardian.syntax.types import NumType, RefType, ValType
from wardian.valid.stacks import Stacks
from wardian.vm.abi import RESULT_SLOT, pads
from wardian.vm.layout import FUNCREF

MAX_LOCALS: Final = 500
"""Locals of a function this tier compiles; more are cleared and found better by the other."""
MAX_DEPTH: Final = 500
"""Operands of a function this tier compiles: whatever looks through them all takes bounded time."""
_MOST_MOVES: Final = 1 << 14
"""Moves whose code is kept for one module."""
_POOL_ALIGN: Final = 64

_REGISTERS: Final[tuple[int, ...]] = (len(WORD_ARGUMENTS), len(FLOAT_ARGUMENTS))

_LOCAL_USE: Final = re.compile(rb"[\x20-\x22]([\x00-\x7f])", re.DOTALL)
_PIN_FROM: Final = 2
"""Uses from which a local is worth a register."""

_NOT_SAID: Final = 1 << 70
"""Fits no field."""
_put32: Final = struct.Struct("<i").pack_into
_put64: Final = struct.Struct("<q").pack_into

_I: Final = 4
"""The hole ``i`` of a stencil."""

_NO_PATCHES: Final[list[tuple[int, int]]] = []

_LOCAL_GET: Final = BY_NAME["local.get"]
_SETS: Final = (BY_NAME["local.set"], BY_NAME["local.tee"])

DEAD: Final = 0
BLOCK: Final = 1
LOOP: Final = 2
IF: Final = 3
FUNCTION: Final = 4


class Hot(NamedTuple):
    """A place where runs are counted: the beginning (``site`` 0) or the loop of that number (in order, from 1)."""

    site: int
    patches: list[tuple[int, int]]
    back: int
    operands: list[Place]


class FrameMap(NamedTuple):
    """Displacements from the frame pointer: of each local, and of the first operand; the next ones lie below it.

    ``results``: of the address of the buffer the function's results go to; 0 if there is none."""

    locals: list[int]
    operands: int
    results: int


@final
class Frame:
    """A control frame: ``label`` are the classes a branch to it passes, ``patches`` where its end is to be put."""

    __slots__ = (
        "catches",
        "else_patches",
        "height",
        "kind",
        "label",
        "params",
        "patches",
        "results",
        "start",
        "thrown",
    )

    def __init__(self, kind: int, height: int, params: tuple[int, ...], results: tuple[int, ...], start: int) -> None:
        self.kind = kind
        self.height = height
        self.params = params
        self.results = results
        self.label = params if kind == LOOP else results
        self.start = start
        self.patches: list[Patch] = []
        self.else_patches: list[Patch] = []
        self.catches: tuple[tuple[int, int | None, int], ...] = ()
        """Of a ``try_table``, its clauses; and in ``thrown``, from where exceptions come to them."""
        self.thrown: list[Patch] = []


Patch: TypeAlias = "tuple[int, int]"
"""``(field, added)``: a field that is to hold its distance from a place, ``added`` to it."""

Step: TypeAlias = "Callable[[Baseline, int, Row, Any], None]"


@final
class Baseline:
    """Compiles one function. Give instructions through :meth:`step`; then :meth:`finish` is its machine code."""

    __slots__ = (
        "_constants",
        "_dead",
        "_deepest",
        "_floats",
        "_frame_at",
        "_get",
        "_hot",
        "_index",
        "_known_slots",
        "_live",
        "_moves",
        "_padding",
        "_pops",
        "_result_classes",
        "_returns",
        "_slots",
        "_traps",
        "_unwinding",
        "_words",
        "branch",
        "calls",
        "do",
        "facts",
        "frames",
        "heat",
        "home",
        "loops",
        "ops",
        "out",
        "owned",
        "pending",
        "result",
        "results_at",
        "skip",
        "source",
        "stack_bytes",
        "tails",
        "tries",
        "validator",
    )

    def __init__(
        self,
        facts: BaselineFacts,
        index: int,
        runs: list[tuple[int, ValType]],
        live: tuple[Step, ...],
        dead: Mapping[int, Step],
        heat: Heat | None = None,
        validator: Stacks | None = None,
    ) -> None:
        """``index`` in the defined functions; ``runs`` are its local declarations.

        ``live`` are the steps by row index, ``dead`` those that keep the nesting in code that is never reached.
        ``heat``: count how often it runs. ``validator`` goes ahead and is asked for types. Raises :class:`Unsupported`.
        """
        self.heat = heat
        self.tails = False
        """Does it have tail calls?"""
        self.stack_bytes = 0
        """What the function takes off the stack when it returns."""
        self.validator = validator
        self.loops = 0
        self.calls: list[int] = []
        """Functions of the whole index space that it calls by name, as far as the quick way has seen them."""
        self._index = index
        self._hot: list[Hot] = []
        self.tries: list[Frame] = []
        self._unwinding: list[Patch] = []
        """From where exceptions leave the function."""
        self._live = live
        self._dead = dead
        self._deepest = 0
        self.facts = facts
        self._known_slots = facts.slots
        self._moves = facts.moves
        self.do = facts.do
        self.branch = facts.branch
        self.result = facts.result
        module = facts.module
        self.source = module.source
        self.out = bytearray()
        self.ops: list[Place] = []
        self.frames: list[Frame] = []
        self.skip: Place | None = None
        """The local the next instruction would set, and that is set already."""
        self.pending: tuple[Row, Place, Place] | None = None
        self._traps: dict[int, list[tuple[int, int]]] = {}
        self._constants: list[tuple[int, int, int]] = []
        type_ = facts.func_type(module.funcs[index])
        self._returns = results_name(type_.results)
        self._padding = len(pads(type_, module.types))
        self._result_classes = [local_class(t) for t in type_.results]
        results = classes_of(type_.results)
        params = [local_class(t) for t in type_.params]
        classes = list(params)
        for count, t in runs:
            if count > MAX_LOCALS:
                raise Unsupported("many locals")
            classes += [local_class(t)] * count
        if len(classes) > MAX_LOCALS:
            raise Unsupported("many locals")
        self.home = self._homes(classes, *module.bodies[index])
        self._get = None if VECTOR in classes else _LOCAL_GET
        self._slots = sum(p[0] == SLOT for p in self.home) + classes.count(VECTOR)
        self._floats: list[tuple[Place, Place]] = []
        self._words: list[tuple[Place, Place]] = []
        for place in self.home:
            if place[0] != SLOT:
                self._slots += 1
                pinned = self._floats if place[2] == FLOAT else self._words
                pinned.append((place, (SLOT, -SAVED_BYTES - 8 * self._slots, place[2])))
        self.results_at = 0
        if self._returns == MANY:
            self._slots += 1
            self.results_at = -SAVED_BYTES - 8 * self._slots
        self.owned: list[list[Place]] = [[], [], []]
        """By class: the places of operands that have been asked for, by depth."""
        self._frame_at = 0
        self._enter(params)
        self.frames.append(Frame(FUNCTION, 0, (), results, 0))
        self.count(0)

    def _homes(self, classes: list[int], start: int, end: int) -> list[Place]:
        """A place for each local: a register for those the body names most often, as far as these reach."""
        uses: Counter[bytes] = Counter(_LOCAL_USE.findall(self.source, start, end))
        pinned: dict[int, Place] = {}
        free = [list(range(OPERANDS, OPERANDS + count)) for count in PINNED]
        for found, count in uses.most_common():
            local = found[0]
            if count < _PIN_FROM or not (free[WORD] or free[FLOAT]):
                break
            if local < len(classes) and classes[local] != VECTOR and free[classes[local]]:
                pinned[local] = (free[classes[local]].pop(0), 0, classes[local])
        homes: list[Place] = []
        slot = 0
        for local, cls in enumerate(classes):
            place = pinned.get(local)
            if place is None:
                slot += 2 if cls == VECTOR else 1
                place = self.facts.slot(slot, cls)
            homes.append(place)
        return homes

    def _enter(self, params: list[int]) -> None:
        group = self.facts.library.group
        self.emit(group("prologue").get(0), i=0)
        self._frame_at = group("prologue").get(0).numbers[0][0]
        if self.facts.memories:
            self.emit(group("base").get(0), i=self.facts.layout.memory_bases)
        arrived = [0, 0]
        stacked = [0]
        # A pinned float must not take a register another argument is still in.
        crowded = len(params) - params.count(WORD) > FREE_FLOATS
        late: list[tuple[Place, Place]] = []
        if self.results_at:
            self.emit(group("argument w").get(SLOT << 4), a=self.results_at)
            arrived[WORD] = 1
        for local, cls in enumerate(params):
            code, value, _ = self.home[local]
            if cls == VECTOR:
                if arrived[FLOAT] == _REGISTERS[FLOAT]:
                    at = self._on_stack(stacked, cls)
                    for half in (0, 8):
                        self.emit(group("stack argument w").get(SLOT), a=value + half, i=at + half)
                    continue
                self.emit(group("argument v").get(arrived[FLOAT]), a=value)
                arrived[FLOAT] += 1
                continue
            if crowded and cls == FLOAT and code != SLOT and arrived[FLOAT] < _REGISTERS[FLOAT]:
                shadow = next(slot for home, slot in self._floats if home is self.home[local])
                late.append((shadow, self.home[local]))
                code, value = shadow[0], shadow[1]
            if arrived[cls] < _REGISTERS[cls]:
                self.emit(group("argument " + "wf"[cls]).get(arrived[cls] | code << 4), a=value)
                arrived[cls] += 1
                continue
            at = self._on_stack(stacked, cls)
            self.emit(group("stack argument " + "wf"[cls]).get(code), a=value, i=at)
        for shadow, home in late:
            self.move(shadow, home)
        words = stacked[0] + self._padding
        self.stack_bytes = popped(words)
        self._pops = min(words // 2, MOST_PAIRS) << 4
        declared = self.home[len(params) :]
        if any(place[0] == SLOT for place in declared):
            self.emit(group("clear").get(0))
        for code, value, cls in declared:
            if cls == VECTOR:
                self.emit(group("clear word").get(code), a=value + 8)
            self.emit(group("clear float" if cls == FLOAT and code != SLOT else "clear word").get(code), a=value)

    def _on_stack(self, words: list[int], cls: int) -> int:
        """Displacement of the next parameter on the stack, behind ``words[0]`` words of others."""
        if cls == VECTOR:
            words[0] += words[0] & 1
        at = FIRST_STACK_ARGUMENT + 8 * words[0]
        words[0] += 2 if cls == VECTOR else 1
        return at

    # -- the stream ----------------------------------------------------------------------------------------------------

    def step(self, offset: int, row: Row, imm: Any, reachable: bool) -> None:
        """Compile one instruction the validator has just taken; ``reachable`` is its verdict from before."""
        if self.skip is not None:
            self._foreseen(row, imm)
        elif row is self._get and reachable:
            # FAST: every fourth instruction.
            self.ops.append(self.home[imm])
        elif reachable:
            self._live[row.index](self, offset, row, imm)
        else:
            handler = self._dead.get(row.index)
            if handler is not None:
                handler(self, offset, row, imm)

    def _foreseen(self, row: Row, imm: Any) -> None:
        """Nothing is left to do for an instruction, if it is the one :meth:`target` saw coming."""
        if row not in _SETS or self.home[imm] != self.skip:
            raise Unsupported("an instruction nobody foresaw")
        self.skip = None

    # -- places --------------------------------------------------------------------------------------------------------

    def own(self, depth: int, cls: int) -> Place:
        """The place of the operand at ``depth``."""
        places = self.owned[cls]
        if depth >= MAX_DEPTH:
            raise Unsupported("many operands")
        while len(places) <= depth:
            at = len(places)
            places.append((at, 0, cls) if at < OPERANDS and cls != VECTOR else self.slot(at, cls))
        return places[depth]

    def slot(self, depth: int, cls: int) -> Place:
        """The slot of the operand at ``depth``."""
        if depth >= self._deepest:
            self._deepest = depth + 1
        known, number = self._known_slots[cls], self._slots + depth + 1
        return known[number] if number < len(known) else self.facts.slot(number, cls)

    def move(self, source: Place, target: Place) -> None:
        key = source, target
        copy = self._moves.get(key)
        if copy is None:
            copy = self._move(key)
        self.out += copy

    def _move(self, key: tuple[Place, Place]) -> bytes:
        """The code of a move, which is kept: the same few are made over and over."""
        source, target = key
        before = len(self.out)
        self.emit(self.facts.move[target[2]].get(source[0] | target[0] << 4), source[1], d=target[1])
        made = bytes(self.out[before:])
        del self.out[before:]
        moves = self._moves
        if len(moves) >= _MOST_MOVES:
            moves.clear()
        moves[key] = made
        return made

    def settle(self, depth: int) -> Place:
        """Bring the operand at ``depth`` into its own place."""
        place = self.ops[depth]
        own = self.own(depth, place[2])
        if place != own:
            self.move(place, own)
            self.ops[depth] = own
        return own

    def settle_all(self, count: int) -> None:
        """Bring the lowest ``count`` operands into their own places."""
        ops = self.ops
        if count > MAX_DEPTH:
            raise Unsupported("many operands")
        for depth in range(count):
            if ops[depth][0] >= OPERANDS:
                self.settle(depth)

    def settled(self, place: Place, depth: int) -> Place:
        """``place``, popped from ``depth``, or if that is a constant the operand's own place, with it in."""
        if place[0] != CONSTANT:
            return place
        own = self.own(depth, place[2])
        self.move(place, own)
        return own

    def save(self, count: int) -> None:
        """Bring those of the lowest ``count`` operands that are in operand registers into their slots."""
        ops = self.ops
        for depth in range(count):
            place = ops[depth]
            if place[0] < OPERANDS:
                slot = self.slot(depth, place[2])
                self.move(place, slot)
                ops[depth] = slot

    def save_floats(self) -> None:
        """A call follows, which pinned floats do not survive."""
        for home, slot in self._floats:
            self.move(home, slot)

    def restore_floats(self) -> None:
        for home, slot in self._floats:
            self.move(slot, home)

    def count(self, site: int) -> None:
        """Count a run past here; ``site`` as in :class:`Hot`."""
        heat = self.heat
        if heat is None:
            return
        at = self.facts.layout.funcs + FUNCREF.size * self._index + FUNCREF.at["heat"]
        added = heat.of_loop if site else heat.of_call
        patches = self.emit(self.group("count").get(0), i=at, j=added - ((added & 1 << 31) << 1))
        self._hot.append(Hot(site, patches, len(self.out), list(self.ops)))

    def _cool(self, hot: Hot) -> None:
        """What is done when a count has wrapped: ask, and go over to better code or back."""
        self.bind(hot.patches, len(self.out))
        live = [(p, self.slot(d, p[2])) for d, p in enumerate(hot.operands) if p[0] < OPERANDS]
        saved = [*self._words, *self._floats, *live]
        for place, slot in saved:
            self.move(place, slot)
        # Gone over to in a loop, a function with tail calls would leave a frame behind with each of them.
        site = 0 if self.tails else hot.site
        better = self.emit(self.group("hot").get(0), i=self._index, j=site)
        for place, slot in saved[len(self._words) :]:
            self.move(slot, place)
        self.bind(self.emit(self.group("jump").get(0)), hot.back)
        self.bind(better, len(self.out))
        name = "" if self._returns == MANY else self._returns
        results = self.frames[0].results
        if len(name) == 1:
            self.emit(self.group(f"enter {name}").get(0), d=self.own(1, VECTOR)[1] if name == "v" else 0)
            self.places(0, results)
            self.return_()
        elif name:
            self.emit(self.group(f"enter {name}").get(0), d=self.slot(0, WORD)[1])
            self.ops[:] = [self.slot(depth, cls) for depth, cls in enumerate(results)]
            self.return_()
        else:
            # There are no results, or they are in the buffer already.
            self.emit(self.group("enter ").get(0))
            self.emit(self.group("return ").get(self._pops), i=self.stack_bytes)

    def frame_map(self) -> FrameMap:
        """Where a loop's continuation finds locals and operands when it is entered."""
        shadows = dict([*self._words, *self._floats])
        locals_ = [shadows.get(home, home)[1] for home in self.home]
        return FrameMap(locals_, self.slot(0, WORD)[1], self.results_at)

    def arguments(self, count: int) -> int:
        """Bring the top ``count`` operands into their slots and pop them; displacement of the first."""
        ops = self.ops
        base = len(ops) - count
        for depth in range(base, len(ops)):
            place = ops[depth]
            slot = self.slot(depth, place[2])
            if place != slot:
                self.move(place, slot)
        del ops[base:]
        self.save(base)
        return self.slot(base, WORD)[1]

    def target(self, following: int, cls: int) -> tuple[Place, bool]:
        """Where a result goes, and whether it stays on the stack: into a local at once if the instruction at
        ``following`` puts it there, which is then skipped."""
        source = self.source
        opcode = source[following]
        if opcode == 0x21 or opcode == 0x22:
            local = source[following + 1]
            if local < 0x80 and local < len(self.home):
                home = self.home[local]
                if home[2] == cls and home not in self.ops:
                    self.skip = home
                    return home, opcode == 0x22
        return self.own(len(self.ops), cls), True

    def unhand(self, home: Place) -> None:
        """A local is about to change: operands that are its present value get it into their own places."""
        ops = self.ops
        if len(ops) > MAX_DEPTH:
            raise Unsupported("many operands")
        if home not in ops:
            return
        for depth, place in enumerate(ops):
            if place == home:
                self.settle(depth)

    # -- code ----------------------------------------------------------------------------------------------------------

    def emit(
        self,
        stencil: Stencil,
        a: int = _NOT_SAID,
        b: int = _NOT_SAID,
        c: int = _NOT_SAID,
        d: int = _NOT_SAID,
        i: int = _NOT_SAID,
        j: int = _NOT_SAID,
    ) -> list[Patch]:
        """Copy a stencil and fill its holes; the jumps it has to a label or a table are returned.

        A hole for which nothing is given, or that its number does not fit, raises ``struct.error`` (our bug).
        """
        out = self.out
        base = len(out)
        out += stencil.code
        if stencil.numbers:
            values: tuple[int, ...] = (a, b, c, d, i, j)
            for at, hole, added in stencil.numbers:
                _put32(out, base + at, values[hole] + added)
        if stencil.wide:
            values = (a, b, c, d, i, j)
            for at, hole, added in stencil.wide:
                value = values[hole & 7] + added
                if hole & UNSIGNED and -1 << 31 <= value < 0:
                    value += 1 << 32
                _put64(out, base + at, value)
        return self._jumps(stencil.jumps, base) if stencil.jumps else _NO_PATCHES

    def fill(self, stencil: Stencil, base: int, i: int) -> None:
        """Fill the only hole of a stencil that was copied to ``base`` once more: the ``i64`` called ``i``."""
        ((at, hole, added),) = stencil.wide
        assert hole == _I and not stencil.numbers, "another hole than the one that is filled again"
        _put64(self.out, base + at, i + added)

    def _jumps(self, jumps: tuple[tuple[int, int, int], ...], base: int) -> list[Patch]:
        labels: list[Patch] = []
        for at, symbol, added in jumps:
            field = base + at
            if symbol == NEXT:
                _put32(self.out, field, len(self.out) + added - field)
            elif symbol in (TARGET, TABLE):
                labels.append((field, added))
            elif symbol >= POOL:
                self._constants.append((field, added, symbol - POOL))
            else:
                self._traps.setdefault(symbol - TRAPS, []).append((field, added))
        return labels

    def bind(self, patches: list[Patch], target: int) -> None:
        """Let jumps go to ``target``."""
        for field, added in patches:
            _put32(self.out, field, target + added - field)

    def reach(self, patches: list[Patch], frame: Frame) -> None:
        """Let jumps go to a frame's label."""
        if frame.kind == LOOP:
            self.bind(patches, frame.start)
        else:
            frame.patches += patches

    def unwind(self, patches: list[Patch]) -> None:
        """Let jumps go to the innermost handler, or out of the function. An exception is pending then, and every
        operand that was below what threw is in its slot, as are pinned floats."""
        (self.tries[-1].thrown if self.tries else self._unwinding).extend(patches)

    def jump(self, frame: Frame) -> None:
        self.reach(self.emit(self.facts.jump), frame)

    def leave(self, frame: Frame) -> None:
        """Branch to a frame's label for good, with the operands it takes."""
        self.settle_all(min(frame.height, len(self.ops)))
        self.pass_on(frame)
        self.jump(frame)

    def pass_on(self, frame: Frame) -> None:
        """Bring the topmost operands to where a frame's label expects them; the stack stays as it is."""
        count = len(frame.label)
        base = len(self.ops) - count
        for i in range(count):
            place = self.ops[base + i]
            own = self.own(frame.height + i, place[2])
            if place != own:
                self.move(place, own)

    def block_classes(self, imm: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if imm is None:
            return (), ()
        if isinstance(imm, int):
            type_ = self.facts.func_type(imm)
            return classes_of(type_.params), classes_of(type_.results)
        assert isinstance(imm, NumType | RefType)
        return (), classes_of((imm,))

    def places(self, height: int, classes: tuple[int, ...]) -> None:
        """Control arrives from elsewhere: every operand is in its own place, those from ``height`` on are of
        ``classes``. Where the ones below were last seen does not matter, for that was on another way."""
        del self.ops[height:]
        for depth, place in enumerate(self.ops):
            if place[0] >= OPERANDS:
                self.ops[depth] = self.own(depth, place[2])
        for i, cls in enumerate(classes):
            self.ops.append(self.own(height + i, cls))

    def return_(self) -> None:
        """Return the topmost operands, as many as there are results; the stack stays as it is."""
        name = self._returns
        group = self.group
        if len(name) == 1 and name != MANY:
            place = self.ops[-1]
            self.emit(group("return " + name).get(place[0] | self._pops), a=place[1], i=self.stack_bytes)
            return
        at = self._results_in_slots()
        if name == MANY:
            for i, value in enumerate(at):
                give = group("give v" if self._result_classes[i] == VECTOR else "give w").get(0)
                self.emit(give, a=value, b=self.results_at, i=RESULT_SLOT * i)
        elif name:
            self.emit(group("return " + name).get(self._pops), a=at[0], b=at[1], i=self.stack_bytes)
            return
        self.emit(group("return ").get(self._pops), i=self.stack_bytes)

    def _results_in_slots(self) -> list[int]:
        """Bring the topmost operands, the results, into slots; displacement of each."""
        ops = self.ops
        depth = len(ops) - len(self.frames[0].results)
        found: list[int] = []
        for cls in self._result_classes:
            if cls == VECTOR:
                depth += 1
            elif ops[depth][0] != SLOT:
                slot = self.slot(depth, cls)
                self.move(ops[depth], slot)
                ops[depth] = slot
            found.append(ops[depth][1])
            depth += 1
        return found

    def group(self, name: str) -> Group:
        return self.facts.library.group(name)

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> bytes:
        """The function's machine code, whose entry is its first byte."""
        out = self.out
        for hot in self._hot:
            self._cool(hot)
        if self._unwinding:
            self.bind(self._unwinding, len(out))
            self.emit(self.group("return ").get(self._pops), i=self.stack_bytes)
        for code, fields in self._traps.items():
            target = len(out)
            self.emit(self.group("trap").get(code))
            for field, added in fields:
                _put32(out, field, target + added - field)
        at: dict[int, int] = {}
        for field, added, number in self._constants:
            if number not in at:
                out += b"\xcc" * (-len(out) % _POOL_ALIGN)
                at[number] = len(out)
                out += self.facts.library.constants[number]
            _put32(out, field, at[number] + added - field)
        size = 8 * (self._slots + self._deepest)
        _put32(out, self._frame_at, -((size + 15) & -16))
        return bytes(out)
