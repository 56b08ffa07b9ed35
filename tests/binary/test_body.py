"""The stream of instructions: every row, every immediate, every way to be malformed."""

from __future__ import annotations

import pytest

from tests.binary.build import HEADER, leb, with_body
from tests.syntax.samples import SAMPLES, body
from wardian.binary.body import Instruction, expression_end, instructions, locals_of
from wardian.binary.decode import decode
from wardian.binary.encode import WRITE, write_instruction, write_locals
from wardian.errors import FeatureDisabled, LimitExceeded, MalformedError
from wardian.limits import Features, Limits
from wardian.syntax.immediates import Imm
from wardian.syntax.instructions import BY_NAME, PLAIN, PREFIXED, ROWS, Row
from wardian.syntax.types import EXTERNREF, I32, I64, V128, ref

END = "unexpected end of section or function"
ALL = Features()


def stream(code: bytes | str, **kwargs: bool) -> list[Instruction]:
    raw = bytes.fromhex(code) if isinstance(code, str) else code
    return list(instructions(raw, 0, len(raw), ALL, **kwargs))


def names(code: bytes | str) -> list[str]:
    return [row.name for _, row, _ in stream(code)]


# -- every row ---------------------------------------------------------------------------------------------------------


def test_every_kind_has_samples_a_reader_and_a_writer() -> None:
    from wardian.binary import body as module

    assert set(SAMPLES) == set(Imm) == set(WRITE) == set(module._READ)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.opcode:x}")
def test_every_row_round_trips_with_every_sample(row: Row) -> None:
    for imm in SAMPLES[row.imm]:
        code = body(row, imm)
        at = 2 if row.name == "else" else 0
        found = {offset: (found_row, found_imm) for offset, found_row, found_imm in stream(code)}
        assert found[at] == (row, imm)
        again = bytearray()
        for _, found_row, found_imm in stream(code):
            write_instruction(again, found_row, found_imm)
        assert again == code


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.opcode:x}")
def test_every_cut_of_every_row_is_malformed(row: Row) -> None:
    code = body(row, SAMPLES[row.imm][-1])
    for cut in range(len(code)):
        with pytest.raises(MalformedError) as caught:
            stream(code[:cut])
        assert caught.value.offset is not None
        assert 0 <= caught.value.offset <= cut
        # The bound counts, too, where the bytes go on behind it.
        with pytest.raises(MalformedError):
            list(instructions(code, 0, cut, ALL))


def test_padded_integers_are_read() -> None:
    assert stream("20 8180808000 1a 0b")[0][2] == 1
    assert stream("41 ff8080807f 1a 0b".replace("ff8080807f", "ffffffff7f"))[0][2] == -1
    assert stream("28 8280808000 8180808000 1a 0b")[0][2] == (2, 1, 0)
    assert stream("10 8180808000 0b")[0][2] == 1
    assert stream("fc 8880808000 00 00 0b")[0][1] is BY_NAME["memory.init"]


def test_offsets_are_absolute() -> None:
    source = with_body("41 07 1a 0b")
    ((start, end),) = decode(source).bodies
    _, pos = locals_of(source, start, end)
    assert [at for at, _, _ in instructions(source, pos, end, ALL)] == [pos, pos + 2, pos + 3]


@pytest.mark.parametrize(
    ("code", "imm"),
    [
        ("02 40 0b 0b", None),
        ("02 7f 0b 0b", I32),
        ("02 7b 0b 0b", V128),
        ("02 6f 0b 0b", EXTERNREF),
        ("02 63 05 0b 0b", ref(True, 5)),
        ("02 05 0b 0b", 5),
        ("02 c000 0b 0b", 64),
    ],
)
def test_block_types(code: str, imm: object) -> None:
    assert stream(code)[0][2] == imm


