"""What `env` prints: read by real shells, nothing in it is ever run but what was meant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentlaunch.agents.base import UNSET, Handover
from agentlaunch.commands.env import SHELLS, as_json

NASTY = (
    "plain",
    "two words",
    'it\'s "quoted"',
    "$HOME ${HOME} $(touch run-me) `touch run-me`",
    "a;touch run-me #",
    "back\\slash\\",
    "line one\nline two",
    "!! *?[a] ~ %PATH% ^&|<>",
    "\N{LEFT SINGLE QUOTATION MARK}; touch run-me; \N{RIGHT SINGLE QUOTATION MARK}",
    "",
    "ü\N{SNOWMAN}",
)
REPORT = """import json, os, sys
print(json.dumps([sys.argv[1:], {k: os.environ.get(k) for k in os.environ["ASK"].split(",")}]))
"""


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """A program that tells how it was called, at a path that needs quotes."""
    program = tmp_path / "it's $HOME" / "agent"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{REPORT}")
    program.chmod(0o755)
    return program


def _given(agent: Path) -> Handover:
    env = {f"VALUE_{number}": value for number, value in enumerate(NASTY)}
    return Handover(
        argv=(str(agent), *NASTY), env={**env, "GONE": UNSET, "OTEL_$(touch run-me)": UNSET}
    )


def _read_by(shell: list[str], text: str, call: str, folder: Path) -> None:
    """The shell reads our lines, then calls the agent with one more argument."""
    asked = [*(f"VALUE_{n}" for n in range(len(NASTY))), "GONE"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GONE": "x", "ASK": ",".join(asked)}
    env["LANG"] = "C.UTF-8"
    done = subprocess.run(
        [*shell, text + "\n" + call],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    expected = [[*NASTY, "last one"], {**dict(zip(asked, NASTY, strict=False)), "GONE": None}]
    assert json.loads(done.stdout) == expected
    assert not (folder / "run-me").exists()


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_a_real_shell_reads_every_value_back(kind: str, agent: Path, tmp_path: Path) -> None:
    if shutil.which(kind) is None:
        pytest.skip(f"no {kind} here")
    quiet = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[kind]
    text = SHELLS[kind](_given(agent), "claude")
    _read_by([kind, *quiet], text, "claude 'last one'", tmp_path)


def test_real_powershell_reads_every_value_back(agent: Path, tmp_path: Path) -> None:
    if shutil.which("pwsh") is None:
        pytest.skip("no pwsh here")
    text = SHELLS["powershell"](_given(agent), "claude")
    _read_by(["pwsh", "-NoProfile", "-Command"], text, "claude 'last one'", tmp_path)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_the_lines_for_zsh_mean_the_same_to_bash(name: str, agent: Path, tmp_path: Path) -> None:
    text = SHELLS[name](_given(agent), "claude")
    _read_by(["bash", "--norc", "-c"], f"set -eu\n{text}", "claude 'last one'", tmp_path)


def test_an_alias_of_the_agents_name_does_not_win(agent: Path, tmp_path: Path) -> None:
    """As a start-up file may have set it."""
    text = SHELLS["bash"](_given(agent), "claude")
    lines = tmp_path / "lines"
    lines.write_text(text)
    before = "shopt -s expand_aliases\nalias claude='echo the wrong one'\n"
    _read_by(
        ["bash", "--norc", "-c"],
        f'{before}eval "$(cat {lines})"',
        "claude 'last one'",
        tmp_path,
    )


SMALL = Handover(("/a b/claude", "--x", "it's"), {"A": "$1 'q' \\", "B": UNSET, "C-D": UNSET})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "bash",
            "export A='$1 '\"'\"'q'\"'\"' \\'\n"
            "unset B\n"
            "unalias claude 2>/dev/null || true\n"
            "function claude { '/a b/claude' --x 'it'\"'\"'s' \"$@\"; }",
        ),
        (
            "fish",
            "set -gx A '$1 \\'q\\' \\\\'\n"
            "set -e B\n"
            "function claude; '/a b/claude' '--x' 'it\\'s' $argv; end",
        ),
        (
            "powershell",
            "$env:A = '$1 ''q'' \\'\n"
            "Remove-Item Env:B -ErrorAction SilentlyContinue\n"
            "function claude { & '/a b/claude' '--x' 'it''s' @args }",
        ),
    ],
)
def test_the_words_of_each_shell(kind: str, text: str) -> None:
    assert SHELLS[kind](SMALL, "claude") == text


def test_powershell_takes_typographic_quotes_for_quotes() -> None:
    given = Handover(("a",), {"A": "\u2018;x;\u2019\u201a\u201b"})
    line = SHELLS["powershell"](given, "claude").splitlines()[0]
    assert line == "$env:A = '\u2018\u2018;x;\u2019\u2019\u201a\u201a\u201b\u201b'"


def test_json_has_the_values_as_they_are() -> None:
    assert as_json(SMALL) == {
        "argv": ["/a b/claude", "--x", "it's"],
        "env": {"A": "$1 'q' \\"},
        "env_unset": ["B", "C-D"],
    }
