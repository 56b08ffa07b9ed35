"""The tables of ``docs/wasi.md``, from the rows: ``python -m wardian.wasi.p1.document docs/wasi.md`` renews them."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Final

from wardian.pages import renew, table
from wardian.wasi.errno import NUMBERS
from wardian.wasi.p1.context import Function
from wardian.wasi.p1.table import FUNCTIONS
from wardian.wasi.p1.types import PREVIEW_0, STRUCTS, STRUCTS_0, Rights, Struct

_NOTES: Final = MappingProxyType({
    "clock_res_get": "complete; also of the CPU-time clocks",
    "clock_time_get": "complete; the precision asked for is not looked at",
    "fd_advise": "complete; passed to the host, without effect in a tree",
    "fd_allocate": "complete; Wasmtime: not supported",
    "fd_fdstat_set_flags": "`APPEND` and `NONBLOCK` can be changed, others are `EINVAL`",
    "fd_fdstat_set_rights": "takes away, never gives",
    "fd_filestat_get": "complete; a time before 1970 is 0",
    "fd_pwrite": "complete; a file open for appending is appended to, as on Linux",
    "fd_read": "complete; at most 1024 buffers that are not empty, the rest is the next call's",
    "fd_renumber": "complete; the target must be open, as in Wasmtime; a preopened directory may be replaced",
    "fd_sync": "complete, also of directories",
    "fd_write": "complete; at most 1024 buffers that are not empty, the rest is the next call's",
    "path_filestat_get": "complete; a time before 1970 is 0",
    "path_link": "a symbolic link is not followed: asking for that is `EINVAL`, as in Wasmtime",
    "path_open": "rights asked for decide between reading and writing, and nothing else",
    "path_readlink": "a link with an absolute target is `EPERM`",
    "path_symlink": "an absolute target is `EPERM`",
    "poll_oneoff": "complete; `nbytes` is what can be read",
    "proc_exit": "complete; any 32-bit code",
    "proc_raise": "there are no signals: `ENOTSUP`, or `EINVAL` for one that does not exist",
    "sock_accept": "complete, on sockets that were granted",
    "sock_recv": "complete; descriptors that the other side passes along are closed",
    "sock_send": "complete; no flag is defined",
    "sock_shutdown": "complete",
})
"""What is worth knowing of a function; one that is not listed does what its name says, and nothing else."""
END: Final = "<!-- generated: end -->"


def _rights(row: Function) -> str:
    known = {value: name for name, value in vars(Rights).items() if isinstance(value, int)}
    names = [f"`{known[rights]}`" for rights in (row.rights, row.target) if rights]
    return ", ".join(names)


def _function(row: Function) -> tuple[str, ...]:
    params = " ".join(map(repr, row.type.params))
    results = " ".join(map(repr, row.type.results)) or "never returns"
    preview_0 = "no" if row.name in PREVIEW_0.lacks else "yes"
    return f"`{row.name}`", params, results, _rights(row), preview_0, _NOTES.get(row.name, "complete")


def _struct(row: Struct, preview: str) -> tuple[str, ...]:
    fields = ", ".join(f"{name} {kind} @{offset}" for name, offset, kind in row.fields)
    return f"`{row.name}`", preview, str(row.size), str(row.align), fields


def tables() -> str:
    """The generated part: functions, structs, error numbers."""
    structs = [*(_struct(row, "1") for row in STRUCTS), *(_struct(row, "0") for row in STRUCTS_0)]
    errors = ((str(number), reason.name.lower().replace("_", " "), reason.value) for reason, number in NUMBERS.items())
    return "\n".join((
        f"### The {len(FUNCTIONS)} functions\n",
        table(
            ("function", "parameters", "result", "rights needed", "in preview 0", "status, deviations"),
            map(_function, FUNCTIONS),
        ),
        "### Structs\n",
        table(("struct", "preview", "size", "alignment", "fields: name, type, offset"), structs),
        "### Error numbers in use\n",
        table(("errno", "name", "meaning"), errors),
    ))


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:], tables))
