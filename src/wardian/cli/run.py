"""``wardian run``: run a program, or call one exported function.

Invariant: everything after the module's path belongs to the guest, and the guest gets nothing but what the options
before it grant. Exit codes: the guest's own; 134 for a trap, a timeout included (as Wasmtime's).
"""

from __future__ import annotations

import gc
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Literal

from wardian.cli.directories import granted, quota, show_changes
from wardian.cli.options import (
    ENGINE_OPTIONS,
    Option,
    build_engine,
    limits,
    parse_checks,
    parse_level,
    parse_profile,
    parse_spectre,
    parse_terminal,
    parse_wasm_options,
    usage,
    wasm_help,
)
from wardian.cli.report import INTERRUPTED, CliError, safe, say
from wardian.cli.source import begin_program, is_compiled, read_program
from wardian.errors import printable
from wardian.limits import BOUNDS, remedy

if TYPE_CHECKING:
    import argparse

    from wardian.api.engine import Engine
    from wardian.api.module import Module
    from wardian.api.profile import Profile
    from wardian.isolation.policy import Isolation
    from wardian.sandbox.result import RunResult
    from wardian.syntax.types import FuncType

TRAPPED: Final = 134

_COLLECT_AFTER: Final = 20_000
"""Objects after which cycles are looked for; a first run makes some hundred thousand, which are none."""

OPTIONS: Final = (
    Option(
        ("--dir",),
        "HOST[::GUEST][:ro|:overlay]",
        "let the guest use the folder HOST, under the name GUEST (default: HOST); :ro for reading only; with :overlay, "
        "or if HOST is a zip or tar archive, what it changes stays in memory",
        many=True,
    ),
    Option(("--temporary",), "GUEST", "let the guest use an empty folder in memory, under the name GUEST", many=True),
    Option(("--changes",), None, "list what the guest changed in folders that are kept in memory"),
    Option(("--env",), "NAME[=VALUE]", "set an environment variable; without a value, pass on our own", many=True),
    Option(("--policy",), "FILE", "take options from this TOML file, as if they stood first"),
    Option(("--terminal",), "MODE", "what output may do to a terminal: strict, color (default on one) or raw"),
    Option(("--audit",), "FILE", "add what the guest uses, is denied or runs out of to FILE, as lines of JSON"),
    Option(("--invoke",), "FUNCTION", "call this export with ARGS instead of running the program"),
    Option(("--argv0",), "NAME", "the name the program sees itself called by (default: the module's path)"),
    Option(("-W", "--wasm"), "KEY=VALUE,...", "limits and WebAssembly options; -W help lists them", many=True),
    *ENGINE_OPTIONS,
    Option(("--isolate",), None, "run the guest in a process of its own, locked in; `wardian doctor` lists the layers"),
    Option(("--accept-missing",), "LAYER,...", "with --isolate, do without these layers where they cannot be had"),
    Option(("--profile",), "NAME", "fast, balanced (default) or paranoid; `wardian doctor` says what each of them is"),
    Option(("--deterministic",), None, "the same every time: made-up time and randomness, NaNs with the same bits"),
    Option(("--no-cache",), None, "neither use nor fill the cache of compiled code"),
)

_EXAMPLES: Final = """\
examples:
  wardian run hello.wasm Ada                    ARGS are the program's; it sees no files and no environment
  wardian run --dir . tool.wasm notes.txt       it may use this folder
  wardian run --dir /srv/in::/in:ro --dir out::/out tool.wasm /in/a /out/b
  wardian run --env LANG --env MODE=fast tool.wasm
  wardian run --invoke add math.wasm 1 2        prints the results, one a line
  wardian run -W timeout=5s,max-memory-size=64M untrusted.wasm < input
  wardian run --isolate untrusted.wasm          in a process of its own that can do nothing else
  wardian run --policy tool.toml tool.wasm      grants and limits from a file
  wardian run tool.cwasm                        what `wardian compile -o` made: native code, of a maker you trust

The exit code is the guest's own; 134 for a trap (a timeout is one), 1 if it cannot be run, 2 for bad usage."""


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="wardian run",
        usage="wardian run [OPTIONS] FILE.wasm [ARGS...]",
        description="Run a WebAssembly program (WASI preview 1). It is granted nothing but what the options say.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for option in OPTIONS:
        option.add_to(parser)
    return parser


