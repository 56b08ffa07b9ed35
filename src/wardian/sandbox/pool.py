"""Many isolated runs: a job as a plain value, a function that carries one out anywhere, an executor of workers.

Invariant: a job and its result can be pickled, so :func:`execute` runs unchanged in this process, in a
``ProcessPoolExecutor``, under Dask or Ray; each run has a worker of its own, whatever executor it is given to.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.grants import ClockGrant, FileQuota
from wardian.isolation.policy import Isolation
from wardian.record import Record
from wardian.sandbox.result import RunResult
from wardian.sandbox.run import run
from wardian.sandbox.task import Imports, Unknown

T = TypeVar("T")


@final
class Job(Record):
    """A run as a value: the arguments of :func:`wardian.run` that can travel, under the same names.

    ``module`` is a path or the module's bytes; a path, as those in ``dirs``, is one of the machine that carries the job
    out. ``config`` is how to compile there. Functions in ``imports`` go where Python can pickle them: those of a
    module, by their names. ``isolation`` is ``"process"`` unless said otherwise; ``None`` runs the guest in the process
    that executes the job.
    """

    module: bytes | str
    args: tuple[Any, ...] = ()
    argv0: str | None = None
    env: Mapping[str, str] | None = None
    dirs: Any = None
    quota: FileQuota | None = None
    open_files: int = 1024
    clock: ClockGrant | None = None
    seed: int | None = None
    input: bytes | str | None = None
    output_limit: int | str | None = None
    text: bool = False
    timeout: float | None = None
    cpu: float | None = None
    memory: int | str | None = None
    stack: int | str | None = None
    invoke: str | None = None
    imports: Imports | None = None
    unknown_imports: Unknown = None
    isolation: Literal["process"] | Isolation | None = "process"
    config: Config = Config(lazy=True)


@functools.lru_cache(maxsize=8)
def _engine(config: Config) -> Engine:
    """The process's engine for jobs of this configuration."""
    return Engine(config)


def execute(job: Job) -> RunResult:
    """Carry a job out, here. Raises what :func:`wardian.run` raises."""
    options = {name: value for name, value in vars(job).items() if name not in ("module", "args", "config")}
    return run(job.module, job.args, engine=_engine(job.config), **options)


@final
class Pool(Executor):
    """An executor of isolated workers: ``pool.submit(wardian.execute, job)``, ``pool.map(wardian.execute, jobs)``.

    At most ``workers`` guests run at a time, each in a new process (as many as there are processors, unless said).
    Functions other than :func:`execute` are refused, since they could not run in a worker. ``isolation`` is that of
    jobs whose own is ``None``, for a pool isolates always.
    """

    def __init__(self, workers: int | None = None, *, isolation: Literal["process"] | Isolation = "process") -> None:
        """Raises ``ValueError`` for less than one worker."""
        count = workers if workers is not None else len(os.sched_getaffinity(0))
        self._isolation = isolation
        self._threads = ThreadPoolExecutor(count, "wardian-pool")

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The future result of ``fn(job)``, where ``fn`` is :func:`execute`.

        Raises ``TypeError`` for anything else, ``RuntimeError`` after :meth:`shutdown`.
        """
        job = args[0] if len(args) == 1 and not kwargs else None
        if fn is not execute or not isinstance(job, Job):
            raise TypeError("a Pool carries out jobs: pool.submit(wardian.execute, wardian.Job(module, ...))")
        return self._threads.submit(fn, job if job.isolation else job.__replace__(isolation=self._isolation))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more jobs. ``wait`` for those that are left; or with ``cancel_futures`` only for those that run."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
