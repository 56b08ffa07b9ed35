"""Engines behind one interface: each runs a case's calls, and says how each ended and what is in the memories then."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import wasmtime

import wardian
from tests.fuzz.adapter import FEATURES, Case
from tests.fuzz.values import MASK64, Outcome
from tests.support import Mode

SECONDS: Final = 10.0
"""What a case may take on one engine before it is skipped."""

MEMORY: Final = 64 << 20
"""What a memory, or a heap of objects, may grow to."""

GAVE_UP: Final = frozenset({"stack_exhausted", "heap_exhausted", "timeout", "interrupt", "out_of_fuel"})

Call = tuple[str, tuple[int, ...]]


_METERED: Final = frozenset({"out_of_fuel"})
"""What is exact where fuel is counted."""


def _ration(name: str, args: tuple[int, ...]) -> int:
    """Fuel for a call: enough, or in every third case hardly any."""
    chance = zlib.crc32(repr((name, args)).encode())
    return 1 << 40 if chance % 3 else chance // 3 % 2000


class Unsupported(Exception):
    """This engine cannot run the module, and need not."""


class Run(NamedTuple):
    """``outcomes``: of the instantiation, then of each call, up to the first that gave up. ``memories``: at the end.
    ``fuel``: what was left after each call, where it is counted."""

    outcomes: list[Outcome]
    memories: list[bytes]
    fuel: tuple[int, ...] = ()


class Engine(Protocol):
    name: str

    def run(self, case: Case, calls: Sequence[Call]) -> Run:
        """Raises :class:`Unsupported`."""


def _trap(word: str) -> Outcome:
    return Outcome("gave up", word) if word in GAVE_UP else Outcome("trap", word)


def _unsigned(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(value & MASK64 for value in values)


class Wardian:
    """This engine in one mode."""

    def __init__(self, mode: Mode, other: Wardian | None = None, *, fuel: bool = False) -> None:
        """``other``: one to share a compiler with, whose glue is the same in every mode. ``fuel``: count it, give calls
        little now and then, and be deterministic to the bit."""
        self.name = f"wardian {mode}{' fuel' if fuel else ''}"
        self._fuel = fuel
        self._engine = wardian.Engine(
            mode.config(cache=False, features=FEATURES, tier_up=1, fuel=fuel, deterministic=fuel)
        )
        if other is not None:
            self._engine.compiler = other._engine.compiler
        self._last: tuple[Case, wardian.Module, wardian.Module] | None = None

    def _modules(self, case: Case) -> tuple[Case, wardian.Module, wardian.Module]:
        """Compiled once for all rounds of a case."""
        if self._last is None or self._last[0] is not case:
            self._last = case, wardian.Module(case.module, self._engine), wardian.Module(case.adapter, self._engine)
        return self._last

    def run(self, case: Case, calls: Sequence[Call]) -> Run:
        try:
            _, module, adapter = self._modules(case)
        except wardian.FeatureDisabled as error:
            raise Unsupported(str(error)) from None
        outcomes: list[Outcome] = []
        made: list[wardian.Instance] = []
        until = time.monotonic() + SECONDS

        def instantiate() -> tuple[int, ...]:
            made.append(module.instantiate())
            made.append(adapter.instantiate({"m": {name: made[0].exports[name] for name in case.imports}}))
            return ()

        if not self._try(outcomes, instantiate):
            return Run(outcomes, [])
        left: list[int] = []
        instance, exports = made[0], made[1].exports
        for name, args in calls:

            def call(name: str = name, args: tuple[int, ...] = args) -> tuple[int, ...]:
                with instance.deadline(max(until - time.monotonic(), 0.001)):
                    got = exports[name](*args)
                return _unsigned(() if got is None else got if isinstance(got, tuple) else (got,))

            if self._fuel:
                instance.fuel = _ration(name, args)
            goes_on = self._try(outcomes, call)
            if not goes_on:
                break
            if self._fuel:
                left.append(instance.fuel)
        if self._engine.config.opt == "auto":
            self._engine.worker.wait()  # so that the next round runs what this one found to be hot
            if self._engine.worker.failure is not None:
                raise self._engine.worker.failure
        return Run(outcomes, [bytes(instance.exports[name].view()) for name in case.memories], tuple(left))

    def _try(self, outcomes: list[Outcome], act: Any) -> bool:
        """Note how ``act()`` ends; may one go on?"""
        try:
            outcomes.append(Outcome("returned", values=act()))
        except wardian.Trap as trap:
            outcomes.append(Outcome("trap", trap.code) if self._fuel and trap.code in _METERED else _trap(trap.code))
        except wardian.FeatureDisabled as error:
            raise Unsupported(str(error)) from None
        except wardian.LimitExceeded as error:
            outcomes.append(Outcome("gave up", str(error)))
        except wardian.WasmException:
            outcomes.append(Outcome("exception"))
        return outcomes[-1].kind != "gave up" and (len(outcomes) > 1 or outcomes[0].kind == "returned")


_WASMTIME_WORDS: Final = {
    "STACK_OVERFLOW": "stack_exhausted",
    "HEAP_MISALIGNED": "unaligned_atomic",
    "INTEGER_DIVISION_BY_ZERO": "integer_divide_by_zero",
    "ATOMIC_WAIT_NON_SHARED_MEMORY": "wait_on_unshared_memory",
    "ALLOCATION_TOO_LARGE": "heap_exhausted",
    "INTERRUPT": "interrupt",
    "OUT_OF_FUEL": "out_of_fuel",
}
"""What is not simply the lower case of Wasmtime's name."""


