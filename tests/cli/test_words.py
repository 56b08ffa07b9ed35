"""The words of the command line, without running anything: sizes, durations, options, values, where ARGS begin."""

from __future__ import annotations

import pytest

from wardian.cli.options import parse_duration, parse_level, parse_switch, parse_wasm_options, size_option
from wardian.cli.report import CliError, plural, size
from wardian.cli.run import split
from wardian.cli.values import read_arguments, show
from wardian.limits import parse_size
from wardian.syntax.types import EXTERNREF, F32, F64, I32, I64


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("65536", 65536),
        ("64K", 65536),
        ("64k", 65536),
        ("64M", 64 << 20),
        ("64MiB", 64 << 20),
        ("64MB", 64 << 20),
        ("1.5G", 3 << 29),
        ("2T", 2 << 40),
        (" 8B ", 8),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert size_option(text) == parse_size(text) == parse_size(count) == count


NO_SIZES = ["", "M", "-1", "1X", "1.5.2M", "64 M B", "0x10", "１M", "nan", "1e9", "5IB", "64MI", "IB", "1.", ".5M"]


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(CliError, match="is not a size") as caught:
        size_option(text)
    assert caught.value.code == 2
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_a_size_is_exact() -> None:
    assert parse_size("1.000000000000000000001G") == 1 << 30
    assert parse_size(f"{10**30}.5K") == 10**30 * 1024 + 512
    with pytest.raises(ValueError, match="at least 0"):
        parse_size(-1)
    for wrong in (1.5, None, b"64M"):
        with pytest.raises(TypeError, match="a size is"):
            parse_size(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("5s", 5.0), ("0.5", 0.5), ("250ms", 0.25), ("2m", 120.0), ("1h", 3600.0), ("10us", 1e-5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 s", "inf", "nan", "1d", "5S"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(CliError, match="is not a duration"):
        parse_duration(text)


def test_switches() -> None:
    assert [parse_switch(word) for word in ("y", "yes", "true", "", "n", "no", "false")] == [True] * 4 + [False] * 3
    with pytest.raises(CliError):
        parse_switch("maybe")


def test_wasm_options() -> None:
    settings, switches = parse_wasm_options(
        ["timeout=5s,max-memory-size=64M", "unknown-imports-trap", "simd=n,tail-call=y", "timeout=6s"]
    )
    assert settings == {"timeout": 6.0, "max-memory-size": 64 << 20, "unknown-imports-trap": True}
    assert switches == {"simd": False, "tail_call": True}


@pytest.mark.parametrize("word", ["nonsense", "nonsense=1", "timeout", "timeout=", "simd=perhaps", "max-memory-size=x"])
def test_bad_wasm_options(word: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_wasm_options([word])
    assert caught.value.code == 2


def test_levels() -> None:
    assert parse_level([]) is None
    assert parse_level(["0"]) == "O0"
    assert parse_level(["0", "opt-level=2"]) == "O2"
    for bad in ("", "3", "s", "opt-level", "opt-level=", "level=2"):
        with pytest.raises(CliError):
            parse_level([bad])


@pytest.mark.parametrize(
    ("argv", "ours", "path", "theirs"),
    [
        ("x.wasm", "", "x.wasm", ""),
        ("x.wasm --dir y -O0", "", "x.wasm", "--dir y -O0"),
        ("--dir d x.wasm a", "--dir d", "x.wasm", "a"),
        ("--dir=d x.wasm a", "--dir=d", "x.wasm", "a"),
        ("-O0 -O 2 -Wtimeout=1s x.wasm -- -a", "-O0 -O 2 -Wtimeout=1s", "x.wasm", "-- -a"),
        ("--no-cache x.wasm", "--no-cache", "x.wasm", ""),
        ("--no-cache -- -x.wasm -a", "--no-cache", "-x.wasm", "-a"),
        ("--invoke f x.wasm -1", "--invoke f", "x.wasm", "-1"),
        ("-", "", "-", ""),
        ("--help", "--help", None, ""),
        ("--dir", "--dir", None, ""),
        ("--", "", None, ""),
    ],
)
def test_where_the_guests_arguments_begin(argv: str, ours: str, path: str | None, theirs: str) -> None:
    assert split(argv.split()) == (ours.split(), path, theirs.split())


def test_arguments_by_type() -> None:
    types = (I32, I32, I64, F32, F64, EXTERNREF)
    words = ["-1", "0xffffffff", "0x8000000000000000", "1.5", "inf", "null"]
    assert read_arguments("f", types, words) == [-1, -1, -(1 << 63), 1.5, float("inf"), None]


@pytest.mark.parametrize(
    ("type_", "word", "message"),
    [
        (I32, "4294967296", "does not fit i32"),
        (I32, "-2147483649", "does not fit i32"),
        (I64, "18446744073709551616", "does not fit i64"),
        (I32, "1.5", "is not of type i32"),
        (F64, "one", "is not of type f64"),
        (EXTERNREF, "1", "only null"),
    ],
)
def test_arguments_that_do_not_fit(type_: object, word: str, message: str) -> None:
    with pytest.raises(CliError, match=message) as caught:
        read_arguments("f", (type_,), [word])
    assert caught.value.code == 2


def test_the_number_of_arguments() -> None:
    with pytest.raises(CliError, match=r"f\(i32\) takes 1 argument, 2 given"):
        read_arguments("f", (I32,), ["1", "2"])


@pytest.mark.parametrize(
    ("value", "type_", "word"),
    [
        (-1, I32, "-1"),
        (0.1, F64, "0.1"),
        (0.10000000149011612, F32, "0.1"),
        (3.0, F32, "3"),
        (-0.0, F64, "-0"),
        (1e300, F64, "1e+300"),
        (16777216.0, F32, "16777216"),
        (float("nan"), F32, "nan"),
        (float("-inf"), F64, "-inf"),
        (None, EXTERNREF, "null"),
        ("\x1b[31m", EXTERNREF, "\\x1b[31m"),
    ],
)
def test_results_as_words(value: object, type_: object, word: str) -> None:
    assert show(value, type_) == word


def test_numbers_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 1 << 30, 1 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1.0 GiB",
        "1024.0 TiB",
    ]
    assert [plural(n, "memory") for n in (0, 1, 2000)] == ["0 memories", "1 memory", "2,000 memories"]
