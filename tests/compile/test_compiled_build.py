"""The compiled build (setup.py) and the pure one decode, validate and compile alike, down to the words of errors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compile.odd_modules import modules
from tests.support import COMPILED, ROOT
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.compiler import made_library
from wardian.compile.options import CodeOptions

SCRIPT = Path(__file__).with_name("build_digest.py")


def _digest(*args: str | Path) -> tuple[bool, dict[str, object]]:
    done = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["compiled"], found["found"]


def _modules(folder: Path, count: int) -> list[Path]:
    paths = []
    for number, source in enumerate(modules(count)):
        paths.append(folder / f"{number}.wasm")
        paths[-1].write_bytes(source)
    return paths


def _same(compiled: Path, folder: Path, count: int) -> None:
    """Compare the build in ``compiled`` with the sources beside it; there must be much to compare."""
    stencils = folder / "stencils"
    stencils.write_bytes(made_library(Flavour(CodeOptions("O2", "guard"), False, False))[1])
    paths = _modules(folder, count)
    is_compiled, found = _digest(compiled, stencils, *paths)
    assert is_compiled
    is_compiled, expected = _digest("pure", compiled, stencils, *paths)
    assert not is_compiled
    assert found == expected
    assert len(found) == len(paths)


@pytest.mark.skipif(
    not COMPILED, reason="this is the pure build; for the other see README, 'Native code for Wardian itself'"
)
def test_this_build_is_like_its_sources(tmp_path: Path) -> None:
    import wardian

    _same(Path(str(wardian.__file__)).parents[1], tmp_path, 20)


@pytest.mark.slow
def test_a_fresh_build_is_like_its_sources(tmp_path: Path) -> None:
    pytest.importorskip("mypyc", reason="the compiled build needs mypy")
    pytest.importorskip("setuptools", reason="the compiled build needs setuptools")
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("the compiled build needs a C compiler")
    build = tmp_path / "build"
    shutil.copytree(ROOT / "src", build / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    # Without pyproject.toml, which old versions of setuptools do not understand: only the modules are wanted.
    command = [sys.executable, ROOT / "setup.py", "-q", "build_ext", "--build-lib", "lib"]
    env = {**os.environ, "WARDIAN_COMPILE": "1", "MYPYC_OPT_LEVEL": "1"}
    done = subprocess.run(command, cwd=build, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(build / "lib", build / "src", dirs_exist_ok=True)
    folder = tmp_path / "modules"
    folder.mkdir()
    _same(build / "src", folder, 40)
