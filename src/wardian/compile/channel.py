"""Processes of our own that compile for this one: started, and spoken to in frames of bytes over two pipes.

Invariant: nothing is read from a pipe but what the process at the other end has written whole.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, Final

from wardian.compile.stack import with_deep_stack

_LENGTH: Final = struct.Struct("<Q")


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    """One frame; :func:`read_frame` reads it."""
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes | None:
    """The next frame, or ``None`` at the end."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    data = pipe.read(size)
    return data if len(data) == size else None


def start(module: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process that runs ``main()`` of a module of the package, with pipes to its standard input and output.

    Raises ``OSError``.
    """
    if not sys.executable:
        raise FileNotFoundError("where Python's own program is, is not known")
    # Isolated, with our own path: neither the environment nor the working directory decides what it runs. With `site`,
    # for packages that are installed to be edited may be found by hooks of its instead of the path.
    main = f"import sys; sys.path[:] = sys.argv[1:]; from {module} import main; main()"
    command = [sys.executable, "-I", "-c", main, *sys.path]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def serving(serve: Callable[[IO[bytes], IO[bytes]], None]) -> None:
    """Give ``serve`` the two pipes to the process that started this one, and a stack that LLVM can do with."""
    pipe_in, pipe_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whoever prints, prints to standard error: the answers go through a descriptor of their own.
    os.dup2(2, 1)
    try:
        with_deep_stack(lambda: serve(pipe_in, pipe_out))
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(1)
