"""Scripts as data."""

from __future__ import annotations

import pytest

from wardian.errors import MalformedError
from wardian.text.script import (
    Action,
    AssertFails,
    AssertRejected,
    AssertReturn,
    Define,
    Either,
    Nan,
    Number,
    Ref,
    Register,
    Thread,
    Unreadable,
    Wait,
    commands,
)


def one(text: str) -> object:
    found = list(commands(text))
    assert len(found) == 1
    return found[0]


def test_actions() -> None:
    assert one('(invoke $m "f" (i32.const -1) (ref.null func) (ref.extern 7))') == Action(
        1, "invoke", "$m", "f", (Number("i32", 32, (0xFFFF_FFFF,)), Ref("null"), Ref("extern", 7))
    )
    assert one('(get "g")') == Action(1, "get", None, "g")
    assert one('(register "x" $m)') == Register(1, "x", "$m")


def test_results() -> None:
    found = one(
        """(assert_return (invoke "f")
          (f32.const nan:canonical) (v128.const f64x2 nan:arithmetic 1) (either (i64.const 1) (ref.func)) (ref.i31))"""
    )
    assert isinstance(found, AssertReturn)
    assert found.results == (
        Number("f32", 32, (Nan.CANONICAL,)),
        Number("v128", 64, (Nan.ARITHMETIC, 0x3FF0_0000_0000_0000)),
        Either((Number("i64", 64, (1,)), Ref("func"))),
        Ref("i31"),
    )


def test_bits() -> None:
    assert Number("v128", 8, tuple(range(16))).bits() == int.from_bytes(bytes(range(16)), "little")
    with pytest.raises(ValueError, match="no value"):
        Number("f32", 32, (Nan.CANONICAL,)).bits()


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ('(assert_trap (invoke "f") "t")', "trap", "t"),
        ('(assert_exhaustion (invoke "f") "t")', "exhaustion", "t"),
        ('(assert_exception (invoke "f"))', "exception", ""),
    ],
)
def test_failing_actions(text: str, how: str, message: str) -> None:
    found = one(text)
    assert isinstance(found, AssertFails)
    assert (found.how, found.message) == (how, message)


@pytest.mark.parametrize(
    ("keyword", "how"),
    [
        ("assert_malformed", "malformed"),
        ("assert_malformed_custom", "malformed"),
        ("assert_invalid", "invalid"),
        ("assert_invalid_custom", "invalid"),
        ("assert_unlinkable", "unlinkable"),
        ("assert_trap", "uninstantiable"),
    ],
)
@pytest.mark.parametrize("form", ["text", "binary", "quote"])
def test_modules_that_must_fail(keyword: str, how: str, form: str) -> None:
    found = one(f'({keyword} (module {"" if form == "text" else form}) "words")')
    assert isinstance(found, AssertRejected)
    assert (found.how, found.module.form, found.message) == (how, form, "words")


def test_modules() -> None:
    text = """(module $a) (module definition $b (func)) (module instance $i $b) (module instance)
    (module $c binary "x" "y") (module quote "z") (module definition binary "")"""
    found = [command.module for command in commands(text) if isinstance(command, Define)]
    assert [(one.form, one.name, one.definition, one.of) for one in found] == [
        ("text", "$a", False, None),
        ("text", "$b", True, None),
        ("instance", "$i", False, "$b"),
        ("instance", None, False, None),
        ("binary", "$c", False, None),
        ("quote", None, False, None),
        ("binary", None, True, None),
    ]
    assert found[4].assemble() == b"xy"


def test_threads() -> None:
    found, waited = commands('(thread $t (shared (module $m)) (register "m" $m) (invoke "f")) (wait $t)')
    assert isinstance(found, Thread)
    assert (found.name, found.shared, len(found.commands)) == ("$t", ("$m",), 2)
    assert waited == Wait(1, "$t")


def test_fields_alone_are_a_module() -> None:
    found = one("(func) (memory 1)")
    assert isinstance(found, Define)
    assert found.module.assemble() == next(
        command.module.assemble() for command in commands("(module (func) (memory 1))") if isinstance(command, Define)
    )


def test_an_unreadable_command_hides_no_other() -> None:
    found = list(commands('(invoke "f")\n(assert_return (invoke 3))\n(nonsense)\n(get "g")'))
    assert [type(one) for one in found] == [Action, Unreadable, Unreadable, Action]
    assert [one.line for one in found] == [1, 2, 3, 4]
    assert isinstance(found[1], Unreadable)
    assert found[1].error.line == 2


@pytest.mark.parametrize(
    "text",
    [
        '(invoke "f" (f32.const nan:canonical))',
        '(invoke "f" (either (i32.const 1)))',
        '(assert_return (invoke "f") (either (either)))',
        '(assert_return (invoke "f") (i32.const 1) x)',
        '(assert_trap (invoke "f"))',
        '(assert_invalid (invoke "f") "x")',
        '(assert_malformed "x")',
        "(register)",
        "(thread)",
        "(thread $t (thread $u))",
        '(wait "x")',
        "(module instance $a $b $c)",
        "()",
    ],
)
def test_no_commands(text: str) -> None:
    assert isinstance(one(text), Unreadable)


def test_no_script() -> None:
    with pytest.raises(MalformedError):
        list(commands('(invoke "f'))
