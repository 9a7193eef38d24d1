"""`doctor --fix`: what is safe to mend is asked for, done, and looked at again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ollama_server
import registry_server
from launcher import PROGRAM, Launcher, make_launcher
from registry_server import RegistryServer
from terminal import Terminal

SERVE = """#!{python}
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        value = {{"version": "0.33.0"}} if "version" in self.path else {{"models": []}}
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
print(os.getpid(), file=open({pid!r}, "a"), flush=True)
HTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def shell(tmp_path: Path) -> Launcher:
    found = make_launcher(tmp_path)
    return Launcher(found.home, found.project, {"PATH": "/usr/bin:/bin"})


def user_settings(shell: Launcher, text: str) -> Path:
    file = shell.home / ".config/agentlaunch/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def told(done: subprocess.CompletedProcess[str], name: str) -> list[dict[str, Any]]:
    rows = json.loads(done.stdout)["data"]["findings"]
    return [row for row in rows if row["name"] == name]


def test_a_context_too_small_for_the_agent_is_raised_in_the_users_own_file(shell: Launcher) -> None:
    file = user_settings(shell, "# mine\ncontext = 8192  # small\nslim = 'auto'\n")
    before = shell.run("doctor", "claude-code", "--json")
    (row,) = told(before, "context")
    assert row["status"] == "warning"
    assert "8,192" in row["message"]
    assert row["remedy"].startswith("agentlaunch config set context ")
    done = shell.run("doctor", "claude-code", "--fix", "--yes", "--json")
    (row,) = told(done, "context")
    assert (row["status"], row["message"][:8]) == ("ok", "mended: ")
    text = file.read_text()
    assert text.startswith("# mine\n")
    assert "slim = 'auto'" in text
    assert "8192" not in text
    assert told(shell.run("doctor", "claude-code", "--json"), "context") == []


def test_a_projects_context_is_not_ours_to_change(shell: Launcher) -> None:
    file = shell.project / "agentlaunch.toml"
    file.write_text("context = 8192\n")
    done = shell.run("doctor", "claude-code", "--fix", "--yes", "--json")
    assert told(done, "context") == []
    assert file.read_text() == "context = 8192\n"


@pytest.mark.parametrize("more", [("--no-input",), ("--json",), ()])
def test_where_nobody_can_be_asked_the_flag_is_named(
    shell: Launcher, more: tuple[str, ...]
) -> None:
    file = user_settings(shell, "context = 8192\n")
    done = shell.run("doctor", "claude-code", "--fix", *more)
    assert done.returncode == 2, done.stderr
    assert "--yes" in done.stdout + done.stderr
    assert file.read_text() == "context = 8192\n"


def test_nothing_to_ask_needs_no_answer(shell: Launcher) -> None:
    done = shell.run("doctor", "--fix", "--no-input", "--json")
    assert done.returncode in {0, 3}, done.stderr


@pytest.mark.parametrize(("word", "kept"), [("n", True), ("", False)])
def test_a_person_is_asked_on_a_narrow_terminal(shell: Launcher, word: str, kept: bool) -> None:
    file = user_settings(shell, "context = 8192\n")
    argv = [str(PROGRAM), "doctor", "claude-code", "--fix"]
    shown = Terminal(argv, {**shell.env, "TERM": "xterm"}, shell.project, columns=60)
    try:
        shown.wait_for("[Y/n]")
        shown.type(f"{word}\r")
        shown.child.wait(timeout=60)
    finally:
        shown.close()
    assert (file.read_text() == "context = 8192\n") is kept


def test_an_ollama_that_is_named_and_does_not_run_is_started(
    shell: Launcher, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    program, pid = tmp_path / "bin" / "ollama", tmp_path / "pid"
    program.parent.mkdir()
    program.write_text(SERVE.format(python=sys.executable, pid=str(pid)))
    program.chmod(0o755)
    more = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "OLLAMA_HOST": address,
        "AGENTLAUNCH_ENGINE": "ollama",
    }
    here = Launcher(shell.home, shell.project, more)
    try:
        done = here.run("doctor", "--fix", "--yes", "--json")
        messages = [row["message"] for row in told(done, "ollama")]
        assert any(text.startswith("mended: started Ollama 0.33.0") for text in messages), done
        engines = json.loads(done.stdout)["data"]["engines"]
        assert {row["name"]: row["state"] for row in engines}["ollama"] == "running"
        again = here.run("doctor", "--fix", "--no-input", "--json")
        assert again.returncode in {0, 3}, "there is nothing left to ask"
    finally:
        for number in pid.read_text().split() if pid.is_file() else []:
            os.kill(int(number), signal.SIGKILL)


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with registry_server.running() as server:
        server.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"  # Ollama wants one
        yield server


def test_a_missing_model_is_fetched_by_ollama(shell: Launcher, registry: RegistryServer) -> None:
    layers = {"model": b"GGUF" + b"w" * 5000, "template": b"{{ .Prompt }}"}
    ref = "http://" + registry.add("team/coder:4b", layers)
    with ollama_server.running() as ollama:
        ollama.registry = registry
        more = {
            **shell.more,
            "OLLAMA_HOST": ollama.url,
            "AGENTLAUNCH_ENGINE": "ollama",
            "AGENTLAUNCH_MODEL": ref,
        }
        here = Launcher(shell.home, shell.project, more)
        before = here.run("doctor", "--json")
        (row,) = told(before, "model-missing")
        assert row["remedy"] == f"agentlaunch models pull {ref}"
        done = here.run("doctor", "--fix", "--yes", "--json")
        rows = [row["message"] for row in told(done, "model-missing")]
        assert rows == [f"mended: {ref.removeprefix('http://')} is here"]
        assert any("coder" in name for name in ollama.models)


def test_a_remedy_that_fails_is_a_finding_and_no_end(shell: Launcher) -> None:
    """No registry of that name answers; the context is raised all the same."""
    file = user_settings(shell, 'context = 8192\nmodel = "localhost:9/team/none:1"\n')
    done = shell.run("doctor", "claude-code", "--fix", "--yes", "--json")
    (row,) = told(done, "model-missing")
    assert row["status"] == "warning"
    assert "could not be mended" in row["message"]
    assert "context = 8192" not in file.read_text()
    assert "Traceback" not in done.stderr
