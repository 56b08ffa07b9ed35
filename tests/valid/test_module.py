"""Everything outside of bodies: the spec's words, and the offset of the expression, segment or section at fault."""

from __future__ import annotations

import pytest

from tests.support import EVERYTHING
from tests.valid.build import END, FUNCREF, I32, I64, func_type, leb, module, section, vec
from wardian.binary.decode import decode
from wardian.errors import FeatureDisabled, InvalidError
from wardian.limits import Features
from wardian.valid.driver import validate
from wardian.valid.module import validate_module

VOID = func_type()
ZERO = b"\x41\0\x0b"
NULL = b"\xd0\x70\x0b"
TYPES = section(1, vec(VOID, func_type(b"\x7f"), func_type(results=b"\x7f"), b"\x5f\0"))
FUNC = section(3, vec(b"\0"))
CODE = section(10, vec(b"\2\0\x0b"))
MEMORY = section(5, vec(b"\0\1"))
TABLE = section(4, vec(bytes([FUNCREF, 0, 1])))
GLOBALS = section(6, vec(bytes([I32, 0]) + ZERO, bytes([I32, 1]) + ZERO))


def export(name: str, kind: int, index: int) -> bytes:
    return vec(*(bytes([c]) for c in name.encode())) + bytes([kind]) + leb(index)


def imported(*descriptions: bytes) -> bytes:
    return section(2, vec(*(b"\1m\1n" + d for d in descriptions)))


