"""The rows against an outside source: names, signatures and layouts of ``wasi_snapshot_preview1.witx``."""

from __future__ import annotations

import pytest

from tests.wasi.guest import P0, P1
from wardian.capability.errno import Errno
from wardian.capability.filesystem.types import FileType
from wardian.wasi.errno import NUMBERS
from wardian.wasi.p1 import types
from wardian.wasi.p1.bind import host_imports, host_types
from wardian.wasi.p1.context import WasiContext
from wardian.wasi.p1.fds import FILETYPES
from wardian.wasi.p1.table import FUNCTIONS

WITX = """
args_get(i32 i32) args_sizes_get(i32 i32) environ_get(i32 i32) environ_sizes_get(i32 i32)
clock_res_get(i32 i32) clock_time_get(i32 i64 i32)
fd_advise(i32 i64 i64 i32) fd_allocate(i32 i64 i64) fd_close(i32) fd_datasync(i32) fd_fdstat_get(i32 i32)
fd_fdstat_set_flags(i32 i32) fd_fdstat_set_rights(i32 i64 i64) fd_filestat_get(i32 i32) fd_filestat_set_size(i32 i64)
fd_filestat_set_times(i32 i64 i64 i32) fd_pread(i32 i32 i32 i64 i32) fd_prestat_get(i32 i32)
fd_prestat_dir_name(i32 i32 i32) fd_pwrite(i32 i32 i32 i64 i32) fd_read(i32 i32 i32 i32)
fd_readdir(i32 i32 i32 i64 i32) fd_renumber(i32 i32) fd_seek(i32 i64 i32 i32) fd_sync(i32) fd_tell(i32 i32)
fd_write(i32 i32 i32 i32)
path_create_directory(i32 i32 i32) path_filestat_get(i32 i32 i32 i32 i32)
path_filestat_set_times(i32 i32 i32 i32 i64 i64 i32) path_link(i32 i32 i32 i32 i32 i32 i32)
path_open(i32 i32 i32 i32 i32 i64 i64 i32 i32) path_readlink(i32 i32 i32 i32 i32 i32)
path_remove_directory(i32 i32 i32) path_rename(i32 i32 i32 i32 i32 i32) path_symlink(i32 i32 i32 i32 i32)
path_unlink_file(i32 i32 i32) poll_oneoff(i32 i32 i32 i32) proc_raise(i32) sched_yield() random_get(i32 i32)
sock_accept(i32 i32 i32) sock_recv(i32 i32 i32 i32 i32 i32) sock_send(i32 i32 i32 i32 i32) sock_shutdown(i32 i32)
"""

LAYOUTS = {
    types.IOVEC: (8, 4, [0, 4]),
    types.FDSTAT: (24, 8, [0, 2, 8, 16]),
    types.FILESTAT: (64, 8, [0, 8, 16, 24, 32, 40, 48, 56]),
    types.FILESTAT_0: (56, 8, [0, 8, 16, 20, 24, 32, 40, 48]),
    types.DIRENT: (24, 8, [0, 8, 16, 20]),
    types.PRESTAT: (8, 4, [0, 4]),
    types.SUBSCRIPTION: (48, 8, [0, 8, 16, 24, 32, 40]),
    types.SUBSCRIPTION_0: (56, 8, [0, 8, 24, 32, 40, 48]),
    types.EVENT: (32, 8, [0, 8, 10, 16, 24]),
}


def test_names_and_signatures() -> None:
    expected = {}
    for item in WITX.replace("\n", " ").split(")")[:-1]:
        name, _, params = item.strip().partition("(")
        expected[name] = (params.split(), ["i32"])
    expected["proc_exit"] = (["i32"], [])
    found = {row.name: ([*map(repr, row.type.params)], [*map(repr, row.type.results)]) for row in FUNCTIONS}
    assert found == expected and len(FUNCTIONS) == 46


def test_both_modules() -> None:
    context = WasiContext()
    imports, kinds = host_imports(context), host_types()
    assert {module: set(names) for module, names in imports.items()} == {m: set(names) for m, names in kinds.items()}
    assert set(imports[P1]) - set(imports[P0]) == {"sock_accept"}
    assert kinds[P0] == {name: kinds[P1][name] for name in kinds[P0]}


@pytest.mark.parametrize("row", LAYOUTS, ids=lambda row: f"{row.name}-{row.size}")
def test_layouts(row: types.Struct) -> None:
    size, align, offsets = LAYOUTS[row]
    assert (row.size, row.align, [offset for _, offset, _ in row.fields]) == (size, align, offsets)
    values = tuple(range(1, len(offsets) + 1))
    packed = row.pack(*values)
    assert len(packed) == size and row.unpack_from(packed) == values
    assert row.named(values) == {name: value for (name, _, _), value in zip(row.fields, values, strict=True)}
    for value, offset in zip(values, offsets, strict=True):
        assert packed[offset] == value
    assert sum(packed) == sum(values)  # Padding is zero.


def test_every_struct_is_tested() -> None:
    assert set(LAYOUTS) == {*types.STRUCTS, *types.STRUCTS_0}


def test_errno() -> None:
    assert set(NUMBERS) == set(Errno)
    assert len(set(NUMBERS.values())) == len(NUMBERS)
    known = {"ACCESS": 2, "BAD_FD": 8, "FAULT": 21, "INVALID": 28, "NO_ENTRY": 44, "NOT_CAPABLE": 76, "NOT_SOCKET": 57}
    assert {name: NUMBERS[Errno[name]] for name in known} == known


def test_filetypes() -> None:
    assert len(FILETYPES) == len(FileType)
    assert FILETYPES[FileType.REGULAR] == 4 and FILETYPES[FileType.SYMLINK] == 7 and FILETYPES[FileType.DIRECTORY] == 3
