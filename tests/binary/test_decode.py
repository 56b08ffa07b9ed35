"""Sections: what is read from them, and every way in which they can be wrong, with words and place."""

from __future__ import annotations

import pytest

from tests.binary.build import HEADER, module, section, with_body
from tests.support import EVERYTHING
from wardian.binary.decode import decode, is_component
from wardian.errors import FeatureDisabled, LimitExceeded, MalformedError
from wardian.limits import Features, Limits
from wardian.syntax.module import DataSegment, ElemSegment, Export, Import, TableDecl
from wardian.syntax.types import (
    ANY,
    EXTERNREF,
    F64,
    FUNC,
    FUNCREF,
    I16,
    I32,
    I64,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    MemoryType,
    StructType,
    SubType,
    TableType,
    TagType,
    TypeLimits,
    ref,
)

END = "unexpected end of section or function"
TYPES = section(1, "01 60 00 00")
FUNCS = section(3, "01 00")
CODE = section(10, "01 02 00 0b")


# -- good modules ------------------------------------------------------------------------------------------------------


def test_the_empty_module() -> None:
    found = decode(HEADER)
    assert found.sections == [] and found.types == [] and found.start is None


def test_types() -> None:
    found = decode(
        module(section(1, "03  60 02 7f 7b 01 7c  4e 02 50 00 5f 02 77 01 64 6e 00 4f 01 01 5f 00  5e 7e 01"))
    )
    assert found.types == [
        SubType(FuncType((I32, V128), (F64,))),
        SubType(StructType((FieldType(I16, True), FieldType(ref(False, ANY), False))), final=False),
        SubType(StructType(()), final=True, supers=(1,)),
        SubType(ArrayType(FieldType(I64, True))),
    ]
    assert found.rec_groups == [(0, 1), (1, 2), (3, 1)]


def test_imports() -> None:
    raw = module(
        TYPES, section(2, "05 01 6d 01 66 00 00  00 00 01 70 00 01  00 00 02 07 02 03  00 00 03 7f 01  00 00 04 00 00")
    )
    found = decode(raw, EVERYTHING)
    assert found.imports == [
        Import("m", "f", "func", 0),
        Import("", "", "table", TableType(FUNCREF, TypeLimits(1))),
        Import("", "", "memory", MemoryType(TypeLimits(2, 3, is64=True), shared=True)),
        Import("", "", "global", GlobalType(I32, True)),
        Import("", "", "tag", TagType(0)),
    ]
    assert found.imported_funcs == [0]
    assert len(found.imported_tables) == len(found.imported_memories) == 1
    assert len(found.imported_globals) == len(found.imported_tags) == 1


def test_tables_memories_globals_tags_exports_start() -> None:
    raw = module(
        TYPES,
        FUNCS,
        section(4, "02 6f 05 01 02  40 00 64 70 00 03 d2 00 0b"),
        section(5, "02 00 01  08 05 00"),
        section(13, "01 00 00"),
        section(6, "01 7e 00 42 05 0b"),
        section(7, "01 01 61 02 01"),
        section(8, "00"),
        CODE,
    )
    found = decode(raw, EVERYTHING)
    at = raw.index(bytes.fromhex("d2000b"))
    assert found.tables == [
        TableDecl(TableType(EXTERNREF, TypeLimits(1, 2, is64=True))),
        TableDecl(TableType(ref(False, FUNC), TypeLimits(3)), (at, at + 3)),
    ]
    assert found.memories == [MemoryType(TypeLimits(1)), MemoryType(TypeLimits(5), page_size_log2=0)]
    assert found.tags == [TagType(0)]
    assert found.globals[0].type == GlobalType(I64, False)
    assert raw[slice(*found.globals[0].init)] == bytes.fromhex("42050b")
    assert found.exports == [Export("a", "memory", 1)]
    assert found.start == 0
    assert raw[slice(*found.bodies[0])] == b"\0\x0b"
    assert [s for s, _, _ in found.sections] == [1, 3, 4, 5, 13, 6, 7, 8, 10]


