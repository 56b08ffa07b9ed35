"""Trap codes: one row each, shared by generated code (the number) and the host (the word and the message).

Messages are the specification's words, which its test suite checks as prefixes; where a limit was reached, they say
how to raise it.
"""

from __future__ import annotations

from enum import IntEnum, unique
from types import MappingProxyType
from typing import Final

from wardian.limits import remedy


@unique
class TrapCode(IntEnum):
    UNREACHABLE = 1
    MEMORY_OUT_OF_BOUNDS = 2
    TABLE_OUT_OF_BOUNDS = 3
    UNDEFINED_ELEMENT = 4
    UNINITIALIZED_ELEMENT = 5
    BAD_SIGNATURE = 6
    INTEGER_OVERFLOW = 7
    INTEGER_DIVIDE_BY_ZERO = 8
    BAD_CONVERSION_TO_INTEGER = 9
    STACK_EXHAUSTED = 10
    NULL_REFERENCE = 11
    NULL_FUNCTION_REFERENCE = 12
    NULL_EXCEPTION_REFERENCE = 15
    TIMEOUT = 13
    INTERRUPT = 14
    UNALIGNED_ATOMIC = 16
    WAIT_ON_UNSHARED_MEMORY = 17
    OUT_OF_FUEL = 18
    NULL_STRUCTURE_REFERENCE = 30
    NULL_ARRAY_REFERENCE = 31
    NULL_I31_REFERENCE = 32
    CAST_FAILURE = 33
    ARRAY_OUT_OF_BOUNDS = 34
    HEAP_EXHAUSTED = 35


TRAPS: Final = MappingProxyType(
    {
        TrapCode.UNREACHABLE: ("unreachable", "unreachable"),
        TrapCode.MEMORY_OUT_OF_BOUNDS: ("memory_out_of_bounds", "out of bounds memory access"),
        TrapCode.TABLE_OUT_OF_BOUNDS: ("table_out_of_bounds", "out of bounds table access"),
        TrapCode.UNDEFINED_ELEMENT: ("table_out_of_bounds", "undefined element"),
        TrapCode.UNINITIALIZED_ELEMENT: ("indirect_call_to_null", "uninitialized element"),
        TrapCode.BAD_SIGNATURE: ("bad_signature", "indirect call type mismatch"),
        TrapCode.INTEGER_OVERFLOW: ("integer_overflow", "integer overflow"),
        TrapCode.INTEGER_DIVIDE_BY_ZERO: ("integer_divide_by_zero", "integer divide by zero"),
        TrapCode.BAD_CONVERSION_TO_INTEGER: ("bad_conversion_to_integer", "invalid conversion to integer"),
        TrapCode.STACK_EXHAUSTED: ("stack_exhausted", f"call stack exhausted; {remedy('stack')}"),
        TrapCode.NULL_REFERENCE: ("null_reference", "null reference"),
        TrapCode.NULL_FUNCTION_REFERENCE: ("null_reference", "null function reference"),
        TrapCode.NULL_EXCEPTION_REFERENCE: ("null_reference", "null exception reference"),
        TrapCode.NULL_STRUCTURE_REFERENCE: ("null_reference", "null structure reference"),
        TrapCode.NULL_ARRAY_REFERENCE: ("null_reference", "null array reference"),
        TrapCode.NULL_I31_REFERENCE: ("null_reference", "null i31 reference"),
        TrapCode.CAST_FAILURE: ("cast_failure", "cast failure"),
        TrapCode.ARRAY_OUT_OF_BOUNDS: ("array_out_of_bounds", "out of bounds array access"),
        TrapCode.HEAP_EXHAUSTED: (
            "heap_exhausted",
            f"heap exhausted: no room for another structure or array; {remedy('gc_heap')}",
        ),
        TrapCode.TIMEOUT: ("timeout", f"timeout: the deadline passed while the guest was running; {remedy('timeout')}"),
        TrapCode.INTERRUPT: ("interrupt", "interrupted by the host"),
        TrapCode.OUT_OF_FUEL: ("out_of_fuel", f"out of fuel: what the guest was given is used up; {remedy('fuel')}"),
        TrapCode.UNALIGNED_ATOMIC: ("unaligned_atomic", "unaligned atomic"),
        TrapCode.WAIT_ON_UNSHARED_MEMORY: ("wait_on_unshared_memory", "expected shared memory"),
    }
)
"""``code -> (word, message)``."""

STOPS: Final = frozenset({TrapCode.TIMEOUT, TrapCode.INTERRUPT, TrapCode.OUT_OF_FUEL})
"""Those that the guest did nothing wrong for: somebody, or a bound, stopped it."""
