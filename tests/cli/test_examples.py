"""The examples do what README and their own comments say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Cli
from tests.support import ROOT

EMBED = """\
exited 0
      2 it
      2 of
      2 the
25 %
50 %
75 %
primes: 1229
vowels: 7
it trapped: unreachable
spin: timeout
"""


def test_the_command_of_the_readme(cli: Cli) -> None:
    command = "--dir examples:ro examples/words.wasm -n 5 examples/words.c"
    assert f"wardian run {command}" in (ROOT / "README.md").read_text()
    done = cli("run", *command.split(), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split()[1] == "word"


def test_what_was_not_granted_stays_shut(cli: Cli) -> None:
    done = cli("run", "examples/words.wasm", "-n", "5", "/etc/passwd", cwd=ROOT)
    assert done.returncode == 1 and "/etc/passwd" in done.stderr and done.stdout == ""


def test_embedding(tmp_path: Path, glue: Path) -> None:
    shutil.copytree(glue, tmp_path / ".cache" / "wardian")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "embed.py"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.stdout, done.returncode) == (EMBED, 0), done.stderr
