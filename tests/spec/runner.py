"""Runs the commands of one converted script through the public interface, and says which went wrong.

A command fails if its expectation is not met or if anything else is raised; the script goes on, as the
specification's own runner does not, so that one report names everything that is left.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import wardian
from tests.spec.adapter import by_bits
from tests.spec.convert import Command, Script
from tests.spec.values import JsonValue, argument, bits_of, matches, needs_bits
from tests.support import assemble

SPECTEST = """
(module
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
"""The module every script may import from (the spec's interpreter, README, "Spectest host module")."""

SHARED = '(module (memory (export "shared_memory") 1 2 shared))'
"""What the threads proposal adds to it."""


OF_OLD = {"multiple memories": "multi_memory", "multiple tables": "reference_types"}
"""What was invalid until a proposal allowed it, in the words of then -> the switch of that proposal. Where it is off,
the module is refused by name."""


class Failure(NamedTuple):
    line: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.message}"


class Mismatch(Exception):
    """The engine did something else than the script expects."""


@lru_cache(maxsize=8)
def _spectest(engine: wardian.Engine, text: str) -> wardian.Module:
    """With every feature, whichever the script's modules may use."""
    config = wardian.Config(opt=engine.config.opt, checks=engine.config.checks, cache=False)
    return wardian.Module(assemble(text), wardian.Engine(config))


