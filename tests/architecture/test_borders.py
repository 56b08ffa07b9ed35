"""The dangerous, and the outside world, are reached from listed files only; each list is exact in both directions."""

from __future__ import annotations

import ast
import io
import tokenize

from tests.architecture.tree import Source, dotted, imports, nodes, sources

RAW_ADDRESSES = {
    "capability/filesystem/path.py": "openat2, which the standard library does not wrap",
    "compile/ahead.py": "memory shared with a fork of ours, as a buffer with bounds: no addresses",
    "isolation/kernel.py": "system calls that take rights away, which the standard library does not wrap",
    "runtime/native.py": "maps memory, installs handlers, turns addresses into callables",
}
"""Files that may import ctypes or mmap, and why."""

DANGEROUS = (
    # DESIGN.md section 8, and the rooms that came after it
    "runtime/native.py",
    "isolation/kernel.py",
    "compile/llvm.py",
    "compile/bounds.py",
    "compile/heap.py",
    "compile/baseline/aarch64.py",
    "compile/baseline/machine.py",
    "compile/glue/core.py",
    "compile/glue/direct.py",
    "compile/glue/roots.py",
    "compile/glue/signature.py",
    "compile/glue/text.py",
    "capability/filesystem/path.py",
)
"""Where danger lives: a banner at the top, and a reason on each such line."""

NEVER = frozenset({"pickle", "marshal", "shelve", "dill"})
"""Reading one of these formats runs code."""


def _importers(*names: str) -> set[str]:
    return {source.path for source in sources() for _, module in imports(source) if module.split(".")[0] in names}


def _comments(source: Source) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def _has_banner(source: Source) -> bool:
    return "DANGER" in (ast.get_docstring(source.tree) or "")


def test_llvmlite_has_one_importer() -> None:
    assert _importers("llvmlite") == {"compile/llvm.py"}


def test_raw_addresses_are_taken_in_listed_files_only() -> None:
    assert _importers("ctypes", "_ctypes", "cffi", "mmap") == set(RAW_ADDRESSES)


def test_nothing_reads_formats_that_run_code() -> None:
    assert not _importers(*NEVER)


def test_nothing_evaluates_text() -> None:
    users = [
        f"{source.path}:{node.lineno}"
        for source in sources()
        for node in nodes(source)
        if isinstance(node, ast.Call) and dotted(node.func) in ("eval", "exec", "compile", "__import__")
    ]
    assert not users, users


def test_only_the_command_line_reads_the_environment() -> None:
    words = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.path.expandvars"}
    names = {word.rpartition(".")[2] for word in words}
    users = set()
    for source in sources():
        for node in nodes(source):
            if isinstance(node, ast.Attribute) and dotted(node) in words:
                users.add(source.room)
            if isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names}:
                users.add(source.room)
    assert users == {"cli"}


def test_the_dangerous_files_carry_a_banner_and_reasons() -> None:
    by_path = {source.path: source for source in sources()}
    missing = [path for path in DANGEROUS if path not in by_path]
    assert not missing, f"listed as dangerous, but not there: {missing}"
    bare = [path for path in DANGEROUS if not _has_banner(by_path[path])]
    assert not bare, f"no banner: {bare}"


def test_reasons_stand_only_below_a_banner() -> None:
    tagged = {source.path for source in sources() if any(c.startswith("# SAFETY:") for c in _comments(source))}
    bannered = {source.path for source in sources() if _has_banner(source)}
    assert bannered >= tagged, f"SAFETY lines without a banner: {sorted(tagged - bannered)}"
    assert bannered == set(DANGEROUS), f"banner and list differ: {sorted(bannered ^ set(DANGEROUS))}"


PRINTING: dict[str, str] = {}
"""Files outside of the command line that print, and why."""


def test_printing_is_the_command_lines_business() -> None:
    users = {
        source.path
        for source in sources()
        if source.room != "cli"
        for node in nodes(source)
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    }
    assert users == set(PRINTING)
