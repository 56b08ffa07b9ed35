"""The tables of ``docs/isolation.md``, from the policy's rows; ``python -m wardian.isolation.document`` renews them.

Invariant: the page says what the filter does, for both are made of the same rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wardian.isolation.policy import DISPENSABLE, LAYERS, READING, RULES, WRITING, Rule, Verdict

BEGIN: Final = "<!-- generated: begin -->"
END: Final = "<!-- generated: end -->"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


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
            _table(
                ("layer", "what it means", "needed unless accepted"),
                ((f"`{name}`", what, needed[name]) for name, what in LAYERS.items()),
            ),
            "### System calls\n",
            "All others, and those listed with other arguments, end the worker.\n",
            _table(("call", "becomes", "what needs it"), map(_rule, RULES)),
            "### Rights beneath granted directories\n",
            f"For reading: {', '.join(f'`{right}`' for right in READING)}. "
            f"Otherwise: {', '.join(f'`{right}`' for right in WRITING)}.\n",
        )
    )


def renewed(text: str) -> str:
    """``text`` with what stands between the two marks replaced. Raises ``ValueError`` if a mark is missing."""
    before, mark, rest = text.partition(BEGIN)
    _, other, after = rest.partition(END)
    if not mark or not other:
        raise ValueError(f"the marks {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Renew the files named, or write the tables to standard output."""
    if not arguments:
        sys.stdout.write(tables())
    for name in arguments:
        path = Path(name)
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
