"""What filtering costs a program's output: megabytes a second, by what the program prints."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import Final

from bench.report import Section, Table

_SIZE: Final = 4 << 20
_WRITE: Final = 1 << 16


def _samples() -> dict[str, bytes]:
    """Name -> output, some megabytes of each, the same at every run."""
    rng = random.Random(1)
    ansi = (b"\x1b[32m", b"\x1b[1;31m", b"\x1b[38;5;208m", b"\x1b[0m", b"\x1b[K")
    soup = (
        b"\x1b[",
        b"\x1b]0;",
        b"\x1bP",
        b"\x1b_G",
        b"\x07",
        b"\x1b\\",
        b"\r",
        b"\b",
        b"\x1b[2J",
        b"\x1b[31m",
        b"text\n",
    )
    unicode = ("\u202e", "\u009b", "\u200b", "\U000e0041", "\u0301", "\ufeff", "x", "é", "中", "\x1b", "\n")
    made = {
        "plain text": b"The quick brown fox jumps over the lazy dog, 1234567890 times.\n",
        "coloured lines of a compiler": b"\x1b[1mfile.c:12:5:\x1b[m \x1b[1;31merror:\x1b[m ';' before 'x'\x1b[K\n",
        "German text": "Größere Übungen ändern überall die Maße, das weiß man.\n".encode(),
        "Chinese text": "中文字符测试，包括标点符号和数字。\n".encode(),
        "random bytes": rng.randbytes(1 << 18),
        "random ASCII": bytes(rng.choices(range(128), k=1 << 18)),
        "escape sequences of every kind": b"".join(rng.choices(soup, k=1 << 16)),
        "C1, bidi, invisible, marks": "".join(rng.choices(unicode, k=1 << 16)).encode(),
        "ESC and nothing else": b"\x1b",
        "combining marks and nothing else": "\u0301".encode(),
        "a colour for every letter": b"".join(rng.choice(ansi) + b"x" for _ in range(1 << 15)),
        "a random colour for every letter": b"".join(
            b"\x1b[38;2;%d;%d;%dmx" % (*rng.randbytes(3),) for _ in range(1 << 17)
        ),
    }
    return {name: data * (_SIZE // len(data)) for name, data in made.items()}


def _rate(data: bytes, mode: str) -> float:
    from wardian.terminal import Filter

    made = Filter(mode)  # type: ignore[arg-type]
    began = time.thread_time()
    for at in range(0, len(data), _WRITE):
        made.feed(data[at : at + _WRITE])
    made.finish()
    return len(data) / (time.thread_time() - began) / 1e6


def terminal(rounds: int, only: list[str]) -> Section:
    """Megabytes a second of guest output in writes of 64 KiB, one filter, what it returns thrown away."""
    rows = []
    for name, data in _samples().items():
        if only and not any(word in name for word in only):
            continue
        rates = [median(_rate(data, mode) for _ in range(rounds)) for mode in ("strict", "color")]
        rows.append([name, *(f"{rate:,.0f}" for rate in rates)])
        print(f"  {rows[-1]}", flush=True)
    return Section(
        "terminal", "Terminal filter",
        "Megabytes of output that are made harmless in a second of processor time, in writes of 64 KiB.",
        [("", Table(["output", "`strict`, MB/s", "`color`, MB/s"], rows))],
    )  # fmt: skip
