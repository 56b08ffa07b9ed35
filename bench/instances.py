"""Many instances of one module: made, used, reset; wasmtime-py's InstancePre stands beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import wardian
from bench.boundary import identity, repeating
from bench.contest import available
from bench.harness import nanoseconds
from bench.report import Section, Table, ratio

SMALL: Final = """(module (import "e" "f" (func $f (param i64) (result i64))) (memory (export "memory") 2)
  (func (export "run") (i32.store (i32.const 0) (i32.const 1))))"""

IMAGE: Final = f"""(module (import "e" "f" (func $f (param i64) (result i64))) (memory (export "memory") 20)
  (data (i32.const 0) "{"image of a program" * 58254}") (table 500 500 funcref) (elem (i32.const 1) $touch $empty)
  (global $a (mut i32) (i32.const 5)) (global $b (mut i64) (i64.const 6)) (func $empty (export "run"))
  (func $touch (export "touch") (local $i i32) (loop $l
    (i32.store (i32.mul (local.get $i) (i32.const 100000)) (local.get $i))
    (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))))"""
"""Ten pages of an image of one MB are written."""

CALLS: Final = 500
KEPT: Final = 200

Work = Callable[[int], None]


def _keeping(make: Callable[[], object]) -> Work:
    """``make`` as often as told, all alive at the same time."""

    def run(n: int) -> None:
        kept = [make() for _ in range(n)]
        kept.clear()

    return run


def _wardian() -> Mapping[str, Work]:
    engine = wardian.Engine(wardian.Config(cache=False))
    imports = {"e": {"f": identity}}
    small, image = wardian.Module(SMALL, engine), wardian.Module(IMAGE, engine)
    small_made, image_made = small.prepare(imports), image.prepare(imports)
    instance = image_made.instantiate()
    touch, reset = instance.exports.touch, instance.reset
    pool = image_made.pool(1)

    def pooled() -> None:
        with pool.instance() as instance:
            instance.exports.touch()

    def touched() -> None:
        touch()
        reset()

    return {
        "instantiate": repeating(small_made.instantiate),
        "instantiate, call an export": repeating(lambda: small_made.instantiate().exports.run()),
        f"instantiate, {KEPT} alive": _keeping(small_made.instantiate),
        "instantiate, 1 MB image": repeating(image_made.instantiate),
        "the same, 10 pages written": repeating(lambda: image_made.instantiate().exports.touch()),
        "from a pool, 10 pages written": repeating(pooled),
        "10 pages written, reset": repeating(touched),
        "not prepared": repeating(lambda: small.instantiate(imports)),
    }


def _wasmtime() -> Mapping[str, Work]:
    import wasmtime as w

    engine = w.Engine()
    linker = w.Linker(engine)
    i64 = w.ValType.i64()
    linker.define_func("e", "f", w.FuncType([i64], [i64]), identity)
    small, image = (linker.instantiate_pre(w.Module(engine, text)) for text in (SMALL, IMAGE))

    def make(pre: Any) -> Any:
        store = w.Store(engine)
        return store, pre.instantiate(store)

    def use(pre: Any, name: str) -> None:
        store, instance = make(pre)
        instance.exports(store)[name](store)

    def plain() -> Any:
        store = w.Store(engine)
        function = w.Func(store, w.FuncType([i64], [i64]), identity)
        return store, w.Instance(store, module, [function])

    module = w.Module(engine, SMALL)
    return {
        "instantiate": repeating(lambda: make(small)),
        "instantiate, call an export": repeating(lambda: use(small, "run")),
        f"instantiate, {KEPT} alive": _keeping(lambda: make(small)),
        "instantiate, 1 MB image": repeating(lambda: make(image)),
        "the same, 10 pages written": repeating(lambda: use(image, "touch")),
        "not prepared": repeating(plain),
    }


def instances(rounds: int, only: list[str]) -> Section:
    """Microseconds each."""
    contestants = {"wardian": _wardian(), **({"wasmtime-py": _wasmtime()} if available("wasmtime") else {})}
    rows = []
    for what in contestants["wardian"]:
        if only and not any(word in what for word in only):
            continue
        works = {name: works[what] for name, works in contestants.items() if what in works}
        found = nanoseconds(works, KEPT if "alive" in what else CALLS, max(rounds, 9))
        cells = [f"{found[n] / 1000:.1f} us" if n in found else "-" for n in contestants]
        peer = found.get("wasmtime-py")
        rows.append([what, *cells, ratio(peer / found["wardian"] if peer else None)])
        print(f"  {rows[-1]}", flush=True)
    return Section(
        "instances", "Instances",
        "A prepared module (`Module.prepare`; Wasmtime's `InstancePre`) makes instances, each in a store of its own, "
        "which are dropped again, or reset; of ours, what it consists of is made when it is first used. The module "
        "imports a Python function; the larger one has a table of 500 elements and an image of one MB.",
        [("", Table(["", *contestants, "ratio"], rows))],
    )  # fmt: skip
