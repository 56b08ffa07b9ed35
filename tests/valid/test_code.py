"""Bodies: each rule's error has the spec's words first, the offset of the instruction, and the function's index."""

from __future__ import annotations

import pytest

from tests.valid.build import (
    END,
    EXTERNREF,
    FUNCREF,
    I32,
    I64,
    Built,
    func_type,
    leb,
    section,
    vec,
    with_body,
)
from wardian.binary.decode import decode
from wardian.errors import FeatureDisabled, InvalidError, LimitExceeded
from wardian.limits import Features, Limits
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import ROWS
from wardian.valid.access import access_rule
from wardian.valid.code import RULES
from wardian.valid.driver import validate

VOID = func_type()
TO_I32 = func_type(results=bytes([I32]))
MEMORY = section(5, vec(b"\0\1"))
MEMORY64 = section(5, vec(b"\4\1"))
TABLES = section(4, vec(bytes([FUNCREF, 0, 1]), bytes([EXTERNREF, 0, 1])))
GLOBALS = section(6, vec(bytes([I32, 0, 0x41, 0, 0x0B]), bytes([I64, 1, 0x42, 0, 0x0B])))
TAGS = section(13, vec(b"\0\0"))
ELEMS = section(9, vec(b"\1\0" + vec(b"\0")))
COUNT = section(12, b"\1")
DATA = section(11, vec(b"\1" + vec(b"x")))
# Types for the aggregates: 0 func, 1 struct {i8, mut ref null any}, 2 array of i32, 3 array of mut i8, 4 final struct
# whose field has no default.
GC = (VOID, b"\x5f\2\x78\0\x6e\1", b"\x5e\x7f\0", b"\x5e\x78\1", b"\x5f\1\x64\x6e\0")

WITH_DATA: dict[str, object] = {"before": (MEMORY, COUNT), "after": (DATA,)}
WITH_TABLES: dict[str, object] = {"before": (TABLES,)}
WITH_ELEMS: dict[str, object] = {"before": (TABLES, ELEMS)}
WITH_LATE: dict[str, object] = {"locals_": b"\1" + leb(4000) + b"\x64\x70"}
GC_DATA: dict[str, object] = {"types": (*GC, b"\x5e\x6e\1"), "before": (COUNT,), "after": (DATA,)}
IMPORT: dict[str, object] = {"types": (VOID, TO_I32), "before": (section(2, vec(b"\0\0\0\1")),)}

