"""The filter of system calls, run by our own machine: each rule says what it says, and all else ends the process."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.isolation.bpf import Label, Load, Return, Unless, assemble, run
from wardian.isolation.numbers import MACHINES
from wardian.isolation.policy import RULES, SELF, Policy, Rule, Verdict
from wardian.isolation.seccomp import VERDICTS, program

ALLOW, KILL = VERDICTS[Verdict.ALLOW], VERDICTS[Verdict.KILL]
OWN = 4321
EVERY = [(name, files) for name in MACHINES for files in (False, True)]


def judge(machine: str, files: bool, number: int, *arguments: int, audit: int | None = None) -> int:
    """The verdict on one call."""
    made = program(machine, OWN, files)
    words = [*arguments, *[0] * (6 - len(arguments))]
    return run(made, struct.pack("<IIQ6Q", number, MACHINES[machine].audit if audit is None else audit, 0, *words))


@pytest.mark.parametrize(("machine", "files"), EVERY)
def test_every_call_has_the_verdict_of_its_rule(machine: str, files: bool) -> None:
    numbers = MACHINES[machine].numbers
    seen = set()
    for rule in RULES:
        if rule.files and not files:
            continue
        for name in rule.calls.split():
            if name not in numbers or name in seen:
                continue
            seen.add(name)
            for tests in rule.when or ((),):
                arguments = [0] * 6
                for test in tests:
                    arguments[test.arg] = OWN if test.value == SELF else test.value
                assert judge(machine, files, numbers[name], *arguments) == VERDICTS[rule.verdict], name
    others = set(range(500)) - {numbers[name] for name in seen}
    assert {judge(machine, files, number) for number in others} == {KILL}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mmap", (0, 4096, 7)),
        ("mmap", (0, 4096, 5)),
        ("mprotect", (0, 4096, 6)),
        ("mprotect", (0, 4096, 7)),
        ("tgkill", (1, 1, 9)),
        ("clone", (17,)),
        ("clone", (0x3D0F00 | 0x10000000,)),
        ("fcntl", (0, 8, OWN)),
        ("ioctl", (0, 0x5412, 0)),
        ("prlimit64", (0, 7, 1)),
        ("prlimit64", (0, 7, 1 << 32)),
        ("prlimit64", (1, 7, 0)),
    ],
)
def test_arguments_that_end_the_worker(machine: str, name: str, arguments: tuple[int, ...]) -> None:
    assert judge(machine, True, MACHINES[machine].numbers[name], *arguments) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_never_allowed(machine: str) -> None:
    names = "execve fork vfork ptrace socket connect kill mount process_vm_readv seccomp capset pivot_root"
    for name in names.split():
        number = MACHINES[machine].numbers.get(name)
        assert number is None or judge(machine, True, number) == KILL


def test_another_machines_table_ends_the_worker() -> None:
    assert judge("x86_64", True, 1) == ALLOW
    assert judge("x86_64", True, 1, audit=0x40000003) == KILL  # 32-bit calls
    assert judge("x86_64", True, 0x40000001) == KILL  # the x32 ABI


@given(st.sampled_from(EVERY), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_the_filter_always_ends_with_a_verdict(which: tuple[str, bool], number: int, arguments: list[int]) -> None:
    assert judge(*which, number, *arguments) in VERDICTS.values()


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Load(0)],
        [Label("a"), Load(0), Unless(1, "a"), Return(0)],
        [Unless(1, "nowhere"), Return(0)],
        [Unless(1, "far"), *[Load(0)] * 256, Label("far"), Return(0)],
        [Unless(1, "end"), Return(0), Label("end")],
    ],
)
def test_programs_that_cannot_be(steps: list[Load | Unless | Return | Label]) -> None:
    with pytest.raises(ValueError):
        assemble(steps)


def test_the_policy_can_be_printed_compared_and_changed() -> None:
    assert "mprotect: allowed if argument 2 & 0x4 is 0x0 or argument 2 & 0x2 is 0x0" in str(Policy())
    assert Policy() == Policy()
    assert Policy().__replace__(calls=()) != Policy()
    assert all(isinstance(rule, Rule) and rule.why for rule in Policy().calls)
