"""Generated glue: entries from Python, calls back into Python, traps, signals (DESIGN.md section 2).

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. This is the border between Python's C API and guest code, in LLVM text. The rules it keeps:                   |
|  * the GIL is held exactly while CPython is called, and never while guest code runs;                                  |
|  * longjmp only ever leaves guest and glue frames, never a Python frame: every entry has a jump buffer of its own,    |
|    nested entries stack, and a host function's frame has returned before its stub jumps;                              |
|  * a signal handler acts only if the program counter is in guest code, where this thread holds no lock of any kind;   |
|    any other fault goes to the handler that was there before.                                                         |
+----------------------------------------------------------------------------------------------------------------------+

Three kinds of image: the *core* (one per process), lazy-compilation *stubs*, and one entry and one host stub per
signature code of :func:`wardian.vm.abi.signature_code`.
"""

from __future__ import annotations

from typing import Final

from wardian.vm.abi import LETTER_LLVM, MAX_REGISTER_RESULTS, RESULT_SLOT
from wardian.vm.builtins import CORE, SLOT, SYMBOLS
from wardian.vm.layout import (
    ACTIVATION,
    FUNC_OBJECT,
    FUNCREF,
    HEADER,
    HOST,
    MAX_FRAMES,
    STORE,
    THREAD,
    WINDOW_OBJECT,
)
from wardian.vm.platform import Machine
from wardian.vm.traps import TrapCode

TRAPPED: Final = 1
"""longjmp value: a trap; the GIL is not held."""
RAISED: Final = 2
"""longjmp value: a Python exception is set; the GIL is held."""

_BULK_CHUNK: Final = 1 << 20
"""Bytes moved between two looks at the store's interrupt word."""

_ARGUMENTS_OFFSET: Final = 1 << 63
"""``PY_VECTORCALL_ARGUMENTS_OFFSET``."""


class _Text:
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
        count = len(args) | _ARGUMENTS_OFFSET
        return self.c(bi, "PyObject_Vectorcall", f"ptr {f}", f"ptr {first}", f"i64 {_signed(count)}", "ptr null")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _raise(t: _Text, bi: str, thread: str) -> None:
    """Leave for the innermost entry with the exception that is set; the GIL is held."""
    act = t.word(thread, THREAD.at["activation"])
    buf = t.new(f"getelementptr i8, ptr {act}, i64 {ACTIVATION.at['jmp_buf']}")
    t.c(bi, "longjmp", f"ptr {buf}", f"i32 {RAISED}")
    t.do("unreachable")


def _check_interrupt(t: _Text, bi: str, context: str, store: str) -> None:
    """Trap if the store was told to stop; outside the GIL."""
    p = t.new(f"getelementptr i8, ptr {store}, i64 {STORE.at['interrupt']}")
    code = t.new(f"load volatile i64, ptr {p}, align 8")
    stop, on = t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp ne i64 {code}, 0')}, label %{stop}, label %{on}")
    t.at(stop)
    t.c(bi, "trap", f"ptr {context}", f"i32 {t.new(f'trunc i64 {code} to i32')}")
    t.do("unreachable")
    t.at(on)


# -- the core image ----------------------------------------------------------------------------------------------------


def core_text(machine: Machine, preamble: str) -> str:
    """The core image's LLVM module."""
    return "\n".join(
        [
            preamble,
            "@wd_builtins = hidden global ptr null, align 8",
            "@wd_previous = hidden global [65 x ptr] zeroinitializer, align 8",
            "declare ptr @llvm.frameaddress.p0(i32)",
            _CAPTURE,
            _trap(),
            _signal_prologue(machine),
            _fault(machine),
            _interrupt(machine),
            _python_signal(machine),
            _resolve(),
            _grow("memory_grow", 2),
            _grow("table_grow", 3),
            _type_matches(),
            _exception_new(),
            _bulk("memory_copy"),
            _bulk("memory_fill"),
            _TABLE_FILL,
            _INSTANCE_INIT,
            _getbuffer(),
        ]
    )


CORE_EXPORTS: Final = (*CORE, "fault", "interrupt", "python_signal", "instance_init", "getbuffer", "wd_builtins", "wd_previous")

_CAPTURE: Final = f"""
define internal void @capture(ptr %thread, i64 %pc, i64 %fp, i64 %sp, i64 %end) noinline nounwind {{
; Program counters of the guest's frames, innermost first, into THREAD.frames. Every frame keeps its frame pointer, and the
; chain is followed only while it climbs between the stack pointer and the entry's frame.
entry:
  %frames = getelementptr i8, ptr %thread, i64 {THREAD.at["frames"]}
  store i64 %pc, ptr %frames, align 8
  %has = icmp ne i64 %pc, 0
  %n0 = zext i1 %has to i64
  br label %loop
loop:
  %n = phi i64 [ %n0, %entry ], [ %n1, %next ]
  %f = phi i64 [ %fp, %entry ], [ %up, %next ]
  %low = phi i64 [ %sp, %entry ], [ %f, %next ]
  %c1 = icmp uge i64 %f, %low
  %c2 = icmp ult i64 %f, %end
  %c3 = icmp ult i64 %n, {MAX_FRAMES}
  %c12 = and i1 %c1, %c2
  %c = and i1 %c12, %c3
  br i1 %c, label %next, label %done
next:
  %fpp = inttoptr i64 %f to ptr
  %rp = getelementptr i8, ptr %fpp, i64 8
  %ret = load i64, ptr %rp, align 8
  %slot = getelementptr i64, ptr %frames, i64 %n
  store i64 %ret, ptr %slot, align 8
  %n1 = add i64 %n, 1
  %up = load i64, ptr %fpp, align 8
  br label %loop
done:
  %cp = getelementptr i8, ptr %thread, i64 {THREAD.at["frame_count"]}
  store i64 %n, ptr %cp, align 8
  ret void
}}
"""


