"""Glue that Python calls as it calls any builtin function: no ctypes, whose border costs more than what is done here.

DANGER: see :mod:`wardian.compile.glue.text` for the rules of this border. Callers pass numbers that they made
themselves (:class:`wardian.runtime.process.Process`); the GIL is held throughout.
"""

from __future__ import annotations

from typing import Final

from wardian.compile.glue.text import Text, define
from wardian.vm.builtins import SLOT
from wardian.vm.layout import FUNC_OBJECT, PLACED, PLACED_SIZE

_MADV_DONTNEED: Final = 4
_READ_ONLY: Final = 0x80000
"""``O_RDONLY | O_CLOEXEC``."""
_PATH: Final = b"/proc/self/pagemap".ljust(24, b"\0")

SCANNED: Final = 1024
"""A memory of more pages is not looked at page by page."""

_PRESENT: Final = 1 << 63
_OF_FILE: Final = 1 << 61
"""Bits of an entry of ``pagemap``; bit 62 says that a page is in swap."""


def direct_text() -> str:
    return "\n".join(
        [
            _clean(),
            _restore(),
            _asked("restore", "PyLong_FromLongLong", "ptr", "i64"),
            _place(),
            _asked("place", "PyLong_FromLongLong", "ptr", "i64", "ptr", "ptr"),
            _asked("foreign_signals", "PyLong_FromUnsignedLongLong", "i64"),
            _make_func(),
        ]
    )


def _ends(t: Text, bi: str) -> None:
    """Where it goes to with an odd number of arguments (``odd``), or with an exception that is set (``null``)."""
    t.at("odd")
    t.c(bi, "PyErr_BadArgument")
    t.do("br label %null")
    t.at("null")


def _asked(name: str, box: str, *types: str) -> str:
    """``py_NAME``: a builtin function (METH_FASTCALL) of numbers that gives the number ``NAME`` does."""
    t = Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    t.branch(t.new(f"icmp ne i64 %n, {len(types)}"), "odd")
    numbers = [t.c(bi, "PyLong_AsUnsignedLongLongMask", f"ptr {t.word('%args', 8 * i)}") for i in range(len(types))]
    t.branch(t.new(f"icmp ne ptr {t.c(bi, 'PyErr_Occurred')}, null"), "null")
    args = [n if type == "i64" else t.new(f"inttoptr i64 {n} to ptr") for n, type in zip(numbers, types, strict=True)]
    result = t.new(f"call i64 @{name}({', '.join(f'{type} {a}' for type, a in zip(types, args, strict=True))})")
    t.do(f"ret ptr {t.c(bi, box, f'i64 {result}')}")
    _ends(t, bi)
    return define(f"ptr @py_{name}(ptr %self, ptr %args, i64 %n) #0", t, "ret ptr null")


def _make_func() -> str:
    """``make_func(type, entry, FUNCREF, instance)``: a new ``Func`` (:class:`wardian.runtime.function.NativeTypes`)."""
    t = Text()
    at = FUNC_OBJECT.at
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    t.branch(t.new("icmp ne i64 %n, 4"), "odd")
    entry, ref = (t.c(bi, "PyLong_AsUnsignedLongLongMask", f"ptr {t.word('%args', 8 * i)}") for i in (1, 2))
    t.branch(t.new(f"icmp ne ptr {t.c(bi, 'PyErr_Occurred')}, null"), "null")
    made = t.c(bi, "PyType_GenericAlloc", f"ptr {t.word('%args', 0)}", "i64 0")
    t.branch(t.new(f"icmp eq ptr {made}, null"), "null")
    t.put(entry, made, at["vectorcall"], "i64")
    t.put(ref, made, at["funcref"], "i64")
    t.put(bi, made, at["builtins"])
    instance = t.word("%args", 24)
    t.c(bi, "Py_IncRef", f"ptr {instance}")
    t.put(instance, made, at["instance"])
    t.do(f"ret ptr {made}")
    _ends(t, bi)
    return define("ptr @make_func(ptr %self, ptr %args, i64 %n) #0", t, "ret ptr null")


# -- native memory as it was -------------------------------------------------------------------------------------------


