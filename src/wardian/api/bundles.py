"""Modules with all their machine code as bytes, and back: :meth:`wardian.Module.serialize` and ``deserialize``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wardian.api.code import ModuleCode
from wardian.compile.artifact import Functions, decode_images, encode_images
from wardian.compile.bundle import Bundle
from wardian.errors import ArtifactError
from wardian.syntax.types import FuncType
from wardian.vm.abi import signature_code

if TYPE_CHECKING:
    from wardian.api.engine import Engine
    from wardian.valid.context import ModuleContext


def pack(
    code: ModuleCode, key: bytes | None, jobs: int, progress: Callable[[int, int], None] | None
) -> bytes:
    """The bytes of a module whose code this is, all of it compiled."""
    code = code.with_exceptions() if code.has_tags else code
    options = code.ahead_options()
    functions = code.gather(progress, jobs, options)
    signatures: dict[str, None] = {}
    for index, sub in enumerate(code.ctx.module.types):
        if isinstance(sub.comp, FuncType):
            code.glue(index)
            signatures[signature_code(sub.comp, code.ctx.module.types)] = None
    glue = encode_images(code.engine.compiler.glue_for(signatures))
    source = code.ctx.module.source
    return Bundle(source, options, functions.encode(), glue).encode(key)


def unpack(data: bytes, engine: Engine, key: bytes | None) -> Bundle:
    """The bundle, and its glue for the engine, before that makes its own. Raises :class:`ArtifactError`."""
    bundle = Bundle.decode(bytes(data), key)
    engine.compiler.give_glue(decode_images(bundle.glue))
    return bundle


def code_of(bundle: Bundle, engine: Engine, ctx: ModuleContext, name: str | None) -> ModuleCode:
    """The machine code in a bundle, mapped. Raises :class:`ArtifactError`."""
    functions = Functions.decode(bundle.functions)
    if functions is None or set(functions.rows) != set(range(len(ctx.module.funcs))):
        raise ArtifactError("the compiled module does not hold the code of its functions")
    if lacking := bundle.options.lacking(engine.config.code(bundle.options.opt)):
        raise ArtifactError(f"the compiled module was made without {', '.join(lacking)}: compile it again")
    code = whole = ModuleCode(engine, ctx, name, options=bundle.options.__replace__(exceptions=False))
    if bundle.options.exceptions:
        whole = code.with_exceptions()
    whole.give(functions)
    return code
