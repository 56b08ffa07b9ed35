"""The directories of ``wardian run``: folders, copies that are kept in memory, archives; their bounds, what changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wardian.cli.options import usage
from wardian.cli.report import CliError, safe
from wardian.record import NamedTuple

if TYPE_CHECKING:
    from wardian.capability.filesystem.tree.tree import Tree
    from wardian.grants import FileQuota

Granted: TypeAlias = "tuple[str | Tree, str, bool]"

SUFFIXES: Final = (":ro", ":overlay")
_HINT: Final = "--dir HOST, --dir HOST::GUEST, --dir HOST:ro, --dir HOST:overlay"
_SIGNS: Final = {"added": "+", "changed": "~", "removed": "-"}


class Asked(NamedTuple):
    """One ``--dir``: the folder or archive, the guest's name, and how it is granted."""

    host: str
    guest: str
    readonly: bool
    overlay: bool


def parse(word: str) -> Asked:
    """``HOST[::GUEST][:ro|:overlay]``. Raises :class:`CliError`, also for what is neither folder nor file."""
    suffix = next((each for each in SUFFIXES if word.endswith(each)), "")
    host, _, guest = word.removesuffix(suffix).partition("::")
    if not host:
        raise usage(f"--dir {word!r} names no folder", _HINT)
    if not os.path.exists(host):
        raise CliError(f"--dir {word}: {host} does not exist")
    if ":" in guest:
        # Whoever writes /tmp:rw means no folder of that name.
        raise usage(f"--dir {word!r}: a colon in the guest's name {guest!r}; writing is allowed by default", _HINT)
    return Asked(host, guest or host, suffix == ":ro", suffix == ":overlay")


def granted(words: list[str], temporary: list[str], settings: Mapping[str, Any]) -> list[Granted]:
    """What the options ``--dir`` and ``--temporary`` grant. Raises :class:`CliError`."""
    found = [_grant(word, parse(word), settings) for word in words]
    if temporary:
        from wardian.capability.filesystem.tree.tree import Tree

        found += [(Tree(**_bounds(settings)), guest, False) for guest in temporary]
    return found


def _grant(word: str, asked: Asked, settings: Mapping[str, Any]) -> Granted:
    folder = os.path.isdir(asked.host)
    if folder and not asked.overlay:
        return asked.host, asked.guest, asked.readonly
    from wardian.capability.filesystem.tree.tree import Tree

    make = Tree.over if folder else Tree.from_archive
    try:
        return make(asked.host, **_bounds(settings)), asked.guest, asked.readonly
    except ValueError as error:
        raise CliError(f"--dir {word}: {asked.host} is neither a directory nor a zip or tar archive: {error}") from None
    except OSError as error:
        raise CliError(f"--dir {word}: {asked.host}: {error.strerror}") from None


def _bounds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds of a tree; those that were not given are the tree's own."""
    names = {"max_bytes": "max-written", "max_files": "max-new-files", "max_file_size": "max-file-size"}
    return {name: settings[key] for name, key in names.items() if key in settings}


def quota(settings: Mapping[str, Any]) -> FileQuota | None:
    """The bounds of folders, if there are any."""
    keys = ("max-written", "max-new-files", "max-file-size")
    if not any(key in settings for key in keys):
        return None
    from wardian.grants import FileQuota

    return FileQuota(*(settings.get(key) for key in keys))


def show_changes(directories: list[Granted]) -> None:
    """Print, to standard error, what the guest changed in directories that are kept in memory."""
    for tree, guest, _ in directories:
        if not isinstance(tree, str):
            for change in tree.changes():
                slash = "/" if change.type == "directory" else ""
                path = f"{guest.rstrip('/')}/{change.path}{slash}"
                print(f"{_SIGNS[change.kind]} {safe(path)}", file=sys.stderr)
