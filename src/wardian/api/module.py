"""A module: decoded, validated, compiled lazily, and the start of every instance."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, final

from wardian.api.config import Config
from wardian.api.engine import Engine, default_engine
from wardian.api.initial import settle_datas
from wardian.binary.decode import MAGIC, decode, finish
from wardian.compile.cache import VALID
from wardian.compile.fingerprint import key
from wardian.digest import Hashed
from wardian.errors import BadInput, InvalidError, Refused, printable
from wardian.limits import Limits
from wardian.record import NamedTuple
from wardian.runtime.native import no_copy
from wardian.syntax.module import ExternType, Kind
from wardian.syntax.module import Module as ModuleDecl
from wardian.syntax.types import FuncType, GlobalType, MemoryType, TableType
from wardian.valid.module import validate_module

if TYPE_CHECKING:
    from wardian.api.code import ModuleCode
    from wardian.api.handles import Instance
    from wardian.api.prepared import PreparedModule
    from wardian.compile.bundle import Bundle
    from wardian.valid.context import ModuleContext


_REMEMBER_FROM: Final = 256 << 10
"""Bytes of a module from which reading a mark is quicker than validating it again."""


class ImportType(NamedTuple):
    """What a module asks for. ``type`` of a function or tag is its ``FuncType``."""

    module: str
    name: str
    kind: Kind
    type: FuncType | TableType | MemoryType | GlobalType


class ExportType(NamedTuple):
    """What a module gives."""

    name: str
    kind: Kind
    type: FuncType | TableType | MemoryType | GlobalType


def _binary(source: bytes | bytearray | memoryview | str, config: Config) -> bytes:
    """The binary form of ``source``; the text format is only loaded for what is not binary."""
    given = source if isinstance(source, str) else bytes(source)
    if isinstance(given, bytes) and given[:4] == MAGIC:
        return given
    from wardian.text.parse import assemble, is_text

    if isinstance(given, str) and given.endswith((".wasm", ".wat")) and "(" not in given:
        raise TypeError("source must be a module; for a path use Module.from_file(path)")
    if isinstance(given, str) or is_text(given):
        return assemble(given, config.features, config.limits)
    return given


def _jobs(jobs: int) -> int:
    if jobs < 0:
        raise ValueError("jobs cannot be negative")
    if jobs == 0:
        from wardian.compile.parallel import processors

        return processors()
    return jobs


def _validate_bodies(ctx: ModuleContext, engine: Engine) -> None:
    """Validate every function body, unless the cache remembers that this was done."""
    from wardian.valid.driver import validate_bodies

    cache = engine.compiler.cache
    if cache is None or len(ctx.module.source) < _REMEMBER_FROM:
        validate_bodies(ctx)
        return
    config = engine.config
    mark = VALID + key(engine.compiler.build, ctx.digest, repr(config.features), repr(config.limits))
    if cache.load(mark) is None:
        validate_bodies(ctx)
        cache.store(mark, b"valid")


def _check_shared(decl: ModuleDecl, config: Config) -> None:
    if any(memory.shared for memory in (*decl.imported_memories, *decl.memories)):
        config.check_shared()


def _check_key(key: bytes | None) -> bytes | None:
    if key is not None and not 1 <= len(key) <= 64:
        raise ValueError("a key has 1 to 64 bytes")
    return key


@final
class Module:
    """A WebAssembly module from its binary form or its text.

    Function bodies are validated now (or, with ``Config(lazy=True)``, each before its first compilation) and compiled
    when first called. May be instantiated any number of times, on any thread.
    """

    __reduce_ex__ = no_copy

    def __init__(self, source: bytes | bytearray | memoryview | str, engine: Engine | None = None) -> None:
        """``source`` is a binary module, or text in the WebAssembly text format; a path goes to :meth:`from_file`.

        Raises :class:`MalformedError`, :class:`InvalidError`, :class:`LimitExceeded`, :class:`FeatureDisabled`.
        """
        self.engine = engine or default_engine()
        self._begin(_binary(source, self.engine.config), None)

    @classmethod
    def of_hashed(cls, source: Hashed, engine: Engine) -> Module:
        """As the constructor does, of bytes whose digest is being worked out (internal)."""
        module = cls.__new__(cls)
        module.engine = engine
        module._begin(_binary(source.data(), engine.config), source)
        return module

    def _begin(self, source: bytes, hashed: Hashed | None) -> None:
        config = self.engine.config
        features, limits = config.features, config.limits
        is_kept = self.engine.compiler.cache is not None
        if is_kept and (hashed is None or hashed.data() is not source):
            hashed = Hashed(source)
        self.decl: ModuleDecl = decode(source, features, limits, later=is_kept)
        try:
            _check_shared(self.decl, config)
            self._ctx = validate_module(self.decl, features, limits)
            self._ctx.hashed = hashed
            settle_datas(self._ctx, self.engine)
        except (BadInput, Refused) as error:
            # The first error is the one to report, and it may stand in what was not looked into.
            finish(self.decl, features)
            if isinstance(error, InvalidError):
                from wardian.valid.driver import check_structure

                check_structure(self.decl, features, limits)
            raise
        if not config.lazy:
            _validate_bodies(self._ctx, self.engine)
        self._code: ModuleCode | None = None
        self._bundle: Bundle | None = None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], engine: Engine | None = None) -> Module:
        """Read and check the module at ``path``, binary or text. Raises also ``OSError``."""
        with open(path, "rb") as file:
            return cls(file.read(), engine)

    @functools.cached_property
    def name(self) -> str | None:
        """The module's own name, from its name section."""
        if all(section.name != "name" for section in self.decl.customs):
            return None
        from wardian.binary.custom import names

        return names(self.decl).module()

    @property
    def imports(self) -> tuple[ImportType, ...]:
        return tuple(ImportType(i.module, i.name, i.kind, self._describe(i.kind, i.type)) for i in self.decl.imports)

    @property
    def exports(self) -> tuple[ExportType, ...]:
        ctx = self._ctx
        spaces: dict[Kind, list[ExternType]] = {
            "func": list(ctx.func_types),
            "table": list(ctx.tables),
            "memory": list(ctx.memories),
            "global": list(ctx.globals),
            "tag": list(self.decl.tag_types()),
        }
        return tuple(
            ExportType(e.name, e.kind, self._describe(e.kind, spaces[e.kind][e.index])) for e in self.decl.exports
        )

    def _describe(self, kind: Kind, type: ExternType) -> FuncType | TableType | MemoryType | GlobalType:
        if isinstance(type, TableType | MemoryType | GlobalType):
            return type
        index = type if isinstance(type, int) else type.type
        comp = self._ctx.types.expand(index)
        assert isinstance(comp, FuncType)
        return comp

    def code(self) -> ModuleCode:
        """This module's machine code, shared by its instances (internal)."""
        if self._code is None:
            from wardian.api.code import ModuleCode

            if self._bundle is None:
                self._code = ModuleCode(self.engine, self._ctx, self.name)
            else:
                from wardian.api.bundles import code_of

                self._code = code_of(self._bundle, self.engine, self._ctx, self.name)
        return self._code

    def compile(self, progress: Callable[[int, int], None] | None = None, *, jobs: int = 1) -> None:
        """Compile every function now and fill the cache; ``progress(done, total)`` is called now and then.

        ``jobs`` processes work on a large module; 0 stands for as many as there are processors.

        Raises :class:`InvalidError` or :class:`MalformedError` for a body that was not yet validated,
        :class:`FeatureDisabled` for code this version cannot compile.
        """
        self.code().compile_all(progress, _jobs(jobs))

    def serialize(
        self, *, key: bytes | None = None, jobs: int = 1, progress: Callable[[int, int], None] | None = None
    ) -> bytes:
        """The module with all its machine code, for :meth:`deserialize`: it then runs without being compiled.

        What is not compiled yet is compiled now: with ``opt="auto"``, all of it well (``"O2"``). ``key`` (1 to 64
        bytes) authenticates the result: only who has it can make or change one that :meth:`deserialize` takes with that
        key. Raises as :meth:`compile` does.
        """
        from wardian.api.bundles import pack

        return pack(self.code(), _check_key(key), _jobs(jobs), progress)

    @classmethod
    def deserialize(cls, data: bytes, engine: Engine | None = None, *, key: bytes | None = None) -> Module:
        """The module that :meth:`serialize` made these bytes of. Neither validates nor compiles.

        .. warning:: The bytes hold native code. Load only what you or somebody you trust has made, and nobody else
           could change since: with ``key`` that is checked; without, the bytes are only checked for damage.

        How it was compiled is part of the bytes, whatever the engine's configuration says. Raises
        :class:`ArtifactError` for what is damaged, not authentic, or was made by another version or for another CPU.
        """
        from wardian.api.bundles import unpack

        used = engine or default_engine()
        bundle = unpack(data, used, _check_key(key))
        module = cls.__new__(cls)
        module.engine = used
        module.decl = decode(bundle.source, used.config.features, used.config.limits)
        _check_shared(module.decl, used.config)
        module._ctx = validate_module(module.decl, used.config.features, used.config.limits)
        module._bundle = bundle
        module._code = None
        return module

    def instantiate(
        self,
        imports: Mapping[str, Mapping[str, object]] | None = None,
        *,
        limits: Limits | None = None,
        beside: Instance | None = None,
    ) -> Instance:
        """A new instance with ``imports`` (``{module: {name: value}}``); its start function has run.

        A function import takes any Python callable or a :class:`Func` of another instance; memories, tables and globals
        take those of other instances or free-standing ones; an immutable number global also takes a number. ``limits``
        replaces the engine's for this instance (memory, tables, stack, fuel). The new instance joins the store of what
        it imports, and of ``beside``: instances of one store may be given each other's functions, structures and
        arrays, and run on one thread at a time.

        Raises :class:`LinkError` naming everything that is missing or does not fit, :class:`Trap`,
        :class:`LimitExceeded`, and what a host function called by the start function raises.
        """
        from wardian.api.link import instantiate, store_of

        return instantiate(self, self.code(), imports or {}, self._limits(limits), store_of(beside))

    def _limits(self, limits: Limits | None) -> Limits:
        if limits is None:
            return self.engine.config.limits
        self.engine.config.check_limits(limits)
        return limits

    def prepare(
        self, imports: Mapping[str, Mapping[str, object]] | None = None, *, limits: Limits | None = None
    ) -> PreparedModule:
        """Match ``imports`` once, for many instances: ``prepare(imports).instantiate()`` is cheap.

        Arguments are those of :meth:`instantiate`; later changes of ``imports`` are not seen. Raises
        :class:`LinkError`.
        """
        from wardian.api.prepared import PreparedModule

        return PreparedModule(self, self.code(), imports or {}, self._limits(limits))

    def __repr__(self) -> str:
        name = printable(self.name or "")
        return f"<wardian.Module {name}: {len(self.decl.imports)} imports, {len(self.decl.exports)} exports>"
