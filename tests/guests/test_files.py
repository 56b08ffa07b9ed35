"""Guests that write files leave the same tree as under Wasmtime, whatever kind of directory they were given."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wardian
from tests.capability.test_path import choosing
from wardian.capability.filesystem import host
from wardian.grants import FileQuota

pytestmark = pytest.mark.slow

PYTHON = "guests/python-3.12.0.wasm"
SCRIPT = """
import errno, os, shutil, sqlite3, zipfile
os.chdir('/w')
os.makedirs('a/b/c'); os.makedirs('x/y')
for n in range(200):
    with open(f'a/b/file{n}', 'w') as f: f.write(f'content {n}\\n' * n)
os.rename('a/b', 'x/y/moved'); os.rename('x/y/moved/file3', 'x/renamed'); os.replace('x/y/moved/file4', 'x/renamed')
for n in range(0, 200, 7):
    if os.path.exists(f'x/y/moved/file{n}'): os.remove(f'x/y/moved/file{n}')
os.symlink('renamed', 'x/link'); os.symlink('y', 'x/folder'); os.symlink('nowhere', 'dangling')
os.link('x/renamed', 'hard')
with open('x/folder/moved/file5', 'r+b') as f: f.seek(3); f.write(b'###'); f.truncate(20)
with open('x/link', 'a') as f: f.write('appended')
with open('sparse', 'wb') as f: f.seek(100_000); f.write(b'end')
with open('big', 'wb') as f: f.write(bytes(range(256)) * 8192)
shutil.copytree('x/y', 'copy'); shutil.rmtree('copy/moved/c')
shutil.move('copy', 'x/copied')
os.utime('hard', ns=(10**18, 2 * 10**18)); os.utime('x/y', ns=(10**18, 3 * 10**18))
for name in ('\\u00e9', '\\U0001f40d', 'sp ace', '-dash', '.hidden', 'n' * 255): open(name, 'w').close()
with zipfile.ZipFile('z.zip', 'w') as z: z.writestr(zipfile.ZipInfo('m'), 'x' * 1000)
try: os.rename('x', 'x/y/inside')
except OSError as e: print(errno.errorcode[e.errno])
try: os.rmdir('x')
except OSError as e: print(errno.errorcode[e.errno])
try: open('../out', 'w')
except OSError as e: print('refused')
c = sqlite3.connect('data.db')
c.execute('create table t(a integer primary key, b)')
c.executemany('insert into t values(?, ?)', [(i, str(i) * 9) for i in range(3000)]); c.commit()
c.execute('delete from t where a % 3 = 0'); c.commit(); c.execute('vacuum')
c.execute('begin'); c.execute('insert into t values(100000, 1)'); c.rollback()
print(c.execute('select count(*), sum(length(b)) from t').fetchone()); c.close()
print(sorted(os.listdir('.')), sorted(os.listdir('x')), os.readlink('x/link'), os.stat('hard').st_nlink)
"""


def seen(root: Path) -> dict[str, object]:
    """Everything in a folder: kinds, contents, link texts, times that were set."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = path.read_bytes()
    found["times"] = [(root / "hard").stat().st_mtime_ns, (root / "x/y").stat().st_mtime_ns]
    return found


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, object]]:
    """What Wasmtime makes of it: output and tree."""
    wasmtime = pytest.importorskip("wasmtime", reason="the engine to compare with")
    folder = tmp_path_factory.mktemp("wasmtime")
    (folder / "w").mkdir()
    engine = wasmtime.Engine()
    linker, store, config = wasmtime.Linker(engine), wasmtime.Store(engine), wasmtime.WasiConfig()
    linker.define_wasi()
    config.argv = ["python", "-c", SCRIPT]
    config.preopen_dir(str(folder / "w"), "/w")
    config.stdout_file = str(folder / "out")
    store.set_wasi(config)
    module = wasmtime.Module.from_file(engine, str(data / PYTHON))
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
    except wasmtime.ExitTrap as exit_:
        assert exit_.code == 0
    return (folder / "out").read_bytes(), seen(folder / "w")


Kind = Callable[[Path, pytest.MonkeyPatch], tuple[Any, FileQuota | None, Callable[[], None]]]


def _host(name: str) -> Kind:
    def make(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Any, FileQuota | None, Callable[[], None]]:
        patch.setattr(host, "resolver", choosing(name))
        return folder, None, lambda: None

    return make


def _metered(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Any, FileQuota | None, Callable[[], None]]:
    return folder, FileQuota(1 << 30, 10_000, 1 << 30), lambda: None


def _memory(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Any, FileQuota | None, Callable[[], None]]:
    tree = wardian.Tree()
    return tree, None, lambda: tree.export(folder)


def _overlay(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Any, FileQuota | None, Callable[[], None]]:
    tree = wardian.Tree.over(folder)
    return tree, None, lambda: tree.apply(folder)


KINDS = {"kernel": _host("kernel"), "walk": _host("walk"), "metered": _metered, "memory": _memory, "overlay": _overlay}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> wardian.Engine:
    return wardian.Engine(wardian.Config(lazy=True, cache=tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("kind", KINDS)
def test_python_leaves_the_same_tree(
    kind: str, expected: tuple[bytes, dict[str, object]], engine: wardian.Engine, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "w"
    folder.mkdir()
    granted, quota, finish = KINDS[kind](folder, monkeypatch)
    module = wardian.Module.from_file(data / PYTHON, engine)
    result = wardian.run(module, ["-c", SCRIPT], dirs={"/w": granted}, quota=quota)
    assert result.returncode == 0, result.stderr
    finish()
    tree = seen(folder)
    if kind in ("memory", "overlay"):
        # What is written out is a file for each name, and directories get their time from being written.
        tree = {**tree, "times": expected[1]["times"]}
    assert result.stdout == expected[0]
    assert tree == expected[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_sqlite_shell_leaves_a_database(
    kind: str, engine: wardian.Engine, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    granted, quota, finish = KINDS[kind](folder, monkeypatch)
    module = wardian.Module.from_file(data / "guests/sqlite.wasm", engine)
    script = b"create table t(a, b); insert into t values(1, 'x'), (2, 'y'); create index i on t(b);"
    script += b"begin; insert into t select a + 10, b from t; commit; begin; delete from t; rollback; vacuum;"
    wardian.run(module, ["-batch", "/w/t.db"], input=script, dirs={"/w": granted}, quota=quota, check=True)
    finish()
    assert os.listdir(folder) == ["t.db"]
    database = sqlite3.connect(folder / "t.db")
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert database.execute("select * from t").fetchall() == [(1, "x"), (2, "y"), (11, "x"), (12, "y")]
    database.close()
