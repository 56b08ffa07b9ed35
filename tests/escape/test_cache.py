"""Border to the code cache: what is not ours, or is damaged, is a miss, and is never run."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wardian
from tests.escape.guest import child
from tests.support import assemble
from wardian.compile.artifact import Functions, decode_images
from wardian.compile.cache import VALID, Cache

GOOD = '(module (func (export "f") (result i32) (i32.const 42)))'
OTHER = '(module (func (export "f") (result i32) (i32.const 666)))'


def engine(folder: Path) -> wardian.Engine:
    return wardian.Engine(wardian.Config(cache=folder, opt="O0"))


def result(folder: Path, text: str = GOOD) -> int:
    """What the guest says in a new engine that has this cache."""
    made = engine(folder)
    value: int = wardian.Module(text, made).instantiate().exports.f()
    made.flush()
    return value


def entry(folder: Path, text: str = GOOD) -> Path:
    """The file that holds a module's code."""
    return folder / wardian.Module(text, engine(folder)).code()._cache_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache in which both modules are."""
    made = tmp_path / "cache"
    assert result(made) == 42 and result(made, OTHER) == 666
    assert entry(made).is_file() and entry(made, OTHER).is_file()
    return made


def is_missed(folder: Path) -> None:
    """The right result though the cache has nothing to give, now and (if it could be mended) later."""
    assert Cache(str(folder)).load(entry(folder).name) is None
    for _ in range(2):
        assert result(folder) == 42


def test_what_is_in_the_cache_is_run(folder: Path) -> None:
    """Or else nothing here would mean anything."""
    cache = Cache(str(folder))
    payload = cache.load(entry(folder, OTHER).name)
    assert payload
    cache.store(entry(folder).name, payload)
    assert result(folder) == 666


def test_one_modules_code_under_anothers_name(folder: Path) -> None:
    shutil.copy(entry(folder, OTHER), entry(folder))
    is_missed(folder)
    glue = next(folder.glob("glue-*"))
    shutil.copy(glue, entry(folder))
    is_missed(folder)
    shutil.copy(entry(folder, OTHER), glue)
    assert result(folder) == 42
    shutil.copy(folder / "key", entry(folder))
    is_missed(folder)


def test_damage(folder: Path) -> None:
    path = entry(folder)
    whole = path.read_bytes()
    rng = random.Random(1)
    places = {*range(60), len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(60))}
    for at in sorted(places):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        assert Cache(str(folder)).load(path.name) is None
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    is_missed(folder)


def test_truncation_and_additions(folder: Path) -> None:
    path = entry(folder)
    whole = path.read_bytes()
    cache = Cache(str(folder))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert cache.load(path.name) is None
    for data in (whole + b"\0", b"\0" + whole, whole + whole, b"", bytes(len(whole)), whole[8:]):
        path.write_bytes(data)
        assert cache.load(path.name) is None
        is_missed(folder)
        os.unlink(path)


def test_an_entry_is_a_plain_file_of_ours(folder: Path, tmp_path: Path) -> None:
    path, aside = entry(folder), tmp_path / "aside"
    whole = path.read_bytes()

    def symlink() -> None:
        aside.write_bytes(whole)
        path.symlink_to(aside)

    def pipe() -> None:
        os.mkfifo(path)

    def directory() -> None:
        path.mkdir()

    def endless() -> None:
        path.symlink_to("/dev/zero")

    def nowhere() -> None:
        path.symlink_to(path)

    def writable() -> None:
        path.write_bytes(whole)
        path.chmod(0o666)

    ways: list[Callable[[], None]] = [symlink, pipe, directory, endless, nowhere, writable]
    for way in ways:
        path.unlink()
        way()
        is_missed(folder)
        if path.is_dir():
            path.rmdir()
            path.write_bytes(whole)
    path.unlink()
    path.write_bytes(whole)
    path.chmod(0o600)
    assert Cache(str(folder)).load(path.name)


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701, 0o770])
def test_a_folder_others_may_enter(folder: Path, mode: int) -> None:
    cache = Cache(str(folder))
    poison = cache.load(entry(folder, OTHER).name)
    assert poison
    cache.store(entry(folder).name, poison)
    folder.chmod(mode)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    is_missed(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before, "nothing is written either"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_or_an_entry_of_somebody_else(folder: Path) -> None:
    path = entry(folder)
    os.chown(path, 12345, 12345)
    is_missed(folder)
    os.chown(folder / "key", 12345, 12345)
    is_missed(folder)
    os.chown(folder, 12345, 12345)
    is_missed(folder)


def test_a_folder_behind_a_link(folder: Path, tmp_path: Path) -> None:
    """It counts where the link leads, not what the link is."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert Cache(str(link)).load(entry(folder).name)
    folder.chmod(0o777)
    is_missed(link)


