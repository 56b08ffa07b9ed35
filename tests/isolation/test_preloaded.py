"""A worker has no files: what it may have to import later has to be there already."""

from __future__ import annotations

import ast
import sys

import pytest

import wardian
from tests.architecture.tree import sources
from wardian.sandbox.zygote import _NOT_NEEDED, LATE


def _late_imports() -> set[str]:
    """Modules of the standard library that functions import."""
    found: set[str] = set()
    for source in sources():
        name = "wardian." + str(source.path).removesuffix(".py").replace("/", ".")
        if name.startswith((*_NOT_NEEDED, "wardian.sandbox.zygote")):
            continue
        for function in ast.walk(source.tree):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Import):
                        found |= {alias.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                        found.add(node.module)
    return {name for name in found if name.split(".")[0] in sys.stdlib_module_names}


_NEVER = frozenset({"subprocess", "tempfile", "zipfile", "tarfile"})
"""For processes, folders and archives of the parent: no worker gets to where these are imported."""
_EARLY = frozenset({"os", "sys", "time", "threading", "functools", "array", "math", "resource"})
"""Imported by other modules as they load, as well."""


def test_what_is_imported_late_is_preloaded() -> None:
    assert _late_imports() <= {*LATE, *_NEVER, *_EARLY}


@pytest.mark.parametrize("text", ['(module (data "\x1b"))', '(module (export "\u202e" (func 0)))', "(module \u2028)"])
def test_errors_that_have_to_be_made_printable(text: str) -> None:
    with pytest.raises(wardian.WardianError) as here:
        wardian.Module(text)
    with pytest.raises(type(here.value)) as there:
        wardian.run(text.encode(), isolation="process")
    assert str(there.value) == str(here.value)