class Runner:
    """The state of one script: its instances by name, what it registered, and the current instance."""

    def __init__(self, engine: wardian.Engine, script: Script) -> None:
        self.engine = engine
        self.script = script
        self.failures: list[Failure] = []
        self.counts: Counter[str] = Counter()
        self.definitions: dict[str | None, wardian.Module] = {}
        self.instances: dict[str | None, wardian.Instance] = {}
        self.adapters: dict[tuple[int, str], Any] = {}
        self.registered: dict[str, dict[str, object]] = {}

    def run(self, skipped: Callable[[Command], bool]) -> None:
        """Execute every command that is not ``skipped``."""
        self.registered["spectest"] = dict(_spectest(self.engine, SPECTEST).instantiate().exports)
        if any(b"shared_memory" in file.read_bytes() for file in self.script.folder.glob("*.wasm")):
            self.registered["spectest"].update(_spectest(self.engine, SHARED).instantiate().exports)
        for command in self.script.commands:
            if skipped(command):
                self.counts["skipped"] += 1
                continue
            kind = command["type"]
            try:
                HANDLERS[kind](self, command)
            except Exception as error:  # noqa: BLE001 - whatever comes is the finding
                self.counts["failed"] += 1
                said = str(error) if isinstance(error, Mismatch) else f"{type(error).__name__}: {error}"
                self.failures.append(Failure(command["line"], kind, said[:300]))
            else:
                self.counts["passed"] += 1

    # -- modules -------------------------------------------------------------------------------------------------------

    def module(self, command: Command) -> None:
        self.instances.pop(None, None)  # a module that fails must not leave the one before it as the current one
        module = wardian.Module(self.script.module(command), self.engine)
        self._remember(command.get("name"), module.instantiate(self.registered))

    def module_definition(self, command: Command) -> None:
        module = wardian.Module(self.script.module(command), self.engine)
        self.definitions[command.get("name")] = self.definitions[None] = module

    def module_instance(self, command: Command) -> None:
        module = self.definitions[command.get("module")]
        self._remember(command.get("instance"), module.instantiate(self.registered))

    def register(self, command: Command) -> None:
        self.registered[command["as"]] = dict(self._instance(command.get("name")).exports)

    def _remember(self, name: str | None, instance: wardian.Instance) -> None:
        self.instances[None] = instance
        if name is not None:
            self.instances[name] = instance

    def _instance(self, name: str | None) -> wardian.Instance:
        found = self.instances.get(name)
        if found is None:
            raise Mismatch("there is no instance, its module failed")
        return found

    # -- actions -------------------------------------------------------------------------------------------------------

    def action(self, command: Command) -> None:
        self._perform(command["action"], [])

    def assert_return(self, command: Command) -> None:
        expected = command["expected"]
        actual = self._perform(command["action"], expected)
        results = () if actual is None and not expected else actual if len(expected) > 1 else (actual,)
        if not isinstance(results, tuple) or len(results) != len(expected):
            raise Mismatch(f"{len(expected)} results expected, got {actual!r}")
        if not all(map(matches, expected, results)):
            raise Mismatch(f"expected {expected}, got {_shown(actual)}")

    def assert_trap(self, command: Command) -> None:
        self._traps(lambda: self._perform(command["action"], []), command["text"])

    assert_exhaustion = assert_trap

    def assert_exception(self, command: Command) -> None:
        try:
            actual = self._perform(command["action"], [])
        except wardian.Trap as error:
            raise Mismatch(f"an exception expected, got the trap {error.message!r}") from None
        except wardian.WardianError as error:
            if type(error).__name__ != "GuestException":
                raise
        else:
            raise Mismatch(f"an exception expected, got {_shown(actual)}")

    def _perform(self, action: Command, expected: list[JsonValue]) -> Any:
        instance = self._instance(action.get("module"))
        name = action["field"]
        exported: Any = instance.exports[name]
        if action["type"] == "get":
            return exported.value
        values = action["args"]
        if not any(map(needs_bits, [*values, *expected])):
            return exported(*map(argument, values))
        key = (id(instance), name)
        if key not in self.adapters:
            self.adapters[key] = by_bits(exported, self.engine)
        return self.adapters[key](*map(_as_bits, values))

    # -- modules that must fail ----------------------------------------------------------------------------------------

    def assert_invalid(self, command: Command) -> None:
        self._rejects(command, wardian.InvalidError)

    def assert_malformed(self, command: Command) -> None:
        self._rejects(command, wardian.MalformedError)

    def _rejects(self, command: Command, kind: type[Exception]) -> None:
        try:
            wardian.Module(self.script.module(command), self.engine)
        except kind as error:
            _same_words(command["text"], str(error))
        except wardian.FeatureDisabled as error:
            if OF_OLD.get(command["text"]) != error.feature:
                raise
        else:
            raise Mismatch(f"{kind.__name__} expected ({command['text']}), but it was accepted")

    def assert_unlinkable(self, command: Command) -> None:
        module = wardian.Module(self.script.module(command), self.engine)
        try:
            module.instantiate(self.registered)
        except wardian.LinkError as error:
            _same_words(command["text"], str(error))
        else:
            raise Mismatch(f"LinkError expected ({command['text']}), but it linked")

    def assert_uninstantiable(self, command: Command) -> None:
        module = wardian.Module(self.script.module(command), self.engine)
        self._traps(lambda: module.instantiate(self.registered), command["text"])

    def _traps(self, act: Callable[[], object], text: str) -> None:
        try:
            actual = act()
        except wardian.Trap as error:
            _same_words(text, error.message)
        else:
            raise Mismatch(f"trap expected ({text}), got {_shown(actual)}")


def _same_words(expected: str, actual: str) -> None:
    """The specification compares prefixes; an element's index after its words is the interpreter's addition."""
    if not actual.startswith(expected.rstrip("0123456789 ")):
        raise Mismatch(f"expected the words {expected!r}, got {actual!r}")


def _as_bits(value: JsonValue) -> object:
    if value["type"] != "f32":
        return argument(value)
    return argument({"type": "i32", "value": bits_of(value)})


def _shown(value: object) -> str:
    """A result, with floats by their bits as well."""
    if isinstance(value, float):
        return f"{value!r} ({struct.pack('>d', value).hex()})"
    return repr(value)


HANDLERS: dict[str, Callable[[Runner, Command], None]] = {
    "module": Runner.module,
    "module_definition": Runner.module_definition,
    "module_instance": Runner.module_instance,
    "register": Runner.register,
    "action": Runner.action,
    "assert_return": Runner.assert_return,
    "assert_trap": Runner.assert_trap,
    "assert_exhaustion": Runner.assert_exhaustion,
    "assert_exception": Runner.assert_exception,
    "assert_invalid": Runner.assert_invalid,
    "assert_malformed": Runner.assert_malformed,
    "assert_unlinkable": Runner.assert_unlinkable,
    "assert_uninstantiable": Runner.assert_uninstantiable,
}
