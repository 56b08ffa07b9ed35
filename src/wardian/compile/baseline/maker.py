"""Collects what stencils there are to be, has LLVM make them, and encodes them.

Invariant: a template is made once, however many stencils it is renamed to; a stencil's places are what its key says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol, final

from wardian.compile.baseline import machine as x86_64
from wardian.compile.baseline.assembler import Body, Part, Source, bodies, renamed
from wardian.compile.baseline.flavour import Flavour
from wardian.compile.baseline.holes import declarations
from wardian.compile.baseline.library import encode
from wardian.compile.baseline.machines import Machine
from wardian.compile.baseline.shapes import CONSTANT, OPERANDS, SLOT, WORD, Shape, pack, variants
from wardian.compile.baseline.templates import CLASS, Facts, Template, register_of
from wardian.compile.emit import METADATA
from wardian.compile.lowering import handlers
from wardian.record import Record
from wardian.syntax.types import NumType
from wardian.vm.traps import TrapCode


@final
class Want(Record):
    """A stencil to be: ``template`` with registers renamed, as ``key`` of ``group``; ``before`` it operands are fetched
    from slots, ``after`` it the result is put into one."""

    group: str
    key: int
    template: str
    names: Mapping[str, str] = MappingProxyType({})
    before: str = ""
    after: str = ""


class Compiling(Protocol):
    """What makes machine code: :class:`wardian.compile.llvm.Backend`, or a cross-compiler like it."""

    def stencil_preamble(self) -> str: ...
    def assembly(self, text: str) -> str: ...
    def assemble(self, text: str) -> bytes: ...


@final
class Maker:
    """Collects templates and wants of one flavour, then has LLVM make them."""

    def __init__(self, flavour: Flavour, machine: Machine = x86_64) -> None:
        self.machine = machine
        self.facts = Facts(flavour.options, flavour.memory())
        self._is64 = flavour.is64
        self._texts: dict[str, str] = {}
        self._declared: set[str] = set()
        self._names: dict[tuple[object, ...], str] = {}
        self._wants: list[Want] = []
        self._raw: list[tuple[str, int, str]] = []

    def template(self, key: tuple[object, ...], build: Callable[[Template], bool | None]) -> str:
        """Name of the template of ``key``, built once. ``build`` tells whether it has ended the function itself."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"t{len(self._names)}"
            template = Template(self.facts, handlers(), self.machine)
            self._texts[name] = template.text(name, ends=bool(build(template)))
            self._declared |= template.lo.b.declared
        return name

    def shaped(
        self,
        group: str,
        params: tuple[NumType, ...],
        constants: tuple[bool, ...],
        result: NumType | None,
        build: Callable[[Template], bool | None],
    ) -> None:
        """A group with a stencil for every shape; ``build`` is called with the operands on the stack."""
        for shape in dict.fromkeys(variants(tuple(CLASS[t] for t in params), constants, result and CLASS[result])):
            plan = place(self.machine, shape, params, result)

            def one(t: Template, plan: Plan = plan) -> bool | None:
                for position, of_type in enumerate(params):
                    t.operand(position, plan.registers[position], of_type)
                ends = build(t)
                if result is not None:
                    t.result(plan.registers[-1])
                return ends

            template = self.template((group, plan.registers), one)
            self._wants.append(Want(group, pack(shape), template, plan.names, plan.before, plan.after))

    def single(self, group: str, key: int, build: Callable[[Template], bool | None]) -> None:
        """A stencil as the template is."""
        self._wants.append(Want(group, key, self.template((group, key), build)))

    def raw(self, group: str, key: int, assembly: str) -> None:
        """A stencil written in assembler."""
        self._raw.append((group, key, assembly))

    # -- the library ---------------------------------------------------------------------------------------------------

    def make(self, backend: Compiling) -> bytes:
        """The encoded library."""
        return encode(*self.parts(backend))

    def parts(self, backend: Compiling) -> tuple[dict[str, list[tuple[int, Part]]], dict[str, bytes]]:
        """The stencils of each group, by key, and the constants they refer to."""
        found, constants = self._compiled(backend)
        source = Source(constants, self.machine)
        numbered: list[tuple[str, int, int]] = []
        for want in self._wants:
            text = renamed(found[want.template], want.names, self.machine, source.next, want.before, want.after)
            numbered.append((want.group, want.key, source.add(text)))
        for group, key, assembly in self._raw:
            numbered.append((group, key, source.add(assembly)))
        parts, pool = source.parts(backend.assemble(source.text()))
        groups: dict[str, list[tuple[int, Part]]] = {}
        for group, key, number in numbered:
            groups.setdefault(group, []).append((key, parts[number]))
        return groups, pool

    def _compiled(self, backend: Compiling) -> tuple[dict[str, Body], dict[str, str]]:
        text = "\n".join(self._texts.values())
        symbols = ["next", "target", *(f"trap_{code.name}" for code in TrapCode)]
        types = ", ".join(t for _, t in self.machine.PARAMETERS)
        declared = [f"declare dso_local {self.machine.CONVENTION} void @{symbol}({types})" for symbol in symbols]
        lines = [backend.stencil_preamble(), *declared, "@table = external hidden global i8", declarations(text)]
        lines += [*sorted(self._declared), text, METADATA]
        found, constants = bodies(backend.assembly("\n".join(lines)), self.machine.SYNTAX)
        if self.facts.options.spectre == "full":
            fenced = self.machine.SYNTAX.fenced
            assert fenced is not None, "without fences there are no stencils of this level"
            led = {name for key, name in self._names.items() if str(key[0]).startswith(_LED)}
            found = {name: body._replace(lines=tuple(fenced(body.lines, name in led))) for name, body in found.items()}
        return found, constants


