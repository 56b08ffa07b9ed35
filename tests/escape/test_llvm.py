"""What makes LLVM end its process, or not come to an end: the process of whoever runs the guest goes on.

wasmtime.md 2.4 E: bugs of the code generator that an attacker's module reaches.
"""

from __future__ import annotations

import os
import signal

import pytest

import wardian
from wardian.compile import outside as subject
from wardian.compile.compiler import Compiler
from wardian.compile.outside import NoHelper, Outside, outside

LINKS = 1200
"""Each ``if`` can be removed once the one before it has been; LLVM asserts that a thousand rounds are enough."""
LINK = "(if (i32.eq (local.get 0) (i32.const {})) (then (local.set 0 (i32.const {}))))"
CHAIN = f"""(module (func (export "f") (param i32) (result i32)
  {" ".join(LINK.format(i, i + 1) for i in range(LINKS))} (local.get 0)))"""
EMPTY = "define i32 @f() {\n ret i32 7\n}\n"


@pytest.mark.parametrize("spectre", ["off", "basic", "full"])
@pytest.mark.parametrize("opt", ["O0", "O2", "auto"])
def test_a_chain_that_llvm_cannot_unlink(opt: str, spectre: str) -> None:
    config = wardian.Config(opt=opt, spectre=spectre, cache=False, tier_up=1)  # type: ignore[arg-type]
    engine = wardian.Engine(config)
    f = wardian.Module(CHAIN, engine).instantiate().exports.f
    for _ in range(3):
        assert [f(i) for i in (-1, 0, LINKS - 1, LINKS)] == [-1, LINKS, LINKS, LINKS]
        engine.worker.wait()
    assert engine.worker.failure is None


def seconds() -> list[float]:
    return []


def test_a_helper_that_is_gone_is_replaced() -> None:
    helper, spent = Outside(), seconds()
    first = helper.object(EMPTY, "O2", spent.append)
    assert helper._helper is not None
    os.kill(helper._helper.pid, signal.SIGKILL)
    assert helper.object(EMPTY, "O2", spent.append) == first
    assert all(0 <= s < 60 for s in spent)
    helper.close()


def test_errors_and_answers_belong_together() -> None:
    helper = Outside()
    with pytest.raises(RuntimeError, match="expected"):
        helper.object("this is no text of LLVM", "O2", seconds().append)
    assert helper.object(EMPTY, "O2", seconds().append).startswith(b"\x7fELF")
    helper.close()


def test_interrupted_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked before must not be answered to who asks next."""
    helper = Outside()
    before = helper.object(EMPTY, "O2", seconds().append)

    def interrupted(pipe: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(subject, "read_frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            helper.object(EMPTY.replace("@f", "@g"), "O2", seconds().append)
    assert helper.object(EMPTY, "O2", seconds().append) == before
    helper.close()


def test_forked_children_have_their_own() -> None:
    here = outside().object(EMPTY, "O2", seconds().append)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if outside().object(EMPTY, "O2", seconds().append) == here else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert outside().object(EMPTY, "O2", seconds().append) == here


def test_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(subject, "start", refused)
    with pytest.raises(NoHelper):
        Outside().object(EMPTY, "O2", seconds().append)
    subject.outside.cache_clear()
    engine = wardian.Engine(wardian.Config(opt="O2", cache=False))
    assert (
        wardian.Module('(module (func (export "f") (result i32) (i32.const 5)))', engine).instantiate().exports.f() == 5
    )
    assert isinstance(engine.compiler, Compiler)
    subject.outside.cache_clear()
