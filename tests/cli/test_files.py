"""Files that are not what they should be: the message says what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardian.cli.report import CliError
from wardian.cli.source import describe, read_module


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"\x7fELF\2\1\1\0", "ELF"),
        (b"MZ\x90\0", "Windows"),
        (b"PK\x03\x04....", "zip"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"#!/bin/sh\n", "script"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"hello, world\n", "text"),
        (b"\0asm\x0d\0\1\0", "component"),
        (b"\0asm\2\0\0\0", "version is 02000000"),
        (b"\0asm", "version is missing"),
        (b"\x93NUMPY\1\0", "begins with 93 4e 55 4d"),
    ],
)
def test_what_it_looks_like(head: bytes, words: str) -> None:
    assert words in describe(head)[0]


def test_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    (tmp_path / "hello.wasm").write_bytes(b"")
    with pytest.raises(CliError, match="there is no such file") as caught:
        read_module(str(tmp_path / "helo.wasm"))
    assert caught.value.hint is not None and "hello.wasm" in caught.value.hint


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CliError) as caught:
        read_module(str(tmp_path / "no" / "hello.wasm"))
    assert caught.value.hint is not None and "does not exist either" in caught.value.hint


def test_directory_lists_its_modules(tmp_path: Path) -> None:
    (tmp_path / "hello.wasm").write_bytes(b"")
    with pytest.raises(CliError, match="is a directory") as caught:
        read_module(str(tmp_path))
    assert caught.value.hint is not None and "hello.wasm" in caught.value.hint
