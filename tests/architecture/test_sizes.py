"""Functions and files stay small enough to be read in one go; tables are the listed exception."""

from __future__ import annotations

import ast

from tests.architecture.tree import sources

FUNCTION_LINES = 100
FILE_LINES = 800

TABLES: dict[str, str] = {
    "syntax/families.py": "one small class per family",
    "syntax/instructions.py": "one row per instruction",
}
"""Files that are longer because they are one table, and which."""


def test_functions_are_short() -> None:
    long = [
        f"{source.path}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_files_are_short() -> None:
    long = {source.path: source.text.count("\n") for source in sources() if source.text.count("\n") > FILE_LINES}
    unlisted = {path: lines for path, lines in long.items() if path not in TABLES}
    assert not unlisted, f"over {FILE_LINES} lines: {unlisted}"
    assert set(TABLES) <= set(long), f"listed as long, but short: {sorted(set(TABLES) - set(long))}"


def test_every_file_says_what_it_is() -> None:
    bare = [source.path for source in sources() if not ast.get_docstring(source.tree)]
    assert not bare, bare


def test_nothing_is_left_open() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "HA" + "CK", "XX" + "X")
    open_ends = [
        f"{source.path}:{number}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), 1)
        if any(word in line for word in words)
    ]
    assert not open_ends, open_ends
