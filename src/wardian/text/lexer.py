"""Spec chapter "Text Format / Lexical Format": characters to tokens, each of which knows its place.

Invariant: any text is cut into tokens in time linear in its length, whatever is in it; what is no token of the language
becomes one that no rule of the grammar accepts, and :meth:`Cursor.unexpected` then says what is wrong with it. A text
is cut one group of parentheses at a time, so only the tokens of one field are ever in memory. Tokens are plain strings;
where one stands is found by cutting its group a second time, which happens at most once: for the error message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, Never, final

from wardian.errors import MalformedError, printable
from wardian.syntax.instructions import BY_NAME
from wardian.syntax.types import ABS_HEAP_TYPES
from wardian.text.numbers import is_number

# -- the regular expressions -------------------------------------------------------------------------------------------

_ID: Final = r"[!#$%&'*+\-./0-9:<=>?@A-Z\\^_`a-z|~]"
_STRING: Final = r'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"'
_ATOM: Final = rf"(?:{_ID}++|{_STRING})++"
_BLANK: Final = r"(?:[ \t\r\n]++|;;[^\r\n]*+)*+"

_TOKEN: Final = re.compile(rf'{_BLANK}({_ATOM}|\((?:@(?:{_ATOM})?+)?+|\)|"[^\n]*+|[^ \t\r\n]|\Z)')
"""One token: an atom, a parenthesis, the head of an annotation, a string that is not closed, any other character, or
the empty one at the end."""

_PARENS: Final = re.compile(rf'\([^()";]*+\)|;;[^\r\n]*+|{_STRING}|(\()|(\))|(")')
"""What matters to the nesting of parentheses; without a group are those things that leave it as it is."""

_BLANKS: Final = re.compile(_BLANK)
_HEAD: Final = re.compile(rf'\({_BLANK}([a-z]++){_BLANK}(\${_ID}*+"?|\(@)?')
_OUTSIDE_COMMENTS: Final = re.compile(r'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"?|;;[^\r\n]*+|(\(;)')
_COMMENT: Final = re.compile(r"\(;|;\)")
_NOT_NEWLINE: Final = re.compile(r"[^\r\n]")
_WHOLE_ATOM: Final = re.compile(rf"{_ATOM}\Z")
_PLAIN_STRING: Final = re.compile(rf"{_STRING}\Z")
_PLAIN_ID: Final = re.compile(rf"\$(?:{_ID}++|{_STRING})\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

_KEYWORDS: Final = frozenset(
    """
    i32 i64 f32 f64 v128 i8 i16 ref null mut field func struct array sub final rec type param result local global table
    memory tag import export start elem data item declare offset module binary quote definition instance then catch
    catch_ref catch_all catch_all_ref shared pagesize funcref externref anyref eqref i31ref structref arrayref exnref
    nullref nullfuncref nullexternref nullexnref i8x16 i16x8 i32x4 i64x2 f32x4 f64x2 register invoke get either script
    input output thread wait ref.extern ref.host ref.any ref.eq ref.i31 ref.struct ref.array ref.exn ref.func ref.null
    assert_return assert_trap assert_exhaustion assert_exception assert_malformed assert_invalid assert_unlinkable
    assert_malformed_custom assert_invalid_custom
    """.split()
)
"""The words of the grammar besides mnemonics and heap types."""

_EXCERPT: Final = 100


# -- the text as a whole -----------------------------------------------------------------------------------------------


@final
class Source:
    """A text: ``original`` as it was given, ``text`` with its block comments blanked out, so that offsets agree."""

    __slots__ = ("original", "text")

    def __init__(self, given: str | bytes) -> None:
        """Raises :class:`MalformedError` if the text is not UTF-8, or a comment is not closed."""
        self.original = _decoded(given)
        self.text = self.original
        if "(;" in self.text:
            self.text = self._without_comments()

    def fail(self, offset: int, message: str) -> Never:
        """Raise :class:`MalformedError` with the place ``offset``, its line and a caret below it."""
        line, column, excerpt = self.place(offset)
        raise MalformedError(message, line=line, column=column, excerpt=excerpt)

    def place(self, offset: int) -> tuple[int, int, str]:
        """Line and column of ``offset``, counted from 1, and the line, or its part around the offset, with a caret."""
        text = self.original
        before = text[:offset]
        first, line = _line_start(before), _line(before)
        start = max(first, offset - _EXCERPT // 2)
        stop = min(
            (len(text), start + _EXCERPT, *(at for at in (text.find("\n", offset), text.find("\r", offset)) if at >= 0))
        )
        shown = [" " if c == "\t" else printable(c) for c in text[start:stop]]
        caret = sum(map(len, shown[: offset - start]))
        lead = "... " if start > first else ""
        return line, offset - first + 1, f"{lead}{''.join(shown)}\n{' ' * (len(lead) + caret)}^"

    def _without_comments(self) -> str:
        text = self.text
        parts: list[str] = []
        done = 0
        pos = 0
        while found := _OUTSIDE_COMMENTS.search(text, pos):
            pos = found.end()
            if found.lastindex is None:
                continue
            start = found.start()
            depth = 1
            while depth:
                inner = _COMMENT.search(text, pos)
                if inner is None:
                    self.fail(start, "unclosed comment")
                depth += 1 if inner.group() == "(;" else -1
                pos = inner.end()
            parts.append(text[done:start])
            parts.append(_NOT_NEWLINE.sub(" ", text[start:pos]))
            done = pos
        parts.append(text[done:])
        return "".join(parts)

    def groups(self, pos: int, end: int) -> Iterator[tuple[int, int]]:
        """The groups in parentheses, annotations among them, that stand side by side in ``text[pos:end]``.

        Raises :class:`MalformedError` for what is no group, and for one that is not closed.
        """
        text = self.text
        while True:
            blank = _BLANKS.match(text, pos, end)
            pos = blank.end() if blank else pos
            if pos >= end:
                return
            if text[pos] != "(":
                Cursor(self, pos, end).unexpected(0, "`(`")
            after = self._group_end(pos, end)
            yield pos, after
            pos = after

    def _group_end(self, pos: int, end: int) -> int:
        depth = 0
        for found in _PARENS.finditer(self.text, pos, end):
            kind = found.lastindex
            if kind == 1:
                depth += 1
            elif kind == 2:
                depth -= 1
            elif kind == 3:
                self._unclosed_string(found.start())
            if depth == 0:
                return found.end()
        self._unclosed_group(pos, end)

    def _unclosed_string(self, pos: int) -> Never:
        before = self.text[max(0, pos - 2) : pos]
        if before.endswith("$"):
            self.fail(pos - 1, "empty identifier: `$` must be followed by a name")
        if before == "(@":
            self.fail(pos - 2, "empty annotation id")
        self.fail(pos, "unclosed string")

    def _unclosed_group(self, pos: int, end: int) -> Never:
        opened: list[tuple[int, str]] = []
        for found in _TOKEN.finditer(self.text, pos, end):
            token = found.group(1)
            if token.startswith("("):
                opened.append((found.start(1), token))
            elif token == ")":
                opened.pop()
        for start, token in opened:
            if token != "(":
                self.fail(start, "unclosed annotation")
        self.fail(opened[-1][0], "unexpected token: the text ends, but this `(` is not closed")

    def token(self, pos: int, end: int) -> tuple[str, int, int]:
        """The token at or after ``pos``, where it begins and where it ends; annotations are passed over."""
        while True:
            found = _TOKEN.match(self.text, pos, end)
            assert found is not None  # the expression has an alternative for everything, even the end
            if found.group(1)[:2] != "(@":
                return found.group(1), found.start(1), found.end()
            pos = self._group_end(found.start(1), end)

    def head(self, start: int, end: int) -> tuple[str, str | None] | None:
        """Keyword and identifier at the head of a group; ``None`` if only a :class:`Cursor` can tell."""
        found = _HEAD.match(self.text, start, end)
        if found is None:
            return None
        name = found.group(2)
        if name is not None and (name in ("$", "(@") or name[-1] == '"'):
            return None
        return found.group(1), name


def _decoded(given: str | bytes) -> str:
    try:
        if isinstance(given, bytes):
            return given.decode("utf-8")
        given.encode("utf-8")
        return given
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8")
    except UnicodeEncodeError as error:
        before = error.object[: error.start]
    raise MalformedError("malformed UTF-8 encoding", line=_line(before), column=len(before) - _line_start(before) + 1)


def _line_start(before: str) -> int:
    return max(before.rfind("\n"), before.rfind("\r")) + 1


def _line(before: str) -> int:
    """The number of the line that begins, or goes on, after ``before``."""
    text = before[: _line_start(before)].replace("\r\n", "\n")
    return text.count("\n") + text.count("\r") + 1


# -- the tokens of one group -------------------------------------------------------------------------------------------


@final
class Annotation:
    """``(@name ...)``: ``tokens`` without its own parentheses. ``used`` is set by whoever understood it."""

    __slots__ = ("name", "raw", "tokens", "used")

    def __init__(self, name: str, tokens: list[str], raw: int) -> None:
        self.name = name
        self.tokens = tokens
        self.raw = raw
        self.used = False


LEB_NOTE: Final = "wardian.leb"
"""Before an instruction: how many bytes each of its integers takes, where that is not the least."""
RUN_NOTE: Final = "wardian.run"
"""Before a group of locals: they do not share a declaration with the locals before them."""
DATA_COUNT_NOTE: Final = "wardian.datacount"
"""A field of a module: there is a data count section, even if no instruction needs one."""
EMPTY_NOTE: Final = "wardian.empty"
"""A field of a module: there is a section, named after it, without content."""
HINT_NOTE: Final = "metadata.code.branch_hint"

_KNOWN_ANNOTATIONS: Final = frozenset({"name", "custom", HINT_NOTE, LEB_NOTE, RUN_NOTE, DATA_COUNT_NOTE, EMPTY_NOTE})


@final
class Cursor:
    """The tokens of ``text[start:end]`` and a position ``i`` among them; annotations are taken out and kept aside.

    ``toks`` ends with the empty token. ``notes`` are the annotations this implementation knows, by the index of the
    token they stand before.
    """

    __slots__ = ("end", "i", "notes", "source", "start", "toks")

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.i = 0
        self.notes: dict[int, list[Annotation]] = {}
        self.toks: list[str] = _TOKEN.findall(source.text, start, end)
        if source.text.find("(@", start, end) >= 0:
            self._set_annotations_aside()

    # -- annotations ---------------------------------------------------------------------------------------------------

    def _set_annotations_aside(self) -> None:
        raw = self.toks
        heads = [k for k, token in enumerate(raw) if token[:2] == "(@"]
        kept: list[str] = []
        done = 0
        for k in heads:
            if k < done:
                continue
            kept += raw[done:k]
            done = self._annotation_end(raw, k)
            note = Annotation(self._annotation_name(raw, k), raw[k + 1 : done - 1], k)
            if note.name in _KNOWN_ANNOTATIONS:
                self.notes.setdefault(len(kept), []).append(note)
        kept += raw[done:]
        self.toks = kept

    def _annotation_name(self, raw: list[str], k: int) -> str:
        name = raw[k][2:]
        if '"' in name:
            if not _PLAIN_STRING.match(name):
                self._fail_raw(k, f"unknown operator {name}")
            try:
                name = unescape(name).decode("utf-8")
            except UnicodeDecodeError:
                self._fail_raw(k, "malformed UTF-8 encoding")
            except ValueError as error:
                self._fail_raw(k, str(error))
        if not name:
            self._fail_raw(k, "empty annotation id")
        return name

    def _annotation_end(self, raw: list[str], k: int) -> int:
        """The index after the `)` of the annotation that begins at token ``k``."""
        depth = 0
        for at in range(k, len(raw)):
            token = raw[at]
            if token[:1] == "(":
                depth += 1
            elif token == ")":
                depth -= 1
                if not depth:
                    return at + 1
            elif len(token) == 1 and not " " < token <= "~":
                self._fail_raw(at, "illegal character in an annotation")
        self._fail_raw(k, "unclosed annotation")

    def note_at(self, i: int, name: str) -> Annotation | None:
        """The annotation ``name`` before token ``i``, marked as used."""
        for note in self.notes.get(i, ()):
            if note.name == name and not note.used:
                note.used = True
                return note
        return None

    def check_notes(self) -> None:
        """Raise :class:`MalformedError` for an annotation that stands where it means nothing."""
        for notes in self.notes.values():
            for note in notes:
                if not note.used:
                    self.misplaced(note)

    def misplaced(self, note: Annotation) -> Never:
        if note.name == HINT_NOTE:
            self._fail_raw(note.raw, f"@{note.name} annotation: not in a function, or not before an instruction")
        self._fail_raw(note.raw, f"misplaced @{note.name} annotation")

    def bad_note(self, note: Annotation, message: str) -> Never:
        """Raise :class:`MalformedError` about the content of ``note``."""
        self._fail_raw(note.raw, f"@{note.name} annotation: {message}")

    def note_place(self, note: Annotation) -> tuple[int, int, str]:
        """Where ``note`` stands, as :meth:`Source.place` says it."""
        return self.source.place(self._raw_offset(note.raw))

    def note_bytes(self, note: Annotation, k: int) -> bytes:
        """The string that is token ``k`` of ``note``."""
        token = note.tokens[k]
        if not _PLAIN_STRING.match(token):
            self.bad_note(note, f"unexpected token {_shown(token)}, expected a string")
        try:
            return unescape(token)
        except ValueError as error:
            self.bad_note(note, str(error))

    def note_text(self, note: Annotation, k: int) -> str:
        """The same, which must be UTF-8."""
        try:
            return self.note_bytes(note, k).decode("utf-8")
        except UnicodeDecodeError:
            self.bad_note(note, "malformed UTF-8 encoding")

    # -- moving --------------------------------------------------------------------------------------------------------

    def at_group(self, keyword: str) -> bool:
        """Whether ``(keyword`` comes next."""
        toks, i = self.toks, self.i
        return toks[i] == "(" and toks[i + 1] == keyword

    def enter(self, keyword: str) -> bool:
        """Move past ``(keyword``, if that comes next."""
        toks, i = self.toks, self.i
        if toks[i] == "(" and toks[i + 1] == keyword:
            self.i = i + 2
            return True
        return False

    def accept(self, token: str) -> bool:
        """Move past ``token``, if that comes next."""
        if self.toks[self.i] == token:
            self.i += 1
            return True
        return False

    def expect(self, token: str) -> None:
        if self.toks[self.i] != token:
            self.unexpected(self.i, f"`{token}`")
        self.i += 1

    def close(self) -> None:
        if self.toks[self.i] != ")":
            self.unexpected(self.i, "`)`")
        self.i += 1

    # -- strings and identifiers ---------------------------------------------------------------------------------------

    def is_string(self) -> bool:
        return self.toks[self.i][:1] == '"'

    def string(self) -> bytes:
        """The bytes of the string that must come next."""
        token = self.toks[self.i]
        if not _PLAIN_STRING.match(token):
            self.unexpected(self.i, "a string")
        value = self._bytes_of(token, self.i)
        self.i += 1
        return value

    def name(self) -> str:
        """A string that must be UTF-8."""
        at = self.i
        value = self.string()
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            self.fail(at, "malformed UTF-8 encoding")

    def identifier(self) -> str | None:
        """``$`` and the name of the identifier that comes next, or ``None`` if none does."""
        token = self.toks[self.i]
        if token[:1] != "$":
            return None
        found = self.plain_identifier(self.i)
        self.i += 1
        return found

    def plain_identifier(self, i: int) -> str:
        """The identifier at token ``i`` in the form that is the same for ``$a`` and ``$"a"``."""
        token = self.toks[i]
        if not _PLAIN_ID.match(token):
            self.unexpected(i, "an identifier")
        if token[1] != '"':
            return token
        name = self._text_of(token[1:], i)
        if not name:
            self.fail(i, "empty identifier")
        return f"${name}"

    def _text_of(self, token: str, i: int) -> str:
        try:
            return unescape(token).decode("utf-8")
        except UnicodeDecodeError:
            self.fail(i, "malformed UTF-8 encoding")
        except ValueError as error:
            self.fail(i, "empty identifier: illegal character" if _CONTROL.search(token) else str(error))

    def _bytes_of(self, token: str, i: int) -> bytes:
        try:
            return unescape(token)
        except ValueError as error:
            self.fail(i, str(error))

    # -- errors --------------------------------------------------------------------------------------------------------

    def offset(self, i: int) -> int:
        """Where token ``i`` begins in the text."""
        depth = 0
        kept = 0
        for found in _TOKEN.finditer(self.source.text, self.start, self.end):
            token = found.group(1)
            if depth or token[:2] == "(@":
                depth += (token[:1] == "(") - (token == ")")
            elif kept == i:
                return found.start(1)
            else:
                kept += 1
        return self.end

    def _raw_offset(self, k: int) -> int:
        """The same for token ``k`` of those of annotations, too."""
        found = next(islice(_TOKEN.finditer(self.source.text, self.start, self.end), k, None), None)
        return self.end if found is None else found.start(1)

    def fail(self, i: int, message: str) -> Never:
        """Raise :class:`MalformedError` at token ``i``."""
        self.source.fail(self.offset(i), message)

    def _fail_raw(self, k: int, message: str) -> Never:
        self.source.fail(self._raw_offset(k), message)

    def unexpected(self, i: int, expected: str) -> Never:
        """Raise :class:`MalformedError` because token ``i`` is not ``expected``, in the words that fit the token."""
        self.fail(i, _complaint(self.toks[i], expected))


def _complaint(token: str, expected: str) -> str:
    """What is wrong with ``token`` where ``expected`` should be."""
    first = token[:1]
    if not token:
        return f"unexpected token: the text ends, expected {expected}"
    if len(token) == 1 and not " " < token <= "~":
        return f"illegal character, expected {expected}"
    if token == "$" or token == '$""':
        return "empty identifier: `$` must be followed by a name"
    if first == '"' and not _WHOLE_ATOM.match(token):
        return "unclosed string"
    known = (
        token in "()"
        or token in _KEYWORDS
        or token in BY_NAME
        or is_number(token)
        or token.startswith(("offset=", "align="))
        or _PLAIN_ID.match(token)
        or _PLAIN_STRING.match(token)
        or any(token == heap.name for heap in ABS_HEAP_TYPES)
    )
    if known:
        return f"unexpected token {_shown(token)}, expected {expected}"
    return f"unknown operator {_shown(token)}, expected {expected}"


def _shown(token: str) -> str:
    return printable(token if len(token) <= 60 else token[:57] + "...")


# -- strings -----------------------------------------------------------------------------------------------------------

_SIMPLE_ESCAPES: Final = {"t": b"\t", "n": b"\n", "r": b"\r", '"': b'"', "'": b"'", "\\": b"\\"}
_HEX_BYTE: Final = {
    f"{high}{low}": bytes([int(high + low, 16)])
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
}
_UNICODE: Final = re.compile(r"\{([0-9a-fA-F](?:_?[0-9a-fA-F])*+)\}")


def unescape(token: str) -> bytes:
    """The bytes that a string token, quotes included, stands for. Raises ``ValueError`` with the reason."""
    if _CONTROL.search(token):
        raise ValueError("illegal character in a string: it must be written as an escape")
    if "\\" not in token:
        return token[1:-1].encode("utf-8")
    pieces = token[1:-1].split("\\")
    out = bytearray(pieces[0].encode("utf-8"))
    k = 1
    while k < len(pieces):
        piece = pieces[k]
        byte = _HEX_BYTE.get(piece[:2])
        if byte is not None:
            out += byte
            if len(piece) > 2:
                out += piece[2:].encode("utf-8")
        elif not piece:
            # Two backslashes in a row: what follows the second one is text.
            k += 1
            out += b"\\" + pieces[k].encode("utf-8")
        elif piece[0] in _SIMPLE_ESCAPES:
            out += _SIMPLE_ESCAPES[piece[0]] + piece[1:].encode("utf-8")
        elif piece[0] == "u":
            out += _unicode_escape(piece)
        else:
            raise ValueError("illegal escape in a string")
        k += 1
    return bytes(out)


def _unicode_escape(piece: str) -> bytes:
    found = _UNICODE.match(piece, 1)
    if found is None:
        raise ValueError("illegal escape in a string")
    digits = found.group(1).replace("_", "").lstrip("0")
    code = int(digits or "0", 16) if len(digits) <= 6 else 0x110000
    if code >= 0x110000 or 0xD800 <= code < 0xE000:
        raise ValueError("illegal escape in a string: no such character")
    return (chr(code) + piece[found.end() :]).encode("utf-8")
