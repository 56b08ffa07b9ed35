"""Scripts of the specification's suite (``.wast``; the spec's ``interpreter/README.md``, "Scripts"), as data.

Invariant: nothing is executed and no module inside is read here; a command that cannot be read is itself a value,
:class:`Unreadable`, so that one of them does not hide those after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, final

from wardian.errors import MalformedError
from wardian.record import Record
from wardian.syntax.types import F32, F64, I32, I64, NumType
from wardian.text.lexer import Cursor, Source
from wardian.text.numbers import DOUBLE, SINGLE
from wardian.text.operands import float_at, integer_at, lane_bits, shape_at
from wardian.text.parse import ModuleText, module_group
from wardian.text.scope import index_number
from wardian.text.types import HEAP_TYPES


class Nan(Enum):
    """A class of NaNs: those with only the quiet bit set, and those with at least that."""

    CANONICAL = "nan:canonical"
    ARITHMETIC = "nan:arithmetic"


# -- values ------------------------------------------------------------------------------------------------------------


@final
class Number(Record):
    """A number or vector, cut into lanes of ``width`` bits; each is its bits, or in an expected result a class of NaNs.

    ``type`` is ``i32``, ``i64``, ``f32``, ``f64`` or ``v128``; all but the last have one lane.
    """

    type: str
    width: int
    lanes: tuple[int | Nan, ...]

    def is_exact(self) -> bool:
        """Whether this is a value, and not a class of values."""
        return not any(isinstance(lane, Nan) for lane in self.lanes)

    def bits(self) -> int:
        """The value's bits. Raises ``ValueError`` if it is none but a class of values."""
        found = 0
        for place, lane in enumerate(self.lanes):
            if isinstance(lane, Nan):
                raise ValueError(f"{lane.value} is no value")
            found |= lane << (place * self.width)
        return found


@final
class Ref(Record):
    """A reference: ``kind`` is the word after ``ref.``; ``number`` tells host values apart.

    As an expected result one without a number stands for any reference of its kind.
    """

    kind: str
    number: int | None = None


@final
class Either(Record):
    """Any of several expected results."""

    choices: tuple[Result, ...]


Value: TypeAlias = "Number | Ref"
Result: TypeAlias = "Number | Ref | Either"


# -- commands ----------------------------------------------------------------------------------------------------------


@final
class Action(Record):
    """``(invoke $instance? "name" value*)`` or ``(get $instance? "name")``."""

    line: int
    verb: Literal["invoke", "get"]
    instance: str | None
    name: str
    arguments: tuple[Value, ...] = ()


@final
class Define(Record):
    """``(module ...)``: make a definition, an instance, or one after the other, as ``module`` says."""

    line: int
    module: ModuleText


@final
class Register(Record):
    line: int
    name: str
    instance: str | None


@final
class AssertReturn(Record):
    line: int
    action: Action
    results: tuple[Result, ...]


@final
class AssertFails(Record):
    """The action must end in a trap, an exhausted resource, or an exception (which has no message)."""

    line: int
    how: Literal["trap", "exhaustion", "exception"]
    action: Action
    message: str = ""


@final
class AssertRejected(Record):
    """The module must be refused at the stage ``how``; ``uninstantiable`` by a trap."""

    line: int
    how: Literal["malformed", "invalid", "unlinkable", "uninstantiable"]
    module: ModuleText
    message: str


@final
class Thread(Record):
    """``(thread $name (shared (module $m))* command*)`` of the threads proposal."""

    line: int
    name: str
    shared: tuple[str, ...]
    commands: tuple[Command, ...]


@final
class Wait(Record):
    """``(wait $name)``: until that thread has ended."""

    line: int
    name: str


@final
class Unreadable(Record):
    """A command that is none."""

    line: int
    error: MalformedError


Command: TypeAlias = (
    "Action | Define | Register | AssertReturn | AssertFails | AssertRejected | Thread | Wait | Unreadable"
)


# -- reading -----------------------------------------------------------------------------------------------------------


