"""Random function bodies over one rich module: mostly well-formed, often valid, and meant for an oracle to judge.

Bodies begin in unreachable code more often than not, because there any instruction finds its operands, and what
decides is whether one instruction's results suit the next.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.support import assemble
from tests.valid.build import leb, section, vec
from wardian.binary.decode import decode
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS, Row

MODULE = """(module
  (type $v (func)) (type $ii (func (param i32) (result i32)))
  (type $mv (func (param i64 i32) (result i32 i64)))
  (rec (type $s (sub (struct (field (mut i32)) (field i8) (field (mut (ref null $s))))))
       (type $s2 (sub $s (struct (field (mut i32)) (field i8) (field (mut (ref null $s))) (field f64)))))
  (type $a (array (mut i8))) (type $ar (sub (array (mut (ref null $s))))) (type $ai (array i64))
  (type $f1 (sub (func (param (ref $s2)) (result (ref $s)))))
  (type $f2 (sub $f1 (func (param (ref $s)) (result (ref $s2)))))
  (type $an (array (mut (ref func)))) (type $e (func (result (ref exn)))) (type $e2 (func (result exnref)))
  (type $rr (func (param anyref) (result (ref any))))
  (import "m" "g" (global i32)) (import "m" "f" (func $imp (type $mv)))
  (table 4 funcref) (table i64 4 (ref null $f1)) (table 4 externref)
  (memory 1) (memory i64 1)
  (tag) (tag (param i32))
  (global (mut i64) (i64.const 0)) (global (ref null $s) (ref.null $s))
  (elem func $imp) (elem (ref null $s) (ref.null $s))
  (data $d "abc")
  (func (type $ii) (data.drop $d) (local.get 0)))
"""
TYPES, STRUCTS, ARRAYS = 15, (3, 4), (5, 6, 7, 10)
LOCALS = vec(
    *(b"\1" + t for t in (b"\x7f", b"\x7e", b"\x63\3", b"\x64\4", b"\x70", b"\x6e", b"\x6f", b"\x69", b"\x7b"))
)
HEAPS = bytes(range(0x69, 0x75))
CODE, CUSTOM = 10, 0


def _frame() -> tuple[bytes, bytes]:
    """The module before and after its code section."""
    source = assemble(MODULE)
    module = decode(source)
    at = next(i for i, (number, _, _) in enumerate(module.sections) if number == CODE)
    content = [bytes([number]) + leb(end - start) + source[start:end] for number, start, end in module.sections]
    kept = [c if number != CUSTOM else b"" for c, (number, _, _) in zip(content, module.sections, strict=True)]
    return source[:8] + b"".join(kept[:at]), b"".join(kept[at + 1 :])


class Bodies:
    """The bodies of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.before, self.after = _frame()
        self.rows = tuple(row for row in ROWS if row.name not in ("end", "else"))
        self.special = tuple(r for r in self.rows if r.params is None and r.imm not in (Imm.MEMARG, Imm.MEMARG_LANE))
        features = ("gc", "function_references", "exceptions", "reference_types")
        self.references = tuple(row for row in self.rows if row.feature in features)

    def module(self) -> bytes:
        """The next module, its last function's body random."""
        entry = (
            LOCALS
            + (b"\0" if self.chance(0.85) else b"")
            + self.body()
            + (b"\0" if self.chance(0.9) else b"")
            + b"\x0b"
        )
        return self.before + section(CODE, vec(leb(len(entry)) + entry)) + self.after

    def body(self) -> bytes:
        out = bytearray()
        opened: list[str] = []
        for _ in range(self.random.choice((1, 1, 2, 2, 3, 4))):
            if self.chance(0.4):
                out += b"\0"
            if opened and self.chance(0.15):
                out += b"\x05" if opened.pop() == "if" and self.chance(0.5) else b"\x0b"
                if out[-1] == 5:
                    opened.append("else")
            row = self.random.choice(self.random.choice((self.special, self.special, self.references, self.rows)))
            if row.imm in (Imm.BLOCK, Imm.TRY_TABLE):
                opened.append(row.name)
            out += self.encoded(row)
        for _ in opened:
            out += (b"\0" if self.chance(0.7) else b"") + b"\x0b"
        return bytes(out)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def encoded(self, row: Row) -> bytes:
        opcode = row.opcode
        code = bytes([opcode]) if opcode < 0x100 else bytes([opcode >> 16]) + leb(opcode & 0xFFFF)
        if row.imm is Imm.TYPE and row.feature == "gc":
            return code + self.one(STRUCTS if row.name.startswith("struct") else ARRAYS)
        return code + IMMEDIATES[row.imm](self)

    # Parts of immediates; one in ten indices is one too big.

    def index(self, count: int) -> bytes:
        return leb(self.random.randrange(count + (1 if self.chance(0.1) else 0)))

    def one(self, values: tuple[int, ...]) -> bytes:
        return leb(self.random.choice(values)) if self.chance(0.9) else self.index(TYPES)

    def heap(self) -> bytes:
        return bytes([self.random.choice(HEAPS)]) if self.chance(0.4) else self.index(TYPES)

    def value_type(self) -> bytes:
        if self.chance(0.35):
            return bytes([self.random.randrange(0x7B, 0x80)])
        if self.chance(0.25):
            return bytes([self.random.choice(HEAPS)])
        return bytes([self.random.choice((0x63, 0x64))]) + self.heap()

    def block_type(self) -> bytes:
        return self.random.choice((lambda: b"\x40", self.value_type, lambda: self.index(TYPES)))()

    def label(self) -> bytes:
        return leb(self.random.choice((0, 0, 0, 0, 1, 1, 2, 3)))

    def memarg(self) -> bytes:
        memory, align = self.random.randrange(3), self.random.randrange(4)
        offset = leb(self.random.choice((0, 8, 1 << 32)))
        return leb(align | (0x40 if memory else 0)) + (leb(memory) if memory else b"") + offset

    def catch(self) -> bytes:
        kind = self.random.randrange(4)
        return bytes([kind]) + (self.index(2) if kind < 2 else b"") + self.label()


