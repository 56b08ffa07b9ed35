"""The core image: traps, signal handlers, lazy compilation, and what guest code asks of Python.

DANGER: see :mod:`wardian.compile.glue.text` for the rules of this border.
"""

from __future__ import annotations

from typing import Final

from wardian.compile.glue.direct import direct_text
from wardian.compile.glue.roots import roots_text
from wardian.compile.glue.text import TRAPPED, Text, check_interrupt, define, last_label, raise_error, take_gil
from wardian.vm.builtins import SLOT
from wardian.vm.layout import (
    ACTIVATION,
    FUNCREF,
    HEADER,
    MAX_FRAMES,
    STORE,
    THREAD,
    WINDOW_OBJECT,
)
from wardian.vm.platform import Machine
from wardian.vm.traps import TrapCode

FAULTS: Final = (7, 11)
"""SIGBUS and SIGSEGV, whose handler is ``fault``; that of the others is ``python_signal``."""
_SIGACTION: Final = 256
"""Room for a ``struct sigaction`` (glibc on 64-bit Linux: 152 bytes, the handler first)."""

_BULK_CHUNK: Final = 1 << 20
"""Bytes moved between two looks at the store's interrupt word."""
_BULK_FEW: Final = 1 << 16
"""Bytes after which nobody looks."""

# -- the core image ----------------------------------------------------------------------------------------------------


def core_text(machine: Machine, preamble: str) -> str:
    """The core image's LLVM module."""
    return "\n".join(
        [
            preamble,
            "@wd_builtins = hidden global ptr null, align 8",
            "@wd_previous = hidden global [65 x ptr] zeroinitializer, align 8",
            "@wd_crashing = hidden global i32 0, align 4",
            "declare ptr @llvm.frameaddress.p0(i32)",
            "declare i64 @llvm.cttz.i64(i64, i1)",
            _CAPTURE,
            _trap(),
            _stopped(),
            _signal_prologue(machine),
            _fault(machine),
            _interrupt(machine),
            _python_signal(machine),
            _foreign_signals(),
            _resolve(),
            _number("hot", 2),
            _number("memory_grow", 2),
            _number("memory_wait", 5),
            _number("memory_notify", 3),
            _number("table_grow", 3),
            _function_number(),
            roots_text(),
            _bulk("memory_copy"),
            _bulk("memory_fill"),
            _table_fill(),
            _INSTANCE_INIT,
            direct_text(),
            _getbuffer(),
        ]
    )


