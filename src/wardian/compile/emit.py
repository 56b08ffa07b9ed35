"""A typed writer of LLVM's textual IR: the only place that spells LLVM.

Invariant: what would be undefined behaviour in LLVM for some operand cannot be written with it: there is no
``nsw``/``nuw``/``exact``/``inbounds``/fast-math here. Operands carry their type; names are minted, never taken from a
guest. Text rather than llvmlite's builder objects because it is some thirty times quicker (docs/rationale.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, TypeAlias, final

Value: TypeAlias = "tuple[str, str]"
"""``(operand text, LLVM type)``. An ``i1`` on the operand stack stands for the ``i32`` 0 or 1."""

GUEST: Final = ", !tbaa !1"
"""Access to guest memory: aliases no other tag."""
HOSTDATA: Final = ", !tbaa !3"
"""Access to a structure of :mod:`wardian.vm.layout` that may change while a function runs."""
HEAPDATA: Final = ", !tbaa !10"
"""Access to a field or an element of a heap object."""
OBJECT: Final = ", !tbaa !12"
"""Access to what never changes in a heap object once it is made: its header and an array's length."""
FREERUN: Final = ", !tbaa !14"
"""Access to the runs new objects are taken from."""
CONSTANT: Final = ", !invariant.load !0"
"""A load whose location never changes once an instance exists."""
UNLIKELY: Final = ", !prof !5"
HINT: Final = MappingProxyType({False: ", !prof !8", True: ", !prof !9"})
"""A branch hint (``metadata.code.branch_hint``) -> weights of a condition that is rarely, or usually, true."""

_LOOPS: Final = 100
"""Where the numbers of loops' metadata begin."""

METADATA: Final = """
!0 = !{}
!1 = !{!2, !2, i64 0}
!2 = !{!"guest", !6, i64 0}
!3 = !{!4, !4, i64 0}
!4 = !{!"host", !6, i64 0}
!5 = !{!"branch_weights", i32 1, i32 1048575}
!6 = !{!"wardian"}
!8 = !{!"branch_weights", i32 1, i32 2000}
!9 = !{!"branch_weights", i32 2000, i32 1}
!10 = !{!11, !11, i64 0}
!11 = !{!"heap", !6, i64 0}
!12 = !{!13, !13, i64 0}
!13 = !{!"object", !6, i64 0}
!14 = !{!15, !15, i64 0}
!15 = !{!"run", !6, i64 0}
"""


