"""Wardian runs WebAssembly in a sealed case. The public names, and nothing else.

Invariant: ``import wardian`` costs one small file. Every name is fetched from its home on first use (PEP 562), so a
program that only wants :class:`Limits` never loads the engine, and no program loads llvmlite before it must compile.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wardian.api.config import Config
    from wardian.api.engine import Engine
    from wardian.api.handles import Func, Global, Instance, Memory, Table
    from wardian.api.module import Module
    from wardian.api.profile import Profile
    from wardian.capability.filesystem.tree.tree import Symlink, Tree
    from wardian.errors import (
        ArtifactError,
        Exit,
        FeatureDisabled,
        Interrupted,
        InvalidError,
        IsolationUnavailable,
        LimitExceeded,
        LinkError,
        MalformedError,
        Refused,
        StoreBusy,
        Trap,
        WardianError,
        WasmException,
    )
    from wardian.grants import FileQuota
    from wardian.isolation.policy import Isolation
    from wardian.limits import Features, Limits
    from wardian.runtime.cells import Tag
    from wardian.runtime.references import Array, ExceptionRef, Struct
    from wardian.sandbox.pool import Job, Pool, execute
    from wardian.sandbox.result import RunResult
    from wardian.sandbox.run import run

__version__: Final = "0.1.0"

__all__ = (
    "Array",
    "ArtifactError",
    "Config",
    "Engine",
    "ExceptionRef",
    "Exit",
    "FeatureDisabled",
    "Features",
    "FileQuota",
    "Func",
    "Global",
    "Instance",
    "Interrupted",
    "InvalidError",
    "Isolation",
    "IsolationUnavailable",
    "Job",
    "LimitExceeded",
    "Limits",
    "LinkError",
    "MalformedError",
    "Memory",
    "Module",
    "Pool",
    "Profile",
    "Refused",
    "RunResult",
    "StoreBusy",
    "Struct",
    "Symlink",
    "Table",
    "Tag",
    "Trap",
    "Tree",
    "WardianError",
    "WasmException",
    "execute",
    "run",
)

_HOMES: Final = MappingProxyType(
    {
        "Array": "wardian.runtime.references",
        "ArtifactError": "wardian.errors",
        "Config": "wardian.api.config",
        "Engine": "wardian.api.engine",
        "ExceptionRef": "wardian.runtime.references",
        "Exit": "wardian.errors",
        "FeatureDisabled": "wardian.errors",
        "Features": "wardian.limits",
        "FileQuota": "wardian.grants",
        "Func": "wardian.api.handles",
        "Global": "wardian.api.handles",
        "Instance": "wardian.api.handles",
        "Interrupted": "wardian.errors",
        "InvalidError": "wardian.errors",
        "Isolation": "wardian.isolation.policy",
        "IsolationUnavailable": "wardian.errors",
        "Job": "wardian.sandbox.pool",
        "LimitExceeded": "wardian.errors",
        "Limits": "wardian.limits",
        "LinkError": "wardian.errors",
        "MalformedError": "wardian.errors",
        "Memory": "wardian.api.handles",
        "Module": "wardian.api.module",
        "Pool": "wardian.sandbox.pool",
        "Profile": "wardian.api.profile",
        "Refused": "wardian.errors",
        "RunResult": "wardian.sandbox.result",
        "StoreBusy": "wardian.errors",
        "Struct": "wardian.runtime.references",
        "Symlink": "wardian.capability.filesystem.tree.tree",
        "Table": "wardian.api.handles",
        "Tag": "wardian.runtime.cells",
        "Trap": "wardian.errors",
        "Tree": "wardian.capability.filesystem.tree.tree",
        "WardianError": "wardian.errors",
        "WasmException": "wardian.errors",
        "execute": "wardian.sandbox.pool",
        "run": "wardian.sandbox.run",
    }
)


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
