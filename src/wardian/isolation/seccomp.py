"""The filter of system calls, made from the policy's rows (Linux: "Seccomp BPF").

Invariant: a call that no rule allows, a call of another architecture's table, and a call whose arguments a rule does
not take, end the process.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Final

from wardian.isolation.bpf import And, Label, Load, Return, Step, Unless, When, assemble
from wardian.isolation.numbers import MACHINES, Machine
from wardian.isolation.policy import RULES, SELF, Rule, Test, Verdict

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in the kernel's struct seccomp_data."""
_ERRNO: Final = 0x00050000
VERDICTS: Final = MappingProxyType(
    {
        Verdict.ALLOW: 0x7FFF0000,
        Verdict.KILL: 0x80000000,
        Verdict.NO_ENTRY: _ERRNO | 2,
        Verdict.DENIED: _ERRNO | 1,
        Verdict.UNKNOWN: _ERRNO | 38,
    }
)


@functools.cache
def program(name: str, own: int, files: bool) -> bytes:
    """The filter for a process with the number ``own`` on the machine ``name``; ``files`` if directories are granted.

    Remembered, since in a world of its own every worker is number 1.
    """
    return compile_rules(MACHINES[name], own, files=files, rules=RULES)


def compile_rules(machine: Machine, own: int, *, files: bool, rules: Sequence[Rule]) -> bytes:
    """A filter made of these rules."""
    kill = Return(VERDICTS[Verdict.KILL])
    steps: list[Step] = [Load(_ARCHITECTURE), When(machine.audit, "native"), kill, Label("native"), Load(_NUMBER)]
    seen: set[str] = set()
    for rule in rules:
        if rule.files and not files:
            continue
        for name in rule.calls.split():
            number = machine.numbers.get(name)
            if number is None or name in seen:
                continue
            seen.add(name)
            steps += _one(name, number, rule, own)
    return assemble([*steps, kill])


def _one(name: str, number: int, rule: Rule, own: int) -> Iterator[Step]:
    yield Unless(number, f"not {name}")
    if not rule.when:
        yield Return(VERDICTS[rule.verdict])
    for way, tests in enumerate(rule.when):
        for test in tests:
            yield from _test(test, own, f"{name} {way}")
        yield Return(VERDICTS[rule.verdict])
        yield Label(f"{name} {way}")
    if rule.when:
        yield Return(VERDICTS[rule.otherwise])
    yield Label(f"not {name}")


def _test(test: Test, own: int, otherwise: str) -> Iterator[Step]:
    value = own if test.value == SELF else test.value
    for half in range(2):
        mask, wanted = test.mask >> 32 * half & 0xFFFFFFFF, value >> 32 * half & 0xFFFFFFFF
        if mask:
            yield Load(_ARGUMENTS + 8 * test.arg + 4 * half)
            yield And(mask)
            yield Unless(wanted & mask, otherwise)
