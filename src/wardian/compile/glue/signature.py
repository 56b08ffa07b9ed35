"""Entries (Python calls a guest function) and host stubs (a guest calls Python), one pair per signature code.

DANGER: see :mod:`wardian.compile.glue.text` for the rules of this border.
"""

from __future__ import annotations

from typing import Final

from wardian.compile.glue.text import (
    ARGUMENTS_OFFSET,
    TRAPPED,
    Text,
    check_interrupt,
    define,
    last_label,
    raise_error,
    signed_word,
    take_gil,
)
from wardian.vm.abi import LETTER_LLVM, MAX_REGISTER_RESULTS, PADDING, RESULT_SLOT, is_padded
from wardian.vm.builtins import SLOT
from wardian.vm.layout import (
    ACTIVATION,
    FUNC_OBJECT,
    FUNCREF,
    HEADER,
    HOST,
    STORE,
    THREAD,
)

# -- per signature -----------------------------------------------------------------------------------------------------


def signature_text(code: str, preamble: str) -> str:
    """LLVM module with ``entry_CODE`` (Python calls a guest function) and ``host_CODE`` (a guest calls Python)."""
    params, results = code.split("_")
    return "\n".join([preamble, "declare ptr @llvm.frameaddress.p0(i32)", *_INTRINSICS, _SET_JUMP,
                      _entry(params, results), _host(params, results)])  # fmt: skip


_INTRINSICS: Final = ("declare i64 @llvm.usub.sat.i64(i64, i64)", "declare i64 @llvm.umax.i64(i64, i64)")

_SET_JUMP: Final = """define internal i32 @set_jump(ptr %buffer, ptr %set) noinline nounwind returns_twice {
  %how = musttail call i32 %set(ptr %buffer, ptr %set)
  ret i32 %how
}"""
"""``_setjmp``, called by a name: only where such a call returns to does LLVM say that a jump may lead there, too."""


def _result(results: str) -> str:
    if not results or len(results) > MAX_REGISTER_RESULTS:
        return "void"
    names = [LETTER_LLVM[r] for r in results]
    return names[0] if len(names) == 1 else "{ " + ", ".join(names) + " }"


def _widen_f32(t: Text, x: str) -> str:
    """An f32 as the double of the same value; a NaN keeps its sign, payload and quiet bit."""
    bits = t.new(f"bitcast float {x} to i32")
    wide = t.new(f"zext i32 {bits} to i64")
    sign = t.new(f"shl i64 {t.new(f'and i64 {wide}, 2147483648')}, 32")
    payload = t.new(f"shl i64 {t.new(f'and i64 {wide}, 8388607')}, 29")
    nan = t.new(f"or i64 {t.new(f'or i64 {sign}, {payload}')}, {0x7FF << 52}")
    nan_double = t.new(f"bitcast i64 {nan} to double")
    plain = t.new(f"fpext float {x} to double")
    return t.new(f"select i1 {t.new(f'fcmp uno float {x}, {x}')}, double {nan_double}, double {plain}")


def _narrow_f64(t: Text, x: str) -> str:
    """A double as the nearest f32; a NaN keeps sign, the upper payload and the quiet bit (and stays a NaN)."""
    bits = t.new(f"bitcast double {x} to i64")
    sign = t.new(f"and i64 {t.new(f'lshr i64 {bits}, 32')}, 2147483648")
    payload = t.new(f"and i64 {t.new(f'lshr i64 {bits}, 29')}, 8388607")
    kept = t.new(f"select i1 {t.new(f'icmp eq i64 {payload}, 0')}, i64 4194304, i64 {payload}")
    nan = t.new(f"or i64 {t.new(f'or i64 {sign}, {kept}')}, 2139095040")
    nan_float = t.new(f"bitcast i32 {t.new(f'trunc i64 {nan} to i32')} to float")
    plain = t.new(f"fptrunc double {x} to float")
    return t.new(f"select i1 {t.new(f'fcmp uno double {x}, {x}')}, float {nan_float}, float {plain}")


