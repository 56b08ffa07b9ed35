"""Any bytes give a module or the phase's own error, never another exception, in linear time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import SupportsIndex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.binary.build import HEADER, leb, section, sized
from tests.support import COMPILED, data_root
from tests.syntax.samples import SAMPLES, body
from wardian.binary.body import instructions, locals_of
from wardian.binary.custom import Subsection, branch_hints, names
from wardian.binary.decode import decode
from wardian.binary.encode import encode
from wardian.errors import FeatureDisabled, LimitExceeded, MalformedError
from wardian.limits import Features
from wardian.syntax.instructions import ROWS

ALLOWED = (MalformedError, LimitExceeded, FeatureDisabled)


def harmless(source: bytes, features: Features = Features()) -> bool:  # noqa: B008
    """Do everything that can be done with the bytes of a module; whether it was one."""
    try:
        module = decode(source, features)
    except ALLOWED as error:
        if isinstance(error, MalformedError):
            assert error.offset is not None and 0 <= error.offset <= len(source)
        return False
    again = encode(module)
    assert encode(decode(again, features)) == again
    names(module).of(Subsection.FUNC)
    branch_hints(module)
    for start, end in module.bodies:
        try:
            _, pos = locals_of(source, start, end, features=features)
            for at, _, _ in instructions(source, pos, end, features):
                assert pos <= at < end
        except ALLOWED as error:
            if isinstance(error, MalformedError):
                assert error.offset is not None and start <= error.offset <= end
    return True


SECTION_IDS = st.integers(0, 14)
SECTIONS = st.builds(section, SECTION_IDS, st.binary(max_size=40))


@given(st.binary(max_size=100))
def test_any_bytes(raw: bytes) -> None:
    harmless(raw)
    harmless(HEADER + raw)


@given(st.lists(SECTIONS, max_size=5))
def test_any_sections(parts: list[bytes]) -> None:
    harmless(HEADER + b"".join(parts))


@given(st.lists(SECTIONS, max_size=4), st.sets(st.sampled_from(Features.names())))
def test_any_sections_with_any_features(parts: list[bytes], off: set[str]) -> None:
    harmless(HEADER + b"".join(parts), Features(**dict.fromkeys(off, False)))


@given(st.integers(1, 13), st.lists(st.binary(min_size=1, max_size=12), max_size=4))
def test_any_vector(section_id: int, items: list[bytes]) -> None:
    harmless(HEADER + section(section_id, bytes((len(items),)) + b"".join(items)))


@given(st.binary(max_size=60))
def test_any_body(raw: bytes) -> None:
    for source in (raw, raw + b"\x0b"):
        try:
            _, pos = locals_of(source, 0, len(source))
            for _ in instructions(source, pos, len(source), Features()):
                pass
        except ALLOWED:
            pass


ONE_OF_EACH = [body(row, imm)[: None if row.name == "end" else -1] for row in ROWS for imm in SAMPLES[row.imm][-1:]]


@given(st.lists(st.sampled_from(ONE_OF_EACH), max_size=30), st.binary(max_size=3), st.integers(0, 200))
def test_nearly_good_bodies(parts: list[bytes], noise: bytes, at: int) -> None:
    whole = b"".join(parts)
    code = whole[:at] + noise + whole[at:] + b"\x0b"
    source = HEADER + section(1, "01 60 00 00") + section(3, "01 00") + section(10, b"\1" + sized(b"\0" + code))
    assert harmless(source)


# -- real modules, damaged ---------------------------------------------------------------------------------------------


def _victims() -> list[Path]:
    root = data_root()
    found = sorted(root.glob("**/*.wasm")) if root else []
    return [path for path in found if path.stat().st_size < 60_000]


@pytest.mark.skipif(not _victims(), reason="the test data is absent")
@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**32))
def test_damaged_real_modules(data: st.DataObject, seed: int) -> None:
    raw = bytearray(data.draw(st.sampled_from(_victims())).read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw))
        what = chance.randrange(4)
        if what == 0:
            raw[at] = chance.randrange(256)
        elif what == 1:
            raw[at] ^= 1 << chance.randrange(8)
        elif what == 2:
            del raw[at : at + chance.randint(1, 8)]
        else:
            raw[at:at] = chance.randbytes(chance.randint(1, 8))
        if len(raw) < 9:
            break
    harmless(bytes(raw))


# -- linear time, counted ----------------------------------------------------------------------------------------------


class Counted(bytes):
    """Bytes that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:  # type: ignore[override]
        self.looks += (key.stop or len(self)) - (key.start or 0) if isinstance(key, slice) else 1
        return super().__getitem__(key)


