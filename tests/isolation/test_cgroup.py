"""Control groups: made, filled, and removed again; a directory that is none is a layer that is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import wardian
from tests.isolation.guests import ANY, HELLO, isolated
from wardian.isolation import cgroup
from wardian.isolation.cgroup import Group, bounds
from wardian.isolation.policy import Isolation


def test_a_group_has_its_bounds_and_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a directory that looks like one, since few machines that run tests delegate any."""
    mkdir, rmdir = os.mkdir, os.rmdir

    def make(path: str, mode: int) -> None:
        mkdir(path, mode)
        for name in ("memory.max", "pids.max", "cgroup.procs", "cgroup.kill"):
            (Path(path) / name).touch()

    def remove(path: str) -> None:
        assert (Path(path) / "cgroup.kill").read_text() == "1"
        for file in Path(path).iterdir():
            file.unlink()
        rmdir(path)

    monkeypatch.setattr(cgroup.os, "mkdir", make)
    monkeypatch.setattr(cgroup.os, "rmdir", remove)
    group = Group(str(tmp_path), 77, bounds(1 << 20, 9))
    found = {path.name: path.read_text() for path in Path(group.path).iterdir()}
    assert found == {"memory.max": "1048576", "pids.max": "9", "cgroup.procs": "77", "cgroup.kill": ""}
    group.close()
    assert not list(tmp_path.iterdir())
    group.close()


def test_what_is_no_group_is_refused(tmp_path: Path) -> None:
    """A layer that was asked for has to be there, whatever else may be missing."""
    with pytest.raises(wardian.IsolationUnavailable) as caught:
        isolated(HELLO, isolation=ANY.__replace__(cgroup=str(tmp_path)))
    assert caught.value.missing == ("cgroup",) and str(tmp_path) in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert Isolation().accepts("cgroup") and not Isolation(cgroup="/x").accepts("cgroup")
