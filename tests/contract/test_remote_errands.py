"""Errands at an Ollama elsewhere, which carry no code: pulled to, pruned, unloaded with a word."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator

import pytest

import ollama_server
import registry_server
from agentlaunch import settings
from agentlaunch.cli import main
from ollama_server import OllamaServer

KEY = "sk-canary-0123456789"
TAG = "qwen3.5:4b-64k-agentlaunch"
PULL = ("models", "pull", "small:1b", "--insecure", "--engine", "ollama")
PRUNE = ("models", "prune")
STOP = ("engines", "stop", "ollama")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    """An Ollama at this machine's own name, which is no loopback by its text, with a key."""
    name = socket.gethostname()
    try:
        here = socket.gethostbyname(name).startswith("127.")
    except OSError:
        here = False
    if not here:
        pytest.skip("this machine's name does not lead to loopback")
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with registry_server.running() as registry, ollama_server.running(name) as server:
        server.registry = registry
        monkeypatch.setenv("OLLAMA_HOST", f"http://{name}:{server.port}")
        monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", KEY)
        server.add(TAG, parameters={"num_ctx": 65_536})
        yield server


def _typing(monkeypatch: pytest.MonkeyPatch, types: str, *argv: str) -> tuple[int, str]:
    """Run at a terminal on which a person types this; the status and what was said."""
    screen = _Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", _Terminal(types))
        patch.setattr("sys.stderr", screen)
        patch.setenv("TERM", "dumb")
        status = main(argv)
    return status, " ".join(screen.getvalue().split())


def _ref(server: OllamaServer) -> str:
    assert server.registry is not None
    server.registry.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
    return server.registry.add("team/coder:4b", {"model": b"GGUF" + bytes(4000)}, config=b"{}")


@pytest.mark.parametrize("command", [PULL, PRUNE, STOP])
@pytest.mark.parametrize("more", [(), ("--yes",)])
def test_without_the_word_nothing_is_done_and_no_key_sent(
    command: tuple[str, ...],
    more: tuple[str, ...],
    far: OllamaServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    far.loaded[TAG] = 65_536
    assert main([*command, *more, "--no-input"]) == 8
    assert "--allow-remote" in capsys.readouterr().err
    assert {seen.authorization for seen in far.seen} <= {None}
    assert {"/api/pull", "/api/delete", "/api/generate"}.isdisjoint(s.path for s in far.seen)


@pytest.mark.parametrize("command", [PRUNE, STOP])
@pytest.mark.parametrize("typed", ["\n", "n\n", ""])
def test_anything_but_yes_asks_the_host_for_nothing(
    command: tuple[str, ...], typed: str, far: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = _typing(monkeypatch, typed, *command, "--yes")
    assert (status, far.seen) == (8, [])
    assert "[y/N]" in said


def test_the_flag_lets_a_key_go_there_once(far: OllamaServer) -> None:
    far.key = KEY
    ref = _ref(far)
    far.loaded[TAG] = 65_536
    errands = [("models", "pull", ref, "--insecure", "--engine", "ollama"), STOP, PRUNE]
    for command in errands:
        assert main([*command, "--allow-remote", "--yes"]) == 0
    assert ([*far.models], far.loaded) == ([ref], {})
    assert settings.load()["allowed_hosts"].value is None


def test_the_question_of_a_pull_tells_what_goes_there_and_keeps_no_word(
    far: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = _ref(far)
    pull = ("models", "pull", ref, "--insecure", "--engine", "ollama")
    status, said = _typing(monkeypatch, "y\ny\n", *pull)
    assert status == 0
    assert "It gets the name of the model and downloads it itself; nothing else goes there." in said
    assert "code that" not in said
    assert "prompt" not in said
    assert ref in far.models
    assert settings.load()["allowed_hosts"].value is None


def test_pruning_says_that_others_may_use_the_tags(
    far: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = _typing(monkeypatch, "y\n\n", *PRUNE)
    assert (status, list(far.models)) == (0, [TAG])
    assert f"Remove 1 tag from Ollama at {far.url}? Others may use them" in said
    status, _said = _typing(monkeypatch, "y\ny\n", *PRUNE)
    assert (status, far.models) == (0, {})


def test_a_host_that_is_allowed_is_not_asked_about_again(
    far: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "set", "allowed_hosts", far.url]) == 0
    capsys.readouterr()
    assert main([*PRUNE, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == {"removed": [TAG], "kept": []}


@pytest.mark.parametrize("command", [PULL, PRUNE, STOP])
@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_a_password_in_the_address_is_refused_and_never_shown(
    command: tuple[str, ...],
    host: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"http://someone:s3cret@{host}:9")
    assert main([*command, "--yes"]) == 2
    captured = capsys.readouterr()
    assert "s3cret" not in captured.out + captured.err
    assert "OLLAMA_HOST holds a user or a key" in captured.err


@pytest.mark.parametrize(
    ("host", "status"),
    [("ftp://x:1", 2), ("http://a b", 2), ("http://[bad", 2), ("http://169.254.169.254", 8)],
)
def test_what_no_launch_may_use_is_not_to_be_allowed_either(
    host: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    for command in (PULL, PRUNE, STOP):
        assert main([*command, "--yes"]) == status
        said = capsys.readouterr().err
        assert "--allow-remote" not in said
        assert "set OLLAMA_HOST to HOST:PORT" in said
