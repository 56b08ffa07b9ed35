"""What a guest, or a module, may use at most, and which WebAssembly features are on: frozen values.

Nothing here is read from the environment; the command line and the embedder build these values. Every limit there is
has a row in :data:`BOUNDS`, from which refusals, the command line's options and ``docs/limits.md`` are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, final

from wardian.errors import FeatureDisabled, LimitExceeded
from wardian.record import NamedTuple, Record

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
    the second what compiling it may take, the third what a running guest may use. What each of them means and how a
    refusal looks is in :data:`BOUNDS`.
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
    tables: int = 1_000
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

    compile_time: float = 3600.0
    code_size: int = 2 << 30
    signatures: int = 1_000

    memory: int = 4 << 30
    table_elements: int = 10_000_000
    gc_heap: int = 1 << 30
    instances: int = 1_000_000
    stack: int = 4 << 20
    fuel: int = UNLIMITED_FUEL
    """Units a store's guests may spend; counted by engines with ``Config(fuel=True)`` only."""

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if type(value) is not int and not (isinstance(value, float) and name == "compile_time"):
                raise TypeError(f"Limits({name}=...) is a number, not {value!r}")
            if not value >= 0:
                raise ValueError(f"Limits({name}=...) is at least 0, not {value!r}")

    def check(self, name: str, value: int) -> None:
        """Raise :class:`LimitExceeded` if ``value`` is above the bound ``name``."""
        bound = getattr(self, name)
        if value > bound:
            raise exceeded(name, f"{name.replace('_', ' ')}: {value} is more than the limit of {bound}")


Unit: TypeAlias = Literal["bytes", "seconds", "count"]


class Bound(NamedTuple):
    """A limit in words: what it bounds, what happens to whoever reaches it, and where it is set."""

    bounds: str
    happens: str
    unit: Unit = "count"
    keyword: str = ""
    """What sets it in Python; else the field of :class:`Limits` of its name."""
    option: str = ""
    """The key of ``-W``; else ``max-`` and its name."""
    default: str = ""
    """In words, of one that is no field of :class:`Limits`."""

    def set_in_python(self, name: str) -> str:
        return self.keyword or f"Limits({name}=...)"

    def key(self, name: str) -> str:
        """The key of ``-W`` on the command line."""
        return self.option or f"max-{name.replace('_', '-')}"


_REFUSED: Final = "the module is refused: `LimitExceeded`"
_DECLARED: Final = MappingProxyType(
    {
        "module_size": "bytes of a module",
        "types": "types a module defines",
        "functions": "functions it defines",
        "imports": "imports",
        "exports": "exports",
        "globals": "globals it defines",
        "tags": "exception tags it defines",
        "data_segments": "data segments",
        "element_segments": "element segments",
        "tables": "tables it defines",
        "memories": "memories, imported ones included",
        "parameters": "parameters of a function type",
        "results": "results of a function type or block",
        "locals": "local variables of a function, its parameters included",
        "fields": "fields of a structure type",
        "function_size": "bytes of a function's body",
        "br_table": "targets of a `br_table`",
        "nesting": "blocks inside each other",
        "operands": "values on the operand stack, when a call or block gives several",
        "rec_group": "types of a recursion group",
        "subtype_depth": "supertypes above a type",
    }
)

_TOO_MANY: Final = "no more of them: `LimitExceeded`"
_STOPPED: Final = "the guest is stopped: a trap, status `timeout`"
_LESS: Final = "`{0}` gives -1; a module that begins with more is refused: `LimitExceeded`"

BOUNDS: Final[Mapping[str, Bound]] = MappingProxyType(
    {
        "timeout": Bound("wall-clock seconds of a run", _STOPPED, "seconds", "timeout=", "timeout", "none"),
        "cpu": Bound("seconds of processor time of a run", _STOPPED, "seconds", "cpu=", "cpu", "none"),
        "fuel": Bound(
            "units a guest may spend, about one an instruction ([how](fuel.md))", "a trap, status `out_of_fuel`",
            keyword="fuel=", option="fuel", default="none",
        ),
        "memory": Bound(
            "bytes of a linear memory", _LESS.format("memory.grow"), "bytes", "memory=", "max-memory-size"
        ),
        "table_elements": Bound("elements of a table", _LESS.format("table.grow")),
        "gc_heap": Bound("bytes of structures, arrays and exceptions of a store", "a trap: `heap_exhausted`", "bytes"),
        "instances": Bound("instances that are linked to each other", _TOO_MANY),
        "stack": Bound(
            "bytes of stack that guest code may use", "a trap: `stack_exhausted`", "bytes", "stack=", "max-wasm-stack"
        ),
        "output": Bound(
            "bytes of each output stream", "what is beyond is dropped; `truncated`", "bytes", "output_limit=",
            default="16 MiB of what is captured",
        ),
        "open_files": Bound(
            "descriptors the guest has open at a time", "errno `mfile`", keyword="open_files=", default="1024"
        ),
        "written": Bound(
            "bytes by which files of the host may grow, together", "errno `nospc`", "bytes",
            "quota=FileQuota(bytes=...)", default="none",
        ),
        "file_size": Bound(
            "bytes that a file of the host may grow to", "errno `fbig`", "bytes",
            "quota=FileQuota(file_size=...)", default="none",
        ),
        "new_files": Bound(
            "files, folders and links that may be added", "errno `nospc`", keyword="quota=FileQuota(files=...)",
            default="none",
        ),
        "compile_time": Bound(
            "seconds of processor time for compiling a module; and as many for optimising what is hot",
            "a function that is not compiled yet is refused: `LimitExceeded`; no more is optimised", "seconds",
        ),
        "signatures": Bound(
            "different signatures of functions through which Python and a module call each other",
            "no function with another one is made: `LimitExceeded`",
        ),
        "code_size": Bound("bytes of machine code of a module", "as `compile_time`", "bytes"),
        **{
            name: Bound(what, _REFUSED, "bytes" if what.startswith("bytes") else "count")
            for name, what in _DECLARED.items()
        },
    }
)  # fmt: skip
"""Every limit by name: the fields of :class:`Limits`, and what :func:`wardian.run` takes besides."""


def remedy(name: str) -> str:
    """How the limit ``name`` is raised, in words for the end of a message."""
    bound = BOUNDS[name]
    return f"raise it with {bound.set_in_python(name)}, or -W {bound.key(name)}=... on the command line"


def exceeded(name: str, message: str) -> LimitExceeded:
    """The refusal of what is beyond the limit ``name``: ``message``, and how to raise it."""
    return LimitExceeded(name, f"{message}; {remedy(name)}")


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
