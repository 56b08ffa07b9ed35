"""Named combinations of choices: what they say is what happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.support import assemble
from wardian import Config, Engine, Profile
from wardian.api.profile import PROFILES
from wardian.sandbox.choice import Wishes, decide

TEXT = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 64) "\\1b[31mred\\1b[2J")
  (func (export "_start")
    (drop (call $time (i32.const 1) (i64.const 1) (i32.const 16)))
    (if (i64.ne (i64.rem_u (i64.load (i32.const 16)) (i64.const 100000)) (i64.const 0)) (then (unreachable)))
    (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 8))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 12))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


def wishes(**said: Any) -> Wishes:
    return Wishes(**{**dict.fromkeys(Wishes._fields), "fuel": False, "deterministic": False, **said})


def test_balanced_is_what_nobody_chose() -> None:
    assert PROFILES["balanced"].config() == Config()
    assert decide(wishes()) == decide(wishes(profile="balanced"))
    assert decide(wishes()).isolation is None


@pytest.mark.parametrize("name", PROFILES)
def test_it_says_what_it_is(name: str) -> None:
    profile = PROFILES[name]
    text = str(profile)
    assert text.startswith(f"{name}: ")
    assert all(what for _, _, what in profile.rows())
    assert f"spectre     {profile.spectre}" in text
    config = profile.config(fuel=True)
    assert (config.checks, config.spectre, config.fuel) == (profile.checks, profile.spectre, True)
    assert config.features.threads == profile.threads


def test_the_profiles_grow() -> None:
    """What protects in one is in the next as well."""
    fast, balanced, paranoid = (PROFILES[name].config().code("O2") for name in ("fast", "balanced", "paranoid"))
    assert balanced.lacking(fast) == []
    assert paranoid.lacking(balanced) == []
    assert fast.lacking(balanced)


def test_paranoid_is_in_force() -> None:
    result = wardian.run(TEXT.encode(), profile="paranoid")
    assert result.status == "exited"
    assert result.isolation
    assert {layer.name for layer in result.isolation if layer.on} >= {"seccomp"}
    assert b"\x1b" not in result.stderr
    assert b"red" in result.stderr
    threads = '(module (memory 1 1 shared) (func (export "_start")))'
    with pytest.raises(wardian.FeatureDisabled):
        wardian.run(threads.encode(), profile="paranoid")


def test_what_is_said_goes_first() -> None:
    choice = decide(wishes(profile="paranoid", terminal="raw"))
    assert choice.terminal == "raw"
    assert choice.isolation == "process"
    assert choice.engine.config.spectre == "full"
    own = Profile("own", "mine", checks="explicit", spectre="off")
    assert decide(wishes(profile=own)).engine.config.checks == "explicit"


def test_a_weaker_engine_is_an_error() -> None:
    weak = Engine(Config(spectre="off", cache=False))
    with pytest.raises(ValueError, match=r"lacks what the profile balanced asks for \(spectre='basic'\)"):
        wardian.run(b"\0asm\1\0\0\0", profile="balanced", engine=weak)
    with pytest.raises(ValueError, match="threads=False"):
        wardian.run(wardian.Module("(module)", weak), profile="paranoid")
    with pytest.raises(ValueError, match="there is no profile 'no'"):
        wardian.run(b"", profile="no")


SHARED = '(module (memory 1 1 shared) (func (export "_start")))'


def test_full_has_no_shared_memory_unless_told() -> None:
    """A counting thread is a clock. Atomic instructions on memory of one's own are none."""
    full, told = (Engine(Config(spectre="full", shared_memory=said, cache=False)) for said in (None, True))
    never, usual = (Engine(Config(shared_memory=said, cache=False)) for said in (False, None))
    imported = '(module (import "m" "m" (memory 1 1 shared)))'
    atomic = '(module (memory 1) (func (export "f") (result i32) (i32.atomic.load (i32.const 0))))'
    bundle = wardian.Module(SHARED, usual).serialize()
    for engine in (full, never):
        attempts: tuple[Callable[[], object], ...] = (
            lambda engine=engine: wardian.Module(SHARED, engine),  # type: ignore[misc]
            lambda engine=engine: wardian.Module(imported, engine),  # type: ignore[misc]
            lambda engine=engine: wardian.Module.deserialize(bundle, engine),  # type: ignore[misc]
            lambda engine=engine: wardian.Memory(1, 1, shared=True, engine=engine),  # type: ignore[misc]
            lambda engine=engine: wardian.run(assemble(SHARED), engine=engine, isolation="process"),  # type: ignore[misc]
        )
        for attempt in attempts:
            with pytest.raises(wardian.FeatureDisabled, match=r"Config\(shared_memory=True\), or -W") as caught:
                attempt()
            assert caught.value.feature == "shared_memory"
        assert wardian.Module(atomic, engine).instantiate().exports.f() == 0
    for engine in (told, usual):
        memory = wardian.Memory(1, 1, shared=True, engine=engine)
        wardian.Module(imported, engine).instantiate({"m": {"m": memory}})
        assert wardian.run(wardian.Module(SHARED, engine)).status == "exited"


def test_the_command_line(tmp_path: Path) -> None:
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(assemble('(module (func (export "_start")))'))

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wardian", "run", *options, str(guest)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert run("--profile", "paranoid").returncode == 0
    weakened = run("--profile", "paranoid", "--spectre", "basic")
    assert weakened.returncode == 2
    assert "which other options take back" in weakened.stderr
    assert run("--profile", "none").returncode == 2
    guest.write_bytes(assemble(SHARED))
    refused = run("--spectre", "full")
    assert refused.returncode != 0
    assert "-W shared-memory=y" in refused.stderr
    assert run("--spectre", "full", "-W", "shared-memory=y").returncode == 0
