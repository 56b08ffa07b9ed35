"""No module keeps state: what is bound at module level is never changed, with every exception listed and explained."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.architecture.tree import Source, dotted, nodes, sources

STATEFUL: dict[str, str] = {
    "api/engine.py:default_engine": "the engine of whoever names none, made on first use; it keeps no guest's state",
    "capability/clock.py:_resolution": "what the host's clocks can tell apart, which never changes",
    "compile/baseline/facts.py:result_classes": "a constant table, built on first use rather than at import",
    "binary/tokens.py:_patterns": "a constant expression, built on first use rather than at import",
    "compile/baseline/steps.py:dead": "a constant table, built on first use rather than at import",
    "compile/baseline/steps.py:live": "a constant table, built on first use rather than at import",
    "compile/stack.py:_STACK_SIZE": "a lock: threading.stack_size, which it guards, is the process' by nature",
    "compile/compiler.py:made_library": "constant tables, made on first use and the same for all",
    "compile/fuel.py:_ends": "a constant table, built on first use rather than at import",
    "compile/fuel.py:costs": "a constant table, built on first use rather than at import",
    "compile/llvm.py:_lock": "LLVM's context is the process', and so is the lock that forks wait for",
    "compile/outside.py:outside": "one process compiles for this one, started on first use; it keeps nothing",
    "compile/lowering.py:handlers": "a constant table, built on first use rather than at import",
    "isolation/kernel.py:_libc": "the C library, looked up on first use",
    "isolation/seccomp.py:program": "filters, which are constants of the machine, made on first use",
    "runtime/process.py:process": "native state (signal handlers, a pthread key) is the process' by nature: one object",
    "runtime/watchdog.py:watchdog": "one thread watches all deadlines of the process",
    "sandbox/choice.py:usual_engine": "the engines of whoever names none; they keep no guest's state",
    "sandbox/isolated.py:filler": "one thread compiles for the caches what isolated guests had to compile",
    "sandbox/pool.py:_engine": "engines of jobs, which come as values; they keep no guest's state",
    "sandbox/spawn.py:zygote": "workers of the process are forked from one other process, started on first use",
    "syntax/types.py:_CONCRETE": "intern table: it maps a key to the one object that stands for it",
    "terminal/parser.py:rules": "a constant table, built on first use rather than at import",
    "valid/code.py:_plan": "a constant table, built on first use rather than at import",
    "wasi/p1/bind.py:_rows": "a constant table, built on first use rather than at import",
}
"""Module-level objects that do change, as ``file:name``, and why that is no state anybody could notice."""

CHANGING_METHODS = frozenset(
    "append extend insert remove pop popitem clear update setdefault add discard sort reverse appendleft".split()
)
CONTAINERS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
CONTAINER_CALLS = frozenset("list dict set bytearray".split())
STATE_CALLS = frozenset(
    "defaultdict deque Counter OrderedDict ChainMap count cycle Lock RLock Condition Event Semaphore local ContextVar "
    "WeakValueDictionary WeakKeyDictionary WeakSet Random".split()
)
CACHES = frozenset({"cache", "lru_cache", "functools.cache", "functools.lru_cache"})


def _bindings(source: Source) -> Iterator[tuple[str, bool, ast.expr]]:
    """(name, is Final, value) of every assignment at module level."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, False, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, "Final" in ast.unparse(node.annotation), node.value


def _is_container(value: ast.expr) -> bool:
    return isinstance(value, CONTAINERS) or (isinstance(value, ast.Call) and dotted(value.func) in CONTAINER_CALLS)


def _is_state(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in STATE_CALLS


@cache
def _changed_names(source: Source) -> set[str]:
    """Names (last part of dotted ones) that the file changes in place or rebinds from inside a function."""
    changed: set[str] = set()
    for node in nodes(source):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            changed.add(dotted(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in CHANGING_METHODS:
                changed.add(dotted(node.func.value))
        elif isinstance(node, ast.AugAssign):
            changed.add(dotted(node.target))
        elif isinstance(node, ast.Global):
            changed.update(node.names)
    return {name.rpartition(".")[2] for name in changed if name}


def _local_names(source: Source) -> set[str]:
    """Names that functions of the file bind themselves, so that changing them changes no global."""
    bound: set[str] = set()
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg)
            bound.update(argument.arg for argument in arguments if argument is not None)
            declared = {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
            stored = {
                inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            }
            bound |= stored - declared
    return bound


def _imported_from(source: Source, module: str) -> dict[str, str]:
    """Names of ``module`` that the file imports: {its own name for it: the original name}."""
    return _imports_by_module(source).get(module, {})


@cache
def _imports_by_module(source: Source) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node in nodes(source):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.setdefault(node.module, {}).update({alias.asname or alias.name: alias.name for alias in node.names})
    return found


def _changed_elsewhere(home: Source, name: str) -> bool:
    for source in sources():
        names = _imported_from(source, home.module)
        if any(original == name and own in _changed_names(source) for own, original in names.items()):
            return True
    return False


def found_state() -> Iterator[str]:
    for source in sources():
        changed = _changed_names(source)
        shadowed = _local_names(source)
        for name, is_final, value in _bindings(source):
            if name == "__all__":
                continue
            here = name in changed and name not in shadowed
            if (
                _is_state(value)
                or here
                or (_is_container(value) and (not is_final or _changed_elsewhere(source, name)))
            ):
                yield f"{source.path}:{name}"
        for node in nodes(source):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    call = decorator.func if isinstance(decorator, ast.Call) else decorator
                    if dotted(call) in CACHES:
                        yield f"{source.path}:{node.name}"


def test_state_is_listed() -> None:
    found = set(found_state())
    unlisted = sorted(found - STATEFUL.keys())
    stale = sorted(STATEFUL.keys() - found)
    assert not unlisted, f"module state, or a constant container that is not Final: {unlisted}"
    assert not stale, f"listed as state, but is none any more: {stale}"


def test_nothing_is_rebound_through_global() -> None:
    users = [
        f"{source.path}:{node.lineno}" for source in sources() for node in nodes(source) if isinstance(node, ast.Global)
    ]
    assert not users, users
