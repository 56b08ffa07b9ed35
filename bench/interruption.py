"""What a deadline costs a running guest, and how soon it acts: ``python -m bench.interruption``."""

from __future__ import annotations

import statistics
import time

import wardian
from bench.harness import nanoseconds, table

TEXT = """(module
  (func (export "work") (param $n i64) (result i64) (local $h i64) (loop $l
    (local.set $h (i64.mul (i64.xor (local.get $h) (local.get $n)) (i64.const 1099511628211)))
    (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0)))) (local.get $h))
  (func (export "spin") (loop $l (br $l))))"""


def main() -> None:
    instance = wardian.Module(TEXT).instantiate()
    work = instance.exports.work

    def with_deadline(n: int) -> None:
        with instance.deadline(60):
            work(n)

    found = nanoseconds({"without": work, "with a deadline": with_deadline}, 50_000_000, 7)
    table("a loop, per turn", found, "without")
    late = []
    for _ in range(20):
        begin = time.perf_counter()
        try:
            with instance.deadline(0.1):
                instance.exports.spin()
        except wardian.Interrupted:
            late.append((time.perf_counter() - begin - 0.1) * 1e3)
    print(f"stopped after the deadline by: median {statistics.median(late):.2f} ms, worst {max(late):.2f} ms")


if __name__ == "__main__":
    main()