# (instructions before the one at fault, that instruction and what follows, error, keywords of with_body)
CASES: list[tuple[str, bytes, bytes, str, dict[str, object]]] = [
    ("too few operands", b"\x41\0", b"\x6a\x1a", "type mismatch: instruction requires [i32] but stack has []", {}),
    ("wrong operand", b"\x42\0\x41\0", b"\x6a\x1a", "type mismatch: instruction requires [i32] but stack has [i64", {}),
    ("floor of a block", b"\x41\0\x02\x40", b"\x1a\x0b\x1a", "type mismatch: instruction requires [any]", {}),
    ("left over", b"\x41\0", b"", "type mismatch: values remaining on stack at end of block", {}),
    ("result missing", b"\x02\x7f", b"\x0b\x1a", "type mismatch", {}),
    ("if without else", b"\x41\0\x04\x7f\x41\0", b"\x0b\x1a", "type mismatch: an if without else", {}),
    ("then without result", b"\x41\0\x04\x7f", b"\x05\x41\0\x0b\x1a", "type mismatch", {}),
    ("local", b"\x01", b"\x20\0\x1a", "unknown local 0", {}),
    ("late local", b"\x01", b"\x20\2\x1a", "unknown local 2", {"locals_": b"\1\2\x7f"}),
    ("local.set", b"\x42\0", b"\x21\0", "type mismatch", {"locals_": b"\1\1\x7f"}),
    ("local.tee", b"", b"\x22\1\x1a", "unknown local 1", {"locals_": b"\1\1\x7f"}),
    ("unset local", b"", b"\x20\0\x1a", "uninitialized local", {"locals_": b"\1\1\x64\x6e"}),
    ("unset late", b"", b"\x20" + leb(3000) + b"\x1a", "uninitialized local", WITH_LATE),
    ("local of no type", b"", b"", "unknown type 7", {"locals_": b"\1\1\x63\7"}),
    ("global", b"", b"\x23\2\x1a", "unknown global 2", {"before": (GLOBALS,)}),
    ("constant global", b"\x41\0", b"\x24\0", "immutable global 0", {"before": (GLOBALS,)}),
    ("global.set", b"\x41\0", b"\x24\1", "type mismatch", {"before": (GLOBALS,)}),
    ("label", b"\x02\x40", b"\x0c\2\x0b", "unknown label 2", {}),
    ("br_if", b"\x41\0", b"\x0d\1", "unknown label 1", {}),
    ("br_if value", b"\x02\x7f\x41\0", b"\x0d\0\x0b\x1a", "type mismatch", {}),
    ("br_table label", b"\x41\0", b"\x0e\1\5\0", "unknown label 5", {}),
    ("br_table arity", b"\x02\x7f\x41\0\x41\0", b"\x0e\1\0\1\x0b\x1a", "type mismatch: label 0 takes 1 values", {}),
    ("block type", b"", b"\x02\7\x0b", "unknown type 7", {}),
    ("block ref", b"", b"\x02\x63\7\x0b\x1a", "unknown type 7", {}),
    ("select mixed", b"\x41\0\x42\0\x41\0", b"\x1b\x1a", "type mismatch: select of i32 and i64", {}),
    ("select refs", b"\xd0\x70\xd0\x70\x41\0", b"\x1b\x1a", "type mismatch: select without a type", {}),
    ("select arity", b"\x41\0\x41\0\x41\0", b"\x1c\2\x7f\x7f\x1a", "invalid result arity", {}),
    ("callee", b"", b"\x10\1", "unknown function 1", {}),
    ("tail callee", b"", b"\x12\0", "type mismatch", IMPORT),
    ("indirect type", b"\x41\0", b"\x11\7\0", "unknown type 7", WITH_TABLES),
    ("indirect table", b"\x41\0", b"\x11\0\2", "unknown table 2", WITH_TABLES),
    ("not functions", b"\x41\0", b"\x11\0\1", "type mismatch: table 1 has externref", WITH_TABLES),
    ("call_ref", b"\xd0\x70", b"\x14\0", "type mismatch: instruction requires [(ref null 0)]", {}),
    ("memory", b"\x41\0", b"\x28\0\0\x1a", "unknown memory 0", {}),
    ("alignment", b"\x41\0", b"\x28\3\0\x1a", "alignment must not be larger than natural", {"before": (MEMORY,)}),
    ("atomic alignment", b"\x41\0", b"\xfe\x10\0\0\x1a", "atomic alignment", {"before": (MEMORY,)}),
    ("offset", b"\x41\0", b"\x28\2" + leb(1 << 32) + b"\x1a", "offset out of range", {"before": (MEMORY,)}),
    ("address", b"\x41\0", b"\x28\2\0\x1a", "type mismatch: instruction requires [i64]", {"before": (MEMORY64,)}),
    ("memory.init", b"\x41\0\x41\0\x41\0", b"\xfc\x08\1\0", "unknown data segment 1", WITH_DATA),
    ("data.drop", b"", b"\xfc\x09\4", "unknown data segment 4", WITH_DATA),
    ("elem.drop", b"", b"\xfc\x0d\1", "unknown elem segment 1", {"before": (ELEMS,)}),
    ("table.get", b"\x41\0", b"\x25\2\x1a", "unknown table 2", WITH_TABLES),
    ("table.copy", b"\x41\0\x41\0\x41\0", b"\xfc\x0e\0\1", "type mismatch: a table of externref", WITH_TABLES),
    ("table.init", b"\x41\0\x41\0\x41\0", b"\xfc\x0c\0\1", "type mismatch: elements of type", WITH_ELEMS),
    ("ref.func", b"", b"\xd2\0\x1a", "undeclared function reference", {}),
    ("ref.func index", b"", b"\xd2\7\x1a", "unknown function 7", {}),
    ("ref.null", b"", b"\xd0\7\x1a", "unknown type 7", {}),
    ("ref.is_null", b"\x41\0", b"\xd1\x1a", "type mismatch: instruction requires [ref]", {}),
    ("bottom is a ref", b"\0\xd4", b"\x45\x1a", "type mismatch: instruction requires [i32]", {}),
    ("br_on_non_null", b"\xd0\x70", b"\xd6\0", "type mismatch: the label does not take", {}),
    ("br_on_cast", b"\xd0\x6e", b"\xfb\x18\0\0\x6d\x6e\x1a", "type mismatch: (ref any) is no subtype of (ref eq)", {}),
    ("br_on_cast label", b"\xd0\x6e", b"\xfb\x18\3\0\x6e\x6d\x1a", "type mismatch: the label does not take", {}),
    ("lane", b"\0", b"\xfd\x15\x10\x1a", "invalid lane index", {}),
    ("shuffle", b"\0", b"\xfd\x0d" + bytes(15) + b"\x20\x1a", "invalid lane index", {}),
    ("load lane", b"\0", b"\xfd\x54\0\0\x10\x1a", "invalid lane index", {"before": (MEMORY,)}),
    ("tag", b"", b"\x08\1", "unknown tag 1", {"before": (TAGS,)}),
    ("throw_ref", b"\xd0\x70", b"\x0a", "type mismatch: instruction requires [exnref]", {}),
    ("catch", b"", b"\x1f\x40\1\0\0\0\x0b", "unknown tag 0", {}),
    ("catch_all_ref", b"", b"\x1f\x40\1\3\0\x0b", "type mismatch: the catch clause passes [(ref exn)]", {}),
    ("struct.new", b"", b"\xfb\0\0\x1a", "type mismatch: non-structure type 0", {"types": GC}),
    ("struct default", b"", b"\xfb\1\4\x1a", "type mismatch: field 0 of type 4 is not defaultable", {"types": GC}),
    ("packed", b"\0", b"\xfb\2\1\0\x1a", "type mismatch: the field is packed", {"types": GC}),
    ("not packed", b"\0", b"\xfb\3\1\1\x1a", "type mismatch: the field is not packed", {"types": GC}),
    ("field", b"\0", b"\xfb\2\1\2\x1a", "unknown field 2", {"types": GC}),
    ("constant field", b"\0", b"\xfb\5\1\0", "immutable field 0", {"types": GC}),
    ("constant array", b"\0", b"\xfb\x0e\2", "immutable array", {"types": GC}),
    ("array.copy", b"\0", b"\xfb\x11\3\2", "array types do not match", {"types": GC}),
    ("array of refs", b"\0", b"\xfb\x12\5\0", "array type is not numeric or vector", GC_DATA),
    ("array.new_fixed", b"\x42\0", b"\xfb\x08\2\1\x1a", "type mismatch", {"types": GC}),
    ("ref.test", b"\xd0\x70", b"\xfb\x14\x6d\x1a", "type mismatch: instruction requires [anyref]", {}),
]  # fmt: skip


