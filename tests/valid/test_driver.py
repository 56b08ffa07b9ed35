"""The driver: what a lowering sees, and which of two errors wins."""

from __future__ import annotations

import pytest

import wardian
from tests.valid.build import END, func_type, leb, module, section, vec, with_body
from wardian.binary.decode import decode
from wardian.errors import InvalidError, MalformedError
from wardian.limits import Features
from wardian.syntax.instructions import Row
from wardian.syntax.types import I32 as I32_TYPE
from wardian.valid.code import Validator
from wardian.valid.driver import validate, validate_bodies, validate_body
from wardian.valid.module import validate_module


class Record:
    """A lowering that writes down what it gets, and what the validator answers then."""

    def __init__(self, validator: Validator) -> None:
        self.validator = validator
        self.seen: list[tuple[str, bool]] = []
        self.tops: list[str] = []
        self.offsets: list[int] = []

    def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
        self.offsets.append(offset)
        self.seen.append((row.name, reachable))
        if self.validator.depth:
            self.tops.append(repr(self.validator.operand()))


def lower(body: bytes, *types: bytes) -> Record:
    ctx = validate_module(decode(with_body(body + END, *types).source))
    validator = Validator(ctx)
    record = Record(validator)
    validate_body(ctx, 0, record, validator)
    return record


def test_every_instruction_arrives_after_its_validation() -> None:
    record = lower(b"\x41\0\x42\0\x1a\x45\x1a")
    assert [name for name, _ in record.seen] == ["i32.const", "i64.const", "drop", "i32.eqz", "drop", "end"]
    assert record.tops == ["i32", "i64", "i32", "i32", "bot"]
    assert [offset - record.offsets[0] for offset in record.offsets] == [0, 2, 4, 5, 6, 7]


def test_reachability_as_a_lowering_needs_it() -> None:
    record = lower(b"\x02\x40\x0c\0\x02\x40\x01\x0b\x01\x0b\x01\x41\0\x04\x40\0\x05\x01\x0b\x01\0\x01")
    assert record.seen == [
        ("block", True),
        ("br", True),
        ("block", False),
        ("nop", False),
        ("end", False),
        ("nop", False),
        ("end", False),
        ("nop", True),
        ("i32.const", True),
        ("if", True),
        ("unreachable", True),
        ("else", False),
        ("nop", True),
        ("end", True),
        ("nop", True),
        ("unreachable", True),
        ("nop", False),
        ("end", False),
    ]


def test_what_a_lowering_may_ask() -> None:
    ctx = validate_module(
        decode(with_body(b"\x41\0\x02\x7f\x41\1" + b"\x0b\x1a\x1a" + END, locals_=b"\1\2\x7f").source)
    )
    validator = Validator(ctx)
    answers: list[tuple[int, int, str, str]] = []

    class Ask:
        def step(self, offset: int, row: Row, imm: object, reachable: bool) -> None:
            if validator.depth:
                top = validator.operand(), validator.operand(1)
                answers.append((validator.depth, validator.height, repr(top[0]), repr(top[1])))

    validate_body(ctx, 0, Ask(), validator)
    assert answers == [
        (1, 1, "i32", "bot"),
        (2, 1, "bot", "bot"),
        (2, 2, "i32", "bot"),
        (1, 2, "i32", "i32"),
        (1, 1, "i32", "bot"),
        (1, 0, "bot", "bot"),
    ]
    assert validator.block_type(I32_TYPE) == ((), (I32_TYPE,))
    assert validator.block_type(0) == ((), ()) and validator.block_type(None) == ((), ())
    assert validator.local_type(1) is I32_TYPE and validator.results == ()


def two_bodies(first: bytes, second: bytes) -> bytes:
    bodies = vec(*(leb(len(b) + 1) + b"\0" + b for b in (first, second)))
    return module(section(1, vec(func_type())), section(3, vec(b"\0", b"\0")), section(10, bodies))


def test_an_unvalidated_instruction_is_never_lowered() -> None:
    ctx = validate_module(decode(with_body(b"\x01\x6a\x1a" + END).source))
    validator = Validator(ctx)
    record = Record(validator)
    with pytest.raises(InvalidError):
        validate_body(ctx, 0, record, validator)
    assert record.seen == [("nop", True)]


def test_bodies_are_independent_and_a_validator_can_be_used_again() -> None:
    ctx = validate_module(decode(two_bodies(b"\x02\x40\x41\0\x6a\x0b" + END, b"\x01" + END)))
    validator = Validator(ctx)
    with pytest.raises(InvalidError) as caught:
        validate_body(ctx, 0, None, validator)
    assert caught.value.function == 0
    validate_body(ctx, 1, None, validator)


def test_malformed_wins_over_invalid() -> None:
    invalid, malformed = b"\x6a\x1a" + END, b"\xff" + END
    for first, second in ((invalid, malformed), (malformed, invalid)):
        ctx = validate_module(decode(two_bodies(first, second)))
        with pytest.raises(MalformedError) as caught:
            validate_bodies(ctx)
        assert caught.value.function == (0 if first is malformed else 1)
        assert caught.value.message.startswith("illegal opcode")


def test_malformed_later_in_the_same_body_wins() -> None:
    with pytest.raises(MalformedError):
        validate(decode(with_body(b"\x6a\xff" + END).source))


def test_a_malformed_body_wins_over_an_invalid_module() -> None:
    export = b"\1a\0\x09"
    built = with_body(b"\xff" + END, before=(section(7, vec(export)),))
    with pytest.raises(MalformedError):
        validate(decode(built.source))
    with pytest.raises(InvalidError, match="unknown function 9"):
        validate_module(decode(built.source), Features())


def test_memory_init_needs_a_data_count_section() -> None:
    body = b"\x41\0\x41\0\x41\0\xfc\x08\0\0" + END
    built = with_body(body, before=(section(5, vec(b"\0\1")),), after=(section(11, vec(b"\1\1x")),))
    with pytest.raises(MalformedError, match="data count section required") as caught:
        validate(decode(built.source))
    assert caught.value.function == 0


def test_locals_are_checked_before_anything_is_lowered() -> None:
    """A lowering wants the types of locals first; with lazy validation nobody has looked at them before."""
    engine = wardian.Engine(wardian.Config(lazy=True, cache=False))
    module = wardian.Module('(module (func (export "f") (local (ref null 1))))', engine)
    with pytest.raises(wardian.InvalidError, match="unknown type"):
        module.instantiate().exports.f()
