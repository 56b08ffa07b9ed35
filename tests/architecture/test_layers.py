"""Imports point down only, siblings are blind to each other, and there is no cycle (docs/architecture.md)."""

from __future__ import annotations

from tests.architecture.tree import Source, imports, module_names, sources

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"record", "digest", "pages"}),
    frozenset({"errors"}),
    frozenset({"limits"}),
    frozenset({"grants"}),
    frozenset({"syntax", "capability", "terminal", "isolation"}),
    frozenset({"binary"}),
    frozenset({"text", "valid", "vm"}),
    frozenset({"compile", "runtime"}),
    frozenset({"api"}),
    frozenset({"component"}),
    frozenset({"wasi"}),
    frozenset({"sandbox"}),
    frozenset({"cli", "compat"}),
    frozenset({"__init__", "__main__"}),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

KNOWS_NO_WASM = frozenset({"capability", "terminal", "isolation"})
"""Towers beside the layers: they see the declarations below them and nothing of WebAssembly."""

DYNAMIC = {
    "__init__.py": "the lazy public names",
    "cli/main.py": "a sub-command is loaded when it is asked for",
    "sandbox/zygote.py": "everything is loaded before there are no files any more",
}
"""Files that may import by a computed name, and why."""


def _room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_has_a_layer() -> None:
    rooms = {source.room for source in sources()}
    assert rooms <= set(RANK), f"no layer for {sorted(rooms - set(RANK))}: decide where they stand"


def test_imports_point_down() -> None:
    wrong = []
    for source in sources():
        for line, module in imports(source):
            if not module.startswith("wardian"):
                continue
            target = _room_of(module)
            if target == source.room or RANK[target] < RANK[source.room] or _version_of_package(source, module):
                continue
            wrong.append(f"{source.path}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def _version_of_package(source: Source, module: str) -> bool:
    """The command line may print the package's version, the one thing that is said at the top."""
    return source.room == "cli" and module == "wardian"


def test_the_towers_know_no_wasm() -> None:
    below = {"record", "digest", "pages", "errors", "limits", "grants"}
    wrong = [
        f"{source.path}:{line} imports {module}"
        for source in sources()
        if source.room in KNOWS_NO_WASM
        for line, module in imports(source)
        if module.startswith("wardian") and _room_of(module) not in below | {source.room}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_cycles() -> None:
    graph = {
        source.module: {module for _, module in imports(source) if module in module_names()} - {source.module}
        for source in sources()
    }
    cyclic = sorted(module for module in graph if module in _reachable(graph, graph[module]))
    assert not cyclic, f"import cycles among {cyclic}"


def _reachable(graph: dict[str, set[str]], start: set[str]) -> set[str]:
    """Everything that can be reached from ``start``, itself included."""
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += graph[module]
    return seen


def test_computed_imports_are_listed() -> None:
    users = {
        source.path
        for source in sources()
        if any(module == "importlib" or module.startswith("importlib.") for _, module in imports(source))
        and "import_module" in source.text
    }
    assert users == set(DYNAMIC)


def test_the_command_line_takes_only_the_version_from_the_top() -> None:
    import ast

    taken = {
        alias.name
        for source in sources()
        if source.room == "cli"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "wardian"
        for alias in node.names
    }
    assert taken <= {"__version__"}
