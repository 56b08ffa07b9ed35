"""The specification's suite, as far as the binary format alone can tell: words of every malformed binary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.convert import convert
from tests.support import data_root
from wardian.binary.body import instructions, locals_of
from wardian.binary.decode import decode
from wardian.errors import MalformedError
from wardian.limits import Features

ROOT = data_root()
FILES = sorted((ROOT / "testsuite").glob("*.wast")) if ROOT else []
FILES += sorted((ROOT / "testsuite" / "proposals" / "threads").glob("*.wast")) if ROOT else []
FILES += sorted((ROOT / "testsuite" / "proposals" / "wide-arithmetic").glob("*.wast")) if ROOT else []

PAGE_SIZE_FLAG = ("binary.wast", "malformed limits flags")
"""Flag 8 of a memory is malformed in Wasm 3.0, and the proposal custom-page-sizes gives it a meaning."""


def decode_all(source: bytes) -> None:
    """Decode a module and every body of it."""
    module = decode(source)
    for start, end in module.bodies:
        _, pos = locals_of(source, start, end)
        for _ in instructions(source, pos, end, Features(), has_data_count=module.data_count is not None):
            pass


@pytest.mark.skipif(not FILES, reason="the test data is absent")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_suite(path: Path) -> None:
    script = convert(path)
    wrong: list[str] = []
    for command in script.commands:
        if not str(command.get("filename", "")).endswith(".wasm"):
            continue
        expected = command["text"] if command["type"] == "assert_malformed" else None
        try:
            decode_all(script.module(command))
            found = None
        except MalformedError as error:
            found = error.message
        same = found is None if expected is None else bool(found and found.startswith(expected))
        if not same and not (found and (path.name, expected) == PAGE_SIZE_FLAG):
            wrong.append(f"line {command['line']}: expected {expected!r}, got {found!r}")
    assert not wrong, "\n".join(wrong)