def _box(t: Text, bi: str, letter: str, value: str, owner: str, position: int) -> str:
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
    if letter == "e":
        # The collector finds the reference in this frame as long as Python looks at it.
        held = t.new("alloca i32, align 8")
        t.do(f"store volatile i32 {value}, ptr {held}, align 8")
        word = t.new(f"zext i32 {value} to i64")
    else:
        word = t.new(f"ptrtoint ptr {value} to i64")
    raw = t.c(bi, "PyLong_FromUnsignedLongLong", f"i64 {word}")
    place = t.c(bi, "PyLong_FromLongLong", f"i64 {position}")
    result = t.py(bi, "py_box", owner, place, raw)
    t.c(bi, "Py_DecRef", f"ptr {raw}")
    t.c(bi, "Py_DecRef", f"ptr {place}")
    return result


def _unbox(t: Text, bi: str, letter: str, obj: str, owner: str, position: int, failed: str) -> str:
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
        came = last_label(t)
        t.at(check)
        t.do(f"br i1 {t.new(f'''icmp eq ptr {t.c(bi, 'PyErr_Occurred')}, null''')}, label %{done}, label %{slow}")
        quick, wide = v, "double"
    else:
        t.do(f"br label %{slow}")
        wide, came = "i64", ""
    t.at(slow)
    fixed = _fix(t, bi, obj, owner, position, failed)
    convert = {
        "double": "PyFloat_AsDouble",
        "i64": "PyLong_AsLongLong" if letter in "il" else "PyLong_AsUnsignedLongLongMask",
    }
    again = t.c(bi, convert[wide], f"ptr {fixed}")
    t.c(bi, "Py_DecRef", f"ptr {fixed}")
    from_slow = last_label(t)
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
    if letter == "e":
        # Whatever stands above says who holds the object (wardian.runtime.heap.HeapRef).
        return t.new(f"trunc i64 {value} to i32")
    return value


def _fix(t: Text, bi: str, obj: str, owner: str, position: int, failed: str) -> str:
    """What ``py_unbox`` makes of ``obj``, a new reference; CPython's own conversion has just refused it."""
    t.c(bi, "PyErr_Clear")
    place = t.c(bi, "PyLong_FromLongLong", f"i64 {position}")
    fixed = t.py(bi, "py_unbox", owner, place, obj)
    t.c(bi, "Py_DecRef", f"ptr {place}")
    t.branch(t.new(f"icmp eq ptr {fixed}, null"), failed)
    return fixed


def _unbox_vector(t: Text, bi: str, obj: str, owner: str, position: int, failed: str) -> str:
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
    from_slow = last_label(t)
    t.do(f"br label %{done}")
    t.at(done)
    return t.new(f"phi <16 x i8> [ {quick}, %{good} ], [ {again}, %{from_slow} ]")


def _entry(params: str, results: str) -> str:
    """The vectorcall function of exports with this signature."""
    t = Text()
    t.at("entry")
    t.do(f"%act = alloca [{ACTIVATION.size} x i8], align 16")
    t.do(f"%buf = alloca [{RESULT_SLOT * max(len(results), 1)} x i8], align 16")
    bi = t.word("%self", FUNC_OBJECT.at["builtins"])
    count = t.new(f"and i64 %nargsf, {ARGUMENTS_OFFSET - 1}")
    t.branch(t.new(f"icmp ne i64 {count}, {len(params)}"), "slow")
    t.branch(t.new("icmp ne ptr %kw, null"), "slow")
    # References are made, and looked at, while this thread is inside the store: nobody else can collect meanwhile,
    # and the collector sees this frame.
    makes, gives = "e" in params, "e" in results
    values = [] if makes else _arguments(t, bi, params, "fail")
    _enter(t, bi)
    if makes:
        values = _arguments(t, bi, params, "raised")
    ref = t.word("%self", FUNC_OBJECT.at["funcref"])
    code, ctx = t.word(ref, FUNCREF.at["code"]), t.word(ref, FUNCREF.at["context"])
    t.do(f"%tstate = call ptr {t.word(bi, SLOT['PyEval_SaveThread'])}()")
    t.put("%tstate", "%thread", THREAD.at["tstate"])
    check_interrupt(t, bi, ctx, "%store")
    args = [f"ptr {ctx}"] + ["ptr %buf"] * (len(results) > MAX_REGISTER_RESULTS) + values
    args += [f"{PADDING} poison"] * is_padded(params, len(results) > MAX_REGISTER_RESULTS)
    call = f"call tailcc {_result(results)} {code}({', '.join(args)})"
    value = "" if _result(results) == "void" else t.new(call)
    if not value:
        t.do(call)
    t.c(bi, "PyEval_RestoreThread", "ptr %tstate")
    pending = t.word("%store", STORE.at["pending"], "i64")
    t.branch(t.new(f"icmp ne i64 {pending}, 0"), "thrown")
    if not gives:
        t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
    _return_results(t, bi, results, value)
    t.at("thrown")
    error = t.py(bi, "py_exception", "%self")
    t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
    t.do(f"ret ptr {error}")
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
    return _LEAVE + define(head, t, "ret ptr null")


