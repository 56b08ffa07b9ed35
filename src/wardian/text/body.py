"""Spec chapter "Text Format / Instructions": flat and folded instructions to the bytes of an expression.

Invariant: nothing here recurses on nesting. Open blocks and folded instructions stand on one stack, bounded by
``Limits.nesting``; each token is looked at a bounded number of times.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from wardian.errors import InvalidError
from wardian.syntax.instructions import BY_NAME
from wardian.text.lexer import HINT_NOTE, LEB_NOTE, Annotation, Cursor
from wardian.text.operands import PLAIN, READ, WITH_OPERANDS, opcode
from wardian.text.scope import BodyScope, Scope
from wardian.text.types import name_note

# What stands on the stack. Up to _FLAT_ELSE any instruction may follow, up to _CONDITION only a folded one.
_BASE: Final = 0
_BLOCK: Final = 1
_THEN: Final = 2
_ELSE: Final = 3
_FLAT_BLOCK: Final = 4
_FLAT_IF: Final = 5
_FLAT_ELSE: Final = 6
_OPERANDS: Final = 7
_CONDITION: Final = 8
_AFTER_THEN: Final = 9
_AFTER_ELSE: Final = 10

_END: Final = 0x0B
_ELSE_CODE: Final = 0x05

_BLOCKS: Final = {
    name: (READ[BY_NAME[name].imm], opcode(BY_NAME[name]), BY_NAME[name])
    for name in ("block", "loop", "try_table", "if")
}
HINTED: Final = frozenset({BY_NAME["if"].opcode, BY_NAME["br_if"].opcode})

_WIDTHS: Final = frozenset(map(str, range(11)))

Frame: TypeAlias = "tuple[int, bytes, str | None, int | None]"
"""Kind; the code that is written when it closes, or for a condition the ``if``; its label; its branch hint."""

_INSTRUCTION: Final = "an instruction"


@final
class Body:
    """One expression being read: a function's body, or a constant expression."""

    __slots__ = ("blocks", "cur", "frames", "hints", "inner", "label_names", "out", "scope")

    def __init__(self, cur: Cursor, scope: Scope, constants: dict[str, bytes]) -> None:
        self.cur = cur
        self.scope = scope
        self.inner = BodyScope(cur, scope, constants)
        self.out = bytearray()
        self.frames: list[Frame] = []
        self.blocks = 0
        self.label_names: dict[int, str] = {}
        self.hints: list[tuple[int, int]] = []

    # -- the loop ------------------------------------------------------------------------------------------------------

    def expression(self) -> bytes:
        """Instructions up to the `)` that closes what holds them, which is not read; ``end`` is appended."""
        self._run(single=False)
        self.out.append(_END)
        return bytes(self.out)

    def folded(self) -> bytes:
        """One folded instruction as an expression."""
        if self.cur.toks[self.cur.i] != "(":
            self.cur.unexpected(self.cur.i, "a folded instruction")
        self._run(single=True)
        self.out.append(_END)
        return bytes(self.out)

    def _run(self, *, single: bool) -> None:
        cur = self.cur
        toks = cur.toks
        out = self.out
        frames = self.frames
        inner = self.inner
        annotated = bool(cur.notes)
        plain = PLAIN
        others = WITH_OPERANDS
        kind = _BASE
        i = cur.i
        while True:
            token = toks[i]
            # FAST: flat instructions are nearly all of what a disassembler writes.
            if kind <= _FLAT_ELSE:
                code = plain.get(token)
                if code is not None and not annotated:
                    out += code
                    i += 1
                    continue
                other = others.get(token)
                if other is not None and not annotated:
                    cur.i = i + 1
                    out += other[0](inner, other[1], other[2])
                    i = cur.i
                    continue
            cur.i = i
            if token == "(":
                self._open_folded(kind)
            elif token == ")":
                if not frames:
                    return
                self._close_folded(kind)
            elif kind > _FLAT_ELSE:
                cur.unexpected(i, "a folded instruction or `)`")
            else:
                self._flat(token, kind)
            i = cur.i
            kind = frames[-1][0] if frames else _BASE
            if single and not frames:
                return

    # -- one instruction -----------------------------------------------------------------------------------------------

    def _plain(self, at: int) -> tuple[bytes, int | None] | None:
        """The code and the branch hint of the instruction at the cursor, or ``None`` if it is no plain one.

        ``at`` is where it begins: at itself, or at the parenthesis around it.
        """
        cur = self.cur
        start = cur.i
        token = cur.toks[start]
        code = PLAIN.get(token)
        cur.i = start + 1
        if code is None:
            other = WITH_OPERANDS.get(token)
            if other is None:
                cur.i = start
                return None
            code = other[0](self.inner, other[1], other[2])
        return self._annotated(at, start, code) if cur.notes else (code, None)

    def _annotated(self, at: int, start: int, code: bytes) -> tuple[bytes, int | None]:
        """What annotations before the instruction's parenthesis, or before itself, make of its ``code``."""
        cur = self.cur
        hint: int | None = None
        for place in dict.fromkeys((at, start)):
            note = cur.note_at(place, HINT_NOTE)
            if note is not None:
                hint = self._hint(note, code)
                if cur.note_at(place, HINT_NOTE) is not None:
                    cur.bad_note(note, "duplicate annotation")
            note = cur.note_at(place, LEB_NOTE)
            if note is not None:
                code = self._widened(note, code)
        return code, hint

    def _hint(self, note: Annotation, code: bytes) -> int:
        if code[0] not in HINTED:
            line, column, excerpt = self.cur.note_place(note)
            raise InvalidError(f"@{HINT_NOTE} annotation: invalid target", line=line, column=column, excerpt=excerpt)
        content = self.cur.note_bytes(note, 0) if len(note.tokens) == 1 else b""
        if content not in (b"\0", b"\1"):
            self.cur.bad_note(note, 'malformed branch hint: "\\00" or "\\01" expected')
        return content[0]

    def _widened(self, note: Annotation, code: bytes) -> bytes:
        widths = [int(token) if token in _WIDTHS else -1 for token in note.tokens]
        if not widths or min(widths) < 0:
            self.cur.bad_note(note, "malformed: the width in bytes of each integer expected, 0 for the least")
        found = widen(code, widths)
        if found is None:
            self.cur.bad_note(note, "malformed: the instruction has not as many integers, or they are wider")
        return found

    def _emit(self, code: bytes, hint: int | None) -> None:
        if hint is not None:
            self.hints.append((len(self.out), hint))
        self.out += code

    def _push(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.scope.limits.check("nesting", len(self.frames))

    # -- labels --------------------------------------------------------------------------------------------------------

    def _label_definition(self) -> str | None:
        """The identifier after a block's keyword; an annotation may replace it in the name section."""
        name = self.cur.identifier()
        shown = name_note(self.cur) if self.cur.notes else None
        if shown is not None or name is not None:
            self.label_names[self.blocks] = shown if shown is not None else (name or "$")[1:]
        self.blocks += 1
        return name

    def _same_label(self, name: str | None) -> None:
        """An identifier after ``else`` or ``end`` must be that of the block."""
        at = self.cur.i
        found = self.cur.identifier()
        if found is not None and found != name:
            self.cur.fail(at, f"mismatching label {found}: the block's is {name or 'not named'}")

    # -- flat instructions ---------------------------------------------------------------------------------------------

    def _flat(self, token: str, kind: int) -> None:
        cur = self.cur
        at = cur.i
        if token in _BLOCKS:
            cur.i += 1
            name = self._label_definition()
            reader, code, row = _BLOCKS[token]
            code, hint = (
                self._annotated(at, at, reader(self.inner, code, row))
                if cur.notes
                else (reader(self.inner, code, row), None)
            )
            self._emit(code, hint)
            self.inner.open_label(name)
            self._push((_FLAT_IF if token == "if" else _FLAT_BLOCK, b"", name, None))
        elif token == "end" and _FLAT_BLOCK <= kind <= _FLAT_ELSE:
            cur.i += 1
            name = self.frames.pop()[2]
            self._same_label(name)
            self.inner.close_label()
            self.out.append(_END)
        elif token == "else" and kind == _FLAT_IF:
            cur.i += 1
            name = self.frames.pop()[2]
            self._same_label(name)
            self.frames.append((_FLAT_ELSE, b"", name, None))
            self.out.append(_ELSE_CODE)
        else:
            found = self._plain(at)
            if found is None:
                cur.unexpected(at, _INSTRUCTION if kind < _FLAT_BLOCK else "an instruction or `end`")
            self._emit(*found)

    # -- folded instructions -------------------------------------------------------------------------------------------

    def _open_folded(self, kind: int) -> None:
        cur = self.cur
        at = cur.i
        cur.i += 1
        token = cur.toks[cur.i]
        if kind >= _CONDITION:
            if self._open_arm(kind, token):
                return
            if kind > _CONDITION:
                cur.unexpected(cur.i, "`(else`" if kind == _AFTER_THEN else "`)`")
        if token in _BLOCKS:
            self._open_block(at, token)
            return
        found = self._plain(at)
        if found is None:
            cur.unexpected(cur.i, "an instruction")
        self._push((_OPERANDS, found[0], None, found[1]))

    def _open_block(self, at: int, token: str) -> None:
        cur = self.cur
        start = cur.i
        cur.i += 1
        name = self._label_definition()
        reader, code, row = _BLOCKS[token]
        code = reader(self.inner, code, row)
        hint: int | None = None
        if cur.notes:
            code, hint = self._annotated(at, start, code)
        if token == "if":
            self._push((_CONDITION, code, name, hint))
            return
        self._emit(code, hint)
        self.inner.open_label(name)
        self._push((_BLOCK, b"", name, None))

    def _open_arm(self, kind: int, token: str) -> bool:
        """``(then`` or ``(else``, where it may stand."""
        if kind == _CONDITION and token == "then":
            _, code, name, hint = self.frames.pop()
            self._emit(code, hint)
            self.inner.open_label(name)
            self.frames.append((_AFTER_THEN, b"", name, None))
            self._push((_THEN, b"", name, None))
        elif kind == _AFTER_THEN and token == "else":
            self.out.append(_ELSE_CODE)
            _, _, name, _ = self.frames.pop()
            self.frames.append((_AFTER_ELSE, b"", name, None))
            self._push((_ELSE, b"", name, None))
        else:
            return False
        self.cur.i += 1
        return True

    def _close_folded(self, kind: int) -> None:
        if _FLAT_BLOCK <= kind <= _FLAT_ELSE:
            self.cur.unexpected(self.cur.i, "`end`")
        if kind == _CONDITION:
            self.cur.unexpected(self.cur.i, "`(then`")
        frame = self.frames.pop()
        if kind == _OPERANDS:
            self._emit(frame[1], frame[3])
        elif kind not in (_THEN, _ELSE):
            self.out.append(_END)
            self.inner.close_label()
        self.cur.i += 1


def widen(code: bytes, widths: list[int]) -> bytes | None:
    """``code`` with its LEB128 integers, from the one after the opcode's byte on, as wide as ``widths`` says.

    A width of 0 leaves an integer as it is. ``None`` if that cannot be done.
    """
    out = bytearray(code[:1])
    pos = 1
    for width in widths:
        start = pos
        while pos < len(code) and code[pos] >= 0x80:
            pos += 1
        pos += 1
        if pos > len(code) or (width and width < pos - start):
            return None
        out += code[start:pos]
        if width > pos - start:
            # The padding repeats the sign, which only signed integers have: bit 6 of the last byte, in constants.
            fill = 0x7F if code[0] in _SIGNED and code[pos - 1] & 0x40 else 0
            out[-1] |= 0x80
            out += bytes((fill | 0x80,)) * (width - (pos - start) - 1) + bytes((fill,))
    return bytes(out + code[pos:])


_SIGNED: Final = frozenset({BY_NAME["i32.const"].opcode, BY_NAME["i64.const"].opcode})
