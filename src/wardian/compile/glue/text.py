"""What glue functions are written with, and the moves at the border that all of them share.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. This is the border between Python's C API and guest code, in LLVM text. The rules it keeps:                  |
|  * the GIL is held exactly while CPython is called, and never while guest code runs;                                 |
|  * longjmp only ever leaves guest and glue frames, never a Python frame: every entry has a jump buffer of its own,   |
|    nested entries stack, and a host function's frame has returned before its stub jumps;                             |
|  * a signal handler acts only if the program counter is in guest code, where this thread holds no lock of any kind;  |
|    any other fault goes to the handler that was there before.                                                        |
+----------------------------------------------------------------------------------------------------------------------+

Three kinds of image: the *core* (one per process), lazy-compilation *stubs*, and one entry and one host stub per
signature code of :func:`wardian.vm.abi.signature_code`.

"""

from __future__ import annotations

from typing import Final

from wardian.vm.builtins import CORE, SLOT, SYMBOLS
from wardian.vm.layout import (
    ACTIVATION,
    HEADER,
    STORE,
    THREAD,
)

TRAPPED: Final = 1
"""longjmp value: a trap; the GIL is not held."""
RAISED: Final = 2
"""longjmp value: a Python exception is set; the GIL is held."""

ARGUMENTS_OFFSET: Final = 1 << 63
"""``PY_VECTORCALL_ARGUMENTS_OFFSET``."""


class Text:
    """Accumulates the body of one glue function with fresh names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.n = 0

    def new(self, text: str) -> str:
        """Write ``%name = text`` and return the name."""
        self.n += 1
        self.lines.append(f"  %g{self.n} = {text}")
        return f"%g{self.n}"

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def label(self) -> str:
        self.n += 1
        return f"l{self.n}"

    def at(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def word(self, base: str, offset: int, type: str = "ptr") -> str:
        """Load a word at ``base + offset``."""
        p = self.new(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.new(f"load {type}, ptr {p}, align 8")

    def put(self, value: str, base: str, offset: int, type: str = "ptr") -> None:
        p = self.new(f"getelementptr i8, ptr {base}, i64 {offset}")
        self.do(f"store {type} {value}, ptr {p}, align 8")

    def branch(self, cond: str, then: str) -> None:
        """Go to ``then`` if ``cond``, else on."""
        on = self.label()
        self.do(f"br i1 {cond}, label %{then}, label %{on}")
        self.at(on)

    def c(self, bi: str, name: str, *args: str, extra: str = "") -> str:
        """Call slot ``name`` of the builtins table ``bi``; ``args`` are ``"type value"``."""
        result = (SYMBOLS.get(name) or CORE[name]).split(" ")[0]
        f = self.word(bi, SLOT[name])
        call = f"call {result} {f}({', '.join(args)}){extra}"
        if result == "void":
            self.do(call)
            return ""
        return self.new(call)

    def py(self, bi: str, name: str, *args: str) -> str:
        """Call the Python callable in slot ``name`` with object arguments; the result may be null."""
        array = self.new(f"alloca [{len(args) + 1} x ptr], align 16")
        for i, arg in enumerate(args):
            self.put(arg, array, 8 * (i + 1))
        first = self.new(f"getelementptr i8, ptr {array}, i64 8")
        f = self.word(bi, SLOT[name])
        count = len(args) | ARGUMENTS_OFFSET
        return self.c(bi, "PyObject_Vectorcall", f"ptr {f}", f"ptr {first}", f"i64 {signed_word(count)}", "ptr null")


def signed_word(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def raise_error(t: Text, bi: str, thread: str) -> None:
    """Leave for the innermost entry with the exception that is set; the GIL is held."""
    act = t.word(thread, THREAD.at["activation"])
    buf = t.new(f"getelementptr i8, ptr {act}, i64 {ACTIVATION.at['jmp_buf']}")
    t.c(bi, "longjmp", f"ptr {buf}", f"i32 {RAISED}")
    t.do("unreachable")


def check_interrupt(t: Text, bi: str, context: str, store: str) -> None:
    """Trap if the store was told to stop, and let Python handle a signal that came meanwhile; outside the GIL."""
    code = _look(t, store, STORE.at["interrupt"])
    flag = _look(t, t.word(store, STORE.at["thread"]), THREAD.at["signalled"])
    look, on = t.label(), t.label()
    either = t.new(f"or i64 {code}, {flag}")
    t.do(f"br i1 {t.new(f'icmp ne i64 {either}, 0')}, label %{look}, label %{on}")
    t.at(look)
    t.c(bi, "stopped", f"ptr {context}")
    t.do(f"br label %{on}")
    t.at(on)


def _look(t: Text, base: str, offset: int) -> str:
    p = t.new(f"getelementptr i8, ptr {base}, i64 {offset}")
    return t.new(f"load volatile i64, ptr {p}, align 8")


def define(head: str, t: Text, last: str) -> str:
    return "\n".join([f"define {head} {{", *t.lines, f"  {last}", "}"])


def last_label(t: Text) -> str:
    return next(line[:-1] for line in reversed(t.lines) if line.endswith(":"))


def take_gil(t: Text, context: str) -> tuple[str, str, str]:
    """Take the GIL in a function called by guest code; ``(builtins, store, thread)``."""
    store = t.word(context, HEADER.at["store"])
    bi = t.word(context, HEADER.at["builtins"])
    thread = t.word(store, STORE.at["thread"])
    t.c(bi, "PyEval_RestoreThread", f"ptr {t.word(thread, THREAD.at['tstate'])}")
    return bi, store, thread
