"""Reading a module from a path the user typed, with an error that says what the file is when it is not Wasm."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from wardian.cli.report import CliError
from wardian.digest import Hashed

if TYPE_CHECKING:
    from io import FileIO

WASM: Final = b"\0asm"
VERSION: Final = b"\1\0\0\0"
COMPILED: Final = b"\0wardian"
"""How a compiled module begins (:mod:`wardian.compile.bundle`, which is not loaded to find that out)."""
_COMPONENT: Final = b"\x0d\0\1\0"

_ASSEMBLE: Final = "build it for the target wasm32-wasi to run it here"
_UNPACK: Final = "unpack it first"

_SIGNATURES: Final = (
    # first bytes, what that is, what to do about it
    (b"\x7fELF", "an ELF file (a native Linux program or library)", _ASSEMBLE),
    (COMPILED, "a module that wardian has compiled", "wardian run takes it; give its .wasm here"),
    (b"MZ", "a Windows program", _ASSEMBLE),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file (a native macOS program)", _ASSEMBLE),
    (b"\xca\xfe\xba\xbe", "a Mach-O or Java class file", _ASSEMBLE),
    (b"BC\xc0\xde", "LLVM bitcode", "link it to WebAssembly with clang --target=wasm32-wasi"),
    (b"!<arch>", "a library archive (.a)", "link it into a program first"),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"\x1f\x8b", "gzip-compressed data", _UNPACK),
    (b"\xfd7zXZ", "xz-compressed data", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data", _UNPACK),
    (b"#!", "a script", "run the interpreter's .wasm and pass the script as its argument"),
    (b"<", "HTML or XML text", "a download that failed often looks like this"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "git lfs pull fetches it"),
)


def describe(head: bytes) -> tuple[str, str | None]:
    """What a file beginning with ``head`` looks like, and what the user might do; for files that are not Wasm."""
    if not head:
        return "it is empty", None
    if head.startswith(WASM):
        if head[4:8] == _COMPONENT:
            return (
                "it is a WebAssembly component, and only core modules run yet",
                "wasm-tools component unbundle takes the core modules out; or build for wasm32-wasip1",
            )
        return f"its binary format version is {head[4:8].hex() or 'missing'}, not 01000000", None
    for signature, what, hint in _SIGNATURES:
        if head.startswith(signature):
            return f"it looks like {what}", hint
    text = head.lstrip()
    if text.isascii() and b"\0" not in head:
        return "it looks like text", None
    return f"it begins with {head[:4].hex(' ')}, not 00 61 73 6d", None


def begin_program(path: str) -> Hashed:
    """Begin to read the program at ``path``, for :func:`read_program`. Raises :class:`CliError`."""
    file = _open(path)
    size = os.fstat(file.fileno()).st_size

    def read() -> bytes:
        with file:
            return file.read()

    return Hashed(None, read, size)


def read_program(path: str, program: Hashed) -> bytes:
    """As :func:`read_module`, of what :func:`begin_program` has begun to read; it may also be a compiled module
    (:func:`is_compiled`)."""
    try:
        data = program.data()
    except OSError as error:
        raise _unreadable(path, error) from None
    return data if is_compiled(data) else _checked(path, data)


def is_compiled(data: bytes) -> bool:
    """Is it what ``wardian compile -o`` writes?"""
    return data.startswith(COMPILED)


def read_module(path: str) -> bytes:
    """The bytes of the module at ``path``, which may be text.

    Raises :class:`CliError` when it cannot be read or is neither core Wasm nor a text that might be.
    """
    with _open(path) as file:
        try:
            data = file.read()
        except OSError as error:
            raise _unreadable(path, error) from None
    return _checked(path, data)


def _open(path: str) -> FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise CliError(f"{path}: there is no such file", hint=_similar(path)) from None
    except IsADirectoryError:
        raise CliError(f"{path}: is a directory, not a module", hint=_modules_in(path)) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> CliError:
    reason = error.strerror or errno.errorcode.get(error.errno or 0, "unreadable")
    return CliError(f"{path}: cannot be read: {reason}")


def _checked(path: str, data: bytes) -> bytes:
    if data[:8] != WASM + VERSION:
        from wardian.text.parse import is_text

        if is_text(data):
            return data
        what, hint = describe(data[:64])
        raise CliError(f"{path}: not a WebAssembly module: {what}", hint=hint)
    return data


def read_binary(path: str) -> bytes:
    """As :func:`read_module`, with text assembled. Raises also :class:`MalformedError`."""
    data = read_module(path)
    if data.startswith(WASM):
        return data
    from wardian.text.parse import assemble

    return assemble(data)


def _similar(path: str) -> str | None:
    from pathlib import Path

    folder = Path(path).parent
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return f"the folder {folder} does not exist either" if not folder.exists() else None
    from difflib import get_close_matches

    near = get_close_matches(Path(path).name, names, 1)
    return f"did you mean {folder / near[0]}?" if near else None


def _modules_in(path: str) -> str | None:
    from pathlib import Path

    try:
        found = sorted(str(entry) for entry in Path(path).iterdir() if entry.suffix == ".wasm")[:5]
    except OSError:
        return None
    return f"it contains {', '.join(found)}" if found else None
