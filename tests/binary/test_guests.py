"""Real modules: decoded, streamed and written back, all of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import EVERYTHING, data_root, wasm_tools
from wardian.binary.body import instructions, locals_of
from wardian.binary.custom import Subsection, names
from wardian.binary.decode import decode
from wardian.binary.encode import encode, write_instruction, write_locals
from wardian.limits import Features

ROOT = data_root()
GUESTS = sorted(ROOT.glob("**/*.wasm")) if ROOT else []
SMALL = [path for path in GUESTS if path.stat().st_size < 2_000_000]

pytestmark = pytest.mark.skipif(not GUESTS, reason="the test data is absent")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if ROOT else str(path)


@pytest.mark.parametrize("path", GUESTS, ids=relative)
def test_encode_gives_the_file_back(path: Path) -> None:
    source = path.read_bytes()
    module = decode(source, EVERYTHING)
    assert encode(module) == source
    names(module).of(Subsection.FUNC)


@pytest.mark.parametrize("path", GUESTS, ids=relative)
def test_every_body_streams(path: Path) -> None:
    """The offsets of each stream are gapless: what is written from it is what was read, but for padded integers."""
    source = path.read_bytes()
    module = decode(source, EVERYTHING)
    features = Features()
    rewrite = path.stat().st_size < 500_000
    for start, end in module.bodies:
        runs, pos = locals_of(source, start, end)
        if not rewrite:
            for _ in instructions(source, pos, end, features, has_data_count=module.data_count is not None):
                pass
            continue
        found = list(instructions(source, pos, end, features))
        out = bytearray()
        write_locals(out, runs)
        for _, row, imm in found:
            write_instruction(out, row, imm)
        short = bytes(out)
        again, first = locals_of(short, 0, len(short))
        assert again == runs
        assert [x[1:] for x in instructions(short, first, len(short), features)] == [x[1:] for x in found]


@pytest.mark.parametrize("path", SMALL[::4], ids=relative)
def test_wasm_tools_finds_the_same_instructions(path: Path) -> None:
    """``wasm-tools dump`` names the offset of every instruction."""
    dump = subprocess.run([*wasm_tools(), "dump", str(path)], capture_output=True, check=True).stdout.decode()
    lines = [line.split("|") for line in dump.splitlines()]
    spoken = {int(parts[0], 16) for parts in lines if len(parts) == 3 and parts[0].strip()}
    source = path.read_bytes()
    for start, end in decode(source, EVERYTHING).bodies:
        _, pos = locals_of(source, start, end)
        assert {at for at, _, _ in instructions(source, pos, end, Features())} <= spoken