def _restore() -> str:
    """``restore(rows, most)``: native memory back to what it was, if no size has changed.

    Rows are three counts, then as many ``{address of a word, expected}``, ``{to, from, bytes}`` and ``{pages, bytes,
    image, its bytes}``: see :class:`wardian.runtime.snapshot.Snapshot`. How many pages stay in memory, at most ``most``
    of each row; -1: some word is not as expected, nothing done; -2: the system refused.
    """
    t = Text()
    t.do("%kept = alloca i64, align 8")
    t.do("store i64 0, ptr %kept, align 8")
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    t.do("%rows = getelementptr i8, ptr %head, i64 24")
    for i, name in enumerate(("checks", "copies", "pages")):
        t.do(f"%{name}_at = getelementptr i8, ptr %head, i64 {8 * i}")
        t.do(f"%{name} = load i64, ptr %{name}_at, align 8")
    _for_each(t, "checks", "%rows", 16)
    found, expected = t.word(t.word("%checks_row", 0), 0, "i64"), t.word("%checks_row", 8, "i64")
    t.branch(t.new(f"icmp ne i64 {found}, {expected}"), "changed")
    _next(t, "checks")
    _for_each(t, "copies", "%checks_end", 24)
    to, source, size = t.word("%copies_row", 0), t.word("%copies_row", 8), t.word("%copies_row", 16, "i64")
    t.c(bi, "memmove", f"ptr {to}", f"ptr {source}", f"i64 {size}")
    _next(t, "copies")
    _for_each(t, "pages", "%copies_end", 32)
    base, size, image, whole = (t.word("%pages_row", 8 * i, "ptr" if i in (0, 2) else "i64") for i in range(4))
    stay = t.new(f"call i64 @clean(ptr {bi}, ptr {base}, i64 {size}, ptr {image}, i64 {whole}, i64 %most)")
    t.branch(t.new(f"icmp slt i64 {stay}, 0"), "refused")
    before = t.new("load i64, ptr %kept, align 8")
    t.do(f"store i64 {t.new(f'add i64 {before}, {stay}')}, ptr %kept, align 8")
    _next(t, "pages")
    t.do(f"ret i64 {t.new('load i64, ptr %kept, align 8')}")
    t.at("changed")
    t.do("ret i64 -1")
    t.at("refused")
    return define("i64 @restore(ptr %head, i64 %most) #0", t, "ret i64 -2")


def _place() -> str:
    """``place(rows, count, to, source)``: data segments to where they belong in a memory; the GIL is held.

    Rows are those of :data:`wardian.vm.layout.PLACED`; who calls this has seen to it that they lie within both.
    """
    t = Text()
    bi = t.new("load ptr, ptr @wd_builtins, align 8")
    _for_each(t, "count", "%rows", PLACED_SIZE)

    def number(name: str) -> str:
        at = t.new(f"getelementptr i8, ptr %count_row, i64 {PLACED[name]}")
        return t.new(f"zext i32 {t.new(f'load i32, ptr {at}, align 4')} to i64")

    start = number("start")
    to = t.new(f"getelementptr i8, ptr %to, i64 {number('to')}")
    source = t.new(f"getelementptr i8, ptr %source, i64 {start}")
    size = t.new(f"sub i64 {number('stop')}, {start}")
    t.c(bi, "memmove", f"ptr {to}", f"ptr {source}", f"i64 {size}")
    _next(t, "count")
    return define("i64 @place(ptr %rows, i64 %count, ptr %to, ptr %source) #0", t, "ret i64 0")


def _clean() -> str:
    """``clean(builtins, pages, bytes, image, its bytes, most)``: pages as they were, and how many stay in memory.

    The kernel knows which pages are there: nobody has touched the others, and of a file's, mapped privately, those that
    were written to are no longer the file's. A few are filled again, which spares a page fault for each; if there are
    more than ``most``, or the kernel does not say, all are given back. Its answer is asked for with a descriptor that
    exists for this moment only: one that is kept would be of another process after a fork, or of another file after
    somebody has closed it. Negative: the system refused.
    """
    t = Text()
    t.do(f"%path = alloca [{len(_PATH)} x i8], align 16")
    t.do(f"%entries = alloca [{SCANNED} x i64], align 16")
    for at in range(0, len(_PATH), 8):
        t.put(str(int.from_bytes(_PATH[at : at + 8], "little")), "%path", at, "i64")
    t.do("%count = lshr i64 %size, 12")
    t.branch(t.new("icmp eq i64 %most, 0"), "discard")
    t.branch(t.new(f"icmp ugt i64 %count, {SCANNED}"), "discard")
    opened = t.word("%bi", SLOT["open"])
    fd = t.new(f"call i32 (ptr, i32, ...) {opened}(ptr %path, i32 {_READ_ONLY})")
    t.branch(t.new(f"icmp slt i32 {fd}, 0"), "discard")
    wanted = t.new("shl i64 %count, 3")
    place = t.new(f"shl i64 {t.new(f'''lshr i64 {t.new('ptrtoint ptr %pages to i64')}, 12''')}, 3")
    got = t.c("%bi", "pread", f"i32 {fd}", "ptr %entries", f"i64 {wanted}", f"i64 {place}")
    t.c("%bi", "close", f"i32 {fd}")
    t.branch(t.new(f"icmp ne i64 {got}, {wanted}"), "discard")
    _each_page(t, "look")
    t.do("%look_touched = zext i1 %look_is to i64")
    t.do("%look_next = add i64 %look_sum, %look_touched")
    t.do("br label %look_more")
    t.at("look_out")
    t.branch(t.new("icmp ugt i64 %look_sum, %most"), "discard")
    _each_page(t, "fill")
    t.do("br i1 %fill_is, label %fill_it, label %fill_more")
    t.at("fill_it")
    to = t.new("getelementptr i8, ptr %pages, i64 %fill_at")
    t.do("br i1 %fill_in_image, label %fill_image, label %fill_zero")
    t.at("fill_image")
    t.c("%bi", "memmove", f"ptr {to}", f"ptr {t.new('getelementptr i8, ptr %image, i64 %fill_at')}", "i64 4096")
    t.do("br label %fill_more")
    t.at("fill_zero")
    t.c("%bi", "memset", f"ptr {to}", "i32 0", "i64 4096")
    t.do("br label %fill_more")
    t.at("fill_out")
    t.do("ret i64 %look_sum")
    t.at("discard")
    failed = t.c("%bi", "madvise", "ptr %pages", "i64 %size", f"i32 {_MADV_DONTNEED}")
    result = t.new(f"sext i1 {t.new(f'icmp ne i32 {failed}, 0')} to i64")
    parameters = "ptr %bi, ptr %pages, i64 %size, ptr %image, i64 %whole, i64 %most"
    return define(f"internal i64 @clean({parameters}) #0", t, f"ret i64 {result}")


