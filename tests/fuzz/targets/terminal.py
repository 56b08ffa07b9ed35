"""Any bytes of two streams, cut anywhere, come out as visible text and known colours alone, the same for every cut;
what is kept of them is bounded."""

from __future__ import annotations

from collections.abc import Iterator

from tests.terminal.corpus import EVERYTHING
from tests.terminal.test_filter import FILTERING, harmless, small
from wardian.terminal import Filter, Screen


def seeds() -> Iterator[bytes]:
    for data in EVERYTHING:
        yield b"\1\3\0" + data
    yield b"\0\1\2" + b"\x1b[1mx\xcc\x81\x1b[m\xcc\x81y\r\n\xe2\x80\xae"


def run(data: bytes) -> None:
    """The first three bytes say how it is cut, and between the streams."""
    if len(data) < 4:
        return
    step, turn, ascii_only, content = data[0] % 40 + 1, data[1], data[2] == 255, data[3:]
    for mode in FILTERING:
        whole = Filter(mode, ascii=ascii_only)  # type: ignore[arg-type]
        expected = whole.feed(content) + whole.finish()
        harmless(expected, mode)
        made = Filter(mode, ascii=ascii_only)  # type: ignore[arg-type]
        out = b""
        for at in range(0, len(content), step):
            out += made.feed(content[at : at + step])
            small(made)
        assert out + made.finish() == expected
        screen = Screen()
        pair = [Filter(mode, screen=screen) for _ in range(2)]  # type: ignore[arg-type]
        out = b""
        for at in range(0, len(content), step):
            out += pair[turn >> (at % 8) & 1].feed(content[at : at + step])
        harmless(out + pair[0].finish() + pair[1].finish(), mode)
