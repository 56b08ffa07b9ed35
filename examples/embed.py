"""Wardian from Python: a program run like a subprocess, a plugin called like a module, and a guest that is stopped.

python examples/embed.py
"""

from __future__ import annotations

from pathlib import Path

import wardian

HERE = Path(__file__).parent


def run_a_program() -> None:
    """Untrusted code as a subprocess would run it: input, arguments, output, a limit on time and memory."""
    text = b"It was the best of times, it was the worst of times."
    result = wardian.run(HERE / "words.wasm", ["-n", "3"], input=text, timeout=10, memory="16M")
    print(result.status, result.returncode)
    print(result.stdout.decode(), end="")


def call_a_plugin() -> None:
    """A module's functions, with a Python function among its imports and its memory at hand."""
    plugin = wardian.Module.from_file(HERE / "plugin.wasm")
    instance = plugin.instantiate({"host": {"progress": lambda percent: print(f"{percent} %")}})
    print("primes:", instance.exports.primes(10_000))

    text = b"Nathaniel Bagshaw Ward"
    at = instance.exports.buffer()
    instance.exports.memory[at : at + len(text)] = text
    print("vowels:", instance.exports.vowels(len(text)))
    try:
        instance.exports.vowels(1_000_000)
    except wardian.Trap as trap:
        print("it trapped:", trap.message)


def stop_a_guest() -> None:
    """A loop without end is no danger: it is stopped, wherever it is."""
    imports = {"host": {"progress": print}}
    result = wardian.run(HERE / "plugin.wasm", invoke="spin", imports=imports, timeout=0.2)
    print("spin:", result.status)


if __name__ == "__main__":
    run_a_program()
    call_a_plugin()
    stop_a_guest()
