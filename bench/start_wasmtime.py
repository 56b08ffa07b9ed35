"""A program from a cold or a warm start under wasmtime-py, a process each: ``PROGRAM HOW FILE``.

HOW is ``cold``, ``save`` (only to the compiled module FILE), ``warm`` (from there: the program's own file is not looked
at), or ``cached`` (with Wasmtime's cache, as FILE configures it: the program is read and looked up by its contents).
"""

from __future__ import annotations

import json
import sys


def main(text: str, how: str, file: str) -> None:
    """Imports as little as a user's script would."""
    import wasmtime as w

    program = json.loads(text)
    config = w.Config()
    if "exceptions" in program["needs"]:
        config.wasm_exceptions = True
    if how == "cached":
        config.cache = file
    engine = w.Engine(config)
    if how == "warm":
        module = w.Module.deserialize_file(engine, file)
    else:
        module = w.Module.from_file(engine, program["path"])
    if how == "save":
        with open(file, "wb") as out:
            out.write(module.serialize())
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