class Wasmtime:
    """The reference."""

    name = "wasmtime"

    def __init__(self) -> None:
        config = wasmtime.Config()
        for feature in (
            "threads", "tail_call", "reference_types", "simd", "relaxed_simd", "relaxed_simd_deterministic",
            "bulk_memory", "multi_value", "multi_memory", "memory64", "function_references", "gc", "exceptions",
            "wide_arithmetic", "custom_page_sizes",
        ):  # fmt: skip
            setattr(config, f"wasm_{feature}", True)
        config.epoch_interruption = True
        self._engine = wasmtime.Engine(config)
        self._last: tuple[Case, wasmtime.Module, wasmtime.Module] | None = None
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(0.5)
            self._engine.increment_epoch()

    def _modules(self, case: Case) -> tuple[Case, wasmtime.Module, wasmtime.Module]:
        if self._last is None or self._last[0] is not case:
            made = (wasmtime.Module(self._engine, binary) for binary in (case.module, case.adapter))
            self._last = case, next(made), next(made)
        return self._last

    def run(self, case: Case, calls: Sequence[Call]) -> Run:
        try:
            _, module, adapter = self._modules(case)
        except wasmtime.WasmtimeError as error:
            raise Unsupported(str(error)) from None
        store = wasmtime.Store(self._engine)
        try:
            store.set_epoch_deadline(int(2 * SECONDS))
            store.set_limits(memory_size=MEMORY)
            return self._run(case, calls, store, module, adapter)
        finally:
            store.close()

    def _run(
        self,
        case: Case,
        calls: Sequence[Call],
        store: wasmtime.Store,
        module: wasmtime.Module,
        adapter: wasmtime.Module,
    ) -> Run:
        outcomes: list[Outcome] = []
        try:
            instance = wasmtime.Instance(store, module, [])
            exports = instance.exports(store)
            glue = wasmtime.Instance(store, adapter, [exports[name] for name in case.imports]).exports(store)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            return Run([self._outcome(error)], [])
        outcomes.append(Outcome("returned"))
        for name, args in calls:
            function = glue[name]
            assert isinstance(function, wasmtime.Func)
            try:
                got = function(store, *args)
            except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
                outcomes.append(self._outcome(error))
            else:
                values = () if got is None else got if isinstance(got, list) else (got,)
                outcomes.append(Outcome("returned", values=_unsigned(values)))
            if outcomes[-1].kind == "gave up":
                break
        return Run(outcomes, [self._memory(exports[name], store) for name in case.memories])

    @staticmethod
    def _memory(memory: Any, store: wasmtime.Store) -> bytes:
        return bytes(memory.read(store, 0, memory.data_len(store)))

    @staticmethod
    def _outcome(error: wasmtime.Trap | wasmtime.WasmtimeError) -> Outcome:
        code = getattr(error, "trap_code", None)
        if code is None:
            if "exception" in str(error):
                return Outcome("exception")
            return Outcome("gave up", str(error))
        return _trap(_WASMTIME_WORDS.get(code.name, code.name.lower()))


