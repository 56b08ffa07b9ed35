"""A module around the one under test through which every engine is spoken to: only i64 goes in and comes out.

So results are compared by bits whatever an engine's own interface makes of floats, vectors and references; and every
call goes through an import, too.
"""

from __future__ import annotations

import json
import subprocess
from typing import NamedTuple

from tests.fuzz.values import SLOTS
from tests.support import wasm_tools
from wardian.binary.decode import decode
from wardian.limits import Features, Limits
from wardian.syntax.types import FuncType, NumType, RefType, ValType

FEATURES = Features(custom_page_sizes=True)
"""Everything there is."""

_TO = {
    "i32": "(i32.wrap_i64 (local.get {0}))",
    "i64": "(local.get {0})",
    "f32": "(f32.reinterpret_i32 (i32.wrap_i64 (local.get {0})))",
    "f64": "(f64.reinterpret_i64 (local.get {0}))",
    "v128": "(i64x2.replace_lane 1 (i64x2.splat (local.get {0})) (local.get {1}))",
}
_FROM = {
    "i32": "(i64.extend_i32_u (local.get {0}))",
    "i64": "(local.get {0})",
    "f32": "(i64.extend_i32_u (i32.reinterpret_f32 (local.get {0})))",
    "f64": "(i64.reinterpret_f64 (local.get {0}))",
    "v128": "(i64x2.extract_lane 0 (local.get {0})) (i64x2.extract_lane 1 (local.get {0}))",
    "ref": "(i64.extend_i32_u (ref.is_null (local.get {0})))",
}


class Wrapper(NamedTuple):
    """An export of the adapter: the types it stands for, one word each, and those of its result slots."""

    name: str
    params: tuple[str, ...]
    results: tuple[str, ...]

    @property
    def result_slots(self) -> tuple[str, ...]:
        return tuple(t for t in self.results for _ in range(SLOTS.get(t, 1)))


class Case(NamedTuple):
    """A module, its adapter, and what there is to look at."""

    module: bytes
    adapter: bytes
    imports: tuple[str, ...]
    """What the adapter imports from the module, in order."""
    functions: tuple[Wrapper, ...]
    globals: tuple[Wrapper, ...]
    memories: tuple[str, ...]


def assembled(text: str) -> bytes:
    done = subprocess.run([*wasm_tools(), "parse", "-"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"wasm-tools parse: {done.stderr.decode()}\n{text}")
    return done.stdout


def _word(type_: ValType) -> str:
    """A type's text; a reference's in full."""
    if isinstance(type_, NumType):
        return str(type_)
    assert isinstance(type_, RefType)
    return f"(ref {'null ' if type_.nullable else ''}{type_.heap})"


def _type_section(binary: bytes) -> str:
    """The types of a module as text: the same ones in another module are the same types, groups and all."""
    command = [*wasm_tools(), "print", "-"]
    text = subprocess.run(command, input=binary, capture_output=True, check=True).stdout.decode()
    first = start = text.index("(", text.index("(module") + 1)
    while text.startswith(("(type", "(rec"), start):
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(text[start], 0)
            start += 1
            if not depth:
                break
        start = text.index("(", start)
    return text[first:start]


def case(binary: bytes) -> Case | None:
    """``binary`` and its adapter; ``None`` if it exports no function that can be spoken to."""
    module = decode(binary, FEATURES, Limits())
    head: list[str] = [_type_section(binary)] if module.types else []
    body: list[str] = []
    imports: list[str] = []
    functions: list[Wrapper] = []
    globals_: list[Wrapper] = []
    memories: list[str] = []
    types, global_types = module.types, module.global_types()
    for export in module.exports:
        quoted = json.dumps(export.name) if export.name.isascii() and export.name.isprintable() else ""
        if export.kind == "memory":
            memories.append(export.name)
        elif export.kind == "func" and quoted:
            index = module.func_type_index(export.index)
            type_ = types[index].comp
            assert isinstance(type_, FuncType)
            params, results = tuple(map(_word, type_.params)), tuple(map(_word, type_.results))
            if any(word.startswith("(ref ") and not word.startswith("(ref null") for word in params):
                continue
            wrapper = Wrapper(f"f{len(functions)}", params, results)
            head.append(f'(import "m" {quoted} (func ${wrapper.name} (type {index})))')
            imports.append(export.name)
            body.append(_function(wrapper))
            functions.append(wrapper)
        elif export.kind == "global" and quoted:
            g = global_types[export.index]
            word = _word(g.value)
            wrapper = Wrapper(f"g{len(globals_)}", (), (word,))
            kind = f"(mut {word})" if g.mutable else word
            head.append(f'(import "m" {quoted} (global ${wrapper.name} {kind}))')
            imports.append(export.name)
            body.append(
                _results(f'(func (export "{wrapper.name}") ', wrapper.results, f"global.get ${wrapper.name}", 0)
            )
            globals_.append(wrapper)
    if not functions:
        return None
    text = "\n".join(["(module", *head, *body, ")"])
    return Case(binary, assembled(text), tuple(imports), tuple(functions), tuple(globals_), tuple(memories))


def _list(word: str, types: tuple[str, ...]) -> str:
    return f"({word} {' '.join(types)})" if types else ""


def _function(w: Wrapper) -> str:
    count = sum(SLOTS.get(t, 0) for t in w.params)
    at = 0
    arguments = []
    for t in w.params:
        if t in SLOTS:
            arguments.append(_TO[t].format(at, at + 1))
            at += SLOTS[t]
        else:
            arguments.append(f"(ref.null {_heap(t)})")
    params = _list("param", ("i64",) * count)
    return _results(f'(func (export "{w.name}") {params} ', w.results, f"{' '.join(arguments)} call ${w.name}", count)


def _heap(type_: str) -> str:
    """``(ref null extern)`` -> ``extern``."""
    return type_.split()[-1].rstrip(")")


def _results(head: str, results: tuple[str, ...], code: str, first: int) -> str:
    """A function that runs ``code`` and gives its ``results`` as slots; locals begin at ``first``."""
    slots = ("i64",) * sum(SLOTS.get(t, 1) for t in results)
    sets = " ".join(f"local.set {first + i}" for i in reversed(range(len(results))))
    out = " ".join(_FROM.get(t, _FROM["ref"]).format(first + i) for i, t in enumerate(results))
    return f"{head}{_list('result', slots)} {_list('local', results)} {code} {sets} {out})"
