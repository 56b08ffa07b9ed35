"""Random modules, well-typed by construction, from the engine's own instruction table, weighted to edges.

A module is text. Whatever has a signature of numbers is used as the table says; memory, variables, calls and control
are written here. Functions call only those before them, and loops count down, so everything ends.

``loose``: NaN payloads are left as they come, so nothing may look at the bits of a float: no reinterpretation, no
store, no sign copied, no vectors. Otherwise every operation that may make a NaN is followed by making it canonical.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from tests.fuzz.values import NUMBERS, bits
from wardian.syntax import families as f
from wardian.syntax.families import Op
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS, Row
from wardian.syntax.types import NumType

PAGE: Final = 65536

_NAN_MAKERS: Final = (f.Promote, f.Demote)
_NAN_WORDS: Final = frozenset(
    "add sub mul div min max sqrt ceil floor trunc nearest demote promote relaxed_madd relaxed_nmadd relaxed_min "
    "relaxed_max".split()
)
_RARE: Final = frozenset({"relaxed_simd", "wide_arithmetic"})
"""What other engines may not have, so only some modules use it."""
_CANONICAL: Final = {"f32": "(f32.const nan)", "f64": "(f64.const nan)"}


class Rule(NamedTuple):
    row: Row
    params: tuple[str, ...]
    results: tuple[str, ...]
    weight: int


def _makes_nan(row: Row) -> bool:
    family = row.family
    if isinstance(family, f.FloatBin):
        return family.op is not Op.COPYSIGN
    if isinstance(family, f.FloatUn):
        return family.op not in (Op.ABS, Op.NEG)
    shape, _, operation = row.name.partition(".")
    vector = shape in ("f32x4", "f64x2") and any(
        word in operation.split("_") or operation.startswith(word) for word in _NAN_WORDS
    )
    return isinstance(family, _NAN_MAKERS) or vector


def _shows_bits(row: Row) -> bool:
    """Does it let one see the payload or the sign of a NaN?"""
    if isinstance(row.family, f.FloatBin):
        return row.family.op is Op.COPYSIGN
    return isinstance(row.family, f.Reinterpret)


@cache
def _rules(loose: bool, scalar: bool, able: frozenset[str]) -> dict[str, tuple[list[Rule], list[int]]]:
    """First result type -> rules that make it, and their weights."""
    table: dict[str, tuple[list[Rule], list[int]]] = {t: ([], []) for t in NUMBERS}
    for row in ROWS:
        if row.params is None or not row.results or row.imm not in (Imm.NONE, Imm.LANE, Imm.SHUFFLE):
            continue
        if not all(isinstance(t, NumType) for t in (*row.params, *row.results)):
            continue
        params, results = tuple(map(str, row.params)), tuple(map(str, row.results))
        if (loose and _shows_bits(row)) or (scalar and "v128" in (*params, *results)):
            continue
        if row.feature not in able and row.feature in _RARE:
            continue
        weight = 1 if "v128" in (*params, *results) else 6
        if isinstance(row.family, f.IntDiv) or row.traps:
            weight = 3
        rules, weights = table[results[0]]
        rules.append(Rule(row, params, results, weight))
        weights.append(weight)
    return table


class _Accesses(NamedTuple):
    loads: dict[str, list[Row]]
    stores: list[tuple[Row, str]]
    atomics: list[tuple[Row, tuple[str, ...], str]]
    """Row, operands above the address, result type."""


@cache
def _accesses() -> _Accesses:
    loads: dict[str, list[Row]] = {t: [] for t in NUMBERS}
    stores: list[tuple[Row, str]] = []
    atomics: list[tuple[Row, tuple[str, ...], str]] = []
    for row in ROWS:
        family = row.family
        if isinstance(family, f.Load):
            loads[str(family.type)].append(row)
        elif isinstance(family, f.SimdLoad | f.SimdLoadExtend | f.SimdLoadSplat | f.SimdLoadZero):
            loads["v128"].append(row)
        elif isinstance(family, f.Store):
            stores.append((row, str(family.type)))
        elif isinstance(family, f.SimdStore):
            stores.append((row, "v128"))
        elif isinstance(family, f.AtomicLoad):
            atomics.append((row, (), str(family.type)))
        elif isinstance(family, f.AtomicRmw):
            atomics.append((row, (str(family.type),), str(family.type)))
        elif isinstance(family, f.AtomicCmpxchg):
            atomics.append((row, (str(family.type),) * 2, str(family.type)))
        elif isinstance(family, f.AtomicStore):
            atomics.append((row, (str(family.type),), ""))
        elif isinstance(family, f.AtomicWait):
            atomics.append((row, (str(family.type), "i64"), "i32"))
        elif isinstance(family, f.AtomicNotify):
            atomics.append((row, ("i32",), "i32"))
    return _Accesses(loads, stores, atomics)


class Signature(NamedTuple):
    params: tuple[str, ...]
    results: tuple[str, ...]

    def text(self) -> str:
        parts = [
            f"({word} {' '.join(types)})" for word, types in (("param", self.params), ("result", self.results)) if types
        ]
        return " ".join(parts)


class Shape:
    """What every function of a module may use."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loose = rng.random() < 0.25
        self.scalar = self.loose or rng.random() < 0.5
        self.types = NUMBERS[:4] if self.scalar else NUMBERS
        self.rules = _rules(self.loose, self.scalar, frozenset(name for name in _RARE if rng.random() < 0.3))
        self.pages = rng.choice((1, 1, 1, 2))
        self.grows = rng.random() < 0.3
        self.is64 = rng.random() < 0.2
        self.address = "i64" if self.is64 else "i32"
        self.atomics = rng.random() < 0.3
        self.throws = rng.random() < 0.25
        """There is a tag of each type, and one of none."""
        self.globals = [(rng.choice(self.types), rng.random() < 0.8) for _ in range(rng.randint(0, 6))]
        self.table = rng.randint(1, 8)
        self.data = rng.randint(0, 3)
        self.signatures: list[Signature] = []
        self.leaves = rng.randint(1, 3)
        """The first functions, which alone stand in the table, and do not call through it."""

    def const(self, type_: str) -> str:
        return constant(type_, bits(self.rng, type_))


