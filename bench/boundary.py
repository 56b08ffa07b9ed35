"""What crossing the border costs: ``python -m bench.boundary``. wasmtime-py stands beside where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wardian
from bench.harness import nanoseconds, table

TEXT = """(module (import "e" "f" (func $f (param i64) (result i64))) (memory (export "memory") 1)
  (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
  (func (export "calls") (param $n i64) (loop $l
    (drop (call $f (local.get $n)))
    (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))))"""

CALLS = 20_000


def identity(x: int) -> int:
    return x


def calling(add: Callable[[int, int], int]) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            add(1, 2)

    return run


def repeating(work: Callable[[], object]) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            work()

    return run


def wasmtime_instance() -> Any:
    """``(add, calls, instantiate)`` of the peer, or ``None``."""
    try:
        import wasmtime
    except ImportError:
        return None
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, TEXT)
    i64 = wasmtime.ValType.i64()

    def instantiate() -> Any:
        store = wasmtime.Store(engine)
        function = wasmtime.Func(store, wasmtime.FuncType([i64], [i64]), identity)
        return store, wasmtime.Instance(store, module, [function]).exports(store)

    store, exports = instantiate()
    return (lambda a, b: exports["add"](store, a, b)), (lambda n: exports["calls"](store, n)), instantiate


def main() -> None:
    module = wardian.Module(TEXT)
    imports = {"e": {"f": identity}}
    exports = module.instantiate(imports).exports
    peer = wasmtime_instance()
    python_add = lambda a, b: a + b  # noqa: E731 - the plainest Python function

    called = {"a Python function": calling(python_add), "wardian": calling(exports.add)}
    back = {"wardian": exports.calls}
    made: dict[str, Callable[[int], None]] = {"wardian": repeating(lambda: module.instantiate(imports))}
    if peer:
        called["wasmtime-py"] = calling(peer[0])
        back["wasmtime-py"] = peer[1]
        made["wasmtime-py"] = repeating(peer[2])
    table("Python calls add(i64, i64)", nanoseconds(called, CALLS), "a Python function")
    table("a guest calls a Python function", nanoseconds(back, CALLS), "wardian")
    table("instantiate", nanoseconds(made, 200), "wardian")


if __name__ == "__main__":
    main()
