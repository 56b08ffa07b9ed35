"""LLVM, through llvmlite: text in, object file out. The only importer of llvmlite.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. What this file returns is executed. LLVM's verifier runs on every module; nothing is linked or resolved here,|
| so an unknown symbol cannot abort the process (link.py refuses it).                                                  |
+----------------------------------------------------------------------------------------------------------------------+

Invariant: no LLVM state is kept between compilations but the target machines. A context remembers every type and every
constant it has seen, so each compilation has its own.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import Final, Literal, final

import llvmlite.binding as llvm
from llvmlite.binding.newpassmanagers import NewPassManager

REGISTER: Final = {"x86_64": "rsp", "aarch64": "sp"}
"""Architecture -> name of the stack pointer."""

REQUIRED: Final = {"x86_64": "+sse4.1", "aarch64": ""}
"""Without these LLVM would call libm for rounding, which an artifact cannot reach."""

COMMON: Final = {"x86_64": "x86-64-v2", "aarch64": "generic"}
"""What every processor has that this engine runs on: stencils are made for that, once."""

PROTECTED: Final = {
    "x86_64": "",
    "aarch64": ' "branch-target-enforcement" "sign-return-address"="non-leaf" "sign-return-address-key"="a_key"',
}
"""Attributes with which functions say where indirect branches may land, and sign the addresses they return to."""

LANDINGS: Final = {
    "x86_64": '!llvm.module.flags = !{!16}\n!16 = !{i32 8, !"cf-protection-branch", i32 1}\n',
    "aarch64": """!llvm.module.flags = !{!16, !17}
