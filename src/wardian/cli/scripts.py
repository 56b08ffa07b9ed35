"""Executes the specification's scripts through the public interface, and says what was not as they say.

Invariant: a command fails if its expectation is not met or if anything else is raised; the script goes on, as the
specification's own runner does not, so that one report names everything. Floats are compared by bits; nothing here is
laxer than the specification.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, final

from wardian.api.config import Config
from wardian.api.engine import Engine
from wardian.api.handles import Instance
from wardian.api.module import Module
from wardian.errors import (
    FeatureDisabled,
    InvalidError,
    LinkError,
    MalformedError,
    Trap,
    WardianError,
    WasmException,
)
from wardian.runtime.references import Array, Struct
from wardian.runtime.values import bits_to_float, float_to_bits
from wardian.syntax.types import F32, F64
from wardian.text.numbers import DOUBLE, SINGLE, FloatFormat
from wardian.text.parse import ModuleText
from wardian.text.script import (
    Action,
    AssertFails,
    AssertRejected,
    AssertReturn,
    Command,
    Define,
    Either,
    Nan,
    Number,
    Ref,
    Register,
    Result,
    Thread,
    Unreadable,
    Value,
    Wait,
    commands,
)

SPECTEST: Final = """
(module $spectest
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64))
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (table (export "table64") i64 10 20 funcref)
  (memory (export "memory") 1 2))
"""
"""The module every script may import from (the spec's ``interpreter/README.md``, "Spectest host module")."""

SHARED: Final = '(module (memory (export "shared_memory") 1 2 shared))'
"""What the threads proposal adds to it."""


_OF_OLD: Final = MappingProxyType({"multiple memories": "multi_memory", "multiple tables": "reference_types"})
"""What was invalid until a proposal allowed it, in the words of then -> the switch of that proposal. Where it is off,
the module is refused by name."""


class Failure(NamedTuple):
    """A command that went wrong, and how."""

    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.message}"


class Outcome(NamedTuple):
    """What became of a script's commands: how many of each ``kind`` passed, what failed, how many were left out."""

    passed: Counter[str]
    failures: list[Failure]
    skipped: int

    @property
    def total(self) -> int:
        return self.passed.total() + len(self.failures)


class Mismatch(Exception):
    """The engine did something else than the script expects."""


_ASSUMED: Final[Mapping[str, Mapping[str, bool]]] = MappingProxyType(
    {
        "threads": MappingProxyType({"multi_memory": False, "reference_types": False, "memory64": False}),
        "custom-page-sizes": MappingProxyType({"custom_page_sizes": True}),
    }
)


def assumed(folder: str) -> Mapping[str, bool]:
    """Feature switches that the scripts of ``proposals/NAME`` take for granted.

    A proposal's scripts assume the standard of their day, with the proposal.
    """
    parts = folder.split("/")
    name = parts[parts.index("proposals") + 1] if "proposals" in parts[:-1] else ""
    return _ASSUMED.get(name, {})