# (sections, words; the offset is that of the last section's content plus the number)
CASES: list[tuple[str, tuple[bytes, ...], str, int]] = [
    ("imported structure", (TYPES, imported(b"\0\3")), "type mismatch: non-function type 3", 0),
    ("imported function type", (TYPES, imported(b"\0\4")), "unknown type 4", 0),
    ("tag type", (TYPES, section(13, vec(b"\0\7"))), "unknown type 7", 0),
    ("tag result", (TYPES, section(13, vec(b"\0\2"))), "non-empty tag result type", 0),
    ("imported tag", (TYPES, imported(b"\4\0\2")), "non-empty tag result type", 0),
    ("table limits", (section(4, vec(b"\x70\1\2\1")),), "size minimum must not be greater than maximum", 0),
    ("table element", (section(4, vec(b"\x63\5\0\1")),), "unknown type 5", 0),
    ("table without value", (section(4, vec(b"\x64\x70\0\0")),), "type mismatch", 0),
    ("table initialiser", (section(4, vec(b"\x40\0\x70\0\1" + ZERO)),), "type mismatch", 8),
    ("imported table", (imported(b"\1\x70\1\2\1"),), "size minimum must not be greater than maximum", 0),
    ("memory limits", (section(5, vec(b"\1\2\1")),), "size minimum must not be greater than maximum", 0),
    ("memory size", (section(5, vec(b"\0" + leb(65537))),), "memory size must be at most 65536 pages (4GiB)", 0),
    ("memory maximum", (section(5, vec(b"\1\0" + leb(65537))),), "memory size must be at most 65536 pages (4GiB)", 0),
    ("memory64", (section(5, vec(b"\4" + leb((1 << 48) + 1))),), "memory size must be at most 281474976710656", 0),
    ("byte pages", (section(5, vec(b"\x08" + leb(1 << 32) + b"\0")),), "memory size must be at most 4294967295", 0),
    ("page size", (section(5, vec(b"\x08\0\5")),), "invalid custom page size", 0),
    ("shared", (section(5, vec(b"\2\1")),), "shared memory must have maximum", 0),
    ("imported memory", (imported(b"\2\1\2\1"),), "size minimum must not be greater than maximum", 0),
    ("global of no type", (section(6, vec(b"\x63\5\0" + NULL)),), "unknown type 5", 0),
    ("global type", (section(6, vec(bytes([I64, 0]) + ZERO)),), "type mismatch", 5),
    ("two values", (section(6, vec(bytes([I32, 0]) + b"\x41\0" + ZERO)),), "type mismatch", 7),
    ("no value", (section(6, vec(bytes([I32, 0]) + END)),), "type mismatch", 3),
    ("not constant", (section(6, vec(bytes([I32, 0]) + b"\x41\0\x45\x0b")),), "constant expression required", 5),
    ("division", (section(6, vec(bytes([I32, 0]) + b"\x41\0\x41\1\x71\x0b")),), "constant expression required", 7),
    ("itself", (section(6, vec(bytes([I32, 0]) + b"\x23\0\x0b")),), "unknown global 0", 3),
    ("later global", (section(6, vec(b"\x7f\0\x23\1\x0b", b"\x7f\0" + ZERO)),), "unknown global 1", 3),
    ("mutable", (imported(b"\3\x7f\1"), section(6, vec(b"\x7f\0\x23\0\x0b"))), "constant expression required", 3),
    ("no function", (section(6, vec(b"\x70\0\xd2\0\x0b")),), "unknown function 0", 3),
    ("duplicate", (MEMORY, section(7, vec(*[export("a", 2, 0)] * 2))), "duplicate export name", 0),
    ("exported function", (section(7, vec(export("a", 0, 0))),), "unknown function 0", 0),
    ("exported table", (section(7, vec(export("a", 1, 0))),), "unknown table 0", 0),
    ("exported memory", (section(7, vec(export("a", 2, 0))),), "unknown memory 0", 0),
    ("exported global", (section(7, vec(export("a", 3, 0))),), "unknown global 0", 0),
    ("exported tag", (section(7, vec(export("a", 4, 0))),), "unknown tag 0", 0),
    ("start", (section(8, b"\0"),), "unknown function 0", 0),
    ("start type", (TYPES, imported(b"\0\1"), section(8, b"\0")), "start function", 0),
    ("element's table", (section(9, vec(b"\0" + ZERO + vec())),), "unknown table 0", 1),
    ("element's function", (TABLE, section(9, vec(b"\0" + ZERO + vec(b"\0")))), "unknown function 0", 1),
    ("element's offset", (TABLE, section(9, vec(b"\0\x42\0\x0b" + vec()))), "type mismatch", 4),
    ("element's type", (TABLE, section(9, vec(b"\6\0" + ZERO + b"\x6f" + vec()))), "type mismatch", 1),
    ("element of no type", (section(9, vec(b"\5\x63\7" + vec())),), "unknown type 7", 1),
    ("element", (section(9, vec(b"\5\x70" + vec(NULL, b"\xd0\x6f\x0b"))),), "type mismatch", 9),
    ("data's memory", (section(11, vec(b"\0" + ZERO + vec())),), "unknown memory 0", 1),
    ("data's offset", (MEMORY, section(11, vec(b"\0\x42\0\x0b" + vec()))), "type mismatch", 4),
    ("data's global", (MEMORY, section(11, vec(b"\0\x23\0\x0b" + vec()))), "unknown global 0", 2),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "words", "place"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_error_words_and_offset(sections: tuple[bytes, ...], words: str, place: int) -> None:
    source = module(*sections)
    with pytest.raises(InvalidError) as caught:
        validate_module(decode(source, EVERYTHING), EVERYTHING)
    assert caught.value.message.startswith(words)
    assert caught.value.offset == len(source) - len(sections[-1]) + 2 + place
    assert caught.value.function is None


def test_a_function_of_no_function_type() -> None:
    for index, words in ((9, "unknown type 9"), (3, "type mismatch: non-function type 3")):
        with pytest.raises(InvalidError) as caught:
            validate_module(decode(module(TYPES, section(3, vec(leb(index))), CODE)))
        assert caught.value.message.startswith(words)
        assert caught.value.offset == 8 + len(TYPES) + 2


def test_the_context_has_flat_index_spaces() -> None:
    source = module(
        TYPES,
        imported(b"\0\1", b"\3\x7e\0", b"\2\4\1", b"\1\x6f\0\0", b"\4\0\0"),
        FUNC,
        section(4, vec(bytes([FUNCREF, 4, 1]))),
        MEMORY,
        section(13, vec(b"\0\1")),
        section(6, vec(bytes([I32, 0]) + ZERO)),
        section(7, vec(export("f", 0, 1))),
        section(9, vec(b"\1\0" + vec(b"\0"))),
        CODE,
    )
    ctx = validate(decode(source))
    assert ctx.func_types == [1, 0]
    assert [str(s) for s in ctx.signatures] == ["(i32) -> ()", "() -> ()"]
    assert [g.value.code for g in ctx.globals if hasattr(g.value, "code")] == [I64, I32]
    assert [repr(a) for a in ctx.memory_addresses] == ["i64", "i32"]
    assert [repr(a) for a in ctx.table_addresses] == ["i32", "i64"]
    assert [len(t.params) for t in ctx.tags] == [0, 1]
    assert ctx.refs == {0, 1} and ctx.imported_funcs == 1 and ctx.imported_globals == 1


def test_functions_are_declared_by_exports_elements_and_initialisers_but_not_by_start() -> None:
    def refs(*sections: bytes) -> set[int]:
        return validate_module(decode(module(TYPES, FUNC, *sections, CODE))).refs

    assert refs(section(7, vec(export("f", 0, 0)))) == {0}
    assert refs(section(9, vec(b"\1\0" + vec(b"\0")))) == {0}
    assert refs(section(9, vec(b"\7\x70" + vec(b"\xd2\0\x0b")))) == {0}
    assert refs(section(6, vec(b"\x70\0\xd2\0\x0b"))) == {0}
    assert refs(section(8, b"\0")) == set()


def test_a_mutable_global_may_be_exported_only_with_its_feature() -> None:
    source = module(GLOBALS, section(7, vec(export("g", 3, 1))))
    validate_module(decode(source))
    with pytest.raises(FeatureDisabled, match="mutable-global"):
        validate_module(decode(source), Features(mutable_global=False))
