"""A program from a cold or a warm start under wasmtime-py: ``PROGRAM cold|warm|save IMAGE``, a process each."""

from __future__ import annotations

import json
import sys


def main(text: str, how: str, image: str) -> None:
    """Imports as little as a user's script would."""
    import wasmtime as w

    program = json.loads(text)
    config = w.Config()
    if "exceptions" in program["needs"]:
        config.wasm_exceptions = True
    engine = w.Engine(config)
    if how == "warm":
        module = w.Module.deserialize_file(engine, image)
    else:
        module = w.Module.from_file(engine, program["path"])
    if how == "save":
        with open(image, "wb") as file:
            file.write(module.serialize())
        return
    store = w.Store(engine)
    wasi = w.WasiConfig()
    wasi.argv = [program["argv0"], *map(str, program["args"])]
    wasi.env = [tuple(pair) for pair in program["env"]]
    for host, guest in program["dirs"]:
        wasi.preopen_dir(host, guest)
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    store.set_wasi(wasi)
    linker = w.Linker(engine)
    linker.define_wasi()
    for name in ("start", "end"):
        linker.define_func("bench", name, w.FuncType([], []), lambda: None)
    try:
        linker.instantiate(store, module).exports(store)["_start"](store)
    except w.ExitTrap as exit:
        sys.exit(exit.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