def _arguments(t: Text, bi: str, params: str, failed: str) -> list[str]:
    """The arguments as operands."""
    values = []
    for i, letter in enumerate(params):
        obj = t.word("%args", 8 * i)
        values.append(f"{LETTER_LLVM[letter]} {_unbox(t, bi, letter, obj, '%self', i, failed)}")
    return values


def _slow_call(t: Text, bi: str, count: str) -> None:
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
    t.do(f"%flags = or i64 %n1, {signed_word(ARGUMENTS_OFFSET)}")
    f = t.word(bi, SLOT["py_slow_call"])
    t.do(f"ret ptr {t.c(bi, 'PyObject_Vectorcall', f'ptr {f}', 'ptr %a1', 'i64 %flags', 'ptr %kw')}")


def _enter(t: Text, bi: str) -> None:
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
    stop = t.word("%store", STORE.at["interrupt"], "i64")
    t.branch(t.new(f"icmp ne i64 {stop}, 0"), "slow")
    fp = t.new(f"ptrtoint ptr {t.new('call ptr @llvm.frameaddress.p0(i32 0)')} to i64")
    lowest = t.new(f"call i64 @llvm.usub.sat.i64(i64 {fp}, i64 {t.word('%store', STORE.at['max_stack'], 'i64')})")
    limit = t.new(f"call i64 @llvm.umax.i64(i64 {lowest}, i64 {t.word('%thread', THREAD.at['stack_low'], 'i64')})")
    old = t.word("%store", STORE.at["stack_limit"], "i64")
    outer = t.new(f"select i1 {idle}, i64 0, i64 {old}")
    limit = t.new(f"call i64 @llvm.umax.i64(i64 {limit}, i64 {outer})")
    t.put(t.word("%thread", THREAD.at["activation"]), "%act", ACTIVATION.at["prev"])
    t.put("%store", "%act", ACTIVATION.at["store"])
    t.put(fp, "%act", ACTIVATION.at["fp"], "i64")
    t.put(inside, "%act", ACTIVATION.at["prev_thread"])
    t.put(old, "%act", ACTIVATION.at["prev_limit"], "i64")
    t.put(t.word("%store", STORE.at["pending"], "i64"), "%act", ACTIVATION.at["prev_pending"], "i64")
    t.put("0", "%store", STORE.at["pending"], "i64")
    t.put("%act", "%thread", THREAD.at["activation"])
    t.put("%thread", "%store", STORE.at["thread"])
    t.put(limit, "%store", STORE.at["stack_limit"], "i64")
    buf = t.new(f"getelementptr i8, ptr %act, i64 {ACTIVATION.at['jmp_buf']}")
    how = t.new(f"call i32 @set_jump(ptr {buf}, ptr {t.word(bi, SLOT['_setjmp'])}) returns_twice")
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
  %p6 = getelementptr i8, ptr %act, i64 {ACTIVATION.at["prev_pending"]}
  %pp = load i64, ptr %p6, align 8
  %p7 = getelementptr i8, ptr %store, i64 {STORE.at["pending"]}
  store i64 %pp, ptr %p7, align 8
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


