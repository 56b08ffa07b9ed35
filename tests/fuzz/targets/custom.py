"""Whatever a custom section contains: its names and hints are read without an error, are what an absent section's would
be or belong to the module, and the module survives being written as text."""

from __future__ import annotations

from collections.abc import Iterator

from tests.binary.build import HEADER, leb, section, sized
from wardian.binary.custom import BRANCH_HINT_SECTION, INDIRECT, NAME_SECTION, Subsection, branch_hints, names
from wardian.binary.decode import decode
from wardian.errors import BadInput, printable
from wardian.syntax.module import Module
from wardian.text.parse import assemble
from wardian.text.printer import to_text

_TYPES = section(1, b"\2\x60\1\x7f\1\x7f\x5f\1\x7f\0")
_CODE = section(
    10,
    b"\2" + sized(b"\0\x20\0\x04\x7f\x41\1\x05\x41\2\x0b\x0b") + sized(b"\1\1\x7e\x02\x40\x20\0\x0d\0\x0b\x20\0\x0b"),
)
_NAMES = (NAME_SECTION, BRANCH_HINT_SECTION, "other")


def seeds() -> Iterator[bytes]:
    name = b"\1f"
    one, two = leb(1) + b"\0" + name, leb(1) + b"\0" + leb(1) + b"\0" + name
    yield b"\0\0" + sized(b"m")
    for space in Subsection:
        content = sized(b"mod") if space is Subsection.MODULE else two if space in INDIRECT else one
        yield b"\0" + bytes((space,)) + sized(content)
    yield b"\0" + b"".join(bytes((space,)) + sized(one) for space in (1, 4, 5))
    yield b"\1" + b"\1\0\1\2\1\1"
    yield b"\1" + b"\2\0\1\2\1\1\1\1\5\1\0"
    yield b"\2anything"


def build(data: bytes) -> bytes:
    """A module with a custom section: the first byte says which, and where it stands."""
    custom = section(0, sized(_NAMES[data[0] % 3].encode()) + data[1:])
    parts = [_TYPES, section(3, b"\2\0\0"), _CODE]
    parts.insert(3 if data[0] < 128 else 2, custom)
    return HEADER + b"".join(parts)


def run(data: bytes) -> None:
    if not data:
        return
    module = decode(build(data))
    found = names(module)
    for space in Subsection:
        if space is Subsection.MODULE:
            found.module()
        elif space in INDIRECT:
            for outer, inner in found.within(space).items():
                assert outer >= 0 and all(type(name) is str for name in inner.values())
        else:
            assert all(type(name) is str and printable(name).isprintable() for name in found.of(space).values())
    bodies = module.bodies
    assert all(bodies[0][0] <= at for at in branch_hints(module))
    _round_trip(module)


def _round_trip(module: Module) -> None:
    """As text and back: the same names and hints, and the same bytes if no integer was longer than needed."""
    text = to_text(module)
    try:
        again = decode(assemble(text))
    except BadInput as error:
        raise AssertionError(f"{error}\n{text}") from None
    if again.source == module.source:
        return
    one, two = names(module), names(again)
    assert one.module() == two.module()
    for space in sorted({*Subsection} - {Subsection.MODULE}):
        assert one.within(space) == two.within(space) if space in INDIRECT else one.of(space) == two.of(space), text
    assert list(branch_hints(module).values()) == list(branch_hints(again).values())
    assert assemble(to_text(again)) == again.source, text
