"""The conformance programs of WebAssembly/wasi-testsuite, on a foreign engine: what fails here is the fault of this
layer and of nothing else. Each program runs over both ways of resolving paths, with a quota, and over trees: in memory,
and over a directory that stays as it is.
"""

from __future__ import annotations

import ctypes
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.capability.test_path import choosing
from tests.support import NO_DATA, QUICK_MODE, data_root
from wardian.capability.filesystem import host
from wardian.capability.filesystem.tree.tree import Tree
from wardian.errors import Exit
from wardian.grants import Capture, DirGrant, FileQuota, Grants, TreeGrant
from wardian.wasi.p1.bind import host_imports, host_types
from wardian.wasi.p1.context import WasiContext

wasmtime = pytest.importorskip("wasmtime", reason="the engine this test borrows")


class Memory:
    """The exported memory of a borrowed engine."""

    def __init__(self, store: Any, memory: Any) -> None:
        self._store = store
        self._memory = memory

    def view(self) -> memoryview:
        pointer = self._memory.data_ptr(self._store)
        array = (ctypes.c_ubyte * self._memory.data_len(self._store)).from_address(ctypes.addressof(pointer.contents))
        return memoryview(array).cast("B")


Compiled = Callable[[Path], tuple[Any, Any]]


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    """Each program with its engine, compiled once."""

    @cache
    def compile_(path: Path) -> tuple[Any, Any]:
        engine = wasmtime.Engine()
        return engine, wasmtime.Module.from_file(engine, str(path))

    return compile_


def run(engine: Any, module: Any, context: WasiContext) -> int:
    """Run a program to its end; the exit code."""
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    kinds = {"i32": wasmtime.ValType.i32(), "i64": wasmtime.ValType.i64()}
    left: list[int] = []

    def leaving(call: Callable[..., int | None]) -> Callable[..., int | None]:
        def outer(*arguments: int) -> int | None:
            try:
                return call(*arguments)
            except Exit as exit_:
                left.append(exit_.code)
                raise

        return outer

    for home, functions in host_imports(context).items():
        for name, call in functions.items():
            kind = host_types()[home][name]
            params, results = ([kinds[repr(t)] for t in types] for types in (kind.params, kind.results))
            linker.define_func(home, name, wasmtime.FuncType(params, results), leaving(call))
    exports = linker.instantiate(store, module).exports(store)
    context.memory = Memory(store, exports["memory"])
    try:
        exports["_start"](store)
    except (Exit, wasmtime.WasmtimeError, wasmtime.Trap):
        if not left:
            raise
    return left[0] if left else 0


Opened = tuple[str | Tree, FileQuota]


def _resolved(name: str) -> Callable[[Path, pytest.MonkeyPatch], Opened]:
    def make(root: Path, patch: pytest.MonkeyPatch) -> Opened:
        patch.setattr(host, "resolver", choosing(name))
        return str(root), FileQuota()

    return make


def _metered(root: Path, patch: pytest.MonkeyPatch) -> Opened:
    return str(root), FileQuota(1 << 30, 1 << 20, 1 << 30)


def _overlay(root: Path, patch: pytest.MonkeyPatch) -> Opened:
    return Tree.over(root), FileQuota()


def _memory(root: Path, patch: pytest.MonkeyPatch) -> Opened:
    def contents(folder: Path) -> dict[str, Any]:
        return {p.name: contents(p) if p.is_dir() else p.read_bytes() for p in folder.iterdir()}

    return Tree(contents(root)), FileQuota()


KINDS = {
    "kernel": _resolved("kernel"),
    "walk": _resolved("walk"),
    "metered": _metered,
    "overlay": _overlay,
    "memory": _memory,
}

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Programs that cannot pass on a kind of directory, and why; each is run, and must fail."""


def programs() -> list[Any]:
    root = data_root()
    found = sorted((root / "wasi-testsuite").glob("*/*.wasm")) if root else []
    if not found:
        return [pytest.param(None, None, id="none", marks=pytest.mark.skip(reason=NO_DATA))]
    return [
        pytest.param(path, kind, id=f"{path.parent.name}-{path.stem}-{kind}")
        for path in found
        for kind in (sorted(KINDS) if "root" in described(path) else ["kernel"])
    ]


def described(path: Path) -> dict[str, Any]:
    """What the program needs and should do."""
    file = path.with_suffix(".json")
    return json.loads(file.read_text()) if file.exists() else {}


@pytest.mark.thorough
@pytest.mark.parametrize(("path", "kind"), programs())
def test_program(path: Path, kind: str, compiled: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = described(path)
    dirs: tuple[DirGrant | TreeGrant, ...] = ()
    quota = FileQuota()
    if wanted.get("root"):
        shutil.copytree(path.parent / wanted["root"], tmp_path / "root")
        opened, quota = KINDS[kind](tmp_path / "root", monkeypatch)
        dirs = (DirGrant(opened, "/") if isinstance(opened, str) else TreeGrant(opened, "/"),)
    stdout, stderr = Capture(), Capture()
    args = (path.name, *wanted.get("args", ()))
    env = tuple(wanted.get("env", {}).items())
    context = WasiContext.from_grants(Grants(args=args, env=env, dirs=dirs, stdout=stdout, stderr=stderr, quota=quota))
    code = run(*compiled(path), context)
    context.close()
    output, errors = (stream.value.decode() for stream in (context.stdout, context.stderr))  # type: ignore[attr-defined]
    passed = code == wanted.get("exit_code", 0) and output == wanted.get("stdout", output)
    reason = EXCEPTIONS.get((path.stem, kind))
    assert passed is (reason is None), (code, output, errors, reason)


@pytest.fixture(scope="module")
def engine() -> wardian.Engine:
    return wardian.Engine(wardian.Config(opt=QUICK_MODE.opt, checks=QUICK_MODE.checks, cache=False, lazy=True))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "kind"), programs())
def test_program_as_users_run_it(
    path: Path, kind: str, engine: wardian.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on our own engine, through :func:`wardian.run`."""
    wanted = described(path)
    dirs: dict[str, Any] = {}
    quota = FileQuota()
    if wanted.get("root"):
        shutil.copytree(path.parent / wanted["root"], tmp_path / "root")
        opened, quota = KINDS[kind](tmp_path / "root", monkeypatch)
        dirs = {"/": opened}
    module = wardian.Module.from_file(path, engine)
    result = wardian.run(
        module, wanted.get("args", ()), argv0=path.name, env=wanted.get("env"), dirs=dirs, quota=quota, text=True
    )
    assert result.returncode == wanted.get("exit_code", 0), result
    assert result.stdout == wanted.get("stdout", result.stdout)
