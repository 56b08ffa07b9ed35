"""How WebAssembly types travel through machine code, and how generated things are named.

The calling convention: ``tailcc``; first argument the callee's context, then, if there are more than
:data:`MAX_REGISTER_RESULTS` results, a pointer to a results buffer of 16 bytes each, then the parameters. No results
is ``void``, one is itself, two are a pair; more go to the buffer. Function references are pointers to FUNCREF, every
other reference is a 32-bit offset into the store's heap (:mod:`wardian.vm.heap`); null is zero in both. In tables and
globals, whose cells are 8-byte words, the upper half of such a reference is zero.

Symbols never contain guest text.
"""

from __future__ import annotations

from typing import Final

from wardian.syntax.types import F32, F64, FUNC, I32, I64, NOFUNC, V128, FuncType, NumType, RefType, SubType, ValType

MAX_REGISTER_RESULTS: Final = 2
RESULT_SLOT: Final = 16

_LLVM: Final = {I32: "i32", I64: "i64", F32: "float", F64: "double", V128: "<16 x i8>"}


def is_func_ref(type: RefType, types: list[SubType]) -> bool:
    """Is ``type`` in the function hierarchy (of the module whose types are given)?"""
    if isinstance(type.heap, int):
        return isinstance(types[type.heap].comp, FuncType)
    return type.heap is FUNC or type.heap is NOFUNC


def llvm_type(type: ValType, types: list[SubType]) -> str:
    """LLVM's name of the type a value travels as."""
    if isinstance(type, NumType):
        return _LLVM[type]
    return "ptr" if is_func_ref(type, types) else "i32"


def result_type(results: tuple[ValType, ...], types: list[SubType]) -> str:
    """What the function returns in LLVM's words (``void`` when the results go to the buffer)."""
    if not results or len(results) > MAX_REGISTER_RESULTS:
        return "void"
    names = [llvm_type(t, types) for t in results]
    return names[0] if len(names) == 1 else "{ " + ", ".join(names) + " }"


_WORD_REGISTERS: Final = 6
_FLOAT_REGISTERS: Final = 8
"""Registers for parameters: x86-64's, which has the fewest."""


def on_stack(type: FuncType) -> bool:
    """May a parameter of such a function travel on the stack? A vector takes one register, as a float does."""
    floats = sum(t is F32 or t is F64 or t is V128 for t in type.params)
    words = 1 + (len(type.results) > MAX_REGISTER_RESULTS) + len(type.params) - floats
    return words > _WORD_REGISTERS or floats > _FLOAT_REGISTERS


PADDING: Final = "double"
"""LLVM's type of the parameter without meaning that :func:`is_padded` is about."""


def is_padded(params: str, buffer: bool) -> bool:
    """Does such a function take one more parameter, of no meaning, behind all others?

    ``params`` are letters of :func:`signature_code`; ``buffer``: results go to one. The callee takes its parameters off
    the stack. If a vector is among these and they are not a multiple of 16 bytes in all, LLVM 22 has caller and callee
    disagree on how many bytes that is (x86-64), and a later return goes astray. One more double makes them agree, which
    goes to the stack too, for all registers for vectors are taken then.
    """
    words, floats = _WORD_REGISTERS - 1 - buffer, _FLOAT_REGISTERS
    size = 0
    vector = False
    for letter in params:
        if letter in "fdv":
            floats -= 1
            if floats >= 0:
                continue
            if letter == "v":
                vector = True
                size += size & 8
                size += 8
        else:
            words -= 1
            if words >= 0:
                continue
        size += 8
    return vector and size & 8 != 0


def pads(type: FuncType, types: list[SubType]) -> list[str]:
    """LLVM's types of the parameters of no meaning: one (:func:`is_padded`) or none."""
    if V128 not in type.params:
        return []
    letters = signature_code(type, types).split("_")[0]
    return [PADDING] if is_padded(letters, len(type.results) > MAX_REGISTER_RESULTS) else []


def signature_code(type: FuncType, types: list[SubType]) -> str:
    """A short name for how values of ``type`` travel: equal codes share glue. ``i l f d v r(func) e(other ref)``."""

    def letter(t: ValType) -> str:
        if isinstance(t, NumType):
            return _LETTER[t]
        return "r" if is_func_ref(t, types) else "e"

    return "".join(map(letter, type.params)) + "_" + "".join(map(letter, type.results))


_LETTER: Final = {I32: "i", I64: "l", F32: "f", F64: "d", V128: "v"}

LETTER_LLVM: Final = {"i": "i32", "l": "i64", "f": "float", "d": "double", "v": "<16 x i8>", "r": "ptr", "e": "i32"}


def function_symbol(index: int) -> str:
    return f"f{index}"