@pytest.mark.parametrize(
    ("raw", "type", "mode", "funcs", "exprs", "table", "active"),
    [
        ("00 41 00 0b 02 05 8001", ref(False, FUNC), "active", (5, 128), 0, 0, True),
        ("01 00 01 05", ref(False, FUNC), "passive", (5,), 0, 0, False),
        ("02 03 41 00 0b 00 01 05", ref(False, FUNC), "active", (5,), 0, 3, True),
        ("03 00 00", ref(False, FUNC), "declarative", (), 0, 0, False),
        ("04 41 00 0b 01 d2 00 0b", FUNCREF, "active", (), 1, 0, True),
        ("05 6f 02 d0 6f 0b d0 6f 0b", EXTERNREF, "passive", (), 2, 0, False),
        ("06 01 41 00 0b 70 00", FUNCREF, "active", (), 0, 1, True),
        ("07 70 01 d0 70 0b", FUNCREF, "declarative", (), 1, 0, False),
    ],
)
def test_element_segments(
    raw: str, type: object, mode: str, funcs: tuple[int, ...], exprs: int, table: int, active: bool
) -> None:
    source = module(section(9, bytes((1,)) + bytes.fromhex(raw)))
    (found,) = decode(source).elems
    assert isinstance(found, ElemSegment)
    assert (found.type, found.mode, found.funcs, len(found.exprs), found.table) == (type, mode, funcs, exprs, table)
    assert (found.offset is not None) == active
    assert found.start == 11
    assert all(source[end - 1] == 0x0B for _, end in found.exprs)


def test_data_segments() -> None:
    source = module(section(12, "03"), section(11, "03  00 41 00 0b 02 61 62  01 01 63  02 05 42 80808080808001 0b 00"))
    found = decode(source)
    assert found.data_count == 3
    assert [(d.mode, source[slice(*d.init)], d.memory, d.offset is None) for d in found.datas] == [
        ("active", b"ab", 0, False),
        ("passive", b"c", 0, True),
        ("active", b"", 5, False),
    ]
    assert isinstance(found.datas[0], DataSegment)


@pytest.mark.parametrize("count", ["41 00 0b", "41 ff00 0b", "41 8080808000 0b", "23 00 0b", "41 01 41 02 6a 0b"])
def test_offsets_of_every_form_are_measured(count: str) -> None:
    expr = bytes.fromhex(count)
    source = module(section(11, b"\1\0" + expr + b"\1x"))
    (segment,) = decode(source).datas
    assert segment.offset is not None
    assert source[slice(*segment.offset)] == expr
    assert source[slice(*segment.init)] == b"x"


def test_custom_sections_are_kept_with_their_place() -> None:
    source = module(section(0, b"\1aX"), TYPES, section(0, b"\1bYY"), section(0, b"\0"))
    found = decode(source).customs
    assert [(c.name, source[slice(*c.content)], c.after) for c in found] == [
        ("a", b"X", 0),
        ("b", b"YY", 1),
        ("", b"", 1),
    ]


# -- malformed modules -------------------------------------------------------------------------------------------------