def _trap() -> str:
    t = _Text()
    store = t.word("%ctx", HEADER.at["store"])
    bi = t.word("%ctx", HEADER.at["builtins"])
    thread = t.word(store, STORE.at["thread"])
    act = t.word(thread, THREAD.at["activation"])
    t.put(t.new("zext i32 %code to i64"), thread, THREAD.at["trap_code"], "i64")
    fp = t.new(f"ptrtoint ptr {t.new('call ptr @llvm.frameaddress.p0(i32 0)')} to i64")
    end = t.word(act, ACTIVATION.at["fp"], "i64")
    t.do(f"call void @capture(ptr {thread}, i64 0, i64 {fp}, i64 {fp}, i64 {end})")
    buf = t.new(f"getelementptr i8, ptr {act}, i64 {ACTIVATION.at['jmp_buf']}")
    t.c(bi, "longjmp", f"ptr {buf}", f"i32 {TRAPPED}")
    return _define("void @trap(ptr %ctx, i32 %code) #0", t, "unreachable")


def _define(head: str, t: _Text, last: str) -> str:
    return "\n".join([f"define {head} {{", *t.lines, f"  {last}", "}"])


def _signal_prologue(machine: Machine) -> str:
    """``guest_thread(bi, uc)``: the THREAD if the interrupted program counter is in guest code, else null."""
    t = _Text()
    key = t.word("%bi", SLOT["tls_key"], "i64")
    thread = t.c("%bi", "pthread_getspecific", f"i32 {t.new(f'trunc i64 {key} to i32')}")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "no")
    act = t.word(thread, THREAD.at["activation"])
    t.branch(t.new(f"icmp eq ptr {act}, null"), "no")
    pc = t.word("%uc", machine.pc, "i64")
    t.branch(t.new(f"icmp ult i64 {pc}, {t.word('%bi', SLOT['code_low'], 'i64')}"), "no")
    t.branch(t.new(f"icmp uge i64 {pc}, {t.word('%bi', SLOT['code_high'], 'i64')}"), "no")
    t.do(f"ret ptr {thread}")
    t.at("no")
    return _define("internal ptr @guest_thread(ptr %bi, ptr %uc) nounwind", t, "ret ptr null")


def _leave_by_signal(t: _Text, machine: Machine, bi: str, thread: str, code: str) -> None:
    """Record a trap at the interrupted program counter and leave for the innermost entry."""
    act = t.word(thread, THREAD.at["activation"])
    t.put(code, thread, THREAD.at["trap_code"], "i64")
    pc, fp, sp = (t.word("%uc", at, "i64") for at in (machine.pc, machine.fp, machine.sp))
    end = t.word(act, ACTIVATION.at["fp"], "i64")
    t.do(f"call void @capture(ptr {thread}, i64 {pc}, i64 {fp}, i64 {sp}, i64 {end})")
    buf = t.new(f"getelementptr i8, ptr {act}, i64 {ACTIVATION.at['jmp_buf']}")
    t.c(bi, "longjmp", f"ptr {buf}", f"i32 {TRAPPED}")
    t.do("unreachable")


def _call_previous(t: _Text) -> str:
    """The handler that was there before ours for ``%sig``."""
    index = t.new("zext i32 %sig to i64")
    slot = t.new(f"getelementptr [65 x ptr], ptr @wd_previous, i64 0, i64 {index}")
    return t.new(f"load ptr, ptr {slot}, align 8")


