"""Any bytes give a module that validates or an error of the decoder's or validator's own, placed inside the bytes; what
is decoded is encoded again as it was; and what Wardian takes for valid, another validator does too."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.binary.build import HEADER, leb, sized
from tests.fuzz.seeds import modules
from wardian.binary.decode import decode
from wardian.binary.encode import encode
from wardian.errors import FeatureDisabled, InvalidError, LimitExceeded, MalformedError
from wardian.limits import Features
from wardian.syntax.module import Module
from wardian.valid.driver import check_structure, validate

REFUSALS = (LimitExceeded, FeatureDisabled)
FEATURES = Features()
_ITS_LIMITS = ("count", "exceed", "too many", "limit", "maximum", "unsupported", "not supported", "large", "deep")
"""Words of the other validator's refusals for its own bounds, which are not ours."""
CODE = 10


def seeds() -> Iterator[bytes]:
    yield from modules()


def run(data: bytes) -> None:
    try:
        module = decode(data, FEATURES)
    except MalformedError as error:
        assert error.offset is not None and 0 <= error.offset <= len(data)
        return
    except REFUSALS:
        return
    again = encode(module)
    assert encode(decode(again, FEATURES)) == again
    if _valid(module):
        complaint = _complaint(data)
        assert complaint is None, complaint


def _valid(module: Module) -> bool:
    try:
        validate(module, FEATURES)
    except (InvalidError, MalformedError) as error:
        assert error.offset is None or 0 <= error.offset <= len(module.source)
        if isinstance(error, InvalidError):
            # An invalid module is well-formed: all of its bodies can be decoded.
            try:
                check_structure(module, FEATURES, module_limits())
            except REFUSALS:
                pass
        return False
    except REFUSALS:
        return False
    return True


@cache
def module_limits() -> Any:
    from wardian.limits import Limits

    return Limits()


@cache
def _peer() -> Any:
    """Another engine to ask, or ``None``."""
    try:
        import wasmtime
    except ImportError:
        return None
    config = wasmtime.Config()
    for name in ("wasm_threads", "wasm_gc", "wasm_function_references", "wasm_exceptions", "wasm_tail_call",
                 "wasm_memory64", "wasm_multi_memory", "wasm_relaxed_simd", "wasm_wide_arithmetic"):  # fmt: skip
        if hasattr(type(config), name):
            setattr(config, name, True)
    return wasmtime.Engine(config)


def _complaint(data: bytes) -> str | None:
    """Why another validator does not take these bytes, unless that is for bounds of its own."""
    engine = _peer()
    if engine is None:
        return None
    import wasmtime

    try:
        wasmtime.Module.validate(engine, data)
    except wasmtime.WasmtimeError as error:
        text = str(error)
        return None if any(word in text for word in _ITS_LIMITS) else text
    return None


# -- mutation ----------------------------------------------------------------------------------------------------------


def mutate(data: bytes, most: int, chance: random.Random, change: Callable[[bytes, int], bytes]) -> bytes:
    """Every other time a section, or one body of the code section, is changed and its length put right."""
    parts = _sections(data)
    if not parts or chance.random() < 0.4:
        return change(data, most)
    at = chance.randrange(len(parts))
    code = [i for i, (kind, _) in enumerate(parts) if kind == CODE]
    if code and chance.random() < 0.5:
        at = code[0]
    kind, content = parts[at]
    room = max(1, most - len(data) + len(content))
    bodies = _bodies(content) if kind == CODE else []
    if bodies:
        place = chance.randrange(len(bodies))
        bodies[place] = change(bodies[place], room)
        content = leb(len(bodies)) + b"".join(map(sized, bodies))
    else:
        content = change(content, room)
    parts[at] = (kind, content)
    return HEADER + b"".join(bytes((kind,)) + sized(content) for kind, content in parts)


def _leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 35:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    return -1, at


def _sections(data: bytes) -> list[tuple[int, bytes]]:
    """The sections as far as they can be found."""
    found = []
    at = len(HEADER)
    while at < len(data):
        kind = data[at]
        size, at = _leb(data, at + 1)
        if size < 0:
            break
        found.append((kind, data[at : at + size]))
        at += size
    return found


def _bodies(content: bytes) -> list[bytes]:
    count, at = _leb(content, 0)
    found = []
    while at < len(content) and len(found) < count:
        size, at = _leb(content, at)
        if size < 0:
            break
        found.append(content[at : at + size])
        at += size
    return found