BAD: list[tuple[bytes, str, int]] = [
    # Header.
    (b"", END, 0),
    (b"\0as", END, 3),
    (b"\0asm", END, 4),
    (b"\0asn\1\0\0\0", "magic header not detected", 0),
    (b"\0asm\2\0\0\0", "unknown binary version", 4),
    (b"\0asm\x0d\0\1\0", "unknown binary version: this is a component, not a core module", 4),
    # Frame.
    (HEADER + b"\x0e\x01\0", "malformed section id", 8),
    (HEADER + b"\x01\x05\0", "length out of bounds", 9),
    (HEADER + b"\x01", END, 9),
    (module(section(1, "00 00")), "section size mismatch", 12),
    (HEADER + bytes.fromhex("01 03 01 60 00 00"), "section size mismatch", 13),
    (module(section(3, "00"), section(1, "00")), "unexpected content after last section", 11),
    (module(section(1, "00"), section(1, "00")), "unexpected content after last section", 11),
    (module(section(10, "00"), section(12, "00")), "unexpected content after last section", 11),
    (module(section(0, b"\5abc")), "length out of bounds", 10),
    (module(section(0, b"\1\xff")), "malformed UTF-8 encoding", 11),
    (HEADER + b"\0\2\4abcd", END, 12),
    # Types.
    (module(section(1, "02 60 00 00")), END, 14),
    (module(section(1, "7f 60 00 00")), END, 10),
    (module(section(1, "01 40")), "malformed definition type", 11),
    (module(section(1, "01 e0 7f 00 00")), "integer representation too long", 11),
    (module(section(1, "01 60 01 40 00")), "malformed value type", 13),
    (module(section(1, "01 60 01 64 40 00")), "malformed heap type", 14),
    (module(section(1, "01 5e 7f 02")), "malformed mutability", 13),
    (module(section(1, "01 4e 05 60")), END, 12),
    # Imports and declarations.
    (module(section(2, "01 00 00 05")), "malformed import kind", 13),
    (module(section(2, "01 00 00 03 7f 02")), "malformed mutability", 15),
    (module(section(2, "01 00 00 04 01 00")), "malformed tag attribute", 14),
    (module(section(4, "01 7f 00 00")), "malformed reference type", 11),
    (module(section(4, "01 70 02 00")), "malformed limits flags", 12),
    (module(section(4, "01 40 01 70 00 00")), "zero byte expected", 12),
    (module(section(5, "01 10 00")), "malformed limits flags", 11),
    (module(section(5, "01 08 00 40")), "invalid custom page size", 13),
    (module(section(5, "01 00 82808080808080808080 00")), "integer representation too long", 12),
    (module(section(7, "01 00 05 00")), "malformed export kind", 12),
    (module(section(6, "01 7f 00 ff 0b")), "illegal opcode ff", 13),
    (module(section(6, "01 7f 00 41 00")), END, 15),
    # Segments.
    (module(section(9, "01 08")), "malformed elements segment kind", 11),
    (module(section(9, "01 01 01 00")), "malformed element kind", 12),
    (module(section(9, "01 05 7f 00")), "malformed reference type", 12),
    (module(section(11, "01 03 00")), "malformed data segment kind", 11),
    (module(section(11, "01 01 05 61")), END, 14),
    # Agreement.
    (module(TYPES, FUNCS), "function and code section have inconsistent lengths", 18),
    (module(CODE), "function and code section have inconsistent lengths", 14),
    (module(section(12, "01")), "data count and data section have inconsistent lengths", 11),
    (module(TYPES, FUNCS, section(10, "01 05 00 0b")), END, 21),
]


