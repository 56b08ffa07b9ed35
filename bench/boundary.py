"""What crossing the border costs: calls both ways, memory from Python, instances. wasmtime-py stands beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import wardian
from bench.contest import available
from bench.harness import nanoseconds
from bench.report import Section, Table, ratio

TEXT: Final = """(module (import "e" "f" (func $f (param i64) (result i64))) (memory (export "memory") 2)
  (func (export "add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
  (func (export "calls") (param $n i64) (loop $l
    (drop (call $f (local.get $n)))
    (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))))"""

CALLS: Final = 20_000
INSTANCES: Final = 500
DATA: Final = bytes(range(256)) * 256

Work = Callable[[int], None]


def identity(x: int) -> int:
    return x


def repeating(work: Callable[[], object]) -> Work:
    """``work`` as often as it is told."""

    def run(n: int) -> None:
        for _ in range(n):
            work()

    return run


def _wardian() -> Mapping[str, Work]:
    module = wardian.Module(TEXT)
    imports = {"e": {"f": identity}}
    exports = module.instantiate(imports).exports
    add, calls, memory = cast(Any, exports.add), cast(Any, exports.calls), cast(Any, exports.memory)

    def store(n: int) -> None:
        memory[0:65536] = DATA

    def write(n: int) -> None:
        for _ in range(n):
            memory[8:24] = b"0123456789abcdef"

    return {
        "call add(i64, i64)": repeating(lambda: add(1, 2)),
        "guest calls Python": calls,
        "read 16 bytes": repeating(lambda: memory[8:24]),
        "write 16 bytes": write,
        "read 64 KiB": repeating(lambda: memory[0:65536]),
        "write 64 KiB": repeating(lambda: store(1)),
        "instantiate": repeating(lambda: module.instantiate(imports)),
    }


def _wasmtime() -> Mapping[str, Work]:
    import wasmtime as w

    engine = w.Engine()
    module = w.Module(engine, TEXT)
    i64 = w.ValType.i64()

    def instantiate() -> Any:
        store = w.Store(engine)
        function = w.Func(store, w.FuncType([i64], [i64]), identity)
        return store, w.Instance(store, module, [function]).exports(store)

    store, exports = instantiate()
    add, calls, memory = exports["add"], exports["calls"], exports["memory"]
    return {
        "call add(i64, i64)": repeating(lambda: add(store, 1, 2)),
        "guest calls Python": lambda n: calls(store, n),
        "read 16 bytes": repeating(lambda: memory.read(store, 8, 24)),
        "write 16 bytes": repeating(lambda: memory.write(store, b"0123456789abcdef", 8)),
        "read 64 KiB": repeating(lambda: memory.read(store, 0, 65536)),
        "write 64 KiB": repeating(lambda: memory.write(store, DATA, 0)),
        "instantiate": repeating(instantiate),
    }


def _python() -> Mapping[str, Work]:
    add = lambda a, b: a + b  # noqa: E731 - the plainest Python function
    buffer = bytearray(65536)
    return {
        "call add(i64, i64)": repeating(lambda: add(1, 2)),
        "read 16 bytes": repeating(lambda: bytes(buffer[8:24])),
        "read 64 KiB": repeating(lambda: bytes(buffer)),
    }


FEW: Final = {"instantiate": 200, "read 64 KiB": 500, "write 64 KiB": 500}


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def _per_instance() -> list[str]:
    """KiB of resident memory that an instance takes, each engine's."""
    module = wardian.Module(TEXT)
    kept: list[Any] = []
    makers: list[Callable[[], Any]] = [lambda: module.instantiate({"e": {"f": identity}})]
    if available("wasmtime"):
        import wasmtime as w

        engine = w.Engine()
        theirs = w.Module(engine, TEXT)
        i64 = w.ValType.i64()

        def make() -> Any:
            store = w.Store(engine)
            return store, w.Instance(store, theirs, [w.Func(store, w.FuncType([i64], [i64]), identity)])

        makers.append(make)
    found = []
    for one in makers:
        kept += [one() for _ in range(10)]
        before = _resident()
        kept += [one() for _ in range(INSTANCES)]
        found.append(f"{(_resident() - before) / INSTANCES / 1024:.1f} KiB")
    return found


def boundary(rounds: int, only: list[str]) -> Section:
    """Nanoseconds each."""
    contestants = {"wardian": _wardian(), **({"wasmtime-py": _wasmtime()} if available("wasmtime") else {})}
    contestants["Python itself"] = _python()
    rows = []
    for what in contestants["wardian"]:
        works = {name: works[what] for name, works in contestants.items() if what in works}
        found = nanoseconds(works, FEW.get(what, CALLS), max(rounds, 5))
        cells = [f"{found[n]:.0f} ns" if n in found else "-" for n in contestants]
        peer = found.get("wasmtime-py")
        rows.append([what, *cells, ratio(peer / found["wardian"] if peer else None)])
        print(f"  {rows[-1]}", flush=True)
    rows.append(["memory per instance", *[*_per_instance(), "-", "-"][: len(contestants)], ""])
    return Section(
        "boundary", "The border",
        "Calls from Python into a guest and back, memory read and written from Python, making an instance, and the "
        "resident memory one takes before its pages are touched. Python's loop around them is part of each time.",
        [("", Table(["", *contestants, "ratio"], rows))],
    )  # fmt: skip
