"""The tables of ``docs/isolation.md``, from the policy's rows; ``python -m wardian.isolation.document`` renews them.

Invariant: the page says what the filter does, for both are made of the same rows.
"""

from __future__ import annotations

import sys

from wardian.isolation.policy import DISPENSABLE, LAYERS, READING, RULES, WRITING, Rule, Verdict
from wardian.pages import renew, table


def _rule(rule: Rule) -> tuple[str, str, str]:
    calls = " ".join(f"`{name}`" for name in rule.calls.split())
    becomes = rule.verdict.value
    if rule.when:
        becomes += " with some arguments" + ("" if rule.otherwise is Verdict.KILL else f", else {rule.otherwise.value}")
    if rule.files:
        becomes += ", where directories are granted"
    return calls, becomes, rule.why


def tables() -> str:
    """The generated part: layers, system calls, rights to files."""
    needed = {name: "no" if name in DISPENSABLE else "yes" for name in LAYERS}
    return "\n".join(
        (
            "### Layers, in the order they are put on\n",
            table(
                ("layer", "what it means", "needed unless accepted"),
                ((f"`{name}`", what, needed[name]) for name, what in LAYERS.items()),
            ),
            "### System calls\n",
            "All others, and those listed with other arguments, end the worker.\n",
            table(("call", "becomes", "what needs it"), map(_rule, RULES)),
            "### Rights beneath granted directories\n",
            f"For reading: {', '.join(f'`{right}`' for right in READING)}. "
            f"Otherwise: {', '.join(f'`{right}`' for right in WRITING)}.\n",
        )
    )


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:], tables))
