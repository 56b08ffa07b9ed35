"""Border: names in a module -> messages. Whatever it calls its things, an exception's text acts on no terminal."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

import wardian
from tests.terminal.corpus import EVERYTHING, acts
from wardian.errors import inert, printable
from wardian.terminal import Filter
from wardian.text.parse import assemble

EVIL = "\x1b]0;x\x07\u009b2J\u202e\r\b\x9c\ufe01\U000e0041\u3164" + "\u0301" * 20
NAME = '"' + "".join(f"\\{value:02x}" for value in EVIL.encode()) + '"'


def quiet(text: str) -> None:
    assert not acts(text.encode()), text
    made = Filter("strict")
    line = f"error: {text}"
    assert (made.feed(line.encode()) + made.finish()).decode() == line, "nothing is left for the filter to change"


@pytest.mark.parametrize("attack", EVERYTHING)
def test_printable(attack: bytes) -> None:
    text = attack.decode(errors="replace")
    quiet(printable(text))
    assert "\n" not in printable(text)
    quiet(inert(text))


def test_text_stays() -> None:
    for text in ("", "plain", "Größe 中文 e\u0301", "a b"):
        assert printable(text) == text
    assert inert("a\nb\x1b") == "a\nb\\x1b"


@pytest.mark.parametrize(
    "make", [wardian.MalformedError, wardian.LinkError, lambda text: wardian.Trap("x", text), wardian.Refused]
)
def test_every_kind_of_error(make: Callable[[str], Exception]) -> None:
    error = make(f"{EVIL}\nsecond line")
    quiet(str(error))
    quiet(repr(error))
    assert "second line" in str(error).split("\n")[1]
    quiet(str(getattr(error, "message", "")))


def hostile(body: str) -> bytes:
    return assemble(f'(module ${NAME} (import {NAME} {NAME} (func)) (func ${NAME} (export {NAME}) {body}))')


@pytest.mark.parametrize(
    "use",
    [
        lambda: wardian.Module(hostile("unreachable")).instantiate(),
        lambda: wardian.Module(hostile("i32.add")),
        lambda: wardian.Module(f'(module (func (export {NAME}) {EVIL}'.encode()),
        lambda: wardian.Module(hostile("")[:-3]),
        lambda: wardian.run(hostile(""), invoke=EVIL),
        lambda: wardian.run(hostile("unreachable"), invoke=EVIL, unknown_imports="trap", check=True),
        lambda: wardian.run(hostile("call 0"), invoke=EVIL, unknown_imports="trap", check=True),
        lambda: wardian.Module(hostile("")).instantiate({EVIL: {EVIL: 5}}),
        lambda: getattr(wardian.Module(hostile("")).instantiate({EVIL: {EVIL: print}}).exports, EVIL + "x"),
        lambda: wardian.Module(hostile("")).instantiate({EVIL: {EVIL: print}}).exports[EVIL](1),
    ],
)  # fmt: skip
def test_tracebacks(use: Callable[[], object]) -> None:
    with pytest.raises(Exception) as caught:
        use()
    text = "".join(traceback.format_exception_only(caught.value))
    quiet(text)


def test_representations() -> None:
    module = wardian.Module(hostile(""))
    instance = module.instantiate({EVIL: {EVIL: print}})
    for value in (module, instance, instance.exports, instance.exports[EVIL]):
        quiet(repr(value))
    for value in (*module.imports, *module.exports):  # their strings are as Python shows strings
        assert not acts(repr(value).encode())
