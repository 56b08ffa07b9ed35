"""What one build of the engine makes of modules: run by ``test_compiled_build.py``, once per build, and compared.

``python build_digest.py SOURCES STENCILS MODULE...`` prints JSON: whether the build is the compiled one, and for each
module the digests of its decoded instructions, its types, and its baseline code, or the words of the error. ``SOURCES``
is the folder that holds the package; with ``pure`` before it the package's ``.py`` files are taken whatever stands
beside them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class PureFinder:
    """Finds the package's modules as sources only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.split(".")[0] != "wardian":
            return None
        place = self.folder.joinpath(*name.split("."))
        if place.is_dir():
            return importlib.util.spec_from_file_location(
                name, place / "__init__.py", submodule_search_locations=[str(place)]
            )
        return importlib.util.spec_from_file_location(name, place.with_suffix(".py"))


def _stream(path: Path) -> Iterator[str]:
    """What the decoder and the validator say of every body, and of the module."""
    from wardian.binary.body import instructions, locals_of
    from wardian.binary.decode import decode
    from wardian.errors import WardianError
    from wardian.limits import Features
    from wardian.valid.driver import validate

    source = path.read_bytes()
    try:
        module = decode(source)
        for start, end in module.bodies:
            try:
                runs, pos = locals_of(source, start, end)
                yield repr(runs)
                for offset, row, imm in instructions(source, pos, end, Features()):
                    yield f"{offset} {row.name} {imm!r}"
            except WardianError as error:
                yield f"{type(error).__name__}: {error}"
        validate(module)
        yield "valid"
    except WardianError as error:
        yield f"{type(error).__name__}: {error}"


def _code(path: Path, stencils: bytes) -> Iterator[bytes]:
    """The baseline code of every function, or why there is none."""
    from wardian.binary.decode import decode
    from wardian.compile.baseline.driver import BaselineCompiler
    from wardian.compile.baseline.library import Library
    from wardian.compile.baseline.unsupported import Unsupported
    from wardian.errors import WardianError
    from wardian.limits import Features, Limits
    from wardian.valid.module import validate_module

    library = Library.decode(stencils)
    assert library is not None

    def more(group: str) -> object:
        raise Unsupported(group)

    try:
        module = decode(path.read_bytes())
        compiler = BaselineCompiler(validate_module(module, Features(), Limits()), library, more)  # type: ignore[arg-type]
    except (WardianError, Unsupported) as error:
        yield str(error).encode()
        return
    for index in range(len(module.bodies)):
        try:
            yield compiler.function(index)
        except (WardianError, Unsupported) as error:
            yield f"{type(error).__name__}: {error}".encode()


def main(args: list[str]) -> None:
    pure = args[0] == "pure"
    folder, stencils, *modules = map(Path, args[pure:])
    sys.path.insert(0, str(folder))
    if pure:
        sys.meta_path.insert(0, PureFinder(folder))
    from wardian.binary import body

    found: dict[str, tuple[str, str, int]] = {}
    for path in modules:
        said, code, size = blake2b(), blake2b(), 0
        for line in _stream(path):
            said.update(line.encode() + b"\n")
        for image in _code(path, stencils.read_bytes()):
            code.update(len(image).to_bytes(8, "little") + image)
            size += len(image)
        found[str(path)] = said.hexdigest(), code.hexdigest(), size
    json.dump({"compiled": not str(body.__file__).endswith(".py"), "found": found}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