!16 = !{i32 8, !"branch-target-enforcement", i32 1}
!17 = !{i32 8, !"sign-return-address", i32 1}
""",
}
"""Flags of modules that say the same: whatever an indirect branch may lead to begins with the instruction for it
(``endbr64``, ``bti``), and where only jump tables lead, the jump says that it is not to be looked at."""

MASKING: Final = ("avx512", "avx10")
"""Features that are never used: LLVM folds even a volatile load into an instruction that masks it, which does not fault
where the mask is off, and the trap the load stands for is lost."""

THUNKS: Final = {"x86_64": "+retpoline-indirect-calls,+retpoline-indirect-branches"}
"""Architecture -> features with which indirect branches are not guessed."""

OPTIONS: Final = {"x86_64": ("-x86-cmov-converter-force-mem-operand=false",)}
"""Architecture -> options of LLVM's own. Converted, a conditional move of a loaded value becomes a branch around the
load, even a volatile one, and the trap it stands for is lost."""


@functools.cache
def _lock() -> threading.Lock:
    """Held while LLVM works, which does one thing at a time anyhow, and while a process forks: a child that is born in
    the middle of it could never use LLVM."""
    lock = threading.Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


@final
class Backend:
    """One target, this machine's, at every optimisation level. Safe to use from several threads."""

    def __init__(self, *, common: bool = False, architecture: str | None = None) -> None:
        """``common``: use no more than what every processor of the architecture has.

        ``architecture``: not this machine's, but the common features of another, for code that is only looked at.
        """
        self._machines: dict[str, llvm.TargetMachine] = {}
        self._lock = _lock()
        with self._lock:
            if architecture is None:
                self._find_target(common)
            else:
                self._take_target(architecture)

    def _take_target(self, architecture: str) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        self.triple = f"{architecture}-unknown-linux-gnu"
        self.arch, self.cpu, self.features = architecture, COMMON[architecture], REQUIRED[architecture]
        self._target = llvm.Target.from_triple(self.triple)

    def _find_target(self, common: bool) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        self.triple = llvm.get_process_triple()
        self.arch = self.triple.split("-")[0]
        self.cpu = COMMON[self.arch] if common else llvm.get_host_cpu_name()
        # SAFETY: features are the host's own, so generated code never uses an instruction this CPU lacks.
        host = {name: on and not name.startswith(MASKING) for name, on in llvm.get_host_cpu_features().items()}
        flags = [] if common else [f"{'+' if on else '-'}{name}" for name, on in sorted(host.items())]
        self.features = ",".join([*flags, *filter(None, [REQUIRED.get(self.arch)])])
        for option in OPTIONS.get(self.arch, ()):
            llvm.set_option("wardian", option)
        self._target = llvm.Target.from_triple(self.triple)

    def preamble(self, spectre: str = "off") -> str:
        """Target lines, attribute groups #0 and #1 of guest functions, and the stack pointer's name (metadata !7).

        ``spectre``: with ``"full"`` LLVM hardens loads, and indirect branches go through thunks that are not guessed,
        but for functions of group #2.

        Under #0 LLVM may not turn a call into a jump on its own (``musttail`` still is one): endless recursion has to
        exhaust the stack rather than loop for ever, and a backtrace shows every caller. #1 is for functions with
        ``tail`` calls that are to be jumps; their ordinary calls are marked.
        """
        attributes = f'nounwind "frame-pointer"="all" "no-builtins" "target-cpu"="{self.cpu}"{PROTECTED[self.arch]}'
        group = ""
        if spectre == "full":
            plain = f'noinline nounwind "no-builtins" "target-cpu"="{self.cpu}"{PROTECTED[self.arch]}'
            group = f"attributes #2 = {{ {plain} }}\n"
            more = ",".join(filter(None, [self.features, THUNKS.get(self.arch, "")]))
            # Without a red zone, for a hardened caller else looks for the address it was returned to where
            # tailcc has had the callee remove it together with stack parameters.
            attributes += f' speculative_load_hardening noredzone "target-features"="{more}"'
        return (
            f'target triple = "{self.triple}"\n'
            f'attributes #0 = {{ {attributes} "disable-tail-calls"="true" }}\nattributes #1 = {{ {attributes} }}\n'
            f'{group}!7 = !{{!"{REGISTER[self.arch]}"}}\n{LANDINGS[self.arch]}'
        )

    def stencil_preamble(self) -> str:
        """Target lines and attribute group #0 of stencils (:mod:`wardian.compile.baseline`): small, without frames."""
        return (
            f'target triple = "{self.triple}"\n'
            f'attributes #0 = {{ nounwind optsize "no-builtins" "target-cpu"="{COMMON[self.arch]}" }}\n'
        )

    def assembly(self, text: str) -> str:
        """Compile LLVM text, which is optimised already, to assembler text for fixed addresses.

        Raises ``RuntimeError`` if the text is not valid LLVM (our bug).
        """
        with self._lock:
            return self._assembly(text)

    def assemble(self, text: str) -> bytes:
        """Assembler text as an ELF object."""
        quoted = text.replace("\\", "\\5C").replace('"', "\\22").replace("\t", " ")
        lines = [f'target triple = "{self.triple}"', *(f'module asm "{line}"' for line in quoted.splitlines())]
        with self._lock:
            return self._assemble("\n".join(lines))

    def _fixed(self) -> llvm.TargetMachine:
        machine = self._machines.get("fixed")
        if machine is None:
            machine = self._machines["fixed"] = self._target.create_target_machine(
                cpu=COMMON[self.arch], features="", opt=2, reloc="pic", codemodel="small"
            )
        return machine

    def _machine(self, opt: str) -> llvm.TargetMachine:
        machine = self._machines.get(opt)
        if machine is None:
            machine = self._machines[opt] = self._target.create_target_machine(
                cpu=self.cpu, features=self.features, opt=int(opt[1]), reloc="pic", codemodel="small"
            )
        return machine

    def object(self, text: str, opt: Literal["O0", "O1", "O2"]) -> bytes:
        """Compile LLVM text to an ELF object. Raises ``RuntimeError`` if the text is not valid LLVM (our bug).

        ``O1`` is ``O0`` with LLVM's usual way of choosing instructions: what the quick one leaves, hardening of loads
        cannot cope with (LLVM 22 aborts the process: "Unlowered EFLAGS copy").
        """
        with self._lock:
            return self._object(text, opt)

    # What holds objects of LLVM's has returned, and disposed of them, before the lock is released.

    def _assembly(self, text: str) -> str:
        module = _parsed(text)
        module.verify()
        return str(self._fixed().emit_assembly(module))

    def _assemble(self, text: str) -> bytes:
        return bytes(self._fixed().emit_object(_parsed(text)))

    def _object(self, text: str, opt: Literal["O0", "O1", "O2"]) -> bytes:
        machine = self._machine(opt)
        module = _parsed(text)
        module.verify()
        if opt == "O2":
            tuning = llvm.create_pipeline_tuning_options(speed_level=2)
            builder = llvm.create_pass_builder(machine, tuning)
            passes = builder.getModulePassManager()
            try:
                passes.run(module, builder)
            finally:
                # llvmlite forgets to: its class inherits a method that does nothing before the one that disposes.
                # They hold 0.2 MB.
                NewPassManager._dispose(passes)
                passes.detach()
        return bytes(machine.emit_object(module))


def _parsed(text: str) -> llvm.ModuleRef:
    """LLVM text as a module in a context of its own, which goes with it."""
    return llvm.parse_assembly(text, llvm.create_context())
