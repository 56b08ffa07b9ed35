"""From LLVM's assembler text of templates to stencils in every register: rename, assemble at once, cut apart.

Invariant: a stencil is the template's instructions with registers renamed, nothing else; LLVM's own assembler encodes
it. What a stencil ends with is cut off if it is the jump to what follows.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, final

from wardian.compile.baseline.machines import Machine, Syntax

_FUNCTION: Final = re.compile(r"^([A-Za-z_]\w*):\n(.*?)^\.Lfunc_end", re.MULTILINE | re.DOTALL)
_CONSTANT: Final = re.compile(r"^(\.LCPI\d+_\d+):\n((?:\s+\.(?:quad|long|short|byte|zero)\b.*\n)+)", re.MULTILINE)
_LOCAL: Final = re.compile(r"\.LBB\d+_\d+")
_POOL: Final = re.compile(r"\.LCPI(\d+_\d+)")
_BLOCK: Final = re.compile(r"^(\.LBB\d+_\d+):$")


class Body(NamedTuple):
    """A template's instructions and all registers in them."""

    lines: tuple[str, ...]
    used: frozenset[str]


class Part(NamedTuple):
    """A piece of machine code; ``fields`` are ``(offset, kind, symbol, added)``, see
    :attr:`wardian.compile.baseline.machines.Machine.RELOCATIONS`."""

    code: bytes
    fields: tuple[tuple[int, str, str, int], ...]


def bodies(assembly: str, syntax: Syntax) -> tuple[dict[str, Body], dict[str, str]]:
    """Each function's instructions, and each constant's directives, by name."""
    text = syntax.rewritten(re.sub(rf"[ \t]*{syntax.comment}.*$", "", assembly, flags=re.MULTILINE))
    constants = {_POOL.sub(r"K\1", name): data for name, data in _CONSTANT.findall(text)}
    found = {}
    for name, body in _FUNCTION.findall(text):
        lines = [line for line in body.splitlines() if line.strip() and not re.match(r"\s+\.", line)]
        lines = [_POOL.sub(r"K\1", line) for line in _tidy(lines, syntax)]
        found[name] = _without(syntax, lines)
    return found, constants


def _without(syntax: Syntax, lines: list[str]) -> Body:
    """The body with other registers for those that stencils must leave alone."""
    text = "\n".join(lines)
    used = frozenset(syntax.register.findall(text))
    others = syntax.others(used)
    if not others:
        return Body(tuple(lines), used)
    assert not any(line.startswith(syntax.call) for line in lines), "what is renamed is kept across a call"
    text = syntax.register.sub(lambda found: syntax.sigil + others.get(found[1], found[1]), text)
    return Body(tuple(text.split("\n")), frozenset(syntax.register.findall(text)))


def _tidy(lines: list[str], syntax: Syntax) -> list[str]:
    """Jumps to blocks that only jump on go there at once, and the jump to what follows comes last and is dropped."""
    onward: dict[str, str] = {}
    i = 0
    while i < len(lines):
        block = _BLOCK.match(lines[i])
        if block and syntax.near and any(block[1] in line for line in lines if syntax.near.match(line)):
            i += 1
            continue
        jump = syntax.jump.match(lines[i + 1]) if block and i + 1 < len(lines) else None
        if block and jump and i and lines[i - 1].startswith(syntax.leaves):
            onward[block[1]] = jump[1]
            del lines[i : i + 2]
        else:
            i += 1
    lines = [_LOCAL.sub(lambda found: onward.get(found[0], found[0]), line) for line in lines]
    if len(lines) > 1 and (jump := syntax.jump.match(lines[-1])) and jump[1] != "next":
        other = syntax.conditional.match(lines[-2])
        opposite = syntax.opposite(other[1]) if other and other[2] == "next" else None
        if opposite is not None:
            lines[-2:] = [f"{opposite}{jump[1]}", f"{syntax.jump_to}next"]
    if lines and lines[-1] == f"{syntax.jump_to}next":
        lines.pop()
    return lines


