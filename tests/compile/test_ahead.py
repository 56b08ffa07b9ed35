"""Functions that a fork compiles ahead of their first call are those that would have been compiled at it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import data_root
from wardian.compile.ahead import Ahead, Fork, Shared
from wardian.errors import InvalidError


def _code(index: int) -> bytes:
    return bytes([index]) * (index + 3)


class _Maker:
    """Functions that call the next two, but the fifth is not valid."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, index: int) -> tuple[bytes, list[int]]:
        self.made.append(index)
        if index == 5:
            raise InvalidError("not this one", offset=0)
        return _code(index), [index + 1, index + 2]


def test_what_is_called_comes_first_and_then_what_that_may_call() -> None:
    shared, maker = Shared(600), _Maker()
    ahead, fork = Ahead(0, shared), Fork(maker, shared)
    assert not fork.step()
    assert ahead.take(0) is None
    ahead.calls([3, 1])
    assert fork.step()
    assert ahead.take(3) == _code(3)
    assert ahead.take(2) is None
    # The second is seen to, and the third was taken, so whom it calls is wanted.
    for _ in range(3):
        assert fork.step()
    assert maker.made == [3, 1, 4, 5]
    assert ahead.take(5) is None
    assert [ahead.take(index) for index in (1, 4)] == [_code(1), _code(4)]


def test_no_more_is_made_than_may_be_of_use() -> None:
    shared = Shared(1000)

    def make(index: int) -> tuple[bytes, list[int]]:
        return b"code", [index + 1]

    ahead, fork = Ahead(0, shared), Fork(make, shared)
    ahead.take(0)
    ahead.calls([1])
    count = 0
    while fork.step():
        count += 1
    assert 1 < count < 500
    assert not fork.step()
    assert ahead.take(1) == b"code"
    assert fork.step()


def test_room_comes_to_an_end() -> None:
    shared = Shared(10)
    ahead, fork = Ahead(0, shared), Fork(lambda index: (bytes(40 << 20), []), shared)
    ahead.take(0)
    ahead.calls([1, 2])
    assert fork.step()
    assert not fork.is_full
    assert fork.step()
    assert fork.is_full
    found = ahead.take(1)
    assert found is not None
    assert len(found) == 40 << 20
    assert ahead.take(2) is None


_BOTH = """
import os, sys, wardian
from wardian.compile.ahead import may_fork
from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.module import Module

source = open(sys.argv[1], "rb").read()
codes = []
for forks in (may_fork(), False):
    engine = Engine(Config(cache=False, lazy=True, tier_up=1 << 27))
    engine.may_fork = forks
    module = Module(source, engine)
    result = wardian.run(module, ["-e", "print(#string.format('%q', 'a'))"], engine=engine, stdout="inherit")
    assert result.returncode == 0, result
    # Guests of WASI may meet exceptions of the host's.
    code = module.code().with_exceptions()
    assert (code._ahead is not None) == forks
    codes.append({index: made for index, made, _ in code._new})
    if forks:
        pid = code._ahead._pid
        assert os.getpgid(pid) == os.getpgid(0)
        code._ahead.close()
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            pass
        else:
            raise AssertionError("the fork lives on")
assert codes[0] == codes[1] and len(codes[0]) > 100
"""


def test_a_run_with_a_fork_maps_the_same_code() -> None:
    root = data_root()
    if root is None:
        pytest.skip("needs a real program")
    done = subprocess.run(
        [sys.executable, "-c", _BOTH, str(root / "guests/lua.wasm")], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
