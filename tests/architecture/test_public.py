"""The public face: every name is there, lazily, and ``import wardian`` stays light."""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import wardian
from tests.architecture.tree import PACKAGE, ROOT, sources
from wardian import record

LIGHT = frozenset({"wardian", "__future__"})
"""All that ``import wardian`` may load beyond what the interpreter has loaded anyway."""


def _loaded_by(code: str) -> set[str]:
    """The modules that ``code`` makes a bare interpreter load."""
    script = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import importlib, types, typing\n"
        f"before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_import_is_light() -> None:
    assert _loaded_by("import wardian") <= LIGHT


def test_errors_and_limits_do_not_load_the_engine() -> None:
    loaded = _loaded_by("import wardian; wardian.Trap; wardian.Limits; wardian.Features")
    ours = {name for name in loaded if name.startswith("wardian")}
    assert ours == {"wardian", "wardian.errors", "wardian.limits", "wardian.record"}
    assert not {"llvmlite", "ctypes"} & loaded


def test_named_tuples_are_as_those_of_typing() -> None:
    class Ours(record.NamedTuple):
        x: int
        y: str = "d"
        z: int = 3

        def twice(self) -> int:
            return 2 * self.x

    class Theirs(NamedTuple):
        x: int
        y: str = "d"
        z: int = 3

    calls: tuple[Callable[[Any], Any], ...] = (
        lambda kind: kind(1), lambda kind: kind(1, "y"), lambda kind: kind(1, "y", 5), lambda kind: kind(x=1, z=9),
        lambda kind: kind(1, z=2), lambda kind: kind(z=1, y=2, x=3), lambda kind: kind(1)._replace(y="q"),
        lambda kind: kind(1)._asdict(), lambda kind: kind._fields, lambda kind: kind.__match_args__,
        lambda kind: kind(), lambda kind: kind(1, 2, 3, 4), lambda kind: kind(1, x=2), lambda kind: kind(1, q=2),
        lambda kind: kind(1, 2, 3, q=4), lambda kind: kind(1, 2, 3, x=4), lambda kind: kind(y=1),
        lambda kind: kind(1, 2, y=4), lambda kind: copy.deepcopy(kind([1])), lambda kind: kind._make((1, 2, 3)),
    )  # fmt: skip
    for call in calls:
        try:
            want = call(Theirs)
        except TypeError:
            with pytest.raises(TypeError, match="has the fields x, y, z"):
                call(Ours)
        else:
            assert call(Ours) == want
    assert Ours(4).twice() == 8 and repr(Ours(1)) == "Ours(x=1, y='d', z=3)" and not hasattr(Ours(1), "__dict__")


@pytest.mark.parametrize("command", ["--help", "--version", "run --help", "cache --help", "inspect --help"])
def test_help_does_not_load_the_engine(command: str) -> None:
    words = command.split()
    code = f"from wardian.cli.main import main\ntry: main({words!r})\nexcept SystemExit: pass"
    loaded = _loaded_by(code)
    heavy = {name for name in loaded if name.split(".")[0] in ("llvmlite", "ctypes", "dis", "importlib.metadata")}
    heavy |= {name for name in loaded if name.startswith(("wardian.api", "wardian.compile", "wardian.runtime"))}
    assert not heavy - {"dis"}, heavy


def test_all_is_sorted_and_complete() -> None:
    assert list(wardian.__all__) == sorted(wardian.__all__)
    assert set(wardian.__all__) == set(wardian._HOMES)
    assert set(wardian.__all__) <= set(dir(wardian))


def test_type_checkers_see_the_same_names_from_the_same_homes() -> None:
    tree = next(source.tree for source in sources() if source.path == "__init__.py")
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert declared == dict(wardian._HOMES)


@pytest.mark.parametrize("name", wardian.__all__)
def test_public_name(name: str) -> None:
    value = getattr(wardian, name)
    assert value.__doc__, f"wardian.{name} has no documentation"
    assert getattr(wardian, name) is value


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Modul'"):
        wardian.Modul


def test_what_is_no_python_is_shipped() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["wardian"]
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    built = {"compile/baseline/stencils.bin"}  # there once it has been made, and no part of a checkout
    assert set(shipped) - built == {path for path in there if not path.endswith((".py", ".pyc", ".so"))} - built