def constant(type_: str, value: int) -> str:
    """The instruction for a value by its bits."""
    if type_ == "v128":
        lanes = (value >> 32 * i & 0xFFFFFFFF for i in range(4))
        return f"(v128.const i32x4 {' '.join(map(hex, lanes))})"
    if type_ in ("i32", "i64"):
        return f"({type_}.const {value:#x})"
    width, fraction = (32, 23) if type_ == "f32" else (64, 52)
    sign = "-" if value >> (width - 1) else ""
    exponent = value >> fraction & ((1 << (width - 1 - fraction)) - 1)
    mantissa = value & ((1 << fraction) - 1)
    bias = (1 << (width - 2 - fraction)) - 1
    if exponent == 2 * bias + 1:
        return f"({type_}.const {sign}{f'nan:{mantissa:#x}' if mantissa else 'inf'})"
    # mantissa * 2^-fraction is exact in hexadecimal.
    lead, power = (1, exponent - bias) if exponent else (0, 1 - bias)
    return f"({type_}.const {sign}{hex((lead << fraction) + mantissa)}p{power - fraction})"


class Function:
    """Writes one function."""

    def __init__(self, shape: Shape, index: int, signature: Signature) -> None:
        self.shape = shape
        self.rng = shape.rng
        self.index = index
        self.signature = signature
        self.locals = list(signature.params) + [self.rng.choice(shape.types) for _ in range(self.rng.randint(0, 4))]
        self.counters = len(self.locals)
        self.budget = self.rng.choice((10, 30, 80))
        self.depth = 0
        self.loops = 0
        self.used_counters = 0
        self.labels: list[tuple[str, tuple[str, ...]]] = []
        self.fresh = 0

    def text(self) -> str:
        body = [self.statement() for _ in range(self.rng.randint(1, 7))]
        results = [self.expr(t, 3) for t in self.signature.results]
        extra = self.locals[len(self.signature.params) :] + ["i32"] * self.used_counters
        scratch = "(local $nf f32) (local $nd f64)" + (" (local $nv v128)" if "v128" in self.shape.types else "")
        declared = f"(local {' '.join(extra)})" if extra else ""
        name = f'(func $f{self.index} (export "f{self.index}") {self.signature.text()}'
        return "\n  ".join([name, declared, scratch, *body, *results]) + ")"

    # -- expressions ---------------------------------------------------------------------------------------------------

    def expr(self, type_: str, depth: int) -> str:
        """An expression of one value."""
        self.budget -= 1
        if depth <= 0 or self.budget <= 0 or self.rng.random() < 0.15:
            return self.leaf(type_)
        kind = self.rng.random()
        if kind < 0.62:
            return self.by_row(type_, depth)
        makers = [self.load, self.load, self.select, self.block, self.if_, self.call, self.tee, self.special]
        makers += [self.catch] * 2 * self.shape.throws
        return self.rng.choice(makers)(type_, depth - 1)

    def leaf(self, type_: str) -> str:
        places = [f"(local.get {i})" for i, t in enumerate(self.locals) if t == type_]
        places += [f"(global.get $g{i})" for i, (t, _) in enumerate(self.shape.globals) if t == type_]
        if places and self.rng.random() < 0.65:
            return self.rng.choice(places)
        return self.shape.const(type_)

    def by_row(self, type_: str, depth: int) -> str:
        rules, weights = self.shape.rules[type_]
        rule = self.rng.choices(rules, weights)[0]
        row = rule.row
        imm = ""
        if row.imm is Imm.LANE:
            imm = f" {self.rng.randrange(_lanes(row))}"
        elif row.imm is Imm.SHUFFLE:
            imm = "".join(f" {self.rng.randrange(32)}" for _ in range(16))
        operands = [self.operand(t, depth - 1) for t in rule.params]
        text = f"({row.name}{imm} {' '.join(operands)})"
        if len(rule.results) > 1:
            text = f"(block (result {type_}) {text}{' (drop)' * (len(rule.results) - 1)})"
        return self.canonical(row, type_, text) if not self.shape.loose and _makes_nan(row) else text

    def operand(self, type_: str, depth: int) -> str:
        """Like :meth:`expr`, but often a constant, which is where optimisers are clever."""
        return self.shape.const(type_) if self.rng.random() < 0.2 else self.expr(type_, depth)

    def canonical(self, row: Row, type_: str, text: str) -> str:
        if type_ == "v128":
            shape = row.name.partition(".")[0]
            nan = "0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000" if shape == "f32x4" else "0 0x7ff80000 0 0x7ff80000"
            same = f"({shape}.eq (local.get $nv) (local.get $nv))"
            return f"(v128.bitselect (local.tee $nv {text}) (v128.const i32x4 {nan}) {same})"
        local = "$nf" if type_ == "f32" else "$nd"
        same = f"({type_}.eq (local.get {local}) (local.get {local}))"
        return f"(select (local.tee {local} {text}) {_CANONICAL[type_]} {same})"

    def address(self, depth: int) -> str:
        a = self.shape.address
        kind = self.rng.random()
        if kind < 0.12:
            near = self.shape.pages * PAGE + self.rng.choice((-20, -16, -9, -8, -7, -5, -4, -3, -2, -1, 0, 1, 4))
            return f"({a}.const {near})"
        if kind < 0.17:
            return self.expr(a, depth)
        if kind < 0.2:
            return f"({a}.const {self.rng.choice((0, 1, 8, 0xFFFFFFFF, 0x80000000, 0xFFFF0000))})"
        mask = self.rng.choices((0xF8, 0xFF, 0x7FFF, 0xFFFF, 0x1FFFF), (5, 5, 5, 2, 1))[0]
        return f"({a}.and {self.expr(a, depth)} ({a}.const {mask}))"

    def memarg(self, row: Row, atomic: bool = False) -> str:
        offset = self.rng.choices(
            (
                0,
                self.rng.randrange(64),
                self.rng.choice((PAGE - 8, PAGE - 1, PAGE, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)),
            ),
            (12, 8, 1),
        )[0]
        if self.shape.is64 and offset == 0xFFFF_FFFF and self.rng.random() < 0.5:
            offset = self.rng.choice((1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 8))
        align = "" if atomic or self.rng.random() < 0.7 else " align=1"
        return f" offset={offset}{align}" if offset or align else ""

    def load(self, type_: str, depth: int) -> str:
        row = self.rng.choice(_accesses().loads[type_])
        return f"({row.name}{self.memarg(row)} {self.address(depth)})"

    def select(self, type_: str, depth: int) -> str:
        return f"(select {self.expr(type_, depth)} {self.expr(type_, depth)} {self.expr('i32', depth)})"

    def block(self, type_: str, depth: int) -> str:
        """A block that is left early, now and then, with the value or by a table."""
        label = self.label()
        self.labels.append((label, (type_,)))
        value, cond = self.expr(type_, depth), self.expr("i32", depth)
        inner = self.statement() if self.budget > 0 else ""
        if self.rng.random() < 0.7:
            early = f"(drop (br_if {label} {value} {cond}))"
        else:
            early = f"(if {cond} (then (br {label} {value})))"
        last = self.expr(type_, depth)
        self.labels.pop()
        return f"(block {label} (result {type_}) {early} {inner} {last})"

    def if_(self, type_: str, depth: int) -> str:
        return (
            f"(if (result {type_}) {self.expr('i32', depth)} (then {self.expr(type_, depth)}) "
            f"(else {self.expr(type_, depth)}))"
        )

    def catch(self, type_: str, depth: int) -> str:
        """A value, or what is caught while it is computed."""
        label, inner = self.label(), self.label()
        thrown = f"{self.throw()} {self.expr(type_, depth)}"
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"(block {label} (result {type_}) (try_table (result {type_}) (catch $e_{type_} {label}) {thrown}))"
        if kind == 1:
            # The exception goes on, or is dropped, as some condition says.
            again = f"(if {self.expr('i32', 1)} (then (br {inner})))" if self.rng.random() < 0.5 else ""
            return (
                f"(block {label} (result {type_}) (block {inner} (block $x{inner[1:]} (result {type_} exnref) "
                f"(br {label} (try_table (result {type_}) (catch_ref $e_{type_} $x{inner[1:]}) {thrown}))) "
                f"{again} (throw_ref) (drop)) {self.leaf(type_)})"
            )
        body = f"(br {label} (try_table (result {type_}) (catch $e {inner}) (catch_all {inner}) {thrown}))"
        if kind == 2:
            body = f"(br {label} (try_table (result {type_}) (catch_all {inner}) {thrown}))"
        return f"(block {label} (result {type_}) (block {inner} {body}) {self.leaf(type_)})"

    def throw(self) -> str:
        tag = self.rng.choice((*self.shape.types, ""))
        value = self.expr(tag, 2) if tag else ""
        return f"(if {self.expr('i32', 2)} (then (throw $e{f'_{tag}' if tag else ''} {value})))"

    def call(self, type_: str, depth: int) -> str:
        fitting = [i for i, s in enumerate(self.shape.signatures[: self.index]) if type_ in s.results[:1]]
        if not fitting or self.loops:
            return self.leaf(type_)
        target = self.rng.choice(fitting)
        signature = self.shape.signatures[target]
        arguments = " ".join(self.operand(t, depth - 1) for t in signature.params)
        if self.index >= self.shape.leaves and target < self.shape.leaves and self.rng.random() < 0.5:
            at = self.operand("i32", 1) if self.rng.random() < 0.3 else f"(i32.const {target})"
            text = f"(call_indirect (type $t{target}) {arguments} {at})"
        else:
            text = f"(call $f{target} {arguments})"
        rest = len(signature.results) - 1
        return f"(block (result {type_}) {text}{' (drop)' * rest})" if rest else text

    def tee(self, type_: str, depth: int) -> str:
        own = [i for i, t in enumerate(self.locals) if t == type_]
        return f"(local.tee {self.rng.choice(own)} {self.expr(type_, depth)})" if own else self.leaf(type_)

    def special(self, type_: str, depth: int) -> str:
        """Sizes, growth, references and atomics, where the type is right for them."""
        a = self.shape.address
        choices: list[Callable[[], str]] = []
        if type_ == a:
            choices.append(lambda: "(memory.size)")
            if self.shape.grows:
                choices.append(lambda: f"(memory.grow ({a}.const {self.rng.choice((0, 1, 1, 2, 0xFFFF))}))")
        if type_ == "i32":
            choices.append(lambda: "(table.size 0)")
            choices.append(lambda: f"(ref.is_null (table.get 0 {self.expr('i32', depth)}))")
        if self.shape.atomics:
            fitting = [entry for entry in _accesses().atomics if entry[2] == type_]
            if fitting:
                choices.append(lambda: self.atomic(self.rng.choice(fitting), depth))
        return self.rng.choice(choices)() if choices else self.leaf(type_)

    def atomic(self, entry: tuple[Row, tuple[str, ...], str], depth: int) -> str:
        row, operands, _ = entry
        above = " ".join(self.expr(t, depth - 1) for t in operands)
        size = getattr(row.family, "size", 0) or (row.family.type.size if isinstance(row.family, f.AtomicWait) else 4)
        a = self.shape.address
        address = self.address(depth - 1)
        if self.rng.random() < 0.8:
            address = f"({a}.and {address} ({a}.const {-size}))"
        offset = self.rng.choice((0, 0, 8, 16, PAGE - 8, self.rng.randrange(16)))
        return f"({row.name} offset={offset} {address} {above})"

    # -- statements ----------------------------------------------------------------------------------------------------

    def label(self) -> str:
        self.fresh += 1
        return f"$l{self.fresh}"

    def statement(self) -> str:
        self.budget -= 1
        if self.budget <= 0 or self.depth > 3:
            return f"(drop {self.leaf(self.rng.choice(self.shape.types))})"
        kinds: tuple[tuple[Callable[[], str], int], ...] = (
            (self.set_local, 6),
            (self.set_global, 3),
            (self.store, 8),
            (self.bulk, 2),
            (self.conditional, 3),
            (self.loop, 4),
            (self.sweep, 3),
            (self.table, 1),
            (self.leave, 1),
            (self.switch, 1),
            (self.throw, 2 if self.shape.throws else 0),
        )
        self.depth += 1
        made = self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]()
        self.depth -= 1
        return made

    def set_local(self) -> str:
        if not self.locals:
            return "(nop)"
        i = self.rng.randrange(len(self.locals))
        return f"(local.set {i} {self.expr(self.locals[i], 4)})"

    def set_global(self) -> str:
        own = [(i, t) for i, (t, mutable) in enumerate(self.shape.globals) if mutable]
        if not own:
            return "(nop)"
        i, t = self.rng.choice(own)
        return f"(global.set $g{i} {self.expr(t, 3)})"

    def store(self) -> str:
        if self.shape.atomics and self.rng.random() < 0.3:
            entry = self.rng.choice(_accesses().atomics)
            text = self.atomic(entry, 2)
            return f"(drop {text})" if entry[2] else text
        able = self.shape.types if not self.shape.loose else ("i32", "i64")
        row, type_ = self.rng.choice([entry for entry in _accesses().stores if entry[1] in able])
        return f"({row.name}{self.memarg(row)} {self.address(2)} {self.expr(type_, 3)})"

    def bulk(self) -> str:
        a = self.shape.address
        size = f"({a}.const {self.rng.choice((0, 1, 7, 16, 100, 0xFF00))})"
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"(memory.fill {self.address(1)} {self.expr('i32', 1)} {size})"
        if kind == 1 or not self.shape.data:
            return f"(memory.copy {self.address(1)} {self.address(1)} {size})"
        segment = self.rng.randrange(self.shape.data)
        if kind == 2 or self.rng.random() < 0.5:
            n, m = (self.rng.choice((0, 1, 5, 16, 17)) for _ in range(2))
            return f"(memory.init $d{segment} {self.address(1)} (i32.const {n}) (i32.const {m}))"
        return f"(data.drop $d{segment})"

    def conditional(self) -> str:
        other = f"(else {self.statement()})" if self.rng.random() < 0.5 else ""
        return f"(if {self.expr('i32', 3)} (then {self.statement()}) {other})"

    def _counter(self) -> int:
        """A local for a loop's count, in use until the loop ends."""
        self.loops += 1
        self.used_counters = max(self.used_counters, self.loops)
        return self.counters + self.loops - 1

    def loop(self) -> str:
        if self.loops > 1:
            return self.set_local()
        counter, label = self._counter(), self.label()
        count = self.rng.choice((1, 2, 3, 8, 20))
        inner = " ".join(self.statement() for _ in range(self.rng.randint(1, 3)))
        self.loops -= 1
        return (
            f"(local.set {counter} (i32.const {count})) (loop {label} {inner} "
            f"(br_if {label} (local.tee {counter} (i32.sub (local.get {counter}) (i32.const 1)))))"
        )

    def sweep(self) -> str:
        """A loop over memory, such as compilers make vectors of; it may run over the end."""
        if self.loops > 1:
            return self.store()
        counter, label = self._counter(), self.label()
        a = self.shape.address
        kinds = ["i32", "i64"] if self.shape.loose else list(self.shape.types)
        type_ = self.rng.choice(kinds)
        shift = {"i32": 2, "f32": 2, "i64": 3, "f64": 3, "v128": 4}[type_]
        count = self.rng.choice((3, 17, 64, 200))
        start = self.rng.choice(
            (0, 0, 16, 1024, self.shape.pages * PAGE - (count << shift), self.shape.pages * PAGE - 40)
        )
        index = f"(i32.shl (i32.sub (i32.const {count}) (local.get {counter})) (i32.const {shift}))"
        index = f"(i64.extend_i32_u {index})" if a == "i64" else index
        at = f"({a}.add {index} ({a}.const {start}))"
        name = {"v128": "v128.load"}.get(type_, f"{type_}.load")
        source = self.rng.choice(
            (
                f"({name} {at})",
                f"({name} offset={self.rng.choice((4, 16, 256))} {at})",
                self.leaf(type_),
                self.expr(type_, 2),
            )
        )
        rules = [r for r in self.shape.rules[type_][0] if (r.params, r.results) == ((type_, type_), (type_,))]
        rule = self.rng.choice(rules)
        value = f"({rule.row.name} {source} {self.leaf(type_)})" if rule.row.imm is Imm.NONE else source
        if rule.row.imm is Imm.NONE and not self.shape.loose and _makes_nan(rule.row):
            value = self.canonical(rule.row, type_, value)
        self.loops -= 1
        return (
            f"(local.set {counter} (i32.const {count})) (loop {label} "
            f"({name.replace('load', 'store')} {at} {value}) "
            f"(br_if {label} (local.tee {counter} (i32.sub (local.get {counter}) (i32.const 1)))))"
        )

    def table(self) -> str:
        kind = self.rng.randrange(4)
        i = (
            self.expr("i32", 1)
            if self.rng.random() < 0.4
            else f"(i32.const {self.rng.randrange(self.shape.table + 1)})"
        )
        target = self.rng.randrange(self.shape.leaves)
        value = self.rng.choice(("(ref.null func)", f"(ref.func $f{target})"))
        if kind == 0:
            return f"(table.set 0 {i} {value})"
        if kind == 1:
            return f"(drop (table.grow 0 {value} (i32.const {self.rng.choice((0, 1, 3, 100))})))"
        n = f"(i32.const {self.rng.choice((0, 1, 2, 5))})"
        if kind == 2:
            return f"(table.fill 0 {i} {value} {n})"
        return f"(table.copy 0 0 {i} (i32.const {self.rng.randrange(4)}) {n})"

    def leave(self) -> str:
        """Return, or trap, if some condition holds."""
        cond = self.expr("i32", 3)
        if self.rng.random() < 0.3:
            return f"(if {cond} (then (unreachable)))"
        values = " ".join(self.expr(t, 2) for t in self.signature.results)
        return f"(if {cond} (then (return {values})))"

    def switch(self) -> str:
        """A ``br_table`` over nested blocks."""
        labels = [self.label() for _ in range(self.rng.randint(1, 4))]
        listed = " ".join(self.rng.choice(labels) for _ in range(self.rng.randint(0, 5)))
        text = f"(br_table {listed} {labels[-1]} {self.expr('i32', 2)})"
        for label in labels:
            text = f"(block {label} {text}) {self.statement()}"
        return text


