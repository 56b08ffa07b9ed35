"""Modules as bytes with all their code: they run as the original does, and anything else is an error that says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import wardian
from tests.escape.guest import engine, module
from tests.support import MODES, ROOT, Mode, mode_params
from wardian.api.code import ModuleCode
from wardian.compile import bundle, parallel
from wardian.compile.parallel import compile_parallel

every_mode = pytest.mark.parametrize("mode", mode_params())
QUICK = MODES[0]

TEXT = """(module $named (import "e" "f" (func $f (param i64 f32) (result i64))) (memory (export "m") 1)
  (data (i32.const 3) "kept") (table 2 funcref) (elem (i32.const 1) $twice)
  (func $twice (export "twice") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
  (func (export "host") (param i64) (result i64) (call $f (local.get 0) (f32.const 1.5)))
  (func (export "indirect") (param i64) (result i64)
    (call_indirect (param i64) (result i64) (local.get 0) (i32.const 1)))
  (func $inner (unreachable)) (func (export "trap") (call $inner)))"""

IMPORTS: dict[str, dict[str, object]] = {"e": {"f": lambda a, b: a + int(2 * b)}}


def check(made: wardian.Module) -> None:
    exports = made.instantiate(IMPORTS).exports
    assert exports.twice(21) == 42
    assert exports.host(1) == 4
    assert exports.indirect(4) == 8
    assert exports.m[3:7] == b"kept"
    with pytest.raises(wardian.Trap, match="named!inner"):
        exports.trap()


@every_mode
def test_there_and_back(mode: Mode) -> None:
    data = module(TEXT, mode).serialize()
    made = wardian.Module.deserialize(data, engine(mode))
    check(made)
    assert made.name == "named"
    assert [e.name for e in made.exports] == ["m", "twice", "host", "indirect", "trap"]
    assert made.serialize() == data
    usual = None if mode.spectre == "basic" else engine(mode)
    check(wardian.Module.deserialize(memoryview(data), usual))  # type: ignore[arg-type]


def test_left_to_itself_it_is_compiled_well(tmp_path: Path) -> None:
    for cache in (False, tmp_path / "cache", tmp_path / "cache"):
        made = wardian.Module(TEXT, wardian.Engine(wardian.Config(cache=cache)))
        check(made)
        data = made.serialize()
        assert bundle.Bundle.decode(data).options.opt == "O2"
        check(wardian.Module.deserialize(data))
        made.engine.flush()


def test_exceptions() -> None:
    text = '(module (tag $e (export "e") (param i32)) (func (export "t") (throw $e (i32.const 4))))'
    made = wardian.Module.deserialize(module(text, QUICK).serialize())
    with pytest.raises(wardian.WasmException) as caught:
        made.instantiate().exports.t()
    assert caught.value.payload == (4,)


def test_it_needs_no_compiler(tmp_path: Path) -> None:
    path = tmp_path / "a.cwasm"
    path.write_bytes(module(TEXT, QUICK).serialize())
    script = f"""
import sys; sys.modules["llvmlite"] = None
import wardian
made = wardian.Module.deserialize(open({str(path)!r}, "rb").read(), wardian.Engine(wardian.Config(cache=False)))
exports = made.instantiate({{"e": {{"f": lambda a, b: 7}}}}).exports
print(exports.twice(4), exports.host(1))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("8 7\n", "")


def test_damage_is_an_error() -> None:
    data = module(TEXT, QUICK).serialize()
    for size in [*range(0, 300, 7), *range(300, len(data), 997), len(data) - 1]:
        with pytest.raises(wardian.ArtifactError):
            wardian.Module.deserialize(data[:size])
    for at in [*range(0, 300, 3), *range(300, len(data), 499)]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(wardian.ArtifactError):
            wardian.Module.deserialize(bytes(damaged))
    with pytest.raises(wardian.ArtifactError):
        wardian.Module.deserialize(data + b"\0")


def test_keys() -> None:
    made = module(TEXT, QUICK)
    data = made.serialize(key=b"secret")
    check(wardian.Module.deserialize(data, key=b"secret"))
    with pytest.raises(wardian.ArtifactError, match="made with a key"):
        wardian.Module.deserialize(data)
    with pytest.raises(wardian.ArtifactError, match="not made with this key"):
        wardian.Module.deserialize(data, key=b"other")
    with pytest.raises(wardian.ArtifactError, match="not made with this key"):
        wardian.Module.deserialize(made.serialize(), key=b"secret")
    for key in (b"", b"x" * 65):
        with pytest.raises(ValueError, match="1 to 64 bytes"):
            made.serialize(key=key)


def test_what_was_made_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = bundle.cpu_flags()
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "cpu_flags", lambda: flags | {b"newer"})
        better = module(TEXT, QUICK).serialize()
        patch.setattr(bundle, "cpu_flags", lambda: {b"sse4_1"})
        lesser = module(TEXT, QUICK).serialize()
        patch.setattr(bundle, "engine_digest", lambda: b"another version!")
        older = module(TEXT, QUICK).serialize()
    with pytest.raises(wardian.ArtifactError, match=r"another CPU \(newer\)"):
        wardian.Module.deserialize(better)
    check(wardian.Module.deserialize(lesser))
    with pytest.raises(wardian.ArtifactError, match="another version"):
        wardian.Module.deserialize(older)