@pytest.mark.parametrize(("source", "message", "offset"), BAD, ids=[f"{s[8:].hex()}" for s, _, _ in BAD])
def test_malformed(source: bytes, message: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        decode(source, EVERYTHING)
    assert caught.value.message.startswith(message)
    assert caught.value.offset == offset


def test_the_first_error_is_reported_though_bodies_are_not_decoded() -> None:
    bad_body = bytes.fromhex("ff 0b")
    assert len(decode(with_body(bad_body)).bodies) == 1
    with pytest.raises(MalformedError, match="illegal opcode ff"):
        decode(with_body(bad_body) + section(14, ""))
    with pytest.raises(MalformedError, match="malformed section id"):
        decode(with_body("0b") + section(14, ""))


def test_every_cut_of_a_module_is_malformed_or_a_module() -> None:
    whole = module(
        TYPES, FUNCS, section(4, "01 70 00 01"), section(9, "01 00 41 00 0b 01 00"), CODE, section(11, "01 01 01 61")
    )
    good = [n for n in range(len(whole) + 1) if _decodes(whole[:n])]
    # Whole sections only, and never between the function and the code section.
    assert good == [8, 14, len(whole) - 6, len(whole)]


def _decodes(source: bytes) -> bool:
    try:
        decode(source)
    except MalformedError:
        return False
    return True


def test_components_are_recognised() -> None:
    assert is_component(b"\0asm\x0d\0\1\0")
    assert not is_component(HEADER)
    assert not is_component(b"\0asm")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "source", "name"),
    [
        (Limits(module_size=8), module(TYPES), "module_size"),
        (Limits(types=1), module(section(1, "02 60 00 00 60 00 00")), "types"),
        (Limits(types=2), module(section(1, "01 4e 03 60 00 00 60 00 00 60 00 00")), "types"),
        (Limits(types=2), module(section(1, "02 4e 02 60 00 00 60 00 00 60 00 00")), "types"),
        (Limits(rec_group=1), module(section(1, "01 4e 02 60 00 00 60 00 00")), "rec_group"),
        (Limits(parameters=1), module(section(1, "01 60 02 7f 7f 00")), "parameters"),
        (Limits(results=1), module(section(1, "01 60 00 02 7f 7f")), "results"),
        (Limits(fields=1), module(section(1, "01 5f 02 7f 00 7f 00")), "fields"),
        (Limits(imports=0), module(section(2, "01 00 00 00 00")), "imports"),
        (Limits(functions=0), module(section(2, "01 00 00 00 00")), "functions"),
        (Limits(functions=1), module(section(2, "01 00 00 00 00"), section(3, "01 00")), "functions"),
        (Limits(functions=0), module(section(3, "01 00")), "functions"),
        (Limits(functions=0), module(CODE), "functions"),
        (Limits(function_size=1), module(TYPES, FUNCS, CODE), "function_size"),
        (Limits(tables=0), module(section(4, "01 70 00 00")), "tables"),
        (Limits(memories=1), module(section(2, "01 00 00 02 00 00"), section(5, "01 00 00")), "memories"),
        (Limits(globals=0), module(section(6, "01 7f 00 41 00 0b")), "globals"),
        (Limits(tags=0), module(section(13, "01 00 00")), "tags"),
        (Limits(exports=0), module(section(7, "01 00 00 00")), "exports"),
        (Limits(element_segments=0), module(section(9, "01 01 00 00")), "element_segments"),
        (Limits(data_segments=0), module(section(11, "01 01 00")), "data_segments"),
    ],
)
def test_limits(limits: Limits, source: bytes, name: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        decode(source, limits=limits)
    assert caught.value.limit == name


@pytest.mark.parametrize(
    ("feature", "source"),
    [
        ("multi_value", module(section(1, "01 60 00 02 7f 7f"))),
        ("simd", module(section(1, "01 60 01 7b 00"))),
        ("reference_types", module(section(1, "01 60 01 6f 00"))),
        ("reference_types", module(section(1, "01 60 01 70 00"))),
        ("function_references", module(section(1, "01 60 01 64 70 00"))),
        ("function_references", module(section(1, "01 60 01 63 00 00"))),
        ("gc", module(section(1, "01 60 01 6e 00"))),
        ("gc", module(section(1, "01 5f 00"))),
        ("gc", module(section(1, "01 5e 7f 00"))),
        ("gc", module(section(1, "01 4e 00"))),
        ("gc", module(section(1, "01 50 00 60 00 00"))),
        ("exceptions", module(section(1, "01 60 01 69 00"))),
        ("exceptions", module(section(13, "01 00 00"))),
        ("mutable_global", module(section(2, "01 00 00 03 7f 01"))),
        ("mutable_global", module(section(6, "01 7f 01 41 00 0b"), section(7, "01 00 03 00"))),
        ("reference_types", module(section(4, "02 70 00 00 70 00 00"))),
        ("reference_types", module(section(4, "01 6f 00 00"))),
        ("function_references", module(section(4, "01 40 00 70 00 00 d0 70 0b"))),
        ("multi_memory", module(section(5, "02 00 00 00 00"))),
        ("memory64", module(section(5, "01 04 00"))),
        ("memory64", module(section(4, "01 70 04 00"))),
        ("threads", module(section(5, "01 03 00 01"))),
        ("bulk_memory", module(section(9, "01 01 00 00"))),
        ("bulk_memory", module(section(11, "01 01 00"))),
        ("bulk_memory", module(section(12, "00"))),
        ("simd", module(section(6, b"\1\x7f\0\xfd\x0c" + bytes(16) + b"\x0b"))),
    ],
)
def test_features(feature: str, source: bytes) -> None:
    decode(source)
    with pytest.raises(FeatureDisabled) as caught:
        decode(source, Features(**{feature: False}))
    assert caught.value.feature == feature


def test_custom_page_sizes_are_no_flag_of_the_standard() -> None:
    source = module(section(5, "01 08 00 00"))
    decode(source, Features(custom_page_sizes=True))
    with pytest.raises(MalformedError, match="malformed limits flags: the feature custom-page-sizes"):
        decode(source)


def test_a_table_of_functions_needs_no_feature() -> None:
    plain = Features(**dict.fromkeys(Features.names(), False))
    assert decode(module(section(4, "01 70 00 00")), plain).tables[0].type.element is FUNCREF