def split(argv: list[str]) -> tuple[list[str], str | None, list[str]]:
    """``argv`` as (our options, the module's path, the guest's arguments).

    The first word that is neither an option nor an option's value is the path, or the word after ``--``.
    """
    valued = {flag for option in OPTIONS if option.value for flag in option.flags}
    at = 0
    while at < len(argv):
        word = argv[at]
        if word == "--":
            return argv[:at], (argv[at + 1] if at + 1 < len(argv) else None), argv[at + 2 :]
        if not word.startswith("-") or word == "-":
            return argv[:at], word, argv[at + 1 :]
        at += 2 if word in valued else 1
    return argv, None, []


def _environment(words: list[str]) -> dict[str, str]:
    """The guest's environment: ``NAME=VALUE`` as said, ``NAME`` as our own (left out if we have none)."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise usage(f"--env {word!r} has no name", "--env NAME=VALUE, or --env NAME to pass on our own")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _functions(module: Module) -> dict[str, FuncType]:
    """The exported functions by name, with their types."""
    from wardian.syntax.types import FuncType

    return {export.name: export.type for export in module.exports if isinstance(export.type, FuncType)}


def _require_start(module: Module, path: str) -> None:
    functions = _functions(module)
    if "_start" in functions:
        return
    names = ", ".join(printable(name) for name in list(functions)[:12])
    if not functions:
        raise CliError(f"{path}: exports no function, so there is nothing to run")
    raise CliError(
        f"{path}: has no _start function, so it is a library rather than a program; it exports {names}",
        hint=f"wardian run --invoke {printable(next(iter(functions)))} {path} ARGS... calls one of them",
    )


def _arguments(module: Module, path: str, function: str, words: list[str]) -> list[object]:
    functions = _functions(module)
    if function not in functions:
        from difflib import get_close_matches

        near = get_close_matches(function, functions, 1) or list(functions)[:12]
        raise CliError(
            f"{path}: exports no function {printable(function)!r}",
            hint=f"it exports {', '.join(map(printable, near))}" if near else None,
        )
    from wardian.cli.values import read_arguments

    return read_arguments(function, functions[function].params, words)


def _unknown_imports(settings: dict[str, Any]) -> Literal["trap", "default"] | None:
    trap, default = settings.get("unknown-imports-trap"), settings.get("unknown-imports-default")
    if trap and default:
        raise usage("-W unknown-imports-trap and unknown-imports-default exclude each other")
    return "trap" if trap else "default" if default else None


def _isolation(options: Any, profile: Profile | None) -> Isolation | None:
    """How the guest's own process is locked in, if it is to have one."""
    if not options.isolate and (profile is None or profile.isolation is None):
        if options.accept_missing:
            raise usage("--accept-missing needs --isolate")
        return None
    from wardian.isolation.policy import DISPENSABLE, Isolation

    more = [name for name in (options.accept_missing or "").split(",") if name]
    try:
        return Isolation(accept=(*DISPENSABLE, *more))
    except ValueError as error:
        raise usage(f"--accept-missing: {error}") from None


def _require_all(engine: Engine, profile: Profile) -> None:
    """No option may take back what the profile promises."""
    from wardian.sandbox.choice import missing

    if lacking := missing(engine.config, profile):
        raise usage(f"--profile {profile.name} asks for {', '.join(lacking)}, which other options take back")


def _finish(result: RunResult, path: str) -> int:
    """Say how the guest ended, if it did not simply exit, and give the exit code."""
    from wardian.sandbox.task import limits_of

    told = () if result.trap is None else tuple(limits_of(result.trap))
    if result.returncode or result.truncated:
        for name in result.reached:
            if name not in told:
                say(f"{path}: the guest has run into a limit: {BOUNDS[name].bounds}; {remedy(name)}")
    if result.status == "exited":
        return result.returncode
    if result.status == "timeout":
        say(f"{path}: stopped: {safe(str(result.trap))}")
    elif result.status == "interrupted":
        return INTERRUPTED
    if result.status == "out_of_fuel":
        say(f"{path}: stopped: {result.trap}")
    elif result.trap is not None:
        say(f"{path}: trap: {safe(str(result.trap))}")
    return TRAPPED