_CAPTURE: Final = f"""
define internal void @capture(ptr %thread, i64 %pc, i64 %fp, i64 %sp, i64 %end) noinline nounwind {{
; Program counters of the guest's frames, innermost first, into THREAD.frames. Every frame keeps its frame
; pointer, and the chain is followed only while it climbs between the stack pointer and the entry's frame.
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
    t = Text()
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
    return define("void @trap(ptr %ctx, i32 %code) #0", t, "unreachable")


def _stopped() -> str:
    """Slow half of :func:`check_interrupt`."""
    t = Text()
    store = t.word("%ctx", HEADER.at["store"])
    bi = t.word("%ctx", HEADER.at["builtins"])
    code = t.word(store, STORE.at["interrupt"], "i64")
    t.branch(t.new(f"icmp eq i64 {code}, 0"), "signals")
    t.do(f"call void @trap(ptr %ctx, i32 {t.new(f'trunc i64 {code} to i32')})")
    t.do("unreachable")
    t.at("signals")
    _run_python_handlers(t, bi, t.word(store, STORE.at["thread"]))
    return define("void @stopped(ptr %ctx) #0", t, "ret void")


def _run_python_handlers(t: Text, bi: str, thread: str) -> None:
    """Have Python run its signal handlers on this thread; goes on unless one raised."""
    t.put("0", thread, THREAD.at["signalled"], "i64")
    t.c(bi, "PyEval_RestoreThread", f"ptr {t.word(thread, THREAD.at['tstate'])}")
    result = t.c(bi, "PyErr_CheckSignals")
    raised, fine = t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp eq i32 {result}, 0')}, label %{fine}, label %{raised}")
    t.at(raised)
    raise_error(t, bi, thread)
    t.at(fine)
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])


def _signal_prologue(machine: Machine) -> str:
    """``guest_thread(bi, uc)``: the THREAD if the interrupted program counter is in guest code, else null."""
    t = Text()
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
    return define("internal ptr @guest_thread(ptr %bi, ptr %uc) nounwind", t, "ret ptr null")


def _leave_by_signal(t: Text, machine: Machine, bi: str, thread: str, code: str) -> None:
    """Record a trap at the interrupted program counter and leave for the innermost entry."""
    act = t.word(thread, THREAD.at["activation"])
    t.put(code, thread, THREAD.at["trap_code"], "i64")
    pc, fp, sp = (t.word("%uc", at, "i64") for at in (machine.pc, machine.fp, machine.sp))
    end = t.word(act, ACTIVATION.at["fp"], "i64")
    t.do(f"call void @capture(ptr {thread}, i64 {pc}, i64 {fp}, i64 {sp}, i64 {end})")
    buf = t.new(f"getelementptr i8, ptr {act}, i64 {ACTIVATION.at['jmp_buf']}")
    t.c(bi, "longjmp", f"ptr {buf}", f"i32 {TRAPPED}")
    t.do("unreachable")


def _call_previous(t: Text) -> str:
    """The handler that was there before ours for ``%sig``."""
    index = t.new("zext i32 %sig to i64")
    slot = t.new(f"getelementptr [65 x ptr], ptr @wd_previous, i64 0, i64 {index}")
    return t.new(f"load ptr, ptr {slot}, align 8")


def _fault(machine: Machine) -> str:
    """SIGSEGV and SIGBUS: a trap if guest code touched a guest reservation, else not ours."""
    t = Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    thread = t.new(f"call ptr @guest_thread(ptr {bi}, ptr %uc)")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "other")
    address = t.word("%info", machine.si_addr, "i64")
    arenas = t.word(bi, SLOT["arenas"])
    count = t.word(arenas, 0, "i64")
    before = last_label(t)
    t.do("br label %head")
    t.at("head")
    t.do(f"%i = phi i64 [ 0, %{before} ], [ %i1, %more ]")
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
    # That handler may raise the signal again and find us here (faulthandler does): then nobody wants it.
    again = t.new("load i32, ptr @wd_crashing, align 4")
    t.branch(t.new(f"icmp ne i32 {again}, 0"), "default")
    t.do("store i32 1, ptr @wd_crashing, align 4")
    t.do(f"call void {previous}(i32 %sig, ptr %info, ptr %uc)")
    t.do("store i32 0, ptr @wd_crashing, align 4")
    t.do("ret void")
    t.at("default")
    # The default action is restored and the faulting instruction runs again: a crash stays a crash.
    t.c(bi, "signal", "i32 %sig", "ptr null")
    return define("dso_local void @fault(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _interrupt(machine: Machine) -> str:
    """The watchdog's signal: leave if any activation of this thread belongs to a store that was told to stop."""
    t = Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    thread = t.new(f"call ptr @guest_thread(ptr {bi}, ptr %uc)")
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "no")
    first = t.word(thread, THREAD.at["activation"])
    before = last_label(t)
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
    return define("void @interrupt(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _python_signal(machine: Machine) -> str:
    """A signal Python handles (Ctrl-C): note it as Python does, and if a guest was running, run Python's handlers now.

    The program counter is in guest code, so this is no different from a call of a host function at that instruction.
    """
    t = Text()
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
    t.branch(t.new(f"icmp eq ptr {thread}, null"), "elsewhere")
    _run_python_handlers(t, bi, thread)
    t.do("ret void")
    t.at("elsewhere")
    # In a helper, or in a host function: whoever returns to the guest looks at the mark (check_interrupt).
    key = t.word(bi, SLOT["tls_key"], "i64")
    here = t.c(bi, "pthread_getspecific", f"i32 {t.new(f'trunc i64 {key} to i32')}")
    t.branch(t.new(f"icmp eq ptr {here}, null"), "no")
    t.put("1", here, THREAD.at["signalled"], "i64")
    t.do("br label %no")
    t.at("no")
    return define("dso_local void @python_signal(i32 %sig, ptr %info, ptr %uc) #0", t, "ret void")


def _foreign_signals() -> str:
    """``foreign_signals(mask)``: of the signals in the mask (bit 0: signal 1), those whose handler is not ours."""
    faults = sum(1 << number - 1 for number in FAULTS)
    t = Text()
    t.do(f"%old = alloca [{_SIGACTION} x i8], align 16")
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    t.do("br label %head")
    t.at("head")
    t.do("%left = phi i64 [ %mask, %0 ], [ %rest, %look ]")
    t.do("%found = phi i64 [ 0, %0 ], [ %more, %look ]")
    t.do("%none = icmp eq i64 %left, 0")
    t.do("br i1 %none, label %end, label %look")
    t.at("look")
    t.do("%place = call i64 @llvm.cttz.i64(i64 %left, i1 true)")
    t.do("%number = add i64 %place, 1")
    t.do("%less = sub i64 %left, 1")
    t.do("%rest = and i64 %left, %less")
    t.do("%bit = xor i64 %left, %rest")
    t.do("store i64 0, ptr %old, align 16")
    t.c(bi, "sigaction", f"i32 {t.new('trunc i64 %number to i32')}", "ptr null", "ptr %old")
    handler = t.new("load ptr, ptr %old, align 16")
    fault = t.new(f"icmp ne i64 {t.new(f'and i64 %bit, {faults}')}, 0")
    ours = t.new(f"select i1 {fault}, ptr @fault, ptr @python_signal")
    strange = t.new(f"icmp ne ptr {handler}, {ours}")
    t.do(f"%more = or i64 %found, {t.new(f'select i1 {strange}, i64 %bit, i64 0')}")
    t.do("br label %head")
    t.at("end")
    return define("i64 @foreign_signals(i64 %mask) #0", t, "ret i64 %found")


def _ask(t: Text, context: str, name: str, numbers: list[str], unsigned_result: bool) -> tuple[str, str, str]:
    """Call Python's ``name(owner, *numbers)`` for an integer, with the GIL taken and given back."""
    bi, store, thread = take_gil(t, context)
    for n in numbers:
        # One may be a reference: the collector finds it in this frame as long as Python looks at it.
        t.do(f"store volatile i64 {n}, ptr {t.new('alloca i64, align 8')}, align 8")
    boxed = [t.c(bi, "PyLong_FromUnsignedLongLong", f"i64 {n}") for n in numbers]
    result = t.py(bi, name, t.word(context, HEADER.at["owner"]), *boxed)
    for b in boxed:
        t.c(bi, "Py_DecRef", f"ptr {b}")
    failed, fine = t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp eq ptr {result}, null')}, label %{failed}, label %{fine}")
    t.at(failed)
    raise_error(t, bi, thread)
    t.at(fine)
    value = t.c(bi, "PyLong_AsUnsignedLongLong" if unsigned_result else "PyLong_AsLongLong", f"ptr {result}")
    t.c(bi, "Py_DecRef", f"ptr {result}")
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    check_interrupt(t, bi, context, store)
    return value, bi, thread


def _resolve() -> str:
    t = Text()
    value, _, _ = _ask(t, "%ctx", "py_resolve", ["%index"], True)
    t.do(f"%p = inttoptr i64 {value} to ptr")
    return define("ptr @resolve(ptr %ctx, i64 %wide) #0", _mask_index(t), "ret ptr %p")


def _mask_index(t: Text) -> Text:
    # The stub passes a 32-bit index; the upper half of the register is not its to promise.
    t.lines.insert(0, "  %index = and i64 %wide, 4294967295")
    return t


def _number(name: str, numbers: int) -> str:
    """What asks Python's ``py_NAME`` with ``numbers`` unsigned words for a signed one."""
    t = Text()
    value, _, _ = _ask(t, "%ctx", f"py_{name}", [f"%a{i}" for i in range(numbers)], False)
    params = ", ".join(f"i64 %a{i}" for i in range(numbers))
    return define(f"i64 @{name}(ptr %ctx, {params}) #0", t, f"ret i64 {value}")


def _function_number() -> str:
    t = Text()
    address = t.new("ptrtoint ptr %function to i64")
    value, _, _ = _ask(t, "%ctx", "py_function_number", [address], False)
    t.do(f"%r = trunc i64 {value} to i32")
    return define("i32 @function_number(ptr %ctx, ptr %function) #0", t, "ret i32 %r")


def _bulk(name: str) -> str:
    """memmove or memset in chunks, looking at the interrupt word between them.

    A copy goes upwards when the target is below the source and downwards otherwise, so a run stopped half way leaves a
    state the spec's byte-by-byte semantics passes through as well.
    """
    t = Text()
    copy = name == "memory_copy"
    store = t.word("%ctx", HEADER.at["store"])
    bi = t.word("%ctx", HEADER.at["builtins"])
    few, many = t.label(), t.label()
    t.do(f"%few = icmp ule i64 %n, {_BULK_FEW}")
    t.do(f"br i1 %few, label %{few}, label %{many}")
    t.at(few)
    if copy:
        t.c(bi, "memmove", "ptr %d", "ptr %s", "i64 %n")
    else:
        t.c(bi, "memset", "ptr %d", "i32 %s", "i64 %n")
    t.do("ret void")
    t.at(many)
    t.do("%down = icmp ugt ptr %d, %s" if copy else "%down = icmp ne i32 0, 0")
    t.do("br label %head")
    t.at("head")
    t.do(f"%done = phi i64 [ 0, %{many} ], [ %next, %more ]")
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
    check_interrupt(t, bi, "%ctx", store)
    t.do("br i1 %big, label %more, label %end")
    t.at("more")
    t.do("br label %head")
    t.at("end")
    source = "ptr %s" if copy else "i32 %s"
    return define(f"void @{name}(ptr %ctx, ptr %d, {source}, i64 %n) #0", t, "ret void")


def _table_fill() -> str:
    t = Text()
    store = t.word("%ctx", HEADER.at["store"])
    bi = t.word("%ctx", HEADER.at["builtins"])
    t.do("br label %head")
    t.at("head")
    t.do("%i = phi i64 [ 0, %0 ], [ %i1, %body ]")
    t.do("%c = icmp ult i64 %i, %n")
    t.do("br i1 %c, label %body, label %end")
    t.at("body")
    t.do("%p = getelementptr i64, ptr %d, i64 %i")
    t.do("store i64 %v, ptr %p, align 8")
    t.do("%i1 = add i64 %i, 1")
    t.do("br label %head")
    t.at("end")
    check_interrupt(t, bi, "%ctx", store)
    return define("void @table_fill(ptr %ctx, ptr %d, i64 %v, i64 %n) #0", t, "ret void")


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
    t = Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    memory = t.word("%self", WINDOW_OBJECT.at["memory"])
    t.branch(t.new(f"icmp eq ptr {memory}, null"), "empty")
    base, size = t.word(memory, 0), t.word(memory, 8, "i64")
    args = [f"ptr {base}", f"i64 {size}", "i32 0", "i32 %flags"]
    t.do(f"ret i32 {t.c(bi, 'PyBuffer_FillInfo', 'ptr %view', 'ptr %self', *args)}")
    t.at("empty")
    r = t.c(bi, "PyBuffer_FillInfo", "ptr %view", "ptr %self", "ptr %self", "i64 0", "i32 1", "i32 %flags")
    return define("i32 @getbuffer(ptr %self, ptr %view, i32 %flags) #0", t, f"ret i32 {r}")


def stubs_text(machine: Machine, preamble: str, first: int) -> str:
    """Lazy-compilation stubs for the defined functions from ``first`` on."""
    return preamble + "\n".join(f'module asm "{line}"' for line in machine.stubs(first).strip().splitlines())