def renamed(
    body: Body, names: Mapping[str, str], machine: Machine, unique: int, before: str = "", after: str = ""
) -> str:
    """The instructions with registers exchanged (at once, so two may swap) and local labels made unique.

    A register something is renamed to must be none the body uses for itself.
    """
    clash = body.used.intersection(names.values()).difference(names)
    assert not clash, f"a stencil uses {clash} itself"

    def register(found: re.Match[str]) -> str:
        return sigil + names.get(found[1], found[1])

    sigil, registers = machine.SYNTAX.sigil, machine.REGISTERS

    text = "\n".join(body.lines)
    if names:
        text = registers.pattern.sub(register, text)
    if after:
        text = f"{_NEXT.sub(f'.Lafter{unique}', text)}\n.Lafter{unique}:\n{after}"
    return _LOCAL.sub(lambda found: f".Lu{unique}{found[0][2:]}", before + text)


_NEXT: Final = re.compile(r"\bnext$", re.MULTILINE)


@final
class Source:
    """Assembler source of many stencils, and their machine code afterwards."""

    def __init__(self, constants: Mapping[str, str], machine: Machine) -> None:
        self._machine = machine
        self._lines = [".text"]
        self._constants = constants
        self._count = 0

    def add(self, text: str) -> int:
        """The number the stencil will have."""
        self._lines.append(f"stencil{self._count}:\n{text}")
        self._count += 1
        return self._count - 1

    @property
    def next(self) -> int:
        return self._count

    def text(self) -> str:
        """The whole source."""
        data = ['.section .rodata.k,"a",@progbits', ".p2align 6"]
        for name, directives in self._constants.items():
            data.append(f".globl {name}\n.p2align 6\n{name}:\n{directives}")
        return "\n".join([*self._lines, f"stencil{self._count}:", "nop", *data, "Kend:", ".byte 0"])

    def parts(self, obj: bytes) -> tuple[list[Part], dict[str, bytes]]:
        """The stencils by number and the constants by name, out of the ELF object the text became."""
        elf = _Elf(obj)
        starts = [elf.symbols[f"stencil{i}"][1] for i in range(self._count + 1)]
        section = elf.symbols["stencil0"][0]
        code = elf.content(section)
        relocations = sorted(elf.relocations(section))
        kinds = self._machine.RELOCATIONS
        found = []
        at = 0
        for i in range(self._count):
            fields = []
            while at < len(relocations) and relocations[at][0] < starts[i + 1]:
                offset, number, symbol, added = relocations[at]
                fields.append((offset - starts[i], kinds[number], symbol, added))
                at += 1
            found.append(Part(code[starts[i] : starts[i + 1]], tuple(fields)))
        return found, self._pool(elf)

    def _pool(self, elf: _Elf) -> dict[str, bytes]:
        if not self._constants:
            return {}
        section = elf.symbols[next(iter(self._constants))][0]
        content = elf.content(section)
        sizes = {name: _data_size(directives) for name, directives in self._constants.items()}
        return {name: content[elf.symbols[name][1] :][:size] for name, size in sizes.items()}


_DATA: Final = {".quad": 8, ".long": 4, ".short": 2, ".byte": 1}


def _data_size(directives: str) -> int:
    size = 0
    for line in directives.split("\n"):
        words = line.split()
        if words:
            size += int(words[1].split(",")[0]) if words[0] == ".zero" else _DATA[words[0]]
    return size


@final
class _Elf:
    """As much of an ELF64 object as is asked for."""

    def __init__(self, obj: bytes) -> None:
        self._obj = obj
        shoff, size, count = struct.unpack_from("<Q", obj, 40)[0], *struct.unpack_from("<HH", obj, 58)
        self._sections = [struct.unpack_from("<IIQQQQIIQQ", obj, shoff + i * size) for i in range(count)]
        self._names: list[str] = []
        self.symbols: dict[str, tuple[int, int]] = {}
        table = next(s for s in self._sections if s[1] == 2)
        strings = self._sections[table[6]][4]
        for at in range(table[4], table[4] + table[5], 24):
            name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", obj, at)
            text = obj[strings + name : obj.index(b"\0", strings + name)].decode()
            self._names.append(text)
            self.symbols[text] = section, value

    def content(self, section: int) -> bytes:
        _, _, _, _, offset, size, *_ = self._sections[section]
        return self._obj[offset : offset + size]

    def relocations(self, section: int) -> Iterator[tuple[int, int, str, int]]:
        """``(offset, kind, symbol, added)``."""
        for entry in self._sections:
            if entry[1] == 4 and entry[7] == section:
                for offset, info, added in struct.iter_unpack("<QQq", self.content_of(entry)):
                    yield offset, info & 0xFFFFFFFF, self._names[info >> 32], added

    def content_of(self, entry: Sequence[int]) -> bytes:
        return self._obj[entry[4] : entry[4] + entry[5]]
