"""The table of addresses that generated code reaches through its context: one row per slot.

Invariant: generated code refers to nothing by symbol; whatever it calls stands here, so an artifact needs no linker.
Rows in ``SYMBOLS`` come from the process (libc, CPython), rows in ``CORE`` from the core glue image; rows in
``OBJECTS`` are Python callables the glue calls, rows in ``VALUES`` plain words.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

SYMBOLS: Final = MappingProxyType(
    {
        "_setjmp": "i32 (ptr)",
        "longjmp": "void (ptr, i32)",
        "memmove": "ptr (ptr, ptr, i64)",
        "memset": "ptr (ptr, i32, i64)",
        "pthread_getspecific": "ptr (i32)",
        "PyEval_SaveThread": "ptr ()",
        "PyEval_RestoreThread": "void (ptr)",
        "PyErr_Occurred": "ptr ()",
        "PyErr_BadArgument": "i32 ()",
        "PyErr_Clear": "void ()",
        "PyErr_CheckSignals": "i32 ()",
        "PyErr_Fetch": "void (ptr, ptr, ptr)",
        "PyErr_NormalizeException": "void (ptr, ptr, ptr)",
        "PyErr_Restore": "void (ptr, ptr, ptr)",
        "PyObject_IsTrue": "i32 (ptr)",
        "PyLong_AsLongLong": "i64 (ptr)",
        "PyLong_FromLongLong": "ptr (i64)",
        "PyLong_FromUnsignedLongLong": "ptr (i64)",
        "PyLong_AsUnsignedLongLong": "i64 (ptr)",
        "PyLong_AsUnsignedLongLongMask": "i64 (ptr)",
        "PyType_GenericAlloc": "ptr (ptr, i64)",
        "PyFloat_AsDouble": "double (ptr)",
        "PyFloat_FromDouble": "ptr (double)",
        "PyObject_Vectorcall": "ptr (ptr, ptr, i64, ptr)",
        "PyBytes_FromStringAndSize": "ptr (ptr, i64)",
        "PyBytes_AsString": "ptr (ptr)",
        "PyBytes_Size": "i64 (ptr)",
        "PyTuple_New": "ptr (i64)",
        "PyTuple_SetItem": "i32 (ptr, i64, ptr)",
        "PyTuple_GetItem": "ptr (ptr, i64)",
        "PyBuffer_FillInfo": "i32 (ptr, ptr, ptr, i64, i32, i32)",
        "signal": "ptr (i32, ptr)",
        "madvise": "i32 (ptr, i64, i32)",
        "open": "i32 (ptr, i32, ...)",
        "pread": "i64 (i32, ptr, i64, i64)",
        "close": "i32 (i32)",
        "sigaction": "i32 (i32, ptr, ptr)",
        "Py_IncRef": "void (ptr)",
        "Py_DecRef": "void (ptr)",
    }
)
"""C function -> its LLVM type."""

CORE: Final = MappingProxyType(
    {
        "trap": "void (ptr, i32)",
        "stopped": "void (ptr)",
        "resolve": "ptr (ptr, i64)",
        "hot": "i64 (ptr, i64, i64)",
        "memory_grow": "i64 (ptr, i64, i64)",
        "table_grow": "i64 (ptr, i64, i64, i64)",
        "memory_wait": "i64 (ptr, i64, i64, i64, i64, i64)",
        "memory_notify": "i64 (ptr, i64, i64, i64)",
        "memory_copy": "void (ptr, ptr, ptr, i64)",
        "memory_fill": "void (ptr, ptr, i32, i64)",
        "table_fill": "void (ptr, ptr, i64, i64)",
        "function_number": "i32 (ptr, ptr)",
        "heap_roots": "i32 (ptr, i32)",
    }
)
"""Core glue function -> its LLVM type. Those that guest code calls take its context first."""

OBJECTS: Final = (
    "py_slow_call",
    "py_trap",
    "py_resolve",
    "py_hot",
    "py_memory_grow",
    "py_memory_wait",
    "py_memory_notify",
    "py_table_grow",
    "py_function_number",
    "py_exception",
    "py_throw",
    "py_box",
    "py_unbox",
    "py_results",
)

VALUES: Final = ("tls_key", "none", "code_low", "code_high", "arenas", "ancestors")
"""``tls_key``: the pthread key of THREAD; ``none``: ``Py_None``; ``code_*``: the range all guest code lives in;
``arenas``: address of ``count, (low, high) * count``, the ranges all guest memories live in; ``ancestors``: the table
of supertypes by depth (:data:`wardian.vm.heap.ROW_SHIFT`)."""

SLOTS: Final = (*SYMBOLS, *CORE, *OBJECTS, *VALUES)

SLOT: Final = MappingProxyType({name: 8 * i for i, name in enumerate(SLOTS)})
"""Slot name -> byte offset in the table."""

STUBS: Final = 2048
"""How many lazy-compilation stubs one stub image holds; a module takes as many images as it has functions."""

STUB_SIZE: Final = 16
