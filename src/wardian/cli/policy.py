"""A policy file: the grants and limits of ``wardian run`` as TOML, so that they can be kept, read and reviewed.

Invariant: every option of ``wardian run`` is a key and means the same; there is no second list of them. What is not
understood is an error that says where, never passed over. Paths are relative to the file they stand in.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias, final

from wardian.cli.directories import SUFFIXES
from wardian.cli.options import WASM_KEYS, Option, feature_keys
from wardian.cli.report import CliError

Place: TypeAlias = "tuple[str | int, ...]"

NAME: Final = "policy"
_WASM: Final = "wasm"
_DIRECTORY_KEYS: Final = ("host", "guest", "readonly", "overlay")
_KINDS: Final = MappingProxyType(
    {dict: "a table", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
)


@final
class _Policy:
    """One file on its way to words of the command line."""

    def __init__(self, path: str, text: str, options: Iterable[Option]) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._folder = os.path.dirname(path)
        self._options = {option.name.replace("_", "-"): option for option in options if option.name != NAME}
        self._special: Mapping[str, Callable[[Any], Iterator[str]]] = MappingProxyType(
            {"dir": self._dirs, "env": self._env, "audit": self._audit, _WASM: self._wasm}
        )

    def words(self, values: Mapping[str, Any]) -> Iterator[str]:
        for key, value in values.items():
            option = self._options.get(key)
            if option is None:
                self._unknown((key,), self._options)
            special = self._special.get(key)
            yield from self._plain(key, option, value) if special is None else special(value)

    def _plain(self, key: str, option: Option, value: object) -> Iterator[str]:
        flag = max(option.flags, key=len)
        if option.value is None:
            if not isinstance(value, bool):
                self._wrong((key,), "true or false", value)
            if value:
                yield flag
            return
        if isinstance(value, list) and (option.many or "," in option.value):
            texts = [self._text((key, at), each) for at, each in enumerate(value)]
            yield from (f"{flag}={text}" for text in texts) if option.many else (f"{flag}={','.join(texts)}",)
        else:
            yield f"{flag}={self._text((key,), value)}"

    def _dirs(self, value: object) -> Iterator[str]:
        for place, entry in self._entries("dir", value):
            if isinstance(entry, dict):
                host, guest, how = self._directory(place, entry)
            else:
                word = self._text(place, entry)
                how = next((each for each in SUFFIXES if word.endswith(each)), "")
                host, _, guest = word.removesuffix(how).partition("::")
            if not host or "::" in host or "::" in guest or host.endswith(SUFFIXES) or guest.endswith(SUFFIXES):
                self._refuse(place, "a folder's name cannot be empty, contain :: or end with :ro or :overlay")
            yield f"--dir={self._relative(host)}::{guest or host}{how}"

    def _directory(self, place: Place, entry: Mapping[str, Any]) -> tuple[str, str, str]:
        for key in entry:
            if key not in _DIRECTORY_KEYS:
                self._unknown((*place, key), _DIRECTORY_KEYS)
        if "host" not in entry:
            self._refuse(place, "host is missing")
        ways = ("readonly", "overlay")
        for key in ways:
            if not isinstance(entry.get(key, False), bool):
                self._wrong((*place, key), "true or false", entry[key])
        chosen = [suffix for key, suffix in zip(ways, SUFFIXES, strict=True) if entry.get(key)]
        if len(chosen) > 1:
            self._refuse(place, "readonly and overlay exclude each other")
        texts = {key: self._text((*place, key), entry[key]) for key in ("host", "guest") if key in entry}
        return texts["host"], texts.get("guest", ""), "".join(chosen)

    def _env(self, value: object) -> Iterator[str]:
        """A list as on the command line, or a table; there ``true`` passes our own on."""
        if isinstance(value, dict):
            for name, text in value.items():
                yield f"--env={name}" if text is True else f"--env={name}={self._text(('env', name), text)}"
        else:
            yield from (f"--env={self._text(place, each)}" for place, each in self._entries("env", value))

    def _audit(self, value: object) -> Iterator[str]:
        yield f"--audit={self._relative(self._text(('audit',), value))}"

    def _wasm(self, value: object) -> Iterator[str]:
        if not isinstance(value, dict):
            self._wrong((_WASM,), "a table", value)
        known = (*WASM_KEYS, *feature_keys())
        for key, each in value.items():
            if key not in known:
                self._unknown((_WASM, key), known)
            text = {True: "y", False: "n"}[each] if isinstance(each, bool) else self._text((_WASM, key), each)
            if "," in text:
                self._refuse((_WASM, key), "a comma has no place here")
            yield f"--{_WASM}={key}={text}"

    def _entries(self, key: str, value: object) -> Iterator[tuple[Place, Any]]:
        if not isinstance(value, list):
            self._wrong((key,), "a list", value)
        for at, each in enumerate(value):
            yield (key, at), each

    def _text(self, place: Place, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._wrong(place, "a text or number", value)
        if "\0" in str(value):
            self._refuse(place, "a zero character has no place here")
        return str(value)

    def _relative(self, path: str) -> str:
        return os.path.join(self._folder, path)

    def _wrong(self, place: Place, expected: str, value: object) -> NoReturn:
        self._refuse(place, f"has to be {expected}, not {_KINDS.get(type(value), 'a date or time')}")

    def _unknown(self, place: Place, known: Iterable[str]) -> NoReturn:
        from difflib import get_close_matches

        near = get_close_matches(str(place[-1]), list(known), 1)
        self._refuse(place, "is not known", f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")

    def _refuse(self, place: Place, what: str, hint: str | None = None) -> NoReturn:
        line = find_line(self._lines, place)
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
        where = self._path if line is None else f"{self._path}:{line}"
        raise CliError(f"{where}: {shown} {what}", hint=hint, code=2)


_header: Final = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]?\]")
_key: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w.-]+)\s*=""")


def _bare(name: str) -> list[str]:
    return [part.strip().strip("\"'") for part in name.split(".")]


def find_line(lines: list[str], place: Place) -> int | None:
    """The line (from 1) of a TOML file where the key ``place`` stands, as far as that is easily told."""
    names = [part for part in place if isinstance(part, str)]
    number = next((part for part in place if isinstance(part, int)), 0)
    table: list[str] = []
    arrays = -1
    found: int | None = None
    for at, line in enumerate(lines, 1):
        if (header := _header.match(line)) and "=" not in line.partition("]")[0]:
            table = _bare(header[1])
            if line.lstrip().startswith("[[") and table == names[:1]:
                arrays += 1
            if table == names and arrays in (-1, number):
                return at
        elif key := _key.match(line):
            full = [*table, *_bare(key[1])]
            if full == names and arrays in (-1, number):
                return at
            if full == names[:1]:
                found = at  # an inline table or list, which may go on below
    return found


def policy_words(path: str, options: Iterable[Option]) -> list[str]:
    """The words of the command line that mean what the policy file ``path`` says.

    Raises :class:`CliError` for a file that cannot be read, is no TOML, or says something that is not known.
    """
    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise CliError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CliError(f"{path}: is not UTF-8", code=2) from None
    except tomllib.TOMLDecodeError as error:
        raise CliError(f"{path}: is no TOML: {error}", code=2) from None
    return list(_Policy(path, text, options).words(values))
