"""What a guest, or a module, may use at most, and which WebAssembly features are on: frozen values.

Nothing here is read from the environment; the command line and the embedder build these values.
"""

from __future__ import annotations

from typing import final

from wardian.errors import FeatureDisabled, LimitExceeded
from wardian.record import Record

PAGE = 65536


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
