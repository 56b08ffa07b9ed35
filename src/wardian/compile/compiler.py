"""The compiler as the rest of the engine sees it: glue images and functions, from the cache or from LLVM.

Invariant: LLVM is loaded on the first miss, never before; asking twice gives the same bytes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, final

from wardian.compile.artifact import Functions, decode_images, encode_images
from wardian.compile.baseline.unsupported import Unsupported
from wardian.compile.cache import TARGET
from wardian.compile.effort import GaveUp
from wardian.compile.fingerprint import build_id, key
from wardian.compile.link import Image
from wardian.vm.abi import function_symbol
from wardian.vm.builtins import STUBS

if TYPE_CHECKING:
    from wardian.compile.ahead import Ahead
    from wardian.compile.baseline.driver import BaselineCompiler
    from wardian.compile.baseline.flavour import Flavour
    from wardian.compile.baseline.heat import Heat
    from wardian.compile.baseline.library import Group, Library
    from wardian.compile.function import ModuleFacts, Resume
    from wardian.compile.llvm import Backend
    from wardian.compile.options import CodeOptions
    from wardian.valid.context import ModuleContext

MORE: Final = "-more"
"""At the end of the name of a cache's entry: stencils that were made one by one, when somebody asked for them."""

MOST_MORE: Final = 4 << 20
"""Bytes from which no more of them are kept in the cache; from twice that, those in memory are forgotten."""

_SIGNATURE: Final = "signature "
"""Begins the name of an image of a signature's glue."""

MOST_SIGNATURES: Final = 1024
"""How many signatures' images are remembered, in memory and in the cache: those that were asked for last."""


class Storage(Protocol):
    """Where compiled code is kept: :class:`wardian.compile.cache.Cache`, or a stand-in with the same contract."""

    def load(self, key: str) -> bytes | None: ...

    def store(self, key: str, payload: bytes) -> None: ...

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None: ...


def _nobody(seconds: float) -> None:
    """Who does not want to know."""


