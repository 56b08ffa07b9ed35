"""Policy files: every option of ``wardian run`` as TOML, and errors that say where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support import ROOT
from wardian.cli.options import WASM_KEYS, feature_keys
from wardian.cli.policy import find_line, policy_words
from wardian.cli.report import CliError
from wardian.cli.run import OPTIONS, _quick

WORDS = ROOT / "examples" / "words.wasm"
Wat = Callable[[str, str], Path]
Policy = Callable[[str], Path]


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    def write(text: str) -> Path:
        path = tmp_path / "p.toml"
        path.write_text(text)
        return path

    return write


def words(path: Path) -> list[str]:
    return policy_words(str(path), OPTIONS)


def test_every_option_has_a_key(policy: Policy) -> None:
    for option in OPTIONS:
        name = option.name.replace("_", "-")
        if name in ("policy", "wasm"):
            continue
        value = "true" if option.value is None else '["x"]' if option.many else '"x"'
        found = _quick(words(policy(f"{name} = {value}\n")))
        assert found is not None and getattr(found, option.name), name


def test_every_limit_and_switch_has_a_key(policy: Policy) -> None:
    for key in (*WASM_KEYS, *feature_keys()):
        assert words(policy(f'[wasm]\n{key} = "1"')) == [f"--wasm={key}=1"]


def test_all_forms(policy: Policy, tmp_path: Path) -> None:
    path = policy("""
        terminal = "strict"
        audit = "log/a.jsonl"
        isolate = false
        no-cache = true
        accept-missing = ["a", "b"]
        dir = ["in::/in:ro", "/abs", {host = "out", guest = "/out"}, {host = "r", readonly = true}]
        env = {LANG = "C", HOME = true, N = 3}
        [wasm]
        timeout = "5s"
        max-memory-size = 65536
        simd = false
        threads = true
    """)
    assert words(path) == [
        "--terminal=strict",
        f"--audit={tmp_path}/log/a.jsonl",
        "--no-cache",
        "--accept-missing=a,b",
        f"--dir={tmp_path}/in::/in:ro",
        "--dir=/abs::/abs",
        f"--dir={tmp_path}/out::/out",
        f"--dir={tmp_path}/r::r:ro",
        "--env=LANG=C",
        "--env=HOME",
        "--env=N=3",
        "--wasm=timeout=5s",
        "--wasm=max-memory-size=65536",
        "--wasm=simd=n",
        "--wasm=threads=y",
    ]
    assert words(policy('env = ["A=1", "B"]\n[[dir]]\nhost = "x"\n'))[:2] == ["--env=A=1", "--env=B"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('terminal = "strict"\ntimeout = 5\n', 2, "timeout is not known"),
        ("[limits]\nmemory = 5\n", 1, "limits is not known"),
        ("[wasm]\n# a comment\ntimeouts = 5\n", 3, "wasm.timeouts is not known"),
        ('[[dir]]\nhost = "a"\n\n[[dir]]\nhots = "b"\n', 5, "dir[1].hots is not known"),
        ('[[dir]]\nhost = "a"\n[[dir]]\nguest = "b"\n', 3, "dir[1] host is missing"),
        ('x = 1\ndir = [{host = "a", mode = "ro"}]\n', 1, "x is not known"),
        ('\ndir = [{host = "a", mode = "ro"}]\n', 2, "dir[0].mode is not known"),
        ('dir = "a"\n', 1, "dir has to be a list, not a text"),
        ("dir = [5.5, true]\n", 1, "dir[1] has to be a text or number, not true or false"),
        ('dir = ["a::b::c"]\n', 1, "cannot be empty, contain ::"),
        ('[[dir]]\nhost = "a"\nreadonly = "yes"\n', 3, "dir[0].readonly has to be true or false, not a text"),
        ('no-cache = "y"\n', 1, "no-cache has to be true or false"),
        ("terminal = [1]\n", 1, "terminal has to be a text or number, not a list"),
        ("wasm = 5\n", 1, "wasm has to be a table, not a number"),
        ('[wasm]\ntimeout = "1s,simd=n"\n', 2, "a comma has no place here"),
        ("[env]\nA = 1979-05-27\n", 2, "env.A has to be a text or number, not a date or time"),
        ('policy = "other.toml"\n', 1, "policy is not known"),
        ('[env]\nA = "x\\u0000"\n', 2, "a zero character"),
    ],
)
def test_errors_say_where(policy: Policy, text: str, line: int, says: str) -> None:
    with pytest.raises(CliError) as caught:
        words(policy(text))
    assert f"p.toml:{line}: " in str(caught.value) and says in str(caught.value)
    assert caught.value.code == 2


def test_files_that_are_none(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"no TOML: .*line 2"):
        words(policy("a = 1\nb = \n"))
    with pytest.raises(CliError, match="cannot be read"):
        words(tmp_path / "missing.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff")
    with pytest.raises(CliError, match="UTF-8"):
        words(tmp_path / "b.toml")


def test_lines_of_what_stands_nowhere() -> None:
    assert find_line(["[a]", "b.c = 1"], ("a", "b", "c")) == 2
    assert find_line(["x = 1"], ("a", "b")) is None


def test_a_run(cli: Cli, policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text").write_text("word word")
    policy('audit = "log.jsonl"\n[[dir]]\nhost = "sub"\nguest = "/in"\nreadonly = true\n[wasm]\ntimeout = "60s"\n')
    done = cli("run", "--policy", "p.toml", WORDS, "/in/text")
    assert (done.returncode, done.stdout) == (0, "      2 word\n"), done.stderr
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("start", "end")
    assert [each["path"] for each in events if each.get("function") == "path_open"] == ["text"]
    assert all(each["asked_by"] for each in events if each["event"] == "call")


def test_the_command_line_counts_after_the_policy(cli: Cli, policy: Policy, wat: Wat) -> None:
    policy("[wasm]\ntimeout = '200ms'\nsimd = 5")
    done = cli("run", "--policy=p.toml", "-W", "simd=y", WORDS, input="a")
    assert done.returncode == 2 and "'5' is not a switch" in done.stderr
    policy("[wasm]\ntimeout = '200ms'\n")
    loop = wat("loop.wasm", '(module (func (export "_start") (loop $l (br $l))))')
    assert cli("run", "--policy=p.toml", loop).returncode == 134
    policy("[wasm]\ntimeouts = 1\n")
    done = cli("run", "--policy", "p.toml", loop)
    assert done.returncode == 2 and "p.toml:2: wasm.timeouts is not known" in done.stderr
    assert "did you mean timeout?" in done.stderr


def test_inspect_says_what_a_module_asks_for(cli: Cli, wat: Wat) -> None:
    shown = cli("inspect", WORDS).stdout.split("sections")[0]
    granted = "files                   none, but beneath --dir\n    fd_prestat_get, fd_prestat_dir_name, path_open"
    assert granted in shown
    assert "exit " in shown and "network" not in shown
    other = wat(
        "x.wasm",
        '(module (import "env" "log" (func)) (import "wasi_snapshot_preview1" "sock_recv" (func))'
        '(import "wasi_snapshot_preview1" "path_fly" (func)) (import "wasi_unstable" "random_get" (func)))',
    )
    shown = cli("inspect", other).stdout
    assert "network                 none: there is no way to grant it\n    sock_recv" in shown
    assert "host functions          of env: none\n    log" in shown
    assert "unknown functions       of wasi_snapshot_preview1: none\n    path_fly" in shown
    assert "random                  always there\n    random_get" in shown