_LED: Final = ("call indirect", "call ref", "br_table")
"""What the names of groups begin with whose calls and jumps go where the guest says."""


@final
class Plan(Record):
    """How a shape becomes a template: the template's register of each place (``""``: a constant), what these are
    renamed to, and the code that fetches and stores what is in slots."""

    registers: tuple[str, ...]
    names: dict[str, str]
    before: str
    after: str


def place(machine: Machine, shape: Shape, params: tuple[NumType, ...], result: NumType | None) -> Plan:
    """Equal places get equal registers; slots get registers nothing else uses."""
    taken: dict[tuple[int, int], str] = {}
    registers: list[str] = []
    names: dict[str, str] = {}
    spare = [iter(machine.SPARE_WORDS), iter(machine.SPARE_VECTORS)]
    before = after = ""
    fetched: dict[int, tuple[str, str]] = {}
    types = params if result is None else (*params, result)
    for position, (code, of_type) in enumerate(zip(shape, types, strict=True)):
        is_result = result is not None and position == len(params)
        cls = CLASS[of_type]
        fresh = register_of(3 if is_result else position, cls)
        if code == CONSTANT:
            registers.append("")
        elif code == SLOT:
            if is_result and cls in fetched:
                register, actual = fetched[cls]
            else:
                register, family = fresh, next(spare[cls])
                actual = family[0]
                names.update(_renaming(machine, register, cls, family))
            registers.append(register)
            if is_result:
                after = machine.store(of_type.name, actual)
            else:
                fetched[cls] = register, actual
                before += machine.fetch(of_type.name, "ABC"[position], actual)
        else:
            register = taken.setdefault((cls, code), fresh)
            registers.append(register)
            families = machine.REGISTERS.words if cls == WORD else machine.REGISTERS.vectors
            names.update(_renaming(machine, register, cls, families[code]))
    return Plan(tuple(registers), {old: new for old, new in names.items() if old != new}, before, after)


def _renaming(machine: Machine, register: str, cls: int, family: tuple[str, ...]) -> dict[str, str]:
    families = machine.REGISTERS.words if cls == WORD else machine.REGISTERS.vectors
    return dict(zip(families[_HOME[register]], family, strict=True))


_HOME: Final = MappingProxyType({f"%{letter}{i}": i for letter in "tf" for i in range(OPERANDS)})
"""Template register -> operand code of the machine register it is."""
