"""A module's machine code: lazily resolved, shared by all its instances, remembered by the cache.

Invariant: :attr:`ModuleCode.codes` holds for each defined function the address of its code or, until that exists, of
its lazy stub; it changes once per function, under the lock.
"""

from __future__ import annotations

import functools
import threading
import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, final

from wardian.api.budget import Budget
from wardian.api.initial import initial
from wardian.compile.artifact import Functions
from wardian.compile.baseline.heat import Heat
from wardian.compile.baseline.unsupported import Unsupported
from wardian.compile.effort import GaveUp
from wardian.compile.options import CodeOptions
from wardian.compile.stack import with_deep_stack
from wardian.digest import module_digest
from wardian.errors import LimitExceeded, printable
from wardian.runtime.function import HostFacts
from wardian.runtime.glue import Glue
from wardian.runtime.memory import Initial
from wardian.runtime.native import Block
from wardian.runtime.process import CodeRegion
from wardian.syntax.module import Export
from wardian.syntax.types import FuncType
from wardian.valid.context import ModuleContext
from wardian.vm.abi import signature_code
from wardian.vm.layout import InstanceLayout
from wardian.vm.objects import has_objects

if TYPE_CHECKING:
    from wardian.api.config import Config
    from wardian.api.engine import Engine
    from wardian.binary.custom import Names
    from wardian.compile.ahead import Ahead
    from wardian.compile.baseline.driver import BaselineCompiler
    from wardian.compile.compiler import Compiler
    from wardian.compile.function import Resume
    from wardian.limits import Features

OPTIMISE_BELOW: Final = 400_000
"""Bytes of code section up to which ``opt="auto"`` optimises."""

OPTIMISE_FUNCTION_BELOW: Final = 64 << 10
"""Bytes of a function's body up to which ``opt="auto"`` optimises it."""

_LARGE: Final = 64 << 10
"""Bytes of code section from which some of it is compiled ahead of its first call, and LLVM's turn comes later."""

_INLINE_STACK: Final = 3 << 20
"""Stack a thread must have beyond what guests may use before LLVM is run on it."""


def _entry(compiler: Compiler, digest: bytes, options: CodeOptions, features: Features, tiers: str = "") -> str:
    """The name of the cache's entry for the code of a module; ``tiers``: see :func:`_tiers`."""
    return compiler.functions_key(digest, options, [*(n for n in features.names() if getattr(features, n)), tiers])


def _tiers(heat: Heat, otherwise: str) -> str:
    """What baseline code that counts also depends on: when it is hot, and how LLVM compiles what has no stencil."""
    return f"{heat} {otherwise}"


def possible_keys(compiler: Compiler, config: Config, source: bytes) -> frozenset[str]:
    """The names that the cache's entries for this binary module can have, whatever is in it."""
    usual: list[tuple[Literal["O0", "O2", "baseline"], str]] = [("O2", "")]
    if config.opt == "auto":
        heat = Heat.after(config.tier_up)
        usual += [("baseline", _tiers(heat, "O0")), ("baseline", _tiers(heat, "O2"))]
    else:
        usual.append((config.opt, ""))
    digest = module_digest(source)
    return frozenset(
        _entry(compiler, digest, config.code(opt, exceptions=exceptions), config.features, tiers)
        for opt, tiers in usual
        for exceptions in (False, True)
    )