@final
class Emitter:
    """Writes one function. ``entry`` collects what must stand before everything else (allocas, invariant loads)."""

    __slots__ = ("block", "declared", "entry", "lines", "loops", "names", "quiet", "views")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.declared: set[str] = set()
        self.names = 0
        self.loops = 0
        self.block = "entry"
        self.views: dict[str, Value] = {}
        """A v128's name -> the vector of another type that it was cast from (:mod:`wardian.compile.simd`)."""
        self.quiet: set[str] = set()
        """Names of vectors that came out of float arithmetic (:mod:`wardian.compile.simd`)."""

    def name(self) -> str:
        self.names += 1
        return f"%v{self.names}"

    def label(self) -> str:
        self.names += 1
        return f"b{self.names}"

    def start(self, label: str) -> None:
        """Begin the block ``label``; the block before must have ended."""
        self.lines.append(f"{label}:")
        self.block = label

    # -- values ----------------------------------------------------------------------------------------------------

    def binary(self, op: str, x: Value, y: Value) -> Value:
        n = self.name()
        self.lines.append(f" {n} = {op} {x[1]} {x[0]}, {y[0]}")
        return n, x[1]

    def icmp(self, op: str, x: Value, y: Value) -> Value:
        n = self.name()
        self.lines.append(f" {n} = icmp {op} {x[1]} {x[0]}, {y[0]}")
        return n, "i1"

    def fcmp(self, op: str, x: Value, y: Value) -> Value:
        n = self.name()
        self.lines.append(f" {n} = fcmp {op} {x[1]} {x[0]}, {y[0]}")
        return n, "i1"

    def fneg(self, x: Value) -> Value:
        n = self.name()
        self.lines.append(f" {n} = fneg {x[1]} {x[0]}")
        return n, x[1]

    def cast(self, op: str, x: Value, to: str) -> Value:
        n = self.name()
        self.lines.append(f" {n} = {op} {x[1]} {x[0]} to {to}")
        return n, to

    def select(self, cond: Value, x: Value, y: Value) -> Value:
        n = self.name()
        self.lines.append(f" {n} = select i1 {cond[0]}, {x[1]} {x[0]}, {y[1]} {y[0]}")
        return n, x[1]

    def extract(self, aggregate: Value, index: int, type: str) -> Value:
        n = self.name()
        self.lines.append(f" {n} = extractvalue {aggregate[1]} {aggregate[0]}, {index}")
        return n, type

    def insert(self, aggregate: Value, value: Value, index: int) -> Value:
        n = self.name()
        self.lines.append(f" {n} = insertvalue {aggregate[1]} {aggregate[0]}, {value[1]} {value[0]}, {index}")
        return n, aggregate[1]

    def intrinsic(self, name: str, result: str, *args: Value) -> Value:
        """Call the LLVM intrinsic ``name`` (with its type suffix)."""
        self.declared.add(f"declare {result} @llvm.{name}({', '.join(a[1] for a in args)})")
        n = self.name()
        self.lines.append(f" {n} = call {result} @llvm.{name}({', '.join(f'{a[1]} {a[0]}' for a in args)})")
        return n, result

    # -- vectors ---------------------------------------------------------------------------------------------------

    def compare(self, op: str, x: Value, y: Value, lanes: int) -> Value:
        """Compare lane by lane; ``op`` is such as ``"icmp slt"``. The result is a vector of ``i1``."""
        n = self.name()
        self.lines.append(f" {n} = {op} {x[1]} {x[0]}, {y[0]}")
        return n, f"<{lanes} x i1>"

    def choose(self, mask: Value, x: Value, y: Value) -> Value:
        """``x`` where a lane of ``mask`` (a vector of ``i1``) is set, else ``y``."""
        n = self.name()
        self.lines.append(f" {n} = select {mask[1]} {mask[0]}, {x[1]} {x[0]}, {y[1]} {y[0]}")
        return n, x[1]

    def lane(self, vector: Value, index: Value, type: str) -> Value:
        """``index`` must be less than the number of lanes."""
        n = self.name()
        self.lines.append(f" {n} = extractelement {vector[1]} {vector[0]}, {index[1]} {index[0]}")
        return n, type

    def with_lane(self, vector: Value, value: Value, index: int) -> Value:
        n = self.name()
        self.lines.append(f" {n} = insertelement {vector[1]} {vector[0]}, {value[1]} {value[0]}, i32 {index}")
        return n, vector[1]

    def shuffle(self, x: Value, y: Value, lanes: Sequence[int], lane: str) -> Value:
        """The ``lanes`` of ``x`` and, counted on, ``y``; ``lane`` is the type of one."""
        n = self.name()
        mask = ", ".join([f"i32 {i}" for i in lanes])
        self.lines.append(f" {n} = shufflevector {x[1]} {x[0]}, {y[1]} {y[0]}, <{len(lanes)} x i32> <{mask}>")
        return n, f"<{len(lanes)} x {lane}>"

    def splat(self, value: Value, lanes: int) -> Value:
        """``value`` in every lane."""
        type_ = f"<{lanes} x {value[1]}>"
        first = self.with_lane(("poison", type_), value, 0)
        return self.shuffle(first, ("poison", type_), [0] * lanes, value[1])

    # -- memory ----------------------------------------------------------------------------------------------------

    def offset(self, base: Value, by: int) -> Value:
        """``base`` plus a constant."""
        if not by:
            return base
        n = self.name()
        self.lines.append(f" {n} = getelementptr i8, ptr {base[0]}, i64 {by}")
        return n, "ptr"

    def index(self, base: Value, by: Value, scale: str = "i8") -> Value:
        """``base`` plus the 64-bit ``by`` times the size of ``scale``."""
        n = self.name()
        self.lines.append(f" {n} = getelementptr {scale}, ptr {base[0]}, i64 {by[0]}")
        return n, "ptr"

    def load(self, pointer: Value, type: str, tag: str, *, volatile: bool = False, align: int = 8) -> Value:
        n = self.name()
        how = "load volatile" if volatile else "load"
        self.lines.append(f" {n} = {how} {type}, ptr {pointer[0]}, align {align}{tag}")
        return n, type

    def store(self, value: Value, pointer: Value, tag: str, *, volatile: bool = False, align: int = 8) -> None:
        how = "store volatile" if volatile else "store"
        self.lines.append(f" {how} {value[1]} {value[0]}, ptr {pointer[0]}, align {align}{tag}")

    # -- atomics: sequentially consistent unless said otherwise, aligned to their width -----------------------------

    def atomic_load(
        self, pointer: Value, type: str, tag: str, order: str = "seq_cst", *, volatile: bool = False, align: int = 8
    ) -> Value:
        n = self.name()
        how = "load atomic volatile" if volatile else "load atomic"
        self.lines.append(f" {n} = {how} {type}, ptr {pointer[0]} {order}, align {align}{tag}")
        return n, type

    def atomic_store(self, value: Value, pointer: Value, tag: str, *, align: int) -> None:
        self.lines.append(f" store atomic volatile {value[1]} {value[0]}, ptr {pointer[0]} seq_cst, align {align}{tag}")

    def atomic_rmw(self, op: str, pointer: Value, value: Value, tag: str, *, align: int) -> Value:
        """The old value."""
        n = self.name()
        operands = f"ptr {pointer[0]}, {value[1]} {value[0]}"
        self.lines.append(f" {n} = atomicrmw volatile {op} {operands} seq_cst, align {align}{tag}")
        return n, value[1]

    def atomic_cmpxchg(self, pointer: Value, expected: Value, value: Value, tag: str, *, align: int) -> Value:
        """The old value."""
        n = self.name()
        operands = f"ptr {pointer[0]}, {expected[1]} {expected[0]}, {value[1]} {value[0]}"
        self.lines.append(f" {n} = cmpxchg volatile {operands} seq_cst seq_cst, align {align}{tag}")
        return self.extract((n, f"{{ {value[1]}, i1 }}"), 0, value[1])

    def fence(self) -> None:
        self.lines.append(" fence seq_cst")

    def barrier(self) -> None:
        """Nothing that touches memory is moved across; costs no instruction."""
        self.lines.append(' call void asm sideeffect "", "~{memory}"()')

    def opaque(self, x: Value) -> Value:
        """``x``, of which LLVM knows nothing; costs no instruction."""
        n = self.name()
        self.lines.append(f' {n} = call {x[1]} asm "", "=r,0"({x[1]} {x[0]})')
        return n, x[1]

    def finite_loop(self) -> str:
        """A tag for the branch back to the beginning of a loop that is known to end."""
        self.loops += 1
        return f", !llvm.loop !{_LOOPS + self.loops}"

    def loop_metadata(self) -> str:
        """The definitions of :meth:`finite_loop`'s tags."""
        each = [f"!{_LOOPS + i} = distinct !{{!{_LOOPS + i}, !{_LOOPS}}}" for i in range(1, self.loops + 1)]
        return "\n".join([f'!{_LOOPS} = !{{!"llvm.loop.mustprogress"}}', *each]) if each else ""

    # -- the frame, and what stands before everything --------------------------------------------------------------

    def local(self, type: str, count: int = 1) -> Value:
        """A slot of the function's own frame."""
        n = self.name()
        many = f", i32 {count}" if count != 1 else ""
        self.entry.append(f" {n} = alloca {type}{many}, align 16")
        return n, "ptr"

    def entry_load(self, base: Value, by: int, type: str) -> Value:
        """An invariant load placed in the entry block."""
        p, n = self.name(), self.name()
        self.entry.append(f" {p} = getelementptr i8, ptr {base[0]}, i64 {by}")
        self.entry.append(f" {n} = load {type}, ptr {p}, align 8{CONSTANT}")
        return n, type

    # -- control ---------------------------------------------------------------------------------------------------

    def br(self, label: str, tag: str = "") -> None:
        self.lines.append(f" br label %{label}{tag}")

    def cond_br(self, cond: Value, then: str, otherwise: str, hint: str = "") -> None:
        self.lines.append(f" br i1 {cond[0]}, label %{then}, label %{otherwise}{hint}")

    def switch(self, value: Value, default: str, labels: list[str]) -> None:
        cases = " ".join(f"{value[1]} {i}, label %{name}" for i, name in enumerate(labels))
        self.lines.append(f" switch {value[1]} {value[0]}, label %{default} [ {cases} ]")

    def phi(self, type: str, incoming: list[tuple[str, str]]) -> Value:
        """``incoming`` are ``(operand text, label)`` pairs, at least one."""
        n = self.name()
        self.lines.append(phi_text(n, type, incoming))
        return n, type

    def call(
        self, result: str, function: Value, args: list[Value], how: str = "", *, apart: bool = False
    ) -> Value:
        """Call through a pointer. ``how`` is the calling convention with a blank, such as ``"tailcc "``.

        ``apart``: it is not to be made one with another call, for the processor remembers for each where it went.
        """
        suffix = " nomerge" if apart else ""
        # A guest's own frame stays where a backtrace finds it, also when nothing follows the call.
        kind = f"notail call {how}"
        text = ", ".join([f"{t} {v}" for v, t in args])
        if result == "void":
            self.lines.append(f" {kind}void {function[0]}({text}){suffix}")
            return "", "void"
        n = self.name()
        self.lines.append(f" {n} = {kind}{result} {function[0]}({text}){suffix}")
        return n, result

    def tail_call(
        self, result: str, function: Value, args: list[Value], on_stack: bool, *, apart: bool = False
    ) -> None:
        """A guaranteed tail call under ``tailcc``, and the return.

        ``on_stack``: parameters of the caller or the callee may lie on the stack. For ``musttail`` LLVM 22 forgets to
        move them (llvm/llvm-project#199224), so it is a plain ``tail`` call, which ``tailcc`` guarantees as well; the
        function needs attribute group #1, for #0 forbids what is not ``musttail``. ``apart``: see :meth:`call`.
        """
        text = ", ".join([f"{t} {v}" for v, t in args])
        how = "tail" if on_stack else "musttail"
        suffix = " nomerge" if apart else ""
        if result == "void":
            self.lines.append(f" {how} call tailcc void {function[0]}({text}){suffix}\n ret void")
            return
        n = self.name()
        self.lines.append(f" {n} = {how} call tailcc {result} {function[0]}({text}){suffix}\n ret {result} {n}")

    def ret(self, value: Value | None) -> None:
        self.lines.append(" ret void" if value is None else f" ret {value[1]} {value[0]}")

    def unreachable(self) -> None:
        self.lines.append(" unreachable")


def phi_text(name: str, type: str, incoming: list[tuple[str, str]]) -> str:
    return f" {name} = phi {type} " + ", ".join([f"[ {v}, %{label} ]" for v, label in incoming])


class Unknown(int):
    """A number that is only known when code is copied (:mod:`wardian.compile.baseline.holes`)."""

    def text(self, type: str) -> str:
        """How it is written where ``type`` is wanted: as it prints, unless a subclass tells types apart."""
        return str(self)


def const(value: int, type: str) -> Value:
    return value.text(type) if isinstance(value, Unknown) else str(value), type


def float_bits(bits: int, type: str) -> Value:
    """A floating-point constant by its bits; exact for every NaN, which LLVM's own float syntax is not."""
    return (f"bitcast (i32 {bits} to float)", type) if type == "float" else (f"bitcast (i64 {bits} to double)", type)


def v128(data: bytes) -> Value:
    """A constant of 16 bytes."""
    text = "<" + ", ".join([f"i8 {byte}" for byte in data]) + ">" if any(data) else "zeroinitializer"
    return text, "<16 x i8>"