def _return_results(t: Text, bi: str, results: str, value: str) -> None:
    """Box the results and return; ``value`` is what the guest function returned in registers.

    With references among them this thread is still inside the store, and leaves it here.
    """

    def give(result: str) -> None:
        if "e" in results:
            t.do("call void @leave(ptr %thread, ptr %store, ptr %act)")
        t.do(f"ret ptr {result}")

    if not results:
        none = t.word(bi, SLOT["none"])
        t.c(bi, "Py_IncRef", f"ptr {none}")
        give(none)
        return
    if len(results) == 1:
        give(_box(t, bi, results, value, "%self", -1))
        return
    values = []
    for i, letter in enumerate(results):
        if len(results) > MAX_REGISTER_RESULTS:
            values.append(t.word("%buf", RESULT_SLOT * i, LETTER_LLVM[letter]))
        else:
            values.append(t.new(f"extractvalue {_result(results)} {value}, {i}"))
    result = t.c(bi, "PyTuple_New", f"i64 {len(results)}")
    t.branch(t.new(f"icmp eq ptr {result}, null"), "raised" if "e" in results else "fail")
    for i, letter in enumerate(results):
        boxed = _box(t, bi, letter, values[i], "%self", -1 - i)
        good, bad = t.label(), t.label()
        t.do(f"br i1 {t.new(f'icmp eq ptr {boxed}, null')}, label %{bad}, label %{good}")
        t.at(bad)
        t.c(bi, "Py_DecRef", f"ptr {result}")
        give("null")
        t.at(good)
        t.c(bi, "PyTuple_SetItem", f"ptr {result}", f"i64 {i}", f"ptr {boxed}")
    give(result)


def _host(params: str, results: str) -> str:
    """What a guest calls when it calls an imported Python function; ``%host`` is its HOST."""
    t = Text()
    t.at("entry")
    t.do(f"%array = alloca [{len(params) + 1} x ptr], align 16")
    bi, store, thread = take_gil(t, "%host")
    t.put(t.new("call ptr @llvm.frameaddress.p0(i32 0)"), thread, THREAD.at["host_fp"])
    owner = t.word("%host", HEADER.at["owner"])
    boxed = []
    for i, letter in enumerate(params):
        boxed.append(_box(t, bi, letter, f"%p{i}", owner, i))
        t.put(boxed[-1], "%array", 8 * (i + 1))
        t.branch(t.new(f"icmp eq ptr {boxed[-1]}, null"), "fail")
    first = t.new("getelementptr i8, ptr %array, i64 8")
    callable_ = t.word("%host", HOST.at["callable"])
    flags = signed_word(len(params) | ARGUMENTS_OFFSET)
    vectorcall = t.word(bi, SLOT["PyObject_Vectorcall"])
    t.do(f"%res = call ptr {vectorcall}(ptr {callable_}, ptr {first}, i64 {flags}, ptr null)")
    for b in boxed:
        t.c(bi, "Py_DecRef", f"ptr {b}")
    t.branch(t.new("icmp eq ptr %res, null"), "failed")
    values = _host_results(t, bi, owner, results)
    t.c(bi, "Py_DecRef", "ptr %res")
    t.put(t.c(bi, "PyEval_SaveThread"), thread, THREAD.at["tstate"])
    check_interrupt(t, bi, "%host", store)
    head = ["ptr %host"] + ["ptr %ret"] * (len(results) > MAX_REGISTER_RESULTS)
    head += [f"{LETTER_LLVM[p]} %p{i}" for i, p in enumerate(params)]
    head += [f"{PADDING} %pad"] * is_padded(params, len(results) > MAX_REGISTER_RESULTS)
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
    raise_error(t, bi, thread)
    t.lines.pop()
    return define(f"tailcc {_result(results)} @host_{params}_{results}({', '.join(head)}) #0", t, "unreachable")


def _throw(t: Text, bi: str, owner: str, thread: str, result: str) -> None:
    """The host function raised: if that is an exception guests can catch, leave it pending and return."""
    parts = [t.new("alloca ptr, align 8") for _ in range(3)]
    pointers = [f"ptr {p}" for p in parts]
    t.c(bi, "PyErr_Fetch", *pointers)
    t.c(bi, "PyErr_NormalizeException", *pointers)
    handled = t.py(bi, "py_throw", owner, t.new(f"load ptr, ptr {parts[1]}, align 8"))
    values = [f"ptr {t.new(f'load ptr, ptr {p}, align 8')}" for p in parts]
    told, unfit, restore, pending = t.label(), t.label(), t.label(), t.label()
    t.do(f"br i1 {t.new(f'icmp eq ptr {handled}, null')}, label %{unfit}, label %{told}")
    t.at(unfit)
    for value in values:
        t.c(bi, "Py_DecRef", value)
    t.do("br label %fail")
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


def _host_results(t: Text, bi: str, owner: str, results: str) -> list[str]:
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