# -- malformed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "offset"),
    [
        ("", END, 0),
        ("01", END, 1),
        ("41 00", END, 2),
        ("ff 0b", "illegal opcode ff", 0),
        ("01 06 40 0b", "illegal opcode 06", 1),
        ("fb 1f 0b", "illegal opcode fb 1f", 0),
        ("fc 12 0b", "illegal opcode fc 12", 0),
        ("fd 9a01 0b", "illegal opcode fd 9a", 0),
        ("fd ffffffff0f 0b", "illegal opcode fd ffffffff", 0),
        ("fe 04 0b", "illegal opcode fe 04", 0),
        ("fd 808080808000 0b", "integer representation too long", 1),
        ("0b 0b", "section size mismatch", 1),
        ("0b 01", "section size mismatch", 1),
        ("05 0b", "END opcode expected", 0),
        ("02 40 05 0b 0b", "END opcode expected", 2),
        ("04 40 05 05 0b 0b", "END opcode expected", 3),
        ("04 40 02 40 05 0b 0b 0b", "END opcode expected", 4),
        ("02 40 0b", END, 3),
        ("02 41 0b 0b", "malformed value type", 1),
        ("02 ff7f 0b 0b", "malformed block type", 1),
        ("20 8080808010 0b", "integer too large", 1),
        ("41 8080808008 0b", "integer too large", 1),
        ("42 8080808080808080808000 0b", "integer representation too long", 1),
        ("28 8001 00 0b", "malformed memop flags", 1),
        ("0e ffffffff0f 00 0b", END, 1),
        ("1c ffffffff0f 7f 0b", END, 1),
        ("1c 01 40 0b", "malformed value type", 2),
        ("d0 40 0b", "malformed heap type", 1),
        ("d0 f07f 0b", "malformed heap type", 1),
        ("fb 18 04 00 6e 6d 0b", "malformed br_on_cast flags", 2),
        ("1f 40 01 04 00 0b 0b", "malformed catch clause", 3),
        ("1f 40 ff01 0b 0b", END, 2),
        ("fe 03 01 0b", "zero byte expected", 2),
    ],
)
def test_malformed(code: str, message: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        stream(code)
    assert caught.value.message.startswith(message)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("behind", "message"),
    [("", END), ("0b", "section size mismatch"), ("05", "END opcode expected"), ("20", "END opcode expected")],
)
def test_a_body_without_end_is_named_by_what_follows_it(behind: str, message: str) -> None:
    raw = bytes.fromhex("41 00 1a" + behind)
    with pytest.raises(MalformedError) as caught:
        list(instructions(raw, 0, 3, ALL))
    assert (caught.value.message, caught.value.offset) == (message, 3)


def test_illegal_opcodes_are_exactly_those_without_a_row() -> None:
    for byte in range(256):
        if PLAIN[byte] is None and byte not in PREFIXED:
            with pytest.raises(MalformedError, match=f"illegal opcode {byte:02x}"):
                stream(bytes((byte,)) + bytes(20))
    for prefix, rows in PREFIXED.items():
        for sub in range(0x180):
            if sub >= len(rows) or rows[sub] is None:
                with pytest.raises(MalformedError, match=f"illegal opcode {prefix:02x} {sub:02x}"):
                    stream(bytes((prefix,)) + leb(sub) + bytes(20))


def test_data_count() -> None:
    for name in ("memory.init", "data.drop", "array.new_data", "array.init_data"):
        row = BY_NAME[name]
        code = body(row, SAMPLES[row.imm][0])
        assert stream(code, has_data_count=True)
        with pytest.raises(MalformedError, match="data count section required") as caught:
            stream(code, has_data_count=False)
        assert caught.value.offset == 0
    assert stream(body(BY_NAME["elem.drop"], 0), has_data_count=False)


def test_nesting_needs_no_recursion() -> None:
    deep = 100_000
    assert len(stream(b"\x02\x40" * deep + b"\x0b" * (deep + 1))) == 2 * deep + 1