_NODE_WORDS: Final = (
    ("unreachable", "unreachable"),
    ("memory access out of bounds", "memory_out_of_bounds"),
    ("operation does not support unaligned", "unaligned_atomic"),
    ("table index is out of bounds", "table_out_of_bounds"),
    ("table element", "table_out_of_bounds"),
    ("table access", "table_out_of_bounds"),
    ("element segment out of bounds", "table_out_of_bounds"),
    ("data segment", "memory_out_of_bounds"),
    ("null function or function signature mismatch", "indirect_call"),
    ("divide by zero", "integer_divide_by_zero"),
    ("remainder by zero", "integer_divide_by_zero"),
    ("divide result unrepresentable", "integer_overflow"),
    ("float unrepresentable in integer range", "conversion"),
    ("Atomics.wait cannot be called", "wait_on_unshared_memory"),
    ("Maximum call stack", "stack_exhausted"),
    ("dereferencing a null", "null_reference"),
    ("illegal cast", "cast_failure"),
    ("array element access out of bounds", "array_out_of_bounds"),
)
"""Beginnings or parts of V8's messages, coarser than the specification's words here and there."""

COARSE: Final = {
    "indirect_call_to_null": "indirect_call",
    "bad_signature": "indirect_call",
    "bad_conversion_to_integer": "conversion",
}
"""Words that V8 cannot tell apart."""

EITHER: Final = (frozenset({"integer_overflow", "conversion"}), frozenset({"unaligned_atomic", "memory_out_of_bounds"}))
"""Pairs that may differ from V8: it has one word for whatever cannot be converted, and looks at bounds before
alignment, of which the proposal leaves the order open."""


class Node:
    """V8, in a child process."""

    name = "node"

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    @staticmethod
    def present() -> bool:
        return shutil.which("node") is not None

    def run(self, case: Case, calls: Sequence[Call]) -> Run:
        request = {
            "module": base64.b64encode(case.module).decode(),
            "adapter": base64.b64encode(case.adapter).decode(),
            "calls": [[name, [str(arg) for arg in args]] for name, args in calls],
            "memories": list(case.memories),
        }
        answer = self._ask(json.dumps(request).encode() + b"\n")
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        return Run(
            [self._outcome(row) for row in answer["outcomes"]], [base64.b64decode(m) for m in answer["memories"]]
        )

    @staticmethod
    def _outcome(row: dict[str, Any]) -> Outcome:
        if "values" in row:
            return Outcome("returned", values=tuple(int(v) for v in row["values"]))
        if row.get("exception"):
            return Outcome("exception")
        message = row["trap"]
        word = next((word for part, word in _NODE_WORDS if part in message), None)
        return Outcome("gave up", message) if word is None else _trap(word)

    def _ask(self, line: bytes) -> dict[str, Any]:
        if self._child is None:
            script = Path(__file__).with_name("node_side.mjs")
            command = ["node", "--stack-size=900", str(script)]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None and stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(line)
            stdin.flush()
        answer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            until = time.monotonic() + 2 * SECONDS
            while not answer.endswith(b"\n"):
                ready = selector.select(max(until - time.monotonic(), 0))
                part = os.read(stdout.fileno(), 1 << 20) if ready else b""
                if not part:
                    self.close()
                    raise Unsupported("node gave no answer")
                answer += part
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


@contextlib.contextmanager
def node() -> Iterator[list[Engine]]:
    """V8, where there is one."""
    if not Node.present():
        yield []
        return
    engine = Node()
    try:
        yield [engine]
    finally:
        engine.close()
