"""What differs between machines and is not LLVM's to know: signal frames, and the lazy-compilation stub.

One row per architecture; a new one is a new row (and has been run only if the README says so).
"""

from __future__ import annotations

from typing import Final, final

from wardian.record import Record
from wardian.vm.builtins import SLOT, STUB_SIZE, STUBS
from wardian.vm.layout import HEADER


@final
class Machine(Record):
    """Offsets of the program counter, stack and frame pointer in a Linux ``ucontext_t``, of ``si_addr``, and the stubs.

    The stubs are assembler: ``wd_stubs`` is :data:`STUBS` stubs of :data:`STUB_SIZE` bytes, each of which asks the
    builtin ``resolve(context, i)`` for the address to continue at, with every argument register as it was.
    """

    pc: int
    sp: int
    fp: int
    si_addr: int
    resolve: str
    stub: str

    def stubs(self, first: int) -> str:
        """Assembler of the stubs ``first`` to ``first + STUBS - 1``."""
        tail = f".globl wd_stubs\nwd_stubs:\n.set wd_i, {first}\n.rept {STUBS}\n{self.stub}\n"
        return f"{self.resolve}{tail}.p2align {STUB_SIZE.bit_length() - 1}\n.set wd_i, wd_i + 1\n.endr\n"


_X86_64_RESOLVE: Final = f"""
.text
.p2align 4
wd_resolve:
 pushq %rbp
 movq %rsp, %rbp
 pushq %rdi
 pushq %rsi
 pushq %rdx
 pushq %rcx
 pushq %r8
 pushq %r9
 subq $144, %rsp
 movups %xmm0, (%rsp)
 movups %xmm1, 16(%rsp)
 movups %xmm2, 32(%rsp)
 movups %xmm3, 48(%rsp)
 movups %xmm4, 64(%rsp)
 movups %xmm5, 80(%rsp)
 movups %xmm6, 96(%rsp)
 movups %xmm7, 112(%rsp)
 movl %eax, %esi
 movq {HEADER.at["builtins"]}(%rdi), %rax
 callq *{SLOT["resolve"]}(%rax)
 movups (%rsp), %xmm0
 movups 16(%rsp), %xmm1
 movups 32(%rsp), %xmm2
 movups 48(%rsp), %xmm3
 movups 64(%rsp), %xmm4
 movups 80(%rsp), %xmm5
 movups 96(%rsp), %xmm6
 movups 112(%rsp), %xmm7
 addq $144, %rsp
 popq %r9
 popq %r8
 popq %rcx
 popq %rdx
 popq %rsi
 popq %rdi
 popq %rbp
 jmpq *%rax
.p2align 4
"""

MACHINES: Final = {
    "x86_64": Machine(
        pc=168, sp=160, fp=120, si_addr=16, resolve=_X86_64_RESOLVE, stub=" endbr64\n movl $wd_i, %eax\n jmp wd_resolve"
    ),
}
"""Architecture (LLVM's name) -> its facts."""
