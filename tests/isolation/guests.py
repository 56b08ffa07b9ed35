"""What the tests of isolation share: an engine with the run's own cache, a few guests, skipping what cannot be had."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import pytest

import wardian
from tests.support import GLUE, assemble
from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.errors import Refused
from wardian.isolation.policy import LAYERS, Isolation
from wardian.isolation.report import Layer
from wardian.sandbox.isolated import probe

ANY = Isolation(accept=tuple(LAYERS))
"""Whatever this machine gives: for tests that are about something else."""


@cache
def engine() -> Engine:
    """One whose zygote and code are kept in the folder of this test run."""
    return Engine(Config(cache=os.environ[GLUE], lazy=True))


@cache
def layers() -> dict[str, Layer]:
    """The layers of this machine by name; skips the test where there can be no worker at all."""
    try:
        return {layer.name: layer for layer in probe(os.environ[GLUE])}
    except Refused as error:
        pytest.skip(str(error))


def need(*names: str) -> None:
    """Skip the test where one of these layers cannot be had."""
    for name in names:
        if not layers()[name].on:
            pytest.skip(f"{name}: {layers()[name].detail}")


def isolated(text: str | bytes, *args: Any, **options: Any) -> wardian.RunResult:
    """Run a module in a process of its own."""
    module = assemble(text) if isinstance(text, str) else text
    try:
        return wardian.run(module, args, engine=engine(), **{"isolation": ANY, **options})
    except Refused as error:
        if "starts workers" in str(error):
            pytest.skip(str(error))
        raise


WASI = """
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1 65536)"""

HELLO = f"""(module {WASI}
  (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 3))))"""
FLOOD = f"""(module {WASI}
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\40\\00\\00")
  (func (export "_start")
    (loop $again (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))))"""
SHOUT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32))) (memory (export "memory") 1)
  (data (i32.const 0) "\\20\\00\\00\\00\\0b\\00\\00\\00") (data (i32.const 32) "\\1b]0;x\\07shout")
  (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $stat (i32.const 1) (i32.const 64))) (call $proc_exit (i32.load8_u (i32.const 64)))))"""
"""Says a word, after telling a terminal its title; ends with the type of its output."""
SPIN = '(module (func (export "_start") (loop $again (br $again))))'
EATER = """(module (memory (export "memory") 1 65536)
  (func (export "_start") (local $at i32)
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (loop $touch
      (i32.store (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br $touch))))"""