@final
class HostRef:
    """A host value that guests hold a reference to."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"(ref.host {self.number})"


def kind_of(command: Command) -> str:
    """The word a command begins with in a script."""
    if isinstance(command, Action):
        return command.verb
    if isinstance(command, AssertFails | AssertRejected):
        return "assert_trap" if command.how == "uninstantiable" else f"assert_{command.how}"
    return _KINDS[type(command)]


_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        Define: "module",
        Register: "register",
        AssertReturn: "assert_return",
        Thread: "thread",
        Wait: "wait",
        Unreadable: "unreadable",
    }
)


@final
class Spectest:
    """The modules that scripts may import from, made once for any number of scripts of an engine.

    They have every feature, whichever the scripts may use.
    """

    __slots__ = ("_engine", "_modules")

    def __init__(self, engine: Engine) -> None:
        like = engine.config
        choices = {"opt": like.opt, "checks": like.checks, "spectre": like.spectre}
        self._engine = Engine(Config(**choices, shared_memory=True, cache=False))  # type: ignore[arg-type]
        self._modules: dict[str, Module] = {}

    def exports(self, *, shared: bool) -> dict[str, object]:
        """The exports of a new instance, with the ``shared`` memory of the threads proposal or without."""
        found: dict[str, object] = {}
        for text in (SPECTEST, SHARED) if shared else (SPECTEST,):
            if text not in self._modules:
                self._modules[text] = Module(text, self._engine)
            found.update(self._modules[text].instantiate().exports)
        return found


def _never(command: Command) -> bool:
    return False


@final
class Script:
    """The state of one script: its instances by name, what it registered, and the current instance."""

    def __init__(
        self, engine: Engine, spectest: Spectest | None = None, skip: Callable[[Command], bool] = _never
    ) -> None:
        """Commands that ``skip`` says yes to are left out."""
        self.engine = engine
        self.spectest = spectest or Spectest(engine)
        self.skip = skip
        self.outcome = Outcome(Counter(), [], 0)
        self.definitions: dict[str | None, Module] = {}
        self.instances: dict[str | None, Instance] = {}
        self.registered: dict[str, dict[str, object]] = {}
        self._hosts: dict[int, HostRef] = {}
        self._threads: dict[str, tuple[threading.Thread, Script]] = {}

    def run(self, text: str | bytes) -> Outcome:
        """Execute every command of the script ``text``. Raises :class:`MalformedError` if it is no script at all."""
        shared = "shared_memory" in (text if isinstance(text, str) else text.decode("utf-8", "replace"))
        self.registered["spectest"] = self.spectest.exports(shared=shared)
        return self.execute(commands(text))

    def execute(self, given: Iterable[Command]) -> Outcome:
        """Execute commands in the state as it is."""
        for command in given:
            if self.skip(command):
                self.outcome = self.outcome._replace(skipped=self.outcome.skipped + 1)
                continue
            kind = kind_of(command)
            try:
                _HANDLERS[type(command)](self, command)
            except Exception as error:  # noqa: BLE001 - whatever comes is the finding
                said = str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
                self.outcome.failures.append(Failure(command.line, kind, said[:500]))
            else:
                self.outcome.passed[kind] += 1
        return self.outcome

    # -- modules -------------------------------------------------------------------------------------------------------

    def _module(self, given: ModuleText) -> Module:
        config = self.engine.config
        return Module(given.assemble(config.features, config.limits), self.engine)

    def _define(self, command: Define) -> None:
        given = command.module
        if given.form == "instance":
            self._remember(given.name, self._instantiate(self.definitions[given.of]))
            return
        if not given.definition:
            # A module that fails must not leave the one before it as the current one.
            self.instances.pop(None, None)
        module = self._module(given)
        self.definitions[None] = self.definitions[given.name] = module
        if not given.definition:
            self._remember(given.name, self._instantiate(module))

    def _instantiate(self, module: Module) -> Instance:
        imports = dict(self.registered)
        for name in {item.module for item in module.imports} - imports.keys():
            # As other engines' scripts assume: an instance can be imported by its own name, too.
            found = self.instances.get(f"${name}")
            if found is not None:
                imports[name] = dict(found.exports)
        return module.instantiate(imports)

    def _remember(self, name: str | None, instance: Instance) -> None:
        self.instances[None] = self.instances[name] = instance

    def _register(self, command: Register) -> None:
        self.registered[command.name] = dict(self._instance(command.instance).exports)

    def _instance(self, name: str | None) -> Instance:
        found = self.instances.get(name)
        if found is None:
            raise Mismatch(f"there is no instance {name or ''}: its module failed, or there was none")
        return found

    def _assert_rejected(self, command: AssertRejected) -> None:
        _REJECTIONS[command.how](self, command)

    def _refuses(self, command: AssertRejected, kind: type[WardianError]) -> None:
        try:
            module = self._module(command.module)
            if self.engine.config.lazy:
                module.compile()
        except kind as error:
            _same_words(command.message, str(error))
        except FeatureDisabled as error:
            if _OF_OLD.get(command.message) != error.feature:
                raise
        else:
            raise Mismatch(f"{kind.__name__} expected ({command.message}), but the module was accepted")

    def _malformed(self, command: AssertRejected) -> None:
        self._refuses(command, MalformedError)

    def _invalid(self, command: AssertRejected) -> None:
        self._refuses(command, InvalidError)

    def _unlinkable(self, command: AssertRejected) -> None:
        module = self._module(command.module)
        try:
            self._instantiate(module)
        except LinkError as error:
            _same_words(command.message, str(error))
        else:
            raise Mismatch(f"LinkError expected ({command.message}), but the module was linked")

    def _uninstantiable(self, command: AssertRejected) -> None:
        module = self._module(command.module)
        self._traps(lambda: self._instantiate(module), command.message)

    # -- actions -------------------------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> Any:
        exported: Any = self._instance(action.instance).exports[action.name]
        if action.verb == "get":
            return exported.value
        return exported(*map(self._argument, action.arguments))

    def _assert_return(self, command: AssertReturn) -> None:
        actual = self._perform(command.action)
        expected = command.results
        results = () if actual is None and not expected else actual if len(expected) > 1 else (actual,)
        if not isinstance(results, tuple) or len(results) != len(expected):
            raise Mismatch(f"{len(expected)} results expected, got {shown(actual)}")
        instance = self._instance(command.action.instance)
        if not all(self._matches(wanted, result, instance) for wanted, result in zip(expected, results, strict=True)):
            raise Mismatch(f"expected {' '.join(map(_wanted, expected))}, got {shown(actual)}")

    def _assert_fails(self, command: AssertFails) -> None:
        if command.how == "exception":
            self._throws(command.action)
        else:
            self._traps(lambda: self._perform(command.action), command.message)

    def _traps(self, act: Callable[[], object], message: str) -> None:
        try:
            actual = act()
        except Trap as error:
            _same_words(message, error.message)
        else:
            raise Mismatch(f"trap expected ({message}), got {shown(actual)}")

    def _throws(self, action: Action) -> None:
        try:
            actual = self._perform(action)
        except WasmException:
            return
        except Trap as error:
            raise Mismatch(f"an exception expected, got the trap {error.message!r}") from None
        raise Mismatch(f"an exception expected, got {shown(actual)}")

    # -- threads -------------------------------------------------------------------------------------------------------

    def _thread(self, command: Thread) -> None:
        inner = Script(self.engine, self.spectest, self.skip)
        inner.registered["spectest"] = self.registered["spectest"]
        for name in command.shared:
            inner.instances[name] = self._instance(name)
        thread = threading.Thread(target=inner.execute, args=(command.commands,), name=command.name, daemon=True)
        self._threads[command.name] = (thread, inner)
        thread.start()

    def _wait(self, command: Wait) -> None:
        found = self._threads.pop(command.name, None)
        if found is None:
            raise Mismatch(f"there is no thread {command.name}")
        thread, inner = found
        thread.join()
        self.outcome.passed.update(inner.outcome.passed)
        self.outcome.failures.extend(inner.outcome.failures)

    # -- values --------------------------------------------------------------------------------------------------------

    def _host(self, number: int) -> HostRef:
        return self._hosts.setdefault(number, HostRef(number))

    def _argument(self, value: Value) -> object:
        if isinstance(value, Number):
            return _TO_PYTHON[value.type](value.bits())
        if value.kind == "null":
            return None
        if value.number is None:
            raise Mismatch(f"(ref.{value.kind}) is no value")
        return self._host(value.number)

    def _matches(self, expected: Result, actual: object, instance: Instance) -> bool:
        """Whether ``actual``, as the public interface returned it from ``instance``, is what the script expects."""
        if isinstance(expected, Either):
            return any(self._matches(choice, actual, instance) for choice in expected.choices)
        if isinstance(expected, Number):
            return _matches_number(expected, actual)
        if expected.kind == "null":
            return actual is None
        if expected.number is not None:
            return actual is self._referent(expected.kind, expected.number, instance)
        is_one = _REFERENCES.get(expected.kind)
        return actual is not None and (is_one is None or is_one(actual))

    def _referent(self, kind: str, number: int, instance: Instance) -> object:
        """The very object that a numbered reference stands for: a function of the instance, or a host value."""
        if kind != "func":
            return self._host(number)
        data = instance._data
        return data.func_at(number) if number < data.module.func_count() else None

    def _nothing(self, command: Unreadable) -> None:
        raise command.error


def _is_a(*kinds: type) -> Callable[[object], bool]:
    return lambda actual: isinstance(actual, kinds)


_REFERENCES: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {
        "func": callable,
        "i31": _is_a(int),
        "struct": _is_a(Struct),
        "array": _is_a(Array),
        "eq": _is_a(int, Struct, Array),
        "host": _is_a(HostRef),
    }
)
"""Whether a Python object is what a reference of a kind becomes; any object can be an ``any`` or an ``extern``."""

_HANDLERS: Final[Mapping[type, Callable[[Script, Any], object]]] = MappingProxyType(
    {
        Define: Script._define,
        Register: Script._register,
        Action: Script._perform,
        AssertReturn: Script._assert_return,
        AssertFails: Script._assert_fails,
        AssertRejected: Script._assert_rejected,
        Thread: Script._thread,
        Wait: Script._wait,
        Unreadable: Script._nothing,
    }
)

_REJECTIONS: Final[Mapping[str, Callable[[Script, AssertRejected], None]]] = MappingProxyType(
    {
        "malformed": Script._malformed,
        "invalid": Script._invalid,
        "unlinkable": Script._unlinkable,
        "uninstantiable": Script._uninstantiable,
    }
)

_TO_PYTHON: Final[Mapping[str, Callable[[int], object]]] = MappingProxyType(
    {
        "i32": lambda bits: bits - (bits >> 31 << 32),
        "i64": lambda bits: bits - (bits >> 63 << 64),
        "f32": lambda bits: bits_to_float(bits, F32),
        "f64": lambda bits: bits_to_float(bits, F64),
        "v128": lambda bits: bits.to_bytes(16, "little"),
    }
)

_INTEGER_MASKS: Final = MappingProxyType({"i32": 0xFFFF_FFFF, "i64": 0xFFFF_FFFF_FFFF_FFFF})


def _bits_of(type: str, actual: object) -> int | None:
    """The bits of a result of number ``type``, or ``None`` if it is none."""
    if type in _INTEGER_MASKS:
        return actual & _INTEGER_MASKS[type] if isinstance(actual, int) else None
    if type == "v128":
        return int.from_bytes(actual, "little") if isinstance(actual, bytes) and len(actual) == 16 else None
    return float_to_bits(actual, F32 if type == "f32" else F64) if isinstance(actual, float) else None


def _matches_number(expected: Number, actual: object) -> bool:
    bits = _bits_of(expected.type, actual)
    if bits is None:
        return False
    mask = (1 << expected.width) - 1
    return all(
        _matches_lane(lane, bits >> (place * expected.width) & mask, expected.width)
        for place, lane in enumerate(expected.lanes)
    )


def _matches_lane(expected: int | Nan, bits: int, width: int) -> bool:
    if not isinstance(expected, Nan):
        return bits == expected
    format: FloatFormat = SINGLE if width == SINGLE.bits else DOUBLE
    quiet = format.infinity | format.quiet
    if expected is Nan.CANONICAL:
        return bits & ~(1 << (width - 1)) == quiet
    return bits & quiet == quiet


def _same_words(expected: str, actual: str) -> None:
    """The specification compares prefixes; an element's index after its words is the interpreter's addition."""
    if not actual.startswith(expected.rstrip("0123456789 ")):
        raise Mismatch(f"expected the words {expected!r}, got {actual!r}")


def _wanted(expected: Result) -> str:
    if isinstance(expected, Either):
        return f"(either {' '.join(map(_wanted, expected.choices))})"
    if isinstance(expected, Ref):
        return f"(ref.{expected.kind}{'' if expected.number is None else f' {expected.number}'})"
    digits = expected.width // 4
    lanes = [lane.value if isinstance(lane, Nan) else f"0x{lane:0{digits}x}" for lane in expected.lanes]
    return f"({expected.type} {' '.join(lanes)})"


def shown(value: object) -> str:
    """A result, with floats by their bits as well."""
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    if isinstance(value, float):
        return f"{value!r} (0x{struct.pack('>d', value).hex()} as f64)"
    return repr(value)
