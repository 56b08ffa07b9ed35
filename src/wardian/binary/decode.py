"""Spec chapter "Binary Format / Modules": bytes to :class:`Module`.

Invariant: any bytes give a module, a :class:`MalformedError`, or a refusal (:class:`LimitExceeded`,
:class:`FeatureDisabled`), in time linear in their number. Function bodies are not looked into: a module of tens of
megabytes costs milliseconds, and a malformed body is found by :mod:`wardian.binary.body` when it is needed.
"""

from __future__ import annotations

from typing import Final

from wardian.binary.reader import END, Reader
from wardian.binary.sections import SECTIONS, later_datas
from wardian.errors import FeatureDisabled, LimitExceeded, MalformedError
from wardian.limits import Features, Limits
from wardian.syntax.module import CustomSection, Module

MAGIC: Final = b"\0asm"
VERSION: Final = b"\1\0\0\0"
CUSTOM: Final = 0
_DATA: Final = 11
_COMPONENT_LAYER: Final = b"\1\0"

ORDER: Final = {section: place for place, section in enumerate(SECTIONS)}
"""Section id -> its place in a module."""


def is_component(source: bytes) -> bool:
    """Whether ``source`` begins as a binary of the component model does."""
    return source[:4] == MAGIC and source[6:8] == _COMPONENT_LAYER


def decode(
    source: bytes,
    features: Features = Features(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
    *,
    later: bool = False,
) -> Module:
    """The module that ``source`` encodes, not validated.

    With ``later``, many data segments may be left for :func:`finish`. Raises :class:`MalformedError`,
    :class:`LimitExceeded` and :class:`FeatureDisabled`.
    """
    limits.check("module_size", len(source))
    _header(source)
    module = Module(source)
    r = Reader(source, 8, len(source), features, limits)
    try:
        try:
            _sections(r, module, later)
            _agree(module)
        except MalformedError:
            # What was left comes before whatever is wrong behind it.
            _ = module.datas.items
            raise
    except MalformedError as error:
        _first_error(module, features, error)
        raise
    return module


def finish(module: Module, features: Features) -> None:
    """Read what :func:`decode` has left for later. Raises as it does."""
    try:
        _ = module.datas.items
    except MalformedError as error:
        _first_error(module, features, error)
        raise


def _first_error(module: Module, features: Features, error: MalformedError) -> None:
    """The first error of a file is the one to report, and it may stand in a body."""
    if module.bodies and error.offset is not None and error.offset > module.bodies[0][0]:
        _first_error_in_bodies(module, features)


def _sections(r: Reader, module: Module, later: bool) -> None:
    total = r.end
    place = -1
    last = CUSTOM
    while r.pos < total:
        at = r.pos
        section = r.byte()
        reader = SECTIONS.get(section)
        if reader is None and section != CUSTOM:
            r.fail("malformed section id", at)
        size_at = r.pos
        size = r.u32()
        start = r.pos
        end = start + size
        if end > total:
            r.fail("length out of bounds", size_at)
        # The reader stays bounded by the file: a section that runs over is named by what it runs into, or at its end.
        if reader is None:
            name = r.name()
            if r.pos > end:
                r.fail(END, end)
            module.customs.append(CustomSection(name, (r.pos, end), last))
            r.pos = end
        else:
            if ORDER[section] <= place:
                r.fail("unexpected content after last section: section out of order or repeated", at)
            place = ORDER[section]
            last = section
            if later and section == _DATA:
                later_datas(r, module, end)
            else:
                reader(r, module)
            if r.pos != end:
                r.fail("section size mismatch", end)
        module.sections.append((section, start, end))


def _first_error_in_bodies(module: Module, features: Features) -> None:
    from wardian.binary.body import check_bodies

    try:
        check_bodies(module.source, module.bodies, features)
    except (FeatureDisabled, LimitExceeded):
        pass  # No malformed body before this one, and the module is malformed anyway.


def _header(source: bytes) -> None:
    if len(source) < 4:
        raise MalformedError(END, offset=len(source))
    if source[:4] != MAGIC:
        raise MalformedError("magic header not detected", offset=0)
    if len(source) < 8:
        raise MalformedError(END, offset=len(source))
    if source[4:8] != VERSION:
        what = ": this is a component, not a core module" if is_component(source) else ""
        raise MalformedError(f"unknown binary version{what}", offset=4)


def _agree(module: Module) -> None:
    total = len(module.source)
    if len(module.funcs) != len(module.bodies):
        raise MalformedError("function and code section have inconsistent lengths", offset=total)
    if module.data_count is not None and module.data_count != len(module.datas):
        raise MalformedError("data count and data section have inconsistent lengths", offset=total)