@final
class _Lines:
    """Line numbers of rising offsets, in time linear in the text."""

    __slots__ = ("_at", "_line", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1

    def __call__(self, offset: int) -> int:
        if offset > self._at:
            self._line += self._text.count("\n", self._at, offset)
            self._at = offset
        return self._line


def commands(given: str | bytes) -> Iterator[Command]:
    """The commands of a script, in order. A text that has the fields of a module instead is one module.

    Raises :class:`MalformedError` for a text that cannot even be cut into commands.
    """
    source = Source(given)
    text = source.text
    lines = _Lines(source.original)
    for start, end in source.groups(0, len(text)):
        if text.startswith("(@", start):
            continue
        line = lines(start)
        try:
            found = _command(source, start, end, lines)
        except MalformedError as error:
            found = Unreadable(line, error)
        if found is None:
            yield Define(line, ModuleText(source, "text", None, 0, len(text)))
            return
        yield found


def _command(source: Source, start: int, end: int, lines: _Lines) -> Command | None:
    """One command, or ``None`` if it looks like a field of a module."""
    keyword, at, pos = source.token(source.token(start, end)[2], end)
    line = lines(start)
    if keyword == "module":
        return Define(line, module_group(source, start, end))
    if keyword == "thread":
        return _thread(source, pos, end, lines, line)
    reader = _READERS.get(keyword)
    if reader is not None:
        cur = Cursor(source, start, end)
        cur.i = 2
        found = reader(cur, line)
        cur.close()
        if cur.toks[cur.i]:
            cur.unexpected(cur.i, "the end of the command")
        return found
    how = _REJECTED.get(keyword)
    if how is None:
        if keyword in _FIELDS:
            return None
        Cursor(source, at, end).unexpected(0, "a command")
    return _assert_rejected(source, pos, end, line, keyword, how)


def _assert_rejected(
    source: Source,
    pos: int,
    end: int,
    line: int,
    keyword: str,
    how: Literal["malformed", "invalid", "unlinkable", "uninstantiable"],
) -> Command:
    """The assertions about a module; ``assert_trap`` may be one about an action, too."""
    inner, after = next(source.groups(pos, end - 1), (pos, pos))
    if inner == after:
        Cursor(source, pos, end).unexpected(0, "a module")
    word, at, _ = source.token(source.token(inner, after)[2], after)
    cur = Cursor(source, after, end - 1)
    message = cur.name()
    if cur.toks[cur.i]:
        cur.unexpected(cur.i, "the end of the command")
    if word == "module":
        return AssertRejected(line, how, module_group(source, inner, after), message)
    if keyword != "assert_trap":
        Cursor(source, at, after).unexpected(0, "`module`")
    return AssertFails(line, "trap", _action(Cursor(source, inner, after), line), message)


def _thread(source: Source, pos: int, end: int, lines: _Lines, line: int) -> Thread:
    word, at, pos = source.token(pos, end)
    name = Cursor(source, at, pos).plain_identifier(0)
    shared: list[str] = []
    inside: list[Command] = []
    for start, after in source.groups(pos, end - 1):
        word = source.token(source.token(start, after)[2], after)[0]
        if word == "shared":
            cur = Cursor(source, start, after)
            cur.i = 2
            if not cur.enter("module"):
                cur.unexpected(cur.i, "`(module`")
            shared.append(cur.plain_identifier(cur.i))
            continue
        found = None if word == "thread" else _command(source, start, after, lines)
        if found is None:
            Cursor(source, start, after).fail(0, f"unexpected token {word} in a thread")
        inside.append(found)
    return Thread(line, name, tuple(shared), tuple(inside))


# -- actions and simple commands ---------------------------------------------------------------------------------------


def _action(cur: Cursor, line: int) -> Action:
    cur.expect("(")
    verb = cur.toks[cur.i]
    cur.i += 1
    if verb == "invoke":
        found = _invoke(cur, line)
    elif verb == "get":
        found = _get(cur, line)
    else:
        cur.unexpected(cur.i - 1, "`invoke` or `get`")
    cur.close()
    return found


def _invoke(cur: Cursor, line: int) -> Action:
    instance = cur.identifier()
    name = cur.name()
    arguments: list[Value] = []
    while cur.toks[cur.i] == "(":
        at = cur.i
        value = _result(cur)
        if isinstance(value, Either) or (isinstance(value, Number) and not value.is_exact()):
            cur.fail(at, "unexpected token: a value expected, not a class of values")
        arguments.append(value)
    return Action(line, "invoke", instance, name, tuple(arguments))


def _get(cur: Cursor, line: int) -> Action:
    return Action(line, "get", cur.identifier(), cur.name())


def _register(cur: Cursor, line: int) -> Register:
    return Register(line, cur.name(), cur.identifier())


def _assert_return(cur: Cursor, line: int) -> AssertReturn:
    action = _action(cur, line)
    results: list[Result] = []
    while cur.toks[cur.i] == "(":
        results.append(_result(cur))
    return AssertReturn(line, action, tuple(results))


def _assert_exhaustion(cur: Cursor, line: int) -> AssertFails:
    action = _action(cur, line)
    return AssertFails(line, "exhaustion", action, cur.name())


def _assert_exception(cur: Cursor, line: int) -> AssertFails:
    return AssertFails(line, "exception", _action(cur, line))


def _wait(cur: Cursor, line: int) -> Wait:
    name = cur.plain_identifier(cur.i)
    cur.i += 1
    return Wait(line, name)


_READERS: Final[Mapping[str, Callable[[Cursor, int], Command]]] = MappingProxyType(
    {
        "invoke": _invoke,
        "get": _get,
        "register": _register,
        "assert_return": _assert_return,
        "assert_exhaustion": _assert_exhaustion,
        "assert_exception": _assert_exception,
        "wait": _wait,
    }
)

_REJECTED: Final[Mapping[str, Literal["malformed", "invalid", "unlinkable", "uninstantiable"]]] = MappingProxyType(
    {
        "assert_malformed": "malformed",
        "assert_malformed_custom": "malformed",
        "assert_invalid": "invalid",
        "assert_invalid_custom": "invalid",
        "assert_unlinkable": "unlinkable",
        "assert_trap": "uninstantiable",
    }
)

_FIELDS: Final = frozenset(
    {"type", "rec", "import", "export", "func", "table", "memory", "global", "tag", "elem", "data", "start"}
)

# -- values ------------------------------------------------------------------------------------------------------------

_NANS: Final = {nan.value: nan for nan in Nan}
_NUMBERS: Final[Mapping[str, NumType]] = {f"{type.name}.const": type for type in (I32, I64, F32, F64)}
_WITH_NUMBER: Final = ("extern", "host", "i31", "func")
_REF_KINDS: Final = frozenset({"null", "host", *HEAP_TYPES})


def _result(cur: Cursor) -> Result:
    cur.expect("(")
    at = cur.i
    word = cur.toks[at]
    cur.i += 1
    found: Result
    if word in _NUMBERS:
        type = _NUMBERS[word]
        found = Number(type.name, 8 * type.size, (_lane(cur, type),))
    elif word == "v128.const":
        shape = shape_at(cur)
        lanes = [_nan(cur) if cur.toks[cur.i] in _NANS else lane_bits(cur, shape) for _ in range(shape.lanes)]
        found = Number("v128", shape.bits, tuple(lanes))
    elif word.startswith("ref.") and word[4:] in _REF_KINDS:
        found = _ref(cur, word[4:])
    elif word == "either":
        choices: list[Result] = []
        while cur.toks[cur.i] == "(":
            if cur.toks[cur.i + 1] == "either":
                cur.unexpected(cur.i + 1, "a value")
            choices.append(_result(cur))
        found = Either(tuple(choices))
    else:
        cur.unexpected(at, "a value")
    cur.close()
    return found


def _nan(cur: Cursor) -> Nan:
    cur.i += 1
    return _NANS[cur.toks[cur.i - 1]]


def _lane(cur: Cursor, type: NumType) -> int | Nan:
    if type is F32 or type is F64:
        if cur.toks[cur.i] in _NANS:
            return _nan(cur)
        return float_at(cur, SINGLE if type is F32 else DOUBLE)
    return integer_at(cur, 8 * type.size) & ((1 << 8 * type.size) - 1)


def _ref(cur: Cursor, kind: str) -> Ref:
    if kind == "null":
        if cur.toks[cur.i] != ")":
            cur.i += 1  # the heap type of a null does not tell it from others
        return Ref("null")
    number = None
    if kind in _WITH_NUMBER and cur.toks[cur.i] != ")":
        number = index_number(cur, cur.i, "a number")
        cur.i += 1
    return Ref(kind, number)
