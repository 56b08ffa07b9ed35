"""A small guest, warm, as a process: ``python -m bench.startup``; ``import wasmtime; deserialize; run`` beside it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GUEST = Path(__file__).parent.parent / "examples" / "words.wasm"

PEER = """
import sys, wasmtime
engine = wasmtime.Engine()
module = wasmtime.Module.deserialize_file(engine, sys.argv[1])
linker = wasmtime.Linker(engine); linker.define_wasi()
store = wasmtime.Store(engine); config = wasmtime.WasiConfig()
config.argv = ["words"]; config.inherit_stdin(); config.inherit_stdout(); store.set_wasi(config)
try:
    linker.instantiate(store, module).exports(store)["_start"](store)
except wasmtime.ExitTrap:
    pass
"""


def main() -> None:
    commands = {
        "wardian run": [sys.executable, "-m", "wardian", "run", str(GUEST)],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            import wasmtime
        except ImportError:
            pass
        else:
            image = Path(folder) / "words.cwasm"
            image.write_bytes(wasmtime.Module.from_file(wasmtime.Engine(), str(GUEST)).serialize())
            commands["import wasmtime; ..."] = [sys.executable, "-c", PEER, str(image)]
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(22):
            for name, command in commands.items():
                begin = time.perf_counter()
                subprocess.run(command, input=b"to be or not to be", stdout=subprocess.DEVNULL, check=True)
                if turn >= 2:
                    times[name].append((time.perf_counter() - begin) * 1e3)
    for name, values in times.items():
        print(f"  {name:<24}{statistics.median(values):8.1f} ms  (least {min(values):.1f})")
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", *commands["wardian run"][1:]], input=b"x", capture_output=True, check=True
    )
    print("  llvmlite imported:", b"llvmlite" in loaded.stderr)


if __name__ == "__main__":
    main()
