"""Spec chapter "Structure / Instructions": the kinds of immediate an instruction can have, and their Python form.

Invariant: one kind, one Python form, used by the decoder, encoder, text parser, printer, validator and lowering:

==================  ==============================================================================
kind                value
==================  ==============================================================================
NONE                ``None``
index kinds, LANE   ``int`` (unsigned)
I32, I64            ``int`` (signed)
F32, F64            ``int``: the bits
V128, SHUFFLE       ``bytes`` of length 16
BLOCK               ``None`` (no type), a ``ValType`` (one result), or a type index ``int``
MEMARG              ``(align_log2, offset, memory)``
MEMARG_LANE         ``(align_log2, offset, memory, lane)``
SELECT_T            ``tuple`` of ``ValType``
HEAP                a heap type: ``AbsHeapType`` or type index ``int``
BR_TABLE            ``(labels tuple, default label)``
CALL_INDIRECT       ``(type, table)``
MEMORY_COPY         ``(destination memory, source memory)``
MEMORY_INIT         ``(data, memory)``
TABLE_COPY          ``(destination table, source table)``
TABLE_INIT          ``(element segment, table)``
TYPE_FIELD          ``(type, field)``
TYPE_COUNT          ``(type, count)``
TYPE_DATA           ``(type, data)``
TYPE_ELEM           ``(type, element segment)``
TYPE_TYPE           ``(destination type, source type)``
BR_CAST             ``(label, source RefType, destination RefType)``
TRY_TABLE           ``(block type as in BLOCK, tuple of (catch kind 0..3, tag or None, label))``
==================  ==============================================================================
"""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Imm(IntEnum):
    NONE = 0
    LABEL = 1
    FUNC = 2
    TYPE = 3
    LOCAL = 4
    GLOBAL = 5
    TABLE = 6
    MEMORY = 7
    DATA = 8
    ELEM = 9
    TAG = 10
    LANE = 11
    I32 = 12
    I64 = 13
    F32 = 14
    F64 = 15
    V128 = 16
    SHUFFLE = 17
    BLOCK = 18
    MEMARG = 19
    MEMARG_LANE = 20
    SELECT_T = 21
    HEAP = 22
    BR_TABLE = 23
    CALL_INDIRECT = 24
    MEMORY_COPY = 25
    MEMORY_INIT = 26
    TABLE_COPY = 27
    TABLE_INIT = 28
    TYPE_FIELD = 29
    TYPE_COUNT = 30
    TYPE_DATA = 31
    TYPE_ELEM = 32
    TYPE_TYPE = 33
    BR_CAST = 34
    TRY_TABLE = 35
    FENCE = 36
    """``atomic.fence``'s reserved zero byte; its value is ``None``."""