def _quick(words: list[str]) -> SimpleNamespace | None:
    """The options as argparse would give them, or ``None`` for whatever is not plain.

    FAST: argparse and what it imports take as long as a small guest's whole run.
    """
    flags = {flag: option for option in OPTIONS for flag in option.flags}
    found: dict[str, Any] = {o.name: [] if o.many else None if o.value else False for o in OPTIONS}
    at = 0
    while at < len(words):
        word = words[at]
        flag, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        option = flags.get(flag)
        at += 1
        if option is None or (equals and not option.value) or (equals and not value):
            return None
        if option.value and not equals:
            if at == len(words):
                return None
            value = words[at]
            at += 1
        if option.many:
            found[option.name].append(value)
        else:
            found[option.name] = value if option.value else True
    return SimpleNamespace(**found)


def main(argv: list[str]) -> int:
    ours, path, words = split(argv)
    options: Any = _quick(ours) or _parser().parse_args(ours)
    if options.policy is not None:
        from wardian.cli.policy import policy_words

        ours = [*policy_words(options.policy, OPTIONS), *ours]
        options = _quick(ours) or _parser().parse_args(ours)
    if "help" in options.wasm:
        print(wasm_help())
        return 0
    if path is None:
        _parser().error("which module? FILE.wasm is missing")
    settings, switches = parse_wasm_options(options.wasm)
    unknown_imports = _unknown_imports(settings)
    level, checks = parse_level(options.optimize), parse_checks(options.checks)
    spectre = parse_spectre(options.spectre)
    terminal, profile = parse_terminal(options.terminal), parse_profile(options.profile)
    environment = _environment(options.env)
    isolation = _isolation(options, profile)
    directories = granted(options.dir, options.temporary, settings)
    if isolation is not None and any(not isinstance(host, str) for host, _, _ in directories):
        raise usage("--isolate has no folders in memory: no --temporary, no archive and no :overlay")
    program = begin_program(path)

    # FAST: while these are loaded, the module is read.
    from wardian.api.module import Module
    from wardian.sandbox.run import run

    source = read_program(path, program)
    engine = build_engine(
        level=level,
        checks=checks,
        spectre=spectre,
        shared_memory=settings.get("shared-memory"),
        cache=not options.no_cache,
        lazy=True,
        switches=switches,
        bounds=limits(settings),
        fuel="fuel" in settings,
        deterministic=options.deterministic,
        profile=profile,
    )
    engine.may_fork = isolation is None
    if profile is not None:
        _require_all(engine, profile)
    arguments: list[object] = list(words)
    module: Module | bytes = source
    if isolation is None or options.invoke is not None or is_compiled(source):
        module = Module.deserialize(source, engine) if is_compiled(source) else Module.of_hashed(program, engine)
        if options.invoke is None:
            _require_start(module, path)
        else:
            arguments = _arguments(module, path, options.invoke, words)
    sys.stdout.flush()
    # What has been loaded stays; what compiling makes is kept or goes by itself, so there is little to look for.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    gc.enable()
    result = run(
        module,
        arguments,
        argv0=options.argv0 or path,
        env=environment,
        dirs=directories,
        quota=quota(settings),
        open_files=settings.get("max-open-files", 1024),
        stdin="inherit",
        stdout="inherit",
        stderr="inherit",
        terminal=terminal,
        audit=options.audit,
        timeout=settings.get("timeout"),
        fuel=settings.get("fuel"),
        cpu=settings.get("cpu"),
        isolation=isolation,
        output_limit=settings.get("max-output"),
        invoke=options.invoke,
        unknown_imports=unknown_imports,
        engine=engine,
        profile=profile,
    )
    if options.changes:
        show_changes(directories)
    if result.status == "exited" and options.invoke is not None and isinstance(module, Module):
        from wardian.cli.values import show

        for value, type_ in zip(result.values, _functions(module)[options.invoke].results, strict=True):
            print(show(value, type_))
    return _finish(result, path)
