"""Jobs are values, and give the same results wherever they are executed."""

from __future__ import annotations

import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.isolation.guests import ANY, HELLO, SPIN, engine, need
from tests.support import assemble
from wardian.grants import FrozenClock
from wardian.sandbox import isolated as parent
from wardian.sandbox.spawn import Worker

ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def job(text: str, *args: Any, **fields: Any) -> wardian.Job:
    return wardian.Job(assemble(text), args, config=engine().config, **{"isolation": ANY, **fields})


@pytest.fixture
def pool() -> Iterator[wardian.Pool]:
    with wardian.Pool(2) as made:
        yield made


def test_jobs_and_results_are_plain_values() -> None:
    one = job(ADD, 1, 2, invoke="add", env={"A": "b"})
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.__replace__(timeout=1.0).timeout == 1.0
    result = wardian.execute(one)
    assert pickle.loads(pickle.dumps(result)) == result
    failed = wardian.execute(job(ADD.replace("i32.add", "i32.div_s"), 1, 0, invoke="add"))
    again = pickle.loads(pickle.dumps(failed))
    assert str(again.trap) == str(failed.trap) and again.trap.code == "integer_divide_by_zero"


def test_a_pool_is_an_executor(pool: wardian.Pool) -> None:
    jobs = [job(ADD, n, n, invoke="add") for n in range(20)]
    assert [result.values for result in pool.map(wardian.execute, jobs)] == [(2 * n,) for n in range(20)]
    future = pool.submit(wardian.execute, job(HELLO))
    assert future.result(30).stdout == b"hello\n"


def test_a_pool_always_isolates(pool: wardian.Pool) -> None:
    with wardian.Pool(1, isolation=ANY) as own:
        assert own.submit(wardian.execute, job(HELLO, isolation=None)).result().isolation
    assert wardian.execute(job(HELLO, isolation=None)).isolation == ()


def test_a_pool_runs_nothing_else(pool: wardian.Pool) -> None:
    for call in ((print, "x"), (wardian.execute,), (wardian.execute, "x"), (wardian.execute, job(HELLO), 1)):
        with pytest.raises(TypeError, match="carries out jobs"):
            pool.submit(*call)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        wardian.Pool(0)
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(wardian.execute, job(HELLO))


def test_what_is_wrong_with_one_job_is_its_own(pool: wardian.Pool) -> None:
    bad = pool.submit(wardian.execute, wardian.Job(b"\0asm!", config=engine().config, isolation=ANY))
    endless = pool.submit(wardian.execute, job(SPIN, timeout=0.2))
    good = pool.submit(wardian.execute, job(HELLO))
    with pytest.raises(wardian.MalformedError):
        bad.result(30)
    assert endless.result(30).status == "timeout"
    assert good.result(30).returncode == 3


def test_waiting_jobs_can_be_cancelled() -> None:
    pool = wardian.Pool(1)
    first = pool.submit(wardian.execute, job(SPIN, timeout=0.3))
    waiting = [pool.submit(wardian.execute, job(HELLO)) for _ in range(3)]
    pool.shutdown(cancel_futures=True)
    assert first.result().status == "timeout"
    for future in waiting:
        with pytest.raises(CancelledError):
            future.result()


def test_a_worker_killed_in_the_middle_is_one_job_lost(pool: wardian.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have their results, each its own."""
    need("pid-namespace")
    jobs = [job(ADD, n, 1, invoke="add") for n in range(20)]
    wardian.execute(jobs[0])
    parent.filler().wait()  # It has workers as well.
    spawn = type(parent.zygote()).spawn
    count = iter(range(1000))

    def marred(self: parent.Zygote, cache: str | None) -> Worker:
        worker = spawn(self, cache)
        if next(count) % 5 == 2:
            signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
        return worker

    monkeypatch.setattr(type(parent.zygote()), "spawn", marred)
    results = list(pool.map(wardian.execute, jobs))
    lost = [n for n, result in enumerate(results) if result.status == "killed"]
    assert len(lost) == 4
    assert all(result.values == (n + 1,) for n, result in enumerate(results) if n not in lost)


def test_under_a_process_pool() -> None:
    jobs = [job(ADD, n, 1, invoke="add") for n in range(6)]
    with ProcessPoolExecutor(2) as processes:
        assert [result.values for result in processes.map(wardian.execute, jobs)] == [(n + 1,) for n in range(6)]


@pytest.mark.slow
def test_under_dask(tmp_path: Path) -> None:
    """Many jobs on a local cluster, of whose processes one is killed in the middle: each has its result, once."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    jobs = [job(ADD, n, 1, invoke="add") for n in range(60)]
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        futures = client.map(wardian.execute, jobs, pure=False, retries=3)
        futures[5].result(60)
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=lambda: (time.sleep(0.05), os.kill(victim, signal.SIGKILL)))
        killer.start()
        results = client.gather(futures)
        killer.join()
    assert [result.values for result in results] == [(n + 1,) for n in range(60)]


@pytest.mark.slow
def test_under_ray() -> None:
    """The same under Ray, of whose processes one is killed in the middle."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    jobs = [job(ADD, n, 1, invoke="add") for n in range(40)]
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        execute = ray.remote(wardian.execute).options(max_retries=3)
        victim = ray.get(ray.remote(lambda: os.getpid()).remote())
        futures = [execute.remote(each) for each in jobs]
        ray.get(futures[3])
        os.kill(victim, signal.SIGKILL)
        assert [result.values for result in ray.get(futures)] == [(n + 1,) for n in range(40)]
    finally:
        ray.shutdown()


def test_jobs_take_functions_and_grants_along() -> None:
    """What can be pickled travels: functions of a module by name, clocks, seeds, quotas."""
    text = """(module (import "host" "f" (func $f (param f64) (result f64)))
      (import "nobody" "knows" (func $g (result i32)))
      (func (export "f") (param f64) (result f64 i32) (call $f (local.get 0)) (call $g)))"""
    one = job(
        text, 2.25, invoke="f", imports={"host": {"f": math.sqrt}}, unknown_imports="default", clock=FrozenClock(7),
        seed=5, quota=wardian.FileQuota(bytes=10), open_files=9,
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    for isolation in (ANY, None):
        assert wardian.execute(again.__replace__(isolation=isolation)).values == (1.5, 0)


def test_nothing_is_left_of_a_pool() -> None:
    with wardian.Pool(2) as pool:
        list(pool.map(wardian.execute, [job(HELLO)] * 4))
    parent.filler().wait()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with wardian.Pool(2) as pool:
            list(pool.map(wardian.execute, [job(HELLO)] * 4))
    assert len(os.listdir("/proc/self/fd")) <= before
    assert not [thread.name for thread in threading.enumerate() if "pool" in thread.name]
