"""Any text gives the bytes of a module, or an error with line and column inside the text, or a refusal; what was
accepted survives being written and read again; a script gives commands or such an error."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

from tests.fuzz.seeds import texts
from tests.text.test_fuzz import PIECES
from wardian.binary.decode import decode
from wardian.errors import BadInput, FeatureDisabled, LimitExceeded, MalformedError
from wardian.text.parse import assemble
from wardian.text.printer import to_text
from wardian.text.script import commands

_LINE = re.compile(rb"\r\n?|\n")
_TOKEN = re.compile(rb'\s+|[()]|"(?:[^"\\]|\\.)*"|[^\s()"]+')


def seeds() -> Iterator[bytes]:
    for text in texts():
        yield text.encode()
    yield b'(assert_return (invoke "f" (i32.const -1)) (f32.const nan:canonical)) (module quote "(func)")'
    yield b'(assert_trap (module binary "\\00asm") "x") (register "x" $m) (thread $t (module)) (wait $t)'


def _placed(error: MalformedError, data: bytes) -> None:
    lines = len(_LINE.findall(data)) + 1
    if error.line is not None:
        assert 1 <= error.line <= lines and error.column is not None and error.column >= 1


def run(data: bytes) -> None:
    try:
        list(commands(data))
    except MalformedError as error:
        _placed(error, data)
    except LimitExceeded:
        pass
    try:
        source = assemble(data)
    except MalformedError as error:
        _placed(error, data)
        return
    except (BadInput, LimitExceeded, FeatureDisabled):
        return
    try:
        printed = to_text(decode(source))
    except (BadInput, LimitExceeded, FeatureDisabled):
        return
    again = assemble(printed)
    # A binary quoted in a text may write integers longer than needed, which no text can say.
    assert again == source or (b"binary" in data and assemble(to_text(decode(again))) == again)


def mutate(data: bytes, most: int, chance: random.Random, change: Callable[[bytes, int], bytes]) -> bytes:
    """Half of the time by tokens: one is removed, repeated, swapped with another, or replaced by a word."""
    tokens = _TOKEN.findall(data)
    if not tokens or chance.random() < 0.5:
        return change(data, most)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        what = chance.randrange(5)
        if what == 0 and len(tokens) > 1:
            del tokens[at]
        elif what == 1:
            tokens.insert(at, tokens[other])
        elif what == 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif what == 3:
            tokens[at] = chance.choice(PIECES).encode()
        else:
            tokens[at : at + 1] = [b" ", chance.choice(PIECES).encode(), b" "]
    return b"".join(tokens)