def _looks(source: bytes) -> int:
    counted = Counted(source)
    try:
        module = decode(counted)
        for start, end in module.bodies:
            _, pos = locals_of(counted, start, end)
            for _ in instructions(counted, pos, end, Features()):
                pass
        names(module).of(Subsection.FUNC)
        names(module).within(Subsection.LOCAL)
    except ALLOWED:
        pass
    return counted.looks


CODE_HEAD = section(1, "01 60 00 00") + section(3, "01 00")


def _body(code: bytes) -> bytes:
    return HEADER + CODE_HEAD + section(10, b"\1" + sized(b"\0" + code))


def _vector(section_id: int, item: bytes, n: int, *before: bytes) -> bytes:
    return HEADER + b"".join(before) + section(section_id, leb(n) + item * n)


HOSTILE = {
    "sections": lambda n: HEADER + section(0, b"\0") * n,
    "types": lambda n: _vector(1, b"\x60\0\0", n),
    "types in groups": lambda n: _vector(1, b"\x4e\1\x50\0\x60\0\0", n),
    "empty groups": lambda n: _vector(1, b"\x4e\0", n),
    "imports": lambda n: _vector(2, b"\0\0\0\0", n),
    "funcs that lack their code": lambda n: _vector(3, b"\0", n),
    "globals": lambda n: _vector(6, b"\x7f\0\x23\0\x0b", n),
    "exports": lambda n: _vector(7, b"\0\0\0", n),
    "elements": lambda n: _vector(9, b"\1\0\1\0", n),
    "datas": lambda n: _vector(11, b"\0\x23\0\x0b\0", n),
    "bodies": lambda n: _vector(10, b"\2\0\x0b", n),
    "bad bodies before a bad section": lambda n: _vector(10, b"\3\0\1\x0b", n) + b"\xff\0",
    "blocks": lambda n: _body(b"\2\x40" * n + b"\x0b" * (n + 1)),
    "blocks never closed": lambda n: _body(b"\2\x40" * n),
    "a branch table": lambda n: _body(b"\x0e" + leb(n) + b"\0" * (n + 1) + b"\x0b"),
    "branch tables that lie": lambda n: _body(b"\x0e\xff\xff\0" * n),
    "an overlong integer": lambda n: _body(b"\x41" + b"\x80" * n),
    "names": lambda n: HEADER + section(0, b"\4name" + (b"\1\3\1\0\0" * n)),
    "local names": lambda n: HEADER + section(0, b"\4name\2" + sized(leb(n) + b"\0\0" * n)),
}


@pytest.mark.parametrize("shape", HOSTILE.values(), ids=HOSTILE)
def test_no_shape_costs_more_than_linear_time(shape: object) -> None:
    assert callable(shape)
    small, large = shape(400), shape(1600)
    assert 0 < _looks(small) <= 40 * len(small)
    assert _looks(large) <= 4.5 * _looks(small) + 1000


@pytest.mark.skipif(COMPILED, reason="native code looks at bytes without asking their type")
def test_looks_are_counted() -> None:
    assert _looks(_body(b"\1" * 1000 + b"\x0b")) > 1000