def _fault(machine: Machine) -> str:
    """SIGSEGV and SIGBUS: a trap if guest code touched a guest reservation, else not ours."""
    t = _Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    thread = t.new(f"call ptr @guest_thread(ptr {bi}, ptr %uc)")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "other")
    address = t.word("%info", machine.si_addr, "i64")
    arenas = t.word(bi, SLOT["arenas"])
    count = t.word(arenas, 0, "i64")
    t.do("br label %head")
    t.at("head")
    t.do("%i = phi i64 [ 0, %" + _last_label(t) + " ], [ %i1, %more ]")
    t.do(f"%in = icmp ult i64 %i, {count}")
    t.do("br i1 %in, label %look, label %other")
    t.at("look")
    t.do("%o = mul i64 %i, 16")
    t.do("%o1 = add i64 %o, 8")
    t.do(f"%lp = getelementptr i8, ptr {arenas}, i64 %o1")
    t.do("%hp = getelementptr i8, ptr %lp, i64 8")
    t.do("%lo = load i64, ptr %lp, align 8")
    t.do("%hi = load i64, ptr %hp, align 8")
    t.do(f"%ge = icmp uge i64 {address}, %lo")
    t.do(f"%lt = icmp ult i64 {address}, %hi")
    t.do("%hit = and i1 %ge, %lt")
    t.do("br i1 %hit, label %ours, label %more")
    t.at("more")
    t.do("%i1 = add i64 %i, 1")
    t.do("br label %head")
    t.at("ours")
    _leave_by_signal(t, machine, bi, thread, str(int(TrapCode.MEMORY_OUT_OF_BOUNDS)))
    t.at("other")
    previous = _call_previous(t)
    word = t.new(f"ptrtoint ptr {previous} to i64")
    t.branch(t.new(f"icmp ule i64 {word}, 1"), "default")
    t.do(f"call void {previous}(i32 %sig, ptr %info, ptr %uc)")
    t.do("ret void")
    t.at("default")
    # The default action is restored and the faulting instruction runs again: a crash stays a crash.
    t.c(bi, "signal", "i32 %sig", "ptr null")
    return _define("void @fault(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _last_label(t: _Text) -> str:
    for line in reversed(t.lines):
        if line.endswith(":") and line != "head:":
            return line[:-1]
    raise AssertionError("no label")


def _interrupt(machine: Machine) -> str:
    """The watchdog's signal: leave if any activation of this thread belongs to a store that was told to stop."""
    t = _Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    thread = t.new(f"call ptr @guest_thread(ptr {bi}, ptr %uc)")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "no")
    first = t.word(thread, THREAD.at["activation"])
    before = _last_label_any(t)
    t.do("br label %head")
    t.at("head")
    t.do(f"%a = phi ptr [ {first}, %{before} ], [ %up, %more ]")
    t.do("%none = icmp eq ptr %a, null")
    t.do("br i1 %none, label %no, label %look")
    t.at("look")
    store = t.word("%a", ACTIVATION.at["store"])
    p = t.new(f"getelementptr i8, ptr {store}, i64 {STORE.at['interrupt']}")
    t.do(f"%code = load volatile i64, ptr {p}, align 8")
    t.do("%stop = icmp ne i64 %code, 0")
    t.do("br i1 %stop, label %go, label %more")
    t.at("more")
    t.do(f"%upp = getelementptr i8, ptr %a, i64 {ACTIVATION.at['prev']}")
    t.do("%up = load ptr, ptr %upp, align 8")
    t.do("br label %head")
    t.at("go")
    _leave_by_signal(t, machine, bi, thread, "%code")
    t.at("no")
    return _define("void @interrupt(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _last_label_any(t: _Text) -> str:
    return next(line[:-1] for line in reversed(t.lines) if line.endswith(":"))


def _python_signal(machine: Machine) -> str:
    """A signal Python handles (Ctrl-C): note it as Python does, and if a guest was running, run Python's handlers now.

    The program counter is in guest code, so this is no different from a call of a host function at that instruction.
    """
    t = _Text()
    previous = _call_previous(t)
    word = t.new(f"ptrtoint ptr {previous} to i64")
    callable_ = t.label()
    on = t.label()
    t.do(f"br i1 {t.new(f'icmp ugt i64 {word}, 1')}, label %{callable_}, label %{on}")
    t.at(callable_)
    t.do(f"call void {previous}(i32 %sig, ptr %info, ptr %uc)")
    t.do(f"br label %{on}")
    t.at(on)
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    thread = t.new(f"call ptr @guest_thread(ptr {bi}, ptr %uc)")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "no")
    t.c(bi, "PyEval_RestoreThread", f"ptr {t.word(thread, THREAD.at['tstate'])}")
    result = t.c(bi, "PyErr_CheckSignals")
    t.branch(t.new(f"icmp eq i32 {result}, 0"), "resume")
    _raise(t, bi, thread)
    t.at("resume")
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    t.do("br label %no")
    t.at("no")
    return _define("void @python_signal(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _with_gil(t: _Text, context: str) -> tuple[str, str, str]:
    """Take the GIL in a function called by guest code; ``(builtins, store, thread)``."""
    store = t.word(context, HEADER.at["store"])
    bi = t.word(context, HEADER.at["builtins"])
    thread = t.word(store, STORE.at["thread"])
    t.c(bi, "PyEval_RestoreThread", f"ptr {t.word(thread, THREAD.at['tstate'])}")
    return bi, store, thread


def _ask(t: _Text, context: str, name: str, numbers: list[str], unsigned_result: bool) -> tuple[str, str, str]:
    """Call Python's ``name(owner, *numbers)`` for an integer, with the GIL taken and given back."""
    bi, store, thread = _with_gil(t, context)
    boxed = [t.c(bi, "PyLong_FromUnsignedLongLong", f"i64 {n}") for n in numbers]
    result = t.py(bi, name, t.word(context, HEADER.at["owner"]), *boxed)
    for b in boxed:
        t.c(bi, "Py_DecRef", f"ptr {b}")
    failed, fine = t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp eq ptr {result}, null')}, label %{failed}, label %{fine}")
    t.at(failed)
    _raise(t, bi, thread)
    t.at(fine)
    value = t.c(bi, "PyLong_AsUnsignedLongLong" if unsigned_result else "PyLong_AsLongLong", f"ptr {result}")
    t.c(bi, "Py_DecRef", f"ptr {result}")
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    _check_interrupt(t, bi, context, store)
    return value, bi, thread


def _resolve() -> str:
    t = _Text()
    value, _, _ = _ask(t, "%ctx", "py_resolve", ["%index"], True)
    t.do(f"%p = inttoptr i64 {value} to ptr")
    return _define("ptr @resolve(ptr %ctx, i64 %wide) #0", _mask_index(t), "ret ptr %p")


def _mask_index(t: _Text) -> _Text:
    # The stub passes a 32-bit index; the upper half of the register is not its to promise.
    t.lines.insert(0, "  %index = and i64 %wide, 4294967295")
    return t


def _grow(name: str, numbers: int) -> str:
    t = _Text()
    value, _, _ = _ask(t, "%ctx", f"py_{name}", [f"%a{i}" for i in range(numbers)], False)
    params = ", ".join(f"i64 %a{i}" for i in range(numbers))
    return _define(f"i64 @{name}(ptr %ctx, {params}) #0", t, f"ret i64 {value}")


def _type_matches() -> str:
    t = _Text()
    value, _, _ = _ask(t, "%ctx", "py_type_matches", ["%a", "%b"], False)
    t.do(f"%r = trunc i64 {value} to i32")
    return _define("i32 @type_matches(ptr %ctx, i64 %a, i64 %b) #0", t, "ret i32 %r")


def _exception_new() -> str:
    t = _Text()
    value, _, _ = _ask(t, "%ctx", "py_exception_new", ["%n"], False)
    t.do(f"%r = trunc i64 {value} to i32")
    return _define("i32 @exception_new(ptr %ctx, i64 %n) #0", t, "ret i32 %r")


def _bulk(name: str) -> str:
    """memmove or memset in chunks, looking at the interrupt word between them.

    A copy goes upwards when the target is below the source and downwards otherwise, so a run stopped half way leaves a
    state the spec's byte-by-byte semantics passes through as well.
    """
    t = _Text()
    copy = name == "memory_copy"
    store = t.word("%ctx", HEADER.at["store"])
    bi = t.word("%ctx", HEADER.at["builtins"])
    t.do("%down = icmp ugt ptr %d, %s" if copy else "%down = icmp ne i32 0, 0")
    t.do("br label %head")
    t.at("head")
    t.do("%done = phi i64 [ 0, %0 ], [ %next, %more ]")
    t.do("%left = sub i64 %n, %done")
    t.do(f"%big = icmp ugt i64 %left, {_BULK_CHUNK}")
    t.do(f"%now = select i1 %big, i64 {_BULK_CHUNK}, i64 %left")
    t.do("%next = add i64 %done, %now")
    t.do("%high = sub i64 %n, %next")
    t.do("%at = select i1 %down, i64 %high, i64 %done")
    t.do("%to = getelementptr i8, ptr %d, i64 %at")
    if copy:
        t.do("%from = getelementptr i8, ptr %s, i64 %at")
        t.c(bi, "memmove", "ptr %to", "ptr %from", "i64 %now")
    else:
        t.c(bi, "memset", "ptr %to", "i32 %s", "i64 %now")
    t.do("br i1 %big, label %look, label %end")
    t.at("look")
    _check_interrupt(t, bi, "%ctx", store)
    t.do("br label %more")
    t.at("more")
    t.do("br label %head")
    t.at("end")
    source = "ptr %s" if copy else "i32 %s"
    return _define(f"void @{name}(ptr %ctx, ptr %d, {source}, i64 %n) #0", t, "ret void")


_TABLE_FILL: Final = """
define void @table_fill(ptr %ctx, ptr %d, i64 %v, i64 %n) #0 {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %c = icmp ult i64 %i, %n
  br i1 %c, label %body, label %end
body:
  %p = getelementptr i64, ptr %d, i64 %i
  store i64 %v, ptr %p, align 8
  %i1 = add i64 %i, 1
  br label %head
end:
  ret void
}
"""

_INSTANCE_INIT: Final = f"""
define void @instance_init(ptr %ctx, ptr %funcs, i64 %n, ptr %codes, ptr %types, i64 %first) #0 {{
; Fill the FUNCREFs of an instance's defined functions: codes are 8-byte addresses, types 4-byte type indices.
entry:
  %idp = getelementptr i8, ptr %ctx, i64 {HEADER.at["type_ids"]}
  %ids = load ptr, ptr %idp, align 8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %c = icmp ult i64 %i, %n
  br i1 %c, label %body, label %end
body:
  %cp = getelementptr i64, ptr %codes, i64 %i
  %code = load ptr, ptr %cp, align 8
  %tp = getelementptr i32, ptr %types, i64 %i
  %t = load i32, ptr %tp, align 4
  %tw = zext i32 %t to i64
  %ip = getelementptr i64, ptr %ids, i64 %tw
  %id = load i64, ptr %ip, align 8
  %o = mul i64 %i, {FUNCREF.size}
  %r = getelementptr i8, ptr %funcs, i64 %o
  store ptr %code, ptr %r, align 8
  %r1 = getelementptr i8, ptr %r, i64 {FUNCREF.at["context"]}
  store ptr %ctx, ptr %r1, align 8
  %r2 = getelementptr i8, ptr %r, i64 {FUNCREF.at["type_id"]}
  store i64 %id, ptr %r2, align 8
  %x = add i64 %i, %first
  %r3 = getelementptr i8, ptr %r, i64 {FUNCREF.at["index"]}
  store i64 %x, ptr %r3, align 8
  %i1 = add i64 %i, 1
  br label %head
end:
  ret void
}}
"""


def _getbuffer() -> str:
    """``bf_getbuffer`` of a window: the memory's present bytes, writable, owned by the window."""
    t = _Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    memory = t.word("%self", WINDOW_OBJECT.at["memory"])
    t.branch(t.new(f"icmp eq ptr {memory}, null"), "empty")
    base, size = t.word(memory, 0), t.word(memory, 8, "i64")
    args = [f"ptr {base}", f"i64 {size}", "i32 0", "i32 %flags"]
    t.do(f"ret i32 {t.c(bi, 'PyBuffer_FillInfo', 'ptr %view', 'ptr %self', *args)}")
    t.at("empty")
    r = t.c(bi, "PyBuffer_FillInfo", "ptr %view", "ptr %self", "ptr %self", "i64 0", "i32 1", "i32 %flags")
    return _define("i32 @getbuffer(ptr %self, ptr %view, i32 %flags) #0", t, f"ret i32 {r}")


def stubs_text(machine: Machine, preamble: str, first: int) -> str:
    """Lazy-compilation stubs for the defined functions from ``first`` on."""
    return preamble + "\n".join(f'module asm "{line}"' for line in machine.stubs(first).strip().splitlines())


# -- per signature -----------------------------------------------------------------------------------------------------


def signature_text(code: str, preamble: str) -> str:
    """LLVM module with ``entry_CODE`` (Python calls a guest function) and ``host_CODE`` (a guest calls Python)."""
    params, results = code.split("_")
    return "\n".join([preamble, "declare ptr @llvm.frameaddress.p0(i32)", *_INTRINSICS, _entry(params, results),
                      _host(params, results)])  # fmt: skip


_INTRINSICS: Final = ("declare i64 @llvm.usub.sat.i64(i64, i64)", "declare i64 @llvm.umax.i64(i64, i64)")


def _result(results: str) -> str:
    if not results or len(results) > MAX_REGISTER_RESULTS:
        return "void"
    names = [LETTER_LLVM[r] for r in results]
    return names[0] if len(names) == 1 else "{ " + ", ".join(names) + " }"


def _widen_f32(t: _Text, x: str) -> str:
    """An f32 as the double of the same value; a NaN keeps its sign, payload and quiet bit."""
    bits = t.new(f"bitcast float {x} to i32")
    wide = t.new(f"zext i32 {bits} to i64")
    sign = t.new(f"shl i64 {t.new(f'and i64 {wide}, 2147483648')}, 32")
    payload = t.new(f"shl i64 {t.new(f'and i64 {wide}, 8388607')}, 29")
    nan = t.new(f"or i64 {t.new(f'or i64 {sign}, {payload}')}, {0x7FF << 52}")
    nan_double = t.new(f"bitcast i64 {nan} to double")
    plain = t.new(f"fpext float {x} to double")
    return t.new(f"select i1 {t.new(f'fcmp uno float {x}, {x}')}, double {nan_double}, double {plain}")


def _narrow_f64(t: _Text, x: str) -> str:
    """A double as the nearest f32; a NaN keeps sign, the upper payload and the quiet bit (and stays a NaN)."""
    bits = t.new(f"bitcast double {x} to i64")
    sign = t.new(f"and i64 {t.new(f'lshr i64 {bits}, 32')}, 2147483648")
    payload = t.new(f"and i64 {t.new(f'lshr i64 {bits}, 29')}, 8388607")
    kept = t.new(f"select i1 {t.new(f'icmp eq i64 {payload}, 0')}, i64 4194304, i64 {payload}")
    nan = t.new(f"or i64 {t.new(f'or i64 {sign}, {kept}')}, 2139095040")
    nan_float = t.new(f"bitcast i32 {t.new(f'trunc i64 {nan} to i32')} to float")
    plain = t.new(f"fptrunc double {x} to float")
    return t.new(f"select i1 {t.new(f'fcmp uno double {x}, {x}')}, float {nan_float}, float {plain}")


def _box(t: _Text, bi: str, letter: str, value: str, owner: str, position: int) -> str:
    """A guest value as a new Python reference (null with an exception set on failure)."""
    if letter == "i":
        return t.c(bi, "PyLong_FromLongLong", f"i64 {t.new(f'sext i32 {value} to i64')}")
    if letter == "l":
        return t.c(bi, "PyLong_FromLongLong", f"i64 {value}")
    if letter == "d":
        return t.c(bi, "PyFloat_FromDouble", f"double {value}")
    if letter == "f":
        return t.c(bi, "PyFloat_FromDouble", f"double {_widen_f32(t, value)}")
    if letter == "v":
        room = t.new("alloca <16 x i8>, align 16")
        t.do(f"store <16 x i8> {value}, ptr {room}, align 16")
        return t.c(bi, "PyBytes_FromStringAndSize", f"ptr {room}", "i64 16")
    word = t.new(f"ptrtoint ptr {value} to i64") if letter == "r" else value
    raw = t.c(bi, "PyLong_FromUnsignedLongLong", f"i64 {word}")
    place = t.c(bi, "PyLong_FromLongLong", f"i64 {position}")
    result = t.py(bi, "py_box", owner, place, raw)
    t.c(bi, "Py_DecRef", f"ptr {raw}")
    t.c(bi, "Py_DecRef", f"ptr {place}")
    return result


def _unbox(t: _Text, bi: str, letter: str, obj: str, owner: str, position: int, failed: str) -> str:
    """A Python object as a guest value; goes to ``failed`` with an exception set when it does not fit.

    The quick way is CPython's own conversion; whatever it refuses is given to ``py_unbox``, which converts what else is
    acceptable or explains what is wrong.
    """
    if letter == "v":
        return _unbox_vector(t, bi, obj, owner, position, failed)
    slow, done = t.label(), t.label()
    quick = ""
    if letter in "il":
        v = t.c(bi, "PyLong_AsLongLong", f"ptr {obj}")
        check, good = t.label(), t.label()
        t.do(f"br i1 {t.new(f'icmp eq i64 {v}, -1')}, label %{check}, label %{good}")
        t.at(check)
        t.do(f"br i1 {t.new(f'''icmp eq ptr {t.c(bi, 'PyErr_Occurred')}, null''')}, label %{good}, label %{slow}")
        t.at(good)
        if letter == "i":
            shifted = t.new(f"add i64 {v}, {1 << 31}")
            t.do(f"br i1 {t.new(f'icmp ult i64 {shifted}, {3 << 31}')}, label %{done}, label %{slow}")
        else:
            t.do(f"br label %{done}")
        quick, came = v, good
        wide = "i64"
    elif letter in "fd":
        v = t.c(bi, "PyFloat_AsDouble", f"ptr {obj}")
        check = t.label()
        t.do(f"br i1 {t.new(f'fcmp oeq double {v}, -1.0')}, label %{check}, label %{done}")
        came = _last_label_any(t)
        t.at(check)
        t.do(f"br i1 {t.new(f'''icmp eq ptr {t.c(bi, 'PyErr_Occurred')}, null''')}, label %{done}, label %{slow}")
        quick, wide = v, "double"
    else:
        t.do(f"br label %{slow}")
        wide, came = "i64", ""
    t.at(slow)
    fixed = _fix(t, bi, obj, owner, position, failed)
    convert = {"double": "PyFloat_AsDouble", "i64": "PyLong_AsLongLong" if letter in "il" else "PyLong_AsUnsignedLongLong"}
    again = t.c(bi, convert[wide], f"ptr {fixed}")
    t.c(bi, "Py_DecRef", f"ptr {fixed}")
    from_slow = _last_label_any(t)
    t.do(f"br label %{done}")
    t.at(done)
    incoming = [f"[ {again}, %{from_slow} ]"]
    if quick:
        incoming.append(f"[ {quick}, %{came} ]")
        if letter in "fd":
            incoming.append(f"[ {quick}, %{check} ]")
    value = t.new(f"phi {wide} {', '.join(incoming)}")
    if letter == "i":
        return t.new(f"trunc i64 {value} to i32")
    if letter == "f":
        return _narrow_f64(t, value)
    if letter == "r":
        return t.new(f"inttoptr i64 {value} to ptr")
    return value


def _fix(t: _Text, bi: str, obj: str, owner: str, position: int, failed: str) -> str:
    """What ``py_unbox`` makes of ``obj``, a new reference; CPython's own conversion has just refused it."""
    t.c(bi, "PyErr_Clear")
    place = t.c(bi, "PyLong_FromLongLong", f"i64 {position}")
    fixed = t.py(bi, "py_unbox", owner, place, obj)
    t.c(bi, "Py_DecRef", f"ptr {place}")
    t.branch(t.new(f"icmp eq ptr {fixed}, null"), failed)
    return fixed


def _unbox_vector(t: _Text, bi: str, obj: str, owner: str, position: int, failed: str) -> str:
    """A v128: 16 bytes as they are; anything else is given to ``py_unbox``, which makes 16 bytes of it or raises."""
    slow, sized, good, done = t.label(), t.label(), t.label(), t.label()
    data = t.c(bi, "PyBytes_AsString", f"ptr {obj}")
    t.do(f"br i1 {t.new(f'icmp eq ptr {data}, null')}, label %{slow}, label %{sized}")
    t.at(sized)
    size = t.c(bi, "PyBytes_Size", f"ptr {obj}")
    t.do(f"br i1 {t.new(f'icmp eq i64 {size}, 16')}, label %{good}, label %{slow}")
    t.at(good)
    quick = t.new(f"load <16 x i8>, ptr {data}, align 1")
    t.do(f"br label %{done}")
    t.at(slow)
    fixed = _fix(t, bi, obj, owner, position, failed)
    # py_unbox gives bytes of length 16 for a v128, so neither call can fail.
    again = t.new(f"load <16 x i8>, ptr {t.c(bi, 'PyBytes_AsString', f'ptr {fixed}')}, align 1")
    t.c(bi, "Py_DecRef", f"ptr {fixed}")
    from_slow = _last_label_any(t)
    t.do(f"br label %{done}")
    t.at(done)
    return t.new(f"phi <16 x i8> [ {quick}, %{good} ], [ {again}, %{from_slow} ]")


def _entry(params: str, results: str) -> str:
    """The vectorcall function of exports with this signature."""
    t = _Text()
    t.at("entry")
    t.do(f"%act = alloca [{ACTIVATION.size} x i8], align 16")
    t.do(f"%buf = alloca [{RESULT_SLOT * max(len(results), 1)} x i8], align 16")
    bi = t.word("%self", FUNC_OBJECT.at["builtins"])
    count = t.new(f"and i64 %nargsf, {_ARGUMENTS_OFFSET - 1}")
    t.branch(t.new(f"icmp ne i64 {count}, {len(params)}"), "slow")
    t.branch(t.new("icmp ne ptr %kw, null"), "slow")
    values = []
    for i, letter in enumerate(params):
        obj = t.word("%args", 8 * i)
        values.append(f"{LETTER_LLVM[letter]} {_unbox(t, bi, letter, obj, '%self', i, 'fail')}")
    _enter(t, bi)
    ref = t.word("%self", FUNC_OBJECT.at["funcref"])
    code, ctx = t.word(ref, FUNCREF.at["code"]), t.word(ref, FUNCREF.at["context"])
    t.do(f"%tstate = call ptr {t.word(bi, SLOT['PyEval_SaveThread'])}()")
    t.put("%tstate", "%thread", THREAD.at["tstate"])
    args = [f"ptr {ctx}"] + ["ptr %buf"] * (len(results) > MAX_REGISTER_RESULTS) + values
    call = f"call tailcc {_result(results)} {code}({', '.join(args)})"
    value = "" if _result(results) == "void" else t.new(call)
    if not value:
        t.do(call)
    t.c(bi, "PyEval_RestoreThread", "ptr %tstate")
    t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
    pending = t.word("%store", STORE.at["pending"], "i64")
    t.branch(t.new(f"icmp ne i64 {pending}, 0"), "thrown")
    _return_results(t, bi, results, value)
    t.at("thrown")
    t.do(f"ret ptr {t.py(bi, 'py_exception', '%self')}")
    t.at("trapped")
    t.c(bi, "PyEval_RestoreThread", f"ptr {t.word('%thread', THREAD.at['tstate'])}")
    t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
    t.do(f"ret ptr {t.py(bi, 'py_trap', '%self')}")
    t.at("raised")
    t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
    t.do("ret ptr null")
    t.at("slow")
    _slow_call(t, bi, count)
    t.at("fail")
    head = f"ptr @entry_{params}_{results}(ptr %self, ptr %args, i64 %nargsf, ptr %kw) #0"
    return _LEAVE + _define(head, t, "ret ptr null")


def _slow_call(t: _Text, bi: str, count: str) -> None:
    """Everything unusual: ``py_slow_call(self, *args, **kw)`` puts it right and calls again, or raises."""
    t.do("%nkw = call i64 @keyword_count(ptr %kw)")
    t.do(f"%total = add i64 {count}, %nkw")
    t.do("%room = add i64 %total, 2")
    t.do("%array = alloca ptr, i64 %room, align 16")
    t.do("%a1 = getelementptr ptr, ptr %array, i64 1")
    t.do("store ptr %self, ptr %a1, align 8")
    t.do("%a2 = getelementptr ptr, ptr %array, i64 2")
    t.do("%bytes = mul i64 %total, 8")
    t.c(bi, "memmove", "ptr %a2", "ptr %args", "i64 %bytes")
    t.do(f"%n1 = add i64 {count}, 1")
    t.do(f"%flags = or i64 %n1, {_signed(_ARGUMENTS_OFFSET)}")
    f = t.word(bi, SLOT["py_slow_call"])
    t.do(f"ret ptr {t.c(bi, 'PyObject_Vectorcall', f'ptr {f}', 'ptr %a1', 'i64 %flags', 'ptr %kw')}")


def _enter(t: _Text, bi: str) -> None:
    """Push an activation and ``_setjmp``; falls through where the guest is to be called."""
    ref = t.word("%self", FUNC_OBJECT.at["funcref"])
    ctx = t.word(ref, FUNCREF.at["context"])
    t.do(f"%storep = getelementptr i8, ptr {ctx}, i64 {HEADER.at['store']}")
    t.do("%store = load ptr, ptr %storep, align 8")
    key = t.new(f"trunc i64 {t.word(bi, SLOT['tls_key'], 'i64')} to i32")
    t.do(f"%thread = call ptr {t.word(bi, SLOT['pthread_getspecific'])}(i32 {key})")
    t.branch(t.new("icmp eq ptr %thread, null"), "slow")
    inside = t.word("%store", STORE.at["thread"])
    idle = t.new(f"icmp eq ptr {inside}, null")
    mine = t.new(f"icmp eq ptr {inside}, %thread")
    t.branch(t.new(f"xor i1 {t.new(f'or i1 {idle}, {mine}')}, true"), "slow")
    fp = t.new(f"ptrtoint ptr {t.new('call ptr @llvm.frameaddress.p0(i32 0)')} to i64")
    lowest = t.new(f"call i64 @llvm.usub.sat.i64(i64 {fp}, i64 {t.word('%store', STORE.at['max_stack'], 'i64')})")
    limit = t.new(f"call i64 @llvm.umax.i64(i64 {lowest}, i64 {t.word('%thread', THREAD.at['stack_low'], 'i64')})")
    old = t.word("%store", STORE.at["stack_limit"], "i64")
    outer = t.new(f"select i1 {idle}, i64 0, i64 {old}")
    limit = t.new(f"call i64 @llvm.umax.i64(i64 {limit}, i64 {outer})")
    stale = t.word("%store", STORE.at["interrupt"], "i64")
    t.put(t.new(f"select i1 {idle}, i64 0, i64 {stale}"), "%store", STORE.at["interrupt"], "i64")
    t.put(t.word("%thread", THREAD.at["activation"]), "%act", ACTIVATION.at["prev"])
    t.put("%store", "%act", ACTIVATION.at["store"])
    t.put(fp, "%act", ACTIVATION.at["fp"], "i64")
    t.put(inside, "%act", ACTIVATION.at["prev_thread"])
    t.put(old, "%act", ACTIVATION.at["prev_limit"], "i64")
    t.put("%act", "%thread", THREAD.at["activation"])
    t.put("%thread", "%store", STORE.at["thread"])
    t.put(limit, "%store", STORE.at["stack_limit"], "i64")
    buf = t.new(f"getelementptr i8, ptr %act, i64 {ACTIVATION.at['jmp_buf']}")
    how = t.c(bi, "_setjmp", f"ptr {buf}", extra=" returns_twice")
    run = t.label()
    t.do(f"switch i32 {how}, label %raised [ i32 0, label %{run} i32 {TRAPPED}, label %trapped ]")
    t.at(run)


_LEAVE: Final = f"""
define internal void @leave(ptr %thread, ptr %store, ptr %act) nounwind {{
; Pop the activation; the GIL is held.
  %p0 = getelementptr i8, ptr %act, i64 {ACTIVATION.at["prev"]}
  %prev = load ptr, ptr %p0, align 8
  %p1 = getelementptr i8, ptr %thread, i64 {THREAD.at["activation"]}
  store ptr %prev, ptr %p1, align 8
  %p2 = getelementptr i8, ptr %act, i64 {ACTIVATION.at["prev_thread"]}
  %pt = load ptr, ptr %p2, align 8
  %p3 = getelementptr i8, ptr %store, i64 {STORE.at["thread"]}
  store ptr %pt, ptr %p3, align 8
  %p4 = getelementptr i8, ptr %act, i64 {ACTIVATION.at["prev_limit"]}
  %pl = load i64, ptr %p4, align 8
  %p5 = getelementptr i8, ptr %store, i64 {STORE.at["stack_limit"]}
  store i64 %pl, ptr %p5, align 8
  ret void
}}
define internal i64 @keyword_count(ptr %kw) nounwind {{
; The size of a tuple or 0 for null. ob_size is the third word of every PyVarObject.
  %none = icmp eq ptr %kw, null
  br i1 %none, label %no, label %yes
yes:
  %p = getelementptr i8, ptr %kw, i64 16
  %n = load i64, ptr %p, align 8
  ret i64 %n
no:
  ret i64 0
}}
"""


def _return_results(t: _Text, bi: str, results: str, value: str) -> None:
    """Box the results and return; ``value`` is what the guest function returned in registers."""
    if not results:
        none = t.word(bi, SLOT["none"])
        t.c(bi, "Py_IncRef", f"ptr {none}")
        t.do(f"ret ptr {none}")
        return
    if len(results) == 1:
        t.do(f"ret ptr {_box(t, bi, results, value, '%self', -1)}")
        return
    values = []
    for i, letter in enumerate(results):
        if len(results) > MAX_REGISTER_RESULTS:
            values.append(t.word("%buf", RESULT_SLOT * i, LETTER_LLVM[letter]))
        else:
            values.append(t.new(f"extractvalue {_result(results)} {value}, {i}"))
    result = t.c(bi, "PyTuple_New", f"i64 {len(results)}")
    t.branch(t.new(f"icmp eq ptr {result}, null"), "fail")
    for i, letter in enumerate(results):
        boxed = _box(t, bi, letter, values[i], "%self", -1 - i)
        good, bad = t.label(), t.label()
        t.do(f"br i1 {t.new(f'icmp eq ptr {boxed}, null')}, label %{bad}, label %{good}")
        t.at(bad)
        t.c(bi, "Py_DecRef", f"ptr {result}")
        t.do("ret ptr null")
        t.at(good)
        t.c(bi, "PyTuple_SetItem", f"ptr {result}", f"i64 {i}", f"ptr {boxed}")
    t.do(f"ret ptr {result}")


def _host(params: str, results: str) -> str:
    """What a guest calls when it calls an imported Python function; ``%host`` is its HOST."""
    t = _Text()
    t.at("entry")
    t.do(f"%array = alloca [{len(params) + 1} x ptr], align 16")
    bi, store, thread = _with_gil(t, "%host")
    owner = t.word("%host", HEADER.at["owner"])
    boxed = []
    for i, letter in enumerate(params):
        boxed.append(_box(t, bi, letter, f"%p{i}", owner, i))
        t.put(boxed[-1], "%array", 8 * (i + 1))
        t.branch(t.new(f"icmp eq ptr {boxed[-1]}, null"), "fail")
    first = t.new("getelementptr i8, ptr %array, i64 8")
    callable_ = t.word("%host", HOST.at["callable"])
    flags = _signed(len(params) | _ARGUMENTS_OFFSET)
    t.do(f"%res = call ptr {t.word(bi, SLOT['PyObject_Vectorcall'])}(ptr {callable_}, ptr {first}, i64 {flags}, ptr null)")
    for b in boxed:
        t.c(bi, "Py_DecRef", f"ptr {b}")
    t.branch(t.new("icmp eq ptr %res, null"), "failed")
    values = _host_results(t, bi, owner, results)
    t.c(bi, "Py_DecRef", "ptr %res")
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    _check_interrupt(t, bi, "%host", store)
    head = ["ptr %host"] + ["ptr %ret"] * (len(results) > MAX_REGISTER_RESULTS)
    head += [f"{LETTER_LLVM[p]} %p{i}" for i, p in enumerate(params)]
    if not results:
        t.do("ret void")
    elif len(results) == 1:
        t.do(f"ret {_result(results)} {values[0]}")
    elif len(results) <= MAX_REGISTER_RESULTS:
        pair = "poison"
        for i, letter in enumerate(results):
            pair = t.new(f"insertvalue {_result(results)} {pair}, {LETTER_LLVM[letter]} {values[i]}, {i}")
        t.do(f"ret {_result(results)} {pair}")
    else:
        for i, letter in enumerate(results):
            t.put(values[i], "%ret", RESULT_SLOT * i, LETTER_LLVM[letter])
        t.do("ret void")
    t.at("drop")
    t.c(bi, "Py_DecRef", "ptr %res")
    t.do("br label %fail")
    t.at("failed")
    _throw(t, bi, owner, thread, _result(results))
    t.at("fail")
    _raise(t, bi, thread)
    t.lines.pop()
    return _define(f"tailcc {_result(results)} @host_{params}_{results}({', '.join(head)}) #0", t, "unreachable")


def _throw(t: _Text, bi: str, owner: str, thread: str, result: str) -> None:
    """The host function raised: if that is an exception guests can catch, leave it pending and return; else ``fail``."""
    parts = [t.new("alloca ptr, align 8") for _ in range(3)]
    pointers = [f"ptr {p}" for p in parts]
    t.c(bi, "PyErr_Fetch", *pointers)
    t.c(bi, "PyErr_NormalizeException", *pointers)
    handled = t.py(bi, "py_throw", owner, t.new(f"load ptr, ptr {parts[1]}, align 8"))
    values = [f"ptr {t.new(f'load ptr, ptr {p}, align 8')}" for p in parts]
    told, restore, pending = t.label(), t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp eq ptr {handled}, null')}, label %fail, label %{told}")
    t.at(told)
    yes = t.c(bi, "PyObject_IsTrue", f"ptr {handled}")
    t.c(bi, "Py_DecRef", f"ptr {handled}")
    t.do(f"br i1 {t.new(f'icmp eq i32 {yes}, 1')}, label %{pending}, label %{restore}")
    t.at(restore)
    t.c(bi, "PyErr_Restore", *values)
    t.do("br label %fail")
    t.at(pending)
    for value in values:
        t.c(bi, "Py_DecRef", value)
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    t.do("ret void" if result == "void" else f"ret {result} zeroinitializer")


def _host_results(t: _Text, bi: str, owner: str, results: str) -> list[str]:
    """Unbox what the host function returned (``%res``). No results: whatever it returned is ignored."""
    if not results:
        return []
    if len(results) == 1:
        return [_unbox(t, bi, results, "%res", owner, -1, "drop")]
    items = t.py(bi, "py_results", owner, "%res")
    t.branch(t.new(f"icmp eq ptr {items}, null"), "drop")
    values = []
    held = t.label()
    for i, letter in enumerate(results):
        item = t.c(bi, "PyTuple_GetItem", f"ptr {items}", f"i64 {i}")
        values.append(_unbox(t, bi, letter, item, owner, -1 - i, held))
    t.c(bi, "Py_DecRef", f"ptr {items}")
    on = t.label()
    t.do(f"br label %{on}")
    t.at(held)
    t.c(bi, "Py_DecRef", f"ptr {items}")
    t.do("br label %drop")
    t.at(on)
    return values