@final
class Compiler:
    """One per engine. Thread-safe. ``cache`` may be ``None``."""

    def __init__(
        self,
        cache: Storage | None,
        shared: Callable[[], dict[str, Image]] | None = None,
        backend: Backend | None = None,
        *,
        inside: bool = False,
    ) -> None:
        """``shared()`` is where the process's compilers put their glue, which is the same for all of them.

        ``backend``: make everything with this one, also what came with the package. ``inside``: LLVM may end this
        process, which nobody would miss.
        """
        self._inside = inside
        self.cache = cache
        self._shared = shared or dict
        self._backend = backend
        self._from_scratch = backend is not None
        self._lock = threading.Lock()
        self._build: bytes | None = None
        self._glue: dict[str, Image] | None = None
        self._glue_changed = False
        self._borrowed = False
        self._libraries: dict[str, Library] = {}
        self._preambles: dict[str, str] = {}
        self._more_lock = threading.Lock()

    @property
    def build(self) -> bytes:
        if self._build is None:
            self._build = build_id()
        return self._build

    def backend(self) -> Backend:
        with self._lock:
            if self._backend is None:
                from wardian.compile.llvm import Backend

                self._backend = Backend()
            return self._backend

    def _preamble(self, spectre: str) -> str:
        """:meth:`Backend.preamble`; LLVM, which works in another process, is not loaded in this one only to know it."""
        found = self._preambles.get(spectre)
        if found is None:
            name = TARGET + key(self.build, spectre)
            payload = self.cache.load(name) if self.cache is not None and self._backend is None else None
            found = self.backend().preamble(spectre) if payload is None else payload.decode()
            self._preambles[spectre] = found
            if self.cache is not None and payload is None:
                self.cache.store(name, found.encode())
        return found

    # -- glue ----------------------------------------------------------------------------------------------------------

    def _image(self, name: str, text: Callable[[str], str]) -> Image:
        with self._lock:
            if self._glue is None:
                payload = self.cache.load(self.glue_key()) if self.cache else None
                self._glue = decode_images(payload) if payload else {}
            if name not in self._glue and self._borrowed:
                self._borrowed = False
                payload = self.cache.load(self.glue_key()) if self.cache else None
                self._glue = {**(decode_images(payload) if payload else {}), **self._glue}
                _forget_signatures(self._glue)
            found = self._glue.pop(name, None)
            if found is not None:
                self._glue[name] = found  # at the end: asked for last
        if found is None:
            shared = self._shared()
            found = shared.get(name)
            if found is None and not self._from_scratch:
                found = self._shipped.get(name)
            if found is None:
                from wardian.compile.link import flatten

                backend = self.backend()
                found = shared[name] = flatten(backend.object(text(backend.preamble()), "O2"))
                _forget_signatures(shared)
            with self._lock:
                self._glue[name] = found
                _forget_signatures(self._glue)
                self._glue_changed = True
        return found

    @functools.cached_property
    def _shipped(self) -> dict[str, Image]:
        from wardian.compile.baseline.ship import shipped_glue

        return shipped_glue()

    def glue_key(self) -> str:
        """Name of the cache's entry for glue."""
        return "glue-" + key(self.build)

    def glue(self) -> dict[str, Image]:
        """The images made or loaded so far, by name."""
        with self._lock:
            return dict(self._glue or {})

    def glue_for(self, signatures: Iterable[str]) -> dict[str, Image]:
        """The images of these signature codes and all that is no signature's, by name."""
        self.core()  # another engine may have been the first of this process, and have made it
        images = {name: image for name, image in self.glue().items() if not name.startswith(_SIGNATURE)}
        return images | {_SIGNATURE + code: self.signature(code) for code in signatures}

    def give_glue(self, images: Mapping[str, Image]) -> None:
        """Use these where there are none yet; the cache has been asked first."""
        with self._lock:
            if self._glue is None:
                payload = self.cache.load(self.glue_key()) if self.cache else None
                self._glue = decode_images(payload) if payload else {}
            self._glue = {**images, **self._glue}
            _forget_signatures(self._glue)

    def warm(self) -> None:
        """Load all that is the same for most modules, for a process that will have no files any more, and can neither
        start other ones."""
        from wardian.compile.baseline.ship import common

        self.give_glue(self._shipped)
        for number, flavour in enumerate(common()):
            # Those that would have to be made can wait until somebody wants them, but for the most usual.
            if number == 0 or self._shipped or (self.cache is not None and self.cache.load(self._stencils(flavour))):
                self._library(flavour)
        with contextlib.suppress(ImportError):
            self.backend().preamble()
        self._inside = True

    def share(self, other: Compiler) -> None:
        """Begin with what ``other`` has made or loaded of what is the same for all modules, instead of loading it."""
        self._build, self._backend, self._inside = other.build, other._backend, other._inside
        self._shipped = other._shipped
        with self._lock:
            # The cache may have more by now; it is asked when something is missing.
            self._glue, self._borrowed = other.glue(), True
        self._libraries.update(other._libraries)

    def core(self) -> Image:
        """The core image (:func:`wardian.compile.glue.core_text`)."""

        def text(preamble: str) -> str:
            from wardian.compile.glue.core import core_text
            from wardian.vm.platform import MACHINES

            return core_text(MACHINES[os.uname().machine], preamble)

        return self._image("core", text)

    def stubs(self, chunk: int) -> Image:
        """Lazy stubs of functions ``chunk * STUBS`` and following."""

        def text(preamble: str) -> str:
            from wardian.compile.glue.core import stubs_text
            from wardian.vm.platform import MACHINES

            return stubs_text(MACHINES[os.uname().machine], preamble, chunk * STUBS)

        return self._image(f"stubs {chunk}", text)

    def signature(self, code: str) -> Image:
        """Entry and host glue of a signature code."""

        def text(preamble: str) -> str:
            from wardian.compile.glue.signature import signature_text

            return signature_text(code, preamble)

        return self._image(_SIGNATURE + code, text)

    def collector(self, ctx: ModuleContext) -> list[Image]:
        """The collector's functions, an image each."""

        def one(index: int) -> Image:
            def text(preamble: str) -> str:
                from wardian.compile.function import ModuleFacts
                from wardian.compile.lowering import function_text
                from wardian.compile.options import CodeOptions

                facts = ModuleFacts(ctx.module, CodeOptions("O2", "explicit", stack_checks=False), {})
                return function_text(facts, ctx, index, preamble)

            return self._image(f"collector {index}", text)

        return [one(index) for index in range(len(ctx.module.funcs))]

    def flush(self) -> None:
        """Write new glue to the cache."""
        with self._lock:
            if not self._glue_changed or self.cache is None or self._glue is None:
                return
            mine = self._glue

            def join(payload: bytes | None) -> bytes:
                others = decode_images(payload) if payload else {}
                both = {name: image for name, image in others.items() if name not in mine} | mine
                mine.clear()
                mine.update(both)
                _forget_signatures(mine)
                return encode_images(mine)

            self.cache.update(self.glue_key(), join)
            self._glue_changed = False

    # -- functions -----------------------------------------------------------------------------------------------------

    def functions_key(self, module_hash: bytes, options: CodeOptions, features: Sequence[str]) -> str:
        return key(self.build, module_hash, options.meaning(), ",".join(features))

    def load_functions(self, cache_key: str) -> Functions | None:
        payload = self.cache.load(cache_key) if self.cache else None
        return Functions.decode(payload) if payload else None

    def store_functions(self, cache_key: str, new: Sequence[tuple[int, bytes, int]]) -> None:
        """Add functions to what the cache has under the key by now."""
        if self.cache is not None and new:

            def join(payload: bytes | None) -> bytes:
                return Functions.join(Functions.decode(payload) if payload else None, new).encode()

            self.cache.update(cache_key, join)

    def compile(
        self,
        ctx: ModuleContext,
        options: CodeOptions,
        indices: Sequence[int],
        hints: Mapping[int, bool],
        spend: Callable[[float], None] = _nobody,
    ) -> list[tuple[int, bytes, int]]:
        """Validate and compile defined functions: ``(index, code, entry offset)`` each.

        ``hints`` are the module's branch hints (:func:`wardian.binary.custom.branch_hints`). ``spend`` is told what
        other processes take, in seconds.

        Raises :class:`InvalidError`, :class:`MalformedError`, :class:`FeatureDisabled`, :class:`LimitExceeded`, and
        :class:`~wardian.compile.effort.GaveUp` for what LLVM does not get through.
        """
        from wardian.compile.function import ModuleFacts

        facts = ModuleFacts(ctx.module, options, hints)
        preamble = self._preamble(options.spectre)
        out = []
        for index in indices:
            mine = facts
            if options.opt == "O2" and self.is_too_much(ctx, options, index, hints):
                mine = ModuleFacts(ctx.module, options.__replace__(opt="O0"), hints)
            try:
                made = self._function(mine, ctx, index, preamble, spend)
            except GaveUp:
                # What it is about hardening that is too much for LLVM, does not depend on the level.
                if mine.options.opt != "O2" or options.spectre == "full":
                    raise
                made = self._function(
                    ModuleFacts(ctx.module, options.__replace__(opt="O0"), hints), ctx, index, preamble, spend
                )
            out.append((index, *made))
        return out

    def _function(
        self, facts: ModuleFacts, ctx: ModuleContext, index: int, preamble: str, spend: Callable[[float], None]
    ) -> tuple[bytes, int]:
        from wardian.compile.lowering import function_text

        text = functools.partial(function_text, facts, ctx, index, preamble)
        quick: Literal["O0", "O1"] = "O1" if facts.options.spectre == "full" else "O0"
        return self._linked(index, text, "O2" if facts.options.opt == "O2" else quick, spend)

    def is_too_much(
        self, ctx: ModuleContext, options: CodeOptions, index: int, hints: Mapping[int, bool]
    ) -> bool:
        """Would LLVM take too long to optimise a defined function (:mod:`wardian.compile.effort`)?

        Raises as :meth:`compile` does.
        """
        from wardian.compile.effort import LOOK_FROM, too_much
        from wardian.compile.function import ModuleFacts
        from wardian.compile.lowering import function_text

        start, end = ctx.module.bodies[index]
        if end - start < LOOK_FROM:
            return False
        if end - start >= options.optimise_below:
            return True
        return too_much(function_text(ModuleFacts(ctx.module, options, hints), ctx, index, "")) is not None

    def continuation(
        self,
        ctx: ModuleContext,
        options: CodeOptions,
        index: int,
        hints: Mapping[int, bool],
        resume: Resume,
        spend: Callable[[float], None] = _nobody,
    ) -> tuple[bytes, int]:
        """The rest of a function from one of its loops on: ``(code, entry offset)``. Raises as :meth:`compile` does."""
        from wardian.compile.function import ModuleFacts
        from wardian.compile.lowering import continuation_text

        facts = ModuleFacts(ctx.module, options, hints)
        preamble = self._preamble(options.spectre)
        text = functools.partial(continuation_text, facts, ctx, index, preamble, resume)
        return self._linked(index, text, "O2", spend)

    def _linked(
        self, index: int, text: Callable[[bool], str], opt: Literal["O0", "O1", "O2"], spend: Callable[[float], None]
    ) -> tuple[bytes, int]:
        """Code and entry offset of a function given as ``text(split)`` (:func:`function_text`)."""
        from wardian.compile.frames import fits, with_frame
        from wardian.compile.link import flatten

        symbol = function_symbol(index)
        for split in (False, True):
            image = flatten(self._object(text(split), opt, spend))
            assert not image.data, "guest code has no data"
            if fits(image, symbol):
                break
        return with_frame(image, symbol), image.offset(symbol)

    def begin(self) -> None:
        """There will be something to compile soon: have LLVM's process started."""
        from wardian.compile.outside import NoHelper, outside

        if not self._inside:
            try:
                outside().begin()
            except NoHelper:
                self._inside = True

    def _object(self, text: str, opt: Literal["O0", "O1", "O2"], spend: Callable[[float], None]) -> bytes:
        """What LLVM makes of a guest's function."""
        from wardian.compile.outside import NoHelper, outside

        if not self._inside:
            try:
                return outside().object(text, opt, spend)
            except NoHelper:
                self._inside = True
        return self.backend().object(text, opt)

    # -- the baseline tier ---------------------------------------------------------------------------------------------

    def baseline(self, ctx: ModuleContext, options: CodeOptions) -> BaselineCompiler:
        """What compiles functions of a module by copying stencils."""
        from wardian.compile.baseline.driver import BaselineCompiler
        from wardian.compile.baseline.flavour import flavour

        wanted = flavour(ctx.module, options)
        library = self._library(wanted)
        return BaselineCompiler(ctx, library, lambda group: self._more(wanted, library, group))

    def ahead(self, ctx: ModuleContext, options: CodeOptions, heat: Heat | None, seconds: float) -> Ahead | None:
        """A fork that makes what :meth:`baseline` would make, for at most so much processor time; see
        :mod:`wardian.compile.ahead`. ``None``: there can be none here."""
        from wardian.compile.ahead import may_fork, start

        if self._inside or not may_fork():
            return None
        from wardian.compile.baseline.driver import BaselineCompiler
        from wardian.compile.baseline.flavour import flavour

        library = self._library(flavour(ctx.module, options))

        def begin() -> Callable[[int], tuple[bytes, list[int]]]:
            baseline = BaselineCompiler(ctx, library, _not_here)

            def make(index: int) -> tuple[bytes, list[int]]:
                return baseline.function(index, heat), baseline.calls

            return make

        return start(len(ctx.module.funcs), begin, seconds)

    def _library(self, wanted: Flavour) -> Library:
        """The stencils of a flavour, from the cache or made now."""
        from wardian.compile.baseline.library import Library
        from wardian.compile.baseline.ship import shipped

        name = self._stencils(wanted)
        with self._lock:
            found = self._libraries.get(name)
        if found is not None:
            return found
        found = shipped(wanted)
        if found is None and self.cache is not None:
            payload = self.cache.load(name)
            found = Library.decode(payload) if payload else None
        if found is None:
            found, payload = made_library(wanted)
            if len(found.added) > 2 * MOST_MORE:
                found = found.pristine()
            if self.cache is not None:
                self.cache.store(name, payload)
        found.add((self.cache.load(name + MORE) if self.cache else None) or b"")
        with self._lock:
            return self._libraries.setdefault(name, found)

    def stencils(self, options: CodeOptions) -> dict[str, Flavour]:
        """Names of the cache's entries for stencils of modules with these options, and what they are for."""
        from wardian.compile.baseline.flavour import every

        return {self._stencils(flavour): flavour for flavour in every(options)}

    def make_stencils(self, key: str, options: CodeOptions) -> None:
        """Have the cache's entry of this name made, if it is one of :meth:`stencils`."""
        wanted = self.stencils(options).get(key)
        if wanted is not None:
            self._library(wanted)

    def _stencils(self, wanted: Flavour) -> str:
        return f"stencils-{key(self.build, repr(wanted))}"

    def make_more(self, key: str, groups: Sequence[str], options: CodeOptions) -> None:
        """Have groups added to the cache's entry of this name, if it is :data:`MORE` of one of :meth:`stencils`."""
        wanted = self.stencils(options).get(key.removesuffix(MORE))
        if wanted is not None and key.endswith(MORE):
            library = self._library(wanted)
            for group in groups:
                # Whoever asks may ask for what there is not.
                with contextlib.suppress(ValueError):
                    self._more(wanted, library, group)

    def _more(self, wanted: Flavour, library: Library, group: str) -> Group:
        """A group that the library lacks: from the cache, or made now and remembered."""
        from wardian.compile.baseline.library import framed
        from wardian.compile.baseline.stencils import more

        with self._more_lock:
            name = self._stencils(wanted) + MORE
            if group not in library.groups and self.cache is not None:
                # There may be more by now than when the library was loaded.
                library.add(self.cache.load(name) or b"")
            if group not in library.groups:
                library.add(framed(more(wanted, group, self.backend())))
                if self.cache is not None and len(library.added) < MOST_MORE:
                    self.cache.store(name, bytes(library.added))
            if len(library.added) > 2 * MOST_MORE:
                # Who has this one keeps it; everybody else begins anew.
                with self._lock:
                    if self._libraries.get(self._stencils(wanted)) is library:
                        del self._libraries[self._stencils(wanted)]
            return library.groups[group]


def _not_here(group: str) -> Group:
    """Stencils that the library lacks are made by one process only."""
    raise Unsupported(group)


def _forget_signatures(images: dict[str, Image]) -> None:
    """Forget the images of all signatures but the last ones."""
    if len(images) > MOST_SIGNATURES:
        # Those that all compilers share may change meanwhile.
        signatures = [name for name in list(images) if name.startswith(_SIGNATURE)]
        for name in signatures[: max(0, len(signatures) - MOST_SIGNATURES)]:
            images.pop(name, None)


@functools.cache
def made_library(wanted: Flavour) -> tuple[Library, bytes]:
    """The stencils of a flavour, made by LLVM, and their bytes: a second or two, hence once in a process."""
    from wardian.compile.baseline.library import Library
    from wardian.compile.baseline.stencils import library
    from wardian.compile.llvm import Backend

    payload = library(wanted, Backend())
    found = Library.decode(payload)
    assert found is not None
    return found, payload
