"""The sources as syntax trees, parsed once: what every architecture test reads."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "wardian"


@dataclass(frozen=True, eq=False)
class Source:
    """One file: ``path`` below the package (``"compile/llvm.py"``), ``module`` its dotted name."""

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def room(self) -> str:
        """The first name below ``wardian``: the unit that has a layer."""
        if self.path in ("__init__.py", "__main__.py"):
            return self.path.removesuffix(".py")
        return self.path.split("/")[0].removesuffix(".py")


@cache
def sources() -> tuple[Source, ...]:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE).as_posix()
        dotted = ["wardian", *path.removesuffix(".py").split("/")]
        if dotted[-1] == "__init__":
            dotted.pop()
        text = file.read_text(encoding="utf-8")
        found.append(Source(path, ".".join(dotted), text, ast.parse(text, path)))
    return tuple(found)


@cache
def module_names() -> frozenset[str]:
    return frozenset(source.module for source in sources())


@cache
def nodes(source: Source) -> tuple[ast.AST, ...]:
    """All nodes of the file's tree."""
    return tuple(ast.walk(source.tree))


@cache
def imports(source: Source) -> list[tuple[int, str]]:
    """Every import of the file, wherever it stands (in a function, under TYPE_CHECKING): (line, dotted module)."""
    found: list[tuple[int, str]] = []
    for node in nodes(source):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.path}:{node.lineno}: a relative import"
            base = node.module or ""
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append((node.lineno, inner if inner in module_names() else base))
    return found


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for a name or an attribute of names, else the empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])
