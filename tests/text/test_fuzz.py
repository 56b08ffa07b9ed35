"""Any text gives a module or a located error, never another exception, in time linear in its length."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardian.binary.decode import decode
from wardian.errors import BadInput, FeatureDisabled, InvalidError, LimitExceeded, MalformedError
from wardian.syntax.instructions import BY_NAME
from wardian.text.parse import assemble
from wardian.text.printer import to_text
from wardian.text.script import AssertRejected, Define, commands

WORDS = """
(; ;) ;; (@ (@a (@name (@custom "a" $a $b $"a" "\\00" "\\u{61}" 0 1 -1 0x7f 1.5 nan:0x1 inf align=1 offset=4
module func param result local type rec sub final struct array field mut import export table memory global
tag elem data start offset item declare i32 i64 f32 v128 i8 ref null funcref anyref then catch catch_all
binary quote definition instance shared pagesize i32x4 invoke register assert_return assert_invalid either
block loop if else end try_table br br_table call_indirect i32.const local.get v128.const select
"""
PIECES = [*'()()()()"$;@ \n\\,', *WORDS.split(), *random.Random(1).sample(sorted(BY_NAME), 60)]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join) | st.text(max_size=60)


def harmless(text: str) -> None:
    """Everything that can be done with a text; what is accepted survives the round trip."""
    try:
        list(commands(text))
    except MalformedError as error:
        assert error.line is not None
    try:
        source = assemble(text)
    except MalformedError as error:
        assert error.line is not None and error.column is not None
        assert 1 <= error.line <= text.count("\n") + text.count("\r") + 1
        return
    except (InvalidError, LimitExceeded):
        return
    try:
        printed = to_text(decode(source))
    except (BadInput, LimitExceeded, FeatureDisabled):
        return
    assert assemble(printed) == source


@given(TEXTS)
@settings(max_examples=600)
def test_any_text(text: str) -> None:
    harmless(text)
    harmless(f"(module {text})")
    harmless(f"(func {text})")


@given(st.binary(max_size=60))
def test_any_bytes(raw: bytes) -> None:
    try:
        assemble(raw)
    except BadInput:
        pass


TOKEN = re.compile(r'\s+|[()]|"(?:[^"\\]|\\.)*"|[^\s()"]+')


def _mutated(tokens: list[str], pool: list[str], chance: random.Random) -> str:
    tokens = list(tokens)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        what = chance.randrange(5)
        if what == 0 and len(tokens) > 1:
            del tokens[at]
        elif what == 1:
            tokens.insert(at, chance.choice(pool))
        elif what == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif what == 3:
            tokens[at:at] = tokens[other : other + 8]
        else:
            cut = chance.randrange(len(tokens[at]) + 1)
            tokens[at] = tokens[at][:cut] + chance.choice('()";$@ \\0aF_.+-\x7fé{[,=') + tokens[at][cut:]
    return "".join(tokens)


def test_mutations_of_the_suite(data: Path) -> None:
    chance = random.Random(7)
    texts = []
    for file in sorted((data / "testsuite").glob("*.wast"))[::5]:
        for command in commands(file.read_bytes()):
            if isinstance(command, Define | AssertRejected) and command.module.form == "text":
                part = command.module.source.original[command.module.start : command.module.end]
                if 0 < len(part) < 2000:
                    texts.append(TOKEN.findall(part))
    pool = [*PIECES, *(token for tokens in texts[::9] for token in tokens)]
    for _ in range(4000):
        harmless(_mutated(chance.choice(texts), pool, chance))


SHAPES: dict[str, Callable[[int], str]] = {
    "blocks, folded": lambda n: f"(func {'(block ' * n}{')' * n})",
    "blocks, flat": lambda n: f"(func {'block ' * n}{'end ' * n})",
    "named blocks": lambda n: f"(func {' '.join(f'(block $l{i}' for i in range(n))} {'(br $l0)' * n}{')' * n})",
    "one label": lambda n: f"(func {'(block $l ' * n}{'(br $l)' * n}{')' * n})",
    "not closed": lambda n: f"(func {'(block ' * n}",
    "conditions": lambda n: f"(func {'(if ' * n}{'(then)) ' * n})",
    "operands": lambda n: f"(func {'(i32.eqz ' * n}{')' * n})",
    "parentheses": lambda n: "(" * n,
    "closing": lambda n: ")" * n,
    "both": lambda n: "(" * n + ")" * n,
    "an integer": lambda n: f"(func (i32.const {'1' * 10 * n}))",
    "a hexadecimal integer": lambda n: f"(func (drop (i64.const 0x{'0' * 10 * n}1)))",
    "underscores": lambda n: f"(func (i64.const {'1_' * 10 * n}))",
    "a float": lambda n: f"(func (drop (f32.const 1.{'3' * 10 * n}e-10)))",
    "a hexadecimal float": lambda n: f"(func (drop (f64.const 0x1.{'3' * 10 * n}p-10)))",
    "an exponent": lambda n: f"(func (f64.const 1e{'9' * 10 * n}))",
    "a string without end": lambda n: f'(data "{"a" * 10 * n}',
    "quotes": lambda n: '"' * (10 * n + 1),
    "quotes and backslashes": lambda n: '"\\' * 10 * n,
    "backslashes": lambda n: f'(data "{chr(92) * 10 * n}',
    "strings in identifiers": lambda n: '$"' * 10 * n,
    "comments without end": lambda n: "(;" * 10 * n,
    "comments in comments": lambda n: "(;" * 5 * n + ";)" * 5 * n,
    "line comments": lambda n: ";;x\n" * 5 * n,
    "semicolons": lambda n: "; " * 5 * n,
    "blanks": lambda n: f"(func{' ' * 40 * n})",
    "annotations in annotations": lambda n: "(@a " * n + ")" * n,
    "annotations without end": lambda n: "(@a " * n,
    "annotations": lambda n: f"(func {'(@a)' * n})",
    "annotations that mean something": lambda n: f"(func {'(@wardian.leb 5) br 0 ' * n})",
    "misplaced annotations": lambda n: "(func " + '(@name "b")' * n + ")",
    "functions": lambda n: "(func)" * n,
    "types": lambda n: f"(rec {'(type (func))' * n})",
    "parameters": lambda n: f"(func {'(param i32)' * n})",
    "locals": lambda n: f"(func {' '.join(f'(local $a{i} i32)' for i in range(n))})",
    "labels of a table": lambda n: f"(func (br_table {'0 ' * 4 * n}))",
    "elements": lambda n: f"(func $f) (elem func {'$f ' * 4 * n})",
    "strings": lambda n: "(data " + '"a" ' * 4 * n + ")",
    "lanes": lambda n: f"(func (v128.const i8x16 {'1 ' * 4 * n}))",
    "modules": lambda n: "(module " * n + ")" * n,
    "an error at the end of a line": lambda n: f"(func {'nop ' * 4 * n} foo)",
    "an error after many lines": lambda n: "(func " + "nop\n" * 4 * n + " foo)",
}


@pytest.mark.thorough
@pytest.mark.parametrize("shape", SHAPES)
def test_time_is_linear(shape: str) -> None:
    """Eight times the text may take at most about thirty times as long; quadratic would be sixty-four."""
    small, large = (_seconds(SHAPES[shape](n)) for n in (2_000, 16_000))
    assert large < 30 * max(small, 0.01)


def _seconds(text: str) -> float:
    best = 1e9
    for _ in range(3):
        start = time.perf_counter()
        try:
            assemble(text)
        except (BadInput, LimitExceeded):
            pass
        best = min(best, time.perf_counter() - start)
    return best