def build(body: bytes, options: dict[str, object]) -> Built:
    types = options.get("types", (VOID,))
    rest = {name: value for name, value in options.items() if name != "types"}
    return with_body(body, *types, **rest)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(("before", "fault", "words", "options"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_error_words_offset_and_function(before: bytes, fault: bytes, words: str, options: dict[str, object]) -> None:
    built = build(before + fault + END, options)
    with pytest.raises(InvalidError) as caught:
        validate(decode(built.source))
    module = decode(built.source)
    assert caught.value.message.startswith(words)
    assert caught.value.function == len(module.imported_funcs)
    if words == "unknown type 7" and "locals_" in options:
        assert caught.value.offset == module.bodies[0][0]
    else:
        assert caught.value.offset == built.code + len(before)


VALID: list[tuple[str, bytes, dict[str, object]]] = [
    ("nothing", b"", {}),
    ("polymorphic", b"\0\x6a\x6a\x1a", {}),
    ("polymorphic select", b"\0\x1b\x6a\x1a", {}),
    ("dead block is live inside", b"\0\x02\x40\x41\0\x1a\x0b\x6a\x1a", {}),
    ("one set, then read", b"\0\x21\0\x20\0\x1a", {"locals_": b"\1\1\x64\x6e"}),
    ("set outside, read inside", b"\0\x21\0\x02\x40\x20\0\x1a\x0b", {"locals_": b"\1\1\x64\x6e"}),
    ("many locals", b"\x20" + leb(49_999) + b"\x1a", {"locals_": b"\2\1\x7e" + leb(49_999) + b"\x7f"}),
    ("set late", b"\0\x21" + leb(3000) + b"\x20" + leb(3000) + b"\x1a", WITH_LATE),
    ("shuffle", b"\0\xfd\x0d" + bytes(range(16, 32)) + b"\x1a", {}),
    ("subtype for supertype", b"\xd0\x73\x21\0", {"locals_": b"\1\1\x70"}),
    ("struct", b"\x41\0\xd0\x6e\xfb\0\1\xfb\3\1\0\x1a", {"types": GC}),
    ("array", b"\x41\1\x41\2\xfb\x08\2\2\xfb\x0f\x1a", {"types": GC}),
    ("huge count, unreachable", b"\0\xfb\x08\2\xff\xff\xff\xff\x0f\x1a", {"types": GC}),
]


@pytest.mark.parametrize(("body", "options"), [c[1:] for c in VALID], ids=[c[0] for c in VALID])
def test_valid(body: bytes, options: dict[str, object]) -> None:
    validate(decode(build(body + END, options).source))


def test_a_local_set_inside_a_block_is_unset_after_it() -> None:
    for late, declared in ((leb(0), b"\1\1\x64\x6e"), (leb(3000), b"\1" + leb(4000) + b"\x64\x6e")):
        body = b"\x02\x40\0\x21" + late + b"\x20" + late + b"\x1a\x0b"
        built = with_body(body + b"\x20" + late + b"\x1a" + END, locals_=declared)
        with pytest.raises(InvalidError, match="uninitialized local") as caught:
            validate(decode(built.source))
        assert caught.value.offset == built.code + len(body)


def test_the_two_arms_of_an_if_start_alike() -> None:
    body = b"\x41\0\x04\x40\0\x21\0\x05"
    built = with_body(body + b"\x20\0\x1a\x0b" + END, locals_=b"\1\1\x64\x6e")
    with pytest.raises(InvalidError, match="uninitialized local") as caught:
        validate(decode(built.source))
    assert caught.value.offset == built.code + len(body)


def test_nesting_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return with_body(b"\x02\x40" * depth + b"\x0b" * depth + END).source

    limits = Limits(nesting=100)
    validate(decode(nested(100)), limits=limits)
    with pytest.raises(LimitExceeded, match="nesting"):
        validate(decode(nested(101)), limits=limits)
    validate(decode(nested(50_000)))


def test_operands_are_bounded() -> None:
    many = func_type(results=bytes([I32]) * 1000)
    built = with_body(b"\x10\0" * 2000 + b"\0" + END, many)
    with pytest.raises(LimitExceeded, match="operands"):
        validate(decode(built.source))


def test_every_row_is_generic_or_has_one_rule() -> None:
    for row in ROWS:
        special = type(row.family) in RULES
        access = row.imm in (Imm.MEMARG, Imm.MEMARG_LANE)
        assert (access_rule(row) is not None) == access, row
        assert not (special and access), row
        assert special or access or row.params is not None, row


def test_features_reach_the_bodies() -> None:
    built = with_body(b"\xfd\x0c" + bytes(16) + b"\x1a" + END)
    with pytest.raises(FeatureDisabled, match="simd"):
        validate(decode(built.source, Features(simd=False)), Features(simd=False))
