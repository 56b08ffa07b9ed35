"""Where the collector's search for references begins: the native stack, and the words the store says may hold some.

DANGER: see :mod:`wardian.compile.glue.text` for the rules of this border. This function reads the stack of the thread
it runs on, from its own frame up to the outermost entry's, and writes only into the heap's ROOTS.

Invariant: whatever a guest's or a host stub's frame, or a register, holds of a reference is found: as a 64-bit word
that points into the heap, or as half a word that is an offset in it. Registers are found because ``_setjmp`` writes
down those that callees keep, and all others were saved by callers.
"""

from __future__ import annotations

from typing import Final

from wardian.compile.glue.text import Text, check_interrupt, define
from wardian.vm.builtins import SLOT
from wardian.vm.heap import ROOTS, ROOTS_COUNT, SCAN_EXACT, SCAN_ON, SEGMENT
from wardian.vm.layout import ACTIVATION, HEADER, JMP_BUF, MEMORY, ROOT, STORE, THREAD

_ROOTS: Final = f"""
define tailcc i32 @heap_roots(ptr %ctx, i32 %scan) #0 {{
; The next candidates into ROOTS; how many, 0 at the end. What was not looked at yet stands in STORE.scan_*.
entry:
  %buf = alloca [{JMP_BUF} x i8], align 16
  %sp = getelementptr i8, ptr %ctx, i64 {HEADER.at["store"]}
  %store = load ptr, ptr %sp, align 8
  %mp = getelementptr i8, ptr %store, i64 {STORE.at["heap_memory"]}
  %memory = load ptr, ptr %mp, align 8
  %bp = getelementptr i8, ptr %memory, i64 {MEMORY.at["base"]}
  %base = load i64, ptr %bp, align 8
  %basep = inttoptr i64 %base to ptr
  %lp = getelementptr i8, ptr %memory, i64 {MEMORY.at["length"]}
  %length = load i64, ptr %lp, align 8
  %room = sub i64 %length, {SEGMENT}
  %atp = getelementptr i8, ptr %store, i64 {STORE.at["scan_at"]}
  %endp = getelementptr i8, ptr %store, i64 {STORE.at["scan_end"]}
  %nextp = getelementptr i8, ptr %store, i64 {STORE.at["scan_next"]}
  %go.on = icmp eq i32 %scan, {SCAN_ON}
  br i1 %go.on, label %resume, label %begin
begin:
  call void @heap_checkpoint(ptr %ctx)
  store i64 0, ptr %nextp, align 8
  store i64 0, ptr %atp, align 8
  store i64 0, ptr %endp, align 8
  %bip = getelementptr i8, ptr %ctx, i64 {HEADER.at["builtins"]}
  %bi = load ptr, ptr %bip, align 8
  %sjp = getelementptr i8, ptr %bi, i64 {SLOT["_setjmp"]}
  %setjmp = load ptr, ptr %sjp, align 8
  %ignored = call i32 %setjmp(ptr %buf) returns_twice
  %tp = getelementptr i8, ptr %store, i64 {STORE.at["thread"]}
  %thread = load ptr, ptr %tp, align 8
  %ap = getelementptr i8, ptr %thread, i64 {THREAD.at["activation"]}
  %innermost = load ptr, ptr %ap, align 8
  %exact = icmp eq i32 %scan, {SCAN_EXACT}
  br label %outwards
outwards:
  %act = phi ptr [ %innermost, %begin ], [ %prev, %outwards ]
  %entries = phi i64 [ 0, %begin ], [ %entries1, %outwards ]
  %fpp = getelementptr i8, ptr %act, i64 {ACTIVATION.at["fp"]}
  %fp = load i64, ptr %fpp, align 8
  %asp = getelementptr i8, ptr %act, i64 {ACTIVATION.at["store"]}
  %as = load ptr, ptr %asp, align 8
  %of.this = icmp eq ptr %as, %store
  %one.more = zext i1 %of.this to i64
  %entries1 = add i64 %entries, %one.more
  %pp = getelementptr i8, ptr %act, i64 {ACTIVATION.at["prev"]}
  %prev = load ptr, ptr %pp, align 8
  %outermost = icmp eq ptr %prev, null
  br i1 %outermost, label %ends, label %outwards
ends:
; The one entry is Python's call of the collector itself: no guest's frame is there.
  %only = icmp eq i64 %entries1, 1
  %no.stack = and i1 %exact, %only
  br i1 %no.stack, label %resume, label %stack
stack:
  %low = ptrtoint ptr %buf to i64
  store volatile i64 %low, ptr %atp, align 8
  store volatile i64 %fp, ptr %endp, align 8
  br label %resume
resume:
  %at0 = load volatile i64, ptr %atp, align 8
  %end0 = load volatile i64, ptr %endp, align 8
  br label %loop
loop:
  %at = phi i64 [ %at0, %resume ], [ %at1, %one ], [ %at1, %two ], [ %first, %enter ]
  %end = phi i64 [ %end0, %resume ], [ %end, %one ], [ %end, %two ], [ %last, %enter ]
  %n = phi i32 [ 0, %resume ], [ %n.one, %one ], [ %n.two, %two ], [ %n, %enter ]
  %left = icmp ult i64 %at, %end
  br i1 %left, label %look, label %source
look:
  %full = icmp ugt i32 %n, {ROOTS_COUNT - 2}
  br i1 %full, label %pause, label %read
pause:
  store volatile i64 %at, ptr %atp, align 8
  store volatile i64 %end, ptr %endp, align 8
  ret i32 %n
read:
  %wp = inttoptr i64 %at to ptr
  %w = load volatile i64, ptr %wp, align 8
  %at1 = add i64 %at, 8
  %d = sub i64 %w, %base
  %n64 = zext i32 %n to i64
  %list = getelementptr i8, ptr %basep, i64 {ROOTS}
  %slot = getelementptr i32, ptr %list, i64 %n64
  %points = icmp ult i64 %d, %length
  br i1 %points, label %one, label %two
one:
  %d32 = trunc i64 %d to i32
  store i32 %d32, ptr %slot, align 4
  %n.one = add i32 %n, 1
  br label %loop
two:
  %lo64 = and i64 %w, 4294967295
  %lo32 = trunc i64 %lo64 to i32
  store i32 %lo32, ptr %slot, align 4
  %lod = sub i64 %lo64, {SEGMENT}
  %lo.in = icmp ult i64 %lod, %room
  %lo.one = zext i1 %lo.in to i32
  %n.lo = add i32 %n, %lo.one
  %nl64 = zext i32 %n.lo to i64
  %slot2 = getelementptr i32, ptr %list, i64 %nl64
  %hi64 = lshr i64 %w, 32
  %hi32 = trunc i64 %hi64 to i32
  store i32 %hi32, ptr %slot2, align 4
  %hid = sub i64 %hi64, {SEGMENT}
  %hi.in = icmp ult i64 %hid, %room
  %hi.one = zext i1 %hi.in to i32
  %n.two = add i32 %n.lo, %hi.one
  br label %loop
source:
  %k = load i64, ptr %nextp, align 8
  %countp = getelementptr i8, ptr %store, i64 {STORE.at["roots_count"]}
  %count = load i64, ptr %countp, align 8
  %more = icmp ult i64 %k, %count
  br i1 %more, label %enter, label %finished
enter:
  %rootsp = getelementptr i8, ptr %store, i64 {STORE.at["roots"]}
  %roots = load ptr, ptr %rootsp, align 8
  %rp = getelementptr ptr, ptr %roots, i64 %k
  %root = load ptr, ptr %rp, align 8
  %rb = getelementptr i8, ptr %root, i64 {ROOT.at["base"]}
  %first = load i64, ptr %rb, align 8
  %rl = getelementptr i8, ptr %root, i64 {ROOT.at["length"]}
  %words = load i64, ptr %rl, align 8
  %bytes = shl i64 %words, 3
  %last = add i64 %first, %bytes
  %k1 = add i64 %k, 1
  store i64 %k1, ptr %nextp, align 8
  br label %loop
finished:
  store volatile i64 0, ptr %atp, align 8
  store volatile i64 0, ptr %endp, align 8
  ret i32 %n
}}
"""


def roots_text() -> str:
    """``heap_roots``, and the look at the store's interrupt word with which every collection begins.

    A guest that spends its time collecting is hardly ever met in its own code by the signal that stops guests. Before
    the collector has begun it may be left.
    """
    t = Text()
    check_interrupt(t, t.word("%ctx", HEADER.at["builtins"]), "%ctx", t.word("%ctx", HEADER.at["store"]))
    return _ROOTS + define("internal void @heap_checkpoint(ptr %ctx) #0", t, "ret void")