def test_no_folder_at_all(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("a file")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (plain, plain / "below", loop, loop / "below", Path("/proc/nowhere"), tmp_path / ("x" * 300)):
        is_missed(path)
        assert Cache(str(path)).size() == Cache(str(path)).clear() == 0


def test_a_mark_of_validity_is_of_one_module_and_ours(tmp_path: Path) -> None:
    """A large module is not validated twice; any other, or with another word of whoever made the mark, is."""
    body = '(module (func (export "f") (result i32) %s) (memory 6) (data (i32.const 0) "%s"))'
    good, bad = (assemble(body % (code, "x" * (300 << 10))) for code in ("(i32.const 42)", "(i64.const 42)"))
    engine = wardian.Engine(wardian.Config(cache=tmp_path))
    wardian.Module(good, engine)
    (mark,) = tmp_path.glob(f"{VALID}*")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wardian.valid.driver.validate_bodies", None)
        assert wardian.Module(good, engine).exports
    with pytest.raises(wardian.InvalidError):
        wardian.Module(bad, engine)
    without = wardian.Config(cache=tmp_path, features=wardian.Features(simd=False))
    others = {wardian.Module(good, wardian.Engine(config)) for config in (without, wardian.Config(cache=tmp_path))}
    assert len(others) == len(list(tmp_path.glob(f"{VALID}*"))) == 2
    mark.write_bytes(mark.read_bytes()[:-1] + b"D")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wardian.valid.driver.validate_bodies", None)
        with pytest.raises(TypeError):
            wardian.Module(good, engine)


def test_keys(folder: Path) -> None:
    """A lost, damaged or exchanged key makes misses of all entries; then there is a new one."""
    path, key = entry(folder), folder / "key"
    for secret in (None, b"", b"x" * 31, b"x" * 33, os.urandom(32)):
        key.unlink()
        if secret is not None:
            key.write_bytes(secret)
            key.chmod(0o600)
        is_missed(folder)
        assert Cache(str(folder)).load(path.name)
        assert len(key.read_bytes()) == 32
        assert key.stat().st_mode & 0o077 == 0
    aside = folder.parent / "secret"
    aside.write_bytes(key.read_bytes())
    key.unlink()
    key.symlink_to(aside)
    is_missed(folder)
    assert not key.is_symlink()


def test_what_is_written_is_private(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0 and not path.name.startswith(".new-")


def test_clearing_leaves_what_it_did_not_put_there(folder: Path) -> None:
    """As where the cache's folder is by mistake one's home."""
    mine = ["notes.txt", "cafe", "glue-recipe", "key.pem", "A" * 40]
    for name in mine:
        (folder / name).write_text("mine")
    (folder / ".new-0123456789abcdef").write_text("left over")
    # Two modules, glue, how LLVM is told of this machine, and what was left over.
    assert Cache(str(folder)).clear() == 5
    assert sorted(path.name for path in folder.iterdir()) == sorted([*mine, "key"])
    assert Cache(str(folder)).size() == 0


def hammer(folder: str, seed: int) -> None:
    """One of several processes that use, clear and fill one cache."""
    rng = random.Random(seed)
    cache = Cache(folder)
    for _ in range(400):
        key = f"{rng.randrange(3):040x}"
        match rng.randrange(4):
            case 0:
                cache.store(key, key.encode() * rng.randrange(1, 3000))
            case 1:
                cache.clear()
            case 2:
                cache.size()
            case _:
                found = cache.load(key)
                assert found is None or (found == key.encode() * (len(found) // 40) and found)


def test_many_processes_at_once(tmp_path: Path) -> None:
    """None of them ever sees half an entry, or one of another name."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: child(hammer, str(tmp_path / "cache"), seed), range(4)))


def adding(folder: str, number: int) -> None:
    """One of several processes that add to the same entry."""
    cache = Cache(folder)
    for turn in range(40):
        mine = f"{number}.{turn} ".encode()
        cache.update("a" * 40, lambda old, mine=mine: (old or b"") + mine)  # type: ignore[misc]


def test_what_several_processes_add_is_all_there(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = str(tmp_path / "cache")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: child(adding, folder, number), range(4)))
    found = (Cache(folder).load("a" * 40) or b"").split()
    assert sorted(found) == sorted(f"{number}.{turn}".encode() for number in range(4) for turn in range(40))


def test_a_stopped_process_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    cache = Cache(str(folder))
    cache.store("a" * 40, b"old")
    monkeypatch.setattr("wardian.compile.cache._PATIENCE", 0.05)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    cache.update("a" * 40, lambda old: (old or b"") + b" and new")
    os.close(held)
    assert cache.load("a" * 40) == b"old and new"


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = Cache(str(folder), 10_000)
    names = [f"{i:040x}" for i in range(12)]
    for age, name in enumerate(names[:9]):
        cache.store(name, b"x" * 1000)
        os.utime(folder / name, (0, 1_000_000 + 10_000 * age))
    (folder / "mine.txt").write_bytes(b"x" * 50_000)
    assert cache.load(names[0])  # used just now
    cache.store(names[9], b"x" * 1000)
    kept = {path.name for path in folder.iterdir()}
    assert kept == {names[0], *names[3:10], "key", "mine.txt"}
    assert cache.size() <= 9000
    cache.store(names[10], b"x" * 20_000)
    assert cache.load(names[10]) is None
    assert cache.load(names[0])
    assert Cache(str(folder), 0).load(names[0])
    Cache(str(folder), 100).store(names[11], b"")
    assert {path.name for path in folder.iterdir()} == {names[11], "key", "mine.txt"}


def test_what_was_left_half_written_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = Cache(str(folder))
    cache.store("a" * 40, b"x")
    for name, age in ((".new-1", 10_000), (".new-2", 10)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (0, time.time() - age))
    cache.store("b" * 40, b"x")
    assert not (folder / ".new-1").exists()
    assert (folder / ".new-2").exists()


def test_a_damaged_entry_is_replaced(folder: Path) -> None:
    path = entry(folder)
    for damage in (b"", b"junk", path.read_bytes()[:-1]):
        path.write_bytes(damage)
        assert result(folder) == 42
        assert Cache(str(folder)).load(path.name)
    with pytest.raises(ValueError, match="negative"):
        wardian.Config(cache_size=-1)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: b"WFN1" + b))
def test_any_bytes_as_functions(data: bytes) -> None:
    found = Functions.decode(data)
    assert found is None or isinstance(found.blob, bytes)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: b"WGL1\1\0\0\0" + b))
def test_any_bytes_as_images(data: bytes) -> None:
    assert isinstance(decode_images(data), dict)
