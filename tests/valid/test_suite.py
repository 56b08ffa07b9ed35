"""The specification's suite: every binary module gets the verdict, and the words, that its script asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.spec.convert import Script, convert
from tests.support import NO_DATA, data_root
from wardian.binary.decode import decode
from wardian.errors import BadInput, InvalidError, MalformedError, WardianError
from wardian.limits import Features
from wardian.valid.driver import validate

LEFT_OUT = {
    "legacy": "the superseded encoding of exceptions, no part of WebAssembly 3.0",
    "proposals/custom-descriptors": "a proposal that is not implemented",
}

_ONE_TABLE = "the proposal's text is older than reference types: several tables are valid by now"
_ONE_MEMORY = "the proposal's text is older than multi-memory: several memories are valid by now"

EXCEPTIONS: dict[tuple[str, int], str] = {
    **{("proposals/threads/imports.wast", line): _ONE_TABLE for line in (310, 314, 318)},
    **{("proposals/threads/imports.wast", line): _ONE_MEMORY for line in (405, 409, 413)},
    **{("proposals/threads/memory.wast", line): _ONE_MEMORY for line in (14, 15)},
}
"""Commands whose verdict is not the script's, and why. Strict: each must differ."""

ERRORS: dict[str, type[BadInput]] = {
    "assert_invalid": InvalidError,
    "assert_malformed": MalformedError,
    "assert_malformed_custom": MalformedError,
}
ACCEPTED = {"module", "module_definition", "assert_unlinkable", "assert_uninstantiable", "assert_invalid_custom"}


def _files() -> list[str]:
    root = data_root()
    if root is None:
        return []
    suite = root / "testsuite"
    found = sorted(path.relative_to(suite).as_posix() for path in suite.rglob("*.wast"))
    return [name for name in found if not name.startswith(tuple(f"{folder}/" for folder in LEFT_OUT))]


def _verdict(source: bytes, features: Features) -> WardianError | None:
    try:
        validate(decode(source, features), features)
    except WardianError as error:
        return error
    return None


def _is_binary(command: dict[str, Any]) -> bool:
    name = command.get("binary_filename") or command.get("filename") or ""
    return str(name).endswith(".wasm")


def _differs(script: Script, command: dict[str, Any], features: Features) -> str | None:
    error = _verdict(script.module(command), features)
    want = ERRORS.get(command["type"])
    if want is None:
        return None if error is None else f"{error!r}"
    if type(error) is want and error.message.startswith(command["text"]):
        return None
    return f"wanted {want.__name__} {command['text']!r}, got {error!r}"


@pytest.mark.thorough
@pytest.mark.parametrize("file", _files() or [pytest.param("", marks=pytest.mark.skip(NO_DATA))])
def test_file(file: str, data: Path) -> None:
    script = convert(data / "testsuite" / file)
    features = Features(custom_page_sizes="custom-page-sizes" in file)
    failures = []
    for command in script.commands:
        kind, line = command["type"], command["line"]
        if (kind in ERRORS or kind in ACCEPTED) and _is_binary(command):
            difference = _differs(script, command, features)
            if (difference is not None) != ((file, line) in EXCEPTIONS):
                failures.append(f"{file}:{line}: {difference or 'listed in EXCEPTIONS, but does not differ'}")
    assert not failures, "\n".join(failures)