# fmt: off
IMMEDIATES: dict[Imm, Callable[[Bodies], bytes]] = {
    Imm.NONE:          lambda b: b"",
    Imm.LABEL:         Bodies.label,
    Imm.FUNC:          lambda b: b.index(2),
    Imm.TYPE:          lambda b: b.index(TYPES),
    Imm.LOCAL:         lambda b: b.index(10),
    Imm.GLOBAL:        lambda b: b.index(3),
    Imm.TABLE:         lambda b: b.index(3),
    Imm.MEMORY:        lambda b: b.index(2),
    Imm.DATA:          lambda b: b.index(1),
    Imm.ELEM:          lambda b: b.index(2),
    Imm.TAG:           lambda b: b.index(2),
    Imm.LANE:          lambda b: bytes([b.random.randrange(17)]),
    Imm.I32:           lambda b: b"\1",
    Imm.I64:           lambda b: b"\1",
    Imm.F32:           lambda b: bytes(4),
    Imm.F64:           lambda b: bytes(8),
    Imm.V128:          lambda b: bytes(16),
    Imm.SHUFFLE:       lambda b: bytes(15) + bytes([b.random.randrange(33)]),
    Imm.BLOCK:         Bodies.block_type,
    Imm.MEMARG:        Bodies.memarg,
    Imm.MEMARG_LANE:   lambda b: b.memarg() + bytes([b.random.randrange(5)]),
    Imm.SELECT_T:      lambda b: vec(*[b.value_type()] * (1 if b.chance(0.9) else 2)),
    Imm.HEAP:          Bodies.heap,
    Imm.BR_TABLE:      lambda b: vec(b.label(), b.label()) + b.label(),
    Imm.CALL_INDIRECT: lambda b: b.index(TYPES) + b.index(3),
    Imm.MEMORY_COPY:   lambda b: b.index(2) + b.index(2),
    Imm.MEMORY_INIT:   lambda b: b.index(1) + b.index(2),
    Imm.TABLE_COPY:    lambda b: b.index(3) + b.index(3),
    Imm.TABLE_INIT:    lambda b: b.index(2) + b.index(3),
    Imm.TYPE_FIELD:    lambda b: b.one(STRUCTS) + b.index(4),
    Imm.TYPE_COUNT:    lambda b: b.one(ARRAYS) + leb(b.random.choice((0, 1, 2, 3, 0xFFFF_FFFF))),
    Imm.TYPE_DATA:     lambda b: b.one(ARRAYS) + b.index(1),
    Imm.TYPE_ELEM:     lambda b: b.one(ARRAYS) + b.index(2),
    Imm.TYPE_TYPE:     lambda b: b.one(ARRAYS) + b.one(ARRAYS),
    Imm.BR_CAST:       lambda b: bytes([b.random.randrange(4)]) + b.label() + b.heap() + b.heap(),
    Imm.TRY_TABLE:     lambda b: b.block_type() + vec(*[b.catch()] * b.random.randrange(3)),
    Imm.FENCE:         lambda b: b"\0",
}
# fmt: on
