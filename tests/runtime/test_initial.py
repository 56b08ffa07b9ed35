"""Initial contents of memories: what a first instance has copied, what later ones map, and what a reset restores."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Literal

import pytest

from tests.support import Mode, mode_params, share_glue
from wardian import Config, Engine, Module, WardianError
from wardian.digest import Hashed, module_digest
from wardian.runtime.memory import Initial

PAGES = 4


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed(value: int) -> bytes:
    """An ``i32.const``'s number, not always in as few bytes as would do."""
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21 & 0x7F])


def module(segments: list[tuple[int, bytes]]) -> bytes:
    """A module that exports a memory with these active segments."""
    data = b"".join(b"\0\x41" + _signed(at) + b"\x0b" + _leb(len(text)) + text for at, text in segments)
    sections = {
        5: b"\1\0" + bytes([PAGES]),
        7: b"\1\3mem\2\0",
        11: _leb(len(segments)) + data,
    }
    return b"\0asm\1\0\0\0" + b"".join(bytes([n]) + _leb(len(s)) + s for n, s in sections.items())


def expected(segments: list[tuple[int, bytes]]) -> bytes:
    memory = bytearray(PAGES << 16)
    for at, text in segments:
        memory[at : at + len(text)] = text
    return bytes(memory)


def _segments(count: int, seed: int) -> list[tuple[int, bytes]]:
    """Many that overlap, of all sizes, with empty ones and one that ends where the memory does."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        text = rng.randbytes(rng.choice((0, 1, 3, 200, 20_000)))
        found.append((rng.randrange((PAGES << 16) - len(text) + 1), text))
    return [*found, ((PAGES << 16) - 5, b"right")]


@pytest.mark.parametrize("mode", mode_params())
def test_each_instance_begins_with_the_segments_contents(mode: Mode) -> None:
    segments = _segments(60, 7)
    made = Module(module(segments), share_glue(Engine(mode.config())))
    assert isinstance(made.code().initial(), Initial)
    first, second, third = (made.instantiate() for _ in range(3))
    want = expected(segments)
    for instance in (first, second, third):
        assert bytes(instance.exports["mem"].read(0, PAGES << 16)) == want
    # What one writes, no other sees, and a reset undoes, whichever way its contents had come.
    for instance in (first, second):
        instance.exports["mem"].write(10, b"written")
    assert bytes(third.exports["mem"].read(0, PAGES << 16)) == want
    for instance in (first, second):
        instance.reset()
        assert bytes(instance.exports["mem"].read(0, PAGES << 16)) == want


def test_without_a_file_for_the_image_contents_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    segments = _segments(40, 8)
    made = Module(module(segments), share_glue(Engine()))
    made.instantiate()

    def refuse(*args: object) -> int:
        raise OSError(24, "no more files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    second = made.instantiate()
    assert bytes(second.exports["mem"].read(0, PAGES << 16)) == expected(segments)


# -- many segments, which are left where they are ----------------------------------------------------------------------


def _custom(name: bytes, content: bytes) -> bytes:
    inside = _leb(len(name)) + name + content
    return b"\0" + _leb(len(inside)) + inside


def _outcome(source: bytes, cache: Path | Literal[False]) -> object:
    """The memory that an instance has, or the error that there is instead."""
    engine = Engine(Config(cache=cache, lazy=True))
    try:
        made = Module(source, engine)
        return hash(bytes(made.instantiate().exports["mem"].read(0, PAGES << 16)))
    except (WardianError, KeyError) as error:
        return type(error).__name__, str(error)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_module_known_to_the_cache_is_as_it_was(cache: Path) -> None:
    segments = [(rng_at, b"%d" % rng_at * 20) for rng_at in random.Random(1).sample(range(200_000), 1500)]
    source = module(segments)
    want = _outcome(source, False)
    assert want == hash(expected(segments))
    assert [_outcome(source, cache) for _ in range(3)] == [want] * 3
    known = Module(source, Engine(Config(cache=cache)))
    assert not known.decl.datas.is_read, "the cache did not have it"
    assert [known.instantiate() for _ in range(2)] and not known.decl.datas.is_read
    # Whoever wants the segments gets them.
    assert len(known.decl.datas) == 1500 and known.decl.datas[7].init == Module(source).decl.datas[7].init


def test_what_is_wrong_is_the_same_with_and_without_a_cache(cache: Path) -> None:
    """Also what stands behind segments that were left for later, or before them."""
    source = module([(at * 100, b"text %d " % at * 9) for at in range(1200)])
    data = source.index(b"text 700 ")
    body = b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\5\3\1\0\4\x0a\5\1\3\0\xff\x0b" + source[source.index(b"\x0b", 20) :]
    wrong = {
        "cut": source[: data + 3],
        "a segment that is none": source[: data - 7] + b"\7" + source[data - 6 :],
        "its offset": source.replace(b"text 700 text", b"text 70\0\x41\x0b\x0b", 1),
        "beyond the memory": module([(at * 100, b"text") for at in range(1200)] + [((PAGES << 16) - 1, b"text")]),
        "no memory": source[:8] + source[source.index(b"\x0b", 20) :],
        "a section behind": source + _custom(b"\xff\xff", b""),
        "both": source[: data - 7] + b"\7" + source[data - 6 :] + _custom(b"\xff\xff", b""),
        "length": source + b"\0\x7f",
        "order": source + b"\1\1\0",
        "a body before": body,
        "a body before, and more": body + b"\0\x7f",
    }
    for seed in range(40):
        rng = random.Random(seed)
        changed = bytearray(source)
        changed[rng.randrange(30, len(source))] = rng.randrange(256)
        wrong[f"change {seed}"] = bytes(changed)
    for name, bad in wrong.items():
        want = _outcome(bad, False)
        assert [_outcome(bad, cache) for _ in range(2)] == [want] * 2, name


def test_the_digest_leaves_out_nothing_but_debugging_information() -> None:
    source = module([(0, b"data")])
    with_debug = source + _custom(b".debug_info", b"one") + _custom(b"name", b"two")
    known = module_digest(with_debug)
    assert known == module_digest(source + _custom(b".debug_info", b"six") + _custom(b"name", b"two"))
    for other in (
        source,
        source + _custom(b".debug_info", b"four") + _custom(b"name", b"two"),
        source + _custom(b".debug_line", b"one") + _custom(b"name", b"two"),
        source + _custom(b".debug_info", b"one") + _custom(b"name", b"too"),
        source + _custom(b"name", b"two") + _custom(b".debug_info", b"one"),
        with_debug + b"\0",
        with_debug[:-1],
    ):
        assert module_digest(other) != known
    where = with_debug.index(b".debug_info") + len(b".debug_info")
    for at in set(range(len(with_debug))) - set(range(where, where + 3)):
        assert module_digest(with_debug[:at] + bytes([with_debug[at] ^ 1]) + with_debug[at + 1 :]) != known
    for end in range(len(with_debug)):
        module_digest(with_debug[:end] + b"\x80")  # whatever the bytes are, there is a digest


def test_bytes_are_read_and_hashed_meanwhile() -> None:
    data = module([(0, b"data")]) + _custom(b"large", bytes(1 << 20))
    for hashed in (Hashed(data), Hashed(None, lambda: data, len(data)), Hashed(None, lambda: data, 0)):
        assert hashed.data() == data and hashed.digest() == module_digest(data)

    def fail() -> bytes:
        raise OSError(5, "unreadable")

    for size in (0, 1 << 20):
        failed = Hashed(None, fail, size)
        for ask in (failed.data, failed.digest, failed.data):
            with pytest.raises(OSError, match="unreadable"):
                ask()


def test_a_forked_child_does_not_wait_for_a_thread_it_has_not() -> None:
    data = module([(0, b"data")]) + _custom(b"large", bytes(32 << 20))
    hashed = Hashed(data)
    child = os.fork()
    if child == 0:
        os._exit(hashed.digest() != module_digest(data))
    assert os.waitpid(child, 0)[1] == 0


def test_without_threads_everything_is_done_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("wardian.digest.start_new_thread", refuse)
    hashed = Hashed(bytes(1 << 20))  # a million sections, if it were a module
    assert hashed.digest() == module_digest(hashed.data())
