"""Type contexts: equivalence, matching, keys across modules, and what is refused in the type section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.valid.build import func_type, heap, leb, module, section, vec
from wardian.binary.decode import decode
from wardian.errors import InvalidError, LimitExceeded
from wardian.limits import Limits
from wardian.syntax.types import (
    ABS_HEAP_TYPES,
    ANY,
    ARRAY,
    BOT,
    EQ,
    EXN,
    EXTERN,
    FUNC,
    I31,
    I32,
    I64,
    NOEXN,
    NOEXTERN,
    NOFUNC,
    NONE,
    STRUCT,
    GlobalType,
    HeapType,
    TableType,
    TypeLimits,
    ref,
)
from wardian.valid.types import (
    BOT_REF,
    TypeContext,
    _hashed,
    link_matches_global,
    link_matches_table,
    link_matches_val,
    link_same_val,
    matches_limits,
)


def types(*groups: bytes, limits: Limits | None = None) -> TypeContext:
    return TypeContext(decode(module(section(1, vec(*groups)))), limits, 10)


def rec(*subs: bytes) -> bytes:
    return b"\x4e" + vec(*subs)


def sub(comp: bytes, *supers: int, final: bool = False) -> bytes:
    return (b"\x4f" if final else b"\x50") + vec(*map(leb, supers)) + comp


def struct(*fields: bytes) -> bytes:
    return b"\x5f" + vec(*fields)


VOID = func_type()


def test_equal_structures_are_one_type_only_if_their_groups_are() -> None:
    t = types(VOID, VOID, func_type(b"\x7f"), rec(VOID, VOID), rec(VOID, VOID), rec(VOID))
    assert [t.canonical(i) for i in range(len(t))] == [0, 0, 2, 3, 4, 3, 4, 0]
    assert t.equivalent(3, 5) and not t.equivalent(3, 4) and not t.equivalent(0, 3)


def test_recursive_types_are_equal_by_structure() -> None:
    t = types(rec(struct(b"\x63\0\1")), rec(struct(b"\x63\1\1")), rec(struct(b"\x63\0\1")))
    assert t.equivalent(0, 1)
    # The third refers to the first, not to itself: iso-recursive types are not unfolded.
    assert not t.equivalent(0, 2)


def test_references_to_equal_types_make_equal_types() -> None:
    t = types(VOID, VOID, func_type([b"\x64\0"]), func_type([b"\x64\1"]), func_type([b"\x63\1"]))
    assert t.equivalent(2, 3) and not t.equivalent(2, 4)
    assert t.matches_val(ref(False, 0), ref(True, 1)) and not t.matches_val(ref(True, 0), ref(False, 1))


def test_finality_and_supertypes_are_part_of_a_type() -> None:
    t = types(sub(VOID), sub(VOID), VOID, sub(VOID, 0), sub(VOID, 1), sub(VOID, 3, final=True))
    assert t.equivalent(0, 1) and not t.equivalent(0, 2) and t.equivalent(3, 4)
    assert t.is_subtype(5, 1) and t.is_subtype(5, 4) and not t.is_subtype(1, 5)
    assert t.depth == [0, 0, 0, 1, 1, 2]


SUPERTYPES: dict[HeapType, set[HeapType]] = {
    FUNC: {FUNC},
    NOFUNC: {NOFUNC, FUNC, 2},
    EXTERN: {EXTERN},
    NOEXTERN: {NOEXTERN, EXTERN},
    ANY: {ANY},
    EQ: {EQ, ANY},
    I31: {I31, EQ, ANY},
    STRUCT: {STRUCT, EQ, ANY},
    ARRAY: {ARRAY, EQ, ANY},
    NONE: {NONE, I31, STRUCT, ARRAY, EQ, ANY, 0, 1},
    EXN: {EXN},
    NOEXN: {NOEXN, EXN},
    0: {0, STRUCT, EQ, ANY},
    1: {1, ARRAY, EQ, ANY},
    2: {2, FUNC},
}


def test_heap_types_match_as_the_specification_draws_them() -> None:
    t = types(struct(), b"\x5e\x7f\0", VOID)
    for a, above in SUPERTYPES.items():
        for b in SUPERTYPES:
            assert t.matches_heap(a, b) == (b in above), (a, b)
        assert t.matches_val(BOT_REF, ref(False, a))
    assert not t.matches_val(BOT_REF, I32) and t.matches_val(BOT, I32)
    assert [t.top(h) for h in (0, 1, 2, NONE, NOEXN)] == [ANY, ANY, FUNC, ANY, EXN]


@given(st.permutations([*ABS_HEAP_TYPES, 0, 1, 2]))
def test_matching_is_an_order(heaps: list[HeapType]) -> None:
    t = types(struct(), b"\x5e\x7f\0", VOID)
    a, b, c = heaps[:3]
    assert t.matches_heap(a, a)
    if t.matches_heap(a, b):
        assert not t.matches_heap(b, a)
        assert not t.matches_heap(b, c) or t.matches_heap(a, c)


def test_keys_are_equal_across_modules_for_equivalent_types_only() -> None:
    one = types(VOID, rec(struct(b"\x63\1\1")), func_type([b"\x64\1"]), sub(VOID), sub(VOID, 3))
    two = types(func_type(b"\x7f"), sub(VOID), rec(struct(b"\x63\2\1")), func_type([b"\x64\2"]), sub(VOID, 1), VOID)
    same = [(a, b) for a in range(len(one)) for b in range(len(two)) if one.key(a) == two.key(b)]
    assert same == [(0, 5), (1, 2), (2, 3), (3, 1), (4, 4)]
    for t in (one, two):
        for a in range(len(t)):
            for b in range(len(t)):
                assert (t.key(a) == t.key(b)) == t.equivalent(a, b)
    assert one.ancestry(4) == (two.key(4), two.key(1))


def test_linking_compares_types_of_two_modules() -> None:
    one = types(sub(VOID), sub(VOID, 0), struct())
    two = types(struct(), sub(VOID), sub(VOID, 1))
    assert link_matches_val(ref(False, 1), one, ref(True, 1), two)
    assert not link_matches_val(ref(False, 0), one, ref(True, 2), two)
    assert link_matches_val(ref(True, NOFUNC), one, ref(True, 1), two)
    assert not link_matches_val(ref(True, NONE), one, ref(True, 1), two)
    assert link_matches_val(ref(False, 2), one, ref(False, EQ), two)
    assert link_matches_val(I32, one, I32, two) and not link_matches_val(I32, one, I64, two)
    assert link_same_val(ref(True, 2), one, ref(True, 0), two)
    assert not link_same_val(ref(True, 1), one, ref(True, 1), two)
    assert link_matches_global(GlobalType(ref(True, 1), False), one, GlobalType(ref(True, FUNC), False), two)
    assert not link_matches_global(GlobalType(ref(True, 1), True), one, GlobalType(ref(True, FUNC), True), two)
    assert not link_matches_global(GlobalType(I32, True), one, GlobalType(I32, False), two)
    small, big = TypeLimits(1, 2), TypeLimits(1)
    assert link_matches_table(TableType(ref(True, 0), small), one, TableType(ref(True, 1), big), two)
    assert not link_matches_table(TableType(ref(True, 1), small), one, TableType(ref(True, 1), big), two)


def test_limits() -> None:
    assert matches_limits(TypeLimits(2, 3), TypeLimits(1, 3)) and matches_limits(TypeLimits(2, 3), TypeLimits(1))
    assert not matches_limits(TypeLimits(0), TypeLimits(1)) and not matches_limits(TypeLimits(1), TypeLimits(1, 9))
    assert not matches_limits(TypeLimits(1, is64=True), TypeLimits(1))


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ((func_type([b"\x64\1"]),), "unknown type 1"),
        ((func_type([b"\x64\1"]), VOID), "unknown type 1"),
        ((rec(struct(b"\x64\2\0"), VOID),), "unknown type 2"),
        ((sub(VOID, 1), sub(VOID)), "unknown type 1"),
        ((sub(VOID, 0),), "unknown type 0"),
        # A chain that leads nowhere, followed on behalf of a type before it.
        ((rec(sub(struct(b"\x64\2\0")), sub(struct(b"\x64\3\0"), 0), sub(VOID), sub(VOID, 3)),), "unknown type 3"),
        ((VOID, sub(VOID, 0)), "sub type 1 does not match super type 0"),
        ((sub(VOID), sub(struct(), 0)), "sub type 1 does not match super type 0"),
        ((sub(struct(b"\x7f\0")), sub(struct(), 0)), "sub type 1 does not match super type 0"),
        ((sub(struct(b"\x6e\1")), sub(struct(b"\x6d\1"), 0)), "sub type 1 does not match super type 0"),
        ((sub(struct(b"\x7f\0")), sub(struct(b"\x7f\1"), 0)), "sub type 1 does not match super type 0"),
        ((sub(struct(b"\x78\0")), sub(struct(b"\x77\0"), 0)), "sub type 1 does not match super type 0"),
        ((sub(b"\x5e\x6d\0"), sub(b"\x5e\x6e\0", 0)), "sub type 1 does not match super type 0"),
    ],
)
def test_refused(groups: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        types(*groups)
    assert caught.value.message.startswith(words)
    assert caught.value.offset == 10


def test_subtypes_may_be_wider_deeper_and_inside_their_group() -> None:
    types(sub(struct(b"\x6e\0")), sub(struct(b"\x6d\0", b"\x7f\1"), 0))
    types(rec(sub(struct(b"\x63\1\0")), sub(struct(b"\x63\1\0"), 0)))
    types(sub(func_type(b"\x6d", b"\x6e")), sub(func_type(b"\x6e", b"\x6d"), 0))


def test_the_depth_of_subtyping_is_bounded() -> None:
    def chain(length: int) -> tuple[bytes, ...]:
        return (sub(VOID), *(sub(VOID, i) for i in range(length)))

    assert types(*chain(63)).depth[-1] == 63
    with pytest.raises(LimitExceeded, match="subtype depth"):
        types(*chain(64))


def test_a_module_cannot_make_its_types_collide() -> None:
    """Else telling n types from each other would take n * n comparisons: minutes for a megabyte."""
    count, bits = 512, 9
    groups = [
        rec(func_type([b"\x63" + heap(2 * k + (k >> bit & 1)) for bit in range(bits)]), VOID) for k in range(count)
    ]
    t = types(*groups)
    assert [t.canonical(2 * k) for k in range(count)] == [2 * k for k in range(count)]
    forms = [(t._sub_form(2 * k, 2 * k, 2 * k + 2), t._sub_form(2 * k + 1, 2 * k, 2 * k + 2)) for k in range(count)]
    assert len(set(forms)) == count and len(set(map(hash, forms))) == 1
    assert len({hash(_hashed(form)) for form in forms}) == count


def test_a_long_chain_of_references_costs_linear_time() -> None:
    # Each type mentions the one before twice: unfolded, the last would be of size 2**20000.
    t = types(VOID, *(func_type([b"\x64" + heap(i)] * 2) for i in range(20_000)))
    assert len({t.key(i) for i in range(len(t))}) == len(t)
    assert t.canonical(20_000) == 20_000
