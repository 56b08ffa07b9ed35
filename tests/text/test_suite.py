"""The specification's suite, from its text: every module assembles, every malformed text is refused in its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.convert import convert
from tests.support import NO_DATA, data_root
from wardian.binary.decode import decode
from wardian.binary.encode import encode
from wardian.errors import InvalidError, MalformedError
from wardian.limits import Features
from wardian.text.parse import assemble
from wardian.text.printer import to_text
from wardian.text.script import AssertRejected, Define, Unreadable, commands

EVERYTHING = Features(**dict.fromkeys(Features.names(), True))

LEFT_OUT = ("legacy/", "proposals/custom-descriptors/")
"""The superseded encoding of exceptions, and a proposal that is not implemented."""

OLDER = {("proposals/threads/memory.wast", line) for line in (83, 87, 91)}
"""Sizes beyond 32 bits, which are no longer malformed but invalid since memory64."""

RULES = {
    ("type-rec.wast", line) for line in (45, 185, 197)
} | {("type-subtyping.wast", line) for line in (344, 373)}  # fmt: skip
"""Inline function types, which the other assembler resolves otherwise: it passes over groups of one type, and takes
types that are not final."""


def _files() -> list[str]:
    root = data_root()
    if root is None:
        return []
    suite = root / "testsuite"
    found = sorted(path.relative_to(suite).as_posix() for path in suite.rglob("*.wast"))
    return [name for name in found if not name.startswith(LEFT_OUT)]


PARAMS = _files() or [pytest.param("", marks=pytest.mark.skip(NO_DATA))]


@pytest.mark.parametrize("file", PARAMS)
def test_verdicts(file: str, data: Path) -> None:
    """Only what must be malformed is, and a text is never refused for what makes it invalid."""
    wrong = []
    for command in commands((data / "testsuite" / file).read_bytes()):
        assert not isinstance(command, Unreadable), command
        if not isinstance(command, Define | AssertRejected) or command.module.form == "instance":
            continue
        malformed = isinstance(command, AssertRejected) and command.how == "malformed"
        try:
            command.module.assemble()
        except MalformedError as error:
            if not malformed or not error.message.startswith(command.message.rstrip("0123456789 ")):  # type: ignore[union-attr]
                wrong.append(f"line {command.line}: {error}")
        except InvalidError:
            if not isinstance(command, AssertRejected) or command.how != "invalid":
                wrong.append(f"line {command.line}: invalid")
        else:
            if malformed and command.module.form == "quote" and (file, command.line) not in OLDER:
                wrong.append(f"line {command.line}: accepted")
    assert not wrong, "\n".join(wrong)


def _without_names(source: bytes) -> bytes:
    module = decode(source, EVERYTHING)
    module.customs = [custom for custom in module.customs if custom.name != "name"]
    return encode(module)


@pytest.mark.thorough
@pytest.mark.parametrize("file", PARAMS)
def test_as_another_assembler_has_it(file: str, data: Path) -> None:
    script = convert(data / "testsuite" / file)
    others = {
        command["line"]: script.module(command)
        for command in script.commands
        if str(command.get("binary_filename") or command.get("filename", "")).endswith(".wasm")
    }
    wrong = []
    for command in commands((data / "testsuite" / file).read_bytes()):
        if not isinstance(command, Define) or command.module.form != "text" or command.line not in others:
            continue
        mine = command.module.assemble()
        if _without_names(mine) != _without_names(others[command.line]) and (file, command.line) not in RULES:
            wrong.append(command.line)
    assert not wrong


@pytest.mark.thorough
@pytest.mark.parametrize("file", PARAMS)
def test_round_trips(file: str, data: Path) -> None:
    for command in commands((data / "testsuite" / file).read_bytes()):
        if isinstance(command, Define) and command.module.form == "text":
            source = command.module.assemble()
            assert assemble(to_text(decode(source, EVERYTHING))) == source, f"line {command.line}"
