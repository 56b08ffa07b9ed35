"""The conformance programs of WebAssembly/wasi-testsuite, on a foreign engine: what fails here is the fault of this
layer and of nothing else. Each program runs over both ways of resolving paths.
"""

from __future__ import annotations

import ctypes
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.capability.test_path import RESOLVERS
from tests.support import NO_DATA, data_root
from wardian.capability.filesystem import host
from wardian.errors import Exit
from wardian.grants import Capture, DirGrant, Grants
from wardian.wasi.p1.bind import host_imports, host_types
from wardian.wasi.p1.context import WasiContext

wasmtime = pytest.importorskip("wasmtime", reason="the engine this test borrows")


def programs() -> list[Any]:
    root = data_root()
    found = sorted((root / "wasi-testsuite").glob("*/*.wasm")) if root else []
    if not found:
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_DATA))]
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in found]


class Memory:
    """The exported memory of a borrowed engine."""

    def __init__(self, store: Any, memory: Any) -> None:
        self._store = store
        self._memory = memory

    def view(self) -> memoryview:
        pointer = self._memory.data_ptr(self._store)
        array = (ctypes.c_ubyte * self._memory.data_len(self._store)).from_address(ctypes.addressof(pointer.contents))
        return memoryview(array).cast("B")


def run(path: Path, context: WasiContext) -> int:
    """Run a program to its end; the exit code."""
    engine = wasmtime.Engine()
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

    for module, functions in host_imports(context).items():
        for name, call in functions.items():
            kind = host_types()[module][name]
            params, results = ([kinds[repr(t)] for t in types] for types in (kind.params, kind.results))
            linker.define_func(module, name, wasmtime.FuncType(params, results), leaving(call))
    exports = linker.instantiate(store, wasmtime.Module.from_file(engine, str(path))).exports(store)
    context.memory = Memory(store, exports["memory"])
    try:
        exports["_start"](store)
    except (Exit, wasmtime.WasmtimeError, wasmtime.Trap):
        if not left:
            raise
    return left[0] if left else 0


@pytest.mark.parametrize("resolver", sorted(RESOLVERS))
@pytest.mark.parametrize("path", programs())
def test_program(path: Path, resolver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "resolver", RESOLVERS[resolver])
    described = path.with_suffix(".json")
    wanted = json.loads(described.read_text()) if described.exists() else {}
    dirs: tuple[DirGrant, ...] = ()
    if wanted.get("root"):
        shutil.copytree(path.parent / wanted["root"], tmp_path / "root")
        dirs = (DirGrant(str(tmp_path / "root"), "/"),)
    stdout, stderr = Capture(), Capture()
    args = (path.name, *wanted.get("args", ()))
    grants = Grants(args=args, env=tuple(wanted.get("env", {}).items()), dirs=dirs, stdout=stdout, stderr=stderr)
    context = WasiContext.from_grants(grants)
    code = run(path, context)
    context.close()
    output, errors = (stream.value.decode() for stream in (context.stdout, context.stderr))  # type: ignore[attr-defined]
    assert code == wanted.get("exit_code", 0), errors
    assert output == wanted.get("stdout", output)
