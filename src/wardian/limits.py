"""What a guest, or a module, may use at most, and which WebAssembly features are on: frozen values.

Nothing here is read from the environment; the command line and the embedder build these values.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, final

from wardian.errors import FeatureDisabled, LimitExceeded
from wardian.record import Record

PAGE = 65536
UNLIMITED_FUEL: Final = (1 << 63) - 1
"""More than a guest can spend in a thousand years; also the most there can be."""

_UNITS: Final = MappingProxyType({"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40})


def parse_size(value: int | str) -> int:
    """A number of bytes from a number or a text: ``"65536"``, ``"64K"``, ``"1.5G"``, ``"64MiB"``; units are powers of
    1024, and parts of a byte are dropped. Raises ``ValueError``, and ``TypeError`` for neither.
    """
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"a size is at least 0, not {value}")
        return value
    if not isinstance(value, str):
        raise TypeError(f"a size is a number of bytes or a text such as '64M', not {type(value).__name__}")
    text = value.strip().upper()
    number = text.removesuffix("IB") if text[-3:-2] in _UNITS else text.removesuffix("B")
    unit = _UNITS.get(number[-1:], 1)
    whole, point, part = (number[:-1] if unit > 1 else number).partition(".")
    if not text.isascii() or not whole.isdecimal() or (point and not part.isdecimal()):
        raise ValueError(f"{value!r} is not a size; give bytes, or a number with K, M, G or T: '64M'")
    return int(whole) * unit + int(int(part or "0") * unit // 10 ** len(part))


@final
class Limits(Record):
    """Bounds with defaults; sizes are in bytes unless the name says otherwise.

    The first group bounds what one module may declare (checked by the decoder, so hostile bytes cost little),
    the second what a running guest may use.
    """

    module_size: int = 1 << 30
    types: int = 1_000_000
    functions: int = 1_000_000
    imports: int = 1_000_000
    exports: int = 1_000_000
    globals: int = 1_000_000
    tags: int = 1_000_000
    data_segments: int = 100_000
    element_segments: int = 10_000_000
    tables: int = 100_000
    memories: int = 100
    parameters: int = 1_000
    results: int = 1_000
    locals: int = 50_000
    fields: int = 10_000
    function_size: int = 7_654_321
    br_table: int = 7_654_321
    nesting: int = 50_000
    operands: int = 1_000_000
    rec_group: int = 1_000_000
    subtype_depth: int = 63

    memory: int = 4 << 30
    table_elements: int = 10_000_000
    gc_heap: int = 1 << 30
    instances: int = 1_000_000
    stack: int = 4 << 20
    fuel: int = UNLIMITED_FUEL
    """Units a store's guests may spend; counted by engines with ``Config(fuel=True)`` only."""

    def check(self, name: str, value: int) -> None:
        """Raise :class:`LimitExceeded` if ``value`` is above the bound ``name``."""
        bound = getattr(self, name)
        if value > bound:
            raise LimitExceeded(name, f"{name.replace('_', ' ')}: {value} is more than the limit of {bound}")


@final
class Features(Record):
    """One switch per proposal. Wasm 3.0, threads and wide arithmetic are on by default; custom page sizes are not,
    since a memory with them is malformed in the standard as it is.
    """

    mutable_global: bool = True
    sign_extension: bool = True
    saturating_float_to_int: bool = True
    multi_value: bool = True
    bulk_memory: bool = True
    reference_types: bool = True
    simd: bool = True
    relaxed_simd: bool = True
    tail_call: bool = True
    extended_const: bool = True
    multi_memory: bool = True
    memory64: bool = True
    function_references: bool = True
    gc: bool = True
    exceptions: bool = True
    threads: bool = True
    wide_arithmetic: bool = True
    custom_page_sizes: bool = False

    def require(self, name: str, what: str) -> None:
        """Raise :class:`FeatureDisabled` naming ``what`` unless the switch ``name`` is on (``mvp`` always is)."""
        if name != "mvp" and not getattr(self, name):
            raise FeatureDisabled(name, f"{what} needs the feature {name.replace('_', '-')}, which is switched off")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return cls.__match_args__