def test_code_without_what_the_engine_wants_is_an_error() -> None:
    guarded, explicit = (wardian.Engine(wardian.Config(opt="baseline", checks=c)) for c in ("guard", "explicit"))
    check(wardian.Module.deserialize(wardian.Module(TEXT, explicit).serialize(), guarded))
    with pytest.raises(wardian.ArtifactError, match="made without checks='explicit'"):
        wardian.Module.deserialize(wardian.Module(TEXT, guarded).serialize(), explicit).instantiate(IMPORTS)


def test_bytes_of_other_functions_are_an_error() -> None:
    """What the digest does not tell: whoever vouches for the wrong thing still gets an error, not a crash."""
    one, two = (bundle.Bundle.decode(module(text, QUICK).serialize()) for text in (TEXT, "(module (func))"))
    mixed = wardian.Module.deserialize(one.__replace__(functions=two.functions).encode())
    with pytest.raises(wardian.ArtifactError, match="does not hold"):
        mixed.instantiate(IMPORTS)


def _many(count: int) -> wardian.Module:
    body = "(i64.add (i64.mul (local.get 0) (local.get 0)) (i64.const 77777))"
    functions = "".join(
        f'(func (export "f{i}") (param i64) (result i64) (i64.xor (i64.const {i}) {body}))' for i in range(count)
    )
    return module(f"(module {functions})", QUICK)


def test_in_several_processes() -> None:
    made = _many(2500)
    seen: list[tuple[int, int]] = []
    data = made.serialize(jobs=2, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (2500, 2500)
    assert seen == sorted(seen)
    exports = wardian.Module.deserialize(data).instantiate().exports
    for i in (0, 1, 77, 2499):
        assert exports[f"f{i}"](3) == i ^ (9 + 77777)
        assert exports[f"f{i}"](3) == made.instantiate().exports[f"f{i}"](3)
    with pytest.raises(ValueError, match="negative"):
        made.compile(jobs=-1)


def test_workers_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """And do not leave it, all at a loss, to this process."""
    monkeypatch.setattr(parallel, "WORTH_WHILE", 0)
    monkeypatch.setattr(ModuleCode, "_make_here", None)
    _many(50).compile(jobs=2)


def test_time_in_other_processes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they take is taken from the module's time, and where that ends, they do."""
    monkeypatch.setattr(parallel, "WORTH_WHILE", 0)
    monkeypatch.setattr(parallel, "_BATCH", 200)
    made = _many(150)
    made.compile(jobs=2)
    spent = made.code()._budget._seconds[False]
    assert spent > 150 * 0.0001
    workers: list[subprocess.Popen[bytes]] = []
    start = parallel.start
    monkeypatch.setattr(parallel, "start", lambda module: workers.append(start(module)) or workers[-1])  # type: ignore[func-returns-value]
    for bound, started in ((spent / 10, 2), (0, 0)):
        config = made.engine.config.__replace__(limits=wardian.Limits(compile_time=bound), cache=False)
        workers.clear()
        with pytest.raises(wardian.LimitExceeded, match="raise it with") as caught:
            wardian.Module(made.decl.source, wardian.Engine(config)).compile(jobs=2)
        assert caught.value.limit == "compile_time"
        assert len(workers) == started and all(worker.poll() is not None for worker in workers)


def test_lost_workers_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _many(300)
    code = made.code()
    workers: list[subprocess.Popen[bytes]] = []
    start = parallel.start

    def watched(module: str) -> subprocess.Popen[bytes]:
        workers.append(start(module))
        return workers[-1]

    monkeypatch.setattr(parallel, "start", watched)
    monkeypatch.setattr(parallel, "_BATCH", 100)

    def kill() -> None:
        while len(workers) < 2:
            time.sleep(0.001)
        time.sleep(0.4)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    limits = made.engine.config.limits

    def here(indices: list[int]) -> list[tuple[int, bytes, int]]:
        return code._make_here(indices, code.options)

    found = compile_parallel(code.ctx, code.options, range(300), {}, limits, 2, here, code._budget)
    assert sorted(index for some in found for index, _, _ in some) == list(range(300))
    thread.join()
    assert all(worker.poll() is not None for worker in workers)


def test_a_body_that_is_not_valid_is_named() -> None:
    bad = "(func (result i32) (i64.const 1))"
    lazy = wardian.Engine(wardian.Config(lazy=True, cache=False, opt="O0"))
    made = wardian.Module(f"(module {bad} {'(func (nop))' * 9000})", lazy)
    with pytest.raises(wardian.InvalidError, match="function 0"):
        made.compile(jobs=2)
