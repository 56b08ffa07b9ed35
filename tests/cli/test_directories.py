"""``--dir`` in all its forms, ``--temporary``, ``--changes``, and the bounds of what may be written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support import ROOT
from tests.wasi.test_run import WRITER

WORDS = ROOT / "examples" / "words.wasm"


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    path = tmp_path / "writer.wat"
    path.write_text(WRITER)
    return path


def test_overlay(cli: Cli, writer: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    done = cli("run", "--dir", "sub::/w:overlay", "--changes", writer)
    assert (done.returncode, done.stderr) == (0, "+ /w/new\n")
    assert list((tmp_path / "sub").iterdir()) == []
    assert cli("run", "--dir", "sub::/w:ro", writer).returncode == 63
    assert cli("run", "--dir", "sub::/w", writer).returncode == 0
    assert (tmp_path / "sub" / "new").stat().st_size == 1000


def test_suffix_that_is_none(cli: Cli, writer: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for word in ("sub::/w::rw", "sub::/w:rw"):
        done = cli("run", "--dir", word, writer)
        assert (done.returncode, list((tmp_path / "sub").iterdir())) == (2, [])
        assert word in done.stderr and "colon" in done.stderr


def test_temporary(cli: Cli, writer: Path) -> None:
    done = cli("run", "--temporary", "/tmp", "--changes", writer)
    assert (done.returncode, done.stderr) == (0, "+ /tmp/new\n")


def test_archives(cli: Cli, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a/text", "word word")
    done = cli("run", "--dir", "texts.zip::/in", WORDS, "/in/a/text")
    assert (done.returncode, done.stdout) == (0, "      2 word\n"), done.stderr
    (tmp_path / "no.zip").write_text("none")
    done = cli("run", "--dir", "no.zip", WORDS)
    assert done.returncode == 1 and "neither a directory nor a zip or tar archive" in done.stderr


@pytest.mark.parametrize("grant", [("--dir", "sub::/w"), ("--temporary", "/w")])
@pytest.mark.parametrize(
    ("bound", "code"),
    [("max-written=900", 100), ("max-file-size=990", 10), ("max-new-files=0", 51)],
)
def test_bounds(cli: Cli, writer: Path, tmp_path: Path, grant: tuple[str, str], bound: str, code: int) -> None:
    (tmp_path / "sub").mkdir()
    assert cli("run", *grant, "-W", bound, writer).returncode == code


def test_open_files(cli: Cli, writer: Path) -> None:
    assert cli("run", "--temporary", "/w", "-W", "max-open-files=4", writer).returncode == 33
    done = cli("run", "-W", "max-open-files=many", writer)
    assert done.returncode == 2 and "not a number" in done.stderr


def test_a_process_of_its_own_has_no_folders_in_memory(cli: Cli, writer: Path) -> None:
    done = cli("run", "--isolate", "--temporary", "/w", writer)
    assert done.returncode == 2 and "no folders in memory" in done.stderr


def test_policy(cli: Cli, writer: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    policy = tmp_path / "p.toml"
    policy.write_text('changes = true\ndir = [{host = "sub", guest = "/w", overlay = true}]')
    done = cli("run", "--policy", policy, writer)
    assert (done.returncode, done.stderr) == (0, "+ /w/new\n")
    policy.write_text('temporary = ["/w"]\n[wasm]\nmax-written = "900"')
    assert cli("run", "--policy", policy, writer).returncode == 100
    policy.write_text('dir = [{host = "sub", readonly = true, overlay = true}]')
    assert "exclude each other" in cli("run", "--policy", policy, writer).stderr
