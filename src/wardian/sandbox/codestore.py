"""The code cache on the border: what a worker may read of it, and how what it compiled gets in.

Invariant: no byte that a process which ran a guest has made is ever put into the cache.
"""

from __future__ import annotations

import functools
import re
from itertools import islice
from typing import Any, Final, final

from wardian.api.code import possible_keys
from wardian.api.engine import Engine
from wardian.binary.decode import MAGIC
from wardian.compile.compiler import MORE
from wardian.isolation.codec import CodecError

_STENCILS: Final = re.compile(r"stencils-[0-9a-f]{40}(-more)?")
_MEMORY: Final = "[0-9]{1,6} i(?:32|64)(?:shared)?(?:0|16)"
_GROUP: Final = re.compile(
    r"throw [a-z]{1,1000}|call [a-z0-9]{1,20}\+? [a-z]{0,1000}:[a-z]{0,20}"
    rf"|access [a-z0-9_.]{{1,40}} {_MEMORY} (?:near|far)|copy {_MEMORY} {_MEMORY}"
    r"|object [a-z0-9_.]{1,40} [a-z0-9-]{1,8}|(?:structure|fixed) [a-z]{1,8}"
    r"|cast [a-z.]{1,10} i(?:32|64) [a-z0-9]{1,10} [a-z]{1,6}"
)
"""Names of groups of stencils that are made one by one."""
_MOST_GROUPS: Final = 256
_MOST_SIGNATURES: Final = 1000
_SIGNATURE: Final = re.compile(r"[ilfdvre]{0,1000}_[ilfdvre]{0,1000}")


@final
class CodeStore:
    """The caller's code cache, as far as one module's worker may see it.

    A worker reads its own module's code, glue and stencils. It writes nothing: what it says it had to compile is
    compiled again by a worker that runs no guest, and may write what that is for; glue is made without any module.
    """

    def __init__(self, engine: Engine, source: bytes, *, compiled: bool) -> None:
        self.cache = engine.compiler.cache
        self._compiler = engine.compiler
        self._config = engine.config
        self._source = source
        self._compiled = compiled

    @functools.cached_property
    def _glue(self) -> str:
        return self._compiler.glue_key()

    @functools.cached_property
    def _stencils(self) -> frozenset[str]:
        return frozenset(self._compiler.stencils(self._config.code("baseline")))

    @functools.cached_property
    def _keys(self) -> frozenset[str]:
        """The names of the module's own entries: none of a text or compiled module, whose bytes are not the key's."""
        if self._compiled or self._source[:4] != MAGIC:
            return frozenset()
        return possible_keys(self._compiler, self._config, self._source)

    def entries(self) -> dict[str, bytes]:
        """What there is of the module's own code: most runs need no more, and then ask for nothing."""
        found = {key: self.load(key) for key in self._keys}
        return {key: payload for key, payload in found.items() if payload is not None}

    def load(self, key: Any) -> bytes | None:
        if type(key) is not str:
            raise CodecError("not the name of a cache's entry")
        if self.cache is None or not (key in self._keys or key == self._glue or _STENCILS.fullmatch(key)):
            return None
        return self.cache.load(key)

    def store(self, key: Any, payload: Any) -> None:
        if type(key) is not str or type(payload) is not bytes:
            raise CodecError("not an entry for the cache")
        allowed = self._keys if self._source else {self._glue, *self._stencils, *(key + MORE for key in self._stencils)}
        if self.cache is not None and key in allowed:
            self.cache.store(key, payload)

    def checked(self, made: dict[str, Any]) -> dict[str, tuple[object, ...]]:
        """What a worker says it compiled, as far as it is something that can be compiled."""
        found: dict[str, tuple[object, ...]] = {}
        for key, items in made.items():
            if type(items) is not tuple or self.cache is None:
                continue
            if key in self._keys:
                found[key] = tuple(item for item in items if type(item) is int)
            elif key in self._stencils:
                found[key] = ("",)
            elif key.removesuffix(MORE) in self._stencils:
                groups = (item for item in items if type(item) is str and _GROUP.fullmatch(item))
                found[key] = tuple(islice(groups, _MOST_GROUPS))
            elif key == self._glue:
                codes = (item for item in items if type(item) is str and _SIGNATURE.fullmatch(item))
                found[key] = tuple(islice(codes, _MOST_SIGNATURES))
        return {key: items for key, items in found.items() if items}