def _each_page(t: Text, name: str) -> None:
    """Begin a loop over all pages: ``%NAME_at`` is the offset of one, ``%NAME_is`` whether it may have been written to.

    A page that is in memory, or in swap, has been, unless it is (in the image) still the file's. The loop goes on at
    ``NAME_more``, and ends at ``NAME_out``; ``%NAME_sum`` counts as ``%NAME_next`` says.
    """
    before = t.label()
    t.do(f"br label %{before}")
    t.at(before)
    t.do(f"br label %{name}_head")
    t.at(f"{name}_more")
    t.do(f"%{name}_up = add i64 %{name}_i, 1")
    t.do(f"br label %{name}_head")
    t.at(f"{name}_head")
    t.do(f"%{name}_i = phi i64 [ 0, %{before} ], [ %{name}_up, %{name}_more ]")
    if name == "look":
        t.do(f"%look_sum = phi i64 [ 0, %{before} ], [ %look_next, %look_more ]")
    t.do(f"%{name}_done = icmp eq i64 %{name}_i, %count")
    t.do(f"br i1 %{name}_done, label %{name}_out, label %{name}_body")
    t.at(f"{name}_body")
    t.do(f"%{name}_at = shl i64 %{name}_i, 12")
    entry = t.word(t.new(f"getelementptr i64, ptr %entries, i64 %{name}_i"), 0, "i64")
    there = t.new(f"icmp ne i64 {t.new(f'lshr i64 {entry}, 62')}, 0")
    t.do(f"%{name}_in_image = icmp ult i64 %{name}_at, %whole")
    state = t.new(f"lshr i64 {entry}, 61")
    of_file = t.new(f"and i1 {t.new(f'icmp eq i64 {state}, {(_PRESENT | _OF_FILE) >> 61}')}, %{name}_in_image")
    t.do(f"%{name}_is = and i1 {there}, {t.new(f'xor i1 {of_file}, true')}")


def _for_each(t: Text, name: str, first: str, size: int) -> None:
    """Begin a loop over ``%NAME`` rows of ``size`` bytes from ``first`` on, each ``%NAME_row``; :func:`_next` ends it.
    """
    before = t.label()
    t.do(f"br label %{before}")
    t.at(before)
    t.do(f"%{name}_size = mul i64 %{name}, {size}")
    t.do(f"%{name}_end = getelementptr i8, ptr {first}, i64 %{name}_size")
    t.do(f"br label %{name}_head")
    t.at(f"{name}_head")
    t.do(f"%{name}_row = phi ptr [ {first}, %{before} ], [ %{name}_up, %{name}_more ]")
    t.do(f"%{name}_done = icmp eq ptr %{name}_row, %{name}_end")
    t.do(f"br i1 %{name}_done, label %{name}_out, label %{name}_body")
    t.at(f"{name}_body")
    t.do(f"%{name}_up = getelementptr i8, ptr %{name}_row, i64 {size}")


def _next(t: Text, name: str) -> None:
    t.do(f"br label %{name}_more")
    t.at(f"{name}_more")
    t.do(f"br label %{name}_head")
    t.at(f"{name}_out")