@final
class ModuleCode:
    """Implements :class:`wardian.runtime.instance.Code`."""

    def __init__(
        self,
        engine: Engine,
        ctx: ModuleContext,
        name: str | None,
        *,
        exceptions: bool = False,
        options: CodeOptions | None = None,
    ) -> None:
        """``options`` are the configuration's, or what it makes of the module's size, unless given."""
        self.engine = engine
        self.ctx = ctx
        self.name = name
        module = ctx.module
        self.layout = InstanceLayout.of(module)
        engine.check_layout(self.layout)
        bodies = module.bodies
        self._size = bodies[-1][1] - bodies[0][0] if bodies else 0
        """Bytes from the first body to the end of the last."""
        self._otherwise: Literal["O0", "O2"] = "O0"
        self._heat: Heat | None = None
        self._is_fixed = options is not None
        self.options = options or self._options(exceptions)
        self._with_exceptions: ModuleCode | None = self if self.options.exceptions else None
        self._before: ModuleCode | None = None
        count = len(module.funcs)
        self.codes = Block(8 * count)
        self.codes.words[:count] = memoryview(array("Q", engine.stubs(count)))
        self.type_words = Block(4 * count)
        self.type_words.words.cast("B").cast("I")[:count] = memoryview(array("I", module.funcs))
        self.type_ids = engine.process.canonical.lease(ctx.types)
        self._resolved: set[int] = set()
        self._new: list[tuple[int, bytes, int]] = []
        self._mapped: list[CodeRegion] = []
        self._budget = Budget(engine.config.limits)
        self._lock = threading.RLock()
        self._key: str | None = None
        self._loaded = False
        self._cached: dict[int, int] = {}
        self._was_cached = False
        """Was there code of it in the cache?"""
        self._baseline: BaselineCompiler | None = None
        self._ahead: Ahead | None = None
        self._better: dict[int, int] = {}
        """Addresses of optimised code beside the baseline's."""
        self._better_key: str | None = None
        self._new_better: list[tuple[int, bytes, int]] = []
        self._continuations: dict[tuple[int, int], int] = {}
        self._asked: set[tuple[str, int, int]] = set()
        self.refused: Counter[str] = Counter()
        """Why functions were left to LLVM that the baseline tier should have compiled."""
        self._given: Functions | None = None
        self._names: Names | None = None
        self._hints: Mapping[int, bool] | None = None
        self._glue: dict[int, Glue] = {}
        self._signatures: set[str] = set()
        self._func_facts: dict[int, tuple[int, str, Glue]] = {}
        self._host_facts: dict[int, HostFacts] = {}
        self._initial: Initial | Literal[False] | None = False

    def _options(self, exceptions: bool) -> CodeOptions:
        """What the configuration, or the module's size where it says ``auto``, makes of the choices."""
        config = self.engine.config
        if config.opt != "auto":
            return config.code(config.opt, exceptions=exceptions)
        # What no stencil does is compiled by LLVM at once.
        self._otherwise = "O2" if self._size <= OPTIMISE_BELOW else "O0"
        self._heat = Heat.after(config.tier_up)
        return config.code("baseline", exceptions=exceptions).__replace__(optimise_below=OPTIMISE_FUNCTION_BELOW)

    @property
    def has_tags(self) -> bool:
        return bool(self.ctx.tags)

    @property
    def counts_fuel(self) -> bool:
        return self.options.fuel

    @property
    def has_objects(self) -> bool:
        return has_objects(self.ctx.module)

    def with_exceptions(self) -> ModuleCode:
        with self._lock:
            if self._with_exceptions is None:
                options = self.options.__replace__(exceptions=True) if self._is_fixed else None
                self._with_exceptions = ModuleCode(
                    self.engine, self.ctx, self.name, exceptions=True, options=options
                )
                # Instances that go over to it have contexts that go on pointing into the tables of this one.
                self._with_exceptions._before = self
            return self._with_exceptions

    # -- code ----------------------------------------------------------------------------------------------------------

    def resolve(self, index: int) -> int:
        """Address of the code of defined function ``index``; see :class:`wardian.runtime.instance.Code`.

        Raises what validation and compilation of the body raise.
        """
        with self._lock:
            self.load()
            if index in self._resolved:
                return self.codes[8 * index]
            return self._publish(index, self._compile([index]))

    def _publish(self, index: int, address: int) -> int:
        self.codes[8 * index] = address
        self._resolved.add(index)
        return address

    def _compile(self, indices: list[int]) -> int:
        """Compile functions now and map them; the address of the last."""
        made = self._make_here(indices, self.options)
        self._new += made
        if self.engine.compiler.cache is not None:
            self.engine.remember(self._cache_key(), self._new, sum(len(code) for _, code, _ in made))
        return self._map(made)

    def _make_here(self, indices: list[int], options: CodeOptions) -> list[tuple[int, bytes, int]]:
        """Compile functions in this process."""
        return self._by_stencils(indices) if options.opt == "baseline" else self._by_llvm(options, indices)

    def _map(self, made: list[tuple[int, bytes, int]]) -> int:
        """Map functions, each for itself; the address of the last."""
        address = 0
        for index, code, entry in made:
            address = self._cached[index] = self._map_one(index, code, entry)
        return address

    def _by_llvm(self, options: CodeOptions, indices: list[int]) -> list[tuple[int, bytes, int]]:
        left: dict[int, GaveUp] = {}

        def work() -> list[tuple[int, bytes, int]]:
            made: list[tuple[int, bytes, int]] = []
            for index in indices:
                try:
                    with self._budget.compiling() as spend:
                        made += self.engine.compiler.compile(self.ctx, options, [index], self._branch_hints(), spend)
                except GaveUp as reason:
                    left[index] = reason
            return made

        room = self.engine.process.stack_size() - self.engine.config.limits.stack
        made = work() if room >= _INLINE_STACK else with_deep_stack(work)
        return [*made, *(self._without_llvm(index, reason) for index, reason in left.items())]

    def _without_llvm(self, index: int, reason: GaveUp) -> tuple[int, bytes, int]:
        """A function that LLVM does not get through, by the baseline tier."""
        try:
            return self._by_stencil(index)
        except Unsupported as unsupported:
            raise LimitExceeded(
                "function",
                f"function {self.layout.counts[0] + index} cannot be compiled: too much for LLVM ({reason}), and the "
                f"baseline tier does without {unsupported.reason}",
            ) from None

    def _by_stencil(self, index: int) -> tuple[int, bytes, int]:
        """Raises :class:`Unsupported`."""
        # Its one validator must not see two bodies at once, and not everyone who compiles holds the lock.
        with self._lock:
            if self._baseline is None:
                self._baseline = self.engine.compiler.baseline(self.ctx, self.options)
                self._ahead = self._look_ahead()
            ahead = self._ahead
            with self._budget.compiling():
                if ahead is None:
                    return index, self._baseline.function(index, self._heat), 0
                code = ahead.take(index)
                if code is None:
                    code = self._baseline.function(index, self._heat)
                    ahead.calls(self._baseline.calls)
                return index, code, 0

    def _look_ahead(self) -> Ahead | None:
        """A fork that compiles what may be called, where that is worth while."""
        engine = self.engine
        worth_while = self._size >= _LARGE and not (self._cached or self.options.fuel)
        if not engine.may_fork or not worth_while:
            return None
        seconds = engine.config.limits.compile_time
        ahead = engine.compiler.ahead(self.ctx, self.options, self._heat, seconds)
        if ahead is not None:
            # When this process ends, it ends by itself.
            weakref.finalize(self, ahead.close).atexit = False
        return ahead

    def _by_stencils(self, indices: list[int]) -> list[tuple[int, bytes, int]]:
        """The baseline tier, and LLVM for what it does not do."""
        if self._asked:
            self.engine.worker.busy()
        made: list[tuple[int, bytes, int]] = []
        for index in indices:
            try:
                made.append(self._by_stencil(index))
            except Unsupported as unsupported:
                self.refused[unsupported.reason] += 1
                made += self._by_llvm(self.options.__replace__(opt=self._otherwise), [index])
        return made

    def _cache_key(self) -> str:
        if self._key is None:
            ctx, compiler = self.ctx, self.engine.compiler
            tiers = _tiers(self._heat, self._otherwise) if self._heat else ""
            self._key = _entry(compiler, ctx.digest, self.options, ctx.features, tiers)
            if self._heat:
                better = self.options.__replace__(opt="O2")
                self._better_key = _entry(compiler, ctx.digest, better, ctx.features)
        return self._key

    def load(self) -> None:
        """See :class:`wardian.runtime.instance.Code`."""
        with self._lock:
            if self._loaded:
                return
            self._loaded = True
            if self._given is None and self.engine.compiler.cache is not None:
                self._load()
                self._was_cached = bool(self._cached)
            for index, address in self._cached.items():
                if index not in self._resolved:
                    self._publish(index, address)

    def _load(self) -> None:
        """Map what the cache has of this module, all at once."""
        key = self._cache_key()
        for each in (key, self._better_key):
            found = self.engine.compiler.load_functions(each) if each is not None else None
            mapped = self._map_all(found) if found is not None else {}
            if each is not key:
                self._better = mapped

    def _map_all(self, found: Functions) -> dict[int, int]:
        """Map functions as one region: their addresses."""
        if not found.blob:
            return {}
        self._budget.add(len(found.blob))
        count, imported = len(self.ctx.module.funcs), self.layout.counts[0]
        ranges = [(at, size, imported + index) for index, (at, size, _) in found.rows.items() if index < count]
        base = self.engine.process.map_code(found.blob, ranges, weakref.ref(self))
        self._mapped.append(base)
        mapped = {index: base + entry for index, (_, _, entry) in found.rows.items() if index < count}
        self._cached.update(mapped)
        return mapped

    # -- tier-up -------------------------------------------------------------------------------------------------------

    def hot(self, index: int, site: int) -> tuple[int, int]:
        """See :class:`wardian.runtime.instance.Code`."""
        if site:
            self._ask(("loop", index, site))
        self._ask(("function", index, 0))
        return self._better.get(index, 0), self._continuations.get((index, site), 0) if site else 0

    def _ask(self, what: tuple[str, int, int]) -> None:
        """Have something compiled well, once."""
        if what in self._asked or (what[0] == "function" and what[1] in self._better):
            return
        reference = weakref.ref(self)

        def job() -> None:
            code = reference()
            if code is not None:
                # What LLVM does not get through goes on with the code it has.
                with suppress(LimitExceeded, GaveUp), code._budget.compiling(better=True) as spend:
                    code._improve(*what, spend)

        from wardian.api.tiers import AT_ONCE, LATER, SOON

        after = AT_ONCE if self._size < _LARGE else LATER if self._was_cached else SOON
        if self.engine.worker.submit(job, after):
            self._asked.add(what)

    def _improve(self, kind: str, index: int, site: int, spend: Callable[[float], None]) -> None:
        """Compile a hot function, or what follows on a hot loop of it, and have it used from now on."""
        compiler, options = self.engine.compiler, self.options.__replace__(opt="O2")
        if compiler.is_too_much(self.ctx, options, index, self._branch_hints()):
            return
        if kind == "loop":
            resume = self._resume(index, site)
            if resume is not None:
                made = compiler.continuation(self.ctx, options, index, self._branch_hints(), resume, spend)
                self._continuations[index, site] = self._map_one(index, *made)
            return
        for _, code, entry in compiler.compile(self.ctx, options, [index], self._branch_hints(), spend):
            address = self._map_one(index, code, entry)
            with self._lock:
                self._better[index] = self._cached[index] = address
                if index in self._resolved:
                    self.codes[8 * index] = address
                self._new_better.append((index, code, entry))
        if compiler.cache is not None and self._better_key is not None:
            size = sum(len(code) for _, code, _ in self._new_better)
            self.engine.remember(self._better_key, self._new_better, size)

    def _resume(self, index: int, site: int) -> Resume | None:
        from wardian.compile.function import Resume

        with self._lock:
            if self._baseline is None:
                return None
            places = self._baseline.frame_map(index)
        return Resume(site, tuple(places.locals), places.operands, places.results)

    def _map_one(self, index: int, code: bytes, entry: int) -> int:
        """Map one function's code: its address."""
        self._budget.add(len(code))
        ranges = [(0, len(code), self.layout.counts[0] + index)]
        region = self.engine.process.map_code(code, ranges, weakref.ref(self))
        self._mapped.append(region)
        return region + entry

    def compile_all(self, progress: Callable[[int, int], None] | None, jobs: int = 1) -> None:
        """Compile every function that is not yet, in ``jobs`` processes; ``progress(done, of)`` now and then."""
        functions = self.gather(progress, jobs)
        with self._lock:
            if self._loaded or self._cached:
                for index, (at, size, entry) in functions.rows.items():
                    if index not in self._cached:
                        self._map([(index, bytes(functions.blob[at : at + size]), entry - at)])
            else:
                self._loaded = True
                self._map_all(functions)
            for index, address in self._cached.items():
                self._publish(index, address)

    def remake(self, key: str, indices: Sequence[int]) -> bool:
        """Compile functions for the cache's entry ``key``, and put them there; ``False`` if that is none of ours.

        Raises what validation and compilation of the bodies raise.
        """
        count = len(self.ctx.module.funcs)
        wanted = sorted({index for index in indices if 0 <= index < count})
        usual = self._cache_key()
        if key not in (usual, self._better_key):
            others = self.with_exceptions()
            return others is not self and others.remake(key, wanted)
        options = self.options if key == usual else self.options.__replace__(opt="O2")
        self.engine.compiler.store_functions(key, self._make_here(wanted, options))
        return True

    def ahead_options(self) -> CodeOptions:
        """How all is compiled ahead of time: well, if it is left to what turns out to be hot."""
        return self.options.__replace__(opt="O2") if self._heat is not None else self.options

    def gather(
        self, progress: Callable[[int, int], None] | None, jobs: int = 1, options: CodeOptions | None = None
    ) -> Functions:
        """The code of every function: from the cache, or compiled now, in ``jobs`` processes, and added to the cache.

        With :attr:`options`, or :meth:`ahead_options`. Raises what validation and compilation of the bodies raise.
        """
        compiler, count = self.engine.compiler, len(self.ctx.module.funcs)
        options = options or self.options
        as_usual = options == self.options
        usual_key = self._cache_key()
        key = usual_key if as_usual else self._better_key
        assert key is not None
        with self._lock:
            new = list(self._new if as_usual else self._new_better)
        known = self._given or (compiler.load_functions(key) if compiler.cache is not None else None)
        known = Functions.join(known, new)
        missing = [index for index in range(count) if index not in known.rows]
        made: list[tuple[int, bytes, int]] = []
        for some in self._make(missing, jobs, options):
            made += some
            if progress is not None:
                progress(count - len(missing) + len(made), count)
        compiler.store_functions(key, [*new, *made])
        return Functions.join(known, sorted(made))

    def _make(
        self, missing: list[int], jobs: int, options: CodeOptions
    ) -> Iterator[list[tuple[int, bytes, int]]]:
        """Compile functions, a few at a time."""

        def here(indices: list[int]) -> list[tuple[int, bytes, int]]:
            return self._make_here(indices, options)

        bodies = self.ctx.module.bodies
        if jobs > 1 and missing and options.opt != "baseline":
            from wardian.compile.parallel import WORTH_WHILE, compile_parallel

            if sum(bodies[index][1] - bodies[index][0] for index in missing) >= WORTH_WHILE:
                hints, limits = dict(self._branch_hints()), self.engine.config.limits
                yield from compile_parallel(self.ctx, options, missing, hints, limits, jobs, here, self._budget)
                return
        for index in missing:
            yield here([index])

    def give(self, functions: Functions) -> None:
        """Use this code, which is this module's, for these options; neither the cache nor the compiler is asked."""
        with self._lock:
            self._given = functions
            self._map_all(functions)

    # -- glue and names ------------------------------------------------------------------------------------------------

    def glue(self, type_index: int) -> Glue:
        found = self._glue.get(type_index)
        if found is None:
            comp = self.ctx.types.expand(type_index)
            assert isinstance(comp, FuncType)
            code = signature_code(comp, self.ctx.module.types)
            self._signatures.add(code)
            self.engine.config.limits.check("signatures", len(self._signatures))
            # LLVM takes some hundredths of a second for each, and a module may ask for one function in many ways.
            with self._budget.compiling():
                found = self._glue[type_index] = self.engine.glue(code)
        return found

    def func_facts(self, index: int) -> tuple[int, str, Glue]:
        """See :class:`wardian.runtime.instance.Code`."""
        found = self._func_facts.get(index)
        if found is None:
            type_index = self.ctx.func_types[index]
            name = self.function_name(index) or f"function {index}"
            found = self._func_facts[index] = (type_index, name, self.glue(type_index))
        return found

    def host_facts(self, position: int) -> HostFacts:
        """What all host functions for import ``position`` of the module, a function's, have in common."""
        found = self._host_facts.get(position)
        if found is None:
            i = self.ctx.module.imports[position]
            assert isinstance(i.type, int)
            name = f"{printable(i.module)}.{printable(i.name)}"
            found = HostFacts(i.type, self.ctx.types, self.type_ids, name, self.glue(i.type))
            self._host_facts[position] = found
        return found

    @functools.cached_property
    def exports(self) -> dict[str, Export]:
        """The module's exports by name."""
        return {e.name: e for e in self.ctx.module.exports}

    def _branch_hints(self) -> Mapping[int, bool]:
        """The branch hint section, read on first use."""
        if self._hints is None:
            from wardian.binary.custom import branch_hints

            self._hints = branch_hints(self.ctx.module)
        return self._hints

    def names(self) -> Names:
        """The name section, read on first use."""
        if self._names is None:
            from wardian.binary.custom import names

            self._names = names(self.ctx.module)
        return self._names

    def function_name(self, index: int) -> str | None:
        name = self.names().function(index)
        if name is not None:
            return name
        module = self.ctx.module
        if index < len(module.imported_funcs):
            imports = [i for i in module.imports if i.kind == "func"]
            return f"{imports[index].module}.{imports[index].name}"
        return next((e.name for e in module.exports if e.kind == "func" and e.index == index), None)

    # -- initial memory
    # --------------------------------------------------------------------------------------------------

    def initial(self) -> Initial | None:
        """See :class:`wardian.runtime.instance.Code`."""
        with self._lock:
            if self._initial is False:
                self._initial = initial(self.ctx, self.engine)
            return self._initial