def _lanes(row: Row) -> int:
    shape = getattr(row.family, "shape", None)
    assert isinstance(shape, f.Shape)
    return shape.lanes


def module(rng: random.Random) -> tuple[str, bool]:
    """The text of a module, and whether NaNs are only to be compared loosely."""
    shape = Shape(rng)
    functions: list[str] = []
    for index in range(shape.leaves + rng.randint(1, 5)):
        # Now and then so many that some travel on the stack.
        count = rng.choice((0, 1, 2, 2, 3, 6)) if rng.random() < 0.9 else rng.randint(8, 20)
        params = tuple(rng.choice(shape.types) for _ in range(count))
        results = tuple(rng.choice(shape.types) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))))
        shape.signatures.append(Signature(params, results))
        functions.append(Function(shape, index, shape.signatures[index]).text())
    most = shape.pages + 2 if shape.grows else shape.pages
    lines = [f"(type $t{i} (func {s.text()}))" for i, s in enumerate(shape.signatures)]
    lines.append(f'(memory (export "memory") {"i64 " if shape.is64 else ""}{shape.pages} {most})')
    lines.append(f'(table (export "table") {shape.table} {shape.table + 8} funcref)')
    if shape.throws:
        lines += ["(tag $e)", *(f"(tag $e_{t} (param {t}))" for t in shape.types)]
    for i, (type_, mutable) in enumerate(shape.globals):
        kind = f"(mut {type_})" if mutable else type_
        lines.append(f'(global $g{i} (export "g{i}") {kind} {shape.const(type_)})')
    refs = " ".join(f"$f{i}" for i in range(min(shape.leaves, shape.table)))
    lines.append(f"(elem (i32.const 0) func {refs})")
    lines.append(f"(elem declare func {' '.join(f'$f{i}' for i in range(shape.leaves))})")
    for i in range(shape.data):
        raw = "".join(f"\\{byte:02x}" for byte in rng.randbytes(rng.choice((0, 5, 16))))
        lines.append(f'(data $d{i} "{raw}")')
    start = rng.choice((0, 8, shape.pages * PAGE - 16))
    raw = "".join(f"\\{byte:02x}" for byte in rng.randbytes(16))
    lines.append(f'(data ({shape.address}.const {start}) "{raw}")')
    return "\n".join(["(module", *lines, *functions, ")"]), shape.loose
