"""Bounds that hold where the processor guesses wrongly ("Spectre", variant 1): a second check, of arithmetic only.

Before a branch is decided a processor may run on for some hundred instructions as if it had gone the other way, with an
index that is out of bounds or a reference of another type, and leave traces of what it read in its caches. So a check
makes a *mask* first, all ones if it holds and else zero, and the address is computed from what the mask leaves: it
waits for the operands of the comparison, which are never guessed.

Invariant: LLVM cannot see that a mask is all ones behind the branch that looked for the same. So a check is computed
from a :func:`copy` of what becomes the address, and (where the bound is read through it) from what is loaded through
that copy; nothing branches on a copy or on what is computed from it but :func:`check`, which branches on a copy of the
mask; and the mask itself is one more thing LLVM knows nothing of. It may know what it likes of the originals: a guest's
own comparison of the index, or of a size it asked for, says nothing of a copy.
tests/escape/test_speculation.py shows the machine code.
"""

from __future__ import annotations

from wardian.compile.emit import Value, const
from wardian.compile.function import Lowering
from wardian.vm.traps import TrapCode


def masks(lo: Lowering) -> bool:
    """Are masks wanted? (``spectre`` is not ``"off"``.)"""
    return lo.facts.options.spectre != "off"


def copy(lo: Lowering, x: Value) -> Value:
    """``x``, of which LLVM knows nothing. (A stencil is a single instruction, of which nothing is known anyhow.)"""
    return x if lo.facts.is_stencil else lo.b.opaque(x)


def mask(lo: Lowering, fails: Value) -> Value:
    """Zero (``i64``) if ``fails`` (an ``i1`` computed from copies), else all ones; without a branch."""
    b = lo.b
    return b.opaque(b.cast("sext", b.icmp("eq", fails, const(0, "i1")), "i64"))


def below(lo: Lowering, x: Value, limit: Value, *also: Value, any: bool = False) -> Value:
    """The mask (``i64``) that is all ones if ``x < limit``, both ``i64`` and less than 2^63.

    ``any``: ``x`` may be any number, and none below ``limit`` if it, or one of ``also``, is 2^63 or more.
    """
    b = lo.b
    sign = b.binary("sub", x, limit)
    if any:
        large = x
        for more in also:
            large = b.binary("or", large, more)
        sign = b.binary("and", sign, b.binary("xor", large, const(-1, "i64")))
    return b.opaque(b.binary("ashr", sign, const(63, "i64")))


def equal(lo: Lowering, *pairs: tuple[Value, Value]) -> Value:
    """The mask (``i64``) that is all ones if both of each pair are the same: two ``i32``, or two addresses of this
    process, which are less than 2^63."""
    b = lo.b
    differing = const(0, "i64")
    for x, y in pairs:
        wide = [b.cast("ptrtoint" if v[1] == "ptr" else "zext", v, "i64") for v in (x, y)]
        differing = b.binary("or", differing, b.binary("xor", *wide))
    return b.opaque(b.binary("ashr", b.binary("sub", differing, const(1, "i64")), const(63, "i64")))


def check(lo: Lowering, mask: Value, code: TrapCode, *copies: Value) -> list[Value]:
    """Trap if ``mask`` is zero; returns each of ``copies`` as :func:`kept`."""
    # Opaque, so that they are made before the branch, and the mask needs no second register behind it.
    masked = [lo.b.opaque(kept(lo, x, mask)) for x in copies]
    lo.trap_if(lo.b.icmp("eq", copy(lo, mask), const(0, "i64")), code)
    return masked


def kept(lo: Lowering, x: Value, mask: Value) -> Value:
    """``x`` (a pointer, ``i64`` or ``i32``) where ``mask`` is all ones, else null or 0."""
    b = lo.b
    if x[1] == "ptr":
        return b.intrinsic("ptrmask.p0.i64", "ptr", x, mask)
    return b.binary("and", x, mask if x[1] == "i64" else b.cast("trunc", mask, x[1]))


def counted_from_one(lo: Lowering, x: Value, limit: int) -> Value:
    """``x + 1`` (``i64``) if ``x`` (``i32``) is less than ``limit``, else 0, without a branch; LLVM does not know what
    it can be."""
    b = lo.b
    wide = b.cast("zext", copy(lo, x), "i64")
    return b.opaque(kept(lo, b.binary("add", wide, const(1, "i64")), below(lo, wide, const(limit, "i64"))))


def counted(lo: Lowering, i: Value, count: Value) -> Value:
    """``i`` of a loop that ends at ``count`` (both ``i32``), or 0 in turns that are only guessed."""
    if not masks(lo):
        return i
    other = copy(lo, i)
    wide, limit = (lo.b.cast("zext", v, "i64") for v in (other, count))
    return kept(lo, other, below(lo, wide, limit))
