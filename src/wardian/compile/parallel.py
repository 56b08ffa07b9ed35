"""Compiling many functions in several processes, since LLVM is behind one lock in each.

Invariant: what comes out is what :meth:`wardian.compile.compiler.Compiler.compile` gives in this process; whatever
happens to a worker, functions are neither lost nor taken twice, and no worker outlives the call.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from wardian.compile.channel import read_frame, start, write_frame
from wardian.compile.options import CodeOptions
from wardian.compile.worker import Made, decode_made, encode_job, seconds_of
from wardian.limits import Limits
from wardian.valid.context import ModuleContext

_BATCH: Final = 8 << 10
"""Bytes of bodies a worker is given at a time: enough to hide the pipe, little enough to end together."""

WORTH_WHILE: Final = 32 << 10
"""Bytes of bodies from which starting workers (half a second each) pays."""


class Budget(Protocol):
    """What compiling may still take (:class:`wardian.api.budget.Budget`)."""

    def check(self) -> None: ...
    def spend(self, seconds: float) -> None: ...


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _batches(ctx: ModuleContext, indices: Sequence[int]) -> list[list[int]]:
    """The functions, large ones first, in batches of about equal size."""
    bodies = ctx.module.bodies
    sizes = {index: bodies[index][1] - bodies[index][0] for index in indices}
    out: list[list[int]] = []
    room = 0
    for index in sorted(indices, key=lambda index: (-sizes[index], index)):
        if not out or sizes[index] > room:
            out.append([])
            room = _BATCH
        out[-1].append(index)
        room -= sizes[index]
    return out


def compile_parallel(
    ctx: ModuleContext,
    options: CodeOptions,
    indices: Sequence[int],
    hints: dict[int, bool],
    limits: Limits,
    jobs: int,
    inline: Callable[[list[int]], list[Made]],
    budget: Budget,
) -> Iterator[list[Made]]:
    """Compiled functions, as they are ready, in no particular order.

    ``inline`` compiles in this process: what a worker could not. ``budget`` is told what the others take. Raises what
    these raise.
    """
    budget.check()
    waiting: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    ready: queue.SimpleQueue[tuple[list[int], bytes | None]] = queue.SimpleQueue()
    batches = _batches(ctx, indices)
    for batch in batches:
        waiting.put(batch)
    job = encode_job(ctx, options, hints, limits)
    workers = [start("wardian.compile.worker") for _ in range(min(jobs, len(batches)))]
    threads = [threading.Thread(target=_feed, args=(w, job, waiting, ready), daemon=True) for w in workers]
    try:
        for thread in threads:
            thread.start()
        for left in range(len(batches), 0, -1):
            budget.check()
            found = _next(ready, waiting, threads)
            if found is None:
                # Every worker is gone, and so are their answers: the rest is done here.
                yield from (inline(batch) for batch in _remaining(waiting, left))
                return
            batch, answer = found
            budget.spend(seconds_of(answer) if answer else 0.0)
            yield _complete(batch, answer, inline)
    finally:
        for worker in workers:
            worker.kill()
        for worker, thread in zip(workers, threads, strict=True):
            worker.wait()
            thread.join()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    # What a worker that is gone was still to be told stays in the buffer, and closing tries again.
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _complete(batch: list[int], answer: bytes | None, inline: Callable[[list[int]], list[Made]]) -> list[Made]:
    """All functions of a batch; those the worker failed at, or did not live to compile, from this process."""
    made = {item[0]: item for item in decode_made(answer) if not isinstance(item, int)} if answer else {}
    missing = [index for index in batch if index not in made]
    if missing:
        made.update({item[0]: item for item in inline(missing)})
    return [made[index] for index in batch]


def _feed(
    worker: subprocess.Popen[bytes],
    job: list[bytes],
    waiting: queue.SimpleQueue[list[int]],
    ready: queue.SimpleQueue[tuple[list[int], bytes | None]],
) -> None:
    """Give a worker batches until there are none, or it is gone."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    batch: list[int] | None = None
    try:
        for frame in job:
            write_frame(worker.stdin, frame)
        while True:
            batch = waiting.get_nowait()
            write_frame(worker.stdin, array("I", batch).tobytes())
            answer = read_frame(worker.stdout)
            if answer is None:
                raise BrokenPipeError
            ready.put((batch, answer))
            batch = None
    except queue.Empty:
        return
    except (OSError, ValueError):
        if batch is not None:
            ready.put((batch, None))


def _next(
    ready: queue.SimpleQueue[tuple[list[int], bytes | None]],
    waiting: queue.SimpleQueue[list[int]],
    threads: list[threading.Thread],
) -> tuple[list[int], bytes | None] | None:
    """The next answer, or ``None`` if none will come."""
    while True:
        try:
            return ready.get(timeout=0.05)
        except queue.Empty:
            if not any(thread.is_alive() for thread in threads) and ready.empty():
                return None


def _remaining(waiting: queue.SimpleQueue[list[int]], left: int) -> Iterator[list[int]]:
    for _ in range(left):
        yield waiting.get_nowait()