def test_a_constant_expression_ends_where_its_end_is() -> None:
    raw = bytes.fromhex("41 00 41 01 6a 0b ff")
    assert expression_end(raw, 0, len(raw), ALL) == 6
    with pytest.raises(MalformedError, match=END):
        expression_end(raw[:5], 0, 5, ALL)


# -- features ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [r for r in ROWS if r.feature != "mvp"], ids=lambda row: f"{row.name}-{row.opcode:x}")
def test_a_row_is_refused_if_its_feature_is_off(row: Row) -> None:
    code = body(row, SAMPLES[row.imm][0])
    with pytest.raises(FeatureDisabled) as caught:
        list(instructions(code, 0, len(code), Features(**{row.feature: False})))
    assert caught.value.feature == row.feature


@pytest.mark.parametrize(
    ("feature", "code"),
    [
        ("multi_value", "02 00 0b 0b"),
        ("simd", "02 7b 0b 0b"),
        ("gc", "02 6e 0b 0b"),
        ("exceptions", "02 69 0b 0b"),
        ("gc", "d0 6e 0b"),
        ("function_references", "d0 00 0b"),
        ("function_references", "1c 01 64 70 0b"),
    ],
)
def test_an_immediate_is_refused_if_its_feature_is_off(feature: str, code: str) -> None:
    stream(code)
    raw = bytes.fromhex(code)
    with pytest.raises(FeatureDisabled) as caught:
        list(instructions(raw, 0, len(raw), Features(**{feature: False})))
    assert caught.value.feature == feature


def test_the_first_version_passes_with_everything_off() -> None:
    off = Features(**dict.fromkeys(Features.names(), False))
    for row in ROWS:
        if row.feature == "mvp":
            code = body(row, SAMPLES[row.imm][0])
            assert list(instructions(code, 0, len(code), off))


# -- locals ------------------------------------------------------------------------------------------------------------


def local_runs(raw: str, limits: Limits = Limits(), features: Features = ALL) -> tuple[list[tuple[int, object]], int]:  # noqa: B008
    data = bytes.fromhex(raw)
    runs, pos = locals_of(data, 0, len(data), limits, features)
    out = bytearray()
    write_locals(out, runs)
    assert out == data[:pos]
    return list(runs), pos


def test_locals() -> None:
    assert local_runs("00 0b") == ([], 1)
    assert local_runs("03 00 7f 02 7e 8001 64 00 0b") == ([(0, I32), (2, I64), (128, ref(False, 0))], 9)
    assert local_runs("01 d08603 7f 0b") == ([(50_000, I32)], 5)


@pytest.mark.parametrize(
    ("raw", "message", "offset"),
    [
        ("", END, 0),
        ("05 01 7f", END, 0),
        ("01 01", END, 2),
        ("02 01 7f", "unexpected end", 3),
        ("01 01 40", "malformed value type", 2),
        ("01 8080808010 7f", "integer too large", 1),
        ("02 ffffffff0f 7f 02 7e", "too many locals", 7),
        ("04 8080808004 7f 8080808004 7f 8080808004 7f 8080808004 7f", "too many locals", 19),
    ],
)
def test_bad_locals(raw: str, message: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        local_runs(raw)
    assert caught.value.message.startswith(message)
    assert caught.value.offset == offset


def test_locals_stay_in_their_body() -> None:
    with pytest.raises(MalformedError, match=END) as caught:
        locals_of(b"\2\1\x7f\1\x7f\x0b", 0, 3)
    assert caught.value.offset == 3


def test_local_limit_and_features() -> None:
    with pytest.raises(LimitExceeded) as caught:
        local_runs("02 02 7f 02 7e", Limits(locals=3))
    assert caught.value.limit == "locals"
    with pytest.raises(FeatureDisabled) as refused:
        local_runs("01 01 7b", features=Features(simd=False))
    assert refused.value.feature == "simd"


def test_header_alone_has_no_bodies() -> None:
    assert decode(HEADER).bodies == []
