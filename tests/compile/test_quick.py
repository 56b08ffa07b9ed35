"""The quick way through a body gives what the one by steps gives, byte by byte and word by word."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.compile.odd_modules import broken, modules
from tests.support import data_root, shared_library
from wardian.binary.body import instructions, locals_of
from wardian.binary.decode import decode
from wardian.binary.tokens import pieces
from wardian.compile.baseline.driver import BaselineCompiler
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.baseline.heat import Heat
from wardian.compile.baseline.library import Group, Library
from wardian.compile.baseline.unsupported import Unsupported
from wardian.compile.options import CodeOptions
from wardian.errors import WardianError
from wardian.limits import Features, Limits
from wardian.text.parse import assemble
from wardian.valid.context import ModuleContext
from wardian.valid.module import validate_module

HEAT = Heat.after(1000)


def _library(checks: str = "guard") -> Library:
    options = CodeOptions(checks=checks, spectre="basic")  # type: ignore[arg-type]  # one of the two
    return shared_library(Flavour(options, is64=False, shared=False))[0]


def _more(group: str) -> Group:
    raise Unsupported(group)


def _outcome(way: Callable[[int, Heat], bytes], index: int) -> bytes | str:
    try:
        return way(index, HEAT)
    except (WardianError, Unsupported) as error:
        return f"{type(error).__name__}: {error}"


def _same(ctx: ModuleContext, library: Library) -> int:
    """How many functions became code; both ways have made the same of all."""
    compiler = BaselineCompiler(ctx, library, _more)
    made = 0
    for index in range(len(ctx.module.bodies)):
        quick, by_steps = _outcome(compiler.function, index), _outcome(compiler.by_steps, index)
        assert quick == by_steps, (index, quick if isinstance(quick, str) else len(quick), by_steps)
        made += isinstance(quick, bytes)
    return made


def _context(source: bytes) -> ModuleContext | None:
    try:
        return validate_module(decode(source), Features(), Limits())
    except WardianError:
        return None


@pytest.mark.parametrize("count", [4, pytest.param(400, marks=pytest.mark.slow)])
def test_both_ways_make_the_same(count: int) -> None:
    library = _library()
    found = [_same(ctx, library) for source in modules(count) if (ctx := _context(source)) is not None]
    assert sum(found) > 200


@pytest.mark.parametrize("changes", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_broken_bodies_are_refused_in_the_same_words(changes: int) -> None:
    root = data_root()
    if root is None:
        pytest.skip("needs a real program")
    rng = random.Random(11)
    ctx = _context((root / "guests/lua.wasm").read_bytes())
    assert ctx is not None
    library, whole = _library(), ctx.module
    outcomes = set()
    for _ in range(changes):
        start, end = rng.choice(whole.bodies)
        if end - start > 400:
            continue
        # One body is enough, and it may refer to all the rest of the module.
        source = whole.source[:start] + broken(whole.source[start:end], rng, 0) + whole.source[end:]
        index = whole.bodies.index((start, end))
        other = validate_module(whole.__replace__(source=source), Features(), Limits())
        compiler = BaselineCompiler(other, library, _more)
        quick = _outcome(compiler.function, index)
        assert quick == _outcome(compiler.by_steps, index), source[start:end].hex()
        outcomes.add(quick.split(":")[0] if isinstance(quick, str) else "")
    assert {"", "InvalidError", "MalformedError"} <= outcomes


_SHORT = """(module (memory 1)
  (func $f (param i32 i32) (result i32) (local i32)
    (local.set 2 (i32.add (local.get 0) (local.get 1))) (local.set 0 (i32.load offset=11 (local.get 2)))
    (if (i32.eqz (local.get 0)) (then (local.set 1 (i32.const 11))))
    (block (br_if 0 (i32.lt_s (local.get 0) (local.get 1))) (i32.store8 offset=11 (local.get 0) (local.get 2)))
    (local.tee 1 (i32.popcnt (call $f (local.get 0) (i32.eq (local.get 1) (i32.const 33)))))))"""


def test_bodies_that_are_cut_off() -> None:
    """What follows may look like more of the body, or there may be nothing."""
    library, whole = _library(), decode(assemble(_SHORT, Features(), Limits()))
    ((start, end),) = whole.bodies
    for cut in range(start, end + 1):
        for rest in (b"", b"\x21", b"\x21\0", b"\x22\0\0", b"\x0b\x0b\x0b"):
            module = whole.__replace__(source=whole.source[:cut] + rest, bodies=[(start, cut)])
            compiler = BaselineCompiler(validate_module(module, Features(), Limits()), library, _more)
            quick = _outcome(compiler.function, 0)
            assert quick == _outcome(compiler.by_steps, 0), (whole.source[start:cut].hex(), rest)
            assert isinstance(quick, bytes) == (cut == end)


@pytest.mark.slow
def test_explicit_checks_too() -> None:
    """Stencils that jump to traps are not copied with their holes filled."""
    root = data_root()
    if root is None:
        pytest.skip("needs a real program")
    ctx = _context((root / "guests/lua.wasm").read_bytes())
    assert ctx is not None
    compiler = BaselineCompiler(ctx, _library("explicit"), _more)
    for index in range(0, len(ctx.module.bodies), 9):
        assert _outcome(compiler.function, index) == _outcome(compiler.by_steps, index)


def test_pieces_are_the_instructions() -> None:
    """Cut anywhere, long bodies too; what is not known begins where the row of pieces ends."""
    plain = b"\x20\x00\x21\x00" * 5000 + b"\x41\xff\x00\x22\x81\x00\x1a\x0e\x01\x00\x00\x0b"
    pos, seen = 0, 0
    while found := pieces(plain, pos, len(plain)):
        pos += sum(map(len, found))
        seen += len(found)
        assert plain[pos] not in (0x21, 0x22)
    assert (seen, plain[pos]) == (10_003, 0x0E)
    for source in modules(3):
        try:
            module = decode(source)
            for start, end in module.bodies:
                _, pos = locals_of(source, start, end)
                stream = [at for at, _, _ in instructions(source, pos, end, Features())]
                found = pieces(source, pos, end)
                at = [pos + sum(map(len, found[:i])) for i in range(len(found))]
                assert stream[: len(at)] == at
        except WardianError:
            pass
